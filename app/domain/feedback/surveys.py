"""Surveys: what is asked of whom and when, and when somebody is left in peace."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from app.domain.feedback.scales import RATED, Scale, scale_for
from app.domain.problems import refused

Occasion = Literal["delivered", "contact_resolved", "purchase", "periodic"]
Suppression = Literal["opt_out", "no_channel", "duplicate", "open_complaint", "quiet_period"]
Scope = Literal["customer", "household"]

CHANNELS: Final = ("email", "sms", "whatsapp", "web", "app", "phone", "post")
TRIGGER_KINDS: Final[Mapping[str, Occasion]] = MappingProxyType(
    {"delivered": "delivered", "support_resolved": "contact_resolved", "purchase": "purchase"}
)
"""The touchpoint kinds that set off a survey, and the occasion each is."""

OCCASIONS: Final[tuple[Occasion, ...]] = ("delivered", "contact_resolved", "purchase", "periodic")
SUPPRESSIONS: Final[tuple[Suppression, ...]] = (
    "opt_out",
    "no_channel",
    "duplicate",
    "open_complaint",
    "quiet_period",
)
"""Why somebody is not asked, the weightiest first: the first that applies is told."""

LONGEST_QUESTION: Final = 500
LONGEST_DAYS: Final = 3650
YEAR: Final = timedelta(days=365)
WORTH_ASKING: Final = timedelta(days=30)
"""How late a survey is still about something: what should have been asked before is not asked any more."""

_CODE: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Trigger(NamedTuple):
    """`after` an occasion; a periodic survey first `after` the first purchase, then `every` so often."""

    on: Occasion
    after: timedelta
    every: timedelta | None = None


class Limits(NamedTuple):
    """How often one may be asked. `quiet` is since any survey, `quiet_nps` since an NPS survey when this is one."""

    quiet: timedelta = timedelta(days=30)
    quiet_nps: timedelta = timedelta(days=90)
    most_per_year: int = 4
    remind_after: timedelta | None = timedelta(days=7)
    expires_after: timedelta = timedelta(days=30)
    scope: Scope = "customer"


USUAL: Final = Limits()


@dataclass(frozen=True, slots=True)
class Survey:
    """A checked survey. Without a trigger it is asked only when somebody says so."""

    code: str
    kind: str
    question: str
    scale: Scale
    channel: str
    trigger: Trigger | None = None
    limits: Limits = USUAL
    threshold: int | None = None


class Asked(NamedTuple):
    """An invitation of the same scope that was, or will be, sent; what was suppressed is none. `at`: when."""

    at: datetime
    kind: str
    survey: str
    about: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands between a survey and a customer. `asked` is that of the scope: the customer, or the household."""

    opted_out: bool = False
    channels: frozenset[str] = frozenset()
    open_complaint: bool = False
    asked: Sequence[Asked] = ()


class Decision(NamedTuple):
    """Queued, or suppressed by something; `next_eligible_at` is None where only somebody's deed can change it."""

    suppressed_by: Suppression | None = None
    next_eligible_at: datetime | None = None

    @property
    def state(self) -> Literal["queued", "suppressed"]:
        """The state the invitation begins in."""
        return "queued" if self.suppressed_by is None else "suppressed"


class Suppressed(NamedTuple):
    """An invitation that was held back, and for when it was planned."""

    id: str
    survey: str
    by: Suppression
    at: datetime


# --- what a survey is -----------------------------------------------------------------------------------------------


def survey_of(
    *,
    code: str,
    kind: str,
    question: str,
    channel: str,
    scale: Mapping[str, Any] | None = None,
    trigger: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
) -> Survey:
    """The survey that a shop describes.

    `trigger`: `{"on": "delivered", "after_days": 7}` or `{"on": "periodic", "every_days": 90}`. `limits`: `quiet_days,
    quiet_nps_days, most_per_year, remind_after_days` (null: no reminder), `expires_after_days, scope, threshold`.
    Raises Invalid `invalid_code`, `unknown_kind`, `invalid_question`, `unknown_channel`, `invalid_scale`,
    `invalid_trigger`, `invalid_limits`, `invalid_rating` (the threshold).
    """
    if not _CODE.fullmatch(code):
        raise refused("#/code", "invalid_code", "up to 64 of a-z, 0-9, _ and -, beginning with a letter")
    if kind not in RATED:
        raise refused("#/kind", "unknown_kind", f"a survey asks for one of {', '.join(RATED)}")
    if not question.strip() or len(question) > LONGEST_QUESTION:
        raise refused("#/question", "invalid_question", f"must have 1 to {LONGEST_QUESTION} characters")
    if channel not in CHANNELS:
        raise refused("#/channel", "unknown_channel", f"must be one of {', '.join(CHANNELS)}")
    on = scale_for(kind, scale)
    if on is None:
        raise refused("#/kind", "unknown_kind", "a survey asks for a rating")
    given = dict(limits or {})
    threshold = given.pop("threshold", None)
    if threshold is not None and not (_is_whole(threshold) and on.min <= threshold <= on.max):
        raise refused("#/limits/threshold", "invalid_rating", "must be a rating on the scale")
    return Survey(code, kind, question, on, channel, _trigger(trigger), _limits(given), threshold)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _trigger(given: Mapping[str, Any] | None) -> Trigger | None:
    if given is None:
        return None
    on = given.get("on")
    if on not in OCCASIONS:
        raise refused("#/trigger/on", "invalid_trigger", f"must be one of {', '.join(OCCASIONS)}")
    if not set(given) <= {"on", "after_days", "every_days"} or ("every_days" in given) != (on == "periodic"):
        raise refused(
            "#/trigger", "invalid_trigger", "on and after_days; every_days for a periodic one alone"
        )
    after = _days("#/trigger/after_days", "invalid_trigger", given.get("after_days", 0), least=0)
    if on != "periodic":
        return Trigger(on, after)
    return Trigger(on, after, _days("#/trigger/every_days", "invalid_trigger", given["every_days"], least=1))


def _limits(given: dict[str, Any]) -> Limits:
    usual = USUAL
    names = {f"{name}_days": name for name in ("quiet", "quiet_nps", "remind_after", "expires_after")}
    if not set(given) <= {*names, "most_per_year", "scope"}:
        raise refused(
            "#/limits", "invalid_limits", f"known are {', '.join((*names, 'most_per_year', 'scope'))}"
        )
    found: dict[str, Any] = {}
    for said, name in names.items():
        if said in given and not (given[said] is None and name == "remind_after"):
            least = 1 if name in ("remind_after", "expires_after") else 0
            found[name] = _days(f"#/limits/{said}", "invalid_limits", given[said], least=least)
        elif said in given:
            found[name] = None
    most = given.get("most_per_year", usual.most_per_year)
    if not _is_whole(most) or not 1 <= most <= YEAR.days:
        raise refused("#/limits/most_per_year", "invalid_limits", "must be a whole number from 1 to 365")
    scope = given.get("scope", usual.scope)
    if scope not in ("customer", "household"):
        raise refused("#/limits/scope", "invalid_limits", "must be customer or household")
    return usual._replace(most_per_year=most, scope=scope, **found)


def _days(pointer: str, code: str, value: object, *, least: int) -> timedelta:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= LONGEST_DAYS:
        raise refused(pointer, code, f"must be a whole number of days from {least} to {LONGEST_DAYS}")
    return timedelta(days=value)


# --- when it is asked -----------------------------------------------------------------------------------------------


def planned(trigger: Trigger | None, kind: str, occurred_at: datetime, now: datetime) -> datetime | None:
    """When a touchpoint of `kind` has the survey asked; None when it does not, or when that is long gone.

    A fact that comes late is asked about now. One that should have been asked about more than 30 days ago is not, so an
    import of old orders invites nobody.
    """
    if trigger is None or TRIGGER_KINDS.get(kind) != trigger.on:
        return None
    at = occurred_at + trigger.after
    return None if at < now - WORTH_ASKING else max(at, now)


def planned_periodic(
    trigger: Trigger, *, first_purchase_at: datetime, last_asked_at: datetime | None, now: datetime
) -> datetime | None:
    """When a periodic survey is asked next; None for other triggers. What was missed is not made up for."""
    if trigger.every is None:
        return None
    first = first_purchase_at + trigger.after
    return max(now, first if last_asked_at is None else last_asked_at + trigger.every)


def first_period(trigger: Trigger, *, first_purchase_at: datetime, now: datetime) -> datetime:
    """When a customer is first asked a periodic survey.

    Who bought long before the survey was there is asked on their own next anniversary: a new survey is not a burst of
    mails to everybody.
    """
    first = first_purchase_at + trigger.after
    if first >= now or trigger.every is None:
        return first
    return first - (first - now) // trigger.every * trigger.every


def occasion_key(survey: Survey, *, touchpoint_id: str | None, at: datetime) -> str:
    """What one occasion is called, so that it invites once however often it is reported or swept.

    For a touchpoint its id; for a periodic survey the number of the period, counted from 1970.
    """
    if touchpoint_id is not None:
        return f"{survey.code}:{touchpoint_id}"
    every = survey.trigger.every if survey.trigger else None
    return f"{survey.code}:{(at - _EPOCH) // (every or timedelta(days=1))}"


def scope_key(scope: Scope, customer_id: UUID, household: str | None, pepper: bytes) -> str:
    """Whose quiet periods count: the customer's, or those of everybody who shares what the shop calls a household.

    A household may be an address, so what is stored is a keyed hash of it (BLAKE2s, `pepper` at most 32 bytes); case,
    spaces and compatibility forms do not matter. Without a household it is the customer.
    """
    same = " ".join(unicodedata.normalize("NFKC", household or "").casefold().split())
    if scope == "customer" or not same:
        return f"customer:{customer_id}"
    return "household:" + hashlib.blake2s(same.encode(), key=pepper, digest_size=16).hexdigest()


# --- and when not ---------------------------------------------------------------------------------------------------


def decide(survey: Survey, about: str | None, standing: Standing, at: datetime) -> Decision:
    """Whether the survey may be sent at `at`. Asked when it is created and once more before it is sent.

    The same survey about the same thing is asked once for ever. An open complaint holds back every survey: nobody is
    asked for a rating while they wait for help.
    """
    if standing.opted_out:
        return Decision("opt_out")
    if survey.channel not in standing.channels:
        return Decision("no_channel")
    if about is not None and any(
        (past.survey, past.about) == (survey.code, about) for past in standing.asked
    ):
        return Decision("duplicate")
    if standing.open_complaint:
        return Decision("open_complaint")
    eligible = quiet_until(survey, standing.asked, at)
    return Decision() if eligible <= at else Decision("quiet_period", eligible)


def quiet_until(survey: Survey, asked: Iterable[Asked], at: datetime) -> datetime:
    """From when on the quiet periods and the cap let this survey through; `at` or before when they do now.

    One that is planned for later counts from its own time, so a survey is not slipped in before it. The cap is on any
    365 days: with four asked, the next may go 365 days after the fourth last.
    """
    limits = survey.limits
    times = sorted(past.at for past in asked)
    free = [at]
    if times:
        free.append(times[-1] + limits.quiet)
    if survey.kind == "nps":
        free += [past.at + limits.quiet_nps for past in asked if past.kind == "nps"]
    if len(times) >= limits.most_per_year:
        free.append(times[-limits.most_per_year] + YEAR)
    return max(free)


def after_complaint(held_back: Iterable[Suppressed], now: datetime) -> list[Suppressed]:
    """What an open complaint held back and is queued again once none is open: the latest of each survey, if recent.

    Each is decided anew, so several do not arrive at once: the first starts the quiet period of the others.
    """
    latest: dict[str, Suppressed] = {}
    for one in sorted(held_back, key=lambda one: (one.at, one.id)):
        if one.by == "open_complaint" and one.at >= now - WORTH_ASKING:
            latest[one.survey] = one
    return sorted(latest.values(), key=lambda one: (one.at, one.id))
