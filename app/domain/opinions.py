"""What people say beside the score: one set by hand, and how an agent found a customer. Never part of the score."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.domain.problems import Fault, Invalid

LONGEST_OVERRIDE: Final = timedelta(days=365)
SENTIMENTS: Final = ("happy", "neutral", "unhappy")


@dataclass(frozen=True, slots=True)
class Override:
    """A score (0 to 100) that somebody set by hand, why, and until when it is shown beside the computed one."""

    score: int
    reason: str
    until: datetime
    set_by: str
    set_at: datetime

    def holds_at(self, moment: datetime) -> bool:
        """Whether it was shown at that time: it expires by itself."""
        return self.set_at <= moment < self.until


@dataclass(frozen=True, slots=True)
class Sentiment:
    """How somebody who talked to the customer found them."""

    sentiment: str
    note: str | None
    set_by: str
    set_at: datetime


def override(score: int, reason: str, until: datetime, by: str, now: datetime) -> Override:
    """An override as somebody wants it. Raises Invalid `reason_required`, `in_the_past` or `too_far_ahead`."""
    if not reason.strip():
        raise reason_required()
    if until <= now:
        raise in_the_past()
    if until > now + LONGEST_OVERRIDE:
        raise too_far_ahead()
    return Override(score, reason, until, by, now)


def reason_required() -> Invalid:
    """Whoever reads the score must be able to ask why."""
    return _refused("reason", "reason_required", "reason must say why.")


def in_the_past() -> Invalid:
    """It would never be shown."""
    return _refused("until", "in_the_past", "until must lie in the future.")


def too_far_ahead() -> Invalid:
    """What is meant for ever is not an override."""
    return _refused("until", "too_far_ahead", f"until may be at most {LONGEST_OVERRIDE.days} days ahead.")


def _refused(member: str, code: str, detail: str) -> Invalid:
    return Invalid(code, detail, errors=[Fault(f"#/{member}", code, detail)])
