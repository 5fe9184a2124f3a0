"""The clock of loyalty on a real database, with the time as an argument; edge cases by their numbers in the design."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from app.domain.loyalty import clawback, crediting
from app.domain.loyalty.tiers import Ruling, history
from app.domain.loyalty.versions import version_of
from app.domain.problems import Conflict
from app.usecases.loyalty.run_clock import Clocked
from tests.usecases.loyalty.clubs import DAY, RULES, START, Club, day

BERLIN = ZoneInfo("Europe/Berlin")
REVIEW = datetime(2027, 1, 2, tzinfo=BERLIN).astimezone(UTC)
"""The end of the day one year after START, in Berlin."""
GRACE_ENDS = REVIEW + 30 * DAY


async def kinds(club: Club, who: UUID) -> list[tuple[str, int]]:
    return [(entry.kind, entry.points) for entry in await club.ledger(who)]


async def test_case_01_and_02_the_lot_that_expires_first_pays_first_and_never_expiring_last(
    club: Club,
) -> None:
    await club.open()
    (who,) = await club.members()
    await club.earn(who, 10, "never")
    await club.earn(who, 100, "A", expires_at=day(30))
    await club.earn(who, 100, "B", expires_at=day(10))
    await club.earn(who, 5, "older", expires_at=day(30), occurred_at=day(-1))
    await club.spend(who, 120)
    assert await club.lots(who) == {"never": 10, "A": 85, "B": 0, "older": 0}
    await club.spend(who, 95, "s2")
    assert await club.lots(who) == {"never": 0, "A": 0, "B": 0, "older": 0}


async def test_case_03_a_lot_whose_clock_ran_out_cannot_be_spent_and_the_worker_books_it_once(
    club: Club,
) -> None:
    await club.open()
    (who,) = await club.members()
    await club.earn(who, 100, expires_at=day(60))
    club.at(60)
    assert (await club.balance(who)).available == 0
    with pytest.raises(Conflict, match="enough"):
        await club.spend(who, 1)
    done = await club.tick()
    assert (done.looked, done.expired, done.failed) == (1, 1, 0)
    assert await kinds(club, who) == [("earn", 100), ("expire", -100)]
    assert await club.tick() == Clocked()


async def test_case_11_a_refund_while_pending_leaves_the_rest_to_activate(club: Club) -> None:
    await club.open()
    (who,) = await club.members()
    await club.earn(who, 100, activates_at=day(14))
    await club.at(3).claw(who, 6_000)
    before, after = await club.balance(who), await club.at(14).balance(who)
    assert (before.pending, before.available, after.pending, after.available) == (40, 0, 0, 40)


async def test_case_20_a_late_event_earns_by_the_version_in_force_when_it_occurred(club: Club) -> None:
    await club.open(RULES | {"expiry_months": 1, "expiry_rounding": "none"})
    (who,) = await club.members()
    double = RULES | {"earning_rules": [{"code": "base", "points": 2, "per_amount_minor": 100}]}
    await club.publish(double, day(5))
    await club.at(10).buy(who, 1_000, "late", at=day(4))
    assert (await club.balance(who)).available == 10
    await club.buy(who, 1_000, "new")
    assert (await club.balance(who)).available == 30
    # A month and more too late: earned and expired, both visible.
    await club.at(40).buy(who, 1_000, "too late", at=day(1))
    assert (await kinds(club, who))[-2:] == [("earn", 10), ("expire", -10)]


@pytest.mark.parametrize(
    "zone, earned, ends",
    [
        ("UTC", "2027-01-31T10:00Z", "2027-03-01T00:00Z"),
        ("UTC", "2028-01-31T10:00Z", "2028-03-01T00:00Z"),
        ("Europe/Berlin", "2027-01-30T23:30Z", "2027-03-01T00:00+01:00"),
        ("America/New_York", "2027-02-01T03:00Z", "2027-03-01T00:00-05:00"),
        ("Europe/Berlin", "2027-03-01T10:00Z", "2027-05-01T00:00+02:00"),
        ("America/Havana", "2026-09-30T12:00Z", "2026-11-01T00:00-04:00"),
        ("Asia/Kathmandu", "2026-05-10T10:00Z", "2026-07-01T00:00+05:45"),
    ],
)
async def test_case_25_points_live_to_the_end_of_a_month_in_the_zone_and_not_a_moment_longer(
    club: Club, zone: str, earned: str, ends: str
) -> None:
    at, over = datetime.fromisoformat(earned), datetime.fromisoformat(ends)
    club.at(at)
    await club.open(RULES | {"expiry_months": 1}, zone)
    (who,) = await club.members()
    await club.buy(who, 1_000)
    club.at(over - timedelta(microseconds=1))
    await club.tick()
    assert (await club.balance(who)).available == 10
    assert (await club.at(over).tick()).expired == 1
    assert (await club.balance(who)).available == 0
    assert (await club.ledger(who))[-1].effective_at == over


async def test_case_26_at_one_instant_activate_then_tiers_then_expire(club: Club) -> None:
    """A debt is paid by points that become active at the very instant at which others lapse and a review falls."""
    await club.open(RULES | {"clawback": "unlimited"})
    (who,) = await club.members()
    await club.earn(who, 500, "spent")
    await club.spend(who, 500)
    await club.do(who, _taken, earns=["spent"])
    await club.at(300).earn(who, 600, "pays", activates_at=REVIEW)
    await club.earn(who, 100, "lapses", activates_at=REVIEW, expires_at=REVIEW)
    assert (await club.balance(who)).debt == 500
    club.at(REVIEW)
    await club.tick()
    assert (await kinds(club, who))[-2:] == [("absorb", 0), ("expire", -100)]
    assert (await club.balance(who)).debt == 0
    # What is earned counts in the review although it lapses with it.
    assert (await club.standing(who)).grace_until is None
    assert (await club.standing(who)).tier == "silver"


def _given(account: Any, now: datetime) -> Any:
    return crediting.adjusted(
        account, id="late", points=5, reason_code="service", allow_debt=False, expires_at=None, now=now
    )


def _taken(account: Any, now: datetime) -> Any:
    return clawback.clawed_back(account, "spent", id="r", amount_minor=None, policy="unlimited", now=now)


async def test_case_27_a_member_who_spends_everything_keeps_the_tier(club: Club) -> None:
    await club.open()
    (who,) = await club.members()
    await club.earn(who, 1_200)
    await club.at(1).spend(who, 1_200)
    await club.at(2).tick()
    assert (await club.standing(who)).tier == "gold"


async def test_case_28_a_refund_lowers_what_qualifies_now_and_the_tier_at_review_and_grace(
    club: Club,
) -> None:
    await club.open()
    (who,) = await club.members()
    await club.earn(who, 600)
    await club.at(5).claw(who, 5_000)
    for moment, tier in ((day(6), "silver"), (REVIEW, "silver"), (GRACE_ENDS, "bronze")):
        await club.at(moment).tick()
        assert (await club.standing(who)).tier == tier


async def test_case_29_one_order_over_two_thresholds_is_the_top_tier_at_once(club: Club) -> None:
    await club.open(RULES | {"earning_rules": [{"code": "r", "event": "review", "points": 700}]})
    (who,) = await club.members()
    await club.post(who, "v1", "review", properties={"rating": 5})
    (told,) = await club.told("tier_changed")
    assert json.loads(told["said"])["passed"] == ["bronze", "silver"]
    await club.at(1).tick()
    assert len(await club.told("tier_changed")) == 1


@pytest.mark.parametrize("mode, tier", [("one_down", "silver"), ("full", "bronze"), ("none", "gold")])
async def test_case_30_gold_that_fails_its_review_is_warned_has_grace_and_falls(
    club: Club, mode: str, tier: str
) -> None:
    await club.open(RULES | {"tier_downgrade": mode, "tier_warning_days": 60})
    (who,) = await club.members()
    await club.earn(who, 1_000)
    await club.at(40).earn(who, 200, "o2")
    for moment in (REVIEW - 31 * DAY, REVIEW - 30 * DAY, REVIEW, GRACE_ENDS - timedelta(seconds=1)):
        await club.at(moment).tick()
        assert (await club.standing(who)).tier == "gold"
    await club.at(GRACE_ENDS).tick()
    assert (await club.standing(who)).tier == tier
    warned, moved = await club.told("tier_warned"), await club.told("tier_changed")
    if mode == "none":
        assert warned == moved == []
        return
    (warning,), (move,) = warned, moved
    assert warning["occurred_at"] == REVIEW - 30 * DAY
    assert json.loads(warning["said"]) == {
        "program": "main",
        "tier": "gold",
        "would_be": tier,
        "on": GRACE_ENDS.isoformat(),
        "points_to_keep": 800,
    }
    assert move["occurred_at"] == GRACE_ENDS
    assert json.loads(move["said"]) == {
        "program": "main",
        "from": "gold",
        "to": tier,
        "why": "downgrade",
        "passed": [tier],
    }
    assert await club.tick() == Clocked()


async def test_case_35_a_closed_programme_earns_no_more_spends_until_its_end_and_runs_out_once(
    club: Club,
) -> None:
    await club.open()
    (who,) = await club.members()
    await club.buy(who, 100_000)
    await club.close(day(10), day(20))
    await club.at(10).buy(who, 100_000, "o2")
    assert (await club.balance(who)).available == 1_000
    await club.at(19).spend(who, 100)
    await club.hold(who, 50, ttl_seconds=7 * 86_400)
    await club.tick()
    assert (await club.balance(who)).available == 850
    club.at(20)
    # No worker came by yet, and still nothing can be spent.
    with pytest.raises(Conflict, match="enough"):
        await club.spend(who, 1, "s2")
    done = await club.tick()
    assert (done.ended, done.failed) == (1, 0)
    assert (await club.balance(who)).available == 0
    assert (await kinds(club, who))[-1] == ("expire", -900)
    wound_up = await club.wound_up_at()
    assert wound_up == day(20)
    assert (await club.at(21).tick()).ended == 0
    assert await club.wound_up_at() == wound_up
    # What somebody gives after the end is over at once.
    await club.do(who, _given)
    with pytest.raises(Conflict, match="enough"):
        await club.spend(who, 1, "s3")
    await club.tick()
    assert sum((await club.lots(who)).values()) == 0


async def test_an_open_complaint_puts_the_downgrade_off_until_it_is_resolved(club: Club) -> None:
    await club.open()
    (who,) = await club.members()
    await club.earn(who, 1_000)
    await club.at(REVIEW).tick()
    await club.at(GRACE_ENDS - DAY).post(
        who, "c", "complaint_opened", properties={"complaint_id": "k", "severity": "high"}
    )
    await club.at(GRACE_ENDS + 3 * DAY).tick()
    assert (await club.standing(who)).tier == "gold"
    due = (await club.loaded(who)).due_at
    assert due is not None
    assert due - club.now == timedelta(hours=1)
    resolved = GRACE_ENDS + 5 * DAY
    await club.at(resolved).post(who, "d", "complaint_resolved", properties={"complaint_id": "k"})
    await club.at(resolved + DAY).tick()
    assert (await club.standing(who)).tier == "silver"
    (move,) = await club.told("tier_changed")
    assert move["occurred_at"] == resolved


async def test_points_that_will_lapse_are_told_once_thirty_days_before(club: Club) -> None:
    await club.open()
    (who,) = await club.members()
    ends = datetime(2026, 6, 1, tzinfo=BERLIN)
    await club.earn(who, 400, expires_at=ends)
    await club.earn(who, 5, "o2", expires_at=ends + 90 * DAY)
    await club.at(ends - 30 * DAY - timedelta(seconds=1)).tick()
    assert await club.told("points_expiring") == []
    for later in range(5):
        await club.at(ends - (30 - later) * DAY).tick()
    (told,) = await club.told("points_expiring")
    said = json.loads(told["said"])
    assert (said["points"], said["last_day"], said["days"]) == (400, "2026-05-31", 30)
    await club.at(ends + 60 * DAY).tick()
    assert [json.loads(row["said"])["points"] for row in await club.told("points_expiring")] == [400, 5]


async def test_a_hold_that_ran_out_is_freed_by_the_worker(club: Club) -> None:
    await club.open()
    (who,) = await club.members()
    await club.earn(who, 100)
    await club.hold(who, 60)
    assert (await club.at(START + timedelta(seconds=899)).tick()).timed_out == 0
    assert (await club.at(START + timedelta(seconds=900)).tick()).timed_out == 1
    (hold,) = (await club.loaded(who)).account.holds.values()
    assert (hold.state, (await club.balance(who)).available) == ("expired", 100)


async def test_a_new_version_raises_everybody_when_it_begins_and_lowers_nobody(club: Club) -> None:
    await club.open()
    easy, hard = await club.members(2)
    await club.earn(easy, 600)
    await club.earn(hard, 100)
    tiers = [{"code": "base", "threshold": 0}, {"code": "bronze", "threshold": 200}]
    await club.publish(RULES | {"tiers": [*tiers, {"code": "gold", "threshold": 600}]}, day(5))
    await club.at(4).tick()
    assert (await club.standing(easy)).tier == "silver"
    await club.at(6).tick(page=1)
    assert [(await club.standing(one)).tier for one in (easy, hard)] == ["gold", "bronze"]
    (told,) = await club.told("tier_changed")
    assert (told["customer_id"], told["occurred_at"]) == (easy, day(5))
    assert json.loads(told["said"])["why"] == "version"
    assert await club.tick() == Clocked()


async def test_a_worker_that_was_away_finds_what_a_purchase_hid(club: Club) -> None:
    """The grace ended while nobody looked, and then the member earned the tier again: down and up are both true."""
    await club.open()
    (who,) = await club.members()
    await club.earn(who, 1_000)
    await club.at(REVIEW).tick()
    await club.at(GRACE_ENDS + 2 * DAY).earn(who, 5_000, "o2")
    await club.at(GRACE_ENDS + 3 * DAY).tick()
    standing = await club.standing(who)
    assert (standing.tier, standing.since) == ("gold", GRACE_ENDS + 2 * DAY)
    (down,) = await club.told("tier_changed")
    assert (down["occurred_at"], json.loads(down["said"])["to"]) == (GRACE_ENDS, "silver")


async def test_the_standing_is_that_of_the_whole_history(club: Club) -> None:
    await club.open()
    (who,) = await club.members()
    for number in range(0, 700, 45):
        await club.at(number).earn(who, (number * 7) % 300, f"o{number}")
        await club.at(number + 20).tick()
    rulings = [Ruling(START - 30 * DAY, version_of(RULES).tier_rules)]
    whole, _ = history(await club.ledger(who), rulings, (), BERLIN, club.now)
    assert await club.standing(who) == whole
