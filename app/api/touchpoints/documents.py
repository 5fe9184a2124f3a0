"""From the bytes of a post to a touchpoint that may be recorded: parse, validate, canonicalise, apply the rules."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from app.api.problems import problem_of
from app.api.touchpoints.shapes import TouchpointIn
from app.domain.canonical import body_sha256, is_deeper
from app.domain.identifiers import parse_body_reference
from app.domain.ids import uuid7
from app.domain.keys import Caller
from app.domain.kinds import PUBLISHABLE_KINDS, OwnKinds
from app.domain.problems import Fault, Forbidden, Invalid, Malformed, Problem, TooLarge
from app.domain.touchpoints import propose
from app.usecases.post_touchpoints import Post

TOUCHPOINT_BYTES: Final = 32 * 1024
BATCH_BYTES: Final = 4 * 1024 * 1024
BATCH_ITEMS: Final = 2500
# Far below what any reader of JSON, and our own writer, can follow.
DEEPEST_PROPERTIES: Final = 16

_ADAPTER: Final = TypeAdapter(TouchpointIn)
# A retry is recognised by what it says, not by how it names itself or the customer.
_NAMES: Final = frozenset(("id", "customer"))


@dataclass(frozen=True, slots=True)
class Sender:
    """Who posts, when, and into which shop, which has these kinds of its own."""

    caller: Caller
    now: datetime
    shop_currency: str
    own_kinds: OwnKinds


def load(raw: bytes) -> Any:
    """The JSON value in `raw`. Raises Malformed `malformed_json`."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        where = (
            f" at line {error.lineno} column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        )
        raise Malformed("malformed_json", f"The body is not JSON{where}.") from None


def post_of(
    document: Any, sender: Sender, *, told: bool, fallback_id: str | None = None, prefix: str = "#"
) -> Post:
    """One checked post. `fallback_id` names it when the document does not; `prefix` points at it within the body.

    Raises Invalid, Malformed, TooLarge or Forbidden, with the code of the rule that is broken.
    """
    try:
        sent = _ADAPTER.validate_python(document)
    except ValidationError as error:
        _check_depth_and_text(document)
        raise problem_of(error, prefix) from None
    digest, size = body_sha256(document, _NAMES)
    if size > TOUCHPOINT_BYTES:
        raise TooLarge(
            "body_too_large",
            f"A touchpoint is larger than {TOUCHPOINT_BYTES} bytes.",
            limit_bytes=TOUCHPOINT_BYTES,
        )
    if sent.properties is not None and is_deeper(sent.properties, DEEPEST_PROPERTIES):
        raise too_deep(prefix)
    reference = parse_body_reference(sent.customer)
    if sender.caller.publishable:
        _check_publishable(sent, by_uuid=reference.customer_id is not None)
    touchpoint = propose(
        source=_source(sent, sender.caller),
        id=sent.id or fallback_id or uuid7(int(sender.now.timestamp() * 1000)).hex,
        kind=sent.kind,
        occurred_at=sent.occurred_at or sender.now,
        now=sender.now,
        body_sha256=digest,
        shop_currency=sender.shop_currency,
        channel=sent.channel,
        amount_minor=sent.amount_minor,
        currency=sent.currency,
        exchange_rate=sent.exchange_rate,
        order_id=sent.order_id,
        description=sent.description,
        items=document.get("items"),
        properties=sent.properties,
        own_kinds=sender.own_kinds,
    )
    return Post(reference, touchpoint, told)


def too_deep(prefix: str = "#") -> Invalid:
    """Properties that nest deeper than they may."""
    detail = f"properties may be nested {DEEPEST_PROPERTIES} deep at most."
    fault = Fault(f"{prefix}/properties", "properties_too_deep", detail)
    return Invalid("properties_too_deep", detail, errors=[fault])


def posts_of(documents: Iterator[Any], sender: Sender) -> list[Post | Problem]:
    """Each document of a batch as a post, or the problem that stands against it."""
    return [_post_or_problem(document, sender) for document in documents]


def _post_or_problem(document: Any, sender: Sender) -> Post | Problem:
    if isinstance(document, Problem):
        return document
    try:
        return post_of(document, sender, told=False)
    except Problem as problem:
        return problem


def id_of(document: Any) -> str | None:
    """The id that a refused document gave itself, when it may be repeated."""
    if not isinstance(document, dict):
        return None
    given = document.get("id")
    return given if isinstance(given, str) and given.isprintable() and len(given) <= 200 else None  # noqa: PLR2004 - as in Name


def _check_depth_and_text(document: Any) -> None:
    """Name what is wrong with text or numbers before what is wrong with the shape: it is the rarer and the worse."""
    if isinstance(document, dict):
        body_sha256(document, frozenset())


def _source(sent: TouchpointIn, caller: Caller) -> str:
    if sent.source is None:
        return caller.source
    if not caller.is_admin:
        raise Forbidden("scope_missing", "Writing for another source needs the scope admin.", scope="admin")
    return sent.source


def _check_publishable(sent: TouchpointIn, *, by_uuid: bool) -> None:
    if sent.kind not in PUBLISHABLE_KINDS:
        raise Forbidden(
            "kind_not_allowed", "A publishable key may post visits, message events and the like alone."
        )
    if by_uuid:
        fault = Fault(
            "#/customer", "reference_not_allowed", "a publishable key names customers by identifier"
        )
        raise Invalid(
            "reference_not_allowed", "A publishable key may not name a customer by UUID.", errors=[fault]
        )
