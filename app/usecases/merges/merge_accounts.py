"""The points of two customers who are one: the ledger of each goes on, and a paired transfer moves what is left.

What qualified comes along, so the survivor's tier follows from the purchases of both. They keep their own tier where it
is higher, and get the alias' where that is, by an entry of 0 points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.domain.loyalty import tiers
from app.domain.loyalty.account import Account, Entry
from app.domain.loyalty.clock import Rulebook
from app.domain.loyalty.crediting import tier_moved
from app.domain.loyalty.merging import Pair, merged, unmerged
from app.domain.loyalty.public_ids import entry_id, own_id
from app.domain.loyalty.settling import next_due_at
from app.domain.loyalty.telling import tier_changed
from app.domain.loyalty.tiers import Change as TierChange
from app.domain.loyalty.tiers import Standing
from app.domain.loyalty.versions import in_force
from app.domain.merging import undo_blocked
from app.domain.problems import Conflict
from app.domain.touchpoints import Touchpoint
from app.storage.loyalty import account_merges, accounts, clock, entries, programs
from app.storage.loyalty.account_merges import AccountMerge
from app.storage.loyalty.accounts import Loaded, Wanted
from app.storage.loyalty.programs import Rules
from app.storage.loyalty.saving import Change, save
from app.storage.merges import Merge
from app.usecases.loyalty.change_account import busy, due_at, risen, standing_after, tier_window

TABLE = "loyalty_accounts"
"""Under which name a merge counts the accounts that went over."""


class _Two(NamedTuple):
    """The accounts of both customers in one programme, whole, and its rules."""

    into: Loaded
    source: Loaded
    rules: Rules


async def merge_accounts(
    connection: asyncpg.Connection, into: UUID, source: UUID, merge_id: UUID, now: datetime
) -> tuple[int, list[Touchpoint]]:
    """Move every account of `source`; both customers are locked. How many went over, and what to tell of tiers.

    Raises Unavailable `busy` when a programme's rules changed meanwhile.
    """
    codes = [face.program for face in await entries.faces(connection, source)]
    lines = []
    for two in await _loaded(connection, into, source, codes, now):
        pair = merged(two.into.account, two.source.account, str(merge_id), now)
        tier = _higher_tier(two, pair, now)
        if tier is not None:
            pair = _with_tier(pair, str(merge_id), tier, now)
        move = risen(
            two.into.standing, await _save(connection, two, pair, now, source_sleeps=True), two.rules, now
        )
        lines += [] if move is None else [tier_changed(two.into.program, move, now)]
        await account_merges.bring_along(connection, source, into, two.into.program, pair.merge)
        told = AccountMerge(into, two.into.program, merge_id, source, pair.merge, now)
        await account_merges.add(connection, told)
    if codes:
        await account_merges.add_rule_points(connection, source, into)
    return len(codes), lines


async def part_accounts(connection: asyncpg.Connection, merge: Merge, now: datetime) -> list[Touchpoint]:
    """Give back what `merge_accounts` moved; everybody is locked. What to tell of the survivor's tiers.

    Raises Conflict `undo_blocked` with what was spent since, Unavailable `busy`.
    """
    into, source = merge.customer_id, merge.from_customer_id
    told = {one.program: one for one in await account_merges.of_merge(connection, into, merge.id)}
    blocked: list[dict[str, str]] = []
    lines = []
    for two in await _loaded(connection, into, source, list(told), now):
        one = told[two.into.program]
        try:
            pair = unmerged(two.into.account, two.source.account, one.merge, now)
        except Conflict as refused:
            blocked += _blocked_by(two.into, refused)
            continue
        change = await _parted(connection, two, merge.id, now)
        if change is not None:
            pair = _with_tier(pair, f"{merge.id}:undone", change.after, now)
            lines.append(tier_changed(one.program, change, now))
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
    return lines


async def _loaded(
    connection: asyncpg.Connection, into: UUID, source: UUID, codes: Sequence[str], now: datetime
) -> list[_Two]:
    if not codes:
        return []
    rules = await programs.all_rules(connection)
    wanted = [
        Wanted(who, code, qualifying_since=tier_window(rules[code], now), whole=True)
        for who in (into, source)
        for code in codes
    ]
    found = await accounts.load(connection, wanted, now)
    return [_Two(found[into, code], found[source, code], rules[code]) for code in codes]


async def _save(
    connection: asyncpg.Connection, two: _Two, pair: Pair, now: datetime, *, source_sleeps: bool
) -> Standing | None:
    """Where the survivor stands then. Of an alias there is nothing to review; their standing waits for an undo."""
    changes = [_change(two.into, pair.into, pair.into_entries, two.rules, now)]
    of_source = _change(two.source, pair.source, pair.source_entries, two.rules, now)
    if source_sleeps:
        of_source = replace(of_source, standing=two.source.standing, due_at=next_due_at(pair.source))
    changes.append(of_source)
    if not await save(connection, changes, now):
        raise busy()
    return changes[0].standing


def _change(
    loaded: Loaded, account: Account, written: Sequence[Entry], rules: Rules, now: datetime
) -> Change:
    standing = standing_after(loaded, written, rules, now)
    return Change(loaded, account, written, standing, due_at(loaded, account, standing, rules, now))


# --- tiers ----------------------------------------------------------------------------------------------------------


def _higher_tier(two: _Two, pair: Pair, now: datetime) -> str | None:
    """The tier of the source when it is above what the survivor has with the purchases of both."""
    version = in_force(two.rules.published, now)
    if version is None or two.source.standing is None:
        return None
    codes = [tier.code for tier in version.version.tier_rules.tiers]
    tier = two.source.standing.tier
    standing = standing_after(two.into, pair.into_entries, two.rules, now)
    held = codes[0] if standing is None else standing.tier
    if tier not in codes or (held in codes and codes.index(tier) <= codes.index(held)):
        return None
    return tier


def _with_tier(pair: Pair, name: str, tier: str, now: datetime) -> Pair:
    moved = tier_moved(pair.into, id=name, tier=tier, now=now)
    return pair._replace(into=moved.account, into_entries=(*pair.into_entries, *moved.entries))


async def _parted(
    connection: asyncpg.Connection, two: _Two, merge_id: UUID, now: datetime
) -> TierChange | None:
    """The way back from the tier to which the merge led: to the one that the survivor's own entries make."""
    known = await clock.tier_entries(connection, two.into.customer_id, two.into.program, now)
    own = [entry for entry in known if entry.key != str(merge_id)]
    pauses = (await clock.pauses(connection, [two.into.customer_id], now)).get(two.into.customer_id, ())
    book = Rulebook(two.rules.published, two.rules.programme.zone)
    held, alone = (tiers.history(some, book.rulings(), pauses, book.zone, now)[0] for some in (known, own))
    version = book.version(now)
    if held is None or version is None:
        return None
    tier = version.tier_rules.tiers[0].code if alone is None else alone.tier
    return None if tier == held.tier else TierChange(now, held.tier, tier, "manual", (tier,))


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
