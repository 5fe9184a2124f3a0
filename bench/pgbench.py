"""Yardstick: the same work said in SQL, by PostgreSQL's own benchmark. One transaction per event, no HTTP, no score.

The script inserts a touchpoint as wide as ours (the same columns, a body hash, an outcome) and rewrites the customer's
state. Customers are picked by computing their id, and what never changes is a constant: both favour the yardstick.
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
ITEMS = [{"sku": "SKU-01234", "quantity": 1, "amount_minor": 4999, "category": "shoes"}]

SCRIPT = """\
\\set customer random(1, :customers)
\\set touchpoint random(1, 1000000000000000)
\\set amount random(500, 20000)
\\set age random(1, 3600)
BEGIN;
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
END;
"""
CUSTOMER = f"('{CUSTOMER_ID_PREFIX}' || lpad(to_hex(:customer::bigint), 12, '0'))::uuid"
TPS = re.compile(r"^tps = ([0-9.]+) \(without initial connection time\)$", re.MULTILINE)
FAILED = re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE)
LATENCY_COLUMN = 2  # microseconds, in each line of pgbench's --log


@dataclass(frozen=True, slots=True)
class Measured:
    rate: float
    p50_ms: float


def script() -> str:
    return SCRIPT.format(
        customer=CUSTOMER,
        items=json.dumps(ITEMS),
        outcome=json.dumps(OUTCOME),
        digest="5a" * 32,
        state=usual_state().hex(),
    )


def measure(binaries: Path, url: str, *, customers: int, clients: int, seconds: float, seed: int) -> Measured:
    """Run the script with `clients` connections. RuntimeError when pgbench, or any transaction, fails."""
    target = make_url(url)
    host = target.query["host"]
    with tempfile.TemporaryDirectory(prefix="rb") as scratch:
        file = Path(scratch) / "event.sql"
        file.write_text(script())
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
