"""Somebody who knows more sets a score by hand, for a time; the computed one stays beside it."""

import asyncpg

from app.domain.identifiers import Reference
from app.domain.opinions import Override
from app.storage import opinions
from app.usecases.lock_customer import lock_customer


async def override_health(
    connection: asyncpg.Connection, reference: Reference, override: Override | None
) -> None:
    """Show `override` beside the score until it expires; None takes away what is there.

    Raises what `find_customer` raises.
    """
    customer_id = (await lock_customer(connection, reference)).customer_id
    if override is None:
        await opinions.lift_override(connection, customer_id)
    else:
        await opinions.set_override(connection, customer_id, override)
