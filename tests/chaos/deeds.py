"""What has routes of its own beside touchpoints: answers, complaints, orders sent whole, points held, spent and given.

What else will be told to the service in this way is one more entry of DEEDS.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SOURCE = "rapport"
_GONE = {"hold_captured": "captured", "hold_released": "released", "hold_expired": "expired"}
# Only a hold for a reward hears of stock: the loser's is freed, and then it has been released.
_NO_POINTS = {"insufficient_points": "no points"}


@dataclass(frozen=True, slots=True)
class Written:
    """`table`: where the row of a deed is, with its natural key as `source_id`. `kinds`: what it writes to the log,
    once for each row, under the source of the service.
    """

    table: str
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deed:
    """`path`: where it is sent; `{}` is what the event is about. `remembered`: members of the answer that a retry must
    be told again. `refusals`: the codes of answers that mean no for good, and what was in the way: the state of the
    hold where it is about one.
    """

    path: str
    remembered: tuple[str, ...]
    method: str = "POST"
    refusals: Mapping[str, str] = field(default_factory=dict)
    written: Written | None = None


DEEDS: Mapping[str, Deed] = {
    "answer": Deed(
        "/v1/feedback",
        ("id", "customer_id", "kind", "rating", "sentiment", "occurred_at", "health"),
        written=Written("feedback", ("nps",)),
    ),
    "complaint": Deed(
        "/v1/complaints",
        ("id", "customer_id", "reference", "health"),
        written=Written("complaints", ("complaint_opened",)),
    ),
    "order": Deed("/v1/orders/{}", ("order", "effects", "ignored"), "PUT"),
    "hold": Deed(
        "/v1/loyalty/holds",
        (
            *("hold_id", "customer_id", "program", "points", "opened_at"),
            *("expires_at", "order_id", "reward", "lots"),
        ),
        refusals=_NO_POINTS | {"sold_out": "no stock"},
    ),
    "capture": Deed(
        "/v1/loyalty/holds/{}/capture",
        (
            *("redemption_id", "hold_id", "customer_id", "program", "points", "freed"),
            *("at", "order_id", "reward", "coupon", "health"),
        ),
        refusals=_GONE | {"already_captured": "captured", "sold_out": "released"},
    ),
    "release": Deed(
        "/v1/loyalty/holds/{}/release",
        ("hold_id", "customer_id", "points", "state", "resolved_at"),
        refusals=_GONE,
    ),
    "give back": Deed(
        "/v1/loyalty/redemptions/{}/refund",
        (
            *("id", "redemption_id", "points", "restored", "lapsed", "reinstated"),
            "reinstated_until",
            "refundable",
        ),
        refusals={"more_than_spent": "given back"},
    ),
    "adjustment": Deed(
        "/v1/loyalty/adjustments",
        (
            *("id", "proposal_id", "customer_id", "program", "state", "points"),
            *("proposed_at", "booked_at", "debt"),
        ),
        refusals=_NO_POINTS,
    ),
}


def said(kind: str, chance: random.Random) -> dict[str, Any]:
    """An answer or a complaint, but for its customer and its key."""
    if kind == "answer":
        text = chance.choice(("Fast.", "Late.", "Fine."))
        return {"kind": "nps", "rating": chance.randrange(11), "text": text}
    return {"subject": "Still waiting", "severity": chance.choice(("low", "medium", "high"))}
