"""The closed loop: who is called, by whom, by when."""

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.feedback.answers import answer_of
from app.domain.feedback.follow_ups import (
    ASK_AGAIN_WITHIN,
    after_edit,
    ask_again_at,
    assigned,
    closed,
    follow_up,
    is_overdue,
    look_again_at,
    owner_of,
    reason_of,
)
from app.domain.problems import Conflict, Invalid

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    "kind, rating, mixed, negative, reason",
    [
        ("nps", 6, False, False, "low_answer"),
        ("nps", 7, False, True, None),
        ("nps", 10, True, True, "mixed"),
        ("csat", 2, False, False, "low_answer"),
        ("csat", 3, False, True, None),
        ("ces", 3, True, False, "low_answer"),
        ("review", 5, True, True, "mixed"),
        ("comment", None, False, True, "negative_text"),
        ("comment", None, False, False, None),
    ],
)
def test_low_answers_and_mixed_texts_call_for_a_person(
    kind: str, rating: int | None, mixed: bool, negative: bool, reason: str | None
) -> None:
    answer = answer_of(kind, rating=rating, text="words")
    assert reason_of(answer, mixed=mixed, text_is_negative=negative) == reason


def test_somebody_owns_it_from_the_start_and_never_the_agent_it_is_about() -> None:
    assert owner_of(customer_owner="ada", default_owner="team", attributed_to="bob") == "ada"
    assert owner_of(customer_owner="bob", default_owner="team", attributed_to="bob") == "team"
    assert owner_of(customer_owner=None, default_owner="bob", attributed_to="bob") is None


def test_it_is_due_in_48_hours() -> None:
    one = follow_up("low_answer", NOW, None)
    assert (one.state, one.due_at, one.version) == ("open", NOW + 48 * HOUR, 1)
    assert follow_up("mixed", NOW, "ada").state == "assigned"
    assert not is_overdue(one, NOW + 48 * HOUR)
    assert is_overdue(one, NOW + 49 * HOUR)
    assert not is_overdue(closed(one, "recovered", at=NOW, expected_version=1), NOW + 49 * HOUR)


def test_it_changes_hands_and_keeps_its_due_time() -> None:
    one = assigned(follow_up("low_answer", NOW, "ada"), "bob", expected_version=1)
    assert (one.owner, one.state, one.due_at, one.version) == ("bob", "assigned", NOW + 48 * HOUR, 2)
    assert assigned(one, None, expected_version=None).state == "open"


def test_of_two_that_change_it_at_once_one_is_told() -> None:
    one = assigned(follow_up("low_answer", NOW, None), "bob", expected_version=1)
    with pytest.raises(Conflict) as refusal:
        closed(one, "recovered", at=NOW, expected_version=1)
    assert (refusal.value.code, refusal.value.members) == ("version_conflict", {"version": 2})


def test_closed_is_closed_and_says_what_came_of_it() -> None:
    one = closed(follow_up("low_answer", NOW, None), "not_reached", at=NOW + HOUR, expected_version=1)
    assert (one.state, one.outcome, one.closed_at) == ("closed", "not_reached", NOW + HOUR)
    with pytest.raises(Conflict) as refusal:
        assigned(one, "ada", expected_version=2)
    assert refusal.value.code == "follow_up_closed"
    with pytest.raises(Invalid) as wrong:
        closed(follow_up("mixed", NOW, None), "shrugged", at=NOW, expected_version=1)
    assert wrong.value.code == "unknown_outcome"


def test_who_was_spoken_with_is_asked_again_after_two_weeks() -> None:
    one = follow_up("low_answer", NOW, None)
    assert ask_again_at(one) is None
    assert ask_again_at(closed(one, "recovered", at=NOW, expected_version=1)) == NOW + timedelta(days=14)
    assert ask_again_at(closed(one, "not_reached", at=NOW, expected_version=1)) is None


def test_an_edited_answer_opens_keeps_or_ends_its_follow_up() -> None:
    opened = follow_up("low_answer", NOW, None)
    taken = follow_up("low_answer", NOW, "ada")
    done = closed(taken, "recovered", at=NOW, expected_version=1)
    assert after_edit(None, None, at=NOW, owner=None) is None
    assert after_edit(None, "mixed", at=NOW, owner=None) == follow_up("mixed", NOW, None)
    ended = after_edit(opened, None, at=NOW, owner=None)
    assert ended is not None
    assert ended.outcome == "answer_changed"
    assert after_edit(taken, None, at=NOW, owner=None) == taken
    assert after_edit(done, "low_answer", at=NOW, owner=None) == done
    assert after_edit(taken, "low_answer", at=NOW, owner=None) == taken
    other = after_edit(taken, "mixed", at=NOW + HOUR, owner=None)
    assert other is not None
    assert (other.reason, other.due_at, other.version) == ("mixed", NOW + 48 * HOUR, 2)


@pytest.mark.parametrize(
    "suppressed_by, eligible, again",
    [
        (None, None, None),
        ("opt_out", None, None),
        ("no_channel", None, None),
        ("quiet_period", NOW + timedelta(days=30), NOW + timedelta(days=30)),
        ("quiet_period", NOW + ASK_AGAIN_WITHIN, NOW + ASK_AGAIN_WITHIN),
        ("quiet_period", NOW + ASK_AGAIN_WITHIN + timedelta(microseconds=1), None),
        ("open_complaint", None, NOW + timedelta(days=1)),
    ],
)
def test_what_passes_is_looked_at_again_and_a_word_of_the_customers_stands(
    suppressed_by: str | None, eligible: datetime | None, again: datetime | None
) -> None:
    assert look_again_at(NOW, suppressed_by, eligible, NOW) == again
