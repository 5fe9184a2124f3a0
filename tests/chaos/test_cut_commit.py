"""The answer to COMMIT is lost: nobody can know whether it was done, and everybody must be told the same."""

import json
import random
from datetime import UTC, datetime

import asyncpg
import pytest

from app.domain.recording import Recorded
from app.storage.database import Database
from app.usecases.lanes import Lanes
from app.usecases.models.active_model import ActiveModel
from app.usecases.record_touchpoints import Entry
from app.usecases.resolve_customers import Resolved, resolve
from tests.chaos import proxy, report
from tests.chaos.harness import storm_of_cuts, through
from tests.chaos.postgres import Postgres, connection
from tests.chaos.proxy import ANSWER_LOST, BOTH_LOST, COMMIT_LOST, Proxy
from tests.usecases.posts import post

SEED = 20261122


async def test_cuts_around_commit_lose_double_and_bend_nothing(server: Postgres) -> None:
    done = await storm_of_cuts(server, seed=SEED, cuts=30, workers=1)
    print(report.cuts_table(done), report.outcome_table(done), sep="\n\n")  # noqa: T201 - shown when it fails
    assert report.problems(done) == []
    assert done.holds
    assert done.kills[ANSWER_LOST] > 10


async def test_what_is_written_behind_a_savepoint_is_cut_at_its_commit_and_not_before(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To take the statement itself for a commit means to wait for an end that never comes, with all locks held."""
    target = await server.database()
    monkeypatch.setattr(proxy, "KINDS", {ANSWER_LOST: 1.0})
    cutting = Proxy(target.directory, random.Random(SEED), cuts=1, share=1.0)
    async with through(cutting, target) as way, connection(way.app_url) as connected:
        outer = connected.transaction()
        await outer.start()
        for kept in (True, False):
            inner = connected.transaction()
            await inner.start()
            await (inner.commit() if kept else inner.rollback())
            await connected.fetch("INSERT INTO touchpoints SELECT * FROM touchpoints LIMIT $1", 0, timeout=30)
            assert not cutting.made
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await outer.commit()
    assert cutting.made == {ANSWER_LOST: 1}


@pytest.mark.parametrize("kind, duplicate", [(ANSWER_LOST, True), (COMMIT_LOST, False), (BOTH_LOST, None)])
async def test_the_second_attempt_answers_with_the_health_of_the_first(
    server: Postgres, monkeypatch: pytest.MonkeyPatch, kind: str, *, duplicate: bool | None
) -> None:
    target = await server.database()
    ours = post("evt-1")
    direct = Database(target.app_url, pool_size=2, hot_size=2, wait_seconds=5, statement_timeout_seconds=10)
    (who,) = await resolve(direct, [ours.reference], datetime.now(UTC))
    assert isinstance(who, Resolved)
    monkeypatch.setattr(proxy, "KINDS", {kind: 1.0})
    cutting = Proxy(target.directory, random.Random(SEED), cuts=1, share=1.0)
    async with through(cutting, target) as way:
        database = Database(
            way.app_url, pool_size=2, hot_size=2, wait_seconds=5, statement_timeout_seconds=10
        )
        lanes = Lanes(database, ActiveModel(database), lanes=2, queue_limit=10, group_limit=10)
        lanes.start()
        (first,) = await lanes.record([Entry(who.customer_id, ours.touchpoint)])
        # Whatever a later attempt would compute, the answer was given once.
        later = ours.touchpoint._replace(received_at=datetime.now(UTC))
        (again,) = await lanes.record([Entry(who.customer_id, later)])
        await lanes.drain()
        await database.close()
    await direct.close()
    assert isinstance(first, Recorded)
    assert isinstance(again, Recorded)
    assert cutting.made == {kind: 1}
    assert duplicate is None or first.duplicate is duplicate
    assert again.duplicate
    async with connection(target.owner_url) as connected:
        rows = await connected.fetch("SELECT id, outcome, received_at FROM touchpoints")
    assert [row["id"] for row in rows] == ["evt-1"]
    for told in (first.stored, again.stored):
        assert json.loads(told.outcome) == json.loads(rows[0]["outcome"])
        assert told.received_at == rows[0]["received_at"]
