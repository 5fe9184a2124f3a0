"""What the POSTs about complaints share: asked once, done in one transaction, answered with the complaint."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final, NamedTuple

import asyncpg
from fastapi import Depends, Response
from pydantic import BaseModel

from app.api.complaints import shapes
from app.api.complaints.shapes import ComplaintDone
from app.api.deps import Admitting, Now, Scoring, Signed, Tx, requires
from app.api.references import Once
from app.domain.feedback.complaint_records import Complaint
from app.domain.feedback.links import Link
from app.domain.keys import Caller
from app.storage.database import driver
from app.usecases.answer_once import Answer
from app.usecases.complaints.work_on_complaint import Actor
from app.usecases.complaints.writing import Done
from app.usecases.surveys.signing import Secrets

# As for notes: support keys have it, and agents work on complaints.
Writer = Annotated[Caller, requires("feedback:write")]

LINK_HOLDS: Final = timedelta(days=365)


def status_link(secrets: Secrets, complaint: Complaint) -> str:
    """Where the customer can see how the complaint stands."""
    link = Link("complaint", complaint.origin_customer_id, complaint.id, complaint.created_at + LINK_HOLDS)
    return f"/s/{secrets.sign(link)}/complaint"


class Did(NamedTuple):
    """What a POST did. `more` are members beside those of ComplaintDone, of which `shape` then is a kind."""

    done: Done
    status: int
    shape: type[ComplaintDone] = ComplaintDone
    more: Mapping[str, Any] = {}
    headers: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class ComplaintPost:
    """A POST about a complaint under way: who sends it, and what it is done and answered with."""

    caller: Writer
    once: Once
    tx: Tx
    signing: Signed
    model: Scoring
    now: Now
    admission: Admitting

    @property
    def actor(self) -> Actor:
        """Who does it, and when."""
        return Actor(self.caller.source, self.now, self.model)

    async def answer(self, sent: BaseModel, work: Callable[[asyncpg.Connection], Awaitable[Did]]) -> Response:
        """The complaint after `work`, or what was answered when the same was asked under this Idempotency-Key."""
        connection = await driver(self.tx)

        async def go() -> Answer:
            did = await work(connection)
            complaint = did.done.complaint
            link = status_link(await self.signing.secrets(), complaint)
            shown = did.shape(**shapes.done_members(did.done, link, self.now), **did.more)
            headers = {"ETag": shapes.etag(complaint, self.now), **did.headers}
            return Answer(did.status, shown.model_dump(mode="json"), headers)

        return await self.once.answer(connection, self.caller, sent, self.now, go)


Posting = Annotated[ComplaintPost, Depends()]
