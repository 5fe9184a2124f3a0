"""Points that are put aside, and what they become: what the hold says, which lot pays, and which way back is left."""

from dataclasses import replace

import pytest

from app.domain.loyalty.account import Draw, Hold, Lock
from app.domain.loyalty.spending import LONGEST_TTL_SECONDS
from app.domain.problems import Conflict, Invalid
from tests.domain.loyalty.ledgers import Ledger, day


def rich() -> Ledger:
    """150 points: 100 that live long, and 50 of a later lot that go first."""
    made = Ledger()
    made.earn(100, "long", lives=50)
    made.earn(50, "short", lives=10)
    return made


@pytest.mark.parametrize("seconds", [0, -1, LONGEST_TTL_SECONDS + 1, 1.5, True, None])
def test_a_hold_lasts_a_second_to_a_week(seconds: int) -> None:
    made = rich()
    with pytest.raises(Invalid) as refusal:
        made.hold(10, ttl=seconds)
    assert [(one.code, one.pointer) for one in refusal.value.errors] == [("invalid_number", "#/ttl_seconds")]
    assert made.account.holds == {}
    assert made.hold(10, "shortest", ttl=1).expires_at > made.now
    assert made.hold(10, "longest", ttl=LONGEST_TTL_SECONDS).expires_at == day(7)


def test_a_hold_says_for_what_it_is_and_so_does_the_spend_it_becomes() -> None:
    made = rich()
    hold = made.at(1).hold(60, order_id="A-7", reward="mug")
    assert hold == Hold(
        "h1",
        60,
        (Lock(2, 50), Lock(1, 10)),
        day(1),
        hold.expires_at,
        order_id="A-7",
        reward="mug",
        terms=(60, "A-7", "mug"),
    )
    spend = made.at(1.001).capture().spend
    assert (spend.id, spend.points, spend.at) == ("h1", 60, day(1.001))
    assert (spend.order_id, spend.reward) == ("A-7", "mug")
    assert (made.entries[-1].kind, made.entries[-1].key) == ("spend", "h1")


def test_what_is_spent_at_once_says_for_what_and_when() -> None:
    made = rich()
    spend = made.at(2).spend(60, order_id="A-7", reward="mug")
    assert (spend.id, spend.points, spend.at) == ("s1", 60, day(2))
    assert (spend.order_id, spend.reward) == ("A-7", "mug")
    assert (made.entries[-1].kind, made.entries[-1].key) == ("spend", "s1")
    with pytest.raises(Conflict) as refusal:
        made.spend(60, order_id="A-8", reward="mug")
    assert refusal.value.code == "id_reused"


def test_another_hold_under_a_known_id_is_told_where_the_first_one_stands() -> None:
    made = rich()
    made.hold(10)
    for state, step in (("open", made.release), ("released", made.release)):
        with pytest.raises(Conflict) as refusal:
            made.hold(11)
        assert (refusal.value.code, refusal.value.members) == ("id_reused", {"state": state})
        step()


@pytest.mark.parametrize("turned", [False, True])
def test_a_partial_capture_leaves_what_lives_longest_however_the_hold_lists_its_lots(turned: bool) -> None:
    made = rich()
    hold = made.hold(120)
    if turned:
        kept = replace(hold, locks=hold.locks[::-1])
        made.account = made.account._replace(holds={hold.id: kept})
    assert made.capture(points=60).spend.draws == (Draw(2, 50), Draw(1, 10))
    assert (made.remaining("short"), made.remaining("long")) == (0, 90)


@pytest.mark.parametrize(
    "end, code", [("released", "hold_released"), ("expired", "hold_expired"), ("moved", "hold_released")]
)
def test_a_hold_that_is_over_is_not_captured_and_the_refusal_says_how_it_ended(end: str, code: str) -> None:
    made = rich()
    hold = made.hold(10)
    if end == "expired":
        made.at(1).settle()
    else:
        made.release()
    if end == "moved":
        made.account = made.account._replace(holds={"h1": replace(hold, state="moved", resolved_at=made.now)})
    with pytest.raises(Conflict) as refusal:
        made.capture()
    assert (refusal.value.code, refusal.value.members) == (code, {"state": end})
    assert made.account.spends == {}
    assert made.balance.available == 150
