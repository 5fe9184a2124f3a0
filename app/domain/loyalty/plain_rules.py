"""What a purchase earns under plain rules, in whole numbers: the same as `earning.evaluate`, ten times faster.

Plain are rules without caps, on the net cash part; nearly all purchases meet no others. Every share is kept as a
numerator over one denominator that all rules and tiers of a version divide, so nothing is rounded before the floor.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm, prod
from typing import Final, NamedTuple

from app.domain.loyalty.conditions import Member, Reason, unmet, why_none
from app.domain.loyalty.points import MOST_POINTS
from app.domain.loyalty.purchases import Purchase, line_amount
from app.domain.loyalty.rules import ALWAYS, NET_CASH, UNCAPPED, Rule
from app.domain.loyalty.versions import Version

WHOLE: Final = -1
"""The part of the points that belongs to no line."""

_MOST_REMEMBERED: Final = 1_000


class Planned(NamedTuple):
    """A rule with the numerator of its points per minor unit (or per purchase), or of what it multiplies by less one,
    which is over `parts`. `selects`: it is about some lines only.
    """

    rule: Rule
    number: int
    parts: int
    selects: bool


class Plan(NamedTuple):
    """A version's purchase rules, those that add first, and the multipliers of its tiers as ratios.

    What adds is over `denominator`.
    """

    rules: tuple[Planned, ...]
    tiers: Mapping[str, tuple[int, int]]
    denominator: int


class Share(NamedTuple):
    """What one rule gave, a numerator; `reason` says why nothing, `missing_minor` how much more would have done."""

    rule: str
    gives: int
    reason: Reason | None = None
    missing_minor: int | None = None


class Weighed(NamedTuple):
    """The points of a purchase, and what they are made of: `exact` and the shares are numerators over `unit`.

    `reason` is set when there are no points.
    """

    points: int
    exact: int
    unit: int
    shares: Sequence[Share]
    qualifying: int
    missing_minor: int | None
    reason: Reason | None


_plans: dict[int, tuple[Version, Plan | None]] = {}


def plan_of(version: Version) -> Plan | None:
    """The plan of a version; None when some rule is not plain. Remembered, because versions never change."""
    known = _plans.get(id(version))
    # The version is held here, so that its number cannot come to mean another one.
    if known is not None and known[0] is version:
        return known[1]
    if len(_plans) >= _MOST_REMEMBERED:
        _plans.clear()
    plan = _planned(version)
    _plans[id(version)] = version, plan
    return plan


def _planned(version: Version) -> Plan | None:
    rules = sorted(version.rules_for("purchase"), key=lambda rule: not rule.adds)
    if any(rule.caps != UNCAPPED or rule.includes != NET_CASH for rule in rules):
        return None
    rates = [
        Fraction(rule.points * rule.multiplier, rule.per_amount_minor or 1) for rule in rules if rule.adds
    ]
    multipliers = [rule.multiplier for rule in rules if not rule.adds]
    tiers = [tier.multiplier for tier in version.tier_rules.tiers]
    denominator = (
        lcm(*(rate.denominator for rate in rates))
        * prod(one.denominator for one in multipliers)
        * lcm(*(one.denominator for one in tiers))
    )
    planned = []
    for rule in rules:
        selects = bool(rule.when.picks_lines or rule.excluded_skus)
        if rule.adds:
            rate = rule.points * rule.multiplier / (rule.per_amount_minor or 1)
            planned.append(Planned(rule, int(rate * denominator), 1, selects))
        else:
            more = rule.multiplier - 1
            planned.append(Planned(rule, more.numerator, more.denominator, selects))
    return Plan(
        tuple(planned),
        {
            tier.code: (tier.multiplier.numerator, tier.multiplier.denominator)
            for tier in version.tier_rules.tiers
        },
        denominator,
    )


def is_plain(purchase: Purchase, currency: str) -> bool:
    """Whether a purchase was paid in the programme's currency and in cash alone."""
    return (
        purchase.currency == currency and not purchase.points_paid_minor and not purchase.gift_card_paid_minor
    )


def weigh(version: Version, plan: Plan, purchase: Purchase, member: Member) -> Weighed:
    """What a plain purchase earns under a version's plan."""
    at, channel = purchase.occurred_at, purchase.channel
    every = {index: line_amount(line, NET_CASH) for index, line in enumerate(purchase.lines)}
    total: dict[int, int] = {}
    shares: list[Share] = []
    qualifying = 0
    for planned in plan.rules:
        rule = planned.rule
        reason = None if rule.when is ALWAYS else unmet(rule, at, channel, member)
        if reason:
            shares.append(Share(rule.code, 0, reason))
            continue
        amounts = _selected(rule, every, purchase) if planned.selects else every
        if planned.selects or rule.least_minor:
            refusal = _too_little(rule, amounts)
            if refusal is not None:
                shares.append(refusal)
                continue
        given = _given_by(planned, amounts) if rule.adds else _added_by(planned, total, amounts, purchase)
        for index, part in given.items():
            total[index] = total.get(index, 0) + part
        gives = sum(given.values())
        qualifying += gives if rule.qualifies else 0
        shares.append(Share(rule.code, gives))
    times, parts = plan.tiers.get(member.tier, (1, 1))
    if times != parts:
        gives = sum(total.values()) * (times - parts) // parts
        total = {index: part * times // parts for index, part in total.items()}
        qualifying += gives
        shares.append(Share(f"tier:{member.tier}", gives))
    return _floored(version, plan.denominator, shares, total, sum(every.values()), qualifying)


def _floored(
    version: Version, unit: int, shares: Sequence[Share], total: dict[int, int], amount: int, qualifying: int
) -> Weighed:
    exact = sum(total.values())
    by_amount = exact - total.get(WHOLE, 0)
    points = min(max(exact // unit, 0), MOST_POINTS)
    spends = version.tier_rules.basis == "spend"
    return Weighed(
        points=points,
        exact=exact,
        unit=unit,
        shares=shares,
        qualifying=amount if spends else min(max(qualifying // unit, 0), points),
        missing_minor=-(-((points + 1) * unit - exact) * amount // by_amount) if by_amount > 0 else None,
        reason=None if points else why_none(points, exact > 0, [share.reason for share in shares]),
    )


def _selected(rule: Rule, every: Mapping[int, int], purchase: Purchase) -> Mapping[int, int]:
    """What each line that a rule is about counts, in minor units."""
    skus, categories, excluded = rule.when.skus, rule.when.categories, rule.excluded_skus
    return {
        index: every[index]
        for index, line in enumerate(purchase.lines)
        if line.sku not in excluded
        and (not skus or line.sku in skus)
        and (not categories or line.category in categories)
    }


def _too_little(rule: Rule, amounts: Mapping[int, int]) -> Share | None:
    if not amounts and rule.when.picks_lines:
        return Share(rule.code, 0, "no_matching_line")
    missing = rule.least_minor - sum(amounts.values())
    return Share(rule.code, 0, "below_minimum", missing) if missing > 0 else None


def _given_by(planned: Planned, amounts: Mapping[int, int]) -> dict[int, int]:
    """The numerators of what an adding rule gives, by line."""
    if planned.rule.per_amount_minor is None:
        return {WHOLE: planned.number}
    return {index: amount * planned.number for index, amount in amounts.items()}


def _added_by(
    planned: Planned, total: Mapping[int, int], amounts: Mapping[int, int], purchase: Purchase
) -> dict[int, int]:
    """The numerators of what a multiplier adds, by line."""
    more, parts = planned.number, planned.parts
    if planned.rule.when.picks_lines:
        return {index: part * more // parts for index, part in total.items() if index in amounts}
    excluded = planned.rule.excluded_skus
    return {
        index: part * more // parts
        for index, part in total.items()
        if index == WHOLE or not excluded or purchase.lines[index].sku not in excluded
    }
