"""Logs to learn from: the published sample, the large data sets where they are at hand, and made-up shops."""

import csv
import gzip
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from app.fitting.published import Cells
from app.fitting.purchases import DAY, Purchases, Row

SAMPLE = Path(__file__).with_name("data") / "cdnow_sample.csv.gz"
SHARED = Path(__file__).parents[3] / "shared" / "data"
START = 1_577_836_800
CALIBRATION_END = int(datetime(1997, 10, 1, tzinfo=UTC).timestamp()) - 1

shared_data = pytest.mark.skipif(
    not (SHARED / "cdnow_master.csv.gz").is_file(),
    reason="the full data sets (../shared/data) are not beside this checkout",
)


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def _read(path: Path, customer: str, time: str, amount: str, refund: str | None = None) -> Purchases:
    with gzip.open(path, "rt", encoding="utf-8") as text:
        return Purchases.of_rows(
            Row(
                line[customer],
                seconds(line[time]),
                abs(round(float(line[amount]) * 100)),
                refund is not None and line[refund] == "1",
            )
            for line in csv.DictReader(text)
        )


@cache
def cdnow_sample() -> Purchases:
    return _read(SAMPLE, "cust_master", "date", "value")


@cache
def cdnow() -> Purchases:
    return _read(SHARED / "cdnow_master.csv.gz", "cust", "date", "value")


@cache
def online_retail() -> Purchases:
    return _read(SHARED / "online_retail_invoices.csv.gz", "cust", "ts", "amount", "cancel")


def calibration(log: Purchases) -> Cells:
    """(x, t_x, T) in weeks at the end of 1997-09-30 as published: whole days, one purchase a day."""
    each = log.daily().as_of(CALIBRATION_END - DAY + 1).histories()
    return Cells.grouped(each.repeats, each.last, each.age)


def shop(
    customers: int,
    days: int,
    seed: int,
    *,
    mean_gap_days: float = 40.0,
    lifetime_days: float = 300.0,
    refunds: float = 0.05,
    season: float = 0.0,
) -> Purchases:
    """A shop whose customers arrive evenly, buy at their own rates and leave for good at a random time.

    `season` is the amplitude of a yearly wave in the rates, at its height a quarter of a year after START.
    """
    random = np.random.default_rng(seed)
    rates = random.gamma(0.8, 1 / (0.8 * mean_gap_days), customers)
    rows: list[Row] = []
    for number in range(customers):
        day = random.uniform(0, days)
        gone = day + random.exponential(lifetime_days)
        while day < min(days, gone):
            at, amount = START + int(day * DAY), int(np.exp(random.normal(8, 0.6)))
            rows.append(Row(str(number), at, amount))
            if random.random() < refunds:
                rows.append(Row(str(number), at + 3 * DAY, amount, is_refund=True))
            while True:
                day += random.exponential(1 / max(rates[number], 1e-6))
                if day >= days or random.random() < _open(day, season):
                    break
    return Purchases.of_rows(rows)


def _open(day: float, season: float) -> float:
    return float((1 + season * np.sin(2 * np.pi * day / 365)) / (1 + season))
