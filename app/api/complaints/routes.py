"""Complaints: receive, list, move on, change, answer, compensate."""

from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Header, Path, Query, Response

from app.api.bodies import JSON, MERGE_PATCH, body
from app.api.complaints import shapes
from app.api.complaints.posts import Did, Posting, Writer, status_link
from app.api.complaints.problems import (
    COMPENSATION_PROBLEMS,
    ONE_PROBLEMS,
    RECEIPT_PROBLEMS,
    STALE,
    TRANSITION_PROBLEMS,
    unchanged_since,
    version_conflict,
)
from app.api.complaints.shapes import (
    CompensationIn,
    CompensationOut,
    ComplaintChange,
    ComplaintDone,
    ComplaintIn,
    ComplaintOut,
    LineOut,
    MessageIn,
    TransitionIn,
)
from app.api.deps import Now, Programs, Reader, Scoring, Signed, Tx, requires
from app.api.openapi import problems
from app.api.paging import BigInt, Cursor, Page, Paging
from app.api.references import INVALID_CURSOR, ONCE_PROBLEMS, REFERENCE_PROBLEMS
from app.domain.canonical import body_sha256
from app.domain.feedback.compensation import compensation_of
from app.domain.identifiers import parse_body_reference, parse_reference
from app.domain.keys import Caller
from app.domain.problems import refused
from app.storage import complaint_log, complaints
from app.storage.complaints import Narrow
from app.storage.customers import LAST_ID
from app.storage.database import driver
from app.usecases.complaints.find_complaint import find_by_reference, find_complaint
from app.usecases.complaints.receive_complaint import Told, receive_complaint
from app.usecases.complaints.work_on_complaint import (
    Actor,
    Move,
    Patch,
    answer_complaint,
    change_complaint,
    compensate,
    move_complaint,
)
from app.usecases.find_customer import find_customer

router = APIRouter(prefix="/v1/complaints", tags=["complaints"])

Viewer = Annotated[Caller, requires("feedback:read")]
Id = Annotated[
    str, Path(alias="complaint_id", description="The complaint's id.", examples=["complaint_0aZ..."])
]

_BY_ID: Final[Cursor[UUID]] = Cursor(UUID)
_BY_SEQ: Final[Cursor[int]] = Cursor(BigInt)
_NAMES: Final = frozenset(("customer", "source_id", "from_contact"))

_LATE: Final[dict[str, Any]] = {
    "customer": {"external_id": "42", "email": "ada@example.com"},
    "subject": "Still waiting for my order",
    "text": "Ordered three weeks ago, and nobody answers.",
    "severity": "high",
    "remedy_sought": "delivery",
    "about": {"order_id": "A-1001"},
    "source_id": "ticket-77",
}


# --- receive and list -----------------------------------------------------------------------------------------------


@router.post(
    "",
    status_code=201,
    response_model=ComplaintDone,
    responses={
        200: {"model": ComplaintDone, "description": "It was told before: that complaint as it stands now."},
        **problems(*REFERENCE_PROBLEMS, *ONCE_PROBLEMS, *RECEIPT_PROBLEMS),
    },
)
async def post_complaint(
    caller: Writer,
    sent: Annotated[
        ComplaintIn,
        body(
            ComplaintIn,
            examples={
                "late order": _LATE,
                "from a contact": {
                    "customer": "external_id:42",
                    "subject": "Broken on arrival",
                    "from_contact": "call-5",
                },
            },
        ),
    ],
    posting: Posting,
) -> Response:
    """Receive a complaint: three clocks begin to run, and the customer gets a reference to quote."""
    if sent.source_id is not None and sent.from_contact is not None:
        raise refused("#/source_id", "source_id_not_allowed", "the contact is the natural key")
    told = _told(sent, caller)

    async def receive(connection: asyncpg.Connection) -> Did:
        received = await receive_complaint(connection, told, posting.model, posting.now, posting.admission)
        location = {"Location": f"/v1/complaints/{received.done.complaint.public_id}"}
        return Did(received.done, 201 if received.is_new else 200, headers=location)

    return await posting.answer(sent, receive)


def _told(sent: ComplaintIn, caller: Caller) -> Told:
    digest, _ = body_sha256(sent.model_dump(mode="json", exclude_unset=True), _NAMES)
    return Told(
        customer=parse_body_reference(sent.customer),
        subject=sent.subject,
        text=sent.text,
        severity=sent.severity,
        remedy_sought=sent.remedy_sought,
        about=sent.about,
        source=caller.source,
        source_id=sent.source_id,
        contact=sent.from_contact,
        calendar=sent.calendar,
        body_sha256=digest,
    )


@router.get("", responses=problems(INVALID_CURSOR, *REFERENCE_PROBLEMS))
async def list_complaints(
    _caller: Viewer,
    page: Paging,
    reader: Reader,
    now: Now,
    state: Annotated[shapes.State | None, Query(description="Those in this state.")] = None,
    owner: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    customer: Annotated[
        str | None, Query(description="A customer's UUID, or `type:value`.", max_length=300)
    ] = None,
) -> Page[ComplaintOut]:
    """The complaints that have a row here, newest first."""
    before = page.after(_BY_ID) or LAST_ID
    connection = await driver(reader)
    customer_id = None
    if customer is not None:
        reference = parse_reference(customer, "#/query/customer")
        customer_id = (await find_customer(connection, reference)).customer_id
    found = await complaints.newest(connection, page.fetch, Narrow(state, owner, customer_id), before)
    return page.answer(found, lambda one: shapes.shown(one, now), _BY_ID, lambda one: one.id)


@router.get("/by-reference/{reference}", responses=problems(*ONE_PROBLEMS))
async def get_complaint_by_reference(
    _caller: Viewer,
    reference: Annotated[str, Path(max_length=64, examples=["C-7K3M9-QXD2F"])],
    reader: Reader,
    now: Now,
    response: Response,
) -> ComplaintOut:
    """The complaint whose reference a customer reads out, with or without dashes, o for 0, l or i for 1."""
    complaint = await find_by_reference(await driver(reader), reference)
    response.headers["ETag"] = shapes.etag(complaint, now)
    response.headers["Content-Location"] = f"/v1/complaints/{complaint.public_id}"
    return shapes.shown(complaint, now)


# --- one complaint --------------------------------------------------------------------------------------------------


@router.get("/{complaint_id}", responses=problems(*ONE_PROBLEMS))
async def get_complaint(
    _caller: Viewer, complaint_id: Id, reader: Reader, now: Now, response: Response
) -> ComplaintOut:
    """One complaint."""
    complaint = await find_complaint(await driver(reader), complaint_id)
    response.headers["ETag"] = shapes.etag(complaint, now)
    return shapes.shown(complaint, now)


@router.get("/{complaint_id}/log", responses=problems(INVALID_CURSOR, *ONE_PROBLEMS))
async def get_complaint_log(_caller: Viewer, complaint_id: Id, page: Paging, reader: Reader) -> Page[LineOut]:
    """Everything that was done about a complaint, in order."""
    after = page.after(_BY_SEQ) or 0
    connection = await driver(reader)
    complaint = await find_complaint(connection, complaint_id)
    found = await complaint_log.lines(connection, complaint, page.fetch, after)
    return page.answer(found, shapes.line_shown, _BY_SEQ, lambda line: line.seq)


@router.patch(
    "/{complaint_id}",
    responses=problems(*ONE_PROBLEMS, STALE, version_conflict(), *TRANSITION_PROBLEMS[:1]),
)
async def patch_complaint(
    caller: Writer,
    complaint_id: Id,
    sent: Annotated[
        ComplaintChange,
        body(
            ComplaintChange,
            examples={"change": {"severity": "critical", "owner": "ben", "expected_version": 1}},
            media_types=(JSON, MERGE_PATCH),
        ),
    ],
    tx: Tx,
    signing: Signed,
    model: Scoring,
    now: Now,
    response: Response,
    if_match: Annotated[
        str | None,
        Header(alias="If-Match", description="An ETag: nothing is changed when the version is another."),
    ] = None,
) -> ComplaintDone:
    """Change the severity or the owner (RFC 7396). Another severity counts the clocks anew from their own start."""
    patch = Patch(sent.said(), sent.expected_version)
    done = await change_complaint(
        await driver(tx), complaint_id, patch, Actor(caller.source, now, model), unchanged_since(if_match)
    )
    response.headers["ETag"] = shapes.etag(done.complaint, now)
    link = status_link(await signing.secrets(), done.complaint)
    return ComplaintDone(**shapes.done_members(done, link, now))


@router.post(
    "/{complaint_id}/transitions",
    response_model=ComplaintDone,
    responses=problems(*ONE_PROBLEMS, *TRANSITION_PROBLEMS, *ONCE_PROBLEMS),
)
async def post_complaint_transition(
    _caller: Writer,
    complaint_id: Id,
    sent: Annotated[
        TransitionIn,
        body(
            TransitionIn,
            examples={
                "acknowledge": {"to": "acknowledged", "expected_version": 1, "visible_to_customer": True},
                "withdraw": {"to": "withdrawn", "reason": "customer_request", "expected_version": 2},
            },
        ),
    ],
    posting: Posting,
) -> Response:
    """Move a complaint on. What it does to the customer's health is in the answer."""
    if sent.csat is not None and sent.to not in ("accepted", "closed"):
        raise refused("#/csat", "csat_not_allowed", "goes with an acceptance or a closing")
    move = Move(
        sent.to,
        sent.expected_version,
        sent.reason,
        sent.visible_to_customer,
        sent.note,
        sent.csat,
        sent.merged_into,
    )

    async def go(connection: asyncpg.Connection) -> Did:
        return Did(await move_complaint(connection, complaint_id, move, posting.actor), 200)

    return await posting.answer(sent, go)


@router.post(
    "/{complaint_id}/messages",
    status_code=201,
    response_model=ComplaintDone,
    responses=problems(*ONE_PROBLEMS, *ONCE_PROBLEMS),
)
async def post_complaint_message(
    _caller: Writer,
    complaint_id: Id,
    sent: Annotated[MessageIn, body(MessageIn, examples={"answer": {"text": "We have found your parcel."}})],
    posting: Posting,
) -> Response:
    """Say something to the customer, which stops the clock of the first response, or note it among agents."""

    async def say(connection: asyncpg.Connection) -> Did:
        visible = sent.visible_to_customer
        done = await answer_complaint(connection, complaint_id, sent.text, posting.actor, visible=visible)
        return Did(done, 201)

    return await posting.answer(sent, say)


@router.post(
    "/{complaint_id}/compensations",
    status_code=201,
    response_model=CompensationOut,
    responses=problems(*ONE_PROBLEMS, *ONCE_PROBLEMS, *COMPENSATION_PROBLEMS),
)
async def post_complaint_compensation(
    _caller: Writer,
    complaint_id: Id,
    sent: Annotated[
        CompensationIn,
        body(
            CompensationIn,
            examples={
                "points": {"form": "points", "points": 500},
                "voucher": {"form": "voucher", "amount_minor": 1000, "currency": "EUR"},
            },
        ),
    ],
    remembered: Programs,
    posting: Posting,
) -> Response:
    """Give something for the failure. Points are booked at once, as the one goodwill of the complaint; of all else
    `grant_id` is what whoever pays it out goes by.
    """
    given = compensation_of(
        sent.form, amount_minor=sent.amount_minor, currency=sent.currency, points=sent.points
    )

    async def give(connection: asyncpg.Connection) -> Did:
        made = await compensate(connection, complaint_id, given, sent.note, posting.actor, remembered.current)
        more = {"number": made.number, "grant_id": made.grant_id, "adjustment": shapes.booked(made.booked)}
        return Did(made.done, 201, CompensationOut, more)

    return await posting.answer(sent, give)
