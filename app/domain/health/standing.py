"""Where a customer stands now, in words, and what a support agent could do about it."""

from collections.abc import Callable, Collection
from types import MappingProxyType
from typing import Final

from app.domain.health import wording
from app.domain.health.explain import VISIBLE, delta, exact, gain, purchase_now
from app.domain.health.model import COMPONENTS, Model
from app.domain.health.score import Health, complaint_factor, with_answer, with_referral
from app.domain.health.state import State
from app.domain.health.threads import resolved
from app.domain.health.weights import read
from app.domain.money import decimal_string

_MOST_REASONS: Final = 5
_MOST_SILENCE_REASONS: Final = 2
_LOYAL_PURCHASES: Final = 3
_WORST_SEVERITY: Final = 2000
# Answers and referrals fade by half in 180 and 365 days; below this the last one no longer speaks for today.
_FADED: Final = 0.5


def level_reasons(state: State, health: Health, now: int, model: Model, currency: str) -> list[str]:
    """The strongest reasons, at most five, for where `health` (of `state` at `now`) stands; the weightiest first.

    `currency` is the shop's, in whose minor units the state counts.
    """
    weighed = [
        (points, name)
        for name, points in zip(COMPONENTS, health.contributions, strict=True)
        if points is not None and abs(points) >= VISIBLE
    ]
    weighed.sort(key=lambda reason: -abs(reason[0]))
    told = []
    for points, name in weighed[:_MOST_REASONS]:
        if name == "value":
            sentence = _value(state, currency)
        else:
            tell = _tenure if name == "rhythm" and points > 0 else _SENTENCES[name]
            sentence = tell(state, now, model)
        told.append(f"{sentence}: {'+' if points > 0 else '-'}{wording.points(points)}")
    if told:
        return told
    return ["Nothing is known yet" if health.score_exact is None else "Nothing known weighs either way"]


def silence_reasons(state: State, before: Health, after: Health, now: int, model: Model) -> list[str]:
    """One or two sentences on what moved the health of one and the same `state` from `before` to `after`, at `now`.

    Momentum, rhythm and value move together when somebody does not buy, and are told as one.
    """
    moved = list(delta(before, after, model))
    if state.n:
        moved[1] += moved[0] + moved[2]
        moved[0] = moved[2] = 0.0
    falls = sum(moved) < 0
    weighed = sorted(
        (
            (abs(points), name)
            for name, points in zip(COMPONENTS, moved, strict=True)
            if (points < 0) == falls
        ),
        reverse=True,
    )
    return [
        f"{_SENTENCES[name](state, now, model)}: {'-' if falls else '+'}{wording.points(points)}"
        for points, name in weighed[:_MOST_SILENCE_REASONS]
        if points >= VISIBLE
    ] or ["Time passed"]


def next_best_actions(
    state: State, health: Health, flags: Collection[str], now: int, model: Model
) -> list[tuple[str, str]]:
    """(action, why) for a support agent, most urgent first; `flags` are the red flags of `state` at `now`.

    Actions: `resolve_complaint`, `call_personally`, `win_back`, `ask_for_feedback`, `thank_and_invite`. While a
    complaint is open nothing else is asked of the customer, and who opted out hears only of their own matter.
    """
    actions = []
    if state.open_sev > 0:
        actions.append(("resolve_complaint", _why_resolve(state, health, now, model)))
    low = health.band in ("at_risk", "lost")
    if low and "complaint_repeated" in flags:
        why = f"Complaints repeat and health is {health.score} of 100; a call says more than a message"
        actions.append(("call_personally", why))
    elif low and state.n >= _LOYAL_PURCHASES:
        why = f"Bought {wording.times(state.n)}, and health is down to {health.score} of 100"
        actions.append(("call_personally", why))
    if state.open_sev > 0 or "opted_out" in flags:
        return actions
    if "overdue" in flags:
        actions.append(("win_back", _why_win_back(state, health, now, model)))
    if state.n and read(state.sd180, now, state.form.satisfaction) < 1000 * _FADED:
        actions.append(("ask_for_feedback", _why_ask(state, health, now, model)))
    content = health.band in ("thriving", "healthy") and state.sn180 >= 0 and "overdue" not in flags
    if content and state.n and read(state.adv365, now, state.form.advocacy) < 1000 * _FADED:
        actions.append(("thank_and_invite", _why_thank(state, health, now, model)))
    return actions


def _why_resolve(state: State, health: Health, now: int, model: Model) -> str:
    severity, since = state.open_sev, state.open_sevt // state.open_sev
    # Several are resolved as one that was opened at their mean; nothing of their openings may be left over.
    answer = resolved(severity, since, now, None, state.form)._replace(open_sevt=-state.open_sevt)
    back = wording.points(gain(state, health, answer, now, model))
    return f"{_open_complaint(state, now)}; resolving it now gives back {back}"


def _why_win_back(state: State, health: Health, now: int, model: Model) -> str:
    back = wording.points(gain(state, health, purchase_now(state, now), now, model))
    return f"{_rhythm(state, now, model)}; a purchase now would add {back}"


def _why_ask(state: State, health: Health, now: int, model: Model) -> str:
    asked = "No answer in recent months" if state.sd180 else "Never answered a survey"
    top = with_answer(state, health, now, 1000, model) - exact(health)
    return f"{asked}; a top answer would add {wording.points(top)}"


def _why_thank(state: State, health: Health, now: int, model: Model) -> str:
    referral = with_referral(state, health, now, model) - exact(health)
    referred = "has not referred a friend lately" if state.adv365 else "has never referred a friend"
    return f"Bought {wording.times(state.n)} and {referred}; a referral would add {wording.points(referral)}"


def _momentum(state: State, now: int, _: Model) -> str:
    last = _span(state, now)[1]
    return (
        f"Bought {wording.times(state.n)}, {'last' if state.n > 1 else 'that was'} {wording.ago(now - last)}"
    )


def _rhythm(state: State, now: int, _: Model) -> str:
    first, last = _span(state, now)
    silent = wording.days(now - last)
    if state.n == 1:
        return f"No second purchase for {silent}"
    usual = wording.whole_days((last - first) / (state.n - 1))
    return f"Silent for {silent}; usual gap is {usual or 'less than a day'}"


def _tenure(state: State, now: int, _: Model) -> str:
    first, last = _span(state, now)
    return f"Still buying {wording.days(last - first)} after the first time"


def _span(state: State, now: int) -> tuple[int, int]:
    """First and last purchase; `now` twice where there is none."""
    if state.t_first is None or state.t_last is None:
        return now, now
    return state.t_first, state.t_last


def _value(state: State, currency: str) -> str:
    spent = f"Spent {decimal_string(state.spend, currency)} {currency}"
    return f"{spent} net of refunds" if state.r240 else f"{spent} so far"


def _refunds(state: State, now: int, _: Model) -> str:
    bought = read(state.n240, now, state.form.purchases_long)
    if not bought:
        return "Refunds without a known order"
    returned = read(state.r240, now, state.form.refunds) / 1000
    return f"Refunds are {wording.percent(returned / bought)} of recent purchases"


def _complaints(state: State, now: int, model: Model) -> str:
    told = _open_complaint(state, now) if state.open_sev > 0 else "A resolved complaint is still remembered"
    factor = complaint_factor(read(state.c180, now, state.form.complaints), model)
    return told if factor < 1 + VISIBLE else f"{told}, and repeated complaints weigh {factor:.1f} times"


def _open_complaint(state: State, now: int) -> str:
    age = wording.days(now - state.open_sevt // state.open_sev)
    # The state sums severities: above the worst one there are surely several, and their age is a mean.
    several = state.open_sev > _WORST_SEVERITY
    return f"Complaints open for {age} on average" if several else f"A complaint is open for {age}"


def _contacts(state: State, now: int, model: Model) -> str:
    count = round(read(state.con30, now, state.form.contacts))
    return f"About {count} support contacts in recent weeks; the first {int(model.contact_free)} are free"


def _satisfaction(state: State, _now: int, _: Model) -> str:
    # Both sums fade alike, so their ratio is the mean answer at any time.
    mean = state.sn180 / state.sd180
    return f"Answers average {50 + 50 * mean:.0f} of 100"


def _engagement(_state: State, _now: int, _: Model) -> str:
    return "Visits, messages and posts of recent weeks"


def _advocacy(_state: State, _now: int, _: Model) -> str:
    return "Recommended the shop to others"


def _loyalty(_state: State, _now: int, _: Model) -> str:
    return "Takes part in the loyalty programme"


_SENTENCES: Final[MappingProxyType[str, Callable[[State, int, Model], str]]] = MappingProxyType(
    {
        "momentum": _momentum,
        "rhythm": _rhythm,
        "refunds": _refunds,
        "complaints": _complaints,
        "contacts": _contacts,
        "satisfaction": _satisfaction,
        "engagement": _engagement,
        "advocacy": _advocacy,
        "loyalty": _loyalty,
    }
)
