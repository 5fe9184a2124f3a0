"""The kinds of touchpoint: those that come with the service, and the shop's own."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import JSON, MERGE_PATCH, body
from app.api.deps import KindMemory, Kinds, Now, Tx, after_commit, requires
from app.api.openapi import problems
from app.domain.health.facts import OWN_COMPONENTS, fact_of
from app.domain.keys import Caller
from app.domain.kinds import KINDS, Kind, own_kind
from app.domain.problems import Fault, Invalid
from app.storage.database import driver
from app.storage.kinds import all_kinds
from app.usecases.change_kind import change_kind, kind_not_found
from app.usecases.define_kind import define_kind, kind_exists, too_many_kinds
from app.usecases.record_audit import record_audit

router = APIRouter(tags=["touchpoints"])

Admin = Annotated[Caller, requires("admin")]

_STRICT: Final = ConfigDict(extra="forbid", strict=True)

# --- shapes ---------------------------------------------------------------------------------------------------------

Name = Annotated[
    str,
    Field(
        max_length=64,
        description="Small letters, digits and _, a letter first.",
        json_schema_extra={"pattern": "^[a-z][a-z0-9_]{0,63}$"},
    ),
]
Component = Annotated[str, Field(max_length=64, json_schema_extra={"enum": list(OWN_COMPONENTS)})]
Weight = Annotated[
    float,
    Field(
        allow_inf_nan=False,
        description="How much one counts: 0 to 10, for `satisfaction` an answer from -1 to 1; at most 3 decimals.",
    ),
]
Label = Annotated[str, Field(min_length=1, max_length=200, description="What people read.")]


class KindIn(BaseModel):
    """A kind of the shop's own."""

    model_config = _STRICT

    kind: Name
    component: Component
    weight: Weight
    label: Label


class KindChange(BaseModel):
    """What to change for all that arrives from now on; what is left out stays."""

    model_config = _STRICT

    # What a factory makes is no default that the document would show; what was sent is in model_fields_set.
    component: Component = Field(default_factory=str)
    weight: Weight = Field(default_factory=float)
    label: Label = Field(default_factory=str)


class NamedKindChange(KindChange):
    """The same, and which kind."""

    kind: Name


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
    own: Annotated[bool, Field(description="Defined by the shop.")]


class KindList(BaseModel):
    """All kinds: a short list, so it has one page."""

    data: list[KindOut]
    next_cursor: None = None


def _shown(kind: Kind) -> KindOut:
    money = ["amount_minor", "currency"] if kind.needs_money else []
    named = [name if name == "order_id" else f"properties.{name}" for name in kind.needs]
    weight = fact_of(kind.name, 0, "").weight or None if kind.own is None else kind.own[1]
    return KindOut(
        kind=kind.name,
        component=kind.component,
        weight=None if weight is None else weight / 1000,
        label=kind.label,
        needs=money + named,
        server_only=kind.server_only,
        own=kind.own is not None,
    )


def _told(kind: Kind) -> dict[str, Any]:
    return {"own": kind.own, "label": kind.label}


_BUILT_IN: Final = [_shown(kind) for kind in KINDS.values()]

_SHOWROOM: Final = {
    "kind": "showroom_visit",
    "component": "engagement",
    "weight": 2.5,
    "label": "Showroom visit",
}
_INVALID: Final = Invalid(
    "invalid_kind",
    "weight must be a number from 0 to 10.",
    errors=[Fault("#/weight", "out_of_range", "must be a number from 0 to 10")],
)

# --- routes ---------------------------------------------------------------------------------------------------------


@router.get("/v1/touchpoint-kinds")
async def list_touchpoint_kinds(
    _caller: Annotated[Caller, requires("customers:read")], own_kinds: Kinds
) -> KindList:
    """The kinds that can be posted or found in the log, and what each does to health; the shop's own come last."""
    return KindList(data=_BUILT_IN + [_shown(kind) for kind in own_kinds.values()])


@router.post(
    "/v1/touchpoint-kinds",
    status_code=201,
    responses={
        200: {"model": KindOut, "description": "It was defined before, and the same."},
        **problems(_INVALID, kind_exists(), too_many_kinds()),
    },
)
async def post_touchpoint_kind(
    caller: Admin,
    sent: Annotated[KindIn, body(KindIn, examples={"showroom": _SHOWROOM})],
    tx: Tx,
    memory: KindMemory,
    now: Now,
    response: Response,
) -> KindOut:
    """Define a kind of your own. It can be posted at once, everywhere within a second."""
    kind = own_kind(sent.kind, sent.component, sent.weight, sent.label)
    connection = await driver(tx)
    known, is_new = await define_kind(connection, kind, now)
    if is_new:
        await record_audit(
            connection, caller.actor, "kind_defined", f"kind:{kind.name}", None, _told(kind), now
        )
    after_commit(tx, lambda: memory.adopt(known))
    response.status_code = 201 if is_new else 200
    return _shown(kind)


@router.patch("/v1/touchpoint-kinds", responses=problems(_INVALID, kind_not_found()))
async def patch_named_touchpoint_kind(
    caller: Admin,
    sent: Annotated[
        NamedKindChange,
        body(
            NamedKindChange,
            examples={"weight": {"kind": "showroom_visit", "weight": 3}},
            media_types=(JSON, MERGE_PATCH),
        ),
    ],
    tx: Tx,
    memory: KindMemory,
    now: Now,
) -> KindOut:
    """Change what a kind of your own counts from now on; what arrived before counts on as it did."""
    return await _change(caller, sent.kind, sent, tx, memory, now)


@router.patch("/v1/touchpoint-kinds/{kind}", responses=problems(_INVALID, kind_not_found()))
async def patch_touchpoint_kind(
    caller: Admin,
    kind: Annotated[str, Path(examples=["showroom_visit"])],
    sent: Annotated[
        KindChange,
        body(KindChange, examples={"weight": {"weight": 3}}, media_types=(JSON, MERGE_PATCH)),
    ],
    tx: Tx,
    memory: KindMemory,
    now: Now,
) -> KindOut:
    """The same, with the kind in the path."""
    return await _change(caller, kind, sent, tx, memory, now)


async def _change(
    caller: Caller, name: str, sent: KindChange, tx: Tx, memory: KindMemory, now: Now
) -> KindOut:
    said = {member: getattr(sent, member) for member in sent.model_fields_set - {"kind"}}
    connection = await driver(tx)
    was = (await all_kinds(connection)).get(name)
    known, kind = await change_kind(connection, name, now, **said)
    before = None if was is None else _told(was)
    await record_audit(connection, caller.actor, "kind_changed", f"kind:{name}", before, _told(kind), now)
    after_commit(tx, lambda: memory.adopt(known))
    return _shown(kind)
