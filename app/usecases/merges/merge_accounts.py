"""The points of two customers who are one: the ledger of each goes on, and a paired transfer moves what is left.

The survivor keeps their tier, or gets the alias' when that is higher, by an entry of 0 points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.domain.loyalty.account import Account, Entry
from app.domain.loyalty.crediting import tier_moved
from app.domain.loyalty.merging import Pair, merged, unmerged
from app.domain.loyalty.public_ids import entry_id, own_id
from app.domain.loyalty.settling import next_due_at
from app.domain.loyalty.versions import in_force
from app.domain.merging import undo_blocked
from app.domain.problems import Conflict
from app.storage.loyalty import account_merges, accounts, entries, programs
from app.storage.loyalty.account_merges import AccountMerge
from app.storage.loyalty.accounts import Loaded, Wanted
from app.storage.loyalty.programs import Rules
from app.storage.loyalty.saving import Change, save
from app.storage.merges import Merge
from app.usecases.loyalty.change_account import busy, due_at, standing_after

TABLE = "loyalty_accounts"
"""Under which name a merge counts the accounts that went over."""


class _Two(NamedTuple):
    """The accounts of both customers in one programme, whole, and its rules."""

    into: Loaded
    source: Loaded
    rules: Rules


async def merge_accounts(
    connection: asyncpg.Connection, into: UUID, source: UUID, merge_id: UUID, now: datetime
) -> int:
    """Move every account of `source`; both customers are locked. How many went over.

    Raises Unavailable `busy` when a programme's rules changed meanwhile.
    """
    codes = [face.program for face in await entries.faces(connection, source)]
    for two in await _loaded(connection, into, source, codes, now):
        pair = merged(two.into.account, two.source.account, str(merge_id), now)
        tier = _higher_tier(two, now)
        raised = None
        if tier is not None:
            raised = (None if two.into.standing is None else two.into.standing.tier, tier)
            pair = _with_tier(pair, str(merge_id), tier, now)
        await _save(connection, two, pair, now, source_sleeps=True)
        await account_merges.bring_along(connection, source, into, two.into.program, pair.merge)
        told = AccountMerge(into, two.into.program, merge_id, source, pair.merge, raised, now)
        await account_merges.add(connection, told)
    if codes:
        await account_merges.add_rule_points(connection, source, into)
    return len(codes)


async def part_accounts(connection: asyncpg.Connection, merge: Merge, now: datetime) -> None:
    """Give back what `merge_accounts` moved; everybody is locked.

    Raises Conflict `undo_blocked` with what was spent since, Unavailable `busy`.
    """
    into, source = merge.customer_id, merge.from_customer_id
    told = {one.program: one for one in await account_merges.of_merge(connection, into, merge.id)}
    blocked: list[dict[str, str]] = []
    for two in await _loaded(connection, into, source, list(told), now):
        one = told[two.into.program]
        try:
            pair = unmerged(two.into.account, two.source.account, one.merge, now)
        except Conflict as refused:
            blocked += _blocked_by(two.into, refused)
            continue
        if one.raised is not None:
            pair = _lowered(two, pair, one, now)
        await _save(connection, two, pair, now, source_sleeps=False)
        account = pair.into
        names = [name for name in one.merge.holds.values() if name in account.holds]
        await account_merges.name_holds(
            connection,
            into,
            one.program,
            # The id that callers were told is the source's own again.
            {name: own_id(account.id, "hold", name, account.holds[name].opened_at) for name in names},
        )
    if blocked:
        raise undo_blocked(blocked)
    if told:
        await account_merges.take_rule_points(connection, source, into)
        await account_merges.mark_undone(connection, into, merge.id, now)


async def _loaded(
    connection: asyncpg.Connection, into: UUID, source: UUID, codes: Sequence[str], now: datetime
) -> list[_Two]:
    if not codes:
        return []
    rules = await programs.all_rules(connection)
    wanted = [Wanted(who, code, whole=True) for who in (into, source) for code in codes]
    found = await accounts.load(connection, wanted, now)
    return [_Two(found[into, code], found[source, code], rules[code]) for code in codes]


async def _save(
    connection: asyncpg.Connection, two: _Two, pair: Pair, now: datetime, *, source_sleeps: bool
) -> None:
    """Of an alias there is nothing to review; their standing waits for an undo."""
    changes = [_change(two.into, pair.into, pair.into_entries, two.rules, now)]
    of_source = _change(two.source, pair.source, pair.source_entries, two.rules, now)
    if source_sleeps:
        of_source = replace(of_source, standing=two.source.standing, due_at=next_due_at(pair.source))
    changes.append(of_source)
    if not await save(connection, changes, now):
        raise busy()


def _change(
    loaded: Loaded, account: Account, written: Sequence[Entry], rules: Rules, now: datetime
) -> Change:
    standing = standing_after(loaded, written, rules, now)
    return Change(loaded, account, written, standing, due_at(loaded, account, standing, rules, now))


# --- tiers ----------------------------------------------------------------------------------------------------------


def _higher_tier(two: _Two, now: datetime) -> str | None:
    """The tier of the source when it is above the survivor's."""
    version = in_force(two.rules.published, now)
    if version is None or two.source.standing is None:
        return None
    codes = [tier.code for tier in version.version.tier_rules.tiers]
    tier = two.source.standing.tier
    held = codes[0] if two.into.standing is None else two.into.standing.tier
    if tier not in codes or (held in codes and codes.index(tier) <= codes.index(held)):
        return None
    return tier


def _with_tier(pair: Pair, name: str, tier: str, now: datetime) -> Pair:
    moved = tier_moved(pair.into, id=name, tier=tier, now=now)
    return pair._replace(into=moved.account, into_entries=(*pair.into_entries, *moved.entries))


def _lowered(two: _Two, pair: Pair, one: AccountMerge, now: datetime) -> Pair:
    """Without the tier that came with the alias, unless it has changed since."""
    before, given = one.raised or (None, "")
    version = in_force(two.rules.published, now)
    standing = two.into.standing
    if version is None or standing is None or standing.tier != given or standing.since != one.merged_at:
        return pair
    codes = [tier.code for tier in version.version.tier_rules.tiers]
    return _with_tier(pair, f"{one.id}:undone", before if before in codes else codes[0], now)


# --- what stands against an undo ------------------------------------------------------------------------------------


def _blocked_by(loaded: Loaded, refused: Conflict) -> list[dict[str, str]]:
    """Lots by the entries that made them, spends and earns by their names, a debt by its points."""
    said: Mapping[str, Sequence[object]] = {
        "lot": [entry_id(loaded.customer_id, loaded.account.id, lot) for lot in refused.members["lots"]],
        "spend": refused.members["spends"],
        "earn": refused.members["earns"],
        "debt": [refused.members["debt"]] if refused.members["debt"] else [],
    }
    return [
        {"kind": kind, "program": loaded.program, "id": str(id_)} for kind, ids in said.items() for id_ in ids
    ]
