"""Answers kept for 24 hours, so that a POST without a natural key of its own can be sent again."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from app.domain.ids import named_in


@dataclass(frozen=True, slots=True)
class Question:
    """What makes two requests the same one: who asked, where, and the key they chose."""

    api_key: str
    route: str
    key: str


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What was answered, and to which body (SHA-256)."""

    body_sha256: bytes
    status: int
    answer: Any


async def try_lock(connection: asyncpg.Connection, question: Question) -> bool:
    """Take the question until the transaction ends, or say False when somebody is answering it right now.

    A lock that is never waited for: that somebody is at it can be told, and a crash leaves nothing behind. It is a
    courtesy; what makes the answer the only one is the key of the row.
    """
    taken: bool = await connection.fetchval(
        "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))",
        json.dumps([question.api_key, question.route, question.key]),
    )
    return taken


async def find(connection: asyncpg.Connection, question: Question, since: datetime) -> KeptAnswer | None:
    """The answer given at `since` or later."""
    row = await connection.fetchrow(
        """
        SELECT body_sha256, status, answer::text
        FROM idempotency_keys
        WHERE api_key = $1 AND route = $2 AND key = $3 AND created_at >= $4
        """,
        question.api_key,
        question.route,
        question.key,
        since,
    )
    return None if row is None else KeptAnswer(row["body_sha256"], row["status"], json.loads(row["answer"]))


async def keep(
    connection: asyncpg.Connection, question: Question, answer: KeptAnswer, now: datetime, *, since: datetime
) -> bool:
    """Keep an answer, in the place of one from before `since`. False when a newer one is there already."""
    status = await connection.execute(
        """
        INSERT INTO idempotency_keys AS kept (
          api_key, route, key, body_sha256, status, answer, created_at, about
        )
        VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7, $9)
        ON CONFLICT (api_key, route, key) DO UPDATE
        SET body_sha256 = excluded.body_sha256, status = excluded.status, answer = excluded.answer,
          created_at = excluded.created_at, about = excluded.about
        WHERE kept.created_at < $8
        """,
        question.api_key,
        question.route,
        question.key,
        answer.body_sha256,
        answer.status,
        json.dumps(answer.answer, ensure_ascii=False),
        now,
        since,
        sorted(named_in(answer.answer)),
    )
    return bool(status == "INSERT 0 1")


async def forget(connection: asyncpg.Connection, before: datetime, limit: int) -> int:
    """Drop at most `limit` answers given before `before`; how many were dropped. For the sweeper."""
    status = await connection.execute(
        """
        DELETE FROM idempotency_keys
        WHERE created_at < $1 AND (api_key, route, key) IN (
          SELECT api_key, route, key FROM idempotency_keys WHERE created_at < $1 ORDER BY created_at LIMIT $2
          FOR UPDATE SKIP LOCKED
        )
        """,
        before,
        limit,
    )
    return int(status.rpartition(" ")[2])
