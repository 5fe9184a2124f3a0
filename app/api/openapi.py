"""The OpenAPI document: FastAPI's own, completed with what our routes declare in ways of their own.

Bodies (`bodies.Reading`), scopes (`deps.requires`) and the problems that follow from them are read off the routes'
dependencies, so a route documents by hand only what it alone can answer: `responses=problems(NotFound(...))`.
"""

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from pydantic import TypeAdapter

from app.api import deps
from app.api.bodies import BODY_BYTES, JSON, Reading
from app.api.problem_document import MEDIA_TYPE, document
from app.api.problems import INTERNAL_ERROR, status_of
from app.domain.keys import SCOPES
from app.domain.problems import (
    Conflict,
    Fault,
    Forbidden,
    Invalid,
    Limited,
    Malformed,
    NotFound,
    Problem,
    Stale,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unsupported,
)

TITLE: Final = "Rapport"
SUMMARY: Final = "How healthy is the relationship with each customer of a shop, and why."
DESCRIPTION: Final = """
Storefronts post what happens to **touchpoints**; every answer already holds the customer's new health. Support tools
read everything about one customer from its **context**. Press **Authorize** and paste a key to try it here.

Whatever goes wrong is answered as a problem (RFC 9457) with a stable `code`; its `trace_id` finds the request in the
logs. Retry what answers 503, after `Retry-After`: touchpoints are stored once, however often they are sent.
""".strip()

TAGS: Final = [
    {
        "name": "touchpoints",
        "description": "What happens between a customer and the shop: the log that is written.",
    },
    {"name": "customers", "description": "Who the customers are, and everything known about one of them."},
    {"name": "health", "description": "How healthy a relationship is, and the reasons."},
    {
        "name": "feedback",
        "description": "What customers answered, the figures with their doubt, and who calls whom back.",
    },
    {
        "name": "complaints",
        "description": "What went wrong and what is done about it: states, promises in business time, remedies.",
    },
    {
        "name": "models",
        "description": "The numbers behind the score: versions, what they would change, which one is active.",
    },
    {
        "name": "surveys",
        "description": "What customers are asked, who was invited, and who was left in peace.",
    },
    {
        "name": "orders",
        "description": "Whole orders: send the full state whenever it changes; what happened is worked out here.",
    },
    {
        "name": "loyalty",
        "description": "Points: a ledger that proves itself, the programmes behind it, and why each point is there.",
    },
    {"name": "keys", "description": "Who may call this API, and for what."},
    {"name": "service", "description": "Is it alive, is it ready, what does it count."},
]

_SCHEMA_REF: Final = "#/components/schemas/"
_EXAMPLE_TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"

SECURITY_SCHEMES: Final[Mapping[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer rap_sk_...`"},
    "header": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "`X-API-Key: rap_sk_...`",
    },
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "The key as user name; the password is not looked at.",
    },
}

PROBLEM_SCHEMA: Final[Mapping[str, Any]] = {
    "title": "Problem",
    "type": "object",
    "description": "What went wrong (RFC 9457), at most 4 KB. Some problems have members of their own.",
    "required": ["type", "title", "status", "detail", "instance", "code", "message", "errors", "trace_id"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "`urn:rapport:problem:` and the code."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence for people; never repeats what was sent."},
        "instance": {"type": "string", "format": "uri", "description": "`urn:trace:` and the trace id."},
        "code": {
            "type": "string",
            "pattern": "^[a-z][a-z0-9_]*$",
            "description": "A stable word to branch on.",
        },
        "message": {"type": "string", "description": "The same as `detail`."},
        "errors": {
            "type": "array",
            "description": "Where the input is wrong; `errors_total` counts them when the list was cut.",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "JSON pointer into the body, or `#/query/...`, `#/path/...`, `#/header/...`.",
                    },
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
        "trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
}

# --- problems that follow from what a route asks for ---------------------------------------------------------------

_NOT_VALID = Invalid(
    "validation_failed",
    "#/limit: Must be at most 200.",
    errors=[Fault("#/limit", "out_of_range", "Must be at most 200.")],
)
_BAD_TEXT = Invalid(
    "invalid_text",
    "Text may not hold NUL or lone surrogates.",
    errors=[Fault("#/path", "invalid_text", "Text may not hold NUL or lone surrogates.")],
)
_DATABASE_AWAY = (
    Unavailable(
        "database_unavailable", "The database cannot answer now. Try again shortly.", retry_after_seconds=1
    ),
    Unavailable(
        "database_timeout", "The database cannot answer now. Try again shortly.", retry_after_seconds=1
    ),
)
_KEYS = (
    Unauthenticated("key_missing", "Send an API key as Authorization: Bearer KEY or X-API-Key: KEY."),
    Unauthenticated("key_invalid", "This API key is malformed, unknown, expired or revoked."),
    Forbidden("publishable_key", "A publishable key may only post touchpoints."),
)


def _of_scopes(scopes: Iterable[str]) -> Iterator[Problem]:
    yield from _KEYS
    yield from _DATABASE_AWAY
    for scope in scopes:
        yield Forbidden("scope_missing", f"This key lacks the scope {scope}.", scope=scope)


def _of_reading(reading: Reading) -> Iterator[Problem]:
    yield Malformed("malformed_json", "The body is not JSON: trailing comma at line 1 column 8.")
    yield Malformed("number_out_of_range", "A number is not finite, or larger than a double can hold.")
    limit = reading.limit_bytes
    yield TooLarge("body_too_large", f"The body is larger than {limit} bytes.", limit_bytes=limit)
    names = " or ".join(reading.content)
    yield Unsupported("unsupported_media_type", f"Send the body with Content-Type: {names}.")
    yield Unsupported("unsupported_encoding", "This path reads the Content-Encoding none.")
    yield _NOT_VALID
    if reading.gunzip_limit is not None:
        yield Malformed("malformed_gzip", "The body is not one whole gzip member.")


# --- what routes say -----------------------------------------------------------------------------------------------


_TYPICAL: Final[Mapping[int, Problem]] = {
    status_of(example): example
    for example in (
        Malformed("malformed_json", "The body is not JSON: trailing comma at line 1 column 8."),
        _KEYS[0],
        Forbidden("scope_missing", "This key lacks the scope admin.", scope="admin"),
        NotFound("not_found", "There is nothing at this path."),
        Conflict("conflict", "The request contradicts what is stored."),
        Stale("stale", "The resource has changed since it was read."),
        TooLarge("body_too_large", f"The body is larger than {BODY_BYTES} bytes.", limit_bytes=BODY_BYTES),
        Unsupported("unsupported_media_type", f"Send the body with Content-Type: {JSON}."),
        _NOT_VALID,
        Limited("rate_limited", "Too many requests with this key.", retry_after_seconds=1),
        _DATABASE_AWAY[0],
    )
}


def problems(*examples: Problem | int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: the problems that it alone can answer, each by an example as it would be raised.

    A bare status stands for the typical problem of that status.
    """
    responses: dict[int | str, dict[str, Any]] = {}
    for given in examples:
        example = _TYPICAL[given] if isinstance(given, int) else given
        status = status_of(example)
        _add_example(
            responses.setdefault(status, {}),
            document(
                status, example.code, example.detail, example.errors, example.members, trace_id=_EXAMPLE_TRACE
            ),
        )
    return responses


def _add_example(response: dict[str, Any], body: dict[str, Any]) -> None:
    content = response.setdefault("content", {}).setdefault(
        MEDIA_TYPE, {"schema": {"$ref": f"{_SCHEMA_REF}Problem"}}
    )
    content.setdefault("examples", {}).setdefault(body["code"], {"summary": body["detail"], "value": body})
    response["description"] = ", ".join(f"`{code}`" for code in content["examples"])


class DocumentedApp(FastAPI):
    """FastAPI with our OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        """The document, made on first use."""
        if self.openapi_schema is None:
            self.openapi_schema = _complete(super().openapi(), _operations(self))
        return self.openapi_schema


def _operations(app: FastAPI) -> list[RouteContext]:
    return [
        route
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute) and route.include_in_schema
    ]


def _complete(openapi: dict[str, Any], routes: list[RouteContext]) -> dict[str, Any]:
    components = openapi.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = copy.deepcopy(PROBLEM_SCHEMA)
    components["securitySchemes"] = copy.deepcopy(SECURITY_SCHEMES)
    body_schemas = _body_schemas(routes, schemas)
    for route in routes:
        for method in route.methods or ():
            operation = openapi["paths"][route.path_format][method.lower()]
            _complete_operation(operation, route.dependant, str(route.path_format), body_schemas)
    components["schemas"] = dict(sorted(schemas.items()))
    return openapi


def _complete_operation(
    operation: dict[str, Any], dependant: Dependant, path: str, body_schemas: Mapping[int, Any]
) -> None:
    readings, scopes = _readings(dependant), _scopes(dependant)
    found: list[Problem] = []
    if scopes:
        operation["security"] = [{name: scopes} for name in SECURITY_SCHEMES]
        needed = f"Needs the scope `{'` and `'.join(scopes)}`."
        operation["description"] = "\n\n".join(filter(None, (operation.get("description"), needed)))
        found += _of_scopes(scopes)
    for reading in readings:
        operation["requestBody"] = _request_body(reading, body_schemas)
        found += _of_reading(reading)
    if operation.get("parameters"):
        found.append(_NOT_VALID)
    if "{" in path or scopes:
        found.append(_BAD_TEXT)
    _document_problems(operation["responses"], found)


def _document_problems(responses: dict[str, Any], found: list[Problem]) -> None:
    if "HTTPValidationError" in json.dumps(responses.get("422", {})):
        del responses["422"]  # FastAPI's own form, which we never send
    for status, response in problems(*found).items():
        for example in response["content"][MEDIA_TYPE]["examples"].values():
            _add_example(responses.setdefault(str(status), {}), example["value"])
    _add_example(responses.setdefault("500", {}), document(500, *INTERNAL_ERROR, trace_id=_EXAMPLE_TRACE))


# --- what the dependencies of a route tell -------------------------------------------------------------------------


def _walk(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for inner in dependant.dependencies:
        yield from _walk(inner)


def _readings(dependant: Dependant) -> list[Reading]:
    calls: Iterator[object] = (inner.call for inner in _walk(dependant))
    return [call for call in calls if isinstance(call, Reading)]


def _scopes(dependant: Dependant) -> list[str]:
    """The scopes that a route's caller must have; the walk-through test reads the same list."""
    asked = (inner.own_oauth_scopes or () for inner in _walk(dependant) if inner.call is deps.authorise)
    return [scope for scopes in asked for scope in scopes if scope in SCOPES]


def _request_body(reading: Reading, body_schemas: Mapping[int, Any]) -> dict[str, Any]:
    return {
        "required": not reading.optional,
        "content": {
            media_type: {
                "schema": body_schemas[id(shape.adapter)],
                "examples": {name: {"value": value} for name, value in shape.examples.items()},
            }
            for media_type, shape in reading.content.items()
        },
    }


def _body_schemas(routes: list[RouteContext], schemas: dict[str, Any]) -> dict[int, Any]:
    """The schema of each body's adapter, by the adapter's id(); the definitions they need are added to `schemas`."""
    adapters: dict[int, TypeAdapter[Any]] = {
        id(shape.adapter): shape.adapter
        for route in routes
        for reading in _readings(route.dependant)
        for shape in reading.content.values()
    }
    made, definitions = TypeAdapter.json_schemas(
        [(key, "validation", adapter) for key, adapter in adapters.items()],
        ref_template=_SCHEMA_REF + "{model}",
    )
    inner = definitions.get("$defs", {})
    # A model that is also answered may look different there (defaults are always present): both are kept.
    renamed = {name: f"{name}Input" for name, schema in inner.items() if schemas.get(name, schema) != schema}
    bodies = {key: _with_names(schema, renamed) for (key, _), schema in made.items()}
    schemas.update({renamed.get(name, name): _with_names(schema, renamed) for name, schema in inner.items()})
    return bodies


def _with_names(schema: object, renamed: Mapping[str, str]) -> Any:
    """`schema` with its references following the renaming."""
    if isinstance(schema, dict):
        return {
            name: _SCHEMA_REF + renamed.get(value.removeprefix(_SCHEMA_REF), value.removeprefix(_SCHEMA_REF))
            if name == "$ref" and isinstance(value, str)
            else _with_names(value, renamed)
            for name, value in schema.items()
        }
    if isinstance(schema, list):
        return [_with_names(item, renamed) for item in schema]
    return schema
