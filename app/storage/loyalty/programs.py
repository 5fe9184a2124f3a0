"""Programmes and the versions of their rules: a handful of rows, read whole."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import asyncpg

from app.domain.loyalty.versions import Programme, Published, version_of

MOST_PROGRAMS: Final = 20
MOST_VERSIONS: Final = 500


class Program(NamedTuple):
    """A programme. Open while `closed_at` is None or ahead; `versions` counts those that were drafted."""

    code: str
    name: str
    currency: str
    time_zone: str
    created_at: datetime
    created_by: str
    closed_at: datetime | None
    ends_at: datetime | None
    revision: int
    versions: int

    @property
    def programme(self) -> Programme:
        """What rules ask about it."""
        zone = ZoneInfo(self.time_zone)
        return Programme(self.code, self.name, self.currency, zone, self.closed_at, self.ends_at)


class StoredVersion(NamedTuple):
    """A version as it was sent, and what became of it."""

    program: str
    number: int
    status: str
    body: dict[str, Any]
    sha256: bytes
    effective_from: datetime | None
    created_at: datetime
    created_by: str
    published_at: datetime | None
    published_by: str | None


@dataclass(frozen=True)
class Rules:
    """A programme with its published versions, as of `revision`."""

    program: Program
    versions: tuple[StoredVersion, ...]

    @property
    def revision(self) -> int:
        """The number that every publication and closing raises."""
        return self.program.revision

    @cached_property
    def programme(self) -> Programme:
        """What rules ask about it."""
        return self.program.programme

    @cached_property
    def published(self) -> tuple[Published, ...]:
        """The published versions, in order of their beginning."""
        return tuple(
            Published(one.number, version_of(one.body), one.effective_from)
            for one in self.versions
            if one.effective_from is not None
        )


_PROGRAM: Final = (
    "p.code, p.name, p.currency, p.time_zone, p.created_at, p.created_by, p.closed_at, p.ends_at, p.revision,"
    " p.versions"
)
_VERSION: Final = (
    "v.program, v.version, v.status, v.body::text, v.sha256, v.effective_from, v.created_at, v.created_by,"
    " v.published_at, v.published_by"
)


def _version(row: asyncpg.Record) -> StoredVersion:
    return _version_of(tuple(row))


def _version_of(row: tuple[Any, ...]) -> StoredVersion:
    return StoredVersion._make((*row[:3], json.loads(row[3]), *row[4:]))


async def revisions(connection: asyncpg.Connection) -> dict[str, int]:
    """The revision of each programme: asked for twice a second by every process."""
    return dict(await connection.fetch("SELECT code, revision FROM loyalty_programs"))


async def all_rules(connection: asyncpg.Connection) -> dict[str, Rules]:
    """All programmes with their published versions, the oldest first. One statement: nothing is half published."""
    rows = await connection.fetch(
        f"""
        SELECT {_PROGRAM}, {_VERSION}
        FROM loyalty_programs p LEFT JOIN loyalty_versions v ON v.program = p.code AND v.status = 'published'
        ORDER BY p.created_at, p.code, v.effective_from, v.version
        """  # noqa: S608 - our own columns
    )
    width = len(Program._fields)
    found: dict[str, Rules] = {}
    for row in rows:
        program = Program(*row[:width])
        known = found.get(program.code)
        versions = known.versions if known else ()
        if row[width] is not None:
            versions = (*versions, _version_of(tuple(row[width:])))
        found[program.code] = Rules(program, versions)
    return found


async def lock(connection: asyncpg.Connection, code: str) -> Program | None:
    """The programme; nobody else drafts, publishes or closes until the transaction ends."""
    row = await connection.fetchrow(
        f"SELECT {_PROGRAM} FROM loyalty_programs p WHERE p.code = $1 FOR UPDATE",  # noqa: S608 - our own columns
        code,
    )
    return None if row is None else Program(*row)


async def find(connection: asyncpg.Connection, code: str) -> Program | None:
    """The programme with this code."""
    row = await connection.fetchrow(
        f"SELECT {_PROGRAM} FROM loyalty_programs p WHERE p.code = $1",  # noqa: S608 - our own columns
        code,
    )
    return None if row is None else Program(*row)


async def listed(connection: asyncpg.Connection, limit: int, after: str = "") -> list[Program]:
    """The programmes by their codes, from behind `after` on."""
    rows = await connection.fetch(
        f"SELECT {_PROGRAM} FROM loyalty_programs p WHERE p.code > $1 ORDER BY p.code LIMIT $2",  # noqa: S608 - our own columns
        after,
        limit,
    )
    return [Program(*row) for row in rows]


async def insert(connection: asyncpg.Connection, programme: Programme, by: str, now: datetime) -> bool:
    """Write a programme down; False when there is one with this code or there are MOST_PROGRAMS."""
    status = await connection.execute(
        """
        INSERT INTO loyalty_programs (code, name, currency, time_zone, created_at, created_by, revision, versions)
        SELECT $1, $2, $3, $4, $5, $6, 1, 0
        WHERE (SELECT count(*) FROM loyalty_programs) < $7
        ON CONFLICT DO NOTHING
        """,
        programme.code,
        programme.name,
        programme.currency,
        programme.zone.key,
        now,
        by,
        MOST_PROGRAMS,
    )
    return bool(status == "INSERT 0 1")


async def close(connection: asyncpg.Connection, code: str, closed_at: datetime, ends_at: datetime) -> None:
    """Nothing earns from `closed_at` on, all that is left expires at `ends_at`. The programme is locked."""
    await connection.execute(
        "UPDATE loyalty_programs SET closed_at = $2, ends_at = $3, revision = revision + 1 WHERE code = $1",
        code,
        closed_at,
        ends_at,
    )


# --- versions --------------------------------------------------------------------------------------------------------


async def add_version(
    connection: asyncpg.Connection,
    program: str,
    body: Mapping[str, Any],
    sha256: bytes,
    by: str,
    now: datetime,
) -> int:
    """Draft the next version of a locked programme; its number."""
    number: int = await connection.fetchval(
        "UPDATE loyalty_programs SET versions = versions + 1 WHERE code = $1 RETURNING versions", program
    )
    await connection.execute(
        """
        INSERT INTO loyalty_versions (program, version, status, body, sha256, created_at, created_by)
        VALUES ($1, $2, 'draft', $3::text::jsonb, $4, $5, $6)
        """,
        program,
        number,
        json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        sha256,
        now,
        by,
    )
    return number


async def find_version(connection: asyncpg.Connection, program: str, number: int) -> StoredVersion | None:
    """One version, published or not."""
    row = await connection.fetchrow(
        f"SELECT {_VERSION} FROM loyalty_versions v WHERE v.program = $1 AND v.version = $2",  # noqa: S608 - our own columns
        program,
        number,
    )
    return None if row is None else _version(row)


async def newest_versions(
    connection: asyncpg.Connection, program: str, limit: int, before: int
) -> list[StoredVersion]:
    """The versions of a programme, the newest first, from below number `before` on."""
    rows = await connection.fetch(
        f"""
        SELECT {_VERSION} FROM loyalty_versions v
        WHERE v.program = $1 AND v.version < $2 ORDER BY v.version DESC LIMIT $3
        """,  # noqa: S608 - our own columns
        program,
        before,
        limit,
    )
    return [_version(row) for row in rows]


async def publish(
    connection: asyncpg.Connection,
    program: str,
    number: int,
    effective_from: datetime,
    by: str,
    now: datetime,
) -> None:
    """Let a draft of a locked programme be in force from an instant on."""
    await connection.execute(
        """
        UPDATE loyalty_versions
        SET status = 'published', effective_from = $3, published_at = $4, published_by = $5
        WHERE program = $1 AND version = $2 AND status = 'draft'
        """,
        program,
        number,
        effective_from,
        now,
        by,
    )
    await connection.execute("UPDATE loyalty_programs SET revision = revision + 1 WHERE code = $1", program)
