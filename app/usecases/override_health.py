"""Somebody who knows more sets a score by hand, for a time; the computed one stays beside it."""

from datetime import datetime
from typing import Any

import asyncpg

from app.domain.identifiers import Reference
from app.domain.opinions import Override
from app.storage import opinions
from app.usecases.lock_customer import lock_customer
from app.usecases.record_audit import record_audit


async def override_health(
    connection: asyncpg.Connection, reference: Reference, override: Override | None, *, by: str, now: datetime
) -> None:
    """Show `override` beside the score until it expires; None takes away what is there. `by` is for the audit log.

    Raises what `find_customer` raises.
    """
    locked = await lock_customer(connection, reference)
    customer_id = locked.customer_id
    before = (await opinions.beside(connection, customer_id)).override
    if override is None:
        await opinions.lift_override(connection, customer_id)
    else:
        await opinions.set_override(connection, customer_id, override, locked.named_as or customer_id)
    action = "health_override_lifted" if override is None else "health_override_set"
    await record_audit(connection, by, action, f"customer:{customer_id}", _told(before), _told(override), now)


def _told(override: Override | None) -> dict[str, Any] | None:
    """Without the reason: what people write freely may name somebody."""
    return (
        None
        if override is None
        else {"score": override.score, "until": override.until, "set_by": override.set_by}
    )
