"""The one way to change an account: lock the customer, load, decide, save. Everything else that loyalty does calls it.

held = await open_account(connection, reference, code, known, now, spends=[hold_id])
decision = spending.captured(held.loaded.account, hold_id, now)
await save_account(connection, held, decision, now)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from app.domain.identifiers import Reference
from app.domain.loyalty import tiers
from app.domain.loyalty.account import Account, Decision, Entry
from app.domain.loyalty.periods import window_start
from app.domain.loyalty.settling import next_due_at
from app.domain.loyalty.tiers import Standing
from app.domain.loyalty.versions import Version, in_force
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
    return Opened(rules, loaded, customer)


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
    return Seen(rules, loaded)


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
    return Change(loaded, decision.account, decision.entries, standing, due_at(decision.account, standing))


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


def due_at(account: Account, standing: Standing | None) -> datetime | None:
    """When the account next has clock work: points and holds, or its tier."""
    times = [next_due_at(account), None if standing is None else tiers.due_at(standing, ())]
    return min((at for at in times if at is not None), default=None)


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
