"""The clock of loyalty, looked at when its time has come: points, holds, tiers, warnings, birthdays, ends.

As with the bands (usecases/sweep_bands.py): who is due comes from an index, customers that somebody else holds are left
to them or to the next look, and what is found, the row that says so and the time of the next look are one transaction.
So any number of workers may look at once, and one that is killed leaves all of a page or nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from app.domain.health.model import Model
from app.domain.loyalty.clock import Look, Past, Rulebook, Seen, looked, tier_is_due, until_the_end
from app.domain.loyalty.earning import occasion_key
from app.domain.loyalty.occasions import Occasion, birthdays
from app.domain.loyalty.settling import run_out
from app.domain.loyalty.telling import points_expiring, tier_changed, tier_warned
from app.domain.loyalty.versions import Published, in_force
from app.domain.problems import Unavailable
from app.domain.touchpoints import Touchpoint
from app.storage import states
from app.storage.database import Database, is_canceled, is_retryable
from app.storage.loyalty import accounts, clock
from app.storage.loyalty.accounts import Loaded, Wanted
from app.storage.loyalty.clock import FIRST_PLACE
from app.storage.loyalty.programs import Rules, all_rules
from app.storage.loyalty.saving import Change, save
from app.storage.recording import LostRace
from app.storage.states import StateRow
from app.usecases.loyalty.earn_occasions import earn_occasions
from app.usecases.loyalty.tell_tiers import tell
from app.usecases.record_touchpoints import Entry

log = structlog.get_logger(__name__)

PAGE: Final = 100
"""Accounts in one transaction: some tens of milliseconds."""
MOST_AT_ONCE: Final = 10_000
"""Accounts that a new version, a birthday or the end of a programme moves in one run; the others wait for the next."""
_FIRST: Final = UUID(int=0)
_Page = Callable[[asyncpg.Connection, Sequence[UUID]], Awaitable["Clocked"]]


@dataclass(slots=True)
class Clocked:
    """What a run did: accounts looked at, and of those in how many points lapsed, holds ran out, a tier moved.

    `warned`: lines that tell what will lapse; `celebrated`: birthdays that were granted; `ended`: accounts
    that ran out with their programme. `failed`: accounts that stay due; the log says why.
    """

    looked: int = 0
    expired: int = 0
    timed_out: int = 0
    moved: int = 0
    warned: int = 0
    celebrated: int = 0
    ended: int = 0
    failed: int = 0

    def add(self, other: "Clocked") -> None:
        """Count what another page did."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def counts(self) -> dict[str, int]:
        """By name."""
        return asdict(self)


async def run_clock(database: Database, model: Model, now: datetime, page: int = PAGE) -> Clocked:
    """Do all that fell due by `now`: the ends of programmes, the accounts of the index, new versions, birthdays.

    Raises what the database raises when it is away; what was done by then stays so.
    """
    async with database.hot_reading() as connection:
        known = await all_rules(connection)
    done = Clocked()
    if not known:
        return done
    async with database.hot_reading() as connection:
        over = await clock.ended(connection, now)
    for program in over:
        done.add(await _ended(database, program, now, page))
    done.add(await _due(database, model, now, page))
    for rules in known.values():
        done.add(await _ruled(database, rules, model, now, page))
        done.add(await _born(database, rules, model, now, page))
    return done


def passes(error: BaseException) -> bool:
    """Whether it is nobody's fault, and the next run may find it gone."""
    return isinstance(error, Unavailable) or is_retryable(error) or is_canceled(error)


# --- what is due ----------------------------------------------------------------------------------------------------


async def _due(database: Database, model: Model, now: datetime, page: int) -> Clocked:
    done, after, full = Clocked(), FIRST_PLACE, True
    while full:
        async with database.hot_reading() as connection:
            due = await clock.due(connection, now, page, after)
        for program in sorted({place.program for place in due}):
            members = [place.customer_id for place in due if place.program == program]

            async def look(
                connection: asyncpg.Connection, part: Sequence[UUID], program: str = program
            ) -> Clocked:
                return await _look(connection, part, program, model, now, due_only=True)

            done.add(await _paged(database, members, look))
        full = len(due) == page
        after = due[-1] if due else after
    return done


async def _ruled(database: Database, rules: Rules, model: Model, now: datetime, page: int) -> Clocked:
    """Tiers that another version drew than the one in force: raised at once, never lowered."""
    done, program = Clocked(), rules.program.code
    version = in_force(rules.published, now)

    async def look(connection: asyncpg.Connection, part: Sequence[UUID]) -> Clocked:
        return await _look(connection, part, program, model, now, due_only=False)

    while version is not None and done.looked < MOST_AT_ONCE:
        async with database.hot_reading() as connection:
            members = await clock.outdated(connection, program, version.number, page)
        part = await _paged(database, members, look)
        done.add(part)
        # Nothing done: what is left is held by others, or cannot be drawn.
        if len(members) < page or not part.looked:
            break
    return done


async def _born(database: Database, rules: Rules, model: Model, now: datetime, page: int) -> Clocked:
    """Birthdays of members, once in a local year, at the beginning of their day."""
    done, program, programme = Clocked(), rules.program.code, rules.programme
    for birthday in birthdays(now, programme.zone):
        version = in_force(rules.published, birthday.begins)
        over = programme.earns_until is not None and programme.earns_until <= birthday.begins
        if version is None or over or not version.version.rules_for("birthday"):
            continue
        occasion = Occasion("birthday", birthday.begins)
        key = occasion_key("birthday", birthday.begins, programme)

        async def grant(
            connection: asyncpg.Connection, part: Sequence[UUID], occasion: Occasion = occasion
        ) -> Clocked:
            return await _celebrate(connection, part, program, occasion, model, now)

        after, full = _FIRST, True
        while full and done.celebrated < MOST_AT_ONCE:
            async with database.hot_reading() as connection:
                members = await clock.celebrating(
                    connection, program, birthday.celebrated, key, birthday.ends, after, page
                )
            done.add(await _paged(database, members, grant))
            full = len(members) == page
            after = members[-1] if members else after
    return done


async def _ended(database: Database, program: str, now: datetime, page: int) -> Clocked:
    """The last run of a programme that is over: holds are released and everything that is left expires."""
    done = Clocked()

    async def end(connection: asyncpg.Connection, part: Sequence[UUID]) -> Clocked:
        return await _run_out(connection, part, program, now)

    while done.ended < MOST_AT_ONCE:
        async with database.hot_reading() as connection:
            members = await clock.still_holding(connection, program, page)
        part = await _paged(database, members, end)
        done.add(part)
        if not part.ended:
            break
    async with database.hot_transaction() as connection:
        if await clock.wind_up(connection, program, now):
            log.info("program_wound_up", program=program)
    return done


async def _paged(database: Database, members: Sequence[UUID], work: _Page) -> Clocked:
    """One page in one transaction; if something in it cannot be done, each member alone."""
    if not members:
        return Clocked()
    try:
        async with database.hot_transaction() as connection:
            return await work(connection, members)
    except Exception as error:
        if passes(error):
            raise
        if len(members) == 1:
            # Rules that were replaced meanwhile are read anew by the next run.
            if not isinstance(error, LostRace):
                log.exception("account_not_clocked", customer_id=str(members[0]))
            return Clocked(failed=1)
    done = Clocked()
    for member in members:
        done.add(await _paged(database, [member], work))
    return done


# --- one page, its customers locked ---------------------------------------------------------------------------------


async def _locked(
    connection: asyncpg.Connection, members: Sequence[UUID], program: str, now: datetime
) -> tuple[Mapping[UUID, StateRow], Rules, list[Loaded]]:
    """Those of the members whom nobody holds, the rules, and their accounts under the lock."""
    rows = await states.lock_free(connection, members)
    rules = (await all_rules(connection))[program]
    wanted = [Wanted(customer_id, program) for customer_id in rows]
    found = await accounts.load(connection, wanted, now) if wanted else {}
    return rows, rules, [one for one in found.values() if one.revision is not None]


async def _look(
    connection: asyncpg.Connection,
    members: Sequence[UUID],
    program: str,
    model: Model,
    now: datetime,
    *,
    due_only: bool,
) -> Clocked:
    rows, rules, found = await _locked(connection, members, program, now)
    book = Rulebook(rules.published, rules.programme.zone)
    version = in_force(rules.published, now)
    done, changes, told = Clocked(), [], list[Entry]()
    for loaded in found:
        # What it was before the lock does not count any more.
        if due_only and (loaded.due_at is None or loaded.due_at > now):
            continue
        await asyncio.sleep(0)
        row, account = rows[loaded.customer_id], until_the_end(loaded.account, rules.programme.ends_at)
        is_gone = row.merged_into is not None or row.erased_at is not None
        needs_past = not is_gone and (not due_only or _needs_past(loaded, version, now))
        past = await _past(connection, loaded, now) if needs_past else None
        seen = Seen(account, loaded.standing, loaded.warned_until)
        # Points of somebody who is gone lapse all the same, or the shop would owe them for ever. Nobody is told.
        rulebook = book._replace(published=()) if is_gone else book
        look = looked(seen, past, rulebook, _told_from(loaded, version, now), now)
        ruled_by = version.number if version is not None and (needs_past or is_gone) else None
        changes.append(_change(loaded, look, ruled_by))
        told += [Entry(loaded.customer_id, one) for one in _told(look, program, book, now)]
        _count(done, loaded, look)
    if changes and not await save(connection, changes, now):
        raise LostRace
    await tell(connection, told, model)
    return done


def _needs_past(loaded: Loaded, version: Published | None, now: datetime) -> bool:
    """Whether the tier is to be looked at: its time has come, or came before somebody wrote, who may have hidden it."""
    hidden = loaded.due_at is not None and loaded.account.last_at > loaded.due_at
    return hidden or tier_is_due(loaded.standing, version and version.version, now)


def _told_from(loaded: Loaded, version: Published | None, now: datetime) -> datetime:
    """From when on nobody can have told what became of the tier: when it fell due, or another version took over."""
    times = [loaded.due_at or now, now]
    if version is not None and loaded.ruled_by != version.number:
        times.append(version.effective_from)
    return min(times)


async def _past(connection: asyncpg.Connection, loaded: Loaded, now: datetime) -> Past:
    entries = await clock.tier_entries(connection, loaded.customer_id, loaded.program, now)
    found = await clock.pauses(connection, [loaded.customer_id], now)
    return Past(entries, found.get(loaded.customer_id, ()))


def _change(loaded: Loaded, look: Look, ruled_by: int | None) -> Change:
    return Change(
        loaded,
        look.decision.account,
        look.decision.entries,
        look.standing,
        look.due_at,
        warned_until=look.warned_until,
        ruled_by=ruled_by,
    )


def _told(look: Look, program: str, book: Rulebook, now: datetime) -> list[Touchpoint]:
    told = [tier_changed(program, change, now) for change in look.changes]
    told += [points_expiring(program, one, book.zone, now) for one in look.expiring]
    return told + ([] if look.warning is None else [tier_warned(program, look.warning, now)])


def _count(done: Clocked, loaded: Loaded, look: Look) -> None:
    done.looked += 1
    done.expired += any(entry.kind == "expire" for entry in look.decision.entries)
    done.timed_out += look.decision.account.holds != loaded.account.holds
    done.moved += bool(look.changes)
    done.warned += len(look.expiring)


async def _celebrate(
    connection: asyncpg.Connection,
    members: Sequence[UUID],
    program: str,
    occasion: Occasion,
    model: Model,
    now: datetime,
) -> Clocked:
    rows = await states.lock_free(connection, members)
    alive = [one for one, row in rows.items() if row.merged_into is None and row.erased_at is None]
    told = await earn_occasions(connection, [(one, occasion) for one in alive], now, program)
    await tell(connection, [Entry(*one) for one in told], model)
    return Clocked(celebrated=len(alive))


async def _run_out(
    connection: asyncpg.Connection, members: Sequence[UUID], program: str, now: datetime
) -> Clocked:
    _, _, found = await _locked(connection, members, program, now)
    changes = []
    for loaded in found:
        await asyncio.sleep(0)
        decision = run_out(loaded.account, now)
        changes.append(Change(loaded, decision.account, decision.entries, loaded.standing, None))
    if changes and not await save(connection, changes, now):
        raise LostRace
    return Clocked(ended=len(changes))
