"""The first and the last value that is taken, and the first that is not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest

from app.domain.loyalty.account import Lot
from app.domain.loyalty.balances import Line, liability, statement
from app.domain.loyalty.conditions import Member
from app.domain.loyalty.crediting import Earning
from app.domain.loyalty.earning import earning_of, evaluate_occasion, nothing
from app.domain.loyalty.points import MOST_POINTS, decimal_text, multiplier_of, points_of, whole
from app.domain.loyalty.public_ids import entry_id, entry_not_found, own_id, parse_entry_id
from app.domain.loyalty.rewards import (
    LONGEST_PREFIX,
    MOST_CODES,
    Buyer,
    Reward,
    check_offer,
    coupon_key,
    coupons_of,
    offer,
    reward_of,
)
from app.domain.loyalty.versions import version_of
from app.domain.problems import Conflict, Invalid
from tests.domain.loyalty.ledgers import START, Ledger, day
from tests.domain.loyalty.programmes import AT, BASE, BERLIN, CLUB, points, purchase

NEW_YEAR = "2026-01-01T00:00:00Z"
MUG: dict[str, Any] = {"code": "mug", "name": "Mug", "points": 70}


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    """The code and the place; every refusal also says in words what would do."""
    with pytest.raises(Invalid) as refused:
        call()
    (fault,) = refused.value.errors
    assert refused.value.code == fault.code
    assert fault.detail
    return fault.code, fault.pointer


@pytest.mark.parametrize("value", [0, MOST_POINTS + 1, True, 1.0, "1", None])
def test_points_are_whole_numbers_from_one_to_the_most(value: object) -> None:
    assert refusal(lambda: points_of(value)) == ("invalid_points", "#/points")
    assert refusal(lambda: whole(value, "#/x")) == ("invalid_number", "#/x")
    assert (points_of(1), points_of(MOST_POINTS)) == (1, MOST_POINTS)
    assert (whole(1, "#/x"), whole(MOST_POINTS, "#/x"), whole(0, "#/x", least=0)) == (1, MOST_POINTS, 0)


def test_multipliers_are_decimal_strings() -> None:
    assert multiplier_of("1.25", "#/m") == Fraction(5, 4)
    for value in ("1,5", "01", "1.", "1.1234567", 1.5, None):
        assert refusal(lambda value=value: multiplier_of(value, "#/m")) == ("invalid_multiplier", "#/m")  # type: ignore[misc]


def test_numbers_are_told_with_their_sign_and_what_was_cut() -> None:
    told = {Fraction(-1, 2): "-0.5", Fraction(-1, 3): "-0.333333…", Fraction(0): "0", Fraction(33, 4): "8.25"}
    assert {number: decimal_text(number) for number in told} == told


# --- rewards --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, code, pointer",
    [
        ({"points": None}, "property_required", "#/points"),
        ({"points": 0}, "invalid_number", "#/points"),
        (
            {"valid_from": "2026-01-02T00:00:00Z", "valid_until": "2026-01-02T00:00:00Z"},
            "invalid_window",
            "#/valid_until",
        ),
        ({"coupon_prefix": "AB"}, "invalid_prefix", "#/coupon_prefix"),
        ({"coupon_prefix": "AB", "coupons": "given"}, "invalid_prefix", "#/coupon_prefix"),
        (
            {"coupon_prefix": "A" * (LONGEST_PREFIX + 1), "coupons": "generated"},
            "invalid_prefix",
            "#/coupon_prefix",
        ),
        ({"coupon_prefix": "A-B", "coupons": "generated"}, "invalid_prefix", "#/coupon_prefix"),
        ({"coupon_prefix": 5, "coupons": "generated"}, "invalid_text", "#/coupon_prefix"),
    ],
)
def test_a_reward_that_cannot_be_is_refused_by_its_place(
    change: dict[str, Any], code: str, pointer: str
) -> None:
    said = {name: value for name, value in (MUG | change).items() if value is not None}
    assert refusal(lambda: reward_of(said)) == (code, pointer)


def test_a_reward_has_all_that_was_said_of_it() -> None:
    said = MUG | {
        "points": 1,
        "stock": 0,
        "per_customer": 1,
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": "2026-01-01T00:00:01Z",
        "tier": "gold",
        "early_tier": "vip",
        "coupons": "generated",
        "coupon_prefix": "A" * LONGEST_PREFIX,
    }
    since = datetime(2026, 1, 1, tzinfo=UTC)
    assert reward_of(said) == Reward(
        "mug",
        "Mug",
        1,
        0,
        1,
        since,
        since + timedelta(seconds=1),
        "gold",
        "vip",
        "generated",
        "A" * LONGEST_PREFIX,
    )
    assert reward_of(MUG | {"valid_until": "2026-01-01T00:00:00Z"}).valid_from is None
    assert reward_of(MUG | {"valid_from": "2026-01-01T00:00:00Z"}).valid_until is None
    assert reward_of(MUG) == Reward("mug", "Mug", 70)


def test_who_may_not_have_a_reward_is_told_all_that_is_missing() -> None:
    made = offer(Reward("mug", "Mug", 70, tier="gold"), 0, Buyer("base", ("base", "gold"), 50), AT)
    with pytest.raises(Conflict) as refused:
        check_offer(made)
    assert refused.value.code == "tier_required"
    assert refused.value.members == {"unmet": ["tier", "out_of_stock", "points"], "missing": 20}
    assert refused.value.detail == "The reward is for a higher tier."


def test_coupons_are_printable_and_once_in_a_list_however_they_are_written() -> None:
    assert coupons_of(["A", "x" * 64]) == ("A", "x" * 64)
    assert coupon_key(" oil-1 l") == coupon_key("0111 1") == "01111"
    for code in ("", "x" * 65, "- -", "\u00e9", "a\tb"):
        assert refusal(lambda code=code: coupons_of(["A", code])) == ("invalid_coupon", "#/codes/1")  # type: ignore[misc]
    assert refusal(lambda: coupons_of(["O1", "0-i"])) == ("duplicate_coupon", "#/codes/1")


def test_a_list_of_coupons_has_an_end() -> None:
    codes = [f"C{number}Z" for number in range(MOST_CODES + 1)]
    assert len(coupons_of(codes[1:])) == MOST_CODES
    assert refusal(lambda: coupons_of(codes)) == ("too_many_coupons", "#/codes")


# --- what is recorded and what is read ------------------------------------------------------------------------------


def test_what_is_recorded_of_an_earn_is_all_of_this() -> None:
    evaluated = points([BASE], purchase(1_050))
    version = version_of({"pending_days": 3})
    assert earning_of(evaluated, "k", AT, version, CLUB, 1_050) == Earning(
        "k", 10, AT, AT + timedelta(days=3), datetime(2027, 6, 1, tzinfo=BERLIN), 1_050, 10
    )
    assert earning_of(evaluated, "k", AT, version_of({"expiry_months": None}), CLUB).expires_at is None
    assert earning_of(nothing("no_rule"), "k", AT, version, CLUB).paid_minor == 0


def test_an_occasion_has_no_amount_that_is_missing() -> None:
    version = version_of({"earning_rules": [{"code": "s", "event": "signup", "points": 10}]})
    done = evaluate_occasion(version, CLUB, "signup", AT, Member())
    assert (done.points, done.qualifying, done.missing_minor, done.by_rule) == (10, 10, None, {"s": 10})


def test_a_statement_begins_with_its_first_instant_and_ends_before_its_last() -> None:
    made = Ledger()
    for number in range(4):
        made.at(number).earn(10 + number, f"o{number}")
    told = statement(made.entries, day(1), day(3))
    assert told == (10, (Line(2, day(1), "earn", 11, 21), Line(3, day(2), "earn", 12, 33)), 33)
    assert statement(made.entries, day(9), day(10)) == (46, (), 46)


def test_what_is_owed_goes_by_the_month_of_its_own_wall_and_for_ever_comes_last() -> None:
    midnight = datetime(2026, 6, 1, tzinfo=BERLIN)
    lots = [
        Lot(1, START, None, granted=5),
        Lot(2, START, midnight, granted=7),
        Lot(3, START, midnight - timedelta(hours=3), granted=1),
        Lot(4, START, midnight + timedelta(microseconds=1), granted=2),
        Lot(5, START, START, granted=9, held=4),
    ]
    owed = liability(lots, 3, START, BERLIN)
    assert list(owed.by_month.items()) == [("2026-01", 4), ("2026-05", 8), ("2026-06", 2), (None, 5)]
    assert (owed.points, owed.debt) == (19, 3)


# --- names ----------------------------------------------------------------------------------------------------------

CUSTOMER, ACCOUNT = UUID(int=7), UUID(int=8)


def test_the_id_of_an_entry_is_read_back_and_nothing_else_is() -> None:
    good = entry_id(CUSTOMER, ACCOUNT, 12)
    stem = good.removesuffix("12")
    longest = stem + "2147483647"
    assert parse_entry_id(good) == (CUSTOMER, ACCOUNT, 12)
    assert parse_entry_id(longest) == (CUSTOMER, ACCOUNT, 2**31 - 1)
    for bad in (stem, stem + "1x", stem + "\u0661", stem + "1" * 11, stem + "-1", "", "entry_x", good[1:]):
        with pytest.raises(type(entry_not_found())) as missing:
            parse_entry_id(bad)
        assert (missing.value.code, bool(missing.value.detail)) == ("entry_not_found", True)


def test_an_own_id_is_this_one_for_ever() -> None:
    made = own_id(ACCOUNT, "hold", "h", AT)
    assert made.int >> 80 == int(AT.timestamp() * 1000)
    assert made == own_id(ACCOUNT, "hold", "h", AT)
    assert (
        len({own_id(ACCOUNT, what, name, AT) for what, name in (("a", "bc"), ("ab", "c"), ("abc", ""))}) == 3
    )
