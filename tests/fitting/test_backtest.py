"""The whole comparison: its protocol, its goals on real shops, and logs too small for it."""

import json
import math
import re
from dataclasses import replace
from functools import cache
from io import StringIO
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from rich.console import Console

from app.domain.health.model import shipped
from app.fitting import metrics, page, report
from app.fitting.backtest import MODELS, RAPPORT, Settings, backtest
from app.fitting.baselines import BASELINES, Task, recency_points, rfm_points, scorecard_points
from app.fitting.comparison import FIGURES
from app.fitting.purchases import DAY, Purchases, Row
from tests.fitting.logs import START, cdnow, cdnow_sample, online_retail, seconds, shared_data, shop

BASE = shipped()
QUICK = Settings(91, resamples=50)


@cache
def sample_result() -> dict[str, Any]:
    return backtest(cdnow_sample(), BASE, QUICK)


@cache
def retail_result() -> dict[str, Any]:
    return backtest(online_retail(), BASE, Settings(90))


def above(result: dict[str, Any], other: str) -> float:
    models = result["models"]
    return float(models[RAPPORT]["auc"] - models[other]["auc"])


# --- the goals of the design ------------------------------------------------------------------------------------------


@shared_data
def test_cdnow_reaches_the_goals_of_the_design() -> None:
    result = backtest(cdnow(), BASE, Settings(91, resamples=100))
    assert [each["date"] for each in result["snapshots"]] == ["1997-09-30", "1997-12-31", "1998-03-31"]
    assert above(result, "bg_nbd") >= 0.010
    assert above(result, "rfm_quantiles") >= 0.008
    assert all(above(result, other) > -0.002 for other in BASELINES)
    against = result["differences"]["bg_nbd"]
    assert against["log_loss_relative"]["difference"] <= -0.015
    assert against["auc"]["interval"][0] > 0
    assert not any("fall" in note or "shipped" in note for note in result["notes"])


@shared_data
def test_online_retail_reaches_the_goals_of_the_design() -> None:
    result = retail_result()
    assert [each["date"] for each in result["snapshots"]] == ["2011-05-31", "2011-08-31"]
    assert above(result, "bg_nbd") >= 0.005
    assert all(above(result, other) > -0.002 for other in BASELINES)
    against = result["differences"]["bg_nbd"]
    assert against["auc"]["interval"][0] > 0
    # 1.50 %, on the edge of the goal: what is asserted leaves room for another numpy.
    assert against["log_loss_relative"]["difference"] <= -0.0145
    assert against["log_loss_relative"]["interval"][1] < 0


def test_the_published_sample_is_ranked_better_than_by_bg_nbd() -> None:
    assert above(sample_result(), "bg_nbd") > 0.005


# --- the protocol -----------------------------------------------------------------------------------------------------


def test_every_model_has_every_figure_and_the_whole_is_json() -> None:
    result = sample_result()
    assert set(result["models"]) == set(MODELS)
    assert all(set(row) == set(FIGURES) for row in result["models"].values())
    assert all(value is not None for row in result["models"].values() for value in row.values())
    assert json.loads(json.dumps(result, allow_nan=False)) == json.loads(json.dumps(result))


def test_figures_are_the_averages_of_the_snapshots() -> None:
    result = sample_result()
    for name in MODELS:
        per_snapshot = [each["models"][name]["auc"] for each in result["snapshots"]]
        assert result["models"][name]["auc"] == pytest.approx(sum(per_snapshot) / 3)


def test_what_lies_after_the_last_window_changes_nothing() -> None:
    log = cdnow_sample()
    result = backtest(log, BASE, replace(QUICK, horizon_days=60))
    last = seconds(result["snapshots"][-1]["date"]) + 61 * DAY
    later = log.at >= last
    assert later.any()
    # More of it in the last month: the snapshots stay, so all figures must.
    doubled = Purchases.of_columns(
        np.concatenate([log.customer, log.customer[later]]),
        np.concatenate([log.at, log.at[later]]),
        np.concatenate([log.amount, log.amount[later]]),
        np.concatenate([log.is_refund, log.is_refund[later]]),
        customers=log.customers,
    )
    assert backtest(doubled, BASE, replace(QUICK, horizon_days=60))["models"] == result["models"]


def test_the_order_of_rows_changes_no_figure() -> None:
    log = cdnow_sample()
    order = np.random.default_rng(9).permutation(len(log))
    shuffled = Purchases.of_columns(
        log.customer[order], log.at[order], log.amount[order], log.is_refund[order], customers=log.customers
    )
    assert backtest(shuffled, BASE, QUICK) == sample_result()


def test_differences_are_paired_so_their_intervals_are_narrower_than_each_model_s() -> None:
    result = sample_result()
    low, high = result["differences"]["mbg_nbd"]["auc"]["interval"]
    own_low, own_high = result["intervals"][RAPPORT]["auc"]
    assert high - low < (own_high - own_low) / 2


def test_refunds_reach_our_model_and_not_the_published_ones() -> None:
    log = shop(1200, 400, 8, refunds=0.0)
    chosen = np.arange(len(log)) % 3 == 0
    both = Purchases.of_columns(
        np.concatenate([log.customer, log.customer[chosen]]),
        np.concatenate([log.at, log.at[chosen] + 60]),
        np.concatenate([log.amount, log.amount[chosen]]),
        np.concatenate([log.is_refund, np.ones(chosen.sum(), dtype=bool)]),
        customers=log.customers,
    )
    settings = replace(QUICK, horizon_days=60)
    without, with_refunds = (backtest(each, BASE, settings) for each in (log, both))
    for name in BASELINES:
        assert without["models"][name] == with_refunds["models"][name]
    assert without["models"][RAPPORT]["log_loss"] != with_refunds["models"][RAPPORT]["log_loss"]


# --- baselines --------------------------------------------------------------------------------------------------------


def test_the_simple_scores_are_what_they_say() -> None:
    now = START + 400 * DAY
    standing = Purchases.of_rows(
        [
            *[Row("often", now - day * DAY, 5000) for day in (20, 60, 90, 200, 390)],
            Row("once", now - 100 * DAY, 100),
            *[Row("left", now - day * DAY, 900) for day in (350, 380)],
        ]
    ).as_of(now)
    assert recency_points(standing, standing) == pytest.approx(-np.log1p([20, 100, 350]))
    assert np.argsort(-rfm_points(standing, standing))[0] == 0
    # Bought within 30 days, 5 purchases, the top quintile of money, over a year.
    assert scorecard_points(standing, standing)[0] == pytest.approx(40 + 0.3 * 75 + 20 + 10)
    # Within 180 days, a single purchase, the lowest quintile, 100 days.
    assert scorecard_points(standing, standing)[1] == pytest.approx(0.4 * 25 + 0 + 0 + 0.1 * 50)


def test_baselines_do_not_see_the_customers_they_are_asked_about() -> None:
    daily = shop(800, 300, 11).daily()
    now = START + 240 * DAY
    learners = np.arange(daily.customers) % 2 == 0
    standing = daily.as_of(now)
    asked = standing.where(np.flatnonzero(~learners[standing.customers]))
    task = Task(daily, learners, asked, (START + 180 * DAY,), 60)
    blind = replace(task, log=daily.of_customers(learners))
    for name, predict in BASELINES.items():
        seen, unseen = predict(task), predict(blind)
        assert np.array_equal(seen.score, unseen.score), name
        assert seen.probability is not None, name
        assert unseen.probability is not None, name
        assert np.array_equal(seen.probability, unseen.probability), name


def test_in_a_world_that_bg_nbd_made_it_wins_but_not_by_much() -> None:
    random = np.random.default_rng(1)
    rows: list[Row] = []
    for number in range(3000):
        day, rate, drop = random.uniform(0, 480), random.gamma(0.6, 1 / 60), random.beta(0.8, 2.0)
        while day < 540:
            rows.append(Row(str(number), START + int(day * DAY), 1000))
            if len(rows) > 1 and rows[-2].customer == str(number) and random.random() < drop:
                break
            day += random.exponential(1 / max(rate, 1e-9))
    result = backtest(Purchases.of_rows(rows), BASE, QUICK)
    # One-time buyers of that world never leave; on the real logs above they do.
    assert -0.02 < above(result, "bg_nbd") < 0


# --- logs too small ---------------------------------------------------------------------------------------------------

_ONE_DAY = [Row(str(number), START, 500) for number in range(30)]
_DEGENERATE = {
    "empty": [],
    "one row": [Row("a", START, 100)],
    "only refunds": [Row("a", START + day * DAY, 100, is_refund=True) for day in range(300)],
    "one day": _ONE_DAY,
    "one customer": [Row("a", START + day * DAY, 100) for day in range(0, 400, 10)],
    "nobody returns": [Row(str(number), START + number * DAY, 100) for number in range(400)],
    "two customers": [Row(str(day % 2), START + day * DAY, 0) for day in range(0, 400, 3)],
    "long silence": [*_ONE_DAY, Row("0", START + 3000 * DAY, 100)],
    "everybody returns": [
        Row(str(n), START + day * DAY, 100) for n in range(120) for day in range(0, 300, 5)
    ],
}


@pytest.mark.parametrize("rows", _DEGENERATE.values(), ids=_DEGENERATE.keys())
def test_a_log_too_small_gives_nulls_and_reasons(rows: list[Row]) -> None:
    result = backtest(Purchases.of_rows(rows), BASE, replace(QUICK, horizon_days=60, resamples=20))
    assert result["notes"]
    text = json.dumps(result, allow_nan=False)
    assert '"models"' in text
    for row in result["models"].values():
        assert all(value is None or math.isfinite(value) for value in row.values())
    console = Console(width=140, record=True, file=StringIO())
    console.print(report.text(result, "tiny.csv"))
    assert "Back-test of tiny.csv" in page.page(result, "tiny.csv")


@pytest.mark.parametrize("horizon", [1, 30, 3650])
def test_any_horizon_is_answered(horizon: int) -> None:
    log = shop(200, 120, 12)
    result = backtest(log, BASE, replace(QUICK, horizon_days=horizon, resamples=20))
    assert result["horizon_days"] == horizon
    assert result["snapshots"] or "Nothing" in result["notes"][0] or "fits into the log" in result["notes"][0]


def test_a_small_shop_falls_back_and_the_report_says_so() -> None:
    result = backtest(shop(100, 300, 13), BASE, replace(QUICK, horizon_days=60, resamples=20))
    assert any("the shipped model as it is" in note for note in result["notes"])
    assert {fit["path"] for each in result["snapshots"] for fit in each["fits"]} == {"defaults"}


# --- reports ----------------------------------------------------------------------------------------------------------


def test_the_page_needs_nothing_else_and_tells_its_plots_in_words() -> None:
    text = page.page(sample_result(), "shop <1>.csv")
    assert "shop &lt;1&gt;.csv" in text
    assert not re.search(r"<script|<link|<img|@import|url\(|https?://", text)
    svgs = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(svgs) == 3
    for svg in svgs:
        tree = ET.fromstring(svg)  # noqa: S314 - made a line above
        assert tree.get("role") == "img"
        ids = (tree.get("aria-labelledby") or "").split()
        assert [tree.find("title"), tree.find("desc")] == [tree.find(f"*[@id='{name}']") for name in ids]
        assert all(child.text for child in (tree.find("title"), tree.find("desc")) if child is not None)
    assert text.count("<details>") == 3
    assert 'lang="en"' in text


def test_the_table_marks_what_is_best_and_gives_the_verdict() -> None:
    result = sample_result()
    console = Console(width=140, record=True, file=StringIO())
    console.print(report.text(result, "sample"))
    text = console.export_text()
    for name in MODELS:
        assert report.TITLES[name] in text
    assert "against" in report.verdict(result)
    assert report.best(result["models"], "auc") == {RAPPORT}
    total = {name: abs(row["total_ratio"] - 1) for name, row in result["models"].items()}
    assert min(total, key=lambda name: total[name]) in report.best(result["models"], "total_ratio")


def test_pooled_tables_hold_every_customer_of_every_snapshot() -> None:
    result = sample_result()
    everybody = sum(each["customers"] for each in result["snapshots"])
    assert sum(row["customers"] for row in result["score_distribution"]) == everybody
    for name in MODELS:
        assert sum(row["customers"] for row in result["calibration"][name]) == everybody
    assert len(result["calibration"][RAPPORT]) <= metrics.BINS
