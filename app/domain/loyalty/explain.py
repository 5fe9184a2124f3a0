"""Why points were earned, in numbers and words: what a quote shows before, and an entry after the fact."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from json import JSONEncoder
from typing import Any, Final, NamedTuple

from app.domain.loyalty.conditions import Member, Reason
from app.domain.loyalty.earning import Contribution, Evaluated, evaluate, nothing
from app.domain.loyalty.plain_rules import Weighed
from app.domain.loyalty.points import decimal_text, ratio_text
from app.domain.loyalty.purchases import Purchase
from app.domain.loyalty.rewards import Buyer, Offer, Reward, offer
from app.domain.loyalty.versions import Programme, Version

WORDS: Final[Mapping[Reason, str]] = {
    "no_programme": "no version was in force then",
    "programme_closed": "the programme no longer earns",
    "no_exchange_rate": "another currency, and no exchange rate on the order",
    "no_rule": "no rule gives points for this",
    "channel": "not through this channel",
    "segment": "not for this customer's segments",
    "tier": "not for this customer's tier",
    "not_first_purchase": "only for a first purchase",
    "before_window": "not yet",
    "after_window": "no longer",
    "no_matching_line": "nothing in the order is of this kind",
    "below_minimum": "the amount is too small",
    "transaction_cap": "more than one purchase may earn",
    "period_cap": "more than the period allows",
    "less_than_one_point": "less than one whole point",
}


_quoted: Final = JSONEncoder(ensure_ascii=False).encode
_NULL: Final = "null"


class Quote(NamedTuple):
    """What an order would earn, what does not apply and why, and what the customer could have for points.

    `reason` says why there would be no points at all.
    """

    points: int
    missing_minor: int | None
    applied: tuple[Contribution, ...]
    not_applied: tuple[Contribution, ...]
    rewards: tuple[Offer, ...]
    out_of_reach: tuple[Offer, ...]
    reason: Reason | None = None


def explained(evaluated: Evaluated, version_number: int | None, tier: str) -> dict[str, Any]:
    """The record kept with an earn, JSON values only; what is exact is a decimal string.

    `arrived` says that the tier, caps and first purchase are those at the moment the event came in.
    """
    return {
        "points": evaluated.points,
        "exact": decimal_text(evaluated.exact),
        "version": version_number,
        "arrived": {"tier": tier},
        "rules": [told(one) for one in evaluated.contributions],
        "missing_minor": evaluated.missing_minor,
        "reason": evaluated.reason,
        "why": WORDS[evaluated.reason] if evaluated.reason else None,
    }


def explained_text(weighed: Weighed, version_number: int, tier: str) -> str:
    """The same record of what plain rules gave, as JSON text. By hand: it is made for nearly every purchase."""
    unit = weighed.unit
    rules = ",".join(
        [
            f'{{"rule":{_quoted(rule)},"points":"{ratio_text(gives, unit)}",{_reason_text(reason)},'
            f'"missing_minor":{_NULL if missing is None else missing}}}'
            for rule, gives, reason, missing in weighed.shares
        ]
    )
    return (
        f'{{"points":{weighed.points},"exact":"{ratio_text(weighed.exact, unit)}","version":{version_number},'
        f'"arrived":{{"tier":{_quoted(tier)}}},"rules":[{rules}],'
        f'"missing_minor":{_NULL if weighed.missing_minor is None else weighed.missing_minor},'
        f"{_reason_text(weighed.reason)}}}"
    )


def _reason_text(reason: Reason | None) -> str:
    return f'"reason":"{reason}","why":{_quoted(WORDS[reason])}' if reason else '"reason":null,"why":null'


def quoted(
    version: Version | None,
    programme: Programme,
    purchase: Purchase,
    member: Member,
    *,
    rewards: Iterable[tuple[Reward, int | None, Buyer]],
    at: datetime,
) -> Quote:
    """What `purchase` would earn now; `rewards` with what is left of each and the customer's own standing.

    `version` None: none is in force then.
    """
    would = nothing("no_programme") if version is None else evaluate(version, programme, purchase, member)
    offers = [offer(reward, stock, buyer, at) for reward, stock, buyer in rewards]
    return Quote(
        points=would.points,
        missing_minor=would.missing_minor,
        applied=tuple(one for one in would.contributions if one.points),
        not_applied=tuple(one for one in would.contributions if one.reason),
        rewards=tuple(one for one in offers if one.is_available),
        out_of_reach=tuple(one for one in offers if not one.is_available),
        reason=would.reason,
    )


def told(one: Contribution) -> dict[str, Any]:
    """What one rule did, JSON values only."""
    return {
        "rule": one.rule,
        "points": decimal_text(one.points),
        "reason": one.reason,
        "why": WORDS[one.reason] if one.reason else None,
        "missing_minor": one.missing_minor,
    }
