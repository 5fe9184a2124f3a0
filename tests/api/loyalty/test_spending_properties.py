"""Random histories of two members over HTTP, several clients at once, held to the invariants of the pure core.

A rule of the state machine sends a handful of calls together, so the order in which they happen is the database's.
Whatever it was: after each step everything that can be seen from outside must fit. `HYPOTHESIS_PROFILE=prove` runs
many more and longer ones.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from tests.api.conftest import Service
from tests.api.loyalty.conftest import publish
from tests.api.loyalty.histories import Call, Club
from tests.api.loyalty.spending import REWARDS

PROVING = os.environ.get("HYPOTHESIS_PROFILE") == "prove"
# Under each policy.
HISTORIES, STEPS = (25, 20) if PROVING else (3, 8)
CLIENTS, MUGS, CODES = 3, 40, 30

WHO = st.sampled_from("ab")
NUMBER = st.integers(0, 2)
POINTS = st.integers(1, 120)
MONEY = st.sampled_from([999, 4_000, 9_999])
HOLD = st.tuples(st.just("hold"), WHO, NUMBER, st.none() | POINTS)
CAPTURE = st.tuples(st.just("capture"), st.integers(0, 5), st.none() | POINTS)
CALL = st.one_of(
    st.tuples(st.just("adjust"), WHO, NUMBER, st.integers(-100, 200).filter(bool), st.booleans()),
    # Twice, or most histories would end before much is spent.
    HOLD,
    HOLD,
    CAPTURE,
    CAPTURE,
    st.tuples(st.just("release"), st.integers(0, 5)),
    st.tuples(st.just("refund"), st.integers(0, 5), st.none() | POINTS),
    st.tuples(st.just("buy"), WHO, NUMBER, MONEY),
    st.tuples(st.just("give_back"), WHO, NUMBER, NUMBER, st.sampled_from([0, 333, 5_000])),
    st.tuples(
        st.just("order"), WHO, NUMBER, st.integers(1, 5), st.sampled_from(["placed", "paid", "cancelled"])
    ),
)
STORM = st.lists(CALL, min_size=2, max_size=8)


@dataclass(frozen=True)
class Shop:
    """Who asks, and how: `play` has a call sent and waits for it."""

    play: Callable[[Coroutine[Any, Any, None]], None]
    admin: httpx.AsyncClient
    tills: list[httpx.AsyncClient]


class History(RuleBasedStateMachine):
    """What happens to two members of the shop."""

    shop: Shop
    club: Club

    @initialize(points=st.integers(0, 300))
    def begin(self, points: int) -> None:
        self.club = Club(self.shop.admin, self.shop.tills, f"p{uuid4().hex}")
        self.shop.play(self.club.join())
        self.then([("adjust", who, 1, points + 1, False) for who in "ab"])

    def then(self, calls: list[Call], *also: Coroutine[Any, Any, None]) -> None:
        self.shop.play(self.club.at_once(calls, *also))
        self.shop.play(self.club.check())

    @rule(calls=STORM)
    def several_call(self, calls: list[Call]) -> None:
        self.then(calls)

    @rule(call=CALL)
    def all_say_the_same(self, call: Call) -> None:
        self.then([call] * CLIENTS)

    @rule(number=st.integers(0, 99))
    def one_is_unsure_and_calls_again(self, number: int) -> None:
        accepted = self.club.accepted
        self.then([accepted[number % len(accepted)]])

    @rule(calls=STORM)
    def they_become_one_or_two_while_others_call(self, calls: list[Call]) -> None:
        # One rule: whether an undo is blocked is for the order of the calls to say, and no rule may depend on that.
        self.then(calls, self.club.merge() if self.club.merge_id is None else self.club.undo())

    @rule()
    def the_past_is_noted(self) -> None:
        self.shop.play(self.club.remember())

    @rule()
    def a_second_goes_by(self) -> None:
        self.shop.play(asyncio.sleep(1))

    def teardown(self) -> None:
        self.shop.play(self.club.look_back())


@pytest.mark.usefixtures("club")
@pytest.mark.parametrize("clawback", ["within_balance", "unlimited"])
async def test_any_history_of_several_clients_proves_itself(
    service: Service, admin: httpx.AsyncClient, clawback: str
) -> None:
    # Active at once, so that refunds meet points that were spent.
    await publish(admin, pending_days=0, clawback=clawback)
    mug = {"code": "mug", "name": "Mug", "points": 70, "stock": MUGS, "coupons": "given"}
    assert (await admin.post(REWARDS, json=mug)).status_code == 201
    await admin.post(f"{REWARDS}/mug/coupons", json={"codes": [f"C{one}" for one in range(CODES)]})
    tills = [await service.client(await service.key("admin", source="till")) for _ in range(CLIENTS)]
    loop = asyncio.get_running_loop()

    def play(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result()

    # Hypothesis is synchronous: it plays from a thread of its own, on this loop.
    await asyncio.to_thread(
        run_state_machine_as_test,
        type("OfThisShop", (History,), {"shop": Shop(play, admin, tills)}),
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    left = (await admin.get(f"{REWARDS}/mug")).json()["stock"]
    assert 0 <= left <= MUGS
