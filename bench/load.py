"""The data under test: a throw-away PostgreSQL, its databases, customers by the hundred thousand, years of purchases.

Everything is written by the server itself, from generated series. A customer's history depends on their number alone,
so the states can be folded by the domain's own code: what is loaded is what ingest would have stored.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from app.domain.canonical import canonical_json
from app.domain.health.facts import fact_of
from app.domain.health.history import fold
from app.domain.health.state import EMPTY, State
from app.storage.database import connect_arguments
from app.storage.embedded import SUPERUSER, EmbeddedServer, start_embedded, stop_embedded
from app.storage.migrate import migrate
from bench import club

CUSTOMER_ID_PREFIX = "01930000-0000-7000-8000-"
DAY_SECONDS = 86_400
USUAL_PURCHASES = 10
PROBED_PURCHASES = 100
# Customers differ in how often they buy and in what they pay: by their number, in this many ways.
PATTERNS = 16

CUSTOMERS = """
WITH numbers AS (
    SELECT n, ($4 || lpad(to_hex(n), 12, '0'))::uuid AS id, 'shop-' || lpad(n::text, 7, '0') AS own
    FROM generate_series(1, $1::bigint) AS n
), c AS (
    INSERT INTO customers (id, name, created_at, updated_at)
    SELECT id, 'Customer ' || n, $2::timestamptz, $2::timestamptz FROM numbers
), i AS (
    INSERT INTO customer_identifiers (customer_id, type, value_key, value, created_at, origin_customer_id)
    SELECT id, 'external_id', own, own, $2, id FROM numbers
), l AS (
    INSERT INTO identifier_claims (type, value_key, customer_id)
    SELECT 'external_id', own, id FROM numbers
)
INSERT INTO customer_states (customer_id, state) SELECT id, $3::bytea FROM numbers
"""

# Ordered by time, as they would have come: a customer's rows lie far apart.
PURCHASES = """
INSERT INTO touchpoints (
    customer_id, origin_customer_id, source, id, kind, occurred_at, received_at, channel, amount_minor, currency,
    value_minor, thread, description, items, body_sha256, outcome
)
SELECT
    id, id, 'shop-eu', 'history-' || own, 'purchase', bought, bought + interval '1 second', 'web', amount, 'EUR',
    amount, 'order:H-' || own, 'Order H-' || own || ', 1 item',
    jsonb_build_array(jsonb_build_object('sku', 'S-1', 'quantity', 1, 'amount_minor', amount, 'category', 'shoes')),
    sha256(own::bytea),
    '{"score": 72, "band": "healthy", "before": 64, "delta": 8, "band_changed": true, "model": "2026.1",
      "reasons": ["Bought again after 12 days; usual gap is 30"]}'::jsonb
FROM (
    SELECT
        n, n || '-' || k AS own, ($5 || lpad(to_hex(n), 12, '0'))::uuid AS id,
        $4::timestamptz - make_interval(days => (1 + k * (3 + n % $6::bigint))::int) AS bought,
        1000 + (k * 37) % 5000 + (n % $6::bigint) * 100 AS amount
    FROM generate_series($1::bigint, $2::bigint) AS n, generate_series(0, $3::bigint - 1) AS k
) AS made
ORDER BY bought, n
"""

STATES = """
UPDATE customer_states SET state = made.state
FROM unnest($3::int[], $4::bytea[]) AS made (pattern, state), generate_series($1::bigint, $2::bigint) AS n
WHERE customer_id = ($5 || lpad(to_hex(n), 12, '0'))::uuid AND n % cardinality($3) = made.pattern
"""

POINTS = 2_000_000_000
# One grant each, as an import would have written it; no run looks at the hashes.
CLUB = """
INSERT INTO loyalty_programs (code, name, currency, time_zone, created_at, created_by, revision, versions)
VALUES ('main', 'Club', 'EUR', 'Europe/Berlin', $1, 'bench', 2, 1)
"""
RULES = """
INSERT INTO loyalty_versions (
    program, version, status, body, sha256, effective_from, created_at, created_by, published_at, published_by
) VALUES (
    'main', 1, 'published', convert_from($2::bytea, 'UTF8')::jsonb, sha256($2::bytea), $1, $1, 'bench', $1, 'bench'
)
"""
ACCOUNTS = """
WITH numbers AS (
    SELECT n, ($3 || lpad(to_hex(n), 12, '0'))::uuid AS id FROM generate_series(1, $1::bigint) AS n
), a AS (
    INSERT INTO loyalty_accounts (
        customer_id, program, account_id, seq, head, last_at, debt, lifetime_earned, lifetime_burned,
        lifetime_expired, tier, tier_since, review_at, due_at, opened_at, revision, ruled_by
    )
    SELECT id, 'main', id, 1, sha256(id::text::bytea), $2, 0, $4::bigint, 0, 0, 'base', $2,
        $2::timestamptz + interval '1 year', $2::timestamptz + interval '11 months', $2, 1, 1
    FROM numbers
), e AS (
    INSERT INTO loyalty_entries (
        customer_id, program, seq, kind, points, at, effective_at, movements, hash, key, debt_change, forgiven,
        qualifying, activates_at, expires_at
    )
    SELECT id, 'main', 1, 'opening', $4, $2, $2, jsonb_build_array(jsonb_build_array(1, 'grant', $4::bigint)),
        sha256(id::text::bytea), 'opening', 0, 0, 0, $2, $2::timestamptz + interval '1 year'
    FROM numbers
)
INSERT INTO loyalty_lots (
    customer_id, program, lot, activates_at, expires_at, granted, drawn, restored, revoked, expired, absorbed, moved,
    held, remaining
)
SELECT id, 'main', 1, $2, $2::timestamptz + interval '1 year', $4, 0, 0, 0, 0, 0, 0, 0, $4 FROM numbers
"""


@contextmanager
def throw_away_server() -> Iterator[EmbeddedServer]:
    """An embedded PostgreSQL with the settings it is shipped with; it and its data are gone after the block."""
    # Short: the path of a socket has about a hundred bytes.
    home = Path(tempfile.mkdtemp(prefix="rb", dir="/tmp"))
    try:
        server = start_embedded(home)
        try:
            yield server
        finally:
            stop_embedded(server)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def create(server: EmbeddedServer, database: str, customers: int) -> None:
    """A migrated database with `customers` customers of whom nothing is known yet."""
    _run(server, SUPERUSER, (f'CREATE DATABASE "{database}"',))
    migrate(server.url(database=database))
    _run(
        server,
        database,
        (CUSTOMERS, customers, datetime.now(UTC), EMPTY.encode(), CUSTOMER_ID_PREFIX),
        *_settle(),
    )


def clone(server: EmbeddedServer, database: str, template: str) -> None:
    """A copy of a database that nobody is connected to."""
    _run(server, SUPERUSER, (f'CREATE DATABASE "{database}" TEMPLATE "{template}" STRATEGY file_copy',))


def add_history(server: EmbeddedServer, database: str, plan: list[tuple[range, int]]) -> None:
    """`plan` says which customers bought how often until now; each customer is named once."""
    newest = datetime.now(UTC).replace(microsecond=0)
    statements: list[tuple[Any, ...]] = []
    for customers, count in plan:
        first, last = customers[0], customers[-1]
        patterns = list(range(PATTERNS))
        states = [history_state(pattern, count, int(newest.timestamp())).encode() for pattern in patterns]
        statements += [
            (PURCHASES, first, last, count, newest, CUSTOMER_ID_PREFIX, PATTERNS),
            (STATES, first, last, patterns, states, CUSTOMER_ID_PREFIX),
        ]
    _run(server, database, *statements, *_settle())


def add_points(server: EmbeddedServer, database: str, customers: int) -> None:
    """A programme under whose rules purchases earn, and an account with POINTS for every customer.

    As an import leaves it: the points lapse in a year, and the clock looks at it a month before.
    """
    since = datetime.now(UTC)
    _run(
        server,
        database,
        (CLUB, since),
        (RULES, club.IN_FORCE_SINCE, canonical_json(club.RULES)),
        (ACCOUNTS, customers, since, CUSTOMER_ID_PREFIX, POINTS),
        *_settle(),
    )


def few_and_many(customers: int) -> tuple[list[tuple[range, int]], list[tuple[range, int]]]:
    """Plans for a tenth as many touchpoints as customers, and for ten times as many as customers.

    The customers from 1 to a hundredth have 10 purchases in the first and 100 in the second plan, so that reads of
    theirs see both grow: the log a hundredfold and their own history tenfold. In the second all others have 9 or 10.
    """
    probed = customers // 100
    rest = customers * 10 - probed * PROBED_PURCHASES
    others = customers - probed
    tenth = rest - 9 * others
    return [(range(1, probed + 1), USUAL_PURCHASES)], [
        (range(1, probed + 1), PROBED_PURCHASES),
        (range(probed + 1, probed + tenth + 1), 10),
        (range(probed + tenth + 1, customers + 1), 9),
    ]


def history_state(number: int, count: int, newest: int) -> State:
    """The state of customer `number` after the `count` purchases that PURCHASES writes up to second `newest`."""
    pattern = number % PATTERNS
    return fold(
        fact_of(
            "purchase",
            newest - DAY_SECONDS * (1 + k * (3 + pattern)),
            f"history-{number}-{k}",
            amount=1000 + (k * 37) % 5000 + pattern * 100,
            order_id=f"H-{number}-{k}",
        )
        for k in range(count)
    )


def usual_state() -> bytes:
    """A stored state as long as that of a customer with a dozen purchases or so."""
    return history_state(7, USUAL_PURCHASES, int(datetime.now(UTC).timestamp())).encode()


def _settle() -> list[tuple[Any, ...]]:
    """Nothing that was put off during the load is left for the measured time."""
    return [("VACUUM (ANALYZE)",), ("CHECKPOINT",)]


def _run(server: EmbeddedServer, database: str, *statements: tuple[Any, ...]) -> None:
    asyncio.run(_execute(server.url(database=database), statements))


async def _execute(url: str, statements: tuple[tuple[Any, ...], ...]) -> None:
    connection = await asyncpg.connect(**connect_arguments(url))
    try:
        for statement, *arguments in statements:
            await connection.execute(statement, *arguments)
    finally:
        await connection.close()
