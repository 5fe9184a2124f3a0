"""A customer says what they agree to: written down, and what was queued against their will is cancelled at once."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from app.domain.consent import MOST_SUBJECTS, Statement, check, says_nothing_new
from app.domain.health.model import Model
from app.domain.identifiers import Reference
from app.domain.ids import uuid7
from app.domain.problems import Conflict
from app.storage import consents, invitations
from app.storage.states import StateRow
from app.usecases.lock_customer import lock_customer
from app.usecases.privacy.read_consent import Consent, check_unchanged, consent_of
from app.usecases.record_audit import record_audit
from app.usecases.surveys.invite import withdraw
from app.usecases.surveys.unsubscribe import KIND, log_unsubscription


class Change(NamedTuple):
    """What is said, and of which version of it (If-Match; None: of any)."""

    statements: Sequence[Statement]
    versions: frozenset[str] | None


async def change_consent(
    connection: asyncpg.Connection,
    reference: Reference,
    change: Change,
    model: Model,
    now: datetime,
    *,
    shop_currency: str,
    by_admin: str | None = None,
) -> Consent:
    """What stands once all of it is written. Saying the same again writes nothing.

    `by_admin`: who answers for it in the audit log; None for the many who pass on what a form said.

    That no message at all is wanted becomes an `unsubscribed` touchpoint, as from a link in a mail. Raises what
    `find_customer` and `check` raise, Stale `stale`, Conflict `too_many_consents`.
    """
    for number, said in enumerate(change.statements):
        check(said, f"#/consents/{number}", now)
    locked = await lock_customer(connection, reference)
    before = await consent_of(connection, locked.customer_id)
    check_unchanged(before, change.versions)
    for said in change.statements:
        current = await consent_of(connection, locked.customer_id)
        if said.is_everything:
            await _leave(connection, locked, current, said, model, now, shop_currency=shop_currency)
        elif not says_nothing_new(
            said, current.held, current.unsubscribed_at
        ) and not await consents.is_known(connection, locked.customer_id, said):
            own_id = uuid7(int(now.timestamp() * 1000))
            await consents.add(connection, locked.customer_id, locked.origin, own_id, said, now)
    after = await consent_of(connection, locked.customer_id)
    if len(after.held) > MOST_SUBJECTS:
        raise too_many_consents()
    refused = await consents.refused_channels(connection, locked.customer_id, now)
    waiting = await invitations.of_customer(connection, locked.customer_id, ["queued"])
    await withdraw(connection, [row for row in waiting if row.channel in refused], now)
    if by_admin is not None and after.version != before.version:
        told = [
            {"purpose": one.purpose, "channel": one.channel, "state": one.state} for one in change.statements
        ]
        target = f"customer:{locked.customer_id}"
        await record_audit(connection, by_admin, "consent_changed", target, None, {"said": told}, now)
    return after


async def _leave(
    connection: asyncpg.Connection,
    locked: StateRow,
    current: Consent,
    said: Statement,
    model: Model,
    now: datetime,
    *,
    shop_currency: str,
) -> None:
    granted = [one.stated_at for one in current.held if one.state == "granted"]
    if current.unsubscribed_at is not None and all(at <= current.unsubscribed_at for at in granted):
        return
    told = {"source": said.source, "legal_basis": said.legal_basis, "note": said.note}
    await log_unsubscription(
        connection,
        locked,
        f"{KIND}:consent:{uuid7(int(now.timestamp() * 1000))}",
        {name: value for name, value in told.items() if value is not None},
        model,
        now,
        shop_currency=shop_currency,
        said_at=said.stated_at,
    )


def too_many_consents() -> Conflict:
    """Purposes and channels are a handful of words; somebody sends something else in their place."""
    return Conflict(
        "too_many_consents", f"A customer may have spoken of {MOST_SUBJECTS} purposes and channels at most."
    )
