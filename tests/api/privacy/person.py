"""A customer of whom every table holds something, each text with a word that nobody else says."""

import asyncio
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import make_url

from app.storage import embedded

EMAIL = "Zoraida.Quintanilla@example.com"
PHONE = "+4915199887766"
OTHERS = {"external_id": "crm-zq-77"}
CUSTOMER = "/v1/customers/external_id:crm-zq-77"
# In lower case: a dump is searched without regard to case, and addresses are compared that way.
TRACES = (
    "zoraida",
    "quintanilla",
    "99887766",
    "crm-zq-77",
    "hauptstrasse",
    "violinist",
    "kitzbuehel",
    "platypus",
    "marzipan",
    "accordion",
    "wheelbarrow",
    "saxophone",
    "rhubarb",
    "tangerine",
    "ocelot",
    "xylophone",
    "periwinkle",
    "bagpipe",
    "zeppelin",
    "harpsichord",
    "quicksilver",
    "gooseberry",
    "turquoise-order",
)


async def ok(answer: httpx.Response) -> Any:
    assert answer.is_success, (answer.request.url, answer.text)
    return answer.json() if answer.content else None


def once(word: str) -> dict[str, str]:
    return {"Idempotency-Key": word}


async def meet(admin: httpx.AsyncClient) -> dict[str, Any]:
    """Fill every table; returns the customer, with `link` of an open survey."""
    identifiers = OTHERS | {"email": EMAIL, "phone": PHONE}
    told: dict[str, Any] = await ok(
        await admin.post(
            "/v1/customers",
            json={
                "identifiers": identifiers,
                "name": "Zoraida Quintanilla",
                "tags": ["violinist"],
                "owner": "kitzbuehel-team",
                "traits": {"household": "Hauptstrasse 7", "pet": "platypus"},
            },
            headers=once("made-by-zoraida"),
        )
    )
    await ok(await admin.post(f"{CUSTOMER}/notes", json={"text": "Likes marzipan"}, headers=once("note-1")))
    await _log(admin)
    # Before the complaint, which holds invitations back.
    await ok(
        await admin.post(
            "/v1/surveys",
            json={
                "code": "how_was_it",
                "kind": "nps",
                "question": "Would you recommend us?",
                "channel": "email",
                "limits": {"scope": "household"},
            },
        )
    )
    invited = await ok(
        await admin.post(
            "/v1/survey-invitations",
            json={"customer": OTHERS, "survey": "how_was_it", "about": "turquoise-order"},
        )
    )
    assert invited["state"] == "queued", invited
    await _say(admin)
    return told | {"link": invited["link"], "invitation": invited["id"]}


async def _log(admin: httpx.AsyncClient) -> None:
    money = {"amount_minor": 4999, "currency": "EUR"}
    for body in (
        {
            "id": "order-accordion",
            "kind": "purchase",
            "order_id": "accordion-1",
            "description": "A wheelbarrow for Zoraida",
            "properties": {"gift_for": "saxophone player"},
            "items": [{"sku": "X1", "quantity": 1, "amount_minor": 4999}],
            **money,
        },
        {"id": "back-1", "kind": "refund", "order_id": "accordion-1", "amount_minor": 999, "currency": "EUR"},
        {
            "id": "c-open",
            "kind": "complaint_opened",
            "properties": {"complaint_id": "rhubarb-1", "severity": "low", "said": "rhubarb"},
        },
        {
            "id": "c-done",
            "kind": "complaint_resolved",
            "properties": {"complaint_id": "rhubarb-1", "csat": 4},
        },
        {"id": "wrong-tangerine", "kind": "purchase", "description": "By mistake: tangerine", **money},
        {"id": "call-1", "kind": "support_contact", "properties": {"mode": "personal", "about": "ocelot"}},
    ):
        await ok(await admin.post("/v1/touchpoints", json={"customer": OTHERS} | body))
    await ok(
        await admin.delete(f"/v1/touchpoints/wrong-tangerine?customer=external_id:{OTHERS['external_id']}")
    )


async def _say(admin: httpx.AsyncClient) -> None:
    await ok(
        await admin.post(
            "/v1/feedback",
            json={
                "customer": OTHERS,
                "kind": "csat",
                "rating": 1,
                "text": "A terrible, broken xylophone",
                "source_id": "periwinkle-9",
                "attributed_to": "bagpipe-ben",
                "about": {"order_id": "zeppelin-1"},
            },
            headers=once("answer-1"),
        )
    )
    complaint = await ok(
        await admin.post(
            "/v1/complaints",
            json={
                "customer": OTHERS,
                "subject": "Late harpsichord",
                "text": "The harpsichord never came",
                "source_id": "harpsichord-1",
            },
        )
    )
    await ok(
        await admin.post(
            f"/v1/complaints/{complaint['id']}/compensations",
            json={"form": "voucher", "amount_minor": 500, "currency": "EUR", "note": "quicksilver"},
        )
    )
    until = {"until": (datetime.now(UTC) + timedelta(days=300)).isoformat()}
    await ok(
        await admin.put(
            f"{CUSTOMER}/health/override", json={"score": 30, "reason": "Heard of a gooseberry"} | until
        )
    )
    await ok(
        await admin.put(
            f"{CUSTOMER}/health/sentiment", json={"sentiment": "unhappy", "note": "gooseberry face"}
        )
    )


async def dumped(owner_url: str) -> str:
    """The whole database as pg_dump writes it, in lower case."""
    url = make_url(owner_url)
    command = [
        str(embedded._install() / "bin" / "pg_dump"),
        "--dbname",
        url.set(drivername="postgresql").render_as_string(hide_password=False),
        "--inserts",
    ]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.lower()


async def traces(owner_url: str) -> list[str]:
    """Those words of the person's that stand anywhere in the database."""
    dump = await dumped(owner_url)
    return [word for word in TRACES if word in dump]
