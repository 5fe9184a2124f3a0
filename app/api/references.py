"""How routes read who is meant and whether they were asked before: `Named`, `NamedInBody`, `Once`."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
from fastapi import Depends, Header, Path, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.api.templates import template
from app.domain.canonical import body_sha256
from app.domain.customers import erased, identity_conflict, not_found
from app.domain.identifiers import Reference, blocked_identifier, parse_reference, too_many_identifiers
from app.domain.keys import Caller
from app.domain.problems import Fault, Invalid
from app.storage.idempotency import Question
from app.usecases.answer_once import Answer, answer_once, in_flight, key_reused

TYPE_PATTERN: Final = "[a-z][a-z0-9_]{0,31}"
VALUE_PATTERN: Final = r"[^/?#\u0000-\u001f]{1,200}"
_UUID_PATTERN = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

# --- who is meant ---------------------------------------------------------------------------------------------------


async def _named(
    customer: Annotated[
        str,
        Path(
            description="The customer's UUID, or `type:value`: `external_id:42`, `email:ada@example.com`.",
            examples=["external_id:42"],
            # Patterns are said and not enforced here: the parsers tell more exactly what is wrong.
            json_schema_extra={"pattern": f"^({_UUID_PATTERN}|{TYPE_PATTERN}:{VALUE_PATTERN})$"},
        ),
    ],
) -> Reference:
    return parse_reference(customer)


Named = Annotated[Reference, Depends(_named)]
"""The customer that the path names; a path never creates one."""

NamedInBody = Annotated[
    str | dict[str, str],
    Field(
        description="A UUID, `type:value`, or an object of identifiers of which any may match.",
        examples=[{"external_id": "42", "email": "ada@example.com"}, "external_id:42"],
    ),
]
"""The member of a body that names a customer, to be given to parse_body_reference()."""


def _refused(pointer: str, code: str, detail: str) -> Invalid:
    return Invalid(code, detail, errors=[Fault(pointer, code, detail)])


_SOMEBODY: Final = UUID("01935d5e-7c00-7000-8000-000000000001")
_SOMEBODY_ELSE: Final = UUID("01935d5e-7c00-7000-8000-000000000002")

CONFLICT: Final = identity_conflict([_SOMEBODY, _SOMEBODY_ELSE])

VALUE_PROBLEMS: Final = (
    _refused(
        "#/path/customer", "invalid_identifier", "An identifier's value is a text of 1 to 200 characters."
    ),
    _refused("#/path/customer", "invalid_phone", "A phone number is E.164: + and 7 to 15 digits."),
)
"""What may be wrong with any identifier, for the OpenAPI document."""

GUARD_PROBLEMS: Final = (blocked_identifier(), too_many_identifiers(100))
"""What may stand against one more name of a customer."""

REFERENCE_PROBLEMS: Final = (
    *VALUE_PROBLEMS,
    _refused("#/identifiers", "invalid_reference", "At least one identifier is needed."),
    erased(),
    CONFLICT,
    *GUARD_PROBLEMS,
)
"""What may stand against a customer named in a body."""

NAMED_PROBLEMS: Final = (
    *VALUE_PROBLEMS,
    _refused("#/path/customer", "invalid_reference", "A customer is named by its UUID or as type:value."),
    not_found(),
    erased(),
)
"""What may stand against a customer named in a path."""

INVALID_CURSOR: Final = _refused(
    "#/query/cursor", "invalid_cursor", "cursor must be a next_cursor of this list."
)

# --- asked before? --------------------------------------------------------------------------------------------------

# RFC 8941 strings hold printable ASCII, " and \ with a \ before them.
_QUOTED = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"')
_BARE = re.compile(r"[\x21\x23-\x7e]{1,255}")
_KEY_RULE: Final = "Idempotency-Key is 1 to 255 printable ASCII characters, bare or in double quotes."


def parse_idempotency_key(sent: str) -> str:
    """The key in an Idempotency-Key header, bare or quoted. Raises Invalid `invalid_idempotency_key`."""
    quoted = _QUOTED.fullmatch(sent)
    if quoted is not None:
        return re.sub(r"\\(.)", r"\1", quoted[1])
    if _BARE.fullmatch(sent) is None:
        raise _refused("#/header/idempotency-key", "invalid_idempotency_key", _KEY_RULE)
    return sent


@dataclass(frozen=True, slots=True)
class OnceOnly:
    """A POST that its caller may send again under one Idempotency-Key; without one it is simply done."""

    key: str | None
    route: str
    path: dict[str, Any]

    async def answer(
        self,
        connection: asyncpg.Connection,
        caller: Caller,
        sent: BaseModel,
        now: datetime,
        work: Callable[[], Awaitable[Answer]],
    ) -> JSONResponse:
        """What `work` answers, or what it answered when it was asked the same before."""
        if self.key is None:
            answer = await work()
        else:
            # The path belongs to what is asked: a note for somebody else is another note.
            asked = {"path": self.path, "body": sent.model_dump(mode="json", exclude_unset=True)}
            digest, _ = body_sha256(asked, frozenset())
            answer = await answer_once(
                connection, Question(caller.key_id, self.route, self.key), digest, now, work
            )
        headers = answer.headers | ({"Idempotent-Replayed": "true"} if answer.replayed else {})
        return JSONResponse(answer.body, answer.status, headers)


async def _once(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="Makes a retry safe for 24 hours: the same key and body get the first answer again.",
        ),
    ] = None,
) -> OnceOnly:
    key = None if idempotency_key is None else parse_idempotency_key(idempotency_key)
    return OnceOnly(key, f"{request.method} {template(request.scope)}", dict(request.path_params))


ONCE_PROBLEMS: Final = (
    in_flight(),
    key_reused(),
    _refused("#/header/idempotency-key", "invalid_idempotency_key", _KEY_RULE),
)
"""What may stand against an Idempotency-Key."""

Once = Annotated[OnceOnly, Depends(_once)]
