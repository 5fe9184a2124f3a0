"""Merges of customers whose logs were purged, before or since, and who said what they agree to."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from app.domain.consent import Statement
from app.domain.identifiers import parse_reference
from app.domain.retention import parse
from app.storage import consents
from app.usecases.post_touchpoints import Post
from app.usecases.privacy.change_consent import Change, change_consent
from app.usecases.privacy.purge_log import purge_log
from tests.usecases.merges.shop import MODEL, Shop
from tests.usecases.merges.test_undo_merge import introduce, pair_seen, random_posts, told_of
from tests.usecases.posts import NOW, post

RETENTION = parse("visit:60,purchase:60,refund:60")


def history(pair: int) -> list[Post]:
    """Orders of each, some refunded, and visits."""

    def members(kind: str, who: str, number: int) -> dict[str, Any]:
        if kind == "visit":
            return {}
        return {"order_id": f"{who}{number if kind == 'purchase' else number // 2}"}

    return [
        post(
            f"{kind}{number}",
            f"external_id:{who}{pair}",
            kind,
            days_ago=10 + 30 * number,
            **members(kind, who, number),
        )
        for who in "ab"
        for number in range(6)
        for kind in ("purchase", "refund", "visit")
    ]


async def purge(shop: Shop, days: int = 100) -> int:
    return (await purge_log(shop.store, RETENTION, NOW + timedelta(days=days))).touchpoints


@pytest.mark.parametrize("when", ["before", "since", "both"])
async def test_sums_of_what_was_purged_go_over_and_come_back(shop: Shop, when: str) -> None:
    for pair in (1, 2):
        await introduce(shop, pair)
        await shop.post(*history(pair))
    if when != "since":
        assert await purge(shop)
    merge = await shop.merge("external_id:a1", "external_id:b1")
    assert not await shop.differences()
    if when != "before":
        # A day after the last run, or none begins.
        assert await purge(shop, 400) or when == "both"
        assert not await shop.differences()
    await shop.undo(merge)
    assert not await shop.differences()
    assert await pair_seen(shop, 1) == await pair_seen(shop, 2)
    openings = await shop.rows("SELECT customer_id = origin_customer_id FROM opening_states")
    assert openings == [(True,)] * 4


@pytest.mark.parametrize("seed", range(3))
async def test_states_are_those_of_their_logs_whatever_threads_met_before_a_purge(
    shop: Shop, seed: int
) -> None:
    chosen = random.Random(seed)
    await introduce(shop, 1)
    await shop.post(*told_of(random_posts(chosen, 30, 0), 1))
    merge = await shop.merge("external_id:a1", "external_id:b1")
    assert await purge(shop)
    assert not await shop.differences()
    await shop.undo(merge)
    assert not await shop.differences()
    await shop.post(*told_of(random_posts(chosen, 10, 100), 1))
    assert not await shop.differences()


# --- consent --------------------------------------------------------------------------------------------------------


async def say(shop: Shop, who: str, state: str, days: int, channel: str = "email") -> None:
    stated_at = NOW - timedelta(days=days)
    said = Statement("surveys", channel, state, None, "form", None, stated_at, None, "shop")
    async with shop.store.hot_transaction() as connection:
        change = Change([said], None)
        await change_consent(connection, parse_reference(who), change, MODEL, shop.now, shop_currency="EUR")


async def stands(shop: Shop, who: str) -> Sequence[Any]:
    async with shop.store.hot_reading() as connection:
        held = await consents.of_customer(connection, await shop.id_of("external_id", who))
    return [(one.channel, one.state) for one in held]


async def test_of_what_both_said_the_last_word_counts_and_each_gets_their_own_back(shop: Shop) -> None:
    await introduce(shop, 1)
    await say(shop, "external_id:a1", "granted", 9)
    await say(shop, "external_id:a1", "granted", 8, "sms")
    await say(shop, "external_id:b1", "withdrawn", 5)
    merge = await shop.merge("external_id:a1", "external_id:b1")
    assert await stands(shop, "a1") == [("email", "withdrawn"), ("sms", "granted")]
    assert await stands(shop, "b1") == []
    await say(shop, "external_id:b1", "withdrawn", 1, "sms")
    assert await stands(shop, "a1") == [("email", "withdrawn"), ("sms", "withdrawn")]
    await shop.undo(merge)
    assert await stands(shop, "a1") == [("email", "granted"), ("sms", "granted")]
    assert await stands(shop, "b1") == [("email", "withdrawn"), ("sms", "withdrawn")]


async def test_of_one_instant_the_no_counts(shop: Shop) -> None:
    await introduce(shop, 1)
    await say(shop, "external_id:a1", "withdrawn", 5)
    await say(shop, "external_id:b1", "granted", 5)
    await shop.merge("external_id:a1", "external_id:b1")
    assert await stands(shop, "a1") == [("email", "withdrawn")]
