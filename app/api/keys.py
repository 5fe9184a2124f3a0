"""Keys: who may call this API."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.api.bodies import body
from app.api.deps import Keys, Now, Reader, Tx, after_commit, requires
from app.api.openapi import problems
from app.api.paging import Cursor, Moment, Page, Paging
from app.domain import keys
from app.domain.keys import Caller
from app.domain.problems import Conflict, Fault, Invalid, NotFound
from app.storage import keys as stored_keys
from app.storage.keys import StoredKey
from app.usecases.create_key import create_key
from app.usecases.revoke_key import revoke_key
from app.usecases.rotate_key import rotate_key

router = APIRouter(prefix="/v1/keys", tags=["keys"])

_ONE_DAY: Final = 86_400
_LONGEST_OVERLAP: Final = 30 * _ONE_DAY

Admin = Annotated[Caller, requires("admin")]
KeyId = Annotated[UUID, Path(description="`id` of the key, not the key itself.")]
Scope = Annotated[str, Field(json_schema_extra={"enum": list(keys.SCOPES)})]
Preset = Literal["storefront", "support", "admin", "publishable"]

# --- shapes --------------------------------------------------------------------------------------------------------


class NewKey(BaseModel):
    """What a key is to be for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    preset: Preset = Field(description="Whose key it is; `publishable` keys may sit in web pages.")
    source: str = Field(
        pattern=f"^{keys.SOURCE_PATTERN}$",
        description="Stamped on everything that is written with the key; keys of one storefront share it. Give a "
        "publishable key one of its own, because ids are unique for a source and whoever reads the web page could use "
        "up those of the storefront.",
    )
    scopes: list[Scope] | None = Field(
        None, max_length=20, description="Some of the preset's scopes; null: all."
    )
    origins: list[str] = Field(
        default=[], max_length=50, description="Web origins that may post with a publishable key."
    )
    expires_at: Moment | None = Field(None, description="When it stops; null: never.")
    networks: list[str] = Field(
        default=[],
        max_length=keys.MOST_NETWORKS,
        description="From where it may be used: addresses and prefixes, IPv4 or IPv6; none: from everywhere.",
    )
    rate_per_minute: int | None = Field(
        None,
        ge=0,
        le=keys.MOST_PER_MINUTE,
        description="Requests and items of batches a minute; 0: no limit; null: the service's default.",
    )


class Rotation(BaseModel):
    """How long the old key still works."""

    model_config = ConfigDict(extra="forbid", strict=True)

    overlap_seconds: int = Field(_ONE_DAY, ge=0, le=_LONGEST_OVERLAP)


class Key(BaseModel):
    """A key, without the key."""

    id: UUID
    preset: str
    source: str
    scopes: list[str]
    publishable: bool
    origins: list[str]
    last_four: str
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    revoked_at: AwareDatetime | None
    last_used_at: AwareDatetime | None = Field(description="Up to a minute late.")
    replaces: UUID | None = Field(description="The key that this one was rotated from.")
    networks: list[str] = Field(description="From where it may be used; none: from everywhere.")
    rate_per_minute: int | None = Field(description="0: no limit; null: the service's default.")


class IssuedKey(Key):
    """A new key. This is the only time it is shown."""

    key: str


def _members(stored: StoredKey) -> dict[str, Any]:
    return {
        "id": stored.id,
        "preset": stored.preset,
        "source": stored.source,
        "scopes": sorted(stored.scopes),
        "publishable": stored.publishable,
        "origins": list(stored.origins),
        "last_four": stored.last_four,
        "created_at": stored.created_at,
        "expires_at": stored.expires_at,
        "revoked_at": stored.revoked_at,
        "last_used_at": stored.last_used_at,
        "replaces": stored.replaces,
        "networks": list(stored.networks),
        "rate_per_minute": stored.rate_per_minute,
    }


def _key(stored: StoredKey) -> Key:
    return Key(**_members(stored))


def _issued(issued: tuple[StoredKey, str]) -> IssuedKey:
    stored, key = issued
    return IssuedKey(**_members(stored), key=key)


_BY_AGE: Final[Cursor[tuple[datetime, UUID]]] = Cursor(tuple[Moment, UUID])

_NEW_KEY_EXAMPLES: Final = {
    "storefront": {"preset": "storefront", "source": "shop-eu"},
    "web page": {"preset": "publishable", "source": "web", "origins": ["https://shop.example"]},
    "narrowed": {
        "preset": "support",
        "source": "helpdesk",
        "scopes": ["customers:read"],
        "networks": ["203.0.113.0/24"],
        "rate_per_minute": 600,
        "expires_at": "2027-01-01T00:00:00Z",
    },
}


def _refused(member: str, code: str, detail: str) -> Invalid:
    return Invalid(code, detail, errors=[Fault(f"#/{member}", code, detail)])


_NOT_FOUND = NotFound("key_not_found", "There is no key with this id.")

# --- routes --------------------------------------------------------------------------------------------------------


@router.post(
    "",
    status_code=201,
    responses=problems(
        _refused("scopes", "scope_not_in_preset", "scopes must be some of customers:read, events:write."),
        _refused(
            "origins", "origins_not_allowed", "Only publishable keys have origins; others stay on servers."
        ),
        _refused(
            "origins/0",
            "invalid_origin",
            "An origin is scheme, host and port, in lower case: https://shop.example.",
        ),
        _refused(
            "networks/0",
            "invalid_network",
            "A network is an address or a prefix without host bits: 203.0.113.0/24, 2001:db8::/32.",
        ),
        _refused("expires_at", "in_the_past", "expires_at must lie in the future."),
        _refused("expires_at", "naive_time", "A time needs an offset, such as Z or +02:00."),
    ),
)
async def create_api_key(
    caller: Admin, new: Annotated[NewKey, body(NewKey, examples=_NEW_KEY_EXAMPLES)], tx: Tx, now: Now
) -> IssuedKey:
    """Make a key. The answer is the only place where it is ever shown."""
    grant = keys.grant(**new.model_dump(), now=now)
    return _issued(await create_key(tx, grant, now, by=caller.actor))


@router.get("")
async def list_api_keys(_caller: Admin, page: Paging, reader: Reader) -> Page[Key]:
    """All keys, newest first, dead ones too."""
    rows = await stored_keys.newest_first(reader, page.after(_BY_AGE), page.fetch)
    return page.answer(rows, _key, _BY_AGE, lambda row: (row.created_at, row.id))


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    responses=problems(
        _NOT_FOUND,
        Conflict("key_not_live", "This key is revoked or expired. Create a new one instead."),
        Conflict(
            "key_already_rotated", "A newer key already replaces this one. Rotate that, or revoke it first."
        ),
    ),
)
async def rotate_api_key(
    caller: Admin,
    key_id: KeyId,
    rotation: Annotated[
        Rotation, body(Rotation, examples={"an hour": {"overlap_seconds": 3600}}, optional=True)
    ],
    tx: Tx,
    now: Now,
    keyring: Keys,
) -> IssuedKey:
    """Replace a key by a new one with the same rights; the old one stops after the overlap (a day unless said)."""
    issued = await rotate_key(tx, key_id, timedelta(seconds=rotation.overlap_seconds), now, by=caller.actor)
    after_commit(tx, keyring.forget)
    return _issued(issued)


@router.delete("/{key_id}", status_code=204, responses=problems(_NOT_FOUND))
async def revoke_api_key(caller: Admin, key_id: KeyId, tx: Tx, now: Now, keyring: Keys) -> None:
    """Stop a key for good, within a second everywhere. Doing it again changes nothing."""
    if not await revoke_key(tx, key_id, now, by=caller.actor):
        raise NotFound(_NOT_FOUND.code, _NOT_FOUND.detail)
    after_commit(tx, keyring.forget)
