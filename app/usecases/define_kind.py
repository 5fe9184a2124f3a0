"""A shop defines a kind of touchpoint of its own."""

from datetime import datetime

import asyncpg

from app.domain.kinds import MOST_OWN_KINDS, Kind, OwnKinds
from app.domain.problems import Conflict
from app.storage import kinds


async def define_kind(connection: asyncpg.Connection, kind: Kind, now: datetime) -> tuple[OwnKinds, bool]:
    """All own kinds with this one, and whether it is new: the same may be sent again.

    Raises Conflict `kind_exists` or `too_many_kinds`.
    """
    known = await kinds.lock_all(connection)
    if kind.name not in known:
        if len(known) >= MOST_OWN_KINDS:
            raise too_many_kinds()
        if await kinds.insert(connection, kind, now):
            return {**known, kind.name: kind}, True
        # Somebody else was faster with the same name: now it is there to be compared with.
        known = await kinds.all_kinds(connection)
    if known[kind.name] != kind:
        raise kind_exists()
    return known, False


def kind_exists() -> Conflict:
    """PATCH changes a kind."""
    return Conflict("kind_exists", "There is an own kind of this name already. PATCH changes it.")


def too_many_kinds() -> Conflict:
    """Every process remembers all of them."""
    return Conflict("too_many_kinds", f"A shop has at most {MOST_OWN_KINDS} kinds of its own.")
