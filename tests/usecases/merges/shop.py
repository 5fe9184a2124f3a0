"""A shop whose customers turn out to be one, and what can be seen of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.domain.health.model import shipped
from app.domain.identifiers import IdentifierRules, parse_reference
from app.storage.database import Database
from app.storage.merges import Merge
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.merges.merge_customers import Wanted, merge_customers
from app.usecases.merges.undo_merge import undo_merge
from app.usecases.post_touchpoints import Post, Posted, post_touchpoints
from app.usecases.verify import verify
from tests.usecases.posts import NOW

MODEL = shipped()
# What the service says of itself depends on when it looked.
_OWN = "('customer_merged', 'band_changed')"


@dataclass
class Shop:
    """The write path and merges of one process; time goes on with every merge."""

    store: Database
    identities: Identities
    lanes: Lanes
    now: datetime = field(default=NOW)

    async def post(self, *posts: Post) -> list[Posted]:
        return await post_touchpoints(self.identities, self.lanes, posts, self.now, may_add_identifiers=True)

    async def merge(self, into: str, source: str, most: int = 100) -> Merge:
        self.now += timedelta(minutes=1)
        async with self.store.hot_transaction() as connection:
            wanted = Wanted(parse_reference(into), parse_reference(source), "same person", "helpdesk")
            return (
                await merge_customers(
                    connection,
                    wanted,
                    rules=IdentifierRules(most),
                    model=MODEL,
                    now=self.now,
                    most_touchpoints=50_000,
                )
            ).merge

    async def undo(self, merge: Merge) -> Merge:
        self.now += timedelta(minutes=1)
        async with self.store.hot_transaction() as connection:
            return await undo_merge(connection, merge.public_id, by="helpdesk", model=MODEL, now=self.now)

    async def rows(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        async with self.store.hot_reading() as connection:
            return [tuple(row) for row in await connection.fetch(statement, *arguments)]

    async def id_of(self, kind: str, value: str) -> UUID:
        """Who claims an identifier, survivors not followed."""
        rows = await self.rows(
            "SELECT customer_id FROM identifier_claims WHERE type = $1 AND value_key = $2", kind, value
        )
        found: UUID = rows[0][0]
        return found

    async def seen(self, customer_id: UUID) -> dict[str, Any]:
        """What the shop knows of one customer, but for ids of rows and what silence said."""
        log = await self.rows(
            f"""
            SELECT t.source, t.id, t.kind, t.occurred_at, t.body_sha256, v.reason IS NOT NULL
            FROM touchpoints t LEFT JOIN touchpoint_voids v USING (customer_id, source, id, origin_customer_id)
            WHERE t.customer_id = $1 AND t.kind NOT IN {_OWN}
            ORDER BY t.source, t.id
            """,  # noqa: S608 - a constant
            customer_id,
        )
        state = await self.rows("SELECT state FROM customer_states WHERE customer_id = $1", customer_id)
        names = await self.rows(
            "SELECT type, value FROM customer_identifiers WHERE customer_id = $1 ORDER BY 1, 2", customer_id
        )
        return {"log": log, "state": state, "names": names}

    async def differences(self) -> Sequence[str]:
        return [one.what for result in await verify(self.store) for one in result.first]
