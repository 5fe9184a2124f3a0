"""The write path's lanes: each customer belongs to one lane, each lane has one writer that shares its commits.

Two writers of one process never meet on a row, and a hot customer is one row per group. Other processes may hold the
same lane: rows are locked in customer order, so they take turns (docs/adr/0003-lanes.md).
"""

import asyncio
import functools
from collections.abc import Sequence
from datetime import UTC, datetime

from app.domain.identifiers import Reference
from app.domain.ids import lane_of
from app.domain.problems import Unavailable
from app.domain.touchpoints import Touchpoint
from app.storage.database import Database, Seat
from app.storage.loading import AskedByName
from app.storage.recording import LostRace
from app.usecases.group_writer import GroupWriter
from app.usecases.loyalty.earn import NO_EARNING, Earning, earning_at
from app.usecases.loyalty.remembered_programs import RememberedPrograms
from app.usecases.models.active_model import ActiveModel
from app.usecases.record_touchpoints import Entry, Outcome, asked_by_name, record_group


class Lanes:
    """All lanes of one process. Without `programs` nothing earns."""

    def __init__(
        self,
        database: Database,
        model: ActiveModel,
        programs: RememberedPrograms | None = None,
        *,
        shop_currency: str = "",
        lanes: int,
        queue_limit: int,
        group_limit: int,
        awake_seconds: float = 0.0,
    ) -> None:
        self._model = model
        self._programs = programs
        self._shop_currency = shop_currency
        # Each writer keeps a connection: there is always one for the next group, and none to ask a pool for.
        self._lanes = [
            GroupWriter[Entry, Outcome](
                functools.partial(self._record, database.seat()),
                queue_limit,
                group_limit,
                retry_on=(LostRace,),
                awake_seconds=awake_seconds,
            )
            for _ in range(lanes)
        ]

    @property
    def waiting(self) -> list[int]:
        """Touchpoints in each lane's queue."""
        return [lane.waiting for lane in self._lanes]

    def start(self) -> None:
        """Begin to write; needs a running loop."""
        for lane in self._lanes:
            lane.start()

    async def drain(self) -> None:
        """Write all that is queued, then stop."""
        await asyncio.gather(*(lane.drain() for lane in self._lanes))

    async def record(self, entries: Sequence[Entry]) -> list[Outcome | BaseException]:
        """One outcome for each entry, in order, after the commit that made it true.

        A lane without room answers its entries with Unavailable `overloaded` and leaves those of other lanes alone.
        """
        if len(entries) == 1:
            return [await self.record_one(entries[0])]
        outcomes: list[Outcome | BaseException | None] = [None] * len(entries)
        by_lane: dict[int, list[int]] = {}
        for index, entry in enumerate(entries):
            by_lane.setdefault(self._lane(entry), []).append(index)
        parts = [(indexes, [entries[index] for index in indexes]) for indexes in by_lane.values()]
        answers = await asyncio.gather(
            *(self._submit(lane, part) for lane, (_, part) in zip(by_lane, parts, strict=True))
        )
        for (indexes, _), answer in zip(parts, answers, strict=True):
            for index, outcome in zip(indexes, answer, strict=True):
                outcomes[index] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    async def record_one(self, entry: Entry) -> Outcome | BaseException:
        """The same for one entry."""
        try:
            return await self._lanes[self._lane(entry)].submit_one(entry)
        except Unavailable as full:
            return full

    def asked_with(self, touchpoint: Touchpoint, reference: Reference) -> AskedByName | None:
        """What can be read for a touchpoint with the look-up of its customer; None when that is not enough."""
        return asked_by_name(reference, touchpoint, self._earning())

    def _lane(self, entry: Entry) -> int:
        return lane_of(entry.customer_id, len(self._lanes))

    async def _submit(self, lane: int, entries: Sequence[Entry]) -> list[Outcome | BaseException]:
        try:
            return await self._lanes[lane].submit(entries)
        except Unavailable as full:
            return [full] * len(entries)

    async def _record(self, seat: Seat, entries: list[Entry]) -> list[Outcome]:
        async with seat as connection:
            return await record_group(connection, entries, self._model.current, self._earning())

    def _earning(self) -> Earning:
        if self._programs is None:
            return NO_EARNING
        # Also where none is remembered: a process that could not read them when it started must ask, and not believe
        # that there are none.
        return earning_at(self._programs.current, self._shop_currency, datetime.now(UTC))
