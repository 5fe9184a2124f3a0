"""An agent says how they found a customer; it is kept beside the score and never becomes part of it."""

import asyncpg

from app.domain.identifiers import Reference
from app.domain.opinions import Sentiment
from app.storage import opinions
from app.usecases.lock_customer import lock_customer


async def note_sentiment(
    connection: asyncpg.Connection, reference: Reference, sentiment: Sentiment | None
) -> None:
    """Keep `sentiment` in the place of the one before; None takes it away. Raises what `find_customer` raises."""
    locked = await lock_customer(connection, reference)
    customer_id = locked.customer_id
    if sentiment is None:
        await opinions.forget_sentiment(connection, customer_id)
    else:
        await opinions.set_sentiment(connection, customer_id, sentiment, locked.named_as or customer_id)
