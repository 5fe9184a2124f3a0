"""POST, GET and PATCH of answers."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Response

from app.api.bodies import JSON, MERGE_PATCH, body
from app.api.deps import Admitting, Config, Now, Reader, Scoring, Tx, requires
from app.api.feedback.shapes import (
    FeedbackChange,
    FeedbackIn,
    FeedbackOut,
    Kind,
    PostedFeedbackOut,
    posted_answer,
    shown_answer,
)
from app.api.openapi import problems
from app.api.paging import Cursor, Page, Paging
from app.api.references import INVALID_CURSOR, ONCE_PROBLEMS, REFERENCE_PROBLEMS, VALUE_PROBLEMS, Once
from app.api.times import QueryMoment
from app.domain.canonical import body_sha256
from app.domain.customers import not_found
from app.domain.feedback.answers import answer_final, answer_not_found, answer_of, gone, natural_key
from app.domain.identifiers import Reference, parse_body_reference, parse_reference
from app.domain.ids import parse_opaque_id, uuid7
from app.domain.keys import Caller
from app.domain.problems import Conflict, Fault, Forbidden, Stale, refused
from app.storage import feedback
from app.storage.customers import LAST_ID
from app.storage.database import driver
from app.storage.feedback import PREFIX, Feedback, Narrow
from app.usecases.answer_once import Answer
from app.usecases.feedback.edit_answer import edit_answer
from app.usecases.feedback.find_answer import find_answer, find_recipient
from app.usecases.feedback.lock_recipient import lock_recipient
from app.usecases.feedback.record_answer import SaidAnswer, record_answer

router = APIRouter(prefix="/v1/feedback", tags=["feedback"])

_BY_ID: Final[Cursor[UUID]] = Cursor(UUID)

_NPS: Final = {
    "customer": {"external_id": "42"},
    "kind": "nps",
    "rating": 4,
    "text": "Still waiting after 3 weeks, nobody answers.",
    "source_id": "resp-1001",
    "occurred_at": "2026-11-20T10:15:00Z",
    "about": {"order_id": "A-1001"},
    "attributed_to": "ben",
}
_REVIEW: Final = {
    "customer": "external_id:42",
    "kind": "review",
    "rating": 5,
    "text": "Great quality, fast delivery.",
    "public": True,
}
_ANSWER_PROBLEMS: Final = (
    refused("#/rating", "invalid_rating", "must be a whole number from 0 to 10"),
    refused("#/rating", "property_required", "this kind needs a rating"),
    refused("#/public", "not_a_review", "only a review can be public"),
)
_POST_PROBLEMS: Final = (
    *REFERENCE_PROBLEMS,
    *ONCE_PROBLEMS,
    *_ANSWER_PROBLEMS,
    refused("#/scale", "invalid_scale", "this kind is asked from 0 to 10"),
    refused("#/occurred_at", "in_the_future", "more than 5 minutes ahead of the server's clock"),
    refused("#/occurred_at", "naive_time", "A time needs an offset, Z or +01:00"),
    Conflict("id_reused", "This source_id was used before with other contents."),
    not_found(),
    gone(),
)
FeedbackId = Annotated[str, Path(description="`id` of an answer.", examples=["fb_" + "0" * 43])]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="An ETag: nothing is changed when it was changed since."),
]


def _stale() -> Stale:
    return Stale(
        "stale",
        "The answer was changed since; read it again and decide anew.",
        errors=[Fault("#/header/if-match", "stale", "The answer has another version by now.")],
    )


def etag(revision: int) -> str:
    """Strong: the revision stands for all that the resource is."""
    return f'"{revision}"'


def names(if_match: str | None, revision: int) -> bool:
    """Whether the header names this revision, or is not there."""
    if if_match is None or if_match.strip() == "*":
        return True
    return etag(revision) in {tag.strip() for tag in if_match.split(",")}


def _unchanged_since(if_match: str | None) -> Callable[[Feedback], None]:
    def check(one: Feedback) -> None:
        if not names(if_match, one.revision):
            raise _stale()

    return check


def _ids(public_id: str) -> tuple[UUID, UUID]:
    ids = parse_opaque_id(PREFIX, public_id)
    if ids is None:
        raise answer_not_found()
    return ids


def _said(sent: FeedbackIn, caller: Caller, now: datetime) -> SaidAnswer:
    """What was sent, checked against the rules of its kind."""
    if sent.source is not None and not caller.is_admin:
        raise Forbidden("scope_missing", "Writing for another source needs the scope admin.", scope="admin")
    document: dict[str, Any] = sent.model_dump(mode="json", exclude_unset=True)
    digest, _ = body_sha256(document, frozenset(("customer", "source", "source_id")))
    given = None if sent.scale is None else sent.scale.model_dump(exclude_none=True)
    about = None if sent.about is None else sent.about.model_dump(exclude_none=True) or None
    return SaidAnswer(
        key=natural_key(
            source=sent.source or caller.source,
            source_id=sent.source_id,
            invitation_id=None,
            fresh_id=str(uuid7(int(now.timestamp() * 1000))),
        ),
        answer=answer_of(sent.kind, rating=sent.rating, scale=given, text=sent.text, public=sent.public),
        body_sha256=digest,
        by=caller.source,
        occurred_at=sent.occurred_at or now,
        channel=sent.channel,
        about=about,
        attributed_to=sent.attributed_to,
        survey=sent.survey,
    )


@router.post(
    "",
    status_code=201,
    response_model=PostedFeedbackOut,
    responses={
        200: {"model": PostedFeedbackOut, "description": "Known already: the first answer again."},
        **problems(*_POST_PROBLEMS),
    },
)
async def post_feedback(
    caller: Annotated[Caller, requires("feedback:write")],
    sent: Annotated[FeedbackIn, body(FeedbackIn, examples={"nps": _NPS, "review": _REVIEW})],
    once: Once,
    tx: Tx,
    model: Scoring,
    config: Config,
    admission: Admitting,
    now: Now,
) -> Response:
    """Store what a customer answered, with its touchpoint; tells what it did to their health, and who will call."""
    reference = parse_body_reference(sent.customer)
    said = _said(sent, caller, now)
    connection = await driver(tx)

    async def take() -> Answer:
        customer = await lock_recipient(connection, reference, now, admission=admission)
        told = await record_answer(
            connection, customer, said, model, now, default_owner=config.follow_up_owner
        )
        headers = {
            "ETag": etag(told.feedback.revision),
            "Location": f"/v1/feedback/{told.feedback.public_id}",
        }
        status = 200 if told.status == "duplicate" else 201
        return Answer(status, posted_answer(told, now).model_dump(mode="json"), headers)

    return await once.answer(connection, caller, sent, now, take)


@router.get("", responses=problems(*VALUE_PROBLEMS, INVALID_CURSOR, not_found(), gone()))
async def list_feedback(
    _caller: Annotated[Caller, requires("feedback:read")],
    page: Paging,
    reader: Reader,
    now: Now,
    customer: Annotated[
        str | None, Query(description="Whose: a UUID or `type:value`.", examples=["external_id:42"])
    ] = None,
    kind: Kind | None = None,
    survey: Annotated[str | None, Query(max_length=64)] = None,
    attributed_to: Annotated[str | None, Query(max_length=200)] = None,
    since: Annotated[QueryMoment | None, Query(description="Given at or after.")] = None,
    until: Annotated[QueryMoment | None, Query(description="Given before.")] = None,
) -> Page[FeedbackOut]:
    """The answers, what came in last first."""
    connection = await driver(reader)
    named: Reference | None = None if customer is None else parse_reference(customer, "#/query/customer")
    customer_id = None if named is None else await find_recipient(connection, named)
    narrow = Narrow(customer_id, kind, survey, attributed_to, None, since, until)
    found = await feedback.newest(connection, page.fetch, narrow, page.after(_BY_ID) or LAST_ID)
    return page.answer(found, lambda row: shown_answer(row, now), _BY_ID, lambda row: row.feedback.id)


@router.get("/{id}", responses=problems(answer_not_found(), gone()))
async def get_feedback(
    _caller: Annotated[Caller, requires("feedback:read")],
    id: FeedbackId,  # noqa: A002 - the wire's own name
    reader: Reader,
    now: Now,
    response: Response,
) -> FeedbackOut:
    """One answer."""
    shown = await find_answer(await driver(reader), *_ids(id))
    response.headers["ETag"] = etag(shown.feedback.revision)
    return shown_answer(shown, now)


@router.patch(
    "/{id}",
    responses=problems(answer_not_found(), not_found(), gone(), answer_final(), _stale(), *_ANSWER_PROBLEMS),
)
async def change_feedback(
    caller: Annotated[Caller, requires("feedback:write")],
    id: FeedbackId,  # noqa: A002 - the wire's own name
    sent: Annotated[
        FeedbackChange,
        body(FeedbackChange, examples={"rating": {"rating": 8}}, media_types=(JSON, MERGE_PATCH)),
    ],
    tx: Tx,
    model: Scoring,
    config: Config,
    now: Now,
    response: Response,
    if_match: IfMatch = None,
) -> FeedbackOut:
    """Correct an answer within 24 hours: its touchpoint is voided and another one written."""
    patch = {name: getattr(sent, name) for name in sent.model_fields_set}
    if patch.get("public", False) is None:
        patch["public"] = False
    shown = await edit_answer(
        await driver(tx),
        *_ids(id),
        patch,
        by=caller.source,
        model=model,
        now=now,
        default_owner=config.follow_up_owner,
        check=_unchanged_since(if_match),
    )
    response.headers["ETag"] = etag(shown.feedback.revision)
    return shown_answer(shown, now)
