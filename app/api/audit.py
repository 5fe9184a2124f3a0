"""The audit log: who did what as an admin."""

import json
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.deps import Reader, requires
from app.api.openapi import problems
from app.api.paging import Cursor, Page, Paging
from app.api.references import INVALID_CURSOR
from app.domain.audit import LONGEST_NAME
from app.domain.keys import Caller
from app.storage import audit
from app.storage.audit import Deed
from app.storage.customers import LAST_ID
from app.storage.database import driver

router = APIRouter(prefix="/v1/audit", tags=["audit"])

_BY_ID: Final[Cursor[UUID]] = Cursor(UUID)


class DeedOut(BaseModel):
    """What somebody did. Neither secrets nor personal data: what looks like either is `[hidden]`."""

    id: UUID
    at: datetime
    actor: Annotated[str, Field(description="The id of a key, `admin`, `oidc:` and a subject, or `cli`.")]
    action: str
    target: Annotated[str, Field(description="`customer:` and its UUID, `key:` and its id, and so on.")]
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def _shown(deed: Deed) -> DeedOut:
    return DeedOut(
        id=deed.id,
        at=deed.at,
        actor=deed.actor,
        action=deed.action,
        target=deed.target,
        before=None if deed.before is None else json.loads(deed.before),
        after=None if deed.after is None else json.loads(deed.after),
    )


_Name = Annotated[str | None, Query(min_length=1, max_length=LONGEST_NAME)]


@router.get("", responses=problems(INVALID_CURSOR))
async def list_audit(
    _caller: Annotated[Caller, requires("admin")],
    page: Paging,
    reader: Reader,
    actor: _Name = None,
    target: _Name = None,
    action: _Name = None,
) -> Page[DeedOut]:
    """What was done, newest first: all, or by one actor, to one target, of one kind."""
    found = await audit.newest(
        await driver(reader),
        page.fetch,
        page.after(_BY_ID) or LAST_ID,
        actor=actor,
        target=target,
        action=action,
    )
    return page.answer(found, _shown, _BY_ID, lambda deed: deed.id)
