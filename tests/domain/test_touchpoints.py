from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.kinds import KINDS
from app.domain.problems import Invalid
from app.domain.touchpoints import Touchpoint, propose

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MONEY = {"amount_minor": 4999, "currency": "EUR"}


def proposed(kind: str, **members: Any) -> Touchpoint:
    given: dict[str, Any] = {
        "source": "shop",
        "id": "1",
        "occurred_at": NOW,
        "now": NOW,
        "body_sha256": bytes(32),
        "shop_currency": "EUR",
    }
    return propose(kind=kind, **(given | members))


def code_of(kind: str, **members: Any) -> str:
    with pytest.raises(Invalid) as caught:
        proposed(kind, **members)
    assert caught.value.errors[0].code == caught.value.code
    return caught.value.code


@pytest.mark.parametrize(
    "kind, members",
    [
        ("purchase", {}),
        ("purchase", {"amount_minor": 1}),
        ("refund", {"currency": "EUR"}),
        ("visit", {"amount_minor": 1}),
        ("order_cancelled", {}),
        ("complaint_opened", {"properties": {"severity": "low"}}),
        ("complaint_opened", {"properties": {"complaint_id": "c1"}}),
        ("complaint_resolved", {}),
        ("nps", {"properties": {}}),
        ("csat", {"properties": {"rating": None}}),
        ("social_mention", {}),
    ],
)
def test_a_kind_says_what_it_needs(kind: str, members: dict[str, Any]) -> None:
    assert code_of(kind, **members) == "property_required"


@pytest.mark.parametrize(
    "kind, properties",
    [
        ("nps", {"rating": 11}),
        ("nps", {"rating": 6.5}),
        ("nps", {"rating": True}),
        ("nps", {"rating": "9"}),
        ("nps", {"rating": 3, "scale": {"min": 1, "max": 5}}),
        ("csat", {"rating": 0}),
        ("csat", {"rating": 6}),
        ("ces", {"rating": 3, "scale": {"min": 5, "max": 1}}),
        ("ces", {"rating": 3, "scale": {"direction": "sideways"}}),
        ("ces", {"rating": 3, "scale": {"steps": 3}}),
        ("ces", {"rating": 3, "scale": [1, 7]}),
        ("review", {"rating": 3, "scale": {"min": "1"}}),
        ("social_mention", {"sentiment": 1.1}),
        ("social_mention", {"sentiment": True}),
        ("complaint_opened", {"complaint_id": "c1", "severity": "dire"}),
        ("complaint_opened", {"complaint_id": 7, "severity": "low"}),
        ("complaint_opened", {"complaint_id": "", "severity": "low"}),
        ("complaint_resolved", {"complaint_id": "c1", "csat": 6}),
        ("support_contact", {"mode": "shouting"}),
        ("points_redeemed", {"points": -1}),
        ("referral", {"referred": 5}),
    ],
)
def test_a_property_keeps_to_its_rule(kind: str, properties: dict[str, Any]) -> None:
    assert code_of(kind, properties=properties) == "invalid_property"


def test_unknown_and_reserved_kinds_are_told_apart() -> None:
    assert code_of("sneezed") == "unknown_kind"
    assert code_of("band_changed") == "reserved_kind"


def test_the_clock_may_differ_by_five_minutes() -> None:
    proposed("visit", occurred_at=NOW + timedelta(minutes=5))
    assert code_of("visit", occurred_at=NOW + timedelta(minutes=5, microseconds=1)) == "in_the_future"
    proposed("visit", occurred_at=datetime(1970, 1, 1, tzinfo=UTC))
    assert code_of("visit", occurred_at=datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)) == "before_1970"


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS.values() if not kind.server_only], ids=lambda kind: kind.name
)
def test_every_kind_can_be_posted_and_feeds_the_component_it_names(kind: Any) -> None:
    properties = {"rating": 4, "sentiment": 0.5, "complaint_id": "c1", "severity": "low"}
    point = proposed(kind.name, order_id="A-1", properties=properties, **(MONEY if kind.needs_money else {}))
    assert point.fact.component == kind.component


def test_facts_of_one_order_share_a_thread_and_others_stand_alone() -> None:
    assert proposed("purchase", order_id="A-1", **MONEY).fact.thread == "order:A-1"
    assert proposed("refund", order_id="A-1", **MONEY).fact.thread == "order:A-1"
    assert proposed("refund", **MONEY).fact.thread is None
    assert proposed("visit", order_id="A-1").fact.thread is None


def test_a_purchase_in_another_currency_without_a_rate_counts_without_value() -> None:
    point = proposed("purchase", amount_minor=4999, currency="USD")
    assert (point.value_minor, point.fact.amount) == (None, 0)
