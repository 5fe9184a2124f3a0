"""Everything a support agent, or an AI agent, needs to know about one customer: the facts, and the same in words."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from app.domain.consent import Standing
from app.domain.customers import Customer
from app.domain.descriptions import CLOCKS
from app.domain.feedback.clocks import Clock
from app.domain.health import wording
from app.domain.health.facts import SEVERITIES
from app.domain.health.score import Health
from app.domain.health.value import Value
from app.domain.loyalty.membership import Membership
from app.domain.opinions import Override, Sentiment

SUMMARY_WORDS: Final = 80
_NAME_WORDS: Final = 6
_NAME_LENGTH: Final = 60
_TIER_WORDS: Final = 3
_SUMMARY_REASONS: Final = 3

ANSWERS: Final[Mapping[str, str]] = {"nps": "NPS", "csat": "CSAT", "ces": "CES", "review": "Review"}
"""The kinds of answer whose latest one is shown, and what people call them."""


class OpenCase(NamedTuple):
    """What is being done about a complaint that is worked on here."""

    reference: str
    state: str
    owner: str | None
    clocks: tuple[Clock, ...]


class OpenComplaint(NamedTuple):
    """A complaint nobody has resolved yet, and the touchpoint that opened it.

    `case` is None for one that was only posted as a touchpoint.
    """

    complaint_id: str
    severity: str
    opened_at: datetime
    source: str
    id: str
    description: str
    case: OpenCase | None = None


class Answer(NamedTuple):
    """The latest answer of one kind; `properties` hold its `rating` and, when it is not the usual one, its `scale`."""

    kind: str
    source: str
    id: str
    at: datetime
    properties: Mapping[str, Any]
    text: str | None


class RecentTouchpoint(NamedTuple):
    """One line of the log. `health_delta` is the difference its caller was told."""

    source: str
    id: str
    kind: str
    occurred_at: datetime
    channel: str | None
    amount_minor: int | None
    currency: str | None
    order_id: str | None
    description: str
    health_delta: int | None
    pending_match: bool


class Remark(NamedTuple):
    """A note. `note_id` is as the API shows it."""

    note_id: str
    text: str
    author: str
    created_at: datetime


class OpenFollowUp(NamedTuple):
    """Somebody must call after a bad answer. The ids are as the API shows them."""

    follow_up_id: str
    feedback_id: str
    state: str
    reason: str
    owner: str | None
    due_at: datetime

    def is_overdue(self, now: datetime) -> bool:
        """Whether nobody closed it in time."""
        return now > self.due_at


class Action(NamedTuple):
    """What to do next, and why."""

    action: str
    why: str


class Context(NamedTuple):
    """One customer at `now`. `first_purchase_at` and `value` are None before the first purchase.

    `override` is one that holds at `now`. `loyalty` is None for who is no member.

    Amounts of `value` are in minor units of `currency`, the shop's.
    """

    now: datetime
    customer: Customer
    first_purchase_at: datetime | None
    health: Health
    reasons: Sequence[str]
    red_flags: Sequence[str]
    value: Value | None
    currency: str
    open_complaints: Sequence[OpenComplaint]
    answers: Mapping[str, Answer]
    recent: Sequence[RecentTouchpoint]
    actions: Sequence[Action]
    notes: Sequence[Remark]
    override: Override | None = None
    sentiment: Sentiment | None = None
    follow_ups: Sequence[OpenFollowUp] = ()
    consents: Sequence[Standing] = ()
    opted_out_at: datetime | None = None
    loyalty: Membership | None = None


WHY_FOLLOW: Final[Mapping[str, str]] = {
    "low_answer": "A low answer",
    "mixed": "An answer whose words contradict its rating",
    "negative_text": "An angry comment",
}


def with_follow_up(
    actions: Sequence[Action], follow_ups: Sequence[OpenFollowUp], now: datetime
) -> list[Action]:
    """The actions with `follow_up` among them while somebody must call: after the open complaint, before the rest.

    It was promised to the customer, so an open complaint does not put it off, nor does an opt-out.
    """
    if not follow_ups:
        return list(actions)
    first = min(follow_ups, key=lambda one: one.due_at)
    left = (first.due_at - now).total_seconds()
    due = f"overdue by {wording.days(-left)}" if first.is_overdue(now) else f"due in {wording.days(left)}"
    told = Action("follow_up", f"{WHY_FOLLOW[first.reason]} has not been followed up; {due}")
    place = 1 if actions and actions[0].action == "resolve_complaint" else 0
    return [*actions[:place], told, *actions[place:]]


_CAN_WAIT: Final = frozenset(("ask_for_feedback", "thank_and_invite"))


def with_loyalty(
    actions: Sequence[Action], member: Membership | None, flags: Collection[str]
) -> list[Action]:
    """The actions with what would save a tier or points among them, before those that can wait.

    Not while a complaint is open, and not to somebody who opted out: nothing else is asked of them then.
    """
    if member is None or "complaint_open" in flags or "opted_out" in flags:
        return list(actions)
    told = []
    if member.threat is not None:
        loss, keep = member.threat, member.threat.points_to_keep
        told.append(
            Action("keep_tier", f"Tier {loss.tier} is lost on {day(loss.on)}; {keep} more points keep it")
        )
    if member.lapsing is not None:
        why = f"{member.lapsing.points} points expire after {member.last_day}; a reward would use them"
        told.append(Action("remind_of_points", why))
    place = next((n for n, one in enumerate(actions) if one.action in _CAN_WAIT), len(actions))
    return [*actions[:place], *told, *actions[place:]]


# --- promises -------------------------------------------------------------------------------------------------------

_MOST_REASONS: Final = 5


class Promise(NamedTuple):
    """A clock of an open complaint that was broken, or runs."""

    due_at: datetime
    broken: bool
    reference: str
    clock: str

    def told(self, now: datetime) -> str:
        """In words: what was missed and for how long, or what is due and when."""
        what = f"Complaint {self.reference}"
        if self.broken:
            return (
                f"{what} missed its {CLOCKS[self.clock]} {wording.ago((now - self.due_at).total_seconds())}"
            )
        return f"{what} has a {CLOCKS[self.clock]} until {self.due_at:%Y-%m-%d %H:%M} UTC"


def promises(complaints: Sequence[OpenComplaint]) -> list[Promise]:
    """The broken promises of open complaints, the longest broken first, then those that run, the next due first.

    A breach counts once it was told, so that the context says no more than the log. One that was answered since, if
    late, is over.
    """
    found = []
    for complaint in complaints:
        for clock in () if complaint.case is None else complaint.case.clocks:
            due_at = clock.breached_at or clock.due_at
            if complaint.case is not None and clock.stopped_at is None and due_at is not None:
                found.append(Promise(due_at, clock.breached, complaint.case.reference, clock.name))
    return sorted(found, key=lambda promise: (not promise.broken, promise.due_at, promise.reference))


def with_promises(
    reasons: Sequence[str], actions: Sequence[Action], found: Sequence[Promise], now: datetime
) -> tuple[list[str], list[Action]]:
    """Reasons and actions that speak of the promises: a broken one leads, and the most urgent is why to resolve."""
    broken = [promise.told(now) for promise in found if promise.broken][:1]
    if not found:
        return list(reasons), list(actions)
    urgent = found[0].told(now)
    return [*broken, *reasons][:_MOST_REASONS], [
        action._replace(why=f"{urgent}; {action.why}") if action.action == "resolve_complaint" else action
        for action in actions
    ]


# --- in 80 words ----------------------------------------------------------------------------------------------------


def summary(context: Context) -> str:
    """Plain text of at most 80 words: who, since when, how healthy and why, what is open, what to do next.

    When it gets long the reasons give way first. Of what people typed only the name is repeated, cut to a few words.
    """
    who = f"{_who(context)} {_how(context)} {_by_hand(context)}"
    then = f"{_member(context)} {_open(context)} {_promised(context)} {_next(context)}"
    why = [f"{reason}." for reason in context.reasons[:_SUMMARY_REASONS]]
    told = " ".join((who, *why, then)).split()
    if len(told) > SUMMARY_WORDS:
        told = " ".join((who, *_fitting(why, SUMMARY_WORDS - _words(who, then)), then)).split()
    # Each sentence is bounded, but what an action says comes from elsewhere.
    return " ".join(told[:SUMMARY_WORDS])


def _fitting(sentences: Sequence[str], words: int) -> list[str]:
    """Those of the sentences that fit into so many words, the first ones first."""
    kept = []
    for sentence in sentences:
        words -= _words(sentence)
        if words >= 0:
            kept.append(sentence)
    return kept


def _words(*texts: str) -> int:
    return sum(len(text.split()) for text in texts)


def name_of(customer: Customer) -> str:
    """What to call a customer: the name, else the oldest identifier, else our id; one line, a few words."""
    oldest = customer.identifiers[0] if customer.identifiers else None
    called = customer.profile.name or (f"Customer {oldest.value}" if oldest else "")
    words = called.split()[:_NAME_WORDS]
    return " ".join(words)[:_NAME_LENGTH].strip() or f"Customer {customer.id}"


def _who(context: Context) -> str:
    name = name_of(context.customer)
    if context.first_purchase_at is None:
        return f"{name}, known since {day(context.customer.created_at)}, no purchase yet."
    return f"{name}, customer since {day(context.first_purchase_at)}."


def _how(context: Context) -> str:
    health = context.health
    if health.score is None:
        return "Health is unknown."
    return (
        f"Health is {health.score} of 100, {spoken(health.band)}, "
        f"with {wording.percent(health.coverage)} of the evidence."
    )


def _by_hand(context: Context) -> str:
    override = context.override
    return "" if override is None else f"Set to {override.score} by hand until {day(override.until)}."


def _member(context: Context) -> str:
    member = context.loyalty
    if member is None:
        return ""
    tier = "" if member.standing is None else " ".join(member.standing.tier.split()[:_TIER_WORDS])
    lapsing = "" if member.lapsing is None else f", {member.lapsing.points} expire after {member.last_day}"
    who = f"Member in tier {tier}" if tier else "Member"
    risk = "" if member.threat is None else ", which is at risk"
    return f"{who}{risk}, {member.balance.available} points{lapsing}."


def _open(context: Context) -> str:
    count = len(context.open_complaints)
    if not count:
        return ""
    worst = max((complaint.severity for complaint in context.open_complaints), key=SEVERITIES.__getitem__)
    return (
        f"1 complaint is open, {worst}." if count == 1 else f"{count} complaints are open, the worst {worst}."
    )


def _promised(context: Context) -> str:
    count = len(context.follow_ups)
    if not count:
        return ""
    late = sum(one.is_overdue(context.now) for one in context.follow_ups)
    overdue = "" if not late else ", overdue" if count == 1 else f", {late} overdue"
    return f"1 follow-up is open{overdue}." if count == 1 else f"{count} follow-ups are open{overdue}."


def _next(context: Context) -> str:
    if not context.actions:
        return ""
    action, why = context.actions[0]
    # The reason for it has been told; its last clause says what it would bring.
    return f"Next: {spoken(action)}; {why.rpartition('; ')[2]}."


def age_seconds(context: Context, complaint: OpenComplaint) -> float:
    """How long a complaint has been open."""
    return (context.now - complaint.opened_at).total_seconds()


def spoken(word: str) -> str:
    """A name of ours as people write it: "at risk"."""
    return word.replace("_", " ")


def day(moment: datetime) -> str:
    """A date as 2026-11-22."""
    return moment.date().isoformat()
