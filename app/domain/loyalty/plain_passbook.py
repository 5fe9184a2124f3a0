"""The passbook of nearly everybody who buys: nothing is due, owed or given back, and every order is new.

Such a purchase adds one entry and one lot to an account and moves nothing else, so nothing else is looked at. What
comes out is what `Passbook` gives; whatever does not fit is followed there, with all that went before.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeAlias

from app.domain.descriptions import order_id_of
from app.domain.loyalty.account import Account, Entry
from app.domain.loyalty.balances import available_and_pending
from app.domain.loyalty.clock import looks_at_lot
from app.domain.loyalty.conditions import Member
from app.domain.loyalty.crediting import Earning, earn_entry
from app.domain.loyalty.earning import lifetime, order_key
from app.domain.loyalty.explain import explained_text
from app.domain.loyalty.known_orders import purchase_key
from app.domain.loyalty.passbook import Draft, NewMoney, Passbook, posted_purchase, told
from app.domain.loyalty.plain_rules import is_plain, plan_of, weigh
from app.domain.loyalty.settling import is_quiet
from app.domain.loyalty.tiers import Standing, is_inside, stays
from app.domain.loyalty.versions import Programme, Published, in_force
from app.domain.touchpoints import Touchpoint


class Paid(NamedTuple):
    """A new order, and the touchpoint that paid it, the first and only one of it."""

    source: str
    order_id: str
    touchpoint: str
    currency: str | None


class PlainEarn(NamedTuple):
    """What a purchase wrote: its entry, what was paid, why it earned so much (JSON), and the order that it names."""

    entry: Entry
    paid_minor: int
    explain: str
    order: Paid | None


@dataclass(slots=True)
class PlainPassbook:
    """An account of which nothing else is to be known (`is_plain_account`), and what purchases add to it.

    `standing`, `qualifying`, `due_at` and `warned_until` are the account's as it was read; `qualifying` and `due_at` go
    on with it. `opens` makes the passbook that follows everything; once it was needed it is `whole`, and is all that
    counts.
    """

    programme: Programme
    published: Sequence[Published]
    account: Account
    standing: Standing
    qualifying: int
    due_at: datetime
    warned_until: datetime | None
    segments: frozenset[str]
    opens: Callable[[], Passbook]
    earns: list[PlainEarn] = field(default_factory=list)
    followed: list[NewMoney] = field(default_factory=list)
    whole: Passbook | None = None

    @property
    def drafts(self) -> Mapping[str, Draft]:
        """The accounts to which more happened than plain earns."""
        return {} if self.whole is None else self.whole.drafts

    @property
    def lifetime_earned(self) -> int:
        """The points of a lifetime, with all that was followed."""
        return self.account.lifetime_earned + sum([one.entry.points for one in self.earns])

    def follow(self, money: NewMoney) -> str:
        """As `Passbook.follow`."""
        if self.whole is None and money.step is None and money.touchpoint.kind == "purchase":
            answer = self._purchased(money.touchpoint, is_first_purchase=money.is_first_purchase)
            if answer is not None:
                self.followed.append(money)
                return answer
        if self.whole is None:
            self.whole = self.opens()
            for one in self.followed:
                self.whole.follow(one)
        return self.whole.follow(money)

    def _purchased(self, touchpoint: Touchpoint, *, is_first_purchase: bool) -> str | None:
        """What a purchase is told; None when it is not plain, and then it has changed nothing."""
        at, now = touchpoint.occurred_at, touchpoint.received_at
        found, ruling = in_force(self.published, at), in_force(self.published, now)
        plan = None if found is None else plan_of(found.version)
        paid = _paid(touchpoint)
        if found is None or ruling is None or plan is None or self._has(paid):
            return None
        purchase = posted_purchase(touchpoint, _key(touchpoint, paid))
        if not is_plain(purchase, self.programme.currency):
            return None
        tier, tier_rules = self.standing.tier, ruling.version.tier_rules
        weighed = weigh(found.version, plan, purchase, Member(tier, self.segments, is_first_purchase))
        activates_at, expires_at = lifetime(at, found.version, self.programme)
        qualifying = self.qualifying
        if is_inside(at, now, tier_rules, self.programme.zone):
            qualifying += weighed.qualifying
        seq, head, last_at = self._last()
        written_at = max(now, last_at)
        is_over = expires_at is not None and expires_at <= written_at
        if is_over or not stays(self.standing, qualifying, tier_rules):
            return None
        earning = Earning(
            purchase.key,
            weighed.points,
            at,
            activates_at,
            expires_at,
            purchase.paid_minor,
            weighed.qualifying,
        )
        entry = earn_entry(seq, head, earning, written_at)
        explain = explained_text(weighed, found.number, tier)
        self.earns.append(PlainEarn(entry, earning.paid_minor, explain, paid))
        self.qualifying = qualifying
        if entry.expires_at is not None:
            looks_at = looks_at_lot(entry.expires_at, self.warned_until, ruling.version)
            self.due_at = min(self.due_at, looks_at)
        return self._told(entry)

    def _last(self) -> tuple[int, bytes, datetime]:
        """Number, hash and time of the last entry."""
        if not self.earns:
            return self.account.seq, self.account.head, self.account.last_at
        entry = self.earns[-1].entry
        return entry.seq, entry.hash, entry.at

    def _has(self, paid: Paid | None) -> bool:
        """Whether an order was paid by a touchpoint before: then it has earned already."""
        if paid is None:
            return False
        return any(one.order is not None and one.order[:2] == paid[:2] for one in self.earns)

    def _told(self, entry: Entry) -> str:
        available, pending = available_and_pending(self.account, entry.at)
        for one in self.earns:
            if one.entry.activates_at is not None and one.entry.activates_at > entry.at:
                pending += one.entry.points
            else:
                available += one.entry.points
        return told(entry.points, 0, available, pending, self.standing.tier)


AnyPassbook: TypeAlias = Passbook | PlainPassbook


def is_plain_account(account: Account, due_at: datetime, programme: Programme, now: datetime) -> bool:
    """Whether purchases up to `now` may be followed plainly: nothing is due, and the programme has no end in sight."""
    is_open = programme.earns_until is None and programme.ends_at is None
    return is_open and due_at > now and is_quiet(account, max(now, account.last_at))


def _paid(touchpoint: Touchpoint) -> Paid | None:
    order_id = order_id_of(touchpoint.thread)
    return None if order_id is None else Paid(touchpoint.source, order_id, touchpoint.id, touchpoint.currency)


def _key(touchpoint: Touchpoint, paid: Paid | None) -> str:
    if paid is None:
        return purchase_key(touchpoint.source, touchpoint.id)
    return order_key(paid.source, paid.order_id, 1)
