"""What the comparison of accounts is for: who writes one locks its customer, and need not rewrite the state row.

A gift is booked while a purchase has been decided and not yet written. Without the comparison the purchase would
overwrite the account as it was before the gift; here that happens every time.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from app.domain.health.model import shipped
from app.domain.identifiers import Reference
from app.domain.loyalty.approvals import proposal_of
from app.domain.loyalty.versions import programme_of, version_of, version_sha256
from app.storage import recording
from app.storage.database import Database
from app.storage.loyalty import accounts, plain_earns, programs
from app.storage.loyalty.accounts import Loaded, Wanted
from app.usecases.loyalty.adjust import adjust
from app.usecases.loyalty.earn import Earning, earning_at
from app.usecases.record_touchpoints import Entry, record_group
from app.usecases.resolve_customers import Resolved, resolve
from app.usecases.verify import verify
from tests.usecases.posts import NOW, post

CLUB = {"code": "main", "name": "Club", "currency": "EUR", "time_zone": "Europe/Berlin"}
RULES: dict[str, Any] = {"earning_rules": [{"code": "base", "points": 1, "per_amount_minor": 100}]}
SINCE = datetime.fromisoformat("2026-01-01T00:00:00Z")


@pytest.fixture
async def earning(store: Database) -> Earning:
    async with store.hot_transaction() as connection:
        version_of(RULES)
        await programs.insert(connection, programme_of(CLUB), "test", NOW)
        number = await programs.add_version(connection, "main", RULES, version_sha256(RULES), "test", NOW)
        await programs.publish(connection, "main", number, SINCE, "test", NOW)
        return earning_at(await programs.all_rules(connection), "EUR", NOW)


async def customers(store: Database, number: int) -> list[UUID]:
    references = [post("x", f"external_id:{name}").reference for name in range(number)]
    found = await resolve(store, references, NOW)
    return [one.customer_id for one in found if isinstance(one, Resolved)]


async def account(store: Database, customer_id: UUID) -> Loaded:
    async with store.hot_reading() as connection:
        found = await accounts.load(connection, [Wanted(customer_id, "main", whole=True)], NOW)
    return found[customer_id, "main"]


async def bought_during_a_gift(store: Database, earning: Earning, group_of: int) -> Loaded:
    """The account after a purchase that was decided before a gift and written after it."""
    ids = await customers(store, group_of)
    entries = [Entry(one, post("p").touchpoint) for one in ids]
    gift = proposal_of(id="g", points=7, reason_code="service", note="", actor="test")

    async def late() -> None:
        async with store.hot_reading() as connection:
            await record_group(connection, entries, shipped(), earning)

    async with store.hot_transaction() as connection:
        await adjust(connection, Reference(ids[0], ()), "main", gift, None, earning.programs, NOW)
        waiting = asyncio.create_task(late())
        await asyncio.sleep(0.3)
    await waiting
    return await account(store, ids[0])


async def is_sound(store: Database) -> bool:
    return sum(result.differences for result in await verify(store)) == 0


@pytest.mark.parametrize("group_of", [1, 3])
async def test_a_gift_and_a_purchase_take_turns(store: Database, earning: Earning, group_of: int) -> None:
    after = await bought_during_a_gift(store, earning, group_of)
    assert (after.account.seq, after.account.lifetime_earned) == (2, 17)
    assert await is_sound(store)


def _guarded(ctes: Callable[..., dict[str, str]], **_: bool) -> dict[str, str]:
    return ctes(guarded=True)


@pytest.mark.parametrize("group_of", [1, 3])
async def test_without_the_comparison_points_and_log_come_apart(
    store: Database, earning: Earning, monkeypatch: pytest.MonkeyPatch, group_of: int
) -> None:
    # A row in the way would fail the statement too: that is the second safety, and off here.
    monkeypatch.setattr(plain_earns, "ctes", partial(_guarded, plain_earns.ctes))
    safe = recording._writing.__wrapped__

    def careless(log: str, parts: tuple[str, ...], *, at_once: bool) -> str:
        return (
            safe(log, parts, at_once=at_once)
            .replace("SELECT 1 / ((", "SELECT 1 / (0 * (")
            .replace(f"= ${4 + len(parts)}::bigint)", f"<= ${4 + len(parts)}::bigint)")
        )

    monkeypatch.setattr(recording, "_writing", careless)
    monkeypatch.setattr(recording.Written, "is_whole", lambda *_: True)
    after = await bought_during_a_gift(store, earning, group_of)
    # The log holds the purchase, the account does not: its row was the gift's.
    assert after.account.lifetime_earned != 17


async def statements(store: Database, earning: Earning, entries: Sequence[Entry]) -> list[str]:
    """What one group asks the database."""
    seen: list[str] = []
    async with store.hot_reading() as connection:
        with connection.query_logger(lambda record: seen.append(record.query)):
            await record_group(connection, entries, shipped(), earning)
            # The logger is told in the loop's next turn.
            await asyncio.sleep(0)
    return seen


async def test_a_group_of_purchases_of_any_size_takes_two_statements(
    store: Database, earning: Earning
) -> None:
    ids = await customers(store, 40)
    for group in (ids[:2], ids[2:]):
        entries = [
            Entry(one, post(f"p-{number}", order_id=f"A-{number}").touchpoint)
            for one in group
            for number in range(3)
        ]
        assert len(await statements(store, earning, entries)) == 2
    assert await is_sound(store)


async def test_what_has_a_past_takes_three(store: Database, earning: Earning) -> None:
    (who,) = await customers(store, 1)
    bought = Entry(who, post("p", order_id="A-1").touchpoint)
    again = Entry(who, post("q", order_id="A-1").touchpoint)
    returned = Entry(who, post("r", kind="refund", order_id="A-1").touchpoint)
    assert [len(await statements(store, earning, [one])) for one in (bought, again, returned)] == [2, 3, 3]
    found = (await account(store, who)).account
    assert (found.lifetime_earned, found.lots[1].remaining) == (10, 0)
    assert await is_sound(store)


async def test_an_earn_that_stood_there_unseen_is_found_under_the_lock(
    store: Database, earning: Earning
) -> None:
    """A purchase is not asked for its earn before it is written: the database says no, and nothing is doubled."""
    (who,) = await customers(store, 1)
    entry = Entry(who, post("p", order_id="A-1").touchpoint)
    async with store.hot_reading() as connection:
        await record_group(connection, [entry], shipped(), earning)
        await connection.execute("DELETE FROM orders")
        other = Entry(who, post("q", order_id="A-1").touchpoint)
        (outcome,) = await record_group(connection, [other], shipped(), earning)
    assert json.loads(outcome.stored.loyalty or "")["points_earned"] == 0  # type: ignore[union-attr]  # it is recorded
    assert (await account(store, who)).account.lifetime_earned == 10


async def test_the_same_group_again_earns_nothing(store: Database, earning: Earning) -> None:
    (who,) = await customers(store, 1)
    entries = [Entry(who, post("p", order_id="A-1").touchpoint)]
    async with store.hot_reading() as connection:
        first = await record_group(connection, entries, shipped(), earning)
        again = await record_group(connection, entries, shipped(), earning)
    told = [outcome.stored.loyalty for outcome in (first[0], again[0])]  # type: ignore[union-attr]  # both are recorded
    assert told[0] == told[1]
    assert (await account(store, who)).account.seq == 1


async def test_two_processes_that_post_the_same_order_earn_once(store: Database, earning: Earning) -> None:
    (who,) = await customers(store, 1)

    async def process(name: int) -> None:
        async with store.hot_reading() as connection:
            for number in range(10):
                entry = Entry(who, post(f"p-{name}-{number}", order_id=f"A-{number}").touchpoint)
                await record_group(connection, [entry], shipped(), earning)

    await asyncio.gather(*(process(name) for name in range(3)))
    assert (await account(store, who)).account.lifetime_earned == 100
    assert await is_sound(store)
