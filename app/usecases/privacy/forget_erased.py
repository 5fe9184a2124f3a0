"""Whoever was erased by another process goes from the memory of this one, within a second."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from app.storage.database import Database
from app.storage.privacy import erasing
from app.usecases.fresh import Fresh
from app.usecases.identities import Identities
from app.usecases.remembered_contexts import RememberedContexts

WINDOW: Final = timedelta(minutes=5)
"""An erasure may be committed so much later than it began, and clocks may differ so far."""
MOST: Final = 10_000
"""Erasures of one window; who is beyond it goes from memory when their hint is used, or falls out of it."""
_FIRST_ID: Final = UUID(int=0)


class Forgetting(Fresh[frozenset[UUID]]):
    """Who was erased a moment ago. Memory is a hint and never decides, so this is for privacy alone."""

    def __init__(self, database: Database, identities: Identities, contexts: RememberedContexts) -> None:
        self._memories = (identities, contexts)

        async def look(connection: asyncpg.Connection, known: frozenset[UUID]) -> frozenset[UUID]:
            since = datetime.now(UTC) - WINDOW
            rows = await erasing.erased_since(connection, (since, _FIRST_ID), MOST)
            found = frozenset(one for _, customer_id, others in rows for one in (customer_id, *others))
            if found - known:
                self.forget(found - known)
            return found

        super().__init__("erasures", database, frozenset(), look)

    def forget(self, customer_ids: Collection[UUID]) -> None:
        """Let all memories of this process forget these customers now: they were erased here."""
        for memory in self._memories:
            memory.forget_customers(customer_ids)
