"""What clients were told of holds, captures, refunds of spends, adjustments and whole orders, beside what is stored."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg

from tests.chaos.events import Event
from tests.chaos.findings import Findings
from tests.chaos.programme import REWARD_POINTS

SINCE_PAID = frozenset(("paid", "fulfilled"))
_HOLDS = """
SELECT h.hold_id, h.points, h.captured, h.reward, c.value_key AS external_id,
  CASE WHEN h.state = 'open' AND h.expires_at <= clock_timestamp() THEN 'expired' ELSE h.state END AS state,
  coalesce((SELECT jsonb_object_agg(r ->> 0, r -> 1) FROM jsonb_array_elements(s.refunds) r), '{}') AS refunds,
  coalesce(jsonb_array_length(s.refunds), 0) AS times
FROM loyalty_holds h
LEFT JOIN identifier_claims c ON c.customer_id = h.customer_id AND c.type = 'external_id'
LEFT JOIN loyalty_spends s
  ON s.customer_id = h.customer_id AND s.program = h.program AND s.spend_id = h.hold_id"""
_ADJUSTMENTS = """
SELECT a.proposal_id, a.points, a.state, e.points AS booked, c.value_key AS external_id
FROM loyalty_adjustments a
LEFT JOIN loyalty_entries e ON e.customer_id = a.customer_id AND e.program = a.program AND e.seq = a.entry
LEFT JOIN identifier_claims c ON c.customer_id = a.customer_id AND c.type = 'external_id'"""
_ORDERS = "SELECT order_id, version FROM orders WHERE version IS NOT NULL"


class Hold(NamedTuple):
    """A stored hold. `refunds`: points by the id of the refund; `times`: how many there are."""

    points: int
    captured: int
    state: str
    reward: str | None
    external_id: str | None
    refunds: Mapping[str, int]
    times: int


async def compare(
    connected: asyncpg.Connection,
    events: Iterable[Event],
    log: Sequence[asyncpg.Record],
    findings: Findings,
) -> None:
    by_kind: dict[str, dict[str, Event]] = defaultdict(dict)
    for event in events:
        by_kind[event.kind][event.id] = event
    rows = [(_own(row["hold_id"]), _hold(row)) for row in await connected.fetch(_HOLDS)]
    _once((name for name, _ in rows), by_kind["hold"], "a hold", findings)
    holds = dict(rows)
    for name, hold in rows:
        _compare_hold(by_kind["hold"].get(name), hold, findings)
    names = {event.told["hold_id"]: event.id for event in by_kind["hold"].values() if event.told}
    ends = [*by_kind["capture"].values(), *by_kind["release"].values()]
    _compare_ends(ends, names, holds, findings)
    _compare_returns(by_kind["give back"], by_kind["capture"], names, holds, findings)
    adjusted = await connected.fetch(_ADJUSTMENTS)
    _once((row["proposal_id"] for row in adjusted), by_kind["adjustment"], "an adjustment", findings)
    for row in adjusted:
        _compare_adjustment(by_kind["adjustment"].get(row["proposal_id"]), row, findings)
    versions = {row["order_id"]: row["version"] for row in await connected.fetch(_ORDERS)}
    _compare_orders(by_kind["order"].values(), versions, log, findings)


def _own(name: str) -> str:
    """The ledger knows a caller's id as `source/id`."""
    return name.partition("/")[2]


def _hold(row: asyncpg.Record) -> Hold:
    refunds = {_own(name): points for name, points in json.loads(row["refunds"]).items()}
    return Hold(
        row["points"],
        row["captured"],
        row["state"],
        row["reward"],
        row["external_id"],
        refunds,
        row["times"],
    )


def _once(stored: Iterable[str], events: Mapping[str, Event], what: str, findings: Findings) -> None:
    counts = Counter(stored)
    findings.doubled += (f"{id_} is {what} {count} times" for id_, count in counts.items() if count > 1)
    findings.lost += (id_ for id_, event in events.items() if event.acknowledged and not counts[id_])
    for id_ in counts:
        event = events.get(id_)
        if event is None or (event.refused and not event.is_unsure):
            findings.invented.append(f"{id_} is {what} that was never asked for, or refused")


def _compare_hold(event: Event | None, hold: Hold, findings: Findings) -> None:
    if event is None:
        return
    points = REWARD_POINTS if hold.reward else event.body["points"]
    asked = (points, event.body.get("reward"), event.external_id)
    if (hold.points, hold.reward, hold.external_id) != asked:
        findings.invented.append(f"{event.id} was asked for with another body")


def _compare_ends(
    ends: Sequence[Event], names: Mapping[str, str], holds: Mapping[str, Hold], findings: Findings
) -> None:
    """A hold has one end, and it is the one that was acknowledged; who was refused was told of it."""
    captured: set[str] = set()
    for event in ends:
        hold = holds.get(names[event.about])
        if hold is None:
            continue  # it is lost itself
        if event.kind == "capture" and (event.acknowledged or event.is_unsure):
            captured.add(names[event.about])
        if event.acknowledged and not _is_end(event, hold):
            findings.lost.append(f"{event.id} was told {event.told}, and its hold is {hold.state}")
        assert event.deed is not None
        if event.refused and event.deed.refusals[event.refusal or ""] != hold.state:
            findings.wrong.append(f"{event.id} was refused as {event.refusal}, and its hold is {hold.state}")
    findings.invented += (
        f"{name} is captured, and nobody asked for it"
        for name, hold in holds.items()
        if hold.state == "captured" and name not in captured
    )


def _is_end(event: Event, hold: Hold) -> bool:
    if event.kind == "capture":
        return hold.state == "captured" and hold.captured == int(event.told["points"])
    return hold.state == str(event.told["state"]) != "captured"


def _compare_returns(
    returns: Mapping[str, Event],
    captures: Mapping[str, Event],
    names: Mapping[str, str],
    holds: Mapping[str, Hold],
    findings: Findings,
) -> None:
    spends = {
        event.told["redemption_id"]: holds.get(names[event.about])
        for event in captures.values()
        if event.told
    }
    for event in returns.values():
        spend = spends[event.about]
        given = None if spend is None else spend.refunds.get(event.id)
        if event.acknowledged and given != event.told["points"]:
            findings.lost.append(f"{event.id} gave {event.told['points']} back, and {given} stand there")
        if event.refused and not event.is_unsure and given is not None:
            findings.invented.append(f"{event.id} was refused, and gave {given} back")
    for hold in holds.values():
        if hold.times != len(hold.refunds):
            findings.doubled.append(f"{hold.times} refunds of a spend by {sorted(hold.refunds)}")
        findings.invented += (f"{name} was never given back" for name in hold.refunds if name not in returns)


def _compare_adjustment(event: Event | None, row: asyncpg.Record, findings: Findings) -> None:
    if event is None:
        return
    asked = (event.body["points"], event.external_id)
    if (row["points"], row["external_id"]) != asked:
        findings.invented.append(f"{event.id} was adjusted with another body")
    if row["state"] != "booked" or row["booked"] != row["points"]:
        findings.halved.append(f"{event.id} is {row['state']}, and its entry has {row['booked']} points")


def newest_states(orders: Iterable[Event]) -> Mapping[str, Event]:
    """Of each order the acknowledged state with the highest version, by the order's id."""
    newest: dict[str, Event] = {}
    for event in orders:
        before = newest.get(event.about)
        if event.acknowledged and (before is None or _version(before) < _version(event)):
            newest[event.about] = event
    return newest


def _version(event: Event) -> int:
    version: int = event.body["version"]
    return version


def _compare_orders(
    orders: Iterable[Event],
    versions: Mapping[str, int],
    log: Sequence[asyncpg.Record],
    findings: Findings,
) -> None:
    """The newest state stands, what each state was told to have done is in the log, and the money adds up to it."""
    orders = list(orders)
    written: dict[str, dict[str, int]] = defaultdict(dict)
    for row in log:
        if is_effect(row["id"]):
            written[row["id"].split(":")[1]][row["id"]] = _signed(row)
    sent = {f"{event.about}:{event.body['version']}" for event in orders}
    for effects in written.values():
        findings.invented += (
            f"{name} is of no state that was sent"
            for name in effects
            if ":".join(name.split(":")[1:3]) not in sent
        )
    for event in orders:
        if event.told:
            _compare_effects(event, written[event.about], findings)
    for order_id, event in newest_states(orders).items():
        unsure = [each for each in orders if each.about == order_id and not each.acknowledged]
        if versions.get(order_id) != event.body["version"] and not unsure:
            findings.lost.append(f"{event.id} is acknowledged, and version {versions.get(order_id)} stands")
        elif not unsure and sum(written[order_id].values()) != _due(event.body):
            findings.halved.append(
                f"{event.id} is {_due(event.body)} in money, and the log {written[order_id]}"
            )


def _compare_effects(event: Event, written: Mapping[str, int], findings: Findings) -> None:
    if event.told["ignored"] is None:
        findings.lost += (
            f"{event.id} was told of {effect['id']}, which is not there"
            for effect in event.told["effects"]
            if abs(written.get(effect["id"], -1)) != effect["amount_minor"]
        )
    elif event.told["order"]["version"] <= event.body["version"]:
        findings.wrong.append(f"{event.id} was told that it is stale by {event.told['order']['version']}")


def is_effect(id_: str) -> bool:
    """Whether a touchpoint was written by the state of an order."""
    return id_.startswith("order:")


def _signed(row: asyncpg.Record) -> int:
    amount: int = row["amount_minor"]
    return amount if row["kind"] == "purchase" else -amount


def _due(state: Mapping[str, Any]) -> int:
    """What an order in this state has brought in all."""
    paid: int = sum(line["net_minor"] for line in state["lines"])
    return paid - min(state["refunded_minor"], paid) if state["status"] in SINCE_PAID else 0
