"""What falls due by itself: points, holds, tiers, and telling a member in time. One look does all of it.

At one instant: activate, then tiers, then expire. Activation and expiry are the ledger's own (`settling`), a tier never
depends on either, and a warning is about what is left after both.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from app.domain.loyalty import tiers
from app.domain.loyalty.account import Account, Decision, Entry, Lot
from app.domain.loyalty.settling import Expiring, expiring, next_due_at, settled
from app.domain.loyalty.tiers import Change, Pause, Ruling, Standing
from app.domain.loyalty.versions import Published, Version, in_force

LOOKS_AGAIN: Final = timedelta(hours=1)
"""While an open complaint puts a downgrade off: nobody else tells a worker that it was resolved."""


class Rulebook(NamedTuple):
    """The published versions of a programme, and where its days begin."""

    published: Sequence[Published]
    zone: ZoneInfo

    def version(self, at: datetime) -> Version | None:
        """The version in force."""
        found = in_force(self.published, at)
        return None if found is None else found.version

    def rulings(self) -> list[Ruling]:
        """What the fold of a tier goes by."""
        return [Ruling(one.effective_from, one.version.tier_rules) for one in self.published]


class Seen(NamedTuple):
    """An account before the look. `warned_until`: what lapses up to then was warned of (None: nothing yet)."""

    account: Account
    standing: Standing | None
    warned_until: datetime | None = None


class Past(NamedTuple):
    """What a tier follows from: the entries that make or move one, in order, and the complaints that put it off."""

    entries: Sequence[Entry]
    pauses: Sequence[Pause] = ()


class Look(NamedTuple):
    """What one look finds and does. `due_at`: when the next one is; None: never.

    `changes` are moves since `told_from` that nobody told: those of whoever earned are told by them.
    """

    decision: Decision[None]
    standing: Standing | None
    changes: tuple[Change, ...]
    expiring: tuple[Expiring, ...]
    warning: tiers.Warning | None
    warned_until: datetime | None
    due_at: datetime | None


def looked(seen: Seen, past: Past | None, rules: Rulebook, told_from: datetime, now: datetime) -> Look:
    """The account with everything done that fell due by `now`. `past` None: its tier is not to be looked at.

    Done twice it is done once: a second look finds nothing, but tells again what it was given `past` for.
    """
    decision = settled(seen.account, now)
    version = rules.version(now)
    standing, threat = seen.standing, None
    changes: tuple[Change, ...] = ()
    pauses: Sequence[Pause] = ()
    if past is not None and version is not None:
        pauses = past.pauses
        standing, all_changes = tiers.history(past.entries, rules.rulings(), pauses, rules.zone, now)
        changes = tuple(one for one in all_changes if one.at >= told_from and _is_ours(one))
        if standing is not None:
            threat = tiers.warning(standing, past.entries, now, version.tier_rules, rules.zone)
    told = _to_be_told(decision.account, version, seen.warned_until, now)
    warned_until = told[-1].expires_at if told else seen.warned_until
    after = Seen(decision.account, standing, warned_until)
    return Look(
        decision, standing, changes, told, threat, warned_until, next_look_at(after, version, now, pauses)
    )


def tier_is_due(standing: Standing | None, version: Version | None, now: datetime) -> bool:
    """Whether a look must be given the account's past: a tier to begin, to review, or to warn of."""
    if version is None:
        return False
    if standing is None or tiers.looked_at(standing) <= now:
        return True
    return tiers.warns_at(standing, version.tier_rules) <= now


def next_look_at(
    seen: Seen,
    version: Version | None,
    now: datetime,
    pauses: Sequence[Pause] = (),
    *,
    is_new: bool = False,
) -> datetime | None:
    """When the clock next has something to do with the account, None: never. What the workers' index holds.

    `is_new`: the standing has just become what it is, so nobody can have been warned of its loss.
    """
    times = list(_looks(seen, version, now, pauses))
    if version is not None and seen.standing is not None:
        warns_at = tiers.warns_at(seen.standing, version.tier_rules)
        times += [warns_at] if is_new or warns_at > now else []
    return min(times, default=None)


def looks_at_lot(expires_at: datetime, warned_until: datetime | None, version: Version | None) -> datetime:
    """When the clock first has to do with free points that lapse at `expires_at`: to warn of that, or to take them."""
    days = None if version is None else version.expiry_warning_days
    is_warned = warned_until is not None and expires_at <= warned_until
    return expires_at if not days or is_warned else expires_at - timedelta(days=days)


def until_the_end(account: Account, ends_at: datetime | None) -> Account:
    """The account as the end of its programme lets it be: nothing lives longer than `ends_at`.

    The last run (`settling.run_out`) books it; until it comes by, nobody can spend what is over.
    """
    if ends_at is None:
        return account
    return account._replace(lots={name: _ended(lot, ends_at) for name, lot in account.lots.items()})


def _looks(seen: Seen, version: Version | None, now: datetime, pauses: Sequence[Pause]) -> Iterator[datetime]:
    due = next_due_at(seen.account)
    if due is not None:
        yield due
    if version is None:
        return
    for lot in seen.account.lots.values():
        if lot.free and lot.expires_at is not None:
            yield looks_at_lot(lot.expires_at, seen.warned_until, version)
    if seen.standing is not None:
        yield tiers.due_at(seen.standing, pauses) or now + LOOKS_AGAIN


def _to_be_told(
    account: Account, version: Version | None, warned_until: datetime | None, now: datetime
) -> tuple[Expiring, ...]:
    if version is None or not version.expiry_warning_days:
        return ()
    soon = expiring(account, now, timedelta(days=version.expiry_warning_days))
    return tuple(one for one in soon if warned_until is None or one.expires_at > warned_until)


def _is_ours(change: Change) -> bool:
    """Whether time or a publication did it. Who earns or moves by hand tells it at once."""
    return change.why in {"downgrade", "version"}


def _ended(lot: Lot, ends_at: datetime) -> Lot:
    lives_on = lot.expires_at is None or lot.expires_at > ends_at
    return lot._replace(expires_at=ends_at) if lives_on else lot
