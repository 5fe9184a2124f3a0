"""Whose answer it is: found or made, and locked."""

from datetime import datetime

import asyncpg

from app.domain.admission import OPEN, Admission
from app.domain.feedback.answers import gone
from app.domain.identifiers import Reference
from app.domain.problems import Problem
from app.storage.states import StateRow
from app.usecases.lock_customer import lock_or_create_customer


async def lock_recipient(
    connection: asyncpg.Connection,
    reference: Reference,
    now: datetime,
    *,
    may_create: bool = True,
    admission: Admission = OPEN,
) -> StateRow:
    """The customer whose answer it is, their state row locked until the caller's transaction ends.

    After a merge that is the survivor. Raises Gone `erased`, what else stands against the reference
    (`customer_not_found`, `identity_conflict`), and Unavailable `busy`.
    """
    try:
        return await lock_or_create_customer(connection, reference, now, admission, may_create=may_create)
    except Problem as problem:
        if problem.code == "erased":
            # The rule of feedback: 410, where the rest of the service answers 409.
            raise gone() from problem
        raise
