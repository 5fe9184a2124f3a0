"""The ledger's edge cases, by their numbers in the design."""

from typing import Any
from uuid import UUID

import pytest

from app.domain.loyalty import settling
from app.domain.loyalty.account import opened
from app.domain.loyalty.points import points_of
from app.domain.problems import Conflict, Invalid
from tests.domain.loyalty.ledgers import Ledger, day, merge, unmerge


def test_case_01_the_lot_that_expires_first_pays_first() -> None:
    ledger = Ledger()
    ledger.earn(100, "A", lives=30)
    ledger.earn(100, "B", lives=10)
    ledger.spend(120)
    assert (ledger.remaining("B"), ledger.remaining("A")) == (0, 80)


def test_case_02_same_expiry_older_activation_then_id_and_never_expiring_last() -> None:
    ledger = Ledger().at(5)
    ledger.earn(10, "never")
    ledger.earn(10, "young", occurred_at=day(5), lives=25)
    ledger.earn(10, "old", occurred_at=day(0), lives=30)
    ledger.earn(10, "old too", occurred_at=day(0), lives=30)
    for number, first in enumerate(("old", "old too", "young", "never")):
        ledger.spend(10, f"s{number}")
        assert ledger.remaining(first) == 0


def test_case_03_a_lot_whose_clock_ran_out_is_not_spendable_before_any_sweep() -> None:
    ledger = Ledger()
    ledger.earn(100, lives=10)
    ledger.at(10)
    assert ledger.available == 0
    with pytest.raises(Conflict) as refusal:
        ledger.spend(1)
    assert (refusal.value.code, refusal.value.members["missing"]) == ("insufficient_points", 1)
    ledger.at(9.999).spend(100)


def test_case_04_held_points_outlive_their_lot_until_capture() -> None:
    ledger = Ledger()
    ledger.earn(100, lives=1)
    ledger.at(0.9).hold(60, ttl=86_400)
    ledger.at(1.5).settle()
    assert ledger.entries[-1].kind == "expire"
    assert ledger.entries[-1].points == -40
    assert ledger.remaining("o1") == 60
    assert ledger.capture().spend.points == 60


def test_case_04_held_points_of_a_lapsed_lot_expire_on_release() -> None:
    ledger = Ledger()
    ledger.earn(100, lives=1)
    ledger.at(0.9).hold(60, ttl=86_400)
    done = ledger.at(1.5).release()
    assert (done.returned, done.lapsed, ledger.remaining("o1")) == (0, 60, 0)


def test_case_05_a_capture_on_the_second_of_the_ttl_is_too_late() -> None:
    ledger = Ledger()
    ledger.earn(100)
    ledger.hold(60, ttl=86_400)
    with pytest.raises(Conflict) as refusal:
        ledger.at(1).capture()
    assert refusal.value.code == "hold_expired"
    assert ledger.available == 100
    ledger.settle()
    with pytest.raises(Conflict) as refusal:
        ledger.capture()
    assert refusal.value.code == "hold_expired"


def test_case_06_a_partial_capture_frees_the_rest_and_more_than_held_changes_nothing() -> None:
    ledger = Ledger()
    ledger.earn(100)
    ledger.hold(100)
    with pytest.raises(Invalid) as refusal:
        ledger.capture(points=101)
    assert refusal.value.code == "more_than_held"
    assert ledger.balance.held == 100
    ledger.capture(points=40)
    assert (ledger.available, ledger.balance.held, ledger.account.spends["h1"].points) == (60, 0, 40)


@pytest.mark.parametrize("end", ["capture", "release"])
def test_case_07_a_hold_id_is_never_a_second_hold(end: str) -> None:
    ledger = Ledger()
    ledger.earn(100)
    first = ledger.hold(40)
    assert ledger.hold(40) == first
    getattr(ledger, end)()
    again = ledger.hold(40)
    assert again.state == f"{end}d"
    with pytest.raises(Conflict) as refusal:
        ledger.hold(41)
    assert refusal.value.code == "id_reused"
    assert ledger.balance.held == 0


def test_case_07_a_capture_again_says_the_same_and_a_release_of_it_is_refused() -> None:
    ledger = Ledger()
    ledger.earn(100)
    ledger.hold(40)
    assert ledger.capture(points=30) == ledger.capture(points=30)
    for deed, code in ((ledger.capture, "already_captured"), (ledger.release, "hold_captured")):
        with pytest.raises(Conflict) as refusal:
            deed()
        assert refusal.value.code == code
    assert ledger.available == 70


def test_case_08_two_holds_of_all_there_is_one_wins() -> None:
    ledger = Ledger()
    ledger.earn(100)
    ledger.hold(100)
    with pytest.raises(Conflict) as refusal:
        ledger.hold(100, "h2")
    assert refusal.value.code == "insufficient_points"
    assert refusal.value.members["missing"] == 100


def test_case_09_a_refund_before_expiry_goes_to_the_same_lot() -> None:
    ledger = Ledger()
    ledger.earn(80, lives=10)
    ledger.spend(80)
    done = ledger.at(5).refund()
    assert (done.restored, done.lapsed, done.reinstated) == (80, 0, 0)
    assert ledger.balance.next_expirations == ((80, day(10)),)


def test_case_09_a_refund_after_expiry_without_grace_lapses_visibly() -> None:
    ledger = Ledger()
    ledger.earn(80, lives=10)
    ledger.spend(80)
    done = ledger.at(11).refund(grace=0)
    assert (done.restored, done.lapsed, ledger.available) == (0, 80, 0)
    assert [entry.kind for entry in ledger.entries[-2:]] == ["restore", "expire"]


def test_case_09_a_refund_after_expiry_with_grace_lives_on_for_it() -> None:
    ledger = Ledger()
    ledger.earn(80, lives=10)
    ledger.spend(80)
    done = ledger.at(11).refund()
    assert (done.reinstated, done.reinstated_until) == (80, day(41))
    assert ledger.balance.next_expirations == ((80, day(41)),)


def test_case_10_partial_refunds_fill_the_longest_living_lot_first_and_end_exactly() -> None:
    ledger = Ledger()
    ledger.earn(100, "A", lives=10)
    ledger.earn(50, "B", lives=20)
    ledger.spend(150)
    ledger.refund(60, "r1")
    assert (ledger.remaining("A"), ledger.remaining("B")) == (10, 50)
    ledger.refund(90, "r2")
    assert (ledger.remaining("A"), ledger.remaining("B")) == (100, 50)
    with pytest.raises(Invalid) as refusal:
        ledger.refund(1, "r3")
    assert refusal.value.code == "more_than_spent"


def test_case_11_a_refund_while_pending_leaves_the_rest_to_activate() -> None:
    ledger = Ledger()
    ledger.earn(100, pending=14)
    ledger.at(3).claw(6_000)
    assert (ledger.balance.pending, ledger.available) == (40, 0)
    assert (ledger.at(14).balance.pending, ledger.available) == (0, 40)


@pytest.mark.parametrize(
    "policy, taken, forgiven, debt",
    [("only_pending", 0, 100, 0), ("within_balance", 0, 100, 0), ("unlimited", 0, 0, 100)],
)
def test_case_12_a_full_refund_after_all_was_spent(policy: str, taken: int, forgiven: int, debt: int) -> None:
    ledger = Ledger()
    ledger.earn(100)
    ledger.spend(100)
    done = ledger.claw(policy=policy)
    assert (done.taken, done.forgiven, done.indebted) == (taken, forgiven, debt)
    assert (ledger.available, ledger.balance.debt) == (-debt, debt)
    assert ledger.entries[-1].forgiven == forgiven


def test_case_13_the_next_credits_pay_the_debt_first() -> None:
    ledger = Ledger()
    ledger.earn(100)
    ledger.spend(100)
    ledger.claw(policy="unlimited")
    ledger.earn(70, "o2")
    assert ledger.available == -30
    ledger.earn(50, "o3")
    assert (ledger.available, ledger.balance.debt) == (20, 0)


def test_case_13_pending_points_pay_when_they_become_active() -> None:
    ledger = Ledger()
    ledger.earn(100)
    ledger.spend(100)
    ledger.claw(policy="unlimited")
    ledger.earn(70, "o2", pending=14)
    assert (ledger.available, ledger.balance.pending) == (-100, 70)
    assert (ledger.at(14).available, ledger.balance.pending) == (-30, 0)
    ledger.settle()
    assert (ledger.available, ledger.balance.debt) == (-30, 30)


@pytest.mark.parametrize("end, available, debt", [("release", 0, 0), ("capture", -60, 60)])
def test_case_14_a_clawback_while_points_are_held(end: str, available: int, debt: int) -> None:
    ledger = Ledger()
    ledger.earn(100)
    ledger.hold(60)
    done = ledger.claw(policy="unlimited")
    assert (done.taken, done.indebted) == (40, 60)
    getattr(ledger, end)()
    assert (ledger.available, ledger.balance.debt) == (available, debt)


@pytest.mark.parametrize("claw_first", [True, False])
def test_case_15_cancelling_an_order_paid_with_points_ends_where_it_began(claw_first: bool) -> None:
    ledger = Ledger()
    ledger.earn(50, "signup")
    ledger.spend(50)
    ledger.earn(21, "order")
    for step in (claw_first, not claw_first):
        if step:
            assert ledger.claw(key="order").due == 21
        else:
            ledger.refund()
    assert ledger.available == 50
    assert ledger.remaining("signup") == 50


def test_case_16_three_thirds_are_exact() -> None:
    ledger = Ledger()
    ledger.earn(33, paid_minor=9_999)
    assert [ledger.claw(3_333, f"c{n}").taken for n in range(3)] == [11, 11, 11]
    assert ledger.available == 0


def test_case_19_what_was_recorded_is_clawed_whatever_the_rules_say_now() -> None:
    ledger = Ledger()
    ledger.earn(40)
    ledger.earn(40, "later")
    assert ledger.claw().taken == 40
    assert ledger.remaining("later") == 40


def test_case_20_a_late_event_whose_points_have_lapsed_shows_both_entries() -> None:
    ledger = Ledger().at(400)
    ledger.earn(40, occurred_at=day(0), lives=365)
    assert [(entry.kind, entry.points) for entry in ledger.entries] == [("earn", 40), ("expire", -40)]
    assert ledger.entries[1].effective_at == day(365)


def test_case_21_the_same_order_five_times_earns_once() -> None:
    ledger = Ledger()
    assert len({ledger.earn(40).points for _ in range(5)}) == 1
    assert (len(ledger.entries), ledger.available) == (1, 40)


def test_case_22_an_order_that_is_paid_again_earns_in_its_next_cycle() -> None:
    ledger = Ledger()
    ledger.earn(40, "order:1:1")
    ledger.claw(key="order:1:1")
    ledger.earn(40, "order:1:2")
    assert [entry.points for entry in ledger.entries] == [40, -40, 40]


def test_case_26_at_one_instant_points_activate_and_pay_before_others_expire() -> None:
    ledger = Ledger()
    ledger.earn(30, "spent")
    ledger.spend(30)
    ledger.claw(key="spent", policy="unlimited")
    ledger.earn(50, pending=10, lives=20)
    ledger.earn(50, "short", pending=10, lives=10.5)
    ledger.at(30).settle()
    assert [(entry.kind, entry.points) for entry in ledger.entries[-3:]] == [
        ("absorb", 0),
        ("expire", -20),
        ("expire", -50),
    ]


def test_case_31_merging_keeps_lots_expiry_and_holds_and_can_be_undone() -> None:
    one, other = Ledger(), Ledger(opened(UUID(int=2)))
    one.earn(50, lives=10)
    one.hold(20)
    other.earn(100, "o2", lives=20)
    other.hold(30)
    before = other.balance
    done = merge(one, other)
    assert (one.available, one.balance.held) == (100, 50)
    assert (other.available, other.balance.held) == (0, 0)
    assert one.balance.next_expirations == ((30, day(10)), (70, day(20)))
    unmerge(one, other, done)
    assert (one.available, one.balance.held) == (30, 20)
    assert other.balance[:6] == before[:6]
    assert other.balance.next_expirations == before.next_expirations
    other.capture()


def test_case_31_undoing_a_merge_whose_points_were_spent_is_blocked() -> None:
    one, other = Ledger(), Ledger(opened(UUID(int=2)))
    other.earn(100, lives=20)
    done = merge(one, other)
    one.spend(10)
    with pytest.raises(Conflict) as refusal:
        unmerge(one, other, done)
    assert refusal.value.code == "undo_blocked"
    assert refusal.value.members["lots"] == list(done.lots.values())


def test_case_32_taking_more_than_there_is_says_what_is_missing() -> None:
    ledger = Ledger()
    ledger.earn(30)
    with pytest.raises(Conflict) as refusal:
        ledger.adjust(-50)
    assert (refusal.value.code, refusal.value.members["missing"]) == ("insufficient_points", 20)
    assert ledger.adjust(-50, allow_debt=True).debt == 20
    assert ledger.available == -20


@pytest.mark.parametrize("points", [0, -1, 2**31, 1.0, 1.5, True, "5", None])
def test_case_33_points_are_whole_positive_and_fit(points: Any) -> None:
    with pytest.raises(Invalid) as refusal:
        points_of(points)
    assert refusal.value.code == "invalid_points"
    ledger = Ledger()
    ledger.earn(100)
    for deed in (ledger.hold, ledger.spend):
        with pytest.raises(Invalid):
            deed(points)


def test_case_33_a_zero_point_earn_leaves_an_entry_and_no_lot() -> None:
    ledger = Ledger()
    assert ledger.earn(0).lots == ()
    assert [(entry.kind, entry.points) for entry in ledger.entries] == [("earn", 0)]
    assert ledger.account.lots == {}


def test_case_34_erasing_releases_holds_and_keeps_every_entry() -> None:
    ledger = Ledger()
    ledger.earn(100)
    ledger.hold(60)
    kept = list(ledger.entries)
    assert ledger.take(settling.erased(ledger.account, ledger.now)) == 1
    assert ledger.entries == kept
    assert (ledger.balance.held, ledger.available) == (0, 100)


def test_case_35_a_closed_programme_runs_out_once() -> None:
    ledger = Ledger()
    ledger.earn(100, lives=30)
    ledger.earn(50, "o2", pending=14)
    ledger.hold(60)
    assert ledger.take(settling.run_out(ledger.account, ledger.now)) == 150
    assert ledger.take(settling.run_out(ledger.account, ledger.now)) == 0
    assert (ledger.available, ledger.balance.pending, ledger.balance.held) == (0, 0, 0)
