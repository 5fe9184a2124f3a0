"""What facts add to the state.

Facts that change each other's meaning (an order and its refunds, a complaint and its resolutions) form a thread, and
a thread adds what its *set* of facts says. So no fact depends on what arrived before it, and one that has to wait
for another simply adds nothing until the set is complete.
"""

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Final

from app.domain.health.facts import Fact
from app.domain.health.form import SHIPPED, Form
from app.domain.health.state import State, empty
from app.domain.health.weights import weight

_NO_MORE: Final = (0,) * (len(State._fields) - 11)


def contribution(facts: Sequence[Fact], form: Form = SHIPPED) -> State:
    """What one lone fact, or all known facts of one thread in any order, add to a state of `form` of their customer.

    The state is the sum of the contributions of all threads. ValueError when several facts do not share a thread.
    """
    if len(facts) == 1:
        fact = facts[0]
        component = fact.component
        return empty(form) if component is None else _ALONE[component](fact, form)
    if not facts:
        return empty(form)
    thread = facts[0].thread
    if thread is None or any(fact.thread != thread for fact in facts):
        raise ValueError("Only facts of one thread have a contribution of their own.")
    return _complaint(facts, form) if facts[0].component == "complaints" else _order(facts, form)


def joined(state: State, thread: Sequence[Fact], fact: Fact) -> State:
    """The state once `fact` joins the facts of its thread that `state` already holds (none for a lone fact)."""
    form = state.form
    if not thread:
        return state.plus(contribution((fact,), form))
    return state.minus(contribution(thread, form)).plus(contribution((*thread, fact), form))


def voided(state: State, thread: Sequence[Fact], fact: Fact) -> State:
    """The state once `fact` is taken back; `thread` holds the other facts of its thread (none for a lone fact).

    When the fact is a purchase and others remain, `t_first` and `t_last` stay as they were: see `State.minus`.
    """
    form = state.form
    return state.minus(contribution((*thread, fact), form)).plus(contribution(thread, form))


def pending(facts: Sequence[Fact]) -> frozenset[str]:
    """The ids of the facts of one thread that wait: a refund for its order, a resolution for its opening."""
    if any(fact.component == "complaints" for fact in facts):
        openings = sum(fact.kind == "complaint_opened" for fact in facts)
        return frozenset(fact.id for fact in _ordered(facts, "complaint_resolved")[openings:])
    if any(fact.kind == "purchase" for fact in facts):
        return frozenset()
    return frozenset(fact.id for fact in facts if fact.component == "refunds" and fact.thread is not None)


def resolved_pairs(facts: Sequence[Fact]) -> list[tuple[Fact, Fact]]:
    """(opening, resolution) of one complaint thread: the k-th resolution answers the k-th opening, by (at, id)."""
    openings = _ordered(facts, "complaint_opened")
    return list(zip(openings, _ordered(facts, "complaint_resolved"), strict=False))


def refund_shares(facts: Sequence[Fact]) -> list[tuple[Fact, int, int]]:
    """(fact, minor units, thousandths of what was paid) for each refund of one order thread that takes effect.

    A cancellation refunds the rest of the order, once; one that names an amount refunds as much, for an order may be
    paid again after it. Nothing takes effect before the purchase is known.
    """
    if not any(fact.kind == "purchase" for fact in facts):
        return []
    paid = sum(fact.amount for fact in facts if fact.kind == "purchase")
    refunds = [(fact, fact.amount) for fact in facts if fact.kind == "refund"]
    rest = paid - sum(amount for _, amount in refunds)
    cancellations = _ordered(facts, "order_cancelled")
    for fact in cancellations:
        part = min(fact.amount, rest)
        if part > 0:
            refunds.append((fact, part))
            rest -= part
    if rest > 0:
        refunds += [(fact, rest) for fact in cancellations if not fact.amount][:1]
    return [(fact, amount, min(1000, 1000 * amount // paid) if paid else 1000) for fact, amount in refunds]


def _ordered(facts: Sequence[Fact], kind: str) -> list[Fact]:
    return sorted((fact for fact in facts if fact.kind == kind), key=lambda fact: (fact.at, fact.id))


def _order(facts: Sequence[Fact], form: Form) -> State:
    total = empty(form)
    for fact in facts:
        if fact.kind == "purchase":
            total = total.plus(_purchase(fact, form))
    ordered_at = total.t_first
    if ordered_at is None:
        return total
    for fact, amount, share in refund_shares(facts):
        total = total.plus(_refund(amount, ordered_at, share, fact.at, form))
    return total


def _complaint(facts: Sequence[Fact], form: Form) -> State:
    total = empty(form)
    for opening in facts:
        if opening.kind == "complaint_opened":
            total = total.plus(_complaint_alone(opening, form))
    for opening, resolution in resolved_pairs(facts):
        taken = resolved(opening.severity, opening.at, resolution.at, resolution.csat, form)
        total = total.plus(taken)
    return total


def resolved(severity: int, opened_at: int, at: int, csat: int | None, form: Form) -> State:
    """What the resolution at `at` of a complaint of `severity` (thousandths), opened at `opened_at`, adds."""
    remaining = severity * form.resolution.share(at - opened_at, csat) // 1000
    residual = remaining * weight(at, form.complaints_resolved)
    return State(open_sev=-severity, open_sevt=-severity * opened_at, res45=residual, form=form)


def _purchase(fact: Fact, form: Form) -> State:
    at, amount = fact.at, fact.amount
    short, middle, long, value = form[:4]
    counts = weight(at, short), weight(at, middle), weight(at, long)
    # All members in their order: with names it would take half as long again, and every purchase comes by here.
    return State._make((1, at, at, amount, 0, 0, *counts, amount * weight(at, value), *_NO_MORE, form))


def _refund(amount: int, ordered_at: int, share: int, at: int, form: Form) -> State:
    money = -amount * weight(ordered_at, form.value)
    return State(spend=-amount, m120=money, r240=share * weight(at, form.refunds), form=form)


def _refund_alone(fact: Fact, form: Form) -> State:
    if fact.thread is not None or fact.kind != "refund":
        return empty(form)
    return _refund(fact.amount, fact.at, 1000, fact.at, form)


def _complaint_alone(fact: Fact, form: Form) -> State:
    if fact.kind != "complaint_opened":
        return empty(form)
    severity, at = fact.severity, fact.at
    return State(open_sev=severity, open_sevt=severity * at, c180=weight(at, form.complaints), form=form)


def _contact(fact: Fact, form: Form) -> State:
    return State(con30=fact.weight * weight(fact.at, form.contacts) // 1000, form=form)


def _answer(fact: Fact, form: Form) -> State:
    unit = weight(fact.at, form.satisfaction)
    return State(sn180=(fact.answer or 0) * unit, sd180=1000 * unit, form=form)


def _engagement(fact: Fact, form: Form) -> State:
    return State(eng30=fact.weight * weight(fact.at, form.engagement), form=form)


def _advocacy(fact: Fact, form: Form) -> State:
    return State(adv365=fact.weight * weight(fact.at, form.advocacy), form=form)


def _loyalty(fact: Fact, form: Form) -> State:
    return State(loy180=fact.weight * weight(fact.at, form.loyalty), form=form)


_ALONE: Final[MappingProxyType[str, Callable[[Fact, Form], State]]] = MappingProxyType(
    {
        "momentum": _purchase,
        "refunds": _refund_alone,
        "complaints": _complaint_alone,
        "contacts": _contact,
        "satisfaction": _answer,
        "engagement": _engagement,
        "advocacy": _advocacy,
        "loyalty": _loyalty,
    }
)
