"""Touchpoints as the score sees them."""

from typing import Any

import pytest

from app.domain.health.facts import answer_of, fact_of
from app.domain.health.history import fold
from app.domain.health.state import EMPTY
from app.domain.health.weights import weight
from tests.domain.health.strategies import NO_EFFECT, START


@pytest.mark.parametrize(
    "kind, rating, low, high, lower_is_better, answer",
    [
        ("nps", 10, 0, 10, False, 1000),
        ("nps", 8, 0, 10, False, 200),
        ("nps", 7, 0, 10, False, -200),
        ("nps", 6, 0, 10, False, -600),
        ("nps", 0, 0, 10, False, -1000),
        ("csat", 4, 1, 5, False, 500),
        ("ces", 7, 1, 7, True, -1000),
        ("ces", 2, 1, 7, True, 667),
        ("review", 9, 1, 5, False, 1000),
        ("social_mention", -0.25, -1, 1, False, -250),
    ],
)
def test_an_answer_is_mapped_to_thousandths_of_minus_one_to_one(
    kind: str, rating: float, low: float, high: float, lower_is_better: bool, answer: int
) -> None:
    assert answer_of(kind, rating, low, high, lower_is_better=lower_is_better) == answer


def test_the_scale_of_an_answer_comes_from_its_kind_unless_it_says_otherwise() -> None:
    assert fact_of("ces", START, "a", properties={"rating": 6}).said == "6 of 7"
    scale = {"min": 1, "max": 5, "direction": "lower_is_better"}
    inverted = fact_of("ces", START, "a", properties={"rating": 5, "scale": scale})
    assert (inverted.answer, inverted.said) == (-1000, "5 of 5, where lower is better")


@pytest.mark.parametrize("kind", [*NO_EFFECT, "tier_changed", "not_a_kind"])
def test_a_kind_without_effect_leaves_the_state_empty(kind: str) -> None:
    assert fold([fact_of(kind, START, "a", amount=100, order_id="A")]) == EMPTY


def test_an_answer_without_a_rating_leaves_the_state_empty() -> None:
    assert fold([fact_of("review", START, "a", properties={"text": "fine"})]) == EMPTY
    assert fold([fact_of("social_mention", START, "b")]) == EMPTY


@pytest.mark.parametrize("mode", ["personal", "self_service", "automated", "community"])
def test_a_support_contact_counts_in_every_mode(mode: str) -> None:
    assert fold([fact_of("support_contact", START, "a", properties={"mode": mode})]).con30 == weight(
        START, 30
    )


def test_an_own_kind_feeds_its_component_by_its_weight() -> None:
    unit = weight(START, 180)
    assert fold([fact_of("fitting", START, "a", own=("loyalty", 300))]).loy180 == 300 * unit
    assert fold([fact_of("chat", START, "a", own=("contacts", 500))]).con30 == weight(START, 30) // 2
    smile = fold([fact_of("smiley", START, "a", own=("satisfaction", -400))])
    assert (smile.sn180, smile.sd180) == (-400 * unit, 1000 * unit)


@pytest.mark.parametrize(
    "given, match",
    [
        ({"at": -1}, "1970"),
        ({"amount": -1}, "amount"),
        ({"kind": "complaint_opened", "properties": {"severity": "mild"}}, "severity"),
        ({"kind": "complaint_resolved", "properties": {"csat": 6}}, "csat"),
        ({"kind": "csat", "properties": {"rating": 3, "scale": {"min": 5, "max": 5}}}, "scale"),
        ({"kind": "csat", "properties": {"rating": float("nan")}}, "finite"),
        ({"kind": "mine", "own": ("momentum", 500)}, "own kind"),
        ({"kind": "mine", "own": ("loyalty", -1)}, "weight"),
    ],
)
def test_values_out_of_range_are_refused(given: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        fact_of(**{"kind": "purchase", "at": START, "id": "a", **given})
