"""Answers that leave whole, past the server's own way of sending: the same bytes as any other, and in order."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator

import pytest
import uvicorn
from fastapi import APIRouter, Request, Response
from uvicorn.server import ServerState

from app.api.addresses import Proxies
from app.api.lean import LeanResponse, LeanRoute, stops
from app.api.metrics import Metrics
from app.api.middleware import FramedApp
from app.api.openapi import DocumentedApp
from app.api.templates import templates
from app.cli.protocol import BoundedConfig, BoundedProtocol, Bounds

REQUEST_SECONDS = 0.3
IDLE_SECONDS = 2
LEFT = asyncio.Event()
lean = APIRouter(route_class=LeanRoute)
plain = APIRouter()


@lean.get("/lean/{name}", response_model=None)
async def get_lean(name: str) -> Response:
    return LeanResponse(f'"{name}"'.encode(), 201, headers=((b"etag", b'"1"'),))


@lean.get("/two-lines", response_model=None)
async def get_two_lines() -> Response:
    return LeanResponse(b"{}", headers=((b"etag", b'"1"\r\nset-cookie: a=b'),))


@lean.get("/slow", response_model=None)
async def get_slow() -> Response:
    LEFT.clear()
    await asyncio.wait_for(LEFT.wait(), 20)
    return LeanResponse(b"{}")


@plain.get("/plain/{name}", response_model=None)
async def get_plain(name: str) -> Response:
    return Response(f'"{name}"', 201, {"etag": '"1"'}, media_type="application/json")


@plain.post("/plain/size", response_model=None)
async def post_size(request: Request) -> Response:
    return Response(str(len(await request.body())))


def configuration() -> BoundedConfig:
    pattern = DocumentedApp(openapi_url=None)
    pattern.include_router(lean)
    pattern.include_router(plain)
    app = FramedApp(Metrics(), Proxies(()), pattern, hsts_seconds=60, is_tls=True, openapi_url=None)
    app.state.templates, app.state.express = templates(pattern), stops(pattern)
    bounds = Bounds(max_connections=10, request_timeout_seconds=REQUEST_SECONDS)
    return BoundedConfig(
        app, bounds, log_config=None, lifespan="off", server_header=False, timeout_keep_alive=IDLE_SECONDS
    )


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = uvicorn.Server(configuration())
    listening = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve([listening]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield listening.getsockname()[1]
    server.should_exit = True
    await serving
    listening.close()


async def answers(port: int, *pieces: bytes) -> bytes:
    """All that comes back until the server closes, while the pieces are sent one by one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.1)
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()


def get(path: str, *, last: bool = True) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n{'Connection: close' if last else 'X-A: 1'}\r\n\r\n".encode()


def lines(answer: bytes) -> tuple[bytes, list[bytes]]:
    """The status line, and the headers that do not tell of the moment."""
    status, *headers = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return status, sorted(header for header in headers if not header.startswith((b"traceparent:", b"date:")))


async def test_a_whole_answer_has_the_head_and_the_body_of_any_other(port: int) -> None:
    whole, other = await answers(port, get("/lean/a")), await answers(port, get("/plain/a"))
    assert lines(whole) == lines(other)
    assert whole.partition(b"\r\n\r\n")[2] == other.partition(b"\r\n\r\n")[2] == b'"a"'
    assert whole.count(b"\r\ntraceparent: 00-") == whole.count(b"\r\ndate: ") == 1


@pytest.mark.parametrize("together", [True, False])
async def test_answers_come_in_the_order_of_their_requests(port: int, together: bool) -> None:
    asked = [
        get("/lean/a", last=False),
        get("/plain/b", last=False),
        get("/lean/c", last=False),
        get("/lean/d"),
    ]
    told = await answers(port, *([b"".join(asked)] if together else asked))
    assert [told.count(b"HTTP/1.1 201 "), told.count(b"connection: close")] == [4, 1]
    places = [told.index(b'"%s"' % name) for name in (b"a", b"b", b"c", b"d")]
    assert places == sorted(places)


async def test_a_header_of_two_lines_is_never_sent(port: int) -> None:
    told = await answers(port, get("/two-lines"))
    assert told.startswith(b"HTTP/1.1 500 ")
    assert b"set-cookie" not in told.lower()


@pytest.mark.parametrize("before", [(), (get("/lean/a", last=False),), (get("/plain/a", last=False),)])
async def test_a_request_that_does_not_come_whole_is_not_waited_for(
    port: int, before: tuple[bytes, ...]
) -> None:
    told = await answers(port, *before, get("/lean/b")[:-10])
    assert told.count(b"HTTP/1.1 201 ") == len(before)
    assert told.count(b"HTTP/1.1 408 ") == 1


async def test_a_connection_is_closed_once_it_was_idle_for_long_enough_and_not_before(port: int) -> None:
    begun = last = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            for path in ("/lean/a", "/plain/b", "/lean/c", "/lean/d"):
                writer.write(get(path, last=False))
                await reader.readuntil(f'"{path[-1]}"'.encode())
                last = time.monotonic()
                await asyncio.sleep(IDLE_SECONDS * 0.4)
            assert await reader.read() == b""
    finally:
        writer.close()
    assert last - begun > IDLE_SECONDS
    assert time.monotonic() - last > IDLE_SECONDS * 0.9


@pytest.mark.parametrize("size", [100, 65_536, 200_000])
async def test_a_large_body_that_arrives_with_its_head_is_no_large_head(size: int) -> None:
    here, there = socket.socketpair()
    for end in (here, there):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
        end.settimeout(0)
    head = f"POST /plain/size HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()
    # All of it lies there before the server looks.
    assert there.send(head + bytes(size)) == len(head) + size
    config = configuration()
    config.load()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(lambda: BoundedProtocol(config, ServerState(), {}), sock=here)
    try:
        async with asyncio.timeout(5):
            assert (await loop.sock_recv(there, 4096)).endswith(f"\r\n\r\n{size}".encode())
    finally:
        transport.close()
        there.close()


async def test_an_answer_to_who_has_left_harms_nobody(port: int, caplog: pytest.LogCaptureFixture) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(get("/slow", last=False))
    await asyncio.sleep(0.2)
    writer.close()
    await asyncio.sleep(0.2)
    LEFT.set()
    assert (await answers(port, get("/lean/a"))).endswith(b'"a"')
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
