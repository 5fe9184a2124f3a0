"""Invitations: reports in any order, one answer, a day to change it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.feedback import invitations
from app.domain.feedback.invitations import (
    Invitation,
    answered,
    check_open,
    invited,
    preselected,
    remind_at,
    reported,
)
from app.domain.feedback.scales import Scale
from app.domain.feedback.surveys import Decision, Limits
from app.domain.problems import Conflict, Gone, Invalid, NotFound

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
LIMITS = Limits()
QUEUED = invited(Decision(), NOW, LIMITS)
SENT = reported(QUEUED, "sent", NOW)


def test_a_new_invitation_is_queued_or_kept_with_the_reason_it_was_suppressed_for() -> None:
    assert (QUEUED.state, QUEUED.expires_at) == ("queued", NOW + 30 * DAY)
    held = invited(Decision("quiet_period", NOW + DAY), NOW, LIMITS)
    assert (held.state, held.suppressed_by, held.next_eligible_at) == (
        "suppressed",
        "quiet_period",
        NOW + DAY,
    )


def test_what_was_held_back_is_queued_again_and_expires_later() -> None:
    held = invited(Decision("open_complaint"), NOW, LIMITS)
    again = invitations.requeued(held, Decision(), NOW + 10 * DAY, LIMITS)
    assert (again.state, again.suppressed_by, again.expires_at) == ("queued", None, NOW + 40 * DAY)
    assert invitations.requeued(SENT, Decision("opt_out"), NOW, LIMITS) == SENT


def test_a_survey_that_is_due_while_a_complaint_is_open_is_held_back_when_it_is_decided_again() -> None:
    due = invitations.requeued(QUEUED, Decision("open_complaint"), NOW, LIMITS)
    assert (due.state, due.suppressed_by) == ("suppressed", "open_complaint")


@given(st.permutations(["sent", "delivered", "opened", "opened", "sent"]))
def test_reports_may_come_twice_and_in_any_order(order: list[str]) -> None:
    invitation = QUEUED
    for number, what in enumerate(order):
        invitation = reported(invitation, what, NOW + number * HOUR)
    assert (invitation.state, invitation.sent_at) == ("opened", NOW)


@pytest.mark.parametrize(
    "before, after",
    [
        ("queued", "bounced"),
        ("sent", "bounced"),
        ("delivered", "bounced"),
        ("opened", "opened"),
        ("answered", "answered"),
        ("expired", "expired"),
        ("cancelled", "cancelled"),
        ("suppressed", "suppressed"),
    ],
)
def test_a_bounce_is_believed_until_somebody_has_opened_it(before: invitations.State, after: str) -> None:
    assert reported(replace(SENT, state=before), "bounced", NOW).state == after


def test_an_unknown_report_is_refused() -> None:
    with pytest.raises(Invalid):
        reported(QUEUED, "clicked", NOW)


def test_the_first_answer_is_stored_and_the_second_tab_updates_it() -> None:
    first = answered(SENT, NOW + DAY)
    assert (first.does, first.invitation.state) == ("store", "answered")
    second = answered(first.invitation, NOW + DAY)
    assert (second.does, second.invitation) == ("update", first.invitation)


def test_an_answer_may_be_changed_for_24_hours() -> None:
    given_ = answered(SENT, NOW).invitation
    assert answered(given_, NOW + DAY - timedelta(microseconds=1)).does == "update"
    with pytest.raises(Conflict) as refusal:
        answered(given_, NOW + DAY)
    assert refusal.value.code == "answer_final"


def test_the_window_of_an_answer_in_the_last_minute_outlasts_the_link() -> None:
    given_ = answered(SENT, SENT.expires_at - HOUR).invitation
    assert answered(given_, SENT.expires_at + HOUR).does == "update"


@pytest.mark.parametrize("state", ["queued", "sent", "delivered", "opened", "bounced"])
def test_whoever_has_the_link_may_answer_until_it_expires(state: invitations.State) -> None:
    invitation = replace(SENT, state=state)
    assert answered(invitation, SENT.expires_at - HOUR).does == "store"
    with pytest.raises(Gone) as refusal:
        answered(invitation, SENT.expires_at)
    assert refusal.value.code == "link_expired"


def test_what_was_suppressed_or_cancelled_cannot_be_answered() -> None:
    with pytest.raises(NotFound):
        check_open(replace(QUEUED, state="suppressed"), NOW)
    with pytest.raises(Gone) as refusal:
        check_open(invitations.cancelled(SENT), NOW)
    assert refusal.value.code == "invitation_cancelled"
    with pytest.raises(Gone):
        check_open(replace(SENT, state="expired"), NOW)


def test_a_look_at_the_page_changes_nothing() -> None:
    before = SENT
    check_open(SENT, NOW)
    assert before == SENT
    assert reported(SENT, "opened", NOW).state == "opened"  # the most that a scanner's report can do


def test_invitations_expire_and_answers_do_not() -> None:
    assert invitations.expired(SENT, SENT.expires_at - HOUR) == SENT
    assert invitations.expired(SENT, SENT.expires_at).state == "expired"
    given_ = answered(SENT, NOW).invitation
    assert invitations.expired(given_, SENT.expires_at) == given_
    assert invitations.cancelled(given_) == given_
    assert invitations.cancelled(QUEUED).state == "cancelled"


def test_there_is_one_reminder() -> None:
    at = remind_at(SENT, LIMITS)
    assert at == NOW + 7 * DAY
    told = invitations.reminded(SENT, NOW + 7 * DAY)
    assert remind_at(told, LIMITS) is None
    with pytest.raises(Conflict) as refusal:
        invitations.reminded(told, NOW + 8 * DAY)
    assert refusal.value.code == "reminded_already"


@pytest.mark.parametrize("state", ["queued", "suppressed", "bounced", "answered", "expired", "cancelled"])
def test_nobody_is_reminded_of_what_is_not_waiting(state: invitations.State) -> None:
    assert remind_at(replace(SENT, state=state), LIMITS) is None


def test_nobody_is_reminded_of_a_link_that_will_have_expired_or_when_the_shop_does_not_want_it() -> None:
    assert remind_at(SENT, LIMITS._replace(remind_after=30 * DAY)) is None
    assert remind_at(SENT, LIMITS._replace(remind_after=None)) is None
    assert remind_at(Invitation("sent", NOW, NOW + DAY), LIMITS) is None


@pytest.mark.parametrize(
    "text, rating",
    [("9", 9), ("0", 0), ("10", 10), ("11", None), ("-1", None), ("6.5", None), ("", None), (None, None)],
)
def test_a_rating_in_the_link_is_shown_as_chosen_when_the_scale_has_it(
    text: str | None, rating: int | None
) -> None:
    assert preselected(text, Scale(0, 10)) == rating


@given(st.text())
def test_any_text_may_stand_in_the_link(text: str) -> None:
    found = preselected(text, Scale(0, 10))
    assert found is None or 0 <= found <= 10
