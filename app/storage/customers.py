"""Customers: who exists, what is known of them, and lists of them."""

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.customers import (
    SEGMENT_PREFIX,
    Customer,
    HeldIdentifier,
    Profile,
    not_found,
    segments_of,
)
from app.domain.health.state import State
from app.storage.states import StateRow

# --- identity: what resolving a reference asks ----------------------------------------------------------------------


class Identity(NamedTuple):
    """Whether a customer is still who they were: unlocked, so a hint until the state row is locked."""

    customer_id: UUID
    identity_revision: int
    merged_into: UUID | None
    erased_at: datetime | None
    named_as: UUID | None = None
    """The alias that the reference named, when a merge led from it to this customer."""

    def holds_for(self, locked: StateRow) -> bool:
        """Whether nothing of this changed until the row was locked."""
        return self[:4] == (
            locked.customer_id,
            locked.identity_revision,
            locked.merged_into,
            locked.erased_at,
        )


_IDENTITIES = """
SELECT customer_id, identity_revision, merged_into, erased_at FROM customer_states WHERE customer_id = ANY ($1::uuid[])
"""

_CREATE = """
INSERT INTO customers (id, created_at, updated_at)
SELECT id, $2, $2 FROM unnest($1::uuid[]) AS new (id)
ON CONFLICT DO NOTHING
"""

_CREATE_STATES = """
INSERT INTO customer_states (customer_id, state)
SELECT customer_id, $2 FROM unnest($1::uuid[]) AS new (customer_id)
ON CONFLICT DO NOTHING
"""

_TOUCH = "UPDATE customers SET revision = revision + 1, updated_at = $2 WHERE id = ANY ($1::uuid[])"


async def identities(connection: asyncpg.Connection, customer_ids: Collection[UUID]) -> dict[UUID, Identity]:
    """The identities of these customers; those that do not exist are missing."""
    if not customer_ids:
        return {}
    rows = await connection.fetch(_IDENTITIES, list(customer_ids))
    return {row[0]: Identity(row[0], row[1], row[2], row[3]) for row in rows}


async def create(
    connection: asyncpg.Connection, customer_ids: Collection[UUID], state: bytes, now: datetime
) -> None:
    """Customers of whom nothing is known but that they exist, with their state rows."""
    ordered = sorted(customer_ids)
    await connection.execute(_CREATE, ordered, now)
    await connection.execute(_CREATE_STATES, ordered, state)


async def touch(connection: asyncpg.Connection, customer_ids: Collection[UUID], now: datetime) -> None:
    """Note that something of these customers changed that is kept elsewhere: their identifiers."""
    await connection.execute(_TOUCH, sorted(customer_ids), now)


async def revise_identity(connection: asyncpg.Connection, customer_id: UUID) -> None:
    """Tell every cache that an identifier no longer leads to this customer. The state row is locked."""
    await connection.execute(
        "UPDATE customer_states SET identity_revision = identity_revision + 1 WHERE customer_id = $1",
        customer_id,
    )


# --- one customer ---------------------------------------------------------------------------------------------------

# The identifiers come along as JSON: a second statement would cost a round trip on every read. As text, because
# SQLAlchemy's connections decode jsonb themselves and bare ones do not.
_SELECT = """
SELECT c.id, c.name, c.language, c.timezone, c.preferred_channel, c.tags, c.owner, c.traits::text AS traits,
  c.created_at, c.updated_at, c.revision, s.state, s.band, s.score, s.scored_at, (
    SELECT jsonb_agg(
      jsonb_build_array(i.type, i.value, i.created_at) ORDER BY i.created_at, i.type, i.value_key
    )::text
    FROM customer_identifiers i
    WHERE i.customer_id = c.id
  ) AS identifiers"""

_FROM = "FROM customers c JOIN customer_states s ON s.customer_id = c.id"

_GET = f"{_SELECT} {_FROM} WHERE c.id = $1 AND s.customer_id = $1"

_SAVE = """
UPDATE customers
SET name = $2, language = $3, timezone = $4, preferred_channel = $5, tags = $6, owner = $7, traits = $8::text::jsonb,
  updated_at = $9, revision = revision + 1
WHERE id = $1
"""


def _customer(row: asyncpg.Record) -> Customer:
    held = json.loads(row["identifiers"] or "[]")
    return Customer(
        id=row["id"],
        profile=Profile(
            name=row["name"],
            language=row["language"],
            timezone=row["timezone"],
            preferred_channel=row["preferred_channel"],
            tags=tuple(row["tags"]),
            owner=row["owner"],
            traits=json.loads(row["traits"]),
        ),
        identifiers=tuple(HeldIdentifier(kind, value, _utc(created_at)) for kind, value, created_at in held),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        revision=row["revision"],
        purchases=State.decode(row["state"]).n,
        band=row["band"],
        score=row["score"],
        scored_at=row["scored_at"],
    )


def _utc(text: str) -> datetime:
    # JSON shows times in the session's zone, whatever that is.
    return datetime.fromisoformat(text).astimezone(UTC)


async def get(connection: asyncpg.Connection, customer_id: UUID) -> Customer | None:
    """The customer with this id, merged or erased ones included."""
    row = await connection.fetchrow(_GET, customer_id)
    return None if row is None else _customer(row)


async def existing(connection: asyncpg.Connection, customer_id: UUID) -> Customer:
    """The customer with this id, which the caller just saw. Raises NotFound `customer_not_found`."""
    customer = await get(connection, customer_id)
    if customer is None:
        raise not_found()
    return customer


async def segments(
    connection: asyncpg.Connection, customer_ids: Collection[UUID]
) -> dict[UUID, frozenset[str]]:
    """In which segments each of these customers is: those that their tags name."""
    rows = await connection.fetch(
        "SELECT id, tags FROM customers WHERE id = ANY ($1::uuid[])", list(customer_ids)
    )
    return {row[0]: segments_of(row[1]) for row in rows}


async def save(connection: asyncpg.Connection, customer_id: UUID, profile: Profile, now: datetime) -> None:
    """Write a customer's profile. The state row is locked."""
    await connection.execute(
        _SAVE,
        customer_id,
        profile.name,
        profile.language,
        profile.timezone,
        profile.preferred_channel,
        list(profile.tags),
        profile.owner,
        json.dumps(profile.traits or {}, ensure_ascii=False),
        now,
    )


# --- lists ----------------------------------------------------------------------------------------------------------


class Filter(NamedTuple):
    """What narrows a list: the band as of the last touchpoint, a tag, a segment, and a (programme, tier)."""

    band: str | None = None
    tag: str | None = None
    segment: str | None = None
    tier: tuple[str, str] | None = None


class Place(NamedTuple):
    """Where a customer stands in the answer to a search: those whom an identifier names first, then by name."""

    by_name: bool
    sort_name: str
    id: UUID


ALL: Final = Filter()
FIRST_ID: Final = UUID(int=0)
LAST_ID: Final = UUID(int=2**128 - 1)
START: Final = Place(by_name=False, sort_name="", id=FIRST_ID)

_LISTED = "s.merged_into IS NULL AND s.erased_at IS NULL"

# Names are compared byte by byte (~<~ and its kin), which is what ix_customers_name is sorted by. Everything that
# begins with a prefix stands between the prefix and the prefix with the last of all characters behind it.
_NAME_MATCHES = "lower(c.name) ~>=~ lower($4) AND lower(c.name) ~<~ (lower($4) || chr(1114111))"
_NAME_AFTER = "lower(c.name) ~>=~ $5 AND (lower(c.name) ~>~ $5 OR c.id > $6)"


def _narrowed(narrow: Filter, arguments: list[object]) -> str:
    """The condition of a filter; its values join the arguments.

    Written per filter instead of as `$1 IS NULL OR ...`, which would keep the indexes out of a prepared plan.
    """
    conditions = [_LISTED]
    if narrow.band is not None:
        arguments.append(narrow.band)
        conditions.append(f"s.band = ${len(arguments)}")
    tags = [] if narrow.tag is None else [narrow.tag]
    if narrow.segment is not None:
        tags.append(SEGMENT_PREFIX + narrow.segment)
    if tags:
        arguments.append(tags)
        conditions.append(f"c.tags @> ${len(arguments)}::text[]")
    if narrow.tier is not None:
        arguments.extend(narrow.tier)
        conditions.append(f"m.program = ${len(arguments) - 1} AND m.tier = ${len(arguments)}")
    return " AND ".join(conditions)


def _from(narrow: Filter) -> str:
    return _FROM if narrow.tier is None else f"{_FROM} JOIN loyalty_accounts m ON m.customer_id = c.id"


async def newest(
    connection: asyncpg.Connection, limit: int, narrow: Filter = ALL, before: UUID = LAST_ID
) -> list[Customer]:
    """The customers who came last, newest first, older than `before`."""
    arguments: list[object] = [limit, before]
    # With a band the walk is along ix_customer_states_band, with a tier along ix_loyalty_accounts_tier, which know the
    # id by its other name. The bound is said for all: on one side of a join it is not seen on the other, and a page
    # deep inside would read all above it.
    key = "m.customer_id" if narrow.tier else "c.id" if narrow.band is None else "s.customer_id"
    bound = "AND m.customer_id < $2" if narrow.tier else ""
    rows = await connection.fetch(
        f"""
        {_SELECT} {_from(narrow)}
        WHERE c.id < $2 AND s.customer_id < $2 {bound} AND {_narrowed(narrow, arguments)}
        ORDER BY {key} DESC
        LIMIT $1
        """,
        *arguments,
    )
    return [_customer(row) for row in rows]


async def matching(
    connection: asyncpg.Connection,
    limit: int,
    prefix: str,
    holders: Collection[UUID],
    narrow: Filter = ALL,
    *,
    after: Place = START,
) -> list[tuple[Place, Customer]]:
    """The customers whose names begin with `prefix`, behind those among `holders`; each with its place."""
    ahead = [] if after.by_name else [customer_id for customer_id in holders if customer_id > after.id]
    name, customer_id = (after.sort_name, after.id) if after.by_name else ("", FIRST_ID)
    arguments: list[object] = [limit, ahead, list(holders), prefix, name, customer_id]
    narrowed = _narrowed(narrow, arguments)
    rows = await connection.fetch(
        f"""
        SELECT * FROM (
          {_SELECT}, false AS by_name, '' AS sort_name {_from(narrow)} WHERE c.id = ANY ($2::uuid[]) AND {narrowed}
          UNION ALL (
            {_SELECT}, true, lower(c.name) {_from(narrow)}
            WHERE {_NAME_MATCHES} AND {_NAME_AFTER} AND c.id <> ALL ($3::uuid[]) AND {narrowed}
            ORDER BY lower(c.name) USING ~<~, c.id
            LIMIT $1
          )
        ) AS found
        ORDER BY by_name, sort_name USING ~<~, id
        LIMIT $1
        """,  # noqa: S608 - constants of this module and numbers of arguments
        *arguments,
    )
    return [(Place(row["by_name"], row["sort_name"], row["id"]), _customer(row)) for row in rows]
