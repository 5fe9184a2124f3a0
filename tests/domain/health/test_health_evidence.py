from hypothesis import given

from app.domain.health import evidence
from app.domain.health.facts import Fact, fact_of
from app.domain.health.history import fold
from app.domain.health.model import COMPONENTS, shipped
from app.domain.health.score import score
from tests.domain.health.strategies import DAY, NOW, histories


def _told(*facts: Fact) -> dict[str, str | None]:
    return dict(zip(COMPONENTS, evidence.told(fold(facts), NOW), strict=True))


def _top(*facts: Fact) -> dict[str, list[str]]:
    return {
        name: [fact.id for fact in top]
        for name, top in zip(COMPONENTS, evidence.top(facts, NOW), strict=True)
    }


def test_purchases_are_counted() -> None:
    told = _told(fact_of("purchase", NOW, "a"), fact_of("purchase", NOW - DAY, "b"))
    assert told["momentum"] == told["rhythm"] == told["value"] == "2 purchases"
    assert told["refunds"] == "nothing sent back"
    assert told["complaints"] is None


def test_everything_else_fades_and_says_how_fast() -> None:
    old = NOW - 180 * DAY
    assert _told(fact_of("csat", old, "a", properties={"rating": 3}))["satisfaction"] == (
        "0.5 answers, each counting half after 180 days"
    )
    opened = fact_of("complaint_opened", NOW, "c", properties={"complaint_id": "c", "severity": "high"})
    resolved = fact_of("complaint_resolved", NOW, "r", properties={"complaint_id": "c"})
    assert _told(opened)["complaints"] == "1.0 complaint, each counting half after 180 days; not all resolved"
    assert (
        _told(opened, resolved)["complaints"]
        == "1.0 complaint, each counting half after 180 days; all resolved"
    )


@given(histories())
def test_a_component_has_evidence_told_whenever_it_has_a_contribution(facts: list[Fact]) -> None:
    state = fold(facts)
    told = evidence.told(state, NOW)
    terms = score(state, NOW, shipped()).terms
    # Refunds are known to be none once there is a purchase: told, and worth no points.
    assert all(why is not None or term is None for why, term in zip(told, terms, strict=True))
    assert all(
        why is None or term is not None or name == "refunds"
        for name, why, term in zip(COMPONENTS, told, terms, strict=True)
    )


def test_the_newest_of_equals_come_first_and_there_are_three() -> None:
    top = _top(*(fact_of("purchase", NOW - day * DAY, f"p{day}", amount=100) for day in (5, 1, 9, 3)))
    assert top["momentum"] == top["rhythm"] == top["value"] == ["p1", "p3", "p5"]


def test_what_weighs_more_comes_before_what_is_newer() -> None:
    assert _top(fact_of("visit", NOW, "visit"), fact_of("community_post", NOW - DAY, "post"))[
        "engagement"
    ] == [
        "post",
        "visit",
    ]
    small, large = (
        fact_of("purchase", NOW, "small", amount=100),
        fact_of("purchase", NOW - DAY, "large", amount=9900),
    )
    assert _top(small, large)["value"] == ["large", "small"]
    assert _top(small, large)["momentum"] == ["small", "large"]


def test_a_refund_weighs_in_refunds_and_in_value_and_a_mere_fact_nowhere() -> None:
    top = _top(fact_of("refund", NOW, "r", amount=5), fact_of("delivered", NOW, "d"))
    assert {name for name, ids in top.items() if ids} == {"value", "refunds"}
