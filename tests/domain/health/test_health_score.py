"""The promises of the score (docs: health, "Metamorphic properties")."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.domain.health.facts import Fact, fact_of
from app.domain.health.flags import red_flags
from app.domain.health.history import fold
from app.domain.health.model import COMPONENTS, shipped
from app.domain.health.score import band_of, score
from app.domain.health.state import EMPTY, State
from tests.domain.health.strategies import DAY, END, NOW, SIGNALS, START, amounts, histories, moments

MODEL = shipped()
NO_ROUNDING = 1e-9
later = st.integers(0, 400 * DAY).map(lambda seconds: NOW + seconds)
POSITIVE = ("purchase", *SIGNALS)
COMPLAINTS = COMPONENTS.index("complaints")


def points(facts: list[Fact], at: int) -> float:
    """The score, and 50 where nothing is known."""
    exact = score(fold(facts), at, MODEL).score_exact
    return 50.0 if exact is None else exact


def complaint(at: int, severity: str = "medium") -> Fact:
    return fact_of("complaint_opened", at, "new", properties={"complaint_id": "new", "severity": severity})


def resolution(at: int, csat: int | None = None) -> Fact:
    return fact_of("complaint_resolved", at, "res", properties={"complaint_id": "new", "csat": csat})


@given(histories(), later)
def test_a_score_lies_between_0_and_100_and_its_parts_add_up(facts: list[Fact], at: int) -> None:
    health = score(fold(facts), at, MODEL)
    if health.score_exact is None:
        assert set(health.contributions) == {None}
        return
    assert 0 <= health.score_exact <= 100
    assert 50 + sum(part or 0 for part in health.contributions) == pytest.approx(health.score_exact, abs=1e-9)
    assert 0 <= health.confidence < 1
    assert 0 < health.coverage <= 1 + NO_ROUNDING


def test_where_nothing_is_known_there_is_no_score() -> None:
    health = score(EMPTY, NOW, MODEL)
    assert (health.score_exact, health.score, health.band, health.coverage) == (None, None, "unknown", 0)
    assert health.contributions == (None,) * 10


@given(histories(), later, amounts)
def test_a_purchase_now_never_lowers(facts: list[Fact], at: int, amount: int) -> None:
    bought = [*facts, fact_of("purchase", at, "new", amount=amount)]
    assert points(bought, at) >= points(facts, at) - NO_ROUNDING


@given(histories(), moments, st.sampled_from(("low", "critical")), later)
def test_a_complaint_never_raises_and_is_charged_to_complaints_alone(
    facts: list[Fact], opened: int, severity: str, at: int
) -> None:
    before, after = (
        score(fold(known), at, MODEL) for known in (facts, [*facts, complaint(opened, severity)])
    )
    assert after.log_odds <= before.log_odds + NO_ROUNDING
    assert [*before.terms[:COMPLAINTS], *before.terms[COMPLAINTS + 1 :]] == [
        *after.terms[:COMPLAINTS],
        *after.terms[COMPLAINTS + 1 :],
    ]


@given(histories(), moments, st.integers(0, 200 * DAY), st.sampled_from((None, 1, 2, 3, 4, 5)), later)
def test_resolving_never_lowers_and_never_overshoots_a_life_without_the_complaint(
    facts: list[Fact], opened: int, took: int, csat: int | None, later_at: int
) -> None:
    resolved = opened + took
    at = max(resolved, later_at)
    unresolved = [*facts, complaint(opened)]
    recovered = points([*unresolved, resolution(resolved, csat)], at)
    assert points(unresolved, at) - NO_ROUNDING <= recovered <= points(facts, at) + NO_ROUNDING


@given(
    histories(),
    moments,
    st.integers(0, 90 * DAY),
    st.integers(0, 90 * DAY),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_a_faster_and_better_rated_resolution_is_worth_at_least_as_much(
    facts: list[Fact], opened: int, took: int, longer: int, csat: int, better: int
) -> None:
    csat, better = sorted((csat, better))
    slow = [*facts, complaint(opened), resolution(opened + took + longer, csat)]
    at = NOW + 200 * DAY
    assert (
        points([*facts, complaint(opened), resolution(opened + took, csat)], at)
        >= points(slow, at) - NO_ROUNDING
    )
    happy = [*facts, complaint(opened), resolution(opened + took + longer, better)]
    assert points(happy, at) >= points(slow, at) - NO_ROUNDING


@given(histories(kinds=POSITIVE), moments, st.integers(1, 5))
def test_a_resolved_complaint_is_forgotten_in_the_end(facts: list[Fact], opened: int, csat: int) -> None:
    at = NOW + 10 * DAY + 450 * DAY
    recovered = [*facts, complaint(opened), resolution(opened + 10 * DAY, csat)]
    assert points(recovered, at) == pytest.approx(points(facts, at), abs=0.1)


@given(histories(), moments, later)
def test_a_contact_never_raises(facts: list[Fact], contacted: int, at: int) -> None:
    assert (
        points([*facts, fact_of("support_contact", contacted, "new")], at) <= points(facts, at) + NO_ROUNDING
    )


@given(histories(), later)
def test_a_top_answer_now_never_lowers_and_a_bottom_answer_never_raises(facts: list[Fact], at: int) -> None:
    top, bottom = (fact_of("csat", at, "new", properties={"rating": rating}) for rating in (5, 1))
    assert points([*facts, top], at) >= points(facts, at) - NO_ROUNDING
    assert points([*facts, bottom], at) <= points(facts, at) + NO_ROUNDING


@given(histories(), st.sampled_from(SIGNALS), moments, later)
def test_engagement_referrals_and_redemptions_never_lower(
    facts: list[Fact], kind: str, when: int, at: int
) -> None:
    assert points([*facts, fact_of(kind, when, "new")], at) >= points(facts, at) - NO_ROUNDING


@given(histories(kinds=POSITIVE), later, st.integers(0, 400 * DAY))
def test_silence_never_raises_where_no_penalty_fades(facts: list[Fact], at: int, silence: int) -> None:
    assert points(facts, at + silence) <= points(facts, at) + NO_ROUNDING


@given(histories(min_size=1), later, amounts)
def test_a_refund_never_raises_and_never_reaches_beyond_refunds_and_value(
    facts: list[Fact], at: int, amount: int
) -> None:
    order = fact_of("purchase", END, "p", amount=20_000, order_id="Z")
    kept = [*facts, order]
    returned = [*kept, fact_of("refund", NOW, "r", amount=amount, order_id="Z")]
    assert points(returned, at) <= points(kept, at) + NO_ROUNDING
    before, after = score(fold(kept), at, MODEL).terms, score(fold(returned), at, MODEL).terms
    assert (before[:2], before[4:]) == (after[:2], after[4:])


@given(histories(), later, st.integers(-START, 2_000_000_000))
def test_shifting_a_whole_life_moves_its_score_by_next_to_nothing(
    facts: list[Fact], at: int, shift: int
) -> None:
    shifted = [fact._replace(at=fact.at + shift) for fact in facts]
    assert points(shifted, at + shift) == pytest.approx(points(facts, at), abs=0.02)


@given(histories(), moments, amounts, st.integers(0, 10**6), later)
def test_a_larger_purchase_is_worth_at_least_as_much(
    facts: list[Fact], bought: int, amount: int, more: int, at: int
) -> None:
    small, large = (fact_of("purchase", bought, "new", amount=paid) for paid in (amount, amount + more))
    assert points([*facts, large], at) >= points([*facts, small], at) - NO_ROUNDING


@given(histories(), moments, moments, amounts, later)
def test_a_more_recent_purchase_is_worth_at_least_as_much_as_an_earlier_one(
    facts: list[Fact], one: int, other: int, amount: int, at: int
) -> None:
    first = fact_of("purchase", START, "first", amount=amount)
    known = [*(fact for fact in facts if fact.kind != "purchase"), first]
    early, recent = (fact_of("purchase", when, "new", amount=amount) for when in sorted((one, other)))
    assert points([*known, recent], at) >= points([*known, early], at) - NO_ROUNDING


@given(histories(), later, later)
def test_the_state_after_reading_is_the_state_before(facts: list[Fact], at: int, other: int) -> None:
    state = fold(facts)
    first = score(state, at, MODEL)
    score(state, other, MODEL)
    assert score(state, at, MODEL) == first


def test_a_read_before_the_last_purchase_reads_as_that_purchase() -> None:
    state = fold([fact_of("purchase", at, str(at), amount=500) for at in (START, END)])
    assert score(state, START, MODEL) == score(state, END, MODEL)


def test_a_complaint_read_before_its_time_is_no_gain() -> None:
    assert points([complaint(END)], END - 60 * DAY) <= 50


def test_thousands_of_purchases_and_decades_of_silence_stay_finite() -> None:
    state = fold([fact_of("purchase", START + second, str(second), amount=10**12) for second in range(2000)])
    for years in (0, 10, 60):
        health = score(state, START + years * 365 * DAY, MODEL)
        assert health.score_exact is not None
        assert 0 <= health.score_exact <= 100


@pytest.mark.parametrize(
    "exact, band",
    [
        (100, "thriving"),
        (80, "thriving"),
        (79.9999, "healthy"),
        (60, "healthy"),
        (59.5, "cooling"),
        (20, "at_risk"),
    ],
)
def test_a_band_begins_at_its_edge_and_comes_from_the_unrounded_score(exact: float, band: str) -> None:
    assert band_of(exact, MODEL) == band


def test_the_lowest_band_reaches_down_to_0() -> None:
    assert band_of(19.99, MODEL) == band_of(0, MODEL) == "lost"


@given(st.floats(0, 100))
def test_a_score_is_rounded_half_up(exact: float) -> None:
    health = score(EMPTY, NOW, MODEL)._replace(score_exact=exact)
    assert health.score is not None
    assert -0.5 < health.score - exact <= 0.5
    assert health._replace(score_exact=72.5).score == 73


def test_a_customer_who_buys_has_evidence_on_refunds_too() -> None:
    state = fold([fact_of("purchase", END, "a", amount=5000)])
    assert score(state, END, MODEL).coverage == pytest.approx(0.55)
    assert score(fold([fact_of("refund", END, "r", amount=5)]), END, MODEL).coverage == pytest.approx(0.05)


def test_red_flags_say_what_a_person_should_see() -> None:
    purchases = [fact_of("purchase", START + 30 * DAY * index, str(index), amount=100) for index in range(3)]
    last = START + 60 * DAY
    assert red_flags(fold(purchases), last + 90 * DAY, MODEL) == ()
    assert red_flags(fold(purchases), last + 91 * DAY, MODEL) == ("overdue",)
    one = [complaint(END)]
    assert red_flags(fold(one), END, MODEL) == ("complaint_open",)
    assert red_flags(fold([*one, resolution(END)]), END, MODEL) == ()
    two = [*one, fact_of("complaint_opened", END, "other", properties={"complaint_id": "other"})]
    assert red_flags(fold(two), END, MODEL, opted_out=True, tier_at_risk=True) == (
        "complaint_open",
        "complaint_repeated",
        "opted_out",
        "tier_at_risk",
    )


@given(moments)
def test_a_single_complaint_is_never_called_repeated(opened: int) -> None:
    for skew in (0, 1, -300):
        assert "complaint_repeated" not in red_flags(fold([complaint(opened)]), opened + skew, MODEL)


@given(histories(min_size=1))
def test_a_state_knows_no_model(facts: list[Fact]) -> None:
    assume(any(fact.component for fact in facts))
    state = State.decode(fold(facts).encode())
    other = replace(MODEL, version="other", b0=MODEL.b0 + 1)
    if state.n:
        assert score(state, NOW, other).log_odds == pytest.approx(score(state, NOW, MODEL).log_odds + 1)
