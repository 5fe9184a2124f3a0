"""The shop's own log for the commands that learn from it."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from app.cli.failure import Failure
from app.storage.database import Database
from app.usecases.models.read_shop_log import read_shop_log

FITTING_MISSING: Final = "this command needs numpy and scipy: pip install 'rapport[fit]'"

try:
    from app.fitting.purchases import Purchases
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] not in {"numpy", "scipy"}:
        raise
    raise Failure(FITTING_MISSING) from missing


async def read(
    database: Database, until: datetime, say: Callable[[str], None]
) -> tuple[Purchases, list[str]]:
    """Purchases and refunds up to `until` as arrays, and what a reader must know of them; `say` hears how far it is."""
    log = await read_shop_log(
        database, until, lambda customers: say(f"Reading the log: {customers:,} customers")
    )
    return Purchases.of_arrays(log.columns, log.customers), log.notes
