"""What the loyalty tests write again and again: a clock, accounts, earns."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID

from app.domain.loyalty import clawback, crediting, merging, settling, spending
from app.domain.loyalty.account import (
    Account,
    Adjusted,
    Clawed,
    Decision,
    Earn,
    Entry,
    Hold,
    Refunded,
    Spend,
    opened,
)
from app.domain.loyalty.balances import Balance, balance, rebuilt
from app.domain.loyalty.chain import verify

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def day(number: float) -> datetime:
    return START + number * DAY


class Ledger:
    """One account, all its entries, and a clock in days; every step is checked against a replay of the log."""

    def __init__(self, account: Account | None = None, entries: Sequence[Entry] = ()) -> None:
        self.account = account or opened(UUID(int=1))
        self.entries = list(entries)
        self.now = START

    def at(self, number: float) -> Self:
        self.now = day(number)
        return self

    def take(self, decision: Decision[Any]) -> Any:
        self.account = decision.account
        self.entries += decision.entries
        self.check()
        return decision.result

    def check(self) -> None:
        assert verify(self.account.id, self.entries, self.account) == []
        again = rebuilt(self.account, self.entries)
        assert again == self.account

    def earn(self, points: int, key: str = "o1", **said: Any) -> Earn:
        since = said.pop("occurred_at", self.now)
        pending, lives = said.pop("pending", 0), said.pop("lives", None)
        earning = crediting.Earning(
            key=key,
            points=points,
            occurred_at=since,
            activates_at=since + pending * DAY,
            expires_at=None if lives is None else since + lives * DAY,
            **{"paid_minor": 10_000, "qualifying": points, **said},
        )
        done: Earn = self.take(crediting.earned(self.account, earning, self.now))
        return done

    def adjust(self, points: int, id_: str = "a1", **said: Any) -> Adjusted:
        given = {"reason_code": "service", "allow_debt": False, "expires_at": None, **said}
        done: Adjusted = self.take(
            crediting.adjusted(self.account, id=id_, points=points, now=self.now, **given)
        )
        return done

    def hold(self, points: int, id_: str = "h1", ttl: int = 900, **said: Any) -> Hold:
        done: Hold = self.take(
            spending.held(self.account, id=id_, points=points, ttl_seconds=ttl, now=self.now, **said)
        )
        return done

    def capture(self, id_: str = "h1", points: int | None = None) -> spending.Captured:
        done: spending.Captured = self.take(spending.captured(self.account, id_, self.now, points))
        return done

    def release(self, id_: str = "h1") -> settling.Released:
        done: settling.Released = self.take(spending.released(self.account, id_, self.now))
        return done

    def spend(self, points: int, id_: str = "s1", **said: Any) -> Spend:
        done: Spend = self.take(spending.spent(self.account, id=id_, points=points, now=self.now, **said))
        return done

    def refund(
        self, points: int | None = None, id_: str = "r1", spend: str = "s1", grace: float = 30
    ) -> Refunded:
        done: Refunded = self.take(
            spending.refunded(self.account, spend, id=id_, points=points, grace=grace * DAY, now=self.now)
        )
        return done

    def claw(
        self, amount: int | None = None, id_: str = "c1", key: str = "o1", policy: Any = "within_balance"
    ) -> Clawed:
        done: Clawed = self.take(
            clawback.clawed_back(self.account, key, id=id_, amount_minor=amount, policy=policy, now=self.now)
        )
        return done

    def settle(self) -> None:
        self.take(settling.settled(self.account, self.now))

    @property
    def balance(self) -> Balance:
        return balance(self.account, self.now)

    @property
    def available(self) -> int:
        return self.balance.available

    def remaining(self, key: str) -> int:
        return sum(self.account.lots[lot].remaining for lot in self.account.earns[key].lots)


def merge(into: Ledger, source: Ledger) -> merging.Merge:
    pair = merging.merged(into.account, source.account, "m1", max(into.now, source.now))
    return _both(into, source, pair)


def unmerge(into: Ledger, source: Ledger, done: merging.Merge) -> merging.Merge:
    pair = merging.unmerged(into.account, source.account, done, max(into.now, source.now))
    return _both(into, source, pair)


def _both(into: Ledger, source: Ledger, pair: merging.Pair) -> merging.Merge:
    into.take(Decision(pair.into, pair.into_entries, None))
    source.take(Decision(pair.source, pair.source_entries, None))
    assert sum(entry.points for entry in (*pair.into_entries, *pair.source_entries)) == 0
    return pair.merge
