"""Why the score moved, exactly: what each component did, what it could still do, and the same in words."""

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from app.domain.health import wording
from app.domain.health.facts import SEVERITIES, Fact, fact_of
from app.domain.health.flags import complaint_repeated
from app.domain.health.model import COMPONENTS, Model
from app.domain.health.score import BASE, NEGLIGIBLE, Health, complaint_factor, points, score
from app.domain.health.state import State
from app.domain.health.threads import contribution, pending, refund_shares, resolved_pairs
from app.domain.health.weights import DAY_SECONDS, read

VISIBLE: Final = 0.05
"""Points below which a figure would read as 0.0."""

_REFUNDS, _COMPLAINTS, _CONTACTS = (COMPONENTS.index(name) for name in ("refunds", "complaints", "contacts"))
_WHOLE: Final = 1000
_NAMES: Final = MappingProxyType({thousandths: name for name, thousandths in SEVERITIES.items()})

_PHRASES: Final = MappingProxyType(
    {
        "nps": "Answered NPS",
        "csat": "Answered CSAT",
        "ces": "Answered CES",
        "review": "Reviewed",
        "social_mention": "Mentioned in public, sentiment",
        "visit": "Visited",
        "message_opened": "Opened a message",
        "cart_abandoned": "Left a cart behind",
        "message_clicked": "Clicked in a message",
        "self_service": "Found help without support",
        "community_post": "Posted in the community",
        "referral": "Referred a friend",
        "review_public": "Wrote a public review",
        "loyalty_joined": "Joined the loyalty programme",
        "points_redeemed": "Redeemed points",
    }
)


def delta(before: Health, after: Health, model: Model) -> tuple[float, ...]:
    """Points that each component moved the score by, in the order of COMPONENTS; they add up to the whole difference.

    Aumann-Shapley along the straight line between both: (H2 - H1) (l2 - l1)/(L2 - L1), where L2 = L1 its limit
    H (100 - H)/100/scale (l2 - l1). Without evidence a side counts as the neutral 50.
    """
    start = BASE if before.score_exact is None else before.score_exact
    end = BASE if after.score_exact is None else after.score_exact
    spread = after.log_odds - before.log_odds
    slope = (end - start) / spread if abs(spread) > NEGLIGIBLE else start * (100 - start) / 100 / model.scale
    return tuple(
        ((now or 0.0) - (then or 0.0)) * slope for then, now in zip(before.terms, after.terms, strict=True)
    )


def gain(state: State, health: Health, addition: State, now: int, model: Model) -> float:
    """Points by which `health`, of `state` at `now`, would change if `addition` (what facts would add) came in."""
    return exact(score(state.plus(addition), now, model)) - exact(health)


def purchase_now(state: State, now: int) -> State:
    """What a purchase of the customer's own average amount would add at `now`."""
    amount = max(0, state.spend // state.n) if state.n else 0
    return contribution((fact_of("purchase", max(now, state.t_last or 0), "", amount=amount),), state.form)


def points_missed(state: State, health: Health, now: int, model: Model) -> tuple[float, ...]:
    """Points within reach of each component, in the order of COMPONENTS; `health` is of `state` at `now`.

    Each is the score's rise, never negative, if this component alone stood where the customer's best next step would
    put it: for momentum, rhythm and value an average purchase now, for satisfaction a top answer, for engagement a
    community post, for advocacy a referral, for loyalty a redemption; for refunds, complaints and contacts no penalty
    at all. A component without evidence misses what that step would bring, a penalty without evidence nothing.
    """
    best = purchase_now(state, now)
    for step in (
        fact_of("csat", now, "", properties={"rating": 5}),
        fact_of("community_post", now, ""),
        fact_of("referral", now, ""),
        fact_of("points_redeemed", now, ""),
    ):
        best = best.plus(contribution((step,), state.form))
    reachable = list(score(state.plus(best), now, model).terms)
    reachable[_REFUNDS] = reachable[_COMPLAINTS] = reachable[_CONTACTS] = 0.0
    start = exact(health)
    return tuple(
        max(0.0, points(health.log_odds - (term or 0.0) + (top or 0.0), model.scale) - start)
        for term, top in zip(health.terms, reachable, strict=True)
    )


def reasons(
    fact: Fact,
    state_before: State,
    state_after: State,
    before: Health,
    after: Health,
    now: int,
    model: Model,
    thread: Sequence[Fact],
) -> list[str]:
    """One to three sentences on what a fact did to the health its caller sees: `before` and `after` are read at `now`.

    `thread` holds every known fact of its thread, itself included; it may be empty for a lone fact.
    """
    if fact.component is None:
        return ["No effect on health"]
    known = thread or (fact,)
    if fact.kind != "purchase" and fact.id in pending(known):
        return ["Waits for its complaint" if fact.component == "complaints" else "Waits for its order"]
    event = _Event(fact, known, state_before, state_after, delta(before, after, model), now, model)
    told = _TELL.get(fact.component, _signal)(event)
    if now - fact.at >= DAY_SECONDS:
        told.append(f"Reported late, it happened {wording.ago(now - fact.at)}")
    return told


class _Event(NamedTuple):
    fact: Fact
    thread: Sequence[Fact]
    was: State
    state: State
    moved: tuple[float, ...]
    now: int
    model: Model


def exact(health: Health) -> float:
    """The unrounded score; without evidence the neutral 50."""
    return BASE if health.score_exact is None else health.score_exact


def _purchase(event: _Event) -> list[str]:
    at, was = event.fact.at, event.was
    if was.t_first is None or was.t_last is None:
        what = "First purchase"
    elif at < was.t_last:
        what = f"An earlier purchase, {wording.days(was.t_last - at)} before the latest"
    else:
        what = f"Bought again {wording.afterwards(at - was.t_last)}"
        if was.n > 1:
            usual = wording.whole_days((was.t_last - was.t_first) / (was.n - 1))
            what += f"; usual gap is {usual or 'less than a day'}"
    told = [what]
    shares = [share for _, _, share in refund_shares(event.thread)] if len(event.thread) > 1 else []
    # With a second purchase on the same order, its refunds had not been waiting.
    if shares and sum(known.kind == "purchase" for known in event.thread) == 1:
        refunded = wording.percent(sum(shares) / _WHOLE)
        told.append(f"Its refund of {refunded} was known before and counts now")
    return told


def _refund(event: _Event) -> list[str]:
    fact, state = event.fact, event.state
    share = next((share for known, _, share in refund_shares(event.thread) if known.id == fact.id), None)
    told = [_refunded(fact.kind, share)]
    if state.n > 1:
        form = state.form
        bought = read(state.n240, event.now, form.purchases_long)
        returned = read(state.r240, event.now, form.refunds) / 1000 / bought
        told.append(f"Refunds are {wording.percent(returned)} of recent purchases")
    return told


def _refunded(kind: str, share: int | None) -> str:
    if kind == "order_cancelled":
        if share is None:
            return "Order cancelled; nothing was left to refund"
        rest = f"; the remaining {wording.percent(share / _WHOLE)} is refunded"
        return "Order cancelled" if share == _WHOLE else f"Order cancelled{rest}"
    if share is None:
        return "Refund without an order, counted in full"
    return (
        f"Refund of {'the whole' if share == _WHOLE else wording.percent(share / _WHOLE) + ' of the'} order"
    )


def _complaint(event: _Event) -> list[str]:
    fact = event.fact
    pairs = resolved_pairs(event.thread)
    opening = next((opening for opening, resolution in pairs if fact.id in (opening.id, resolution.id)), None)
    moved = event.moved[_COMPLAINTS]
    if fact.kind == "complaint_resolved" and opening is not None:
        told = [f"Complaint resolved {wording.afterwards(fact.at - opening.at)}"]
        if fact.csat is not None:
            told[0] += f", rated {fact.csat} of 5"
        if moved >= VISIBLE:
            told[0] += f"; {wording.points(moved)} back"
        return [*told, "Another complaint is still open"] if event.state.open_sev else told
    told = [f"Complaint opened, {_NAMES[fact.severity]} severity"]
    if opening is not None:
        told[0] += "; its resolution was known before"
    if moved <= -VISIBLE:
        told[0] += f"; it costs {wording.points(moved)}"
    if complaint_repeated(event.state, event.now):
        factor = complaint_factor(read(event.state.c180, event.now, event.state.form.complaints), event.model)
        told.append(f"Not the first complaint in recent months, so complaints weigh {factor:.1f} times")
    return told


def _contact(event: _Event) -> list[str]:
    free = int(event.model.contact_free)
    count = max(1, round(read(event.state.con30, event.now, event.state.form.contacts)))
    label = "Support contact" if event.fact.kind == "support_contact" else _label(event.fact.kind)
    told = [f"{label}, about the {wording.ordinal(count)} in recent weeks; the first {free} are free"]
    moved = event.moved[_CONTACTS]
    return [*told, f"Contacts cost {wording.points(moved)} more"] if moved <= -VISIBLE else told


def _signal(event: _Event) -> list[str]:
    """An answer, engagement, advocacy or loyalty: what it was, and what it moved."""
    fact, component = event.fact, event.fact.component
    told = _PHRASES.get(fact.kind) or _label(fact.kind)
    if fact.said is not None:
        told += f" {fact.said}"
    if component is not None:
        moved = event.moved[COMPONENTS.index(component)]
        if abs(moved) >= VISIBLE:
            told += f"; {component} {'+' if moved > 0 else '-'}{wording.points(moved)}"
    return [told]


def _label(kind: str) -> str:
    return kind.replace("_", " ").capitalize()


_TELL: Final[MappingProxyType[str, Callable[[_Event], list[str]]]] = MappingProxyType(
    {"momentum": _purchase, "refunds": _refund, "complaints": _complaint, "contacts": _contact}
)
