"""Everything about one customer for whoever is talking to them now: two statements, whatever the log holds.

Callers who ask at the same time share the statements, as writers share their commits (group_writer.py): most of what a
read costs the database is asking, not finding. What a row said last time is kept with what was made of it
(remembered_contexts.py).
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

import asyncpg

from app.domain.consent import ANY, SURVEYS, standings, withdrawn_since
from app.domain.context import Action, Context, promises, with_follow_up, with_loyalty, with_promises
from app.domain.customers import Customer, not_found
from app.domain.health.flags import red_flags
from app.domain.health.model import Model
from app.domain.health.score import score
from app.domain.health.standing import level_reasons, next_best_actions
from app.domain.health.value import value
from app.domain.identifiers import Reference, identifier
from app.domain.loyalty.membership import Membership
from app.domain.money import minor_per_major
from app.domain.touchpoints import seconds
from app.storage import contexts, identifiers
from app.storage.contexts import Asked, Club, Known
from app.storage.database import Database
from app.storage.identifiers import Key
from app.usecases.find_customer import find_customer
from app.usecases.group_writer import GroupWriter
from app.usecases.identities import Found, Identities
from app.usecases.loyalty.members import club_at, member_of
from app.usecases.loyalty.remembered_programs import RememberedPrograms
from app.usecases.own_kinds import RememberedKinds
from app.usecases.remembered_contexts import Moment, Remembered, RememberedContexts

A = TypeVar("A")

GROUP: Final = 64
"""Customers in one statement: beyond it the last would wait for the first longer than asking costs."""


class SealedContext(NamedTuple):
    """A context, and bytes that change with what it was read from; a digest of them is for the caller to take.

    What the caller makes of it may be kept, under names of the caller's. In `lasting`: what follows from the tables
    alone, that is from the customer but for their stage, answers, recent touchpoints, notes and sentiment. In
    `passing`: what follows from anything but the fraction of the second that `now` has.
    """

    context: Context
    seal: bytes
    lasting: dict[str, bytes]
    passing: dict[str, bytes]


class _Question(NamedTuple):
    """`work` makes of what is known what the caller answers."""

    reference: Reference
    touchpoints: int
    club: Club | None
    work: Callable[[Remembered], Any]


_NOTHING: Final = object()
"""The plain way found nobody, or somebody of whom more must be asked."""


class _Shared:
    """What one statement found, worked out for all who asked by the first of them that wakes.

    One after the other in one go, because the processor then has the code at hand: each by itself, between the HTTP of
    two requests, takes twice as long. Not before anybody wakes, because by then the next statement has been sent, and
    the database works meanwhile.
    """

    def __init__(self, works: Sequence[Callable[[], Any]]) -> None:
        self._works = works
        self._results: list[Any] | None = None

    def result(self, place: int) -> Any:
        """What came of the question in this place. Raises what its own work raised."""
        if self._results is None:
            self._results = [_outcome(work) for work in self._works]
        result = self._results[place]
        if isinstance(result, BaseException):
            raise result
        return result


def _outcome(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - raised again for the one caller whose question it was
        return error


class _Answer(NamedTuple):
    shared: _Shared
    place: int


class Contexts:
    """What is known of customers, for the readers of one process."""

    def __init__(
        self,
        database: Database,
        identities: Identities,
        own_kinds: RememberedKinds,
        programs: RememberedPrograms,
        *,
        queue_limit: int,
    ) -> None:
        self._database = database
        self._identities = identities
        self._own_kinds = own_kinds
        self._programs = programs
        self._seat = database.seat()
        self._reads = GroupWriter[_Question, _Answer](self._load, queue_limit, GROUP)
        self.remembered = RememberedContexts()

    def start(self) -> None:
        """Begin to read; needs a running loop."""
        self._reads.start()

    async def drain(self) -> None:
        """Answer all that is queued, then stop."""
        await self._reads.drain()

    async def read(
        self,
        reference: Reference,
        model: Model,
        now: datetime,
        answer: Callable[[SealedContext], A],
        *,
        touchpoints: int,
        currency: str,
    ) -> A:
        """What `answer` makes of the customer as of `now`, with so many of their newest touchpoints.

        Sums are in the shop's `currency`. Raises what `find_customer` and `answer` raise, and Unavailable as
        GroupWriter.submit does.
        """
        programs = self._programs.current
        club = club_at(programs, now)

        def work(remembered: Remembered) -> A:
            member = member_of(remembered.known.member, programs, now)
            return answer(_sealed(remembered, member, model, now, currency))

        found = await self._reads.submit_one(_Question(reference, touchpoints, club, work))
        if isinstance(found, BaseException):
            raise found
        answered: A = found.shared.result(found.place)
        if answered is _NOTHING:
            return work(await self._load_thoroughly(reference, touchpoints, club))
        return answered

    async def _load(self, questions: list[_Question]) -> Sequence[_Answer]:
        """At most two statements: who is meant by those that no hint knows, and what is known of them all."""
        hints = [self._identities.hinted(question.reference) for question in questions]
        async with self._seat as connection:
            holders = await identifiers.holders(
                connection,
                {
                    (each.type, each.key)
                    for question, hint in zip(questions, hints, strict=True)
                    if hint is None
                    for each in question.reference.identifiers
                },
            )
            named = [
                hint or _holder(question.reference, holders)
                for question, hint in zip(questions, hints, strict=True)
            ]
            asked = [
                None if who is None else Asked(who.customer_id, question.touchpoints)
                for question, who in zip(questions, named, strict=True)
            ]
            # The same for all of them, but for the moment in which a day or a programme begins.
            club = max((question.club for question in questions if question.club is not None), default=None)
            found = await contexts.load(connection, {one for one in asked if one is not None}, club)
        shared = _Shared(
            [
                functools.partial(self._work, question, who, one, None if one is None else found.get(one))
                for question, who, one in zip(questions, named, asked, strict=True)
            ]
        )
        return [_Answer(shared, place) for place in range(len(questions))]

    def _work(
        self, question: _Question, who: Found | None, asked: Asked | None, row: asyncpg.Record | None
    ) -> Any:
        if who is None or asked is None or row is None:
            return _NOTHING
        remembered = self.remembered.of(asked, row, self._own_kinds.current)
        if not self._is_trusted(question.reference, who, remembered.known):
            return _NOTHING
        return question.work(remembered)

    def _is_trusted(self, reference: Reference, who: Found, known: Known) -> bool:
        if known.merged_into is not None or known.erased_at is not None:
            return False
        if who.identity_revision is None:
            if reference.identifiers and all(
                _holds(known, each.type, each.key) for each in reference.identifiers
            ):
                self._identities.remember(reference, known.customer_id, known.identity_revision)
        elif who.identity_revision != known.identity_revision:
            self._identities.forget(reference)
            return False
        return True

    async def _load_thoroughly(self, reference: Reference, touchpoints: int, club: Club | None) -> Remembered:
        """By the general look-up, which follows merges and knows what to say."""
        async with self._database.hot_reading() as connection:
            identity = await find_customer(connection, reference)
            asked = Asked(identity.customer_id, touchpoints)
            row = (await contexts.load(connection, [asked], club)).get(asked)
        if row is None:
            raise not_found()
        return self.remembered.of(asked, row, self._own_kinds.current)


def _holder(reference: Reference, holders: Mapping[Key, UUID]) -> Found | None:
    named = {holders.get((each.type, each.key)) for each in reference.identifiers}
    holder = named.pop() if len(named) == 1 else None
    return None if holder is None else Found(holder, None)


def _holds(known: Known, kind: str, key: str) -> bool:
    """Whether the customer's own row, read in the same moment as their revision, has the identifier."""
    return any(
        held.type == kind and identifier(kind, held.value, "#").key == key for held in known.identifiers
    )


def _sealed(
    remembered: Remembered, member: Membership | None, model: Model, now: datetime, currency: str
) -> SealedContext:
    """The context as of `now`: the one of the same second, where nothing told depends on less."""
    known, moment, at = remembered.known, remembered.moment, seconds(now)
    if moment is not None and member is None and moment[:3] == (at, model, currency):
        context = moment.context
        context = context._replace(now=now, customer=context.customer._replace(scored_at=now))
        return SealedContext(context, known.seal, remembered.written, moment.written)
    context = _context(known, member, model, now, currency)
    written: dict[str, bytes] = {}
    if member is None and not _has_deadlines(known):
        remembered.moment = Moment(at, model, currency, context, written)
    return SealedContext(context, known.seal, remembered.written, written)


def _has_deadlines(known: Known) -> bool:
    """Whether something is told that may turn within a second: an age of something open, or what ends."""
    return bool(known.open_complaints or known.follow_ups or known.consents or known.override)


def _context(known: Known, member: Membership | None, model: Model, now: datetime, currency: str) -> Context:
    state, at = model.taking(known.state), seconds(now)
    model = model.of(state)
    health = score(state, at, model)
    said = known.consents or known.unsubscribed
    opted_out_at = withdrawn_since(known.consents, known.unsubscribed, SURVEYS, ANY) if said else None
    at_risk = member is not None and member.threat is not None
    flags = red_flags(state, at, model, opted_out=opted_out_at is not None, tier_at_risk=at_risk)
    customer = Customer(
        id=known.customer_id,
        profile=known.profile,
        identifiers=known.identifiers,
        created_at=known.created_at,
        updated_at=known.updated_at,
        revision=known.revision,
        purchases=state.n,
        # As of now and not of the last write: the answer would contradict itself.
        band=health.band,
        score=health.score_exact,
        scored_at=now,
    )
    reasons, actions = with_promises(
        level_reasons(state, health, at, model, currency),
        [Action(*action) for action in next_best_actions(state, health, flags, at, model)],
        promises(known.open_complaints),
        now,
    )
    actions = with_loyalty(actions, member, flags)
    return Context(
        now=now,
        customer=customer,
        first_purchase_at=None if state.t_first is None else datetime.fromtimestamp(state.t_first, UTC),
        health=health,
        reasons=reasons,
        red_flags=flags,
        value=value(state, health, at, model, minor_per_major(currency)),
        currency=currency,
        open_complaints=known.open_complaints,
        answers=known.answers,
        recent=known.recent,
        actions=with_follow_up(actions, known.follow_ups, now),
        notes=known.notes,
        override=known.override if known.override is not None and known.override.holds_at(now) else None,
        sentiment=known.sentiment,
        follow_ups=known.follow_ups,
        consents=standings(known.consents, next(iter(known.unsubscribed), None), now),
        opted_out_at=opted_out_at,
        loyalty=member,
    )
