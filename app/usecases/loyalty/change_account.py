"""The one way to change an account: lock the customer, load, decide, save. Everything else that loyalty does calls it.

held = await open_account(connection, reference, code, known, now, spends=[hold_id])
decision = spending.captured(held.loaded.account, hold_id, now)
await save_account(connection, held, decision, now)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import asyncpg

from app.domain.identifiers import Reference
from app.domain.loyalty import clock, tiers
from app.domain.loyalty.account import Account, Decision, Entry
from app.domain.loyalty.clock import Rulebook, next_look_at, until_the_end
from app.domain.loyalty.periods import window_start
from app.domain.loyalty.tiers import Standing
from app.domain.loyalty.versions import Programme, Published, Version, in_force
from app.domain.problems import Unavailable
from app.storage.loyalty import accounts
from app.storage.loyalty.accounts import Loaded, Wanted
from app.storage.loyalty.programs import Rules, all_rules
from app.storage.loyalty.saving import Change, save
from app.storage.states import StateRow
from app.usecases.identities import Found
from app.usecases.lock_customer import lock_customer
from app.usecases.loyalty.remembered_programs import program_not_found, rules_named


@dataclass(frozen=True, slots=True)
class Seen:
    """An account as loaded, and the rules of the very same snapshot."""

    rules: Rules
    loaded: Loaded

    def version_at(self, at: datetime) -> Version:
        """What was in force then; the standard version before the first one."""
        found = in_force(self.rules.published, at)
        return Version() if found is None else found.version


@dataclass(frozen=True, slots=True)
class Opened(Seen):
    """The same of a customer who is locked."""

    customer: StateRow


async def open_account(
    connection: asyncpg.Connection,
    reference: Reference,
    program: str | None,
    known: Mapping[str, Rules],
    now: datetime,
    *,
    earns: Sequence[str] = (),
    spends: Sequence[str] = (),
    adjustments: Sequence[str] = (),
) -> Opened:
    """Lock the customer and load their account in a programme (None: the default one) with what a decision names.

    Raises what `lock_customer` raises, and NotFound `program_not_found`.
    """
    customer = await lock_customer(connection, reference)
    rules = await rules_named(connection, known, program, now)
    wanted = Wanted(
        customer.customer_id,
        rules.program.code,
        earns=earns,
        spends=spends,
        adjustments=adjustments,
        qualifying_since=tier_window(rules, now),
    )
    loaded = (await accounts.load(connection, [wanted], now)).get((wanted.customer_id, wanted.program))
    if loaded is None:
        raise program_not_found()
    if loaded.rules_revision != rules.revision:
        rules = (await all_rules(connection))[rules.program.code]
    return Opened(rules, in_its_time(loaded, rules), customer)


def seen_of(loaded: Loaded | None, found: Found, rules: Rules) -> Seen | None:
    """The account of a customer who is not locked, for one who is in no transaction and saves it only unchanged.

    None where only `open_account` can tell: the customer is another one by now, or the rules are.
    """
    if loaded is None or loaded.rules_revision != rules.revision:
        return None
    owner = loaded.owner
    is_other = found.identity_revision not in (None, owner.identity_revision)
    if is_other or owner.merged_into is not None or owner.erased_at is not None:
        return None
    return Seen(rules, in_its_time(loaded, rules))


def in_its_time(loaded: Loaded, rules: Rules) -> Loaded:
    """The account as the end of its programme lets it be, for one who goes on from it: nothing lives longer."""
    if rules.programme.ends_at is None:
        return loaded
    return loaded._replace(account=until_the_end(loaded.account, rules.programme.ends_at))


async def save_account(
    connection: asyncpg.Connection,
    before: Opened,
    decision: Decision[Any],
    now: datetime,
) -> Standing | None:
    """Save what was decided and answer the standing after it. A decision that changed nothing writes nothing.

    Raises Unavailable `busy` when the rules were changed meanwhile (or somebody wrote without the lock).
    """
    loaded = before.loaded
    if decision.account is loaded.account:
        return loaded.standing
    change = change_of(before, decision, now)
    if not await save(connection, [change], now):
        raise busy()
    return change.standing


def change_of(before: Seen, decision: Decision[Any], now: datetime) -> Change:
    """What is to be saved of a decision that changed something."""
    loaded = before.loaded
    standing = standing_after(loaded, decision.entries, before.rules, now)
    return Change(
        loaded,
        decision.account,
        decision.entries,
        standing,
        due_at(loaded, decision.account, standing, before.rules, now),
        ruled_by=ruled_by(loaded, before.rules, now),
    )


def standing_after(loaded: Loaded, entries: Sequence[Entry], rules: Rules, now: datetime) -> Standing | None:
    """Where the member stands after new entries: begun with the first one, raised at once, moved by hand.

    `loaded.qualifying` must hold the points of the window that ends at `now`. Reviews are clock work.
    """
    version = in_force(rules.published, now)
    if version is None or not entries:
        return loaded.standing
    step, _ = tiers.counted(
        loaded.standing,
        loaded.qualifying,
        entries,
        now,
        version.version.tier_rules,
        rules.programme.zone,
    )
    return step.standing


def risen(
    before: Standing | None, after: Standing | None, rules: Rules, now: datetime
) -> tiers.Change | None:
    """The move up to be told of a member who stood at `before`; None where there was none."""
    version = in_force(rules.published, now)
    if version is None or after is None:
        return None
    return tiers.climbed(before, after, version.version.tier_rules)


class Ruled(Protocol):
    """A programme and what was published of it."""

    @property
    def programme(self) -> Programme:
        """The programme."""

    @property
    def published(self) -> Sequence[Published]:
        """Its versions that were published."""


def ruled_by(loaded: Loaded, rules: Ruled, now: datetime) -> int | None:
    """The version under which a new account's tier begins; None for others, at whose tier a worker looks first."""
    version = in_force(rules.published, now)
    return None if loaded.revision is not None or version is None else version.number


def due_at(
    loaded: Loaded, account: Account, standing: Standing | None, rules: Ruled, now: datetime
) -> datetime | None:
    """When the account, loaded as `loaded`, next has clock work: points, holds, its tier, something to be told.

    What is due already stays so: a writer settles the points, and the rest is for the worker to find.
    """
    if loaded.due_at is not None and loaded.due_at <= now:
        return loaded.due_at
    version = Rulebook(rules.published, rules.programme.zone).version(now)
    # Also of points that came in after the end of their programme.
    seen = clock.Seen(until_the_end(account, rules.programme.ends_at), standing, loaded.warned_until)
    return next_look_at(seen, version, now, is_new=standing != loaded.standing)


def tier_window(rules: Rules, now: datetime) -> datetime | None:
    """Since when points count towards the tier at `now`; None before the first version."""
    version = in_force(rules.published, now)
    if version is None:
        return None
    return window_start(now, version.version.tier_rules.window_months, rules.programme.zone)


def busy() -> Unavailable:
    """Nothing of the call stands; the same call finds the new rules."""
    return Unavailable(
        "busy", "The rules of the programme have just changed. Try again shortly.", retry_after_seconds=1
    )
