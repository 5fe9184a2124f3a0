"""Calendars: the business hours and holidays in which promises count."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import body
from app.api.deps import Now, Reader, Tx, requires
from app.api.openapi import problems
from app.api.paging import Cursor, Page, Paging
from app.api.references import INVALID_CURSOR
from app.domain.feedback.calendars import MOST_HOLIDAYS
from app.domain.keys import Caller
from app.domain.problems import refused
from app.storage import calendars
from app.storage.calendars import Shown
from app.storage.database import driver
from app.usecases.complaints.keep_calendar import (
    calendar_not_found,
    find_calendar,
    keep_calendar,
    too_many_calendars,
)
from app.usecases.record_audit import record_audit

router = APIRouter(prefix="/v1/calendars", tags=["complaints"])

Code = Annotated[
    str, Path(pattern="^[a-z0-9][a-z0-9_-]{0,63}$", description="The calendar's code.", examples=["default"])
]
_BY_CODE: Final[Cursor[str]] = Cursor(str)
_Span = Annotated[list[str], Field(min_length=2, max_length=2)]

_BERLIN: Final[dict[str, Any]] = {
    "time_zone": "Europe/Berlin",
    "hours": {
        "monday": [["09:00", "12:30"], ["13:30", "17:00"]],
        "tuesday": [["09:00", "17:00"]],
        "wednesday": [["09:00", "17:00"]],
        "thursday": [["09:00", "17:00"]],
        "friday": [["09:00", "15:00"]],
    },
    "holidays": ["2026-12-25", "2026-12-26", "2027-01-01"],
}


class CalendarIn(BaseModel):
    """When the shop works: days that are left out are closed."""

    model_config = ConfigDict(extra="forbid", strict=True)

    time_zone: Annotated[str, Field(max_length=64, description="An IANA name.")]
    hours: Annotated[
        dict[str, list[_Span]],
        Field(
            description='By day, opening and closing: `{"monday": [["09:00", "17:00"]]}`; `24:00` is the end.'
        ),
    ]
    holidays: Annotated[
        list[str], Field(max_length=MOST_HOLIDAYS, description="Closed days of the zone, YYYY-MM-DD.")
    ] = []


class CalendarOut(BaseModel):
    """A calendar."""

    code: str
    time_zone: str
    hours: dict[str, list[list[str]]]
    holidays: list[str]
    updated_at: datetime


def _shown(calendar: Shown) -> CalendarOut:
    return CalendarOut.model_validate(
        {
            "code": calendar.code,
            "time_zone": calendar.time_zone,
            "hours": calendar.hours,
            "holidays": calendar.holidays,
            "updated_at": calendar.updated_at,
        }
    )


def _told(calendar: Shown) -> dict[str, Any]:
    return {"time_zone": calendar.time_zone, "hours": calendar.hours, "holidays": calendar.holidays}


def _etag(calendar: Shown) -> str:
    return f'"{calendar.revision}"'


_REFUSED: Final = (
    refused("#/time_zone", "unknown_timezone", "must be an IANA name, for example Europe/Berlin"),
    refused("#/hours", "unknown_day", "days are monday, tuesday, ..."),
    refused("#/hours/monday", "invalid_hours", "times are HH:MM, the end of a day is 24:00"),
    refused("#/hours", "never_open", "at least one day must have hours"),
    refused("#/holidays", "invalid_holiday", "a holiday is a date, YYYY-MM-DD"),
    too_many_calendars(),
)


@router.get("", responses=problems(INVALID_CURSOR))
async def list_calendars(
    _caller: Annotated[Caller, requires("feedback:read")], page: Paging, reader: Reader
) -> Page[CalendarOut]:
    """The calendars, by their codes; `default` is there from the beginning."""
    found = await calendars.listed(await driver(reader), page.fetch, page.after(_BY_CODE) or "")
    return page.answer(found, _shown, _BY_CODE, lambda one: one.code)


@router.get("/{code}", responses=problems(calendar_not_found()))
async def get_calendar(
    _caller: Annotated[Caller, requires("feedback:read")], code: Code, reader: Reader, response: Response
) -> CalendarOut:
    """One calendar."""
    found = await find_calendar(await driver(reader), code)
    response.headers["ETag"] = _etag(found)
    return _shown(found)


@router.put("/{code}", responses=problems(*_REFUSED))
async def put_calendar(
    caller: Annotated[Caller, requires("admin")],
    code: Code,
    sent: Annotated[CalendarIn, body(CalendarIn, examples={"Berlin": _BERLIN})],
    tx: Tx,
    now: Now,
    response: Response,
) -> CalendarOut:
    """Say when the shop works. Clocks that run keep their times until something is done about their complaint."""
    connection = await driver(tx)
    was = await calendars.find(connection, code)
    kept = await keep_calendar(connection, code, sent.time_zone, sent.hours, sent.holidays, now)
    before = None if was is None else _told(was)
    await record_audit(
        connection, caller.actor, "calendar_kept", f"calendar:{code}", before, _told(kept), now
    )
    response.headers["ETag"] = _etag(kept)
    return _shown(kept)
