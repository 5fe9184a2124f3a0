"""The way back of points that were spent: which lots, under which name, and what is left to give back."""

from datetime import timedelta

import pytest

from app.domain.loyalty.account import Draw, Refunded
from app.domain.problems import Conflict, Invalid
from tests.domain.loyalty.ledgers import Ledger, day


def test_a_refund_goes_first_to_the_lot_that_lives_longest_whatever_its_number() -> None:
    made = Ledger()
    made.earn(100, "long", lives=50)
    made.earn(50, "short", lives=10)
    made.spend(120)
    assert made.refund(60) == Refunded("r1", 60, 60, 0, 0, None)
    assert made.account.spends["s1"].draws == (Draw(2, 50, 0), Draw(1, 70, 60))
    assert (made.remaining("long"), made.remaining("short")) == (90, 0)
    entry = made.entries[-1]
    assert (entry.kind, entry.key, entry.points) == ("restore", "r1", 60)


def test_one_point_may_come_back_and_not_one_more_than_there_is() -> None:
    made = Ledger()
    made.earn(10)
    made.spend(10)
    assert made.refund(1).points == 1
    assert made.refund(9, "r2").points == 9
    for points in (1, None):
        with pytest.raises(Invalid) as refusal:
            made.refund(points, "r3")
        assert (refusal.value.code, refusal.value.members) == ("more_than_spent", {"refundable": 0})
        assert refusal.value.errors[0].detail


def test_points_whose_lot_has_lapsed_are_restored_and_expire_at_that_instant() -> None:
    made = Ledger()
    made.earn(80, lives=10)
    made.spend(80)
    assert made.at(11).refund(30, grace=0) == Refunded("r1", 30, 0, 30, 0, None)
    restored, expired = made.entries[-2:]
    assert (restored.kind, restored.key, restored.points) == ("restore", "r1", 30)
    assert (expired.kind, expired.points, expired.effective_at) == ("expire", -30, day(11))


def test_of_living_and_lapsed_lots_each_part_has_its_own_way() -> None:
    made = Ledger()
    made.earn(40, "short", lives=10)
    made.adjust(60)
    made.spend(100)
    done = made.at(11).refund(100, grace=3)
    assert done == Refunded("r1", 100, 60, 0, 40, day(14))
    assert made.balance.next_expirations == ((40, day(14)),)
    assert made.at(14).available == 60
    assert made.at(14 - 1e-6).available == 100


def test_what_an_adjustment_gave_comes_back_as_nobodys_earn() -> None:
    made = Ledger()
    made.adjust(50, expires_at=day(5))
    made.spend(50)
    made.at(6).refund(grace=2)
    assert made.account.lots[made.entries[-1].seq].earn_key is None
    assert made.account.earns == {}


def test_a_captured_hold_cannot_be_given_up_and_says_what_it_spent() -> None:
    made = Ledger()
    made.earn(100)
    made.hold(40)
    made.capture(points=30)
    with pytest.raises(Conflict) as refusal:
        made.release()
    assert (refusal.value.code, refusal.value.members) == ("hold_captured", {"points": 30})
    assert refusal.value.detail
    with pytest.raises(Conflict) as refusal:
        made.capture(points=40)
    assert (refusal.value.code, refusal.value.members) == ("already_captured", {"points": 30})


def test_a_refund_again_is_the_same_one_and_another_under_its_name_is_refused() -> None:
    made = Ledger()
    made.earn(100)
    made.spend(50)
    first = made.refund(20)
    assert made.at(1).refund(20) == made.refund(None) == first
    with pytest.raises(Conflict) as refusal:
        made.refund(30)
    assert (refusal.value.code, bool(refusal.value.detail)) == ("id_reused", True)
    assert made.account.spends["s1"].refundable == 30


def test_a_hold_counts_from_when_it_was_opened_to_the_second() -> None:
    made = Ledger()
    made.earn(10)
    hold = made.at(1).hold(5, ttl=1)
    assert (hold.opened_at, hold.expires_at) == (day(1), day(1) + timedelta(seconds=1))
    late = Ledger(made.account, made.entries)
    late.now = hold.expires_at
    with pytest.raises(Conflict) as refusal:
        late.capture()
    assert (refusal.value.code, refusal.value.members) == ("hold_expired", {"state": "expired"})
    made.now = hold.expires_at - timedelta.resolution
    assert made.capture().spend.points == 5
