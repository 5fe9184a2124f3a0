"""Surveys as the shop described them."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.feedback.surveys import Survey, survey_of

_COLUMNS: Final = """
  code, kind, question, scale, channel, trigger, limits, active, revision, triggered_since, seeded_after, created_at,
  updated_at
"""
# As text: the pool for single transactions would decode JSON, the bare connections would not.
_READ: Final = (
    _COLUMNS.replace("scale", "scale::text")
    .replace("trigger,", "trigger::text,")
    .replace("limits", "limits::text")
)


class StoredSurvey(NamedTuple):
    """A survey, and the words it was described with. `seeded_after`: see the table."""

    survey: Survey
    trigger: Mapping[str, Any] | None
    limits: Mapping[str, Any] | None
    active: bool
    revision: int
    triggered_since: datetime | None
    seeded_after: UUID | None
    created_at: datetime
    updated_at: datetime


async def find(connection: asyncpg.Connection, code: str) -> StoredSurvey | None:
    """The survey of this code."""
    row = await connection.fetchrow(
        f"SELECT {_READ} FROM surveys WHERE code = $1",  # noqa: S608 - columns of this module
        code,
    )
    return None if row is None else _stored(row)


async def lock(connection: asyncpg.Connection, code: str) -> StoredSurvey | None:
    """The same, and nobody else changes it until the transaction ends."""
    row = await connection.fetchrow(
        f"SELECT {_READ} FROM surveys WHERE code = $1 FOR UPDATE",  # noqa: S608 - columns of this module
        code,
    )
    return None if row is None else _stored(row)


async def after(connection: asyncpg.Connection, code: str, limit: int) -> list[StoredSurvey]:
    """The next surveys in the order of their codes."""
    rows = await connection.fetch(
        f"SELECT {_READ} FROM surveys WHERE code > $1 ORDER BY code LIMIT $2",  # noqa: S608 - as above
        code,
        limit,
    )
    return [_stored(row) for row in rows]


async def triggered(connection: asyncpg.Connection) -> list[StoredSurvey]:
    """The active surveys that something sets off. A shop has a handful."""
    rows = await connection.fetch(
        f"SELECT {_READ} FROM surveys WHERE active AND trigger IS NOT NULL ORDER BY code"  # noqa: S608 - as above
    )
    return [_stored(row) for row in rows]


async def insert(connection: asyncpg.Connection, stored: StoredSurvey) -> bool:
    """Add a survey; False when there is one of this code."""
    status = await connection.execute(
        f"""
        INSERT INTO surveys ({_COLUMNS})
        VALUES ($1, $2, $3, $4::text::jsonb, $5, $6::text::jsonb, $7::text::jsonb, $8, $9, $10, $11, $12, $13)
        ON CONFLICT DO NOTHING
        """,  # noqa: S608 - columns of this module
        *_values(stored),
    )
    return bool(status == "INSERT 0 1")


async def update(connection: asyncpg.Connection, stored: StoredSurvey) -> None:
    """Change a locked survey."""
    await connection.execute(
        """
        UPDATE surveys
        SET kind = $2, question = $3, scale = $4::text::jsonb, channel = $5, trigger = $6::text::jsonb,
          limits = $7::text::jsonb, active = $8, revision = $9, triggered_since = $10, seeded_after = $11,
          created_at = $12, updated_at = $13
        WHERE code = $1
        """,
        *_values(stored),
    )


async def seeded(connection: asyncpg.Connection, code: str, was: UUID, until: UUID | None) -> None:
    """Note how far the customers were gone through; somebody who was slower changes nothing."""
    await connection.execute(
        "UPDATE surveys SET seeded_after = $3 WHERE code = $1 AND seeded_after = $2", code, was, until
    )


def _values(stored: StoredSurvey) -> tuple[object, ...]:
    survey = stored.survey
    scale = {"min": survey.scale.min, "max": survey.scale.max, "direction": survey.scale.direction}
    return (
        survey.code,
        survey.kind,
        survey.question,
        json.dumps(scale),
        survey.channel,
        None if stored.trigger is None else json.dumps(stored.trigger),
        None if stored.limits is None else json.dumps(stored.limits),
        stored.active,
        stored.revision,
        stored.triggered_since,
        stored.seeded_after,
        stored.created_at,
        stored.updated_at,
    )


def _stored(row: asyncpg.Record) -> StoredSurvey:
    trigger = None if row["trigger"] is None else json.loads(row["trigger"])
    limits = None if row["limits"] is None else json.loads(row["limits"])
    survey = survey_of(
        code=row["code"],
        kind=row["kind"],
        question=row["question"],
        channel=row["channel"],
        scale=json.loads(row["scale"]),
        trigger=trigger,
        limits=limits,
    )
    return StoredSurvey(
        survey,
        trigger,
        limits,
        row["active"],
        row["revision"],
        row["triggered_since"],
        row["seeded_after"],
        row["created_at"],
        row["updated_at"],
    )
