import asyncio
import gc
import json
import re
from typing import Annotated, Any, Literal

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from starlette.responses import StreamingResponse

from app.api import problems
from app.api.bodies import parse
from app.api.problems import problem_of
from app.domain import problems as domain
from app.domain.problems import Fault, Invalid, Problem
from tests.api.conftest import ADMIN_KEY, Service

MEMBERS = ["type", "title", "status", "detail", "instance", "code", "message", "errors", "trace_id"]
PERSON = "ada.lovelace@example.com"


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body of a problem, once its form is checked."""
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert set(MEMBERS) <= set(body)
    assert body["message"] == body["detail"]
    assert body["type"] == f"urn:rapport:problem:{code}"
    assert body["instance"] == f"urn:trace:{body['trace_id']}"
    assert answer.headers["traceparent"].split("-")[1] == body["trace_id"]
    return body


# --- on the wire ---------------------------------------------------------------------------------------------------


async def test_an_unknown_path_is_a_problem(stranger: httpx.AsyncClient) -> None:
    problem(await stranger.get(f"/v1/nothing/{PERSON}"), 404, "not_found")


async def test_an_unknown_method_is_told_which_ones_there_are(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.put("/v1/keys")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, POST"


async def test_a_wrong_parameter_is_pointed_at(admin: httpx.AsyncClient) -> None:
    body = problem(await admin.get("/v1/keys", params={"limit": "201"}), 422, "validation_failed")
    assert body["errors"] == [
        {"pointer": "#/query/limit", "code": "out_of_range", "detail": "Must be at most 200."}
    ]


async def test_an_unexpected_error_is_a_bare_500_whose_trace_is_in_the_log(
    service: Service, stranger: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    @service.app.get("/boom")
    async def boom() -> None:
        raise LookupError(PERSON)

    body = problem(await stranger.get("/boom"), 500, "internal_error")
    log = capsys.readouterr().err
    assert PERSON not in json.dumps(body) + log
    line = json.loads(next(line for line in log.splitlines() if "exception" in line))
    assert line["trace_id"] == body["trace_id"]
    assert "in boom" in line["exception"]
    assert line["exception"].endswith("builtins.LookupError")
    problem(await stranger.get("/v1/keys"), 401, "key_missing")


@pytest.mark.parametrize("error", [ConnectionRefusedError("10.0.0.7"), TimeoutError(), OSError("no route")])
async def test_a_lost_database_is_a_503_wherever_it_is_noticed(
    service: Service, stranger: httpx.AsyncClient, error: Exception
) -> None:
    @service.app.get("/away")
    async def away() -> None:
        raise error

    answer = await stranger.get("/away")
    code = "database_timeout" if isinstance(error, TimeoutError) else "database_unavailable"
    assert "10.0.0.7" not in json.dumps(problem(answer, 503, code))
    assert answer.headers["retry-after"] == "1"


async def test_an_answer_that_breaks_off_closes_the_connection(
    service: Service, stranger: httpx.AsyncClient
) -> None:
    async def half() -> Any:
        yield b"half"
        raise LookupError

    @service.app.get("/half")
    async def broken() -> StreamingResponse:
        return StreamingResponse(half())

    with pytest.raises(ConnectionAbortedError):
        await stranger.get("/half")


# --- traces, logs, headers -----------------------------------------------------------------------------------------


async def test_the_callers_trace_goes_on(stranger: httpx.AsyncClient) -> None:
    theirs = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = await stranger.get("/healthz", headers={"traceparent": theirs})
    version, trace, span, flags = answer.headers["traceparent"].split("-")
    assert (version, trace, flags) == ("00", "4bf92f3577b34da6a3ce929d0e0e4736", "01")
    assert span != "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "broken",
    [
        "nonsense",
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
    ],
)
async def test_a_broken_trace_is_replaced(stranger: httpx.AsyncClient, broken: str) -> None:
    answer = await stranger.get("/healthz", headers={"traceparent": broken})
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", answer.headers["traceparent"])
    assert answer.headers["traceparent"][3:35] not in broken.lower()


async def test_a_request_is_one_line_that_names_no_person(
    admin: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    await admin.delete(f"/v1/keys/{PERSON}", params={"who": PERSON})
    await asyncio.sleep(0)  # the line is written when the loop comes round
    log = capsys.readouterr().err
    (line,) = [json.loads(line) for line in log.splitlines()]
    assert PERSON not in log
    assert "rap_sk_" not in log
    assert line | {"duration_ms": 0, "time": "", "trace_id": ""} == {
        "event": "request",
        "method": "DELETE",
        "route": "/v1/keys/{key_id}",
        "status": 422,
        "duration_ms": 0,
        "key_id": "admin",
        "trace_id": "",
        "level": "info",
        "time": "",
    }


@pytest.mark.usefixtures("service")
async def test_a_lost_task_is_told_without_what_it_was_about(capsys: pytest.CaptureFixture[str]) -> None:
    async def lost() -> None:
        raise LookupError(PERSON)

    task = asyncio.create_task(lost())
    await asyncio.sleep(0)
    del task
    gc.collect()
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert PERSON not in str(line)
    assert (line["logger"], line["event"]) == ("asyncio", "Task exception was never retrieved")
    assert line["exception"].endswith("builtins.LookupError")


async def test_a_client_that_leaves_is_neither_answered_nor_an_error(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(_message: object) -> None:
        pytest.fail("nobody is there")

    headers = [(b"x-api-key", ADMIN_KEY.encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/keys", "query_string": b"", "headers": headers}
    await service.app(scope, receive, send)
    await asyncio.sleep(0)
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (line["event"], line["status"]) == ("request", 499)


async def test_answers_are_neither_sniffed_nor_kept(stranger: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/v1/keys", "/nothing"):
        headers = (await stranger.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["x-frame-options"] == "DENY"


# --- writing one down ----------------------------------------------------------------------------------------------


def kinds(root: type[Problem] = Problem) -> list[type[Problem]]:
    return [kind for child in root.__subclasses__() for kind in (child, *kinds(child))]


def test_every_kind_of_problem_has_a_status() -> None:
    assert {kind for kind in kinds() if kind.__module__ == domain.__name__} == set(problems.STATUS)


@given(st.integers(0, 200), st.text(max_size=400))
def test_a_problem_is_never_larger_than_4_kb(count: int, detail: str) -> None:
    faults = [Fault(f"#/items/{index}", "wrong_type", detail) for index in range(count)]
    answer = problems.respond(Invalid("validation_failed", "Not valid.", errors=faults))
    assert len(answer.body) <= problems.MOST_BYTES
    body = json.loads(bytes(answer.body))
    assert len(body["errors"]) == count or body["errors_total"] == count


def test_members_of_a_problem_stand_beside_the_fixed_ones_and_never_replace_them() -> None:
    conflict = domain.Conflict("identity_conflict", "Two customers.", customers=["a", "b"], trace_id="mine")
    body = json.loads(bytes(problems.respond(conflict).body))
    assert body["customers"] == ["a", "b"]
    assert body["trace_id"] == "0" * 32


# --- from pydantic -------------------------------------------------------------------------------------------------


def unknown_currency(_value: str) -> str:
    raise PydanticCustomError("unknown_currency", "Not a currency in use.")


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: int


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    text: str = Field("", max_length=5, pattern="^[a-z]*$")
    number: int = Field(0, ge=0, lt=10)
    kind: Literal["a", "b"] = "a"
    at: AwareDatetime | None = None
    items: list[Inner] = Field(default=[], max_length=2)
    either: str | Inner | list[int] = ""
    properties: dict[str, float] = {}


BODY = TypeAdapter(Body)


@pytest.mark.parametrize(
    "raw, pointer, code",
    [
        ('{"text": 5}', "#/text", "wrong_type"),
        ('{"text": "toolong"}', "#/text", "too_long"),
        ('{"text": "A"}', "#/text", "bad_format"),
        ('{"number": -1}', "#/number", "out_of_range"),
        ('{"number": 9223372036854775808}', "#/number", "out_of_range"),
        ('{"number": 1.5}', "#/number", "wrong_type"),
        ('{"number": "1"}', "#/number", "wrong_type"),
        ('{"kind": "c"}', "#/kind", "not_one_of"),
        ('{"at": "yesterday"}', "#/at", "bad_format"),
        ('{"at": 5}', "#/at", "wrong_type"),
        ('{"items": {}}', "#/items", "wrong_type"),
        ('{"items": [{"id": 1}, {}]}', "#/items/1/id", "required"),
        ('{"items": [{"id": 1, "x": 2}]}', "#/items/0/x", "unknown_member"),
        ('{"unknown": 1}', "#/unknown", "unknown_member"),
        ('{"ada@example.com": 1}', "#", "unknown_member"),
        ('{"either": 5}', "#/either", "wrong_type"),
        ('{"either": {"id": "x"}}', "#/either", "wrong_type"),
        ('{"either": [1, "x"]}', "#/either", "wrong_type"),
        ('{"properties": {"a": "x"}}', "#/properties/a", "wrong_type"),
        ("[]", "#", "wrong_type"),
        ('"text"', "#", "wrong_type"),
    ],
)
def test_a_refused_member_is_pointed_at_with_a_stable_code(raw: str, pointer: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(BODY, raw.encode())
    assert refused.value.code == "validation_failed"
    first = refused.value.errors[0]
    assert (first.pointer, first.code) == (pointer, code)


def test_pointers_inside_a_union_are_those_of_the_body() -> None:
    with pytest.raises(Invalid) as refused:
        parse(BODY, b'{"either": {"id": "x"}}')
    assert {fault.pointer for fault in refused.value.errors} == {"#/either", "#/either/id"}


def test_a_naive_time_is_named_by_its_own_code() -> None:
    with pytest.raises(Invalid) as refused:
        parse(BODY, b'{"at": "2026-11-22T12:00:00"}', "#/touchpoints/3")
    assert refused.value.code == "naive_time"
    assert refused.value.errors[0].pointer == "#/touchpoints/3/at"


def test_a_code_of_our_own_is_the_code_of_the_whole() -> None:
    currency = TypeAdapter(Annotated[str, AfterValidator(unknown_currency)])
    with pytest.raises(Invalid) as refused:
        parse(currency, b'"XTS"')
    assert refused.value.code == "unknown_currency"
    assert refused.value.errors == (Fault("#", "unknown_currency", "Not a currency in use."),)


def test_what_a_validator_says_about_its_input_is_not_repeated() -> None:
    number = TypeAdapter(Annotated[str, AfterValidator(int)])
    with pytest.raises(Invalid) as refused:
        parse(number, json.dumps(PERSON).encode())
    assert PERSON not in str(refused.value) + str(refused.value.errors)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_is_sent_is_accepted_or_refused_with_pointers_that_exist(value: Any) -> None:
    raw = json.dumps(value, ensure_ascii=False).encode(errors="replace")
    try:
        parse(BODY, raw)
    except Invalid as refused:
        for fault in refused.errors:
            assert fault.pointer.startswith("#")
    except domain.Malformed:
        pass


def test_without_the_body_pointers_are_as_good_as_pydantic_knows() -> None:
    with pytest.raises(ValidationError) as refused:
        BODY.validate_python({"items": [{"id": "x"}]})
    assert problem_of(refused.value, "#/touchpoints/0").errors[0].pointer == "#/touchpoints/0/items/0/id"


def test_the_table_of_codes_names_types_that_pydantic_has() -> None:
    assert set(problems._KNOWN) <= problems._PYDANTIC_TYPES
