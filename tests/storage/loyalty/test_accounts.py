"""Accounts as the pure core leaves them, through the database and back."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.domain.health.state import State
from app.domain.ids import uuid7
from app.domain.loyalty import chain, clawback, crediting, settling, spending
from app.domain.loyalty.account import Account, Decision, opened
from app.domain.loyalty.crediting import Earning
from app.domain.loyalty.merging import merged, unmerged
from app.domain.loyalty.tiers import Standing
from app.storage.database import connect_arguments
from app.storage.loyalty import accounts, entries
from app.storage.loyalty.accounts import Loaded, Wanted
from app.storage.loyalty.saving import Change, save

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ADA, BOB = (uuid7(1_700_000_000_000, bytes([number] * 10)) for number in (1, 2))
EMPTY = State().encode()
STANDING = Standing("silver", START, START + 365 * DAY, START + 395 * DAY)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(**connect_arguments(database_url))
    for customer in (ADA, BOB):
        await connection.execute(
            "INSERT INTO customers (id, created_at, updated_at) VALUES ($1, $2, $2)", customer, START
        )
        await connection.execute(
            "INSERT INTO customer_states (customer_id, state) VALUES ($1, $2)", customer, EMPTY
        )
    for code in ("main", "other"):
        await connection.execute(
            """
            INSERT INTO loyalty_programs (
              code, name, currency, time_zone, created_at, created_by, revision, versions
            )
            VALUES ($1, 'Club', 'EUR', 'UTC', $2, 'test', 1, 0)""",
            code,
            START,
        )
    yield connection
    await connection.close()


@dataclass
class Ledger:
    """One account in memory and in the database, changed alike."""

    connection: asyncpg.Connection
    customer: UUID = ADA
    now: datetime = START
    memory: Account = field(default_factory=lambda: opened(UUID(int=1)))
    written: int = 0

    async def loaded(self, **named: Any) -> Loaded:
        wanted = Wanted(self.customer, "main", **named)
        return (await accounts.load(self.connection, [wanted], self.now))[self.customer, "main"]

    async def do(self, decide: Callable[[Account], Decision[Any]], **named: Any) -> Any:
        """Decide on what was loaded and on all there is in memory: both must come to the same."""
        before = await self.loaded(**named)
        if before.revision is None:
            self.memory = before.account
        decision, known = decide(before.account), decide(self.memory)
        assert decision.entries == known.entries
        assert decision.result == known.result
        due = settling.next_due_at(decision.account)
        assert due == settling.next_due_at(known.account)
        if decision.account is not before.account:
            change = Change(before, decision.account, decision.entries, STANDING, due)
            assert await save(self.connection, [change], self.now)
        self.memory = known.account._replace(adjustments={})
        whole = await self.loaded(whole=True)
        assert whole.account == self.memory
        assert (whole.standing, whole.due_at) == (STANDING, due)
        return decision.result


def _earning(key: str, points: int, at: datetime, paid: int = 10_000) -> Earning:
    return Earning(key, points, at, at, at + 60 * DAY, paid, points)


async def test_a_history_comes_back_as_it_was_at_every_step(connection: asyncpg.Connection) -> None:
    one = Ledger(connection)
    await one.do(lambda a: crediting.earned(a, _earning("o:1", 100, START), one.now), earns=["o:1"])
    await one.do(lambda a: crediting.earned(a, _earning("o:1", 100, START), one.now), earns=["o:1"])
    await one.do(lambda a: crediting.earned(a, _earning("o:2", 50, START - 50 * DAY), one.now), earns=["o:2"])
    await one.do(lambda a: crediting.earned(a, _earning("o:0", 0, START), one.now), earns=["o:0"])
    hold = partial(
        spending.held, id="h", points=120, ttl_seconds=900, now=one.now, order_id="9", reward="mug"
    )
    await one.do(hold, spends=["h"])
    await one.do(hold, spends=["h"])
    await one.do(lambda a: spending.captured(a, "h", one.now, 70), spends=["h"])
    await one.do(lambda a: spending.captured(a, "h", one.now, 70), spends=["h"])
    await one.do(
        lambda a: clawback.clawed_back(
            a, "o:1", id="r", amount_minor=9_999, policy="within_balance", now=one.now
        ),
        earns=["o:1"],
    )
    one.now += 30 * DAY
    refund = partial(spending.refunded, spend_id="h", id="back", points=60, grace=30 * DAY, now=one.now)
    await one.do(refund, spends=["h"])
    await one.do(refund, spends=["h"])
    await one.do(lambda a: spending.held(a, id="h2", points=5, ttl_seconds=60, now=one.now), spends=["h2"])
    await one.do(lambda a: spending.released(a, "h2", one.now), spends=["h2"])
    one.now += 90 * DAY
    await one.do(lambda a: settling.settled(a, one.now))
    face = entries.Face("main", one.memory.id, one.memory.seq)
    ledger = await entries.all_of(connection, ADA, face)
    assert chain.verify(one.memory.id, ledger, one.memory) == []
    assert await entries.page(connection, ADA, face, 3, 2) == ledger[3:5]


async def test_who_saves_what_somebody_else_saved_before_is_told(connection: asyncpg.Connection) -> None:
    one = Ledger(connection)
    first, second = await one.loaded(), await one.loaded()
    for before, fits in ((first, True), (second, False)):
        done = crediting.earned(before.account, _earning("o:1", 100, START), START)
        assert await save(connection, [Change(before, done.account, done.entries, None, None)], START) is fits


async def test_a_hold_writes_no_entry_and_still_two_cannot_both_be_saved(
    connection: asyncpg.Connection,
) -> None:
    one = Ledger(connection)
    await one.do(lambda a: crediting.earned(a, _earning("o:1", 100, START), one.now))
    before = [await one.loaded(), await one.loaded()]
    for number, fits in enumerate((True, False)):
        done = spending.held(before[number].account, id=f"h{number}", points=100, ttl_seconds=60, now=START)
        assert not done.entries
        async with _undone_unless(connection, fits=fits):
            change = Change(before[number], done.account, done.entries, None, None)
            assert await save(connection, [change], START) is fits


class _undone_unless:  # noqa: N801 - reads as a word
    """A savepoint around a save; what does not fit is rolled back, as its transaction would be."""

    def __init__(self, connection: asyncpg.Connection, *, fits: bool) -> None:
        self._transaction, self._fits = connection.transaction(), fits

    async def __aenter__(self) -> None:
        await self._transaction.start()

    async def __aexit__(self, *_: object) -> None:
        await (self._transaction.commit() if self._fits else self._transaction.rollback())


async def test_rules_that_were_replaced_meanwhile_decide_nothing(connection: asyncpg.Connection) -> None:
    before = await Ledger(connection).loaded()
    await connection.execute("UPDATE loyalty_programs SET revision = revision + 1 WHERE code = 'main'")
    done = crediting.earned(before.account, _earning("o:1", 100, START), START)
    async with _undone_unless(connection, fits=False):
        assert not await save(connection, [Change(before, done.account, done.entries, None, None)], START)
    assert (await Ledger(connection).loaded()).rules_revision == before.rules_revision + 1


async def test_many_accounts_are_loaded_and_saved_at_once(connection: asyncpg.Connection) -> None:
    wanted = [Wanted(who, code) for who in (ADA, BOB) for code in ("main", "other")]
    loaded = await accounts.load(connection, [*wanted, Wanted(UUID(int=9), "main"), Wanted(ADA, "no")], START)
    assert set(loaded) == {(one.customer_id, one.program) for one in wanted}
    changes = []
    for number, before in enumerate(loaded.values(), 1):
        done = crediting.earned(before.account, _earning("o:1", 100 * number, START), START)
        points = {("base", date(2026, 3, 1)): number}
        changes.append(
            Change(before, done.account, done.entries, None, None, {"o:1": {"points": number}}, points)
        )
    assert await save(connection, changes, START)
    asked = [one._replace(qualifying_since=START, caps={"base": date(2026, 3, 1)}) for one in wanted]
    again = await accounts.load(connection, asked, START)
    for number, change in enumerate(changes, 1):
        key = change.before.customer_id, change.before.program
        assert again[key].account.lots == change.account.lots
        assert again[key].qualifying == 100 * number
        assert again[key].given == {("base", date(2026, 3, 1)): number}
        assert await entries.explanation(connection, *key, "o:1") == {"points": number}


async def test_a_merge_and_its_undo_come_back_as_they_were(connection: asyncpg.Connection) -> None:
    ledgers = [Ledger(connection, ADA), Ledger(connection, BOB)]
    for one in ledgers:
        await one.do(lambda a: crediting.earned(a, _earning("o:1", 100, START), START), earns=["o:1"])
        await one.do(lambda a: spending.spent(a, id="s", points=30, now=START), spends=["s"])
        await one.do(lambda a: spending.held(a, id="h", points=20, ttl_seconds=9000, now=START), spends=["h"])
    into, source = [await one.loaded(whole=True) for one in ledgers]
    pair = merged(into.account, source.account, "m", START)
    assert await _save_pair(connection, into, source, pair)
    into, source = [await one.loaded(whole=True) for one in ledgers]
    assert (into.account, source.account) == (pair.into, pair.source)
    back = unmerged(into.account, source.account, pair.merge, START)
    assert await _save_pair(connection, into, source, back)
    into, source = [await one.loaded(whole=True) for one in ledgers]
    assert (into.account, source.account) == (back.into, back.source)


async def _save_pair(connection: asyncpg.Connection, into: Loaded, source: Loaded, pair: Any) -> bool:
    return await save(
        connection,
        [
            Change(into, pair.into, pair.into_entries, None, None),
            Change(source, pair.source, pair.source_entries, None, None),
        ],
        START,
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE loyalty_lots SET held = remaining + 1",
        "UPDATE loyalty_lots SET remaining = remaining + 1",
        "UPDATE loyalty_lots SET drawn = -1",
        "UPDATE loyalty_accounts SET debt = -1",
        "UPDATE loyalty_accounts SET seq = 0",
        "UPDATE loyalty_earns SET clawed = points + 1",
        "UPDATE loyalty_entries SET points = 5",
        "DELETE FROM loyalty_entries",
    ],
)
async def test_the_database_refuses_what_the_rules_exclude(
    connection: asyncpg.Connection, statement: str
) -> None:
    one = Ledger(connection)
    await one.do(lambda a: crediting.earned(a, _earning("o:1", 100, START), one.now))
    with pytest.raises((asyncpg.CheckViolationError, asyncpg.InsufficientPrivilegeError)):
        await connection.execute(statement)


async def test_a_natural_key_earns_once_whatever_the_code_does(connection: asyncpg.Connection) -> None:
    one = Ledger(connection)
    await one.do(lambda a: crediting.earned(a, _earning("o:1", 100, START), one.now))
    before = await one.loaded()
    done = crediting.earned(before.account._replace(earns={}), _earning("o:1", 100, START), START)
    async with _undone_unless(connection, fits=False):
        assert not await save(connection, [Change(before, done.account, done.entries, None, None)], START)
