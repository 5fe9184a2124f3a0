"""Points that come in: how many, until when, and the words by which a retry is known again."""

from typing import Any

import pytest

from app.domain.loyalty import crediting
from app.domain.loyalty.points import MOST_POINTS
from app.domain.problems import Conflict, Invalid
from tests.domain.loyalty.ledgers import Ledger, day


@pytest.mark.parametrize("points", [-1, MOST_POINTS + 1])
def test_an_earn_has_no_more_than_the_most_points_and_no_fewer_than_none(points: int) -> None:
    made = Ledger()
    with pytest.raises(Invalid) as refusal:
        made.earn(points)
    assert [(one.code, one.pointer) for one in refusal.value.errors] == [("invalid_points", "#/points")]
    assert made.earn(MOST_POINTS, "most").points == MOST_POINTS
    assert made.earn(0, "none").points == 0


def test_an_earn_leaves_what_a_lifetime_has_seen_before() -> None:
    made = Ledger()
    made.earn(30, "old", lives=5)
    made.spend(10)
    made.at(6).settle()
    # As it is loaded: without lots that are used up, so that nothing is due.
    account = made.account._replace(lots={})
    earning = crediting.Earning("new", 40, day(7), day(7), None)
    after = crediting.earned(account, earning, day(7)).account
    assert (after.lifetime_earned, after.lifetime_burned, after.lifetime_expired) == (70, 10, 20)
    assert after == crediting.earned_by_the_book(account, earning, day(7)).account


def test_what_a_retry_is_compared_with_are_these_words_for_ever() -> None:
    made = Ledger()
    said: dict[str, Any] = {"expires_at": day(9), "now": made.now}
    opening = made.take(crediting.opening(made.account, id="o", points=80, **said))
    given = made.adjust(5, "plus", expires_at=day(3))
    taken = made.adjust(-100, "minus", allow_debt=True, reason_code="fraud")
    moved = made.take(crediting.tier_moved(made.account, id="t", tier="gold", now=made.now))
    assert [one.terms for one in (opening, given, taken, moved)] == [
        ("opening", 80, day(9)),
        ("adjust", 5, "service", False, day(3)),
        ("adjust", -100, "fraud", True, None),
        ("tier_move", "gold"),
    ]
    assert [one.kind for one in made.entries] == ["opening", "adjust", "adjust", "tier_move"]


def test_one_id_is_one_credit_of_whatever_sort() -> None:
    made = Ledger()
    made.adjust(5, "a")
    said: dict[str, Any] = {"id": "a", "now": made.now}
    for deed in (
        lambda: crediting.opening(made.account, points=5, expires_at=None, **said),
        lambda: crediting.tier_moved(made.account, tier="gold", **said),
        lambda: made.adjust(-5, "a"),
    ):
        with pytest.raises(Conflict) as refusal:
            deed()
        assert refusal.value.code == "id_reused"
    assert made.available == 5


@pytest.mark.parametrize("until", [-1, 0])
def test_points_that_would_have_run_out_already_are_not_given(until: float) -> None:
    made = Ledger()
    with pytest.raises(Invalid) as refusal:
        made.adjust(5, expires_at=day(until))
    assert [(one.code, one.pointer) for one in refusal.value.errors] == [("already_expired", "#/expires_at")]
    assert made.account.adjustments == {}
