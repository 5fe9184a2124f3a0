"""Purchases that are followed plainly leave in the tables what the passbook that follows everything leaves."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from app.domain.health.model import shipped
from app.storage.database import Database
from app.usecases.loyalty import earn
from app.usecases.loyalty.earn import Earning
from app.usecases.record_touchpoints import Entry, record_group
from app.usecases.verify import verify
from tests.usecases.posts import post
from tests.usecases.test_earning_safeties import customers, earning, statements

__all__ = ["earning"]

ITEMS = [{"sku": "a", "quantity": 2, "amount_minor": 700}, {"sku": "b", "amount_minor": 300}]
TABLES = ("loyalty_accounts", "loyalty_entries", "loyalty_lots", "loyalty_earns", "orders", "touchpoints")
# Whose it is, and what begins with that: chains start from the id of their account.
OWN = {"customer_id", "origin_customer_id", "account_id", "head", "hash"}


def bought(who: UUID, name: str, **said: Any) -> Entry:
    return Entry(who, post(name, **said).touchpoint)


def groups_of(people: Sequence[UUID]) -> list[list[Entry]]:
    """First purchases, which open the accounts; then one, and then several of each."""
    return [
        [bought(who, "first", order_id="A-1") for who in people],
        [bought(people[0], "lone", order_id="A-2", items=ITEMS, amount_minor=1_000)],
        [
            bought(who, f"p-{number}", order_id=f"B-{number}" if number else None, amount_minor=90 * number)
            for who in people
            for number in range(3)
        ],
    ]


async def rows(store: Database, who: UUID) -> dict[str, list[dict[str, Any]]]:
    async with store.hot_reading() as connection:
        return {
            table: [
                {name: value for name, value in row.items() if name not in OWN}
                for row in await connection.fetch(
                    f"SELECT * FROM {table} WHERE customer_id = $1 ORDER BY {table}::text",  # noqa: S608 - our own tables
                    who,
                )
            ]
            for table in TABLES
        }


async def test_the_tables_hold_the_same(
    store: Database, earning: Earning, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = await customers(store, 4)
    plain, whole = people[:2], people[2:]
    asked = [await statements(store, earning, group) for group in groups_of(plain)]
    # What opens an account is not plain; what follows moves it by the row that says what was earned.
    assert ["opened_ AS" in one[-1] for one in asked] == [True, False, False]
    assert not any("changed_ AS" in one[-1] for one in asked)
    monkeypatch.setattr(earn, "is_plain_account", lambda *_: False)
    asked = [await statements(store, earning, group) for group in groups_of(whole)]
    assert ["changed_ AS" in one[-1] for one in asked] == [False, True, True]
    for one, other in zip(plain, whole, strict=True):
        found = await rows(store, one)
        assert found == await rows(store, other)
        assert found["loyalty_accounts"][0]["seq"] == len(found["loyalty_entries"]) > 3
    assert sum(result.differences for result in await verify(store)) == 0


async def test_a_plain_purchase_that_is_sent_again_earns_nothing_more(
    store: Database, earning: Earning
) -> None:
    people = await customers(store, 2)
    for group in groups_of(people) * 2:
        async with store.hot_reading() as connection:
            await record_group(connection, group, shipped(), earning)
    found = await rows(store, people[0])
    assert found["loyalty_accounts"][0]["lifetime_earned"] == sum(
        one["points"] for one in found["loyalty_entries"]
    )
    assert len(found["loyalty_entries"]) == 5
    assert sum(result.differences for result in await verify(store)) == 0
