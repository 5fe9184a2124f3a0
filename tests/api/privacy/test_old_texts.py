"""Words of answers and complaints go when they are old; what they came to stays."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import ValidationError

from app.settings import Settings
from app.storage.database import connect_arguments
from app.usecases.privacy import purge_texts as module
from app.usecases.privacy.purge_log import keep_purging
from app.usecases.privacy.purge_texts import purge_texts
from app.usecases.privacy.walk_customers import Walked
from app.usecases.verify import verify
from tests.api.conftest import Service
from tests.api.privacy.person import dumped, ok

WORD = "rhubarb"
ANSWER = {
    "customer": "external_id:42",
    "kind": "nps",
    "rating": 2,
    "text": f"Terrible {WORD}, never again",
    "source_id": "a-1",
}
COMPLAINT = {
    "customer": "external_id:42",
    "subject": f"Mouldy {WORD}",
    "text": f"The {WORD} was mouldy",
    "severity": "low",
    "source_id": "c-1",
}
KEPT = timedelta(days=60)


def later(days: float = 61) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


@pytest.fixture
async def complaint(admin: httpx.AsyncClient) -> str:
    """The id of a complaint of somebody who has also answered; both full of the word."""
    await ok(await admin.post("/v1/feedback", json=ANSWER))
    made = (await admin.post("/v1/complaints", json=COMPLAINT)).json()
    message = {"text": f"About your {WORD}", "visible_to_customer": True}
    await ok(await admin.post(f"/v1/complaints/{made['id']}/messages", json=message))
    return str(made["id"])


async def closed(admin: httpx.AsyncClient, complaint: str) -> None:
    version = (await admin.get(f"/v1/complaints/{complaint}")).json()["version"]
    step = {"to": "withdrawn", "reason": "customer_request", "expected_version": version}
    await ok(await admin.post(f"/v1/complaints/{complaint}/transitions", json=step))


async def holds(service: Service) -> None:
    for result in await verify(service.app.state.database):
        assert not result.differences, (result.check.name, result.first)


async def test_words_go_and_everything_else_stays(
    service: Service, admin: httpx.AsyncClient, complaint: str, owner_url: str
) -> None:
    await closed(admin, complaint)
    (answer,) = (await admin.get("/v1/feedback")).json()["data"]
    health = (await admin.get("/v1/customers/external_id:42/health")).json()["score"]
    done = await purge_texts(service.app.state.database, KEPT, later())
    assert (done.customers, done.rows >= 5) == (1, True)
    assert WORD not in await dumped(owner_url)
    (after,) = (await admin.get("/v1/feedback")).json()["data"]
    told = ("text", "sentiment")
    assert {n: v for n, v in after.items() if n not in told} == {
        n: v for n, v in answer.items() if n not in told
    }
    assert after["text"] is None
    assert after["sentiment"]["label"] == answer["sentiment"]["label"]
    assert (await admin.get("/v1/customers/external_id:42/health")).json()["score"] == health
    assert (await admin.get(f"/v1/complaints/{complaint}")).json()["subject"] == ""
    await holds(service)


async def test_a_retry_of_what_was_blanked_is_still_one(
    service: Service, admin: httpx.AsyncClient, complaint: str
) -> None:
    await closed(admin, complaint)
    await purge_texts(service.app.state.database, KEPT, later())
    assert (await admin.post("/v1/feedback", json=ANSWER)).status_code == 200
    assert (await admin.post("/v1/feedback", json=ANSWER | {"text": "other"})).status_code == 409
    assert (await admin.post("/v1/complaints", json=COMPLAINT)).status_code == 200
    assert WORD not in (await admin.get("/v1/customers/external_id:42/export")).text


async def test_a_complaint_that_is_worked_on_keeps_its_words(
    service: Service, admin: httpx.AsyncClient, complaint: str
) -> None:
    await purge_texts(service.app.state.database, KEPT, later())
    assert (await admin.get(f"/v1/complaints/{complaint}")).json()["subject"] == COMPLAINT["subject"]
    log = (await admin.get(f"/v1/complaints/{complaint}/log")).text
    assert WORD in log


@pytest.mark.usefixtures("complaint")
async def test_what_is_young_stays(service: Service) -> None:
    assert await purge_texts(service.app.state.database, KEPT, later(59)) == Walked(0, 0)


@pytest.mark.usefixtures("complaint")
async def test_a_run_that_is_killed_goes_on_and_ends_for_a_day(
    service: Service, admin: httpx.AsyncClient, owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await ok(await admin.post("/v1/feedback", json=ANSWER | {"customer": f"external_id:{number}"}))
    database, now, blank, calls = service.app.state.database, later(), module._blank_some, []

    async def dies(*given: Any) -> int:
        calls.append(given[1])
        if len(calls) == 4:
            raise asyncio.CancelledError
        return await blank(*given)

    monkeypatch.setattr(module, "_blank_some", dies)
    with pytest.raises(asyncio.CancelledError):
        await purge_texts(database, KEPT, now, page=1, rows=1)
    monkeypatch.setattr(module, "_blank_some", blank)
    assert (await purge_texts(database, KEPT, now, page=1, rows=1)).customers >= 2
    assert "never again" not in await dumped(owner_url)
    assert await purge_texts(database, KEPT, now) == Walked(0, 0)
    await holds(service)


@pytest.mark.usefixtures("complaint")
async def test_the_service_blanks_beside_the_requests(service: Service, owner_url: str) -> None:
    owner = await asyncpg.connect(**connect_arguments(owner_url))
    await owner.execute("UPDATE feedback SET updated_at = updated_at - interval '61 days'")
    await owner.close()
    told = asyncio.Queue[int]()
    task = asyncio.create_task(
        keep_purging(
            service.app.state.database, {}, 0.01, lambda done: told.put_nowait(done.texts), texts_kept=KEPT
        )
    )
    assert await asyncio.wait_for(told.get(), 30) == 1
    task.cancel()


def test_words_are_kept_for_60_days_at_least_or_for_ever() -> None:
    assert Settings(text_retention_days=60).text_retention() == KEPT
    assert Settings().text_retention() is None
    with pytest.raises(ValidationError, match="at least 60"):
        Settings(text_retention_days=59)
