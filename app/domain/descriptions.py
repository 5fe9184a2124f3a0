"""What a touchpoint says of itself when nobody described it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from app.domain.health.facts import SCALES, scale_of
from app.domain.health.model import BANDS
from app.domain.kinds import KINDS
from app.domain.money import decimal_string

_COMPLAINT: Final = "complaint:"
_ORDER: Final = "order:"


def order_id_of(thread: str | None) -> str | None:
    """The order that a thread is about."""
    return thread.removeprefix(_ORDER) if thread is not None and thread.startswith(_ORDER) else None


def complaint_id_of(thread: str | None) -> str | None:
    """The complaint that a thread is about."""
    return thread.removeprefix(_COMPLAINT) if thread is not None and thread.startswith(_COMPLAINT) else None


def amount_of(amount_minor: int | None, currency: str | None) -> str | None:
    """An amount as a decimal string, None when there is none."""
    return None if amount_minor is None or currency is None else decimal_string(amount_minor, currency)


def describe(
    kind: str,
    *,
    amount_minor: int | None = None,
    currency: str | None = None,
    order_id: str | None = None,
    properties: Mapping[str, Any] = MappingProxyType({}),
    label: str | None = None,
) -> str:
    """One short phrase: "Purchase of 49.99 EUR", "Complaint opened, high", "Answered NPS 9 of 10".

    `label` is what the shop calls a kind of its own. Of what callers sent only numbers, fixed words and the order's id
    are repeated.
    """
    if kind == "order_cancelled" and order_id is not None:
        return f"Order {order_id} cancelled"
    told = _OWN_WORDS[kind](properties) if kind in _OWN_WORDS else label or _labelled(kind, properties)
    amount = amount_of(amount_minor, currency)
    if amount is None:
        return told
    return f"{told}{' of ' if kind in ('purchase', 'refund') else ', '}{amount} {currency}"


def _labelled(kind: str, properties: Mapping[str, Any]) -> str:
    known = KINDS.get(kind)
    label = kind.replace("_", " ").capitalize() if known is None else known.label
    mode = properties.get("mode")
    # The mode of a kind that is checked is one of a few words; a shop's own kind may hold anything there.
    if known is None or known.check is None or not isinstance(mode, str):
        return label
    return f"{label}, {mode.replace('_', ' ')}"


def _opened(properties: Mapping[str, Any]) -> str:
    severity = properties.get("severity")
    return "Complaint opened" if severity is None else f"Complaint opened, {severity}"


def _resolved(properties: Mapping[str, Any]) -> str:
    csat = properties.get("csat")
    return "Complaint resolved" if csat is None else f"Complaint resolved, rated {csat} of 5"


def _noticed(verb: str) -> Callable[[Mapping[str, Any]], str]:
    def tell(properties: Mapping[str, Any]) -> str:
        promise = CLOCKS.get(properties.get("clock", ""), "promise")
        return " ".join(filter(None, ("Complaint", properties.get("reference"), verb, "its", promise)))

    return tell


CLOCKS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "acknowledge": "promise to be acknowledged",
        "first_response": "promise of a first response",
        "resolution": "promise of a resolution",
    }
)
"""What people call what is promised about a complaint."""


def rated(kind: str, properties: Mapping[str, Any]) -> str:
    """The rating of an answer on its scale: "9 of 10", "2 of 5, where lower is better"."""
    _, high, lower_is_better = scale_of(kind, properties)
    told = f"{properties.get('rating')} of {high}"
    return f"{told}, where lower is better" if lower_is_better else told


def _answered(kind: str) -> Callable[[Mapping[str, Any]], str]:
    verb = "Reviewed" if kind == "review" else f"Answered {kind.upper()}"

    def tell(properties: Mapping[str, Any]) -> str:
        return f"{verb} {rated(kind, properties)}"

    return tell


def _mentioned(properties: Mapping[str, Any]) -> str:
    return f"Mentioned in public, sentiment {float(properties.get('sentiment') or 0):+.2f}"


def _fell_or_rose(properties: Mapping[str, Any]) -> str:
    before, after = properties.get("from"), properties.get("to")
    if before not in BANDS or after not in BANDS:
        return "Band changed"
    verb = "Fell" if BANDS.index(before) < BANDS.index(after) else "Rose"
    return f"{verb} from {before} to {after}".replace("_", " ")


def _redeemed(properties: Mapping[str, Any]) -> str:
    points = properties.get("points")
    return "Points redeemed" if points is None else f"{points} points redeemed"


def _moved(properties: Mapping[str, Any]) -> str:
    before, after = properties.get("from"), properties.get("to")
    return "Tier changed" if before is None or after is None else f"Tier went from {before} to {after}"


def _at_risk(properties: Mapping[str, Any]) -> str:
    tier, on, missing = (properties.get(name) for name in ("tier", "on", "points_to_keep"))
    if tier is None or not isinstance(on, str):
        return "Tier at risk"
    return f"Tier {tier} is lost on {on[:10]} unless {missing} more points are earned"


def _lapsing(properties: Mapping[str, Any]) -> str:
    points, day = properties.get("points"), properties.get("last_day")
    return "Points expiring" if points is None else f"{points} points expire after {day}"


_OWN_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = MappingProxyType(
    {
        "complaint_opened": _opened,
        "complaint_resolved": _resolved,
        "social_mention": _mentioned,
        "points_redeemed": _redeemed,
        "band_changed": _fell_or_rose,
        "tier_changed": _moved,
        "tier_warned": _at_risk,
        "points_expiring": _lapsing,
        "complaint_warned": _noticed("is about to miss"),
        "complaint_breached": _noticed("missed"),
        **{kind: _answered(kind) for kind in SCALES},
    }
)
