"""What people may give: with a reason, within a year's cap, over a limit only with a second person."""

from typing import Any

import pytest

from app.domain.loyalty.approvals import (
    LONGEST_NOTE,
    Proposal,
    check_approver,
    check_yearly_cap,
    natural_key,
    needs_approval,
    proposal_of,
)
from app.domain.loyalty.points import MOST_POINTS
from app.domain.loyalty.versions import Limits
from app.domain.problems import Conflict, Forbidden, Invalid

LIMITS = Limits(approval_over=100, goodwill_a_year=300, surprise_a_year=50)


def propose(**said: Any) -> Proposal:
    return proposal_of(
        **{"id": "a1", "points": 50, "reason_code": "service", "note": "", "actor": "eve", **said}
    )


@pytest.mark.parametrize(
    "said, code",
    [
        ({"reason_code": "because"}, "unknown_reason"),
        ({"reason_code": "other"}, "note_required"),
        ({"reason_code": "other", "note": " "}, "note_required"),
        ({"reason_code": "goodwill"}, "about_required"),
        ({"reason_code": "surprise", "about": "birthday", "points": -5}, "invalid_points"),
        ({"points": 0}, "invalid_points"),
        ({"points": True, "reason_code": "fraud"}, "invalid_points"),
        ({"note": "x" * 2_001}, "note_too_long"),
    ],
)
def test_a_proposal_is_checked(said: dict[str, Any], code: str) -> None:
    with pytest.raises(Invalid) as refusal:
        propose(**said)
    assert refusal.value.code == code


def test_a_proposal_is_kept_as_it_was_made() -> None:
    assert propose(note="late parcel", allow_debt=True) == Proposal(
        "a1", 50, "service", "late parcel", "eve", None, allow_debt=True
    )
    assert propose().allow_debt is False
    assert propose(reason_code="goodwill", about="c1").about == "c1"


@pytest.mark.parametrize("points", [1, -1, MOST_POINTS, -MOST_POINTS])
def test_one_point_and_the_most_are_given_or_taken(points: int) -> None:
    assert propose(points=points).points == points


def test_a_note_may_be_as_long_as_the_longest() -> None:
    assert propose(note="x" * LONGEST_NOTE).note == "x" * LONGEST_NOTE


@pytest.mark.parametrize("points", [101, -101])
def test_over_the_limit_somebody_else_must_agree(points: int) -> None:
    proposal = propose(points=points)
    assert needs_approval(proposal, LIMITS)
    assert not needs_approval(propose(points=100), LIMITS)
    check_approver(propose(points=100), LIMITS, None)
    with pytest.raises(Conflict) as refusal:
        check_approver(proposal, LIMITS, None)
    assert refusal.value.code == "approval_required"
    assert refusal.value.members == {"limit": 100}
    with pytest.raises(Forbidden):
        check_approver(proposal, LIMITS, "eve")
    check_approver(proposal, LIMITS, "mallory")


@pytest.mark.parametrize("reason, cap", [("goodwill", 300), ("surprise", 50)])
def test_gifts_have_a_cap_for_the_year(reason: str, cap: int) -> None:
    gift = propose(reason_code=reason, about="c1", points=30)
    check_yearly_cap(gift, LIMITS, cap - 30)
    with pytest.raises(Conflict) as refusal:
        check_yearly_cap(gift, LIMITS, cap - 29)
    assert refusal.value.members == {"left": 29, "cap": cap}
    for given in (cap, cap + 1):
        with pytest.raises(Conflict) as refusal:
            check_yearly_cap(gift, LIMITS, given)
        assert refusal.value.members["left"] == 0
    check_yearly_cap(propose(), LIMITS, 10**6)


def test_a_gift_is_given_once_for_what_it_is_about() -> None:
    one, again = (
        propose(reason_code="goodwill", about="c1"),
        propose(reason_code="goodwill", about="c1", id="a2"),
    )
    assert natural_key(one) == natural_key(again) == "goodwill:c1"
    assert natural_key(propose()) == "adjustment:a1"
