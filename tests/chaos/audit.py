"""After the storm: is everything that was acknowledged stored once, with the acknowledged answer, and nothing else?"""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import asyncpg

from tests.chaos import books, spent
from tests.chaos.client import PATIENCE_SECONDS, Client
from tests.chaos.deeds import DEEDS, SOURCE, Written
from tests.chaos.events import Event
from tests.chaos.findings import Findings
from tests.chaos.postgres import Target, connection
from tests.chaos.service import ROOT, Service
from tests.chaos.wire import Connection

REPOSTS_AT_ONCE = 16
REPOST_TRIES = 20
_LEFT = """
SELECT a.customer_id, coalesce(sum(l.remaining), 0) - a.debt AS left FROM loyalty_accounts a
LEFT JOIN loyalty_lots l ON l.customer_id = a.customer_id AND l.program = a.program
  AND (l.expires_at IS NULL OR l.expires_at > clock_timestamp())
GROUP BY a.customer_id, a.program, a.debt"""


async def audit(
    target: Target, service: Service, clients: Sequence[Client]
) -> tuple[Findings, Mapping[str, int]]:
    """Compare what is stored with what the clients know, post everything again, add up the ledger, and let
    `rapport verify` judge the rest. Also answers what the ledger has in it (`books.balance`).
    """
    findings = Findings()
    events = {event.id: event for client in clients for event in client.events}
    before = await _log(target)
    _compare({id_: event for id_, event in events.items() if not event.deed}, before, findings)
    for kind, deed in DEEDS.items():
        if deed.written is not None:
            told = {event.id: event for event in events.values() if event.kind == kind}
            await _compare_written(target, deed.written, told, before, findings)
    async with connection(target.owner_url) as connected:
        await spent.compare(connected, events.values(), before, findings)
    findings.wrong += (surprise for client in clients for surprise in client.surprises)
    await _compare_customers(target, events.values(), before, findings)
    acknowledged = [event for event in events.values() if event.acknowledged]
    await _post_again(acknowledged, service, findings)
    if (more := _told(await _log(target)) - _told(before)) and not findings.lost:
        findings.doubled.append(f"{more} rows were added by posting acknowledged events again")
    async with connection(target.owner_url) as connected:
        counts = await books.balance(connected, findings)
    await _compare_balances(target, service, findings)
    findings.unproven += await asyncio.to_thread(_verify, target)
    return findings, counts


async def _log(target: Target) -> list[asyncpg.Record]:
    async with connection(target.owner_url) as connected:
        rows: list[asyncpg.Record] = await connected.fetch(
            "SELECT source, id, customer_id, kind, amount_minor, thread FROM touchpoints"
        )
    return rows


def _told(log: Sequence[asyncpg.Record]) -> int:
    """How much of the log clients caused: the service's clock may tell of more at any time."""
    kinds = {
        "points_redeemed",
        *(kind for deed in DEEDS.values() if deed.written for kind in deed.written.kinds),
    }
    return sum(row["source"] != SOURCE or row["kind"] in kinds for row in log)


def _compare(events: Mapping[str, Event], log: Sequence[asyncpg.Record], findings: Findings) -> None:
    ours = [row for row in log if row["source"] != SOURCE and not spent.is_effect(row["id"])]
    stored = Counter(row["id"] for row in ours)
    findings.doubled += (f"{id_} is stored {count} times" for id_, count in stored.items() if count > 1)
    findings.lost += (id_ for id_, event in events.items() if event.acknowledged and not stored[id_])
    for row in ours:
        event = events.get(row["id"])
        if event is None or event.is_poison:
            findings.invented.append(f"{row['id']} was never sent, or refused")
        elif _said(row) != _meant(event):
            findings.invented.append(f"{row['id']} was sent with another body")


async def _compare_written(
    target: Target,
    written: Written,
    events: Mapping[str, Event],
    log: Sequence[asyncpg.Record],
    findings: Findings,
) -> None:
    """One row for each deed, of the customer it names, and one touchpoint for each row."""
    async with connection(target.owner_url) as connected:
        rows = await connected.fetch(
            f"SELECT r.source_id, r.customer_id, c.value_key FROM {written.table} r "  # noqa: S608 - a name of DEEDS
            "LEFT JOIN identifier_claims c ON c.customer_id = r.customer_id AND c.type = 'external_id'"
        )
    stored = Counter(row["source_id"] for row in rows)
    findings.doubled += (f"{id_} is stored {count} times" for id_, count in stored.items() if count > 1)
    findings.lost += (id_ for id_, event in events.items() if event.acknowledged and not stored[id_])
    for row in rows:
        event = events.get(row["source_id"])
        if event is None or event.external_id != row["value_key"]:
            findings.invented.append(
                f"{row['source_id']} of {written.table} was never sent for this customer"
            )
    told = Counter(
        row["customer_id"] for row in log if row["source"] == SOURCE and row["kind"] in written.kinds
    )
    due = Counter(row["customer_id"] for row in rows)
    for customer_id in due.keys() | told.keys():
        if due[customer_id] != told[customer_id]:
            findings.halved.append(
                f"{customer_id} has {due[customer_id]} rows of {written.table} and {told[customer_id]} touchpoints"
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
        told = {customer for answer in event.answers if (customer := _customer(json.loads(answer)))}
        if told - {str(holder)} or (event.id in owners and owners[event.id] != holder):
            findings.wrong.append(f"{event.id} went to another customer than its identifier's")


def _customer(answer: Mapping[str, Any]) -> str | None:
    """Whom an answer is about; that to a refund of a spend does not say."""
    customer: str | None = answer.get("order", answer).get("customer_id")
    return customer


async def _compare_balances(target: Target, service: Service, findings: Findings) -> None:
    """What customers are told of their points is what the lots hold that have not run out, less the debt."""
    async with connection(target.owner_url) as connected:
        rows = await connected.fetch(_LEFT)
    connected_service = Connection(service.port, service.key)
    for row in rows:
        path = f"/v1/customers/{row['customer_id']}/loyalty"
        answer = await connected_service.send("GET", path, {}, PATIENCE_SECONDS)
        told = answer[1] if answer is not None and answer[0] == 200 else {}
        if sum(told.get(name, -1) for name in ("available", "pending", "held")) != row["left"]:
            findings.wrong.append(f"{row['customer_id']} has {row['left']} points, and is told {answer}")
    connected_service.close()


async def _post_again(events: Sequence[Event], service: Service, findings: Findings) -> None:
    waiting = iter(events)
    lost = set(findings.lost)
    newest = {
        event.id for event in spent.newest_states(one for one in events if one.kind == "order").values()
    }

    async def post(waiting: Iterator[Event]) -> None:
        connected = Connection(service.port, service.key)
        for event in waiting:
            is_stale = event.kind == "order" and event.id not in newest
            wrong = await _repeat(connected, event, is_stale=is_stale)
            if wrong is not None and event.id not in lost:
                findings.wrong.append(wrong)
        connected.close()

    await asyncio.gather(*(post(waiting) for _ in range(REPOSTS_AT_ONCE)))


async def _repeat(connected: Connection, event: Event, *, is_stale: bool) -> str | None:
    """What is wrong with the answer to one more post of a stored event, if anything."""
    for _ in range(REPOST_TRIES):
        answer = await connected.send(event.method, event.path, event.body, PATIENCE_SECONDS, event.key)
        if answer is not None and answer[0] != 503:
            break
        await asyncio.sleep(0.1)
    else:
        return f"{event.id} could not be posted again"
    status, told = answer
    # Under an Idempotency-Key the first answer comes with its status.
    if status not in ({200} if event.key is None else {200, 201}) or told.get("duplicate", True) is not True:
        return f"{event.id} was acknowledged, and posted again answered {status}"
    if is_stale:
        is_ignored = (told["ignored"], told["effects"]) == ("stale_version", [])
        return None if is_ignored else f"{event.id} is an older state, and posted again did {told}"
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
