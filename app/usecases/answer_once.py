"""A POST that may be sent again: done once, answered every time."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

from app.domain.problems import Conflict, Fault, Invalid, Problem
from app.storage import idempotency
from app.storage.idempotency import KeptAnswer, Question

KEPT_FOR: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a route answers: a status, the body as JSON values, and headers that belong to the body (ETag, Location)."""

    status: int
    body: Any
    headers: dict[str, str]
    replayed: bool = False


async def answer_once(
    connection: asyncpg.Connection,
    question: Question,
    body_sha256: bytes,
    now: datetime,
    work: Callable[[], Awaitable[Answer]],
) -> Answer:
    """The answer to this question: that of `work`, or the one that was given within the last 24 hours.

    Runs in the transaction in which `work` writes, so that the answer is kept exactly when the work is. A problem that
    `work` raises is kept by nobody: sent again, it is tried again.

    Raises Conflict `idempotency_in_flight`, Invalid `idempotency_key_reused`.
    """
    since = now - KEPT_FOR
    if not await idempotency.try_lock(connection, question):
        raise in_flight()
    kept = await idempotency.find(connection, question, since)
    if kept is not None:
        return _replay(kept, body_sha256)
    answer = await work()
    to_keep = KeptAnswer(body_sha256, answer.status, {"body": answer.body, "headers": answer.headers})
    if not await idempotency.keep(connection, question, to_keep, now, since=since):
        raise in_flight()
    return answer


def _replay(kept: KeptAnswer, body_sha256: bytes) -> Answer:
    if kept.body_sha256 != body_sha256:
        raise key_reused()
    return Answer(kept.status, kept.answer["body"], kept.answer["headers"], replayed=True)


def key_reused() -> Problem:
    """The caller sends something else under a key that it used before."""
    detail = "This Idempotency-Key was used before with another body."
    fault = Fault("#/header/idempotency-key", "idempotency_key_reused", detail)
    return Invalid("idempotency_key_reused", detail, errors=[fault])


def in_flight() -> Problem:
    """The first request with this key has not been answered yet."""
    return Conflict(
        "idempotency_in_flight",
        "A request with this Idempotency-Key is being answered right now. Try again shortly.",
        retry_after_seconds=1,
    )
