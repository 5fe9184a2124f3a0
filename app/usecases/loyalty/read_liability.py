"""What the shop owes in points, by month of expiry: now, or as it stood."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from app.domain.loyalty.balances import Liability
from app.domain.problems import refused
from app.storage.database import Database
from app.storage.loyalty import liability
from app.storage.loyalty.programs import Rules
from app.storage.verification import snapshot
from app.usecases.loyalty.remembered_programs import rules_named


class Told(NamedTuple):
    """What a programme owes at a time."""

    program: str
    time_zone: str
    at: datetime
    liability: Liability


async def read_liability(
    database: Database, program: str | None, at: datetime | None, known: Mapping[str, Rules], now: datetime
) -> Told:
    """What a programme (None: the default one) owed at `at` (None: now), by the time of entries.

    Raises NotFound `program_not_found`, Invalid `in_the_future`, Unavailable when it takes longer than a statement may.
    """
    if at is not None and at > now:
        raise refused("#/query/as_of", "in_the_future", "must not lie in the future")
    async with snapshot(database) as connection:
        rules = await rules_named(connection, known, program, now)
        code, zone = rules.program.code, rules.program.time_zone
        if at is None:
            owed = await liability.owed(connection, code, now, zone)
        else:
            owed = await liability.owed_at(connection, code, at, zone)
    points = sum(owed.by_month.values())
    return Told(code, zone, now if at is None else at, Liability(owed.by_month, points, owed.debt))
