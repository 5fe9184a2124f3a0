"""What a member's log says about points and tiers: every word of it is read by shops, so every word is here."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from app.domain.loyalty import tiers
from app.domain.loyalty.settling import Expiring
from app.domain.loyalty.telling import points_expiring, tier_changed, tier_warned
from app.domain.loyalty.tiers import Change
from tests.domain.loyalty.programmes import BERLIN

AT = datetime(2026, 5, 1, 10, 0, 0, 7, tzinfo=UTC)
MICROS = 1_777_629_600_000_007
NOW = AT + timedelta(days=2, hours=3)


def test_a_move_between_tiers_is_told_when_it_took_place() -> None:
    change = Change(AT, "base", "gold", "upgrade", ("silver", "gold"))
    told = tier_changed("main", change, NOW)
    name = f"tier:main:base:gold:{MICROS}"
    assert (told.source, told.id, told.kind) == ("rapport", name, "tier_changed")
    assert (told.occurred_at, told.received_at) == (AT, NOW)
    assert told.body_sha256 == sha256(name.encode()).digest()
    assert told.properties == {
        "program": "main",
        "from": "base",
        "to": "gold",
        "why": "upgrade",
        "passed": ["silver", "gold"],
    }
    assert (told.fact.kind, told.fact.at, told.fact.id) == (
        "tier_changed",
        MICROS // 1_000_000,
        f"rapport/{name}",
    )


def test_a_tier_that_will_be_lost_is_told_now_and_once_for_its_day() -> None:
    told = tier_warned("main", tiers.Warning("gold", "silver", AT, 120), NOW)
    assert (told.source, told.id, told.kind) == ("rapport", f"tier_warned:main:gold:{MICROS}", "tier_warned")
    assert (told.occurred_at, told.received_at) == (NOW, NOW)
    assert told.properties == {
        "program": "main",
        "tier": "gold",
        "would_be": "silver",
        "on": "2026-05-01T10:00:00.000007+00:00",
        "points_to_keep": 120,
    }
    assert told.fact.kind == "tier_warned"


def test_points_that_lapse_at_midnight_have_the_day_before_as_their_last() -> None:
    midnight = datetime(2026, 6, 1, tzinfo=BERLIN).astimezone(UTC)
    told = points_expiring("main", Expiring(400, midnight), BERLIN, midnight - timedelta(days=30, hours=1))
    assert told.id == f"points_expiring:main:{int(midnight.timestamp()) * 1_000_000}"
    assert (told.kind, told.source) == ("points_expiring", "rapport")
    assert told.occurred_at == told.received_at == midnight - timedelta(days=30, hours=1)
    assert told.properties == {
        "program": "main",
        "points": 400,
        "expires_at": "2026-05-31T22:00:00+00:00",
        "last_day": "2026-05-31",
        "days": 30,
    }
    assert told.fact.kind == "points_expiring"


def test_points_that_have_lapsed_meanwhile_have_no_days_left() -> None:
    told = points_expiring("main", Expiring(1, AT), BERLIN, AT + timedelta(days=3))
    assert told.properties is not None
    assert told.properties["days"] == 0
    soon = points_expiring("main", Expiring(1, AT + timedelta(days=1, hours=23)), BERLIN, AT)
    assert soon.properties is not None
    assert soon.properties["days"] == 1
