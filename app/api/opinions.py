"""What people say beside the score: overrides and agents' sentiments."""

from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import body
from app.api.deps import Now, Tx, requires
from app.api.openapi import problems
from app.api.paging import Moment
from app.api.references import NAMED_PROBLEMS, Named
from app.domain import opinions
from app.domain.keys import Caller
from app.domain.opinions import Override, Sentiment
from app.storage.database import driver
from app.usecases.note_sentiment import note_sentiment
from app.usecases.override_health import override_health

router = APIRouter(prefix="/v1/customers/{customer}/health", tags=["health"])

Admin = Annotated[Caller, requires("admin")]
# As for notes: support keys have it, and agents are the ones who say how a customer sounded.
Agent = Annotated[Caller, requires("feedback:write")]

_STRICT: Final = ConfigDict(extra="forbid", strict=True)


class OverrideIn(BaseModel):
    """A score set by hand."""

    model_config = _STRICT

    score: Annotated[int, Field(ge=0, le=100)]
    reason: Annotated[str, Field(min_length=1, max_length=2000, description="Why; shown beside it.")]
    until: Annotated[Moment, Field(description="When it expires by itself: at most 365 days ahead.")]


class OverrideOut(BaseModel):
    """A score that somebody set by hand; shown beside the computed one, and wiped by no event."""

    score: int
    reason: str
    until: datetime
    set_by: Annotated[str, Field(description="The source of the key.")]
    set_at: datetime


class SentimentIn(BaseModel):
    """How an agent found the customer."""

    model_config = _STRICT

    sentiment: Literal["happy", "neutral", "unhappy"]
    note: Annotated[str, Field(max_length=2000)] | None = None


class SentimentOut(BaseModel):
    """How an agent found the customer; kept beside the score, and never part of it."""

    sentiment: Literal["happy", "neutral", "unhappy"]
    note: str | None
    set_by: Annotated[str, Field(description="The source of the key.")]
    set_at: datetime


def override_shown(override: Override) -> OverrideOut:
    """An override on the wire."""
    return OverrideOut(
        score=override.score,
        reason=override.reason,
        until=override.until,
        set_by=override.set_by,
        set_at=override.set_at,
    )


def sentiment_shown(sentiment: Sentiment) -> SentimentOut:
    """A sentiment on the wire."""
    return SentimentOut.model_validate(
        {
            "sentiment": sentiment.sentiment,
            "note": sentiment.note,
            "set_by": sentiment.set_by,
            "set_at": sentiment.set_at,
        }
    )


_LATE_DELIVERY: Final = {
    "score": 35,
    "reason": "Told us on the phone that they are leaving.",
    "until": "2027-01-31T00:00:00Z",
}


@router.put(
    "/override",
    responses=problems(
        *NAMED_PROBLEMS, opinions.reason_required(), opinions.in_the_past(), opinions.too_far_ahead()
    ),
)
async def put_health_override(
    caller: Admin,
    named: Named,
    sent: Annotated[OverrideIn, body(OverrideIn, examples={"a call": _LATE_DELIVERY})],
    tx: Tx,
    now: Now,
) -> OverrideOut:
    """Set a score by hand, for a reason and for a time; the computed one stays beside it."""
    override = opinions.override(sent.score, sent.reason, sent.until, caller.source, now)
    await override_health(await driver(tx), named, override, by=caller.actor, now=now)
    return override_shown(override)


@router.delete("/override", status_code=204, responses=problems(*NAMED_PROBLEMS))
async def delete_health_override(caller: Admin, named: Named, tx: Tx, now: Now) -> None:
    """Take the override away, if there is one."""
    await override_health(await driver(tx), named, None, by=caller.actor, now=now)


@router.put("/sentiment", responses=problems(*NAMED_PROBLEMS))
async def put_sentiment(
    caller: Agent,
    named: Named,
    sent: Annotated[
        SentimentIn,
        body(SentimentIn, examples={"a call": {"sentiment": "unhappy", "note": "Tired of waiting."}}),
    ],
    tx: Tx,
    now: Now,
) -> SentimentOut:
    """Say how you found the customer; kept beside the score in the place of what was said before."""
    sentiment = Sentiment(sent.sentiment, sent.note, caller.source, now)
    await note_sentiment(await driver(tx), named, sentiment)
    return sentiment_shown(sentiment)


@router.delete("/sentiment", status_code=204, responses=problems(*NAMED_PROBLEMS))
async def delete_sentiment(_caller: Agent, named: Named, tx: Tx) -> None:
    """Take the sentiment away, if there is one."""
    await note_sentiment(await driver(tx), named, None)
