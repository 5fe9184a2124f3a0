"""What a purchase earns under plain rules, in whole numbers: the same as `earning.evaluate`, ten times faster.

Plain are rules without caps, on the net cash part; nearly all purchases meet no others. Every share is kept as a
numerator over one denominator that all rules and tiers of a version divide, so nothing is rounded before the floor.
"""

from fractions import Fraction
from math import lcm, prod
from typing import Final, NamedTuple

from app.domain.loyalty.purchases import Purchase, line_amount
from app.domain.loyalty.rules import NET_CASH, UNCAPPED, Rule
from app.domain.loyalty.versions import Version

WHOLE: Final = -1
"""The part of the points that belongs to no line."""

_MOST_REMEMBERED: Final = 1_000


class Plan(NamedTuple):
    """A version's purchase rules, those that add first, with the numerator of each: of its points per minor unit (or
    per purchase), or of what it multiplies by less one. `tiers`: the same by tier. All over `denominator`, but for
    multipliers, which are over their own.
    """

    rules: tuple[tuple[Rule, int, int], ...]
    tiers: dict[str, tuple[int, int]]
    denominator: int


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
        if rule.adds:
            rate = rule.points * rule.multiplier / (rule.per_amount_minor or 1)
            planned.append((rule, int(rate * denominator), 1))
        else:
            more = rule.multiplier - 1
            planned.append((rule, more.numerator, more.denominator))
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


def amounts_of(rule: Rule, purchase: Purchase) -> dict[int, int]:
    """What each line that a rule is about counts, in minor units."""
    skus, categories, excluded = rule.when.skus, rule.when.categories, rule.excluded_skus
    if not (skus or categories or excluded):
        return {index: line_amount(line, NET_CASH) for index, line in enumerate(purchase.lines)}
    return {
        index: line_amount(line, NET_CASH)
        for index, line in enumerate(purchase.lines)
        if line.sku not in excluded
        and (not skus or line.sku in skus)
        and (not categories or line.category in categories)
    }


def given_by(rule: Rule, numerator: int, amounts: dict[int, int]) -> dict[int, int]:
    """The numerators of what an adding rule gives, by line."""
    if rule.per_amount_minor is None:
        return {WHOLE: numerator}
    return {index: amount * numerator for index, amount in amounts.items()}


def added_by(
    rule: Rule,
    ratio: tuple[int, int],
    total: dict[int, int],
    amounts: dict[int, int],
    purchase: Purchase,
) -> dict[int, int]:
    """The numerators of what a multiplier adds, by line."""
    more, parts = ratio
    if rule.when.picks_lines:
        return {index: part * more // parts for index, part in total.items() if index in amounts}
    excluded = rule.excluded_skus
    return {
        index: part * more // parts
        for index, part in total.items()
        if index == WHOLE or not excluded or purchase.lines[index].sku not in excluded
    }
