"""One customer's points while a group of touchpoints is written: what purchases earn and what refunds take back.

A passbook follows the touchpoints one after the other, as if they had come alone. It holds the accounts and the orders
that they concern; what it was given is not changed, what became of it stands in its drafts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from math import floor
from typing import Any, Final, Literal, NamedTuple

from app.domain.descriptions import order_id_of
from app.domain.loyalty.account import Account, Decision, Entry
from app.domain.loyalty.balances import available_and_pending
from app.domain.loyalty.clawback import clawed_back
from app.domain.loyalty.conditions import Member
from app.domain.loyalty.crediting import earned
from app.domain.loyalty.earning import Evaluated, earning_of, evaluate, nothing, order_key
from app.domain.loyalty.explain import explained
from app.domain.loyalty.known_orders import (
    KnownOrder,
    OrderStep,
    Shares,
    found_order,
    gathered,
    purchase_key,
    refund_name,
)
from app.domain.loyalty.orders import (
    Parked,
    adopted,
    refund_arrived,
    unparked,
    worth_of,
)
from app.domain.loyalty.purchases import Purchase, currency_factor, posted
from app.domain.loyalty.rules import Given, in_period
from app.domain.loyalty.tiers import Change, Standing, counted
from app.domain.loyalty.versions import Programme, Published, Version, in_force
from app.domain.touchpoints import Touchpoint

MONEY: Final = frozenset(("purchase", "refund", "order_cancelled"))
"""The kinds of touchpoint that earn or take back."""

_STANDARD: Final = Version()


class Move(NamedTuple):
    """Money that came or went: what others who live from purchases (referrals) follow.

    `key` is what it earned by. `amount_minor` is of the order's currency, None: all that was left; `counted_minor` the
    same in the programme's currency, 0 where there is no rate to it.
    """

    kind: Literal["paid", "given_back"]
    key: str
    amount_minor: int | None
    counted_minor: int
    occurred_at: datetime


class NewMoney(NamedTuple):
    """A new touchpoint that is about money, and what the log said before it.

    `is_first_purchase`: nothing counted yet. `is_bought`: its order has a purchase. `step`: a whole order wrote it.
    """

    touchpoint: Touchpoint
    is_first_purchase: bool
    is_bought: bool
    step: OrderStep | None = None


@dataclass(slots=True)
class Draft:
    """One account and what became of it. `given`: what capped rules gave before, `rule_points` since."""

    programme: Programme
    published: Sequence[Published]
    account: Account
    standing: Standing | None
    qualifying: int
    given: Given
    entries: list[Entry] = field(default_factory=list)
    explains: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    rule_points: dict[tuple[str, date], int] = field(default_factory=dict)
    changes: list[tuple[int, Change]] = field(default_factory=list)

    def take(self, decision: Decision[Any], now: datetime) -> None:
        """Go on from a decision; tiers rise at once. `changes` are moves with the number of their entry."""
        if not decision.entries:
            return
        self.account = decision.account
        self.entries += decision.entries
        version = in_force(self.published, now)
        if version is None:
            return
        tier_rules, zone = version.version.tier_rules, self.programme.zone
        step, self.qualifying = counted(
            self.standing, self.qualifying, decision.entries, now, tier_rules, zone
        )
        self.standing = step.standing
        if step.change is not None:
            self.changes.append((decision.account.seq, step.change))

    def tier(self, version: Version) -> str:
        """Where the member stands; who has no entry yet is where everybody begins."""
        return version.tier_rules.tiers[0].code if self.standing is None else self.standing.tier


@dataclass(slots=True)
class Passbook:
    """The accounts of one customer by programme, and the orders that a group concerns by their ids.

    `program` is the one in which purchases earn; refunds claw from whichever has recorded an earn. An exchange rate is
    to `shop_currency`: a programme in another one knows none.
    """

    program: str
    shop_currency: str
    drafts: dict[str, Draft]
    orders: dict[str, list[KnownOrder]]
    segments: frozenset[str] = frozenset()
    moves: list[Move] = field(default_factory=list)

    def follow(self, money: NewMoney) -> str:
        """What a new touchpoint does to the points; the JSON that its caller is told."""
        touchpoint, is_first_purchase, is_bought, step = money
        done = _Done(touchpoint.received_at)
        if step is not None:
            self._follow_order(touchpoint, step, done, is_first_purchase=is_first_purchase)
        elif touchpoint.kind == "purchase":
            self._purchased(touchpoint, done, is_first_purchase=is_first_purchase)
        else:
            self._given_back(touchpoint, done, is_bought=is_bought)
        return self._told(done)

    # --- posted touchpoints -------------------------------------------------------------------------------------------

    def _purchased(self, touchpoint: Touchpoint, done: "_Done", *, is_first_purchase: bool) -> None:
        order_id = order_id_of(touchpoint.thread)
        if order_id is None:
            key = purchase_key(touchpoint.source, touchpoint.id)
            self._earn(key, posted_purchase(touchpoint, key), done, is_first=is_first_purchase)
            return
        known = self.order_of(order_id, touchpoint.source)
        if known.order.is_paid:
            # One order: it has earned already, by its state or by another touchpoint.
            known.take(known.order, touchpoint)
            return
        order = adopted(known.order, touchpoint.id, touchpoint.amount_minor or 0)
        known.currency = touchpoint.currency
        key = order_key(known.source, order_id, order.cycle)
        self._earn(key, posted_purchase(touchpoint, key), done, is_first=is_first_purchase)
        order = gathered(order, known, self.orders[order_id])
        order, applied = unparked(order, known.currency) if order.parked else (order, ())
        known.take(order, touchpoint)
        self._apply(known, order.cycle, applied, done)

    def _given_back(self, touchpoint: Touchpoint, done: "_Done", *, is_bought: bool) -> None:
        order_id = order_id_of(touchpoint.thread)
        if order_id is None:
            return
        known = found_order(self.orders.get(order_id, ()), touchpoint.source)
        if known is None:
            if is_bought:
                # Bought before there was a programme: nothing was earned, nothing is followed.
                return
            known = self.order_of(order_id, touchpoint.source)
        refund = self._refund(touchpoint, known.source).in_currency(known.currency)
        amount = refund.amount_minor
        cycle, chunks = known.order.cycle, known.order.chunks
        was_paid = known.order.is_paid
        order, shares = refund_arrived(known.order, refund)
        if was_paid and amount is None:
            # What cost nothing has no share, and is cancelled all the same.
            shares = tuple((chunk.addition, chunk.paid_minor - chunk.refunded_minor) for chunk in chunks)
            order = replace(order, is_paid=False)
        known.take(order, touchpoint)
        name = refund_name(touchpoint.source, touchpoint.id)
        for addition, share in shares:
            key = order_key(known.source, order_id, cycle, addition)
            self._claw(key, name, None if amount is None else share, touchpoint.occurred_at, done)

    def _refund(self, touchpoint: Touchpoint, order_source: str) -> Parked:
        """What a touchpoint gives back of an order of this source, in every currency that it is known in."""
        source = None if touchpoint.source == order_source else touchpoint.source
        if touchpoint.kind == "order_cancelled":
            return Parked(touchpoint.id, touchpoint.occurred_at, None, source)
        amount = touchpoint.amount_minor or 0
        worth = worth_of(amount, touchpoint.currency, touchpoint.value_minor, self.shop_currency)
        return Parked(touchpoint.id, touchpoint.occurred_at, amount, source, worth)

    # --- whole orders -------------------------------------------------------------------------------------------------

    def _follow_order(
        self, touchpoint: Touchpoint, step: OrderStep, done: "_Done", *, is_first_purchase: bool
    ) -> None:
        effect = step.effect
        key = order_key(step.source, step.order_id, effect.cycle, effect.addition)
        if step.purchase is not None:
            is_first = is_first_purchase and effect.addition is None
            self._earn(key, step.purchase, done, is_first=is_first, is_addition=effect.addition is not None)
            known = KnownOrder(step.source, step.order_id, currency=touchpoint.currency)
            self._apply(known, effect.cycle, step.applied, done)
            return
        amount = effect.amount_minor or None
        self._claw(key, refund_name(step.source, effect.id), amount, touchpoint.occurred_at, done)

    def _apply(
        self,
        known: KnownOrder,
        cycle: int,
        applied: Sequence[tuple[Parked, Shares]],
        done: "_Done",
    ) -> None:
        for refund, shares in applied:
            for addition, share in shares:
                key = order_key(known.source, known.order_id, cycle, addition)
                name = refund_name(refund.source or known.source, refund.id)
                self._claw(key, name, share, refund.occurred_at, done)

    # --- orders -------------------------------------------------------------------------------------------------------

    def order_of(self, order_id: str, source: str) -> KnownOrder:
        """The order of this source, a new one when nobody has heard of it."""
        orders = self.orders.setdefault(order_id, [])
        for known in orders:
            if known.source == source:
                return known
        known = KnownOrder(source, order_id)
        orders.append(known)
        return known

    # --- points -------------------------------------------------------------------------------------------------------

    def _earn(
        self, key: str, purchase: Purchase, done: "_Done", *, is_first: bool, is_addition: bool = False
    ) -> None:
        draft = self.drafts[self.program]
        at = purchase.occurred_at
        paid = purchase.paid_minor
        if draft.programme.currency != self.shop_currency and purchase.exchange_rate is not None:
            purchase = purchase._replace(exchange_rate=None)
        if not is_addition:
            self.moves.append(Move("paid", key, paid, _counted(paid, purchase, draft.programme.currency), at))
        found = in_force(draft.published, at)
        version = _STANDARD if found is None else found.version
        if is_addition:
            # What is added counts by its amount: fixed points were given for the purchase that it was added to.
            version = replace(
                version, rules=tuple(rule for rule in version.rules if not rule.adds or rule.per_amount_minor)
            )
        tier = draft.tier(version)
        today = done.at.astimezone(draft.programme.zone).date()
        so_far = in_period(version.rules, today, draft.given, draft.rule_points)
        member = Member(tier, self.segments, is_first, so_far)
        evaluated = (
            nothing("no_programme") if found is None else evaluate(version, draft.programme, purchase, member)
        )
        earning = earning_of(evaluated, key, at, version, draft.programme, paid)
        decision = earned(draft.account, earning, done.at)
        if not decision.entries:
            return
        draft.explains[key] = explained(evaluated, None if found is None else found.number, tier)
        self._count(draft, version, evaluated, today)
        draft.take(decision, done.at)
        done.earned += decision.result.points

    def _count(self, draft: Draft, version: Version, evaluated: Evaluated, today: date) -> None:
        """Keep what capped rules gave, by the day on which it came in: caps go by the order of arrival."""
        for rule in version.rules:
            given = evaluated.by_rule.get(rule.code) if rule.caps.per_period is not None else None
            if given:
                key = (rule.code, today)
                draft.rule_points[key] = draft.rule_points.get(key, 0) + given

    def _claw(self, key: str, name: str, amount: int | None, at: datetime, done: "_Done") -> None:
        """Take back by what was recorded, in every account that has recorded it."""
        self.moves.append(Move("given_back", key, amount, 0, at))
        for draft in self.drafts.values():
            if key in draft.account.earns:
                done.clawed += claw(draft, key, name, amount, done.at)

    def _told(self, done: "_Done") -> str:
        draft = self.drafts[self.program]
        available, pending = available_and_pending(draft.account, done.at)
        return told(done.earned, done.clawed, available, pending, draft.standing and draft.standing.tier)


@dataclass(slots=True)
class _Done:
    """What one touchpoint did, at the time it came in."""

    at: datetime
    earned: int = 0
    clawed: int = 0


def posted_purchase(touchpoint: Touchpoint, key: str) -> Purchase:
    """What a posted touchpoint says was bought, to earn by `key`."""
    return posted(
        key=key,
        occurred_at=touchpoint.occurred_at,
        amount_minor=touchpoint.amount_minor or 0,
        currency=touchpoint.currency or "",
        items=touchpoint.items or (),
        exchange_rate=touchpoint.exchange_rate,
        channel=touchpoint.channel,
    )


def told(earned: int, clawed: int, available: int, pending: int, tier: str | None) -> str:
    """The `loyalty` member of an answer as JSON. No code of a tier needs escaping."""
    tier_text = "null" if tier is None else f'"{tier}"'
    return (
        f'{{"points_earned":{earned},"points_clawed":{clawed},"available":{available},'
        f'"pending":{pending},"tier":{tier_text}}}'
    )


def _counted(paid_minor: int, purchase: Purchase, currency: str) -> int:
    """What was paid, in the programme's currency; 0 where there is no rate to it."""
    if purchase.currency == currency:
        return paid_minor
    factor = currency_factor(purchase, currency)
    return 0 if factor is None else floor(paid_minor * factor)


def claw(draft: Draft, key: str, name: str, amount_minor: int | None, now: datetime) -> int:
    """Take back `amount_minor` (None: all that is left) of one recorded earn; the points that went."""
    version = in_force(draft.published, now)
    policy = (_STANDARD if version is None else version.version).clawback
    decision = clawed_back(draft.account, key, id=name, amount_minor=amount_minor, policy=policy, now=now)
    # A refund of less than a point is remembered too, though no entry says so: the next one counts from it.
    draft.account = decision.account
    draft.take(decision, now)
    return decision.result.taken + decision.result.indebted if decision.entries else 0
