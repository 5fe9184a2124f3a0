"""What nearly every purchase writes, sent as one row: an entry, its lot, its earn, its order and the account after it.

They follow from one another until something is spent or refunded, so the rest is said in SQL and not sent: a row of
JSON costs the database as much as the row that is written of it. What is not so plain goes the way of all others
(saving.py); what stands in the tables is the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.domain.loyalty.account import Account, Entry
from app.domain.loyalty.known_orders import KnownOrder
from app.domain.loyalty.plain_passbook import PlainPassbook
from app.storage.loyalty.accounts import Loaded

Row = dict[str, Any]

_COLUMNS: Final = (
    "customer_id uuid, program text, seq integer, points bigint, at timestamptz, effective_at timestamptz,"
    " activates_at timestamptz, expires_at timestamptz, hash text, key text, qualifying bigint, paid_minor bigint,"
    " explain text, source text, order_id text, effect text, currency text, was_seq integer, was_revision bigint,"
    " rules_revision integer, lifetime_earned bigint, due_at timestamptz"
)

_CTES: Final[Mapping[str, str]] = {
    "earned_rows": f"SELECT * FROM json_to_recordset($2::text::json -> 'earned') AS new ({_COLUMNS})",  # noqa: S608 - our own columns
    "earned_entries": """
INSERT INTO loyalty_entries (
  customer_id, program, seq, kind, points, at, effective_at, movements, hash, key, debt_change, forgiven, qualifying,
  qualified_at, activates_at, expires_at
)
SELECT customer_id, program, seq, 'earn', points, at, effective_at,
  CASE WHEN points = 0 THEN '[]' ELSE jsonb_build_array(jsonb_build_array(seq, 'grant', points)) END,
  decode(hash, 'hex'), key, 0, 0, qualifying, effective_at, activates_at, expires_at
FROM earned_rows
RETURNING true""",
    "earned_lots": """
INSERT INTO loyalty_lots (
  customer_id, program, lot, activates_at, expires_at, earn_key, granted, drawn, restored, revoked, expired, absorbed,
  moved, held, remaining
)
SELECT customer_id, program, seq, activates_at, expires_at, key, points, 0, 0, 0, 0, 0, 0, 0, points
FROM earned_rows WHERE points > 0
RETURNING true""",
    "earned_earns": """
INSERT INTO loyalty_earns (
  customer_id, program, key, points, paid_minor, occurred_at, lots, qualifying, refunded_minor, clawed, forgiven,
  indebted, lapsed, recoverable, disqualified, clawbacks, explain
)
SELECT customer_id, program, key, points, paid_minor, effective_at,
  CASE WHEN points = 0 THEN '{}' ELSE ARRAY[seq] END, qualifying, 0, 0, 0, 0, 0, 0, 0, '[]',
  explain::jsonb
FROM earned_rows
RETURNING true""",
    "earned_orders": """
INSERT INTO orders (
  customer_id, source, order_id, origin_customer_id, cycle, is_paid, chunks, adopted, parked, effects, currency,
  revision, created_at, updated_at
)
SELECT customer_id, source, order_id, customer_id, 1, true, jsonb_build_array(jsonb_build_array(NULL, paid_minor, 0)),
  effect, '[]', jsonb_build_array(jsonb_build_array(source, effect)), currency, 1, at, at
FROM earned_rows WHERE order_id IS NOT NULL
RETURNING true""",
    "earned_accounts": """
UPDATE loyalty_accounts a SET (seq, head, last_at, lifetime_earned, due_at, revision) = ROW (
  new.seq, decode(new.hash, 'hex'), new.at, new.lifetime_earned, new.due_at, a.revision + 1
)
FROM earned_rows new
JOIN loyalty_programs p ON p.code = new.program AND p.revision = new.rules_revision
WHERE a.customer_id = new.customer_id AND a.customer_id = ANY ($1::uuid[]) AND a.program = new.program
  AND a.revision = new.was_revision AND a.seq = new.was_seq
RETURNING true""",
    "earned_": """
SELECT FROM earned_entries UNION ALL SELECT FROM earned_lots UNION ALL SELECT FROM earned_earns
UNION ALL SELECT FROM earned_orders UNION ALL SELECT FROM earned_accounts""",
}


def ctes(*, guarded: bool) -> dict[str, str]:
    """The parts of a writing statement for rows of `earned_row`, as `saving.writing` reads them.

    Nothing of it may stand there already. `guarded`: a row that does is not taken, and the writer counts; else the
    statement fails, which saves a look into each index before the one for the row itself.
    """
    if not guarded:
        return dict(_CTES)
    return {
        name: sql.replace("\nRETURNING", "\nON CONFLICT DO NOTHING RETURNING") if "INSERT" in sql else sql
        for name, sql in _CTES.items()
    }


def is_plain(before: Account, after: Account, entry: Entry) -> bool:
    """Whether an entry of this change is an earn of which nothing was taken, given back or locked yet."""
    if entry.kind != "earn":
        return False
    earn = after.earns.get(entry.key)
    if earn is None or entry.key in before.earns or earn.clawbacks or earn.recoverable:
        return False
    if (earn.points, earn.qualifying) != (entry.points, entry.qualifying):
        return False
    lot = after.lots.get(entry.seq)
    if lot is None:
        return not entry.points
    return lot.granted == lot.remaining == entry.points and not lot.drawn and not lot.held


def earned_row(entry: Entry, paid_minor: int, explain: str | None) -> Row:
    """The row of a plain earn, but for whose it is, its order and its account. `explain`: JSON."""
    return {
        "seq": entry.seq,
        "points": entry.points,
        "at": entry.at,
        "effective_at": entry.effective_at,
        "activates_at": entry.activates_at,
        "expires_at": entry.expires_at,
        "hash": entry.hash.hex(),
        "key": entry.key,
        "qualifying": entry.qualifying,
        "paid_minor": paid_minor,
        "explain": explain,
    }


def plain_rows(loaded: Loaded, book: PlainPassbook) -> list[Row]:
    """The rows of all that a plain passbook followed; the last one moves the account."""
    rows = []
    for entry, paid_minor, explain, paid in book.earns:
        row = earned_row(entry, paid_minor, explain)
        row["customer_id"], row["program"] = loaded.customer_id, loaded.program
        if paid is not None:
            row["source"], row["order_id"], row["effect"], row["currency"] = paid
        rows.append(row)
    if rows:
        rows[-1] |= {
            "was_seq": loaded.account.seq,
            "was_revision": loaded.revision,
            "rules_revision": loaded.rules_revision,
            "lifetime_earned": book.lifetime_earned,
            "due_at": book.due_at,
        }
    return rows


def is_just_posted(known: KnownOrder) -> bool:
    """Whether an order is new, and nothing but the one touchpoint that paid it."""
    order = known.order
    return (
        known.revision == 0
        and order.is_paid
        and order.cycle == 1
        and order.state is None
        and not order.parked
        and known.answer is None
        and known.origin is None
        and len(known.touchpoints) == len(order.chunks) == 1
        and known.touchpoints[0] == (known.source, order.adopted)
        and not order.chunks[0].refunded_minor
    )


def with_order(row: Row, known: KnownOrder) -> bool:
    """Let the row of a plain earn write its order too; False when the order says something else than the earn."""
    (chunk,) = known.order.chunks
    if chunk.addition is not None or chunk.paid_minor != row["paid_minor"]:
        return False
    row["source"], row["order_id"] = known.source, known.order_id
    row["effect"], row["currency"] = known.order.adopted, known.currency
    return True


def size(rows: Sequence[Row]) -> int:
    """How many rows of all five tables these are."""
    return sum(2 + (row["points"] > 0) + ("order_id" in row) + ("was_seq" in row) for row in rows)
