"""How the rows of a customer go over to another one: copied and deleted, never updated (schema rule 6).

Every table that says whose a row is has its way here; a test fails for one that has none. Rows that say whom they were
first written for (`origin_customer_id`) need no more to be parted again: those of the alias go back, with whatever was
written in the alias' name since.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.health.facts import Fact
from app.domain.merging import SharedThread
from app.storage import merged_opinions
from app.storage.tables import PRIVACY_ROLE, metadata
from app.storage.touchpoints import TIED, fact_of_row, standing

BY_ORIGIN: Final = (
    "touchpoints",
    "touchpoint_voids",
    "customer_identifiers",
    "customer_notes",
    "survey_invitations",
    "feedback",
    "follow_ups",
    "complaints",
    "consent_log",
    "opening_states",
    "orders",
    "loyalty_referrals",
)
"""Tables whose rows say whom they were first written for."""


class Whole(NamedTuple):
    """What a row is a part of: its column, and the table whose id stands in it."""

    column: str
    table: str


PARTS: Final[Mapping[str, Whole]] = MappingProxyType(
    {
        "feedback_revisions": Whole("feedback_id", "feedback"),
        "complaint_log": Whole("complaint_id", "complaints"),
        "compensations": Whole("complaint_id", "complaints"),
    }
)
"""Tables whose rows go where the row goes that they are a part of, which moves first."""

ONE_EACH: Final = ("health_overrides", "health_sentiments", "survey_periods")
"""Tables of which a customer has one row, or one for each survey: the survivor's stands, else the other's comes."""

BY_RULE: Final[frozenset[str]] = frozenset(
    (
        # What was said last, drawn anew from the log of consents (storage/consents.py).
        "consents",
        # A ledger is never moved: points are, by entries on both sides (usecases/merges/merge_accounts.py).
        "loyalty_accounts",
        "loyalty_entries",
        "loyalty_lots",
        "loyalty_holds",
        "loyalty_spends",
        "loyalty_earns",
        "loyalty_rule_points",
    )
)
"""Tables that a use case moves by rules of its own, such as a ledger; its undo may raise `undo_blocked`."""

STAYING: Final[Mapping[str, str]] = MappingProxyType(
    {
        "customer_states": "each customer's own; the sum of both is written to the survivor's",
        "identifier_claims": "an alias keeps its claims and leads on to the survivor",
        "complaint_references": "names who told the complaint first, and leads on from there",
        "merges": "what happened to a customer who survived stays written there",
        "loyalty_merges": "the same",
        "loyalty_adjustments": "each stays with whom it was told of; the survivor's are looked for there too",
        "referral_codes": "an alias keeps its codes and leads on to the survivor",
        "referred_customers": "who was brought is brought once, under whatever name",
        "erasures": "nobody is merged who was erased",
        "erased_identifiers": "the same",
    }
)
"""Tables whose rows stay, and why."""


@asynccontextmanager
async def privileged(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Take the role that may delete from the log, until the block or the transaction ends.

    Without the role (a login that may not create roles) the login owns the tables itself.
    """
    may = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1 AND pg_has_role(oid, 'MEMBER'))", PRIVACY_ROLE
    )
    if not may:
        yield
        return
    await connection.execute(f"SET LOCAL ROLE {PRIVACY_ROLE}")
    yield
    await connection.execute("SET LOCAL ROLE NONE")


class Lost(Exception):
    """A row was not taken by its new customer, so it must not be deleted either. Roll back."""


# --- rows that know whose they are ----------------------------------------------------------------------------------


async def move(
    connection: asyncpg.Connection, source: UUID, target: UUID, origins: Sequence[UUID] | None = None
) -> dict[str, int]:
    """Move all rows, or with `origins` those first written for one of these; how many of each table, 0 left out.

    Both customers are locked. Raises Lost.
    """
    moved = {}
    for table in BY_ORIGIN:
        which = "" if origins is None else "AND origin_customer_id = ANY ($3::uuid[])"
        moved[table] = await _move(connection, table, which, source, target, origins)
    for table, whole in PARTS.items():
        # The whole has moved by now.
        which = (
            ""
            if origins is None
            else (
                f"AND {whole.column} IN (SELECT id FROM {whole.table} w"  # noqa: S608 - our own names
                " WHERE w.customer_id = $2 AND w.origin_customer_id = ANY ($3::uuid[]))"
            )
        )
        moved[table] = await _move(connection, table, which, source, target, origins)
    return {table: count for table, count in moved.items() if count}


async def has_more_touchpoints(connection: asyncpg.Connection, customer_id: UUID, most: int) -> bool:
    """Whether a log is longer; looks at one row more than that."""
    found = await connection.fetchval(
        "SELECT count(*) FROM (SELECT FROM touchpoints WHERE customer_id = $1 LIMIT $2) AS looked",
        customer_id,
        most + 1,
    )
    return bool(found > most)


async def _move(
    connection: asyncpg.Connection,
    table: str,
    which: str,
    source: UUID,
    target: UUID,
    origins: Sequence[UUID] | None,
) -> int:
    others = ", ".join(
        column.name for column in metadata.tables[table].columns if column.name != "customer_id"
    )
    some = () if origins is None else (list(origins),)
    copied = await connection.execute(
        f"""
        INSERT INTO {table} (customer_id, {others})
        SELECT $2::uuid, {others} FROM {table} WHERE customer_id = $1 {which}
        ON CONFLICT DO NOTHING
        """,  # noqa: S608 - our own names
        source,
        target,
        *some,
    )
    deleted = await connection.execute(
        # $2 is said again because a statement must use every argument it is given.
        f"DELETE FROM {table} WHERE customer_id = $1 AND customer_id <> $2 {which}",  # noqa: S608 - our own names
        source,
        target,
        *some,
    )
    count = _count(copied)
    if count != _count(deleted):
        raise Lost(table)
    return count


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])


# --- rows of which there is one -------------------------------------------------------------------------------------


class Single(NamedTuple):
    """A row of the alias, as JSON, and whether the survivor had none and took it."""

    row: dict[str, Any]
    taken: bool


async def move_singles(connection: asyncpg.Connection, source: UUID, target: UUID) -> dict[str, list[Single]]:
    """Move rows of ONE_EACH where the target has none; all of the source's are answered, for `return_singles`."""
    found: dict[str, list[Single]] = {}
    for table in ONE_EACH:
        # Whose word it was is said before it becomes the survivor's.
        named = " || jsonb_build_object('said_of', coalesce(t.said_of, t.customer_id))"
        rows = await connection.fetch(
            f"SELECT (to_jsonb(t){named if table in merged_opinions.TABLES else ''})::text"  # noqa: S608 - our own names
            f" FROM {table} t WHERE t.customer_id = $1",
            source,
        )
        for row in rows:
            taken = await _put(connection, table, row[0], target)
            found.setdefault(table, []).append(Single(json.loads(row[0]), taken))
        await connection.execute(f"DELETE FROM {table} WHERE customer_id = $1", source)  # noqa: S608 - our own names
    return found


async def return_singles(
    connection: asyncpg.Connection, source: UUID, target: UUID, kept: Mapping[str, Sequence[Single]]
) -> None:
    """Give the rows back to `target`; a row that `source` took goes, unless it says something else by now."""
    for table, singles in kept.items():
        for row, taken in singles:
            text = json.dumps(row, ensure_ascii=False)
            await _put(connection, table, text, target)
            if taken:
                await connection.execute(
                    f"""
                    DELETE FROM {table} t
                    WHERE t.customer_id = $1
                      AND to_jsonb(t) - 'customer_id' = $2::text::jsonb - 'customer_id'
                    """,  # noqa: S608 - our own names
                    source,
                    text,
                )


async def _put(connection: asyncpg.Connection, table: str, row: str, customer_id: UUID) -> bool:
    status = await connection.execute(
        f"""
        INSERT INTO {table}
        SELECT (jsonb_populate_record(
          NULL::{table}, $1::text::jsonb || jsonb_build_object('customer_id', $2::uuid)
        )).*
        ON CONFLICT DO NOTHING
        """,
        row,
        customer_id,
    )
    return _count(status) == 1


# --- threads --------------------------------------------------------------------------------------------------------


async def shared_threads(connection: asyncpg.Connection, one: UUID, other: UUID) -> list[SharedThread]:
    """The threads in which both customers have facts that stand."""
    rows = await connection.fetch(
        f"""
        SELECT t.customer_id, t.source, t.id, t.kind, t.occurred_at, t.value_minor, t.thread, t.own_component,
          t.own_weight, t.properties::text AS properties
        FROM touchpoints t
        WHERE t.customer_id = ANY (ARRAY[$1::uuid, $2::uuid]) AND {TIED} AND {standing("t")}
          AND t.thread IN (
            SELECT m.thread FROM touchpoints m WHERE m.customer_id = $1 AND m.thread IS NOT NULL
            INTERSECT
            SELECT m.thread FROM touchpoints m WHERE m.customer_id = $2 AND m.thread IS NOT NULL
          )
        """,  # noqa: S608 - conditions of this package
        one,
        other,
    )
    threads: dict[str, tuple[list[Fact], list[Fact]]] = {}
    for row in rows:
        facts = threads.setdefault(row["thread"], ([], []))
        facts[row["customer_id"] == other].append(fact_of_row(row))
    return [SharedThread(*facts) for facts in threads.values() if all(facts)]
