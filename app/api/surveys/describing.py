"""The surveys of a shop: what is asked, of whom and when."""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Header, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import JSON, MERGE_PATCH, body
from app.api.deps import Now, Reader, Tx, requires
from app.api.openapi import problems
from app.api.paging import Cursor, Page, Paging
from app.api.references import INVALID_CURSOR
from app.domain.feedback.scales import RATED
from app.domain.feedback.surveys import CHANNELS, LONGEST_DAYS, LONGEST_QUESTION, OCCASIONS
from app.domain.keys import Caller
from app.domain.problems import refused
from app.storage import surveys
from app.storage.database import driver
from app.storage.surveys import StoredSurvey
from app.usecases.record_audit import record_audit
from app.usecases.surveys.define_survey import (
    change_survey,
    define_survey,
    stale_survey,
    survey_exists,
    survey_not_found,
    too_many_surveys,
)

router = APIRouter(prefix="/v1/surveys", tags=["surveys"])

_STRICT: Final = ConfigDict(extra="forbid", strict=True)
_BY_CODE: Final[Cursor[str]] = Cursor(str)

# --- shapes ---------------------------------------------------------------------------------------------------------

Code = Annotated[
    str,
    Field(
        max_length=64,
        description="Small letters, digits, _ and -, a letter first.",
        json_schema_extra={"pattern": "^[a-z][a-z0-9_-]{0,63}$"},
    ),
]
Question = Annotated[str, Field(min_length=1, max_length=LONGEST_QUESTION)]
Channel = Annotated[str, Field(max_length=64, json_schema_extra={"enum": list(CHANNELS)})]
Days = Annotated[int, Field(ge=0, le=LONGEST_DAYS)]
SomeDays = Annotated[int, Field(ge=1, le=LONGEST_DAYS)]


class ScaleIn(BaseModel):
    """Whole numbers from `min` to `max`; what is left out is as usual for the kind."""

    model_config = _STRICT

    min: Annotated[int, Field(ge=-1000, le=1000)] = Field(default_factory=int)
    max: Annotated[int, Field(ge=-1000, le=1000)] = Field(default_factory=int)
    direction: Literal["higher_is_better", "lower_is_better"] = Field(
        default_factory=lambda: "higher_is_better"
    )


class TriggerIn(BaseModel):
    """What has the survey asked: so many days after an occasion; a periodic one again and again."""

    model_config = _STRICT

    on: Annotated[str, Field(max_length=64, json_schema_extra={"enum": list(OCCASIONS)})]
    after_days: Days = Field(default_factory=int)
    every_days: SomeDays = Field(default_factory=int)


class LimitsIn(BaseModel):
    """How often one may be asked; what is left out is as usual."""

    model_config = _STRICT

    quiet_days: Annotated[Days, Field(description="Since any survey; 30.")] = Field(default_factory=int)
    quiet_nps_days: Annotated[Days, Field(description="Between two NPS surveys; 90.")] = Field(
        default_factory=int
    )
    most_per_year: Annotated[int, Field(ge=1, le=365, description="4.")] = Field(default_factory=int)
    remind_after_days: Annotated[SomeDays | None, Field(description="7; null: no reminder.")] = Field(
        default_factory=int
    )
    expires_after_days: Annotated[SomeDays, Field(description="30.")] = Field(default_factory=int)
    scope: Annotated[
        Literal["customer", "household"],
        Field(description="`household`: all customers with the same trait `household` are asked as one."),
    ] = Field(default_factory=lambda: "customer")
    threshold: Annotated[
        int | None,
        Field(
            ge=-1000, le=1000, description="A rating: it and worse open a follow-up. null: the worst group."
        ),
    ] = Field(default_factory=int)


class SurveyChange(BaseModel):
    """What to change; kind and scale stay, because a figure is of one kind and one scale."""

    model_config = _STRICT

    question: Question = Field(default_factory=str)
    channel: Channel = Field(default_factory=str)
    trigger: TriggerIn | None = None
    limits: LimitsIn | None = None
    active: bool = Field(default_factory=bool)


class NamedSurveyChange(SurveyChange):
    """The same, and which survey."""

    code: Code


class SurveyIn(BaseModel):
    """A survey."""

    model_config = _STRICT

    code: Code
    kind: Annotated[str, Field(max_length=64, json_schema_extra={"enum": list(RATED)})]
    question: Question
    channel: Channel = "email"
    scale: ScaleIn | None = None
    trigger: TriggerIn | None = None
    limits: LimitsIn | None = None
    active: bool = True


class ScaleOut(BaseModel):
    """Whole numbers from `min` to `max`, and which end is the good one."""

    min: int
    max: int
    direction: str


class SurveyOut(BaseModel):
    """A survey."""

    code: str
    kind: str
    question: str
    scale: ScaleOut
    channel: str
    trigger: dict[str, Any] | None
    limits: Annotated[dict[str, Any], Field(description="All of them, also those that were left out.")]
    active: bool
    revision: int
    created_at: datetime
    updated_at: datetime


def _said(sent: BaseModel) -> dict[str, Any]:
    """What was sent, as the rules read it."""
    return sent.model_dump(mode="json", exclude_unset=True)


def _shown(stored: StoredSurvey) -> SurveyOut:
    survey = stored.survey
    limits = survey.limits
    remind = limits.remind_after
    return SurveyOut(
        code=survey.code,
        kind=survey.kind,
        question=survey.question,
        scale=ScaleOut(min=survey.scale.min, max=survey.scale.max, direction=survey.scale.direction),
        channel=survey.channel,
        trigger=None if stored.trigger is None else dict(stored.trigger),
        limits={
            "quiet_days": limits.quiet.days,
            "quiet_nps_days": limits.quiet_nps.days,
            "most_per_year": limits.most_per_year,
            "remind_after_days": None if remind is None else remind.days,
            "expires_after_days": limits.expires_after.days,
            "scope": limits.scope,
            "threshold": survey.threshold,
        },
        active=stored.active,
        revision=stored.revision,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )


_AFTER_DELIVERY: Final = {
    "code": "after_delivery",
    "kind": "csat",
    "question": "How satisfied are you with your order?",
    "channel": "email",
    "trigger": {"on": "delivered", "after_days": 7},
    "limits": {"quiet_days": 30},
}
_NPS: Final = {
    "code": "nps",
    "kind": "nps",
    "question": "How likely are you to recommend us to a friend?",
    "trigger": {"on": "periodic", "after_days": 30, "every_days": 180},
}
_INVALID: Final = (
    refused("#/code", "invalid_code", "up to 64 of a-z, 0-9, _ and -, beginning with a letter"),
    refused("#/kind", "unknown_kind", "a survey asks for one of nps, csat, ces, review"),
    *(
        refused(f"#/{member}", code, rule)
        for member, code, rule in (
            ("question", "invalid_question", "must have 1 to 500 characters"),
            ("channel", "unknown_channel", "must be a known channel"),
            ("trigger", "invalid_trigger", "on and after_days; every_days for a periodic one alone"),
            ("limits", "invalid_limits", "must be whole numbers of days"),
            ("limits/threshold", "invalid_rating", "must be a rating on the scale"),
        )
    ),
)
_INVALID_SCALE: Final = refused("#/scale", "invalid_scale", "must have 3 to 101 points")


def _told(stored: StoredSurvey) -> dict[str, Any]:
    """For the audit log."""
    survey = stored.survey
    return {
        "question": survey.question,
        "channel": survey.channel,
        "trigger": stored.trigger,
        "limits": stored.limits,
        "active": stored.active,
    }


def _etag(stored: StoredSurvey) -> str:
    return f'"{stored.revision}"'


def _expected(if_match: str | None) -> int | None:
    """The revision that an If-Match names, None for any. Raises Stale for what we never gave."""
    if if_match is None or if_match.strip() == "*":
        return None
    named = re.fullmatch(r'\s*"([0-9]{1,9})"\s*', if_match)
    return int(named[1]) if named else -1


# --- routes ---------------------------------------------------------------------------------------------------------


@router.get("", responses=problems(INVALID_CURSOR))
async def list_surveys(
    _caller: Annotated[Caller, requires("feedback:read")], page: Paging, reader: Reader
) -> Page[SurveyOut]:
    """The surveys, in the order of their codes."""
    found = await surveys.after(await driver(reader), page.after(_BY_CODE) or "", page.fetch)
    return page.answer(found, _shown, _BY_CODE, lambda stored: stored.survey.code)


@router.get("/{code}", responses=problems(survey_not_found()))
async def get_survey(
    _caller: Annotated[Caller, requires("feedback:read")],
    code: Annotated[str, Path(examples=["after_delivery"])],
    reader: Reader,
    response: Response,
) -> SurveyOut:
    """One survey."""
    stored = await surveys.find(await driver(reader), code)
    if stored is None:
        raise survey_not_found()
    response.headers["ETag"] = _etag(stored)
    return _shown(stored)


@router.post(
    "",
    status_code=201,
    responses={
        200: {"model": SurveyOut, "description": "It was described before, and the same."},
        **problems(*_INVALID, _INVALID_SCALE, survey_exists(), too_many_surveys()),
    },
)
async def post_survey(
    caller: Annotated[Caller, requires("admin")],
    sent: Annotated[SurveyIn, body(SurveyIn, examples={"after_delivery": _AFTER_DELIVERY, "nps": _NPS})],
    tx: Tx,
    now: Now,
    response: Response,
) -> SurveyOut:
    """Describe a survey. With a trigger it is asked about what arrives from now on."""
    said = {"channel": sent.channel} | _said(sent)
    connection = await driver(tx)
    stored, is_new = await define_survey(connection, said, now)
    if is_new:
        target = f"survey:{stored.survey.code}"
        await record_audit(connection, caller.actor, "survey_defined", target, None, _told(stored), now)
    response.status_code = 201 if is_new else 200
    response.headers["ETag"] = _etag(stored)
    return _shown(stored)


@router.patch("", responses=problems(*_INVALID, survey_not_found(), stale_survey()))
async def patch_named_survey(
    caller: Annotated[Caller, requires("admin")],
    sent: Annotated[
        NamedSurveyChange,
        body(
            NamedSurveyChange,
            examples={"pause": {"code": "after_delivery", "active": False}},
            media_types=(JSON, MERGE_PATCH),
        ),
    ],
    tx: Tx,
    now: Now,
    response: Response,
    if_match: Annotated[str | None, Header(alias="If-Match", description="An ETag of the survey.")] = None,
) -> SurveyOut:
    """Change a survey; trigger and limits are replaced as a whole. An ended survey invites nobody any more."""
    return await _change(caller, sent.code, sent, tx, now, response, if_match)


@router.patch("/{code}", responses=problems(*_INVALID, survey_not_found(), stale_survey()))
async def patch_survey(
    caller: Annotated[Caller, requires("admin")],
    code: Annotated[str, Path(examples=["after_delivery"])],
    sent: Annotated[
        SurveyChange,
        body(
            SurveyChange,
            examples={"question": {"question": "How did we do?"}, "no_trigger": {"trigger": None}},
            media_types=(JSON, MERGE_PATCH),
        ),
    ],
    tx: Tx,
    now: Now,
    response: Response,
    if_match: Annotated[str | None, Header(alias="If-Match", description="An ETag of the survey.")] = None,
) -> SurveyOut:
    """The same, with the code in the path."""
    return await _change(caller, code, sent, tx, now, response, if_match)


async def _change(
    caller: Caller,
    code: str,
    sent: SurveyChange,
    tx: Tx,
    now: Now,
    response: Response,
    if_match: str | None,
) -> SurveyOut:
    said = {name: value for name, value in _said(sent).items() if name != "code"}
    connection = await driver(tx)
    was = await surveys.find(connection, code)
    stored = await change_survey(connection, code, said, now, expected_revision=_expected(if_match))
    if was is not None and stored.revision != was.revision:
        target = f"survey:{code}"
        await record_audit(connection, caller.actor, "survey_changed", target, _told(was), _told(stored), now)
    response.headers["ETag"] = _etag(stored)
    return _shown(stored)
