"""GET /v1/customers/{customer}/health/history: the score over time, and what moved it."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from app.api.customers import Band
from app.api.deps import Now, Scoring, Store, requires
from app.api.health import TIME_PROBLEMS, ComponentName
from app.api.openapi import problems
from app.api.paging import Cursor, Moment, Page, PageRequest
from app.api.references import INVALID_CURSOR, NAMED_PROBLEMS, Named
from app.api.times import QueryMoment
from app.domain.health.model import COMPONENTS
from app.domain.keys import Caller
from app.domain.problems import Fault, Invalid
from app.domain.series import Change, Place
from app.usecases.read_history import MOST_POINTS, HistoryPoint, read_history, too_many_points

router = APIRouter(prefix="/v1/customers/{customer}/health/history", tags=["health"])

_PLACE: Final[Cursor[tuple[datetime, str]]] = Cursor(tuple[Moment, str])
_USUAL_LIMIT: Final = 500
_STEP: Final = re.compile(r"([1-9][0-9]{0,3})([hd])")
_STEP_RULE: Final = "step is hours or days: 12h, 1d, 7d, 30d."
_INVALID_STEP: Final = Invalid(
    "invalid_step", _STEP_RULE, errors=[Fault("#/query/step", "invalid_step", _STEP_RULE)]
)


class ComponentChange(BaseModel):
    """What one component did."""

    name: ComponentName
    time: float
    event: float


class ChangeOut(BaseModel):
    """What moved the score since the point before; `time` and `event` are the whole difference."""

    time: Annotated[float, Field(description="Points, while nothing happened.")]
    event: Annotated[float, Field(description="Points, by this touchpoint.")]
    components: Annotated[
        list[ComponentChange], Field(description="Those that moved; they add up to the two.")
    ]


class PointOut(BaseModel):
    """Health at one time."""

    at: datetime
    score: Annotated[int | None, Field(description="null before anything was known.")]
    score_exact: float | None
    band: Band
    change: Annotated[
        ChangeOut | None,
        Field(
            description="null for a step, and where another model began to score; from 50 at the first point."
        ),
    ]
    touchpoint_id: Annotated[
        str | None,
        Field(description="What had just happened; null for a step, and where another model began to score."),
    ]
    source: Annotated[str | None, Field(description="Of the touchpoint.")]
    kind: Annotated[str | None, Field(description="Of the touchpoint.")]
    model: Annotated[str, Field(description="The version that was in force at that time.")]


def _shown(one: HistoryPoint) -> PointOut:
    point, row = one
    return PointOut(
        at=point.at,
        score=point.score,
        score_exact=point.score_exact,
        band=point.band,
        change=None if point.change is None else _changed(point.change),
        touchpoint_id=None if row is None else row.id,
        source=None if row is None else row.source,
        kind=None if row is None else row.fact.kind,
        model=point.model,
    )


def _changed(change: Change) -> ChangeOut:
    return ChangeOut(
        time=sum(change.time),
        event=sum(change.event),
        components=[
            ComponentChange(name=name, time=by_time, event=by_event)
            for name, by_time, by_event in zip(COMPONENTS, change.time, change.event, strict=True)
            if by_time or by_event
        ],
    )


def _parsed(step: str | None) -> timedelta | None:
    if step is None:
        return None
    matched = _STEP.fullmatch(step)
    if matched is None:
        raise Invalid(_INVALID_STEP.code, _INVALID_STEP.detail, errors=_INVALID_STEP.errors)
    count = int(matched[1])
    return timedelta(hours=count) if matched[2] == "h" else timedelta(days=count)


@router.get(
    "", responses=problems(*NAMED_PROBLEMS, *TIME_PROBLEMS, _INVALID_STEP, too_many_points(), INVALID_CURSOR)
)
async def get_health_history(
    request: Request,
    response: Response,
    _caller: Annotated[Caller, requires("customers:read")],
    named: Named,
    database: Store,
    model: Scoring,
    now: Now,
    since: Annotated[
        QueryMoment | None, Query(description="Begin here; the customer's first touchpoint unless given.")
    ] = None,
    step: Annotated[
        str | None,
        Query(
            max_length=8,
            description="One point every so often instead of one for each touchpoint: `12h`, `1d`, `7d`.",
            examples=["7d"],
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_POINTS, description="Most points in one page.")] = _USUAL_LIMIT,
    cursor: Annotated[
        str | None, Query(max_length=2000, description="`next_cursor` of the page before.")
    ] = None,
) -> Page[PointOut]:
    """The score after each touchpoint, by (occurred_at, id), each read by the model that was in force then.

    What is known today is folded again, so a late touchpoint stands where it happened, and what was voided is gone.
    """
    page = PageRequest(limit, cursor, request, response)
    after = page.after(_PLACE)
    points = await read_history(
        database,
        named,
        model,
        now,
        since=since,
        step=_parsed(step),
        after=None if after is None else Place(*after),
        limit=page.fetch,
    )
    return page.answer(points, _shown, _PLACE, lambda one: one.point.place)
