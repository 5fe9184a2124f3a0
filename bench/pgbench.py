"""Yardstick: the same work said in SQL, by PostgreSQL's own benchmark. One transaction per event, no HTTP, no score.

The script inserts a touchpoint as wide as ours (the same columns, a body hash, an outcome) and rewrites the customer's
state; for a purchase that earns it also writes the same rows of the ledger. Customers are picked by computing their id,
and what never changes is a constant: both favour the yardstick.
(chr(58) is a colon: pgbench sees a variable in every word after one, in quotes as well.)
"""

import json
import re
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from bench.bodies import HELD
from bench.load import CUSTOMER_ID_PREFIX, usual_state

OUTCOME = {
    "score": 72,
    "band": "healthy",
    "before": 64,
    "delta": 8,
    "band_changed": True,
    "reasons": ["Bought again after 12 days; usual gap is 30"],
    "model": "2026.1",
}
EXPLAIN = {
    "points": 49,
    "exact": "49.99",
    "version": 1,
    "arrived": {"tier": "base"},
    "rules": [
        {"rule": "base", "points": "49.99", "reason": None, "why": None, "missing_minor": None},
        {
            "rule": "shoes",
            "points": "0",
            "reason": "no_matching_line",
            "why": "nothing in the order is of this kind",
            "missing_minor": None,
        },
    ],
    "missing_minor": 1,
    "reason": None,
    "why": None,
}
ITEMS = [{"sku": "SKU-01234", "quantity": 1, "amount_minor": 4999, "category": "shoes"}]

VARIABLES = """\
\\set customer random(1, :customers)
\\set touchpoint random(1, 1000000000000000)
\\set amount random(500, 20000)
\\set age random(1, 3600)
"""
EVENT = """\
INSERT INTO touchpoints (
    customer_id, origin_customer_id, source, id, kind, occurred_at, received_at, channel, amount_minor, currency,
    value_minor, thread, description, items, body_sha256, outcome
) VALUES (
    {customer}, {customer}, 'shop-eu', 'pgbench-' || lpad(:touchpoint::bigint::text, 16, '0'), 'purchase',
    now() - make_interval(secs => :age::int), now(), 'web', :amount::bigint, 'EUR', :amount::bigint,
    'order' || chr(58) || 'A-pgbench-' || :touchpoint::bigint, 'Order A-0123456789abcdef, 1 item', '{items}',
    '\\x{digest}', '{outcome}'
);
UPDATE customer_states SET state = '\\x{state}', band = 'healthy', score = :amount::int / 200.0, scored_at = now()
WHERE customer_id = {customer};
"""
EARNED = """\
UPDATE loyalty_accounts SET seq = seq + 1, head = '\\x{digest}', last_at = now(),
    lifetime_earned = lifetime_earned + :amount::bigint / 100, revision = revision + 1
WHERE customer_id = {customer} AND program = 'main'
RETURNING seq \\gset
INSERT INTO loyalty_entries (
    customer_id, program, seq, kind, points, at, effective_at, movements, hash, key, debt_change, forgiven, qualifying,
    qualified_at, activates_at, expires_at
) VALUES (
    {customer}, 'main', :seq::int, 'earn', :amount::bigint / 100, now(), now() - make_interval(secs => :age::int),
    jsonb_build_array(jsonb_build_array(:seq::int, 'grant', :amount::bigint / 100)), '\\x{digest}', {key}, 0, 0,
    :amount::bigint / 100, now() - make_interval(secs => :age::int), now() + interval '14 days',
    now() + interval '1 year'
);
INSERT INTO loyalty_lots (
    customer_id, program, lot, activates_at, expires_at, earn_key, granted, drawn, restored, revoked, expired, absorbed,
    moved, held, remaining
) VALUES (
    {customer}, 'main', :seq::int, now() + interval '14 days', now() + interval '1 year', {key},
    :amount::bigint / 100, 0, 0, 0, 0, 0, 0, 0, :amount::bigint / 100
);
INSERT INTO loyalty_earns (
    customer_id, program, key, points, paid_minor, occurred_at, lots, qualifying, refunded_minor, clawed, forgiven,
    indebted, lapsed, recoverable, disqualified, clawbacks, explain
) VALUES (
    {customer}, 'main', {key}, :amount::bigint / 100, :amount::bigint, now() - make_interval(secs => :age::int),
    ARRAY[:seq::int], :amount::bigint / 100, 0, 0, 0, 0, 0, 0, 0, '[]', '{explain}'
);
INSERT INTO orders (
    customer_id, source, order_id, origin_customer_id, cycle, is_paid, chunks, adopted, parked, effects, currency,
    revision, created_at, updated_at
) VALUES (
    {customer}, 'shop-eu', 'A-pgbench-' || :touchpoint::bigint, {customer}, 1, true,
    jsonb_build_array(jsonb_build_array(NULL, :amount::bigint, 0)), {name}, '[]',
    jsonb_build_array(jsonb_build_array('shop-eu', {name})), 'EUR', 1, now(), now()
);
"""
"""What a purchase that earns writes besides: the account, its entry, the lot and the earn of it, and the order."""

PAIR = """\
\\set customer random(1, :customers)
\\set number random(1, 140000000000000)
BEGIN;
SELECT state FROM customer_states WHERE customer_id = {customer} FOR UPDATE;
UPDATE loyalty_lots SET held = held + {points} WHERE customer_id = {customer} AND program = 'main' AND lot = 1;
UPDATE loyalty_accounts SET revision = revision + 1, due_at = now() + interval '15 minutes'
WHERE customer_id = {customer} AND program = 'main';
INSERT INTO loyalty_holds (
    customer_id, program, hold_id, id, points, locks, opened_at, expires_at, state, captured, order_id, terms, away
) VALUES (
    {customer}, 'main', {name}, {own}, {points}, '[[1, {points}]]', now(), now() + interval '15 minutes', 'open', 0,
    {order}, '[{points}, "A", null]', '[]'
);
END;
BEGIN;
SELECT state FROM customer_states WHERE customer_id = {customer} FOR UPDATE;
UPDATE loyalty_accounts SET seq = seq + 1, head = '\\x{digest}', last_at = now(),
    lifetime_burned = lifetime_burned + {points}, due_at = NULL, revision = revision + 1
WHERE customer_id = {customer} AND program = 'main'
RETURNING seq \\gset
INSERT INTO loyalty_entries (
    customer_id, program, seq, kind, points, at, effective_at, movements, hash, key, debt_change, forgiven, qualifying
) VALUES (
    {customer}, 'main', :seq::int, 'spend', -{points}, now(), now(), '[[1, "draw", {points}]]', '\\x{digest}', {name},
    0, 0, 0
);
UPDATE loyalty_lots SET held = held - {points}, drawn = drawn + {points}, remaining = remaining - {points}
WHERE customer_id = {customer} AND program = 'main' AND lot = 1;
UPDATE loyalty_holds SET state = 'captured', captured = {points}, resolved_at = now()
WHERE customer_id = {customer} AND program = 'main' AND hold_id = {name};
INSERT INTO loyalty_spends (customer_id, program, spend_id, id, points, at, draws, order_id, refunds, refundable)
VALUES ({customer}, 'main', {name}, {own}, {points}, now(), '[[1, {points}, 0]]', {order}, '[]', {points});
INSERT INTO touchpoints (
    customer_id, origin_customer_id, source, id, kind, occurred_at, received_at, thread, properties, body_sha256,
    outcome
) VALUES (
    {customer}, {customer}, 'rapport', {name}, 'points_redeemed', now(), now(), {order}, '{properties}',
    '\\x{digest}', '{outcome}'
);
UPDATE customer_states SET state = '\\x{state}', band = 'healthy', score = 72.0, scored_at = now()
WHERE customer_id = {customer};
END;
"""
"""A hold and its capture as two transactions: the lock and the writes of ours, none of its reads and decisions."""

CUSTOMER = f"('{CUSTOMER_ID_PREFIX}' || lpad(to_hex(:customer::bigint), 12, '0'))::uuid"
TPS = re.compile(r"^tps = ([0-9.]+) \(without initial connection time\)$", re.MULTILINE)
FAILED = re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE)
LATENCY_COLUMN = 2  # microseconds, in each line of pgbench's --log


@dataclass(frozen=True, slots=True)
class Measured:
    rate: float
    p50_ms: float


def pair() -> str:
    return PAIR.format(
        customer=CUSTOMER,
        points=HELD,
        name="'pgbench-' || lpad(:number::bigint::text, 16, '0')",
        order="'A-pgbench-' || lpad(:number::bigint::text, 16, '0')",
        own="('01940000-0000-7000-8000-' || lpad(to_hex(:number::bigint), 12, '0'))::uuid",
        properties=json.dumps({"points": HELD, "redemption_id": "redemption_" + "0" * 43}),
        outcome=json.dumps(OUTCOME),
        digest="5a" * 32,
        state=usual_state().hex(),
    )


def script(*, earns: bool = False) -> str:
    """One purchase; with `earns` that of a member of a programme."""
    name = "'pgbench-' || lpad(:touchpoint::bigint::text, 16, '0')"
    said = (EVENT + EARNED if earns else EVENT).format(
        customer=CUSTOMER,
        items=json.dumps(ITEMS),
        outcome=json.dumps(OUTCOME),
        digest="5a" * 32,
        state=usual_state().hex(),
        name=name,
        key=f"'order' || chr(58) || {name}",
        explain=json.dumps(EXPLAIN),
    )
    return f"{VARIABLES}BEGIN;\n{said}END;\n"


def measure(
    binaries: Path, url: str, said: str, *, customers: int, clients: int, seconds: float, seed: int
) -> Measured:
    """Run the script `said` with `clients` connections. RuntimeError when pgbench, or any transaction, fails."""
    target = make_url(url)
    host = target.query["host"]
    with tempfile.TemporaryDirectory(prefix="rb") as scratch:
        file = Path(scratch) / "event.sql"
        file.write_text(said)
        done = subprocess.run(
            [
                *(binaries / "pgbench", "--no-vacuum", "--protocol=prepared", f"--file={file}"),
                *(f"--client={clients}", "--jobs=1", f"--time={max(1, round(seconds))}"),
                *(f"--define=customers={customers}", f"--random-seed={seed}"),
                *("--log", f"--log-prefix={scratch}/log"),
                *(
                    "--host",
                    str(host),
                    "--port",
                    str(target.query["port"]),
                    "--username",
                    str(target.username),
                ),
                str(target.database),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        latencies = [
            int(line.split()[LATENCY_COLUMN]) for log in Path(scratch).glob("log.*") for line in log.open()
        ]
    rate, failed = TPS.search(done.stdout), FAILED.search(done.stdout)
    if done.returncode != 0 or rate is None or failed is None or failed[1] != "0" or not latencies:
        raise RuntimeError(f"pgbench failed: {done.stderr.strip()[-1000:]} {done.stdout.strip()[-1000:]}")
    return Measured(float(rate[1]), statistics.median(latencies) / 1000)
