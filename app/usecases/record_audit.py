"""The one way into the audit log."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import asyncpg

from app.domain.audit import LONGEST_NAME, cleaned, without_telling
from app.domain.ids import uuid7
from app.storage import audit
from app.storage.audit import Deed


async def record_audit(
    connection: asyncpg.Connection,
    actor: str,
    action: str,
    target: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    now: datetime,
) -> None:
    """Write down what `actor` (`Caller.actor`) does, inside the transaction that does it: both happen or neither.

    `action` is a past participle after its noun (`key_created`, `customer_erased`); `target` is `<what>:<id>`, for a
    customer `customer:<uuid>`, never an identifier. `before` and `after` are what changed, without secrets and without
    personal data; what looks like either is hidden (domain/audit.py).
    """
    await audit.add(
        connection,
        Deed(
            uuid7(int(now.timestamp() * 1000)),
            now,
            actor[:LONGEST_NAME],
            action,
            without_telling(target)[:LONGEST_NAME],
            cleaned(before),
            cleaned(after),
        ),
    )
