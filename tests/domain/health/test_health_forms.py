"""States with other half-lives: folded, read and searched by their own, and never mixed."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.health.crossing import next_change
from app.domain.health.curve import curve_of, sides
from app.domain.health.facts import Fact, fact_of
from app.domain.health.form import HALF_LIVES, SHIPPED, Form, form_of, known
from app.domain.health.history import fold
from app.domain.health.model import Model, ModelFault, shipped
from app.domain.health.resolution import RESOLUTION
from app.domain.health.score import complaints_term, score
from app.domain.health.state import EMPTY, State, adopting
from app.domain.health.threads import joined, voided
from app.domain.health.weights import read
from app.domain.problems import Unavailable
from tests.domain.health.strategies import DAY, END, NOW, START, histories

MODEL = shipped()


@st.composite
def forms(draw: st.DrawFn) -> Form:
    """Half-lives from a week to three years, and a resolution that leaves more or less."""
    days = {name: draw(st.integers(7, 1100)) for name in HALF_LIVES}
    days["refunds"] = days["purchases_long"]
    slow = draw(st.sampled_from((0.45, 0.3, 0.6)))
    return form_of(days, replace(RESOLUTION, slow=slow))


def reading(form: Form) -> Model:
    return replace(MODEL, version="other", form=form)


@given(histories(), forms())
def test_the_stored_form_holds_the_half_lives(facts: list[Fact], form: Form) -> None:
    state = fold(facts, form)
    found = State.decode(state.encode())
    assert found == state
    assert found.form is known(form)
    assert State.decode(fold(facts).encode()).form is SHIPPED
    with pytest.raises(ValueError, match="cut short"):
        State.decode(state.encode()[:40])


@given(histories(min_size=1), histories(min_size=1), forms())
def test_states_of_two_forms_are_never_added(one: list[Fact], other: list[Fact], form: Form) -> None:
    left, right = fold(one), fold(other, form)
    if left.is_empty or right.is_empty:
        assert left.plus(right) == (left if right.is_empty else right)
    elif form != SHIPPED:
        with pytest.raises(ValueError, match="different forms"):
            left.plus(right)
        with pytest.raises(ValueError, match="different forms"):
            left.minus(right)


@given(histories(min_size=1), forms())
def test_any_order_and_a_void_agree_with_a_fold_by_the_same_half_lives(facts: list[Fact], form: Form) -> None:
    state, threads = adopting(EMPTY, form), dict[str | None, list[Fact]]()
    for fact in facts:
        before = threads.setdefault(fact.thread, []) if fact.thread else []
        state = joined(state, before, fact)
        before.append(fact)
    assert state == fold(facts, form)
    gone, rest = facts[0], facts[1:]
    others = [fact for fact in rest if fact.thread is not None and fact.thread == gone.thread]
    # First and last purchase come from the log, as after every void.
    assert voided(state, others, gone)[3:] == fold(rest, form)[3:]


@given(forms(), st.integers(START, END))
def test_a_fact_counts_half_after_its_own_half_life(form: Form, at: int) -> None:
    state = fold([fact_of("support_contact", at, "a")], form)
    half = read(state.con30, at + form.contacts * DAY, form.contacts)
    assert half == pytest.approx(0.5, rel=1e-3)


@given(histories(min_size=1), forms(), st.integers(0, 700))
def test_silence_follows_the_half_lives_of_the_state(facts: list[Fact], form: Form, days: int) -> None:
    """What the search for the next band reads is the score, at any later time."""
    state, model = fold(facts, form), reading(form)
    then = NOW + days * DAY
    at = sides(curve_of(state, NOW, model), then)
    # Several complaints only ever weigh together.
    load = (at.opened + at.residual) * at.factor
    complaints = complaints_term(load, model) if state.c180 else 0.0
    assert at.falling + at.rising + complaints == pytest.approx(score(state, then, model).log_odds, abs=1e-6)


@given(histories(min_size=1), forms())
def test_the_next_change_of_band_is_found_and_none_is_passed_over(facts: list[Fact], form: Form) -> None:
    state, model = fold(facts, form), reading(form)
    band = score(state, NOW, model).band
    change = next_change(state, NOW, band, model)
    end = NOW + 730 * DAY if change is None else change.at - 120
    for day in range(0, max(0, end - NOW) // DAY, 40):
        assert score(state, NOW + day * DAY, model).band == band
    if change is not None:
        assert score(state, change.at, model).band == change.band != band


def test_a_state_is_scored_by_the_model_of_its_half_lives() -> None:
    form = form_of({**SHIPPED.half_lives, "contacts": 60})
    bought = [fact_of("purchase", START, "a", amount=1000)]
    old, new = fold(bought), fold(bought, form)
    active = replace(reading(form), earlier=(MODEL,))
    assert active.of(old) is MODEL
    assert active.of(new) is active
    assert active.of(EMPTY) is active
    assert active.taking(EMPTY).form is form
    assert active.taking(old) is old
    assert active.versions == ["other", "2026.1"]
    with pytest.raises(ValueError, match="another form"):
        score(old, NOW, active)
    with pytest.raises(Unavailable):
        MODEL.of(new)


@pytest.mark.parametrize(
    "half_lives, member, code",
    [
        ({"contacts": 0}, "half_lives.contacts", "out_of_range"),
        ({"contacts": 20.5}, "half_lives.contacts", "wrong_type"),
        ({"contacts": "20"}, "half_lives.contacts", "wrong_type"),
        ({"refunds": 120}, "half_lives.refunds", "inconsistent"),
    ],
)
def test_half_lives_that_cannot_hold_are_refused(half_lives: dict[str, Any], member: str, code: str) -> None:
    given = {**MODEL.to_json(), "half_lives": {**SHIPPED.half_lives, **half_lives}}
    with pytest.raises(ModelFault) as refused:
        Model.parse(given)
    assert (refused.value.member, refused.value.code) == (member, code)


@given(forms())
def test_a_model_names_its_half_lives_and_reads_them_again(form: Form) -> None:
    model = replace(MODEL, form=form)
    again = Model.parse(model.to_json())
    assert again == model
    assert again.form == form
    assert "half_lives" not in MODEL.to_json()


def test_more_forms_than_are_remembered_still_compare() -> None:
    many = [form_of({**SHIPPED.half_lives, "contacts": days}) for days in range(1, 200)]
    assert form_of(many[0].half_lives) == many[0]
    assert known(SHIPPED) is SHIPPED
