"""One touchpoint as the score sees it."""

from collections.abc import Mapping
from math import floor, isfinite
from types import MappingProxyType
from typing import Any, Final, NamedTuple

SEVERITIES: Final = MappingProxyType({"low": 500, "medium": 1000, "high": 1500, "critical": 2000})
"""Severity of a complaint in thousandths."""

OWN_COMPONENTS: Final = ("contacts", "satisfaction", "engagement", "advocacy", "loyalty")
"""What a shop's own kinds may feed. The other components need more than a weight."""

_OWN_WEIGHT_MAX: Final = 10_000

# Component, and weight in thousandths where the kind alone decides it.
_KINDS: Final = MappingProxyType(
    {
        "purchase": ("momentum", 0),
        "refund": ("refunds", 0),
        "order_cancelled": ("refunds", 0),
        "complaint_opened": ("complaints", 0),
        "complaint_resolved": ("complaints", 0),
        "support_contact": ("contacts", 1000),
        "nps": ("satisfaction", 0),
        "csat": ("satisfaction", 0),
        "ces": ("satisfaction", 0),
        "review": ("satisfaction", 0),
        "social_mention": ("satisfaction", 0),
        "visit": ("engagement", 250),
        "message_opened": ("engagement", 250),
        "cart_abandoned": ("engagement", 250),
        "message_clicked": ("engagement", 500),
        "self_service": ("engagement", 500),
        "community_post": ("engagement", 1000),
        "referral": ("advocacy", 1000),
        "review_public": ("advocacy", 1000),
        "loyalty_joined": ("loyalty", 500),
        "points_redeemed": ("loyalty", 1000),
    }
)

THREADED: Final = tuple(
    kind for kind, (component, _) in _KINDS.items() if component in ("momentum", "refunds", "complaints")
)
"""The kinds whose facts may share a thread."""

SCALES: Final = MappingProxyType({"nps": (0, 10), "csat": (1, 5), "ces": (1, 7), "review": (1, 5)})
"""The usual scale of each kind of answer."""

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Fact(NamedTuple):
    """What one touchpoint means to the score. Built by `fact_of`, which knows the kinds.

    `at` is whole seconds since 1970; `id` is unique for the customer and only breaks ties between facts of one second;
    `thread` ties facts that change each other's meaning ("order:A-1", "complaint:c1"). `component` is None when
    the fact changes nothing. `weight` is in thousandths (engagement, advocacy, loyalty, contacts), `answer` in
    thousandths of [-1, 1], `amount` in minor units of the shop currency. `said` is a rating in words, "9 of 10".
    """

    kind: str
    at: int
    id: str
    component: str | None = None
    thread: str | None = None
    amount: int = 0
    severity: int = 0
    csat: int | None = None
    answer: int | None = None
    weight: int = 0
    said: str | None = None


def fact_of(
    kind: str,
    at: int,
    id: str,  # noqa: A002 - the touchpoint's own name for it
    *,
    amount: int = 0,
    order_id: str | None = None,
    properties: Mapping[str, Any] = _NOTHING,
    own: tuple[str, int] | None = None,
) -> Fact:
    """The fact in a touchpoint of `kind` at `at` (whole seconds since 1970).

    `amount` is in minor units of the shop currency, 0 when the value is unknown. Of `properties`, read are `rating` and
    `scale {min, max, direction}`, `sentiment`, `complaint_id`, `severity` and `csat`. `own` is the component and the
    weight (thousandths) of a kind the shop defined itself. A kind that is neither built in nor own, and an answer
    without a rating, change nothing. ValueError when a value is out of its range.
    """
    if at < 0:
        raise ValueError("Facts before 1970 are refused.")
    if amount < 0:
        raise ValueError("An amount is 0 or more; a refund is a kind, not a sign.")
    # What the row was written as comes first: a later release may have a built-in kind of the same name.
    component, weight = _checked(own) if own is not None else _KINDS.get(kind, (None, 0))
    match component:
        case "momentum" | "refunds":
            thread = None if order_id is None else order_thread(order_id)
            return Fact(kind, at, id, component, thread, amount)
        case "complaints":
            complaint_id = properties.get("complaint_id")
            thread = None if complaint_id is None else f"complaint:{complaint_id}"
            severity, csat = _severity(properties), _csat(properties)
            return Fact(kind, at, id, component, thread, severity=severity, csat=csat)
        case "satisfaction" if own is None:
            return _answered(kind, at, id, properties)
        case "satisfaction":
            return Fact(kind, at, id, component, answer=weight)
    return Fact(kind, at, id, component, weight=weight)


def order_thread(order_id: str) -> str:
    """What ties an order to what becomes of it."""
    return f"order:{order_id}"


def scale_of(kind: str, properties: Mapping[str, Any]) -> tuple[float, float, bool]:
    """(lowest, highest, lower is better) of an answer; what its `scale` leaves out comes from the kind's usual one."""
    low, high = SCALES[kind]
    scale = properties.get("scale") or {}
    return scale.get("min", low), scale.get("max", high), scale.get("direction") == "lower_is_better"


def answer_of(kind: str, rating: float, low: float, high: float, *, lower_is_better: bool = False) -> int:
    """An answer on a scale from `low` to `high` as thousandths of [-1, 1]: floor(1000 y + .5).

    NPS: y = (r - 7.5)/2.5 on 0-10, so that the lower passive stands below neutral; all others y = 2 (r - low)/(high -
    low) - 1. Both are clipped to [-1, 1]. ValueError when the scale is empty or a number is not finite.
    """
    if not (isfinite(rating) and isfinite(low) and isfinite(high) and low < high):
        raise ValueError("A rating needs finite numbers and a scale whose max is above its min.")
    share = (rating - low) / (high - low)
    if kind == "nps":
        y = (10 * (1 - share if lower_is_better else share) - 7.5) / 2.5
    else:
        y = 1 - 2 * share if lower_is_better else 2 * share - 1
    return floor(1000 * min(1.0, max(-1.0, y)) + 0.5)


def own_weights(component: str) -> tuple[int, int]:
    """The lowest and the highest weight, in thousandths, of an own kind that feeds this component."""
    return (-1000, 1000) if component == "satisfaction" else (0, _OWN_WEIGHT_MAX)


def _checked(own: tuple[str, int]) -> tuple[str, int]:
    component, weight = own
    if component not in OWN_COMPONENTS:
        raise ValueError(f"An own kind feeds one of {', '.join(OWN_COMPONENTS)}.")
    lowest, highest = own_weights(component)
    if not lowest <= weight <= highest:
        raise ValueError(
            f"The weight of an own kind in {component} lies between {lowest} and {highest} thousandths."
        )
    return component, weight


def _answered(kind: str, at: int, id: str, properties: Mapping[str, Any]) -> Fact:  # noqa: A002 - as in fact_of
    if kind == "social_mention":
        sentiment = properties.get("sentiment")
        if sentiment is None:
            return Fact(kind, at, id)
        answer = answer_of(kind, float(sentiment), -1, 1)
        return Fact(kind, at, id, "satisfaction", answer=answer, said=f"{float(sentiment):+.2f}")
    rating = properties.get("rating")
    if rating is None:
        return Fact(kind, at, id)
    low, high, inverted = scale_of(kind, properties)
    answer = answer_of(kind, float(rating), float(low), float(high), lower_is_better=inverted)
    said = f"{rating} of {high}, where lower is better" if inverted else f"{rating} of {high}"
    return Fact(kind, at, id, "satisfaction", answer=answer, said=said)


def _severity(properties: Mapping[str, Any]) -> int:
    named = properties.get("severity") or "medium"
    if named not in SEVERITIES:
        raise ValueError(f"The severity of a complaint is one of {', '.join(SEVERITIES)}.")
    return SEVERITIES[named]


def _csat(properties: Mapping[str, Any]) -> int | None:
    csat = properties.get("csat")
    if csat is None:
        return None
    if csat not in (1, 2, 3, 4, 5):
        raise ValueError("The csat of a resolution is a whole number from 1 to 5.")
    return int(csat)
