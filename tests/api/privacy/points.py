"""What loyalty holds of the same person: each name that a shop gave has a word that nobody else says."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx

from app.domain.identifiers import parse_reference
from app.domain.loyalty import crediting, spending
from app.domain.loyalty.crediting import Earning
from app.domain.loyalty.rewards import coupon_key
from app.storage.database import Database
from app.usecases.loyalty.change_account import open_account, save_account
from tests.api.privacy.person import CUSTOMER, OTHERS, ok

POINT_TRACES = (
    "marionette",
    "nutcracker",
    "tambourine",
    "ukulele",
    "vuvuzela",
    "woodpecker",
    "yodelling",
    "zither",
    "dulcimer",
    "clavichord",
)


async def collect(admin: httpx.AsyncClient, database: Database, told: dict[str, Any]) -> None:
    """A programme, and points of every sort: earned, held, spent, given, proposed, merged, brought by a friend."""
    club = {"code": "main", "name": "Club", "currency": "EUR", "time_zone": "Europe/Berlin"}
    await ok(await admin.post("/v1/loyalty/programs", json=club))
    await ok(await admin.post("/v1/loyalty/programs/main/versions", json={"limits": {"approval_over": 500}}))
    await ok(await admin.post("/v1/loyalty/programs/main/versions/1/publish", json={}))
    for points, name in ((100, "tambourine-1"), (900, "tambourine-2")):
        await ok(
            await admin.post(
                "/v1/loyalty/adjustments",
                json={
                    "id": name,
                    "customer": OTHERS,
                    "points": points,
                    "reason_code": "surprise",
                    "about": f"ukulele {name}",
                    "note": "For the vuvuzela",
                },
            )
        )
    twin = {"identifiers": {"external_id": "woodpecker"}, "name": "Woodpecker"}
    await ok(await admin.post("/v1/customers", json=twin))
    await _spend(database, "external_id:woodpecker", "woodpecker")
    said = {"from": "external_id:woodpecker", "reason": "Said so while yodelling"}
    await ok(await admin.post(f"{CUSTOMER}/merge", json=said))
    await _spend(database, "external_id:crm-zq-77", "marionette")
    async with database.hot_transaction() as connection:
        await _orders_and_friends(connection, told["id"])


async def _spend(database: Database, reference: str, word: str) -> None:
    """An earn, a capture with its coupon, and a hold that is open."""
    now, code = datetime.now(UTC), f"MUG-{word[:2].upper()}"
    async with database.hot_transaction() as connection:
        held = await open_account(connection, parse_reference(reference), "main", {}, now, spends=[word])
        earning = Earning(f"order:shop/{word}:1", 70, now, now, None, paid_minor=7000)
        earned = crediting.earned(held.loaded.account, earning, now)
        once = spending.held(
            earned.account, id=word, points=30, ttl_seconds=600, now=now, order_id=f"nutcracker-{word}"
        )
        paid = spending.captured(once.account, word, now)
        again = spending.held(paid.account, id=f"{word}-2", points=10, ttl_seconds=600, now=now)
        entries = (*earned.entries, *once.entries, *paid.entries, *again.entries)
        await save_account(connection, held, again._replace(entries=entries), now)
        customer_id = held.customer.customer_id
        await connection.execute(
            "INSERT INTO loyalty_rule_points VALUES ($1, 'main', $2, '2026-11-01', 5)", customer_id, word
        )
        await connection.execute(
            "UPDATE loyalty_spends SET coupon = $2 WHERE customer_id = $1 AND spend_id = $3",
            customer_id,
            code,
            word,
        )
        await connection.execute(
            """
            INSERT INTO loyalty_coupons (program, key, reward, code, id, added_at, taken_by, taken_for, taken_at)
            VALUES ('main', $2, 'mug', $5, gen_random_uuid(), $3, $1, $4, $3)
            """,
            customer_id,
            coupon_key(code),
            now,
            word,
            code,
        )


async def _orders_and_friends(connection: asyncpg.Connection, customer_id: str) -> None:
    now = datetime.now(UTC)
    await connection.execute(
        """
        INSERT INTO orders (
          customer_id, source, order_id, origin_customer_id, version, state, cycle, is_paid, chunks, parked, effects,
          revision, created_at, updated_at
        )
        VALUES ($1::text::uuid, 'shop', 'zither-1', $1::text::uuid, 1, '{"lines": [{"sku": "dulcimer"}]}', 1, true,
          '[]', '[]', '[["zither-1:purchase"]]', 1, $2, $2)
        """,
        customer_id,
        now,
    )
    await connection.execute(
        """
        INSERT INTO loyalty_referrals (
          customer_id, program, id, side, other_customer_id, code, state, order_id, created_at, at, due_at,
          origin_customer_id
        )
        VALUES ($1::text::uuid, 'main', gen_random_uuid(), 'referrer', gen_random_uuid(), 'CLAVICHORD', 'pending',
          'zither-2', $2, $2, $2, $1::text::uuid)
        """,
        customer_id,
        now,
    )
    await connection.execute(
        "INSERT INTO referral_codes VALUES ('CLAVICHORD', 'main', $1::text::uuid, $2)", customer_id, now
    )
    await connection.execute(
        "INSERT INTO referred_customers VALUES ('main', 'alias:zither', $1::text::uuid, gen_random_uuid())",
        customer_id,
    )
