"""Tiers: by points earned in a rolling window, never by balance. Up at once, down only at a review and after grace.

A standing is a fold over the entries: the same entries, pauses and versions give the same tier at any time.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from app.domain.loyalty.account import Entry
from app.domain.loyalty.periods import end_of_day, months_on, window_start
from app.domain.loyalty.qualifying import Qualified
from app.domain.loyalty.versions import SHORTEST_MONTH_DAYS, TierRules

Why = Literal["upgrade", "downgrade", "manual", "version"]


class Standing(NamedTuple):
    """A member's tier. `grace_until` is set after a failed review: then the tier is lost unless it is earned again."""

    tier: str
    since: datetime
    review_at: datetime
    grace_until: datetime | None = None


class Change(NamedTuple):
    """One move between tiers; `passed` names every tier that was reached by it, the last one held."""

    at: datetime
    before: str
    after: str
    why: Why
    passed: tuple[str, ...] = ()


class Step(NamedTuple):
    """A standing, and the move that led to it, if any."""

    standing: Standing
    change: Change | None = None


class Pause(NamedTuple):
    """An open complaint, from its receipt until before its resolution (None: still open): no downgrade meanwhile."""

    since: datetime
    until: datetime | None = None


class Ruling(NamedTuple):
    """The tiers in force from an instant on."""

    since: datetime
    rules: TierRules


class Projection(NamedTuple):
    """What is missing. `projected`: the tier after the next review if nothing more is earned."""

    points_to_next: int | None
    points_to_keep: int
    projected: str


class Warning(NamedTuple):  # noqa: A001 - the word of the field
    """A downgrade that will come: to which tier, when, and what would prevent it."""

    tier: str
    would_be: str
    on: datetime
    points_to_keep: int


class _Past(NamedTuple):
    """What a fold looks at on its way: the entries it has passed, and all that is not an entry."""

    qualified: Qualified
    rulings: Sequence[Ruling]
    pauses: Sequence[Pause]
    zone: ZoneInfo

    def points(self, at: datetime, rules: TierRules) -> int:
        """Qualifying points of the window that ends at `at`, of the entries so far."""
        return self.qualified.points(window_start(at, rules.window_months, self.zone), at)


def points_in_window(entries: Iterable[Entry], at: datetime, rules: TierRules, zone: ZoneInfo) -> int:
    """Qualifying points of the window that ends at `at`, known by then: a refund counts where its purchase does."""
    since = window_start(at, rules.window_months, zone)
    return max(
        sum(
            entry.qualifying
            for entry in entries
            if entry.qualifying
            and entry.at <= at
            and entry.qualified_at
            and since <= entry.qualified_at <= at
        ),
        0,
    )


def merited(points: int, rules: TierRules) -> str:
    """The highest tier whose threshold is reached; exactly on it is reached."""
    return [tier.code for tier in rules.tiers if tier.threshold <= points][-1]


def joined(at: datetime, rules: TierRules, zone: ZoneInfo) -> Standing:
    """Where everybody begins."""
    return _held(rules.tiers[0].code, at, rules, zone)


def raised(
    standing: Standing, points: int, at: datetime, rules: TierRules, zone: ZoneInfo, why: Why = "upgrade"
) -> Step:
    """The standing after `points` in the window at `at`: at once the highest tier they reach, never a lower one.

    A tier that the rules no longer know becomes what is merited. Reaching the own tier again ends its grace.
    """
    codes = [tier.code for tier in rules.tiers]
    target = merited(points, rules)
    if standing.tier not in codes:
        change = Change(at, standing.tier, target, "version", (target,))
        return Step(_held(target, at, rules, zone), change)
    low, high = codes.index(standing.tier), codes.index(target)
    if high > low:
        passed = tuple(codes[low + 1 : high + 1])
        return Step(_held(target, at, rules, zone), Change(at, standing.tier, target, why, passed))
    if high == low and standing.grace_until is not None:
        return Step(standing._replace(grace_until=None, review_at=_review(at, rules, zone)))
    return Step(standing)


def counted(
    standing: Standing | None,
    points: int,
    entries: Sequence[Entry],
    now: datetime,
    rules: TierRules,
    zone: ZoneInfo,
) -> tuple[Step, int]:
    """The standing and the points of the window after new `entries` (one at least), given those of the window at `now`.

    It begins with the first entry, is raised at once, and moved by hand. Reviews are clock work.
    """
    standing = standing or joined(entries[0].at, rules, zone)
    moved = next((entry for entry in reversed(entries) if entry.tier is not None), None)
    if moved is not None and moved.tier is not None:
        change = Change(moved.at, standing.tier, moved.tier, "manual", (moved.tier,))
        step = Step(_held(moved.tier, moved.at, rules, zone), None if moved.tier == standing.tier else change)
        return step, points
    fresh = [
        entry for entry in entries if entry.qualified_at and is_inside(entry.qualified_at, now, rules, zone)
    ]
    if not fresh:
        return Step(standing), points
    points += sum(entry.qualifying for entry in fresh)
    return raised(standing, max(points, 0), entries[-1].at, rules, zone), points


def stays(standing: Standing, points: int, rules: TierRules) -> bool:
    """Whether `raised` leaves a standing as it is with so many points in the window."""
    is_held = False
    for tier in rules.tiers:
        if is_held:
            return points < tier.threshold and standing.grace_until is None
        is_held = tier.code == standing.tier
    return is_held and standing.grace_until is None


def is_inside(at: datetime, now: datetime, rules: TierRules, zone: ZoneInfo) -> bool:
    """Whether what took place at `at` lies in the window that ends at `now`."""
    if at > now:
        return False
    # No month has fewer days than 28, so most need no look at the calendar.
    if now - at < timedelta(days=SHORTEST_MONTH_DAYS * rules.window_months - 1):
        return True
    return window_start(now, rules.window_months, zone) <= at


def climbed(before: Standing | None, after: Standing, rules: TierRules) -> Change | None:
    """The move that a raise made, to be told; everybody begins in the lowest tier. None: nobody moved up."""
    codes = [tier.code for tier in rules.tiers]
    was = codes[0] if before is None else before.tier
    if was == after.tier or after.tier not in codes:
        return None
    low = codes.index(was) if was in codes else -1
    passed = tuple(codes[low + 1 : codes.index(after.tier) + 1])
    return Change(after.since, was, after.tier, "upgrade", passed)


def due_at(standing: Standing, pauses: Sequence[Pause]) -> datetime | None:
    """When the standing is next looked at: its review, or the end of its grace, later where a complaint is open."""
    if standing.grace_until is None:
        return standing.review_at
    at: datetime | None = standing.grace_until
    for pause in sorted(pauses):
        if at is not None and pause.since <= at and (pause.until is None or at < pause.until):
            at = pause.until
    return at


def reviewed(standing: Standing, points: int, at: datetime, rules: TierRules, zone: ZoneInfo) -> Step:
    """The standing at its due time, with `points` in the window then: kept, given grace, or lowered by the mode."""
    held = raised(standing, points, at, rules, zone)
    if held.change is not None:
        return held
    codes = [tier.code for tier in rules.tiers]
    place, merit = codes.index(standing.tier), codes.index(merited(points, rules))
    if merit >= place or rules.downgrade == "none":
        return Step(standing._replace(grace_until=None, review_at=_review(at, rules, zone)))
    if standing.grace_until is None and rules.grace_days:
        return Step(standing._replace(grace_until=at + timedelta(days=rules.grace_days)))
    lower = codes[_lowered(place, merit, rules)]
    change = Change(at, standing.tier, lower, "downgrade", (lower,))
    return Step(_held(lower, at, rules, zone), change)


def history(
    entries: Sequence[Entry],
    rulings: Sequence[Ruling],
    pauses: Sequence[Pause],
    zone: ZoneInfo,
    until: datetime,
) -> tuple[Standing | None, tuple[Change, ...]]:
    """The standing at `until` and every move up to then; None before the first entry or the first version.

    At one instant entries come first (activate, then tiers), so that what is earned on the day of a review counts.
    """
    standing: Standing | None = None
    changes: list[Change] = []
    past = _Past(Qualified(entries), rulings, pauses, zone)
    for at, entry in _marks(entries, rulings, until):
        rules = rules_at(rulings, at)
        if rules is not None:
            if standing is None:
                standing = joined(at, rules, zone)
            standing = _wait(standing, changes, past, at)
        if entry is not None:
            past.qualified.tell(entry)
        if standing is not None and rules is not None:
            step = _after(standing, entry, past, at, rules)
            standing = step.standing
            changes += [step.change] if step.change else []
    if standing is not None:
        standing = _wait(standing, changes, past, until + timedelta.resolution)
    return standing, tuple(changes)


def rules_at(rulings: Sequence[Ruling], at: datetime) -> TierRules | None:
    """The tiers in force at an instant; None before the first version."""
    begun = [ruling for ruling in rulings if ruling.since <= at]
    return max(begun, key=lambda ruling: ruling.since).rules if begun else None


def projection(
    standing: Standing, entries: Sequence[Entry], at: datetime, rules: TierRules, zone: ZoneInfo
) -> Projection:
    """What is missing to the next tier now, and to this one at the review, counting only what is earned already."""
    now = points_in_window(entries, at, rules, zone)
    return projected(standing, now, _points_at_review(standing, entries, at, rules, zone), rules)


def projected(standing: Standing, now: int, kept: int, rules: TierRules) -> Projection:
    """The same from the points of the window that ends now, and what is left of them in the one of `looked_at`.

    The rules must know the tier.
    """
    codes = [tier.code for tier in rules.tiers]
    place = codes.index(standing.tier)
    above = rules.tiers[place + 1] if place + 1 < len(rules.tiers) else None
    merit = codes.index(merited(kept, rules))
    ahead = place if rules.downgrade == "none" or merit >= place else _lowered(place, merit, rules)
    return Projection(
        points_to_next=max(above.threshold - now, 0) if above else None,
        points_to_keep=max(rules.tiers[place].threshold - kept, 0),
        projected=codes[ahead],
    )


def looked_at(standing: Standing) -> datetime:
    """When the tier is looked at next, complaints aside: its review, or the end of its grace."""
    return standing.grace_until or standing.review_at


def warning(
    standing: Standing, entries: Sequence[Entry], at: datetime, rules: TierRules, zone: ZoneInfo
) -> Warning | None:
    """The downgrade that is near: within `warning_days`, or in grace already; None when none is to be feared."""
    return threat(standing, projection(standing, entries, at, rules, zone), at, rules)


def threat(standing: Standing, ahead: Projection, at: datetime, rules: TierRules) -> Warning | None:
    """The same from what is projected."""
    if at < warns_at(standing, rules) or ahead.projected == standing.tier:
        return None
    return Warning(standing.tier, ahead.projected, _lost_at(standing, rules), ahead.points_to_keep)


def warns_at(standing: Standing, rules: TierRules) -> datetime:
    """From when on a downgrade that would come is warned of; with a grace at the latest when it begins."""
    near = _lost_at(standing, rules) - timedelta(days=rules.warning_days)
    return near if standing.grace_until is None else standing.since


def _lost_at(standing: Standing, rules: TierRules) -> datetime:
    return standing.grace_until or standing.review_at + timedelta(days=rules.grace_days)


def _points_at_review(
    standing: Standing, entries: Iterable[Entry], at: datetime, rules: TierRules, zone: ZoneInfo
) -> int:
    known = (entry for entry in entries if entry.at <= at)
    return points_in_window(known, looked_at(standing), rules, zone)


def _lowered(place: int, merit: int, rules: TierRules) -> int:
    return place - 1 if rules.downgrade == "one_down" else merit


def _held(tier: str, at: datetime, rules: TierRules, zone: ZoneInfo) -> Standing:
    return Standing(tier, at, _review(at, rules, zone))


def _review(at: datetime, rules: TierRules, zone: ZoneInfo) -> datetime:
    """The end of the local day that is one window later."""
    return end_of_day(months_on(at.astimezone(zone).date(), rules.window_months), zone)


def _marks(
    entries: Sequence[Entry], rulings: Sequence[Ruling], until: datetime
) -> Iterator[tuple[datetime, Entry | None]]:
    """The instants at which something other than time changes a standing, in order."""
    marks: list[tuple[datetime, int, Entry | None]] = [
        (entry.at, entry.seq, entry) for entry in entries if entry.at <= until
    ]
    first = marks[0][0] if marks else until
    marks += [(ruling.since, 0, None) for ruling in rulings if first < ruling.since <= until]
    for at, _, entry in sorted(marks, key=lambda mark: mark[:2]):
        yield at, entry


def _after(standing: Standing, entry: Entry | None, past: _Past, at: datetime, rules: TierRules) -> Step:
    if entry is not None and entry.tier is not None:
        change = Change(at, standing.tier, entry.tier, "manual", (entry.tier,))
        held = _held(entry.tier, at, rules, past.zone)
        return Step(held, None if entry.tier == standing.tier else change)
    if entry is not None and not entry.qualifying:
        return Step(standing)
    why: Why = "version" if entry is None else "upgrade"
    return raised(standing, past.points(at, rules), at, rules, past.zone, why)


def _wait(standing: Standing, changes: list[Change], past: _Past, before: datetime) -> Standing:
    """What time alone does to a standing before an instant."""
    at = due_at(standing, past.pauses)
    while at is not None and at < before:
        rules = rules_at(past.rulings, at)
        if rules is None:
            break
        step = reviewed(standing, past.points(at, rules), at, rules, past.zone)
        standing = step.standing
        changes += [step.change] if step.change else []
        at = due_at(standing, past.pauses)
    return standing
