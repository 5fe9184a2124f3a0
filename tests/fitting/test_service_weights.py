"""What closed complaints teach: the truth of a made-up shop, or nothing where there are too few."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from app.domain.health.cases import Case, closed_cases
from app.domain.health.facts import Fact, fact_of
from app.domain.health.form import SHIPPED, form_of
from app.domain.health.history import fold
from app.domain.health.model import Model, shipped
from app.domain.health.score import score
from app.fitting.model_fit import ModelFit
from app.fitting.service_weights import ENOUGH_CASES, fit_service
from tests.fitting.logs import START

DAY = 86_400
BASE = shipped()
TRUTH = replace(BASE, complaint_max=7.0, w_contact=0.2, w_satisfaction=1.2, w_engagement=0.6)


def life(random: np.random.Generator, end: int) -> list[Fact]:
    """Purchases, contacts, answers and visits of two years, and one complaint that is closed at `end`."""
    facts = [
        fact_of("purchase", end - int(days * DAY), f"p{index}", amount=3_000)
        for index, days in enumerate(random.uniform(1, 500, random.integers(1, 12)))
    ]
    for kind, most, within in (("support_contact", 9, 40), ("visit", 14, 60)):
        facts += [
            fact_of(kind, end - int(days * DAY), f"{kind}{index}")
            for index, days in enumerate(random.uniform(0, within, random.integers(0, most)))
        ]
    if random.random() < 0.7:
        answer = {"rating": int(random.integers(1, 6))}
        facts.append(fact_of("csat", end - int(random.uniform(0, 90) * DAY), "csat", properties=answer))
    complaint = {"complaint_id": "c", "severity": str(random.choice(["low", "medium", "high", "critical"]))}
    opened = end - int(random.uniform(0.1, 40) * DAY)
    facts.append(fact_of("complaint_opened", opened, "o", properties=complaint))
    closed = complaint | {"csat": int(random.integers(1, 6))}
    facts.append(fact_of("complaint_resolved", end, "r", properties=closed))
    return facts


@cache
def cases(count: int, seed: int) -> tuple[Case, ...]:
    """Cases whose outcomes follow TRUTH."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        state = fold(life(random, START))
        chance = score(state, START, TRUTH).purchase_probability
        assert chance is not None
        made.append(Case(START, state, bool(random.random() < chance)))
    return tuple(made)


def apart(model: Model) -> float:
    """How far a model's chances are from the true ones, on cases that nobody has learnt from (mean squared)."""
    told = [
        (
            score(case.state, case.at, model).purchase_probability or 0.0,
            score(case.state, case.at, TRUTH).purchase_probability or 0.0,
        )
        for case in cases(400, 99)
    ]
    return float(np.mean([(one - other) ** 2 for one, other in told]))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_shop_with_cases_is_known_better_than_by_the_priors(seed: int) -> None:
    learnt = fit_service(cases(1500, seed), BASE, BASE)
    assert learnt.path == "fitted"
    assert learnt.log_loss is not None
    assert learnt.log_loss[1] < learnt.log_loss[0]
    fitted = learnt.applied(BASE)
    assert apart(fitted) < apart(BASE) / 2
    for name in ("complaint_max", "w_contact", "w_satisfaction", "w_engagement"):
        truth, found, prior = (getattr(one, name) for one in (TRUTH, fitted, BASE))
        assert abs(found - truth) < abs(prior - truth), name
    # Nobody referred anybody: there the prior is all that is known.
    assert fitted.w_advocacy == pytest.approx(BASE.w_advocacy, abs=1e-3)
    assert fitted.contact_max / fitted.w_contact == pytest.approx(BASE.contact_max / BASE.w_contact, rel=1e-2)
    Model.parse(fitted.to_json())


def test_with_few_cases_the_priors_stand_and_the_record_says_why() -> None:
    few = fit_service(cases(ENOUGH_CASES - 1, 1), BASE, BASE)
    assert (few.path, few.why) == ("priors", "49 closed complaints with outcomes; 50 are needed")
    assert few.applied(BASE) is BASE
    alike = [case._replace(bought=True) for case in cases(60, 1)]
    assert fit_service(alike, BASE, BASE).why == "60 of 60 bought again; 5 of each kind are needed"
    assert fit_service([], BASE, BASE).cases == 0


def test_what_is_only_noise_moves_nothing_far() -> None:
    random = np.random.default_rng(5)
    noise = [case._replace(bought=bool(random.random() < 0.5)) for case in cases(60, 3)]
    learnt = fit_service(noise, BASE, BASE).applied(BASE)
    assert all(getattr(learnt, name) >= 0 for name in ("complaint_max", "w_contact", "w_satisfaction"))
    assert learnt.complaint_max <= 2 * BASE.complaint_max


def test_signs_hold_even_where_complainers_buy_more() -> None:
    against = [
        case._replace(bought=(score(case.state, case.at, BASE).terms[4] or 0.0) < -1)
        for case in cases(600, 4)
    ]
    learnt = fit_service(against, BASE, BASE)
    assert min(learnt.weights) >= 0


def test_a_shop_that_set_its_own_weights_keeps_them_without_cases() -> None:
    own = replace(BASE, w_contact=0.5)
    assert fit_service(cases(10, 1), own, BASE).applied(own).w_contact == 0.5


def test_a_fit_with_other_weights_is_another_version_with_a_record() -> None:
    found = ModelFit(BASE, None, "fitted", "", {"path": "fitted"})
    learnt = found.with_service(fit_service(cases(1500, 1), BASE, BASE))
    assert learnt.model.version != BASE.version
    assert learnt.metadata["service_weights"]["weights"]["complaint_max"] == learnt.model.complaint_max
    few = found.with_service(fit_service((), BASE, BASE))
    assert few.model is BASE
    assert few.metadata["service_weights"]["path"] == "priors"


# --- cases from a log -------------------------------------------------------------------------------------------------


def complaint(kind: str, days: float, name: str, complaint_id: str = "c") -> Fact:
    return fact_of(kind, START + int(days * DAY), name, properties={"complaint_id": complaint_id})


def bought(days: float) -> Fact:
    return fact_of("purchase", START + int(days * DAY), f"p{days}", amount=1000)


def test_a_case_knows_what_was_there_and_the_outcome_what_came_within_the_horizon() -> None:
    facts = [
        bought(0),
        complaint("complaint_opened", 10, "o"),
        complaint("complaint_resolved", 12, "r"),
        bought(40),
        complaint("complaint_opened", 50, "o2", "d"),
        complaint("complaint_resolved", 51, "r2", "d"),
        complaint("complaint_resolved", 60, "stray", "unknown"),
        complaint("complaint_opened", 70, "open", "e"),
    ]
    until = START + 200 * DAY
    first, second = closed_cases(reversed(facts), until, 30, SHIPPED)
    assert (first.at, first.bought, first.state) == (START + 12 * DAY, True, fold(facts[:3]))
    assert (second.at, second.bought) == (START + 51 * DAY, False)
    # Its horizon has not passed yet.
    assert len(closed_cases(facts, START + 60 * DAY, 30, SHIPPED)) == 1
    other = form_of({**SHIPPED.half_lives, "complaints": 90})
    assert closed_cases(facts, until, 30, other)[0].state == fold(facts[:3], other)


def test_who_had_never_bought_cannot_buy_again() -> None:
    facts = [complaint("complaint_opened", 1, "o"), complaint("complaint_resolved", 2, "r"), bought(5)]
    assert closed_cases(facts, START + 200 * DAY, 30, SHIPPED) == []
