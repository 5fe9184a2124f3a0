"""What the row lock and the second look are for: without either, two writers of one customer bend its state.

The kill tests find the same by chance and load (tests/chaos, `make prove`); here it happens every time.
"""

import asyncio

import pytest

from app.domain.health.history import fold
from app.domain.health.model import shipped
from app.domain.health.state import State
from app.storage import recording
from app.storage.database import Database
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.post_touchpoints import Post, post_touchpoints
from app.usecases.record_touchpoints import Entry, record_touchpoints
from app.usecases.resolve_customers import resolve
from tests.usecases.posts import NOW, post

ORDER = post("order", order_id="A")
REFUND = post("refund", kind="refund", order_id="A")


async def overlapping(store: Database, first: Post, second: Post) -> State:
    """The state after `second` was begun while `first` was written and not yet committed."""
    (found,) = await resolve(store, [first.reference], NOW)
    customer_id = found.customer_id  # type: ignore[union-attr]  # a new customer is no problem

    async def late() -> None:
        async with store.hot_transaction() as connection:
            await record_touchpoints(connection, [Entry(customer_id, second.touchpoint)], shipped())

    async with store.hot_transaction() as connection:
        await record_touchpoints(connection, [Entry(customer_id, first.touchpoint)], shipped())
        waiting = asyncio.create_task(late())
        await asyncio.sleep(0.3)
    await waiting
    async with store.hot_reading() as connection:
        return State.decode(await connection.fetchval("SELECT state FROM customer_states"))


TRUE_STATE = fold([ORDER.touchpoint.fact, REFUND.touchpoint.fact])


async def test_two_writers_of_one_customer_take_turns(store: Database) -> None:
    assert await overlapping(store, ORDER, REFUND) == TRUE_STATE


@pytest.mark.parametrize(
    "safety, without",
    [("FOR UPDATE", ""), ("l.version IS DISTINCT FROM", "false AND l.version IS DISTINCT FROM")],
)
async def test_without_the_lock_or_the_second_look_they_bend_the_state(
    store: Database, monkeypatch: pytest.MonkeyPatch, safety: str, without: str
) -> None:
    statement = recording._LOCK_AND_LOAD
    assert safety in statement
    monkeypatch.setattr(recording, "_LOCK_AND_LOAD", statement.replace(safety, without))
    assert await overlapping(store, ORDER, REFUND) != TRUE_STATE


async def test_the_write_path_itself_ends_in_the_same_state(
    store: Database, identities: Identities, lanes: Lanes
) -> None:
    await post_touchpoints(identities, lanes, [REFUND, ORDER], NOW, may_add_identifiers=True)
    async with store.hot_reading() as connection:
        assert State.decode(await connection.fetchval("SELECT state FROM customer_states")) == TRUE_STATE
