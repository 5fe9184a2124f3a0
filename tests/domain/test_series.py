"""Health over time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.health.facts import Fact, fact_of
from app.domain.health.form import SHIPPED, form_of
from app.domain.health.history import fold
from app.domain.health.model import COMPONENTS, shipped
from app.domain.health.score import score
from app.domain.retention import OpeningState
from app.domain.series import Happened, Place, Point, Reign, by_event, by_step, reigns_over
from app.domain.touchpoints import EPOCH, seconds
from tests.domain.health.strategies import END, START, histories

MODEL = shipped()
OTHER = replace(MODEL, version="other", ref=-1.7)
FROM_THE_START = [Reign(EPOCH, MODEL)]


def when(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def happened(facts: list[Fact]) -> list[Happened]:
    return [Happened(when(fact.at), fact) for fact in facts]


def expected(facts: list[Fact], at: datetime) -> tuple[int | None, str]:
    health = score(fold(facts), seconds(at), MODEL)
    return health.score, health.band


@given(histories())
def test_each_point_is_the_score_of_all_that_had_happened(facts: list[Fact]) -> None:
    points = by_event(happened(facts), FROM_THE_START, EPOCH, None, 100)
    ordered = sorted(facts, key=lambda fact: (fact.at, fact.id))
    assert [(point.at, point.key) for point in points] == [(when(fact.at), fact.id) for fact in ordered]
    for number, point in enumerate(points):
        assert (point.score, point.band) == expected(ordered[: number + 1], point.at)


@given(histories())
def test_time_and_event_add_up_from_50_to_the_last_point(facts: list[Fact]) -> None:
    points = by_event(happened(facts), FROM_THE_START, EPOCH, None, 100)
    before = 50.0
    for point in points:
        assert point.change is not None
        after = 50.0 if point.score_exact is None else point.score_exact
        assert sum(point.change.time) + sum(point.change.event) == pytest.approx(after - before, abs=1e-6)
        before = after


def test_a_complaint_after_a_silence_is_charged_its_own_part_and_the_silence_the_rest() -> None:
    bought = fact_of("purchase", START, "a", amount=1000)
    complaint = fact_of("complaint_opened", START + 90 * 86_400, "b", properties={"complaint_id": "c"})
    _, point = by_event(happened([bought, complaint]), FROM_THE_START, EPOCH, None, 5)
    assert point.change is not None
    told = dict(zip(COMPONENTS, zip(*point.change, strict=True), strict=True))
    assert told["complaints"][0] == 0 > told["complaints"][1]
    assert told["momentum"][0] < 0 == told["momentum"][1]
    assert told["rhythm"][0] < 0 == told["rhythm"][1]


@given(histories(min_size=1), st.integers(1, 5))
def test_pages_join_without_gap_or_repetition(facts: list[Fact], limit: int) -> None:
    seen: list[Point] = []
    after: Place | None = None
    while page := by_event(happened(facts), FROM_THE_START, EPOCH, after, limit):
        seen += page
        after = page[-1].place
    assert seen == by_event(happened(facts), FROM_THE_START, EPOCH, None, 1000)


@given(histories(), st.integers(START - 1000, END), st.integers(1, 400))
def test_each_step_is_the_score_of_all_that_had_happened_by_then(
    facts: list[Fact], since: int, days: int
) -> None:
    points = by_step(happened(facts), FROM_THE_START, when(since), timedelta(days=days), when(END))
    assert [point.at for point in points] == [when(at) for at in range(since, END + 1, days * 86_400)]
    for point in points:
        known = [fact for fact in facts if when(fact.at) <= point.at]
        assert (point.score, point.band) == expected(known, point.at)


@given(histories(min_size=2), st.integers(START, END))
def test_a_publication_leaves_its_mark_and_what_came_before_keeps_its_model(
    facts: list[Fact], published: int
) -> None:
    reigns = [Reign(when(END + 1), MODEL), Reign(when(END + 2), OTHER)]
    points = by_event(happened(facts), reigns, EPOCH, None, 100)
    # Both were published after everything: the first one scored it, the mark of the second stands at the end.
    assert [point.model for point in points] == [*([MODEL.version] * len(facts)), "other"]
    assert (points[-1].key, points[-1].at) == ("", when(END + 2))
    reigns = [Reign(EPOCH, MODEL), Reign(when(published), OTHER)]
    points = by_event(happened(facts), reigns, EPOCH, None, 100)
    assert all((point.model == "other") == (point.at >= when(published)) for point in points)
    first = min(fact.at for fact in facts)
    assert sum(point.key == "" for point in points) == (first < published)


def test_of_nothing_there_is_no_series() -> None:
    assert by_event([], FROM_THE_START, EPOCH, None, 5) == []
    (point,) = by_step([], FROM_THE_START, when(START), timedelta(days=1), when(START + 5))
    assert (point.score, point.band) == (None, "unknown")


# --- models with other half-lives -------------------------------------------------------------------------------------

SLOW = replace(
    MODEL, version="slow", form=form_of({**SHIPPED.half_lives, "purchases_short": 30, "contacts": 90})
)


@given(histories(min_size=1))
def test_each_point_is_a_fold_by_the_half_lives_of_its_time(facts: list[Fact]) -> None:
    since = when((START + END) // 2)
    reigns = [Reign(EPOCH, MODEL), Reign(since, SLOW)]
    ordered = sorted(facts, key=lambda fact: (fact.at, fact.id))
    points = [point for point in by_event(happened(facts), reigns, EPOCH, None, 100) if point.key]
    for number, point in enumerate(points):
        model = SLOW if point.at >= since else MODEL
        due = score(fold(ordered[: number + 1], model.form), seconds(point.at), model)
        assert (point.model, point.score_exact) == (model.version, due.score_exact)
    steps = by_step(happened(facts), reigns, when(START), timedelta(days=97), when(END))
    for point in steps:
        model = SLOW if point.at >= since else MODEL
        known = [fact for fact in facts if when(fact.at) <= point.at]
        assert point.score_exact == score(fold(known, model.form), seconds(point.at), model).score_exact


def test_a_publication_that_has_not_reached_the_customer_is_not_in_their_history() -> None:
    first, second, third = Reign(EPOCH, MODEL), Reign(when(START), SLOW), Reign(when(END), OTHER)
    assert reigns_over([first, second], SHIPPED, None) == [first]
    assert reigns_over([first, second], SLOW.form, None) == [first, second]
    assert reigns_over([first, second, third], SLOW.form, None) == [first, second]
    # What was purged was folded by the shipped half-lives.
    gone = fold([fact_of("purchase", START, "a")])
    opening = OpeningState(gone, when(START), when(START), 1)
    assert reigns_over([first, second, third], SHIPPED, opening) == [first, third]
    nothing = OpeningState(fold([]), when(START), when(START), 1)
    assert reigns_over([first, second], SLOW.form, nothing) == [first, second]
