"""One thing that a client tells the service, and what became of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.deeds import DEEDS, Deed
from tests.chaos.postgres import POISON

SINGLE = "/v1/touchpoints"
# What a retry of a touchpoint must be told again; `duplicate` and `pending_match` may change.
REMEMBERED = ("id", "customer_id", "kind", "occurred_at", "received_at", "source", "health", "loyalty")


@dataclass(slots=True)
class Event:
    """One touchpoint, or one deed (deeds.py). `about` fills the path of a deed; `key` is an Idempotency-Key.

    `answers` are what single posts of it were told (what must be remembered of it, as JSON), `told` the last of them
    whole; `acknowledged`: some answer, also of a batch, said that it is stored; `refused`: it was told no for good, as
    poison or by a `refusal` of its deed, and never that it is stored; `failed`: refused without a reason for it;
    `is_unsure`: an attempt got no answer and may still have been written.
    """

    id: str
    body: dict[str, Any]
    kind: str
    external_id: str
    about: str = ""
    key: str | None = None
    attempts: int = 0
    acknowledged: bool = False
    refused: bool = False
    failed: bool = False
    is_unsure: bool = False
    refusal: str | None = None
    answers: list[str] = field(default_factory=list)
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def deed(self) -> Deed | None:
        """What it is when it is no touchpoint of the storefront's own."""
        return DEEDS.get(self.kind)

    @property
    def method(self) -> str:
        return self.deed.method if self.deed else "POST"

    @property
    def path(self) -> str:
        return self.deed.path.format(self.about) if self.deed else SINGLE

    def acknowledge(self) -> None:
        """Also of one that was refused before: an attempt that nobody waited for may have found what it needed."""
        self.acknowledged, self.refused = True, False

    def refuse(self, code: str | None) -> None:
        self.refused, self.refusal = not self.acknowledged, code

    def remembered(self, answer: Mapping[str, Any]) -> str:
        """What a single post was told, as far as it must be told again."""
        return json.dumps(
            {name: answer[name] for name in (self.deed.remembered if self.deed else REMEMBERED)}
        )

    @property
    def is_over(self) -> bool:
        """Whether nothing would be gained by sending it again."""
        return self.acknowledged or self.refused or self.failed

    @property
    def is_poison(self) -> bool:
        return self.body.get("description") == POISON
