"""Invitations to surveys: asked for, listed for whoever sends them, and what became of them."""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import body
from app.api.deps import Admitting, Config, Now, Reader, Signed, Tx, requires
from app.api.openapi import problems
from app.api.paging import Cursor, Moment, Page, Paging
from app.api.references import INVALID_CURSOR, ONCE_PROBLEMS, REFERENCE_PROBLEMS, NamedInBody, Once
from app.api.surveys.links import addresses
from app.domain.customers import erased, not_found
from app.domain.feedback.answers import gone
from app.domain.feedback.invitations import STATES
from app.domain.feedback.links import unsubscribe_headers
from app.domain.feedback.subjects import subject
from app.domain.identifiers import parse_body_reference, parse_reference
from app.domain.ids import opaque_id, parse_opaque_id
from app.domain.keys import Caller
from app.domain.problems import Conflict, refused
from app.storage import invitations
from app.storage.customers import LAST_ID
from app.storage.database import driver
from app.storage.invitations import PREFIX, Filters, Mark, StoredInvitation
from app.usecases.answer_once import Answer
from app.usecases.find_customer import find_customer
from app.usecases.surveys.define_survey import survey_not_found
from app.usecases.surveys.report_invitation import (
    find_invitation_by_id,
    invitation_not_found,
    report_invitation,
)
from app.usecases.surveys.request_survey import request_survey, survey_inactive
from app.usecases.surveys.signing import Secrets

router = APIRouter(prefix="/v1/survey-invitations", tags=["surveys"])

_STRICT: Final = ConfigDict(extra="forbid", strict=True)
_BY_ID: Final[Cursor[UUID]] = Cursor(UUID)
_BY_TIME: Final[Cursor[tuple[Moment, UUID]]] = Cursor(tuple[Moment, UUID])
_SENDABLE: Final = frozenset(("queued", "sent", "delivered", "opened", "bounced", "answered"))
REPORTS: Final = ("sent", "delivered", "opened", "bounced", "reminded")

# --- shapes ---------------------------------------------------------------------------------------------------------


class InvitationIn(BaseModel):
    """Who is to be asked what."""

    model_config = _STRICT

    customer: NamedInBody
    survey: Annotated[str, Field(min_length=1, max_length=64, description="The code of the survey.")]
    about: Annotated[
        str | dict[str, str] | None,
        Field(description="The order or contact that is asked about; the same is asked once for ever."),
    ] = None


class ReportIn(BaseModel):
    """What became of an invitation."""

    model_config = _STRICT

    report: Annotated[
        str,
        Field(
            max_length=64,
            description="`reminded`: its one reminder was sent.",
            json_schema_extra={"enum": list(REPORTS)},
        ),
    ]


class InvitationOut(BaseModel):
    """An invitation. What was suppressed is kept too, with its reason."""

    id: str
    customer_id: UUID
    survey: str
    kind: str
    channel: str
    about: Annotated[str | dict[str, Any] | None, Field(description="As it was given.")]
    state: Annotated[str, Field(json_schema_extra={"enum": list(STATES)})]
    suppressed_by: Annotated[
        str | None,
        Field(description="opt_out, no_channel, duplicate, open_complaint or quiet_period."),
    ]
    next_eligible_at: Annotated[
        datetime | None, Field(description="When a quiet period ends; null where only somebody's deed helps.")
    ]
    send_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    remind_at: Annotated[datetime | None, Field(description="When the one reminder is due; null: none is.")]
    reminded_at: datetime | None
    answered_at: datetime | None
    link: Annotated[
        str | None,
        Field(
            description="The answer page; `?rating=9` preselects. null while suppressed, and for keys without "
            "`feedback:write`: whoever has it answers in the customer's name."
        ),
    ]
    unsubscribe_link: str | None
    headers: Annotated[
        dict[str, str],
        Field(description="For the mail: one-click unsubscription (RFC 8058). {} without a link."),
    ]
    created_by: str
    created_at: datetime
    updated_at: datetime


class _Shower:
    """Invitations on the wire, as one caller may see them."""

    def __init__(self, caller: Caller, secrets: Secrets, base_url: str) -> None:
        self._shows_links = "feedback:write" in caller.scopes
        self._secrets, self._base_url = secrets, base_url

    def __call__(self, row: StoredInvitation) -> InvitationOut:
        link = unsubscribe = None
        if self._shows_links and row.state in _SENDABLE:
            link, unsubscribe = addresses(row, self._secrets, self._base_url)
        return InvitationOut(
            id=opaque_id(PREFIX, row.origin_customer_id, row.id),
            customer_id=row.customer_id,
            survey=row.survey,
            kind=row.kind,
            channel=row.channel,
            about=subject(row.about),
            state=row.state,
            suppressed_by=row.suppressed_by,
            next_eligible_at=row.next_eligible_at,
            send_at=row.send_at,
            expires_at=row.expires_at,
            sent_at=row.sent_at,
            remind_at=row.remind_at,
            reminded_at=row.reminded_at,
            answered_at=row.answered_at,
            link=link,
            unsubscribe_link=unsubscribe,
            headers={} if unsubscribe is None else unsubscribe_headers(unsubscribe),
            created_by=row.created_by,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


def _base_url(request: Request, settings: Config) -> str:
    return settings.public_url or str(request.base_url).rstrip("/")


_REMINDED: Final = Conflict("reminded_already", "An invitation is reminded of once.")
_UNKNOWN_REPORT: Final = refused("#/report", "unknown_report", f"must be one of {', '.join(REPORTS)}")
_INVALID_ABOUT: Final = refused("#/about", "invalid_about", "must have at most 1000 characters")
_INVALID_STATE: Final = refused("#/query/state", "unknown_state", f"must be one of {', '.join(STATES)}")
_INVALID_DUE: Final = refused(
    "#/query/due", "invalid_filter", "due stands alone, or with state=queued; reminder_due stands alone"
)

# --- routes ---------------------------------------------------------------------------------------------------------


@router.post(
    "",
    status_code=201,
    response_model=InvitationOut,
    responses=problems(
        *REFERENCE_PROBLEMS,
        *ONCE_PROBLEMS,
        gone(),
        not_found(),
        survey_not_found(),
        survey_inactive(),
        _INVALID_ABOUT,
    ),
)
async def post_survey_invitation(
    caller: Annotated[Caller, requires("feedback:write")],
    sent: Annotated[
        InvitationIn,
        body(
            InvitationIn,
            examples={
                "order": {
                    "customer": "external_id:42",
                    "survey": "after_delivery",
                    "about": {"order_id": "A-1001"},
                }
            },
        ),
    ],
    once: Once,
    tx: Tx,
    now: Now,
    signing: Signed,
    admission: Admitting,
    settings: Config,
    request: Request,
) -> Response:
    """Ask a customer now, or learn why they are left in peace; both are written down."""
    connection = await driver(tx)
    secrets = await signing.secrets()
    shown = _Shower(caller, secrets, _base_url(request, settings))

    async def ask() -> Answer:
        reference = parse_body_reference(sent.customer)
        row = await request_survey(
            connection,
            reference,
            sent.survey,
            sent.about,
            pepper=secrets.pepper,
            by=caller.source,
            now=now,
            admission=admission,
        )
        return Answer(201, shown(row).model_dump(mode="json"), {})

    return await once.answer(connection, caller, sent, now, ask)


@router.get(
    "", responses=problems(INVALID_CURSOR, _INVALID_STATE, _INVALID_DUE, *REFERENCE_PROBLEMS, not_found())
)
async def list_survey_invitations(
    caller: Annotated[Caller, requires("feedback:read")],
    page: Paging,
    reader: Reader,
    now: Now,
    signing: Signed,
    settings: Config,
    request: Request,
    state: Annotated[str | None, Query(json_schema_extra={"enum": list(STATES)})] = None,
    due: Annotated[  # noqa: FBT002 - a query parameter
        bool, Query(description="What is queued and to be sent now, the longest due first.")
    ] = False,
    reminder_due: Annotated[  # noqa: FBT002 - a query parameter
        bool, Query(description="What is to be reminded of now, the longest due first.")
    ] = False,
    customer: Annotated[str | None, Query(description="A UUID or `type:value`.")] = None,
    survey: Annotated[str | None, Query(max_length=64)] = None,
) -> Page[InvitationOut]:
    """Invitations, the newest first; with `due` or `reminder_due` what a mailer has to send."""
    shown = _Shower(caller, await signing.secrets(), _base_url(request, settings))
    if state is not None and state not in STATES:
        raise _INVALID_STATE
    narrowed = customer is not None or survey is not None
    if (due or reminder_due) and (
        narrowed or (due and reminder_due) or state not in (None, "queued") or (reminder_due and state)
    ):
        raise _INVALID_DUE
    connection = await driver(reader)
    if due or reminder_due:
        after = page.after(_BY_TIME)
        mark = invitations.FIRST if after is None else Mark(*after)
        find = invitations.to_send if due else invitations.to_remind
        found = await find(connection, now, mark, page.fetch)
        return page.answer(found, shown, _BY_TIME, lambda row: _mark(row, due=due))
    who = None
    if customer is not None:
        reference = parse_reference(customer, "#/query/customer")
        who = (await find_customer(connection, reference)).customer_id
    before = page.after(_BY_ID) or LAST_ID
    found = await invitations.newest(connection, Filters(who, survey, state), before, page.fetch)
    return page.answer(found, shown, _BY_ID, lambda row: row.id)


def _mark(row: StoredInvitation, *, due: bool) -> tuple[datetime, UUID]:
    return (row.send_at if due else row.remind_at or row.send_at), row.id


_Id = Annotated[str, Path(examples=[f"{PREFIX}_{'0' * 43}"])]


def _parsed(invitation: str) -> tuple[UUID, UUID]:
    found = parse_opaque_id(PREFIX, invitation)
    if found is None:
        raise invitation_not_found()
    return found


@router.get("/{invitation}", responses=problems(invitation_not_found(), erased()))
async def get_survey_invitation(
    caller: Annotated[Caller, requires("feedback:read")],
    invitation: _Id,
    reader: Reader,
    signing: Signed,
    settings: Config,
    request: Request,
) -> InvitationOut:
    """One invitation."""
    shown = _Shower(caller, await signing.secrets(), _base_url(request, settings))
    return shown(await find_invitation_by_id(await driver(reader), *_parsed(invitation)))


@router.post(
    "/{invitation}/reports",
    status_code=200,
    responses=problems(invitation_not_found(), erased(), _UNKNOWN_REPORT, _REMINDED),
)
async def post_survey_invitation_report(
    caller: Annotated[Caller, requires("feedback:write")],
    invitation: _Id,
    sent: Annotated[ReportIn, body(ReportIn, examples={"sent": {"report": "sent"}})],
    tx: Tx,
    now: Now,
    signing: Signed,
    settings: Config,
    request: Request,
) -> InvitationOut:
    """Tell what became of an invitation. Reports may come twice and in any order; a second `reminded` is refused."""
    shown = _Shower(caller, await signing.secrets(), _base_url(request, settings))
    row = await report_invitation(await driver(tx), *_parsed(invitation), sent.report, now)
    return shown(row)
