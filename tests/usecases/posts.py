"""Posts for tests of the write path."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain.identifiers import parse_body_reference
from app.domain.touchpoints import propose
from app.usecases.post_touchpoints import Post

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def post(
    id: str,  # noqa: A002 - the wire's own name
    customer: Any = "external_id:42",
    kind: str = "purchase",
    *,
    days_ago: float = 0,
    told: bool = True,
    **members: Any,
) -> Post:
    """A purchase of 10.00 EUR by external_id:42 today, unless it is said otherwise."""
    if kind in ("purchase", "refund"):
        members = {"amount_minor": 1000, "currency": "EUR"} | members
    said = json.dumps([kind, days_ago, members], default=str, sort_keys=True)
    touchpoint = propose(
        source="shop",
        id=id,
        kind=kind,
        occurred_at=NOW - timedelta(days=days_ago),
        now=NOW,
        body_sha256=hashlib.sha256(said.encode()).digest(),
        shop_currency="EUR",
        **members,
    )
    return Post(parse_body_reference(customer), touchpoint, told)
