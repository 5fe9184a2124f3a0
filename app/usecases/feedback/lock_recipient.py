"""Whose answer it is: found or made, and locked."""

from datetime import datetime

import asyncpg

from app.domain.admission import OPEN, Admission
from app.domain.feedback.answers import gone
from app.domain.identifiers import Reference
from app.domain.problems import Problem
from app.storage import states
from app.storage.states import StateRow
from app.usecases.resolve_customers import Raced, resolve_customers, until_settled


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

    async def resolved_and_locked() -> StateRow:
        (resolution,) = await resolve_customers(
            connection, [reference], now, may_create=may_create, admission=admission
        )
        if isinstance(resolution, Problem):
            raise resolution
        locked = (await states.lock(connection, [resolution.customer_id])).get(resolution.customer_id)
        if (
            locked is None
            or locked.identity_revision != resolution.identity_revision
            or locked.merged_into is not None
            or locked.erased_at is not None
        ):
            raise Raced
        return locked._replace(named_as=resolution.named_as)

    try:
        return await until_settled(connection, resolved_and_locked)
    except Problem as problem:
        if problem.code == "erased":
            # The rule of feedback: 410, where the rest of the service answers 409.
            raise gone() from problem
        raise
