import contextlib
import gzip
import json
import math
import struct
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import Request
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from app.api.bodies import JSON, NDJSON, parse, read_body
from app.domain.problems import Invalid, Malformed, TooLarge, Unsupported
from tests.api.test_problems import problem

ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)
LIMIT = 1000

# --- JSON ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw, code",
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b'{"a": 1,}', "malformed_json"),
        (b"\xef\xbb\xbf{}", "malformed_json"),
        (b'{"a": "\xff"}', "malformed_json"),
        (b'{"a": "\xed\xa0\x80"}', "malformed_json"),
        (b'{"a": "\x00"}', "malformed_json"),
        ('{"a": 1}'.encode("utf-16"), "malformed_json"),
        (b"[" * 10_000, "malformed_json"),
        (b"[" * 10_000 + b"]" * 10_000, "malformed_json"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "malformed_json"),
        (b'{"a":' * 10_000 + b'"\\u0000"' + b"}" * 10_000, "malformed_json"),
        (b'{"a": NaN}', "number_out_of_range"),
        (b'{"a": [Infinity]}', "number_out_of_range"),
        (b'{"a": -Infinity}', "number_out_of_range"),
        (b'{"a": 1e400}', "number_out_of_range"),
        (b'{"a": -1E+400}', "number_out_of_range"),
        (b'{"a":1.5e00309}', "number_out_of_range"),
        (b"[" + b"9" * 400 + b"]", "number_out_of_range"),
        (b"[-" + b"9" * 309 + b"]", "number_out_of_range"),
        (b"[" + b"9" * 5000 + b"]", "number_out_of_range"),
        (b"[1" + b"0" * 250 + b"e99]", "number_out_of_range"),
    ],
)
def test_what_is_not_json_is_malformed(raw: bytes, code: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse(ANYTHING, raw)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "raw, pointer",
    [
        (rb'{"a": "\u0000"}', "#/a"),
        (rb'{"a": ["x", {"b": "before\u0000after"}]}', "#/a/1/b"),
        (rb'{"a": {"\u0000": 1}}', "#/a"),
        (rb'{"a": "\ud800"}', "#/a"),
        (rb'{"a": "\uDFFF"}', "#/a"),
        (rb'{"a": "\ud800\ud800\udc00"}', "#/a"),
        (rb'{"a": "\udc00\ud800"}', "#/a"),
        (rb'{"a": "\\\u0000"}', "#/a"),
        (rb'{"\ud800": 1}', "#"),
        (rb'{"ada@example.com": "\ud800"}', "#"),
        (rb'"\ud800"', "#"),
    ],
)
def test_text_that_a_database_cannot_hold_is_invalid_wherever_it_stands(raw: bytes, pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(ANYTHING, raw)
    assert refused.value.code == "invalid_text"
    assert refused.value.errors[0].pointer == pointer


@pytest.mark.parametrize(
    "raw, value",
    [
        (rb'"\\u0000"', "\\u0000"),
        (rb'"\\ud800"', "\\ud800"),
        (rb'"\ud83d\ude00"', "😀"),
        (rb'"NaN and Infinity, 1e400"', "NaN and Infinity, 1e400"),
        (b'["4e123, 9e999", "' + b"9" * 300 + b'"]', ["4e123, 9e999", "9" * 300]),
        (b"[1e308, -1e308, 1e-400, 1e007]", [1e308, -1e308, 0.0, 1e7]),
        (b"[" + str(int(1.7e308)).encode() + b"]", [int(1.7e308)]),
        (b"9223372036854775808", 2**63),
        ('"ä\u202e😀"'.encode(), "ä\u202e😀"),
    ],
)
def test_what_only_looks_dangerous_is_kept_as_sent(raw: bytes, value: object) -> None:
    assert parse(ANYTHING, raw) == value


TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


def strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in strings(part)]
    return [text for item in value for text in strings(item)] if isinstance(value, list) else []


def numbers(value: object) -> list[float]:
    if isinstance(value, float):
        return [value]
    if isinstance(value, dict):
        return [number for member in value.values() for number in numbers(member)]
    return [number for item in value for number in numbers(item)] if isinstance(value, list) else []


@given(VALUES)
@example("\ud83d" + "\ude00")
@example({"\\": "\\\\u0000", "\x00": 1})
def test_parsing_agrees_with_the_rule_said_plainly(value: Any) -> None:
    raw = json.dumps(value).encode()
    # What json makes of it, because two escaped halves beside each other are one whole character.
    read = json.loads(raw)
    good_text = not any(
        "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text) for text in strings(read)
    )
    finite = all(math.isfinite(number) for number in numbers(read))
    if good_text and finite:
        assert parse(ANYTHING, raw) == read
        return
    with pytest.raises((Invalid, Malformed)) as refused:
        parse(ANYTHING, raw)
    assert refused.value.code in ({"invalid_text"} if finite else {"invalid_text", "number_out_of_range"})


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(Invalid, Malformed):
        parse(ANYTHING, raw)


# --- bytes ---------------------------------------------------------------------------------------------------------


async def read(
    *chunks: bytes,
    encoding: str = "",
    media_type: str = JSON,
    length: int | None = None,
    gunzip: int | None = None,
) -> bytes:
    """read_body() of a request that arrives in these chunks."""
    headers = [(b"content-type", media_type.encode()), (b"content-encoding", encoding.encode())]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    arriving = iter([*messages, {"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        return next(arriving)

    request = Request({"type": "http", "headers": headers}, receive)
    return await read_body(request, LIMIT, media_types=(JSON, NDJSON), gunzip_limit=gunzip)


async def test_a_body_is_read_up_to_its_limit() -> None:
    assert await read(b"a" * 600, b"b" * 400) == b"a" * 600 + b"b" * 400
    with pytest.raises(TooLarge) as refused:
        await read(b"a" * 600, b"b" * 401)
    assert (refused.value.code, refused.value.members) == ("body_too_large", {"limit_bytes": LIMIT})


async def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    with pytest.raises(TooLarge):
        await read(b"little", length=LIMIT + 1)


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_a_gzipped_body_unfolds_however_it_is_cut(size: int) -> None:
    plain = bytes(range(256)) * 40
    packed = gzip.compress(plain, mtime=0)
    pieces = [packed[start : start + size] for start in range(0, len(packed), size)]
    assert await read(*pieces, encoding="gzip", gunzip=len(plain)) == plain


async def test_a_gzip_bomb_stops_at_its_limit() -> None:
    bomb = gzip.compress(b"\0" * 500_000, mtime=0)
    assert len(bomb) < LIMIT
    with pytest.raises(TooLarge) as refused:
        await read(bomb, encoding="gzip", gunzip=10_000)
    assert refused.value.members == {"limit_bytes": 10_000}


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"nonsense",
        gzip.compress(b"{}", mtime=0)[:-1],
        gzip.compress(b"{}", mtime=0) + b"rest",
        gzip.compress(b"{}", mtime=0) * 2,
        gzip.compress(b"{}", mtime=0)[:-8] + struct.pack("<LL", zlib.crc32(b"[]"), 2),
        zlib.compress(b"{}"),
    ],
)
async def test_what_is_not_one_whole_gzip_member_is_malformed(packed: bytes) -> None:
    with pytest.raises(Malformed) as refused:
        await read(packed, encoding="gzip", gunzip=LIMIT)
    assert refused.value.code == "malformed_gzip"


@pytest.mark.parametrize(
    "encoding, gunzip", [("br", LIMIT), ("gzip, gzip", LIMIT), ("deflate", LIMIT), ("gzip", None)]
)
async def test_an_encoding_that_is_not_read_here_is_named(encoding: str, gunzip: int | None) -> None:
    with pytest.raises(Unsupported) as refused:
        await read(b"{}", encoding=encoding, gunzip=gunzip)
    assert refused.value.code == "unsupported_encoding"


@pytest.mark.parametrize(
    "media_type", ["", "text/plain", "application/xml", "application/x-www-form-urlencoded"]
)
async def test_another_media_type_is_not_read(media_type: str) -> None:
    with pytest.raises(Unsupported) as refused:
        await read(b"{}", media_type=media_type)
    assert refused.value.code == "unsupported_media_type"


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", "Application/JSON", "application/x-ndjson"]
)
async def test_the_media_type_is_read_without_case_and_parameters(media_type: str) -> None:
    assert await read(b"{}", media_type=media_type, encoding="identity") == b"{}"


# --- through the service -------------------------------------------------------------------------------------------


async def keys_stored(admin: httpx.AsyncClient) -> int:
    return len((await admin.get("/v1/keys")).json()["data"])


@pytest.mark.parametrize(
    "raw, status, code",
    [
        (b"{", 400, "malformed_json"),
        (b'{"preset": NaN}', 400, "number_out_of_range"),
        (b"[" * 10_000, 400, "malformed_json"),
        (rb'{"preset": "admin", "source": "\u0000"}', 422, "invalid_text"),
        (b'{"preset": "admin", "source": "' + b"x" * 1_000_000 + b'"}', 413, "body_too_large"),
        (b'{"preset": "admin", "source": "' + b"x" * 1_000 + b'"}', 422, "validation_failed"),
        (b'{"preset": "admin", "source": "x", "surprise": 1}', 422, "validation_failed"),
    ],
)
async def test_a_bad_body_stores_nothing_and_the_next_one_works(
    admin: httpx.AsyncClient, raw: bytes, status: int, code: str
) -> None:
    answer = await admin.post("/v1/keys", content=raw, headers={"Content-Type": JSON})
    problem(answer, status, code)
    assert await keys_stored(admin) == 0
    assert (await admin.post("/v1/keys", json={"preset": "admin", "source": "x"})).status_code == 201
    assert await keys_stored(admin) == 1


async def test_a_body_in_chunks_is_bounded_too(admin: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 4096

    problem(
        await admin.post("/v1/keys", content=endless(), headers={"Content-Type": JSON}), 413, "body_too_large"
    )


async def test_a_body_without_a_content_type_is_not_read(admin: httpx.AsyncClient) -> None:
    problem(await admin.post("/v1/keys", content=b"{}"), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "path",
    ["/v1/keys/%00", "/v1/keys/%ED%A0%80", "/v1/keys/%ff", "/v1/keys?cursor=%00", "/v1/keys?limit=%ff"],
)
async def test_paths_and_queries_follow_the_rule_for_text(admin: httpx.AsyncClient, path: str) -> None:
    problem(await admin.get(path), 422, "invalid_text")


async def test_percent_encoded_text_is_fine(admin: httpx.AsyncClient) -> None:
    problem(await admin.get("/v1/%C3%A4%20"), 404, "not_found")
