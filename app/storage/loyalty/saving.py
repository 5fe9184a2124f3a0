"""Saving accounts: what became of many of them in one statement, each only if nobody wrote it since it was read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

import asyncpg
from pydantic_core import to_json

from app.domain.loyalty.account import Account, Entry
from app.domain.loyalty.public_ids import own_id
from app.domain.loyalty.tiers import Standing
from app.storage.loyalty import orders, plain_earns, referrals
from app.storage.loyalty.accounts import Loaded
from app.storage.loyalty.rows import earn_row, entry_row, hold_row, lot_row, spend_row

Rows = list[dict[str, Any]]
Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a loaded account: its new face, and the entries of all decisions since, in their order.

    `explains`: why each new earn earned what it did, by its key. `rule_points`: what capped rules gave, by rule and
    local day. Adjustments are rows of their own (`adjustments`). `warned_until`: everything that lapses up to then was
    warned of; `ruled_by`: the number of the version by which `standing` was drawn. None leaves what stands.
    """

    before: Loaded
    account: Account
    entries: Sequence[Entry]
    standing: Standing | None
    due_at: datetime | None
    explains: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rule_points: Mapping[tuple[str, date], int] = field(default_factory=dict)
    warned_until: datetime | None = None
    ruled_by: int | None = None


async def save(connection: asyncpg.Connection, changes: Sequence[Change], now: datetime) -> bool:
    """Write what became of accounts whose customers are locked.

    False when one was written by somebody else since it was read, when its programme's rules changed, or when an entry
    stood there already: then the transaction must not commit.
    """
    parts = changed_parts(changes, now)
    customers = list({change.before.customer_id for change in changes})
    counts = await connection.fetchrow(_statement(tuple(parts)), customers, *sent(parts))
    return all(counts[name] == size for name, size in sizes(parts).items())


def sizes(parts: Mapping[str, Rows]) -> dict[str, int]:
    """How many rows of the tables each part writes."""
    return {name: plain_earns.size(rows) if name == "earned" else len(rows) for name, rows in parts.items()}


def changed_parts(changes: Sequence[Change], now: datetime) -> dict[str, Rows]:
    """The rows that changes write, by the part of the statement that writes them; parts without rows are left out."""
    return {name: part for name, part in _rows(changes, now).items() if part}


def _rows(changes: Sequence[Change], now: datetime) -> dict[str, Rows]:
    rows: dict[str, Rows] = {name: [] for name in ("earned", *_PARTS)}
    for change in changes:
        before, after = change.before.account, change.account
        owner = {"customer_id": change.before.customer_id, "program": change.before.program}
        rows["changed" if change.before.revision is not None else "opened"].append(
            owner | _account(change, now)
        )
        plain: dict[int, str] = {}
        for entry in change.entries:
            if plain_earns.is_plain(before, after, entry):
                plain[entry.seq] = entry.key
                explain = change.explains.get(entry.key)
                paid_minor = after.earns[entry.key].paid_minor
                text = None if explain is None else to_json(explain).decode()
                rows["earned"].append(owner | plain_earns.earned_row(entry, paid_minor, text))
            else:
                rows["entries"].append(owner | entry_row(entry))
        rows["lots"] += [owner | lot_row(lot) for lot in _new(before.lots, after.lots) if lot.id not in plain]
        keys = set(plain.values())
        rows["earns"] += [
            owner | earn_row(earn) | {"explain": change.explains.get(earn.key)}
            for earn in _new(before.earns, after.earns)
            if earn.key not in keys
        ]
        rows["earns_gone"] += [owner | {"key": key} for key in before.earns if key not in after.earns]
        rows["rule_points"] += [
            owner | {"rule": rule, "day": day, "points": points}
            for (rule, day), points in change.rule_points.items()
        ]
        _add_spent(rows, owner, before, after)
    return rows


def _add_spent(rows: dict[str, Rows], owner: dict[str, Any], before: Account, after: Account) -> None:
    """What became of holds and spends. Decisions keep a mapping in which they change nothing."""
    if after.holds is not before.holds:
        rows["holds"] += [
            owner | hold_row(hold) | {"id": own_id(after.id, "hold", hold.id, hold.opened_at)}
            for hold in _new(before.holds, after.holds)
        ]
        rows["holds_gone"] += [owner | {"key": key} for key in before.holds if key not in after.holds]
    if after.spends is not before.spends:
        rows["spends"] += [
            owner | spend_row(spend) | {"id": own_id(after.id, "spend", spend.id, spend.at)}
            for spend in _new(before.spends, after.spends)
        ]
        rows["spends_gone"] += [owner | {"key": key} for key in before.spends if key not in after.spends]


def _new(before: Mapping[Any, Thing], after: Mapping[Any, Thing]) -> Iterable[Thing]:
    """What is not as it was. Decisions keep what they do not touch, so most comparisons are of one object."""
    for key, thing in after.items():
        was = before.get(key)
        if was is not thing and was != thing:
            yield thing


def _account(change: Change, now: datetime) -> dict[str, Any]:
    account, standing = change.account, change.standing
    return {
        "account_id": account.id,
        "seq": account.seq,
        "head": account.head.hex(),
        "last_at": account.last_at if account.seq else None,
        "debt": account.debt,
        "lifetime_earned": account.lifetime_earned,
        "lifetime_burned": account.lifetime_burned,
        "lifetime_expired": account.lifetime_expired,
        "tier": standing and standing.tier,
        "tier_since": standing and standing.since,
        "review_at": standing and standing.review_at,
        "grace_until": standing and standing.grace_until,
        "due_at": change.due_at,
        "warned_until": change.warned_until,
        "ruled_by": change.ruled_by,
        "opened_at": now,
        "was_revision": change.before.revision,
        "was_seq": change.before.account.seq,
        "rules_revision": change.before.rules_revision,
    }


# --- the statement ---------------------------------------------------------------------------------------------------

_FACE: Final = (
    "seq, head, last_at, debt, lifetime_earned, lifetime_burned, lifetime_expired, tier, tier_since, review_at,"
    " grace_until, due_at"
)
_NEW_FACE: Final = ", ".join(
    "decode(new.head, 'hex')" if name == "head" else f"new.{name}" for name in _FACE.split(", ")
)
_ACCOUNT_COLUMNS: Final = (
    "customer_id uuid, program text, account_id uuid, seq integer, head text, last_at timestamptz, debt bigint,"
    " lifetime_earned bigint, lifetime_burned bigint, lifetime_expired bigint, tier text, tier_since timestamptz,"
    " review_at timestamptz, grace_until timestamptz, due_at timestamptz,"
    " warned_until timestamptz, ruled_by integer, opened_at timestamptz, was_revision bigint,"
    " was_seq integer, rules_revision integer"
)
_LOT_COUNTERS: Final = "granted, drawn, restored, revoked, expired, absorbed, moved, held, remaining"
_EARN_COUNTERS: Final = (
    "points, paid_minor, qualifying, refunded_minor, clawed, forgiven, indebted, lapsed, recoverable,"
    " disqualified"
)


def _sent(part: str, columns: str) -> str:
    """The rows of one part, which `writing` gives an argument of its own."""
    return f"json_to_recordset($2::text::json -> '{part}') AS new ({columns})"


def _bigints(names: str) -> str:
    return ", ".join(f"{name} bigint" for name in names.split(", "))


def _taken(names: str) -> str:
    """The SET of an upsert."""
    return ", ".join(f"{name} = excluded.{name}" for name in names.split(", "))


def _deleted(table: str, key: str, part: str) -> str:
    return f"""
DELETE FROM {table} t USING {_sent(part, "customer_id uuid, program text, key text")}
WHERE t.customer_id = new.customer_id AND t.customer_id = ANY ($1::uuid[]) AND t.program = new.program
  AND t.{key} = new.key
RETURNING true"""  # noqa: S608 - this module's constants


# Rules of another revision must not have decided: the programme is compared where the account is. Upserts take all that
# a CHECK compares, though some of it never changes: of two who capture a hold at once, the second is to be undone
# because the account has another revision, and not fail on a row that is half its own and half the first one's.
_PARTS: Final[Mapping[str, str]] = {
    "opened": f"""
INSERT INTO loyalty_accounts (customer_id, program, account_id, opened_at, revision, {_FACE}, warned_until, ruled_by)
SELECT new.customer_id, new.program, new.account_id, new.opened_at, 1, {_NEW_FACE}, new.warned_until,
  coalesce(new.ruled_by, 0)
FROM {_sent("opened", _ACCOUNT_COLUMNS)}
JOIN loyalty_programs p ON p.code = new.program AND p.revision = new.rules_revision
WHERE new.customer_id = ANY ($1::uuid[])
ON CONFLICT DO NOTHING RETURNING true""",  # noqa: S608 - this module's constants
    "changed": f"""
UPDATE loyalty_accounts a SET ({_FACE}, revision, warned_until, ruled_by) = ROW (
  {_NEW_FACE}, a.revision + 1, coalesce(new.warned_until, a.warned_until), coalesce(new.ruled_by, a.ruled_by)
)
FROM {_sent("changed", _ACCOUNT_COLUMNS)}
JOIN loyalty_programs p ON p.code = new.program AND p.revision = new.rules_revision
WHERE a.customer_id = new.customer_id AND a.customer_id = ANY ($1::uuid[]) AND a.account_id = new.account_id
  AND a.revision = new.was_revision AND a.seq = new.was_seq
RETURNING true""",  # noqa: S608 - this module's constants
    "entries": f"""
INSERT INTO loyalty_entries (
  customer_id, program, seq, kind, points, at, effective_at, movements, hash, key, debt_change, forgiven, qualifying,
  qualified_at, activates_at, expires_at, tier
)
SELECT customer_id, program, seq, kind, points, at, effective_at, movements, decode(hash, 'hex'), key, debt_change,
  forgiven, qualifying, qualified_at, activates_at, expires_at, tier
FROM {
        _sent(
            "entries",
            "customer_id uuid, program text, seq integer, kind text, points bigint, at timestamptz,"
            " effective_at timestamptz, movements jsonb, hash text, key text, debt_change bigint, forgiven bigint,"
            " qualifying bigint, qualified_at timestamptz, activates_at timestamptz, expires_at timestamptz, tier text",
        )
    }
ON CONFLICT DO NOTHING RETURNING true""",  # noqa: S608 - this module's constants
    "lots": f"""
INSERT INTO loyalty_lots (customer_id, program, lot, activates_at, expires_at, earn_key, {_LOT_COUNTERS})
SELECT customer_id, program, lot, activates_at, expires_at, earn_key, {_LOT_COUNTERS}
FROM {
        _sent(
            "lots",
            "customer_id uuid, program text, lot integer, activates_at timestamptz, expires_at timestamptz,"
            f" earn_key text, {_bigints(_LOT_COUNTERS)}",
        )
    }
ON CONFLICT (customer_id, program, lot) DO UPDATE SET {_taken(_LOT_COUNTERS + ", earn_key")}
RETURNING true""",  # noqa: S608 - this module's constants
    "holds": f"""
INSERT INTO loyalty_holds (
  customer_id, program, hold_id, id, points, locks, opened_at, expires_at, state, captured, resolved_at, order_id,
  reward, terms, away
)
SELECT customer_id, program, hold_id, id, points, locks, opened_at, expires_at, state, captured, resolved_at, order_id,
  reward, terms, away
FROM {
        _sent(
            "holds",
            "customer_id uuid, program text, hold_id text, id uuid, points bigint, locks jsonb, opened_at timestamptz,"
            " expires_at timestamptz, state text, captured bigint, resolved_at timestamptz, order_id text, reward text,"
            " terms jsonb, away jsonb",
        )
    }
ON CONFLICT (customer_id, program, hold_id) DO UPDATE SET {_taken("state, captured, resolved_at, away")}
RETURNING true""",  # noqa: S608 - this module's constants
    "spends": f"""
INSERT INTO loyalty_spends (
  customer_id, program, spend_id, id, points, at, draws, order_id, reward, refunds, refundable
)
SELECT customer_id, program, spend_id, id, points, at, draws, order_id, reward, refunds, refundable
FROM {
        _sent(
            "spends",
            "customer_id uuid, program text, spend_id text, id uuid, points bigint, at timestamptz, draws jsonb,"
            " order_id text, reward text, refunds jsonb, refundable bigint",
        )
    }
ON CONFLICT (customer_id, program, spend_id) DO UPDATE SET {_taken("points, draws, refunds, refundable")}
RETURNING true""",  # noqa: S608 - this module's constants
    "earns": f"""
INSERT INTO loyalty_earns (
  customer_id, program, key, occurred_at, lots, clawbacks, explain, {_EARN_COUNTERS}
)
SELECT customer_id, program, key, occurred_at, lots, clawbacks, explain, {_EARN_COUNTERS}
FROM {
        _sent(
            "earns",
            "customer_id uuid, program text, key text, occurred_at timestamptz, lots integer[], clawbacks jsonb,"
            f" explain jsonb, {_bigints(_EARN_COUNTERS)}",
        )
    }
ON CONFLICT (customer_id, program, key) DO UPDATE SET {_taken(_EARN_COUNTERS + ", lots, clawbacks")}
RETURNING true""",  # noqa: S608 - this module's constants
    "rule_points": f"""
INSERT INTO loyalty_rule_points (customer_id, program, rule, day, points)
SELECT customer_id, program, rule, day, points
FROM {_sent("rule_points", "customer_id uuid, program text, rule text, day date, points bigint")}
ON CONFLICT (customer_id, program, rule, day)
  DO UPDATE SET points = loyalty_rule_points.points + excluded.points
RETURNING true""",  # noqa: S608 - this module's constants
    "orders": orders.SAVE,
    "referrals": referrals.STEP,
    "spends_gone": _deleted("loyalty_spends", "spend_id", "spends_gone"),
    "earns_gone": _deleted("loyalty_earns", "key", "earns_gone"),
    "holds_gone": _deleted("loyalty_holds", "hold_id", "holds_gone"),
}


@lru_cache(maxsize=128)
def _statement(parts: tuple[str, ...]) -> str:
    """All parts run to their end whatever the outer query reads; those without rows are left out."""
    writes, counts = writing(parts, customers=1, first=2)
    return f"WITH {', '.join(writes)} SELECT {', '.join(counts)}"


def writing(
    parts: Sequence[str], *, customers: int, first: int, guarded: bool = True
) -> tuple[list[str], list[str]]:
    """The CTEs that write these parts, and what counts the rows of each, for a statement with these arguments.

    `customers`: the number of the argument with the customers' ids, `first`: of that with the rows of the first part.
    `guarded`: as in `plain_earns.ctes`; who is not may catch a unique violation.
    Each part has an argument of its own: of one text for all of them each would read the whole.
    """
    writes = []
    for number, part in enumerate(parts, first):
        ctes = plain_earns.ctes(guarded=guarded) if part == "earned" else {f"{part}_": _PARTS[part]}
        writes += [
            f"{name} AS ({sql})".replace("$1::", f"${customers}::").replace(
                f"$2::text::json -> '{part}'", f"${number}::text::json"
            )
            for name, sql in ctes.items()
        ]
    return writes, [f"(SELECT count(*) FROM {part}_) AS {part}" for part in parts]  # noqa: S608 - this module's constants


def sent(parts: Mapping[str, Rows]) -> list[str]:
    """The rows of each part for `writing`."""
    return [to_json(rows).decode() for rows in parts.values()]
