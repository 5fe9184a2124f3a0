"""Who is meant, fast: a bounded memory of identifiers in front of the look-up, which concurrent callers share.

What is remembered is a hint. It carries the customer's identity_revision, and whoever reads or writes for the customer
compares that with the customer's row: a stale hint costs one more look-up and never a wrong customer
(docs/adr/0003-lanes.md). What was looked up just now is a hint too, without a revision: the write path asks the
customer's own row whether it holds the identifiers, which costs less than another look-up.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

import asyncpg
import structlog

from app.domain.admission import OPEN, Admission
from app.domain.identifiers import Identifier, Reference
from app.domain.problems import Unavailable
from app.storage import identifiers
from app.storage.database import Database
from app.storage.identifiers import ReadIdentifier
from app.storage.loading import AskedByName, Loaded, load_named
from app.usecases.group_writer import GroupWriter
from app.usecases.resolve_customers import Resolution, Resolved, resolve

log = structlog.get_logger(__name__)

PAGE = 500
"""Customers read at a time to fill the memory: a few milliseconds of the process."""

_LAST = UUID(int=(1 << 128) - 1)
_UUID_BYTES = 16
_REVISION_BYTES = 8
_OWN_BYTES = _UUID_BYTES + _REVISION_BYTES


WithLog: TypeAlias = Callable[[Reference], AskedByName | None]
"""What can be read of a customer with the look-up of this reference; None when that is not enough."""


class _Question(NamedTuple):
    reference: Reference
    now: datetime
    may_add_identifiers: bool
    thoroughly: bool
    with_log: WithLog | None = None


class Found(NamedTuple):
    """The customer who holds all identifiers of a reference, who therefore exists: not asked is whether still, and
    whether they were merged or erased. `identity_revision` is None when they were looked up just now. `named_as`:
    see Resolved. `loaded`: what was read of the customer with the look-up, where that was asked for.
    """

    customer_id: UUID
    identity_revision: int | None
    named_as: UUID | None = None
    loaded: Loaded | None = None


class Identities:
    """The references of one process."""

    def __init__(
        self,
        database: Database,
        *,
        remembered: int,
        queue_limit: int,
        group_limit: int,
        admission: Admission = OPEN,
        awake_seconds: float = 0.0,
    ) -> None:
        self._database = database
        self._admission = admission
        self._remembered = remembered
        # Who was forgotten while memory was filled: a page that was read before may still name them.
        self._gone: set[UUID] | None = None
        # One string to its customer's 16 bytes and revision: a quarter of what tuples of objects would take.
        self._hints: dict[str, bytes] = {}
        self._seat = database.seat()
        self._reads_with_look_up = True
        self._lookups = GroupWriter[_Question, Found | Resolution](
            self._resolve, queue_limit, group_limit, awake_seconds=awake_seconds
        )

    def start(self) -> None:
        """Begin to look up; needs a running loop."""
        self._lookups.start()

    async def fill(self, page: int = PAGE) -> int:
        """Remember the identifiers of the newest customers while there is room; how many they were.

        After a start every customer would have to be looked up once: a shop whose identifiers fit has them at hand.
        Reads `page` customers at a time beside whatever else goes on. Errors come as the database raises them.
        """
        filled, self._gone = 0, set()
        before: UUID | None = _LAST
        try:
            while before is not None and len(self._hints) < self._remembered:
                async with self._database.hot_reading() as connection:
                    found, before = await identifiers.newest(connection, before, page)
                filled += sum(map(self._learn, found))
        finally:
            self._gone = None
        return filled

    async def drain(self) -> None:
        """Answer all that is queued, then stop."""
        await self._lookups.drain()

    async def resolve(
        self,
        references: Sequence[Reference],
        now: datetime,
        *,
        may_add_identifiers: bool = True,
        thoroughly: bool = False,
        with_log: WithLog | None = None,
    ) -> list[Found | Resolution | BaseException]:
        """Who each reference means, creating customers that are new; one answer each, in order.

        `thoroughly`, after a first answer was no good, takes no hint and follows merges. `with_log`: says what
        to read of the customer as well, should a single reference be looked up alone. An exception stands for a
        reference that could not be looked up. Raises Unavailable as GroupWriter.submit does.
        """
        answers: list[Found | Resolution | BaseException | None] = [
            None if thoroughly else self.hinted(reference) for reference in references
        ]
        unknown = [index for index, answer in enumerate(answers) if answer is None]
        if unknown:
            found = await self._lookups.submit(
                [
                    _Question(references[index], now, may_add_identifiers, thoroughly, with_log)
                    for index in unknown
                ]
            )
            for index, answer in zip(unknown, found, strict=True):
                answers[index] = answer
                if isinstance(answer, Resolved) and answer.named_as != answer.customer_id:
                    self.remember(
                        references[index], answer.customer_id, answer.identity_revision, answer.named_as
                    )
        return [answer for answer in answers if answer is not None]

    def _learn(self, one: ReadIdentifier) -> bool:
        """Remember an identifier that was read to fill the memory, unless something newer is known."""
        name = _name(one)
        if (
            name in self._hints
            or len(self._hints) >= self._remembered
            or one.customer_id in (self._gone or ())
        ):
            return False
        self._hints[name] = _hint(one.customer_id, one.identity_revision)
        return True

    def hinted(self, reference: Reference) -> Found | None:
        """The customer that all identifiers of a reference are remembered for, or None."""
        if reference.customer_id is not None:
            # Whether that customer exists shows when its row is read.
            return Found(reference.customer_id, None)
        hint = None
        for identifier in reference.identifiers:
            found = self._hints.get(_name(identifier))
            if found is None or (hint is not None and found != hint):
                return None
            hint = found
        if hint is None:
            return None
        revision = int.from_bytes(hint[_UUID_BYTES:_OWN_BYTES])
        alias = hint[_OWN_BYTES:]
        return Found(UUID(bytes=hint[:_UUID_BYTES]), revision, UUID(bytes=alias) if alias else None)

    def remember(
        self, reference: Reference, customer_id: UUID, identity_revision: int, named_as: UUID | None = None
    ) -> None:
        """All identifiers of `reference` led to this customer while it had this revision; all as this alias."""
        hint = _hint(customer_id, identity_revision)
        if named_as is not None:
            hint += named_as.bytes
        for identifier in reference.identifiers:
            self._hints[_name(identifier)] = hint
        while len(self._hints) > self._remembered:
            # The oldest goes, used or not: exact recency would cost every hit a write.
            del self._hints[next(iter(self._hints))]

    def forget(self, reference: Reference) -> None:
        """Drop what is remembered of a reference that turned out to be stale."""
        for identifier in reference.identifiers:
            self._hints.pop(_name(identifier), None)

    def forget_customers(self, customer_ids: Collection[UUID]) -> None:
        """Drop whatever is remembered of these customers: they were erased. Reads all that is remembered."""
        if self._gone is not None:
            self._gone.update(customer_ids)
        gone = {customer_id.bytes for customer_id in customer_ids}
        for name in [name for name, hint in self._hints.items() if hint[:-_REVISION_BYTES] in gone]:
            del self._hints[name]

    async def _resolve(self, questions: list[_Question]) -> list[Found | Resolution]:
        """One statement while every identifier is held by one customer; what is new takes the long way."""
        if len(questions) == 1:
            found = await self._found_with_log(questions[0])
            if found is not None:
                return [found]
        keys = {(each.type, each.key) for question in questions for each in question.reference.identifiers}
        async with self._seat as connection:
            holders = await identifiers.holders(connection, keys)
        answers: dict[int, Found | Resolution] = {}
        others: dict[bool, list[int]] = {True: [], False: []}
        for index, question in enumerate(questions):
            named = {holders.get((each.type, each.key)) for each in question.reference.identifiers}
            holder = named.pop() if len(named) == 1 else None
            if holder is None or question.thoroughly:
                others[question.may_add_identifiers].append(index)
            else:
                answers[index] = Found(holder, None)
        for may_add, asked in others.items():
            if asked:
                resolved = await resolve(
                    self._database,
                    [questions[index].reference for index in asked],
                    questions[asked[0]].now,
                    may_add_identifiers=may_add,
                    admission=self._admission,
                )
                answers |= zip(asked, resolved, strict=True)
        return [answers[index] for index in range(len(questions))]

    async def _found_with_log(self, question: _Question) -> Found | None:
        """In one statement, where that is enough."""
        asked = None if question.with_log is None else question.with_log(question.reference)
        if asked is None or question.thoroughly or not self._reads_with_look_up:
            return None
        try:
            async with self._seat as connection:
                named = await load_named(connection, asked)
        except asyncpg.FeatureNotSupportedError:
            # Identifiers and customers of a distributed database lie on other machines (scale.md, rule 4).
            log.info("look_ups_stay_apart")
            self._reads_with_look_up = False
            return None
        if named is None:
            return None
        customer_id, loaded = named
        return Found(customer_id, loaded.states[customer_id].identity_revision, loaded=loaded)


async def fill_once(identities: Identities) -> None:
    """Fill the memory once. Without a database it fills by itself, one look-up at a time."""
    try:
        filled = await identities.fill()
    except (Unavailable, asyncpg.PostgresError) as error:
        log.info("identities_not_filled", error=type(error).__name__)
    else:
        log.info("identities_filled", identifiers=filled)


def _hint(customer_id: UUID, identity_revision: int) -> bytes:
    return customer_id.bytes + identity_revision.to_bytes(_REVISION_BYTES)


def _name(identifier: Identifier | ReadIdentifier) -> str:
    return f"{identifier.type}:{identifier.key}"
