"""Reads of the log against a real log: what they find, what they must not read, and what waits."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.domain.health.facts import Fact
from app.domain.health.history import fold
from app.domain.health.outlook import rewound
from app.domain.health.state import EMPTY
from app.domain.health.threads import pending
from app.domain.touchpoints import fact_key
from app.storage import contexts, customers, facts, opinions, timeline, touchpoints
from app.storage.database import connect_arguments
from app.storage.timeline import ArrivalPlace, Narrow, TimelinePlace
from tests.usecases.posts import NOW, post

INSERT = touchpoints.insert(touchpoints.ROWS.of_json("$1::text::json", "new"))
SOMEBODY = UUID(int=1)
ROWS = 12_000
"""Of one customer, and as many of 300 others."""


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(**connect_arguments(database_url))
    yield connection
    await connection.close()


async def stored(connection: asyncpg.Connection, seed: int, count: int) -> list[tuple[datetime, Fact]]:
    """A random log of SOMEBODY on few orders and complaints, many facts in one second; (occurred_at, fact) of each."""
    chosen = random.Random(seed)
    kinds = (
        "purchase",
        "refund",
        "order_cancelled",
        "complaint_opened",
        "complaint_resolved",
        "visit",
        "nps",
    )
    rows = []
    for number in range(count):
        kind = chosen.choice(kinds)
        members: dict[str, Any] = {}
        if kind.startswith("complaint"):
            members["properties"] = {"complaint_id": f"c{chosen.randint(1, 3)}", "severity": "high"}
        elif kind == "nps":
            members["properties"] = {"rating": chosen.randint(0, 10)}
        elif kind != "visit":
            members["order_id"] = f"o{chosen.randint(1, 5)}"
        rows.append(
            post(f"t{number}", kind=kind, days_ago=chosen.randint(0, 40) + chosen.random() / 1e6, **members)
        )
    await connection.execute(
        touchpoints.insert(touchpoints.ROWS.of_json("$1::text::json", "new")),
        touchpoints.rows_json([(SOMEBODY, row.touchpoint, "null") for row in rows]),
    )
    return [(row.touchpoint.occurred_at, row.touchpoint.fact) for row in rows]


def threads(known: list[Fact]) -> list[list[Fact]]:
    return [
        [fact for fact in known if fact.thread == thread]
        for thread in {fact.thread for fact in known} - {None}
    ]


# --- what it says -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
async def test_what_waits_in_a_read_is_what_waits_for_the_score(
    connection: asyncpg.Connection, seed: int
) -> None:
    known = [fact for _, fact in await stored(connection, seed, 60)]
    waiting = {waits for thread in threads(known) for waits in pending(thread)}
    read = await timeline.newest(connection, SOMEBODY, 100)
    assert {fact_key(row.source, row.id) for row in read if row.pending_match} == waiting
    counted = await facts.latest_facts(connection, SOMEBODY, 100)
    assert {row.fact for row in counted} == {fact for fact in known if fact.id not in waiting}


@pytest.mark.parametrize("seed", range(6))
async def test_the_openings_left_over_are_the_open_complaints(
    connection: asyncpg.Connection, seed: int
) -> None:
    known = [fact for _, fact in await stored(connection, seed, 60)]
    left = set()
    for thread in threads([fact for fact in known if fact.component == "complaints"]):
        openings = sorted((f for f in thread if f.kind == "complaint_opened"), key=lambda f: (f.at, f.id))
        left |= {fact.id for fact in openings[sum(f.kind == "complaint_resolved" for f in thread) :]}
    found = await facts.open_complaints(connection, SOMEBODY)
    assert {fact_key(row.source, row.id) for row in found} == left
    assert [row.opened_at for row in found] == sorted(row.opened_at for row in found)


@pytest.mark.parametrize("seed", range(6))
async def test_what_came_after_can_be_taken_back_exactly(connection: asyncpg.Connection, seed: int) -> None:
    known = await stored(connection, seed, 40)
    then = NOW - timedelta(days=random.Random(seed).randint(1, 39))
    recent = await facts.recent_facts(connection, SOMEBODY, then, 100)
    assert recent is not None
    last = None if recent.last_purchase is None else recent.last_purchase.at
    was = rewound(fold(fact for _, fact in known), recent.after, recent.before, last)
    assert was == fold(fact for at, fact in known if at <= then)


async def test_too_much_to_take_back_is_said_to_be_too_much(connection: asyncpg.Connection) -> None:
    await stored(connection, 1, 40)
    assert await facts.recent_facts(connection, SOMEBODY, NOW - timedelta(days=50), 39) is None
    assert await facts.recent_facts(connection, SOMEBODY, NOW - timedelta(days=50), 40) is not None


async def test_pages_show_each_touchpoint_once_newest_first(connection: asyncpg.Connection) -> None:
    await stored(connection, 1, 57)
    seen: list[tuple[datetime, str]] = []
    place = None
    while page := await timeline.newest(connection, SOMEBODY, 10, before=place):
        seen += [(row.occurred_at, row.id) for row in page]
        last = page[-1]
        place = TimelinePlace(last.occurred_at, last.source, last.id, last.origin_customer_id)
    assert len(set(seen)) == len(seen) == 57
    assert seen == sorted(seen, reverse=True)


async def test_a_log_is_read_up_to_a_time_and_as_far_as_it_was_known(connection: asyncpg.Connection) -> None:
    known = await stored(connection, 1, 30)
    then = NOW - timedelta(days=20)

    async def read(until: datetime, known_until: datetime) -> set[Fact]:
        async with connection.transaction():
            return {row.fact async for row in facts.facts(connection, SOMEBODY, until, known_until)}

    assert await read(then, NOW) == {fact for at, fact in known if at <= then}
    assert await read(NOW, NOW - timedelta(seconds=1)) == set()


# --- what it costs ----------------------------------------------------------------------------------------------------

_FILL = """
INSERT INTO touchpoints (
  customer_id, origin_customer_id, source, id, kind, occurred_at, received_at, thread, properties, body_sha256, outcome
)
SELECT customer_id, customer_id, 'shop', 'e' || n,
  (ARRAY['purchase', 'visit', 'visit', 'refund', 'nps', 'message_opened'])[1 + n % 6],
  $2::timestamptz - n * interval '6 hours', $2::timestamptz - n * interval '1 second',
  CASE WHEN n % 6 IN (0, 3) THEN 'order:' || n / 6 END, '{"rating": 7}', sha256(n::text::bytea), 'null'
FROM unnest($1::uuid[]) AS somebody (customer_id) CROSS JOIN generate_series(0, $3::int - 1) AS n
ON CONFLICT DO NOTHING
"""

Read = Callable[[asyncpg.Connection], Awaitable[Any]]


_VOID = """
INSERT INTO touchpoint_voids (customer_id, source, id, origin_customer_id, voided_at, voided_by, outcome)
SELECT customer_id, source, id, origin_customer_id, $2, 'test', 'null'
FROM touchpoints
WHERE customer_id = ANY ($1::uuid[]) AND substr(id, 2)::int % $3 = 0
"""


async def _arrivals(connection: asyncpg.Connection) -> None:
    (last,) = await timeline.newest_arrivals(connection, 1)
    place = ArrivalPlace(last.received_at, last.customer_id, last.source, last.id, last.origin_customer_id)
    await timeline.newest_arrivals(connection, 50, since=NOW - timedelta(days=1), before=place)


async def _timeline(connection: asyncpg.Connection) -> None:
    place = TimelinePlace(NOW - timedelta(days=500), "shop", "e2000", SOMEBODY)
    await timeline.newest(connection, SOMEBODY, 50, before=place)


READS: dict[str, tuple[int, Read]] = {
    # The most rows of the log that it may look at.
    "arrivals": (500, _arrivals),
    "timeline": (200, _timeline),
    "timeline from to": (
        200,
        lambda c: timeline.newest(
            c, SOMEBODY, 50, Narrow(since=NOW - timedelta(days=90), until=NOW - timedelta(days=50))
        ),
    ),
    "one by id": (10, lambda c: timeline.find(c, SOMEBODY, "e4242", None, "shop")),
    "one by id and source": (10, lambda c: timeline.find(c, SOMEBODY, "e4242", "shop", "shop")),
    "latest facts": (500, lambda c: facts.latest_facts(c, SOMEBODY, 200)),
    "recent facts": (1000, lambda c: facts.recent_facts(c, SOMEBODY, NOW - timedelta(days=30), 2000)),
    "open complaints": (10, lambda c: facts.open_complaints(c, SOMEBODY)),
    "context": (30, lambda c: contexts.load(c, [contexts.Asked(SOMEBODY, 5)])),
    "beside the score": (10, lambda c: opinions.beside(c, SOMEBODY)),
}


_SCANS = {
    "touchpoints": {"Index Scan", "Bitmap Heap Scan"},
    "touchpoint_voids": {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"},
}


class Said:
    """The statements said on a connection while something is read."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def by(self, read: Read) -> list[Any]:
        said: list[Any] = []
        with self.connection.query_logger(said.append):
            await read(self.connection)
            await asyncio.sleep(0)  # the driver tells in the loop's next round
        return said


@pytest.fixture
async def long_log(connection: asyncpg.Connection, owner_url: str) -> Said:
    others = [UUID(int=number) for number in range(2, 302)]
    await customers.create(connection, [SOMEBODY, *others], EMPTY.encode(), NOW)
    await connection.execute(_FILL, [SOMEBODY], NOW, ROWS)
    await connection.execute(_FILL, others, NOW, ROWS // len(others))
    # Every seventh of somebody's and every second of the others' is taken back.
    for whose, nth in (([SOMEBODY], 7), (others, 2)):
        await connection.execute(_VOID, whose, NOW, nth)
    owner = await asyncpg.connect(**connect_arguments(owner_url))
    await owner.execute("ANALYZE")
    await owner.close()
    return Said(connection)


async def test_reads_use_indexes_and_look_at_few_rows_of_a_long_log(long_log: Said) -> None:
    for name, (most, read) in READS.items():
        for statement in await long_log.by(read):
            plan = await _plan(long_log.connection, statement)
            for table, kinds in _SCANS.items():
                scans = [node for node in _nodes(plan) if node.get("Relation Name") == table]
                assert {node["Node Type"] for node in scans} <= kinds, (name, table)
                assert sum(map(_looked_at, scans)) <= most, (name, table)


async def test_a_list_is_one_statement_however_long_the_log_grows(long_log: Said) -> None:
    lists: tuple[Read, ...] = (_timeline, lambda c: timeline.newest_arrivals(c, 50), READS["context"][1])

    async def counted() -> list[int]:
        return [len(await long_log.by(read)) for read in lists]

    await counted()  # a new connection asks once for the types of arrays
    before = await counted()
    await long_log.connection.execute(_FILL, [SOMEBODY], NOW, 2 * ROWS)
    assert await counted() == before == [1, 1, 1]


async def _plan(connection: asyncpg.Connection, statement: Any) -> dict[str, Any]:
    explained = await connection.fetchval(
        f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement.query}", *statement.args
    )
    plan: dict[str, Any] = json.loads(explained)[0]["Plan"]
    return plan


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for inner in plan.get("Plans", ()) for node in _nodes(inner))]


def _looked_at(node: dict[str, Any]) -> float:
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    rows: float = node["Actual Loops"] * (node["Actual Rows"] + removed)
    return rows
