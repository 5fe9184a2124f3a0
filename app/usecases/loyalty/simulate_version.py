"""A version of the rules tried on the last days of the log, in bounded memory and time; nothing is written."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.customers import segments_of
from app.domain.loyalty.periods import window_start
from app.domain.loyalty.purchases import Purchase, posted
from app.domain.loyalty.simulation import Bought, Buyer, Simulation, Trial
from app.domain.loyalty.versions import Programme, version_of
from app.storage import states
from app.storage.database import Database
from app.storage.loyalty import purchase_log
from app.storage.loyalty.programs import all_rules
from app.storage.loyalty.purchase_log import KnownBuyer, Money
from app.storage.verification import FIRST_ID, snapshot
from app.usecases.loyalty.keep_programs import existing_version
from app.usecases.loyalty.remembered_programs import program_not_found

PAGE: Final = 200
"""Customers of one look at the database; the log of one of them at a time is in memory."""

MOST_ROWS: Final = 5_000
"""Purchases and refunds of one customer that are looked at: nobody buys so often but an account for tests."""

Against = Literal["recorded", "in_force"]


class Question(NamedTuple):
    """The version to try, on how many days, compared with what was earned or with the rules in force.

    `most_seconds`: when it ends, whoever is left. `shop_currency`: what exchange rates are to.
    """

    program: str
    number: int
    days: int
    against: Against
    shop_currency: str
    most_seconds: float


class Tried(NamedTuple):
    """What it came to. `is_complete` False: time ran out or a log was cut; it is about the customers so far."""

    simulation: Simulation
    currency: str
    since: datetime
    until: datetime
    is_complete: bool


async def simulate_version(database: Database, question: Question, now: datetime) -> Tried:
    """Try a version, published or not, in one snapshot of the log.

    Raises NotFound `program_not_found`, `version_not_found`.
    """
    since = now - timedelta(days=question.days)
    deadline = asyncio.get_running_loop().time() + question.most_seconds
    async with snapshot(database) as connection:
        rules = (await all_rules(connection)).get(question.program)
        if rules is None:
            raise program_not_found()
        version = version_of((await existing_version(connection, question.program, question.number)).body)
        trial = Trial(
            version,
            rules.programme,
            since=since,
            until=now,
            against=rules.published if question.against == "in_force" else None,
        )
        # The longest there is: what is compared may look back further than the draft.
        compared = (version, *(one.version for one in rules.published))
        longest = max(one.tier_rules.window_months for one in compared)
        asking = _Asking(connection, question, rules.programme, since, now, longest)
        is_complete, after = True, FIRST_ID
        while is_complete:
            page = [one for one, _ in await states.living_after(connection, after, PAGE)]
            if page:
                is_complete = await _take(trial, asking, page, deadline)
            if len(page) < PAGE:
                break
            after = page[-1]
    return Tried(trial.told(), rules.programme.currency, since, now, is_complete)


class _Asking(NamedTuple):
    connection: asyncpg.Connection
    question: Question
    programme: Programme
    since: datetime
    until: datetime
    window_months: int


async def _take(trial: Trial, asking: _Asking, page: Sequence[UUID], deadline: float) -> bool:
    """One page of customers; False when time ran out or a log was cut."""
    connection, code = asking.connection, asking.question.program
    known = await purchase_log.buyers(connection, page, code, asking.since, asking.until)
    active = [one for one in page if known[one].first_purchase_at is not None]
    if not active:
        return asyncio.get_running_loop().time() < deadline
    window = window_start(asking.since, asking.window_months, asking.programme.zone)
    earlier = await purchase_log.qualified(connection, active, code, window, asking.since)
    whole = True
    async for rows, is_all in purchase_log.money_of(
        connection, active, asking.since, asking.until, MOST_ROWS
    ):
        whole = whole and is_all
        who = rows[0].customer_id
        buyer = _buyer(known[who], earlier)
        trial.take(buyer, bought_of(rows, known[who], asking.programme, asking.question.shop_currency))
        # Others get their turn between two customers.
        await asyncio.sleep(0)
        if asyncio.get_running_loop().time() >= deadline:
            return False
    return whole


def _buyer(known: KnownBuyer, earlier: Mapping[UUID, Sequence[tuple[datetime, int]]]) -> Buyer:
    return Buyer(
        str(known.customer_id),
        known.tier,
        known.recorded_points,
        segments_of(known.tags),
        earlier.get(known.customer_id, ()),
    )


def bought_of(
    rows: Sequence[Money], known: KnownBuyer, programme: Programme, shop_currency: str
) -> list[Bought]:
    """The purchases among the rows of one customer, each with what was given back of it since.

    Refunds are of the purchases of their order, the first one first; those that name no order are of none.
    """
    back: dict[str, int | None] = {}
    for row in rows:
        if row.kind != "purchase" and row.thread is not None:
            so_far = back.get(row.thread, 0)
            is_all = row.kind == "order_cancelled" or so_far is None
            back[row.thread] = None if is_all else (so_far or 0) + row.amount_minor
    bought = []
    for row in rows:
        if row.kind == "purchase":
            left = 0 if row.thread is None else back.get(row.thread, 0)
            part = row.amount_minor if left is None else min(left, row.amount_minor)
            if row.thread is not None and left is not None:
                back[row.thread] = left - part
            is_first = row.occurred_at == known.first_purchase_at
            bought.append(Bought(_purchase(row, programme, shop_currency), is_first, part))
    return bought


def _purchase(row: Money, programme: Programme, shop_currency: str) -> Purchase:
    return posted(
        key=f"{row.source}/{row.id}",
        occurred_at=row.occurred_at,
        amount_minor=row.amount_minor,
        currency=row.currency or "",
        items=row.items,
        # A rate is to the shop's currency: a programme in another one knows none.
        exchange_rate=row.exchange_rate if programme.currency == shop_currency else None,
        channel=row.channel,
    )
