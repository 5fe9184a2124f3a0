"""After the storm: is everything that was acknowledged stored once, with the acknowledged answer, and nothing else?"""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from tests.chaos.client import PATIENCE_SECONDS, Client, Connection
from tests.chaos.deeds import DEEDS, SOURCE, Deed
from tests.chaos.postgres import Target, connection
from tests.chaos.script import Event
from tests.chaos.service import ROOT, Service

REPOSTS_AT_ONCE = 16
REPOST_TRIES = 20


@dataclass(slots=True)
class Findings:
    """What must not be, each as a sentence.

    `lost`: acknowledged and not stored. `doubled`: an event or a customer that stands more than once. `invented`:
    stored and never sent like that. `halved`: a row without what is written beside it. `wrong`: an answer that is not
    the first one, or that nobody should be given. `unproven`: what `rapport verify` says of the database.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    halved: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any((self.lost, self.doubled, self.invented, self.halved, self.wrong, self.unproven))

    def first(self, most: int = 3) -> list[str]:
        kinds = {name: getattr(self, name) for name in self.__slots__}
        return [f"{name}: {what}" for name, found in kinds.items() for what in found[:most]]


async def audit(target: Target, service: Service, clients: Sequence[Client]) -> Findings:
    """Compare the log with what the clients know, post everything again, and let `rapport verify` judge the rest."""
    findings = Findings()
    events = {event.id: event for client in clients for event in client.events}
    before = await _log(target)
    _compare({id_: event for id_, event in events.items() if not event.deed}, before, findings)
    for kind, deed in DEEDS.items():
        told = {event.id: event for event in events.values() if event.kind == kind}
        await _compare_deeds(target, deed, told, before, findings)
    findings.wrong += (surprise for client in clients for surprise in client.surprises)
    await _compare_customers(target, events.values(), before, findings)
    acknowledged = [event for event in events.values() if event.acknowledged]
    await _post_again(acknowledged, service, findings)
    if (more := len(await _log(target)) - len(before)) and not findings.lost:
        findings.doubled.append(f"{more} rows were added by posting acknowledged events again")
    findings.unproven += await asyncio.to_thread(_verify, target)
    return findings


async def _log(target: Target) -> list[asyncpg.Record]:
    async with connection(target.owner_url) as connected:
        rows: list[asyncpg.Record] = await connected.fetch(
            "SELECT source, id, customer_id, kind, amount_minor, thread FROM touchpoints"
        )
    return rows


def _compare(events: Mapping[str, Event], log: Sequence[asyncpg.Record], findings: Findings) -> None:
    ours = [row for row in log if row["source"] != SOURCE]
    stored = Counter(row["id"] for row in ours)
    findings.doubled += (f"{id_} is stored {count} times" for id_, count in stored.items() if count > 1)
    findings.lost += (id_ for id_, event in events.items() if event.acknowledged and not stored[id_])
    for row in ours:
        event = events.get(row["id"])
        if event is None or event.is_poison:
            findings.invented.append(f"{row['id']} was never sent, or refused")
        elif _said(row) != _meant(event):
            findings.invented.append(f"{row['id']} was sent with another body")


async def _compare_deeds(
    target: Target,
    deed: Deed,
    events: Mapping[str, Event],
    log: Sequence[asyncpg.Record],
    findings: Findings,
) -> None:
    """One row for each deed, of the customer it names, and one touchpoint for each row."""
    async with connection(target.owner_url) as connected:
        rows = await connected.fetch(
            f"SELECT r.source_id, r.customer_id, c.value_key FROM {deed.table} r "  # noqa: S608 - a name of DEEDS
            "LEFT JOIN identifier_claims c ON c.customer_id = r.customer_id AND c.type = 'external_id'"
        )
    stored = Counter(row["source_id"] for row in rows)
    findings.doubled += (f"{id_} is stored {count} times" for id_, count in stored.items() if count > 1)
    findings.lost += (id_ for id_, event in events.items() if event.acknowledged and not stored[id_])
    for row in rows:
        event = events.get(row["source_id"])
        if event is None or event.external_id != row["value_key"]:
            findings.invented.append(f"{row['source_id']} of {deed.table} was never sent for this customer")
    written = Counter(
        row["customer_id"] for row in log if row["source"] == SOURCE and row["kind"] in deed.kinds
    )
    due = Counter(row["customer_id"] for row in rows)
    for customer_id in due.keys() | written.keys():
        if due[customer_id] != written[customer_id]:
            findings.halved.append(
                f"{customer_id} has {due[customer_id]} rows of {deed.table} and {written[customer_id]} touchpoints"
            )


def _said(row: asyncpg.Record) -> tuple[object, ...]:
    return row["kind"], row["amount_minor"], row["thread"]


def _meant(event: Event) -> tuple[object, ...]:
    order_id = event.body.get("order_id")
    return event.body["kind"], event.body.get("amount_minor"), order_id and f"order:{order_id}"


async def _compare_customers(
    target: Target, events: Iterable[Event], log: Sequence[asyncpg.Record], findings: Findings
) -> None:
    """One customer for each identifier, the same in every answer, and none that nobody can name."""
    async with connection(target.owner_url) as connected:
        claims = await connected.fetch(
            "SELECT value_key, customer_id FROM identifier_claims WHERE type = 'external_id'"
        )
        customers = await connected.fetchval("SELECT count(*) FROM customers")
    if customers != len(claims):
        findings.doubled.append(f"{customers} customers for {len(claims)} external ids")
    holders = {row["value_key"]: row["customer_id"] for row in claims}
    owners = {row["id"]: row["customer_id"] for row in log if row["source"] != SOURCE}
    for event in events:
        holder = holders.get(event.external_id)
        told = {json.loads(answer)["customer_id"] for answer in event.answers}
        if told - {str(holder)} or (event.id in owners and owners[event.id] != holder):
            findings.wrong.append(f"{event.id} went to another customer than its identifier's")


async def _post_again(events: Sequence[Event], service: Service, findings: Findings) -> None:
    waiting = iter(events)
    lost = set(findings.lost)

    async def post(waiting: Iterator[Event]) -> None:
        connected = Connection(service.port, service.key)
        for event in waiting:
            wrong = await _repeat(connected, event)
            if wrong is not None and event.id not in lost:
                findings.wrong.append(wrong)
        connected.close()

    await asyncio.gather(*(post(waiting) for _ in range(REPOSTS_AT_ONCE)))


async def _repeat(connected: Connection, event: Event) -> str | None:
    """What is wrong with the answer to one more post of a stored event, if anything."""
    body = json.dumps(event.body).encode()
    for _ in range(REPOST_TRIES):
        answer = await connected.post(event.path, body, PATIENCE_SECONDS)
        if answer is not None and answer[0] != 503:
            break
        await asyncio.sleep(0.1)
    else:
        return f"{event.id} could not be posted again"
    status, told = answer
    if status != 200 or told.get("duplicate", True) is not True:
        return f"{event.id} was acknowledged, and posted again answered {status}"
    again = event.remembered(told)
    if any(first != again for first in event.answers):
        return f"{event.id} was answered {event.answers[0]}, and posted again {again}"
    return None


def _verify(target: Target) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAPPORT_")}
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "verify", "--json"],
        cwd=ROOT,
        env=environment | {"RAPPORT_DATABASE_URL": target.app_url},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        return [f"rapport verify ended with {done.returncode}: {done.stderr.strip()}"]
    told: dict[str, Any] = json.loads(done.stdout)
    found: list[str] = []
    for check in told["checks"]:
        first = [f"{check['name']}: {one['customer_id']}: {one['what']}" for one in check["first"]]
        found += [*first, *[f"{check['name']}: one more"] * (check["differences"] - len(first))]
    if told["holds"] is not (done.returncode == 0) or bool(found) is told["holds"]:
        found.append(f"rapport verify contradicts itself: exit code {done.returncode}, {found}")
    return found
