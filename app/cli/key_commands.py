"""The commands about API keys: their names, options, help."""

from typing import Annotated

import typer

from app.cli.commands import app, examples
from app.domain import keys as key_rules

keys_app = typer.Typer(
    no_args_is_help=True, help="Create, list and revoke API keys, directly in the database."
)
app.add_typer(keys_app, name="keys")


@keys_app.command(
    "create",
    epilog=examples(
        "rapport keys create --preset storefront --source shop-eu",
        "rapport keys create --preset support --source helpdesk --expires-in-days 90",
        "rapport keys create --preset publishable --source web --origin https://shop.example",
    ),
)
def create_key(
    *,
    preset: Annotated[str, typer.Option(help=f"What it may do: {', '.join(key_rules.PRESETS)}.")],
    source: Annotated[
        str,
        typer.Option(
            help="Name stamped on everything written with it; a publishable key needs one of its own, because whoever "
            "reads the web page could use up the ids of a storefront that shares it."
        ),
    ],
    origin: Annotated[
        list[str] | None, typer.Option(help="Web origin that may use a publishable key; repeatable.")
    ] = None,
    expires_in_days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="Days it lives; for ever by default.")
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(help="Network that it may be used from, as 203.0.113.0/24; repeatable."),
    ] = None,
    rate_per_minute: Annotated[
        int | None,
        typer.Option(min=0, max=key_rules.MOST_PER_MINUTE, help="Its rate; 0: no limit; else the default."),
    ] = None,
) -> None:
    """Create an API key.

    The key is printed once, alone on standard output; only its hash is stored.
    """
    from app.cli import keys as work  # noqa: PLC0415 - loads the database; --help need not

    work.create(preset, source, origin or [], expires_in_days, network or [], rate_per_minute)


@keys_app.command("list", epilog=examples("rapport keys list"))
def list_keys() -> None:
    """List all API keys: what they may do, and when they were last used."""
    from app.cli import keys as work  # noqa: PLC0415 - loads the database; --help need not

    work.print_list()


@keys_app.command("revoke", epilog=examples("rapport keys revoke 01934b2e-0000-7000-8000-000000000000"))
def revoke_key(
    key_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The key's id, as `rapport keys list` shows it.", show_default=False
        ),
    ],
) -> None:
    """Revoke an API key: requests with it are refused from now on."""
    from app.cli import keys as work  # noqa: PLC0415 - loads the database; --help need not

    work.revoke(key_id)


@keys_app.command("new", epilog=examples("export RAPPORT_ADMIN_KEY=$(rapport keys new)"))
def new_key() -> None:
    """Print a well-formed admin key for RAPPORT_ADMIN_KEY. Touches no database."""
    typer.echo(key_rules.new_key(publishable=False))
