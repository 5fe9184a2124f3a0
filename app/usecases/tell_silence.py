"""Whoever writes for a customer first tells what silence did to the band until then; afterwards nobody could."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from app.domain.health.model import Model
from app.domain.recording import CustomerLog, catch_up
from app.domain.silence import SOURCE, crossings
from app.storage import touchpoints
from app.storage.recording import LostRace
from app.storage.states import StateRow


async def tell_silence(
    connection: asyncpg.Connection, locked: Sequence[StateRow], model: Model, now: datetime
) -> set[UUID]:
    """Write each change of band up to `now` to the logs of these locked customers, once; returns whose changed.

    record_touchpoints does the same by itself. The state row is the caller's to write: until it says the new band, the
    same changes are found again, and known. Raises LostRace.
    """
    found = {}
    for row in locked:
        # Others get their turn between two customers: a search may take a millisecond.
        await asyncio.sleep(0)
        missed = crossings(row.state, row.drawn, now, model)
        if missed:
            found[row.customer_id] = CustomerLog(row.customer_id, row.state), missed
    if not found:
        return set()
    keys = [(who, SOURCE, one.touchpoint.id) for who, (_, missed) in found.items() for one in missed]
    for known in await touchpoints.load_known(connection, keys):
        if known.stored is not None:
            found[known.customer_id][0].known[known.source, known.id] = known.stored
    for log, missed in found.values():
        catch_up(log, missed, now, model.of(log.state))
    rows = [(log.customer_id, point, kept.outcome) for log, _ in found.values() for point, kept in log.fresh]
    if rows and await touchpoints.add(connection, rows) != len(rows):
        raise LostRace
    return set(found)
