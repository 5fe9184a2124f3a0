"""A storefront says who somebody is: created when new, changed where something new is said."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import asyncpg

from app.domain.admission import OPEN, Admission
from app.domain.customers import Customer, changed
from app.domain.identifiers import Reference
from app.domain.problems import Problem
from app.storage import customers, states
from app.storage.states import StateRow
from app.usecases.resolve_customers import Raced, Resolved, resolve_customers, until_settled


async def upsert_customer(
    connection: asyncpg.Connection,
    reference: Reference,
    patch: Mapping[str, Any],
    now: datetime,
    admission: Admission = OPEN,
) -> tuple[Customer, bool]:
    """The customer whom the identifiers name, with `patch` (members of Profile) merged in, and whether they are new.

    Raises what stands against the reference (`identity_conflict`, `erased`, `customer_not_found` for a UUID that
    nobody has) and what `changed` raises.
    """

    async def resolved_and_locked() -> Resolved:
        resolution = (await resolve_customers(connection, [reference], now, admission=admission))[0]
        if isinstance(resolution, Problem):
            raise resolution
        # A new row is ours alone; a known one may have changed hands since it was looked up.
        if not resolution.created:
            locked = (await states.lock(connection, [resolution.customer_id])).get(resolution.customer_id)
            if not _still_means(resolution, locked):
                raise Raced
        return resolution

    resolved = await until_settled(connection, resolved_and_locked)
    customer = await customers.existing(connection, resolved.customer_id)
    profile = changed(customer.profile, patch)
    if profile != customer.profile:
        await customers.save(connection, customer.id, profile, now)
        customer = await customers.existing(connection, customer.id)
    return customer, resolved.created


def _still_means(resolved: Resolved, locked: StateRow | None) -> bool:
    return (
        locked is not None
        and locked.identity_revision == resolved.identity_revision
        and locked.merged_into is None
        and locked.erased_at is None
    )
