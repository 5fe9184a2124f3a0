"""Friends who were brought: the referee's row leads, the referrer's is a copy that may be a sweep behind."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import from_json, to_json

from app.domain.loyalty.referrals import Reason, Referral, State
from app.storage.loyalty.rows import micros, time_of


class StoredReferral(NamedTuple):
    """A referral as its referee's row has it; `customer_id` is the referee, `other_customer_id` the referrer.

    `origin_customer_id` is the name under which the friend came, and `other_customer_id` that of whoever brought them:
    a merge may lead from there to another customer.

    Amounts are minor units of the order's currency. `due_at`: when a worker has something to do.
    """

    customer_id: UUID
    program: str
    id: UUID
    other_customer_id: UUID
    code: str
    state: State
    reason: Reason | None
    order_id: str | None
    created_at: datetime
    at: datetime
    due_at: datetime | None
    kept_until: datetime | None
    paid_minor: int
    refunded_minor: int
    referrer_points: int | None
    referee_points: int | None
    network: bytes | None
    reviewed_by: str | None
    note: str | None
    revision: int
    origin_customer_id: UUID

    @property
    def referral(self) -> Referral:
        """What the rules ask about it."""
        return Referral(
            str(self.id),
            str(self.other_customer_id),
            str(self.customer_id),
            self.state,
            self.at,
            self.reason,
            self.order_id,
            self.kept_until,
        )

    def after(self, step: Referral, due_at: datetime | None) -> "StoredReferral":
        """The row after a step of the rules."""
        return self._replace(
            state=step.state,
            reason=step.reason,
            order_id=step.order_id,
            at=step.at,
            kept_until=step.due_at,
            due_at=due_at,
            revision=self.revision + 1,
        )


class Place(NamedTuple):
    """Which referral is due, and since when."""

    due_at: datetime
    customer_id: UUID
    program: str
    id: UUID


class Standing(NamedTuple):
    """What the referrer has had so far, and whether the friend's network is known of others."""

    rewarded_this_year: int
    today: int
    same_network: bool


FIRST_PLACE: Final = Place(datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0), "", UUID(int=0))
"""Before all that is due."""

_COLUMNS: Final = ", ".join(StoredReferral._fields)
_SHARED: Final = ", ".join(
    name
    for name in StoredReferral._fields
    if name not in {"customer_id", "other_customer_id", "origin_customer_id", "due_at", "network"}
)
_CHANGING: Final = (
    "state, reason, order_id, at, due_at, kept_until, paid_minor, refunded_minor, referrer_points, referee_points,"
    " network, reviewed_by, note, revision"
)


# --- what is known when a friend comes --------------------------------------------------------------------------------


async def emails_of(connection: asyncpg.Connection, customer_ids: Collection[UUID]) -> dict[UUID, set[str]]:
    """The e-mail addresses of customers, as they are compared."""
    rows = await connection.fetch(
        """
        SELECT customer_id, value_key FROM customer_identifiers
        WHERE customer_id = ANY ($1::uuid[]) AND type = 'email'
        """,
        list(customer_ids),
    )
    found: dict[UUID, set[str]] = {customer_id: set() for customer_id in customer_ids}
    for customer_id, email in rows:
        found[customer_id].add(email)
    return found


async def is_taken(connection: asyncpg.Connection, program: str, keys: Collection[str]) -> bool:
    """Whether somebody with one of these keys was brought before."""
    taken: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM referred_customers WHERE program = $1 AND key = ANY ($2::text[]))",
        program,
        list(keys),
    )
    return taken


async def claim(
    connection: asyncpg.Connection, program: str, keys: Collection[str], customer_id: UUID, own_id: UUID
) -> bool:
    """Take these keys for one referral, in their order, so that two who share some wait in one direction only.

    False when one was taken meanwhile: then the caller takes back what it took.
    """
    status = await connection.execute(
        """
        INSERT INTO referred_customers (program, key, customer_id, referral_id)
        SELECT $1, key, $3, $4 FROM unnest($2::text[]) AS new (key) ON CONFLICT DO NOTHING
        """,
        program,
        sorted(keys),
        customer_id,
        own_id,
    )
    return int(status.rpartition(" ")[2]) == len(keys)


async def standing(
    connection: asyncpg.Connection,
    referrer: UUID,
    program: str,
    *,
    year_start: datetime,
    day_start: datetime,
    network: bytes | None,
    besides: UUID,
) -> Standing:
    """What limits and velocity ask about a referrer; the referral `besides` does not count."""
    row = await connection.fetchrow(
        """
        SELECT count(*) FILTER (WHERE state = 'rewarded' AND at >= $3),
          count(*) FILTER (WHERE state <> 'rejected' AND created_at >= $4),
          coalesce(bool_or(network = $5), false)
        FROM loyalty_referrals
        WHERE customer_id = $1 AND program = $2 AND side = 'referrer' AND id <> $6
        """,
        referrer,
        program,
        year_start,
        day_start,
        network,
        besides,
    )
    return Standing(*row)


async def who_brought(connection: asyncpg.Connection, customer_id: UUID, program: str) -> UUID | None:
    """Who once brought this customer."""
    found: UUID | None = await connection.fetchval(
        """
        SELECT other_customer_id FROM loyalty_referrals
        WHERE customer_id = $1 AND program = $2 AND side = 'referee' AND state <> 'rejected' ORDER BY id LIMIT 1
        """,
        customer_id,
        program,
    )
    return found


# --- referrals -------------------------------------------------------------------------------------------------------


async def find(connection: asyncpg.Connection, referee: UUID, own_id: UUID) -> StoredReferral | None:
    """The referral with this id."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM loyalty_referrals WHERE customer_id = $1 AND side = 'referee' AND id = $2",  # noqa: S608 - our own columns
        referee,
        own_id,
    )
    return None if row is None else StoredReferral(*row)


async def by_code(
    connection: asyncpg.Connection, referee: UUID, program: str, code: str
) -> StoredReferral | None:
    """What became of a friend with one code; of two who turned out to be one, of the one who was let in."""
    row = await connection.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM loyalty_referrals
        WHERE customer_id = $1 AND program = $2 AND side = 'referee' AND code = $3
        ORDER BY state = 'rejected', id LIMIT 1
        """,  # noqa: S608 - our own columns
        referee,
        program,
        code,
    )
    return None if row is None else StoredReferral(*row)


async def write(connection: asyncpg.Connection, one: StoredReferral, referrer: UUID) -> None:
    """Write a referral to both its customers, who are locked. `referrer` is who the referrer's name leads to."""
    names = StoredReferral._fields
    place = {name: f"${number}" for number, name in enumerate(names, 1)}
    typed = {**place, "due_at": f"{place['due_at']}::timestamptz", "network": f"{place['network']}::bytea"}
    # A friend's network stays with both: the referrer's row is where the next friend is compared.
    shared = ", ".join(f"{place[name]}" for name in _SHARED.split(", "))
    taken = ", ".join(f"{name} = excluded.{name}" for name in _CHANGING.split(", "))
    origin, other = place["origin_customer_id"], place["other_customer_id"]
    await connection.execute(
        f"""
        INSERT INTO loyalty_referrals (
          customer_id, origin_customer_id, other_customer_id, side, due_at, network, {_SHARED}
        )
        SELECT s.customer_id, s.origin, s.other, s.side, s.due_at, {typed["network"]}, {shared}
        FROM (VALUES
          ({place["customer_id"]}::uuid, {origin}::uuid, {other}::uuid, 'referee', {typed["due_at"]}),
          (${len(names) + 1}::uuid, {other}::uuid, {origin}::uuid, 'referrer', NULL)
        ) AS s (customer_id, origin, other, side, due_at)
        ON CONFLICT (customer_id, program, id, side) DO UPDATE SET {taken}
        """,  # noqa: S608 - our own columns and numbers
        *one,
        referrer,
    )


async def rest(connection: asyncpg.Connection, one: StoredReferral) -> None:
    """Nobody need look at it again. The referee is locked."""
    await connection.execute(
        "UPDATE loyalty_referrals SET due_at = NULL WHERE customer_id = $1 AND program = $2 AND id = $3",
        one.customer_id,
        one.program,
        one.id,
    )


class Listing(NamedTuple):
    """What a list is narrowed to."""

    state: str | None = None
    customer_id: UUID | None = None


async def newest(
    connection: asyncpg.Connection, narrow: Listing, limit: int, before: UUID
) -> list[StoredReferral]:
    """Referrals, the newest first: of the whole shop (schema rule 7: a list, which only reads), or those that a
    customer made or came by.
    """
    if narrow.customer_id is None:
        rows = await connection.fetch(
            f"""
            SELECT {_COLUMNS} FROM loyalty_referrals
            WHERE side = 'referee' AND id < $1 AND {"true" if narrow.state is None else "state = $3"}
            ORDER BY id DESC LIMIT $2
            """,  # noqa: S608 - our own columns
            before,
            limit,
            *(() if narrow.state is None else (narrow.state,)),
        )
        return [StoredReferral(*row) for row in rows]
    rows = await connection.fetch(
        f"""
        SELECT DISTINCT ON (id) {_COLUMNS}, side FROM loyalty_referrals
        WHERE customer_id = $1 AND id < $2 AND ($4::text IS NULL OR state = $4)
        ORDER BY id DESC, side LIMIT $3
        """,  # noqa: S608 - our own columns
        narrow.customer_id,
        before,
        limit,
        narrow.state,
    )
    return [_of_side(row) for row in rows]


def _of_side(row: asyncpg.Record) -> StoredReferral:
    one = StoredReferral(*row[:-1])
    if row["side"] == "referee":
        return one
    referee = one.other_customer_id
    return one._replace(
        customer_id=referee, origin_customer_id=referee, other_customer_id=one.origin_customer_id
    )


# --- what follows from orders, and what is due -----------------------------------------------------------------------

ROW: Final = (
    "json_build_array(x.customer_id, x.program, x.id, x.other_customer_id, x.code, x.state, x.reason, x.order_id,"
    f" {micros('x.created_at')}, {micros('x.at')}, {micros('x.due_at')}, {micros('x.kept_until')}, x.paid_minor,"
    " x.refunded_minor, x.referrer_points, x.referee_points, NULL, x.reviewed_by, NULL, x.revision,"
    " x.origin_customer_id)"
)
"""SQL of a row `x` as `open_of_row` reads it: without what orders do not ask about."""

OPEN: Final = "x.side = 'referee' AND x.state IN ('attributed', 'pending', 'rewarded')"
"""The condition of referrals that an order of the friend can still move."""

# As a part of a statement that writes more (saving.py); who saves says which revision was read.
STEP: Final = """
UPDATE loyalty_referrals r SET state = new.state, reason = new.reason, order_id = new.order_id, at = new.at,
  due_at = new.due_at, kept_until = new.kept_until, paid_minor = new.paid_minor,
  refunded_minor = new.refunded_minor, revision = new.revision
FROM json_to_recordset($2::text::json -> 'referrals') AS new (
  customer_id uuid, program text, id uuid, state text, reason text, order_id text, at timestamptz,
  due_at timestamptz, kept_until timestamptz, paid_minor bigint, refunded_minor bigint, revision integer
)
WHERE r.customer_id = new.customer_id AND r.customer_id = ANY ($1::uuid[]) AND r.program = new.program
  AND r.id = new.id AND r.side = 'referee' AND r.revision = new.revision - 1
RETURNING true"""

_STEPPED: Final = [
    "customer_id",
    "program",
    "id",
    "state",
    "reason",
    "order_id",
    "at",
    "due_at",
    "kept_until",
    "paid_minor",
    "refunded_minor",
    "revision",
]


def open_of_row(row: list[Any]) -> StoredReferral:
    """A referral from `ROW`."""
    ids = UUID(row[0]), row[1], UUID(row[2]), UUID(row[3])
    times = [None if at is None else time_of(at) for at in row[8:12]]
    return StoredReferral._make((*ids, *row[4:8], *times, *row[12:-1], UUID(row[-1])))


def step_row(one: StoredReferral) -> dict[str, Any]:
    """A referral for `STEP`."""
    return {name: getattr(one, name) for name in _STEPPED}


async def open_of(connection: asyncpg.Connection, customer_ids: Collection[UUID]) -> list[StoredReferral]:
    """The referrals by which these customers came and that an order of theirs can still move. They are locked."""
    rows = await connection.fetch(
        f"SELECT {ROW}::text FROM loyalty_referrals x WHERE x.customer_id = ANY ($1::uuid[]) AND {OPEN}",  # noqa: S608 - our own columns
        list(customer_ids),
    )
    return [open_of_row(from_json(row[0])) for row in rows]


async def step(connection: asyncpg.Connection, moved: Sequence[StoredReferral]) -> bool:
    """Write what orders did to referrals of locked referees, in one statement; the referrers' rows come by a worker.

    False when one was written by somebody else since it was read: the transaction must not commit.
    """
    sent = to_json({"referrals": [step_row(one) for one in moved]}).decode()
    taken = await connection.fetch(STEP, list({one.customer_id for one in moved}), sent)
    return len(taken) == len(moved)


async def due(connection: asyncpg.Connection, now: datetime, limit: int, after: Place) -> list[Place]:
    """Referrals that a worker has something to do about, by their time (schema rule 7: a sweep)."""
    rows = await connection.fetch(
        """
        SELECT due_at, customer_id, program, id FROM loyalty_referrals
        WHERE due_at <= $1 AND (due_at, customer_id, program, id) > ($2, $3, $4, $5)
        ORDER BY due_at, customer_id, program, id LIMIT $6
        """,
        now,
        *after,
        limit,
    )
    return [Place(*row) for row in rows]
