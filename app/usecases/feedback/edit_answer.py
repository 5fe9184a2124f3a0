"""Somebody corrects an answer by its id."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from app.domain.feedback.answers import answer_not_found, answer_of
from app.domain.feedback.scales import Scale
from app.domain.health.model import Model
from app.domain.identifiers import Reference
from app.storage import feedback
from app.storage.feedback import Feedback, Shown
from app.usecases.feedback.change_answer import change_answer
from app.usecases.feedback.lock_recipient import lock_recipient


async def edit_answer(
    connection: asyncpg.Connection,
    customer_id: UUID,
    own_id: UUID,
    patch: Mapping[str, Any],
    *,
    by: str,
    model: Model,
    now: datetime,
    default_owner: str | None = None,
    check: Callable[[Feedback], None] = lambda _feedback: None,
) -> Shown:
    """The answer after a merge patch of `rating`, `text` and `public`. `check` sees it locked and may raise Stale.

    Raises NotFound `feedback_not_found`, Gone `erased`, Conflict `answer_final`, and what `answer_of` raises.
    """
    customer = await lock_recipient(connection, Reference(customer_id, ()), now, may_create=False)
    shown = await feedback.get(connection, customer.customer_id, own_id)
    if shown is None:
        raise answer_not_found()
    check(shown.feedback)
    before = shown.feedback.answer
    answer = answer_of(
        before.kind,
        rating=patch.get("rating", before.rating),
        scale=_members(before.scale),
        text=patch.get("text", before.text),
        public=patch.get("public", before.public),
        threshold=before.threshold,
    )
    if answer == before:
        return shown
    told = await change_answer(
        connection,
        customer,
        shown.feedback,
        answer,
        by=by,
        body_sha256=None,
        model=model,
        now=now,
        default_owner=default_owner,
    )
    return Shown(told.feedback, told.follow_up, told.outcome)


def _members(scale: Scale | None) -> dict[str, Any] | None:
    return None if scale is None else {"min": scale.min, "max": scale.max, "direction": scale.direction}
