"""The rules under which purchases of the bench earn: the example of the wire contract."""

from datetime import UTC, datetime
from typing import Any, Final

IN_FORCE_SINCE: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""Long before the purchases."""

RULES: Final[dict[str, Any]] = {
    "earning_rules": [
        {"code": "base", "points": 1, "per_amount_minor": 100, "multiplier": "1"},
        {"code": "shoes", "multiplier": "2", "when": {"category": ["shoes"]}},
    ],
    "pending_days": 14,
    "expiry_months": 12,
    "expiry_rounding": "month_end",
    "clawback": "within_balance",
    "reinstatement_grace_days": 30,
    "hold_ttl_seconds": 900,
    "tiers": [
        {"code": "base", "threshold": 0, "multiplier": "1"},
        {"code": "silver", "threshold": 500, "multiplier": "1.25"},
    ],
    "tier_window_months": 12,
    "tier_downgrade": "one_down",
    "tier_grace_days": 30,
}
