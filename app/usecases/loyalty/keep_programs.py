"""A shop says what its points are: programmes, drafts of their rules, publication, the end."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import asyncpg

from app.domain.loyalty.versions import (
    check_publishable,
    programme_of,
    version_of,
    version_sha256,
)
from app.domain.problems import Conflict, NotFound, refused
from app.storage.loyalty import programs
from app.storage.loyalty.programs import MOST_PROGRAMS, MOST_VERSIONS, Program, StoredVersion
from app.usecases.loyalty.remembered_programs import program_not_found


async def create_program(
    connection: asyncpg.Connection, body: Mapping[str, Any], by: str, now: datetime
) -> tuple[Program, bool]:
    """The programme, and whether it is new: the same body again answers the same.

    Raises what `programme_of` raises, Conflict `program_exists` or `too_many_programs`.
    """
    programme = programme_of(body)
    is_new = await programs.insert(connection, programme, by, now)
    found = await programs.find(connection, programme.code)
    if found is None:
        raise too_many_programs()
    if (found.name, found.currency, found.time_zone) != (
        programme.name,
        programme.currency,
        programme.zone.key,
    ):
        raise program_exists()
    return found, is_new


async def draft_version(
    connection: asyncpg.Connection, code: str, body: Mapping[str, Any], by: str, now: datetime
) -> StoredVersion:
    """The next version of a programme, a draft. Raises what `version_of` raises, NotFound `program_not_found`,
    Conflict `too_many_versions`.
    """
    version_of(body)
    program = await _locked(connection, code)
    if program.versions >= MOST_VERSIONS:
        raise too_many_versions()
    number = await programs.add_version(connection, code, body, version_sha256(body), by, now)
    return await existing_version(connection, code, number)


async def publish_version(
    connection: asyncpg.Connection,
    code: str,
    number: int,
    effective_from: datetime | None,
    by: str,
    now: datetime,
) -> StoredVersion:
    """The version, in force from `effective_from` on (None: now). Publishing it again for that time changes nothing.

    Raises NotFound `program_not_found` or `version_not_found`, Conflict `already_published`, `already_in_force`,
    `version_altered`.
    """
    await _locked(connection, code)
    found = await existing_version(connection, code, number)
    if found.status == "published":
        if effective_from not in {None, found.effective_from}:
            raise already_published()
        return found
    if version_sha256(found.body) != found.sha256:
        raise version_altered()
    begins = now if effective_from is None else effective_from
    known = (await programs.all_rules(connection))[code].published
    check_publishable(begins, known, now)
    await programs.publish(connection, code, number, begins, by, now)
    return await existing_version(connection, code, number)


async def close_program(
    connection: asyncpg.Connection, code: str, closed_at: datetime | None, ends_at: datetime, now: datetime
) -> Program:
    """The programme that earns no more from `closed_at` (None: now) on, and whose points all expire at `ends_at`.

    Raises NotFound `program_not_found`, Invalid `in_the_past` or `invalid_window`, Conflict `program_closed` for one
    that is closed with other times.
    """
    program = await _locked(connection, code)
    if program.closed_at is not None:
        if program.ends_at != ends_at or closed_at not in {None, program.closed_at}:
            raise program_closed()
        return program
    begins = now if closed_at is None else closed_at
    if begins < now:
        raise refused("#/closed_at", "in_the_past", "must not lie in the past")
    if ends_at < begins:
        raise refused("#/ends_at", "invalid_window", "must not be before closed_at")
    await programs.close(connection, code, begins, ends_at)
    return await existing_program(connection, code)


async def existing_program(connection: asyncpg.Connection, code: str) -> Program:
    """The programme with this code. Raises NotFound `program_not_found`."""
    found = await programs.find(connection, code)
    if found is None:
        raise program_not_found()
    return found


async def existing_version(connection: asyncpg.Connection, code: str, number: int) -> StoredVersion:
    """One version of a programme. Raises NotFound `version_not_found`."""
    found = await programs.find_version(connection, code, number)
    if found is None:
        raise version_not_found()
    return found


async def _locked(connection: asyncpg.Connection, code: str) -> Program:
    program = await programs.lock(connection, code)
    if program is None:
        raise program_not_found()
    return program


def version_not_found() -> NotFound:
    """No such version."""
    return NotFound("version_not_found", "The programme has no version of this number.")


def program_exists() -> Conflict:
    """The code stands for another programme."""
    return Conflict("program_exists", "There is a programme of this code with other terms.")


def too_many_programs() -> Conflict:
    """They are remembered whole."""
    return Conflict("too_many_programs", f"A shop has at most {MOST_PROGRAMS} programmes.")


def too_many_versions() -> Conflict:
    """They are remembered whole."""
    return Conflict("too_many_versions", f"A programme has at most {MOST_VERSIONS} versions.")


def already_published() -> Conflict:
    """It was promised for another time."""
    return Conflict("already_published", "The version is published, for another time.")


def version_altered() -> Conflict:
    """Somebody changed what was drafted, behind the service's back."""
    return Conflict("version_altered", "The stored draft is not what was sent. Draft it anew.")


def program_closed() -> Conflict:
    """A programme is closed once."""
    return Conflict("program_closed", "The programme is closed, with other times.")
