"""POST /v1/touchpoints and /v1/touchpoints/batch: the write path's HTTP side."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import TypeAdapter

from app.api.bodies import JSON, NDJSON, RawBody, Shape, raw_body
from app.api.deps import Config, Kinds, Now, requires
from app.api.lean import LeanResponse, LeanRoute
from app.api.openapi import problems
from app.api.problem_document import document as problem_document
from app.api.problems import status_of
from app.api.times import wire_time
from app.api.touchpoints.documents import (
    BATCH_BYTES,
    BATCH_ITEMS,
    TOUCHPOINT_BYTES,
    Sender,
    id_of,
    load,
    post_of,
    posts_of,
    too_deep,
)
from app.api.touchpoints.shapes import EXAMPLE, BatchIn, BatchOut, TouchpointIn, TouchpointOut
from app.domain.customers import identity_conflict, not_found
from app.domain.identifiers import is_value
from app.domain.keys import Caller
from app.domain.kinds import KINDS, reserved_kind, unknown_kind
from app.domain.problems import Conflict, Fault, Forbidden, Invalid, Malformed, Problem, TooLarge, Unavailable
from app.domain.recording import Recorded
from app.usecases.post_touchpoints import Post, Posted, post_touchpoints

router = APIRouter(prefix="/v1/touchpoints", tags=["touchpoints"], route_class=LeanRoute)

_SINGLE: Final = Shape(TypeAdapter(TouchpointIn), {"purchase": EXAMPLE})
_BATCH: Final = Shape(TypeAdapter(BatchIn), {"batch": {"touchpoints": [EXAMPLE]}})
_LINES: Final = Shape(TypeAdapter(TouchpointIn), {"one line of many": EXAMPLE})

_REJECTED: Final = "rejected"
_NO_ROOM: Final = Unavailable(
    "overloaded", "Too much is waiting to be written. Try again.", retry_after_seconds=1
)
_REFUSALS: Final = (
    not_found(),
    Conflict("id_reused", "This id was used before with another body."),
    identity_conflict([UUID(int=1), UUID(int=2)]),
    Forbidden("kind_not_allowed", "A publishable key may post visits, message events and the like alone."),
    unknown_kind("#/kind"),
    reserved_kind("#/kind"),
    Invalid("property_required", "A nps needs rating."),
    Invalid("invalid_property", "Property rating: must be a whole number from 0 to 10."),
    Invalid("naive_time", "A time needs an offset, Z or +01:00."),
    Invalid("in_the_future", "occurred_at lies in the future."),
    Invalid("unknown_currency", "Not an ISO 4217 code of a circulating currency."),
    Invalid("invalid_text", "Text may not hold NUL."),
    too_deep(),
    _NO_ROOM,
)
_BATCH_REFUSALS: Final = (
    TooLarge("too_many_items", f"A batch holds at most {BATCH_ITEMS} items.", limit_items=BATCH_ITEMS),
    _NO_ROOM,
)

IdempotencyKey = Annotated[
    str | None, Header(description="Becomes the id of a touchpoint without one; bare or in double quotes.")
]


@router.post(
    "",
    status_code=201,
    response_model=None,
    responses={
        201: {"model": TouchpointOut, "description": "Stored."},
        200: {
            "model": TouchpointOut,
            "description": "Known already: the first answer again, with `duplicate` true.",
        },
        **problems(*_REFUSALS),
    },
)
async def post_touchpoint(
    request: Request,
    caller: Annotated[Caller, requires("events:write")],
    sent: Annotated[RawBody, raw_body({JSON: _SINGLE}, limit_bytes=TOUCHPOINT_BYTES)],
    config: Config,
    own_kinds: Kinds,
    now: Now,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Store one thing that happened and answer with what it did to the customer's health."""
    sender = Sender(caller, now, config.shop_currency, own_kinds)
    document = None
    try:
        document = load(sent.data)
        post = post_of(document, sender, told=True, fallback_id=_id_from(idempotency_key))
    except Problem:
        _count_refused(request, document)
        raise
    (posted,) = await _record(request, caller, [post], now)
    if isinstance(posted, BaseException):
        raise posted
    return LeanResponse(_answer(posted, caller).encode(), 200 if posted.duplicate else 201)


@router.post(
    "/batch",
    response_model=None,
    responses={
        200: {"model": BatchOut, "description": "Every item has its own result."},
        **problems(*_BATCH_REFUSALS),
    },
)
async def post_touchpoints_batch(
    request: Request,
    caller: Annotated[Caller, requires("events:write")],
    sent: Annotated[
        RawBody,
        raw_body({JSON: _BATCH, NDJSON: _LINES}, limit_bytes=BATCH_BYTES, gunzip_limit=BATCH_BYTES),
    ],
    config: Config,
    own_kinds: Kinds,
    now: Now,
    results: Annotated[
        Literal["all", "errors"], Query(description="`errors` lists only what was rejected.")
    ] = "all",
) -> Response:
    """Store up to 2,500 things that happened, as if posted one by one; good ones whatever the others are."""
    documents = list(_lines(sent.data) if sent.media_type == NDJSON else _members(sent.data))
    if len(documents) > BATCH_ITEMS:
        raise TooLarge(
            "too_many_items", f"A batch holds at most {BATCH_ITEMS} items.", limit_items=BATCH_ITEMS
        )
    posts = posts_of(iter(documents), Sender(caller, now, config.shop_currency, own_kinds))
    for document, post in zip(documents, posts, strict=True):
        if not isinstance(post, Post):
            _count_refused(request, document)
    posted = iter(await _record(request, caller, [post for post in posts if isinstance(post, Post)], now))
    outcomes = [next(posted) if isinstance(post, Post) else post for post in posts]
    _raise_when_nothing_could_be_stored(outcomes)
    rows = [_row(index, *pair) for index, pair in enumerate(zip(documents, outcomes, strict=True))]
    return Response(_batch_answer(rows, errors_only=results == "errors"), media_type=JSON)


def _id_from(header: str | None) -> str | None:
    if header is None:
        return None
    value = header[1:-1] if len(header) > 1 and header[0] == header[-1] == '"' else header
    if not is_value(value):
        fault = Fault("#/header/idempotency-key", "invalid_identifier", "1 to 200 characters without / ? #")
        raise Invalid("invalid_identifier", "The Idempotency-Key cannot be an id.", errors=[fault])
    return value


async def _record(request: Request, caller: Caller, posts: Sequence[Post], now: datetime) -> list[Posted]:
    state = request.app.state
    posted = await post_touchpoints(
        state.identities, state.lanes, posts, now, may_add_identifiers=not caller.publishable
    )
    for post, outcome in zip(posts, posted, strict=True):
        state.metrics.touchpoint(post.touchpoint.kind, _status(outcome))
    return posted


def _count_refused(request: Request, document: Any) -> None:
    """Count what never came to the log. Its kind is whatever was sent, and labels may not be."""
    kind = document.get("kind") if isinstance(document, dict) else None
    label = kind if isinstance(kind, str) and kind in KINDS else "unknown"
    request.app.state.metrics.touchpoint(label, _REJECTED)


def _status(outcome: Posted) -> str:
    if isinstance(outcome, Recorded):
        return "duplicate" if outcome.duplicate else "stored"
    return _REJECTED


def _answer(posted: Recorded, caller: Caller) -> str:
    """The answer to a single post. Written by hand: `outcome` is JSON already, as it was stored."""
    point, stored = posted.touchpoint, posted.stored
    duplicate = "true" if posted.duplicate else "false"
    if caller.publishable:
        return f'{{"id":{json.dumps(point.id)},"duplicate":{duplicate}}}'
    return (
        f'{{"id":{json.dumps(point.id)},"customer_id":"{posted.customer_id}","kind":"{point.kind}",'
        f'"occurred_at":"{wire_time(stored.occurred_at)}","received_at":"{wire_time(stored.received_at)}",'
        f'"source":{json.dumps(point.source)},"duplicate":{duplicate},'
        f'"pending_match":{"true" if posted.pending_match else "false"},'
        f'"without_value":{"true" if point.without_value else "false"},"health":{stored.outcome},'
        f'"loyalty":{stored.loyalty or "null"}}}'
    )


# --- batches -------------------------------------------------------------------------------------------------------


def _members(raw: bytes) -> list[Any]:
    envelope = load(raw)
    if (
        not isinstance(envelope, dict)
        or set(envelope) != {"touchpoints"}
        or not isinstance(envelope["touchpoints"], list)
    ):
        fault = Fault("#", "wrong_type", "an object with the one member touchpoints, an array")
        raise Invalid("validation_failed", 'Send {"touchpoints": [...]}.', errors=[fault])
    return envelope["touchpoints"]


def _lines(raw: bytes) -> Iterator[Any]:
    """The document on each line; a line that is not JSON stands as its own problem."""
    for line in raw.split(b"\n"):
        if line.strip():
            try:
                yield load(line)
            except Malformed as problem:
                yield problem


def _raise_when_nothing_could_be_stored(outcomes: Sequence[Posted]) -> None:
    """503 for the whole batch when the service took none of it; refusals beside it would hide that a retry helps."""
    away = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
    if away and not any(isinstance(outcome, Recorded) for outcome in outcomes):
        raise away[0]


def _row(index: int, document: Any, outcome: Posted) -> dict[str, Any]:
    if isinstance(outcome, Recorded):
        return {"index": index, "id": outcome.touchpoint.id, "status": _status(outcome)}
    if isinstance(outcome, Problem):
        problem = problem_document(
            status_of(outcome), outcome.code, outcome.detail, outcome.errors, outcome.members
        )
    else:
        problem = problem_document(500, "internal_error", "This item could not be stored; the others were.")
    return {"index": index, "id": id_of(document), "status": "rejected", "problem": problem}


def _batch_answer(rows: Sequence[dict[str, Any]], *, errors_only: bool) -> str:
    counts = {
        status: sum(row["status"] == status for row in rows) for status in ("stored", "duplicate", "rejected")
    }
    body = {
        "stored": counts["stored"],
        "duplicates": counts["duplicate"],
        "rejected": counts["rejected"],
        "results": [row for row in rows if row["status"] == "rejected" or not errors_only],
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
