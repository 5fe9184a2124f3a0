"""What a process remembers of contexts never shows: held to one that remembers nothing, whoever writes in between."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from app.api.context import _answered
from app.api.context_shapes import ContextOut
from app.domain.identifiers import parse_reference
from app.domain.problems import Problem
from app.main import create_app
from app.settings import Settings
from app.usecases.read_context import Contexts, SealedContext
from app.usecases.remembered_contexts import OWN_BYTES, RememberedContexts
from tests.api.conftest import ADMIN_KEY, Service
from tests.api.loyalty.conftest import CLUB, publish

HISTORIES = 20
STEPS = 8
URL = "/v1/customers/external_id:42/context"

T = TypeVar("T")
Told = tuple[str, bytes, str, bytes]


@pytest.fixture
async def other(service: Service, settings: Settings) -> Service:
    """Another process of the same service, on the same database."""
    app = create_app(settings)
    await service.stack.enter_async_context(app.router.lifespan_context(app))
    return Service(app, service.stack)


def told_of(sealed: SealedContext) -> Told:
    """Every byte that a caller may get."""
    said = [_answered(sealed, form=form, if_none_match=None) for form in ("json", "markdown")]
    return (
        said[0].headers["etag"],
        bytes(said[0].body),
        said[1].headers["etag"],
        bytes(said[1].body),
    )


def deadlines_of(sealed: SealedContext) -> list[datetime]:
    """When the answer changes by time alone, but for its figures."""
    context = sealed.context
    ends = [one.statement.expires_at for one in context.consents]
    ends += [None if context.override is None else context.override.until]
    ends += [one.due_at for one in context.follow_ups]
    ends += [one.opened_at + timedelta(days=30) for one in context.open_complaints]
    return [at for at in ends if at is not None]


async def read(
    service: Service,
    contexts: Contexts,
    customer: str,
    now: datetime,
    touchpoints: int,
    answer: Callable[[SealedContext], T],
) -> T | str:
    """What `answer` makes of it, or the code of the problem."""
    reference, state = parse_reference(customer), service.app.state
    try:
        return await contexts.read(
            reference,
            state.model.current,
            now,
            answer,
            touchpoints=touchpoints,
            currency=state.settings.shop_currency,
        )
    except Problem as problem:
        return problem.code


@pytest.fixture
async def forgetful(service: Service) -> AsyncIterator[Contexts]:
    """Reads that remember nothing."""
    state = service.app.state
    contexts = Contexts(state.database, state.identities, state.own_kinds, state.programs, queue_limit=100)
    contexts.remembered = RememberedContexts(most_bytes=0)
    contexts.start()
    yield contexts
    await contexts.drain()


# --- what happens ---------------------------------------------------------------------------------------------------


def ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def ahead(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def touched(me: str, kind: str, number: int, **members: Any) -> dict[str, Any]:
    # Some ids come again, perhaps for something else, and are refused.
    own = {
        "id": f"{me}-{number // 4}",
        "customer": f"external_id:{me}",
        "kind": kind,
        "occurred_at": ago(number),
    }
    return own | members


def call(what: str, me: str, you: str, number: int) -> tuple[str, str, dict[str, Any] | None]:
    """Method, path and body of what happens to this customer."""
    mine, touchpoints = f"/v1/customers/external_id:{me}", "/v1/touchpoints"
    money = {"amount_minor": 100 * number, "currency": "EUR", "order_id": f"{me}-o{number % 4}"}
    complained = {"complaint_id": f"k{number % 3}", "severity": "high"}
    consent = {"purpose": "surveys", "channel": "email", "legal_basis": "consent", "source": "form"}
    grant = consent | {"state": "granted", "expires_at": ahead(2 + number)}
    return {
        "purchase": ("POST", touchpoints, touched(me, "purchase", number, **money)),
        "refund": ("POST", touchpoints, touched(me, "refund", number, **money)),
        "opened": ("POST", touchpoints, touched(me, "complaint_opened", number, properties=complained)),
        "unsubscribed": ("POST", touchpoints, touched(me, "unsubscribed", number)),
        "own kind": ("POST", touchpoints, touched(me, "showroom_visit", number)),
        "label": ("PATCH", "/v1/touchpoint-kinds/showroom_visit", {"label": f"Saw us {number} times"}),
        "void": ("DELETE", f"{touchpoints}/{me}-{number // 4}?customer=external_id:{me}&reason=Test", None),
        "note": ("POST", f"{mine}/notes", {"text": f"note <{number}>"}),
        "answer": (
            "POST",
            "/v1/feedback",
            {"customer": f"external_id:{me}", "kind": "nps", "rating": number % 11},
        ),
        "complaint": (
            "POST",
            "/v1/complaints",
            {"customer": f"external_id:{me}", "subject": "Late", "text": "Again", "severity": "low"},
        ),
        "consent": ("PUT", f"{mine}/consent", {"consents": [grant]}),
        "no consent": ("PUT", f"{mine}/consent", {"consents": [consent | {"state": "withdrawn"}]}),
        "override": (
            "PUT",
            f"{mine}/health/override",
            {"score": number, "reason": "They said so.", "until": ahead(2 + number)},
        ),
        "sentiment": ("PUT", f"{mine}/health/sentiment", {"sentiment": "unhappy", "note": str(number)}),
        "rename": ("PATCH", mine, {"name": f"Ada {number}", "tags": ["vip"][: number % 2]}),
        "identifier": ("POST", f"{mine}/identifiers", {"type": "crm", "value": f"{me}-{number}"}),
        "points": (
            "POST",
            "/v1/loyalty/adjustments",
            {"id": f"{me}-{number}", "customer": f"external_id:{me}", "points": 9, "reason_code": "service"},
        ),
        "merge": ("POST", f"{mine}/merge", {"from": f"external_id:{you}", "reason": "Said so."}),
        "undo": ("POST", "/v1/merges/{merge}/undo", None),
        "erase": ("DELETE", f"{mine}?mode={('erase', 'anonymise')[number % 2]}", None),
    }[what]


HAPPENINGS = [
    *(
        "purchase",
        "refund",
        "opened",
        "unsubscribed",
        "own kind",
        "label",
        "void",
        "note",
        "answer",
        "complaint",
    ),
    *(
        "consent",
        "no consent",
        "override",
        "sentiment",
        "rename",
        "identifier",
        "points",
        "merge",
        "undo",
        "erase",
    ),
]
# Everything once, so that each was there: ids that differ, but for the one that is voided.
EACH = [(what, False, at % 2, 0 if what == "void" else 4 * at, 2) for at, what in enumerate(HAPPENINGS)]
STEP = st.tuples(
    st.sampled_from(HAPPENINGS), st.booleans(), st.integers(0, 1), st.integers(0, 20), st.integers(0, 3)
)


class Desk:
    """Two customers, two processes that write and remember, and reads that remember nothing."""

    def __init__(
        self, processes: list[Service], clients: list[httpx.AsyncClient], forgetful: Contexts
    ) -> None:
        self.processes, self.clients, self.forgetful = processes, clients, forgetful
        self.done: set[str] = set()

    async def live(self, steps: list[tuple[str, bool, int, int, int]]) -> None:
        names, merge = [uuid4().hex, uuid4().hex], ""
        for name in names:
            created = await self.clients[0].post("/v1/customers", json={"identifiers": {"external_id": name}})
            assert created.status_code == 201
        await self.compare(names, 2)
        for what, swapped, writer, number, touchpoints in steps:
            me, you = names[::-1] if swapped else names
            method, path, body = call(what, me, you, number)
            answer = await self.clients[writer].request(method, path.format(merge=merge), json=body)
            assert answer.status_code < 500, answer.text
            if answer.is_success:
                self.done.add(what)
                merge = answer.json().get("merge_id", merge) if what == "merge" else merge
            await self.compare(names, touchpoints)

    async def turning_seconds(self, name: str, now: datetime) -> list[datetime]:
        """First and last moment of each second in the midst of which something turns."""
        turning = await read(self.processes[0], self.forgetful, f"external_id:{name}", now, 0, deadlines_of)
        seconds = [] if isinstance(turning, str) else turning
        return [at.replace(microsecond=part) for at in seconds for part in (0, 999_999)]

    async def compare(self, names: list[str], touchpoints: int) -> None:
        soon = datetime.now(UTC) + timedelta(seconds=1)
        second = soon.replace(microsecond=0)
        for name in names:
            turning = await self.turning_seconds(name, second)
            for now in (second, soon, second, second + timedelta(days=40, milliseconds=1), soon, *turning):
                ask = partial(
                    read, customer=f"external_id:{name}", now=now, touchpoints=touchpoints, answer=told_of
                )
                expected = await ask(self.processes[0], self.forgetful)
                for process in self.processes:
                    # What one process defined reaches the other within a second, with or without our memory.
                    await process.app.state.own_kinds.refresh()
                    found = await ask(process, process.app.state.contexts)
                    assert found == expected
                if isinstance(expected, tuple):
                    ContextOut.model_validate_json(expected[1])


async def test_remembered_and_forgotten_contexts_are_the_same_to_the_byte(
    service: Service, other: Service, forgetful: Contexts, admin: httpx.AsyncClient
) -> None:
    kind = {"kind": "showroom_visit", "component": "engagement", "weight": 2.5, "label": "Showroom visit"}
    assert (await admin.post("/v1/touchpoint-kinds", json=kind)).status_code == 201
    desk = Desk([service, other], [admin, await other.client(ADMIN_KEY)], forgetful)
    loop = asyncio.get_running_loop()

    def play(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result()

    @rules(max_examples=HISTORIES, deadline=None, suppress_health_check=list(HealthCheck))
    @example(EACH)
    @given(st.lists(STEP, min_size=STEPS, max_size=STEPS))
    def histories(steps: list[tuple[str, bool, int, int, int]]) -> None:
        play(desk.live(steps))

    await asyncio.to_thread(histories)
    # Members have points, whose times pass too.
    assert (await admin.post("/v1/loyalty/programs", json=CLUB)).status_code == 201
    await publish(admin, pending_days=0)
    for process in desk.processes:
        await process.app.state.programs.refresh()
    await asyncio.to_thread(histories)

    assert desk.done == set(HAPPENINGS), set(HAPPENINGS) - desk.done
    for process in desk.processes:
        remembered = process.app.state.contexts.remembered
        assert remembered.hits > remembered.misses > 0
    assert (forgetful.remembered.hits, len(forgetful.remembered)) == (0, 0)


# --- bounds ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def ada(admin: httpx.AsyncClient) -> str:
    created = await admin.post("/v1/customers", json={"identifiers": {"external_id": "42"}, "name": "Ada"})
    return str(created.json()["id"])


async def test_nobody_stays_who_is_not_asked_for_again(
    service: Service, admin: httpx.AsyncClient, ada: str
) -> None:
    remembered: RememberedContexts = service.app.state.contexts.remembered
    await admin.get(URL)
    assert len(remembered) == 0  # most are asked for once
    await admin.get(URL)
    remembered.age()
    await admin.get(URL)
    remembered.age()
    assert (len(remembered), remembered.hits) == (1, 1)
    remembered.age()
    assert (len(remembered), ada) == (0, ada)


async def test_more_than_there_is_room_for_is_let_go(
    service: Service, admin: httpx.AsyncClient, ada: str
) -> None:
    remembered = service.app.state.contexts.remembered = RememberedContexts(most_bytes=8 * OWN_BYTES)
    for count in range(20):
        await admin.get(f"{URL}?touchpoints={count}")
        answer = await admin.get(f"{URL}?touchpoints={count}")
        assert answer.json()["customer"]["id"] == ada
        assert 0 < len(remembered) <= 6
    assert remembered.misses == 40


@pytest.mark.usefixtures("ada")
async def test_who_was_erased_is_forgotten_at_once_and_elsewhere_within_a_second(
    service: Service, other: Service, admin: httpx.AsyncClient
) -> None:
    elsewhere = await other.client(ADMIN_KEY)
    for client in (admin, elsewhere, admin, elsewhere):
        assert (await client.get(URL)).status_code == 200
    here, there = (one.app.state.contexts.remembered for one in (service, other))
    assert (len(here), len(there)) == (1, 1)
    assert (await admin.delete("/v1/customers/external_id:42")).status_code == 200
    assert len(here) == 0
    async with asyncio.timeout(30):
        while len(there):  # noqa: ASYNC110 - another process looks by itself, and tells nobody
            await asyncio.sleep(0.1)


@pytest.mark.usefixtures("ada")
async def test_an_operator_sees_how_often_rows_said_the_same(admin: httpx.AsyncClient) -> None:
    for _ in range(4):
        await admin.get(URL)
    shown = (await admin.get("/metrics")).text
    assert 'context_rows_read{row="same"} 2.0' in shown
    assert 'context_rows_read{row="new"} 2.0' in shown
