"""Each number of a version has a name, a smallest and a largest value, and is kept as it was said."""

from datetime import timedelta
from typing import Any

import pytest

from app.domain.loyalty.points import MOST_POINTS
from app.domain.loyalty.versions import (
    MOST_MONTHS,
    Limits,
    Programme,
    Published,
    ReferralRules,
    Tier,
    TierRules,
    Version,
    check_publishable,
    programme_of,
    version_of,
)
from app.domain.problems import Conflict, Invalid
from tests.domain.loyalty.programmes import AT, BERLIN

LARGEST_AMOUNT = 2**53 - 1
YEAR = 366
TEN_YEARS = 3_660
WEEK_SECONDS = 604_800


def body_with(place: str, value: object) -> dict[str, Any]:
    """A version that says one number, at the top or one level below."""
    outer, _, inner = place.partition("/")
    return {outer: {inner: value}} if inner else {outer: value}


def kept(version: Version, place: str) -> object:
    """What the version has of that number."""
    tiers, referrals, limits = version.tier_rules, version.referrals, version.limits
    return {
        "pending_days": version.pending_days,
        "expiry_months": version.expiry_months,
        "reinstatement_grace_days": version.reinstatement_grace_days,
        "hold_ttl_seconds": version.hold_ttl_seconds,
        "expiry_warning_days": version.expiry_warning_days,
        "tier_window_months": tiers.window_months,
        "tier_grace_days": tiers.grace_days,
        "tier_warning_days": tiers.warning_days,
        "referrals/min_order_minor": referrals.least_minor,
        "referrals/limit": referrals.most,
        "referrals/valid_days": referrals.valid_days,
        "referrals/per_day": referrals.per_day,
        "limits/approval_over": limits.approval_over,
        "limits/goodwill_a_year": limits.goodwill_a_year,
        "limits/surprise_a_year": limits.surprise_a_year,
    }[place]


@pytest.mark.parametrize(
    "place, least, most",
    [
        ("reinstatement_grace_days", 0, YEAR),
        ("hold_ttl_seconds", 1, WEEK_SECONDS),
        ("expiry_warning_days", 0, YEAR),
        ("expiry_months", 1, MOST_MONTHS),
        ("tier_window_months", 1, MOST_MONTHS),
        ("tier_grace_days", 0, YEAR),
        ("tier_warning_days", 0, YEAR),
        ("referrals/min_order_minor", 0, LARGEST_AMOUNT),
        ("referrals/limit", 0, MOST_POINTS),
        ("referrals/valid_days", 1, TEN_YEARS),
        ("referrals/per_day", 1, MOST_POINTS),
        ("limits/approval_over", 0, MOST_POINTS),
        ("limits/goodwill_a_year", 0, MOST_POINTS),
        ("limits/surprise_a_year", 0, MOST_POINTS),
    ],
)
def test_a_number_is_kept_within_its_bounds_and_refused_beyond(place: str, least: int, most: int) -> None:
    said = {"pending_days": 0}
    for value in (least, most):
        assert kept(version_of(said | body_with(place, value)), place) == value
    for value in (least - 1, most + 1):
        with pytest.raises(Invalid) as refusal:
            version_of(said | body_with(place, value))
        (fault,) = refusal.value.errors
        assert (fault.code, fault.pointer) == ("invalid_number", f"#/{place}")


def test_points_may_be_pending_for_a_year_where_they_never_run_out() -> None:
    assert version_of({"pending_days": YEAR, "expiry_months": None}).pending_days == YEAR
    with pytest.raises(Invalid) as refusal:
        version_of({"pending_days": YEAR + 1, "expiry_months": None})
    assert refusal.value.errors[0].pointer == "#/pending_days"


def test_a_threshold_is_at_most_the_largest_amount() -> None:
    base = {"code": "base"}
    made = version_of({"tiers": [base, {"code": "gold", "threshold": LARGEST_AMOUNT}]})
    assert made.tier_rules.tiers == (Tier("base", 0), Tier("gold", LARGEST_AMOUNT))
    with pytest.raises(Invalid) as refusal:
        version_of({"tiers": [base, {"code": "gold", "threshold": LARGEST_AMOUNT + 1}]})
    assert refusal.value.errors[0].pointer == "#/tiers/1/threshold"


def test_what_is_not_said_of_referrals_limits_and_tiers_is_the_standard() -> None:
    made = version_of({"referrals": {"limit": 3}, "limits": {"approval_over": 7}, "tier_window_months": 6})
    assert made.referrals == ReferralRules(0, 3, 90, 20)
    assert made.limits == Limits(7, 10_000, 1_000)
    assert made.tier_rules == TierRules((Tier("base", 0),), 6, "one_down", 30, "points", 30)


def test_a_programme_has_all_that_was_said_of_it() -> None:
    body = {"code": "main", "name": "Club", "currency": "JPY", "time_zone": "Europe/Berlin"}
    assert programme_of(body) == Programme("main", "Club", "JPY", BERLIN)
    with pytest.raises(Invalid) as refusal:
        programme_of(body | {"currency": "EURO"})
    assert refusal.value.errors[0].pointer == "#/currency"


def test_a_version_that_comes_too_early_is_told_from_when_one_may_begin() -> None:
    in_force = Published(1, Version(), AT - timedelta(days=9))
    planned = Published(2, Version(), AT + timedelta(days=9))
    for others, earliest in (((in_force,), AT), ((in_force, planned), planned.effective_from)):
        with pytest.raises(Conflict) as refusal:
            check_publishable(AT - timedelta(days=1), others, AT)
        assert refusal.value.members == {"earliest": earliest.isoformat()}
