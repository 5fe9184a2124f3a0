"""The tombstones of people who were erased: lifted when they come back."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import body
from app.api.deps import Guarded, Now, Tx, requires
from app.api.openapi import problems
from app.api.references import VALUE_PROBLEMS, NamedInBody
from app.domain.identifiers import parse_body_reference
from app.domain.keys import Caller
from app.domain.problems import refused
from app.storage.database import driver
from app.usecases.privacy.lift_tombstones import lift_tombstones, tombstone_not_found

router = APIRouter(prefix="/v1/tombstones", tags=["privacy"])


class LiftIn(BaseModel):
    """Whose names are to be free again, and why."""

    model_config = ConfigDict(extra="forbid", strict=True)

    customer: NamedInBody
    reason: Annotated[
        Literal["came_back", "erased_by_mistake", "belongs_to_another"],
        Field(
            description="`came_back`: the person wants to be a customer again. `belongs_to_another`: the address or "
            "number is somebody else's by now. No free text, because the audit log keeps it."
        ),
    ]
    reference: Annotated[
        str | None,
        Field(
            pattern="^[A-Za-z0-9._:-]{1,64}$",
            description="Where you keep what the person said, as the number of a ticket; never a name.",
        ),
    ] = None


class LiftOut(BaseModel):
    """What became of it."""

    lifted: Annotated[int, Field(description="Identifiers that may be used again.")]


_NO_NAME: Final = refused("#/customer", "invalid_reference", "must hold identifiers: a UUID stays erased")


@router.post("/lift", responses=problems(*VALUE_PROBLEMS, _NO_NAME, tombstone_not_found()))
async def lift_erased_identifiers(
    caller: Annotated[Caller, requires("admin")],
    sent: Annotated[
        LiftIn,
        body(
            LiftIn,
            examples={
                "came back": {
                    "customer": {"email": "ada@example.com", "phone": "+4915112345678"},
                    "reason": "came_back",
                    "reference": "ticket-4711",
                }
            },
        ),
    ],
    guard: Guarded,
    tx: Tx,
    now: Now,
) -> LiftOut:
    """Let the identifiers of somebody who was erased be used again. They start as somebody new, linked to nothing."""
    named = parse_body_reference(sent.customer)
    if not named.identifiers:
        raise refused("#/customer", "invalid_reference", "must hold identifiers: a UUID stays erased")
    lifted = await lift_tombstones(
        await driver(tx),
        named.identifiers,
        guard,
        by=caller.actor,
        reason=sent.reason,
        reference=sent.reference,
        now=now,
    )
    return LiftOut(lifted=lifted)
