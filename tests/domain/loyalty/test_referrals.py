"""Friends who were brought: who counts, until when, and what ends it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.loyalty.referrals import (
    Attribution,
    Referral,
    alias_key,
    attributed,
    fell_due,
    order_refunded,
    ordered,
    reviewed,
)
from app.domain.loyalty.versions import ReferralRules
from app.domain.problems import Conflict
from tests.domain.loyalty.ledgers import START, day
from tests.domain.loyalty.programmes import BERLIN

RULES = ReferralRules(least_minor=2_000, most=3, valid_days=30, per_day=5)


def begin(**said: Any) -> Referral:
    known = Attribution(**{"referrer": "ada", "referee": "bob", "code_made_at": START, **said})
    return attributed("r1", known, RULES, day(1))


def order(referral: Referral, amount: int = 2_000, at: float = 2) -> tuple[Referral, ...]:
    return ordered(
        referral, order_id="o1", amount_minor=amount, at=day(at), rules=RULES, pending_days=14, zone=BERLIN
    )


@pytest.mark.parametrize(
    "said, state, reason",
    [
        ({}, "attributed", None),
        ({"referee": "ada"}, "rejected", "self"),
        (
            {
                "referrer_emails": frozenset({"a.b@gmail.com"}),
                "referee_emails": frozenset({"AB+x@googlemail.com"}),
            },
            "rejected",
            "alias",
        ),
        (
            {"referrer_emails": frozenset({"a@x.org"}), "referee_emails": frozenset({"b@x.org"})},
            "attributed",
            None,
        ),
        ({"referee_has_bought": True}, "rejected", "existing_customer"),
        ({"referee_is_referred": True}, "rejected", "already_referred"),
        ({"referred_by": frozenset({"bob"})}, "rejected", "circular"),
        ({"rewarded_this_year": 3}, "rejected", "limit"),
        ({"rewarded_this_year": 2}, "attributed", None),
        ({"code_made_at": day(1) - timedelta(days=30)}, "rejected", "expired"),
        ({"today": 5}, "rejected", "velocity"),
        ({"today": 4}, "attributed", None),
        ({"same_ip": True}, "on_hold", "same_ip"),
        ({"same_ip": True, "referee": "ada"}, "rejected", "self"),
    ],
)
def test_a_referral_begins_with_a_reason_where_it_does_not_count(
    said: dict[str, Any], state: str, reason: str | None
) -> None:
    referral = begin(**said)
    assert (referral.state, referral.reason) == (state, reason)


def test_the_first_eligible_order_qualifies_and_waits_for_the_return_window() -> None:
    steps = order(begin())
    assert [step.state for step in steps] == ["qualified", "pending"]
    pending = steps[-1]
    assert pending.due_at == day(16)
    assert fell_due(pending, day(16) - timedelta(seconds=1)) == pending
    rewarded = fell_due(pending, day(16))
    assert rewarded.state == "rewarded"
    assert fell_due(rewarded, day(17)) == rewarded
    assert order(rewarded) == ()


@pytest.mark.parametrize("amount, at, reason", [(1_999, 2, "minimum_order"), (2_000, 31, "expired")])
def test_an_order_too_small_or_too_late_ends_it(amount: int, at: float, reason: str) -> None:
    (ended,) = order(begin(), amount, at)
    assert (ended.state, ended.reason) == ("rejected", reason)
    assert order(begin(), 2_000, 30.9)


@pytest.mark.parametrize("due", [True, False])
def test_a_refund_of_its_order_reverses_it(due: bool) -> None:
    pending = order(begin())[-1]
    referral = fell_due(pending, day(20)) if due else pending
    assert order_refunded(referral, "other", day(21)) == referral
    ended = order_refunded(referral, "o1", day(21))
    assert (ended.state, ended.reason) == ("reversed", "refunded")
    assert order_refunded(ended, "o1", day(22)) == ended


@pytest.mark.parametrize("genuine, state", [(True, "attributed"), (False, "rejected")])
def test_a_person_decides_what_is_on_hold(genuine: bool, state: str) -> None:
    held = begin(same_ip=True)
    assert order(held) == ()
    assert reviewed(held, genuine=genuine, now=day(3)).state == state
    with pytest.raises(Conflict):
        reviewed(begin(), genuine=genuine, now=day(3))


@pytest.mark.parametrize(
    "one, other, same",
    [
        ("ada@x.org", " ADA@X.ORG ", True),
        ("ada+shop@x.org", "ada@x.org", True),
        ("a.da@x.org", "ada@x.org", False),
        ("a.da@gmail.com", "ada@googlemail.com", True),
        ("ada@x.org", "ada@y.org", False),
    ],
)
def test_spellings_of_one_mailbox(one: str, other: str, same: bool) -> None:
    assert (alias_key(one) == alias_key(other)) == same


def test_a_mailbox_is_compared_in_this_form_for_ever() -> None:
    # A hash of it is stored, so another form would be another mailbox.
    assert alias_key(" A.da+shop@GoogleMail.com") == "ada@gmail.com"
    assert alias_key('"a.c@b"@gmail.com') == '"ac@b"@gmail.com'


def test_a_referral_waits_whole_days_of_the_wall() -> None:
    known = Attribution(referrer="ada", referee="bob", code_made_at=START)
    before_winter = datetime(2026, 10, 20, 10, tzinfo=UTC)
    one = attributed("r1", known._replace(code_made_at=before_winter), RULES, before_winter)
    said: dict[str, Any] = {"amount_minor": 2_000, "rules": RULES, "pending_days": 14, "zone": BERLIN}
    assert ordered(one, order_id="o1", at=before_winter, **said)[-1].due_at == datetime(
        2026, 11, 3, 11, tzinfo=UTC
    )


def test_every_step_says_who_when_and_why() -> None:
    known = Attribution(referrer="ada", referee="bob", code_made_at=START)
    one = attributed("r1", known, RULES, day(1))
    assert one == Referral("r1", "ada", "bob", "attributed", day(1))
    ends = {
        (1_999, 2.0): Referral("r1", "ada", "bob", "rejected", day(2), "minimum_order", "o1"),
        (2_000, 31.0): Referral("r1", "ada", "bob", "rejected", day(31), "expired"),
        (2_000, -1.0): Referral("r1", "ada", "bob", "rejected", day(-1), "existing_customer", "o1"),
    }
    for (amount, at), ended in ends.items():
        assert order(one, amount, at) == (ended,)
    assert order(one, 2_000, 0)[0].state == "qualified"
    qualified, pending = order(one)
    assert qualified == Referral("r1", "ada", "bob", "qualified", day(2), None, "o1")
    assert pending == qualified._replace(state="pending", due_at=day(16))
    assert fell_due(pending, day(16)) == pending._replace(state="rewarded", at=day(16))
    reversed_ = pending._replace(state="reversed", reason="refunded", at=day(3))
    assert order_refunded(pending, "o1", day(3)) == reversed_
