"""Versions and programmes: what is taken, what is refused and where."""

from datetime import timedelta
from typing import Any

import pytest

from app.domain.loyalty.points import decimal_text, multiplier_of
from app.domain.loyalty.versions import (
    Published,
    Tier,
    Version,
    check_publishable,
    programme_of,
    version_of,
    version_sha256,
)
from app.domain.problems import Conflict, Invalid
from tests.domain.loyalty.programmes import AT, BASE

EXAMPLE: dict[str, Any] = {
    "earning_rules": [
        {**BASE, "multiplier": "1"},
        {"code": "shoes", "multiplier": "2", "when": {"category": ["shoes"]}},
    ],
    "pending_days": 14,
    "expiry_months": 12,
    "expiry_rounding": "month_end",
    "clawback": "within_balance",
    "reinstatement_grace_days": 30,
    "hold_ttl_seconds": 900,
    "tiers": [{"code": "base", "threshold": 0, "multiplier": "1"}, {"code": "silver", "threshold": 500}],
    "tier_window_months": 12,
    "tier_downgrade": "one_down",
    "tier_grace_days": 30,
}


def test_the_example_of_the_contract_is_taken_and_its_defaults_are_those() -> None:
    version = version_of(EXAMPLE)
    assert [rule.code for rule in version.rules] == ["base", "shoes"]
    assert version.tier_rules.tiers[1] == Tier("silver", 500)
    assert version_of({}) == Version()
    assert version_of({"expiry_months": None}).expiry_months is None


@pytest.mark.parametrize(
    "change, pointer, code",
    [
        ({"pending": 1}, "#/pending", "unknown_member"),
        ({"pending_days": -1}, "#/pending_days", "invalid_number"),
        ({"pending_days": True}, "#/pending_days", "invalid_number"),
        ({"pending_days": 1.0}, "#/pending_days", "invalid_number"),
        ({"clawback": "never"}, "#/clawback", "unknown_value"),
        ({"expiry_months": 0}, "#/expiry_months", "invalid_number"),
        ({"expiry_months": 1, "pending_days": 28}, "#/expiry_months", "expires_while_pending"),
        ({"hold_ttl_seconds": 0}, "#/hold_ttl_seconds", "invalid_number"),
        ({"earning_rules": [{"points": 1}]}, "#/earning_rules/0/code", "property_required"),
        ({"earning_rules": [{"code": "x"}]}, "#/earning_rules/0/multiplier", "invalid_rule"),
        (
            {"earning_rules": [{"code": "x", "multiplier": 1.5}]},
            "#/earning_rules/0/multiplier",
            "invalid_multiplier",
        ),
        (
            {"earning_rules": [{**BASE, "multiplier": "1,5"}]},
            "#/earning_rules/0/multiplier",
            "invalid_multiplier",
        ),
        ({"earning_rules": [{**BASE, "event": "signup"}]}, "#/earning_rules/0/event", "invalid_rule"),
        ({"earning_rules": [{"code": "x", "event": "signup"}]}, "#/earning_rules/0/points", "invalid_rule"),
        ({"earning_rules": [BASE, BASE]}, "#/earning_rules", "duplicate_code"),
        ({"earning_rules": [{**BASE, "when": {"tier": ["x"]}}]}, "#/earning_rules", "invalid_rule"),
        ({"earning_rules": [{**BASE, "when": {"sku": []}}]}, "#/earning_rules/0/when/sku", "invalid_list"),
        (
            {"earning_rules": [{**BASE, "when": {"from": "2026-05-01"}}]},
            "#/earning_rules/0/when/from",
            "naive_time",
        ),
        (
            {"earning_rules": [{**BASE, "caps": {"per_period": 5}}]},
            "#/earning_rules/0/caps/per_period",
            "invalid_rule",
        ),
        ({"earning_rules": ["x"]}, "#/earning_rules/0", "invalid_type"),
        ({"tiers": [{"code": "base", "threshold": 1}]}, "#/tiers", "invalid_tiers"),
        ({"tiers": [{"code": "a"}, {"code": "b", "threshold": 0}]}, "#/tiers", "invalid_tiers"),
        ({"tiers": [{"code": "a"}, {"code": "a", "threshold": 5}]}, "#/tiers", "duplicate_code"),
        ({"limits": {"x": 1}}, "#/limits/x", "unknown_member"),
        ({"referrals": []}, "#/referrals", "invalid_type"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(change: dict[str, Any], pointer: str, code: str) -> None:
    with pytest.raises(Invalid) as refusal:
        version_of({**EXAMPLE, **change})
    assert (refusal.value.errors[0].pointer, refusal.value.code) == (pointer, code)


def test_a_published_version_can_be_held_to_its_body() -> None:
    assert version_sha256(EXAMPLE) == version_sha256(dict(reversed(EXAMPLE.items())))
    assert version_sha256(EXAMPLE) != version_sha256({**EXAMPLE, "pending_days": 13})


def test_only_the_first_version_may_begin_in_the_past() -> None:
    day = timedelta(days=1)
    check_publishable(AT - 900 * day, [], AT)
    first = [Published(1, Version(), AT - 9 * day)]
    check_publishable(AT, first, AT)
    later = [*first, Published(2, Version(), AT + 9 * day)]
    for since, others in ((AT - day, first), (AT + day, later), (AT + 9 * day, later)):
        with pytest.raises(Conflict) as refusal:
            check_publishable(since, others, AT)
        assert refusal.value.code == "already_in_force"


@pytest.mark.parametrize(
    "change, code",
    [
        ({"currency": "EURO"}, "unknown_currency"),
        ({"time_zone": "CET+1"}, "unknown_timezone"),
        ({"name": ""}, "invalid_text"),
        ({"code": None}, "property_required"),
        ({"x": 1}, "unknown_member"),
    ],
)
def test_a_programme_has_a_currency_and_a_zone(change: dict[str, Any], code: str) -> None:
    body = {"code": "main", "name": "Club", "currency": "EUR", "time_zone": "Europe/Berlin"}
    assert programme_of(body).zone.key == "Europe/Berlin"
    with pytest.raises(Invalid) as refusal:
        programme_of({**body, **change})
    assert refusal.value.code == code


@pytest.mark.parametrize("text", ["1", "0.5", "1.25", "2.000001"])
def test_multipliers_are_exact(text: str) -> None:
    assert decimal_text(multiplier_of(text, "#")) == text


@pytest.mark.parametrize("value", [1.5, 2, "-1", "1e3", "01", "1.", ".5", "NaN", "1.0000001", "1\u0661"])
def test_other_multipliers_are_refused(value: Any) -> None:
    with pytest.raises(Invalid):
        multiplier_of(value, "#")
