"""Holds and captures of many customers at a time: what arrives while one group is written becomes the next group.

A group looks, decides each of its items as if it had come alone, and writes them all in one statement if nothing of it
changed meanwhile. What does not fit into a group (rewards, a customer who is in it already, another writer) is done
alone under the customer's lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

import asyncpg

from app.domain.identifiers import Reference
from app.domain.ids import parse_opaque_id
from app.domain.loyalty.spending import Captured, captured
from app.domain.problems import Conflict, Problem
from app.storage import identifiers
from app.storage.database import Database
from app.storage.loyalty import accounts, redemptions
from app.storage.loyalty.accounts import Loaded, Wanted
from app.storage.loyalty.at_once import save_unchanged
from app.storage.loyalty.programs import Rules
from app.storage.loyalty.saving import Change, changed_parts
from app.usecases.group_writer import GroupWriter
from app.usecases.identities import Found, Identities
from app.usecases.loyalty.capture_hold import (
    Redemption,
    capture_hold,
    captured_line,
    redemption_of,
)
from app.usecases.loyalty.change_account import Seen, change_of, seen_of, tier_window
from app.usecases.loyalty.hold_points import Asked, Placed, decided, hold_not_found, hold_points, placed
from app.usecases.loyalty.remembered_programs import RememberedPrograms, rules_named
from app.usecases.models.active_model import ActiveModel
from app.usecases.record_touchpoints import Entry, record_with_points

Answer = TypeVar("Answer")


class _Hold(NamedTuple):
    asked: Asked
    found: Found | None
    now: datetime


class _Capture(NamedTuple):
    public_id: str
    points: int | None
    now: datetime


@dataclass(slots=True)
class _Looked:
    """What a group wants of each customer; `items` are the places of the items whose account that is."""

    wanted: dict[UUID, Wanted]
    items: dict[int, UUID]

    def take(self, index: int, customer_id: UUID, rules: Rules, name: str, now: datetime) -> None:
        """An item about an account; a customer who is in the group already has to wait."""
        if customer_id not in self.wanted:
            since = tier_window(rules, now)
            code = rules.program.code
            self.wanted[customer_id] = Wanted(customer_id, code, spends=[name], qualifying_since=since)
            self.items[index] = customer_id

    async def accounts(self, connection: asyncpg.Connection, now: datetime) -> dict[UUID, Loaded]:
        """The accounts by their customers."""
        if not self.wanted:
            return {}
        found = await accounts.load(connection, list(self.wanted.values()), now)
        return {customer_id: loaded for (customer_id, _), loaded in found.items()}


class SpendingGroups:
    """The spending of one process."""

    def __init__(
        self,
        database: Database,
        identities: Identities,
        programs: RememberedPrograms,
        model: ActiveModel,
        *,
        queue_limit: int,
        group_limit: int,
    ) -> None:
        self._database, self._identities = database, identities
        self._programs, self._model = programs, model
        self._seats = database.seat(), database.seat()
        self._holds = GroupWriter[_Hold, Placed | Problem | None](self._hold_all, queue_limit, group_limit)
        self._captures = GroupWriter[_Capture, Redemption | Problem | None](
            self._capture_all, queue_limit, group_limit
        )

    def holds_waiting(self) -> int:
        """Holds that no group has taken yet."""
        return self._holds.waiting

    def captures_waiting(self) -> int:
        """Captures that no group has taken yet."""
        return self._captures.waiting

    def start(self) -> None:
        """Begin to write; needs a running loop."""
        self._holds.start()
        self._captures.start()

    async def drain(self) -> None:
        """Write all that is queued, then stop."""
        await self._holds.drain()
        await self._captures.drain()

    async def hold(self, asked: Asked, now: datetime) -> Placed:
        """The hold. Raises as `hold_points`, and Unavailable as GroupWriter.submit does."""
        done = None
        if asked.reward is None:
            found = self._identities.hinted(asked.customer)
            done = _answer(await self._holds.submit_one(_Hold(asked, found, now)))
        if done is None:
            async with self._database.hot_transaction() as connection:
                done = await hold_points(connection, asked, self._programs.current, now)
        if len(asked.customer.identifiers) == 1 and asked.customer.customer_id is None:
            # Of several one may be unknown: then they did not all lead here.
            self._identities.remember(asked.customer, done.stored.customer_id, done.identity_revision)
        return done

    async def capture(self, public_id: str, points: int | None, now: datetime) -> Redemption | Conflict:
        """The redemption. Raises and returns as `capture_hold`; what is returned is committed."""
        done = _answer(await self._captures.submit_one(_Capture(public_id, points, now)))
        if done is not None:
            return done
        async with self._database.hot_transaction() as connection:
            return await capture_hold(
                connection, public_id, points, self._programs.current, self._model.current, now
            )

    async def _hold_all(self, items: list[_Hold]) -> list[Placed | Problem | None]:
        answers: list[Placed | Problem | None] = [None] * len(items)
        async with self._seats[0] as connection:
            founds = await _found(connection, items)
            looked, rules = _Looked({}, {}), dict[int, Rules]()
            for index, (item, found) in enumerate(zip(items, founds, strict=True)):
                if found is None:
                    continue
                try:
                    rules[index] = await self._rules(connection, item.asked.program, item.now)
                except Problem as problem:
                    # It is this item's alone: raised, it would be everybody's.
                    answers[index] = problem
                    continue
                looked.take(index, found.customer_id, rules[index], item.asked.name, item.now)
            loaded = await looked.accounts(connection, items[0].now)
            changes: dict[int, Change] = {}
            for index, customer_id in looked.items.items():
                item, found = items[index], founds[index]
                seen = None if found is None else seen_of(loaded.get(customer_id), found, rules[index])
                if seen is None:
                    continue
                try:
                    decision, is_new = decided(seen, item.asked, item.asked.points, item.now)
                except Problem as problem:
                    answers[index] = problem
                    continue
                answers[index] = placed(seen, decision.result, is_new=is_new)
                if is_new:
                    changes[index] = change_of(seen, decision, item.now)
            if changes and not await save_unchanged(connection, list(changes.values()), items[0].now):
                for index in changes:
                    answers[index] = None
        return answers

    async def _capture_all(self, items: list[_Capture]) -> list[Redemption | Problem | None]:
        answers: list[Redemption | Problem | None] = [None] * len(items)
        async with self._seats[1] as connection:
            ids = [parse_opaque_id("hold", item.public_id) for item in items]
            stored = await redemptions.find_holds(connection, [one for one in ids if one is not None])
            looked, rules = _Looked({}, {}), dict[int, Rules]()
            for index, item in enumerate(items):
                own = ids[index]
                found = None if own is None else stored.get(own)
                if found is None:
                    answers[index] = hold_not_found()
                elif found.hold.reward is None and found.hold.state == "open":
                    rules[index] = await self._rules(connection, found.program, item.now)
                    looked.take(index, found.customer_id, rules[index], found.hold.id, item.now)
            loaded = await looked.accounts(connection, items[0].now)
            drafts: dict[int, _Draft] = {}
            for index, customer_id in looked.items.items():
                own = ids[index]
                seen = seen_of(loaded.get(customer_id), Found(customer_id, None), rules[index])
                if seen is None or own is None:
                    continue
                try:
                    drafts[index] = _draft(seen, stored[own].hold.id, items[index])
                except Problem as problem:
                    answers[index] = problem
            if drafts:
                await self._write(connection, drafts, answers, items[0].now)
        return answers

    async def _write(
        self,
        connection: asyncpg.Connection,
        drafts: "Mapping[int, _Draft]",
        answers: list[Redemption | Problem | None],
        now: datetime,
    ) -> None:
        parts = changed_parts([draft.change for draft in drafts.values()], now)
        entries = [draft.entry for draft in drafts.values()]
        recorded = await record_with_points(connection, entries, self._model.current, parts)
        if recorded is not None:
            for (index, draft), one in zip(drafts.items(), recorded, strict=True):
                answers[index] = redemption_of(draft.seen, draft.redemption_id, draft.done, None, one)

    async def _rules(self, connection: asyncpg.Connection, program: str | None, now: datetime) -> Rules:
        return await rules_named(connection, self._programs.current, program, now)


class _Draft(NamedTuple):
    seen: Seen
    change: Change
    entry: Entry
    redemption_id: UUID
    done: Captured


def _draft(seen: Seen, name: str, item: _Capture) -> _Draft:
    """A capture that is decided and not yet written. Raises as `captured`."""
    decision = captured(seen.loaded.account, name, item.now, item.points)
    redemption_id, touchpoint = captured_line(seen, decision.result.spend, item.now)
    entry = Entry(seen.loaded.customer_id, touchpoint)
    return _Draft(seen, change_of(seen, decision, item.now), entry, redemption_id, decision.result)


async def _found(connection: asyncpg.Connection, items: Sequence[_Hold]) -> list[Found | None]:
    """Who each item is about, by a hint or by one look-up for all; None for whom only the long way can tell."""
    keys = {
        (each.type, each.key)
        for item in items
        if item.found is None
        for each in item.asked.customer.identifiers
    }
    holders = await identifiers.holders(connection, keys)
    return [item.found or _holder(holders, item.asked.customer) for item in items]


def _holder(holders: Mapping[tuple[str, str], UUID], reference: Reference) -> Found | None:
    named = {holders.get((each.type, each.key)) for each in reference.identifiers}
    holder = named.pop() if len(named) == 1 else None
    return None if holder is None else Found(holder, None)


def _answer(result: Answer | BaseException) -> Answer:
    if isinstance(result, BaseException):
        raise result
    return result
