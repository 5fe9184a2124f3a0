"""The stored band: how long it holds, what silence does to it, and that each change is told once."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.descriptions import describe
from app.domain.health.facts import Fact, fact_of
from app.domain.health.history import fold
from app.domain.health.model import shipped
from app.domain.health.score import score
from app.domain.health.state import EMPTY, State
from app.domain.silence import SOURCE, Drawn, crossings, draw, draw_exactly, is_due
from app.domain.touchpoints import EPOCH, seconds
from tests.domain.health.strategies import DAY, NOW, facts

MODEL = shipped()
MOMENT = EPOCH + timedelta(seconds=NOW)


def buyer(*days_ago: float) -> State:
    return fold(fact_of("purchase", NOW - round(days * DAY), str(days), amount=3000) for days in days_ago)


REGULAR = buyer(*range(0, 300, 30))


def drawn_at(state: State, moment: datetime) -> Drawn:
    return draw_exactly(state, score(state, seconds(moment), MODEL), moment, MODEL)


def told(state: State, drawn: Drawn, moment: datetime) -> list[tuple[str, str, datetime]]:
    return [
        (properties["from"], properties["to"], one.touchpoint.occurred_at)
        for one in crossings(state, drawn, moment, MODEL)
        if (properties := one.touchpoint.properties) is not None
    ]


def test_of_somebody_unknown_nothing_is_due() -> None:
    drawn = draw(EMPTY, score(EMPTY, NOW, MODEL), MOMENT, MODEL)
    assert drawn == Drawn("unknown", None, MOMENT, MODEL.version, None)
    assert crossings(EMPTY, drawn, MOMENT + timedelta(days=900), MODEL) == []


def test_each_band_that_is_passed_is_told_with_its_minute() -> None:
    drawn = drawn_at(REGULAR, MOMENT)
    assert drawn.band == "thriving"
    assert crossings(REGULAR, drawn, MOMENT + timedelta(days=1), MODEL) == []
    fallen = crossings(REGULAR, drawn, MOMENT + timedelta(days=700), MODEL)
    bands = [(one.before.band, one.after.band) for one in fallen]
    assert bands == [
        ("thriving", "healthy"),
        ("healthy", "cooling"),
        ("cooling", "at_risk"),
        ("at_risk", "lost"),
    ]
    assert fallen[0].touchpoint.occurred_at == drawn.until
    first = fallen[0].touchpoint
    assert (first.source, first.kind) == (SOURCE, "band_changed")
    assert first.id == f"band:{MODEL.version}:thriving:healthy:{seconds(first.occurred_at) // 60}"
    assert first.properties == {"from": "thriving", "to": "healthy", "score": 80}
    assert first.received_at == MOMENT + timedelta(days=700)
    assert describe("band_changed", properties=first.properties) == "Fell from thriving to healthy"
    assert [one.reasons[0][:10] for one in fallen] == ["Silent for"] * 4


@given(st.lists(facts("f"), min_size=1, max_size=10), st.lists(st.integers(0, 800), min_size=1, max_size=6))
def test_what_is_told_does_not_depend_on_when_somebody_looks(
    drawn_facts: list[Fact], days: list[int]
) -> None:
    """One look at the end, or many on the way: the same changes in the same minutes, and the same band."""
    state = fold(drawn_facts)
    start = EPOCH + timedelta(seconds=max(fact.at for fact in drawn_facts))
    moments = [start + timedelta(days=day) for day in sorted(days)]
    first = drawn_at(state, start)
    at_once = told(state, first, moments[-1])
    on_the_way, drawn = [], first
    for moment in moments:
        on_the_way += told(state, drawn, moment)
        drawn = drawn_at(state, moment)
    assert on_the_way == at_once
    assert drawn.band == (at_once[-1][1] if at_once else first.band)


@given(st.lists(facts("f"), min_size=1, max_size=10), st.integers(0, 600))
def test_the_cheap_time_misses_no_change(drawn_facts: list[Fact], days: int) -> None:
    state = fold(drawn_facts)
    start = EPOCH + timedelta(seconds=max(fact.at for fact in drawn_facts))
    later = start + timedelta(days=days)
    cheap = draw(state, score(state, seconds(start), MODEL), start, MODEL)
    assert told(state, cheap, later) == told(state, drawn_at(state, start), later)


def test_a_change_within_the_minute_that_runs_is_told_before_it_is_overwritten() -> None:
    drawn = drawn_at(REGULAR, MOMENT)
    assert drawn.until is not None
    crossing = seconds(drawn.until)
    while score(REGULAR, crossing - 1, MODEL).band != "thriving":
        crossing -= 1
    # The change lies between two whole minutes: the first of them still has the band of before.
    moment = EPOCH + timedelta(seconds=crossing)
    assert [change[:2] for change in told(REGULAR, drawn, moment)] == [("thriving", "healthy")]
    assert told(REGULAR, drawn, moment - timedelta(seconds=1)) == []


def test_another_model_is_no_change_of_the_customer() -> None:
    drawn = drawn_at(REGULAR, MOMENT)._replace(model="2025.9")
    later = MOMENT + timedelta(days=700)
    assert not is_due(drawn, later, MODEL)
    assert crossings(REGULAR, drawn, later, MODEL) == []


def test_a_time_that_still_holds_is_kept_to_the_microsecond() -> None:
    health = score(REGULAR, NOW, MODEL)
    known = draw(REGULAR, health, MOMENT, MODEL)
    assert known.until is not None
    later = MOMENT + timedelta(seconds=5, microseconds=7)
    again = draw(REGULAR, score(REGULAR, seconds(later), MODEL), later, MODEL, known)
    assert again.until is known.until
    # A complaint brings the change nearer, so the time is written anew.
    opened = fact_of("complaint_opened", NOW, "c", properties={"complaint_id": "c", "severity": "critical"})
    hurt = fold([opened]).plus(REGULAR)
    sooner = draw(hurt, score(hurt, NOW, MODEL), MOMENT, MODEL, known)
    assert sooner.until is not None
    assert sooner.until < known.until


@pytest.mark.parametrize("days", [0, 1, 400, 5000])
def test_whoever_can_change_no_more_is_never_due(days: int) -> None:
    state = buyer(4000)
    drawn = draw(state, score(state, NOW, MODEL), MOMENT, MODEL)
    assert (drawn.band, drawn.until) == ("lost", None)
    assert not is_due(drawn, MOMENT + timedelta(days=days), MODEL)


def test_a_recovery_is_told_too() -> None:
    contacts = fold(fact_of("support_contact", NOW, f"s{n}") for n in range(9))
    state = REGULAR.plus(contacts)
    (first, *_) = told(state, drawn_at(state, MOMENT), MOMENT + timedelta(days=60))
    assert first[:2] == ("healthy", "thriving")
    assert (
        describe("band_changed", properties={"from": "at_risk", "to": "cooling"})
        == "Rose from at risk to cooling"
    )
