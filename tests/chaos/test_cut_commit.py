"""The answer to COMMIT is lost: nobody can know whether it was done, and everybody must be told the same."""

import json
import random
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import make_url

from app.domain.recording import Recorded
from app.storage.database import Database
from app.usecases.lanes import Lanes
from app.usecases.models.active_model import ActiveModel
from app.usecases.record_touchpoints import Entry
from app.usecases.resolve_customers import Resolved, resolve
from tests.chaos import proxy, report
from tests.chaos.harness import storm_of_cuts
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
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        async with cutting.listening(Path(folder)):
            url = make_url(target.app_url).update_query_dict({"host": folder})
            through = Database(
                url.render_as_string(), pool_size=2, hot_size=2, wait_seconds=5, statement_timeout_seconds=10
            )
            lanes = Lanes(through, ActiveModel(through), lanes=2, queue_limit=10, group_limit=10)
            lanes.start()
            (first,) = await lanes.record([Entry(who.customer_id, ours.touchpoint)])
            # Whatever a later attempt would compute, the answer was given once.
            later = ours.touchpoint._replace(received_at=datetime.now(UTC))
            (again,) = await lanes.record([Entry(who.customer_id, later)])
            await lanes.drain()
            await through.close()
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
