"""What contexts were made of, kept for who is asked for again: a support tool that shows somebody asks time and again.

Nothing remembered is ever believed. The statement runs for every read, and its row is compared with the one that is
remembered, value by value: only of the same row the same need not be made again. So no writer has to tell anybody, and
an answer is as fresh as the statement that read it, whoever wrote in between.
"""

import asyncio
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.context import Context
from app.domain.health.model import Model
from app.domain.kinds import NO_KINDS, OwnKinds
from app.storage import contexts
from app.storage.contexts import Asked, Known

MOST_BYTES: Final = 8 * 1024 * 1024
"""Of what the rows say, in all. What is made of them is six times that at most, so some 50 MB of the process; a row of
somebody who bought ten times says 2 KB."""
OWN_BYTES: Final = 2048
"""What anybody counts for besides, so that many of whom little is known stay within the same bound."""
MOST_SEEN: Final = 1024
"""Customers who were asked for once, of whom nothing but that is remembered: to keep everybody's row, where hardly
anybody is asked for again, costs more than it spares (cold memory, and objects for the collector to walk)."""
AGE_SECONDS: Final = 300.0
"""How often all that was not asked for since the last time goes: nobody stays twice as long unasked."""


class Moment(NamedTuple):
    """A context, and all that it followed from besides the row.

    `at`: seconds since 1970. `written` is for who makes an answer of it: it holds for every context that differs from
    this one in nothing but the fraction of the second.
    """

    at: int
    model: Model
    currency: str
    context: Context
    written: dict[str, bytes]


class Remembered:
    """A row, what it says, and what was made of that. `written` holds for as long as the row says the same."""

    __slots__ = ("known", "labels", "moment", "row", "written")

    def __init__(self, row: asyncpg.Record, labels: Mapping[str, str]) -> None:
        self.row = row
        self.labels = labels
        self.known: Known = contexts.known(row, labels)
        self.written: dict[str, bytes] = {}
        self.moment: Moment | None = None

    @property
    def size(self) -> int:
        """Bytes that count against MOST_BYTES."""
        return len(self.known.seal) + OWN_BYTES


class RememberedContexts:
    """Two halves: what was asked for lately, and what was before; the older half goes as a whole."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes // 2
        self._young: dict[Asked, Remembered] = {}
        self._old: dict[Asked, Remembered] = {}
        self._young_bytes = 0
        self._seen: dict[Asked, None] = {}
        self._seen_before: dict[Asked, None] = {}
        self._kinds: OwnKinds = NO_KINDS
        self._labels: Mapping[str, str] = {}
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def of(self, asked: Asked, row: asyncpg.Record, kinds: OwnKinds) -> Remembered:
        """What this row says, as the question of this customer was answered by it just now."""
        labels = self._labels_of(kinds)
        found = self._young.get(asked)
        if found is None:
            found = self._old.pop(asked, None)
            if found is not None:
                self._keep(asked, found)
        if found is not None and found.labels is labels and found.row == row:
            self.hits += 1
            return found
        self.misses += 1
        made = Remembered(row, labels)
        if found is not None:
            self._drop(asked)
        # Who was merged or erased is looked up in another way.
        is_current = made.known.merged_into is None and made.known.erased_at is None
        if is_current and (found is not None or self._was_seen(asked)):
            self._keep(asked, made)
        return made

    def age(self) -> None:
        """Let go of what was not asked for since the last time."""
        self._old, self._young, self._young_bytes = self._young, {}, 0
        self._seen_before, self._seen = self._seen, {}

    async def keep_ageing(self, pause_seconds: float = AGE_SECONDS) -> None:
        """`age` for ever, until cancelled."""
        while True:
            await asyncio.sleep(pause_seconds)
            self.age()

    def forget_customers(self, customer_ids: Collection[UUID]) -> None:
        """Drop whatever is remembered of these customers: they were erased. Looks through all that is remembered."""
        gone = frozenset(customer_ids)
        for asked in [one for one in (*self._young, *self._old) if one.customer_id in gone]:
            self._drop(asked)

    def _labels_of(self, kinds: OwnKinds) -> Mapping[str, str]:
        """What touchpoints of the shop's own kinds are called: the same object for as long as it is the same."""
        if kinds is not self._kinds:
            # They are read anew twice a second, and hardly ever change.
            labels = {name: kind.label for name, kind in kinds.items()}
            if labels != self._labels:
                self._labels = labels
            self._kinds = kinds
        return self._labels

    def _was_seen(self, asked: Asked) -> bool:
        if asked in self._seen or asked in self._seen_before:
            return True
        if len(self._seen) >= MOST_SEEN:
            self._seen_before, self._seen = self._seen, {}
        self._seen[asked] = None
        return False

    def _keep(self, asked: Asked, one: Remembered) -> None:
        if one.size > self._most_bytes:
            return
        if self._young_bytes + one.size > self._most_bytes:
            self._old, self._young, self._young_bytes = self._young, {}, 0
        self._young[asked] = one
        self._young_bytes += one.size

    def _drop(self, asked: Asked) -> None:
        self._old.pop(asked, None)
        dropped = self._young.pop(asked, None)
        if dropped is not None:
            self._young_bytes -= dropped.size
