"""When the band changes if nothing happens: equal to trying every minute, and never promised too long."""

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.domain.health import crossing, curve
from app.domain.health.crossing import HORIZON_SECONDS, MINUTE_SECONDS, holds_until, next_change, next_fall
from app.domain.health.facts import fact_of
from app.domain.health.history import fold
from app.domain.health.model import BANDS, shipped
from app.domain.health.score import complaints_term, score
from app.domain.health.state import EMPTY, State
from app.domain.health.threads import contribution
from tests.domain.health.strategies import DAY, KINDS, NOW, facts

MODEL = shipped()
COARSE = 6 * 60 * MINUTE_SECONDS


@st.composite
def recent(draw: st.DrawFn) -> State:
    """A customer whose facts are of the last half year, so that the score still moves."""
    drawn = [draw(facts(f"f{index}", KINDS)) for index in range(draw(st.integers(1, 14)))]
    return fold(fact._replace(at=NOW - draw(st.integers(0, 180 * DAY))) for fact in drawn)


def band_at(state: State, at: int) -> str:
    return score(state, at, MODEL).band


def tried(start: int, end: int, seed: int) -> Iterable[int]:
    """Whole minutes of (start, end): coarse ones, random ones, and all of the last hours."""
    first, last = start // MINUTE_SECONDS + 1, (end - 1) // MINUTE_SECONDS
    if first > last:
        return []
    chosen = random.Random(seed)
    among = {chosen.randint(first, last) for _ in range(100)}
    return [
        minute * MINUTE_SECONDS
        for minute in (*range(first, last, COARSE // 60), *among, *range(max(first, last - 200), last + 1))
    ]


@given(recent(), st.integers(0, 2 * HORIZON_SECONDS))
def test_the_curve_is_the_score(state: State, later: int) -> None:
    told_apart = curve.sides(curve.curve_of(state, NOW, MODEL), NOW + later)
    complaints = complaints_term((told_apart.opened + told_apart.residual) * told_apart.factor, MODEL)
    told = score(state, NOW + later, MODEL).log_odds
    assert told_apart.falling + told_apart.rising + complaints == pytest.approx(told, abs=1e-10)


@given(recent())
def test_the_band_changes_in_the_first_minute_that_trying_them_would_find(state: State) -> None:
    band = band_at(state, NOW)
    change = next_change(state, NOW, band, MODEL)
    end = NOW + HORIZON_SECONDS if change is None else change.at
    assert all(band_at(state, at) == band for at in tried(NOW, end, state.n))
    if change is not None:
        assert change.at % MINUTE_SECONDS == 0
        assert change.at > NOW
        assert change.band == band_at(state, change.at) != band


@given(recent())
def test_the_next_fall_is_the_first_minute_below_the_band(state: State) -> None:
    health = score(state, NOW, MODEL)
    fall = next_fall(state, NOW, MODEL)
    if health.band in ("lost", "unknown"):
        assert fall is None
        return
    edge = MODEL.bands[BANDS.index(health.band)]
    end = NOW + HORIZON_SECONDS if fall is None else fall.at
    assert all((score(state, at, MODEL).score_exact or 0) >= edge for at in tried(NOW, end, state.n))
    if fall is not None:
        assert (score(state, fall.at, MODEL).score_exact or 0) < edge
        assert BANDS.index(fall.band) > BANDS.index(health.band)


@given(recent(), st.floats(0.1, 40))
def test_raising_the_threshold_never_postpones_the_fall(state: State, raised: float) -> None:
    health = score(state, NOW, MODEL)
    assume(health.band not in ("lost", "unknown"))
    assert health.score_exact is not None
    place = BANDS.index(health.band)
    edge = min(MODEL.bands[place] + raised, health.score_exact)
    assume(edge > MODEL.bands[place])
    higher = replace(MODEL, bands=(*MODEL.bands[:place], edge, *MODEL.bands[place + 1 :]))
    before, after = next_fall(state, NOW, MODEL), next_fall(state, NOW, higher)
    if before is not None:
        assert after is not None
        assert after.at <= before.at


@given(recent(), st.integers(0, 400 * DAY))
def test_the_cheap_time_is_never_too_late_and_is_kept_while_it_holds(state: State, later: int) -> None:
    health = score(state, NOW, MODEL)
    until = holds_until(state, health, NOW, MODEL)
    change = next_change(state, NOW, health.band, MODEL)
    if until is None:
        assert change is None
        return
    assert NOW < until <= NOW + HORIZON_SECONDS
    # One minute is the least that it says, and the sweep that comes then looks closer.
    assert change is None or until <= max(change.at, NOW + MINUTE_SECONDS)
    assert holds_until(state, health, NOW, MODEL, until) == until
    kept = holds_until(state, health, NOW, MODEL, NOW + later)
    assert kept is not None
    assert change is None or kept <= max(change.at, NOW + MINUTE_SECONDS)


@given(recent())
def test_between_now_and_the_cheap_time_the_band_stays(state: State) -> None:
    health = score(state, NOW, MODEL)
    until = holds_until(state, health, NOW, MODEL) or NOW + HORIZON_SECONDS
    assume(until > NOW + MINUTE_SECONDS)
    assert all(band_at(state, at) == health.band for at in tried(NOW, until, state.n))


def test_for_a_steady_buyer_the_cheap_time_is_at_most_four_times_too_early() -> None:
    for gap in (3, 10, 30, 90):
        state = fold(fact_of("purchase", NOW - n * gap * DAY, str(n), amount=2000) for n in range(12))
        health = score(state, NOW, MODEL)
        until, change = holds_until(state, health, NOW, MODEL), next_change(state, NOW, health.band, MODEL)
        assert until is not None
        assert change is not None
        assert (change.at - NOW) / 4 <= until - NOW <= change.at - NOW


def test_whoever_is_lost_and_owes_it_to_silence_alone_never_changes() -> None:
    state = contribution((fact_of("purchase", NOW - 3000 * DAY, "p", amount=1000),))
    health = score(state, NOW, MODEL)
    assert health.band == "lost"
    assert holds_until(state, health, NOW, MODEL) is None
    assert next_change(state, NOW, "lost", MODEL) is None


def test_a_band_may_also_rise_while_penalties_are_forgotten() -> None:
    facts = [fact_of("purchase", NOW - n * 20 * DAY, f"p{n}", amount=5000) for n in range(10)]
    contacts = [fact_of("support_contact", NOW, f"s{n}") for n in range(9)]
    state = fold([*facts, *contacts])
    band = band_at(state, NOW)
    change = next_change(state, NOW, band, MODEL)
    assert change is not None
    assert BANDS.index(change.band) < BANDS.index(band)
    fall = next_fall(state, NOW, MODEL)
    assert fall is None or fall.at > change.at


def test_an_open_complaint_makes_the_score_fall_by_itself() -> None:
    bought = [fact_of("purchase", NOW - n * 20 * DAY, f"p{n}", amount=5000) for n in range(10)]
    opened = fact_of("complaint_opened", NOW, "c", properties={"complaint_id": "c", "severity": "medium"})
    calm, tense = fold(bought), fold([*bought, opened])
    assert band_at(calm, NOW) == "thriving"
    fall = next_fall(tense, NOW, MODEL)
    assert fall is not None
    assert fall.at - NOW < 60 * DAY


def test_of_somebody_unknown_nothing_changes() -> None:
    assert next_fall(EMPTY, NOW, MODEL) is None
    assert next_change(EMPTY, NOW, "unknown", MODEL) is None
    assert holds_until(EMPTY, score(EMPTY, NOW, MODEL), NOW, MODEL) is None


def test_a_purchase_of_minutes_ahead_waits_for_its_time() -> None:
    """Clocks of storefronts may be five minutes ahead; until then the state reads as of the purchase."""
    state = contribution((fact_of("purchase", NOW + 300, "p", amount=5000),))
    change = next_change(state, NOW, band_at(state, NOW), MODEL)
    assert change is not None
    assert change.at > NOW + 300


@given(recent())
def test_a_search_that_runs_out_of_patience_still_ends_near_the_change(state: State) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crossing, "_PATIENCE", 3)
        band = band_at(state, NOW)
        hasty = next_change(state, NOW, band, MODEL)
    assert hasty is None or band_at(state, hasty.at) == hasty.band != band
