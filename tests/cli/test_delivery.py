"""Sending when the other side is busy, away, or says no. The wire is scripted; the client is ours."""

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from app.cli import delivery
from app.cli.delivery import Service, Tally
from app.cli.failure import Failure
from app.domain import keys

Answer = Callable[[httpx.Request], httpx.Response]
BODIES = [{"id": str(number), "customer": {"external_id": "1"}} for number in range(7)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "FIRST_PAUSE_SECONDS", 0.001)


def scripted(*answers: Answer, patience_seconds: float = 5) -> Service:
    """A service that gives these answers in turn, and the last one for ever."""
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        return (left.pop(0) if len(left) > 1 else left[0])(request)

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://rapport.test")
    return Service(client, patience_seconds)


def posted(request: httpx.Request) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(request.content).splitlines()]


def stored(request: httpx.Request) -> httpx.Response:
    return httpx.Response(
        200, json={"stored": len(posted(request)), "duplicates": 0, "rejected": 0, "results": []}
    )


def status(code: int, problem: str = "some_problem", **headers: str) -> Answer:
    body = {"code": problem, "detail": "Because."}
    return lambda _: httpx.Response(
        code, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def lost(_: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("connection reset")


def rejecting(code: str, http_status: int, *indices: int) -> Answer:
    problem = {"code": code, "detail": "Because.", "status": http_status}

    def answer(request: httpx.Request) -> httpx.Response:
        results = [{"index": index, "id": "x", "status": "rejected", "problem": problem} for index in indices]
        good = len(posted(request)) - len(indices)
        return httpx.Response(
            200, json={"stored": good, "duplicates": 0, "rejected": len(indices), "results": results}
        )

    return answer


async def send(service: Service, **limits: int) -> Tally:
    tally = Tally()
    await delivery.deliver(
        service,
        BODIES,
        tally,
        batch=limits.get("batch", 3),
        concurrency=limits.get("concurrency", 2),
        advance=lambda _: None,
    )
    return tally


async def test_every_body_is_sent_once_in_batches() -> None:
    seen: list[str] = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.extend(body["id"] for body in posted(request))
        assert len(posted(request)) <= 3
        return stored(request)

    assert (await send(scripted(note))).stored == 7
    assert sorted(seen) == [body["id"] for body in BODIES]


@pytest.mark.parametrize("trouble", [lost, status(503, Retry_After="0"), status(429), status(502)])
async def test_what_passes_is_waited_for(trouble: Answer) -> None:
    assert (await send(scripted(stored, trouble, trouble, stored))).stored == 7


async def test_only_the_bodies_that_met_overload_are_sent_again() -> None:
    tally = await send(scripted(rejecting("overloaded", 503, 1, 2), stored), batch=7)
    assert (tally.stored, tally.rejected) == (7, 0)


async def test_what_is_refused_for_good_is_counted_by_its_code_and_shown() -> None:
    tally = await send(scripted(rejecting("id_reused", 409, 0)), batch=7)
    assert (tally.stored, tally.rejected, tally.codes) == (6, 1, {"id_reused": 1})
    assert tally.samples == [(BODIES[0], "id_reused", "Because.")]


async def test_a_service_that_was_never_there_is_said_at_once() -> None:
    def refused(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(Failure, match=r"cannot reach http://rapport\.test.*is `rapport serve` running"):
        await send(scripted(refused))


@pytest.mark.parametrize("trouble", [lost, status(503), rejecting("overloaded", 503, 0)])
async def test_patience_ends_and_says_that_nothing_is_lost(trouble: Answer) -> None:
    with pytest.raises(Failure, match="run the same command again"):
        await send(scripted(stored, trouble, patience_seconds=0.05))


@pytest.mark.parametrize(
    "answer, says",
    [
        (status(401, "key_invalid"), r"refused the key \(401 key_invalid\): Because\."),
        (status(403, "scope_missing"), r"may not do this \(403 scope_missing\): Because\."),
        (lambda _: httpx.Response(404, text="nginx"), "no Rapport at"),
        (status(422, "unknown_member"), "answered 422 unknown_member"),
        (status(500, "internal_error"), "answered 500 internal_error"),
    ],
)
async def test_what_no_further_try_would_change_ends_the_command(answer: Answer, says: str) -> None:
    with pytest.raises(Failure, match=says):
        await send(scripted(answer))


async def test_no_more_is_read_ahead_than_is_under_way() -> None:
    taken = 0

    def bodies() -> Iterator[dict[str, Any]]:
        nonlocal taken
        for body in BODIES * 10:
            taken += 1
            yield body

    settled = 0

    def advance(size: int) -> None:
        nonlocal settled
        settled += size
        assert taken - settled <= 2 * 3

    await delivery.deliver(scripted(stored), bodies(), Tally(), batch=3, concurrency=2, advance=advance)
    assert settled == 70


@pytest.mark.parametrize(
    "header, seconds",
    [
        (None, 0),
        ("7", 7),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0),
        ("soon", 0),
        ("-3", 0),
    ],
)
def test_retry_after_is_read_in_both_its_forms(header: str | None, seconds: float) -> None:
    assert delivery.retry_after_seconds(header, datetime(2026, 11, 22, 12, tzinfo=UTC)) == seconds


def test_a_pause_is_no_shorter_than_the_service_asked_for() -> None:
    pause = delivery.Patience(60).next_pause(at_least=3)
    assert pause is not None
    assert pause >= 3


def test_patience_counts_the_pause_that_was_asked_for() -> None:
    assert delivery.Patience(60).next_pause(at_least=61) is None


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "http://", "ftp://host", "http://[::", ""])
async def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Failure, match="not a URL like"):
        async with delivery.service(url, keys.new_key(publishable=False)):
            pass


async def test_a_mistyped_key_is_refused_without_asking_anybody() -> None:
    with pytest.raises(Failure, match="malformed"):
        async with delivery.service("http://127.0.0.1:9", "rap_sk_typo"):
            pass
