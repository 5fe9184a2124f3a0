"""Agents' notes about a customer."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import body
from app.api.deps import Now, Reader, Tx, requires
from app.api.openapi import problems
from app.api.paging import Cursor, Page, Paging
from app.api.references import INVALID_CURSOR, NAMED_PROBLEMS, ONCE_PROBLEMS, Named, Once
from app.domain.ids import opaque_id
from app.domain.keys import Caller
from app.storage import notes
from app.storage.customers import LAST_ID
from app.storage.database import driver
from app.storage.notes import Note
from app.usecases.add_note import add_note
from app.usecases.answer_once import Answer
from app.usecases.find_customer import find_customer

router = APIRouter(prefix="/v1/customers/{customer}/notes", tags=["customers"])

_BY_ID: Final[Cursor[UUID]] = Cursor(UUID)


class NoteIn(BaseModel):
    """What to write down."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Annotated[str, Field(min_length=1, max_length=10_000)]


class NoteOut(BaseModel):
    """A note. `author` is the source of the key that wrote it."""

    id: str
    text: str
    author: str
    created_at: datetime


def shown(note: Note) -> NoteOut:
    """A note on the wire."""
    return NoteOut(
        id=opaque_id("note", note.origin_customer_id, note.id),
        text=note.text,
        author=note.author,
        created_at=note.created_at,
    )


@router.post("", status_code=201, response_model=NoteOut, responses=problems(*NAMED_PROBLEMS, *ONCE_PROBLEMS))
async def post_note(
    # Not customers:write, which support keys lack: they are the ones who write notes.
    caller: Annotated[Caller, requires("feedback:write")],
    named: Named,
    sent: Annotated[NoteIn, body(NoteIn, examples={"note": {"text": "Prefers to be called after 5 pm."}})],
    once: Once,
    tx: Tx,
    now: Now,
) -> Response:
    """Write a note about a customer."""
    connection = await driver(tx)

    async def add() -> Answer:
        note = await add_note(connection, named, sent.text, caller.source, now)
        return Answer(201, shown(note).model_dump(mode="json"), {})

    return await once.answer(connection, caller, sent, now, add)


@router.get("", responses=problems(*NAMED_PROBLEMS, INVALID_CURSOR))
async def list_notes(
    _caller: Annotated[Caller, requires("customers:read")], named: Named, page: Paging, reader: Reader
) -> Page[NoteOut]:
    """The notes about a customer, newest first."""
    connection = await driver(reader)
    identity = await find_customer(connection, named)
    found = await notes.newest(connection, identity.customer_id, page.fetch, page.after(_BY_ID) or LAST_ID)
    return page.answer(found, shown, _BY_ID, lambda note: note.id)
