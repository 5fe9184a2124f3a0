"""What PgBouncer in transaction mode costs: the same posts and reads with and without it, in turns, as a ratio.

`python -m bench.pooling`: in one process and without HTTP, so that what is compared is the way to the database.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from pydantic import SecretStr

from app.domain import keys
from app.main import create_app
from app.settings import Settings
from app.storage.embedded import start_embedded, stop_embedded
from app.storage.migrate import migrate_in_thread
from app.storage.tables import APP_ROLE
from tests.api.pooler import pooled

CUSTOMERS = 200
Ask = Callable[[httpx.AsyncClient, int, int], Awaitable[None]]


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.pooling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="per measurement")
    parser.add_argument("--clients", type=int, default=16)
    options = parser.parse_args()
    # Short, because a socket lives in it.
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as home:
        server = await asyncio.to_thread(start_embedded, Path(home))
        try:
            await migrate_in_thread(server.url())
            with pooled(server.url(APP_ROLE)) as through:
                await _compare({False: server.url(APP_ROLE), True: through}, options)
        finally:
            stop_embedded(server)


async def _compare(urls: dict[bool, str], options: argparse.Namespace) -> None:
    rates: dict[tuple[str, bool], list[float]] = {}
    for number in range(options.rounds):
        for pgbouncer in (False, True) if number % 2 else (True, False):
            settings = Settings(
                database_url=urls[pgbouncer],
                pgbouncer=pgbouncer,
                admin_key=SecretStr(keys.new_key(publishable=False)),
                log_level="ERROR",
                sweep_seconds=0,
            )
            app = create_app(settings)
            assert settings.admin_key is not None  # noqa: S101 - given above
            headers = {"Authorization": f"Bearer {settings.admin_key.get_secret_value()}"}
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app), base_url="http://bench", headers=headers
                ) as client,
            ):
                for number_of_customer in range(CUSTOMERS):
                    await _post(client, 0, number_of_customer)
                for what, ask in {"post": _post, "context": _read}.items():
                    rates.setdefault((what, pgbouncer), []).append(await _rate(client, ask, options))
    print(f"load {os.getloadavg()[0]:.1f}, {options.clients} clients, {options.rounds} rounds")
    for what in ("post", "context"):
        pairs = zip(rates[what, True], rates[what, False], strict=True)
        ratio = statistics.median(through / direct for through, direct in pairs)
        print(f"{what}: {statistics.median(rates[what, True]):,.0f}/s through, ratio to direct {ratio:.2f}")


async def _rate(client: httpx.AsyncClient, ask: Ask, options: argparse.Namespace) -> float:
    """Answers a second."""
    begun = time.monotonic()
    until = begun + options.seconds

    async def work(number: int) -> int:
        done = 0
        while time.monotonic() < until:
            await ask(client, number, done)
            done += 1
        return done

    counts = await asyncio.gather(*(work(number) for number in range(options.clients)))
    return sum(counts) / (time.monotonic() - begun)


async def _post(client: httpx.AsyncClient, worker: int, number: int) -> None:
    body = {
        "id": f"{worker}-{time.time_ns()}",
        "customer": {"external_id": f"c{(worker * 31 + number) % CUSTOMERS}"},
        "kind": "visit",
    }
    (await client.post("/v1/touchpoints", json=body)).raise_for_status()


async def _read(client: httpx.AsyncClient, worker: int, number: int) -> None:
    customer = (worker * 31 + number) % CUSTOMERS
    (await client.get(f"/v1/customers/external_id:c{customer}/context")).raise_for_status()


if __name__ == "__main__":
    asyncio.run(main())
