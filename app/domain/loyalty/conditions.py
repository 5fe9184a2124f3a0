"""Whether a rule applies to a purchase or an occasion, and the word for why it does not."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from app.domain.loyalty.rules import Rule

Reason = Literal[
    "no_programme",
    "programme_closed",
    "no_exchange_rate",
    "no_rule",
    "channel",
    "segment",
    "tier",
    "not_first_purchase",
    "before_window",
    "after_window",
    "no_matching_line",
    "below_minimum",
    "transaction_cap",
    "period_cap",
    "less_than_one_point",
]


class Member(NamedTuple):
    """What rules ask about the customer. `in_period` holds the points each capped rule gave in its period so far."""

    tier: str = "base"
    segments: frozenset[str] = frozenset()
    is_first_purchase: bool = False
    in_period: Mapping[str, int] = {}


def unmet(rule: Rule, at: datetime, channel: str | None, member: Member) -> Reason | None:
    """The first condition of a rule that does not hold, those about lines and amounts aside."""
    _, _, channels, segments, tiers, first_purchase, since, until = rule.when
    reason: Reason | None = None
    if since is not None and at < since:
        reason = "before_window"
    elif until is not None and at >= until:
        reason = "after_window"
    elif channels and channel not in channels:
        reason = "channel"
    elif segments and not segments & member.segments:
        reason = "segment"
    elif tiers and member.tier not in tiers:
        reason = "tier"
    elif first_purchase and not member.is_first_purchase:
        reason = "not_first_purchase"
    return reason


def why_none(points: int, is_more: bool, reasons: Iterable[Reason | None]) -> Reason | None:  # noqa: FBT001 - a condition of one reason
    """Why there are no points; None when there are some. `is_more`: than nothing at all; `reasons`: of the rules."""
    if points:
        return None
    if is_more:
        return "less_than_one_point"
    return next(filter(None, reasons), "no_rule")
