"""From the friend's first order to the reward and back, on a real database: once, whoever settles and however often."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.domain.admission import OPEN
from app.domain.health.model import shipped
from app.domain.identifiers import Reference, parse_reference
from app.domain.loyalty.public_ids import entry_id
from app.storage import states
from app.storage.database import Database
from app.storage.loyalty import programs, referrals
from app.storage.loyalty.programs import Rules
from app.storage.loyalty.referrals import StoredReferral
from app.usecases.loyalty.keep_programs import create_program, draft_version, publish_version
from app.usecases.loyalty.read_account import explain_entry, read_balance, verify_account
from app.usecases.loyalty.referrals.follow_orders import order_paid, order_refunded
from app.usecases.loyalty.referrals.make_code import make_code
from app.usecases.loyalty.referrals.order_steps import Paid, Refunded
from app.usecases.loyalty.referrals.refer import Coming, refer
from app.usecases.loyalty.referrals.settle_referrals import Settled, settle_referrals

MODEL = shipped()
START = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
RULES: dict[str, Any] = {
    "earning_rules": [
        {"code": "bring", "event": "referral", "points": 200},
        {"code": "come", "event": "referred", "points": 50},
    ],
    "pending_days": 14,
    "clawback": "unlimited",
    "tiers": [{"code": "base", "threshold": 0}, {"code": "silver", "threshold": 200}],
    "referrals": {"min_order_minor": 2_000, "limit": 2, "valid_days": 30},
}
CLUB = {"code": "main", "name": "Club", "currency": "EUR", "time_zone": "Europe/Berlin"}


@dataclass
class Shop:
    """Ada, her friends, and the worker."""

    store: Database
    known: Mapping[str, Rules]
    code: str
    ada: UUID

    async def friend(self, name: str, at: datetime = START) -> StoredReferral:
        coming = Coming(self.code, parse_reference(f"external_id:{name}"), None, b"p" * 32)
        async with self.store.hot_transaction() as connection:
            return (await refer(connection, coming, self.known, MODEL, OPEN, at)).stored

    async def pay(self, one: StoredReferral, amount: int, at: datetime, key: str = "order:shop/1:1") -> None:
        async with self.store.hot_transaction() as connection:
            await states.lock(connection, [one.customer_id])
            paid = {one.customer_id: [Paid(key, amount, amount, at)]}
            await order_paid(connection, paid, self.known, at)

    async def refund(
        self, one: StoredReferral, amount: int | None, at: datetime, key: str = "order:shop/1:1"
    ) -> None:
        async with self.store.hot_transaction() as connection:
            await states.lock(connection, [one.customer_id])
            refunded = {one.customer_id: [Refunded(key, amount)]}
            await order_refunded(connection, refunded, self.known, at)

    async def settle(self, at: datetime) -> Settled:
        return await settle_referrals(self.store, self.known, MODEL, at)

    async def now(self, one: StoredReferral) -> StoredReferral:
        async with self.store.hot_reading() as connection:
            found = await referrals.find(connection, one.customer_id, one.id)
            row = await connection.fetchrow(
                "SELECT state, reason FROM loyalty_referrals WHERE customer_id = $1 AND id = $2 AND side = 'referrer'",
                one.other_customer_id,
                one.id,
            )
        assert found is not None
        if found.due_at is None:
            assert tuple(row) == (found.state, found.reason)
        return found

    async def available(self, customer_id: UUID, at: datetime) -> int:
        async with self.store.hot_reading() as connection:
            reference = Reference(customer_id, ())
            _, findings = await verify_account(connection, reference, "main", self.known, at)
            assert not findings
            _, then, _ = await read_balance(connection, reference, "main", None, self.known, at)
        return then.available


@pytest.fixture
async def shop(store: Database) -> Shop:
    async with store.hot_transaction() as connection:
        await create_program(connection, CLUB, "admin", START - DAY)
        await draft_version(connection, "main", RULES, "admin", START - DAY)
        await publish_version(connection, "main", 1, START - DAY, "admin", START - DAY)
        known = await programs.all_rules(connection)
        made = await make_code(connection, parse_reference("external_id:ada"), None, None, known, OPEN, START)
    return Shop(store, known, made.code.code, made.code.customer_id)


async def test_the_first_order_qualifies_and_both_are_rewarded_once_it_is_kept(shop: Shop) -> None:
    bob = await shop.friend("bob")
    await shop.pay(bob, 2_000, START + DAY)
    pending = await shop.now(bob)
    assert (pending.state, pending.kept_until) == ("pending", START + 15 * DAY)
    assert await shop.settle(START + DAY) == Settled(told=1)
    assert await shop.settle(START + 15 * DAY - timedelta(seconds=1)) == Settled()
    assert await shop.settle(START + 15 * DAY) == Settled(rewarded=1)
    assert await shop.settle(START + 16 * DAY) == Settled()
    done = await shop.now(bob)
    assert (done.state, done.referrer_points, done.referee_points, done.due_at) == ("rewarded", 200, 50, None)
    # The return window is over: the points are active at once, and say why they are there.
    assert await shop.available(shop.ada, START + 15 * DAY) == 200
    assert await shop.available(bob.customer_id, START + 15 * DAY) == 50
    async with shop.store.hot_reading() as connection:
        (row,) = await connection.fetch(
            "SELECT account_id FROM loyalty_accounts WHERE customer_id = $1", shop.ada
        )
        why = (await explain_entry(connection, entry_id(shop.ada, row[0], 1))).explain
    assert why is not None
    assert (why["points"], why["rules"][0]["rule"]) == (200, "bring")


@pytest.mark.parametrize(
    "amount, at, reason",
    [
        (1_999, START + DAY, "minimum_order"),
        (2_000, START + 30 * DAY, "expired"),
        (2_000, START - 2 * DAY, "existing_customer"),
    ],
)
async def test_an_order_that_does_not_count_ends_it(
    shop: Shop, amount: int, at: datetime, reason: str
) -> None:
    bob = await shop.friend("bob")
    await shop.pay(bob, amount, at)
    await shop.settle(START + 40 * DAY)
    ended = await shop.now(bob)
    assert (ended.state, ended.reason) == ("rejected", reason)
    # Only the first one counts.
    await shop.pay(bob, 9_000, START + 5 * DAY, "order:shop/2:1")
    assert (await shop.now(bob)).state == "rejected"


async def test_a_refund_before_the_reward_reverses_it_and_gives_nothing(shop: Shop) -> None:
    bob = await shop.friend("bob")
    await shop.pay(bob, 2_500, START + DAY)
    await shop.refund(bob, None, START + 2 * DAY, "order:shop/other:1")
    await shop.refund(bob, 500, START + 2 * DAY)
    assert (await shop.now(bob)).state == "pending"
    await shop.refund(bob, 1, START + 3 * DAY)
    assert (await shop.now(bob)).state == "reversed"
    assert await shop.settle(START + 30 * DAY) == Settled(reversed=1)
    assert await shop.available(shop.ada, START + 30 * DAY) == 0


async def test_a_refund_after_the_reward_takes_it_back_once(shop: Shop) -> None:
    bob = await shop.friend("bob")
    await shop.pay(bob, 2_500, START + DAY)
    await shop.settle(START + 15 * DAY)
    await shop.refund(bob, None, START + 20 * DAY)
    await shop.refund(bob, None, START + 20 * DAY)
    assert await shop.settle(START + 20 * DAY) == Settled(reversed=1)
    assert await shop.settle(START + 20 * DAY) == Settled()
    ended = await shop.now(bob)
    assert (ended.state, ended.reason) == ("reversed", "refunded")
    assert await shop.available(shop.ada, START + 20 * DAY) == 0
    assert await shop.available(bob.customer_id, START + 20 * DAY) == 0


async def test_no_more_rewards_than_a_year_allows_however_many_friends_wait(shop: Shop) -> None:
    friends = [await shop.friend(f"f{number}") for number in range(3)]
    for one in friends:
        await shop.pay(one, 2_000, START + DAY)
    settled = await shop.settle(START + 15 * DAY)
    assert (settled.rewarded, settled.rejected) == (2, 1)
    ends = [(await shop.now(one)).reason or "" for one in friends]
    assert sorted(ends) == ["", "", "limit"]
    assert await shop.available(shop.ada, START + 15 * DAY) == 400
    late = await shop.friend("late", START + 20 * DAY)
    assert (late.state, late.reason) == ("rejected", "limit")


async def test_several_workers_at_once_reward_once(shop: Shop) -> None:
    friends = [await shop.friend(f"f{number}") for number in range(2)]
    for one in friends:
        await shop.pay(one, 2_000, START + DAY)
    done = await asyncio.gather(*[shop.settle(START + 15 * DAY) for _ in range(4)])
    assert sum(one.rewarded for one in done) == 2
    assert sum(one.failed for one in done) == 0
    assert await shop.available(shop.ada, START + 15 * DAY) == 400


async def test_a_referral_whose_referrer_was_erased_rests(shop: Shop) -> None:
    bob = await shop.friend("bob")
    await shop.pay(bob, 2_000, START + DAY)
    async with shop.store.hot_transaction() as connection:
        await connection.execute(
            "UPDATE customer_states SET erased_at = $2 WHERE customer_id = $1", shop.ada, START + DAY
        )
    assert await shop.settle(START + 15 * DAY) == Settled(rested=1)
    assert await shop.settle(START + 16 * DAY) == Settled()


async def test_two_who_turn_out_to_be_one_are_not_rewarded(shop: Shop) -> None:
    bob = await shop.friend("bob")
    await shop.pay(bob, 2_000, START + DAY)
    async with shop.store.hot_transaction() as connection:
        await connection.execute(
            "UPDATE customer_states SET merged_into = $2 WHERE customer_id = $1", bob.customer_id, shop.ada
        )
        # As a merge moves rows.
        await connection.execute(
            "UPDATE loyalty_referrals SET customer_id = $2 WHERE customer_id = $1", bob.customer_id, shop.ada
        )
    assert await shop.settle(START + 15 * DAY) == Settled(rejected=1)
    ended = await shop.now(bob._replace(customer_id=shop.ada))
    assert (ended.state, ended.reason) == ("rejected", "self")


async def test_a_step_over_another_is_not_written(shop: Shop) -> None:
    bob = await shop.friend("bob")
    async with shop.store.hot_reading() as connection:
        assert not await referrals.step(connection, [bob._replace(revision=bob.revision + 2)])


async def test_orders_of_many_friends_ask_two_statements_at_most(shop: Shop) -> None:
    said: list[str] = []
    friends = [await shop.friend(f"f{number}") for number in range(5)]
    paid = {one.customer_id: [Paid("order:shop/1:1", 2_000, 2_000, START + DAY)] for one in friends}
    async with shop.store.hot_transaction() as connection:
        await states.lock(connection, [one.customer_id for one in friends])
        connection.add_query_logger(lambda query: said.append(query.query))
        await order_paid(connection, paid, shop.known, START + DAY)
    assert len([one for one in said if "loyalty_referrals" in one]) == 2


async def test_a_tier_that_rises_by_a_referral_is_told_once(shop: Shop) -> None:
    bob = await shop.friend("bob")
    await shop.pay(bob, 2_000, START + DAY)
    for number in (15, 16):
        await shop.settle(START + number * DAY)
    async with shop.store.hot_reading() as connection:
        rows = await connection.fetch(
            "SELECT customer_id, properties ->> 'from', properties ->> 'to', properties ->> 'why' FROM touchpoints"
            " WHERE kind = 'tier_changed'"
        )
    # The friend's points do not reach it.
    assert [tuple(row) for row in rows] == [(shop.ada, "base", "silver", "upgrade")]
