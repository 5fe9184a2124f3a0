import asyncio
import random
import re
from datetime import timedelta
from typing import Any

import pytest

from app.domain.problems import Conflict, NotFound, Unavailable
from app.domain.recording import Recorded
from app.storage.merges import Merge
from app.usecases.post_touchpoints import Post
from tests.usecases.merges.shop import Shop
from tests.usecases.posts import post

KINDS = (
    "purchase",
    "refund",
    "order_cancelled",
    "visit",
    "support_contact",
    "complaint_opened",
    "complaint_resolved",
)


def random_posts(chosen: random.Random, count: int, first: int, people: str = "ab") -> list[dict[str, Any]]:
    """Facts of two customers who share orders and complaints, ids too."""
    return [
        {
            # Of two who use one id with different bodies the second is refused once they are one: not of a first half.
            "id": f"{first + number}",
            "who": chosen.choice(people),
            "by": chosen.choice(("external_id", "email")),
            "kind": (kind := chosen.choice(KINDS)),
            "days_ago": chosen.randrange(400),
            "members": {"order_id": f"o{chosen.randrange(3)}"}
            if kind in ("purchase", "refund", "order_cancelled")
            else {"properties": {"complaint_id": f"c{chosen.randrange(2)}", "severity": "high"}}
            if kind.startswith("complaint")
            else {},
        }
        for number in range(count)
    ]


def told_of(facts: list[dict[str, Any]], pair: int) -> list[Post]:
    def name(fact: dict[str, Any]) -> str:
        who = f"{fact['who']}{pair}"
        return f"external_id:{who}" if fact["by"] == "external_id" else f"email:{who}@shop.example"

    return [
        post(fact["id"], name(fact), fact["kind"], days_ago=fact["days_ago"], **fact["members"])
        for fact in facts
    ]


async def introduce(shop: Shop, pair: int, people: str = "ab") -> None:
    await shop.post(
        *[
            post("hello", {"external_id": f"{who}{pair}", "email": f"{who}{pair}@shop.example"}, "visit")
            for who in people
        ]
    )


async def pair_seen(shop: Shop, pair: int, people: str = "ab") -> list[Any]:
    """What is known of each, with the number of the pair taken out."""
    found = []
    for who in people:
        seen = await shop.seen(await shop.id_of("external_id", f"{who}{pair}"))
        seen["names"] = [(kind, re.sub(r"\d", "", value)) for kind, value in seen["names"]]
        found.append(seen)
    return found


@pytest.mark.parametrize("seed", range(8))
async def test_merged_and_parted_is_never_merged_and_what_came_since(shop: Shop, seed: int) -> None:
    chosen = random.Random(seed)
    before, since, after = (random_posts(chosen, 25, first) for first in (0, 100, 200))
    for pair in (1, 2):
        await introduce(shop, pair)
        await shop.post(*told_of(before, pair))
    merge = await shop.merge("external_id:a1", "email:b1@shop.example")
    b = await shop.id_of("external_id", "b1")
    for pair in (1, 2):
        # One after the other and in one go, by names and by the id of the alias.
        posts = told_of(since, pair)
        for one in posts[:10]:
            await shop.post(one)
        await shop.post(*posts[10:])
    assert not await shop.differences()
    assert (await shop.seen(b))["log"] == []
    await shop.undo(merge)
    assert not await shop.differences()
    for pair in (1, 2):
        await shop.post(*told_of(after, pair))
    assert await pair_seen(shop, 1) == await pair_seen(shop, 2)
    assert not await shop.differences()
    # Whatever was ever acknowledged is known: nothing is written twice.
    again = await shop.post(*told_of([*before, *since, *after], 1))
    assert all(isinstance(one, Recorded) and one.duplicate for one in again)
    assert await pair_seen(shop, 1) == await pair_seen(shop, 2)


@pytest.mark.parametrize("seed", range(4))
async def test_chains_are_parted_from_their_end(shop: Shop, seed: int) -> None:
    chosen = random.Random(100 + seed)
    stages = [random_posts(chosen, 12, 100 * stage, "abc") for stage in range(5)]
    for pair in (1, 2):
        await introduce(shop, pair, "abc")
    merges: list[Merge] = []
    steps = [None, ("a1", "b1"), ("b1", "c1"), "undo", "undo"]
    for facts, step in zip(stages, steps, strict=True):
        if step == "undo":
            if len(merges) == 2:
                with pytest.raises(Conflict) as refused:
                    await shop.undo(merges[0])
                assert refused.value.code == "undo_blocked"
                assert refused.value.members["blocked_by"] == [{"kind": "merge", "id": merges[1].public_id}]
            await shop.undo(merges.pop())
        elif step is not None:
            merges.append(await shop.merge(f"external_id:{step[1]}", f"external_id:{step[0]}"))
        assert not await shop.differences()
        for pair in (1, 2):
            await shop.post(*told_of(facts, pair))
    assert await pair_seen(shop, 1, "abc") == await pair_seen(shop, 2, "abc")
    assert not await shop.differences()


async def test_two_who_were_merged_into_one_are_parted_in_any_order(shop: Shop) -> None:
    for pair in (1, 2):
        await introduce(shop, pair, "abc")
    first = await shop.merge("external_id:c1", "external_id:a1")
    second = await shop.merge("external_id:c1", "external_id:b1")
    for pair in (1, 2):
        await shop.post(*[post(f"p{who}", f"external_id:{who}{pair}") for who in "abc"])
    await shop.undo(first)
    await shop.undo(second)
    assert await pair_seen(shop, 1, "abc") == await pair_seen(shop, 2, "abc")
    assert not await shop.differences()


async def test_undone_twice_is_undone_once(shop: Shop) -> None:
    await introduce(shop, 1)
    merge = await shop.merge("external_id:a1", "external_id:b1")
    first = await shop.undo(merge)
    again = await shop.undo(merge)
    assert (again.undone_at, again.undone_by) == (first.undone_at, "helpdesk")


async def test_an_unknown_merge_cannot_be_undone(shop: Shop) -> None:
    await introduce(shop, 1)
    merge = await shop.merge("external_id:a1", "external_id:b1")
    unknown = Merge(**{name: getattr(merge, name) for name in Merge.__slots__} | {"id": merge.customer_id})
    with pytest.raises(NotFound, match="no such merge"):
        await shop.undo(unknown)


async def test_posts_while_they_are_merged_and_parted_are_stored_once_and_with_whom_they_name(
    shop: Shop,
) -> None:
    await introduce(shop, 1)
    ids = {who: str(await shop.id_of("external_id", f"{who}1")) for who in "ab"}
    names = [("external_id:a1", ids["a"]), ("external_id:b1", ids["b"])]
    posts = [post(f"p{n}", names[n % 2][n // 2 % 2], days_ago=n / 10) for n in range(120)]

    async def write() -> None:
        for one in posts:
            answer = None
            while not isinstance(answer, Recorded):
                (answer,) = await shop.post(one)
                assert isinstance(answer, Recorded | Unavailable), answer

    async def part_and_join() -> None:
        for _ in range(6):
            merge = await shop.merge("external_id:a1", "external_id:b1")
            await asyncio.sleep(0.02)
            await shop.undo(merge)

    await asyncio.gather(write(), part_and_join())
    for who in "ab":
        log = (await shop.seen(await shop.id_of("external_id", f"{who}1")))["log"]
        mine = {f"p{n}" for n in range(120) if "ab"[n % 2] == who}
        assert {row[1] for row in log} == mine | {"hello"}
    assert not await shop.differences()


async def test_of_two_opposite_merges_at_once_one_stands(shop: Shop) -> None:
    await introduce(shop, 1)
    answers = await asyncio.gather(
        shop.merge("external_id:a1", "external_id:b1"),
        shop.merge("external_id:b1", "external_id:a1"),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in answers) == ["Conflict", "Merge"]
    assert not await shop.differences()


async def test_identifiers_that_came_since_go_with_whom_they_were_told_of(shop: Shop) -> None:
    await introduce(shop, 1)
    merge = await shop.merge("external_id:a1", "external_id:b1")
    await shop.post(post("1", {"external_id": "b1", "crm": "of-b"}, "visit"))
    await shop.post(post("2", {"external_id": "a1", "crm": "of-a"}, "visit"))
    await shop.post(post("3", {"external_id": "a1", "email": "b1@shop.example", "crm": "of-both"}, "visit"))
    shop.now += timedelta(minutes=1)
    await shop.undo(merge)
    a, b = await shop.id_of("external_id", "a1"), await shop.id_of("external_id", "b1")
    assert await shop.id_of("crm", "of-b") == b
    assert await shop.id_of("crm", "of-a") == await shop.id_of("crm", "of-both") == a
    assert ("crm", "of-b") in (await shop.seen(b))["names"]
    assert [row[1] for row in (await shop.seen(b))["log"]] == ["1", "hello"]
    assert not await shop.differences()
