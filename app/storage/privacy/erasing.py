"""How what is held about a person goes. Everything here runs under the locks of their state rows (SQL says `$1`: the
ids of the customer and of whom were merged into them).
"""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.health.facts import THREADED
from app.domain.identifiers import Identifier
from app.domain.loyalty.rewards import coupon_key
from app.storage import invitations
from app.storage.privacy.holdings import HOLDINGS
from app.storage.privacy.ways import Blank, Delete, Holding
from app.storage.touchpoints import standing


class Erasure(NamedTuple):
    """What goes along with a customer. `mark`: random letters and digits, for names that nobody else gave."""

    customer_ids: Sequence[UUID]
    mode: str
    now: datetime
    mark: str

    def way(self, holding: Holding) -> object:
        """What the rule of a table says for this mode."""
        return holding.erase if self.mode == "erase" else holding.anonymise


class Receipt(NamedTuple):
    """What went: rows by table, changed or deleted."""

    customer_id: UUID
    id: UUID
    mode: str
    erased_at: datetime
    erased_by: str
    aliases: list[UUID]
    rows: dict[str, int]
    tombstones: int


async def aliases(connection: asyncpg.Connection, customer_ids: Collection[UUID]) -> set[UUID]:
    """Who was merged into one of these customers."""
    rows = await connection.fetch(
        "SELECT customer_id FROM customer_states WHERE merged_into = ANY ($1::uuid[])", list(customer_ids)
    )
    return {row[0] for row in rows}


async def identifiers_of(
    connection: asyncpg.Connection, customer_ids: Sequence[UUID]
) -> dict[Identifier, UUID]:
    """By which names these customers go, and which of them holds each."""
    rows = await connection.fetch(
        """
        SELECT type, value, value_key, customer_id FROM customer_identifiers WHERE customer_id = ANY ($1::uuid[])
        """,
        customer_ids,
    )
    return {Identifier(*row[:3]): row[3] for row in rows}


async def erase_rows(connection: asyncpg.Connection, erasure: Erasure) -> dict[str, int]:
    """Do what the rules of all tables say; how many rows of each were changed or deleted.

    The connection may change append-only tables. Tables found by what others hold come first.
    """
    rows = {
        "identifier_claims": await _claims(connection, erasure.customer_ids),
        "complaint_references": await _references(connection, erasure.customer_ids),
        "survey_scopes": await _scopes(connection, erasure.customer_ids),
        "loyalty_coupons": await _coupons(connection, erasure.customer_ids),
        "idempotency_keys": await _kept_answers(connection, erasure.customer_ids),
    }
    if erasure.mode == "anonymise":
        rows["touchpoints"] = await _anonymise_log(connection, erasure)
    for holding in HOLDINGS:
        way = erasure.way(holding)
        if isinstance(way, Delete):
            rows[holding.table] = _count(
                await connection.execute(
                    f"DELETE FROM {holding.table} WHERE {holding.whose}",  # noqa: S608 - this package's words
                    erasure.customer_ids,
                )
            )
        elif isinstance(way, Blank):
            rows[holding.table] = _count(await _blank(connection, holding, way, erasure))
    return rows


async def _blank(connection: asyncpg.Connection, holding: Holding, way: Blank, erasure: Erasure) -> str:
    changes = ", ".join(f"{column} = {value}" for column, value in way.cleared.items())
    status: str = await connection.execute(
        f"""
        UPDATE {holding.table}
        SET {changes}
        FROM (SELECT $2::timestamptz AS now, $3::text AS mark) AS given
        WHERE {holding.whose}
        """,  # noqa: S608 - this package's words
        erasure.customer_ids,
        erasure.now,
        erasure.mark,
    )
    return status


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])


# --- tables without the customer in their key: the keys first, then the rows (schema rule 4) ------------------------


async def _claims(connection: asyncpg.Connection, customer_ids: Sequence[UUID]) -> int:
    held = await identifiers_of(connection, customer_ids)
    return _count(
        await connection.execute(
            """
            DELETE FROM identifier_claims c
            USING unnest($1::text[], $2::text[]) AS gone (type, value_key)
            WHERE c.value_key = gone.value_key AND c.type = gone.type AND c.customer_id = ANY ($3::uuid[])
            """,
            [one.type for one in held],
            [one.key for one in held],
            customer_ids,
        )
    )


async def _references(connection: asyncpg.Connection, customer_ids: Sequence[UUID]) -> int:
    rows = await connection.fetch(
        "SELECT reference FROM complaints WHERE customer_id = ANY ($1::uuid[])", customer_ids
    )
    return _count(
        await connection.execute(
            "DELETE FROM complaint_references WHERE reference = ANY ($1::text[]) AND customer_id = ANY ($2::uuid[])",
            [row[0] for row in rows],
            customer_ids,
        )
    )


async def _scopes(connection: asyncpg.Connection, customer_ids: Sequence[UUID]) -> int:
    """Take the person's invitations out of what their household was asked; a row that is empty then goes."""
    rows = await connection.fetch(
        """
        SELECT scope_key, array_agg(id) FROM survey_invitations
        WHERE customer_id = ANY ($1::uuid[]) AND starts_with(scope_key, 'household:')
        GROUP BY scope_key
        ORDER BY scope_key
        """,
        customer_ids,
    )
    changed = 0
    # Several locks of one kind, in order; all others take one.
    for scope_key, own in rows:
        household = await invitations.lock_scope(connection, scope_key)
        left = {key: one for key, one in household.items() if key not in own}
        if left:
            await invitations.save_scope(connection, scope_key, left)
        else:
            await connection.execute("DELETE FROM survey_scopes WHERE scope_key = $1", scope_key)
        changed += left != household or not left
    return changed


async def _coupons(connection: asyncpg.Connection, customer_ids: Sequence[UUID]) -> int:
    """What they were taken for may name an order. They stay taken: nobody else may use a code that somebody has."""
    rows = await connection.fetch(
        "SELECT program, coupon FROM loyalty_spends WHERE customer_id = ANY ($1::uuid[]) AND coupon IS NOT NULL",
        customer_ids,
    )
    return _count(
        await connection.execute(
            """
            UPDATE loyalty_coupons c SET taken_for = 'erased'
            FROM unnest($1::text[], $2::text[]) AS gone (program, key)
            WHERE c.program = gone.program AND c.key = gone.key AND c.taken_by = ANY ($3::uuid[])
            """,
            [row[0] for row in rows],
            [coupon_key(row[1]) for row in rows],
            customer_ids,
        )
    )


async def _kept_answers(connection: asyncpg.Connection, customer_ids: Sequence[UUID]) -> int:
    # Of what was kept before the column was there nobody knows whom it is about; it would go within a day anyway.
    return _count(
        await connection.execute(
            "DELETE FROM idempotency_keys WHERE about && $1::uuid[] OR about IS NULL", customer_ids
        )
    )


# --- the log without the person -------------------------------------------------------------------------------------

_WORDS: Final = (
    "CASE p.key"
    " WHEN 'mode' THEN p.value IN ('\"personal\"', '\"self_service\"', '\"automated\"', '\"community\"')"
    " WHEN 'severity' THEN p.value IN ('\"low\"', '\"medium\"', '\"high\"', '\"critical\"')"
    " WHEN 'scale' THEN true"
    " ELSE p.key IN ('rating', 'sentiment', 'csat', 'points') AND jsonb_typeof(p.value) = 'number' END"
)
"""What of a touchpoint's properties the score reads, as long as it is what it should be: numbers and our own words."""
_TIED: Final = "', '".join(THREADED)

# New names keep the order of the old ones: it decides between facts of one second (domain.health.threads).
_RENAME: Final = f"""
WITH named AS MATERIALIZED (
  SELECT t.customer_id, t.source, t.id, t.origin_customer_id,
    'anonymised:' || $2 || ':' || lpad(
      (row_number() OVER (PARTITION BY t.customer_id ORDER BY (t.source || '/' || t.id) COLLATE "C"))::text, 9, '0'
    ) AS new_id,
    CASE WHEN t.thread IS NOT NULL THEN
      dense_rank() OVER (PARTITION BY t.customer_id ORDER BY t.thread COLLATE "C") END AS thread_number
  FROM touchpoints t
  WHERE t.customer_id = ANY ($1::uuid[])
)
UPDATE touchpoints t
SET id = named.new_id, description = NULL, outcome = 'null', body_sha256 = sha256(convert_to(named.new_id, 'UTF8')),
  thread = CASE
    WHEN t.thread IS NULL THEN NULL
    ELSE split_part(t.thread, ':', 1) || ':anonymised:' || $2 || ':' || named.thread_number END,
  items = (
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('quantity', i.value -> 'quantity',
      'amount_minor', i.value -> 'amount_minor', 'category', i.value -> 'category', 'sku', i.value -> 'sku')))
    FROM jsonb_array_elements(t.items) i
  ),
  properties = CASE WHEN t.properties IS NOT NULL THEN coalesce((
    SELECT jsonb_object_agg(p.key, CASE
      WHEN p.key = 'scale' THEN jsonb_strip_nulls(jsonb_build_object('min', p.value -> 'min', 'max', p.value -> 'max',
        'direction', p.value -> 'direction'))
      ELSE p.value END)
    FROM jsonb_each(t.properties) p
    WHERE {_WORDS}
  ), '{{}}') || CASE
    WHEN t.thread LIKE 'complaint:%' AND t.kind IN ('{_TIED}')
    THEN jsonb_build_object('complaint_id', 'anonymised:' || $2 || ':' || named.thread_number) ELSE '{{}}' END END
FROM named
WHERE t.customer_id = ANY ($1::uuid[]) AND t.customer_id = named.customer_id AND t.source = named.source
  AND t.id = named.id AND t.origin_customer_id = named.origin_customer_id
"""  # noqa: S608 - constants of this module


async def _anonymise_log(connection: asyncpg.Connection, erasure: Erasure) -> int:
    """What happened stays, with its money and ratings; words, names and the ids of the shop's own systems go.

    What was taken back counts nowhere and goes whole.
    """
    gone = await connection.execute(
        f"DELETE FROM touchpoints t WHERE t.customer_id = ANY ($1::uuid[]) AND NOT {standing('t')}",  # noqa: S608 - a condition of this package
        erasure.customer_ids,
    )
    return _count(gone) + _count(await connection.execute(_RENAME, erasure.customer_ids, erasure.mark))


# --- receipts -------------------------------------------------------------------------------------------------------

_RECEIPT: Final = 'customer_id, id, mode, erased_at, erased_by, aliases, "rows"::text AS "rows", tombstones'


async def issue(connection: asyncpg.Connection, receipt: Receipt) -> None:
    """Keep a receipt. The customer's state row is locked, and there is none yet."""
    await connection.execute(
        """
        INSERT INTO erasures (customer_id, id, mode, erased_at, erased_by, aliases, "rows", tombstones)
        VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8)
        """,
        *receipt._replace(rows=json.dumps(receipt.rows)),  # type: ignore[arg-type]  # jsonb goes as text
    )


async def receipt_of(connection: asyncpg.Connection, customer_id: UUID) -> Receipt | None:
    """The receipt of a customer who was erased."""
    row = await connection.fetchrow(
        f"SELECT {_RECEIPT} FROM erasures WHERE customer_id = $1",  # noqa: S608 - a constant
        customer_id,
    )
    return None if row is None else _receipt(row)


def _receipt(row: Any) -> Receipt:
    members = dict(row)
    rows = json.loads(members.pop("rows"))
    return Receipt(**members, rows=rows)


async def erased_since(
    connection: asyncpg.Connection, after: tuple[datetime, UUID], limit: int
) -> list[tuple[datetime, UUID, list[UUID]]]:
    """Who was erased after that: when, who, and whom else with them; in the order of `erased_at` and id."""
    rows = await connection.fetch(
        """
        SELECT erased_at, customer_id, aliases FROM erasures
        WHERE (erased_at, customer_id) > ($1, $2)
        ORDER BY erased_at, customer_id
        LIMIT $3
        """,
        *after,
        limit,
    )
    return [(row[0], row[1], row[2]) for row in rows]
