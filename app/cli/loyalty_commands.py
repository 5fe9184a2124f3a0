"""The commands about points: their names, options, help."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.commands import app, examples

loyalty_app = typer.Typer(no_args_is_help=True, help="Points: bring balances along from another programme.")
app.add_typer(loyalty_app, name="loyalty")


@loyalty_app.command(
    "import",
    epilog=examples(
        "rapport loyalty import balances.csv --dry-run",
        "rapport loyalty import balances.csv --program main",
        "rapport loyalty import old.csv.gz --customer-column member --expires-column '' --id-column number",
    ),
)
def import_balances(
    *,
    file: Annotated[
        Path, typer.Argument(help="CSV with a header, UTF-8; may be gzipped.", show_default=False)
    ],
    program: Annotated[str, typer.Option(help="The code of the programme.")] = "main",
    identifier_type: Annotated[str, typer.Option(help="What the customer column holds.")] = "external_id",
    customer_column: Annotated[str, typer.Option(help="Whose points.")] = "customer",
    points_column: Annotated[str, typer.Option(help="How many: a whole number from 1.")] = "points",
    expires_column: Annotated[
        str, typer.Option(help="The last day, or a time (ISO 8601); empty: never. '' for no such column.")
    ] = "expires_at",
    id_column: Annotated[
        str | None, typer.Option(help="What a row is known by; made of what it says by default.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Book nothing; say what would become of each.")
    ] = False,
) -> None:
    """Book opening balances, each with its expiry, once.

    Customers whom nobody knows are created. Safe to run again, also after a stop
    half-way: what is booked is known by its id. Rows that cannot be booked are named
    with their line and keep no other row back. Exit code 1: there were such rows.
    """
    from app.cli import openings as work  # noqa: PLC0415 - loads the database; --help need not

    columns = work.Columns(customer_column, points_column, expires_column or None, id_column)
    raise typer.Exit(work.import_file(file, columns, program, identifier_type, dry_run=dry_run))
