"""What somebody said of two who were one: each gets back what was said of them."""

from typing import Any

import httpx
import pytest

from tests.api.conftest import Service
from tests.api.privacy.person import ok
from tests.api.test_merges import merge, pair, sound, undo

__all__ = ["pair"]

UNTIL = "2027-06-01T00:00:00Z"
ADA, GUEST = "external_id:42", "email:ada@shop.example"


async def say(admin: httpx.AsyncClient, who: str, score: int) -> None:
    said = {"score": score, "reason": "We know", "until": UNTIL}
    await ok(await admin.put(f"/v1/customers/{who}/health/override", json=said))


async def scores(admin: httpx.AsyncClient, pair: dict[str, str]) -> dict[str, Any]:
    found = {}
    for name, id_ in pair.items():
        override = (await admin.get(f"/v1/customers/{id_}/health")).json()["override"]
        found[name] = override and override["score"]
    return found


@pytest.mark.parametrize(
    "before, since, shown, after",
    [
        # Nobody had one: what is said of the alias is theirs.
        ([], [(GUEST, 20)], 20, {"ada": None, "guest": 20}),
        # What the survivor had was covered, and comes to light again.
        ([(ADA, 10)], [(GUEST, 20)], 20, {"ada": 10, "guest": 20}),
        ([(ADA, 10), (GUEST, 15)], [(GUEST, 20)], 20, {"ada": 10, "guest": 20}),
        ([(ADA, 10)], [(GUEST, 20), (ADA, 30)], 30, {"ada": 30, "guest": 20}),
        # The alias had one before, and nothing was said of them since.
        ([(GUEST, 15)], [(ADA, 30)], 30, {"ada": 30, "guest": 15}),
        ([(GUEST, 15)], [], 15, {"ada": None, "guest": 15}),
        ([(ADA, 10), (GUEST, 15)], [], 10, {"ada": 10, "guest": 15}),
        ([(GUEST, 15)], [(ADA, 30), (GUEST, 40), (GUEST, 45)], 45, {"ada": 30, "guest": 45}),
    ],
)
async def test_an_undo_parts_what_was_said_of_each(
    service: Service,
    admin: httpx.AsyncClient,
    pair: dict[str, str],
    before: list[tuple[str, int]],
    since: list[tuple[str, int]],
    shown: int,
    after: dict[str, Any],
) -> None:
    for who, score in before:
        await say(admin, who, score)
    merged = await merge(admin, pair["ada"], pair["guest"])
    for who, score in since:
        await say(admin, who, score)
    assert (await scores(admin, pair))["ada"] == shown
    assert (await undo(admin, merged)).status_code == 200
    assert await scores(admin, pair) == after
    await sound(service)


async def test_a_sentiment_is_parted_too(admin: httpx.AsyncClient, pair: dict[str, str]) -> None:
    path = "/v1/customers/{}/health/sentiment"
    await ok(await admin.put(path.format(ADA), json={"sentiment": "happy"}))
    merged = await merge(admin, pair["ada"], pair["guest"])
    await ok(await admin.put(path.format(GUEST), json={"sentiment": "unhappy"}))
    await undo(admin, merged)
    found = {
        name: (await admin.get(f"/v1/customers/{id_}/export")).json()["tables"]["health_sentiments"]
        for name, id_ in pair.items()
    }
    assert [row["sentiment"] for row in found["ada"]] == ["happy"]
    assert [row["sentiment"] for row in found["guest"]] == ["unhappy"]
