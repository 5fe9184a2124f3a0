"""GET /v1/customers/{customer}/context: the support view, one call.

Asked for with every conversation, so its answer is built by hand (context_json.py); ContextOut documents its shape.
"""

import functools
import hashlib
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Header, Query, Request, Response

from app.api.context_json import body
from app.api.context_shapes import ContextOut
from app.api.deps import Config, Now, Scoring, requires
from app.api.lean import LeanResponse, LeanRoute
from app.api.openapi import problems
from app.api.references import NAMED_PROBLEMS, Named
from app.domain.context_markdown import markdown
from app.domain.keys import Caller
from app.usecases.read_context import Contexts, SealedContext

router = APIRouter(prefix="/v1/customers/{customer}/context", tags=["customers"], route_class=LeanRoute)

MARKDOWN: Final = "text/markdown"
MOST_TOUCHPOINTS: Final = 50
DEFAULT_TOUCHPOINTS: Final = 5

# --- versions -------------------------------------------------------------------------------------------------------


def _etag(sealed: SealedContext, form: str) -> str:
    """Weak: the same while the tables say the same, and the score, its band, the flags, actions and points do.

    The rest of the answer follows from these and from the time: ages, figures after the point, computed_at.
    """
    name = f"etag {form}"
    kept = sealed.passing.get(name)
    if kept is None:
        kept = sealed.passing[name] = _digest(sealed, form).encode()
    return f'W/"{kept.decode()}"'


def _digest(sealed: SealedContext, form: str) -> str:
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
    told = f"{seen}{form}{context.health.model}".encode()
    return hashlib.blake2b(sealed.seal + told, digest_size=12).hexdigest()


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
    etag = _etag(sealed, form)
    if _is_known(if_none_match, etag):
        return Response(status_code=304, headers={"ETag": etag})
    if form == "markdown":
        return Response(markdown(sealed.context), headers={"ETag": etag}, media_type=MARKDOWN)
    return LeanResponse(body(sealed), headers=((b"etag", etag.encode()),))
