"""Surveys: what fires them, who is left in peace, and until when."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.feedback.surveys import (
    Asked,
    Decision,
    Limits,
    Standing,
    Suppressed,
    Survey,
    Trigger,
    after_complaint,
    decide,
    occasion_key,
    planned,
    planned_periodic,
    quiet_until,
    scope_key,
    survey_of,
)
from app.domain.problems import Invalid

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ADA, BOB = UUID(int=1), UUID(int=2)
PEPPER = b"p" * 32
REACHABLE = Standing(channels=frozenset(("email",)))


def survey(kind: str = "csat", **given_: Any) -> Survey:
    return survey_of(code="s", kind=kind, question="How was it?", channel="email", **given_)


def asked(days_ago: float, kind: str = "csat", about: str | None = None) -> Asked:
    return Asked(NOW - days_ago * DAY, kind, "s", about)


def standing(*past: Asked, **given_: Any) -> Standing:
    return Standing(channels=frozenset(("email",)), asked=past, **given_)


def test_somebody_who_was_never_asked_may_be() -> None:
    assert decide(survey(), "A-1", REACHABLE, NOW) == Decision(None, None)
    assert decide(survey(), "A-1", REACHABLE, NOW).state == "queued"


@pytest.mark.parametrize(
    "given_, reason",
    [
        (Standing(opted_out=True), "opt_out"),
        (Standing(channels=frozenset(("sms",))), "no_channel"),
        (standing(asked(400, about="A-1"), open_complaint=True), "duplicate"),
        (standing(asked(1), open_complaint=True), "open_complaint"),
    ],
)
def test_what_only_a_deed_can_change_names_no_time(given_: Standing, reason: str) -> None:
    decision = decide(survey(), "A-1", given_, NOW)
    assert (decision.state, decision) == ("suppressed", (reason, None))


@pytest.mark.parametrize(
    "kind, past, days",
    [
        ("csat", (asked(29),), 1),
        ("csat", (asked(30),), None),
        ("csat", (asked(29, "nps"),), 1),
        ("nps", (asked(29),), 1),
        ("nps", (asked(89, "nps"),), 1),
        ("nps", (asked(90, "nps"),), None),
        ("nps", (asked(89, "csat"),), None),
        ("csat", (asked(89, "nps"),), None),
        ("csat", tuple(asked(day) for day in (360, 200, 100, 31)), 5),
        ("csat", tuple(asked(day) for day in (365, 200, 100, 31)), None),
        ("csat", tuple(asked(day) for day in (360, 300, 200, 100, 31)), 65),
        ("csat", (asked(-3),), 33),
    ],
)
def test_quiet_periods_and_the_cap_say_until_when(
    kind: str, past: tuple[Asked, ...], days: int | None
) -> None:
    decision = decide(survey(kind), "A-1", standing(*past), NOW)
    assert decision == (Decision() if days is None else Decision("quiet_period", NOW + days * DAY))


past_surveys = st.lists(
    st.builds(asked, st.integers(0, 800), st.sampled_from(["nps", "csat", "ces"]), st.just(None)), max_size=12
)


@given(past_surveys, st.sampled_from(["nps", "csat"]))
def test_the_next_eligible_day_is_the_first_on_which_every_limit_holds(past: list[Asked], kind: str) -> None:
    one = survey(kind)

    def free(at: datetime) -> bool:
        gaps = all(at - other.at >= 30 * DAY for other in past)
        quiet = kind != "nps" or all(at - other.at >= 90 * DAY for other in past if other.kind == "nps")
        return gaps and quiet and sum(other.at > at - 365 * DAY for other in past) < 4

    found = next(NOW + number * DAY for number in range(1000) if free(NOW + number * DAY))
    assert quiet_until(one, past, NOW) == found
    assert decide(one, None, standing(*past), found).state == "queued"
    decision = decide(one, None, standing(*past), NOW)
    assert decision.next_eligible_at == (None if found == NOW else found)


def test_surveys_due_at_once_are_asked_one_by_one() -> None:
    first = decide(survey(), "A-1", REACHABLE, NOW)
    assert first.state == "queued"
    then = decide(survey(), "A-2", standing(Asked(NOW, "csat", "s", "A-1")), NOW)
    assert then == ("quiet_period", NOW + 30 * DAY)


def test_a_shop_may_set_its_own_limits() -> None:
    own = survey(
        limits={"quiet_days": 0, "most_per_year": 1, "remind_after_days": None, "scope": "household"}
    )
    assert own.limits == Limits(quiet=timedelta(), most_per_year=1, remind_after=None, scope="household")
    assert decide(own, None, standing(asked(1)), NOW) == ("quiet_period", NOW + 364 * DAY)
    assert survey(limits={"threshold": 1}).threshold == 1
    assert survey(limits={"threshold": 5}).threshold == 5
    whole = {
        "quiet_days": 3650,
        "quiet_nps_days": 0,
        "most_per_year": 365,
        "remind_after_days": 1,
        "expires_after_days": 1,
    }
    assert survey(limits={**whole, "scope": "customer"}).limits.quiet == 3650 * DAY
    assert len(survey_of(code="s", kind="nps", question="?" * 500, channel="sms").question) == 500


# --- triggers -------------------------------------------------------------------------------------------------------

AFTER_DELIVERY = Trigger("delivered", 7 * DAY)
EVERY_QUARTER = Trigger("periodic", 30 * DAY, 90 * DAY)


@pytest.mark.parametrize(
    "on, kind",
    [("delivered", "delivered"), ("contact_resolved", "support_resolved"), ("purchase", "purchase")],
)
def test_each_occasion_is_set_off_by_its_kind_alone(on: str, kind: str) -> None:
    trigger = survey(trigger={"on": on, "after_days": 7}).trigger
    assert planned(trigger, kind, NOW, NOW) == NOW + 7 * DAY
    assert planned(trigger, "visit", NOW, NOW) is None
    assert planned(None, kind, NOW, NOW) is None


def test_a_late_fact_is_asked_about_now_and_an_old_one_not_at_all() -> None:
    assert planned(AFTER_DELIVERY, "delivered", NOW - 10 * DAY, NOW) == NOW
    assert planned(AFTER_DELIVERY, "delivered", NOW - 37 * DAY, NOW) == NOW
    assert planned(AFTER_DELIVERY, "delivered", NOW - 38 * DAY, NOW) is None


def test_a_periodic_survey_begins_after_the_first_purchase_and_makes_up_for_nothing() -> None:
    first = NOW - 10 * DAY
    assert (
        planned_periodic(EVERY_QUARTER, first_purchase_at=first, last_asked_at=None, now=NOW)
        == NOW + 20 * DAY
    )
    again = planned_periodic(EVERY_QUARTER, first_purchase_at=first, last_asked_at=NOW - 80 * DAY, now=NOW)
    assert again == NOW + 10 * DAY
    missed = planned_periodic(EVERY_QUARTER, first_purchase_at=first, last_asked_at=NOW - 900 * DAY, now=NOW)
    assert missed == NOW
    assert planned_periodic(AFTER_DELIVERY, first_purchase_at=first, last_asked_at=None, now=NOW) is None


def test_an_occasion_has_one_name_however_often_it_is_swept() -> None:
    delivery = survey(trigger={"on": "delivered", "after_days": 7})
    assert occasion_key(delivery, touchpoint_id="evt-1", at=NOW) == "s:evt-1"
    periodic = survey("nps", trigger={"on": "periodic", "every_days": 90})
    names = {
        occasion_key(periodic, touchpoint_id=None, at=NOW + hours * timedelta(hours=1)) for hours in range(5)
    }
    assert len(names) == 1
    assert occasion_key(periodic, touchpoint_id=None, at=NOW + 90 * DAY) not in names


def test_a_household_shares_its_quiet_periods_and_its_address_is_not_kept() -> None:
    home = scope_key("household", ADA, "Main  Street 1", PEPPER)
    assert home == scope_key("household", BOB, " main street １", PEPPER)  # noqa: RUF001 - the wide 1 is the point
    assert "main" not in home
    assert home != scope_key("household", ADA, "Main Street 1", b"q" * 32)
    assert scope_key("household", ADA, "  ", PEPPER) == f"customer:{ADA}"
    assert scope_key("customer", ADA, "Main Street 1", PEPPER) == f"customer:{ADA}"


def test_after_a_complaint_the_latest_of_each_survey_is_queued_again_unless_too_old() -> None:
    held = [
        Suppressed("a", "delivery", "open_complaint", NOW - 10 * DAY),
        Suppressed("b", "delivery", "open_complaint", NOW - 5 * DAY),
        Suppressed("c", "nps", "open_complaint", NOW - 31 * DAY),
        Suppressed("d", "contact", "quiet_period", NOW - 1 * DAY),
        Suppressed("e", "contact", "open_complaint", NOW - 7 * DAY),
    ]
    assert [one.id for one in after_complaint(reversed(held), NOW)] == ["e", "b"]


# --- definitions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given_, code",
    [
        ({"code": "Über"}, "invalid_code"),
        ({"code": ""}, "invalid_code"),
        ({"kind": "comment"}, "unknown_kind"),
        ({"kind": "stars"}, "unknown_kind"),
        ({"question": " "}, "invalid_question"),
        ({"question": "?" * 501}, "invalid_question"),
        ({"channel": "pigeon"}, "unknown_channel"),
        ({"scale": {"max": 7}, "kind": "nps"}, "invalid_scale"),
        ({"trigger": {"on": "full_moon"}}, "invalid_trigger"),
        ({"trigger": {"after_days": 1}}, "invalid_trigger"),
        ({"trigger": {"on": "delivered", "after_days": -1}}, "invalid_trigger"),
        ({"trigger": {"on": "delivered", "after_days": 1.5}}, "invalid_trigger"),
        ({"trigger": {"on": "delivered", "every_days": 9}}, "invalid_trigger"),
        ({"trigger": {"on": "periodic"}}, "invalid_trigger"),
        ({"trigger": {"on": "periodic", "every_days": 0}}, "invalid_trigger"),
        ({"trigger": {"on": "delivered", "if": "sunny"}}, "invalid_trigger"),
        ({"limits": {"quiet_days": -1}}, "invalid_limits"),
        ({"limits": {"expires_after_days": 0}}, "invalid_limits"),
        ({"limits": {"expires_after_days": None}}, "invalid_limits"),
        ({"limits": {"most_per_year": 0}}, "invalid_limits"),
        ({"limits": {"most_per_year": True}}, "invalid_limits"),
        ({"limits": {"scope": "street"}}, "invalid_limits"),
        ({"limits": {"mood": 1}}, "invalid_limits"),
        ({"limits": {"threshold": 6}}, "invalid_rating"),
    ],
)
def test_surveys_that_cannot_be_asked_are_refused(given_: dict[str, Any], code: str) -> None:
    whole = {"code": "s", "kind": "csat", "question": "How was it?", "channel": "email"}
    with pytest.raises(Invalid) as refusal:
        survey_of(**whole | given_)
    assert refusal.value.code == code
