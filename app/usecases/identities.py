"""Who is meant, fast: a bounded memory of identifiers in front of the look-up, which concurrent callers share.

What is remembered is a hint. It carries the customer's identity_revision, and the write path compares that under the
row lock: a stale hint costs one more look-up and never a wrong customer (docs/adr/0003-lanes.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.identifiers import Reference
from app.storage.database import Database
from app.storage.identifiers import Key
from app.usecases.group_writer import GroupWriter
from app.usecases.resolve_customers import Resolution, Resolved, resolve


@dataclass(frozen=True, slots=True)
class _Question:
    reference: Reference
    now: datetime
    may_add_identifiers: bool


class Identities:
    """The references of one process."""

    def __init__(self, database: Database, *, remembered: int, queue_limit: int, group_limit: int) -> None:
        self._database = database
        self._remembered = remembered
        self._hints: dict[Key, tuple[UUID, int]] = {}
        self._lookups = GroupWriter[_Question, Resolution](self._resolve, queue_limit, group_limit)

    def start(self) -> None:
        """Begin to look up; needs a running loop."""
        self._lookups.start()

    async def drain(self) -> None:
        """Answer all that is queued, then stop."""
        await self._lookups.drain()

    async def resolve(
        self, references: Sequence[Reference], now: datetime, *, may_add_identifiers: bool = True
    ) -> list[Resolution | BaseException]:
        """Who each reference means, creating customers that are new; one answer each, in order.

        An exception stands for a reference that could not be looked up. Raises Unavailable as GroupWriter.submit does.
        """
        answers = [self._hinted(reference) for reference in references]
        unknown = [index for index, answer in enumerate(answers) if answer is None]
        if unknown:
            found = await self._lookups.submit(
                [_Question(references[index], now, may_add_identifiers) for index in unknown]
            )
            for index, answer in zip(unknown, found, strict=True):
                answers[index] = answer
                if isinstance(answer, Resolved):
                    self._remember(references[index], answer)
        return [answer for answer in answers if answer is not None]

    def forget(self, reference: Reference) -> None:
        """Drop what is remembered of a reference that turned out to be stale."""
        for identifier in reference.identifiers:
            self._hints.pop((identifier.type, identifier.key), None)

    def _hinted(self, reference: Reference) -> Resolution | BaseException | None:
        if reference.customer_id is not None:
            # Whether that customer exists shows when its row is locked.
            return Resolved(reference.customer_id, 0, created=False)
        hint = None
        for identifier in reference.identifiers:
            found = self._hints.get((identifier.type, identifier.key))
            if found is None or (hint is not None and found != hint):
                return None
            hint = found
        return None if hint is None else Resolved(hint[0], hint[1], created=False)

    def _remember(self, reference: Reference, answer: Resolved) -> None:
        for identifier in reference.identifiers:
            self._hints[identifier.type, identifier.key] = (answer.customer_id, answer.identity_revision)
        while len(self._hints) > self._remembered:
            # The oldest goes, used or not: exact recency would cost every hit a write.
            del self._hints[next(iter(self._hints))]

    async def _resolve(self, questions: list[_Question]) -> list[Resolution]:
        answers: dict[int, Resolution] = {}
        for may_add in (True, False):
            asked = [
                index for index, question in enumerate(questions) if question.may_add_identifiers is may_add
            ]
            if asked:
                found = await resolve(
                    self._database,
                    [questions[index].reference for index in asked],
                    questions[asked[0]].now,
                    may_add_identifiers=may_add,
                )
                answers |= zip(asked, found, strict=True)
        return [answers[index] for index in range(len(questions))]
