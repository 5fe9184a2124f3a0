"""What the shop owes in points."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.deps import Now, Programs, Replica, requires
from app.api.loyalty.shapes import IN_THE_FUTURE, PROGRAM_NOT_FOUND, ProgramQuery
from app.api.openapi import problems
from app.api.paging import Moment
from app.domain.keys import Caller
from app.usecases.loyalty.read_liability import read_liability

router = APIRouter(prefix="/v1/loyalty/liability", tags=["loyalty"])


class MonthOut(BaseModel):
    """Points that are lost with the end of a month unless they are spent."""

    month: Annotated[
        str | None, Field(description="YYYY-MM in the programme's time zone; null: they never expire.")
    ]
    points: int


class LiabilityOut(BaseModel):
    """All points that customers have, pending and held ones too."""

    program: str
    as_of: datetime
    time_zone: str
    points: Annotated[int, Field(description="The sum of all months.")]
    debt: Annotated[int, Field(description="Points that customers owe the shop; not taken off `points`.")]
    by_month: list[MonthOut]


@router.get("", responses=problems(PROGRAM_NOT_FOUND, IN_THE_FUTURE))
async def get_loyalty_liability(
    _caller: Annotated[Caller, requires("insights:read")],
    replica: Replica,
    remembered: Programs,
    now: Now,
    program: ProgramQuery = None,
    as_of: Annotated[
        Moment | None, Query(description="By the time of entries: the answer never changes. By default now.")
    ] = None,
) -> LiabilityOut:
    """What the shop owes in points, by the month in which they expire."""
    told = await read_liability(replica, program, as_of, remembered.current, now)
    months = [MonthOut(month=month, points=points) for month, points in told.liability.by_month.items()]
    return LiabilityOut(
        program=told.program,
        as_of=told.at,
        time_zone=told.time_zone,
        points=told.liability.points,
        debt=told.liability.debt,
        by_month=months,
    )
