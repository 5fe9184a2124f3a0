"""A draft tried on purchases that were logged: one fold, nothing written."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from app.domain.loyalty.earning import Member, earning_of, evaluate
from app.domain.loyalty.periods import local_month, window_start
from app.domain.loyalty.purchases import Purchase
from app.domain.loyalty.tiers import Standing, joined, raised
from app.domain.loyalty.versions import Programme, Version

BIGGEST = 20


class Logged(NamedTuple):
    """One purchase of the log, in the order of the log, and what it earned by the rules then.

    `refunded_minor`: what of it was given back since, in its own currency.
    """

    customer: str
    purchase: Purchase
    recorded_points: int
    segments: frozenset[str] = frozenset()
    is_first_purchase: bool = False
    refunded_minor: int = 0


class Moved(NamedTuple):
    """What the draft is for one customer."""

    customer: str
    recorded: int
    drafted: int

    @property
    def gained(self) -> int:
        """More points (fewer: negative)."""
        return self.drafted - self.recorded


class Simulation(NamedTuple):
    """The draft beside what was recorded. Costs are minor units; `tiers` counts members by tier at the end.

    `liability` are drafted points that still live at the end, by month of expiry (None: never). `winners` and `losers`
    are counts, `most_gained` and `most_lost` the extremes.
    """

    purchases: int
    customers: int
    recorded_points: int
    drafted_points: int
    cost_minor: int
    liability: Mapping[str | None, int]
    tiers_before: Mapping[str, int]
    tiers_after: Mapping[str, int]
    tier_moves: Mapping[tuple[str, str], int]
    winners: int
    losers: int
    most_gained: tuple[Moved, ...]
    most_lost: tuple[Moved, ...]


@dataclass(slots=True)
class _Run:
    """One customer during the fold."""

    tier_before: str
    standing: Standing
    recorded: int = 0
    drafted: int = 0
    window: deque[tuple[datetime, int]] = field(default_factory=deque)
    given: dict[str, deque[tuple[datetime, int]]] = field(default_factory=dict)


def simulate(
    draft: Version,
    programme: Programme,
    logged: Iterable[Logged],
    *,
    tiers: Mapping[str, str],
    earlier: Mapping[str, Sequence[tuple[datetime, int]]],
    until: datetime,
    point_cost_micro: int = 0,
) -> Simulation:
    """What a draft would have given for `logged` (in order of time), and how it would stand at `until`.

    `tiers` are the members' tiers as recorded, by customer; the others are at the base. `earlier` are the qualifying
    points of the window before the log, in order of time: they are kept as they were earned. `point_cost_micro`:
    millionths of a minor unit that a point costs. Refunds count by their share. Customers who bought nothing meanwhile
    are not in it.
    """
    runs: dict[str, _Run] = {}
    liability: dict[str | None, int] = {}
    purchases = 0
    base = draft.tier_rules.tiers[0].code
    for one in logged:
        purchases += 1
        run = runs.get(one.customer)
        if run is None:
            run = _begun(one, draft, programme, tiers.get(one.customer, base), earlier.get(one.customer, ()))
            runs[one.customer] = run
        _step(run, one, draft, programme, until, liability)
    return _told(runs, purchases, liability, point_cost_micro)


def _begun(
    one: Logged,
    draft: Version,
    programme: Programme,
    tier: str,
    earlier: Sequence[tuple[datetime, int]],
) -> _Run:
    """A customer as the draft finds them: at the tier that their points before the log would have under it."""
    at = one.purchase.occurred_at
    start = joined(at, draft.tier_rules, programme.zone)
    points = sum(points for _, points in earlier)
    standing = raised(start, points, at, draft.tier_rules, programme.zone).standing
    return _Run(tier, standing, window=deque(earlier))


def _step(
    run: _Run,
    one: Logged,
    draft: Version,
    programme: Programme,
    until: datetime,
    liability: dict[str | None, int],
) -> None:
    at, paid = one.purchase.occurred_at, one.purchase.paid_minor
    member = Member(run.standing.tier, one.segments, one.is_first_purchase, _in_period(run, draft, at))
    would = evaluate(draft, programme, one.purchase, member)
    kept = would.points - _share(would.points, one.refunded_minor, paid)
    run.recorded += one.recorded_points
    run.drafted += kept
    for rule, points in would.by_rule.items():
        run.given.setdefault(rule, deque()).append((at, points))
    run.window.append((at, would.qualifying - _share(would.qualifying, one.refunded_minor, paid)))
    since = window_start(at, draft.tier_rules.window_months, programme.zone)
    while run.window and run.window[0][0] < since:
        run.window.popleft()
    points = sum(points for _, points in run.window)
    run.standing = raised(run.standing, points, at, draft.tier_rules, programme.zone).standing
    earning = earning_of(would, one.purchase.key, at, draft, programme)
    if kept and (earning.expires_at is None or earning.expires_at > until):
        month = local_month(earning.expires_at, programme.zone) if earning.expires_at else None
        liability[month] = liability.get(month, 0) + kept


def _share(points: int, refunded_minor: int, paid_minor: int) -> int:
    if not refunded_minor:
        return 0
    return points if refunded_minor >= paid_minor else points * refunded_minor // paid_minor


def _in_period(run: _Run, draft: Version, at: datetime) -> dict[str, int]:
    sums = {}
    for rule in draft.rules:
        if rule.caps.period_days is not None:
            given = run.given.get(rule.code, deque())
            while given and (at - given[0][0]).days >= rule.caps.period_days:
                given.popleft()
            sums[rule.code] = sum(points for _, points in given)
    return sums


def _told(
    runs: Mapping[str, _Run], purchases: int, liability: Mapping[str | None, int], point_cost_micro: int
) -> Simulation:
    moved = [Moved(customer, run.recorded, run.drafted) for customer, run in runs.items()]
    by_gain = sorted(moved, key=lambda one: (-one.gained, one.customer))
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    moves: dict[tuple[str, str], int] = {}
    for run in runs.values():
        tier = run.standing.tier
        before[run.tier_before] = before.get(run.tier_before, 0) + 1
        after[tier] = after.get(tier, 0) + 1
        if tier != run.tier_before:
            moves[run.tier_before, tier] = moves.get((run.tier_before, tier), 0) + 1
    drafted = sum(one.drafted for one in moved)
    return Simulation(
        purchases=purchases,
        customers=len(runs),
        recorded_points=sum(one.recorded for one in moved),
        drafted_points=drafted,
        cost_minor=drafted * point_cost_micro // 1_000_000,
        liability={month: liability[month] for month in sorted(liability, key=lambda one: one or "9999-99")},
        tiers_before=before,
        tiers_after=after,
        tier_moves=moves,
        winners=sum(one.gained > 0 for one in moved),
        losers=sum(one.gained < 0 for one in moved),
        most_gained=tuple(one for one in by_gain[:BIGGEST] if one.gained > 0),
        most_lost=tuple(one for one in by_gain[: -BIGGEST - 1 : -1] if one.gained < 0),
    )
