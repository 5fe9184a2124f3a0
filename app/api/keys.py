"""Keys: who may call this API."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.api.bodies import JSON, MERGE_PATCH, body
from app.api.deps import Keys, Now, Reader, Tx, after_commit, requires
from app.api.feedback.answers import IfMatch, etag, names
from app.api.openapi import problems
from app.api.paging import Cursor, Moment, Page, Paging
from app.domain import keys
from app.domain.keys import Caller
from app.domain.problems import Fault, Forbidden, Invalid, Stale
from app.storage import keys as stored_keys
from app.storage.keys import StoredKey
from app.usecases.change_key import (
    change_key,
    key_already_rotated,
    key_not_found,
    key_not_live,
)
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

Networks = Annotated[
    list[str],
    Field(
        max_length=keys.MOST_NETWORKS,
        description="From where it may be used: addresses and prefixes, IPv4 or IPv6; none: from everywhere.",
    ),
]
Rate = Annotated[
    Annotated[int, Field(ge=0, le=keys.MOST_PER_MINUTE)] | None,
    Field(description="Requests and items of batches a minute; 0: no limit; null: the service's default."),
]
Name = Annotated[
    Annotated[str, Field(min_length=1, max_length=keys.LONGEST_KEY_NAME)] | None,
    Field(description="What people call it; it decides nothing."),
]

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
    networks: Networks = []
    rate_per_minute: Rate = None
    name: Name = None


class KeyChange(BaseModel):
    """What to change: members that are absent stay as they are. Source, scopes and origins never change."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name = None
    expires_at: Moment | None = Field(None, description="When it stops; null: never.")
    networks: Networks | None = None
    rate_per_minute: Rate = None


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
    name: str | None = Field(description="What people call it.")


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
        "name": stored.name,
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


def _stale() -> Stale:
    return Stale(
        "stale",
        "The key was changed since; read it again and decide anew.",
        errors=[Fault("#/header/if-match", "stale", "The key has another version by now.")],
    )


_BEYOND_REACH: Final = Forbidden(
    "scope_missing", "This key lacks the scope loyalty:write.", scope="loyalty:write"
)
_TERMS_REFUSED: Final = (
    _refused(
        "networks/0",
        "invalid_network",
        "A network is an address or a prefix without host bits: 203.0.113.0/24, 2001:db8::/32.",
    ),
    _refused("expires_at", "in_the_past", "expires_at must lie in the future."),
    _refused("expires_at", "naive_time", "A time needs an offset, such as Z or +02:00."),
)

# --- routes --------------------------------------------------------------------------------------------------------


@router.post(
    "",
    status_code=201,
    responses=problems(
        _BEYOND_REACH,
        _refused("scopes", "scope_not_in_preset", "scopes must be some of customers:read, events:write."),
        _refused(
            "origins", "origins_not_allowed", "Only publishable keys have origins; others stay on servers."
        ),
        _refused(
            "origins/0",
            "invalid_origin",
            "An origin is scheme, host and port, in lower case: https://shop.example.",
        ),
        *_TERMS_REFUSED,
    ),
)
async def create_api_key(
    caller: Admin, new: Annotated[NewKey, body(NewKey, examples=_NEW_KEY_EXAMPLES)], tx: Tx, now: Now
) -> IssuedKey:
    """Make a key. The answer is the only place where it is ever shown."""
    grant = keys.grant(**new.model_dump(), now=now)
    keys.check_reach(grant.scopes, caller.scopes)
    return _issued(await create_key(tx, grant, now, by=caller.actor))


@router.get("")
async def list_api_keys(_caller: Admin, page: Paging, reader: Reader) -> Page[Key]:
    """All keys, newest first, dead ones too."""
    rows = await stored_keys.newest_first(reader, page.after(_BY_AGE), page.fetch)
    return page.answer(rows, _key, _BY_AGE, lambda row: (row.created_at, row.id))


@router.get("/{key_id}", responses=problems(key_not_found()))
async def get_api_key(_caller: Admin, key_id: KeyId, reader: Reader, response: Response) -> Key:
    """One key, dead or alive."""
    found = await stored_keys.find(reader, key_id)
    if found is None:
        raise key_not_found()
    response.headers["ETag"] = etag(found.revision)
    return _key(found)


@router.patch(
    "/{key_id}",
    responses=problems(
        key_not_found(), _BEYOND_REACH, _stale(), key_not_live(), key_already_rotated(), *_TERMS_REFUSED
    ),
)
async def change_api_key(
    caller: Admin,
    key_id: KeyId,
    sent: Annotated[
        KeyChange,
        body(
            KeyChange,
            examples={
                "from the office alone": {"name": "Till 3", "networks": ["203.0.113.0/24"]},
                "no end, the usual rate": {"expires_at": None, "rate_per_minute": None},
            },
            media_types=(JSON, MERGE_PATCH),
        ),
    ],
    tx: Tx,
    now: Now,
    response: Response,
    keyring: Keys,
    if_match: IfMatch = None,
) -> Key:
    """Change name, end, networks or rate of a live key, within a second everywhere. The key itself stays."""

    def look(key: StoredKey) -> None:
        if not names(if_match, key.revision):
            raise _stale()

    said = sent.model_dump(exclude_unset=True)
    # RFC 7396: null takes a member away, and without any network a key works from everywhere.
    said |= {"networks": said["networks"] or []} if "networks" in said else {}
    changed = await change_key(tx, key_id, said, now, by=caller.actor, reach=caller.scopes, look=look)
    after_commit(tx, keyring.forget)
    response.headers["ETag"] = etag(changed.revision)
    return _key(changed)


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    responses=problems(
        key_not_found(),
        _BEYOND_REACH,
        key_not_live(),
        key_already_rotated(),
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
    overlap = timedelta(seconds=rotation.overlap_seconds)
    issued = await rotate_key(tx, key_id, overlap, now, by=caller.actor, reach=caller.scopes)
    after_commit(tx, keyring.forget)
    return _issued(issued)


@router.delete("/{key_id}", status_code=204, responses=problems(key_not_found()))
async def revoke_api_key(caller: Admin, key_id: KeyId, tx: Tx, now: Now, keyring: Keys) -> None:
    """Stop a key for good, within a second everywhere. Doing it again changes nothing."""
    if not await revoke_key(tx, key_id, now, by=caller.actor):
        raise key_not_found()
    after_commit(tx, keyring.forget)
