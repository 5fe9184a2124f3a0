"""A shop that goes on while models with other half-lives are published."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from app.domain.health.form import Form
from app.domain.health.history import fold
from app.domain.health.model import Model, shipped
from app.domain.health.state import State
from app.domain.identifiers import IdentifierRules, parse_reference
from app.domain.retention import parse
from app.storage.database import Database
from app.storage.touchpoints import fact_of_row
from app.storage.verification import logs_of, snapshot
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.merges.merge_customers import Wanted, merge_customers
from app.usecases.models.active_model import ActiveModel
from app.usecases.models.propose_model import Proposal, propose_model
from app.usecases.models.publish_model import publish_model
from app.usecases.post_touchpoints import post_touchpoints
from app.usecases.privacy.purge_log import purge_log
from app.usecases.replay_states import Replay, replay_states
from app.usecases.verify import verify
from app.usecases.void_touchpoint import void_touchpoint
from tests.usecases.posts import NOW, post

MODEL: Final = shipped()
WITHOUT_WAITING: Final = timedelta(0)


class Killed(Exception):
    """A replay that was stopped in the middle."""


@dataclass
class Shop:
    """The write path of one process that sees each publication at once."""

    store: Database
    identities: Identities
    lanes: Lanes
    model: ActiveModel
    now: datetime = NOW
    number: int = 0
    purges: int = 0

    async def post(self, customer: str, kind: str = "purchase", **members: Any) -> str:
        self.number += 1
        name = f"t{self.number}"
        made = post(name, f"external_id:{customer}", kind, **members)
        (answer,) = await post_touchpoints(
            self.identities, self.lanes, [made], self.now, may_add_identifiers=True
        )
        assert not isinstance(answer, BaseException), answer
        return name

    async def publish(self, version: str, **parameters: Any) -> Model:
        async with self.store.hot_transaction() as connection:
            proposal = Proposal(version, parameters, base="2026.1")
            await propose_model(connection, proposal, MODEL, "test", self.now)
            await publish_model(connection, version, "test", datetime.now(UTC), force=False, reason=None)
        await self.model.refresh()
        return self.model.current

    async def replay(self, **how: Any) -> Replay:
        done = await replay_states(self.store, self.model.current, settled=WITHOUT_WAITING, **how)
        await self.model.refresh()
        return done

    async def void(self, customer: str, name: str) -> None:
        async with self.store.hot_transaction() as connection:
            await void_touchpoint(
                connection,
                parse_reference(f"external_id:{customer}"),
                name,
                None,
                by="shop",
                reason=None,
                model=self.model.current,
                now=self.now,
            )

    async def merge(self, into: str, source: str) -> str:
        survivor, alias = (parse_reference(f"external_id:{one}") for one in (into, source))
        async with self.store.hot_transaction() as connection:
            made = await merge_customers(
                connection,
                Wanted(survivor, alias, "same person", "helpdesk"),
                rules=IdentifierRules(100),
                model=self.model.current,
                now=self.now,
                most_touchpoints=50_000,
            )
        return made.merge.public_id

    async def states(self) -> dict[UUID, State]:
        async with self.store.hot_reading() as connection:
            rows = await connection.fetch("SELECT customer_id, state FROM customer_states")
        return {row[0]: State.decode(row[1]) for row in rows}

    async def statuses(self) -> dict[str, tuple[str, bool]]:
        async with self.store.hot_reading() as connection:
            rows = await connection.fetch(
                "SELECT version, status, draining_since IS NOT NULL FROM scoring_models"
            )
        return {row[0]: (row[1], row[2]) for row in rows}

    async def holds(self) -> None:
        for result in await verify(self.store):
            assert not result.differences, (result.check.name, result.first)

    async def all_are_fresh_folds_by(self, form: Form) -> None:
        states = await self.states()
        async with snapshot(self.store) as connection:
            logged = {
                who: [fact_of_row(row) for row in rows]
                async for who, rows in logs_of(connection, list(states))
            }
        for who, state in states.items():
            due = fold(logged.get(who, ()), form)
            assert state == due or (state.is_empty and due.is_empty)

    async def purge(self) -> None:
        """Purchases go; nothing else does."""
        self.purges += 1
        later = self.now + timedelta(days=400 + 2 * self.purges)
        done = await purge_log(self.store, parse("purchase:300"), later)
        assert done.touchpoints
