"""What a purchase or an occasion earns, and why: rules add, multipliers multiply, one floor comes at the end.

Everything is exact (fractions) until that floor, over the whole purchase. So base 5 under "1.5" and "1.1" is
floor(8.25) = 8.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple, TypeAlias

from app.domain.loyalty.conditions import Member, Reason, unmet, why_none
from app.domain.loyalty.crediting import Earning
from app.domain.loyalty.periods import days_on, expiry, local_year
from app.domain.loyalty.plain_rules import WHOLE, Weighed, is_plain, plan_of, weigh
from app.domain.loyalty.points import MOST_POINTS
from app.domain.loyalty.purchases import Purchase, cash_share, currency_factor, line_amount
from app.domain.loyalty.rules import ONE, Event, Rule
from app.domain.loyalty.versions import Programme, Version

Parts: TypeAlias = dict[int, Fraction]
"""Points by line: its index, or one of the two below."""

SHIPPING = -2
NO_POINTS = Fraction(0)


class Contribution(NamedTuple):
    """What one rule did. `reason` says why it gave nothing, or less (the caps); `missing_minor`: how much would do.

    `points` is exact, before the floor; for a multiplier what it added to the others.
    """

    rule: str
    points: Fraction
    reason: Reason | None = None
    missing_minor: int | None = None


class Evaluated(NamedTuple):
    """The points, what they are made of, and what is missing to the next one, in minor units of the programme.

    `by_rule` is what counts towards the caps of each rule. `reason` is set when there are no points.
    """

    points: int
    exact: Fraction
    contributions: tuple[Contribution, ...]
    qualifying: int
    by_rule: Mapping[str, int]
    missing_minor: int | None = None
    reason: Reason | None = None


def evaluate(version: Version, programme: Programme, purchase: Purchase, member: Member) -> Evaluated:
    """What a purchase earns under the version in force when it occurred, at the tier the member had before it."""
    if programme.earns_until is not None and purchase.occurred_at >= programme.earns_until:
        return nothing("programme_closed")
    plan = plan_of(version)
    if plan is not None and is_plain(purchase, programme.currency):
        return _evaluated(weigh(version, plan, purchase, member))
    return evaluate_exactly(version, programme, purchase, member)


def evaluate_exactly(version: Version, programme: Programme, purchase: Purchase, member: Member) -> Evaluated:
    """The same in fractions, for any rules and any purchase."""
    factor = currency_factor(purchase, programme.currency)
    if factor is None:
        return nothing("no_exchange_rate")
    rules = version.rules_for("purchase")
    total: Parts = {}
    done: list[Contribution] = []
    for rule in sorted(rules, key=lambda rule: not rule.adds):
        apply = _added if rule.adds else _multiplied
        reason = unmet(rule, purchase.occurred_at, purchase.channel, member)
        done.append(
            Contribution(rule.code, NO_POINTS, reason)
            if reason
            else apply(rule, purchase, factor, member, total)
        )
    done.extend(_of_tier(version, member, total))
    amount = _counted(purchase, factor)
    spend = floor(amount) if version.tier_rules.basis == "spend" else None
    return _floored(rules, done, total, amount, spend)


def _evaluated(weighed: Weighed) -> Evaluated:
    unit = weighed.unit
    return Evaluated(
        points=weighed.points,
        exact=Fraction(weighed.exact, unit),
        contributions=tuple(
            Contribution(one.rule, Fraction(one.gives, unit), one.reason, one.missing_minor)
            for one in weighed.shares
        ),
        qualifying=weighed.qualifying,
        by_rule={one.rule: -(-one.gives // unit) for one in weighed.shares if one.gives > 0},
        missing_minor=weighed.missing_minor,
        reason=weighed.reason,
    )


def evaluate_occasion(
    version: Version, programme: Programme, event: Event, at: datetime, member: Member
) -> Evaluated:
    """What a sign-up, birthday, review or referral earns; the tier multiplies purchases alone."""
    if programme.earns_until is not None and at >= programme.earns_until:
        return nothing("programme_closed")
    rules = version.rules_for(event)
    total: Parts = {}
    done = []
    for rule in rules:
        reason = unmet(rule, at, None, member)
        given = {} if reason else {WHOLE: rule.points * rule.multiplier}
        done.append(
            Contribution(rule.code, NO_POINTS, reason) if reason else _capped(rule, given, member, total)
        )
    return _floored(rules, done, total, NO_POINTS, None)


def nothing(reason: Reason) -> Evaluated:
    """No points, for one reason."""
    return Evaluated(0, NO_POINTS, (), 0, {}, None, reason)


def order_key(source: str, order_id: str, cycle: int, addition: int | None = None) -> str:
    """The natural key of what an order earns: once per cycle of being paid, and once per addition to it."""
    return f"order:{source}/{order_id}:{cycle}" + (f":{addition}" if addition is not None else "")


def occasion_key(event: Event, at: datetime, programme: Programme, about: str | None = None) -> str:
    """The natural key of an occasion: a sign-up once, a birthday once a year on the wall, others once for `about`."""
    if event == "birthday":
        return f"birthday:{local_year(at, programme.zone)}"
    return event if about is None else f"{event}:{about}"


def earning_of(
    evaluated: Evaluated, key: str, at: datetime, version: Version, programme: Programme, paid_minor: int = 0
) -> Earning:
    """What to record of points earned at `at`."""
    activates_at, expires_at = lifetime(at, version, programme)
    return Earning(
        key=key,
        points=evaluated.points,
        occurred_at=at,
        activates_at=activates_at,
        expires_at=expires_at,
        paid_minor=paid_minor,
        qualifying=evaluated.qualifying,
    )


def lifetime(at: datetime, version: Version, programme: Programme) -> tuple[datetime, datetime | None]:
    """When points begin and end (None: never). Both count from when they were earned, so late ones may have lapsed.

    Nothing outlives its programme.
    """
    months = version.expiry_months
    expires_at = None if months is None else expiry(at, months, version.expiry_rounding, programme.zone)
    if programme.ends_at is not None:
        expires_at = min(expires_at or programme.ends_at, programme.ends_at)
    return days_on(at, version.pending_days, programme.zone), expires_at


def _amounts(rule: Rule, purchase: Purchase, factor: Fraction) -> Parts:
    """What each line that a rule is about counts, in minor units of the programme."""
    share = cash_share(purchase, rule.includes) * factor
    amounts = {
        index: line_amount(line, rule.includes) * share
        for index, line in enumerate(purchase.lines)
        if line.sku not in rule.excluded_skus
        and (not rule.when.skus or line.sku in rule.when.skus)
        and (not rule.when.categories or line.category in rule.when.categories)
    }
    if rule.includes.shipping and not rule.when.picks_lines:
        amounts[SHIPPING] = purchase.shipping_minor * share
    return amounts


def _too_little(rule: Rule, amounts: Mapping[int, Fraction]) -> Contribution | None:
    if rule.when.picks_lines and not amounts:
        return Contribution(rule.code, NO_POINTS, "no_matching_line")
    missing = rule.least_minor - sum(amounts.values())
    return Contribution(rule.code, NO_POINTS, "below_minimum", ceil(missing)) if missing > 0 else None


def _added(rule: Rule, purchase: Purchase, factor: Fraction, member: Member, total: Parts) -> Contribution:
    amounts = _amounts(rule, purchase, factor)
    refusal = _too_little(rule, amounts)
    if refusal is not None:
        return refusal
    points = rule.points * rule.multiplier
    if rule.per_amount_minor is None:
        return _capped(rule, {WHOLE: points}, member, total)
    rate = points / rule.per_amount_minor
    return _capped(rule, {index: amount * rate for index, amount in amounts.items()}, member, total)


def _multiplied(
    rule: Rule, purchase: Purchase, factor: Fraction, member: Member, total: Parts
) -> Contribution:
    amounts = _amounts(rule, purchase, factor)
    refusal = _too_little(rule, amounts)
    if refusal is not None:
        return refusal
    excluded = {index for index, line in enumerate(purchase.lines) if line.sku in rule.excluded_skus}
    reached: Callable[[int], bool] = (
        amounts.__contains__ if rule.when.picks_lines else lambda index: index not in excluded
    )
    extra = {index: part * (rule.multiplier - 1) for index, part in total.items() if reached(index)}
    return _capped(rule, extra, member, total)


def _of_tier(version: Version, member: Member, total: Parts) -> list[Contribution]:
    """The tier's multiplier, the last one; a tier that the version does not know multiplies nothing."""
    multiplier = next((tier.multiplier for tier in version.tier_rules.tiers if tier.code == member.tier), ONE)
    if multiplier == 1:
        return []
    before = sum(total.values())
    for index, part in total.items():
        total[index] = part * multiplier
    return [Contribution(f"tier:{member.tier}", before * (multiplier - 1))]


def _capped(rule: Rule, parts: Parts, member: Member, total: Parts) -> Contribution:
    """Add parts to the total, cut to what the rule's caps leave."""
    wanted = Fraction(sum(parts.values()))
    given = wanted
    reason: Reason | None = None
    caps = rule.caps
    if caps.per_transaction is not None and given > caps.per_transaction:
        given, reason = Fraction(caps.per_transaction if caps.mode == "cap" else 0), "transaction_cap"
    if caps.per_period is not None:
        left = Fraction(max(caps.per_period - member.in_period.get(rule.code, 0), 0))
        if given > left:
            given, reason = left, "period_cap"
    scale = given / wanted if wanted else ONE
    for index, part in parts.items():
        total[index] = total.get(index, NO_POINTS) + part * scale
    return Contribution(rule.code, given, reason)


def _counted(purchase: Purchase, factor: Fraction) -> Fraction:
    """The net cash amount, in minor units of the programme."""
    plain = Rule("")
    return Fraction(sum(_amounts(plain, purchase, factor).values()))


def _floored(
    rules: tuple[Rule, ...], done: list[Contribution], total: Parts, amount: Fraction, spend: int | None
) -> Evaluated:
    exact = Fraction(sum(total.values()))
    points = min(max(floor(exact), 0), MOST_POINTS)
    unqualified = {rule.code for rule in rules if not rule.qualifies}
    counted = Fraction(sum(one.points for one in done if one.rule not in unqualified))
    by_amount = Fraction(sum(part for index, part in total.items() if index != WHOLE))
    # What one more minor unit would bring on the average of this purchase.
    missing = ceil((points + 1 - exact) * amount / by_amount) if by_amount > 0 else None
    return Evaluated(
        points=points,
        exact=exact,
        contributions=tuple(done),
        qualifying=min(max(floor(counted), 0), points) if spend is None else spend,
        by_rule={one.rule: ceil(one.points) for one in done if one.points > 0},
        missing_minor=missing,
        reason=why_none(points, exact > 0, [one.reason for one in done]),
    )
