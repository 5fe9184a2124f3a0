"""Complaints: every path that is allowed and none that is not, and what each writes."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.feedback import complaints, references
from app.domain.feedback.calendars import DAYS, calendar_of
from app.domain.feedback.clocks import Targets, elapsed
from app.domain.feedback.complaint_states import PUBLIC, REASONS, SETTLED, STATES
from app.domain.feedback.complaints import STANDARD, Case, Deed, allowed, moved, received
from app.domain.problems import Conflict, Invalid

OFFICE = calendar_of(time_zone="Europe/Berlin", hours={day: [["09:00", "17:00"]] for day in DAYS[:5]})
MONDAY = datetime(2026, 11, 23, 8, tzinfo=UTC)  # nine in Berlin
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

# Written out from the design, independently of the code. `any` state may also be merged or withdrawn.
PATHS = {
    "received": {"acknowledged"},
    "acknowledged": {"assessed"},
    "assessed": {"investigating"},
    "investigating": {"waiting_customer", "resolution_offered"},
    "waiting_customer": {"investigating"},
    "resolution_offered": {"accepted", "rejected", "closed"},
    "accepted": {"closed"},
    "rejected": {"escalated"},
    "escalated": {"investigating"},
    "closed": {"reopened"},
    "reopened": {"investigating"},
    "merged": set(),
    "withdrawn": set(),
}
TO_OFFER = ("acknowledged", "assessed", "investigating", "resolution_offered")


def step(case: Case, to: str, at: datetime, **given_: Any) -> Deed:
    """One transition, with a reason and a target where one is due."""
    known = REASONS.get(to)  # type: ignore[call-overload]  # any text may be asked for
    whole: dict[str, Any] = {
        "expected_version": case.version,
        "calendar": OFFICE,
        "reason": known[0] if known else None,
        "merged_into": "another" if to == "merged" else None,
    }
    return moved(case, to, at=at, **whole | given_)


def walked(*path: str, start: datetime = MONDAY, each: timedelta = HOUR) -> Case:
    """A case of medium severity that went along `path`, one step in each span of time."""
    case = received("medium", start, OFFICE).case
    for number, to in enumerate(path, 1):
        case = step(case, to, start + number * each).case
    return case


walks = st.lists(st.tuples(st.sampled_from(STATES), st.integers(0, 40 * 24)), max_size=25)


@given(walks)
def test_no_path_is_walked_that_the_design_does_not_draw(walk: list[tuple[str, int]]) -> None:
    case, at = received("high", MONDAY, OFFICE).case, MONDAY
    for to, hours in walk:
        at += hours * HOUR
        open_now = allowed(case, at)
        if to in open_now:
            after = step(case, to, at).case
            drawn = PATHS[case.state]
            assert to in drawn or (
                to in ("merged", "withdrawn") and case.state not in ("merged", "withdrawn")
            )
            assert (after.state, after.version) == (to, case.version + 1)
            case = after
        else:
            with pytest.raises(Conflict) as refusal:
                step(case, to, at)
            assert refusal.value.members["allowed"] == list(open_now)


@given(walks)
def test_along_any_path_health_hears_of_each_opening_and_its_end_once(walk: list[tuple[str, int]]) -> None:
    first = received("low", MONDAY, OFFICE)
    case, at, written = first.case, MONDAY, [(first.effect, first.effect_id)]
    for to, hours in walk:
        at += hours * HOUR
        if to in allowed(case, at):
            deed = step(case, to, at)
            case = deed.case
            if deed.effect:
                written.append((deed.effect, deed.effect_id))
        assert case.resolved == (case.state in SETTLED)
    names = [effect for effect, _ in written]
    assert all(one != other for one, other in pairwise(names))
    assert Counter(names)["complaint_opened"] == case.openings
    assert len(set(written)) == len(written)
    assert (names[-1] == "complaint_opened") != case.resolved


@given(walks)
def test_along_any_path_breaches_stay_and_elapsed_time_does_not_fall(walk: list[tuple[str, int]]) -> None:
    case, at = received("low", MONDAY, OFFICE).case, MONDAY
    for to, hours in walk:
        at += hours * HOUR
        before = case
        case = complaints.looked(case, at).case
        if to in allowed(case, at):
            case = step(case, to, at).case
        assert before.breaches <= case.breaches
        for one, other in zip(before.clocks, case.clocks, strict=True):
            if one.started_at == other.started_at:
                assert elapsed(one, at, OFFICE) == elapsed(other, at, OFFICE)
                assert one.breached_at in (None, other.breached_at)


def test_each_state_but_the_last_two_may_be_left() -> None:
    assert set(PATHS) == set(STATES)
    for state in STATES:
        case = Case(state, "low", MONDAY, 1, ())
        late = MONDAY + 20 * DAY
        ends = set() if state in ("merged", "withdrawn") else {"merged", "withdrawn"}
        assert set(allowed(case, late)) == PATHS[state] | ends


def test_an_old_version_is_a_conflict_before_anything_else() -> None:
    case = walked("acknowledged")
    with pytest.raises(Conflict) as refusal:
        step(case, "nonsense", MONDAY + DAY, expected_version=1)
    assert refusal.value.code == "version_conflict"
    assert refusal.value.members == {"version": 2, "state": "acknowledged"}


def test_of_two_that_decide_on_the_same_version_one_wins() -> None:
    case = walked("acknowledged", "assessed")
    won = step(case, "investigating", MONDAY + DAY).case
    with pytest.raises(Conflict, match="changed since"):
        step(won, "withdrawn", MONDAY + DAY, expected_version=case.version)


def test_an_illegal_step_lists_the_legal_ones() -> None:
    with pytest.raises(Conflict) as refusal:
        step(walked("acknowledged"), "closed", MONDAY + DAY, reason="resolved")
    assert refusal.value.code == "illegal_transition"
    assert refusal.value.members == {"state": "acknowledged", "allowed": ["assessed", "merged", "withdrawn"]}


@pytest.mark.parametrize(
    "path, to, given_, code",
    [
        (TO_OFFER, "rejected", {"reason": None}, "reason_required"),
        (TO_OFFER, "rejected", {"reason": "mood"}, "unknown_reason"),
        ((), "withdrawn", {"reason": None}, "reason_required"),
        ((), "merged", {"merged_into": None}, "merge_target_required"),
        ((), "solved", {}, "unknown_state"),
    ],
)
def test_steps_that_leave_something_out_are_refused(
    path: tuple[str, ...], to: str, given_: dict[str, Any], code: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        step(walked(*path), to, MONDAY + DAY, **given_)
    assert refusal.value.code == code


def test_an_acceptance_is_closed_without_a_reason() -> None:
    assert step(walked(*TO_OFFER, "accepted"), "closed", MONDAY + DAY, reason=None).case.state == "closed"


def test_an_unknown_severity_is_refused() -> None:
    with pytest.raises(Invalid) as refusal:
        received("dire", MONDAY, OFFICE)
    assert refusal.value.code == "unknown_severity"


def test_an_offer_without_an_answer_closes_after_fourteen_days_and_not_before() -> None:
    case = walked(*TO_OFFER)
    until = case.since + 14 * DAY
    assert complaints.closes_itself_at(case) == until
    with pytest.raises(Conflict) as refusal:
        step(case, "closed", until - HOUR, reason="no_answer")
    assert refusal.value.code == "too_early"
    assert refusal.value.members["at"] == until.isoformat()
    deed = step(case, "closed", until, reason="no_answer")
    assert deed.effect == "complaint_resolved"
    assert complaints.closes_itself_at(deed.case) is None


def test_a_complaint_is_reopened_within_thirty_days_only() -> None:
    case = walked(*TO_OFFER, "accepted", "closed")
    with pytest.raises(Conflict) as refusal:
        step(case, "reopened", case.since + 31 * DAY)
    assert refusal.value.code == "too_late"
    assert step(case, "reopened", case.since + 30 * DAY).case.state == "reopened"


def test_acceptance_resolves_and_closing_after_it_does_not_again() -> None:
    accepted = step(walked(*TO_OFFER), "accepted", MONDAY + DAY)
    assert (accepted.effect, accepted.effect_id) == ("complaint_resolved", "resolved:1")
    assert step(accepted.case, "closed", MONDAY + DAY).effect is None


def test_reopening_opens_again_and_is_resolved_again() -> None:
    reopened = step(walked(*TO_OFFER, "accepted", "closed"), "reopened", MONDAY + DAY)
    assert (reopened.effect, reopened.effect_id) == ("complaint_opened", "opened:2")
    case = reopened.case
    for to in ("investigating", "resolution_offered"):
        case = step(case, to, MONDAY + DAY).case
    assert step(case, "accepted", MONDAY + DAY).effect_id == "resolved:2"


def test_reopened_after_a_breach_keeps_it_and_gets_a_new_resolution_clock() -> None:
    case = walked(*TO_OFFER, "accepted", "closed", each=3 * DAY)
    assert case.breaches == {"acknowledge", "first_response", "resolution"}
    at = case.since + DAY
    again = step(case, "reopened", at)
    assert again.case.breaches == case.breaches
    assert again.case.clocks[:2] == case.clocks[:2]
    fresh = again.case.clocks[2]
    assert (fresh.started_at, fresh.breached, fresh.paused) == (at, False, timedelta())
    assert again.case.next_look_at == fresh.warn_at


def test_a_duplicate_voids_its_opening_and_a_withdrawal_ends_it() -> None:
    merged = step(walked("acknowledged"), "merged", MONDAY + HOUR)
    assert (merged.effect, merged.effect_id, merged.case.merged_into) == (
        "opening_voided",
        "opened:1",
        "another",
    )
    assert step(walked(), "withdrawn", MONDAY + HOUR).effect == "complaint_resolved"
    assert step(walked(*TO_OFFER, "accepted"), "merged", MONDAY + DAY).effect is None
    assert merged.case.next_look_at is None


def test_only_the_resolution_clock_rests_while_it_is_the_customers_turn() -> None:
    case = walked("acknowledged", "assessed", "investigating", "waiting_customer")
    acknowledge, response, resolution = case.clocks
    assert resolution.paused_since == MONDAY + 4 * HOUR
    assert acknowledge.stopped_at == MONDAY + HOUR
    assert response.stopped_at == MONDAY + 4 * HOUR  # asking back is an answer
    again = step(case, "investigating", MONDAY + DAY).case
    assert again.clocks[2].paused == 4 * HOUR
    assert again.clocks[2].due_at == MONDAY + 7 * DAY + 4 * HOUR


def test_an_offer_rests_the_clock_too_and_a_rejection_starts_it_again() -> None:
    case = walked(*TO_OFFER)
    assert case.clocks[2].paused_since
    assert case.next_look_at is None
    rejected = step(case, "rejected", MONDAY + 2 * DAY).case
    assert rejected.clocks[2].paused_since is None
    assert rejected.clocks[2].paused == 12 * HOUR  # Monday afternoon and Tuesday


def test_the_acknowledgement_is_no_answer_but_a_visible_step_is() -> None:
    assert walked("acknowledged").clocks[1].stopped_at is None
    case = step(walked("acknowledged"), "assessed", MONDAY + 2 * HOUR, visible_to_customer=True).case
    assert case.clocks[1].stopped_at == MONDAY + 2 * HOUR
    told = complaints.answered(walked("acknowledged"), at=MONDAY + 3 * HOUR, calendar=OFFICE).case
    assert told.clocks[1].stopped_at == MONDAY + 3 * HOUR
    assert told.version == 2


def test_the_worker_finds_warnings_and_breaches_once_and_changes_no_version() -> None:
    case = received("low", MONDAY, OFFICE).case
    assert case.next_look_at == MONDAY + 6.4 * HOUR
    found = complaints.looked(case, MONDAY + 2 * DAY)
    told = [(event.clock, event.notice) for event in found.events]
    assert told == [
        ("acknowledge", "warning"),
        ("acknowledge", "breach"),
        ("first_response", "warning"),
        ("first_response", "breach"),
    ]
    assert found.case.version == case.version
    assert complaints.looked(found.case, MONDAY + 2 * DAY).events == ()
    assert found.case.next_look_at == found.case.clocks[2].warn_at


def test_a_warning_is_no_breach() -> None:
    case = received("low", MONDAY, OFFICE).case
    warned = complaints.looked(case, MONDAY + 7 * HOUR)
    assert {event.notice for event in warned.events} == {"warning"}
    assert warned.case.breaches == frozenset()
    late = step(case, "acknowledged", MONDAY + 7 * HOUR)
    assert {event.notice for event in late.events} == {"warning"}
    assert late.case.breaches == frozenset()


def test_another_severity_recalculates_and_keeps_pauses_and_version_counts() -> None:
    rules = STANDARD._replace(targets={"low": Targets(1, 1, 5), "critical": Targets(0.5, 0.5, 1)})
    case = received("low", MONDAY, OFFICE, rules).case
    deed = complaints.reprioritised(
        case, "critical", at=MONDAY + HOUR, expected_version=1, calendar=OFFICE, rules=rules
    )
    assert [clock.due_at for clock in deed.case.clocks] == [
        MONDAY + 4 * HOUR,
        MONDAY + 4 * HOUR,
        MONDAY + 8 * HOUR,
    ]
    assert (deed.case.version, deed.case.severity, deed.effect) == (2, "critical", None)


def test_a_settled_complaint_keeps_its_severity() -> None:
    case = walked(*TO_OFFER, "accepted")
    with pytest.raises(Conflict) as refusal:
        complaints.reprioritised(case, "low", at=MONDAY, expected_version=case.version, calendar=OFFICE)
    assert refusal.value.code == "settled"


def test_a_step_of_a_host_that_is_behind_counts_from_the_state_before() -> None:
    case = walked("acknowledged")
    assert step(case, "assessed", MONDAY - DAY).case.since == case.since


def test_a_second_complaint_within_half_a_year_is_a_repeat() -> None:
    assert not complaints.is_repeat(MONDAY, [])
    assert complaints.is_repeat(MONDAY, [MONDAY])
    assert complaints.is_repeat(MONDAY, [MONDAY - 180 * DAY])
    assert not complaints.is_repeat(MONDAY, [MONDAY - 181 * DAY, MONDAY + DAY])


def test_a_contact_becomes_one_complaint_whose_clocks_run_since_the_contact() -> None:
    opening = complaints.from_contact("c-1", MONDAY - DAY)
    assert opening == ("contact:c-1", "medium", MONDAY - DAY)
    assert complaints.from_contact("c-1", MONDAY, "high").severity == "high"
    assert received(opening.severity, opening.at, OFFICE).case.clocks[0].started_at == MONDAY - DAY


def test_the_index_of_due_times_holds_the_next_thing_to_do() -> None:
    fresh = received("low", MONDAY, OFFICE).case
    assert complaints.next_due_at(fresh) == fresh.next_look_at
    offered = walked(*TO_OFFER)
    assert complaints.next_due_at(offered) == offered.since + 14 * DAY
    assert complaints.next_due_at(walked(*TO_OFFER, "accepted")) is None


def test_every_state_has_words_for_the_customer() -> None:
    assert set(PUBLIC) == set(STATES)
    assert "escalated" not in PUBLIC.values()


# --- references -----------------------------------------------------------------------------------------------------


@given(st.binary(min_size=6, max_size=6))
def test_a_reference_is_found_however_it_is_typed(random: bytes) -> None:
    reference = references.reference_of(random)
    assert references.reference_in(reference) == reference
    sloppy = f" {reference.lower().replace('-', ' ').replace('0', 'o').replace('1', 'l')} "
    assert references.reference_in(sloppy) == reference


@given(st.binary(min_size=6, max_size=6), st.integers(0, 9), st.sampled_from(references.ALPHABET))
def test_one_wrong_character_is_noticed(random: bytes, place: int, wrong: str) -> None:
    body = references.reference_of(random).replace("-", "")[1:]
    changed = body[:place] + wrong + body[place + 1 :]
    assert (references.reference_in("C" + changed) is None) == (changed != body)


@given(st.text())
def test_any_text_may_be_taken_for_a_reference(text: str) -> None:
    found = references.reference_in(text)
    assert found is None or references.reference_in(found) == found


def test_references_do_not_meet_early() -> None:
    assert references.reference_of(bytes(6)) == "C-00000-00000"
    assert len({references.reference_of(number.to_bytes(6)) for number in range(2000)}) == 2000
