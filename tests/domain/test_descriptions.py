from typing import Any

import pytest

from app.domain.descriptions import amount_of, complaint_id_of, describe, order_id_of
from app.domain.kinds import KINDS


@pytest.mark.parametrize(
    "kind, said, told",
    [
        ("purchase", {"amount_minor": 4999, "currency": "EUR"}, "Purchase of 49.99 EUR"),
        ("refund", {"amount_minor": 500, "currency": "JPY"}, "Refund of 500 JPY"),
        ("purchase", {}, "Purchase"),
        ("goodwill", {"amount_minor": 1000, "currency": "EUR"}, "Goodwill, 10.00 EUR"),
        ("order_cancelled", {"order_id": "A-1"}, "Order A-1 cancelled"),
        ("complaint_opened", {"properties": {"severity": "high"}}, "Complaint opened, high"),
        ("complaint_resolved", {"properties": {}}, "Complaint resolved"),
        ("complaint_resolved", {"properties": {"csat": 4}}, "Complaint resolved, rated 4 of 5"),
        ("nps", {"properties": {"rating": 9}}, "Answered NPS 9 of 10"),
        ("csat", {"properties": {"rating": 3}}, "Answered CSAT 3 of 5"),
        (
            "ces",
            {"properties": {"rating": 2, "scale": {"max": 5, "direction": "lower_is_better"}}},
            "Answered CES 2 of 5, where lower is better",
        ),
        ("review", {"properties": {"rating": 5}}, "Reviewed 5 of 5"),
        ("social_mention", {"properties": {"sentiment": -0.5}}, "Mentioned in public, sentiment -0.50"),
        ("points_redeemed", {"properties": {"points": 100}}, "100 points redeemed"),
        (
            "band_changed",
            {"properties": {"from": "healthy", "to": "at_risk"}},
            "Fell from healthy to at risk",
        ),
        ("band_changed", {"properties": {"from": "lost", "to": "cooling"}}, "Rose from lost to cooling"),
        ("band_changed", {}, "Band changed"),
        ("support_contact", {"properties": {"mode": "self_service"}}, "Support contact, self service"),
        ("visit", {}, "Visit"),
        ("store_visit", {"properties": {"mode": "anything"}}, "Store visit"),
    ],
)
def test_a_touchpoint_says_what_it_is_when_nobody_described_it(
    kind: str, said: dict[str, Any], told: str
) -> None:
    assert describe(kind, **said) == told


@pytest.mark.parametrize("kind", KINDS)
def test_every_built_in_kind_can_be_told_even_when_it_says_nothing(kind: str) -> None:
    assert describe(kind)


def test_a_thread_names_its_order_or_its_complaint() -> None:
    assert (order_id_of("order:A:1"), complaint_id_of("order:A:1")) == ("A:1", None)
    assert (order_id_of("complaint:c1"), complaint_id_of("complaint:c1")) == (None, "c1")
    assert (order_id_of(None), complaint_id_of(None)) == (None, None)


def test_an_amount_needs_its_currency() -> None:
    assert amount_of(1999, "EUR") == "19.99"
    assert amount_of(1999, None) is None
    assert amount_of(None, "EUR") is None
