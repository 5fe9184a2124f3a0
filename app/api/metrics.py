"""What Prometheus reads. One registry for each application, so that tests may make many.

With `rapport serve --workers N` every worker counts for itself, and a scrape is answered by whichever worker takes the
connection: run one worker for each port (or container) and let Prometheus sum them.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from math import nan
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from app.storage.models import SeenDrift
from app.usecases.complaints.watch_complaints import Watched
from app.usecases.loyalty.referrals.settle_referrals import Settled
from app.usecases.loyalty.run_clock import Clocked
from app.usecases.privacy.purge_log import Purged
from app.usecases.sweep_bands import Swept

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

disable_created_metrics()  # type: ignore[no-untyped-call]  # a third of all lines, and nobody asks when a counter was made

_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

_MOST_ANSWERED: Final = 128
"""Answers that may wait to be counted; a scrape counts them first."""


class Metrics:
    """Counters of one process. Labels never hold what a client chose freely: their number must stay bounded."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "http_requests_total",
            "Answers by route template.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "http_request_seconds",
            "Time until an answer was sent.",
            ("route", "method"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._touchpoints = Counter(
            "touchpoints_total",
            "Touchpoints posted, by what became of them.",
            ("kind", "result"),
            registry=self._registry,
        )
        self._bands = Counter(
            "bands_swept_total",
            "Customers whose band was looked at because time passed, by what became of it.",
            ("result",),
            registry=self._registry,
        )
        self._sweep = Gauge(
            "bands_swept_timestamp_seconds", "When the last sweep came to its end.", registry=self._registry
        )
        self._clocks = Counter(
            "complaints_watched_total",
            "What the clocks of complaints said, and offers that closed because nobody answered.",
            ("result",),
            registry=self._registry,
        )
        self._purged = Counter(
            "touchpoints_purged_total",
            "Touchpoints of which only their names were left, because they were old.",
            registry=self._registry,
        )
        self._blanked = Counter(
            "texts_blanked_total",
            "Rows of answers and complaints whose words were blanked, because they were old.",
            registry=self._registry,
        )
        self._merges = Counter(
            "customer_merges_total",
            "Customers who were merged, and merges that were undone.",
            ("what",),
            registry=self._registry,
        )
        points = Counter(
            "loyalty_points_total",
            "Points that purchases earned and refunds took back.",
            ("what",),
            registry=self._registry,
        )
        self._points = {f"points_{what}": points.labels(what) for what in ("earned", "clawed")}
        self._referrals = Counter(
            "referrals_settled_total",
            "Referrals whose time had come, by what became of them.",
            ("result",),
            registry=self._registry,
        )
        self._accounts = Counter(
            "loyalty_clock_total",
            "Accounts of points that were looked at because time passed, by what was done with them.",
            ("result",),
            registry=self._registry,
        )
        self._clock = Gauge(
            "loyalty_clock_timestamp_seconds",
            "When the last run of the clock of loyalty came to its end.",
            registry=self._registry,
        )
        self._answered: list[tuple[str, str, int, float]] = []
        self._drift = {
            name: Gauge(f"model_drift_{name}", documentation, registry=self._registry)
            for name, documentation in (
                (
                    "ece",
                    "Mean distance of predicted from observed in the last closed window; NaN: not known.",
                ),
                ("psi", "Population stability index of the score over the last window; NaN: not known."),
                ("fired", "1 when a refit of the active model is due."),
                ("timestamp_seconds", "When the active model was last looked at."),
            )
        }
        self._request_children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._touchpoint_children: dict[tuple[str, str], Counter] = {}

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answer. `route` is a template, never a URL, and `method` one of those we know or "other"."""
        self._answered.append((route, method, status, seconds))
        if len(self._answered) >= _MOST_ANSWERED:
            self._count_answered()

    def _count_answered(self) -> None:
        """Many in one go, while the processor has the code for it at hand."""
        answered, self._answered = self._answered, []
        for route, method, status, seconds in answered:
            children = self._request_children.get((route, method, status))
            if children is None:
                children = (
                    self._requests.labels(route, method, f"{status // 100}xx"),
                    self._seconds.labels(route, method),
                )
                self._request_children[route, method, status] = children
            counter, histogram = children
            counter.inc()
            histogram.observe(seconds)

    def touchpoint(self, kind: str, result: str, count: int = 1) -> None:
        """Count touchpoints: `kind` must be a known one or "unknown", `result` is stored, duplicate or rejected."""
        child = self._touchpoint_children.get((kind, result))
        if child is None:
            child = self._touchpoint_children[kind, result] = self._touchpoints.labels(kind, result)
        child.inc(count)

    def points(self, told: Mapping[str, int]) -> None:
        """Count what a new touchpoint did to points, by the `loyalty` member of its answer."""
        for what, counter in self._points.items():
            if told[what]:
                counter.inc(told[what])

    def merge(self, what: str) -> None:
        """Count one: merged or undone."""
        self._merges.labels(what).inc()

    def swept(self, swept: Swept) -> None:
        """Count what one sweep of the bands did."""
        for result, count in asdict(swept).items():
            self._bands.labels(result).inc(count)
        self._sweep.set_to_current_time()

    def watched(self, watched: Watched) -> None:
        """Count what one look at the clocks of complaints found."""
        for result, count in asdict(watched).items():
            self._clocks.labels(result).inc(count)

    def purged(self, purged: Purged) -> None:
        """Count what one look for old touchpoints took."""
        self._purged.inc(purged.touchpoints)
        self._blanked.inc(purged.texts)

    def settled(self, settled: Settled) -> None:
        """Count what one look at the referrals did."""
        for result, count in asdict(settled).items():
            self._referrals.labels(result).inc(count)

    def clocked(self, clocked: Clocked) -> None:
        """Count what one run of the clock of loyalty did."""
        for result, count in asdict(clocked).items():
            self._accounts.labels(result).inc(count)
        self._clock.set_to_current_time()

    def drifted(self, seen: SeenDrift | None) -> None:
        """What is written down of the active model; None: nobody has looked yet."""
        drift = None if seen is None else seen.drift
        for name in ("ece", "psi"):
            found = None if drift is None else getattr(drift, name)
            self._drift[name].set(nan if found is None else found)
        self._drift["fired"].set(0 if drift is None else bool(drift.reasons))
        self._drift["timestamp_seconds"].set(0 if seen is None else seen.checked_at.timestamp())

    def gauge(
        self, name: str, documentation: str, label: str, readings: Mapping[str, Callable[[], float]]
    ) -> None:
        """A gauge that is read when it is scraped: one function for each value of `label`."""
        gauge = Gauge(name, documentation, (label,), registry=self._registry)
        for value, reading in readings.items():
            gauge.labels(value).set_function(reading)

    def render(self) -> bytes:
        """Everything in Prometheus' text format."""
        self._count_answered()
        return generate_latest(self._registry)
