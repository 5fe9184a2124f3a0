"""A person leaves: everything that is held about them goes in one transaction, and a receipt of numbers stays."""

import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.identifiers import Reference
from app.domain.ids import uuid7
from app.domain.problems import Conflict, NotFound
from app.domain.tombstones import Guard
from app.storage import customers, states
from app.storage.privacy import erasing, tombstones
from app.storage.privacy.erasing import Erasure, Receipt
from app.storage.privacy.role import as_privacy_role
from app.usecases.find_customer import find_customer
from app.usecases.privacy.release_points import release_points
from app.usecases.resolve_customers import Raced, until_settled

MARK_BYTES: Final = 4

Release = Callable[[asyncpg.Connection, Sequence[UUID], datetime], Awaitable[dict[str, int]]]
"""Lets go of what locked customers still have open (a hold of points); returns rows by table for the receipt."""

RELEASES: Final[tuple[Release, ...]] = (release_points,)
"""Done before anything goes."""


class Erased(NamedTuple):
    """The receipt, and whether it was written now."""

    receipt: Receipt
    is_new: bool


async def erase_customer(
    connection: asyncpg.Connection,
    reference: Reference,
    mode: str,
    *,
    guard: Guard,
    by: str,
    now: datetime,
) -> Erased:
    """Erase (`mode` `erase`) or anonymise the customer and whoever was merged into them; again: the same receipt.

    Named by an identifier, a person who is gone is found by the tombstone, if there is a key for it. Raises NotFound
    `customer_not_found`, Conflict `identity_conflict`, Unavailable `busy`.
    """
    try:
        customer_id, customer_ids = await _locked(connection, reference)
    except (NotFound, Conflict) as problem:
        known = None if problem.code == "identity_conflict" else await _known(connection, reference, guard)
        if known is None:
            raise
        return Erased(known, is_new=False)
    erasure = Erasure(customer_ids, mode, now, secrets.token_hex(MARK_BYTES))
    names = await erasing.identifiers_of(connection, customer_ids)
    digests = {digest: customer_id for one in sorted(names) if (digest := guard.tombstone(one)) is not None}
    rows: Counter[str] = Counter()
    async with as_privacy_role(connection):
        for release in RELEASES:
            rows.update(await release(connection, customer_ids, now))
        rows.update(await erasing.erase_rows(connection, erasure))
        receipt = Receipt(
            customer_id=customer_id,
            id=uuid7(int(now.timestamp() * 1000)),
            mode=mode,
            erased_at=now,
            erased_by=by,
            aliases=sorted(set(customer_ids) - {customer_id}),
            rows={table: count for table, count in sorted(rows.items()) if count},
            tombstones=await tombstones.bury(connection, digests),
        )
        await erasing.issue(connection, receipt)
    return Erased(receipt, is_new=True)


async def _locked(connection: asyncpg.Connection, reference: Reference) -> tuple[UUID, list[UUID]]:
    """Who leaves, and all whose rows go, locked in customer order."""

    async def found_and_locked() -> tuple[UUID, list[UUID]]:
        identity = await find_customer(connection, reference)
        everybody = await with_aliases(connection, identity.customer_id)
        locked = await states.lock(connection, everybody)
        # Whoever merges somebody into them needs their row, which is ours now.
        if not identity.holds_for(locked[identity.customer_id]) or everybody != await with_aliases(
            connection, identity.customer_id
        ):
            raise Raced
        return identity.customer_id, everybody

    return await until_settled(connection, found_and_locked)


async def with_aliases(connection: asyncpg.Connection, customer_id: UUID) -> list[UUID]:
    """The customer and everybody who was merged into them, one after the other too; in customer order."""
    everybody = {customer_id}
    newest = {customer_id}
    while newest:
        newest = await erasing.aliases(connection, newest) - everybody
        everybody |= newest
    return sorted(everybody)


async def _known(connection: asyncpg.Connection, reference: Reference, guard: Guard) -> Receipt | None:
    """The receipt of whom the reference meant before they left."""
    digests = [digest for one in reference.identifiers for digest in guard.tombstones(one)]
    named = set((await tombstones.buried(connection, digests)).values())
    if reference.customer_id is not None:
        named.add(reference.customer_id)
    while named:
        found = await customers.identities(connection, named)
        for customer_id in sorted(found):
            receipt = await erasing.receipt_of(connection, customer_id)
            if receipt is not None:
                return receipt
        # An alias left with the one it was merged into.
        named = {one.merged_into for one in found.values() if one.merged_into is not None}
    return None
