"""Times on the wire: RFC 3339, in UTC when we write them, with any offset when we read them."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import BeforeValidator

from app.api.touchpoints.shapes import Moment

_OFFSET_LENGTH: Final = len("+01:00")
_SECONDS_LENGTH: Final = len("2026-11-20T10:15:00")


def wire_time(moment: datetime) -> str:
    """RFC 3339 in UTC."""
    return moment.isoformat().replace("+00:00", "Z")


def _with_plus(value: object) -> object:
    """A query string reads a bare + as a space; behind a time it can have been nothing else."""
    if isinstance(value, str) and len(value) >= _SECONDS_LENGTH + _OFFSET_LENGTH:
        time, sign, offset = value[:-_OFFSET_LENGTH], value[-_OFFSET_LENGTH], value[1 - _OFFSET_LENGTH :]
        return f"{time}+{offset}" if sign == " " else value
    return value


QueryMoment = Annotated[Moment, BeforeValidator(_with_plus)]
"""A time in a query string; without an offset Invalid `naive_time`."""
