"""Somebody wants no more mails: one click, written to the log, and what was queued for them is cancelled."""

from datetime import datetime
from typing import Any, Final

import asyncpg

from app.domain.canonical import body_sha256
from app.domain.feedback.links import Link
from app.domain.health.model import Model
from app.domain.ids import opaque_id
from app.domain.problems import Problem
from app.domain.recording import Recorded
from app.domain.touchpoints import propose
from app.storage import consents, invitations
from app.storage.states import StateRow
from app.usecases.record_touchpoints import Entry, record_touchpoints
from app.usecases.surveys.follow_link import lock_recipient
from app.usecases.surveys.invite import withdraw

SOURCE: Final = "rapport"
KIND: Final = "unsubscribed"


async def unsubscribe(
    connection: asyncpg.Connection, link: Link, model: Model, now: datetime, *, shop_currency: str
) -> None:
    """Write it down, once: doing it again changes nothing while it stands. Raises Gone `erased`, NotFound."""
    locked = await lock_recipient(connection, link.customer_id)
    if await consents.opted_out_since(connection, locked.customer_id) is not None:
        return
    # A shop may take it back (void, or a later yes) and the customer change their mind again: another touchpoint.
    before = await invitations.unsubscribed_before(connection, locked.customer_id)
    invitation = opaque_id(invitations.PREFIX, link.customer_id, link.resource_id)
    await log_unsubscription(
        connection,
        locked,
        f"{KIND}:{invitation}" + (f":{before + 1}" if before else ""),
        {"invitation_id": invitation},
        model,
        now,
        shop_currency=shop_currency,
    )


async def log_unsubscription(
    connection: asyncpg.Connection,
    locked: StateRow,
    id: str,  # noqa: A002 - the touchpoint's own name for it
    properties: dict[str, Any],
    model: Model,
    now: datetime,
    *,
    shop_currency: str,
    said_at: datetime | None = None,
) -> None:
    """A locked customer wants no messages: the touchpoint that says so, and what was queued for them is cancelled."""
    waiting = await invitations.of_customer(connection, locked.customer_id, ["queued"])
    await withdraw(connection, waiting, now)
    said = {"kind": KIND, "properties": properties}
    touchpoint = propose(
        source=SOURCE,
        id=id,
        kind=KIND,
        occurred_at=said_at or now,
        now=now,
        body_sha256=body_sha256(said, frozenset())[0],
        shop_currency=shop_currency,
        properties=properties,
    )
    (outcome,) = await record_touchpoints(
        connection, [Entry(locked.customer_id, touchpoint.of(locked.origin))], model
    )
    if isinstance(outcome, Problem):
        raise outcome
    if not isinstance(outcome, Recorded):
        raise TypeError("a locked customer was rerouted")
