"""What one refund after another takes back, and what each policy leaves alone."""

import pytest

from tests.domain.loyalty.ledgers import Ledger, day


def test_the_rest_of_an_order_is_what_was_paid_less_what_was_refunded() -> None:
    made = Ledger()
    made.earn(30, paid_minor=9_000)
    assert made.claw(3_000, "c1").amount_minor == 3_000
    assert made.claw(None, "c2").amount_minor == 6_000
    assert made.account.earns["o1"].refunded_minor == 9_000
    assert made.available == 0


def test_more_than_is_left_of_an_order_counts_as_what_is_left() -> None:
    made = Ledger()
    made.earn(30, paid_minor=9_000)
    made.claw(3_000, "c1")
    assert made.claw(9_000, "c2").amount_minor == 6_000


def test_points_that_count_for_a_tier_are_lost_once_and_in_the_share_of_each_refund() -> None:
    made = Ledger()
    made.earn(30, paid_minor=9_000, qualifying=60)
    for number, (amount, lost) in enumerate([(3_000, 20), (0, 20), (3_000, 40), (None, 60)]):
        made.claw(amount, f"c{number}")
        assert made.account.earns["o1"].disqualified == lost
    assert sum(entry.qualifying for entry in made.entries) == 0


def test_a_free_order_that_is_cancelled_loses_all_that_counts_for_a_tier() -> None:
    made = Ledger()
    made.earn(30, paid_minor=0, qualifying=60)
    made.claw(0, "c1")
    assert made.account.earns["o1"].disqualified == 0
    made.claw(None, "c2")
    assert (made.account.earns["o1"].disqualified, made.available) == (60, 0)


def test_points_that_ran_out_are_forgiven_once_and_the_rest_is_owed() -> None:
    made = Ledger()
    made.earn(100, lives=10)
    made.spend(60)
    made.at(11)
    forgiven, owed = [], []
    for number in range(4):
        done = made.claw(2_500, f"c{number}", policy="unlimited")
        forgiven.append(done.forgiven)
        owed.append(done.indebted)
    assert (forgiven, owed) == ([25, 15, 0, 0], [0, 10, 25, 25])
    earn = made.account.earns["o1"]
    assert (earn.lapsed, earn.forgiven, earn.indebted, earn.settled) == (40, 40, 60, 100)
    assert made.balance.debt == 60


def test_only_pending_points_are_taken_where_the_policy_says_so() -> None:
    made = Ledger()
    made.earn(20, "other")
    made.earn(10)
    done = made.claw(None, policy="only_pending")
    assert (done.taken, done.forgiven, done.indebted) == (0, 10, 0)
    assert made.available == 30
    assert made.account.earns["o1"].recoverable == 0


@pytest.mark.parametrize("policy, left, recoverable", [("only_pending", 0, 0), ("within_balance", 0, 10)])
def test_what_was_spent_may_be_recovered_within_the_balance_alone(
    policy: str, left: int, recoverable: int
) -> None:
    made = Ledger()
    made.earn(10)
    made.spend(10)
    made.claw(None, policy=policy)
    assert (made.available, made.account.earns["o1"].recoverable) == (left, recoverable)


@pytest.mark.parametrize("policy", ["within_balance", "unlimited"])
def test_of_an_orders_own_lots_the_one_that_lives_longest_pays_first(policy: str) -> None:
    made = Ledger()
    made.earn(80, lives=10)
    made.spend(80)
    made.at(5).refund(30, "before")
    made.at(11).refund(20, "after", grace=3)
    made.refund(30, "later", grace=9)
    assert made.account.lots[1].remaining == 0
    first, second = made.account.earns["o1"].lots[1:]
    made.claw(5_000, policy=policy)
    assert (made.account.lots[first].remaining, made.account.lots[second].remaining) == (10, 0)
    assert made.balance.next_expirations == ((10, day(14)),)
