"""GET /s/{token}/complaint: how a complaint stands, for the customer who holds the signed link. Writes nothing."""

from datetime import datetime
from html import escape
from typing import Annotated, Final

from fastapi import APIRouter, Header, Path, Response
from pydantic import BaseModel, Field

from app.api.deps import Now, Reader, Signed
from app.api.openapi import problems
from app.domain.feedback.complaint_states import PUBLIC, State
from app.domain.feedback.links import LONGEST_TOKEN
from app.domain.problems import Gone
from app.storage.complaint_log import Line
from app.storage.database import driver
from app.usecases.complaints.public_status import PublicStatus, gone, link_not_found, public_status

router = APIRouter(prefix="/s", tags=["complaints"])

_WORDS: Final = {
    "received": "We have received it.",
    "in_progress": "We are working on it.",
    "waiting_for_you": "We are waiting for your answer.",
    "answered": "We have offered you a solution.",
    "solved": "It is solved.",
    "closed": "It is closed.",
    "joined_with_another": "We have joined it with another complaint of yours.",
    "withdrawn": "You have withdrawn it.",
}

# A link is a secret: nothing on the way may keep it or pass it on.
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


class StatusLine(BaseModel):
    """Something that was done, as far as it concerns the customer."""

    at: datetime
    status: str
    text: str | None


class StatusOut(BaseModel):
    """How a complaint stands. It says no name and repeats nothing that the customer wrote."""

    reference: str
    status: Annotated[str, Field(description="received, in_progress, waiting_for_you, answered, solved, ...")]
    since: datetime
    opened_at: datetime
    due_at: Annotated[
        datetime | None, Field(description="Until when a resolution is promised; null while none is due.")
    ]
    history: list[StatusLine]


@router.get(
    "/{token}/complaint",
    response_model=StatusOut,
    responses={
        200: {
            "description": "How it stands: JSON, or a page for who accepts text/html.",
            "content": {"text/html": {"schema": {"type": "string"}}},
        },
        **problems(link_not_found(), gone(), Gone("link_expired", "This link has expired."), 503),
    },
)
async def get_complaint_status(
    token: Annotated[str, Path(max_length=LONGEST_TOKEN)],
    signing: Signed,
    reader: Reader,
    now: Now,
    accept: Annotated[str, Header()] = "*/*",
) -> Response:
    """How a complaint stands, for the customer: no key, a signed link. Scanners may fetch it, nothing is written."""
    secrets = await signing.secrets()
    told = _told(await public_status(await driver(reader), token, secrets.by_key, now))
    if "text/html" in accept:
        return Response(_page(told), media_type="text/html", headers=_HEADERS)
    return Response(told.model_dump_json(), media_type="application/json", headers=_HEADERS)


def _told(status: PublicStatus) -> StatusOut:
    complaint = status.complaint
    case = complaint.case
    resolution = case.clocks[2]
    return StatusOut(
        reference=complaint.reference,
        status=PUBLIC[case.state],
        since=case.since,
        opened_at=complaint.opened_at,
        due_at=None if resolution.stopped_at is not None else resolution.due_at,
        history=[_line(line) for line in status.lines],
    )


def _line(line: Line) -> StatusLine:
    state: State = next(known for known in PUBLIC if known == line.step.state)
    # A reason and a note of a transition were written among agents; a message was written to the customer.
    said = line.step.text if line.step.what == "message" else None
    return StatusLine(at=line.step.at, status=PUBLIC[state], text=said)


def _page(told: StatusOut) -> str:
    rows = "".join(
        f"<li><time datetime='{line.at.isoformat()}'>{_day(line.at)}</time> "
        f"{escape(line.text) if line.text else _WORDS[line.status]}</li>"
        for line in told.history
    )
    due = "" if told.due_at is None else f"<p>We promised a solution by {_day(told.due_at)}.</p>"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Complaint {told.reference}</title>
<style>
body {{ font: 1.125rem/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 0 auto;
  max-width: 40rem; padding: 1.5rem; }}
time {{ color: #555; }}
li {{ margin: .5rem 0; white-space: pre-line; overflow-wrap: anywhere; }}
</style>
</head>
<body>
<main>
<h1>Complaint {told.reference}</h1>
<p><strong>{_WORDS[told.status]}</strong></p>
{due}
<h2>What happened</h2>
<ol>{rows}</ol>
</main>
</body>
</html>
"""


def _day(moment: datetime) -> str:
    return moment.date().isoformat()
