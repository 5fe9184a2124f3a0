"""The ledger's invariants, by their numbers in the design, on random histories of one account and its merges.

`HYPOTHESIS_PROFILE=prove pytest tests/domain/loyalty/test_ledger_properties.py` runs 5,000 histories of 60 steps.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.domain.loyalty import clawback, crediting, merging, settling, spending
from app.domain.loyalty.account import CREATING, Account, Decision, Entry, opened
from app.domain.loyalty.balances import as_of, balance, rebuilt
from app.domain.loyalty.book import apply_entry
from app.domain.loyalty.chain import verify
from app.domain.loyalty.tiers import Pause, Ruling, history
from app.domain.loyalty.versions import Tier, TierRules
from app.domain.problems import Conflict, Problem
from tests.domain.loyalty.ledgers import DAY, START

POINTS = st.integers(1, 120)
FEW = st.integers(0, 5)
LIVES = st.sampled_from([None, 2, 5, 9, 30])
ZONE = ZoneInfo("Europe/Berlin")
TIERS = TierRules(
    (Tier("base", 0), Tier("silver", 100), Tier("gold", 300, Fraction(2))), window_months=1, grace_days=3
)
RULINGS = [Ruling(START, TIERS), Ruling(START + 40 * DAY, TIERS._replace(downgrade="full", window_months=2))]
PAUSES = [Pause(START + 30 * DAY, START + 45 * DAY)]

Call = Callable[[Account, datetime], Decision[Any]]


class History(RuleBasedStateMachine):
    """Random calls at random times. Each is decided twice: the second time it must change nothing (9)."""

    def __init__(self) -> None:
        super().__init__()
        self.account = opened(UUID(int=1))
        self.mirror = self.account
        self.entries: list[Entry] = []
        self.now = START
        self.calls: list[Call] = []
        self.snapshots: list[tuple[datetime, Any, Any]] = []
        self.merges: list[tuple[merging.Merge, Account, list[Entry]]] = []
        self.names = 0

    def name(self) -> str:
        self.names += 1
        return f"n{self.names}"

    def do(self, call: Call) -> Any:
        before = self.frozen()
        try:
            decision = call(self.account, self.now)
        except Problem:
            assert self.frozen() == before  # 8
            return None
        assert self.frozen() == before
        self.accept(decision.account, decision.entries)
        again = call(self.account, self.now)
        assert again.entries == ()  # 9
        assert again.account == self.account
        self.calls.append(call)
        return decision.result

    def frozen(self) -> tuple[Any, ...]:
        one = self.account
        maps = (one.lots, one.holds, one.spends, one.earns, one.adjustments)
        return one.seq, one.head, one.debt, [dict(one) for one in maps]

    def accept(self, account: Account, entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            assert entry.at == max(self.now, self.mirror.last_at)
            assert entry.points <= 0 or entry.kind in CREATING  # 11
            self.mirror = apply_entry(self.mirror, entry)
        self.entries += entries
        self.account = account

    @rule(hours=st.sampled_from([0, 1, 5, 24, 50, 24 * 9]))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours, microseconds=1)

    @rule(
        points=st.integers(0, 120),
        pending=st.sampled_from([0, 0, 1, 4]),
        lives=LIVES,
        late=FEW,
        paid=st.integers(0, 500),
    )
    def earn(self, points: int, pending: int, lives: int | None, late: int, paid: int) -> None:
        since = self.now - late * DAY
        until = None if lives is None else since + (pending + lives) * DAY
        said = crediting.Earning(f"o{self.name()}", points, since, since + pending * DAY, until, paid, points)
        self.do(lambda account, now: crediting.earned(account, said, now))

    @rule(points=st.integers(-120, 120), debt=st.booleans(), lives=LIVES)
    def adjust(self, points: int, debt: bool, lives: int | None) -> None:
        key, until = self.name(), None if lives is None else self.now + lives * DAY
        self.do(
            lambda account, now: crediting.adjusted(
                account, id=key, points=points, reason_code="x", allow_debt=debt, expires_at=until, now=now
            )
        )

    @rule(points=POINTS, lives=LIVES)
    def opening(self, points: int, lives: int | None) -> None:
        key, until = self.name(), None if lives is None else self.now + lives * DAY
        self.do(
            lambda account, now: crediting.opening(account, id=key, points=points, expires_at=until, now=now)
        )

    @rule(tier=st.sampled_from(["base", "silver", "gold"]))
    def move_tier(self, tier: str) -> None:
        key = self.name()
        self.do(lambda account, now: crediting.tier_moved(account, id=key, tier=tier, now=now))

    @rule(points=POINTS, ttl=st.sampled_from([60, 7_200, 400_000]))
    def hold(self, points: int, ttl: int) -> None:
        key, before = self.name(), balance(self.account, self.now)
        done = self.do(
            lambda account, now: spending.held(account, id=key, points=points, ttl_seconds=ttl, now=now)
        )
        assert (done is None) == (points > before.available)

    @precondition(lambda self: self.account.holds)
    @rule(data=st.data(), points=st.none() | POINTS)
    def capture(self, data: st.DataObject, points: int | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.account.holds)))
        self.do(lambda account, now: spending.captured(account, key, now, points))

    @precondition(lambda self: self.account.holds)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.account.holds)))
        was = settling.settled(self.account, self.now).account.holds[key]
        done = self.do(lambda account, now: spending.released(account, key, now))
        if was.state == "open":
            assert done.returned + done.lapsed == was.points  # 14

    @rule(points=POINTS)
    def spend(self, points: int) -> None:
        key = self.name()
        self.do(lambda account, now: spending.spent(account, id=key, points=points, now=now))

    @precondition(lambda self: self.account.spends)
    @rule(data=st.data(), points=st.none() | POINTS, grace=st.sampled_from([0, 3, 30]))
    def refund(self, data: st.DataObject, points: int | None, grace: int) -> None:
        spend, key = data.draw(st.sampled_from(sorted(self.account.spends))), self.name()
        done = self.do(
            lambda account, now: spending.refunded(
                account, spend, id=key, points=points, grace=grace * DAY, now=now
            )
        )
        assert done is None or done.points == done.restored + done.lapsed + done.reinstated

    @precondition(lambda self: self.account.earns)
    @rule(
        data=st.data(),
        amount=st.none() | st.integers(0, 300),
        policy=st.sampled_from(["only_pending", "within_balance", "unlimited"]),
    )
    def claw(self, data: st.DataObject, amount: int | None, policy: Any) -> None:
        key, refund = data.draw(st.sampled_from(sorted(self.account.earns))), self.name()
        done = self.do(
            lambda account, now: clawback.clawed_back(
                account, key, id=refund, amount_minor=amount, policy=policy, now=now
            )
        )
        assert done.due == done.taken + done.forgiven + done.indebted

    @rule()
    def sweep(self) -> None:
        before = balance(self.account, self.now)
        self.do(settling.settled)
        assert balance(self.account, self.now) == before

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        """Any earlier call again, at a later time: nothing but clock work may come of it, and mostly not even that."""
        call = data.draw(st.sampled_from(self.calls))
        swept = settling.settled(self.account, self.now)
        self.accept(swept.account, swept.entries)
        if self.merges:
            return
        done = call(self.account, self.now)
        assert done.entries == ()
        assert done.account == self.account

    @precondition(lambda self: len(self.merges) < 3)
    @rule(points=POINTS, spent=POINTS, held=POINTS, lives=LIVES)
    def merge(self, points: int, spent: int, held: int, lives: int | None) -> None:
        other = opened(UUID(int=100 + self.names))
        log: list[Entry] = []
        until = None if lives is None else self.now + lives * DAY
        said = crediting.Earning(f"o{len(self.merges)}", points, self.now, self.now, until, 100)
        steps: list[Call] = [
            lambda account, now: crediting.earned(account, said, now),
            lambda account, now: spending.spent(account, id="s", points=spent, now=now),
            lambda account, now: spending.held(account, id="h", points=held, ttl_seconds=90_000, now=now),
        ]
        for step in steps:
            try:
                done = step(other, self.now)
            except Problem:
                continue
            other = done.account
            log += done.entries
        self.now = max(self.now, self.account.last_at)
        pair = merging.merged(self.account, other, f"m{self.name()}", self.now)
        assert sum(entry.points for entry in (*pair.into_entries, *pair.source_entries)) <= 0
        self.accept(pair.into, pair.into_entries)
        self.merges.append((pair.merge, pair.source, log + list(pair.source_entries)))

    @precondition(lambda self: self.merges)
    @rule()
    def unmerge(self) -> None:
        merge, source, log = self.merges[-1]
        self.now = max(self.now, self.account.last_at)
        try:
            pair = merging.unmerged(self.account, source, merge, self.now)
        except Conflict:
            return
        self.merges.pop()
        self.accept(pair.into, pair.into_entries)
        log += pair.source_entries
        assert verify(pair.source.id, log, pair.source) == []
        assert rebuilt(pair.source, log).lots == pair.source.lots

    @rule()
    def remember(self) -> None:
        """What the past looks like now, to be compared with what it looks like in the end (12, 13)."""
        self.snapshots.append((self.now, balance(self.past(self.now), self.now), self.standing(self.now)))
        self.now += timedelta(microseconds=1)

    def past(self, at: datetime) -> Account:
        return as_of(self.account, self.entries, at)

    def standing(self, at: datetime) -> Any:
        return history(self.entries, RULINGS, PAUSES, ZONE, at)

    @invariant()
    def sums_hold(self) -> None:
        account, lots = self.account, self.account.lots.values()
        left = sum(lot.remaining for lot in lots)
        assert sum(entry.points for entry in self.entries) == left - account.debt  # 1
        for lot in lots:
            assert 0 <= lot.held <= lot.remaining <= lot.granted  # 2
            assert min(lot.drawn, lot.restored, lot.revoked, lot.expired, lot.absorbed, lot.moved) >= 0  # 5
        held = sum(hold.points for hold in account.holds.values() if hold.state == "open")
        assert sum(lot.held for lot in lots) == held
        swept = settling.settled(account, self.now).account
        free = sum(lot.free for lot in swept.lots.values() if lot.is_active(self.now))
        assert not (swept.debt and free)  # 3
        assert balance(account, self.now).available == free - swept.debt  # 4

    @invariant()
    def the_cache_is_what_the_entries_say(self) -> None:
        mirror, account = self.mirror, self.account  # 4, 10
        assert (mirror.seq, mirror.head, mirror.debt) == (account.seq, account.head, account.debt)
        assert {lot.id: lot.remaining for lot in mirror.lots.values()} == {
            lot.id: lot.remaining for lot in account.lots.values()
        }
        assert (mirror.lifetime_earned, mirror.lifetime_burned, mirror.lifetime_expired) == (
            account.lifetime_earned,
            account.lifetime_burned,
            account.lifetime_expired,
        )

    @invariant()
    def spends_and_earns_add_up(self) -> None:
        for spend in self.account.spends.values():
            assert sum(draw.points for draw in spend.draws) == spend.points  # 6
            assert all(0 <= draw.restored <= draw.points for draw in spend.draws)
            assert sum(done.points for done in spend.refunds.values()) == spend.points - spend.refundable
        for earn in self.account.earns.values():
            share = earn.points * earn.refunded_minor // max(earn.paid_minor, 1)
            complete = earn.refunded_minor >= earn.paid_minor and bool(earn.clawbacks)
            assert earn.settled in (
                {share, earn.points} if complete and not earn.paid_minor else {share}
            )  # 7
            assert min(earn.clawed, earn.forgiven, earn.indebted, earn.lapsed, earn.recoverable) >= 0
            assert earn.lapsed + earn.recoverable <= earn.forgiven

    def teardown(self) -> None:
        assert verify(self.account.id, self.entries, self.account) == []  # 1, 10, 11
        assert rebuilt(self.account, self.entries) == self.account  # 4, 5
        for at, then, standing in self.snapshots:
            assert balance(self.past(at), at) == then  # 12
            assert self.standing(at) == standing  # 13


TestHistory = History.TestCase
TestHistory.settings = settings(stateful_step_count=60)
