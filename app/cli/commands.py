"""The shape of the command line: names, options, help. What a command does is in the module it imports."""

from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from app.cli.failure import Failure
from app.cli.preloading import preload
from app.domain import money

DEFAULT_URL = "http://127.0.0.1:8000"

app = typer.Typer(
    help="Customer engagement for shops: one log per customer, and a health score that says why.",
    no_args_is_help=True,
    # A bug shows Python's own traceback, which holds no local variables: they may be keys or personal data.
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n".join(["[bold]Examples[/bold]", *(f"  {line}" for line in lines)])


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the flag's value
    if wanted:
        try:
            typer.echo(f"rapport {version('rapport')}")
        except PackageNotFoundError:
            typer.echo("rapport (not installed: run from its folder)")
        raise typer.Exit


@app.callback(
    epilog=examples(
        "rapport serve                     start everything, print an admin key",
        "rapport demo                      a small shop to look at",
        "rapport keys create --preset storefront --source shop-eu",
        "rapport COMMAND --help            more, with examples",
    )
)
def _rapport(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    # Typer wants a function to hang the options of `rapport` itself on.
    pass


# --- the service ----------------------------------------------------------------------------------------------------


@app.command(
    epilog=examples(
        "rapport serve",
        "rapport serve --port 8080 --workers 2",
        "RAPPORT_DATABASE_URL=postgresql://user:password@host/name rapport serve --host 0.0.0.0",
    )
)
def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every IPv4 one.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer requests.")] = 1,
) -> None:
    """Start Rapport: its database, the newest schema, the service.

    Without RAPPORT_DATABASE_URL an embedded PostgreSQL runs under RAPPORT_HOME
    (./.rapport). The first start makes an admin key and prints it, once;
    RAPPORT_ADMIN_KEY sets one instead. SIGTERM or Ctrl+C stops gracefully.
    """
    if workers > 1:
        preload()
    from app.cli import serve as work  # noqa: PLC0415 - loads the service; --help need not

    work.serve(host, port, workers)


@app.command(
    epilog=examples(
        "rapport migrate",
        "RAPPORT_MIGRATION_URL=postgresql://owner:password@host/name rapport migrate",
    )
)
def migrate() -> None:
    """Bring the database to the newest schema and set up its roles.

    `rapport serve` does the same when it starts. Safe to run at any time, and by
    several processes at once.
    """
    from app.cli import migrate as work  # noqa: PLC0415 - loads alembic; --help need not

    typer.echo(work.migrate())


@app.command(epilog=examples("rapport verify", "rapport verify --json | jq .holds"))
def verify(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Prove that what is stored is what happened. Changes nothing.

    Computes every customer's state again from the log and compares it to the byte,
    looks for touchpoints and identifiers without their customer, and checks that
    the log is append-only and the database durable. Safe beside a running service.
    Exit code 0: everything holds; 1: something differs, and the first are named.
    """
    from app.cli import verify as work  # noqa: PLC0415 - loads the database; --help need not

    raise typer.Exit(work.verify(as_json=as_json))


@app.command(
    epilog=examples(
        "rapport worker",
        "rapport worker --once     one sweep, for a timer of your own",
    )
)
def worker(
    *,
    once: Annotated[bool, typer.Option("--once", help="Sweep once, say what was done, and leave.")] = False,
) -> None:
    """Draw the bands of customers anew who fall, or recover, while nothing happens.

    `rapport serve` does this itself every RAPPORT_SWEEP_SECONDS. Run a worker
    beside it, or several, when you want the services to answer requests alone:
    set RAPPORT_SWEEP_SECONDS=0 there. A worker may be killed at any moment; nothing
    is lost or told twice. SIGTERM or Ctrl+C stops it.
    """
    from app.cli import worker as work  # noqa: PLC0415 - loads the database; --help need not

    work.work(once=once)


@app.command(
    "replay-state",
    epilog=examples("rapport replay-state --dry-run", "rapport replay-state"),
)
def replay_state(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; say which states would differ.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin again instead of going on after a stop.")
    ] = False,
) -> None:
    """Compute every customer's state again from the log.

    Needed after a release that changes half-lives or resolutions, which are part of
    the stored states, and the cure when `rapport verify` finds a state that is not
    that of its log. Safe beside a running service, and at any moment of a stop: run
    it again, and it goes on where it ended. Exit code 1: a log could not be read, or
    with --dry-run, something would change.
    """
    from app.cli import replay_state as work  # noqa: PLC0415 - loads the database; --help need not

    raise typer.Exit(work.replay_state(dry_run=dry_run, restart=restart))


# --- clients of a running service -----------------------------------------------------------------------------------

Url = Annotated[str, typer.Option(envvar="RAPPORT_URL", help="Where the service answers.")]
Key = Annotated[
    str,
    typer.Option(
        envvar=["RAPPORT_KEY", "RAPPORT_ADMIN_KEY"],
        help="An API key that may write events and customers.",
        show_default=False,
    ),
]


def _given(key: str) -> str:
    if not key:
        raise Failure(
            "no key: give --key, or set RAPPORT_KEY (`rapport keys create --preset storefront` makes one)"
        )
    return key


def known_currency(code: str) -> str:
    """The code, when money is paid in it. Raises Failure."""
    if code not in money.EXPONENTS:
        raise Failure(f"--currency {code}: not an ISO 4217 code like EUR")
    return code


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Failure(f"--time-zone {name}: not a time zone like Europe/Berlin") from None


_ORDERS = "Orders and refunds"
_SENDING = "Sending"


@app.command(
    epilog=examples(
        "rapport replay ../shared/data/cdnow_master.csv.gz --currency USD \\",
        "    --customer-column cust --time-column date --amount-column value",
        "rapport replay ../shared/data/online_retail_invoices.csv.gz --currency GBP \\",
        "    --customer-column cust --time-column ts --amount-column amount --refund-column cancel",
    )
)
def replay(
    *,
    file: Annotated[
        Path, typer.Argument(help="CSV with a header, UTF-8; may be gzipped.", show_default=False)
    ],
    customer_column: Annotated[str, typer.Option(help="Who bought.")],
    time_column: Annotated[str, typer.Option(help="When: ISO 8601 date or time.")],
    amount_column: Annotated[str, typer.Option(help="How much: 12.34; a negative amount is a refund.")],
    currency: Annotated[str, typer.Option(help="ISO 4217 code of all amounts.")],
    time_zone: Annotated[
        str, typer.Option(help="Of times without an offset; dates are midnight there.")
    ] = "UTC",
    identifier_type: Annotated[str, typer.Option(help="What the customer column holds.")] = "external_id",
    order_column: Annotated[
        str | None,
        typer.Option(help="A purchase's order id; later refunds can name it.", rich_help_panel=_ORDERS),
    ] = None,
    refund_column: Annotated[
        str | None,
        typer.Option(help="1, true, yes or x there makes the row a refund.", rich_help_panel=_ORDERS),
    ] = None,
    refund_order_column: Annotated[
        str | None,
        typer.Option(
            help="The order that a refund takes back. A cancellation's own number is not that.",
            rich_help_panel=_ORDERS,
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, max=2500, help="Rows in a request.", rich_help_panel=_SENDING)
    ] = 500,
    concurrency: Annotated[
        int, typer.Option(min=1, max=64, help="Requests under way at once.", rich_help_panel=_SENDING)
    ] = 4,
    shuffle: Annotated[
        int | None,
        typer.Option(
            help="Seed of a random order, to prove that order does not matter; holds the file in memory.",
            rich_help_panel=_SENDING,
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Send a file of purchases to a running Rapport.

    Safe to run again, also after a stop half-way, in another order, or when the
    file has grown: each row's id is made from its customer, time, amount, currency
    and order (rows alike in all of these are counted), so what is stored is known
    again. Use the same columns and a key of the same source each time: other ones
    make other touchpoints.
    """
    from app.cli import replay as work  # noqa: PLC0415 - loads the HTTP client; --help need not
    from app.cli.purchases import Columns  # noqa: PLC0415 - the same

    columns = Columns(
        customer_column, time_column, amount_column, order_column, refund_column, refund_order_column
    )
    target = work.Target(url, _given(key), identifier_type, batch, concurrency)
    raise typer.Exit(
        work.replay(file, columns, known_currency(currency), _zone(time_zone), target, shuffle=shuffle)
    )


@app.command(
    epilog=examples(
        "rapport demo --key rap_sk_...",
        "rapport demo --customers 1000 --seed 8",
    )
)
def demo(
    *,
    customers: Annotated[
        int, typer.Option(min=3, max=100_000, help="How many; more later adds to the shop.")
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another shop beside this one.")] = 7,
    currency: Annotated[
        str, typer.Option(help="ISO 4217 code; the service's RAPPORT_SHOP_CURRENCY.")
    ] = "EUR",
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The day on which the shop's story ends; today by default."),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Fill a running Rapport with a small shop to look at.

    Customers with 18 months of purchases, visits, contacts, complaints and answers.
    The same seed gives the same shop. Running it again adds nothing, also on
    another day: the first run writes the day on which its story ends into its
    customers, and later runs take it from there.
    """
    from app.cli import demo as work  # noqa: PLC0415 - loads the HTTP client; --help need not

    end = until.date() if until else None
    raise typer.Exit(
        work.demo(
            url, _given(key), customers=customers, seed=seed, currency=known_currency(currency), until=end
        )
    )
