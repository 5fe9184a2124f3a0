"""From references to customers: finding who is meant, adding what was not known, creating who was not there."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

import asyncpg

from app.domain.admission import OPEN, Admission
from app.domain.customers import erased, identity_conflict, not_found
from app.domain.health.state import EMPTY
from app.domain.identifiers import Identifier, Reference
from app.domain.ids import uuid7
from app.domain.problems import Forbidden, Problem, Unavailable
from app.domain.tombstones import Guard
from app.storage import customers, identifiers, states
from app.storage.customers import Identity
from app.storage.database import (
    RETRY_AFTER_SECONDS,
    RETRYABLE_STATES,
    Database,
    is_away,
    sqlstate,
    unavailable,
)
from app.storage.identifiers import Holding, Key
from app.storage.privacy import tombstones

ATTEMPTS = 5
"""Each lost race means that somebody else got ahead, so a handful is enough unless the database is drowning."""


T = TypeVar("T")


class Raced(Exception):
    """A concurrent transaction changed what the decision rested on. Roll back and resolve again."""


class Resolved(NamedTuple):
    """The customer who is meant. `created` only for the reference that created them.

    `identity_revision` is what it was when the reference was looked up: while it stays the same under the lock of the
    customer's state row, the identifiers still lead here. `named_as` is the one alias that was named, when a merge led
    from it to the customer; or the customer, when several names stand for it and not all are one alias's.
    """

    customer_id: UUID
    identity_revision: int
    created: bool
    named_as: UUID | None = None


Resolution = Resolved | Problem


@dataclass(slots=True)
class _Plan:
    """What a list of references comes to: the answers, and the rows that make them true."""

    holders: dict[Key, UUID]
    identities: dict[UUID, Identity]
    now: datetime
    may_add_identifiers: bool
    may_create: bool
    admission: Admission
    held: dict[UUID, int]
    erased: frozenset[Key]
    created: list[UUID] = field(default_factory=list)
    added_to: set[UUID] = field(default_factory=set)
    holdings: list[Holding] = field(default_factory=list)

    def resolve(self, reference: Reference) -> Resolution:
        """Decide one reference as if all before it had been written already."""
        named = self._named(reference)
        # A merged customer's names lead to the one who survived.
        known = sorted({self._survivor(customer_id) for customer_id in named})
        # Not when it is known whose it is by now: that the same address came back was then let through.
        if any((each.type, each.key) in self.erased for each in reference.identifiers):
            return erased()
        if len(known) > 1:
            # A caller that is not trusted to add identifiers need not learn whose they are.
            return identity_conflict(known if self.may_add_identifiers else None)
        if not known and not self.may_create:
            return not_found()
        try:
            self.admission.rules.check_not_blocked(self._new(reference))
            self.admission.rules.check_room(
                len(self._new(reference)) + (self.held.get(known[0], 0) if known else 0)
            )
        except Problem as problem:
            return problem
        if not known:
            return self._create(reference)
        # What is said of one alias alone stays with it should the merge be undone.
        alias = None if named == {known[0]} else named.pop() if len(named) == 1 else known[0]
        return self._extend(known[0], reference, alias)

    def _named(self, reference: Reference) -> set[UUID]:
        named = {
            holder
            for identifier in reference.identifiers
            if (holder := self.holders.get((identifier.type, identifier.key))) is not None
        }
        if reference.customer_id is not None:
            named.add(reference.customer_id)
        return named

    def _survivor(self, customer_id: UUID) -> UUID:
        identity = self.identities.get(customer_id)
        return customer_id if identity is None or identity.merged_into is None else identity.merged_into

    def _create(self, reference: Reference) -> Resolved:
        customer_id = uuid7(int(self.now.timestamp() * 1000))
        self.created.append(customer_id)
        self.identities[customer_id] = Identity(customer_id, 0, None, None)
        self._hold(customer_id, reference, customer_id)
        return Resolved(customer_id, 0, created=True)

    def _extend(self, customer_id: UUID, reference: Reference, alias: UUID | None) -> Resolution:
        identity = self.identities.get(customer_id)
        if identity is None:
            return not_found()
        if identity.erased_at is not None:
            return erased()
        if self._new(reference):
            if not self.may_add_identifiers:
                return Forbidden(
                    "identifier_not_allowed", "This key may not add identifiers to an existing customer."
                )
            self.added_to.add(customer_id)
            self._hold(customer_id, reference, alias or customer_id)
        return Resolved(customer_id, identity.identity_revision, created=False, named_as=alias)

    def _new(self, reference: Reference) -> list[Identifier]:
        """The identifiers of a reference that nobody holds."""
        return [one for one in reference.identifiers if (one.type, one.key) not in self.holders]

    def _hold(self, customer_id: UUID, reference: Reference, origin: UUID) -> None:
        for identifier in self._new(reference):
            self.holders[identifier.type, identifier.key] = origin
            self.holdings.append(Holding(customer_id, identifier, origin))
            self.held[customer_id] = self.held.get(customer_id, 0) + 1


async def _plan(
    connection: asyncpg.Connection,
    references: Sequence[Reference],
    now: datetime,
    *,
    may_add_identifiers: bool,
    may_create: bool,
    admission: Admission,
) -> tuple[_Plan, list[Resolution]]:
    """Read and decide; nothing is written. Two statements; one more when a customer was merged, one when somebody gets
    a new name, and one when there are identifiers that nobody holds: they may be those of somebody who was erased.
    """
    keys = {
        (identifier.type, identifier.key) for reference in references for identifier in reference.identifiers
    }
    holders = await identifiers.holders(connection, keys)
    named = {reference.customer_id for reference in references if reference.customer_id is not None}
    identities = await customers.identities(connection, named.union(holders.values()))
    survivors = {identity.merged_into for identity in identities.values() if identity.merged_into is not None}
    identities |= await customers.identities(connection, survivors - identities.keys())
    held = dict[UUID, int]()
    if identities and keys - holders.keys():
        held = await identifiers.counts(connection, identities)
    erased_keys = await _erased(connection, references, holders, admission.guard)
    plan = _Plan(holders, identities, now, may_add_identifiers, may_create, admission, held, erased_keys)
    return plan, [plan.resolve(reference) for reference in references]


async def _erased(
    connection: asyncpg.Connection, references: Sequence[Reference], holders: dict[Key, UUID], guard: Guard
) -> frozenset[Key]:
    """Those identifiers that nobody holds because their holder was erased."""
    digests = {
        digest: (each.type, each.key)
        for reference in references
        for each in reference.identifiers
        if (each.type, each.key) not in holders
        for digest in guard.tombstones(each)
    }
    return frozenset(digests[digest] for digest in await tombstones.buried(connection, digests))


async def _write(connection: asyncpg.Connection, plan: _Plan) -> None:
    """Make the plan true, or raise Raced. At most six statements.

    Locks are taken in one order everywhere: state rows by customer, then claims by key, then rows that nobody else
    can know yet. Claims come before the customers they create, so that a lost race leaves no customer without a name.
    """
    # Customers of this very list have no row yet, and nobody to contend with.
    existing = plan.added_to.difference(plan.created)
    if existing:
        locked = await states.lock(connection, sorted(existing))
        if any(not plan.identities[customer_id].holds_for(locked[customer_id]) for customer_id in existing):
            raise Raced
        await customers.touch(connection, existing, plan.now)
    if plan.holdings and not await identifiers.claim(connection, plan.holdings):
        raise Raced
    if plan.created:
        await customers.create(connection, plan.created, EMPTY.encode(), plan.now)
    if plan.holdings:
        await identifiers.attach(connection, plan.holdings, plan.now)


async def resolve_customers(
    connection: asyncpg.Connection,
    references: Sequence[Reference],
    now: datetime,
    *,
    may_add_identifiers: bool = True,
    may_create: bool = True,
    admission: Admission = OPEN,
) -> list[Resolution]:
    """Who each reference means, in order, as if they were resolved one by one; runs in the caller's transaction.

    An identifier of somebody who was erased is neither given to anybody nor makes a customer: its reference is
    `erased`, as far as `admission` has the keys of the tombstones. A constant number of statements whatever the length
    of the list. What stands against one reference (`identity_conflict`, `customer_not_found`, `erased`,
    `identifier_not_allowed`, `blocked_identifier`, `too_many_identifiers`) is its answer and touches no other.

    Raises Raced when a concurrent transaction got ahead: the caller rolls back (a savepoint is enough) and calls again.
    """
    plan, resolutions = await _plan(
        connection,
        references,
        now,
        may_add_identifiers=may_add_identifiers,
        may_create=may_create,
        admission=admission,
    )
    await _write(connection, plan)
    return resolutions


async def until_settled(connection: asyncpg.Connection, work: Callable[[], Awaitable[T]]) -> T:
    """`work`, in a savepoint of the caller's transaction, again when it is Raced: what it locked is let go of first.

    Raises Unavailable `busy` when it keeps losing.
    """
    for _ in range(ATTEMPTS):
        try:
            async with connection.transaction():
                return await work()
        except Raced:
            continue
    raise _busy()


async def resolve(
    database: Database,
    references: Sequence[Reference],
    now: datetime,
    *,
    may_add_identifiers: bool = True,
    may_create: bool = True,
    admission: Admission = OPEN,
) -> list[Resolution]:
    """`resolve_customers` for one who is in no transaction: reads only when all is known, else writes in a short one.

    Raises Unavailable when the database is away or the races do not end.
    """

    async def planned(connection: asyncpg.Connection) -> tuple[_Plan, list[Resolution]]:
        return await _plan(
            connection,
            references,
            now,
            may_add_identifiers=may_add_identifiers,
            may_create=may_create,
            admission=admission,
        )

    async with database.hot_reading() as connection:
        plan, resolutions = await planned(connection)
    if not plan.holdings:
        return resolutions

    # The plan was read outside, which is safe: whatever changed since shows in the locks or in the claims.
    async def as_planned(connection: asyncpg.Connection) -> list[Resolution]:
        await _write(connection, plan)
        return resolutions

    # Those who lost queue up: of many lists that overlap only one wins a round, and the last would lose every one.
    async def anew(connection: asyncpg.Connection) -> list[Resolution]:
        await identifiers.queue_up(connection)
        plan, resolutions = await planned(connection)
        await _write(connection, plan)
        return resolutions

    for work in (as_planned, *[anew] * (ATTEMPTS - 1)):
        try:
            async with database.hot_transaction() as connection:
                return await work(connection)
        except Raced:
            continue
        except Exception as error:
            if sqlstate(error) in RETRYABLE_STATES:
                continue
            if is_away(error):
                raise unavailable(error) from error
            raise
    raise _busy()


def _busy() -> Unavailable:
    return Unavailable(
        "busy",
        "Others keep changing the same customers. Try again shortly.",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )
