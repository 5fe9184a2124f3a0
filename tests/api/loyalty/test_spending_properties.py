"""Random histories of one customer over HTTP, several clients at once, held to the invariants of the pure core.

Each step sends a handful of calls together, so the order in which they happen is the database's. Whatever it was, the
ledger must prove itself, and balances must be what the answers said. `HYPOTHESIS_PROFILE=prove` runs many more.
"""

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.identifiers import parse_reference
from app.domain.loyalty.balances import balance, rebuilt
from app.domain.loyalty.chain import verify
from app.storage.loyalty import entries
from app.usecases.loyalty.read_account import read_balance
from tests.api.conftest import Service
from tests.api.loyalty.spending import REWARDS, Till

HISTORIES = 300 if os.environ.get("HYPOTHESIS_PROFILE") == "prove" else 6
MOST_STEPS = 25 if os.environ.get("HYPOTHESIS_PROFILE") == "prove" else 8
ALLOWED = {200, 201, 404, 409, 422}

POINTS = st.integers(1, 120)
NAME = st.integers(0, 5)
CALL = st.one_of(
    st.tuples(st.just("adjust"), NAME, st.integers(-100, 200).filter(bool)),
    st.tuples(st.just("hold"), NAME, POINTS),
    st.tuples(st.just("reward"), NAME, st.just(0)),
    st.tuples(st.just("capture"), NAME, st.none() | POINTS),
    st.tuples(st.just("release"), NAME, st.none()),
    st.tuples(st.just("refund"), NAME, st.none() | POINTS),
)
STEPS = st.lists(st.lists(CALL, min_size=1, max_size=5), min_size=2, max_size=MOST_STEPS)

Call = tuple[str, int, int | None]


@dataclass
class History:
    """A customer of their own, and everything that was answered for them."""

    till: Till
    holds: dict[str, str] = field(default_factory=dict)
    redemptions: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    adjusted: dict[str, int] = field(default_factory=dict)
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def send(self, call: Call) -> Coroutine[Any, Any, None]:
        verb, number, points = call
        name = f"{'r' if verb == 'reward' else 'h'}-{number}"
        if verb == "adjust":
            return self.adjust(f"a-{number}-{points}", points or 0)
        if verb == "hold":
            return self.hold(name, points=points)
        if verb == "reward":
            return self.hold(name, reward="mug")
        # Half of the names are those of rewards.
        known = f"{'r' if number % 2 else 'h'}-{number}"
        hold_id = self.holds.get(known, "hold_x")
        if verb == "capture":
            return self.capture(hold_id, points)
        return self.release(hold_id) if verb == "release" else self.refund(hold_id, number, points)

    def judge(self, answer: httpx.Response) -> Any:
        assert answer.status_code in ALLOWED, answer.text
        return answer.json() if answer.status_code < 300 else None

    async def adjust(self, name: str, points: int) -> None:
        body = {"id": name, "customer": self.till.customer, "points": points, "reason_code": "service"}
        if self.judge(await self.till.client.post("/v1/loyalty/adjustments", json=body)):
            self.adjusted[name] = points

    async def hold(self, name: str, **said: Any) -> None:
        told = self.judge(await self.till.hold(name=name, **said))
        if told:
            assert self.holds.setdefault(name, told["hold_id"]) == told["hold_id"]  # 7, 9

    async def capture(self, hold_id: str, points: int | None) -> None:
        told = self.judge(await self.till.capture(hold_id, points))
        if told:
            assert self.redemptions.setdefault(hold_id, told) == told

    async def release(self, hold_id: str) -> None:
        self.judge(await self.till.release(hold_id))

    async def refund(self, hold_id: str, number: int, points: int | None) -> None:
        redemption = self.redemptions.get(hold_id)
        if redemption is None:
            return
        name = f"b-{number}-{points}"
        told = self.judge(await self.till.refund(redemption["redemption_id"], points, name))
        if told:
            assert self.refunds.setdefault((hold_id, name), told) == told
            assert told["points"] == told["restored"] + told["lapsed"] + told["reinstated"]

    async def check(self, service: Service) -> None:
        """Balances are the ledger's, the ledger is what was answered, and the account is what its entries say."""
        shown = await self.till.balance()
        spent = sum(one["points"] for one in self.redemptions.values())
        back = sum(one["points"] for one in self.refunds.values())
        assert shown["available"] + shown["held"] == sum(self.adjusted.values()) - spent + back  # 1, 6
        assert shown["lifetime_burned"] == spent - back
        assert await self.till.is_sound()
        state = service.app.state
        async with state.database.hot_reading() as connection:
            reference = parse_reference(self.till.customer)
            clock = (
                await read_balance(
                    connection, reference, None, None, state.programs.current, datetime.now(UTC)
                )
            )[0]
            log = await entries.all_of(connection, clock.customer_id, clock.face)
        account = clock.loaded.account
        assert verify(account.id, log, account) == []  # 10, 11
        again = rebuilt(account, log)
        assert balance(again, datetime.now(UTC)).available == shown["available"]  # 4
        for lot in account.lots.values():
            assert 0 <= lot.held <= lot.remaining <= lot.granted  # 2
        held = sum(hold.points for hold in account.holds.values() if hold.state == "open")
        assert sum(lot.held for lot in account.lots.values()) == held == shown["held"]
        for spend in account.spends.values():
            assert sum(draw.points for draw in spend.draws) == spend.points  # 6
            assert all(0 <= draw.restored <= draw.points for draw in spend.draws)


@pytest.mark.usefixtures("club")
async def test_any_history_of_several_clients_proves_itself(
    service: Service, admin: httpx.AsyncClient
) -> None:
    mug = {"code": "mug", "name": "Mug", "points": 70, "stock": 3, "per_customer": 2, "coupons": "given"}
    assert (await admin.post(REWARDS, json=mug)).status_code == 201
    await admin.post(f"{REWARDS}/mug/coupons", json={"codes": ["A", "B"]})
    clients = [await service.client(await service.key("admin", source="till")) for _ in range(3)]
    loop = asyncio.get_running_loop()

    async def play(steps: list[list[Call]]) -> None:
        name = f"p-{uuid4()}"
        await admin.post("/v1/customers", json={"identifiers": {"external_id": name}})
        history = History(Till(admin, f"external_id:{name}"))
        for step in steps:
            history.till.client = clients[len(step) % len(clients)]
            await asyncio.gather(*[history.send(call) for call in step])
            history.till.client = admin
            await history.check(service)

    @settings(
        max_examples=HISTORIES,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(STEPS)
    def histories(steps: list[list[Call]]) -> None:
        asyncio.run_coroutine_threadsafe(play(steps), loop).result()

    # Hypothesis is synchronous: it plays from a thread of its own, on this loop.
    await asyncio.to_thread(histories)
    left = (await admin.get(f"{REWARDS}/mug")).json()["stock"]
    assert 0 <= left <= 3
