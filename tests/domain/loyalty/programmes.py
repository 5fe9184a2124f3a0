"""Programmes, versions and purchases that the loyalty tests share."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from app.domain.loyalty.conditions import Member
from app.domain.loyalty.earning import Evaluated, evaluate, evaluate_exactly
from app.domain.loyalty.purchases import Line, Purchase
from app.domain.loyalty.versions import Programme, version_of

BERLIN = ZoneInfo("Europe/Berlin")
CLUB = Programme("main", "Club", "EUR", BERLIN)
AT = datetime(2026, 5, 1, 10, tzinfo=UTC)
BASE: dict[str, Any] = {"code": "base", "points": 1, "per_amount_minor": 100}


def purchase(*lines: Line | int, **said: Any) -> Purchase:
    whole = tuple(line if isinstance(line, Line) else Line(line) for line in lines)
    return Purchase(**{"key": "k", "occurred_at": AT, "currency": "EUR", "lines": whole, **said})


def points(
    rules: list[dict[str, Any]], bought: Purchase, member: Member | None = None, **version: Any
) -> Evaluated:
    """What rules give for a purchase, in whole numbers where they allow it, and the same in fractions."""
    given, whom = version_of({"earning_rules": rules, **version}), member or Member()
    done = evaluate(given, CLUB, bought, whom)
    assert done == evaluate_exactly(given, CLUB, bought, whom)
    return done
