"""The commands that look back on a shop's own past and learn from it: their names, options, help."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from app.cli.commands import app, examples, known_currency
from app.cli.failure import Failure


@app.command(
    epilog=examples(
        "rapport backtest ../shared/data/cdnow_master.csv.gz --horizon 91 --currency USD",
        "rapport backtest orders.csv --customer-column buyer --time-column paid_at --amount-column total \\",
        "    --html backtest.html --json backtest.json",
        "rapport backtest --from-log --horizon 30",
    )
)
def backtest(
    *,
    file: Annotated[
        Path | None, typer.Argument(help="CSV with a header, UTF-8; may be gzipped.", show_default=False)
    ] = None,
    from_log: Annotated[
        bool, typer.Option("--from-log", help="The shop's own log instead of a file.")
    ] = False,
    customer_column: Annotated[str | None, typer.Option(help="Who bought; guessed by default.")] = None,
    time_column: Annotated[
        str | None, typer.Option(help="When: ISO 8601 date or time, UTC; guessed by default.")
    ] = None,
    amount_column: Annotated[
        str | None, typer.Option(help="How much: 12.34; negative is a refund; guessed by default.")
    ] = None,
    refund_column: Annotated[
        str | None, typer.Option(help="1, true, yes or x makes a row a refund; guessed; '' for none.")
    ] = None,
    currency: Annotated[
        str, typer.Option(help="ISO 4217 code of all amounts; only its number of digits matters.")
    ] = "EUR",
    horizon: Annotated[int, typer.Option(min=1, max=3650, help="Days ahead that are predicted.")] = 91,
    json_out: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write all figures to this file.")
    ] = None,
    html_out: Annotated[
        Path | None, typer.Option("--html", metavar="OUT", help="Write a page with plots to this file.")
    ] = None,
) -> None:
    """Show how well the score would have predicted a shop's own past.

    Compares it with recency, RFM quantiles, a weighted scorecard, BG/NBD, MBG/NBD
    and Pareto/NBD: each is fitted on earlier times and other customers only. Needs
    numpy and scipy (pip install 'rapport[fit]'). docs/health-evidence.md explains
    the figures.
    """
    if (file is None) != from_log:
        raise Failure("say either a FILE or --from-log")
    from app.cli import backtest as work  # noqa: PLC0415 - loads numpy and scipy; --help need not

    if file is None:
        raise typer.Exit(work.run_from_log(horizon_days=horizon, json_path=json_out, html_path=html_out))
    raise typer.Exit(
        work.run(
            file,
            customer_column,
            time_column,
            amount_column,
            refund_column,
            currency=known_currency(currency),
            horizon_days=horizon,
            json_path=json_out,
            html_path=html_out,
        )
    )


@app.command(
    epilog=examples(
        "rapport fit",
        "rapport fit --horizon 30 --dry-run",
        "rapport fit --as-of 2026-06-30",
    )
)
def fit(
    *,
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Learn from what had happened by the end of this day (UTC)."),
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(min=1, max=3650, help="Days ahead that are predicted; the active model's by default."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written.")] = False,
) -> None:
    """Fit the score to the shop's own log, and write the model down as a draft.

    Learns from purchases and refunds, tries the result against the active model on
    the newest closed window, and stores both with the promotion gate's verdict. A
    log too small to learn from falls back, and it says to what. Nothing scores with
    the draft until somebody publishes it. Needs numpy and scipy
    (pip install 'rapport[fit]').
    """
    from app.cli import fit as work  # noqa: PLC0415 - loads numpy and scipy; --help need not

    raise typer.Exit(work.fit(as_of.date() if as_of else None, horizon, dry_run=dry_run))
