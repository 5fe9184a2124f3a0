"""The kinds of touchpoint."""

from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.deps import requires
from app.domain.health.facts import fact_of
from app.domain.keys import Caller
from app.domain.kinds import KINDS, Kind

router = APIRouter(tags=["touchpoints"])


class KindOut(BaseModel):
    """A kind of touchpoint."""

    kind: str
    component: Annotated[
        str | None, Field(description="The part of health that it feeds; null: a fact or a flag, no effect.")
    ]
    weight: Annotated[
        float | None, Field(description="How much one counts there; null where what it says decides.")
    ]
    label: str
    needs: Annotated[
        list[str], Field(description="What a post of this kind must hold, besides `customer` and `kind`.")
    ]
    server_only: Annotated[bool, Field(description="Written by the service itself; refused from outside.")]


class KindList(BaseModel):
    """All kinds: a short list, so it has one page."""

    data: list[KindOut]
    next_cursor: None = None


def _shown(kind: Kind) -> KindOut:
    money = ["amount_minor", "currency"] if kind.needs_money else []
    named = [name if name == "order_id" else f"properties.{name}" for name in kind.needs]
    return KindOut(
        kind=kind.name,
        component=kind.component,
        weight=fact_of(kind.name, 0, "").weight / 1000 or None,
        label=kind.label,
        needs=money + named,
        server_only=kind.server_only,
    )


_BUILT_IN: Final = KindList(data=[_shown(kind) for kind in KINDS.values()])


@router.get("/v1/touchpoint-kinds")
async def list_touchpoint_kinds(_caller: Annotated[Caller, requires("customers:read")]) -> KindList:
    """The kinds that can be posted or found in the log, and what each does to health."""
    return _BUILT_IN
