"""A sweep that is stopped anywhere loses nothing and doubles nothing."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.identifiers import parse_body_reference
from app.domain.touchpoints import propose
from app.storage.database import Database
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.post_touchpoints import Post, post_touchpoints
from app.usecases.surveys.define_survey import define_survey
from app.usecases.surveys.signing import Signing
from app.usecases.surveys.sweep_surveys import SurveysSwept, sweep_surveys

CUSTOMERS = 40
SAID = {"code": "after", "kind": "csat", "question": "How was it?", "channel": "email"}
PEPPER = bytes(32)


@pytest.fixture
async def delivered(store: Database, identities: Identities, lanes: Lanes) -> datetime:
    """Something was delivered to each of forty customers; the time at which."""
    now = datetime.now(UTC)
    async with store.hot_transaction() as connection:
        await define_survey(connection, SAID | {"trigger": {"on": "delivered"}}, now)
    posts = [
        Post(
            parse_body_reference({"email": f"c{number}@example.com"}),
            propose(
                source="shop",
                id="d1",
                kind="delivered",
                occurred_at=now,
                now=now,
                body_sha256=bytes(32),
                shop_currency="EUR",
            ),
            told=True,
        )
        for number in range(CUSTOMERS)
    ]
    await post_touchpoints(identities, lanes, posts, now, may_add_identifiers=True)
    return now


async def test_a_worker_that_is_killed_again_and_again_invites_each_once(
    store: Database, delivered: datetime
) -> None:
    kills = 0
    for wait_ms in range(1, 60, 2):
        sweeping = asyncio.create_task(sweep_surveys(store, PEPPER, delivered, page=7, log_page=7))
        await asyncio.sleep(wait_ms / 1000)
        kills += sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
    assert kills > 0
    await sweep_surveys(store, PEPPER, delivered + timedelta(minutes=5), page=7, log_page=7)
    assert await sweep_surveys(store, PEPPER, delivered + timedelta(minutes=6)) == SurveysSwept()
    async with store.hot_reading() as connection:
        row = await connection.fetchrow(
            "SELECT count(*), count(DISTINCT customer_id) FROM survey_invitations WHERE state = 'queued'"
        )
    assert tuple(row) == (CUSTOMERS, CUSTOMERS)


async def test_kept_secrets_are_the_same_in_every_process(store: Database) -> None:
    first, second = await asyncio.gather(Signing(store).secrets(), Signing(store).secrets())
    assert first == second
    assert first.key_id == "kept"
    own = await Signing(store, {"k2": b"n" * 32, "k1": b"o" * 32}, "pepper").secrets()
    assert (own.key_id, list(own.by_key), len(own.pepper)) == ("k2", ["k2", "k1"], 32)
