"""Reading what a request brings: bounded, decoded once, and strict where JSON parsers are lenient.

Every route takes its body through `body(Model)` or `raw_body(...)`, never as a FastAPI body parameter: those are read
without a bound and before the key is looked at.
"""

import json
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import unquote_to_bytes

from fastapi import Request, params
from pydantic import TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from app.api.problems import pointer, problem_of
from app.domain.problems import Fault, Invalid, Malformed, TooLarge, Unsupported

T = TypeVar("T")

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
NDJSON: Final = "application/x-ndjson"

BODY_BYTES: Final = 64 * 1024

# --- bytes ---------------------------------------------------------------------------------------------------------


async def read_body(
    request: Request,
    limit_bytes: int = BODY_BYTES,
    *,
    media_types: tuple[str, ...] = (JSON,),
    gunzip_limit: int | None = None,
) -> bytes:
    """The body of a request, at most `limit_bytes` of it.

    With `gunzip_limit` it may come gzipped; that many bytes may then unfold from it. Raises TooLarge `body_too_large`,
    Unsupported `unsupported_media_type` or `unsupported_encoding`, Malformed `malformed_gzip`.
    """
    check_media_type(request, media_types)
    is_gzip = _is_gzip(request, allowed=gunzip_limit is not None)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    unfold = _Gunzip(gunzip_limit) if is_gzip and gunzip_limit is not None else None
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        chunks.append(chunk if unfold is None else unfold.feed(chunk))
    if unfold is not None:
        unfold.finish()
    return b"".join(chunks)


def _has_body(request: Request) -> bool:
    # RFC 9112, 6: a request with neither of these headers has none.
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def media_type(request: Request) -> str:
    """The media type of the body, in lower case and without parameters; empty when the request names none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_media_type(request: Request, allowed: tuple[str, ...]) -> None:
    """Raises Unsupported, also when there is no Content-Type: any web page can send such a request anywhere."""
    if media_type(request) not in allowed:
        raise Unsupported(
            "unsupported_media_type", f"Send the body with Content-Type: {' or '.join(allowed)}."
        )


def _is_gzip(request: Request, *, allowed: bool) -> bool:
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return False
    if encoding in ("gzip", "x-gzip") and allowed:
        return True
    known = "gzip or none" if allowed else "none"
    raise Unsupported("unsupported_encoding", f"This path reads the Content-Encoding {known}.")


def _too_large(limit_bytes: int, what: str = "The body") -> TooLarge:
    return TooLarge("body_too_large", f"{what} is larger than {limit_bytes} bytes.", limit_bytes=limit_bytes)


class _Gunzip:
    """Unfolds one gzip member piece by piece and stops as soon as too much comes out: a bomb costs its limit."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._left = limit_bytes
        self._inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def feed(self, chunk: bytes) -> bytes:
        try:
            piece = self._inflate.decompress(chunk, self._left + 1)
        except zlib.error as error:
            raise self._malformed() from error
        self._left -= len(piece)
        if self._left < 0:
            raise _too_large(self._limit_bytes, "The unzipped body")
        return piece

    def finish(self) -> None:
        # A second member is refused as well: 200,000 empty ones fit into 4 MiB and cost a second of nothing else.
        if not self._inflate.eof or self._inflate.unused_data:
            raise self._malformed()

    @staticmethod
    def _malformed() -> Malformed:
        return Malformed("malformed_gzip", "The body is not one whole gzip member.")


# --- JSON ----------------------------------------------------------------------------------------------------------

_TEXT_RULE: Final = "Text may not hold NUL or lone surrogates."
_BAD_TEXT = re.compile("[\x00\ud800-\udfff]")
_MOST_DIGITS: Final = 309  # of the largest double, 1.8e308

# What may hide a NUL or a surrogate.
_SUSPICIOUS_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")

# What may hide a number that no double can hold: 200 digits, or three digits of exponent. With every digit written as 0
# the parts of it are found by plain search, six times faster than by the expression, which then decides: its separator
# keeps strings that look alike off the slow path (UUIDs are full of 4e123).
_DIGITS_AS_0 = bytes.maketrans(b"123456789E", b"000000000e")
_LARGE_NUMBER_PARTS: Final = (b"0e000", b"0e+000", b"0" * 200)
_LARGE_NUMBER = re.compile(rb"[:,\[\s]-?(?:\d{200}|\d+(?:\.\d+)?[eE]\+?\d{3})")


def parse(adapter: TypeAdapter[T], raw: bytes, prefix: str = "#") -> T:
    """`raw` as the adapter's type.

    Raises Malformed `malformed_json` or `number_out_of_range`, Invalid `invalid_text` or what problem_of() makes of a
    refusal. `prefix` is the pointer of `raw` within the body.
    """
    if _is_suspicious(raw):
        _check_strictly(raw, prefix)
    try:
        return adapter.validate_json(raw)
    except ValidationError as error:
        raise problem_of(error, prefix, raw) from None


def _is_suspicious(raw: bytes) -> bool:
    """Whether pydantic's parser might let something pass: it takes NUL, NaN and 1e400 in values of any type."""
    return (
        (b"\\u" in raw and _SUSPICIOUS_ESCAPE.search(raw) is not None)
        or b"NaN" in raw
        or b"Infinity" in raw
        or _may_hold_large_number(raw)
    )


def _may_hold_large_number(raw: bytes) -> bool:
    uniform = raw.translate(_DIGITS_AS_0)
    return any(part in uniform for part in _LARGE_NUMBER_PARTS) and _LARGE_NUMBER.search(raw) is not None


def _check_strictly(raw: bytes, prefix: str) -> None:
    try:
        value = json.loads(
            raw.decode(), parse_constant=_refuse_number, parse_float=_check_float, parse_int=_check_whole
        )
    except UnicodeDecodeError:
        raise Malformed("malformed_json", "The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise Malformed("malformed_json", f"The body is not JSON: {error.msg.lower()} at {where}.") from None
    except RecursionError:
        raise Malformed("malformed_json", "The body is nested too deeply.") from None
    _check_text(value, prefix)


def _refuse_number(_literal: str) -> NoReturn:
    raise Malformed("number_out_of_range", "A number is not finite, or larger than a double can hold.")


def _check_float(literal: str) -> float:
    number = float(literal)
    return number if abs(number) != float("inf") else _refuse_number(literal)


def _check_whole(literal: str) -> float:
    # Digits are counted first: Python refuses to read 4,301 of them, and takes its time for 4,300.
    return _check_float(literal) if len(literal.lstrip("-")) <= _MOST_DIGITS else _refuse_number(literal)


def _check_text(document: object, prefix: str) -> None:
    """Raises Invalid `invalid_text` for the first bad string of a JSON value, member names included."""
    waiting: list[tuple[tuple[str | int, ...], object]] = [((), document)]
    while waiting:
        steps, value = waiting.pop()
        if isinstance(value, str):
            if _BAD_TEXT.search(value):
                raise _bad_text(pointer(prefix, steps))
        elif isinstance(value, dict):
            if any(_BAD_TEXT.search(name) for name in value):
                raise _bad_text(pointer(prefix, steps))
            waiting.extend(((*steps, name), member) for name, member in value.items())
        elif isinstance(value, list):
            waiting.extend(((*steps, index), item) for index, item in enumerate(value))


def _bad_text(where: str) -> Invalid:
    return Invalid("invalid_text", _TEXT_RULE, errors=[Fault(where, "invalid_text", _TEXT_RULE)])


def check_url(scope: Scope) -> None:
    """The same rule for path and query: UTF-8 without NUL once percent-decoded. Raises Invalid `invalid_text`.

    The framework would put U+FFFD in the place of broken bytes, so that two different paths named one customer.
    """
    path, query = scope.get("raw_path") or b"", scope["query_string"]
    if b"%" not in path and b"%" not in query and path.isascii() and query.isascii():
        return
    for part, where in ((path, "#/path"), (query, "#/query")):
        try:
            text = unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            raise _bad_text(where) from None
        if "\x00" in text:
            raise _bad_text(where)


# --- what a route asks for -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """What a body of one media type looks like. `examples` are complete bodies by name, for the docs page and tests."""

    adapter: TypeAdapter[Any]
    examples: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RawBody:
    """A body that its route parses itself."""

    media_type: str
    data: bytes


@dataclass(frozen=True, eq=False)
class Reading:
    """How a route reads its body: the dependency that does it, and what the OpenAPI document says about it."""

    content: Mapping[str, Shape]
    limit_bytes: int
    gunzip_limit: int | None = None
    optional: bool = False

    async def read(self, request: Request) -> bytes:
        """The bytes; none at all stand for an empty object where the body is optional."""
        if self.optional and not _has_body(request):
            return b"{}"
        return await read_body(
            request, self.limit_bytes, media_types=tuple(self.content), gunzip_limit=self.gunzip_limit
        )


class _Parsed(Reading):
    async def __call__(self, request: Request) -> object:
        raw = await self.read(request)
        return parse(self.content[media_type(request) or JSON].adapter, raw)


class _Raw(Reading):
    async def __call__(self, request: Request) -> RawBody:
        plain = self._plainly(request.scope["headers"])
        if plain is None:
            return RawBody(media_type(request), await self.read(request))
        return RawBody(plain, await _whole(request, self.limit_bytes))

    def _plainly(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The media type when nothing need be unfolded or refused, found in one walk over the headers; else None."""
        found = None
        for name, value in headers:
            if name == b"content-type":
                found = value.decode("latin-1")
            elif name == b"content-encoding" or (name == b"content-length" and not self._fits(value)):
                return None
        return found if found in self.content else None

    def _fits(self, declared: bytes) -> bool:
        return declared.isdigit() and int(declared) <= self.limit_bytes


async def _whole(request: Request, limit_bytes: int) -> bytes:
    chunks, size, more = [], 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def body(
    model: type[Any],
    *,
    examples: Mapping[str, Any],
    limit_bytes: int = BODY_BYTES,
    media_types: tuple[str, ...] = (JSON,),
    optional: bool = False,
) -> params.Depends:
    """Ask for the JSON body as `model`, which is the annotated type (keys.py shows it).

    `optional`: no body at all is read as `{}`.
    """
    shape = Shape(TypeAdapter(model), examples)
    return params.Depends(_Parsed(dict.fromkeys(media_types, shape), limit_bytes, optional=optional))


def raw_body(
    content: Mapping[str, Shape], *, limit_bytes: int = BODY_BYTES, gunzip_limit: int | None = None
) -> params.Depends:
    """Ask for the bytes as a RawBody, for a route that parses them itself."""
    return params.Depends(_Raw(content, limit_bytes, gunzip_limit))
