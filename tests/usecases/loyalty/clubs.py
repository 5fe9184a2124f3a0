"""A shop with one programme, members, and a clock in its hands."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from app.domain.health.model import shipped
from app.domain.health.state import State
from app.domain.identifiers import Reference
from app.domain.ids import uuid7
from app.domain.loyalty import clawback, crediting, spending
from app.domain.loyalty.account import Account, Decision, Entry
from app.domain.loyalty.balances import Balance, balance
from app.domain.loyalty.conditions import Member
from app.domain.loyalty.crediting import Earning
from app.domain.loyalty.earning import earning_of, evaluate
from app.domain.loyalty.purchases import posted
from app.domain.loyalty.tiers import Standing
from app.domain.touchpoints import propose
from app.storage.database import Database
from app.storage.loyalty import accounts, entries
from app.storage.loyalty.accounts import Loaded, Wanted
from app.storage.loyalty.programs import all_rules
from app.usecases.loyalty import keep_programs
from app.usecases.loyalty.change_account import open_account, save_account
from app.usecases.loyalty.run_clock import Clocked, run_clock
from app.usecases.record_touchpoints import Entry as Posted
from app.usecases.record_touchpoints import Outcome, record_touchpoints

MODEL = shipped()
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TIERS = [{"code": code, "threshold": n} for code, n in (("base", 0), ("bronze", 100), ("silver", 500))]
RULES: dict[str, Any] = {
    "earning_rules": [{"code": "base", "points": 1, "per_amount_minor": 100}],
    "tiers": [*TIERS, {"code": "gold", "threshold": 1000}],
    "pending_days": 0,
    "expiry_months": None,
}


def day(number: float) -> datetime:
    return START + number * DAY


class Club:
    """What members and the shop do, each in a transaction of its own, at the time `now`."""

    def __init__(self, store: Database) -> None:
        self.store, self.now = store, START

    def at(self, moment: datetime | float) -> "Club":
        self.now = moment if isinstance(moment, datetime) else day(moment)
        return self

    async def open(self, rules: dict[str, Any] | None = None, zone: str = "Europe/Berlin") -> None:
        said = {"code": "main", "name": "Club", "currency": "EUR", "time_zone": zone}
        async with self.store.hot_transaction() as connection:
            await keep_programs.create_program(connection, said, "test", self.now)
        await self.publish(rules or RULES, self.now - 30 * DAY)

    async def publish(self, rules: dict[str, Any], since: datetime) -> None:
        async with self.store.hot_transaction() as connection:
            draft = await keep_programs.draft_version(connection, "main", rules, "test", self.now)
            await keep_programs.publish_version(connection, "main", draft.number, since, "test", self.now)

    async def close(self, closed_at: datetime, ends_at: datetime) -> None:
        async with self.store.hot_transaction() as connection:
            await keep_programs.close_program(connection, "main", closed_at, ends_at, self.now)

    async def members(self, count: int = 1, **profile: Any) -> list[UUID]:
        names = [uuid7(1_700_000_000_000 + number) for number in range(count)]
        async with self.store.hot_transaction() as connection:
            for name in names:
                await connection.execute(
                    "INSERT INTO customers (id, created_at, updated_at, traits, tags)"
                    " VALUES ($1, $2, $2, $3::text::jsonb, $4)",
                    name,
                    START,
                    profile.get("traits", "{}"),
                    profile.get("tags", []),
                )
                await connection.execute(
                    "INSERT INTO customer_states (customer_id, state) VALUES ($1, $2)", name, State().encode()
                )
        return names

    async def do(
        self, who: UUID, decide: Callable[[Account, datetime], Decision[Any]], **named: Sequence[str]
    ) -> Any:
        async with self.store.hot_transaction() as connection:
            held = await open_account(connection, Reference(who, ()), None, {}, self.now, **named)
            decision = decide(held.loaded.account, self.now)
            await save_account(connection, held, decision, self.now)
            return decision.result

    async def earn(self, who: UUID, points: int, key: str = "o1", **said: Any) -> None:
        since = said.pop("occurred_at", self.now)
        ends = said.pop("expires_at", None)
        earning = Earning(key, points, since, said.pop("activates_at", since), ends, 10_000, points)
        await self.do(who, lambda a, now: crediting.earned(a, earning, now), earns=[key])

    async def buy(self, who: UUID, amount_minor: int, key: str = "o1", at: datetime | None = None) -> None:
        """A purchase by the rules in force when it occurred."""
        async with self.store.hot_transaction() as connection:
            held = await open_account(connection, Reference(who, ()), None, {}, self.now, earns=[key])
            occurred_at = at or self.now
            version, programme = held.version_at(occurred_at), held.rules.programme
            bought = posted(
                key=key, occurred_at=occurred_at, amount_minor=amount_minor, currency="EUR", items=()
            )
            found = evaluate(version, programme, bought, Member())
            earning = earning_of(found, key, occurred_at, version, programme, amount_minor)
            decision = crediting.earned(held.loaded.account, earning, self.now)
            await save_account(connection, held, decision, self.now)

    async def claw(self, who: UUID, amount_minor: int, key: str = "o1") -> None:
        await self.do(
            who,
            lambda a, now: clawback.clawed_back(
                a, key, id="r", amount_minor=amount_minor, policy="within_balance", now=now
            ),
            earns=[key],
        )

    async def spend(self, who: UUID, points: int, name: str = "s1") -> None:
        await self.do(who, lambda a, now: spending.spent(a, id=name, points=points, now=now), spends=[name])

    async def hold(self, who: UUID, points: int, ttl_seconds: int = 900, name: str = "h1") -> None:
        await self.do(
            who,
            lambda a, now: spending.held(a, id=name, points=points, ttl_seconds=ttl_seconds, now=now),
            spends=[name],
        )

    async def post(self, who: UUID, id: str, kind: str, **members: Any) -> Outcome:  # noqa: A002 - the wire's own name
        touchpoint = propose(
            source="shop",
            id=id,
            kind=kind,
            occurred_at=members.pop("occurred_at", self.now),
            now=self.now,
            body_sha256=id.encode().ljust(32, b"-"),
            shop_currency="EUR",
            **members,
        )
        async with self.store.hot_transaction() as connection:
            (outcome,) = await record_touchpoints(connection, [Posted(who, touchpoint)], MODEL)
        return outcome

    async def tick(self, page: int = 100, store: Database | None = None) -> Clocked:
        return await run_clock(store or self.store, MODEL, self.now, page)

    # --- what the tables say ----------------------------------------------------------------------------------------

    async def loaded(self, who: UUID) -> Loaded:
        async with self.store.hot_reading() as connection:
            found = await accounts.load(connection, [Wanted(who, "main", whole=True)], self.now)
        return found[who, "main"]

    async def balance(self, who: UUID) -> Balance:
        return balance((await self.loaded(who)).account, self.now)

    async def lots(self, who: UUID) -> dict[str | None, int]:
        account = (await self.loaded(who)).account
        return {lot.earn_key: lot.remaining for lot in account.lots.values()}

    async def standing(self, who: UUID) -> Standing:
        standing = (await self.loaded(who)).standing
        assert standing is not None
        return standing

    async def ledger(self, who: UUID) -> list[Entry]:
        account = (await self.loaded(who)).account
        async with self.store.hot_reading() as connection:
            return await entries.all_of(connection, who, entries.Face("main", account.id, account.seq))

    async def told(self, *kinds: str) -> list[asyncpg.Record]:
        """What the service wrote to logs of these kinds, the oldest first."""
        async with self.store.hot_reading() as connection:
            rows = await connection.fetch(
                """
                SELECT customer_id, id, kind, source, occurred_at, properties::text AS said FROM touchpoints
                WHERE kind = ANY ($1::text[]) ORDER BY occurred_at, id
                """,
                list(kinds),
            )
        assert {row["source"] for row in rows} <= {"rapport"}
        return list(rows)

    async def wound_up_at(self) -> datetime | None:
        async with self.store.hot_reading() as connection:
            found: datetime | None = await connection.fetchval("SELECT wound_up_at FROM loyalty_programs")
            assert await all_rules(connection)
        return found
