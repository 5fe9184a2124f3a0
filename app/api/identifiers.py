"""The names that a customer goes by."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import body
from app.api.deps import Admitting, Now, Tx, requires
from app.api.openapi import problems
from app.api.references import (
    CONFLICT,
    GUARD_PROBLEMS,
    NAMED_PROBLEMS,
    TYPE_PATTERN,
    VALUE_PATTERN,
    VALUE_PROBLEMS,
    Named,
)
from app.domain.customers import HeldIdentifier
from app.domain.identifiers import Identifier, identifier
from app.domain.keys import Caller
from app.domain.problems import Conflict, NotFound
from app.storage.database import driver
from app.usecases.add_identifier import add_identifier
from app.usecases.remove_identifier import remove_identifier

router = APIRouter(prefix="/v1/customers/{customer}/identifiers", tags=["customers"])

# --- shapes ---------------------------------------------------------------------------------------------------------


class IdentifierIn(BaseModel):
    """One more name of a customer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Annotated[
        str, Field(description="`external_id`, `email`, `phone`, or one of your own: a-z, 0-9 and _.")
    ]
    value: str


class IdentifierOut(BaseModel):
    """A name of a customer, as it was sent, and since when it leads to them."""

    type: str
    value: str
    created_at: datetime


def members(held: HeldIdentifier) -> dict[str, Any]:
    """The members of IdentifierOut."""
    return {"type": held.type, "value": held.value, "created_at": held.created_at}


_HAD_IT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": IdentifierOut, "description": "The customer had it already."}
}


async def _in_path(
    type: Annotated[  # noqa: A002 - the wire's own name
        str, Path(examples=["email"], json_schema_extra={"pattern": f"^{TYPE_PATTERN}$"})
    ],
    value: Annotated[
        str, Path(examples=["ada@example.com"], json_schema_extra={"pattern": f"^{VALUE_PATTERN}$"})
    ],
) -> Identifier:
    return identifier(type, value, "#/path/value")


# --- routes ---------------------------------------------------------------------------------------------------------


@router.post(
    "",
    status_code=201,
    responses=_HAD_IT | problems(*NAMED_PROBLEMS, *VALUE_PROBLEMS, CONFLICT, *GUARD_PROBLEMS),
)
async def add_customer_identifier(
    _caller: Annotated[Caller, requires("customers:write")],
    named: Named,
    sent: Annotated[
        IdentifierIn, body(IdentifierIn, examples={"email": {"type": "email", "value": "ada@example.com"}})
    ],
    tx: Tx,
    admission: Admitting,
    now: Now,
    response: Response,
) -> IdentifierOut:
    """Give a customer one more name; 200 when they have it already."""
    held, is_new = await add_identifier(
        await driver(tx), named, identifier(sent.type, sent.value, "#/value"), now, admission
    )
    response.status_code = 201 if is_new else 200
    return IdentifierOut(**members(held))


@router.delete(
    "/{type}/{value}",
    status_code=204,
    responses=problems(
        *NAMED_PROBLEMS,
        *VALUE_PROBLEMS,
        NotFound("identifier_not_found", "This customer does not have that identifier."),
        Conflict("last_identifier", "A customer keeps at least one identifier. Add another one first."),
    ),
)
async def remove_customer_identifier(
    _caller: Annotated[Caller, requires("customers:write")],
    named: Named,
    held: Annotated[Identifier, Depends(_in_path)],
    tx: Tx,
    now: Now,
) -> None:
    """Take a name away from a customer; they keep at least one."""
    await remove_identifier(await driver(tx), named, held, now)
