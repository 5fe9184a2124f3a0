"""What the write path asks of the log is a look-up in an index, however long the customers' histories are."""

import asyncpg
import pytest

from app.storage import loading
from app.storage.database import connect_arguments
from app.storage.touchpoints import Wanted

_FILL = """
INSERT INTO touchpoints (customer_id, origin_customer_id, source, id, kind, occurred_at, received_at, thread,
  body_sha256, outcome)
SELECT c, c, 'shop', n::text, 'purchase', to_timestamp(n), to_timestamp(n), 'order:' || n, sha256(n::text::bytea),
  'null'
FROM generate_series(1, 30) AS number, lateral (SELECT lpad(number::text, 32, '0')::uuid AS c) customer,
  generate_series(1, CASE WHEN number = 1 THEN 3000 ELSE 100 END) AS n
"""


@pytest.mark.parametrize("analysed", [False, True])
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_known_rows_are_found_by_their_keys_alone(owner_url: str, mode: str, *, analysed: bool) -> None:
    connection = await asyncpg.connect(**connect_arguments(owner_url))
    try:
        await connection.execute(_FILL)
        if analysed:
            await connection.execute("ANALYZE touchpoints")
        await connection.execute(f"SET plan_cache_mode = {mode}")
        customers = [
            row["customer_id"]
            for row in await connection.fetch("SELECT DISTINCT customer_id FROM touchpoints")
        ]
        wanted = Wanted(
            [(customer_id, "shop", "7") for customer_id in customers],
            [(customer_id, "order:9") for customer_id in customers],
            [],
        )
        statement = loading._loading(threads=True, claimed=False, orders=True, tags=False, programs=True)
        plan = await connection.fetch(
            f"EXPLAIN (ANALYZE, FORMAT TEXT) {statement}",
            wanted.customer_ids(),
            wanted.as_json(),
        )
    finally:
        await connection.close()
    text = "\n".join(row[0] for row in plan)
    assert "pk_touchpoints" in text
    assert "ix_touchpoints_thread" in text
    # One row for each programme, and there are few.
    assert "Seq Scan" not in text.replace("Seq Scan on loyalty_programs", "")
    assert "ix_touchpoints_timeline" not in text
    assert "Rows Removed by Filter" not in text
