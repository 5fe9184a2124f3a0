"""What the service writes to a member's log about points and tiers. Each line has its id from what it tells, so that
whoever finds the same again writes nothing.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

from app.domain.health.facts import fact_of
from app.domain.loyalty import tiers
from app.domain.loyalty.settling import Expiring
from app.domain.loyalty.tiers import Change
from app.domain.silence import SOURCE
from app.domain.touchpoints import EPOCH, Touchpoint, fact_key, seconds


def tier_changed(program: str, change: Change, now: datetime) -> Touchpoint:
    """A move between tiers; one that passes several names them all."""
    said = {
        "program": program,
        "from": change.before,
        "to": change.after,
        "why": change.why,
        "passed": list(change.passed),
    }
    name = f"tier:{program}:{change.before}:{change.after}:{_micros(change.at)}"
    return _told("tier_changed", name, change.at, now, said)


def tier_warned(program: str, warning: tiers.Warning, now: datetime) -> Touchpoint:
    """A tier that will be lost, when, and what would keep it."""
    said = {
        "program": program,
        "tier": warning.tier,
        "would_be": warning.would_be,
        "on": warning.on.isoformat(),
        "points_to_keep": warning.points_to_keep,
    }
    return _told("tier_warned", f"tier_warned:{program}:{warning.tier}:{_micros(warning.on)}", now, now, said)


def points_expiring(program: str, one: Expiring, zone: ZoneInfo, now: datetime) -> Touchpoint:
    """Points that lapse unless they are spent; `last_day` is the last local day on which they can be."""
    last = (one.expires_at - timedelta.resolution).astimezone(zone).date()
    said = {
        "program": program,
        "points": one.points,
        "expires_at": one.expires_at.isoformat(),
        "last_day": last.isoformat(),
        "days": max((one.expires_at - now).days, 0),
    }
    return _told("points_expiring", f"points_expiring:{program}:{_micros(one.expires_at)}", now, now, said)


def _told(kind: str, name: str, at: datetime, now: datetime, said: Mapping[str, Any]) -> Touchpoint:
    return Touchpoint(
        source=SOURCE,
        id=name,
        kind=kind,
        occurred_at=at,
        received_at=now,
        # Of the id alone: what was told first stands, also where the figures have changed since.
        body_sha256=sha256(name.encode()).digest(),
        fact=fact_of(kind, seconds(at), fact_key(SOURCE, name)),
        properties=dict(said),
    )


def _micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta.resolution
