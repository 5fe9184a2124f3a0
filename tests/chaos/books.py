"""The ledger's books, added up by SQL alone: nothing here asks the code that wrote them.

Each check is a statement that answers whom it does not hold for. All of them are about rows that one transaction writes
together: where they differ, some transaction was written by half, or twice.
"""

from collections.abc import Mapping
from types import MappingProxyType

import asyncpg

from tests.chaos.findings import Findings
from tests.chaos.programme import PER_AMOUNT_MINOR, REWARD, STOCK

_COUNTERS = MappingProxyType(
    {
        "granted": "grant",
        "drawn": "draw",
        "restored": "restore",
        "revoked": "revoke",
        "expired": "expire",
        "absorbed": "absorb",
    }
)
_MOVED = ", ".join(
    f"coalesce(sum((m ->> 2)::bigint) FILTER (WHERE m ->> 1 = '{what}'), 0) AS {counter}"
    for counter, what in _COUNTERS.items()
)
_DIFFERENT = " OR ".join(f"moved.{counter} IS DISTINCT FROM l.{counter}" for counter in _COUNTERS)
# An order's id is between the slash and the first colon of the key: no id of the clients has either.
_ORDER_OF_KEY = r"regexp_replace(key, '^order:[^/]*/([^:]+):.*$', '\1')"

_BALANCES: Mapping[str, str] = {
    "the sum of the entries is not that of the lots less the debt": """
SELECT a.customer_id::text FROM loyalty_accounts a
LEFT JOIN (SELECT customer_id, program, sum(points) AS points FROM loyalty_entries GROUP BY 1, 2) e
  USING (customer_id, program)
LEFT JOIN (SELECT customer_id, program, sum(remaining) AS remaining FROM loyalty_lots GROUP BY 1, 2) l
  USING (customer_id, program)
WHERE coalesce(e.points, 0) <> coalesce(l.remaining, 0) - a.debt""",
    "the entries are not numbered from 1 to that of the account": """
SELECT coalesce(a.customer_id, e.customer_id)::text FROM loyalty_accounts a
FULL JOIN (SELECT customer_id, program, count(*) AS entries, max(seq) AS newest FROM loyalty_entries GROUP BY 1, 2) e
  USING (customer_id, program)
WHERE coalesce(e.entries, 0) IS DISTINCT FROM a.seq OR coalesce(e.newest, 0) IS DISTINCT FROM a.seq""",
    "an entry's points are not those of its movements and its debt": """
SELECT customer_id::text || ' ' || seq FROM loyalty_entries
WHERE points <> (
  SELECT coalesce(sum((m ->> 2)::bigint * CASE WHEN m ->> 1 IN ('grant', 'restore') THEN 1 ELSE -1 END), 0)
  FROM jsonb_array_elements(movements) m
) - debt_change""",
    "a lot is not the sum of the movements of the entries": f"""
SELECT coalesce(l.customer_id, moved.customer_id)::text || ' ' || coalesce(l.lot, moved.lot)
FROM (
  SELECT customer_id, program, (m ->> 0)::integer AS lot, {_MOVED}
  FROM loyalty_entries, jsonb_array_elements(movements) m GROUP BY 1, 2, 3
) moved FULL JOIN loyalty_lots l ON l.customer_id = moved.customer_id AND l.program = moved.program
  AND l.lot = moved.lot
WHERE {_DIFFERENT}""",  # noqa: S608 - this module's constants
    "what is held of a lot is not what open holds have locked": """
SELECT l.customer_id::text || ' ' || l.lot FROM loyalty_lots l LEFT JOIN (
  SELECT customer_id, program, (k ->> 0)::integer AS lot, sum((k ->> 1)::bigint) AS points
  FROM loyalty_holds, jsonb_array_elements(locks) k WHERE state = 'open' GROUP BY 1, 2, 3
) h USING (customer_id, program, lot)
WHERE l.held <> coalesce(h.points, 0)""",
}

_SPENDING: Mapping[str, str] = {
    "a captured hold, its spend and its entry are not the same points": """
SELECT coalesce(h.customer_id, s.customer_id, e.customer_id)::text || ' ' || coalesce(h.hold_id, s.spend_id, e.key)
FROM (SELECT * FROM loyalty_holds WHERE state = 'captured') h
FULL JOIN loyalty_spends s
  ON s.customer_id = h.customer_id AND s.program = h.program AND s.spend_id = h.hold_id
FULL JOIN (SELECT * FROM loyalty_entries WHERE kind = 'spend') e
  ON e.customer_id = s.customer_id AND e.program = s.program AND e.key = s.spend_id
WHERE h.captured IS DISTINCT FROM s.points OR e.points IS DISTINCT FROM -s.points""",
    "the log does not tell of what was spent": """
SELECT coalesce(s.customer_id, t.customer_id)::text FROM (
  SELECT customer_id, array_agg(points ORDER BY points) AS points FROM loyalty_spends GROUP BY 1
) s FULL JOIN (
  SELECT customer_id, array_agg((properties ->> 'points')::bigint ORDER BY (properties ->> 'points')::bigint) AS points
  FROM touchpoints WHERE kind = 'points_redeemed' GROUP BY 1
) t USING (customer_id)
WHERE s.points IS DISTINCT FROM t.points""",
    "what was given back of a spend is not what its lots and its refunds say": """
SELECT customer_id::text || ' ' || spend_id FROM loyalty_spends
WHERE points - refundable <> (SELECT coalesce(sum((r ->> 1)::bigint), 0) FROM jsonb_array_elements(refunds) r)
  OR points - refundable <> (SELECT coalesce(sum((d ->> 2)::bigint), 0) FROM jsonb_array_elements(draws) d)""",
    "what was given back has not been booked": """
SELECT customer_id::text FROM (SELECT customer_id, sum(points - refundable) AS back FROM loyalty_spends GROUP BY 1) s
FULL JOIN (
  SELECT customer_id, sum(points) AS booked FROM loyalty_entries WHERE kind IN ('restore', 'reinstate') GROUP BY 1
) e USING (customer_id)
WHERE coalesce(back, 0) <> coalesce(booked, 0)""",
    "the stock and what was handed out are not what there was": f"""
SELECT code FROM loyalty_rewards r
WHERE stock + (
    SELECT count(*) FROM loyalty_spends WHERE reward = r.code AND failed IS NULL AND refundable > 0
  ) <> {STOCK}
  OR code <> '{REWARD}'""",  # noqa: S608 - this module's constants
    "a redemption of a reward has not the one coupon that was taken for it": """
SELECT coalesce(s.spend_id, c.taken_for) FROM (SELECT * FROM loyalty_spends WHERE reward IS NOT NULL) s
FULL JOIN (SELECT * FROM loyalty_coupons WHERE taken_by IS NOT NULL) c
  ON c.taken_by = s.customer_id AND c.taken_for = s.spend_id
WHERE s.coupon IS DISTINCT FROM c.code""",
}

_EARNING: Mapping[str, str] = {
    "what was earned is not what its entry says": """
SELECT coalesce(r.customer_id, e.customer_id)::text || ' ' || coalesce(r.key, e.key) FROM loyalty_earns r
FULL JOIN (SELECT * FROM loyalty_entries WHERE kind = 'earn') e USING (customer_id, program, key)
WHERE r.key IS NULL OR r.points <> coalesce(e.points, 0)""",
    "an order has not earned once what its rule gives": f"""
SELECT coalesce(p.customer_id, r.customer_id)::text || ' ' || coalesce(p.order_id, r.order_id) FROM (
  SELECT customer_id, substr(thread, 7) AS order_id,
    array_agg(amount_minor ORDER BY amount_minor) AS paid,
    array_agg(amount_minor / {PER_AMOUNT_MINOR} ORDER BY amount_minor) AS points
  FROM touchpoints WHERE kind = 'purchase' GROUP BY 1, 2
) p FULL JOIN (
  SELECT customer_id, {_ORDER_OF_KEY} AS order_id, array_agg(paid_minor ORDER BY paid_minor) AS paid,
    array_agg(points ORDER BY paid_minor) AS points
  FROM loyalty_earns GROUP BY 1, 2
) r USING (customer_id, order_id)
WHERE p.paid IS DISTINCT FROM r.paid OR p.points IS DISTINCT FROM r.points""",  # noqa: S608 - this module's constants
    "what refunds took of an order is not what they gave back": f"""
SELECT r.customer_id::text || ' ' || order_id FROM (
  SELECT customer_id, {_ORDER_OF_KEY} AS order_id, sum(paid_minor) AS paid, sum(refunded_minor) AS refunded
  FROM loyalty_earns GROUP BY 1, 2
) r LEFT JOIN (
  SELECT customer_id, substr(thread, 7) AS order_id, sum(amount_minor) AS back
  FROM touchpoints WHERE kind IN ('refund', 'order_cancelled') GROUP BY 1, 2
) b USING (customer_id, order_id)
WHERE refunded <> least(coalesce(back, 0), paid)""",  # noqa: S608 - this module's constants
    "a refund has not claimed its share of what its order earned": """
SELECT customer_id::text || ' ' || key FROM loyalty_earns
WHERE clawed + forgiven + indebted <> CASE
  WHEN refunded_minor >= paid_minor THEN points ELSE points * refunded_minor / paid_minor END""",
    "what was clawed back has not been booked": """
SELECT coalesce(r.customer_id, e.customer_id)::text FROM (
  SELECT customer_id, sum(clawed) AS clawed FROM loyalty_earns GROUP BY 1
) r FULL JOIN (
  SELECT customer_id, sum((m ->> 2)::bigint) AS revoked
  FROM loyalty_entries, jsonb_array_elements(movements) m WHERE kind = 'clawback' GROUP BY 1
) e USING (customer_id)
WHERE coalesce(clawed, 0) <> coalesce(revoked, 0)""",
}

_KEYS = """
SELECT customer_id::text || ' ' || kind || ' ' || key FROM loyalty_entries
WHERE kind IN ('earn', 'opening', 'adjust', 'spend') GROUP BY customer_id, program, kind, key HAVING count(*) > 1"""
_COUNTS = """
SELECT kind AS what, count(*) AS times FROM loyalty_entries GROUP BY 1
UNION ALL SELECT 'hold ' || state, count(*) FROM loyalty_holds GROUP BY state"""


async def balance(connected: asyncpg.Connection, findings: Findings) -> Mapping[str, int]:
    """Add everything up; how many entries there are of each kind, and holds (`hold ` and its state)."""
    for name, statement in {**_BALANCES, **_SPENDING, **_EARNING}.items():
        findings.halved += (f"{row[0]}: {name}" for row in await connected.fetch(statement))
    findings.doubled += (f"{row[0]} is a natural key twice" for row in await connected.fetch(_KEYS))
    return {row["what"]: row["times"] for row in await connected.fetch(_COUNTS)}
