"""`rapport demo`: shop.py's customers and their stories through the HTTP interface, as a storefront would send them."""

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from app.cli import delivery, shop
from app.cli.delivery import Service, Tally
from app.cli.failure import PARTIAL, Failure

BATCH = 500
CONCURRENCY = 4
RECENT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Shop:
    """Which shop: everything its customers and their stories depend on."""

    seed: int
    customers: int
    until: date
    currency: str

    def people(self) -> Iterator[shop.Person]:
        """Its customers."""
        return shop.people(self.seed, self.customers, self.until, self.currency)


def demo(url: str, key: str, *, customers: int, seed: int, currency: str, until: date | None) -> int:
    """Fill the Rapport at `url`, print what to look at; returns the exit code."""
    today = datetime.now(UTC).date()
    if until is not None and until > today:
        raise Failure(f"--until {until}: lies in the future, and only what has happened can be stored")
    try:
        return asyncio.run(_demo(url, key, Shop(seed, customers, until or today, currency), until))
    except KeyboardInterrupt:
        raise Failure("stopped: run the same command again to complete the shop", exit_code=PARTIAL) from None


async def _demo(url: str, key: str, wanted: Shop, until: date | None) -> int:
    console = Console(highlight=False)
    tally = Tally()
    async with delivery.service(url, key) as service:
        story = await _as_begun(service, wanted, until)
        with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
            await _fill(service, story, tally, progress)
        console.print(
            f"{story.customers:,} customers whose story ends before {story.until}; touchpoints: "
            f"{tally.stored:,} stored, {tally.duplicates:,} known already, {tally.rejected:,} rejected.",
            soft_wrap=True,
        )
        for body, code, detail in tally.samples:
            console.print(f"rejected: {body['id']}: {code}: {detail}", markup=False, soft_wrap=True)
        console.print(await _worth_opening(service, story))
    _say_what_next(console, url, story)
    return PARTIAL if tally.rejected else 0


async def _as_begun(service: Service, wanted: Shop, until: date | None) -> Shop:
    """The shop as an earlier run began it, if one did: its last day and its currency are part of what it stored."""
    first = shop.external_id(wanted.seed, 1)
    response = await service.call("GET", f"/v1/customers/external_id:{first}")
    if delivery.problem(response)[0] == "customer_not_found":
        return wanted
    if response.status_code != HTTPStatus.OK:
        service.refuse(response)
    traits = response.json()["traits"]
    try:
        begun_until, currency = date.fromisoformat(traits["demo_until"]), traits["demo_currency"]
    except (KeyError, TypeError, ValueError):
        raise Failure(
            f"external_id:{first} exists and is not of a demo; another --seed makes another shop"
        ) from None
    if (until or begun_until) != begun_until or currency != wanted.currency:
        raise Failure(
            f"the demo shop {wanted.seed} is there already, in {currency} and until {begun_until}; "
            "another --seed makes another shop beside it"
        )
    return Shop(wanted.seed, wanted.customers, begun_until, currency)


async def _fill(service: Service, story: Shop, tally: Tally, progress: Progress) -> None:
    customers = progress.add_task("Customers", total=story.customers)
    touchpoints = progress.add_task(
        "Touchpoints", total=sum(len(person.touchpoints) for person in story.people())
    )

    async def create(person: shop.Person) -> None:
        response = await service.call("POST", "/v1/customers", json=person.customer)
        if response.status_code not in {HTTPStatus.OK, HTTPStatus.CREATED}:
            service.refuse(response)
        progress.advance(customers)

    def advance(size: int) -> None:
        progress.advance(touchpoints, size)

    async def tell_recent(person: shop.Person) -> None:
        # One by one and in order, as a storefront posts them: each then knows what it changed.
        for body in person.touchpoints:
            if not _is_history(body, story.until):
                await service.post(body, tally)
                advance(1)

    await delivery.in_parallel(story.people(), create, CONCURRENCY)
    history = (
        body for person in story.people() for body in person.touchpoints if _is_history(body, story.until)
    )
    await delivery.deliver(service, history, tally, batch=BATCH, concurrency=CONCURRENCY, advance=advance)
    await delivery.in_parallel(story.people(), tell_recent, CONCURRENCY)


def _is_history(body: dict[str, Any], until: date) -> bool:
    return datetime.fromisoformat(body["occurred_at"]).date() < until - timedelta(days=RECENT_DAYS)


async def _worth_opening(service: Service, story: Shop) -> Table:
    table = Table(title="Three to look at", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("customer", no_wrap=True)
    for heading in ("name", "score", "band", "why to open it"):
        table.add_column(heading)
    for number, why in shop.WORTH_OPENING:
        reference = f"external_id:{shop.external_id(story.seed, number)}"
        response = await service.call("GET", f"/v1/customers/{reference}/context")
        if response.status_code != HTTPStatus.OK:
            service.refuse(response)
        context: dict[str, Any] = response.json()
        health = context["health"]
        table.add_row(
            reference, escape(context["customer"]["name"]), str(health["score"]), health["band"], why
        )
    return table


def _say_what_next(console: Console, url: str, story: Shop) -> None:
    number, _ = shop.WORTH_OPENING[1]
    reference = f"external_id:{shop.external_id(story.seed, number)}"
    base = url.rstrip("/")
    console.print(f"All of it, and everything else: {base}/docs", soft_wrap=True)
    console.print("One of them as a support agent reads it:", soft_wrap=True)
    # The key stays out: terminals are recorded and shared.
    console.print(
        f"  curl -H 'Authorization: Bearer YOUR_KEY' '{base}/v1/customers/{reference}/context?format=markdown'",
        soft_wrap=True,
        markup=False,
    )
