"""Points that customers bring along from another programme, many in one transaction, each booked once."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.admission import Admission
from app.domain.identifiers import Reference
from app.domain.loyalty.account import Account, Adjusted, Decision, Entry
from app.domain.loyalty.crediting import opening
from app.domain.loyalty.public_ids import own_id
from app.domain.problems import Problem
from app.storage import states
from app.storage.loyalty import accounts, adjustments
from app.storage.loyalty.accounts import Loaded, Wanted
from app.storage.loyalty.adjustments import Adjustment
from app.storage.loyalty.programs import Rules, all_rules
from app.storage.loyalty.saving import Change, save
from app.usecases.loyalty.change_account import (
    busy,
    due_at,
    in_its_time,
    ruled_by,
    standing_after,
    tier_window,
)
from app.usecases.loyalty.remembered_programs import program_not_found
from app.usecases.resolve_customers import Raced, resolve_customers, until_settled

MOST: Final = 500
"""Rows of one transaction."""


class Opening(NamedTuple):
    """A balance to bring along. `id` is its natural key in the programme; `expires_at` None: never."""

    id: str
    customer: Reference
    points: int
    expires_at: datetime | None


class Outcome(NamedTuple):
    """What became of one: booked now, known from before, or refused with the problem."""

    status: Literal["booked", "known", "refused"]
    problem: Problem | None = None


class _Whose(NamedTuple):
    by_row: Sequence[UUID | Problem]
    customers: Sequence[UUID]


async def import_openings(
    connection: asyncpg.Connection,
    rows: Sequence[Opening],
    program: str,
    actor: str,
    admission: Admission,
    now: datetime,
) -> list[Outcome]:
    """Book at most MOST opening balances, in their order; a customer whom nobody knows is created.

    What is wrong with one (`already_expired`, `invalid_points`, `id_reused`, what stands against the customer) is its
    outcome and no one else's. A constant number of round trips. Raises NotFound `program_not_found`, Unavailable
    `busy`.
    """
    rules = (await all_rules(connection)).get(program)
    if rules is None:
        raise program_not_found()
    whose = await _locked(connection, [row.customer for row in rows], admission, now)
    loaded = await _loaded(connection, rows, whose, rules, now)
    drafts = {one.customer_id: _Draft(one) for one in loaded.values()}
    outcomes = []
    booked: list[tuple[Adjustment, Adjusted]] = []
    for row, customer_id in zip(rows, whose.by_row, strict=True):
        if isinstance(customer_id, Problem):
            outcomes.append(Outcome("refused", customer_id))
            continue
        try:
            done = drafts[customer_id].open(row, now)
        except Problem as problem:
            outcomes.append(Outcome("refused", problem))
            continue
        outcomes.append(Outcome("known" if done is None else "booked"))
        if done is not None:
            booked.append((_adjustment(row, drafts[customer_id].before, done, actor, now), done))
    changes = [draft.change(rules, now) for draft in drafts.values() if draft.entries]
    if changes:
        if not await save(connection, changes, now):
            raise busy()
        await adjustments.write_many(connection, booked)
    return outcomes


class _Draft:
    """One account while the rows of a file are booked into it."""

    def __init__(self, before: Loaded) -> None:
        self.before = before
        self.account: Account = before.account
        self.entries: list[Entry] = []

    def open(self, row: Opening, now: datetime) -> Adjusted | None:
        """What was booked, None when it had been."""
        decision: Decision[Adjusted] = opening(
            self.account, id=_key(row), points=row.points, expires_at=row.expires_at, now=now
        )
        if not decision.entries:
            return None
        self.account = decision.account
        self.entries += decision.entries
        return decision.result

    def change(self, rules: Rules, now: datetime) -> Change:
        standing = standing_after(self.before, self.entries, rules, now)
        return Change(
            self.before,
            self.account,
            self.entries,
            standing,
            due_at(self.before, self.account, standing, rules, now),
            ruled_by=ruled_by(self.before, rules, now),
        )


async def _locked(
    connection: asyncpg.Connection, references: Sequence[Reference], admission: Admission, now: datetime
) -> _Whose:
    """Who each row means, their state rows locked in customer order."""

    async def resolved_and_locked() -> _Whose:
        resolutions = await resolve_customers(connection, references, now, admission=admission)
        found = [one if isinstance(one, Problem) else one.customer_id for one in resolutions]
        revisions = {
            one.customer_id: one.identity_revision for one in resolutions if not isinstance(one, Problem)
        }
        locked = await states.lock(connection, sorted(revisions))
        for customer_id, revision in revisions.items():
            row = locked.get(customer_id)
            if row is None or row.identity_revision != revision or row.merged_into or row.erased_at:
                raise Raced
        return _Whose(found, sorted(revisions))

    return await until_settled(connection, resolved_and_locked)


async def _loaded(
    connection: asyncpg.Connection, rows: Sequence[Opening], whose: _Whose, rules: Rules, now: datetime
) -> Mapping[tuple[UUID, str], Loaded]:
    keys: dict[UUID, list[str]] = {customer_id: [] for customer_id in whose.customers}
    for row, customer_id in zip(rows, whose.by_row, strict=True):
        if not isinstance(customer_id, Problem):
            keys[customer_id].append(_key(row))
    wanted = [
        Wanted(customer_id, rules.program.code, adjustments=named, qualifying_since=tier_window(rules, now))
        for customer_id, named in keys.items()
    ]
    loaded = await accounts.load(connection, wanted, now) if wanted else {}
    if any(one.rules_revision != rules.revision for one in loaded.values()):
        raise busy()
    return {key: in_its_time(one, rules) for key, one in loaded.items()}


def _key(row: Opening) -> str:
    return f"opening:{row.id}"


def _adjustment(row: Opening, before: Loaded, done: Adjusted, actor: str, now: datetime) -> Adjustment:
    key = _key(row)
    return Adjustment(
        customer_id=before.customer_id,
        program=before.program,
        key=key,
        id=own_id(before.account.id, "adjustment", key, now),
        proposal_id=None,
        kind="opening",
        state="booked",
        points=row.points,
        reason_code="migration",
        note="",
        about=None,
        allow_debt=False,
        expires_at=row.expires_at,
        actor=actor,
        proposed_at=now,
        booked_at=now,
        debt=done.debt,
        entry=done.entry,
    )
