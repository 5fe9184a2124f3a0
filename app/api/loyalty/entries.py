"""The ledger, line by line, and why each line is there."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from app.api.deps import Now, Programs, Reader, requires
from app.api.loyalty.shapes import PROGRAM_NOT_FOUND, EntryOut, ProgramQuery, entry_shown
from app.api.openapi import problems
from app.api.paging import Cursor, Page, Paging
from app.api.references import INVALID_CURSOR, NAMED_PROBLEMS
from app.domain.identifiers import parse_reference
from app.domain.keys import Caller
from app.domain.loyalty.public_ids import entry_not_found
from app.storage.database import driver
from app.storage.loyalty import entries
from app.usecases.find_customer import find_customer
from app.usecases.loyalty.read_account import explain_entry
from app.usecases.loyalty.remembered_programs import rules_named

router = APIRouter(prefix="/v1/loyalty/entries", tags=["loyalty"])

Member = Annotated[Caller, requires("loyalty:read")]
_Seq = Annotated[int, Field(ge=0, lt=2**31)]
_BY_SEQ: Final[Cursor[int]] = Cursor(_Seq)


class ExplainedOut(BaseModel):
    """An entry and the record of the rules that made it."""

    entry: EntryOut
    explain: Annotated[
        dict[str, Any] | None,
        Field(
            description="Of an earn: points, each rule with its reason, what was missing; null for others."
        ),
    ]


@router.get("", responses=problems(*NAMED_PROBLEMS, PROGRAM_NOT_FOUND, INVALID_CURSOR))
async def list_loyalty_entries(
    _caller: Member,
    page: Paging,
    reader: Reader,
    remembered: Programs,
    now: Now,
    customer: Annotated[str, Query(max_length=300, description="The customer's UUID, or `type:value`.")],
    after_seq: Annotated[int, Query(ge=0, lt=2**31, description="Entries after this number.")] = 0,
    program: ProgramQuery = None,
) -> Page[EntryOut]:
    """The entries of one account in their order: nothing is ever changed or left out."""
    connection = await driver(reader)
    identity = await find_customer(connection, parse_reference(customer))
    rules = await rules_named(connection, remembered.current, program, now)
    after = page.after(_BY_SEQ)
    faces = await entries.faces(connection, identity.customer_id)
    face = next((one for one in faces if one.program == rules.program.code), None)
    if face is None:
        return page.answer((), lambda entry: entry, _BY_SEQ, lambda _entry: 0)
    since = after_seq if after is None else after
    found = await entries.page(connection, identity.customer_id, face, since, page.fetch)
    return page.answer(
        found, lambda entry: entry_shown(identity.customer_id, face, entry), _BY_SEQ, lambda entry: entry.seq
    )


@router.get("/{entry_id}/explain", responses=problems(entry_not_found()))
async def explain_loyalty_entry(
    _caller: Member, entry_id: Annotated[str, Path(max_length=80)], reader: Reader
) -> ExplainedOut:
    """Why an entry is what it is: for an earn each rule, also those that gave nothing, and by how much it missed."""
    found = await explain_entry(await driver(reader), entry_id)
    return ExplainedOut(entry=entry_shown(found.customer_id, found.face, found.entry), explain=found.explain)
