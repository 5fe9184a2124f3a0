"""What mutants of the rules survived before: results that nobody had looked at closely."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from app.domain.loyalty import crediting, settling
from app.domain.loyalty.conditions import Member
from app.domain.loyalty.earning import Evaluated, evaluate_occasion, nothing, order_key
from app.domain.loyalty.orders import (
    Chunk,
    Order,
    OrderLine,
    OrderState,
    Parked,
    purchase_of,
    refund_arrived,
    unparked,
)
from app.domain.loyalty.purchases import Line, Purchase
from app.domain.loyalty.settling import Released
from app.domain.loyalty.tiers import Change, Pause, Standing, due_at, projection, raised, reviewed, warning
from app.domain.loyalty.versions import Tier, TierRules, version_of
from app.domain.problems import Conflict, Invalid
from tests.domain.loyalty.ledgers import DAY, START, Ledger, day
from tests.domain.loyalty.programmes import AT, BERLIN, CLUB

RULES = TierRules((Tier("base", 0), Tier("silver", 500), Tier("gold", 1_000)))


def test_occasions_obey_conditions_multipliers_and_caps() -> None:
    rule: dict[str, Any] = {"code": "s", "event": "signup", "points": 10, "multiplier": "1.5"}
    version = version_of({"earning_rules": [{**rule, "when": {"segment": ["vip"]}}]})
    assert evaluate_occasion(version, CLUB, "signup", AT, Member()).reason == "segment"
    assert evaluate_occasion(version, CLUB, "signup", AT, Member(segments=frozenset({"vip"}))).points == 15
    late = version_of({"earning_rules": [{**rule, "when": {"until": AT.isoformat()}}]})
    done = evaluate_occasion(late, CLUB, "signup", AT, Member())
    assert (done.points, done.contributions[0].rule, done.reason) == (0, "s", "after_window")
    closed = CLUB._replace(earns_until=AT)
    assert evaluate_occasion(version, closed, "signup", AT, Member()) == nothing("programme_closed")
    assert nothing("no_rule") == Evaluated(0, Fraction(0), (), 0, {}, None, "no_rule")


def test_order_keys_are_these_for_ever() -> None:
    assert order_key("shop", "A", 1) == "order:shop/A:1"
    assert order_key("shop", "A", 1, 7) == "order:shop/A:1:7"


def test_what_is_due_counts_every_lot() -> None:
    made = Ledger()
    made.earn(10, "never")
    assert settling.next_due_at(made.account) is None
    made.adjust(-20, allow_debt=True)
    made.earn(5, "soon", pending=3, lives=9)
    made.earn(5, "later", pending=5)
    assert settling.next_due_at(made.account) == day(3)
    two = Ledger()
    two.earn(10, "a", lives=9)
    two.earn(20, "b", lives=9)
    assert settling.expiring(two.account, START, 9 * DAY) == [(30, day(9))]


def test_the_last_run_and_an_erasure_release_holds_by_name() -> None:
    for last in (settling.run_out, settling.erased):
        made = Ledger()
        made.earn(10)
        made.hold(4)
        made.at(0.001)
        made.take(last(made.account, made.now))
        assert (made.account.holds["h1"].state, made.account.holds["h1"].resolved_at) == (
            "released",
            day(0.001),
        )
    gone = Ledger()
    gone.earn(10)
    gone.take(settling.run_out(gone.account, gone.now))
    assert gone.entries[-1].kind == "expire"


def test_an_adjustment_again_answers_the_same_and_another_under_its_id_is_refused() -> None:
    made = Ledger()
    for points, name in ((1, "plus"), (-1, "minus")):
        first = made.adjust(points, name)
        assert made.adjust(points, name) == first
        assert (first.points, first.debt, first.entry) == (points, 0, made.entries[-1].seq)
        assert (made.entries[-1].kind, made.entries[-1].key) == ("adjust", name)
        with pytest.raises(Conflict) as refusal:
            made.adjust(points, name, reason_code="fraud")
        assert refusal.value.code == "id_reused"
    for nothing_ in (0, 2**31, -(2**31)):
        with pytest.raises(Invalid):
            made.adjust(nothing_, "x")
    assert made.adjust(5, "dated", expires_at=day(3)) == made.adjust(5, "dated", expires_at=day(3))
    assert made.balance.next_expirations == ((5, day(3)),)


def test_openings_and_tier_moves_are_what_they_say_once() -> None:
    made = Ledger()
    said: dict[str, Any] = {"id": "csv:1", "points": 80, "expires_at": None, "now": made.now}
    first = made.take(crediting.opening(made.account, **said))
    assert made.take(crediting.opening(made.account, **said)) == first
    assert [(entry.kind, entry.key) for entry in made.entries] == [("opening", "csv:1")]
    moved = made.take(crediting.tier_moved(made.account, id="t", tier="gold", now=made.now))
    assert made.take(crediting.tier_moved(made.account, id="t", tier="gold", now=made.now)) == moved
    assert [(entry.kind, entry.key, entry.tier) for entry in made.entries[1:]] == [("tier_move", "t", "gold")]
    with pytest.raises(Conflict):
        crediting.tier_moved(made.account, id="t", tier="base", now=made.now)


def test_a_release_again_gives_nothing_more() -> None:
    made = Ledger()
    made.earn(10)
    made.hold(4)
    made.release()
    assert made.release() == Released(made.account.holds["h1"], 0, 0)


def test_reinstated_points_still_belong_to_their_order() -> None:
    made = Ledger()
    made.earn(80, lives=10)
    made.spend(80)
    made.at(11).refund()
    assert made.entries[-1].key == "r1"
    assert made.claw().taken == 80


def test_an_order_says_all_to_the_rules() -> None:
    line = OrderLine("1", 100, 19, 3, 0, "A", "hats")
    state = OrderState("A", 1, "paid", START, "USD", (line,), 5, 7, 0, Decimal("0.9"), "app")
    bought = Line(100, 19, "A", "hats", 3)
    assert purchase_of(state, "k") == Purchase("k", START, "USD", (bought,), 5, 7, 0, Decimal("0.9"), "app")


def test_parked_refunds_apply_in_order_of_time_and_all_of_it_means_all() -> None:
    paid = Order(cycle=1, is_paid=True, chunks=(Chunk(None, 100),))
    assert refund_arrived(paid, Parked("r", day(1), None))[1] == ((None, 100),)
    waiting = replace(paid, parked=(Parked("a", day(2), 80), Parked("b", day(1), 30)))
    assert [(one.id, shares) for one, shares in unparked(waiting, "EUR")[1]] == [
        ("b", ((None, 30),)),
        ("a", ((None, 70),)),
    ]


def test_a_review_exactly_on_the_threshold_keeps_the_tier_for_another_window() -> None:
    standing = raised(Standing("base", START, day(9)), 1_000, START, RULES, BERLIN).standing
    at = standing.review_at
    kept = reviewed(standing._replace(grace_until=at), 1_000, at, RULES, BERLIN)
    assert kept.change is None
    assert kept.standing.grace_until is None
    assert kept.standing.review_at > at + 360 * DAY
    failed = reviewed(standing, 999, at, RULES, BERLIN).standing
    assert (failed.tier, failed.grace_until) == ("gold", at + 30 * DAY)
    lowered = reviewed(failed, 999, at + 30 * DAY, RULES, BERLIN)
    assert lowered.change == Change(at + 30 * DAY, "gold", "silver", "downgrade", ("silver",))
    assert lowered.standing.since == at + 30 * DAY


def test_a_projection_on_the_threshold_misses_nothing() -> None:
    made = Ledger()
    made.earn(500)
    standing = Standing("silver", START, day(300))
    assert projection(standing, made.entries, START, RULES, BERLIN) == (500, 0, "silver")
    assert projection(standing, made.entries, START - timedelta(1), RULES, BERLIN) == (1_000, 500, "base")
    kept = projection(standing, [], START, RULES._replace(downgrade="none"), BERLIN)
    assert kept == (1_000, 500, "silver")
    made.earn(500, "o2")
    assert projection(standing, made.entries, START, RULES, BERLIN)[0] == 0


def test_releasing_a_hold_that_ran_out_says_so() -> None:
    made = Ledger()
    made.earn(10)
    made.hold(4, ttl=60)
    done = made.at(1).release()
    assert (done.hold.state, done.returned, done.lapsed) == ("expired", 0, 0)
    assert made.available == 10


def test_a_pause_that_is_over_or_not_begun_puts_nothing_off() -> None:
    standing = Standing("gold", START, day(10), grace_until=day(40))
    over, later = Pause(day(1), day(40)), Pause(day(41), day(50))
    assert due_at(standing, (over, later)) == day(40)
    assert due_at(standing, (Pause(day(40), day(42)), Pause(day(41), day(50)))) == day(50)
    assert due_at(standing._replace(grace_until=None), (Pause(day(1)),)) == day(10)


def test_a_warning_begins_on_its_very_day_and_names_the_tier() -> None:
    standing = Standing("gold", START, day(100))
    begins = day(100)
    told = warning(standing, [], begins, RULES, BERLIN)
    assert told is not None
    assert (told.tier, told.on) == ("gold", day(130))
    assert warning(standing, [], begins - timedelta(seconds=1), RULES, BERLIN) is None


def test_reinstated_lots_are_listed_with_their_earn() -> None:
    made = Ledger()
    made.earn(80, lives=10)
    made.spend(80)
    made.at(11).refund()
    assert made.account.earns["o1"].lots == (1, made.entries[-1].seq)


def test_a_tier_move_is_booked_with_its_entry() -> None:
    made = Ledger()
    moved = made.take(crediting.tier_moved(made.account, id="t", tier="gold", now=made.now))
    assert (moved.points, moved.debt, moved.entry) == (0, 0, 1)
