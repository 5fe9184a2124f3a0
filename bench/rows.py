"""The rows of the table: what is compared with what, and how good is good enough. Pure; measure.py brings the figures.

A figure is a rate (events or reads per second) or a p50 (milliseconds) of one series in one round; a row's value is the
median over the rounds of the ratio within each round. Where a row compares two pairs, the worse one counts.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


class Figures(Protocol):
    @property
    def rate(self) -> float: ...
    @property
    def p50_ms(self) -> float: ...


Round = Mapping[str, Figures]
Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    what: str
    floor: float
    goal: float
    better: Better
    needs: tuple[str, ...] = ()  # series of one round; none: measured apart
    ratios: tuple[Callable[[Round], float], ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """`rounds` are the ratios behind `value`; `context` says the absolute figures in words."""

    row: Row
    value: float
    rounds: tuple[float, ...]
    context: str

    @property
    def verdict(self) -> str:
        if reaches(self.value, self.row.goal, self.row.better):
            return "goal"
        return "floor" if reaches(self.value, self.row.floor, self.row.better) else "missed"


def reaches(value: float, mark: float, better: Better) -> bool:
    return value >= mark if better == "higher" else value <= mark


def outcome(row: Row, rounds: Sequence[Round]) -> Outcome:
    """The value of a row over all rounds. StatisticsError when there is no round."""
    pairs = [tuple(ratio(figures) for figures in rounds) for ratio in row.ratios]
    worst = min if row.better == "higher" else max
    ratios = worst(pairs, key=statistics.median)
    return Outcome(row, statistics.median(ratios), ratios, _context(row, rounds))


def _context(row: Row, rounds: Sequence[Round]) -> str:
    return ", ".join(
        f"{name} {statistics.median(one[name].rate for one in rounds):,.0f}/s"
        f" p50 {statistics.median(one[name].p50_ms for one in rounds):.2f} ms"
        for name in row.needs
    )


def _rates(ours: str, theirs: str) -> Callable[[Round], float]:
    return lambda figures: figures[ours].rate / figures[theirs].rate


def _medians(ours: str, *theirs: str) -> Callable[[Round], float]:
    return lambda figures: figures[ours].p50_ms / sum(figures[name].p50_ms for name in theirs)


def _rate_row(name: str, what: str, floor: float, goal: float, ours: str, theirs: str) -> Row:
    return Row(name, what, floor, goal, "higher", (ours, theirs), (_rates(ours, theirs),))


ROWS: tuple[Row, ...] = (
    _rate_row(
        "single_64", "single posts, 64 connections / pgbench, 16 clients", 0.25, 0.60, "single", "pgbench_16"
    ),
    _rate_row("single_vs_bare", "single posts / bare FastAPI route", 0.35, 0.70, "single", "bare_64"),
    _rate_row("single_vs_textbook", "single posts / textbook app", 5, 10, "single", "textbook"),
    _rate_row("batch_500", "events in batches of 500 / pgbench, 16 clients", 0.8, 2.0, "batch", "pgbench_16"),
    _rate_row(
        "earning",
        "single purchases while a programme is in force / without one",
        0.8,
        1.0,
        "earning",
        "single",
    ),
    _rate_row(
        "earning_vs_sql",
        "the same purchases that earn / pgbench, 16 clients, the same rows written one purchase at a time",
        0.5,
        1.0,
        "earning",
        "pgbench_earns",
    ),
    _rate_row("hot_customer", "64 connections on one customer / spread", 0.7, 1.0, "hot", "single"),
    Row(
        "lone",
        "p50 of one lone client / (pgbench p50, one client + bare p50)",
        1.8,
        1.3,
        "lower",
        ("lone", "pgbench_1", "bare_1"),
        (_medians("lone", "pgbench_1", "bare_1"),),
    ),
    _rate_row("context", "context reads, 16 connections / bare route", 0.35, 0.60, "context", "bare_16"),
    _rate_row(
        "hold_capture",
        "pairs of hold and capture, 16 connections / pgbench pairs, 16 clients",
        0.5,
        1.0,
        "hold_capture",
        "pgbench_pairs",
    ),
    Row(
        "growth",
        "p50 with 1,000,000 touchpoints stored / with 10,000, the worse of ingest and context",
        1.3,
        1.1,
        "lower",
        ("ingest_few", "ingest_many", "context_few", "context_many"),
        (_medians("ingest_many", "ingest_few"), _medians("context_many", "context_few")),
    ),
    Row("memory", "resident memory after 200,000 events / after 20,000", 1.2, 1.05, "lower"),
    Row("fold_score_vs_validate", "fold and score of one fact / validate_json of its body", 8, 6, "lower"),
)

BY_NAME: Mapping[str, Row] = {row.name: row for row in ROWS}
