"""Whether every account is what its ledger says: chain, sums, lots, and when it is next due."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Final

from app.domain.loyalty.account import Entry, opened
from app.domain.loyalty.balances import rebuilt
from app.domain.loyalty.chain import verify
from app.domain.loyalty.settling import next_due_at
from app.storage import verification
from app.storage.database import Database
from app.storage.loyalty import accounts, ledger_verification
from app.storage.loyalty.accounts import Loaded, Wanted
from app.storage.loyalty.ledger_verification import FIRST_PLACE, Place
from app.storage.verification import LAST_ID
from app.usecases.verification_pages import Difference, Page

ACCOUNTS_PER_PAGE: Final = 200
_LAST_PLACE: Final = Place(LAST_ID, "")
_AT: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Accounts that are not there would be made at this time; all of these are there."""


async def ledgers(database: Database) -> AsyncIterator[Page]:
    """Every account with all its entries, page by page, each page in one snapshot."""
    after = FIRST_PLACE
    while True:
        differences: list[Difference] = []
        async with verification.snapshot(database) as connection:
            page = await ledger_verification.places_after(connection, after, ACCOUNTS_PER_PAGE)
            is_last = len(page) < ACCOUNTS_PER_PAGE
            # Nobody stands above the last page, so entries found there have no account.
            last = _LAST_PLACE if is_last else page[-1]
            wanted = [Wanted(*place, whole=True) for place in page]
            loaded = await accounts.load(connection, wanted, _AT) if wanted else {}
            silent = dict(loaded)
            async for place, entries in ledger_verification.ledgers_in(connection, after, last):
                account = silent.pop(place, None)
                if account is None:
                    differences.append(Difference("entries without an account", place.customer_id))
                else:
                    differences += _compared(account, entries)
        for account in silent.values():
            differences += _compared(account, ())
        yield Page(len(page), differences)
        if is_last:
            return
        after = last


def _compared(loaded: Loaded, entries: Sequence[Entry]) -> list[Difference]:
    """What is wrong with one account."""
    account = loaded.account
    if entries:
        entries = [entries[0]._replace(previous=opened(account.id).head), *entries[1:]]
    found = [f"entry {one.seq}: {one.fault}" for one in verify(account.id, entries, account)]
    if not found and rebuilt(account, entries)._replace(last_at=account.last_at) != account:
        found.append("the cached figures or lots are not those of the ledger")
    due = next_due_at(account)
    if due is not None and (loaded.due_at is None or loaded.due_at > due):
        found.append("its clock work is due before anybody will look")
    return [Difference(f"programme {loaded.program}: {what}", loaded.customer_id) for what in found]
