"""Where a member stood at a time, and every move between tiers up to then: a fold that never changes."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import asyncpg

from app.domain.identifiers import Reference
from app.domain.loyalty import tiers
from app.domain.loyalty.clock import Past, Rulebook
from app.domain.loyalty.tiers import Change, Projection, Standing
from app.domain.problems import refused
from app.storage.loyalty import clock
from app.storage.loyalty.programs import Rules
from app.usecases.find_customer import find_customer
from app.usecases.loyalty.read_account import MOST_ENTRIES, too_many_entries
from app.usecases.loyalty.remembered_programs import rules_named


class Tiers(NamedTuple):
    """A member's tier at a time, None before the first entry, and all moves up to then in their order."""

    program: str
    standing: Standing | None
    projection: Projection | None
    changes: tuple[Change, ...]


async def read_tiers(
    connection: asyncpg.Connection,
    reference: Reference,
    program: str | None,
    at: datetime | None,
    known: Mapping[str, Rules],
    now: datetime,
) -> Tiers:
    """The tier as of `at` (None: now), by the time of entries and by the complaints that were known then.

    Raises what `find_customer` raises, NotFound `program_not_found`, Invalid `in_the_future`, Conflict
    `too_many_entries`.
    """
    if at is not None and at > now:
        raise refused("#/query/as_of", "in_the_future", "must not lie in the future")
    moment = now if at is None else at
    customer_id = (await find_customer(connection, reference)).customer_id
    rules = await rules_named(connection, known, program, now)
    code = rules.program.code
    entries = await clock.tier_entries(connection, customer_id, code, moment, MOST_ENTRIES + 1)
    if len(entries) > MOST_ENTRIES:
        raise too_many_entries()
    pauses = (await clock.pauses(connection, [customer_id], moment)).get(customer_id, ())
    book = Rulebook(rules.published, rules.programme.zone)
    # In a thread: a long ledger takes a while, in which others want answers.
    return await asyncio.to_thread(_folded, code, Past(entries, pauses), book, moment)


def _folded(program: str, past: Past, book: Rulebook, at: datetime) -> Tiers:
    standing, changes = tiers.history(past.entries, book.rulings(), past.pauses, book.zone, at)
    version, ahead = book.version(at), None
    if standing is not None and version is not None:
        ahead = tiers.projection(standing, past.entries, at, version.tier_rules, book.zone)
    return Tiers(program, standing, ahead, changes)
