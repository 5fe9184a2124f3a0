"""Rewards, their coupons, and the last item."""

from datetime import timedelta
from typing import Any

import pytest

from app.domain.loyalty.account import Account, Decision
from app.domain.loyalty.rewards import (
    COUPON_BYTES,
    REFUSALS,
    Buyer,
    Redeemed,
    Reward,
    check_offer,
    coupon_key,
    coupon_of,
    coupons_of,
    offer,
    redeemed,
    reward_of,
)
from app.domain.problems import Conflict, Invalid
from tests.domain.loyalty.ledgers import START, Ledger, day

TIERS = ["base", "silver", "gold"]
SECOND = timedelta(seconds=1)


def buyer(tier: str = "base", available: int = 500, taken: int = 0) -> Buyer:
    return Buyer(tier, TIERS, available, taken)


def redeem(account: Account, hold: str = "h1", **said: Any) -> Decision[Redeemed]:
    given: dict[str, Any] = {"stock": None, "coupon": None, "needs_coupon": False, "now": START, **said}
    return redeemed(account, hold, grace=timedelta(days=30), **given)


@pytest.mark.parametrize(
    "reward, stock, who, at, unmet",
    [
        ({}, None, buyer(), START, ()),
        ({}, 1, buyer(), START, ()),
        ({}, 0, buyer(), START, ("out_of_stock",)),
        ({}, None, buyer(available=99), START, ("points",)),
        ({}, None, buyer(available=100), START, ()),
        ({"per_customer": 2}, None, buyer(taken=1), START, ()),
        ({"per_customer": 2}, None, buyer(taken=2), START, ("limit",)),
        ({"valid_from": day(1)}, None, buyer(), day(1) - SECOND, ("not_yet",)),
        ({"valid_from": day(1)}, None, buyer(), day(1), ()),
        ({"valid_until": day(1)}, None, buyer(), day(1) - SECOND, ()),
        ({"valid_until": day(1)}, None, buyer(), day(1), ("over",)),
        ({"tier": "silver"}, None, buyer("base"), START, ("tier",)),
        ({"tier": "silver"}, None, buyer("silver"), START, ()),
        ({"tier": "silver"}, None, buyer("gold"), START, ()),
        ({"tier": "gone"}, None, buyer("gold"), START, ("tier",)),
        ({"valid_from": day(1), "early_tier": "silver"}, None, buyer("silver"), START, ()),
        ({"valid_from": day(1), "early_tier": "silver"}, None, buyer("base"), START, ("not_yet",)),
        (
            {"tier": "gold", "per_customer": 1},
            0,
            buyer("base", 0, 1),
            START,
            ("tier", "limit", "out_of_stock", "points"),
        ),
    ],
)
def test_an_offer_names_everything_that_is_in_the_way(
    reward: dict[str, Any], stock: int | None, who: Buyer, at: Any, unmet: tuple[str, ...]
) -> None:
    made = offer(Reward("mug", "Mug", 100, **reward), stock, who, at)
    assert made.unmet == unmet
    assert made.missing == max(100 - who.available, 0)
    if unmet:
        with pytest.raises(Conflict) as refusal:
            check_offer(made)
        assert refusal.value.code == REFUSALS[unmet[0]][0]  # type: ignore[index]  # the parameters are plain texts
        assert refusal.value.members["unmet"] == list(unmet)
    else:
        check_offer(made)


def test_the_last_item_has_one_winner_and_the_losers_hold_is_freed() -> None:
    one, other = Ledger(), Ledger()
    for ledger in (one, other):
        ledger.earn(100)
        ledger.hold(100, reward="mug")
    won = redeem(one.account, stock=1)
    assert (won.result.stock, won.result.failed) == (0, None)
    lost = redeem(other.account, stock=0)
    assert (lost.result.failed, lost.result.spend, lost.result.hold.state) == (
        "out_of_stock",
        None,
        "released",
    )
    other.take(lost)
    assert other.available == 100


def test_a_coupon_that_cannot_be_issued_restores_the_points_once() -> None:
    ledger = Ledger()
    ledger.earn(100)
    ledger.hold(100)
    done: Redeemed = ledger.take(redeem(ledger.account, stock=5, needs_coupon=True))
    assert (done.failed, done.stock, ledger.available) == ("coupon_failed", 5, 100)
    again: Redeemed = ledger.take(redeem(ledger.account, stock=5, coupon="X", needs_coupon=True))
    assert (again.failed, again.stock, ledger.available) == ("coupon_failed", 5, 100)


def test_a_redemption_that_was_refunded_is_no_failed_coupon() -> None:
    ledger = Ledger()
    ledger.earn(100)
    ledger.hold(100)
    ledger.take(redeem(ledger.account, coupon="X", needs_coupon=True))
    ledger.refund(spend="h1")
    again: Redeemed = ledger.take(redeem(ledger.account, coupon="X", needs_coupon=True))
    assert (again.failed, again.coupon) == (None, "X")


def test_a_capture_again_takes_no_second_item() -> None:
    ledger = Ledger()
    ledger.earn(100)
    ledger.hold(100)
    ledger.take(redeem(ledger.account, stock=1, coupon="X", needs_coupon=True))
    again: Redeemed = ledger.take(redeem(ledger.account, stock=0, coupon="X", needs_coupon=True))
    assert (again.failed, again.stock, again.coupon) == (None, 0, "X")
    assert again.spend is not None


def test_a_generated_coupon_has_sixty_bits_and_is_read_however_it_is_typed() -> None:
    code = coupon_of(bytes(range(COUPON_BYTES)), "MUG")
    assert len(code) == len("MUG-AAAA-BBBB-CCCC")
    assert coupon_key(code.lower().replace("-", " ")) == coupon_key(code)
    assert coupon_of(bytes(COUPON_BYTES)) == "0000-0000-0000"
    assert coupon_of(b"\xff" * COUPON_BYTES) == "ZZZZ-ZZZZ-ZZZZ"
    assert len({coupon_of((1 << bit).to_bytes(COUPON_BYTES)) for bit in range(60)}) == 60


@pytest.mark.parametrize(
    "codes, code",
    [
        (["A1", "a-1"], "duplicate_coupon"),
        ([""], "invalid_coupon"),
        (["x" * 65], "invalid_coupon"),
        (["ä"], "invalid_coupon"),
    ],
)
def test_a_given_list_has_each_code_once(codes: list[str], code: str) -> None:
    assert coupons_of(["A1", "A2"]) == ("A1", "A2")
    with pytest.raises(Invalid) as refusal:
        coupons_of(codes)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    "change, code",
    [
        ({"points": 0}, "invalid_number"),
        ({"points": None}, "property_required"),
        ({"stock": -1}, "invalid_number"),
        ({"per_customer": 0}, "invalid_number"),
        ({"valid_from": "2026-05-02T00:00Z", "valid_until": "2026-05-02T00:00Z"}, "invalid_window"),
        ({"prize": 1}, "unknown_member"),
        ({"coupons": "printed"}, "unknown_value"),
        ({"coupons": "generated", "coupon_prefix": "A B"}, "invalid_prefix"),
        ({"coupons": "given", "coupon_prefix": "MUG"}, "invalid_prefix"),
    ],
)
def test_a_reward_is_checked(change: dict[str, Any], code: str) -> None:
    body = {"code": "mug", "name": "Mug", "points": 100, "stock": 0, "tier": "gold"}
    assert reward_of(body) == Reward("mug", "Mug", 100, stock=0, tier="gold")
    with pytest.raises(Invalid) as refusal:
        reward_of({**body, **change})
    assert refusal.value.code == code
