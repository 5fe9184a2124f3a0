"""What the protocol sends leaves in as few pieces as possible, and leaves."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from app.cli.protocol import _Joined


async def received(told: Callable[[_Joined], None]) -> bytes:
    """All that comes out of a connection while `told` and one turn of the loop after it have their way."""
    here, there = socket.socketpair()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=here)
    there.settimeout(0)
    told(_Joined(transport, loop))
    try:
        async with asyncio.timeout(5):
            return await loop.sock_recv(there, 100)
    finally:
        transport.close()
        there.close()


def head_and_body(joined: _Joined) -> None:
    joined.write(b"head ")
    joined.write(b"body")


def head_alone(joined: _Joined) -> None:
    joined.write(b"head ")


def empty_body(joined: _Joined) -> None:
    joined.write(b"head ")
    joined.write(b"")


def closed_at_once(joined: _Joined) -> None:
    joined.write(b"head ")
    joined.close()


@pytest.mark.parametrize(
    "told, expected",
    [
        (head_and_body, b"head body"),
        (head_alone, b"head "),
        (empty_body, b"head "),
        (closed_at_once, b"head "),
    ],
)
async def test_what_is_written_arrives_as_one(told: Callable[[_Joined], None], expected: bytes) -> None:
    assert await received(told) == expected
