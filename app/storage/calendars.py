"""When the shop works: a handful of rows, read whole."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from app.domain.feedback.calendars import Calendar, calendar_of

MOST_CALENDARS: Final = 100


class Shown(NamedTuple):
    """A calendar as its shop describes it."""

    code: str
    time_zone: str
    hours: Mapping[str, Sequence[Sequence[str]]]
    holidays: Sequence[str]
    revision: int
    updated_at: datetime

    @property
    def calendar(self) -> Calendar:
        """What clocks count by."""
        return calendar_of(time_zone=self.time_zone, hours=self.hours, holidays=self.holidays)


_COLUMNS: Final = "code, time_zone, hours::text AS hours, holidays::text AS holidays, revision, updated_at"


def _shown(row: asyncpg.Record) -> Shown:
    return Shown(
        row["code"],
        row["time_zone"],
        json.loads(row["hours"]),
        json.loads(row["holidays"]),
        row["revision"],
        row["updated_at"],
    )


async def find(connection: asyncpg.Connection, code: str) -> Shown | None:
    """The calendar with this code."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM calendars WHERE code = $1", code)  # noqa: S608 - our own columns
    return None if row is None else _shown(row)


async def listed(connection: asyncpg.Connection, limit: int, after: str = "") -> list[Shown]:
    """The calendars by their codes, from behind `after` on."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM calendars WHERE code > $1 ORDER BY code LIMIT $2",  # noqa: S608 - our own columns
        after,
        limit,
    )
    return [_shown(row) for row in rows]


async def by_code(connection: asyncpg.Connection, codes: Sequence[str]) -> dict[str, Calendar]:
    """What clocks count by, for each of these codes that exists."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM calendars WHERE code = ANY ($1::text[])",  # noqa: S608 - our own columns
        codes,
    )
    return {row["code"]: _shown(row).calendar for row in rows}


async def lock_all(connection: asyncpg.Connection) -> int:
    """Let nobody else change one until the transaction ends; returns how many there are."""
    return len(await connection.fetch("SELECT code FROM calendars ORDER BY code FOR UPDATE"))


async def save(
    connection: asyncpg.Connection,
    code: str,
    time_zone: str,
    hours: Mapping[str, Sequence[Sequence[str]]],
    holidays: Sequence[str],
    now: datetime,
) -> int:
    """Put it in the place of what is there; returns its new revision, 1 for a new one."""
    revision: int = await connection.fetchval(
        """
        INSERT INTO calendars AS c (code, time_zone, hours, holidays, revision, updated_at)
        VALUES ($1, $2, $3::text::jsonb, $4::text::jsonb, 1, $5)
        ON CONFLICT (code) DO UPDATE
        SET time_zone = excluded.time_zone, hours = excluded.hours, holidays = excluded.holidays,
          revision = c.revision + 1, updated_at = excluded.updated_at
        RETURNING revision
        """,
        code,
        time_zone,
        json.dumps(hours),
        json.dumps(holidays),
        now,
    )
    return revision
