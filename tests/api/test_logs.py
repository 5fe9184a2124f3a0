"""A log names nobody, not even where one task works for many requests."""

import asyncpg
import httpx
import pytest

from app.storage.database import connect_arguments
from tests.api.test_problems import PERSON, problem


async def test_an_event_that_the_database_refuses_is_logged_without_its_row(
    admin: httpx.AsyncClient, owner_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = await asyncpg.connect(**connect_arguments(owner_url))
    await owner.execute(
        f"ALTER TABLE touchpoints ADD CONSTRAINT refused CHECK (description IS DISTINCT FROM '{PERSON}')"
    )
    await owner.close()
    sent = {"id": "evt-1", "customer": {"external_id": "42"}, "kind": "visit", "description": PERSON}
    problem(await admin.post("/v1/touchpoints", json=sent), 500, "internal_error")
    answer = await admin.post("/v1/touchpoints/batch", json={"touchpoints": [sent]})
    assert answer.json()["rejected"] == 1
    log = capsys.readouterr().err
    assert log.count('"item_not_writable"') == 2
    assert "CheckViolationError" in log
    assert PERSON not in log
