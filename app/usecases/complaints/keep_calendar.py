"""A shop says when it works."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import asyncpg

from app.domain.feedback.calendars import after_business_time, calendar_of
from app.domain.problems import Conflict, NotFound, refused
from app.storage import calendars
from app.storage.calendars import MOST_CALENDARS, Shown

_ROOM: Final = 100
"""Business days that a calendar must hold within ten years, or promises in it could not be dated."""


async def keep_calendar(
    connection: asyncpg.Connection,
    code: str,
    time_zone: str,
    hours: Mapping[str, Sequence[Sequence[str]]],
    holidays: Sequence[str],
    now: datetime,
) -> Shown:
    """The calendar in the place of what was there. Clocks that run keep their times until they are touched again.

    Raises what `calendar_of` raises, and Conflict `too_many_calendars`.
    """
    calendar = calendar_of(time_zone=time_zone, hours=hours, holidays=holidays)
    try:
        after_business_time(calendar, now, _ROOM * calendar.business_day)
    except ValueError:
        raise refused("#/holidays", "never_open", "leave hardly a day on which the shop is open") from None
    days = sorted(set(holidays))
    count = await calendars.lock_all(connection)
    if count >= MOST_CALENDARS and await calendars.find(connection, code) is None:
        raise too_many_calendars()
    revision = await calendars.save(connection, code, time_zone, hours, days, now)
    return Shown(code, time_zone, hours, days, revision, now)


async def find_calendar(connection: asyncpg.Connection, code: str) -> Shown:
    """The calendar with this code. Raises NotFound `calendar_not_found`."""
    found = await calendars.find(connection, code)
    if found is None:
        raise calendar_not_found()
    return found


def calendar_not_found() -> NotFound:
    """No such calendar."""
    return NotFound("calendar_not_found", "There is no calendar with this code.")


def too_many_calendars() -> Conflict:
    """They are read whole."""
    return Conflict("too_many_calendars", f"A shop has at most {MOST_CALENDARS} calendars.")
