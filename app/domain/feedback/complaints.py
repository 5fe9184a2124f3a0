"""What is decided about a complaint. A decision is a new case and what must be written with it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple, TypeAlias

from app.domain.feedback import clocks
from app.domain.feedback.calendars import Calendar
from app.domain.feedback.clocks import TARGETS, WARN_SHARE, Clock, ClockName, Event, Targets
from app.domain.feedback.complaint_states import FORWARD, REASONS, RESTING, SETTLED, STATES, TERMINAL, State
from app.domain.problems import Conflict, refused

Effect = Literal["complaint_opened", "complaint_resolved", "opening_voided"]


class Rules(NamedTuple):
    """What a shop may set. Promises are business days by severity."""

    targets: Mapping[str, Targets] = TARGETS
    warn_share: float = WARN_SHARE
    reopen_within: timedelta = timedelta(days=30)
    unanswered_after: timedelta = timedelta(days=14)
    repeat_within: timedelta = timedelta(days=180)


Clocks: TypeAlias = tuple[Clock, ...]

STANDARD: Final = Rules()


@dataclass(frozen=True, slots=True)
class Case:
    """What a decision needs to know of a complaint.

    `since`: when its state was entered. `clocks` are in the order of `clocks.NAMES`. `openings` counts the receipt and
    each reopening; `resolved` says whether the latest opening is answered. `version` goes up with every change.
    """

    state: State
    severity: str
    since: datetime
    version: int
    clocks: Clocks
    openings: int = 1
    resolved: bool = False
    breaches: frozenset[ClockName] = frozenset()
    merged_into: str | None = None

    @property
    def next_look_at(self) -> datetime | None:
        """After when a clock has something to say; None: nothing is due."""
        return min((clock.next_look_at for clock in self.clocks if clock.next_look_at), default=None)


class Opening(NamedTuple):
    """What to receive: the natural key, the severity, and since when the customer waits."""

    source_id: str
    severity: str
    at: datetime


class Deed(NamedTuple):
    """The case after a decision, what its clocks had to say, and the touchpoint to write, if any.

    `effect` is written once for each opening; `effect_id` names it so that a retry writes the same.
    """

    case: Case
    events: tuple[Event, ...] = ()
    effect: Effect | None = None
    effect_id: str | None = None


def received(severity: str, at: datetime, calendar: Calendar, rules: Rules = STANDARD) -> Deed:
    """A new complaint with its three clocks running. Raises Invalid `unknown_severity`."""
    promised = _promised(severity, rules)
    running = tuple(
        clocks.started(name, at, days, calendar, warn_share=rules.warn_share)
        for name, days in zip(clocks.NAMES, promised, strict=True)
    )
    return Deed(Case("received", severity, at, 1, running), (), "complaint_opened", _effect_id("opened", 1))


def allowed(case: Case, at: datetime, rules: Rules = STANDARD) -> tuple[State, ...]:
    """The states this case may go to now, in the order of the process."""
    if case.state in TERMINAL:
        return ()
    forward = (
        to for to in FORWARD[case.state] if _opens_at(case, to, rules) <= at <= _shuts_at(case, to, rules)
    )
    return (*forward, "merged", "withdrawn")


def moved(
    case: Case,
    to: str,
    *,
    at: datetime,
    expected_version: int,
    calendar: Calendar,
    rules: Rules = STANDARD,
    reason: str | None = None,
    merged_into: str | None = None,
    visible_to_customer: bool = False,
) -> Deed:
    """The case in state `to`.

    Raises Conflict `version_conflict` (with the present `version` and `state`) before anything else, since the caller
    decided on something old; Invalid `unknown_state`, `reason_required`, `unknown_reason`, `merge_target_required`;
    Conflict `illegal_transition` with `allowed`, and `too_early` or `too_late` with the time as `at`. A step that a
    host with a slow clock takes counts as taken when the state was entered.
    """
    _check_version(case, expected_version)
    target = _known_state(to)
    at = max(at, case.since)
    _check_path(case, target, at, rules)
    _check_reason(case, target, reason)
    if target == "merged" and merged_into is None:
        raise refused("#/merged_into", "merge_target_required", "name the complaint that this one repeats")
    ticking, events = _ticked(case, target, at, calendar, rules, visible_to_customer=visible_to_customer)
    changed = replace(
        case,
        state=target,
        since=at,
        version=case.version + 1,
        clocks=ticking,
        breaches=case.breaches | {event.clock for event in events if event.notice == "breach"},
        merged_into=merged_into if target == "merged" else None,
    )
    return _with_effect(case, changed, events)


def reprioritised(
    case: Case,
    severity: str,
    *,
    at: datetime,
    expected_version: int,
    calendar: Calendar,
    rules: Rules = STANDARD,
) -> Deed:
    """The case under another severity: its clocks are counted anew from their own start and keep their pauses.

    Raises Conflict `version_conflict`, `settled`; Invalid `unknown_severity`. Health keeps the severity of the opening.
    """
    _check_version(case, expected_version)
    if case.state in SETTLED:
        raise Conflict("settled", "A settled complaint keeps its severity.", state=case.state)
    pairs = [
        clocks.retargeted(clock, at, days, calendar, warn_share=rules.warn_share)
        for clock, days in zip(case.clocks, _promised(severity, rules), strict=True)
    ]
    return _after(replace(case, severity=severity, version=case.version + 1), pairs)


def handed_over(case: Case, *, expected_version: int) -> Deed:
    """The case in other hands: a change of its own, and the clocks go on. Raises Conflict `version_conflict`."""
    _check_version(case, expected_version)
    return Deed(replace(case, version=case.version + 1))


def answered(case: Case, *, at: datetime, calendar: Calendar) -> Deed:
    """The case after its first answer in substance (a message, not the acknowledgement). The version stays."""
    return _after(
        case, [_stopped_if(clock.name == "first_response", clock, at, calendar) for clock in case.clocks]
    )


def looked(case: Case, at: datetime) -> Deed:
    """What the worker finds at `at`: warnings and breaches that were not told before. The version stays.

    A transition that is under way is not refused because of a look, so looks do not count as changes.
    """
    return _after(case, [clocks.looked(clock, at) for clock in case.clocks])


def closes_itself_at(case: Case, rules: Rules = STANDARD) -> datetime | None:
    """When the worker may close an offer that nobody answered; None when there is none."""
    return case.since + rules.unanswered_after if case.state == "resolution_offered" else None


def next_due_at(case: Case, rules: Rules = STANDARD) -> datetime | None:
    """After when the worker has something to do: a clock to look at, an offer to close. What the index holds."""
    return min((at for at in (case.next_look_at, closes_itself_at(case, rules)) if at), default=None)


def is_repeat(opened_at: datetime, earlier: Iterable[datetime], rules: Rules = STANDARD) -> bool:
    """Whether a complaint is a further one: another was opened, or reopened, within 180 days before.

    A second failure weighs more than the first: "double deviation", Bitner, Booms and Tetreault 1990.
    """
    return any(opened_at - rules.repeat_within <= other <= opened_at for other in earlier)


def from_contact(contact_id: str, occurred_at: datetime, severity: str | None = None) -> Opening:
    """What a support contact is as a complaint: medium unless somebody says otherwise, and once per contact.

    Its clocks run from the contact: the customer has waited since then, whoever noticed what it was, and when.
    """
    return Opening(f"contact:{contact_id}", "medium" if severity is None else severity, occurred_at)


# --- the rules of a transition --------------------------------------------------------------------------------------


def _check_version(case: Case, expected_version: int) -> None:
    if expected_version != case.version:
        raise Conflict(
            "version_conflict",
            "The complaint was changed since it was read.",
            version=case.version,
            state=case.state,
        )


def _known_state(to: str) -> State:
    if to not in STATES:
        raise refused("#/to", "unknown_state", f"must be one of {', '.join(STATES)}")
    return to


def _check_path(case: Case, to: State, at: datetime, rules: Rules) -> None:
    open_now = list(allowed(case, at, rules))
    if to in open_now:
        return
    if to in FORWARD.get(case.state, ()):
        opens, shuts = _opens_at(case, to, rules), _shuts_at(case, to, rules)
        code, limit = ("too_early", opens) if at < opens else ("too_late", shuts)
        raise Conflict(
            code, "This step has a window of time.", state=case.state, at=limit.isoformat(), allowed=open_now
        )
    raise Conflict(
        "illegal_transition", "The complaint cannot go there from here.", state=case.state, allowed=open_now
    )


def _opens_at(case: Case, to: State, rules: Rules) -> datetime:
    """An offer may be closed without an answer only after the customer had time to give one."""
    return case.since + rules.unanswered_after if (case.state, to) == _UNANSWERED else case.since


def _shuts_at(case: Case, to: State, rules: Rules) -> datetime:
    return case.since + rules.reopen_within if to == "reopened" else _NEVER


_UNANSWERED: Final = ("resolution_offered", "closed")
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


def _check_reason(case: Case, to: State, reason: str | None) -> None:
    known = REASONS.get(to)
    if known is None:
        return
    if reason is None:
        if (case.state, to) == ("accepted", "closed"):
            return
        raise refused("#/reason", "reason_required", f"must be one of {', '.join(known)}")
    if reason not in known:
        raise refused("#/reason", "unknown_reason", f"must be one of {', '.join(known)}")


def _promised(severity: str, rules: Rules) -> Targets:
    if severity not in rules.targets:
        raise refused("#/severity", "unknown_severity", f"must be one of {', '.join(rules.targets)}")
    return rules.targets[severity]


# --- what becomes of the clocks, and of the log ---------------------------------------------------------------------


def _ticked(
    case: Case, to: State, at: datetime, calendar: Calendar, rules: Rules, *, visible_to_customer: bool
) -> tuple[Clocks, tuple[Event, ...]]:
    """The clocks in state `to`, and what they had to say on the way."""
    if to == "reopened":
        # A new promise to resolve it; the two others were kept or broken the first time.
        days = _promised(case.severity, rules).resolution
        again = clocks.started("resolution", at, days, calendar, warn_share=rules.warn_share)
        return (*case.clocks[:2], again), ()
    ended = _ended_by(to, visible_to_customer=visible_to_customer)
    pairs = [_stopped_if(clock.name in ended, clock, at, calendar) for clock in case.clocks[:2]]
    pairs.append(_resolution(case.clocks[2], to, at, calendar, rules))
    return tuple(clock for clock, _ in pairs), tuple(event for _, events in pairs for event in events)


def _ended_by(to: State, *, visible_to_customer: bool) -> frozenset[ClockName]:
    """The first two clocks end with the acknowledgement, and with what is said to the customer beyond it."""
    if to == "acknowledged":
        return frozenset(("acknowledge",))
    spoken = visible_to_customer or to in RESTING or to in SETTLED
    return frozenset(("acknowledge", "first_response")) if spoken else frozenset(("acknowledge",))


def _resolution(
    clock: Clock, to: State, at: datetime, calendar: Calendar, rules: Rules
) -> tuple[Clock, list[Event]]:
    if to in SETTLED:
        return clocks.stopped(clock, at, calendar)
    if to in RESTING:
        return clocks.paused(clock, at)
    running = clocks.resumed(clock, at, calendar, warn_share=rules.warn_share)
    return clocks.looked(running, at)


def _stopped_if(ended: bool, clock: Clock, at: datetime, calendar: Calendar) -> tuple[Clock, list[Event]]:  # noqa: FBT001 - the condition in the name
    return clocks.stopped(clock, at, calendar) if ended else clocks.looked(clock, at)


def _after(case: Case, pairs: Sequence[tuple[Clock, list[Event]]]) -> Deed:
    events = tuple(event for _, told in pairs for event in told)
    broken = case.breaches | {event.clock for event in events if event.notice == "breach"}
    return Deed(replace(case, clocks=tuple(clock for clock, _ in pairs), breaches=broken), events)


def _with_effect(before: Case, after: Case, events: tuple[Event, ...]) -> Deed:
    """The touchpoint of a transition. Each opening is resolved once: by the acceptance, else by the end.

    A duplicate never was a complaint of its own, so the opening it wrote is voided.
    """
    if after.state == "reopened":
        again = replace(after, openings=before.openings + 1, resolved=False)
        return Deed(again, events, "complaint_opened", _effect_id("opened", again.openings))
    if after.state not in SETTLED or before.resolved:
        return Deed(after, events)
    settled = replace(after, resolved=True)
    if after.state == "merged":
        return Deed(settled, events, "opening_voided", _effect_id("opened", after.openings))
    return Deed(settled, events, "complaint_resolved", _effect_id("resolved", after.openings))


def _effect_id(what: str, opening: int) -> str:
    """The last part of the touchpoint's id; the caller puts `complaint:{id}:` before it."""
    return f"{what}:{opening}"
