"""What a consent looks like on the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.touchpoints.shapes import Moment
from app.domain.consent import MOST_STATEMENTS, WORD, Standing, Statement

LegalBasis = Literal[
    "consent", "contract", "legal_obligation", "vital_interests", "public_task", "legitimate_interests"
]

_PURPOSE = "`surveys`, `marketing` or a word of your own; `any`: every purpose."
_CHANNEL = "`email`, `sms` or another; `any`: every channel."


class StatementIn(BaseModel):
    """What the customer says of one purpose and channel."""

    model_config = ConfigDict(extra="forbid", strict=True)

    purpose: Annotated[str, Field(description=_PURPOSE, json_schema_extra={"pattern": f"^{WORD}$"})]
    channel: Annotated[str, Field(description=_CHANNEL, json_schema_extra={"pattern": f"^{WORD}$"})] = "any"
    state: Literal["granted", "withdrawn"]
    legal_basis: LegalBasis | None = None
    source: (
        Annotated[str, Field(min_length=1, max_length=200, description="Where it was said: a form, a call.")]
        | None
    ) = None
    note: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    stated_at: Annotated[Moment | None, Field(description="When it was said; now.")] = None
    expires_at: Annotated[Moment | None, Field(description="When a grant ends by itself.")] = None

    def statement(self, by: str, now: datetime) -> Statement:
        """What is said, in the words of the domain."""
        return Statement(
            self.purpose,
            self.channel,
            self.state,
            self.legal_basis,
            self.source or by,
            self.note,
            self.stated_at or now,
            self.expires_at,
            by,
        )


class ConsentIn(BaseModel):
    """What the customer says; what they said of other purposes and channels stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    consents: Annotated[list[StatementIn], Field(min_length=1, max_length=MOST_STATEMENTS)]


class ConsentOut(BaseModel):
    """What was said last of a purpose and a channel."""

    purpose: str
    channel: str
    state: Literal["granted", "withdrawn"]
    allowed: Annotated[
        bool, Field(description="Whether it is a yes that holds now: not ended, and no later no about it.")
    ]
    legal_basis: LegalBasis | None
    source: str
    note: str | None
    stated_at: datetime
    expires_at: datetime | None
    written_by: Annotated[str, Field(description="The source of the key that passed it on.")]


class SaidOut(BaseModel):
    """One thing that was said. `touchpoint_id`: it is that touchpoint, of this `source`."""

    purpose: str
    channel: str
    state: Literal["granted", "withdrawn"]
    legal_basis: LegalBasis | None
    source: str
    note: str | None
    stated_at: datetime
    expires_at: datetime | None
    written_by: str | None
    touchpoint_id: str | None


class ConsentsOut(BaseModel):
    """What a customer agreed to, and how it came to be."""

    customer_id: str
    opted_out_since: Annotated[
        datetime | None, Field(description="Since then no survey is sent on any channel.")
    ]
    unsubscribed_at: Annotated[
        datetime | None, Field(description="When they last said that they want no messages at all.")
    ]
    consents: list[ConsentOut]
    history: Annotated[list[SaidOut], Field(description="The newest first, as many as `limit`.")]


def members(standing: Standing) -> dict[str, Any]:
    """The members of ConsentOut."""
    return {**standing.statement._asdict(), "allowed": standing.allowed}
