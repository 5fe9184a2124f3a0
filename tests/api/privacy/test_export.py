"""A copy of everything that is held about a person, and of nobody else."""

import json
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.settings import Settings
from app.storage.privacy import exporting
from app.storage.privacy.holdings import HOLDINGS
from tests.api.conftest import ADMIN_KEY, Service
from tests.api.privacy.person import CUSTOMER, TRACES, meet, ok


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, admin_key=SecretStr(ADMIN_KEY), pool_size=4, sweep_seconds=0)


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


async def export(admin: httpx.AsyncClient, customer: str = CUSTOMER) -> Any:
    answer = await admin.get(f"{customer}/export")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    return await ok(answer)


async def test_an_export_holds_every_word_of_the_person_and_nobody_elses(admin: httpx.AsyncClient) -> None:
    other = {"identifiers": {"external_id": "9"}, "name": "Somebody Else"}
    await ok(await admin.post("/v1/customers", json=other, headers={"Idempotency-Key": "other"}))
    told = await meet(admin)
    document = await export(admin)
    assert (document["customer_id"], document["aliases"], document["complete"]) == (told["id"], [], True)
    said = json.dumps(document).lower()
    # The household is stored among the traits, and only as a hash beside the invitation.
    assert [word for word in TRACES if word not in said] == []
    assert "somebody else" not in said
    assert set(document["tables"]) == {one.table for one in HOLDINGS if one.not_exported is None}
    assert set(document["left_out"]) == {one.table for one in HOLDINGS if one.not_exported is not None}
    (row,) = document["tables"]["customers"]
    assert (row["id"], row["name"]) == (told["id"], "Zoraida Quintanilla")
    assert "body_sha256" not in document["tables"]["touchpoints"][0]
    assert "body_sha256" in document["withheld"]["touchpoints"]


async def test_long_tables_come_in_pages_each_row_once(
    admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await meet(admin)
    whole = await export(admin)
    for limit in (1, 3):
        monkeypatch.setattr(exporting.page, "__defaults__", (limit,))
        assert (await export(admin))["tables"] == whole["tables"]


async def test_an_export_holds_what_was_merged_into_the_person(
    service: Service, admin: httpx.AsyncClient
) -> None:
    told = await meet(admin)
    other = await ok(
        await admin.post("/v1/customers", json={"identifiers": {"external_id": "2"}, "name": "Old Zoraida"})
    )
    async with service.app.state.database.hot_transaction() as connection:
        await connection.execute(
            "UPDATE customer_states SET merged_into = $1::text::uuid WHERE customer_id = $2::text::uuid",
            told["id"],
            other["id"],
        )
    document = await export(admin, f"/v1/customers/{other['id']}")
    assert (document["customer_id"], document["aliases"]) == (told["id"], [other["id"]])
    assert {row["name"] for row in document["tables"]["customers"]} == {"Zoraida Quintanilla", "Old Zoraida"}


async def test_nothing_is_exported_of_nobody_and_of_who_left(admin: httpx.AsyncClient) -> None:
    assert problem(await admin.get(f"{CUSTOMER}/export")) == (404, "customer_not_found")
    told = await meet(admin)
    await ok(await admin.delete(CUSTOMER))
    assert problem(await admin.get(f"/v1/customers/{told['id']}/export")) == (409, "erased")
