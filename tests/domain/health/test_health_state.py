"""The state: exact, order-free, small."""

from collections import defaultdict
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.health.facts import Fact, fact_of
from app.domain.health.form import SHIPPED
from app.domain.health.history import fold, steps
from app.domain.health.state import EMPTY, State
from app.domain.health.threads import contribution, joined, pending, voided
from app.domain.health.weights import read, weight
from tests.domain.health.strategies import DAY, END, NOW, START, histories, moments

HALF_LIVES = (15, 30, 45, 60, 120, 180, 240, 365)


def arrive(facts: list[Fact]) -> State:
    """One fact after the other, as the write path folds them in."""
    state = EMPTY
    threads: dict[str | None, list[Fact]] = defaultdict(list)
    for fact in facts:
        known = threads[fact.thread] if fact.thread else []
        state = joined(state, known, fact)
        known.append(fact)
    return state


@given(moments, st.sampled_from(HALF_LIVES), st.integers(0, 400))
def test_a_weight_halves_with_each_half_life(at: int, half_life: int, days: int) -> None:
    worth = read(weight(at, half_life), at + days * DAY, half_life)
    assert worth == pytest.approx(2 ** (-days / half_life), rel=1.8e-4)


@given(histories(), st.randoms(use_true_random=False))
def test_any_order_of_arrival_ends_in_identical_integers_and_bytes(facts: list[Fact], random: Random) -> None:
    shuffled = random.sample(facts, len(facts))
    assert arrive(shuffled) == fold(facts)
    assert arrive(shuffled).encode() == fold(facts).encode()


@given(histories(), histories())
def test_adding_states_is_commutative_and_taking_away_undoes_it(one: list[Fact], other: list[Fact]) -> None:
    a, b = fold(one), fold(other)
    both = a.plus(b)
    assert both == b.plus(a)
    assert both.minus(b).spanning(a.t_first, a.t_last) == a


@given(histories(), histories(), histories())
def test_adding_states_is_associative(one: list[Fact], two: list[Fact], three: list[Fact]) -> None:
    a, b, c = fold(one), fold(two), fold(three)
    assert a.plus(b).plus(c) == a.plus(b.plus(c))
    assert a.plus(EMPTY) == a == EMPTY.plus(a)


@given(histories(min_size=1), st.data())
def test_recording_then_voiding_a_fact_leaves_no_trace(facts: list[Fact], data: st.DataObject) -> None:
    void = data.draw(st.sampled_from(facts))
    kept = [fact for fact in facts if fact is not void]
    if void.thread is None:
        held, left = [void], []
    else:
        held = [fact for fact in facts if fact.thread == void.thread]
        left = [fact for fact in held if fact is not void]
    bought = [fact.at for fact in kept if fact.kind == "purchase"]
    state = fold(facts).minus(contribution(held)).plus(contribution(left))
    assert state.spanning(min(bought, default=None), max(bought, default=None)) == fold(kept)


@given(histories(), st.data())
def test_voids_among_arrivals_in_any_order_end_in_the_fold_of_what_stands(
    facts: list[Fact], data: st.DataObject
) -> None:
    gone = data.draw(st.sets(st.sampled_from([fact.id for fact in facts]))) if facts else set()
    state = EMPTY
    here: list[Fact] = []
    waiting = list(gone)
    for fact in data.draw(st.permutations(facts)):
        state = joined(state, [known for known in here if fact.thread and known.thread == fact.thread], fact)
        here.append(fact)
        for void in [known for known in here if known.id in waiting and data.draw(st.booleans())]:
            state = take_back(state, here, void)
            waiting.remove(void.id)
    for void in [known for known in here if known.id in waiting]:
        state = take_back(state, here, void)
    assert state.encode() == fold(fact for fact in facts if fact.id not in gone).encode()


def take_back(state: State, here: list[Fact], void: Fact) -> State:
    """As the void does it: the first and the last purchase come from the log."""
    here.remove(void)
    state = voided(state, [known for known in here if void.thread and known.thread == void.thread], void)
    bought = [known.at for known in here if known.kind == "purchase"]
    return state.spanning(min(bought), max(bought)) if bought else state


@given(histories(), histories())
def test_merging_two_states_is_folding_both_logs_as_long_as_no_thread_is_in_both(
    one: list[Fact], other: list[Fact]
) -> None:
    # Two customers' orders and complaints are different ones, even when they are called the same.
    theirs = [fact._replace(thread=fact.thread and f"{fact.thread}'", id=f"{fact.id}'") for fact in other]
    assert fold(one).plus(fold(theirs)).encode() == fold([*one, *theirs]).encode()


@given(histories())
def test_each_step_of_the_history_is_the_fold_of_the_facts_so_far(facts: list[Fact]) -> None:
    seen: list[Fact] = []
    for fact, state in steps(facts):
        seen.append(fact)
        assert state == fold(seen)
    assert [(fact.at, fact.id) for fact in seen] == sorted((fact.at, fact.id) for fact in facts)


@given(histories())
def test_a_fact_that_waits_adds_nothing(facts: list[Fact]) -> None:
    threads: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.thread is not None:
            threads[fact.thread].append(fact)
    for thread in threads.values():
        waiting = pending(thread)
        assert contribution([fact for fact in thread if fact.id not in waiting]) == contribution(thread)


@given(histories())
def test_a_stored_state_reads_back_as_it_was(facts: list[Fact]) -> None:
    state = fold(facts)
    assert State.decode(state.encode()) == state


@given(
    st.lists(st.integers(-(2**2000), 2**2000), min_size=17, max_size=17),
    st.integers(0, 2**40),
    st.integers(0, 2**40),
)
def test_any_integers_survive_being_stored(values: list[int], first: int, last: int) -> None:
    state = State._make((values[0], first, last, *values[1:], SHIPPED))
    assert State.decode(state.encode()) == state


@given(histories(), st.data())
def test_damaged_bytes_are_refused(facts: list[Fact], data: st.DataObject) -> None:
    stored = fold(facts).encode()
    cut = data.draw(st.integers(0, len(stored) - 1))
    for damaged in (stored[:cut], stored + b"\0", b"\x02" + stored[1:]):
        with pytest.raises(ValueError, match="Stored state"):
            State.decode(damaged)


def test_ten_years_of_weekly_purchases_and_everything_else_fit_into_a_kilobyte() -> None:
    random = Random(7)
    start = END - 3650 * DAY
    facts = [
        fact_of(
            "purchase",
            start + week * 7 * DAY + random.randrange(7 * DAY),
            f"p{week}",
            amount=random.randrange(10**6),
            order_id=str(week),
        )
        for week in range(521)
    ]
    for index in range(1500):
        kind = random.choice(
            (
                "refund",
                "visit",
                "support_contact",
                "referral",
                "points_redeemed",
                "nps",
                "complaint_opened",
                "complaint_resolved",
            )
        )
        properties = {"rating": random.randrange(11), "complaint_id": str(index % 90)}
        at = start + random.randrange(3650 * DAY)
        facts.append(
            fact_of(kind, at, f"f{index}", amount=1, order_id=str(index % 521), properties=properties)
        )
    assert len(fold(facts).encode()) <= 1024


def test_first_and_last_purchase_are_known_exactly_when_there_are_purchases() -> None:
    bought = fold([fact_of("purchase", START, "a", amount=100)])
    assert bought.minus(bought) == EMPTY
    with pytest.raises(ValueError, match="exactly when"):
        bought.spanning(None, None)
    with pytest.raises(ValueError, match="exactly when"):
        EMPTY.spanning(START, START)


def test_a_full_refund_takes_the_money_of_its_order_away_to_the_last_unit() -> None:
    other = fact_of("purchase", START + 3 * DAY, "b", amount=777)
    order = [fact_of("purchase", START, "a", amount=4999, order_id="A")]
    order.append(fact_of("refund", END, "r", amount=4999, order_id="A"))
    state, without = fold([other, *order]), fold([other])
    assert (state.m120, state.spend) == (without.m120, without.spend)
    assert read(state.r240, END, 240) == pytest.approx(1000, rel=2e-4)
    assert state.n == 2


def test_a_cancellation_that_names_an_amount_leaves_a_payment_after_it_alone() -> None:
    bought = fact_of("purchase", START, "p", amount=10_000, order_id="A")
    gone = fact_of("order_cancelled", START + DAY, "c", amount=10_000, order_id="A")
    again = fact_of("purchase", START + 2 * DAY, "p2", amount=10_000, order_id="A")
    assert contribution([bought, gone]).spend == 0
    assert contribution([bought, gone, again]).spend == 10_000
    late = fact_of("order_cancelled", START + 3 * DAY, "c2", amount=10_000, order_id="A")
    assert contribution([bought, gone, again, late]).spend == 0
    rest = fact_of("order_cancelled", START + 3 * DAY, "c3", order_id="A")
    assert contribution([bought, gone, again, rest]).spend == 0
    more = fact_of("order_cancelled", START + DAY, "c", amount=99_999, order_id="A")
    assert contribution([bought, more]).spend == 0


def test_a_cancellation_refunds_what_is_left_of_the_order_once() -> None:
    order = [
        fact_of("purchase", START, "a", amount=1000, order_id="A"),
        fact_of("refund", START + DAY, "r", amount=400, order_id="A"),
    ]
    cancelled = [*order, fact_of("order_cancelled", START + 2 * DAY, "x", order_id="A")]
    again = [*cancelled, fact_of("order_cancelled", START + 3 * DAY, "y", order_id="A")]
    state = fold(cancelled)
    assert (state.spend, state.m120) == (0, 0)
    assert state.r240 == 400 * weight(START + DAY, 240) + 600 * weight(START + 2 * DAY, 240)
    assert fold(again) == state
    refunded = [*again, fact_of("refund", START + 4 * DAY, "z", amount=600, order_id="A")]
    assert fold(refunded).r240 == 400 * weight(START + DAY, 240) + 600 * weight(START + 4 * DAY, 240)


def test_a_refund_of_an_order_paid_in_parts_takes_money_at_the_first_part_and_never_more_than_all_of_it() -> (
    None
):
    parts = [fact_of("purchase", at, str(at), amount=500, order_id="A") for at in (START, START + 9 * DAY)]
    paid = fold(parts)
    refunded = fold([*parts, fact_of("refund", END, "r", amount=400, order_id="A")])
    assert paid.m120 - refunded.m120 == 400 * weight(START, 120)
    assert refunded.r240 == 400 * weight(END, 240)
    too_much = fold([*parts, fact_of("refund", END, "r", amount=5000, order_id="A")])
    assert too_much.r240 == 1000 * weight(END, 240)


def test_a_resolution_dated_before_its_opening_took_no_time() -> None:
    opening = fact_of("complaint_opened", END, "1", properties={"complaint_id": "c"})
    early, prompt = (
        fact_of("complaint_resolved", at, "2", properties={"complaint_id": "c"}) for at in (START, END)
    )
    assert fold([opening, early]).res45 == 250 * weight(START, 45)
    assert fold([opening, prompt]).res45 == 250 * weight(END, 45)


def test_a_free_order_is_returned_in_full_and_cancelled_without_effect() -> None:
    free = fact_of("purchase", START, "a", order_id="A")
    refund = fact_of("refund", END, "r", order_id="A")
    cancellation = fact_of("order_cancelled", END, "x", order_id="A")
    assert fold([free, refund]).r240 == 1000 * weight(END, 240)
    assert fold([free, cancellation]) == fold([free])


def test_a_refund_without_an_order_counts_in_full_at_its_own_time() -> None:
    state = fold([fact_of("refund", START, "r", amount=70)])
    assert (state.spend, state.m120, state.r240) == (-70, -70 * weight(START, 120), 1000 * weight(START, 240))


def test_a_complaint_reopened_under_its_id_is_open_again_until_its_second_resolution() -> None:
    complaint = {"complaint_id": "c1", "severity": "high"}
    thread = [
        fact_of("complaint_opened", START, "1", properties=complaint),
        fact_of("complaint_resolved", START + 2 * DAY, "2", properties={**complaint, "csat": 5}),
        fact_of("complaint_opened", START + 5 * DAY, "3", properties=complaint),
    ]
    state = fold(thread)
    assert (state.open_sev, state.open_sevt) == (1500, 1500 * (START + 5 * DAY))
    closed = fold([*thread, fact_of("complaint_resolved", START + 6 * DAY, "4", properties=complaint)])
    assert (closed.open_sev, closed.open_sevt) == (0, 0)
    assert closed.c180 == state.c180


def test_what_waits_is_named_until_the_other_fact_comes() -> None:
    refund = fact_of("refund", START, "r", amount=10, order_id="A")
    cancellation = fact_of("order_cancelled", START, "x", order_id="A")
    purchase = fact_of("purchase", END, "p", amount=10, order_id="A")
    assert pending([refund, cancellation]) == {"r", "x"}
    assert pending([refund, cancellation, purchase]) == frozenset()
    first, second = (
        fact_of("complaint_resolved", at, id, properties={"complaint_id": "c"})
        for at, id in ((START, "1"), (END, "2"))  # noqa: A001 - as in fact_of
    )
    opening = fact_of("complaint_opened", NOW, "0", properties={"complaint_id": "c"})
    assert pending([second, first]) == {"1", "2"}
    assert pending([second, opening, first]) == {"2"}
    assert pending([fact_of("refund", START, "lone", amount=10)]) == frozenset()


def test_facts_of_several_threads_have_no_contribution_together() -> None:
    lone = [fact_of("visit", START, "1"), fact_of("visit", START, "2")]
    mixed = [fact_of("purchase", START, id, order_id=id) for id in "AB"]  # noqa: A001 - as in fact_of
    for facts in (lone, mixed):
        with pytest.raises(ValueError, match="one thread"):
            contribution(facts)
