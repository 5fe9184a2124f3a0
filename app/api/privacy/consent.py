"""What a customer agreed to, by purpose and channel."""

from typing import Annotated, Any, Final

import asyncpg
from fastapi import APIRouter, Header, Query, Response

from app.api.bodies import body
from app.api.deps import Config, Now, Reader, Scoring, Tx, requires
from app.api.openapi import problems
from app.api.privacy.consent_shapes import ConsentIn, ConsentsOut, members
from app.api.references import NAMED_PROBLEMS, Named
from app.domain.consent import ANY, standings
from app.domain.keys import Caller
from app.domain.problems import refused
from app.storage.database import driver
from app.usecases.find_customer import find_customer
from app.usecases.privacy.change_consent import Change, change_consent, too_many_consents
from app.usecases.privacy.read_consent import Consent, consent_of, history_of, stale

router = APIRouter(prefix="/v1/customers/{customer}/consent", tags=["privacy"])

_YES: Final = {
    "consents": [
        {
            "purpose": "surveys",
            "channel": "email",
            "state": "granted",
            "legal_basis": "consent",
            "source": "checkout form 7",
            "expires_at": "2028-11-22T00:00:00Z",
        }
    ]
}
_NO: Final = {"consents": [{"purpose": "any", "state": "withdrawn", "source": "phone call"}]}
_MOST_HISTORY: Final = 200

_PROBLEMS: Final = (
    refused("#/consents/0/purpose", "invalid_word", "must be a word of a-z, 0-9 and _"),
    refused("#/consents/0/stated_at", "in_the_future", "more than 5 minutes ahead of our clock"),
    refused("#/consents/0/stated_at", "before_1970", "earlier than 1970-01-01T00:00:00Z"),
    refused("#/consents/0/expires_at", "expiry_not_allowed", "only a grant ends by itself"),
    refused("#/consents/0/expires_at", "already_expired", "must be later than stated_at"),
    too_many_consents(),
    stale(),
)


async def _shown(
    connection: asyncpg.Connection, consent: Consent, limit: int, now: Now, response: Response
) -> ConsentsOut:
    response.headers["ETag"] = f'"{consent.version}"'
    history = await history_of(connection, consent.customer_id, limit)
    said = [{**one.statement._asdict(), "touchpoint_id": None} for one in history.statements] + [
        {
            "purpose": ANY,
            "channel": ANY,
            "state": "withdrawn",
            "legal_basis": None,
            "source": one.source,
            "note": None,
            "stated_at": one.at,
            "expires_at": None,
            "written_by": None,
            "touchpoint_id": one.id,
        }
        for one in history.unsubscriptions
    ]
    shown: dict[str, Any] = {
        "customer_id": str(consent.customer_id),
        "opted_out_since": consent.opted_out_at,
        "unsubscribed_at": consent.unsubscribed_at,
        "consents": [members(one) for one in standings(consent.held, consent.unsubscribed_at, now)],
        "history": sorted(said, key=lambda one: one["stated_at"], reverse=True)[:limit],
    }
    return ConsentsOut.model_validate(shown)


@router.get("", responses=problems(*NAMED_PROBLEMS))
async def get_consent(
    _caller: Annotated[Caller, requires("customers:read")],
    named: Named,
    reader: Reader,
    now: Now,
    response: Response,
    limit: Annotated[int, Query(ge=0, le=_MOST_HISTORY, description="How much of the history to show.")] = 50,
) -> ConsentsOut:
    """What a customer agreed to, and how it came to be."""
    connection = await driver(reader)
    identity = await find_customer(connection, named)
    consent = await consent_of(connection, identity.customer_id)
    return await _shown(connection, consent, limit, now, response)


@router.put("", responses=problems(*NAMED_PROBLEMS, *_PROBLEMS))
async def put_consent(
    caller: Annotated[Caller, requires("customers:write")],
    named: Named,
    sent: Annotated[ConsentIn, body(ConsentIn, examples={"yes to surveys": _YES, "no to everything": _NO})],
    tx: Tx,
    model: Scoring,
    config: Config,
    now: Now,
    response: Response,
    if_match: Annotated[
        str | None,
        Header(alias="If-Match", description="An ETag: nothing is written when something was said since."),
    ] = None,
) -> ConsentsOut:
    """Say what a customer agrees to; the same again changes nothing. A no to surveys cancels those that wait."""
    connection = await driver(tx)
    change = Change([one.statement(caller.source, now) for one in sent.consents], _versions(if_match))
    consent = await change_consent(
        connection,
        named,
        change,
        model,
        now,
        shop_currency=config.shop_currency,
        by_admin=caller.actor if caller.is_admin else None,
    )
    return await _shown(connection, consent, 50, now, response)


def _versions(if_match: str | None) -> frozenset[str] | None:
    if if_match is None or if_match.strip() == "*":
        return None
    return frozenset(tag.strip().strip('"') for tag in if_match.split(",") if tag.strip().startswith('"'))
