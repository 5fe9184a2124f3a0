"""Somebody corrects what is kept of a customer."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import asyncpg

from app.domain.customers import Customer, changed
from app.domain.identifiers import Reference
from app.storage import customers
from app.usecases.lock_customer import lock_customer


async def change_customer(
    connection: asyncpg.Connection,
    reference: Reference,
    patch: Mapping[str, Any],
    now: datetime,
    *,
    check: Callable[[Customer], None] = lambda _customer: None,
) -> Customer:
    """The customer after a merge patch (RFC 7396). `check` sees the customer under the lock and may raise Stale.

    Raises what `find_customer` and `changed` raise.
    """
    locked = await lock_customer(connection, reference)
    customer = await customers.existing(connection, locked.customer_id)
    check(customer)
    profile = changed(customer.profile, patch)
    if profile == customer.profile:
        return customer
    await customers.save(connection, customer.id, profile, now)
    return await customers.existing(connection, customer.id)
