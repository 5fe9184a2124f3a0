"""When the band changes if nothing happens: searched with certainty, and a cheap time before which it surely does not.

Branch and bound: with F, which never rises, and G, which never falls (curve.py), the log-odds on [a, b] lie between
F(b) + G(a) + the lowest and F(a) + G(b) + the highest that complaints can be there. An interval whose bounds stay in
a band needs no closer look; any other is halved.
"""

from collections.abc import Callable
from math import inf, log
from typing import Final, NamedTuple

from app.domain.health.curve import Curve, Sides, chance_term, curve_of, rhythm_term, sides
from app.domain.health.model import BANDS, COMPONENTS, Model
from app.domain.health.score import Health, complaints_term, score, usual_gap_days
from app.domain.health.state import State
from app.domain.health.weights import DAY_SECONDS

HORIZON_SECONDS: Final = 730 * DAY_SECONDS
"""How far ahead is looked."""
MINUTE_SECONDS: Final = 60

_LOG_2: Final = log(2)
_RHYTHM, _CONTACTS, _SATISFACTION = (
    COMPONENTS.index(name) for name in ("rhythm", "contacts", "satisfaction")
)
# Log-odds: far more than the rounding of the bounds, far less than a thousandth of a point.
_ROUNDING: Final = 1e-9
# A curve that grazes an edge splits intervals for ever. After so many, a crossing by less than that is overlooked: a
# hundredth of a point.
_PATIENCE: Final = 2000
_GRAZE: Final = 2e-4
# Spans tried on the write path, in seconds: the first guess, and the factor to the next.
_FIRST_SPAN: Final = 32 * DAY_SECONDS
_LADDER: Final = 4


class Change(NamedTuple):
    """The band from the minute `at` on (seconds since 1970, a whole minute)."""

    band: str
    at: int


def next_fall(state: State, now: int, model: Model) -> Change | None:
    """The first whole minute after `now` below the lower edge of the current band if nothing happens.

    None when that is more than 730 days away, or never, or when nothing is known. Equal to trying every minute.
    """
    band = score(state, now, model).band
    if band == "unknown":
        return None
    low, _ = _edges(band, model)
    return _first_outside(state, now, model, low, inf)


def next_change(state: State, since: int, band: str, model: Model) -> Change | None:
    """The first whole minute after `since`, within 730 days, whose band is not `band`; nothing happening meanwhile."""
    if band == "unknown":
        return None
    return _first_outside(state, since, model, *_edges(band, model))


def holds_until(state: State, health: Health, now: int, model: Model, known: int | None = None) -> int | None:
    """A time (seconds since 1970) up to which the band of `health`, of `state` at `now`, surely stays; None: for ever.

    Made for the write path: less than one score as a rule. `known`, the time that was stored before, is given back as
    long as it can be certified, so that an index over it rarely changes; else the time is hardly ever more than four
    times too early, and `next_change` tells it exactly.
    """
    if health.band == "unknown":
        return None
    low, high = _edges(health.band, model)
    holds = _certifier(state, health, now, model, low, high)
    if low == -inf and holds(inf):
        return None
    if known is not None and known > now and holds(known):
        return known
    span = _FIRST_SPAN
    if holds(now + span):
        while span < HORIZON_SECONDS and holds(now + min(span * _LADDER, HORIZON_SECONDS)):
            span = min(span * _LADDER, HORIZON_SECONDS)
        return now + span
    while span > MINUTE_SECONDS:
        span //= _LADDER
        if holds(now + span):
            return now + span
    return now + MINUTE_SECONDS


def _certifier(
    state: State, health: Health, now: int, model: Model, low: float, high: float
) -> Callable[[float], bool]:
    """Whether the log-odds surely stay within the edges from `now` to a later time (inf: for ever)."""
    contacts, answers = health.terms[_CONTACTS] or 0.0, health.terms[_SATISFACTION] or 0.0
    # Penalties that there are may fade. With purchases known, a refund weighs the same for ever.
    if not (state.c180 or contacts < 0 or answers < 0 or (state.r240 and not state.n)):
        least = low + _ROUNDING
        if low == -inf:
            return lambda _later: True
        fall = _fall(state, health, now, model)
        return lambda later: health.log_odds - fall(later) >= least
    curve = curve_of(state, now, model)
    here = sides(curve, now)

    def holds(later: float) -> bool:
        if later == inf:
            # No penalty weighs less than nothing.
            return low == -inf and here.falling < high - _ROUNDING
        return _certain(curve, here, sides(curve, int(later)), low, high)

    return holds


def _fall(state: State, health: Health, now: int, model: Model) -> Callable[[float], float]:
    """By how much F falls at most until later, without reading its sums again: a logarithm of a sum that halves with
    its half-life falls by ln 2 in that time at most.
    """
    form = state.form
    slope = model.w_engagement / form.engagement if state.eng30 else 0.0
    if state.adv365:
        slope += model.w_advocacy / form.advocacy
    if state.loy180:
        slope += model.w_loyalty / form.loyalty
    # d ln|s w/(s w + pseudo)| is at most d ln w, and the term at most w_satisfaction.
    if state.sn180:
        slope += model.w_satisfaction / form.satisfaction
    first, last, rhythm = state.t_first, state.t_last, health.terms[_RHYTHM]
    if first is None or last is None or rhythm is None:
        return lambda later: slope * _LOG_2 * (later - now) / DAY_SECONDS
    slope += model.b_n15 / form.purchases_short + model.b_n60 / form.purchases_middle
    slope += model.b_n240 / form.purchases_long + model.b_value / form.value
    gap = log(usual_gap_days(state, model))
    at = max(now, last)
    chance = chance_term(state.n, first, last, at, model)

    def fall(later: float) -> float:
        then = max(int(later), last)
        return (
            slope * _LOG_2 * (then - at) / DAY_SECONDS
            + chance
            - chance_term(state.n, first, last, then, model)
            + rhythm
            - rhythm_term(first, last, then, gap, model)
        )

    return fall


# --- the search -----------------------------------------------------------------------------------------------------


def _edges(band: str, model: Model) -> tuple[float, float]:
    """The log-odds between which a band lies: at or above the first, below the second."""
    place = BANDS.index(band)
    return _log_odds_of(model.bands[place], model), _log_odds_of(
        model.bands[place - 1], model
    ) if place else inf


def _log_odds_of(points: float, model: Model) -> float:
    if points <= 0:
        return -inf
    return inf if points >= 100 else model.scale * log(points / (100 - points))  # noqa: PLR2004 - the scale's end


def _first_outside(state: State, now: int, model: Model, low: float, high: float) -> Change | None:
    """Depth first, the earlier half first. Intervals end with a whole minute; their start has been looked at."""
    curve = curve_of(state, now, model)
    end = (now + HORIZON_SECONDS) // MINUTE_SECONDS * MINUTE_SECONDS
    waiting = [(sides(curve, now), sides(curve, end))]
    looks = 0
    while waiting:
        start, stop = waiting.pop()
        looks += 1
        if _certain(curve, start, stop, low, high, _ROUNDING if looks < _PATIENCE else -_GRAZE):
            continue
        if stop.at - start.at > MINUTE_SECONDS:
            middle = sides(curve, (start.at + stop.at) // 2 // MINUTE_SECONDS * MINUTE_SECONDS)
            waiting += ((middle, stop), (start, middle))
            continue
        # Bounds cannot tell within the last minute; the score itself decides.
        health = score(state, stop.at, model)
        if not low <= health.log_odds < high:
            return Change(health.band, stop.at)
    return None


def _certain(
    curve: Curve, start: Sides, stop: Sides, low: float, high: float, margin: float = _ROUNDING
) -> bool:
    """Whether the log-odds surely stay within the edges from `start` to `stop`, both included."""
    least, most = stop.falling + start.rising, start.falling + stop.rising
    if curve.c180:
        model = curve.model
        least += complaints_term((stop.opened + start.residual) * start.factor, model)
        most += complaints_term((start.opened + stop.residual) * stop.factor, model)
    return least >= low + margin and most < high - margin
