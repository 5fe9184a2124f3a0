"""What surveys the worker asks: who is invited since the last look, and what has come due.

Every part reads an index in pages and writes customer by customer, each in a transaction of its own under the lock of
the customer's row. A worker that is killed leaves whole customers done and the others due: an occasion invites once by
its key, and the place in the log is noted only after everything before it is written. So any number may sweep at once.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

import asyncpg
import structlog

from app.domain.feedback.invitations import expired
from app.domain.feedback.surveys import (
    TRIGGER_KINDS,
    WORTH_ASKING,
    Suppressed,
    after_complaint,
    first_period,
    occasion_key,
    planned,
    planned_periodic,
)
from app.domain.health.state import State
from app.domain.problems import Gone, NotFound, Unavailable
from app.domain.touchpoints import EPOCH
from app.storage import invitations, states, survey_work, surveys
from app.storage.database import Database, is_canceled, is_retryable
from app.storage.states import StateRow
from app.storage.survey_work import Look, Occasion, Period, Place, Waiting
from app.storage.surveys import StoredSurvey
from app.usecases.surveys.ask_again import ask_again
from app.usecases.surveys.follow_link import lock_recipient
from app.usecases.surveys.invite import decide_again, invite, is_gone, withdraw

log = structlog.get_logger(__name__)

PAGE: Final = 100
"""Customers of one page; each is a transaction of a few milliseconds."""
LOG_PAGE: Final = 2000
"""Rows of the log in one look."""
LATE: Final = timedelta(minutes=2)
"""How long after its arrival was noted a touchpoint may be committed: so much of the log is read again each time."""
MOST_SEEDED: Final = 10_000
"""Customers gone through for one new periodic survey in one sweep."""
BY: Final = "rapport"
_FIRST: Final = Waiting(EPOCH, UUID(int=0), UUID(int=0))
_EARLIER: Final = Place(EPOCH, UUID(int=0), "", "")

Work: TypeAlias = Callable[[asyncpg.Connection, StateRow], Awaitable[None]]


@dataclass(slots=True)
class SurveysSwept:
    """What a sweep did. `failed`: customers who could not be dealt with and stay due; the log says why."""

    queued: int = 0
    suppressed: int = 0
    released: int = 0
    cancelled: int = 0
    expired: int = 0
    failed: int = 0


class _Sweep:
    def __init__(
        self, database: Database, pepper: bytes, now: datetime, page: int = PAGE, log_page: int = LOG_PAGE
    ) -> None:
        self.database, self.pepper, self.now, self.page, self.log_page = database, pepper, now, page, log_page
        self.done = SurveysSwept()

    async def customer(self, customer_id: UUID, work: Work) -> None:
        """Do something for a locked customer, after a merge the survivor; what fails stays due and keeps nobody else
        waiting.
        """
        try:
            async with self.database.hot_transaction() as connection:
                locked = await _locked(connection, customer_id)
                if locked is not None:
                    await work(connection, locked)
        except Exception as error:
            if isinstance(error, Unavailable) or is_retryable(error) or is_canceled(error):
                raise
            log.exception("survey_not_planned", customer_id=str(customer_id))
            self.done.failed += 1

    # --- occasions ---

    async def occasions(self, triggered: Collection[StoredSurvey]) -> None:
        """Read on in the log from where the last look ended."""
        async with self.database.hot_reading() as connection:
            begin = await survey_work.read_until(connection)
        settled_until = self.now - LATE
        if triggered:
            since = min(one.triggered_since or self.now for one in triggered)
            place: Place | None = _EARLIER._replace(received_at=since if begin is None else max(begin, since))
            kinds = [kind for kind in TRIGGER_KINDS if any(_listens(one, kind) for one in triggered)]
            while place is not None:
                async with self.database.hot_reading() as connection:
                    look = await survey_work.occasions(connection, place, kinds, self.log_page)
                await self._look(look, triggered)
                place = look.end
                if place is not None:
                    await self._remember(min(place.received_at, settled_until))
        await self._remember(settled_until)

    async def _remember(self, until: datetime) -> None:
        async with self.database.hot_reading() as connection:
            await survey_work.remember_look(connection, until)

    async def _look(self, look: Look, triggered: Collection[StoredSurvey]) -> None:
        wanted = [
            (stored, one, at)
            for one in look.occasions
            for stored in triggered
            if (at := _planned(stored, one, self.now)) is not None
        ]
        keys = {(one.place.customer_id, _key(stored, one)) for stored, one, _ in wanted}
        begun = [one for one in look.occasions if one.kind == "purchase"]
        async with self.database.hot_reading() as connection:
            known = await survey_work.invited_already(connection, keys) if keys else set()
            for stored in triggered:
                await self._begin(connection, stored, begun)
        for stored, one, at in wanted:
            if (one.place.customer_id, _key(stored, one)) not in known:
                await self._invite(stored, one, at)

    async def _invite(self, stored: StoredSurvey, one: Occasion, at: datetime) -> None:
        async def work(connection: asyncpg.Connection, locked: StateRow) -> None:
            if is_gone(locked):
                return
            made = await invite(
                connection,
                locked,
                stored.survey,
                about=one.about,
                occasion_key=_key(stored, one),
                send_at=at,
                pepper=self.pepper,
                by=BY,
                now=self.now,
            )
            if made.is_new:
                self._count(made.row.state)

        await self.customer(one.origin, work)

    def _count(self, state: str) -> None:
        if state == "queued":
            self.done.queued += 1
        elif state == "suppressed":
            self.done.suppressed += 1

    # --- periods ---

    async def _begin(
        self, connection: asyncpg.Connection, stored: StoredSurvey, purchases: Collection[Occasion]
    ) -> None:
        trigger = stored.survey.trigger
        if trigger is None or trigger.every is None or not purchases:
            return
        first: dict[UUID, datetime] = {}
        for one in purchases:
            who = one.place.customer_id
            first[who] = min(one.occurred_at, first.get(who, one.occurred_at))
        periods = [
            Period(first_period(trigger, first_purchase_at=at, now=self.now), who)
            for who, at in first.items()
        ]
        await survey_work.begin_periods(connection, stored.survey.code, periods)

    async def seed(self, stored: StoredSurvey) -> None:
        """Begin the periods of those who bought before the survey was there."""
        trigger, after = stored.survey.trigger, stored.seeded_after
        gone_through = 0
        while trigger is not None and after is not None and gone_through < MOST_SEEDED:
            async with self.database.hot_reading() as connection:
                found = await states.living_after(connection, after, self.page)
                decoded = [(who, State.decode(state)) for who, state in found]
                periods = [
                    Period(
                        first_period(
                            trigger,
                            first_purchase_at=EPOCH + timedelta(seconds=state.t_first),
                            now=self.now,
                        ),
                        who,
                    )
                    for who, state in decoded
                    if state.t_first is not None
                ]
                if periods:
                    await survey_work.begin_periods(connection, stored.survey.code, periods)
                until = found[-1][0] if len(found) == self.page else None
                await surveys.seeded(connection, stored.survey.code, after, until)
            gone_through += len(found)
            after = until

    async def periods(self, stored: StoredSurvey) -> None:
        """Ask those whose period has come."""
        after, full = Period(EPOCH, UUID(int=0)), True
        while full:
            async with self.database.hot_reading() as connection:
                due = await survey_work.due_periods(
                    connection, stored.survey.code, self.now, after, self.page
                )
            for one in due:
                await self._period(stored, one)
            full = len(due) == self.page
            after = due[-1] if due else after

    async def _period(self, stored: StoredSurvey, period: Period) -> None:
        survey, trigger = stored.survey, stored.survey.trigger
        if trigger is None:
            return

        async def work(connection: asyncpg.Connection, locked: StateRow) -> None:
            if not await survey_work.still_due(connection, survey.code, period):
                return
            who = locked.customer_id
            if is_gone(locked) or locked.state.t_first is None:
                await survey_work.move_period(connection, survey.code, who, None)
                return
            made = await invite(
                connection,
                locked,
                survey,
                about=None,
                occasion_key=occasion_key(survey, touchpoint_id=None, at=period.due_at),
                send_at=self.now,
                pepper=self.pepper,
                by=BY,
                now=self.now,
            )
            row = made.row
            if not made.is_new and row.state == "suppressed":
                row = await decide_again(connection, locked, survey, row, self.pepper, self.now)
            self._count(row.state)
            first = EPOCH + timedelta(seconds=locked.state.t_first)
            later = planned_periodic(trigger, first_purchase_at=first, last_asked_at=self.now, now=self.now)
            eligible = row.next_eligible_at
            if eligible is not None and later is not None:
                later = max(self.now + timedelta(hours=1), min(eligible, later))
            await survey_work.move_period(connection, survey.code, who, later)

        await self.customer(period.customer_id, work)

    # --- what has come due ---

    async def settled(self) -> None:
        """Decide anew what a complaint held back that is over now."""
        after, full = UUID(int=0), True
        while full:
            async with self.database.hot_reading() as connection:
                found = await survey_work.settled(connection, after, self.page)
            for customer_id in found:
                await self.customer(customer_id, self._release)
            full = len(found) == self.page
            after = found[-1] if found else after

    async def _release(self, connection: asyncpg.Connection, locked: StateRow) -> None:
        if locked.state.open_sev != 0:
            return
        held = {
            str(row.id): row
            for row in await invitations.of_customer(connection, locked.customer_id, ["suppressed"])
            if row.held_back
        }
        await survey_work.let_go(connection, locked.customer_id)
        if is_gone(locked):
            return
        waiting = [Suppressed(key, row.survey, "open_complaint", row.send_at) for key, row in held.items()]
        for one in after_complaint(waiting, self.now):
            stored = await surveys.find(connection, one.survey)
            if stored is not None and stored.active:
                row = held[one.id]._replace(held_back=False)
                await decide_again(connection, locked, stored.survey, row, self.pepper, self.now)
                self.done.released += 1

    async def undecided(self) -> None:
        """Decide once more what was planned ahead."""
        await self._each(survey_work.undecided, self._decide)

    async def _decide(self, waiting: Waiting) -> None:
        async def work(connection: asyncpg.Connection, locked: StateRow) -> None:
            row = await invitations.find(connection, locked.customer_id, waiting.id)
            if row is None or row.state != "queued" or row.decided_at >= row.send_at:
                return
            stored = await surveys.find(connection, row.survey)
            late = row.send_at < self.now - WORTH_ASKING
            if stored is None or not stored.active or is_gone(locked) or late:
                await withdraw(connection, [row], self.now)
                self.done.cancelled += 1
                return
            decided = await decide_again(connection, locked, stored.survey, row, self.pepper, self.now)
            if decided.state == "suppressed":
                self.done.suppressed += 1

        await self.customer(waiting.customer_id, work)

    async def followed_up(self) -> None:
        """Ask again whom somebody has spoken with."""
        await self._each(survey_work.to_ask_again, self._ask_again)

    async def _ask_again(self, waiting: Waiting) -> None:
        async def work(connection: asyncpg.Connection, locked: StateRow) -> None:
            made = await ask_again(connection, locked, waiting.id, pepper=self.pepper, by=BY, now=self.now)
            if made is not None:
                self._count(made.state)

        await self.customer(waiting.customer_id, work)

    async def overdue(self) -> None:
        """End what has expired."""
        await self._each(survey_work.overdue, self._expire)

    async def _expire(self, waiting: Waiting) -> None:
        async def work(connection: asyncpg.Connection, locked: StateRow) -> None:
            row = await invitations.find(connection, locked.customer_id, waiting.id)
            if row is None:
                return
            was = row.invitation()
            became = expired(was, self.now)
            if became != was:
                await invitations.update(connection, row.with_(became, self.now))
                self.done.expired += 1

        await self.customer(waiting.customer_id, work)

    async def _each(
        self,
        find: Callable[[asyncpg.Connection, datetime, Waiting, int], Awaitable[list[Waiting]]],
        work: Callable[[Waiting], Awaitable[None]],
    ) -> None:
        after, full = _FIRST, True
        while full:
            async with self.database.hot_reading() as connection:
                found = await find(connection, self.now, after, self.page)
            for waiting in found:
                await work(waiting)
            full = len(found) == self.page
            after = found[-1] if found else after


async def sweep_surveys(
    database: Database, pepper: bytes, now: datetime, *, page: int = PAGE, log_page: int = LOG_PAGE
) -> SurveysSwept:
    """Everything that is due at `now`. Raises what the database raises when it is away; what was done stays done."""
    sweep = _Sweep(database, pepper, now, page, log_page)
    async with database.hot_reading() as connection:
        triggered = await surveys.triggered(connection)
    await sweep.occasions(triggered)
    await sweep.settled()
    await sweep.undecided()
    for stored in triggered:
        trigger = stored.survey.trigger
        if trigger is not None and trigger.every is not None:
            await sweep.seed(stored)
            await sweep.periods(stored)
    await sweep.followed_up()
    await sweep.overdue()
    return sweep.done


async def _locked(connection: asyncpg.Connection, customer_id: UUID) -> StateRow | None:
    try:
        return await lock_recipient(connection, customer_id)
    except Gone:
        return (await states.lock(connection, [customer_id])).get(customer_id)
    except NotFound:
        return None


def _listens(stored: StoredSurvey, kind: str) -> bool:
    trigger = stored.survey.trigger
    if trigger is None:
        return False
    # The first purchase begins the periods.
    return TRIGGER_KINDS[kind] == trigger.on or (kind == "purchase" and trigger.every is not None)


def _planned(stored: StoredSurvey, one: Occasion, now: datetime) -> datetime | None:
    if stored.triggered_since is None or one.place.received_at < stored.triggered_since:
        return None
    return planned(stored.survey.trigger, one.kind, one.occurred_at, now)


def _key(stored: StoredSurvey, one: Occasion) -> str:
    # Two storefronts may use the same id.
    touchpoint_id = f"{one.place.source}/{one.place.id}"
    return occasion_key(stored.survey, touchpoint_id=touchpoint_id, at=one.occurred_at)
