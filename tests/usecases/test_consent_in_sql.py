"""What decides about surveys in SQL (app/storage/consents.py) says the same as the rule (app/domain/consent.py)."""

import random
from datetime import timedelta

import asyncpg

from app.domain.consent import ANY, SURVEYS, Statement, lapsed, withdrawn_since
from app.domain.ids import uuid7
from app.storage import consents
from app.storage.consents import Unsubscription
from app.storage.database import Database
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.post_touchpoints import post_touchpoints
from tests.usecases.posts import NOW, post

CASES = 60
CHANNELS = ("email", "sms", ANY)


def statement(chance: random.Random, purpose: str, channel: str) -> Statement:
    state = chance.choice(["granted", "withdrawn"])
    ends = (
        NOW + timedelta(days=chance.randint(-2, 2)) if state == "granted" and chance.random() < 0.5 else None
    )
    # Few days, so that some are said in one moment.
    at = NOW - timedelta(days=chance.randint(3, 7))
    return Statement(purpose, channel, state, None, "form", None, at, ends, "shop")


async def decided(connection: asyncpg.Connection, customer_id: object, channel: str) -> tuple[object, bool]:
    since = consents.opted_out("$1", "$2::text")
    ended = consents.lapsed("$1", "$2::text", "$3")
    row = await connection.fetchrow(f"SELECT {since}, {ended}", customer_id, channel, NOW)
    return row[0], row[1]


async def test_the_database_and_the_rule_agree(store: Database, lanes: Lanes, identities: Identities) -> None:
    chance = random.Random(20261122)
    for number in range(CASES):
        who = f"crm:{number}"
        days = [chance.randint(3, 7) for _ in range(chance.choice([0, 0, 1, 2]))]
        posts = [post("first", who, "visit")] + [
            post(f"u-{index}", who, "unsubscribed", days_ago=ago) for index, ago in enumerate(days)
        ]
        answers = await post_touchpoints(identities, lanes, posts, NOW, may_add_identifiers=True)
        customer_id = answers[0].customer_id  # type: ignore[union-attr]  # nothing is wrong with these posts
        pairs = [(p, c) for p in (SURVEYS, "marketing", ANY) for c in CHANNELS if (p, c) != (ANY, ANY)]
        held = [statement(chance, *pair) for pair in chance.sample(pairs, chance.randint(0, 5))]
        async with store.hot_transaction() as connection:
            for one in held:
                await consents.add(connection, customer_id, customer_id, uuid7(number + 1), one, NOW)
        async with store.hot_reading() as connection:
            unsubscribed = await consents.unsubscriptions(connection, customer_id, 10)
            assert all(isinstance(one, Unsubscription) for one in unsubscribed)
            for channel in CHANNELS:
                expected = (
                    withdrawn_since(held, [one.at for one in unsubscribed], SURVEYS, channel),
                    lapsed(held, SURVEYS, channel, NOW),
                )
                assert await decided(connection, customer_id, channel) == expected, (held, channel)
