"""What tests of spending write again and again: points, holds, captures, and what is left."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from app.domain.identifiers import parse_reference
from app.domain.loyalty.account import Account, Clawed, Decision
from app.domain.loyalty.clawback import clawed_back
from app.domain.loyalty.crediting import Earning, earned
from app.usecases.loyalty.change_account import open_account, save_account
from tests.api.conftest import Service

HOLDS = "/v1/loyalty/holds"
REDEMPTIONS = "/v1/loyalty/redemptions"
REWARDS = "/v1/loyalty/rewards"
ADA = "external_id:42"


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


@dataclass
class Till:
    """A client that spends the points of one customer."""

    client: httpx.AsyncClient
    customer: str = ADA

    async def give(self, points: int, name: str = "gift", **said: Any) -> dict[str, Any]:
        body = {"id": name, "customer": self.customer, "points": points, "reason_code": "service", **said}
        answer = await self.client.post("/v1/loyalty/adjustments", json=body)
        assert answer.status_code in (200, 201), answer.text
        given: dict[str, Any] = answer.json()
        return given

    async def hold(self, points: int | None = None, name: str = "h-1", **said: Any) -> httpx.Response:
        asked = {} if points is None else {"points": points}
        return await self.client.post(HOLDS, json={"id": name, "customer": self.customer, **asked, **said})

    async def held(self, points: int | None = None, name: str = "h-1", **said: Any) -> str:
        answer = await self.hold(points, name, **said)
        assert answer.status_code == 201, answer.text
        hold_id: str = answer.json()["hold_id"]
        return hold_id

    async def capture(self, hold_id: str, points: int | None = None) -> httpx.Response:
        return await self.client.post(f"{HOLDS}/{hold_id}/capture", json={"points": points})

    async def captured(self, hold_id: str, points: int | None = None) -> dict[str, Any]:
        answer = await self.capture(hold_id, points)
        assert answer.status_code == 200, answer.text
        done: dict[str, Any] = answer.json()
        return done

    async def release(self, hold_id: str) -> httpx.Response:
        return await self.client.post(f"{HOLDS}/{hold_id}/release")

    async def spent(self, points: int, name: str = "h-1", **said: Any) -> str:
        """A redemption."""
        redemption_id: str = (await self.captured(await self.held(points, name, **said)))["redemption_id"]
        return redemption_id

    async def refund(
        self, redemption_id: str, points: int | None = None, name: str = "r-1", **said: Any
    ) -> httpx.Response:
        body = {"id": name, "points": points, **said}
        return await self.client.post(f"{REDEMPTIONS}/{redemption_id}/refund", json=body)

    async def balance(self) -> dict[str, Any]:
        shown: dict[str, Any] = (await self.client.get(f"/v1/customers/{self.customer}/loyalty")).json()
        return shown

    async def available(self) -> int:
        available: int = (await self.balance())["available"]
        return available

    async def is_sound(self) -> bool:
        proof = (await self.client.get(f"/v1/customers/{self.customer}/loyalty/verify")).json()
        return bool(proof["is_sound"])


async def book(
    service: Service, decide: Callable[[Account, datetime], Decision[Any]], earns: Sequence[str] = ()
) -> Any:
    """Change Ada's account by a rule that nothing over HTTP asks for here: an earn, a clawback."""
    state, now = service.app.state, datetime.now(UTC)
    async with state.database.hot_transaction() as connection:
        opened = await open_account(
            connection, parse_reference(ADA), None, state.programs.current, now, earns=earns
        )
        decision = decide(opened.loaded.account, now)
        await save_account(connection, opened, decision, now)
    return decision.result


async def earn(service: Service, points: int, key: str, qualifying: int = 0) -> None:
    """Points of a purchase of 100.00, active at once."""
    await book(
        service,
        lambda account, now: earned(account, Earning(key, points, now, now, None, 10_000, qualifying), now),
        [key],
    )


async def claw(service: Service, key: str, policy: Any) -> Clawed:
    """What a refund of that whole purchase takes."""
    done: Clawed = await book(
        service,
        lambda account, now: clawed_back(account, key, id="r", amount_minor=None, policy=policy, now=now),
        [key],
    )
    return done
