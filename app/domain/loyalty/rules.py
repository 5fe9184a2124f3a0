"""One earning rule as it is written down: what it gives, for what, and within which limits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from app.domain.loyalty.bodies import Body
from app.domain.loyalty.points import multiplier_of
from app.domain.problems import refused

Event = Literal["purchase", "signup", "birthday", "review", "referral", "referred"]
CapMode = Literal["cap", "reject"]

Given: TypeAlias = Mapping[tuple[str, date], int]
"""The points that rules gave, by rule and local day."""

EVENTS: Final[tuple[Event, ...]] = get_args(Event)
ONE: Final = Fraction(1)


class Includes(NamedTuple):
    """What else earns besides the net cash part; all off unless switched on."""

    tax: bool = False
    shipping: bool = False
    gift_cards: bool = False
    points_paid: bool = False


class When(NamedTuple):
    """What must hold. Empty sets and None ask nothing; `skus` and `categories` pick lines, the rest the purchase."""

    skus: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()
    tiers: frozenset[str] = frozenset()
    first_purchase: bool = False
    since: datetime | None = None
    until: datetime | None = None

    @property
    def picks_lines(self) -> bool:
        """Whether it is about some lines only."""
        return bool(self.skus or self.categories)


class Caps(NamedTuple):
    """At most so many points of one rule: per transaction (cut, or nothing at all), and per period (cut)."""

    per_transaction: int | None = None
    mode: CapMode = "cap"
    per_period: int | None = None
    period_days: int | None = None


ALWAYS: Final = When()
UNCAPPED: Final = Caps()
NET_CASH: Final = Includes()


@dataclass(frozen=True, slots=True)
class Rule:
    """`points` per `per_amount_minor`, or once for a purchase without it; without points a multiplier of the others."""

    code: str
    event: Event = "purchase"
    points: int = 0
    per_amount_minor: int | None = None
    multiplier: Fraction = ONE
    when: When = ALWAYS
    least_minor: int = 0
    caps: Caps = UNCAPPED
    includes: Includes = NET_CASH
    excluded_skus: frozenset[str] = frozenset()
    qualifies: bool = True

    @property
    def adds(self) -> bool:
        """Whether it gives points, and does not only multiply those of others."""
        return self.points > 0


def cap_windows(rules: Iterable[Rule], day: date) -> dict[str, date]:
    """Since which local day the points of each rule with a period count towards its cap, on a local day.

    Of several rules with one code the longest period.
    """
    windows: dict[str, date] = {}
    for rule in rules:
        if rule.caps.period_days is not None:
            since = day - timedelta(days=rule.caps.period_days - 1)
            windows[rule.code] = min(since, windows.get(rule.code, since))
    return windows


def in_period(rules: Iterable[Rule], day: date, *given: Given) -> dict[str, int]:
    """The points that each rule with a period gave in the one that ends with a local day.

    By these rules: another version with another period may have asked for more days.
    """
    return {
        code: sum(
            points for each in given for (rule, on), points in each.items() if rule == code and on >= since
        )
        for code, since in cap_windows(rules, day).items()
    }


def rule_of(body: Body) -> Rule:
    """A checked rule.

    Raises Invalid `property_required`, `unknown_member`, `unknown_value`, `invalid_number`, `invalid_multiplier`,
    `invalid_rule`, `invalid_text`, `invalid_time`, `naive_time`.
    """
    rule = Rule(
        code=body.code("code"),
        event=body.choice("event", "purchase", EVENTS),
        points=body.number("points", 0),
        per_amount_minor=body.number_or_none("per_amount_minor"),
        multiplier=body.read("multiplier", ONE, multiplier_of),
        when=_when(body.object("when")),
        least_minor=body.number("min_amount_minor", 0, most=2**53 - 1),
        caps=_caps(body.object("caps")),
        includes=_includes(body.object("includes")),
        excluded_skus=body.words("excluded_skus"),
        qualifies=body.flag("qualifies", default=True),
    )
    body.finish()
    _check(rule, body)
    return rule


def _when(body: Body) -> When:
    when = When(
        skus=body.words("sku"),
        categories=body.words("category"),
        channels=body.words("channel"),
        segments=body.words("segment"),
        tiers=body.words("tier"),
        first_purchase=body.flag("first_purchase", default=False),
        since=body.instant("from"),
        until=body.instant("until"),
    )
    body.finish()
    if when.since and when.until and when.since >= when.until:
        raise refused(body.pointer("until"), "invalid_rule", "must be after from")
    return when


def _caps(body: Body) -> Caps:
    caps = Caps(
        per_transaction=body.number_or_none("per_transaction", most=2**31 - 1),
        mode=body.choice("mode", "cap", get_args(CapMode)),
        per_period=body.number_or_none("per_period", most=2**31 - 1),
        period_days=body.number_or_none("period_days", most=3_660),
    )
    body.finish()
    if (caps.per_period is None) != (caps.period_days is None):
        raise refused(body.pointer("per_period"), "invalid_rule", "per_period and period_days come together")
    return caps


def _includes(body: Body) -> Includes:
    includes = Includes(
        tax=body.flag("tax", default=False),
        shipping=body.flag("shipping", default=False),
        gift_cards=body.flag("gift_cards", default=False),
        points_paid=body.flag("points_paid", default=False),
    )
    body.finish()
    return includes


def _check(rule: Rule, body: Body) -> None:
    if not rule.adds and (rule.per_amount_minor is not None or rule.event != "purchase"):
        raise refused(body.pointer("points"), "invalid_rule", "must be at least 1 for this rule")
    if rule.event != "purchase" and (rule.per_amount_minor is not None or rule.when.picks_lines):
        raise refused(body.pointer("event"), "invalid_rule", "amounts and lines are those of purchases")
    if not rule.adds and not body.has("multiplier"):
        raise refused(body.pointer("multiplier"), "invalid_rule", "a rule gives points or multiplies")
