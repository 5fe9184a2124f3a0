"""The promotion gate, on made-up shops."""

import json
from dataclasses import replace

import numpy as np
import pytest

from app.domain.health.form import SHIPPED, form_of
from app.domain.health.model import Model, shipped
from app.fitting.model_fit import fit_model, unlearnt
from app.fitting.properties import broken_promises
from app.fitting.purchases import DAY, Purchases, Row
from app.fitting.trial import CHAMPION, Question, trial, trial_of_arrays
from tests.fitting.logs import START, shop

DAYS = 400
NOW = START + DAYS * DAY
HORIZON = 60
LOG = shop(600, DAYS, seed=5)


def question(challenger: Model, **members: object) -> Question:
    return replace(Question(challenger, shipped(), NOW, HORIZON, resamples=20), **members)  # type: ignore[arg-type]  # any


def other(**numbers: float) -> Model:
    return replace(shipped(), version="other", **numbers)  # type: ignore[arg-type]  # numbers of a model


def test_the_same_numbers_pass_and_every_model_has_its_figures() -> None:
    found = trial(LOG, question(other()))
    assert (found.passed, found.reasons) == (True, ())
    models = found.report["models"]
    assert models["rapport"] == models[CHAMPION]
    assert set(models) >= {"bg_nbd", "mbg_nbd", "pareto_nbd", "rfm_quantiles", "scorecard", "recency"}
    assert all(
        models["rapport"][figure] is not None for figure in ("auc", "log_loss", "brier", "ece", "spearman")
    )
    assert sum(part["customers"] for part in found.report["by_tenure"]) > 0
    json.dumps(found.report, allow_nan=False)


def test_what_predicts_worse_is_kept_out_with_its_figures() -> None:
    found = trial(LOG, question(other(b0=5.0)))
    assert found.passed is False
    assert any(reason.startswith("Log-loss ") for reason in found.reasons)


def test_numbers_under_which_buying_costs_are_kept_out() -> None:
    costly = other(b_pace=-5.0, b_pace2=-5.0, b_n15=0.0, b_n60=0.0, b_n240=0.0, b_ln1x=0.0, c_mbg_logit=0.0)
    assert broken_promises(shipped()) == []
    assert any("a purchase" in told for told in broken_promises(costly))
    assert trial(LOG, question(costly)).passed is False


def test_a_fit_that_has_seen_the_window_is_judged_by_the_same_fit_from_before_it() -> None:
    base = unlearnt(shipped(), shipped())
    fitted = fit_model(LOG, NOW, horizon_days=HORIZON, base=base, target=LOG.daily())
    assert fitted.path == "fitted"
    found = trial(LOG, question(fitted.model, learnt_until=NOW))
    assert found.passed is True
    assert "the same fit on what was known on" in found.report["notes"][0]
    # What came after the window opened has no say in the judged model: another future, the same predictions.
    opened = int(LOG.at.max()) // DAY * DAY + DAY - 1 - HORIZON * DAY
    before = fit_model(LOG, opened, horizon_days=HORIZON, base=base, target=LOG.daily())
    straight = trial(LOG, question(before.model))
    assert straight.report["models"]["rapport"] == found.report["models"]["rapport"]


def test_a_fit_keeps_what_the_shop_has_set_and_forgets_what_an_earlier_fit_has_learnt() -> None:
    active = other(w_contact=0.5, b_n240=0.9, b0=0.5)
    base = unlearnt(active, shipped())
    assert (base.w_contact, base.b_n240, base.b0) == (0.5, shipped().b_n240, shipped().b0)


def test_a_challenger_and_a_champion_are_each_tried_with_their_own_half_lives() -> None:
    slow = replace(
        other(), form=form_of({**SHIPPED.half_lives, "purchases_long": 400, "refunds": 400, "value": 300})
    )
    challenging = trial(LOG, question(slow)).report["models"]
    defending = trial(LOG, replace(question(other()), champion=slow)).report["models"]
    assert challenging["rapport"] == defending[CHAMPION] != challenging[CHAMPION]
    assert challenging[CHAMPION] == defending["rapport"]
    assert broken_promises(slow) == []
    fitted = fit_model(LOG, NOW, horizon_days=HORIZON, base=slow)
    assert fitted.model.form == slow.form
    assert unlearnt(slow, shipped()).form == slow.form


def test_what_happened_after_its_time_is_not_looked_at() -> None:
    later = Purchases.of_columns(
        np.append(LOG.customer, 0),
        np.append(LOG.at, NOW + DAY),
        np.append(LOG.amount, 500),
        np.append(LOG.is_refund, False),
        customers=LOG.customers,
    )
    assert trial(later, question(other())).report["models"] == trial(LOG, question(other())).report["models"]


@pytest.mark.parametrize(
    "rows, told",
    [
        ([], "No window of 60 days has closed"),
        ([Row("1", NOW - DAY, 100)], "No window of 60 days has closed"),
        (
            [Row(str(n), NOW - 200 * DAY, 100) for n in range(30)] + [Row("1", NOW - DAY, 100)],
            "1 of 30 customers bought",
        ),
    ],
)
def test_a_log_too_small_decides_nothing_and_says_why(rows: list[Row], told: str) -> None:
    log = Purchases.of_rows(rows)
    found = trial(log, question(other()))
    assert (found.passed, found.reasons) == (None, ())
    assert any(note.startswith(told) for note in found.report["notes"])
    json.dumps(found.report, allow_nan=False)


def test_arrays_from_another_process_are_the_same_log() -> None:
    columns = [LOG.customer, LOG.at, LOG.amount, LOG.is_refund.astype(int), LOG.ordered_at, LOG.share]
    assert (
        trial_of_arrays(columns, LOG.customers, question(other())).report
        == trial(LOG, question(other())).report
    )
