"""The programme under which purchases of the bench earn: the example rules of the wire contract."""

import json
from http.client import HTTPConnection
from typing import Any

PROGRAM = {"code": "main", "name": "Club", "currency": "EUR", "time_zone": "Europe/Berlin"}
RULES: dict[str, Any] = {
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


def publish(port: int, key: str) -> None:
    """Put the programme in force, since long before the purchases. RuntimeError when the service refuses."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    programs = "/v1/loyalty/programs"
    steps = (
        (programs, PROGRAM),
        (f"{programs}/main/versions", RULES),
        (f"{programs}/main/versions/1/publish", {"effective_from": "2020-01-01T00:00:00Z"}),
    )
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    for path, body in steps:
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        told = answer.read()
        if answer.status not in {200, 201}:
            raise RuntimeError(f"{path}: {answer.status} {told.decode()}")
    connection.close()
