"""What an administrator does before a storm: publishes a programme, writes a reward down, welcomes the first customers.

Everything over HTTP; every call may be repeated until it is answered, for some storms cut what they can from the start.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from tests.chaos.service import Service
from tests.chaos.wire import Connection

REWARD = "mug"
REWARD_POINTS = 40
STOCK = 25
PER_AMOUNT_MINOR = 100
# By seed: what refunds do with points that were spent.
CLAWBACKS = ("within_balance", "unlimited", "only_pending")
SETUP_SECONDS = 60.0
# A process hears of the first programme within a second of its publication.
HEARD_SECONDS = 1.3
_CLUB = {"code": "main", "name": "Club", "currency": "EUR", "time_zone": "Europe/Berlin"}
_RULES: dict[str, Any] = {
    "earning_rules": [{"code": "base", "points": 1, "per_amount_minor": PER_AMOUNT_MINOR}],
    "pending_days": 0,
    "tiers": [{"code": "base", "threshold": 0}, {"code": "silver", "threshold": 500}],
}
_REWARD = {"code": REWARD, "name": "A mug", "points": REWARD_POINTS, "stock": STOCK, "coupons": "generated"}


def clawback_of(seed: int) -> str:
    """The clawback policy of a storm."""
    return CLAWBACKS[seed % len(CLAWBACKS)]


async def publish(service: Service, seed: int, customers: Iterable[str]) -> None:
    """A programme whose rules are in force for everything that the clients will tell, and known to all workers."""
    rules = _RULES | {"clawback": clawback_of(seed)}
    await _told(service, "/v1/loyalty/programs", _CLUB)
    await _told(service, "/v1/loyalty/programs/main/versions", rules)
    begin = {"effective_from": "2020-01-01T00:00:00Z"}
    await _told(service, "/v1/loyalty/programs/main/versions/1/publish", begin)
    await _told(service, "/v1/loyalty/rewards", _REWARD)
    for external_id in customers:
        await _told(service, "/v1/customers", {"identifiers": {"external_id": external_id}})
    await asyncio.sleep(HEARD_SECONDS)


async def _told(service: Service, path: str, body: dict[str, Any]) -> None:
    deadline = time.monotonic() + SETUP_SECONDS
    while time.monotonic() < deadline:
        connected = Connection(service.port, service.key)
        answer = await connected.send("POST", path, body, SETUP_SECONDS)
        connected.close()
        if answer is not None and answer[0] in {200, 201}:
            return
        if answer is not None and answer[0] != 503:
            raise RuntimeError(f"{path} was answered {answer}")
        await asyncio.sleep(0.05)
    raise TimeoutError(f"{path} was not answered")
