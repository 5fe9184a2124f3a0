"""What a customer agreed to, by purpose and channel. What they said last counts.

`any` stands for all purposes, or all channels. A word about all covers each of them, and a later word about one covers
that one: whoever said no to everything in May and yes to surveys by e-mail in June may be asked by e-mail. Where two
were said in the same moment, no counts. That somebody wants no messages at all is an `unsubscribed` touchpoint.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple

from app.domain.problems import refused
from app.domain.touchpoints import CLOCK_TOLERANCE, EPOCH

State = Literal["granted", "withdrawn"]

ANY: Final = "any"
SURVEYS: Final = "surveys"
"""The purpose that survey invitations ask for."""
MOST_STATEMENTS: Final = 50
"""In one request."""
MOST_SUBJECTS: Final = 200
"""Purposes times channels that one customer may have spoken of: the context shows them all."""
LEGAL_BASES: Final = (
    "consent",
    "contract",
    "legal_obligation",
    "vital_interests",
    "public_task",
    "legitimate_interests",
)
"""GDPR, article 6 (1)."""

WORD: Final = "[a-z][a-z0-9_]{0,31}"
_WORD = re.compile(WORD, re.ASCII)


class Statement(NamedTuple):
    """What was said of a purpose and a channel. `source`: where (a form, a call); `written_by`: who passed it on."""

    purpose: str
    channel: str
    state: str
    legal_basis: str | None
    source: str
    note: str | None
    stated_at: datetime
    expires_at: datetime | None
    written_by: str

    @property
    def is_everything(self) -> bool:
        """Whether it says that no message of any kind is wanted."""
        return (self.purpose, self.channel, self.state) == (ANY, ANY, "withdrawn")

    def same_as(self, other: "Statement") -> bool:
        """Whether it says nothing else: when, and who passed it on, do not count."""
        return self._replace(stated_at=other.stated_at, written_by=other.written_by) == other

    def in_force(self, now: datetime) -> bool:
        """Whether it is a yes that holds at `now`."""
        return self.state == "granted" and (self.expires_at is None or self.expires_at > now)


def check(statement: Statement, pointer: str, now: datetime) -> None:
    """Raises Invalid `in_the_future`, `before_1970`, `expiry_not_allowed`, `already_expired`, `invalid_word`."""
    for name in ("purpose", "channel"):
        if _WORD.fullmatch(getattr(statement, name)) is None:
            raise refused(f"{pointer}/{name}", "invalid_word", "must be a word of a-z, 0-9 and _")
    if statement.stated_at > now + CLOCK_TOLERANCE:
        raise refused(f"{pointer}/stated_at", "in_the_future", "more than 5 minutes ahead of our clock")
    if statement.stated_at < EPOCH:
        raise refused(f"{pointer}/stated_at", "before_1970", "earlier than 1970-01-01T00:00:00Z")
    if statement.expires_at is not None:
        if statement.state != "granted":
            raise refused(f"{pointer}/expires_at", "expiry_not_allowed", "only a grant ends by itself")
        if statement.expires_at <= statement.stated_at:
            raise refused(f"{pointer}/expires_at", "already_expired", "must be later than stated_at")


def withdrawn_since(
    said: Iterable[Statement], unsubscribed: Iterable[datetime], purpose: str, channel: str
) -> datetime | None:
    """Since when this purpose is refused on this channel; None: it is not.

    The rule in its own words, which app/storage/consents.py says in SQL; a test holds the two together.
    """
    about = [one for one in said if one.purpose in (purpose, ANY) and one.channel in (channel, ANY)]
    granted = max((one.stated_at for one in about if one.state == "granted"), default=EPOCH)
    refusals = [one.stated_at for one in about if one.state == "withdrawn"]
    return min((at for at in (*refusals, *unsubscribed) if at >= granted), default=None)


def lapsed(said: Iterable[Statement], purpose: str, channel: str, now: datetime) -> bool:
    """Whether the last yes to this purpose on this channel has ended."""
    granted = [
        one
        for one in said
        if one.state == "granted" and one.purpose in (purpose, ANY) and one.channel in (channel, ANY)
    ]
    latest = max(granted, key=lambda one: (one.stated_at, one.in_force(now)), default=None)
    return latest is not None and not latest.in_force(now)


class Standing(NamedTuple):
    """What was said last of a purpose and a channel, and whether it may be acted upon now."""

    statement: Statement
    allowed: bool


def standings(said: Sequence[Statement], unsubscribed_at: datetime | None, now: datetime) -> list[Standing]:
    """Each statement with what follows from all of them. `unsubscribed_at`: when they last wanted no messages."""
    refusals = [] if unsubscribed_at is None else [unsubscribed_at]
    return [
        Standing(
            one,
            one.in_force(now) and withdrawn_since(said, refusals, one.purpose, one.channel) is None,
        )
        for one in said
    ]


def says_nothing_new(said: Statement, held: Sequence[Statement], unsubscribed_at: datetime | None) -> bool:
    """Whether the same stands already, and nothing later that speaks of it too says otherwise."""
    before = next((one for one in held if (one.purpose, one.channel) == (said.purpose, said.channel)), None)
    if before is None or not said.same_as(before):
        return False
    others = [one.stated_at for one in held if one.state != before.state and _overlap(one, before)]
    if unsubscribed_at is not None and before.state == "granted":
        others.append(unsubscribed_at)
    return all(at < before.stated_at for at in others)


def _overlap(one: Statement, other: Statement) -> bool:
    pairs = ((one.purpose, other.purpose), (one.channel, other.channel))
    return all(first == second or ANY in (first, second) for first, second in pairs)
