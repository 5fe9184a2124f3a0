"""Whole numbers give what fractions give, for every version of plain rules and every purchase."""

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.loyalty.conditions import Member
from app.domain.loyalty.earning import evaluate, evaluate_exactly
from app.domain.loyalty.plain_rules import is_plain, plan_of
from app.domain.loyalty.purchases import Line, Purchase
from app.domain.loyalty.rules import Caps, Includes, Rule, When
from app.domain.loyalty.versions import Programme, Tier, TierRules, Version
from tests.domain.loyalty.ledgers import START
from tests.domain.loyalty.programmes import BERLIN

SKUS = ["a", "b", "c"]
PROGRAMME = Programme("main", "Club", "EUR", BERLIN)
multipliers = st.sampled_from(["1", "1.1", "1.25", "1.5", "2", "0.333333", "0"]).map(Fraction)
whens = st.builds(
    When,
    skus=st.frozensets(st.sampled_from(SKUS), max_size=2),
    categories=st.frozensets(st.sampled_from(SKUS), max_size=1),
    channels=st.sampled_from([frozenset(), frozenset(["web"])]),
    tiers=st.sampled_from([frozenset(), frozenset(["silver"])]),
    first_purchase=st.booleans(),
    since=st.sampled_from([None, START, START + timedelta(days=2)]),
    until=st.none(),
)


@st.composite
def rules(draw: Any, code: str) -> Rule:
    points = draw(st.integers(0, 40))
    return Rule(
        code,
        points=points,
        per_amount_minor=draw(st.sampled_from([None, 1, 7, 100, 999])) if points else None,
        multiplier=draw(multipliers),
        when=draw(whens),
        least_minor=draw(st.sampled_from([0, 0, 500])),
        excluded_skus=draw(st.frozensets(st.sampled_from(SKUS), max_size=1)),
        qualifies=draw(st.booleans()),
    )


versions = st.builds(
    lambda made, basis, times: Version(
        rules=tuple(made),
        tier_rules=TierRules(tiers=(Tier("base", 0), Tier("silver", 500, times)), basis=basis),
    ),
    st.tuples(rules("one"), rules("two"), rules("three"), rules("four")),
    st.sampled_from(["points", "spend"]),
    multipliers,
)
lines = st.builds(
    Line,
    net_minor=st.integers(0, 100_000),
    tax_minor=st.integers(0, 5_000),
    sku=st.sampled_from([*SKUS, None]),
    category=st.sampled_from([*SKUS, None]),
    is_gift_card=st.booleans(),
)
purchases = st.builds(
    lambda made, channel, shipping: Purchase(
        "k", START + timedelta(days=1), "EUR", tuple(made), shipping, channel=channel
    ),
    st.lists(lines, max_size=4),
    st.sampled_from(["web", "app", None]),
    st.integers(0, 900),
)
members = st.builds(Member, tier=st.sampled_from(["base", "silver", "gone"]), is_first_purchase=st.booleans())


@given(versions, purchases, members)
def test_plain_rules_earn_what_fractions_say(version: Version, purchase: Purchase, member: Member) -> None:
    assert plan_of(version) is not None
    assert is_plain(purchase, "EUR")
    assert evaluate(version, PROGRAMME, purchase, member) == evaluate_exactly(
        version, PROGRAMME, purchase, member
    )


def test_what_is_not_plain_is_left_to_fractions() -> None:
    base = Rule("base", points=1, per_amount_minor=100)
    for rule in (replace(base, caps=Caps(per_transaction=5)), replace(base, includes=Includes(tax=True))):
        assert plan_of(Version(rules=(rule,))) is None
    purchase = Purchase("k", START, "EUR", (Line(1_000),))
    assert not is_plain(purchase, "USD")
    assert not is_plain(purchase._replace(points_paid_minor=1), "EUR")
    assert not is_plain(purchase._replace(gift_card_paid_minor=1), "EUR")


def test_a_plan_is_that_of_its_version() -> None:
    version = Version(rules=(Rule("base", points=3, per_amount_minor=7),))
    plan = plan_of(version)
    assert plan is not None
    assert (plan.denominator, plan.rules[0][1]) == (7, 3)
    assert plan_of(version) is plan
    assert plan_of(replace(version, pending_days=1)) is not plan
