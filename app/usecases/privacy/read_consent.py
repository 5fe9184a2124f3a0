"""What a customer agreed to: what stands, and how it came to be."""

import hashlib
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.domain.consent import Statement
from app.domain.problems import Fault, Stale
from app.storage import consents
from app.storage.consents import LoggedStatement, Unsubscription


class Consent(NamedTuple):
    """What was said last of each purpose and channel. `unsubscribed_at`: when no more messages were wanted, last.

    `opted_out_at`: since when surveys are refused on all channels.
    """

    customer_id: UUID
    held: list[Statement]
    unsubscribed_at: datetime | None
    opted_out_at: datetime | None

    @property
    def version(self) -> str:
        """Another one after every change."""
        return hashlib.blake2b(repr(self).encode(), digest_size=12).hexdigest()


class History(NamedTuple):
    """The newest of all that was said, in both forms, each with the newest first."""

    statements: list[LoggedStatement]
    unsubscriptions: list[Unsubscription]


async def consent_of(connection: asyncpg.Connection, customer_id: UUID) -> Consent:
    """What stands for a customer who exists."""
    newest = await consents.unsubscriptions(connection, customer_id, 1)
    return Consent(
        customer_id,
        await consents.of_customer(connection, customer_id),
        newest[0].at if newest else None,
        await consents.opted_out_since(connection, customer_id),
    )


async def history_of(connection: asyncpg.Connection, customer_id: UUID, limit: int) -> History:
    """What was said, `limit` of each form at most."""
    return History(
        await consents.history(connection, customer_id, limit),
        await consents.unsubscriptions(connection, customer_id, limit),
    )


def check_unchanged(consent: Consent, versions: frozenset[str] | None) -> None:
    """Raises Stale `stale` unless the consent has one of these versions; None: whichever it has."""
    if versions is not None and consent.version not in versions:
        raise stale()


def stale() -> Stale:
    """Somebody said something meanwhile."""
    return Stale(
        "stale",
        "The consent was changed since; read it again and decide anew.",
        errors=[Fault("#/header/if-match", "stale", "The consent has another version by now.")],
    )
