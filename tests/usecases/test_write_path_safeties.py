"""What the row lock and the look at the row's version are for: without either, two writers bend a state.

The kill tests find the same by chance and load (tests/chaos, `make prove`); here it happens every time.
"""

import asyncio
from types import ModuleType

import pytest

from app.domain.health.history import fold
from app.domain.health.model import shipped
from app.domain.health.state import State
from app.domain.identifiers import parse_reference
from app.storage import recording, states
from app.storage.database import Database
from app.storage.loading import load
from app.storage.states import SavedState
from app.storage.touchpoints import Wanted
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.post_touchpoints import Post, post_touchpoints
from app.usecases.record_touchpoints import Entry, record_group, record_touchpoints
from app.usecases.resolve_customers import Resolved, resolve
from tests.usecases.posts import NOW, post

ORDER = post("order", order_id="A")
REFUND = post("refund", kind="refund", order_id="A")


async def overlapping(store: Database, first: Post, second: Post, *, group_of: int) -> State:
    """The state after `second` was begun while `first` was written and not yet committed.

    `group_of`: how many customers the second one's group is about; 0 for a writer with a transaction of its own.
    """
    others = [parse_reference(f"external_id:other-{number}") for number in range(group_of - 1)]
    found = await resolve(store, [first.reference, *others], NOW)
    customer_id, *beside = [one.customer_id for one in found if isinstance(one, Resolved)]

    async def late() -> None:
        entries = [Entry(one, second.touchpoint) for one in (customer_id, *beside)]
        if group_of:
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
        stored = await connection.fetchval(
            "SELECT state FROM customer_states WHERE customer_id = $1", customer_id
        )
    return State.decode(stored)


TRUE_STATE = fold([ORDER.touchpoint.fact, REFUND.touchpoint.fact])


@pytest.mark.parametrize("group_of", [0, 1, 2])
async def test_two_writers_of_one_customer_take_turns(store: Database, group_of: int) -> None:
    assert await overlapping(store, ORDER, REFUND, group_of=group_of) == TRUE_STATE


@pytest.mark.parametrize(
    "group_of, module, statement, safety, without",
    [
        (0, states, "_LOCK", "FOR UPDATE", ""),
        (
            1,
            recording,
            "_WRITE_UNCHANGED_ROW",
            "AND s.xmin::text = new.version",
            "",
        ),
        (2, recording, "_WRITE_UNCHANGED", "FOR UPDATE", ""),
        (2, recording, "_WRITE_UNCHANGED", "count(*) = cardinality($3::uuid[])", "count(*) >= 0"),
    ],
)
async def test_without_the_lock_or_the_look_at_the_version_they_bend_the_state(
    store: Database,
    monkeypatch: pytest.MonkeyPatch,
    group_of: int,
    module: ModuleType,
    statement: str,
    safety: str,
    without: str,
) -> None:
    safe = getattr(module, statement)
    assert safety in safe
    monkeypatch.setattr(module, statement, safe.replace(safety, without))
    assert await overlapping(store, ORDER, REFUND, group_of=group_of) != TRUE_STATE


async def test_a_row_that_stands_in_the_way_undoes_the_whole_group(store: Database) -> None:
    (found,) = await resolve(store, [ORDER.reference], NOW)
    customer_id = found.customer_id  # type: ignore[union-attr]  # a new customer is no problem
    entries = [Entry(customer_id, each.touchpoint) for each in (ORDER, REFUND)]
    async with store.hot_reading() as connection:
        loaded = await load(connection, Wanted([(customer_id, "shop", "x")], [], []))
        row = loaded.states[customer_id]
        await record_group(connection, entries[1:], shipped())
        # Somebody who wrote without touching the state row: its version is the newest, its log is not.
        newest = await connection.fetchval("SELECT xmin::text FROM customer_states")
        rows = [(customer_id, entry.touchpoint, "null") for entry in entries]
        saved = [SavedState(customer_id, row.state, row.drawn)]
        written = recording.Written(rows, saved)
        assert not await recording.write_unchanged(connection, written, {customer_id: newest})
        assert await connection.fetchval("SELECT array_agg(id) FROM touchpoints") == ["refund"]


async def test_the_write_path_itself_ends_in_the_same_state(
    store: Database, identities: Identities, lanes: Lanes
) -> None:
    await post_touchpoints(identities, lanes, [REFUND, ORDER], NOW, may_add_identifiers=True)
    async with store.hot_reading() as connection:
        assert State.decode(await connection.fetchval("SELECT state FROM customer_states")) == TRUE_STATE
