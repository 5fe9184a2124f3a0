"""What an order would earn and what points would buy, and why not, told before and after."""

from datetime import timedelta
from fractions import Fraction

import pytest

from app.domain.loyalty.conditions import Member
from app.domain.loyalty.earning import nothing
from app.domain.loyalty.explain import WORDS, explained, quoted
from app.domain.loyalty.purchases import Line
from app.domain.loyalty.rewards import Buyer, Reward
from app.domain.loyalty.versions import version_of
from tests.domain.loyalty.programmes import AT, BASE, CLUB, points, purchase

BUYER = Buyer("base", ("base",), 120)


def test_without_a_version_in_force_a_quote_says_that_and_still_shows_the_rewards() -> None:
    quote = quoted(
        None, CLUB, purchase(1_000), Member(), rewards=[(Reward("mug", "Mug", 100), None, BUYER)], at=AT
    )
    assert (quote.points, quote.reason, quote.applied, quote.not_applied) == (0, "no_programme", (), ())
    assert [one.reward.code for one in quote.rewards] == ["mug"]


def test_a_quote_of_nothing_says_why() -> None:
    quote = quoted(version_of({"earning_rules": [BASE]}), CLUB, purchase(50), Member(), rewards=[], at=AT)
    assert (quote.points, quote.reason, quote.missing_minor) == (0, "less_than_one_point", 50)
    quote = quoted(version_of({"earning_rules": [BASE]}), CLUB, purchase(100), Member(), rewards=[], at=AT)
    assert (quote.points, quote.reason) == (1, None)


def test_what_is_sold_out_or_not_to_be_had_at_that_time_is_out_of_reach() -> None:
    until = Reward("until", "Mug", 10, valid_until=AT)
    since = Reward("since", "Mug", 10, valid_from=AT + timedelta.resolution)
    rewards: list[tuple[Reward, int | None, Buyer]]
    rewards = [(Reward("gone", "Mug", 10), 0, BUYER), (Reward("last", "Mug", 10), 1, BUYER)]
    rewards += [(until, None, BUYER), (since, None, BUYER)]
    quote = quoted(version_of({}), CLUB, purchase(1_000), Member(), rewards=rewards, at=AT)
    assert [one.reward.code for one in quote.rewards] == ["last"]
    assert [(one.reward.code, one.unmet) for one in quote.out_of_reach] == [
        ("gone", ("out_of_stock",)),
        ("until", ("over",)),
        ("since", ("not_yet",)),
    ]


@pytest.mark.parametrize("reason", sorted(WORDS))
def test_every_reason_is_put_into_words(reason: str) -> None:
    told = explained(nothing(reason), None, "base")  # type: ignore[arg-type] # the keys of WORDS are reasons
    assert (told["reason"], told["why"]) == (reason, WORDS[reason])  # type: ignore[index] # as above
    assert told["why"]


def test_a_gift_card_that_is_bought_earns_nothing_at_all() -> None:
    rule = {**BASE, "per_amount_minor": 1}
    done = points([rule], purchase(Line(5_000, is_gift_card=True)))
    assert (done.points, done.exact) == (0, Fraction(0))
