"""A follow-up gets an owner, or is done with."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from app.domain.feedback.follow_ups import ASK_AGAIN_AFTER, FollowUp, ask_again_at, assigned, closed
from app.domain.identifiers import Reference
from app.domain.problems import NotFound
from app.storage import follow_ups
from app.storage.follow_ups import FollowUpRow
from app.usecases.feedback.lock_recipient import lock_recipient


@dataclass(frozen=True, slots=True)
class FollowUpChange:
    """What is wanted: another `owner` (None: nobody) when `assigns`, then closed when there is an `outcome`."""

    assigns: bool = False
    owner: str | None = None
    outcome: str | None = None
    note: str | None = None
    ask_again_after_days: int | None = None
    expected_version: int | None = None


async def change_follow_up(
    connection: asyncpg.Connection,
    customer_id: UUID,
    own_id: UUID,
    wanted: FollowUpChange,
    now: datetime,
    *,
    check: Callable[[FollowUpRow], None] = lambda _row: None,
) -> FollowUpRow:
    """The follow-up after the change. `check` sees it locked and may raise Stale.

    Raises NotFound `follow_up_not_found`, Gone `erased`, Conflict `version_conflict` or `follow_up_closed`, Invalid
    `unknown_outcome`.
    """
    customer = await lock_recipient(connection, Reference(customer_id, ()), now, may_create=False)
    row = await follow_ups.get(connection, customer.customer_id, own_id)
    if row is None:
        raise follow_up_not_found()
    check(row)
    after = _changed(row.one, wanted, now)
    days = wanted.ask_again_after_days
    again = row.ask_again_at
    if after.state == "closed" and days != 0:
        again = ask_again_at(after, ASK_AGAIN_AFTER if days is None else timedelta(days=days))
    changed = replace(
        row,
        one=after,
        note=row.note if wanted.note is None else wanted.note,
        ask_again_at=again,
        # From here on it is the worker's (usecases/surveys/ask_again.py).
        ask_due_at=again,
        updated_at=now,
    )
    await follow_ups.put(connection, changed)
    return changed


def _changed(one: FollowUp, wanted: FollowUpChange, now: datetime) -> FollowUp:
    """One version further, whatever of it changes: its caller sees one change."""
    after = one
    if wanted.assigns or wanted.outcome is None:
        owner = wanted.owner if wanted.assigns else one.owner
        after = assigned(one, owner, expected_version=wanted.expected_version)
    if wanted.outcome is None:
        return after
    return closed(
        replace(after, version=one.version), wanted.outcome, at=now, expected_version=wanted.expected_version
    )


def follow_up_not_found() -> NotFound:
    """No such follow-up, whomever it may be about."""
    return NotFound("follow_up_not_found", "There is no such follow-up.")
