"""Points that a person who leaves has put aside are free again; the ledger stays, for what the shop owes to add up."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from app.domain.loyalty.settling import erased, next_due_at
from app.storage.loyalty import accounts, entries
from app.storage.loyalty.accounts import Wanted
from app.storage.loyalty.saving import Change, save
from app.usecases.loyalty.change_account import busy


async def release_points(
    connection: asyncpg.Connection, customer_ids: Sequence[UUID], now: datetime
) -> dict[str, int]:
    """Release the open holds of locked customers; how many. Nobody's tier is looked at any more.

    Raises Unavailable `busy` when a programme's rules changed meanwhile.
    """
    wanted = [
        Wanted(customer_id, face.program)
        for customer_id in customer_ids
        for face in await entries.faces(connection, customer_id)
    ]
    if not wanted:
        return {}
    released, changes = 0, []
    for loaded in (await accounts.load(connection, wanted, now)).values():
        done = erased(loaded.account, now)
        released += done.result
        due = next_due_at(done.account)
        changes.append(Change(loaded, done.account, done.entries, loaded.standing, due))
    if not await save(connection, changes, now):
        raise busy()
    return {"loyalty_holds": released}
