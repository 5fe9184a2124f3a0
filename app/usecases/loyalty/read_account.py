"""What a customer has: now, at another time, line by line, and whether it all adds up. Writes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.identifiers import Reference
from app.domain.loyalty import tiers
from app.domain.loyalty.account import Entry
from app.domain.loyalty.balances import Balance, Statement, as_of, balance, statement
from app.domain.loyalty.chain import Finding, verify
from app.domain.loyalty.clock import until_the_end
from app.domain.loyalty.periods import window_start
from app.domain.loyalty.public_ids import entry_not_found, parse_entry_id
from app.domain.loyalty.tiers import Projection, Standing
from app.domain.loyalty.versions import in_force
from app.domain.problems import Conflict, refused
from app.storage.loyalty import accounts, entries
from app.storage.loyalty.accounts import Loaded, Wanted
from app.storage.loyalty.entries import Face
from app.storage.loyalty.programs import Rules, all_rules
from app.usecases.find_customer import find_customer
from app.usecases.loyalty.remembered_programs import default_of, program_not_found, rules_named

MOST_ENTRIES = 20_000
"""Entries of one account that a reading of the past goes through."""


@dataclass(frozen=True, slots=True)
class Read:
    """An account as it stands, with where it stands; `standing` is None before the first entry."""

    customer_id: UUID
    rules: Rules
    loaded: Loaded
    balance: Balance
    standing: Standing | None
    projection: Projection | None

    @property
    def face(self) -> Face:
        """What entries are read by."""
        return Face(self.loaded.program, self.loaded.account.id, self.loaded.account.seq)


class Explained(NamedTuple):
    """An entry, and why it is what it is: None where there is no more to say than the entry does."""

    customer_id: UUID
    face: Face
    entry: Entry
    explain: dict[str, Any] | None


async def read_loyalty(
    connection: asyncpg.Connection,
    reference: Reference,
    program: str | None,
    known: Mapping[str, Rules],
    now: datetime,
) -> Read | None:
    """The account at `now`; None where no programme was ever published.

    Raises what `find_customer` raises, NotFound `program_not_found` for a programme that is named and is not there.
    """
    identity = await find_customer(connection, reference)
    if program is None and default_of(known, now) is None:
        # Another process may have published the first one a moment ago.
        known = await all_rules(connection)
        if default_of(known, now) is None:
            return None
    return await _read(connection, identity.customer_id, program, known, now, whole=False)


async def read_balance(
    connection: asyncpg.Connection,
    reference: Reference,
    program: str | None,
    at: datetime | None,
    known: Mapping[str, Rules],
    now: datetime,
) -> tuple[Read, Balance, int]:
    """The balance as of `at`, by the time of entries, and the number of the last entry by then.

    Raises as `read_loyalty`, NotFound `program_not_found` without any programme, Invalid `in_the_future`, Conflict
    `too_many_entries`.
    """
    if at is not None and at > now:
        raise refused("#/query/as_of", "in_the_future", "must not lie in the future")
    found = await _of(connection, reference, program, known, now, whole=True)
    if at is None:
        return found, found.balance, found.loaded.account.seq
    past = as_of(found.loaded.account, await _ledger(connection, found), at)
    return found, balance(until_the_end(past, found.rules.programme.ends_at), at), past.seq


async def read_statement(
    connection: asyncpg.Connection,
    reference: Reference,
    program: str | None,
    since: datetime,
    until: datetime,
    known: Mapping[str, Rules],
    now: datetime,
) -> tuple[Read, Statement]:
    """The entries written in [since, until) between the sums before and after them. Raises as `read_balance`."""
    if until <= since:
        raise refused("#/query/to", "invalid_window", "must be after from")
    found = await _of(connection, reference, program, known, now, whole=False)
    return found, statement(await _ledger(connection, found), since, until)


async def verify_account(
    connection: asyncpg.Connection,
    reference: Reference,
    program: str | None,
    known: Mapping[str, Rules],
    now: datetime,
) -> tuple[Read, Sequence[Finding]]:
    """What is wrong with the ledger of one account; nothing, as a rule. Raises as `read_balance`."""
    found = await _of(connection, reference, program, known, now, whole=True)
    account = found.loaded.account
    return found, verify(account.id, await _ledger(connection, found), account)


async def explain_entry(connection: asyncpg.Connection, public_id: str) -> Explained:
    """The entry with this id and the record of the rules that made it. Raises NotFound `entry_not_found`."""
    ids = parse_entry_id(public_id)
    faces = await entries.faces(connection, ids.customer_id)
    face = next((one for one in faces if one.account_id == ids.account_id), None)
    if face is None:
        raise entry_not_found()
    found = await entries.page(connection, ids.customer_id, face, ids.seq - 1, 1)
    if not found or found[0].seq != ids.seq:
        raise entry_not_found()
    entry = found[0]
    why = None
    if entry.kind == "earn":
        why = await entries.explanation(connection, ids.customer_id, face.program, entry.key)
    return Explained(ids.customer_id, face, entry, why)


async def _of(
    connection: asyncpg.Connection,
    reference: Reference,
    program: str | None,
    known: Mapping[str, Rules],
    now: datetime,
    *,
    whole: bool,
) -> Read:
    identity = await find_customer(connection, reference)
    return await _read(connection, identity.customer_id, program, known, now, whole=whole)


async def _read(
    connection: asyncpg.Connection,
    customer_id: UUID,
    program: str | None,
    known: Mapping[str, Rules],
    now: datetime,
    *,
    whole: bool,
) -> Read:
    rules = await rules_named(connection, known, program, now)
    wanted = Wanted(customer_id, rules.program.code, whole=whole)
    loaded = (await accounts.load(connection, [wanted], now)).get((customer_id, rules.program.code))
    if loaded is None:
        raise program_not_found()
    ahead = await _projection(connection, loaded, rules, now)
    account = until_the_end(loaded.account, rules.programme.ends_at)
    return Read(customer_id, rules, loaded, balance(account, now), loaded.standing, ahead)


async def _projection(
    connection: asyncpg.Connection, loaded: Loaded, rules: Rules, now: datetime
) -> Projection | None:
    version = in_force(rules.published, now)
    if version is None or loaded.standing is None:
        return None
    tier_rules, zone = version.version.tier_rules, rules.programme.zone
    if loaded.standing.tier not in {tier.code for tier in tier_rules.tiers}:
        # A tier that the newest version does not know; the next entry or review settles it.
        return None
    since = window_start(now, tier_rules.window_months, zone)
    counted = await entries.qualifying(connection, loaded.customer_id, loaded.program, since)
    return tiers.projection(loaded.standing, counted, now, tier_rules, zone)


async def _ledger(connection: asyncpg.Connection, found: Read) -> list[Entry]:
    if found.loaded.account.seq > MOST_ENTRIES:
        raise too_many_entries()
    return await entries.all_of(connection, found.customer_id, found.face)


def too_many_entries() -> Conflict:
    """A reading that would take too long inside a request."""
    return Conflict(
        "too_many_entries",
        f"The account has more than {MOST_ENTRIES} entries. Read them page by page, verify by the command.",
    )
