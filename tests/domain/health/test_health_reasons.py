"""Explanations: figures that add up, and sentences that a support agent can read out."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.health import wording
from app.domain.health.explain import delta, points_missed, reasons
from app.domain.health.facts import Fact, fact_of
from app.domain.health.flags import red_flags
from app.domain.health.history import fold
from app.domain.health.model import COMPONENTS, shipped
from app.domain.health.score import score
from app.domain.health.standing import level_reasons, next_best_actions
from tests.domain.health.strategies import DAY, END, NOW, histories
from tests.domain.health.strategies import facts as one_fact

MODEL = shipped()
COMPLAINTS = COMPONENTS.index("complaints")
JARGON = re.compile(r"None|nan|_|\blog|decay|\b1 days|\b0 days|\b0\.0 points|  ")


def told(known: list[Fact], fact: Fact, now: int) -> list[str]:
    """What the caller of POST reads when `fact` joins `known`."""
    before, after = fold(known), fold([*known, fact])
    thread = [other for other in (*known, fact) if other.thread is not None and other.thread == fact.thread]
    return reasons(
        fact, before, after, score(before, now, MODEL), score(after, now, MODEL), now, MODEL, thread
    )


def buy(day: float, id: str, **more: Any) -> Fact:  # noqa: A002 - as in fact_of
    return fact_of("purchase", END + int(day * DAY), id, **{"amount": 2000, **more})


def complain(kind: str, day: float, id: str, **properties: Any) -> Fact:  # noqa: A002 - as in fact_of
    return fact_of(kind, END + int(day * DAY), id, properties={"complaint_id": "c1", **properties})


@given(histories(), histories(max_size=4), st.integers(0, 300 * DAY))
def test_the_points_of_a_change_add_up_to_the_whole_change(
    one: list[Fact], more: list[Fact], wait: int
) -> None:
    before, after = score(fold(one), NOW, MODEL), score(fold([*one, *more]), NOW + wait, MODEL)
    start, end = (50.0 if health.score_exact is None else health.score_exact for health in (before, after))
    moved = delta(before, after, MODEL)
    assert sum(moved) == pytest.approx(end - start, abs=1e-6)
    for points, then, now in zip(moved, before.terms, after.terms, strict=True):
        assert points * ((now or 0) - (then or 0)) >= 0


def test_a_change_that_cancels_out_is_still_split() -> None:
    before = score(fold([fact_of("referral", END, "a"), fact_of("visit", END, "b")]), END, MODEL)
    engagement, advocacy = before.terms[7:9]
    after = before._replace(terms=(*before.terms[:7], advocacy, engagement, before.terms[9]))
    moved = delta(before, after, MODEL)
    assert moved[7] == -moved[8] > 1
    assert delta(before, before, MODEL) == (0.0,) * 10


@given(histories(), st.integers(0, 300 * DAY))
def test_points_within_reach_are_never_negative_and_never_pass_100(facts: list[Fact], wait: int) -> None:
    state, now = fold(facts), NOW + wait
    health = score(state, now, MODEL)
    start = 50.0 if health.score_exact is None else health.score_exact
    missed = points_missed(state, health, now, MODEL)
    assert all(0 <= points <= 100 - start + 1e-9 for points in missed)
    for name in ("refunds", "complaints", "contacts"):
        index = COMPONENTS.index(name)
        assert (missed[index] > 0) == ((health.terms[index] or 0) < 0)
    for name in ("satisfaction", "engagement", "advocacy", "loyalty"):
        assert missed[COMPONENTS.index(name)] > 0


@given(histories(max_size=10), one_fact("new"))
def test_every_fact_is_answered_with_one_to_three_plain_sentences(facts: list[Fact], fact: Fact) -> None:
    sentences = told(facts, fact, NOW)
    assert 1 <= len(sentences) <= 3
    for sentence in sentences:
        assert sentence[0].isupper()
        assert not JARGON.search(sentence)


@given(histories(), st.integers(0, 500 * DAY))
def test_where_a_customer_stands_is_told_in_at_most_five_plain_sentences(
    facts: list[Fact], wait: int
) -> None:
    state, now = fold(facts), NOW + wait
    health = score(state, now, MODEL)
    flags = red_flags(state, now, MODEL)
    actions = next_best_actions(state, health, flags, now, MODEL)
    sentences = level_reasons(state, health, now, MODEL, "EUR")
    assert 1 <= len(sentences) <= 5
    for sentence in (*sentences, *(why for _, why in actions)):
        assert sentence[0].isupper()
        assert not JARGON.search(sentence)
    assert len({action for action, _ in actions}) == len(actions)
    if "complaint_open" in flags:
        assert actions[0][0] == "resolve_complaint"
        assert {action for action, _ in actions} <= {"resolve_complaint", "call_personally"}


LATE = "Reported late, it happened {} days ago"
MENTIONED = "Mentioned in public, sentiment +0.00"
FIRST, SECOND = buy(-42, "1"), buy(-12, "2")
ORDER = buy(-5, "3", order_id="A")
OPENED = complain("complaint_opened", -3, "4", severity="high")


@pytest.mark.parametrize(
    "known, fact, sentences",
    [
        ([], buy(0, "n"), ["First purchase"]),
        ([FIRST], buy(0, "n"), ["Bought again after 42 days"]),
        ([FIRST, SECOND], buy(0, "n"), ["Bought again after 12 days; usual gap is 30"]),
        ([FIRST, SECOND], buy(-12, "n"), ["Bought again the same day; usual gap is 30", LATE.format(12)]),
        ([FIRST, SECOND], buy(-40, "n"), ["An earlier purchase, 28 days before the latest", LATE.format(40)]),
        ([ORDER], fact_of("refund", END, "n", amount=900, order_id="A"), ["Refund of 45 % of the order"]),
        ([ORDER], fact_of("refund", END, "n", amount=2000, order_id="A"), ["Refund of the whole order"]),
        ([], fact_of("refund", END, "n", amount=900, order_id="A"), ["Waits for its order"]),
        ([], fact_of("refund", END, "n", amount=900), ["Refund without an order, counted in full"]),
        ([ORDER], fact_of("order_cancelled", END, "n", order_id="A"), ["Order cancelled"]),
        ([], complain("complaint_resolved", 0, "n"), ["Waits for its complaint"]),
        ([], fact_of("delivered", END, "n"), ["No effect on health"]),
        ([], fact_of("visit", END, "n"), ["Visited; engagement +0.4 points"]),
        ([], fact_of("referral", END, "n"), ["Referred a friend; advocacy +2.3 points"]),
        ([], fact_of("nps", END, "n", properties={"rating": 9}), ["Answered NPS 9 of 10; satisfaction +1.3 points"]),
        ([], fact_of("csat", END, "n", properties={"rating": 1}), ["Answered CSAT 1 of 5; satisfaction -2.2 points"]),
        ([], fact_of("social_mention", END, "n", properties={"sentiment": 0}), [MENTIONED]),
        ([], fact_of("fitting", END, "n", own=("loyalty", 1000)), ["Fitting; loyalty +2.9 points"]),
    ],
)  # fmt: skip
def test_a_fact_is_told_with_its_figures(known: list[Fact], fact: Fact, sentences: list[str]) -> None:
    assert told(known, fact, END) == sentences


def test_a_refund_among_several_orders_says_how_much_comes_back() -> None:
    refund = fact_of("refund", END, "n", amount=900, order_id="A")
    assert told([SECOND, ORDER], refund, END) == [
        "Refund of 45 % of the order",
        "Refunds are 23 % of recent purchases",
    ]
    waiting = fact_of("refund", END, "r", amount=900, order_id="A")
    assert told([waiting], ORDER, END)[:2] == [
        "First purchase",
        "Its refund of 45 % was known before and counts now",
    ]
    rest = told([ORDER, waiting], fact_of("order_cancelled", END, "n", order_id="A"), END)
    assert rest == ["Order cancelled; the remaining 55 % is refunded"]


def test_a_complaint_is_told_with_what_it_costs_and_what_comes_back() -> None:
    assert told([FIRST], complain("complaint_opened", 0, "n", severity="high"), END) == [
        "Complaint opened, high severity; it costs 29.4 points"
    ]
    assert told([FIRST, OPENED], complain("complaint_resolved", 0, "n", csat=5), END) == [
        "Complaint resolved after 3 days, rated 5 of 5; 28.5 points back"
    ]
    other = fact_of("complaint_opened", END, "n", properties={"complaint_id": "c2"})
    again = told([FIRST, OPENED], other, END)
    assert again[1] == "Not the first complaint in recent months, so complaints weigh 1.5 times"
    assert told([FIRST, OPENED, other], complain("complaint_resolved", 0, "m"), END)[1] == (
        "Another complaint is still open"
    )


def test_the_third_contact_in_a_row_says_that_the_first_two_were_free() -> None:
    contacts = [fact_of("support_contact", END - index * DAY, str(index)) for index in range(3)]
    sentences = told(contacts[1:], contacts[0], END)
    assert sentences[0] == "Support contact, about the 3rd in recent weeks; the first 2 are free"
    assert sentences[1].startswith("Contacts cost ")


def test_a_customer_with_an_old_complaint_and_a_long_silence_reads_as_one_would_say_it() -> None:
    facts = [buy(-30 * index - 90, str(index)) for index in range(4)]
    facts.append(complain("complaint_opened", -9, "c"))
    state = fold(facts)
    health = score(state, END, MODEL)
    assert level_reasons(state, health, END, MODEL, "EUR") == [
        "A complaint is open for 9 days: -32.4 points",
        "Bought 4 times, last 90 days ago: +19.8 points",
        "Spent 80.00 EUR so far: +6.0 points",
        "Silent for 90 days; usual gap is 30: -1.5 points",
    ]
    flags = red_flags(state, END, MODEL)
    actions = dict(next_best_actions(state, health, flags, END, MODEL))
    assert list(actions) == ["resolve_complaint"]
    assert actions["resolve_complaint"].startswith(
        "A complaint is open for 9 days; resolving it now gives back "
    )


@pytest.mark.parametrize("currency, spent", [("EUR", "49.99 EUR"), ("JPY", "4999 JPY"), ("KWD", "4.999 KWD")])
def test_what_was_spent_is_told_in_the_money_of_the_shop(currency: str, spent: str) -> None:
    bought = buy(-3, "1", amount=6999, order_id="A")
    refund = fact_of("refund", END, "2", amount=2000, order_id="A")
    for facts, told in (
        ([bought._replace(amount=4999)], f"Spent {spent} so far: "),
        ([bought, refund], f"Spent {spent} net of refunds: "),
    ):
        state = fold(facts)
        sentences = level_reasons(state, score(state, END, MODEL), END, MODEL, currency)
        assert [one for one in sentences if one.startswith(told)], sentences


@pytest.mark.parametrize(
    "silence_days, opted_out, expected",
    [
        (0, False, ["ask_for_feedback", "thank_and_invite"]),
        (0, True, []),
        (100, False, ["win_back", "ask_for_feedback"]),
        (500, False, ["call_personally", "win_back", "ask_for_feedback"]),
    ],
)
def test_a_good_customer_is_thanked_and_an_overdue_one_won_back_unless_they_opted_out(
    silence_days: int, opted_out: bool, expected: list[str]
) -> None:
    state, now = fold([buy(-10 * index, str(index)) for index in range(6)]), END + silence_days * DAY
    flags = red_flags(state, now, MODEL, opted_out=opted_out)
    actions = dict(next_best_actions(state, score(state, now, MODEL), flags, now, MODEL))
    assert list(actions) == expected
    if "win_back" in actions:
        assert actions["win_back"].startswith(
            f"Silent for {silence_days} days; usual gap is 10; a purchase now would add "
        )


@pytest.mark.parametrize(
    "seconds, duration, since",
    [
        (-5, "less than a day", "today"),
        (DAY // 2 - 1, "less than a day", "today"),
        (DAY // 2, "1 day", "1 day ago"),
        (2 * DAY, "2 days", "2 days ago"),
    ],
)
def test_days_are_said_as_people_say_them(seconds: int, duration: str, since: str) -> None:
    assert (wording.days(seconds), wording.ago(seconds)) == (duration, since)


def test_numbers_are_said_as_people_say_them() -> None:
    assert [wording.ordinal(count) for count in (1, 2, 3, 4, 11, 12, 13, 21, 112)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th",
    ]  # fmt: skip
    assert [wording.times(count) for count in (1, 2, 3)] == ["once", "twice", "3 times"]
    assert [wording.points(value) for value in (-0.98, 1.04, 2)] == ["1.0 point", "1.0 point", "2.0 points"]
