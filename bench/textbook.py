"""Yardstick: the service as a tutorial would write it. The ORM, one session and one commit per request.

Nothing is slowed down on purpose: asyncpg, uvloop, `expire_on_commit=False`, the pool that SQLAlchemy makes by itself,
one indexed look-up of the customer. It stores the same columns and answers the same shape; its score is a running
average and a reason, where ours is the model of design/health.md.
"""

import argparse
import hashlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import BigInteger, DateTime, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bench.server import serve_app
from bench.shapes import HealthOut, TouchpointIn, TouchpointOut

BANDS = ((80, "thriving"), (60, "healthy"), (40, "cooling"), (20, "at_risk"), (0, "lost"))


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[dict[str, Any]]: JSONB,
    }


class Claim(Base):
    __tablename__ = "identifier_claims"

    type: Mapped[str] = mapped_column(primary_key=True)
    value_key: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]


class CustomerState(Base):
    __tablename__ = "customer_states"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    state: Mapped[bytes]
    band: Mapped[str]
    score: Mapped[float | None]
    scored_at: Mapped[datetime | None]


class Touchpoint(Base):
    __tablename__ = "touchpoints"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    origin_customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    occurred_at: Mapped[datetime]
    received_at: Mapped[datetime]
    channel: Mapped[str | None]
    amount_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None]
    value_minor: Mapped[int | None] = mapped_column(BigInteger)
    thread: Mapped[str | None]
    description: Mapped[str | None]
    items: Mapped[list[dict[str, Any]]]
    body_sha256: Mapped[bytes]
    outcome: Mapped[dict[str, Any]]


engine = create_async_engine(os.environ["BENCH_DATABASE_URL"])
sessions = async_sessionmaker(engine, expire_on_commit=False)
bearer = HTTPBearer()
app = FastAPI()


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions() as opened:
        yield opened


async def source(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> str:
    if credentials.credentials != os.environ["BENCH_KEY"]:
        raise HTTPException(401)
    return "shop-eu"


@app.post("/v1/touchpoints", status_code=201)
async def post_touchpoint(
    body: TouchpointIn, db: Annotated[AsyncSession, Depends(session)], shop: Annotated[str, Depends(source)]
) -> TouchpointOut:
    claim = await db.scalar(
        select(Claim).where(Claim.type == "external_id", Claim.value_key == body.customer.external_id)
    )
    if claim is None:
        raise HTTPException(404)
    state = await db.get_one(CustomerState, claim.customer_id, with_for_update=True)
    now = datetime.now(UTC)
    health = rescore(state, body, now)
    db.add(row(body, claim, shop, now, health))
    await db.commit()
    return TouchpointOut(
        id=body.id,
        customer_id=claim.customer_id,
        kind=body.kind,
        occurred_at=body.occurred_at,
        received_at=now,
        source=shop,
        duplicate=False,
        pending_match=False,
        health=health,
    )


def rescore(state: CustomerState, body: TouchpointIn, now: datetime) -> HealthOut:
    before = state.score
    target = 100 if body.kind == "purchase" else 0
    score = 0.8 * (50.0 if before is None else before) + 0.2 * target
    band = next(name for lowest, name in BANDS if score >= lowest)
    health = HealthOut(
        score=round(score),
        band=band,
        before=None if before is None else round(before),
        delta=round(score - (50.0 if before is None else before)),
        band_changed=band != state.band,
        reasons=[f"{body.kind} on {body.channel}: the score moves a fifth of the way"],
        model="textbook",
    )
    state.score, state.band, state.scored_at = score, band, now
    return health


def row(body: TouchpointIn, claim: Claim, shop: str, now: datetime, health: HealthOut) -> Touchpoint:
    return Touchpoint(
        customer_id=claim.customer_id,
        origin_customer_id=claim.customer_id,
        source=shop,
        id=body.id,
        kind=body.kind,
        occurred_at=body.occurred_at,
        received_at=now,
        channel=body.channel,
        amount_minor=body.amount_minor,
        currency=body.currency,
        value_minor=body.amount_minor,
        thread=None if body.order_id is None else f"order:{body.order_id}",
        description=body.description,
        items=[item.model_dump() for item in body.items],
        body_sha256=hashlib.sha256(body.model_dump_json(exclude={"id", "customer"}).encode()).digest(),
        outcome=health.model_dump(),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    serve_app(app, parser.parse_args().port)
