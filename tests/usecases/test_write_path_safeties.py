"""What the row lock and the look at the row's version are for: without either, two writers bend a state.

The kill tests find the same by chance and load (tests/chaos, `make prove`); here it happens every time.
"""

import asyncio
from types import ModuleType

import pytest

from app.domain.health.history import fold
from app.domain.health.model import shipped
from app.domain.health.state import State
from app.storage import recording, states
from app.storage.database import Database
from app.storage.states import SavedState
from app.storage.touchpoints import Wanted
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.post_touchpoints import Post, post_touchpoints
from app.usecases.record_touchpoints import Entry, record_group, record_touchpoints
from app.usecases.resolve_customers import resolve
from tests.usecases.posts import NOW, post

ORDER = post("order", order_id="A")
REFUND = post("refund", kind="refund", order_id="A")


async def overlapping(store: Database, first: Post, second: Post, *, in_a_group: bool) -> State:
    """The state after `second` was begun while `first` was written and not yet committed."""
    (found,) = await resolve(store, [first.reference], NOW)
    customer_id = found.customer_id  # type: ignore[union-attr]  # a new customer is no problem

    async def late() -> None:
        entries = [Entry(customer_id, second.touchpoint)]
        if in_a_group:
            async with store.hot_reading() as connection:
                await record_group(connection, entries, shipped())
        else:
            async with store.hot_transaction() as connection:
                await record_touchpoints(connection, entries, shipped())

    async with store.hot_transaction() as connection:
        await record_touchpoints(connection, [Entry(customer_id, first.touchpoint)], shipped())
        waiting = asyncio.create_task(late())
        await asyncio.sleep(0.3)
    await waiting
    async with store.hot_reading() as connection:
        return State.decode(await connection.fetchval("SELECT state FROM customer_states"))


TRUE_STATE = fold([ORDER.touchpoint.fact, REFUND.touchpoint.fact])


@pytest.mark.parametrize("in_a_group", [True, False])
async def test_two_writers_of_one_customer_take_turns(store: Database, *, in_a_group: bool) -> None:
    assert await overlapping(store, ORDER, REFUND, in_a_group=in_a_group) == TRUE_STATE


@pytest.mark.parametrize(
    "module, statement, safety, without",
    [
        (states, "_LOCK", "FOR UPDATE", ""),
        (recording, "_WRITE_UNCHANGED", "FOR UPDATE", ""),
        (recording, "_WRITE_UNCHANGED", "count(*) = cardinality($18::uuid[])", "count(*) >= 0"),
    ],
)
async def test_without_the_lock_or_the_look_at_the_version_they_bend_the_state(
    store: Database,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    statement: str,
    safety: str,
    without: str,
) -> None:
    safe = getattr(module, statement)
    assert safety in safe
    monkeypatch.setattr(module, statement, safe.replace(safety, without))
    assert await overlapping(store, ORDER, REFUND, in_a_group=module is recording) != TRUE_STATE


async def test_a_row_that_stands_in_the_way_undoes_the_whole_group(store: Database) -> None:
    (found,) = await resolve(store, [ORDER.reference], NOW)
    customer_id = found.customer_id  # type: ignore[union-attr]  # a new customer is no problem
    entries = [Entry(customer_id, each.touchpoint) for each in (ORDER, REFUND)]
    async with store.hot_reading() as connection:
        loaded = await recording.load(connection, Wanted([(customer_id, "shop", "x")], [], []))
        row = loaded.states[customer_id]
        await record_group(connection, entries[1:], shipped())
        # Somebody who wrote without touching the state row: its version is the newest, its log is not.
        newest = await connection.fetchval("SELECT xmin::text FROM customer_states")
        rows = [(customer_id, entry.touchpoint, "null") for entry in entries]
        saved = [SavedState(customer_id, row.state, "unknown", None)]
        written = recording.Written(rows, saved, NOW)
        assert not await recording.write_unchanged(connection, written, {customer_id: newest})
        assert await connection.fetchval("SELECT array_agg(id) FROM touchpoints") == ["refund"]


async def test_the_write_path_itself_ends_in_the_same_state(
    store: Database, identities: Identities, lanes: Lanes
) -> None:
    await post_touchpoints(identities, lanes, [REFUND, ORDER], NOW, may_add_identifiers=True)
    async with store.hot_reading() as connection:
        assert State.decode(await connection.fetchval("SELECT state FROM customer_states")) == TRUE_STATE
