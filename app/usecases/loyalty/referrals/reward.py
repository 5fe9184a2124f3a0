"""The points of a referral: both sides earn by the rules in force when the friend ordered, and both give back."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.health.model import Model
from app.domain.loyalty.account import Decision
from app.domain.loyalty.clawback import clawed_back
from app.domain.loyalty.conditions import Member
from app.domain.loyalty.crediting import earned
from app.domain.loyalty.earning import Evaluated, earning_of, evaluate_occasion, occasion_key
from app.domain.loyalty.explain import explained
from app.domain.loyalty.rules import Event, cap_windows, in_period
from app.domain.loyalty.versions import Version, in_force
from app.storage.loyalty import accounts
from app.storage.loyalty.accounts import Loaded, Wanted
from app.storage.loyalty.programs import Rules, all_rules
from app.storage.loyalty.referrals import StoredReferral
from app.storage.loyalty.saving import Change, save
from app.usecases.loyalty.change_account import (
    busy,
    due_at,
    in_its_time,
    ruled_by,
    standing_after,
    tier_window,
)
from app.usecases.loyalty.referrals.make_code import version_at
from app.usecases.loyalty.remembered_programs import rules_named
from app.usecases.loyalty.tell_tiers import tell_tiers

_EVENTS: Final[tuple[Event, Event]] = ("referral", "referred")


class Side(NamedTuple):
    """One of the two: who they are now, and for what they earn."""

    customer_id: UUID
    event: Event


def sides(referrer: UUID, referee: UUID) -> tuple[Side, Side]:
    """The referrer, then the referee."""
    return Side(referrer, _EVENTS[0]), Side(referee, _EVENTS[1])


async def reward(
    connection: asyncpg.Connection,
    one: StoredReferral,
    both: tuple[Side, Side],
    known: Mapping[str, Rules],
    model: Model,
    now: datetime,
) -> tuple[int, int]:
    """The points that referrer and referee got, as of when the friend ordered: pending days are over by now.

    Tiers that they raise are told. Both customers are locked. Raises Unavailable `busy`.
    """
    rules, loaded = await _opened(connection, one, both, known, now)
    at = one.at
    found = in_force(rules.published, at)
    today = now.astimezone(rules.programme.zone).date()
    changes, points = [], []
    for side in both:
        before = loaded[side.customer_id]
        version = version_at(rules, at)
        tier = before.standing.tier if before.standing else version.tier_rules.tiers[0].code
        member = Member(tier=tier, in_period=in_period(version.rules_for(side.event), today, before.given))
        would = evaluate_occasion(version, rules.programme, side.event, at, member)
        key = _key(one, side, rules)
        decision = earned(before.account, earning_of(would, key, at, version, rules.programme), now)
        points.append(decision.result.points)
        if decision.entries:
            why = explained(would, None if found is None else found.number, tier)
            changes.append(
                _change(before, decision, rules, now, {key: why}, _given(version, would, rules, now))
            )
    if changes and not await save(connection, changes, now):
        raise busy()
    await tell_tiers(connection, changes, rules, model, now)
    return points[0], points[1]


async def take_back(
    connection: asyncpg.Connection,
    one: StoredReferral,
    both: tuple[Side, Side],
    known: Mapping[str, Rules],
    now: datetime,
) -> None:
    """Claw back what both were given, by the policy in force. Both customers are locked. Raises Unavailable `busy`."""
    rules, loaded = await _opened(connection, one, both, known, now)
    policy = version_at(rules, now).clawback
    changes = []
    for side in both:
        before, key = loaded[side.customer_id], _key(one, side, rules)
        if key not in before.account.earns:
            continue
        decision = clawed_back(
            before.account, key, id=f"referral:{one.id}", amount_minor=None, policy=policy, now=now
        )
        if decision.account is not before.account:
            changes.append(_change(before, decision, rules, now, {}, {}))
    if changes and not await save(connection, changes, now):
        raise busy()


def _key(one: StoredReferral, side: Side, rules: Rules) -> str:
    return occasion_key(side.event, one.at, rules.programme, str(one.id))


async def _opened(
    connection: asyncpg.Connection,
    one: StoredReferral,
    both: tuple[Side, Side],
    known: Mapping[str, Rules],
    now: datetime,
) -> tuple[Rules, dict[UUID, Loaded]]:
    """Both accounts in one statement, with the rules of the very same snapshot."""
    rules = await rules_named(connection, known, one.program, now)
    today = now.astimezone(rules.programme.zone).date()
    wanted = [
        Wanted(
            side.customer_id,
            one.program,
            earns=[_key(one, side, rules)],
            qualifying_since=tier_window(rules, now),
            caps=cap_windows(version_at(rules, one.at).rules_for(side.event), today),
        )
        for side in both
    ]
    found = await accounts.load(connection, wanted, now)
    if any(account.rules_revision != rules.revision for account in found.values()):
        rules = (await all_rules(connection))[one.program]
    loaded = {side.customer_id: found[side.customer_id, one.program] for side in both}
    return rules, {customer_id: in_its_time(account, rules) for customer_id, account in loaded.items()}


def _given(version: Version, would: Evaluated, rules: Rules, now: datetime) -> dict[tuple[str, date], int]:
    today = now.astimezone(rules.programme.zone).date()
    return {
        (rule.code, today): would.by_rule[rule.code]
        for rule in version.rules
        if rule.caps.per_period is not None and would.by_rule.get(rule.code)
    }


def _change(
    before: Loaded,
    decision: Decision[Any],
    rules: Rules,
    now: datetime,
    explains: Mapping[str, Mapping[str, Any]],
    given: Mapping[tuple[str, date], int],
) -> Change:
    standing = standing_after(before, decision.entries, rules, now)
    return Change(
        before,
        decision.account,
        decision.entries,
        standing,
        due_at(before, decision.account, standing, rules, now),
        explains,
        given,
        ruled_by=ruled_by(before, rules, now),
    )
