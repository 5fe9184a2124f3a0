"""Joining, a review, a birthday: what the rules of these events give, once each, in the transaction that tells it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg

from app.domain.loyalty.account import Account, Entry
from app.domain.loyalty.conditions import Member
from app.domain.loyalty.crediting import earned
from app.domain.loyalty.earning import earning_of, evaluate_occasion, occasion_key
from app.domain.loyalty.explain import explained
from app.domain.loyalty.occasions import Occasion, keys_of, occasion_of, open_key
from app.domain.loyalty.rules import cap_windows, in_period
from app.domain.loyalty.telling import tier_changed
from app.domain.loyalty.tiers import Change as TierChange
from app.domain.loyalty.tiers import Standing
from app.domain.loyalty.versions import Published, in_force
from app.domain.touchpoints import Touchpoint
from app.storage import customers
from app.storage.loyalty import accounts
from app.storage.loyalty.accounts import Loaded, Wanted
from app.storage.loyalty.programs import Rules, all_rules
from app.storage.loyalty.saving import Change, save
from app.usecases.loyalty.change_account import (
    busy,
    due_at,
    in_its_time,
    risen,
    ruled_by,
    standing_after,
    tier_window,
)
from app.usecases.loyalty.remembered_programs import default_of


def occasions_in(told: Iterable[tuple[UUID, Touchpoint]]) -> list[tuple[UUID, Occasion]]:
    """The occasions among touchpoints that were just written, in their order."""
    found = [(customer_id, occasion_of(touchpoint)) for customer_id, touchpoint in told]
    return [(customer_id, occasion) for customer_id, occasion in found if occasion is not None]


async def earn_occasions(
    connection: asyncpg.Connection,
    occasions: Sequence[tuple[UUID, Occasion]],
    now: datetime,
    program: str | None = None,
) -> list[tuple[UUID, Touchpoint]]:
    """Let locked customers earn in a programme (None: where purchases earn); what is to be told of their tiers.

    What earned before earns nothing. Where no rule is about an event, nothing is written; where one is and its terms
    are not met, an entry of 0 points says why. Raises Unavailable `busy` when the rules have just changed.
    """
    known = await all_rules(connection)
    rules = default_of(known, now) if program is None else known.get(program)
    asked = [] if rules is None else [one for one in occasions if _version(rules, one[1]) is not None]
    if rules is None or not asked:
        return []
    books = await _opened(connection, asked, rules, now)
    for customer_id, occasion in asked:
        book = books.get(customer_id)
        if book is not None:
            book.take(occasion, rules, now)
    changed = [book for book in books.values() if book.entries]
    if changed and not await save(connection, [book.change(rules, now) for book in changed], now):
        raise busy()
    moves = [(book.loaded.customer_id, book.climb(rules, now)) for book in changed]
    code = rules.program.code
    return [(who, tier_changed(code, move, now)) for who, move in moves if move is not None]


@dataclass(slots=True)
class _Book:
    """One customer's account while a group earns on it."""

    loaded: Loaded
    segments: frozenset[str]
    account: Account
    standing: Standing | None
    entries: list[Entry] = field(default_factory=list)
    explains: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    rule_points: dict[tuple[str, date], int] = field(default_factory=dict)

    def take(self, occasion: Occasion, rules: Rules, now: datetime) -> None:
        """Earn for one occasion, unless it did."""
        published = _version(rules, occasion)
        key = open_key(
            occasion_key(occasion.event, occasion.at, rules.programme, occasion.about), self.account.earns
        )
        if published is None or key is None:
            return
        version, programme = published.version, rules.programme
        tier = version.tier_rules.tiers[0].code if self.standing is None else self.standing.tier
        day = occasion.at.astimezone(programme.zone).date()
        so_far = in_period(version.rules_for(occasion.event), day, self.loaded.given, self.rule_points)
        member = Member(tier, self.segments, in_period=so_far)
        found = evaluate_occasion(version, programme, occasion.event, occasion.at, member)
        if found.reason == "programme_closed":
            return
        decision = earned(self.account, earning_of(found, key, occasion.at, version, programme), now)
        self.account = decision.account
        self.entries += decision.entries
        self.explains[key] = explained(found, published.number, tier)
        self.standing = standing_after(self.loaded, self.entries, rules, now)
        for rule, points in found.by_rule.items():
            if rule in so_far:
                self.rule_points[rule, day] = self.rule_points.get((rule, day), 0) + points

    def change(self, rules: Rules, now: datetime) -> Change:
        """What is to be saved."""
        return Change(
            self.loaded,
            self.account,
            self.entries,
            self.standing,
            due_at(self.loaded, self.account, self.standing, rules, now),
            self.explains,
            self.rule_points,
            ruled_by=ruled_by(self.loaded, rules, now),
        )

    def climb(self, rules: Rules, now: datetime) -> TierChange | None:
        """The move of the tier, if there was one."""
        return risen(self.loaded.standing, self.standing, rules, now)


def _version(rules: Rules, occasion: Occasion) -> Published | None:
    """The version by which an occasion earns; None where no rule is about it."""
    found = in_force(rules.published, occasion.at)
    return found if found is not None and found.version.rules_for(occasion.event) else None


async def _opened(
    connection: asyncpg.Connection, asked: Sequence[tuple[UUID, Occasion]], rules: Rules, now: datetime
) -> dict[UUID, _Book]:
    keys: dict[UUID, list[str]] = {}
    for customer_id, occasion in asked:
        key = occasion_key(occasion.event, occasion.at, rules.programme, occasion.about)
        keys.setdefault(customer_id, []).extend(keys_of(key))
    caps = _caps(rules, [occasion for _, occasion in asked])
    wanted = [
        Wanted(
            customer_id,
            rules.program.code,
            earns=named,
            qualifying_since=tier_window(rules, now),
            caps=caps,
        )
        for customer_id, named in keys.items()
    ]
    loaded = await accounts.load(connection, wanted, now)
    if any(one.rules_revision != rules.revision for one in loaded.values()):
        raise busy()
    segments = await customers.segments(connection, list(keys)) if _asks_segments(rules) else {}
    return {
        one.customer_id: _Book(
            one,
            segments.get(one.customer_id, frozenset()),
            one.account,
            one.standing,
        )
        for one in (in_its_time(one, rules) for one in loaded.values())
    }


def _caps(rules: Rules, occasions: Iterable[Occasion]) -> dict[str, date]:
    """Since which local day the points of each capped rule count: its period ends with the day of the occasion."""
    caps: dict[str, date] = {}
    for occasion in occasions:
        found = _version(rules, occasion)
        today = occasion.at.astimezone(rules.programme.zone).date()
        capped = () if found is None else found.version.rules_for(occasion.event)
        for code, since in cap_windows(capped, today).items():
            caps[code] = min(since, caps.get(code, since))
    return caps


def _asks_segments(rules: Rules) -> bool:
    return any(rule.when.segments for one in rules.published for rule in one.version.rules)
