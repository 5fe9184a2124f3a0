"""Referrals and codes of customers who turn out to be one: they are the survivor's, and go back with an undo."""

from typing import Any

import httpx
import pytest

from app.usecases.verify import verify
from tests.api.conftest import Service
from tests.api.loyalty.test_merged import buy, merge, undo
from tests.api.loyalty.test_referrals import URL, come

pytestmark = pytest.mark.usefixtures("club", "ada")


async def code_of(admin: httpx.AsyncClient, name: str) -> tuple[int, str]:
    answer = await admin.post(f"{URL}/codes", json={"customer": {"external_id": name}})
    return answer.status_code, answer.json()["code"]


async def customers(admin: httpx.AsyncClient, *names: str) -> None:
    for name in names:
        made = await admin.post("/v1/customers", json={"identifiers": {"external_id": name}})
        assert made.status_code == 201, made.text


async def state(admin: httpx.AsyncClient, referral: str) -> str:
    shown: dict[str, Any] = (await admin.get(f"{URL}/{referral}")).json()
    found: str = shown["state"]
    return found


async def ids_of(admin: httpx.AsyncClient, name: str) -> list[str]:
    listed = await admin.get(URL, params={"customer": f"external_id:{name}"})
    return [one["id"] for one in listed.json()["data"]]


async def test_the_order_of_a_survivor_qualifies_the_referral_of_their_alias(
    admin: httpx.AsyncClient, service: Service
) -> None:
    _, code = await code_of(admin, "42")
    one = (await come(admin, code, {"external_id": "friend"})).json()
    await customers(admin, "own")
    merge_id = await merge(admin, "own", "friend")
    assert (await state(admin, one["id"]), await ids_of(admin, "own")) == ("attributed", [one["id"]])
    # The same friend and code again are the same referral, under whatever name they come.
    again = await come(admin, code, {"external_id": "own"})
    assert (again.status_code, again.json()["id"]) == (200, one["id"])
    await buy(admin, "own", 10_000, "B-1")
    assert await state(admin, one["id"]) == "pending"
    assert (await undo(admin, merge_id)).status_code == 200
    assert (await ids_of(admin, "friend"), await ids_of(admin, "own")) == ([one["id"]], [])
    assert await state(admin, one["id"]) == "pending"
    assert sum(result.differences for result in await verify(service.app.state.database)) == 0


async def test_a_survivor_has_the_code_and_the_friends_of_their_alias(admin: httpx.AsyncClient) -> None:
    made, code = await code_of(admin, "42")
    one = (await come(admin, code, {"external_id": "friend"})).json()
    await customers(admin, "own")
    merge_id = await merge(admin, "own", "42")
    assert (made, await code_of(admin, "own")) == (201, (200, code))
    assert await ids_of(admin, "own") == [one["id"]]
    # Who comes with the code now is a friend of the same.
    two = (await come(admin, code, {"external_id": "another"})).json()
    assert await ids_of(admin, "own") == [two["id"], one["id"]]
    assert (await come(admin, code, {"external_id": "own"})).json()["reason"] == "self"
    assert (await undo(admin, merge_id)).status_code == 200
    # What came by the code goes with it.
    assert (await ids_of(admin, "own"))[:-1] == []
    assert set(await ids_of(admin, "42")) >= {one["id"], two["id"]}
    assert (await code_of(admin, "42"))[1] == code
    assert (await code_of(admin, "own"))[0] == 201


async def test_who_was_brought_under_one_name_was_brought_until_they_are_parted(
    admin: httpx.AsyncClient,
) -> None:
    _, code = await code_of(admin, "42")
    await come(admin, code, {"external_id": "friend"})
    await customers(admin, "own")
    merge_id = await merge(admin, "own", "friend")
    _, others = await code_of(admin, "bea")
    assert (await come(admin, others, {"external_id": "own"})).json()["reason"] == "already_referred"
    assert (await undo(admin, merge_id)).status_code == 200
    _, thirds = await code_of(admin, "cy")
    assert (await come(admin, thirds, {"external_id": "own"})).json()["state"] == "attributed"
