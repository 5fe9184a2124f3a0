"""Programmes as this process remembers them: at most a second behind for reads, never behind for whoever writes.

Every load of an account brings the programme's revision of its snapshot, and every save compares it in its own
statement. So points are never decided by rules that were replaced before: who finds another revision reads the rules
in its own transaction, and a publication that commits between the load and the save undoes the save.
"""

from collections.abc import Mapping
from datetime import datetime

import asyncpg

from app.domain.problems import NotFound
from app.storage.database import Database
from app.storage.loyalty import programs
from app.storage.loyalty.programs import Rules
from app.usecases.fresh import Fresh


class RememberedPrograms(Fresh[Mapping[str, Rules]]):
    """`current` are all programmes by their codes, the oldest first. There are few (MOST_PROGRAMS)."""

    def __init__(self, database: Database) -> None:
        super().__init__("programs", database, {}, _load)


async def _load(connection: asyncpg.Connection, known: Mapping[str, Rules]) -> Mapping[str, Rules]:
    if await programs.revisions(connection) == {code: rules.revision for code, rules in known.items()}:
        return known
    return await programs.all_rules(connection)


async def rules_named(
    connection: asyncpg.Connection, known: Mapping[str, Rules], code: str | None, now: datetime
) -> Rules:
    """The programme with this code, or without one the oldest open one that has a version.

    Looks at the database for one that nobody here has heard of. Raises NotFound `program_not_found`.
    """
    found = _named(known, code, now) or _named(await programs.all_rules(connection), code, now)
    if found is None:
        raise program_not_found()
    return found


def default_of(known: Mapping[str, Rules], now: datetime) -> Rules | None:
    """The oldest open programme that was ever published, else the oldest published one; None: there is no loyalty."""
    published = [rules for rules in known.values() if rules.versions]
    still_open = (
        rules for rules in published if rules.program.closed_at is None or now < rules.program.closed_at
    )
    return next(still_open, published[0] if published else None)


def _named(known: Mapping[str, Rules], code: str | None, now: datetime) -> Rules | None:
    return default_of(known, now) if code is None else known.get(code)


def program_not_found() -> NotFound:
    """No such programme, or none at all yet."""
    return NotFound("program_not_found", "There is no such loyalty programme.")
