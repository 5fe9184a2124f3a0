"""GET /v1/feedback/summary: figures with their doubt."""

from datetime import date, datetime
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from app.api.deps import Config, Lagging, Now, requires
from app.api.feedback.shapes import ScaleOut
from app.api.openapi import problems
from app.api.problems import problem_of
from app.api.times import QueryMoment
from app.domain.feedback.periods import window_of
from app.domain.feedback.scales import Scale
from app.domain.feedback.statistics import Figure, Moved, response_rate
from app.domain.keys import Caller
from app.domain.problems import refused
from app.storage.database import driver
from app.storage.figures import GroupBy, InvitationCounts
from app.usecases.feedback.summarise_answers import Line, summarise_answers

router = APIRouter(prefix="/v1/feedback", tags=["feedback"])

_DAY_LENGTH: Final = len("2026-11-20")
_DIGITS: Final = 6
_MOMENT: Final[TypeAdapter[datetime]] = TypeAdapter(QueryMoment)

Rated = Literal["nps", "csat", "ces", "review"]


class FigureOut(BaseModel):
    """A figure of `n` answers with its 95 % interval; all null, and never 0, without answers."""

    score: float | None
    n: int
    ci_low: float | None
    ci_high: float | None
    indicative: Annotated[
        bool, Field(description="Fewer than 30 answers: a direction, nothing to decide on.")
    ]


class LineOut(FigureOut):
    """A figure, what it rests on, and how it compares with the period before."""

    response_rate: Annotated[
        float | None, Field(description="Answered of delivered invitations in percent; null when none was.")
    ]
    suppressed: Annotated[int, Field(description="Invitations that were held back.")]
    suppressed_by: Annotated[dict[str, int], Field(description="The same by reason.")]
    previous: FigureOut | None
    difference: float | None
    moved: Annotated[
        Moved, Field(description="Whether the change is more than chance; from 30 answers on each side.")
    ]
    ratings: Annotated[dict[str, int], Field(description="Counted answers per rating.")]
    easy: Annotated[FigureOut | None, Field(description="CES: the share of the best three of seven.")]


class GroupOut(LineOut):
    """The figure of one group; null: answers without one. A bucket of time has the name of its first day."""

    group: str | None


class OtherScaleOut(FigureOut):
    """Answers on another scale are another figure."""

    scale: ScaleOut


class SummaryOut(LineOut):
    """The figure of a kind: NPS (-100 to 100), satisfied of 100, mean effort, mean stars."""

    model_config = {"populate_by_name": True}

    kind: Rated
    scale: ScaleOut
    from_: Annotated[datetime, Field(alias="from")]
    to: datetime
    time_zone: str
    group_by: GroupBy | None
    groups: list[GroupOut]
    other_scales: list[OtherScaleOut]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "score": _rounded(figure.score),
        "n": figure.n,
        "ci_low": _rounded(figure.ci_low),
        "ci_high": _rounded(figure.ci_high),
        "indicative": figure.indicative,
    }


def _shown(figure: Figure | None) -> FigureOut | None:
    return None if figure is None else FigureOut(**_figure(figure))


def _scale(scale: Scale) -> ScaleOut:
    return ScaleOut(min=scale.min, max=scale.max, direction=scale.direction)


def _line(line: Line) -> dict[str, Any]:
    return {
        **_figure(line.figure),
        "response_rate": _rate(line.invitations),
        "suppressed": sum(line.invitations.suppressed.values()),
        "suppressed_by": dict(line.invitations.suppressed),
        "previous": _shown(line.previous),
        "difference": _rounded(line.change.difference),
        "moved": line.change.moved,
        "ratings": {str(rating): answers for rating, answers in sorted(line.ratings.items())},
        "easy": _shown(line.easy),
    }


def _rate(invited: InvitationCounts) -> float | None:
    figure = response_rate(answered=invited.answered, sent=invited.sent, bounced=invited.bounced)
    return _rounded(figure.score)


def _end(name: str, given: str | None) -> date | datetime | None:
    """A day, or a time with an offset. Raises Invalid."""
    if given is None:
        return None
    try:
        return date.fromisoformat(given) if len(given) == _DAY_LENGTH else _MOMENT.validate_python(given)
    except ValidationError as error:
        raise problem_of(error, f"#/query/{name}") from None
    except ValueError:
        raise refused(f"#/query/{name}", "invalid_time", "There is no such day.") from None


_EDGE: Final = "A day of the shop (`2026-11-01`), or a time with an offset."


@router.get(
    "/summary",
    responses=problems(
        refused("#/query/to", "invalid_period", "must be later than from, by ten years at most"),
        refused("#/query/from", "invalid_time", "There is no such day."),
        refused("#/query/from", "naive_time", "A time needs an offset, Z or +01:00"),
    ),
)
async def summarise_feedback(
    _caller: Annotated[Caller, requires("feedback:read")],
    kind: Annotated[Rated, Query(description="Kinds are never mixed.")],
    reader: Lagging,
    config: Config,
    now: Now,
    first: Annotated[
        str | None,
        Query(alias="from", max_length=40, description=f"{_EDGE} 30 days before `to` unless said."),
    ] = None,
    end: Annotated[
        str | None,
        Query(alias="to", max_length=40, description=f"{_EDGE} Not included; the end of today unless said."),
    ] = None,
    group_by: Annotated[
        GroupBy | None, Query(description="Days, weeks and months are those of the shop's zone.")
    ] = None,
) -> SummaryOut:
    """The figure of a kind with its interval, and whether it moved since the period before.

    Of what a survey asked, the latest answer of each customer counts, once in the period, or once in each bucket of
    time; what nobody asked counts each time.
    """
    zone = config.shop_time_zone
    window = window_of(_end("from", first), _end("to", end), ZoneInfo(zone), now)
    told = await summarise_answers(await driver(reader), kind, window, group_by, zone)
    return SummaryOut(
        **_line(told.total),
        kind=kind,
        scale=_scale(told.scale),
        from_=window.start,
        to=window.end,
        time_zone=zone,
        group_by=group_by,
        groups=[GroupOut(group=line.group, **_line(line)) for line in told.groups],
        other_scales=[OtherScaleOut(scale=_scale(other), **_figure(figure)) for other, figure in told.others],
    )
