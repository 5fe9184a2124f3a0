"""GET /v1/customers/{customer}/context: the support view, one call.

Asked for with every conversation, so its answer is built by hand and written once; ContextOut documents its shape.
"""

import functools
import hashlib
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic_core import to_json

from app.api.complaints.shapes import clock_members
from app.api.context_shapes import ContextOut
from app.api.deps import Config, Now, Scoring, requires
from app.api.health import value_members
from app.api.lean import LeanResponse, LeanRoute
from app.api.loyalty.shapes import balance_members, tier_members
from app.api.openapi import problems
from app.api.privacy.consent_shapes import members as consent_members
from app.api.references import NAMED_PROBLEMS, Named
from app.domain.context import (
    Answer,
    Context,
    OpenComplaint,
    OpenFollowUp,
    RecentTouchpoint,
    Remark,
    summary,
)
from app.domain.context_markdown import markdown
from app.domain.customers import Customer
from app.domain.descriptions import amount_of
from app.domain.health.facts import scale_of
from app.domain.health.weights import DAY_SECONDS
from app.domain.keys import Caller
from app.domain.loyalty.membership import Membership
from app.domain.opinions import Override, Sentiment
from app.usecases.read_context import Contexts, SealedContext

router = APIRouter(prefix="/v1/customers/{customer}/context", tags=["customers"], route_class=LeanRoute)

MARKDOWN: Final = "text/markdown"
MOST_TOUCHPOINTS: Final = 50
DEFAULT_TOUCHPOINTS: Final = 5

# --- as JSON --------------------------------------------------------------------------------------------------------


def _customer(customer: Customer) -> dict[str, Any]:
    profile = customer.profile
    return {
        "id": str(customer.id),
        # The oldest comes first and must win, so it is written last.
        "identifiers": {held.type: held.value for held in reversed(customer.identifiers)},
        "identifiers_all": [
            {"type": held.type, "value": held.value, "created_at": held.created_at}
            for held in customer.identifiers
        ],
        "name": profile.name,
        "language": profile.language,
        "timezone": profile.timezone,
        "preferred_channel": profile.preferred_channel,
        "tags": profile.tags,
        "owner": profile.owner,
        "traits": profile.traits,
        "stage": customer.stage,
        "created_at": customer.created_at,
        "updated_at": customer.updated_at,
    }


def _override(override: Override | None) -> dict[str, Any] | None:
    if override is None:
        return None
    return {
        "score": override.score,
        "reason": override.reason,
        "until": override.until,
        "set_by": override.set_by,
        "set_at": override.set_at,
    }


def _sentiment(sentiment: Sentiment | None) -> dict[str, Any] | None:
    if sentiment is None:
        return None
    return {
        "sentiment": sentiment.sentiment,
        "note": sentiment.note,
        "set_by": sentiment.set_by,
        "set_at": sentiment.set_at,
    }


def _complaint(complaint: OpenComplaint, now: datetime) -> dict[str, Any]:
    case = complaint.case
    return {
        "complaint_id": complaint.complaint_id,
        "severity": complaint.severity,
        "opened_at": complaint.opened_at,
        "age_days": max(0, int((now - complaint.opened_at).total_seconds() // DAY_SECONDS)),
        "touchpoint_id": complaint.id,
        "source": complaint.source,
        "description": complaint.description,
        "reference": None if case is None else case.reference,
        "state": None if case is None else case.state,
        "owner": None if case is None else case.owner,
        "clocks": [] if case is None else [clock_members(clock) for clock in case.clocks],
    }


def _answer(answer: Answer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    low, high, lower_is_better = scale_of(answer.kind, answer.properties)
    direction = "lower_is_better" if lower_is_better else "higher_is_better"
    return {
        "rating": answer.properties["rating"],
        "scale": {"min": low, "max": high, "direction": direction},
        "text": answer.text,
        "at": answer.at,
        "touchpoint_id": answer.id,
        "source": answer.source,
    }


def _follow_up(one: OpenFollowUp, now: datetime) -> dict[str, Any]:
    return {
        "id": one.follow_up_id,
        "feedback_id": one.feedback_id,
        "state": one.state,
        "reason": one.reason,
        "owner": one.owner,
        "due_at": one.due_at,
        "overdue": one.is_overdue(now),
    }


def _loyalty(member: Membership | None) -> dict[str, Any] | None:
    if member is None:
        return None
    return {
        **balance_members(member.balance, member.seq),
        "program": member.program,
        "tier": tier_members(member.standing, member.projection),
    }


def _touchpoint(row: RecentTouchpoint) -> dict[str, Any]:
    return {
        "id": row.id,
        "source": row.source,
        "kind": row.kind,
        "occurred_at": row.occurred_at,
        "channel": row.channel,
        "description": row.description,
        "amount_minor": row.amount_minor,
        "amount": amount_of(row.amount_minor, row.currency),
        "currency": row.currency,
        "order_id": row.order_id,
        "health_delta": row.health_delta,
        "pending_match": row.pending_match,
    }


def _note(note: Remark) -> dict[str, Any]:
    return {
        "id": note.note_id,
        "text": note.text,
        "author": note.author,
        "created_at": note.created_at,
    }


def _consent(context: Context) -> dict[str, Any] | None:
    if not context.consents and context.opted_out_at is None:
        return None
    return {
        "opted_out_since": context.opted_out_at,
        "consents": [consent_members(one) for one in context.consents],
    }


def _members(context: Context, model: str) -> dict[str, Any]:
    """The members of ContextOut, as JSON values."""
    health, answers = context.health, context.answers
    return {
        "customer": _customer(context.customer),
        "health": {
            "score": health.score,
            "band": health.band,
            "coverage": round(health.coverage, 6),
            "confidence": health.confidence,
            "reasons": context.reasons,
            "red_flags": context.red_flags,
            "override": _override(context.override),
            "sentiment": _sentiment(context.sentiment),
            "model": model,
            "computed_at": context.now,
        },
        "value": value_members(context.value, context.currency),
        "loyalty": _loyalty(context.loyalty),
        "open_complaints": [_complaint(complaint, context.now) for complaint in context.open_complaints],
        "feedback": {
            f"latest_{kind}": _answer(answers.get(kind)) for kind in ("nps", "csat", "ces", "review")
        },
        "follow_ups": [_follow_up(one, context.now) for one in context.follow_ups],
        "consent": _consent(context),
        "recent_touchpoints": [_touchpoint(row) for row in context.recent],
        "next_best_actions": [{"action": action, "why": why} for action, why in context.actions],
        "notes": [_note(note) for note in context.notes],
        "summary": summary(context),
    }


# --- versions -------------------------------------------------------------------------------------------------------


def _etag(sealed: SealedContext, form: str, model: str) -> str:
    """Weak: the same while the tables say the same, and the score, its band, the flags, actions and points do.

    The rest of the answer follows from these and from the time: ages, figures after the point, computed_at.
    """
    context, member = sealed.context, sealed.context.loyalty
    seen = (
        context.health.score,
        context.health.band,
        context.red_flags,
        # Of an override the tables say all but whether it has expired.
        context.override is None,
        [action for action, _ in context.actions],
        [one.is_overdue(context.now) for one in context.follow_ups],
        [one.allowed for one in context.consents],
        # Points become active, expire and are freed by time alone.
        None if member is None else member.balance,
        None if member is None else member.projection,
    )
    digest = hashlib.blake2b(sealed.seal + f"{seen}{form}{model}".encode(), digest_size=12)
    return f'W/"{digest.hexdigest()}"'


def _is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the caller has this version: compared weakly, as RFC 9110 (13.1.2) wants it."""
    if if_none_match is None:
        return False
    opaque = etag.removeprefix("W/")
    return any(tag.strip().removeprefix("W/") in (opaque, "*") for tag in if_none_match.split(","))


# --- route ----------------------------------------------------------------------------------------------------------

_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "model": ContextOut,
        "description": "The context.",
        "content": {MARKDOWN: {"schema": {"type": "string"}}},
        "headers": {
            "ETag": {
                "description": "Weak: the same while nothing but time has passed.",
                "schema": {"type": "string"},
            }
        },
    },
    304: {"description": "If-None-Match names this version."},
}


@router.get("", response_model=None, responses=_ANSWERS | problems(*NAMED_PROBLEMS))
async def get_context(
    request: Request,
    _caller: Annotated[Caller, requires("customers:read")],
    named: Named,
    config: Config,
    model: Scoring,
    now: Now,
    touchpoints: Annotated[
        int, Query(ge=0, le=MOST_TOUCHPOINTS, description="How many of the newest touchpoints to show.")
    ] = DEFAULT_TOUCHPOINTS,
    form: Annotated[
        Literal["json", "markdown"], Query(alias="format", description="The same as text/markdown.")
    ] = "json",
    if_none_match: Annotated[
        str | None, Header(description="An ETag: 304 while nothing has changed but the time.")
    ] = None,
) -> Response:
    """Everything about one customer, for whoever is talking to them now: one call, one screen."""
    answer = functools.partial(_answered, form=form, if_none_match=if_none_match)
    contexts: Contexts = request.app.state.contexts
    return await contexts.read(
        named, model, now, answer, touchpoints=touchpoints, currency=config.shop_currency
    )


def _answered(sealed: SealedContext, *, form: str, if_none_match: str | None) -> Response:
    model = sealed.context.health.model
    etag = _etag(sealed, form, model)
    if _is_known(if_none_match, etag):
        return Response(status_code=304, headers={"ETag": etag})
    if form == "markdown":
        return Response(markdown(sealed.context), headers={"ETag": etag}, media_type=MARKDOWN)
    # Writes UTC times as wire_time() does, and all of it six times faster than json.dumps.
    body = to_json(_members(sealed.context, model))
    return LeanResponse(body, headers=((b"etag", etag.encode()),))
