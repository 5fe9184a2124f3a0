"""A rule as it is written down: the largest numbers it may say, and the place of what is refused."""

from typing import Any

import pytest

from app.domain.loyalty.bodies import Body
from app.domain.loyalty.rules import Rule, rule_of
from app.domain.problems import Invalid

NOON, LATER = "2026-11-20T12:00:00Z", "2026-11-20T12:00:01Z"


def rule(**said: Any) -> Rule:
    return rule_of(Body({"code": "base", "points": 1, **said}))


def test_a_rule_that_says_little_is_the_plain_one() -> None:
    assert rule(when={}, caps={}, includes={}) == Rule("base", points=1)


@pytest.mark.parametrize(
    "said",
    [
        {"min_amount_minor": 2**53 - 1},
        {"caps": {"per_transaction": 2**31 - 1}},
        {"caps": {"per_period": 2**31 - 1, "period_days": 3_660}},
        {"when": {"from": NOON, "until": LATER}},
    ],
)
def test_the_largest_numbers_are_taken(said: dict[str, Any]) -> None:
    assert rule(**said).points == 1


@pytest.mark.parametrize(
    "said, code, pointer",
    [
        ({"min_amount_minor": 2**53}, "invalid_number", "#/min_amount_minor"),
        ({"caps": {"per_transaction": 2**31}}, "invalid_number", "#/caps/per_transaction"),
        ({"caps": {"per_period": 2**31, "period_days": 7}}, "invalid_number", "#/caps/per_period"),
        ({"caps": {"per_period": 5, "period_days": 3_661}}, "invalid_number", "#/caps/period_days"),
        ({"when": {"from": NOON, "until": NOON}}, "invalid_rule", "#/when/until"),
        ({"when": {"from": LATER, "until": NOON}}, "invalid_rule", "#/when/until"),
    ],
)
def test_more_is_refused_and_so_is_a_time_that_ends_before_it_begins(
    said: dict[str, Any], code: str, pointer: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        rule(**said)
    assert [(one.code, one.pointer) for one in refusal.value.errors] == [(code, pointer)]
