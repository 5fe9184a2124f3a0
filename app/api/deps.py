"""What a route may ask for, as type aliases (`Config`, `Now`, `Tx`, `Reader`, `Keys`, ...), and who is asking.

    async def create_key(caller: Annotated[Caller, requires("admin")], tx: Tx, now: Now) -> ...

The caller comes first in a signature: dependencies are resolved in order, so nothing is read, parsed or opened for
somebody without a key.
"""

import base64
import binascii
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Depends, Request, params
from fastapi.security import SecurityScopes
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.addresses import check_address
from app.api.logs import current_trace
from app.api.rates import charge
from app.api.sign_in import SignIn, is_token
from app.api.templates import template
from app.domain import keys
from app.domain.admission import Admission
from app.domain.health.model import Model
from app.domain.keys import Caller
from app.domain.kinds import OwnKinds
from app.domain.problems import Forbidden, Unauthenticated
from app.domain.tombstones import Guard
from app.settings import Settings
from app.storage.database import Database
from app.usecases.keyring import Keyring
from app.usecases.loyalty.remembered_programs import RememberedPrograms
from app.usecases.loyalty.spending_groups import SpendingGroups
from app.usecases.models.active_model import ActiveModel
from app.usecases.own_kinds import RememberedKinds
from app.usecases.surveys.signing import Signing

# --- what a route may ask for --------------------------------------------------------------------------------------


def _of_app(name: str) -> Callable[[Request], Coroutine[Any, Any, Any]]:
    """What the application keeps under this name for all requests."""

    # A coroutine function: FastAPI would send any other to a thread.
    async def kept(request: Request) -> Any:
        return getattr(request.app.state, name)

    return kept


async def _scoring(request: Request) -> Model:
    model: ActiveModel = request.app.state.model
    return model.current


async def _own_kinds(request: Request) -> OwnKinds:
    own_kinds: RememberedKinds = request.app.state.own_kinds
    return own_kinds.current


async def _now() -> datetime:
    return datetime.now(UTC)


async def transaction(request: Request) -> AsyncIterator[AsyncSession]:
    """One transaction around the route: committed before its answer is sent, rolled back when it raises."""
    async with request.app.state.database.transaction() as session:
        yield session


async def reading(request: Request) -> AsyncIterator[AsyncSession]:
    """A session for reads alone."""
    async with request.app.state.database.reading() as session:
        yield session


async def lagging(request: Request) -> AsyncIterator[AsyncSession]:
    """A session on the read replica, which may lag."""
    async with request.app.state.replica.reading() as session:
        yield session


Config = Annotated[Settings, Depends(_of_app("settings"))]
Store = Annotated[Database, Depends(_of_app("database"))]
Keys = Annotated[Keyring, Depends(_of_app("keyring"))]
Scored = Annotated[ActiveModel, Depends(_of_app("model"))]
"""What remembers which model scores."""
Scoring = Annotated[Model, Depends(_scoring)]
"""The model that scores now; the same for everything that the request asks for."""
KindMemory = Annotated[RememberedKinds, Depends(_of_app("own_kinds"))]
"""What remembers the shop's own kinds of touchpoint."""
Kinds = Annotated[OwnKinds, Depends(_own_kinds)]
"""The shop's own kinds of touchpoint."""
Programs = Annotated[RememberedPrograms, Depends(_of_app("programs"))]
"""What remembers the loyalty programmes and their rules."""
Spending = Annotated[SpendingGroups, Depends(_of_app("spending"))]
"""What holds and captures points."""
Signed = Annotated[Signing, Depends(_of_app("signing"))]
"""What signs the links of mails."""
Admitting = Annotated[Admission, Depends(_of_app("admission"))]
"""What an identifier has to pass before it becomes a customer's."""
Guarded = Annotated[Guard, Depends(_of_app("guard"))]
"""What knows the identifiers of who was erased."""
Now = Annotated[datetime, Depends(_now)]
"""The time of the request, aware and in UTC; the same for everything that the request asks for."""
Tx = Annotated[AsyncSession, Depends(transaction, scope="function")]
Reader = Annotated[AsyncSession, Depends(reading, scope="function")]
Lagging = Annotated[AsyncSession, Depends(lagging, scope="function")]
"""The read replica (RAPPORT_READ_URL), some seconds old: figures, shop-wide lists. Never what a writer goes by."""
Replica = Annotated[Database, Depends(_of_app("replica"))]
"""The same as a database, for what reads in many steps."""


def after_commit(tx: AsyncSession, tell: Callable[[], None]) -> None:
    """Tell this process' memories of a change. Not before: whoever asks in between would remember what still stands."""
    event.listen(tx.sync_session, "after_commit", lambda _session: tell(), once=True)


# --- who is asking -------------------------------------------------------------------------------------------------

PUBLISHABLE_PATHS: Final = frozenset(("/v1/touchpoints", "/v1/touchpoints/batch"))
"""Where publishable keys may post, and the only paths that send CORS headers."""


def requires(*scopes: str) -> params.Security:
    """Ask for a caller who has all of these scopes."""
    unknown = set(scopes) - set(keys.SCOPES)
    if unknown or not scopes:
        raise ValueError(f"not scopes: {sorted(unknown)}")
    return params.Security(authorise, scopes=list(scopes))


async def authorise(request: Request, required: SecurityScopes) -> Caller:
    """Who sends this request. Raises Unauthenticated, or Forbidden `publishable_key` or `scope_missing`."""
    caller = await identify(request)
    if caller.publishable:
        _check_publishable(caller, request)
    for scope in required.scopes:
        if scope not in caller.scopes:
            raise Forbidden("scope_missing", f"This key lacks the scope {scope}.", scope=scope)
    return caller


async def identify(request: Request) -> Caller:
    """Whose key or token the request carries; it is counted against their rate.

    Raises Unauthenticated `key_missing`, `key_invalid` or `token_invalid`, Forbidden `address_not_allowed`, Limited
    `rate_limited`.
    """
    key = _presented_key(request)
    if key is None:
        raise Unauthenticated(
            "key_missing", "Send an API key as Authorization: Bearer KEY or X-API-Key: KEY."
        )
    caller = await _holder(request, key)
    trace = current_trace()
    if trace is not None:
        trace.key_id = caller.key_id
    check_address(caller, request.scope, request.app.state.proxies)
    charge(request, caller)
    return caller


async def _holder(request: Request, key: str) -> Caller:
    keyring: Keyring = request.app.state.keyring
    digest = keys.sha256(key)
    caller = keyring.remembered(digest)
    # The checksum keeps mistyped keys off the database; a key that is remembered has passed it.
    if caller is None and keys.is_well_formed(key):
        caller = await keyring.find(digest)
    sign_in: SignIn | None = request.app.state.sign_in
    if caller is None and sign_in is not None and is_token(key):
        return await sign_in.caller(key)
    if caller is None:
        raise Unauthenticated("key_invalid", "This API key is malformed, unknown, expired or revoked.")
    return caller


def _presented_key(request: Request) -> str | None:
    """The key from Authorization (Bearer, or Basic with the key as user name), else from X-API-Key."""
    bare = None
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            scheme, _, credentials = value.decode("latin-1").partition(" ")
            return _from_authorization(scheme.lower(), credentials.strip())
        if name == b"x-api-key":
            bare = value.decode("latin-1").strip()
    return bare


def _from_authorization(scheme: str, credentials: str) -> str:
    if scheme == "bearer":
        return credentials
    if scheme == "basic":
        try:
            return base64.b64decode(credentials, validate=True).decode("latin-1").partition(":")[0]
        except binascii.Error:
            return ""
    return ""


def _check_publishable(caller: Caller, request: Request) -> None:
    if request.method != "POST" or template(request.scope) not in PUBLISHABLE_PATHS:
        raise Forbidden("publishable_key", "A publishable key may only post touchpoints.")
    origin = request.headers.get("origin")
    trace = current_trace()
    if trace is not None and origin in caller.origins:
        trace.allow_origin = origin
