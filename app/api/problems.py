"""Problems on the wire (RFC 9457). The only table of status codes, and the only place that writes a problem down."""

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, get_args

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import ValidationError
from pydantic_core import core_schema, from_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.api.problem_document import MEDIA_TYPE, document
from app.domain import problems as domain
from app.domain.problems import Fault, Invalid, Malformed, NotFound, Problem
from app.storage import database

MOST_BYTES: Final = 4096
MOST_FAULTS: Final = 20

STATUS: Final[Mapping[type[Problem], int]] = {
    domain.Malformed: 400,
    domain.Unauthenticated: 401,
    domain.Forbidden: 403,
    domain.NotFound: 404,
    domain.Conflict: 409,
    domain.Gone: 410,
    domain.Stale: 412,
    domain.TooLarge: 413,
    domain.Unsupported: 415,
    domain.Invalid: 422,
    domain.Limited: 429,
    domain.Unavailable: 503,
}

METHOD_NOT_ALLOWED: Final = "method_not_allowed"
INTERNAL_ERROR: Final = ("internal_error", "Something went wrong here. The trace id tells us where.")

log = structlog.get_logger()


# --- writing one down ----------------------------------------------------------------------------------------------


def status_of(problem: Problem) -> int:
    """The HTTP status of a problem: that of its kind."""
    return next(STATUS[kind] for kind in type(problem).__mro__ if kind in STATUS)


def _encode(body: dict[str, Any]) -> bytes:
    """`body` as JSON of at most MOST_BYTES: the list of faults is cut first, `errors_total` then tells its length."""
    total = len(body["errors"])
    if total > MOST_FAULTS:
        body |= {"errors": body["errors"][:MOST_FAULTS], "errors_total": total}
    encoded = json.dumps(body, separators=(",", ":")).encode()
    while len(encoded) > MOST_BYTES and body["errors"]:
        body |= {"errors": body["errors"][: len(body["errors"]) // 2], "errors_total": total}
        encoded = json.dumps(body, separators=(",", ":")).encode()
    return encoded


def _respond(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[Fault] = (),
    members: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    content = _encode(document(status, code, detail, errors, members))
    return Response(content, status, headers=headers, media_type=MEDIA_TYPE)


def respond(problem: Problem) -> Response:
    """The answer that tells a caller about `problem`."""
    status, headers = status_of(problem), {}
    if status == HTTPStatus.UNAUTHORIZED:
        # Not Basic, although Basic is read: a browser would cover the docs page with its own password dialog.
        headers["WWW-Authenticate"] = 'Bearer realm="rapport"'
    retry_after = problem.members.get("retry_after_seconds")
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return _respond(
        status, problem.code, problem.detail, errors=problem.errors, members=problem.members, headers=headers
    )


# --- from what was raised ------------------------------------------------------------------------------------------


def answer(error: Exception) -> Response:
    """The answer to whatever a request raised. What nobody foresaw is logged and becomes a bare 500."""
    if isinstance(error, RequestValidationError):
        # Path, query and header parameters; bodies never come here (bodies.py).
        error = _invalid(_fault(one, pointer("#", one["loc"])) for one in error.errors())
    elif not isinstance(error, Problem) and _is_database_away(error):
        error = database.unavailable(error)
    if not isinstance(error, Problem):
        log.error("internal_error", exc_info=error)
        return _respond(500, *INTERNAL_ERROR)
    if isinstance(error, domain.Unavailable):
        cause = error.__cause__
        state = None if cause is None else database.sqlstate(cause)
        log.warning("unavailable", code=error.code, cause=type(cause).__name__, sqlstate=state)
    return respond(error)


def _is_database_away(error: Exception) -> bool:
    return database.is_retryable(error) or database.is_canceled(error)


async def _on_problem(_request: Request, error: Problem) -> Response:
    return answer(error)


async def _on_validation(_request: Request, error: RequestValidationError) -> Response:
    return answer(error)


async def _on_http(request: Request, error: HTTPException) -> Response:
    """What the framework itself refuses."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        return respond(NotFound("not_found", "There is nothing at this path."))
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        detail, headers = (
            "This path does not know this method; Allow lists those it knows.",
            {"Allow": _allow(request)},
        )
        return _respond(405, METHOD_NOT_ALLOWED, detail, headers=headers)
    phrase = HTTPStatus(error.status_code).phrase
    return _respond(
        error.status_code, re.sub(r"\W+", "_", phrase.lower()), f"{phrase}.", headers=error.headers
    )


def _allow(request: Request) -> str:
    """Every method of this path. The framework names those of the first matching route alone."""
    path = request.scope["path"]
    routes = iter_route_contexts(request.app.routes)
    known = {method for route in routes if route.path_regex.match(path) for method in route.methods or ()}
    return ", ".join(sorted(known))


def install(app: FastAPI) -> None:
    """Make every refusal of `app` a problem document. Unexpected errors are the middleware's to answer."""
    app.add_exception_handler(Problem, _on_problem)  # type: ignore[arg-type]  # Starlette types handlers by Exception
    app.add_exception_handler(RequestValidationError, _on_validation)  # type: ignore[arg-type]  # the same
    app.add_exception_handler(HTTPException, _on_http)  # type: ignore[arg-type]  # the same


# --- from pydantic -------------------------------------------------------------------------------------------------

_TEXT, _NUMBER = "Must be a string.", "Must be a number."
_WHOLE, _TRUTH = "Must be a whole number.", "Must be true or false."
_OBJECT, _ARRAY = "Must be an object.", "Must be an array."
_MOMENT = "Must be an RFC 3339 date and time with an offset."

# Pydantic's error type -> our stable code and sentence. The sentences are our own because some of pydantic's repeat the
# input; the names in braces are taken from the rule that was broken, never from the input.
_KNOWN: Final[Mapping[str, tuple[str, str]]] = {
    "missing": ("required", "This member is required."),
    "union_tag_not_found": ("required", "A member that tells the variants apart is required."),
    "extra_forbidden": ("unknown_member", "There is no such member."),
    "string_type": ("wrong_type", _TEXT),
    "int_type": ("wrong_type", _WHOLE),
    "int_parsing": ("wrong_type", _WHOLE),
    "int_from_float": ("wrong_type", _WHOLE),
    "float_type": ("wrong_type", _NUMBER),
    "float_parsing": ("wrong_type", _NUMBER),
    "bool_type": ("wrong_type", _TRUTH),
    "bool_parsing": ("wrong_type", _TRUTH),
    "dict_type": ("wrong_type", _OBJECT),
    "model_type": ("wrong_type", _OBJECT),
    "model_attributes_type": ("wrong_type", _OBJECT),
    "dataclass_type": ("wrong_type", _OBJECT),
    "list_type": ("wrong_type", _ARRAY),
    "tuple_type": ("wrong_type", _ARRAY),
    "set_type": ("wrong_type", _ARRAY),
    "frozen_set_type": ("wrong_type", _ARRAY),
    "none_required": ("wrong_type", "Must be null."),
    "uuid_type": ("wrong_type", "Must be a UUID."),
    "datetime_type": ("wrong_type", _MOMENT),
    "date_type": ("wrong_type", "Must be a date, YYYY-MM-DD."),
    "decimal_type": ("wrong_type", "Must be a decimal string."),
    "uuid_parsing": ("bad_format", "Must be a UUID."),
    "datetime_parsing": ("bad_format", _MOMENT),
    "datetime_from_date_parsing": ("bad_format", _MOMENT),
    "date_parsing": ("bad_format", "Must be a date, YYYY-MM-DD."),
    "date_from_datetime_parsing": ("bad_format", "Must be a date, YYYY-MM-DD."),
    "decimal_parsing": ("bad_format", "Must be a decimal string."),
    "string_pattern_mismatch": ("bad_format", "Must match {pattern}."),
    "url_parsing": ("bad_format", "Must be a URL."),
    "url_scheme": ("bad_format", "Must be a URL of another scheme: {expected_schemes}."),
    "timezone_aware": ("naive_time", "A time needs an offset, such as Z or +02:00."),
    "greater_than": ("out_of_range", "Must be greater than {gt}."),
    "greater_than_equal": ("out_of_range", "Must be at least {ge}."),
    "less_than": ("out_of_range", "Must be less than {lt}."),
    "less_than_equal": ("out_of_range", "Must be at most {le}."),
    "multiple_of": ("out_of_range", "Must be a multiple of {multiple_of}."),
    "int_parsing_size": ("out_of_range", "The number is too large."),
    "finite_number": ("out_of_range", "Must be a finite number."),
    "decimal_max_digits": ("out_of_range", "Must have at most {max_digits} digits."),
    "decimal_max_places": ("out_of_range", "Must have at most {decimal_places} digits after the point."),
    "decimal_whole_digits": ("out_of_range", "Must have at most {whole_digits} digits before the point."),
    "string_too_short": ("too_short", "Must have at least {min_length} characters."),
    "string_too_long": ("too_long", "Must have at most {max_length} characters."),
    "too_short": ("too_short", "Must have at least {min_length} items."),
    "too_long": ("too_long", "Must have at most {max_length} items."),
    "url_too_long": ("too_long", "Must have at most {max_length} characters."),
    "string_unicode": ("invalid_text", "Text may not hold lone surrogates."),
    "literal_error": ("not_one_of", "Must be one of {expected}."),
    "enum": ("not_one_of", "Must be one of {expected}."),
    "union_tag_invalid": ("not_one_of", "Must be one of {expected_tags}."),
}
_NOTHING: Final = object()
_OTHER = ("invalid_value", "This value is not valid.")
_PYDANTIC_TYPES: Final = frozenset(get_args(core_schema.ErrorType))

# Codes that a caller branches on, although pydantic has a type of its own for them.
_TOLD_FIRST: Final = frozenset(("naive_time", "invalid_text"))

# A member's name is shown when it looks like one. An unknown member may be called `ada@example.com`, or anything.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


def problem_of(error: ValidationError, prefix: str = "#", raw: bytes | None = None) -> Invalid | Malformed:
    """What a caller is told about a body that pydantic refused.

    `prefix` is the pointer of what was validated within the body (`#/touchpoints/3`). With `raw`, its JSON, pointers
    are exact also inside unions, where pydantic puts the name of the variant it tried into the location.
    """
    found = error.errors(include_url=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return Malformed("malformed_json", f"The body is not JSON: {found[0]['ctx']['error']}.")
    read = None if raw is None else from_json(raw)
    return _invalid(
        (_fault(one, pointer(prefix, _steps(one["type"], one["loc"], read))) for one in found),
        told_first=_is_custom(found[0]["type"]),
    )


def _is_custom(kind: str) -> bool:
    return kind not in _PYDANTIC_TYPES


def _invalid(faults: Iterator[Fault], *, told_first: bool = False) -> Invalid:
    """One problem for all faults: a code of ours is the code of the whole, any other is `validation_failed`."""
    distinct = list(dict.fromkeys(faults))
    first = distinct[0]
    detail = f"{first.pointer}: {first.detail}" + (
        f" And {len(distinct) - 1} more." if len(distinct) > 1 else ""
    )
    code = first.code if told_first or first.code in _TOLD_FIRST else "validation_failed"
    return Invalid(code, detail, errors=distinct)


def _fault(error: Mapping[str, Any], where: str) -> Fault:
    kind = error["type"]
    if _is_custom(kind):
        return Fault(where, kind, error["msg"])
    code, sentence = _KNOWN.get(kind, _OTHER)
    return Fault(where, code, sentence.format_map(error.get("ctx", {})))


def pointer(prefix: str, steps: Iterable[str | int]) -> str:
    """`prefix` and the steps below it. A step that does not look like a member or an index ends the pointer."""
    names = itertools.takewhile(_NAME.fullmatch, map(str, steps))
    return "/".join([prefix, *names])


def _steps(kind: str, loc: Sequence[str | int], read: object) -> Iterator[str | int]:
    """The steps of `loc` that exist in the JSON value `read`, and the last one of a missing member."""
    if read is None:
        yield from loc
        return
    for index, step in enumerate(loc):
        inside = _inside(read, step)
        is_missing = kind == "missing" and index == len(loc) - 1
        if (
            inside is not _NOTHING or is_missing
        ):  # else it is the name of a variant, or pydantic's own "[key]"
            read = inside
            yield step


def _inside(value: object, step: str | int) -> object:
    if isinstance(value, dict):
        return value.get(step, _NOTHING)
    return value[step] if isinstance(value, list) and isinstance(step, int) else _NOTHING
