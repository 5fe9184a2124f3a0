"""Which account came into which, and what goes along with it beside what the ledger says.

Of two customers' rows none is joined to the other's (schema rule 7): what one has is read, then written to the other.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import to_json

from app.domain.loyalty.merging import Merge
from app.storage.loyalty.rows import lot_list, lot_of


class AccountMerge(NamedTuple):
    """The account of `source_customer_id` in `customer_id`'s."""

    customer_id: UUID
    program: str
    id: UUID
    source_customer_id: UUID
    merge: Merge
    merged_at: datetime


async def add(connection: asyncpg.Connection, one: AccountMerge) -> None:
    """Write down that an account came along with its locked customer."""
    await connection.execute(
        """
        INSERT INTO loyalty_merges (customer_id, program, id, source_customer_id, merge, merged_at)
        VALUES ($1, $2, $3, $4, $5::text::jsonb, $6)
        """,
        one.customer_id,
        one.program,
        one.id,
        one.source_customer_id,
        json.dumps(_row(one), ensure_ascii=False),
        one.merged_at,
    )


async def of_merge(connection: asyncpg.Connection, customer_id: UUID, merge_id: UUID) -> list[AccountMerge]:
    """What accounts came with a merge that stands, by programme."""
    rows = await connection.fetch(
        """
        SELECT customer_id, program, id, source_customer_id, merge::text AS merge, merged_at FROM loyalty_merges
        WHERE customer_id = $1 AND id = $2 AND undone_at IS NULL ORDER BY program
        """,
        customer_id,
        merge_id,
    )
    return [_read(row) for row in rows]


async def mark_undone(
    connection: asyncpg.Connection, customer_id: UUID, merge_id: UUID, now: datetime
) -> None:
    """Write down that the accounts of a merge are apart again, and forget what that took."""
    await connection.execute(
        "UPDATE loyalty_merges SET undone_at = $3, merge = '{}' WHERE customer_id = $1 AND id = $2",
        customer_id,
        merge_id,
        now,
    )


def _row(one: AccountMerge) -> dict[str, Any]:
    merge = one.merge
    return {
        "id": merge.id,
        "lots": list(merge.lots.items()),
        "arrived": [lot_list(lot) for lot in merge.arrived.values()],
        "holds": merge.holds,
        "spends": merge.spends,
        "earns": merge.earns,
        "debt": merge.debt,
        "qualified": merge.qualified,
    }


def _read(row: asyncpg.Record) -> AccountMerge:
    kept = json.loads(row["merge"])
    merge = Merge(
        id=kept["id"],
        lots=dict(kept["lots"]),
        arrived={one[0]: lot_of(one) for one in kept["arrived"]},
        holds=kept["holds"],
        spends=kept["spends"],
        earns=kept["earns"],
        debt=kept["debt"],
        # Of a merge that an earlier release made, nothing that qualified came along.
        qualified=kept.get("qualified", {}),
    )
    return AccountMerge(
        customer_id=row["customer_id"],
        program=row["program"],
        id=row["id"],
        source_customer_id=row["source_customer_id"],
        merge=merge,
        merged_at=row["merged_at"],
    )


# --- what the ledger does not say -----------------------------------------------------------------------------------


async def bring_along(
    connection: asyncpg.Connection, source: UUID, into: UUID, program: str, merge: Merge
) -> None:
    """Give holds, spends and earns that have moved what only their rows know: the ids that callers were told, coupons,
    why an order earned what it did.
    """
    holds = await _told(connection, "loyalty_holds", "hold_id, id::text", source, program)
    await name_holds(connection, into, program, {merge.holds[name]: own_id for name, own_id in holds})
    spends = await _told(connection, "loyalty_spends", "spend_id, id::text, coupon, failed", source, program)
    await connection.execute(
        """
        UPDATE loyalty_spends t SET id = new.id, coupon = new.coupon, failed = new.failed
        FROM json_to_recordset($3::text::json) AS new (name text, id uuid, coupon text, failed text)
        WHERE t.customer_id = $1 AND t.program = $2 AND t.spend_id = new.name
        """,
        into,
        program,
        _named(("name", "id", "coupon", "failed"), ((merge.spends[row[0]], *row[1:]) for row in spends)),
    )
    earns = await _told(connection, "loyalty_earns", "key, explain::text", source, program)
    await connection.execute(
        """
        UPDATE loyalty_earns t SET explain = new.explain::jsonb
        FROM json_to_recordset($3::text::json) AS new (name text, explain text)
        WHERE t.customer_id = $1 AND t.program = $2 AND t.key = new.name
        """,
        into,
        program,
        _named(("name", "explain"), ((merge.earns[key], explain) for key, explain in earns)),
    )


async def name_holds(
    connection: asyncpg.Connection, customer_id: UUID, program: str, ids: Mapping[str, UUID | str]
) -> None:
    """Give the holds of these names these ids."""
    await connection.execute(
        """
        UPDATE loyalty_holds t SET id = new.id
        FROM json_to_recordset($3::text::json) AS new (name text, id uuid)
        WHERE t.customer_id = $1 AND t.program = $2 AND t.hold_id = new.name
        """,
        customer_id,
        program,
        _named(("name", "id"), ids.items()),
    )


async def _told(
    connection: asyncpg.Connection, table: str, columns: str, customer_id: UUID, program: str
) -> list[tuple[Any, ...]]:
    rows = await connection.fetch(
        f"SELECT {columns} FROM {table} WHERE customer_id = $1 AND program = $2",  # noqa: S608 - this module's words
        customer_id,
        program,
    )
    return [tuple(row) for row in rows]


def _named(members: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    return to_json([dict(zip(members, row, strict=True)) for row in rows]).decode()


# --- caps of a period -----------------------------------------------------------------------------------------------


async def add_rule_points(connection: asyncpg.Connection, source: UUID, into: UUID) -> None:
    """What capped rules gave the source counts with the survivor too. The source's rows stay, for an undo."""
    await connection.execute(
        """
        INSERT INTO loyalty_rule_points (customer_id, program, rule, day, points)
        SELECT $2::uuid, program, rule, day, points FROM loyalty_rule_points WHERE customer_id = $1
        ON CONFLICT (customer_id, program, rule, day)
          DO UPDATE SET points = loyalty_rule_points.points + excluded.points
        """,
        source,
        into,
    )


async def take_rule_points(connection: asyncpg.Connection, source: UUID, into: UUID) -> None:
    """Take off the survivor what `add_rule_points` added."""
    rows = await connection.fetch(
        "SELECT program, rule, day, points FROM loyalty_rule_points WHERE customer_id = $1", source
    )
    await connection.execute(
        """
        UPDATE loyalty_rule_points t SET points = greatest(t.points - new.points, 0)
        FROM json_to_recordset($2::text::json) AS new (program text, rule text, day date, points bigint)
        WHERE t.customer_id = $1 AND t.program = new.program AND t.rule = new.rule AND t.day = new.day
        """,
        into,
        _named(("program", "rule", "day", "points"), map(tuple, rows)),
    )
