"""A touchpoint that is taken back takes with it what it has earned: joining, reviews."""

from typing import Any

import httpx
import pytest

from tests.api.conftest import Service
from tests.api.loyalty.conftest import publish
from tests.api.loyalty.spending import Till
from tests.api.loyalty.test_earning import LOYALTY, bought, entries, posted, sound

pytestmark = pytest.mark.usefixtures("ada", "club")

RULES: dict[str, Any] = {
    "earning_rules": [
        {"code": "welcome", "event": "signup", "points": 50},
        {"code": "words", "event": "review", "points": 150},
        {"code": "more", "event": "review", "points": 5, "when": {"tier": ["silver"]}},
    ],
    "tiers": [{"code": "base", "threshold": 0}, {"code": "silver", "threshold": 100}],
    "pending_days": 0,
}


@pytest.fixture(autouse=True)
async def rules(admin: httpx.AsyncClient, club: dict[str, Any]) -> None:
    assert club
    await publish(admin, **RULES)


async def tell(client: httpx.AsyncClient, name: str, kind: str = "loyalty_joined", **said: Any) -> None:
    await posted(client, {"id": name, "customer": "external_id:42", "kind": kind, **said})


async def take_back(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.delete(f"/v1/touchpoints/{name}?customer=external_id:42")
    assert answer.status_code == 200, answer.text


async def test_joining_that_is_taken_back_takes_its_points_once_and_earns_anew(
    admin: httpx.AsyncClient, service: Service
) -> None:
    await tell(admin, "j1")
    for _ in range(2):
        await take_back(admin, "j1")
    assert await entries(admin) == [("earn", 50), ("clawback", -50)]
    # A retry of the post is a duplicate; who joins by another touchpoint has joined.
    await tell(admin, "j1")
    await tell(admin, "j2")
    assert await entries(admin) == [("earn", 50), ("clawback", -50), ("earn", 50)]
    await take_back(admin, "j2")
    assert (await admin.get(LOYALTY)).json()["available"] == 0
    assert await sound(service)


async def test_a_member_has_joined_as_long_as_one_touchpoint_says_so(admin: httpx.AsyncClient) -> None:
    await tell(admin, "j1")
    await tell(admin, "j2")
    await take_back(admin, "j1")
    assert await entries(admin) == [("earn", 50)]
    await take_back(admin, "j2")
    assert await entries(admin) == [("earn", 50), ("clawback", -50)]


async def test_a_review_loses_what_it_earned_and_only_that(
    admin: httpx.AsyncClient, service: Service
) -> None:
    for name, sku in (("r1", "X"), ("r2", "Y")):
        await tell(admin, name, "review", properties={"rating": 5, "sku": sku})
    assert (await admin.get(LOYALTY)).json()["tier"]["code"] == "silver"
    await take_back(admin, "r1")
    assert await entries(admin) == [("earn", 150), ("earn", 155), ("clawback", -150)]
    # Corrected: the same product is reviewed again.
    await tell(admin, "r3", "review", properties={"rating": 4, "sku": "X"})
    await take_back(admin, "r2")
    told = (await admin.get(LOYALTY)).json()
    # A refund takes no tier: only a review of the tier does.
    assert (told["available"], told["tier"]["code"]) == (155, "silver")
    assert await sound(service)


async def test_what_earned_nothing_may_earn_after_it_was_taken_back(admin: httpx.AsyncClient) -> None:
    await publish(admin, **(RULES | {"earning_rules": [RULES["earning_rules"][2]]}))
    await tell(admin, "r1", "review", properties={"rating": 5, "sku": "X"})
    assert await entries(admin) == [("earn", 0)]
    await publish(admin, **RULES)
    await take_back(admin, "r1")
    await tell(admin, "r2", "review", properties={"rating": 5, "sku": "X"})
    assert (await entries(admin))[-1] == ("earn", 150)


async def test_spent_points_are_forgiven_or_owed_by_the_policy_as_for_a_refund(
    till: Till, admin: httpx.AsyncClient, service: Service
) -> None:
    await tell(admin, "j1")
    redemption = await till.spent(30)
    await take_back(admin, "j1")
    assert await till.available() == 0
    # What was forgiven because it was spent is taken when it comes back.
    assert (await till.refund(redemption)).status_code == 201
    assert await till.available() == 0
    await publish(admin, **RULES, clawback="unlimited")
    await tell(admin, "r1", "review", properties={"rating": 5, "sku": "X"})
    await till.spent(150, "h-2")
    await take_back(admin, "r1")
    assert await till.available() == -150
    assert await sound(service)


async def test_what_never_earned_is_taken_back_as_before(admin: httpx.AsyncClient) -> None:
    await tell(admin, "v", "visit")
    await take_back(admin, "v")
    await posted(admin, bought("p", 10_000))
    await take_back(admin, "p")
    assert await entries(admin) == [("earn", 0)]
