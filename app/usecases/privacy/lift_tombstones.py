"""Somebody who was erased comes back of their own will: their names may be used again, by somebody new."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import asyncpg

from app.domain.identifiers import Identifier
from app.domain.problems import NotFound
from app.domain.tombstones import Guard
from app.storage.privacy import tombstones
from app.usecases.record_audit import record_audit


async def lift_tombstones(
    connection: asyncpg.Connection,
    identifiers: Sequence[Identifier],
    guard: Guard,
    *,
    by: str,
    reason: str,
    reference: str | None,
    now: datetime,
) -> int:
    """How many of these identifiers are free again. The erased customer stays erased, and nothing leads to them.

    The audit log tells of each erasure how many of its tombstones went and why, never which. `by` is who it names,
    `reference` is where the shop keeps what the person said. Raises NotFound `tombstone_not_found`.
    """
    digests = [digest for one in identifiers for digest in guard.tombstones(one)]
    lifted = Counter(await tombstones.lift(connection, digests))
    if not lifted:
        raise tombstone_not_found()
    for customer_id, count in sorted(lifted.items()):
        told = {"tombstones": count, "reason": reason, "reference": reference}
        await record_audit(connection, by, "tombstones_lifted", f"customer:{customer_id}", None, told, now)
    return lifted.total()


def tombstone_not_found() -> NotFound:
    """Also where no key is set: then nobody is remembered."""
    return NotFound("tombstone_not_found", "None of these identifiers is that of somebody who was erased.")
