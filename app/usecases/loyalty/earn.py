"""Points in the write path: a group's money earns, and refunds take back, in the transaction that stores it."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.canonical import canonical_json
from app.domain.customers import segments_of
from app.domain.descriptions import order_id_of
from app.domain.health.facts import fact_of
from app.domain.loyalty.known_orders import KnownOrder, OrderStep, keys_named
from app.domain.loyalty.passbook import Draft, Move, Passbook
from app.domain.loyalty.plain_passbook import AnyPassbook, PlainPassbook, is_plain_account
from app.domain.loyalty.rules import cap_windows
from app.domain.loyalty.tiers import Change as TierChange
from app.domain.loyalty.versions import Published
from app.domain.recording import Stored
from app.domain.silence import SOURCE
from app.domain.touchpoints import Touchpoint, fact_key, seconds
from app.storage.loading import Loaded as LoadedLog
from app.storage.loyalty import accounts
from app.storage.loyalty.accounts import Loaded, Wanted
from app.storage.loyalty.buyers import Buyers
from app.storage.loyalty.orders import changed_orders
from app.storage.loyalty.plain_earns import plain_rows
from app.storage.loyalty.programs import Rules, all_rules
from app.storage.loyalty.referrals import StoredReferral, step_row
from app.storage.loyalty.saving import Change, changed_parts
from app.storage.recording import LostRace
from app.usecases.loyalty.change_account import due_at, in_its_time, ruled_by, tier_window
from app.usecases.loyalty.referrals.order_steps import Paid, Refunded, followed
from app.usecases.loyalty.remembered_programs import default_of

RELOADS: Final = 3
"""Rules that change while an account is read are read again, and then once more."""


class Bought(NamedTuple):
    """A touchpoint that is about money, whose, and what a whole order says of it."""

    customer_id: UUID
    touchpoint: Touchpoint
    step: OrderStep | None


@dataclass(frozen=True, slots=True)
class Earning:
    """By which programmes a group's money earns. `program` None: none was ever published, and nobody is asked."""

    programs: Mapping[str, Rules]
    shop_currency: str
    program: str | None = None

    @property
    def revision(self) -> int:
        """The revision of all programmes together (`Loaded.programs` of storage.loading)."""
        return sum(rules.revision for rules in self.programs.values())

    @property
    def asks_segments(self) -> bool:
        """Whether some rule asks about the segments of a customer."""
        return any(rule.when.segments for one in self.published(self.program) for rule in one.version.rules)

    def published(self, program: str | None) -> Sequence[Published]:
        """The versions of a programme."""
        return () if program is None else self.programs[program].published


NO_EARNING: Final = Earning(MappingProxyType({}), "")


def earning_at(programs: Mapping[str, Rules], shop_currency: str, now: datetime) -> Earning:
    """What is in force at `now`: purchases earn in the oldest open programme that has a version."""
    found = default_of(programs, now)
    return Earning(programs, shop_currency, None if found is None else found.program.code)


@dataclass(frozen=True, slots=True)
class Passbooks:
    """The passbooks of a group by customer, with what their accounts were read as."""

    books: Mapping[UUID, AnyPassbook]
    loaded: Mapping[tuple[UUID, str], Loaded]
    now: datetime | None = None

    def __bool__(self) -> bool:
        return bool(self.books)

    def get(self, customer_id: UUID) -> AnyPassbook | None:
        """The passbook of a customer who brings money."""
        return self.books.get(customer_id)

    def items(self) -> Iterable[tuple[UUID, AnyPassbook]]:
        """Every customer with their passbook."""
        return self.books.items()

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """What is to be written, by part of the writing statement."""
        if self.now is None:
            return {}
        plain = [row for one, book in self._plain() for row in plain_rows(one, book)]
        whole = self._whole()
        rows = self._changed(whole, self.now) if whole else {}
        # Always first, so that the parts of a statement come in one order.
        return {"earned": rows.pop("earned", []) + plain, **rows} if plain else rows

    def _plain(self) -> Iterable[tuple[Loaded, PlainPassbook]]:
        for (customer_id, _), loaded in self.loaded.items():
            book = self.books[customer_id]
            if isinstance(book, PlainPassbook) and book.whole is None:
                yield loaded, book

    def _whole(self) -> dict[UUID, Passbook]:
        return {
            customer_id: whole
            for customer_id, book in self.books.items()
            if (whole := book.whole if isinstance(book, PlainPassbook) else book) is not None
        }

    def _changed(self, books: Mapping[UUID, Passbook], now: datetime) -> dict[str, list[dict[str, Any]]]:
        changes = [
            _change(self.loaded[customer_id, program], draft, now)
            for customer_id, book in books.items()
            for program, draft in book.drafts.items()
            if draft.account is not self.loaded[customer_id, program].account
        ]
        rows = changed_parts(changes, now)
        owned = ((one, book.orders) for one, book in books.items())
        orders = changed_orders(owned, now, rows.get("earned", ()))
        people = [step_row(one) for one in self._referrals(books, now)]
        return rows | ({"orders": orders} if orders else {}) | ({"referrals": people} if people else {})

    def _referrals(self, books: Mapping[UUID, Passbook], now: datetime) -> Iterable[StoredReferral]:
        """The referrals by which friends came, as far as what they paid and gave back moved these."""
        for (customer_id, program), loaded in self.loaded.items():
            book = books.get(customer_id)
            if book is None or not book.moves:
                continue
            draft, steps = book.drafts[program], [_step(move) for move in book.moves]
            for one in loaded.referrals:
                after = followed(one, steps, draft.published, draft.programme, now)
                if after is not None:
                    yield after


def _step(move: Move) -> Paid | Refunded:
    if move.kind == "paid":
        return Paid(move.key, move.amount_minor or 0, move.counted_minor, move.occurred_at)
    return Refunded(move.key, move.amount_minor)


NO_PASSBOOKS: Final = Passbooks(MappingProxyType({}), MappingProxyType({}))


def buyers_in(posted: Iterable[tuple[UUID, Touchpoint, OrderStep | None]], earning: Earning) -> Buyers | None:
    """Whose accounts a group of touchpoints needs that can be read with its log: those of posted purchases.

    None when nobody buys, or when something else is about money: then `open_passbooks` has to look for more.
    """
    money = [Bought(*one) for one in posted]
    if earning.program is None or not money or any(_needs_more(one) for one in money):
        return None
    now = max(one.touchpoint.received_at for one in money)
    rules = earning.programs[earning.program]
    return Buyers(
        list({one.customer_id for one in money}),
        earning.program,
        now,
        tier_window(rules, now),
        _caps(rules, now),
    )


def _needs_more(one: Bought) -> bool:
    return one.touchpoint.kind != "purchase" or one.step is not None


def passbooks_of(buyers: Buyers, log: LoadedLog, earning: Earning) -> Passbooks | None:
    """The passbooks of buyers whose accounts came with their log.

    None when the rules have changed, or when an order has a past: `open_passbooks` knows what to do.
    """
    if not log.accounts or log.orders:
        return None
    rules = earning.programs[buyers.program]
    if any(one.rules_revision != rules.revision for one in log.accounts.values()):
        return None
    loaded = {key: in_its_time(one, rules) for key, one in log.accounts.items()}
    return Passbooks(
        {key[0]: _book(one, log, earning, buyers.now) for key, one in loaded.items()}, loaded, buyers.now
    )


def _book(loaded: Loaded, log: LoadedLog, earning: Earning, now: datetime) -> AnyPassbook:
    """The passbook of a buyer with one account, and without orders or referrals that are under way."""
    key, rules = (loaded.customer_id, loaded.program), earning.programs[loaded.program]

    def whole() -> Passbook:
        return _books({key: loaded}, {}, log, earning)[loaded.customer_id]

    standing, due_at = loaded.standing, loaded.due_at
    if (
        standing is None
        or due_at is None
        or loaded.referrals
        or not is_plain_account(loaded.account, due_at, rules.programme, now)
    ):
        return whole()
    return PlainPassbook(
        rules.programme,
        rules.published,
        loaded.account,
        standing,
        loaded.qualifying,
        due_at,
        loaded.warned_until,
        segments_of(log.tags.get(loaded.customer_id, ())),
        whole,
    )


async def open_passbooks(
    connection: asyncpg.Connection,
    bought: Sequence[tuple[UUID, Touchpoint, OrderStep | None]],
    log: LoadedLog,
    earning: Earning,
) -> Passbooks:
    """The accounts and orders that a group's new money concerns, in one statement however large it is.

    Raises LostRace when the rules keep changing, or when the programme is not there any more.
    """
    money = [Bought(*one) for one in bought]
    now = max(one.touchpoint.received_at for one in money)
    orders: dict[UUID, dict[str, list[KnownOrder]]] = {}
    for customer_id, known in log.orders:
        orders.setdefault(customer_id, {}).setdefault(known.order_id, []).append(known)
    for _ in range(RELOADS):
        wanted = _wanted(money, orders, earning, now)
        loaded = await accounts.load(connection, wanted, now)
        if any((one.customer_id, one.program) not in loaded for one in wanted):
            raise LostRace
        if all(one.rules_revision == earning.programs[one.program].revision for one in loaded.values()):
            break
        earning = earning_at(await all_rules(connection), earning.shop_currency, now)
    else:
        raise LostRace
    loaded = {key: in_its_time(one, earning.programs[one.program]) for key, one in loaded.items()}
    return Passbooks(_books(loaded, orders, log, earning), loaded, now)


def _wanted(
    money: Sequence[Bought],
    orders: Mapping[UUID, Mapping[str, Sequence[KnownOrder]]],
    earning: Earning,
    now: datetime,
) -> list[Wanted]:
    """Each customer's account in the programme that earns; where something is given back, in all programmes."""
    keys: dict[UUID, list[str]] = {}
    everywhere: set[UUID] = set()
    for customer_id, touchpoint, step in money:
        same_id = orders.get(customer_id, {}).get(order_id_of(touchpoint.thread) or "", ())
        keys.setdefault(customer_id, []).extend(keys_named(touchpoint, same_id, step))
        if touchpoint.kind != "purchase":
            everywhere.add(customer_id)
    program = earning.program
    if program is None:
        raise LostRace
    published = [code for code, rules in earning.programs.items() if rules.versions]
    caps = _caps(earning.programs[program], now)
    since = {code: tier_window(earning.programs[code], now) for code in published}
    return [
        Wanted(
            customer_id,
            code,
            earns=named,
            qualifying_since=since[code],
            caps=caps if code == program else {},
            referrals=True,
        )
        for customer_id, named in keys.items()
        for code in (published if customer_id in everywhere else (program,))
    ]


def _caps(rules: Rules, now: datetime) -> dict[str, date]:
    """Since which local day each capped rule's points count, the longest of its periods in any version."""
    every = [rule for one in rules.published for rule in one.version.rules]
    return cap_windows(every, now.astimezone(rules.programme.zone).date())


def _books(
    loaded: Mapping[tuple[UUID, str], Loaded],
    orders: Mapping[UUID, dict[str, list[KnownOrder]]],
    log: LoadedLog,
    earning: Earning,
) -> dict[UUID, Passbook]:
    books: dict[UUID, Passbook] = {}
    for (customer_id, program), one in loaded.items():
        book = books.get(customer_id)
        if book is None:
            segments = segments_of(log.tags.get(customer_id, ()))
            book = books[customer_id] = Passbook(
                earning.program or program, earning.shop_currency, {}, orders.get(customer_id, {}), segments
            )
        rules = earning.programs[program]
        book.drafts[program] = Draft(
            rules.programme,
            rules.published,
            one.account,
            one.standing,
            one.qualifying,
            one.given,
        )
    return books


def _change(before: Loaded, draft: Draft, now: datetime) -> Change:
    return Change(
        before,
        draft.account,
        draft.entries,
        draft.standing,
        due_at(before, draft.account, draft.standing, draft, now),
        draft.explains,
        draft.rule_points,
        ruled_by=ruled_by(before, draft, now),
    )


def tier_touchpoints(book: AnyPassbook, fresh: Sequence[tuple[Touchpoint, Stored]]) -> Iterable[Touchpoint]:
    """The rows of the log that say how the tiers of a customer moved, each move once and with all that it passed."""
    if not fresh:
        return
    received_at = fresh[-1][0].received_at
    for program, draft in book.drafts.items():
        for seq, change in draft.changes:
            yield tier_touchpoint(program, seq, change, received_at)


def tier_touchpoint(program: str, seq: int, change: TierChange, received_at: datetime) -> Touchpoint:
    """The row that tells one move. `seq`: of the entry that moved it, so that a retry tells the same."""
    name = f"tier:{program}:{seq}"
    properties = {
        "program": program,
        "from": change.before,
        "to": change.after,
        "passed": list(change.passed),
        "why": change.why,
    }
    return Touchpoint(
        source=SOURCE,
        id=name,
        kind="tier_changed",
        occurred_at=received_at,
        received_at=received_at,
        body_sha256=hashlib.sha256(canonical_json(properties)).digest(),
        fact=fact_of("tier_changed", seconds(received_at), fact_key(SOURCE, name)),
        properties=properties,
    )
