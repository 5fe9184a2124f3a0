"""The shop's closed complaints and what became of their customers: what `rapport fit` learns service from."""

import asyncio
from datetime import datetime
from typing import Final

from app.domain.health.cases import Case, closed_cases
from app.domain.health.form import Form
from app.domain.retention import form_kept
from app.domain.touchpoints import seconds
from app.storage import shop_log, verification
from app.storage.database import Database
from app.storage.privacy import purging
from app.storage.touchpoints import fact_of_row

PAGE: Final = 500
"""Customers in one statement."""
MOST_CASES: Final = 20_000
"""Enough for six numbers; each takes about a kilobyte while they are learnt from."""


async def read_cases(
    database: Database, until: datetime, horizon_days: int, form: Form, *, most: int = MOST_CASES
) -> list[Case]:
    """Up to `most` cases whose horizon has passed by `until`, those of the customers who came last first.

    Left out is whose log was purged in part: what they were like at the time is not known any more.
    """
    cases: list[Case] = []
    before = verification.LAST_ID
    while len(cases) < most:
        async with verification.snapshot(database) as connection:
            ids = await shop_log.with_closed_complaints(connection, before, PAGE)
            opened = await purging.openings(connection, ids)
            whole = [one for one in ids if form_kept(opened.get(one)) is None]
            async for _, rows in verification.logs_of(connection, whole):
                facts = [fact_of_row(row) for row in rows]
                # In a thread: a long log takes a second, in which a progress bar stands still.
                cases += await asyncio.to_thread(closed_cases, facts, seconds(until), horizon_days, form)
        if len(ids) < PAGE:
            break
        before = ids[-1]
    return cases[:most]
