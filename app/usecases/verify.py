"""Proving that what is stored is what happened: every state again from its log, and everything that rests on trust.

Reads only, beside a running service: each page is one snapshot. A check is a name, the promise it stands for, and an
asynchronous generator of pages; another one joins CHECKS.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from app.domain.feedback.complaint_audit import disagreements
from app.domain.health.form import SHIPPED, Form
from app.domain.health.state import State
from app.domain.retention import OpeningState, folded
from app.storage import complaint_verification, customers, identifiers, verification
from app.storage.customers import Identity
from app.storage.database import Database
from app.storage.privacy import purging
from app.storage.tables import APP_ROLE, APPEND_ONLY, metadata
from app.storage.touchpoints import fact_of_row
from app.storage.verification import FIRST_ID, LAST_ID, Holder
from app.usecases.loyalty.verify_ledgers import ledgers
from app.usecases.verification_pages import Difference, Page

CUSTOMERS_PER_PAGE: Final = 500
IDENTIFIERS_PER_PAGE: Final = 2000
NAMED: Final = 5
"""Differences that a result names; all are counted."""


@dataclass(frozen=True, slots=True)
class Check:
    """`table`: the one whose rows it walks, for the progress; None when it asks a handful of questions."""

    name: str
    promise: str
    pages: Callable[[Database], AsyncIterator[Page]]
    table: str | None = None


@dataclass(slots=True)
class Result:
    """What one check found."""

    check: Check
    checked: int = 0
    differences: int = 0
    first: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, page: Page) -> None:
        """Count one page."""
        self.checked += page.checked
        self.differences += len(page.differences)
        self.first += page.differences[: NAMED - len(self.first)]
        self.notes += page.notes


Watch = Callable[[Result, int | None], None]
"""Told of each check before its first page, with the rows there are, and again after every page."""


async def verify(database: Database, watch: Watch = lambda _result, _rows: None) -> list[Result]:
    """Do all checks, one after the other. Everything holds when no result has differences.

    Raises Unavailable when the database is away.
    """
    results = []
    for check in CHECKS:
        result = Result(check)
        results.append(result)
        rows = None
        if check.table is not None:
            async with verification.snapshot(database) as connection:
                rows = await verification.count(connection, check.table)
        watch(result, rows)
        async for page in check.pages(database):
            result.add(page)
            watch(result, rows)
    return results


# --- states ---------------------------------------------------------------------------------------------------------


async def _states(database: Database) -> AsyncIterator[Page]:
    after = FIRST_ID
    while True:
        differences: list[Difference] = []
        async with verification.snapshot(database) as connection:
            stored = dict(await verification.states_after(connection, after, CUSTOMERS_PER_PAGE))
            opened = await purging.openings(connection, list(stored))
            silent = set(stored)
            async for customer_id, rows in verification.logs_of(connection, list(stored)):
                silent.remove(customer_id)
                differences += _compared(customer_id, stored[customer_id], rows, opened.get(customer_id))
        for customer_id in sorted(silent):
            differences += _compared(customer_id, stored[customer_id], (), opened.get(customer_id))
        yield Page(len(stored), differences)
        if len(stored) < CUSTOMERS_PER_PAGE:
            return
        after = max(stored)


def _compared(
    customer_id: UUID, stored: bytes, rows: Sequence[Mapping[str, Any]], opening: OpeningState | None
) -> list[Difference]:
    """What is wrong with one customer: rows that stand twice, a log that cannot be read, a state of another log.

    Of a log that was purged the sum of what went counts too.
    """
    found = []
    keys = {(row["source"], row["id"], row["origin_customer_id"]) for row in rows}
    if len(keys) < len(rows):
        found.append(f"{len(rows) - len(keys)} touchpoints stand in the log more than once")
    try:
        due = folded(opening, (fact_of_row(row) for row in rows), form_in(stored))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        found.append(f"the log cannot be read: {type(error).__name__}")
    else:
        found += unlike(due, stored)
    return [Difference(what, customer_id) for what in found]


def form_in(stored: bytes) -> Form:
    """The form of a stored state; of one that cannot be read the shipped one."""
    try:
        return State.decode(stored).form
    except ValueError:
        return SHIPPED


def unlike(due: State, stored: bytes) -> list[str]:
    """What is wrong with stored bytes that should be those of `due`."""
    if due.encode() == stored:
        return []
    try:
        held = State.decode(stored)
    except ValueError:
        return ["the stored state cannot be read"]
    if held.form != due.form:
        return ["the stored state has other half-lives"]
    members = [name for name, value in due.integers().items() if value != held.integers()[name]]
    if not members:
        return ["the stored state is right, its bytes are not the canonical ones"]
    return [f"the stored state is not that of the log: {', '.join(members)}"]


# --- orphans --------------------------------------------------------------------------------------------------------


async def _orphans(database: Database) -> AsyncIterator[Page]:
    after = FIRST_ID
    while True:
        async with verification.snapshot(database) as connection:
            page = await verification.customers_after(connection, after, CUSTOMERS_PER_PAGE)
            # Nobody stands above the last page, so what is found there has no customer.
            last = page[-1] if len(page) == CUSTOMERS_PER_PAGE else LAST_ID
            customers, states, logs, ledgers, orders = [
                await verification.ids_in_range(connection, table, after, last)
                for table in ("customers", "customer_states", "touchpoints", "loyalty_entries", "orders")
            ]
        differences = [
            Difference("a customer without a state row", one) for one in sorted(customers - states)
        ]
        differences += [
            Difference("a state row without a customer", one) for one in sorted(states - customers)
        ]
        differences += [
            Difference("touchpoints without a customer", one) for one in sorted(logs - (customers & states))
        ]
        differences += [
            Difference(f"{what} without a customer", one)
            for what, found in (("entries of points", ledgers), ("orders", orders))
            for one in sorted(found - customers)
        ]
        yield Page(len(page), differences)
        if last == LAST_ID:
            return
        after = last


# --- identifiers ----------------------------------------------------------------------------------------------------


async def _identifiers(database: Database) -> AsyncIterator[Page]:
    after = Holder(FIRST_ID, "", "", FIRST_ID)
    while True:
        async with verification.snapshot(database) as connection:
            page = await verification.held_after(connection, after, IDENTIFIERS_PER_PAGE)
            holders = await identifiers.holders(connection, {one.key for one in page})
        yield Page(
            len(page),
            [
                Difference(
                    "an identifier that nobody claims"
                    if one.key not in holders
                    else f"an identifier that customer {holders[one.key]} claims",
                    one.customer_id,
                )
                for one in page
                if holders.get(one.key) != one.origin
            ],
        )
        if len(page) < IDENTIFIERS_PER_PAGE:
            return
        after = page[-1]


async def _claims(database: Database) -> AsyncIterator[Page]:
    after = Holder(FIRST_ID, "", "", FIRST_ID)
    while True:
        async with verification.snapshot(database) as connection:
            page = await verification.claimed_after(connection, after, IDENTIFIERS_PER_PAGE)
            known = await customers.identities(connection, {one.customer_id for one in page})
            # What an alias claims stands beside the survivor.
            due = {one: one._replace(customer_id=_survivor(known, one.customer_id)) for one in page}
            held = await verification.held(connection, due.values()) if page else set()
        yield Page(
            len(page),
            [
                Difference("a claim on an identifier that the customer does not have", one.customer_id)
                for one in page
                if due[one] not in held
            ],
        )
        if len(page) < IDENTIFIERS_PER_PAGE:
            return
        after = page[-1]


def _survivor(known: Mapping[UUID, Identity], customer_id: UUID) -> UUID:
    identity = known.get(customer_id)
    return customer_id if identity is None or identity.merged_into is None else identity.merged_into


# --- complaints -----------------------------------------------------------------------------------------------------


async def _complaints(database: Database) -> AsyncIterator[Page]:
    after = FIRST_ID, FIRST_ID
    while True:
        async with verification.snapshot(database) as connection:
            page = await complaint_verification.complaints_after(connection, after, CUSTOMERS_PER_PAGE)
            # Of a merged customer the log is elsewhere, of an erased one it is gone.
            told = [row.complaint for row in page if row.stands]
            lines = await complaint_verification.lines_of(connection, told)
            written = await complaint_verification.written_by(connection, told)
            holders = await complaint_verification.holders(connection, told)
        differences: list[Difference] = []
        for complaint, next_due_at, stands in page:
            if not stands:
                continue
            touchpoints = written.get(complaint.public_id, {})
            found = disagreements(complaint, lines.get(complaint.id, ()), touchpoints, next_due_at)
            if holders.get(complaint.reference) != (complaint.origin_customer_id, complaint.id):
                found.append("nobody finds it by its reference")
            differences += [
                Difference(f"complaint {complaint.public_id}: {what}", complaint.customer_id)
                for what in found
            ]
        yield Page(len(page), differences)
        if len(page) < CUSTOMERS_PER_PAGE:
            return
        after = page[-1].complaint.customer_id, page[-1].complaint.id


# --- the server -----------------------------------------------------------------------------------------------------


async def _append_only(database: Database) -> AsyncIterator[Page]:
    async with verification.snapshot(database) as connection:
        login = await verification.login(connection)
        exists = await verification.role_exists(connection, APP_ROLE)
        rights = await verification.rights_to_change(connection, APP_ROLE, APPEND_ONLY)
        others = (
            [] if login == APP_ROLE else await verification.rights_to_change(connection, login, APPEND_ONLY)
        )
    notes = (
        [] if exists else [f"there is no role {APP_ROLE}: `rapport migrate` makes it for a login that may"]
    )
    if others:
        # As `rapport migrate` says of a login that may not create roles: then only the code keeps the log.
        notes.append(f"{login}, as whom this command logs in, may change the log: {APP_ROLE} may not")
    yield Page(
        len(APPEND_ONLY) if exists else 0,
        [Difference(f"{APP_ROLE} may {privilege} {table}") for table, privilege in rights],
        notes,
    )


_DURABLE: Final[Mapping[str, frozenset[str]]] = {
    "fsync": frozenset({"on"}),
    "full_page_writes": frozenset({"on"}),
    "synchronous_commit": frozenset({"on", "remote_write", "remote_apply"}),
}
_BOOLEANS: Final = {"true": "on", "yes": "on", "1": "on", "t": "on", "y": "on"}


async def _durability(database: Database) -> AsyncIterator[Page]:
    """Settings as they are for this login, settings that some login of the service will get, and tables."""
    tables = sorted(metadata.tables)
    async with verification.snapshot(database) as connection:
        roles = {APP_ROLE, await verification.login(connection)}
        settings = await verification.settings(connection, _DURABLE)
        overrides = await verification.overrides(connection, roles, _DURABLE)
        unlogged = await verification.unlogged(connection, tables)
    differences = [
        Difference(f"{name} is {settings.get(name, 'not known')}")
        for name, durable in _DURABLE.items()
        if settings.get(name) not in durable
    ]
    differences += [
        Difference(f"{one.name} is {one.value} for {one.role} in {one.database}")
        for one in overrides
        if _BOOLEANS.get(one.value, one.value) not in _DURABLE[one.name]
    ]
    differences += [Difference(f"table {table} is unlogged: a crash empties it") for table in unlogged]
    yield Page(len(_DURABLE) + len(overrides) + len(tables), differences)


CHECKS: Final[tuple[Check, ...]] = (
    Check("states", "each state is that of its log, to the byte", _states, "customer_states"),
    Check(
        "orphans",
        "each touchpoint, entry and order has its customer, each customer a state",
        _orphans,
        "customers",
    ),
    Check("identifiers", "each identifier is claimed by its customer", _identifiers, "customer_identifiers"),
    Check("claims", "each claim stands beside its customer", _claims, "identifier_claims"),
    Check("complaints", "each complaint is what its log and its touchpoints say", _complaints, "complaints"),
    Check("ledgers", "each account of points is what its ledger says", ledgers, "loyalty_accounts"),
    Check("append-only", "the service's role cannot change the log", _append_only),
    Check("durability", "what is committed survives a crash", _durability),
)
