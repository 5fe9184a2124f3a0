"""The kinds of touchpoint Rapport knows, what each must say, and who may say it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from app.domain.health.facts import OWN_COMPONENTS, SCALES, SEVERITIES, own_weights, scale_of
from app.domain.problems import Fault, Invalid

Properties: TypeAlias = Mapping[str, Any]

MODES = ("personal", "self_service", "automated", "community")
DIRECTIONS = ("higher_is_better", "lower_is_better")
LONGEST_ID = 200
PUBLISHABLE_KINDS = frozenset(
    {"visit", "message_opened", "message_clicked", "cart_abandoned", "self_service"}
)
"""What a key that sits in a web page may post."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: the component of health it feeds (None: a fact or a flag), and what it must carry.

    `own` is the component and the weight (thousandths) of a kind that the shop defined itself.
    """

    name: str
    component: str | None
    label: str
    needs_money: bool = False
    needs: tuple[str, ...] = ()
    server_only: bool = False
    check: Callable[[Properties], None] | None = None
    own: tuple[str, int] | None = None


def _refuse(name: str, rule: str) -> Invalid:
    fault = Fault(f"#/properties/{name}", "invalid_property", rule)
    return Invalid("invalid_property", f"Property {name}: {rule}.", errors=[fault])


def _one_of(name: str, allowed: tuple[str, ...]) -> Callable[[Properties], None]:
    def check(properties: Properties) -> None:
        if name in properties and properties[name] not in allowed:
            raise _refuse(name, f"must be one of {', '.join(allowed)}")

    return check


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole_between(name: str, low: int, high: int) -> Callable[[Properties], None]:
    def check(properties: Properties) -> None:
        value = properties.get(name)
        if value is not None and not (_is_whole(value) and low <= value <= high):
            raise _refuse(name, f"must be a whole number from {low} to {high}")

    return check


def _check_scale(scale: object) -> None:
    if not isinstance(scale, Mapping) or not set(scale) <= {"min", "max", "direction"}:
        raise _refuse("scale", "must be an object of min, max and direction")
    if not all(_is_whole(scale.get(end, 0)) for end in ("min", "max")):
        raise _refuse("scale", "min and max must be whole numbers")
    if scale.get("direction", DIRECTIONS[0]) not in DIRECTIONS:
        raise _refuse("scale", f"direction must be one of {', '.join(DIRECTIONS)}")


def _answer(kind: str) -> Callable[[Properties], None]:
    def check(properties: Properties) -> None:
        if properties.get("scale") is not None:
            _check_scale(properties["scale"])
        low, high, _ = scale_of(kind, properties)
        if not low < high:
            raise _refuse("scale", "min must be below max")
        if kind == "nps" and (low, high) != SCALES["nps"]:
            raise _refuse("scale", "an NPS answer is a whole number from 0 to 10")
        rating = properties["rating"]
        if not (_is_whole(rating) and low <= rating <= high):
            raise _refuse("rating", f"must be a whole number from {low} to {high}")

    return check


def _sentiment(properties: Properties) -> None:
    value = properties["sentiment"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1 <= value <= 1:
        raise _refuse("sentiment", "must be a number from -1 to 1")


def _complaint(properties: Properties) -> None:
    _identifier("complaint_id")(properties)
    _one_of("severity", tuple(SEVERITIES))(properties)


def _resolution(properties: Properties) -> None:
    _identifier("complaint_id")(properties)
    _whole_between("csat", 1, 5)(properties)


def _identifier(name: str) -> Callable[[Properties], None]:
    def check(properties: Properties) -> None:
        value = properties.get(name)
        if value is not None and not (isinstance(value, str) and 1 <= len(value) <= LONGEST_ID):
            raise _refuse(name, "must be a text of 1 to 200 characters")

    return check


_MODE = _one_of("mode", MODES)
_POINTS = _whole_between("points", 0, 2**31 - 1)

_ALL = (
    Kind("purchase", "momentum", "Purchase", needs_money=True),
    Kind("refund", "refunds", "Refund", needs_money=True),
    Kind("order_cancelled", "refunds", "Order cancelled", needs=("order_id",)),
    Kind("visit", "engagement", "Visit", check=_MODE),
    Kind("message_opened", "engagement", "Message opened", check=_MODE),
    Kind("message_clicked", "engagement", "Message clicked", check=_MODE),
    Kind("self_service", "engagement", "Self-service used", check=_MODE),
    Kind("community_post", "engagement", "Community post", check=_MODE),
    Kind("cart_abandoned", "engagement", "Cart abandoned", check=_MODE),
    Kind("support_contact", "contacts", "Support contact", check=_MODE),
    Kind("support_resolved", None, "Support contact resolved", check=_MODE),
    Kind(
        "complaint_opened",
        "complaints",
        "Complaint opened",
        needs=("complaint_id", "severity"),
        check=_complaint,
    ),
    Kind(
        "complaint_resolved",
        "complaints",
        "Complaint resolved",
        needs=("complaint_id",),
        check=_resolution,
    ),
    Kind("nps", "satisfaction", "NPS answer", needs=("rating",), check=_answer("nps")),
    Kind("csat", "satisfaction", "CSAT answer", needs=("rating",), check=_answer("csat")),
    Kind("ces", "satisfaction", "CES answer", needs=("rating",), check=_answer("ces")),
    Kind("review", "satisfaction", "Review", needs=("rating",), check=_answer("review")),
    Kind("comment", None, "Comment"),
    Kind("social_mention", "satisfaction", "Social mention", needs=("sentiment",), check=_sentiment),
    Kind("referral", "advocacy", "Referral", check=_identifier("referred")),
    Kind("review_public", "advocacy", "Public review"),
    Kind("loyalty_joined", "loyalty", "Joined the loyalty programme", check=_POINTS),
    Kind("points_redeemed", "loyalty", "Points redeemed", check=_POINTS),
    Kind("delivered", None, "Delivered"),
    Kind("delivery_late", None, "Delivery late"),
    Kind("unsubscribed", None, "Unsubscribed"),
    Kind("goodwill", None, "Goodwill"),
    Kind("band_changed", None, "Band changed", server_only=True),
    Kind("tier_changed", None, "Tier changed", server_only=True),
    Kind("tier_warned", None, "Tier at risk", server_only=True),
    Kind("points_expiring", None, "Points expiring", server_only=True),
    Kind("complaint_warned", None, "Complaint clock runs out", server_only=True),
    Kind("complaint_breached", None, "Complaint clock breached", server_only=True),
    Kind("customer_merged", None, "Customers merged", server_only=True),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}
"""Every built-in kind by its name."""


OwnKinds: TypeAlias = Mapping[str, Kind]
"""The shop's own kinds by name."""

NO_KINDS: Final[OwnKinds] = MappingProxyType({})


def postable(name: str, own: OwnKinds = NO_KINDS) -> Kind:
    """The kind of a touchpoint from outside. Raises Invalid `unknown_kind` or `reserved_kind`."""
    kind = KINDS.get(name) or own.get(name)
    if kind is None:
        raise unknown_kind("#/kind")
    if kind.server_only:
        raise reserved_kind("#/kind")
    return kind


def unknown_kind(pointer: str) -> Invalid:
    """Neither a built-in kind nor one of the shop's own."""
    return Invalid(
        "unknown_kind",
        "There is no such kind; GET /v1/touchpoint-kinds lists them.",
        errors=[Fault(pointer, "unknown_kind", "not a known kind")],
    )


def reserved_kind(pointer: str) -> Invalid:
    """A kind that nobody outside may write or take back."""
    return Invalid(
        "reserved_kind",
        "Rapport writes this kind itself.",
        errors=[Fault(pointer, "reserved_kind", "written by the service alone")],
    )


# --- own kinds ------------------------------------------------------------------------------------------------------

MOST_OWN_KINDS: Final = 200
"""Every process remembers all of them, and each is a label of the metrics."""

_OWN_NAME: Final = re.compile("[a-z][a-z0-9_]{0,63}")
_THOUSAND: Final = 1000


def own_kind(name: str, component: str, weight: float, label: str) -> Kind:
    """A kind of the shop's own: one of it counts `weight` in `component`.

    `satisfaction` takes an answer from -1 to 1, the others 0 to 10, each with at most three digits after the point.
    Raises Invalid `invalid_kind` that says where and why.
    """
    if not _OWN_NAME.fullmatch(name):
        raise _invalid_kind("kind", "bad_format", "must be a small letter, then small letters, digits and _")
    if name in KINDS:
        raise _invalid_kind("kind", "built_in", "is the name of a built-in kind")
    if component not in OWN_COMPONENTS:
        raise _invalid_kind("component", "unknown_component", f"must be one of {', '.join(OWN_COMPONENTS)}")
    lowest, highest = own_weights(component)
    thousandths = weight * _THOUSAND
    if not lowest <= thousandths <= highest:
        span = f"from {lowest / _THOUSAND:g} to {highest / _THOUSAND:g}"
        raise _invalid_kind("weight", "out_of_range", f"must be a number {span}")
    if abs(thousandths - round(thousandths)) > 1e-6:  # noqa: PLR2004 - what a double loses
        raise _invalid_kind("weight", "out_of_range", "must have at most three digits after the point")
    return Kind(name, component, label, own=(component, round(thousandths)))


def _invalid_kind(member: str, code: str, rule: str) -> Invalid:
    return Invalid("invalid_kind", f"{member} {rule}.", errors=[Fault(f"#/{member}", code, rule)])
