"""Lists: `?limit=&cursor=`, `{"data": [...], "next_cursor": null}` and a Link to the next page."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter

from app.api.bodies import parse
from app.domain.problems import Fault, Invalid, Problem

DEFAULT_LIMIT: Final = 50
MOST_LIMIT: Final = 200
_LONGEST_CURSOR = 2000

T = TypeVar("T")
Row = TypeVar("Row")
Keys = TypeVar("Keys")

BigInt = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""A whole number that a bigint column can be compared with: cursors come from outside, whatever we meant by them."""

Moment = Annotated[
    AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))
]
"""A time for cursors and bodies that a timestamptz column can hold: the year 9999 overflows on its way to UTC."""


class Page(BaseModel, Generic[T]):
    """One page of a list; `next_cursor` is null on the last one."""

    data: list[T]
    next_cursor: Annotated[
        str | None, Field(description="Give it back as `cursor` to get the next page; null on the last.")
    ] = None


class Cursor(Generic[Keys]):
    """The keyset of a list, e.g. `Cursor(tuple[AwareDatetime, UUID])`: where one page ends and the next begins."""

    def __init__(self, keys: type[Keys]) -> None:
        self._adapter: TypeAdapter[Keys] = TypeAdapter(keys)

    def encode(self, keys: Keys) -> str:
        """Base64url of the keys' JSON: opaque, not secret; it holds nothing that its page did not show."""
        return base64.urlsafe_b64encode(self._adapter.dump_json(keys)).rstrip(b"=").decode()

    def decode(self, text: str) -> Keys:
        """Raises Invalid `invalid_cursor` for anything that encode() cannot have made."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            return parse(self._adapter, raw)
        except (ValueError, binascii.Error, Problem):
            detail = "cursor must be a next_cursor of this list."
            fault = Fault("#/query/cursor", "invalid_cursor", detail)
            raise Invalid("invalid_cursor", detail, errors=[fault]) from None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page a caller asked for."""

    limit: int
    cursor: str | None
    _request: Request
    _response: Response

    @property
    def fetch(self) -> int:
        """How many rows to ask the database for: one more than shown tells whether there is another page."""
        return self.limit + 1

    def after(self, cursor: Cursor[Keys]) -> Keys | None:
        """The keys after which the page begins, None for the first page. Raises Invalid `invalid_cursor`."""
        return None if self.cursor is None else cursor.decode(self.cursor)

    def answer(
        self,
        rows: Sequence[Row],
        shape: Callable[[Row], T],
        cursor: Cursor[Keys],
        keys: Callable[[Row], Keys],
    ) -> Page[T]:
        """The page made of up to `fetch` rows, and the Link header when another one follows."""
        shown = rows[: self.limit]
        more = cursor.encode(keys(shown[-1])) if len(rows) > self.limit else None
        if more is not None:
            self._response.headers["Link"] = f'<{self._next_url(more)}>; rel="next"'
        return Page(data=[shape(row) for row in shown], next_cursor=more)

    def _next_url(self, cursor: str) -> str:
        """Relative, so that it is right behind any proxy; all other parameters stay."""
        kept: list[tuple[str, Any]] = [
            (name, value) for name, value in self._request.query_params.multi_items() if name != "cursor"
        ]
        return f"?{urlencode([*kept, ('cursor', cursor)])}"


async def _page_request(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=MOST_LIMIT, description="Most items in one page.")] = DEFAULT_LIMIT,
    cursor: Annotated[
        str | None, Query(max_length=_LONGEST_CURSOR, description="`next_cursor` of the page before.")
    ] = None,
) -> PageRequest:
    return PageRequest(limit, cursor, request, response)


Paging = Annotated[PageRequest, Depends(_page_request)]
