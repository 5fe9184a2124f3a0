"""A draft tried on purchases that were logged: customer by customer, each forgotten when done, nothing written."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from app.domain.loyalty.conditions import Member
from app.domain.loyalty.earning import earning_of, evaluate
from app.domain.loyalty.periods import local_month, window_start
from app.domain.loyalty.purchases import Purchase
from app.domain.loyalty.rules import in_period
from app.domain.loyalty.tiers import Standing, joined, raised
from app.domain.loyalty.versions import Programme, Published, Version, in_force

BIGGEST = 20


class Bought(NamedTuple):
    """One purchase of the log. `refunded_minor`: what of it was given back since, in its own currency."""

    purchase: Purchase
    is_first_purchase: bool = False
    refunded_minor: int = 0


class Buyer(NamedTuple):
    """A customer who bought: the tier they stand at and the points they earned by the rules then (less refunds).

    `earlier` are the qualifying points of the longest window before the log, in order of time, as they were earned.
    """

    customer: str
    tier: str | None = None
    recorded_points: int = 0
    segments: frozenset[str] = frozenset()
    earlier: Sequence[tuple[datetime, int]] = ()


class Moved(NamedTuple):
    """What the draft is for one customer."""

    customer: str
    before: int
    drafted: int

    @property
    def gained(self) -> int:
        """More points (fewer: negative)."""
        return self.drafted - self.before


class Simulation(NamedTuple):
    """The draft beside what it is compared with. `tiers` count buyers by tier at the end.

    `liability` are drafted points that still live at the end, by month of expiry (None: never). `winners` and `losers`
    are counts, `most_gained` and `most_lost` the extremes.
    """

    purchases: int
    customers: int
    points_before: int
    points_drafted: int
    liability: Mapping[str | None, int]
    tiers_before: Mapping[str, int]
    tiers_after: Mapping[str, int]
    tier_moves: Mapping[tuple[str, str], int]
    winners: int
    losers: int
    most_gained: tuple[Moved, ...]
    most_lost: tuple[Moved, ...]

    def cost_minor(self, points: int, point_cost_micro: int) -> int:
        """What points cost, in minor units; `point_cost_micro`: millionths of a minor unit for one."""
        return points * point_cost_micro // 1_000_000


@dataclass(slots=True)
class _Run:
    """One customer by one set of rules."""

    rules: Sequence[Published]
    programme: Programme
    standing: Standing | None = None
    points: int = 0
    qualified: list[tuple[datetime, int]] = field(default_factory=list)
    given: dict[tuple[str, date], int] = field(default_factory=dict)
    live: list[tuple[datetime | None, int]] = field(default_factory=list)

    def buy(self, one: Bought, segments: frozenset[str]) -> None:
        """One purchase more, not before the last one."""
        at, paid = one.purchase.occurred_at, one.purchase.paid_minor
        found = in_force(self.rules, at)
        if found is None:
            return
        version, programme = found.version, self.programme
        standing = self.standing or self._risen(joined(at, version.tier_rules, programme.zone), version, at)
        today = at.astimezone(programme.zone).date()
        so_far = in_period(version.rules, today, self.given)
        member = Member(standing.tier, segments, one.is_first_purchase, so_far)
        would = evaluate(version, programme, one.purchase, member)
        kept = would.points - _share(would.points, one.refunded_minor, paid)
        self.points += kept
        for rule, points in would.by_rule.items():
            self.given[rule, today] = self.given.get((rule, today), 0) + points
        self.qualified.append((at, would.qualifying - _share(would.qualifying, one.refunded_minor, paid)))
        self.standing = self._risen(standing, version, at)
        if kept:
            expires_at = earning_of(would, one.purchase.key, at, version, programme).expires_at
            self.live.append((expires_at, kept))

    def _risen(self, standing: Standing, version: Version, at: datetime) -> Standing:
        """Where the points of a version's window lead; another version may look back further, so all are kept."""
        rules, zone = version.tier_rules, self.programme.zone
        since = window_start(at, rules.window_months, zone)
        points = sum(points for on, points in self.qualified if on >= since)
        return raised(standing, points, at, rules, zone).standing


class Trial:
    """The draft, and what it came to so far. Memory does not grow with the customers, only one is held at a time."""

    def __init__(
        self,
        draft: Version,
        programme: Programme,
        *,
        since: datetime,
        until: datetime,
        against: Sequence[Published] | None = None,
    ) -> None:
        """`against`: compare with these rules on the same purchases; None: with what was recorded."""
        self._draft = (Published(0, draft, min(since, datetime.min.replace(tzinfo=since.tzinfo))),)
        self._base = draft.tier_rules.tiers[0].code
        self._programme, self._until, self._against = programme, until, against
        self._purchases = self._customers = self._before = self._drafted = self._winners = self._losers = 0
        self._liability: dict[str | None, int] = {}
        self._tiers: tuple[dict[str, int], dict[str, int]] = {}, {}
        self._moves: dict[tuple[str, str], int] = {}
        self._gained: list[tuple[int, str, Moved]] = []
        self._lost: list[tuple[int, str, Moved]] = []

    def take(self, buyer: Buyer, bought: Sequence[Bought]) -> None:
        """One customer with their purchases in order of time; customers without any change nothing."""
        if not bought:
            return
        drafted = self._run(self._draft, buyer, bought)
        points, tier = buyer.recorded_points, buyer.tier or self._base
        if self._against is not None:
            compared = self._run(self._against, buyer, bought)
            points = compared.points
            tier = self._base if compared.standing is None else compared.standing.tier
        self._purchases += len(bought)
        self._customers += 1
        self._owe(drafted)
        self._count(Moved(buyer.customer, points, drafted.points))
        self._place(tier, self._base if drafted.standing is None else drafted.standing.tier)

    def told(self) -> Simulation:
        """What it came to."""
        liability = self._liability
        return Simulation(
            purchases=self._purchases,
            customers=self._customers,
            points_before=self._before,
            points_drafted=self._drafted,
            liability={
                month: liability[month] for month in sorted(liability, key=lambda one: one or "9999-99")
            },
            tiers_before=self._tiers[0],
            tiers_after=self._tiers[1],
            tier_moves=self._moves,
            winners=self._winners,
            losers=self._losers,
            most_gained=tuple(one for _, _, one in sorted(self._gained, key=lambda one: (-one[0], one[1]))),
            most_lost=tuple(one for _, _, one in sorted(self._lost, key=lambda one: (-one[0], one[1]))),
        )

    def _run(self, rules: Sequence[Published], buyer: Buyer, bought: Sequence[Bought]) -> _Run:
        run = _Run(rules, self._programme, qualified=list(buyer.earlier))
        for one in bought:
            run.buy(one, buyer.segments)
        return run

    def _owe(self, run: _Run) -> None:
        for expires_at, points in run.live:
            if expires_at is None or expires_at > self._until:
                month = local_month(expires_at, self._programme.zone) if expires_at else None
                self._liability[month] = self._liability.get(month, 0) + points

    def _count(self, one: Moved) -> None:
        self._before += one.before
        self._drafted += one.drafted
        self._winners += one.gained > 0
        self._losers += one.gained < 0
        if one.gained:
            extremes = self._gained if one.gained > 0 else self._lost
            heapq.heappush(extremes, (abs(one.gained), one.customer, one))
            if len(extremes) > BIGGEST:
                heapq.heappop(extremes)

    def _place(self, before: str, after: str) -> None:
        for tiers, tier in zip(self._tiers, (before, after), strict=True):
            tiers[tier] = tiers.get(tier, 0) + 1
        if before != after:
            self._moves[before, after] = self._moves.get((before, after), 0) + 1


def _share(points: int, refunded_minor: int, paid_minor: int) -> int:
    if not refunded_minor:
        return 0
    return points if refunded_minor >= paid_minor else points * refunded_minor // paid_minor
