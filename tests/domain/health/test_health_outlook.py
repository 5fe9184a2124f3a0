"""Trend, and what would help."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.health.explain import gain
from app.domain.health.facts import Fact, fact_of
from app.domain.health.history import fold
from app.domain.health.model import shipped
from app.domain.health.outlook import Opening, rewound, what_would_help
from app.domain.health.score import score
from app.domain.health.threads import contribution
from tests.domain.health.strategies import DAY, END, NOW, START, histories

MODEL = shipped()


@given(histories(max_size=24), st.integers(START, END))
def test_a_state_without_its_latest_facts_is_the_state_from_before_them(facts: list[Fact], then: int) -> None:
    undone = [fact for fact in facts if fact.at > then]
    threads = {fact.thread for fact in undone} - {None}
    kept = [fact for fact in facts if fact.at <= then and fact.thread in threads]
    bought = [fact.at for fact in facts if fact.kind == "purchase" and fact.at <= then]
    # As storage tells it: only when a purchase is undone.
    last = max(bought, default=None) if any(fact.kind == "purchase" for fact in undone) else None
    assert rewound(fold(facts), undone, kept, last) == fold(fact for fact in facts if fact.at <= then)


def _complained(*severities: str) -> tuple[list[Fact], list[Opening]]:
    facts = [
        fact_of(
            "complaint_opened",
            NOW - (index + 3) * DAY,
            f"c{index}",
            properties={"complaint_id": f"c{index}", "severity": severity},
        )
        for index, severity in enumerate(severities)
    ]
    return facts, [Opening(f"c{index}", fact.at, fact.severity) for index, fact in enumerate(facts)]


def test_resolving_each_complaint_and_all_of_them_is_offered_with_its_gain() -> None:
    facts, openings = _complained("high", "low")
    offered = what_would_help(fold([*facts, fact_of("purchase", NOW - 40 * DAY, "p")]), openings, NOW, MODEL)
    gains = {(help_.action, help_.complaint_id): help_.gain for help_ in offered}
    assert set(gains) == {
        ("resolve_complaint", "c0"),
        ("resolve_complaint", "c1"),
        ("resolve_all_complaints", None),
        ("purchase", None),
        ("answer_survey", None),
    }
    assert (
        gains["resolve_all_complaints", None]
        >= gains["resolve_complaint", "c0"]
        > gains["resolve_complaint", "c1"]
    )
    assert [help_.gain for help_ in offered] == sorted(gains.values(), reverse=True)


def test_what_is_promised_is_what_happens() -> None:
    facts, openings = _complained("critical")
    state = fold(facts)
    promised = next(
        help_ for help_ in what_would_help(state, openings, NOW, MODEL) if help_.action == "resolve_complaint"
    )
    resolution = fact_of("complaint_resolved", NOW, "r", properties={"complaint_id": "c0"})
    before, after = (
        score(state, NOW, MODEL).score_exact,
        score(fold([*facts, resolution]), NOW, MODEL).score_exact,
    )
    assert before is not None
    assert after is not None
    assert promised.gain == round(after - before, 1)


@given(histories())
def test_only_what_raises_the_score_is_called_a_help(facts: list[Fact]) -> None:
    state = fold(facts)
    offered = what_would_help(state, [], NOW, MODEL)
    assert all(help_.gain >= 0.1 for help_ in offered)
    top = contribution((fact_of("csat", NOW, "", properties={"rating": 5}),))
    assert ("answer_survey" in {help_.action for help_ in offered}) == (
        round(gain(state, score(state, NOW, MODEL), top, NOW, MODEL), 1) > 0
    )
