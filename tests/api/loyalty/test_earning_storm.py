"""Several storefronts at once, each unsure and calling again: what is stored adds up, and nothing is there twice."""

import asyncio
import random
from typing import Any

import httpx
import pytest

from tests.api.conftest import Service
from tests.api.loyalty.test_earning import POSTS, bought, refunded, sound
from tests.api.loyalty.test_orders import state

ORDERS = 8
CUSTOMERS = ("external_id:42", "external_id:43", "external_id:44")


def calls(dice: random.Random) -> list[tuple[str, str, dict[str, Any]]]:
    """What happens to some orders, each call twice, in any order."""
    made: list[tuple[str, str, dict[str, Any]]] = []
    for number in range(ORDERS):
        whose = {"customer": dice.choice(CUSTOMERS)}
        order_id = f"S-{number}"
        paid = dice.randrange(1_000, 90_000)
        made.append(("POST", POSTS, bought(f"p-{number}", paid, order_id=order_id) | whose))
        made.extend(
            ("POST", POSTS, refunded(f"r-{number}-{part}", paid // 3, order_id) | whose) for part in range(2)
        )
        lines = [{"line_id": "1", "net_minor": paid}]
        for version, status in ((1, "placed"), (2, "paid"), (3, dice.choice(["fulfilled", "cancelled"]))):
            sent = state(version, status, lines=lines) | whose
            made.append(("PUT", f"/v1/orders/{order_id}", sent))
        gift = {"id": f"g-{number}", "points": dice.choice([5, -5]), "reason_code": "service"} | whose
        made.append(("POST", "/v1/loyalty/adjustments", gift | {"allow_debt": True}))
        if number % 2:
            batch = [bought(f"b-{number}-{one}", 700 * one) | whose for one in range(4)]
            made.append(("POST", f"{POSTS}/batch", {"touchpoints": batch}))
    made += made
    dice.shuffle(made)
    return made


@pytest.mark.usefixtures("club", "ada")
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_storm_of_calls_and_retries_leaves_books_that_agree(
    admin: httpx.AsyncClient, service: Service, seed: int
) -> None:
    for customer in CUSTOMERS[1:]:
        await admin.post("/v1/customers", json={"identifiers": {"external_id": customer.partition(":")[2]}})
    waiting = calls(random.Random(seed))

    async def client() -> list[int]:
        answered = []
        while waiting:
            method, url, body = waiting.pop()
            answer = await admin.request(method, url, json=body)
            while answer.status_code == 503:
                answer = await admin.request(method, url, json=body)
            answered.append(answer.status_code)
        return answered

    answers = await asyncio.gather(*(client() for _ in range(6)))
    assert {status for part in answers for status in part} <= {200, 201}
    assert await sound(service)
    for customer in CUSTOMERS:
        entries = (await admin.get(f"/v1/loyalty/entries?customer={customer}&limit=200")).json()["data"]
        earned = [one["key"] for one in entries if one["kind"] == "earn"]
        assert len(earned) == len(set(earned))
        now = (await admin.get(f"/v1/customers/{customer}/loyalty")).json()
        total = sum(one["points"] for one in entries)
        assert total == now["available"] + now["pending"] + now["held"]
