"""Facts that have routes and tables of their own and write to the log beside them: answers and complaints.

What else will be told to the service in this way (a hold of points, a capture) is one more entry of DEEDS.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

SOURCE = "rapport"


@dataclass(frozen=True, slots=True)
class Deed:
    """`path`: where it is posted, with `source_id` as its natural key. `table`: where its row is. `kinds`: what it
    writes to the log, once for each row, under the source of the service. `remembered`: members of the answer that a
    retry must be told again. `body`: all of it but the customer and the key.
    """

    path: str
    table: str
    kinds: tuple[str, ...]
    remembered: tuple[str, ...]
    body: Callable[[random.Random], dict[str, Any]]


def _answer(chance: random.Random) -> dict[str, Any]:
    return {"kind": "nps", "rating": chance.randrange(11), "text": chance.choice(("Fast.", "Late.", "Fine."))}


def _complaint(chance: random.Random) -> dict[str, Any]:
    return {"subject": "Still waiting", "severity": chance.choice(("low", "medium", "high"))}


DEEDS: Mapping[str, Deed] = {
    "answer": Deed(
        "/v1/feedback",
        "feedback",
        ("nps",),
        ("id", "customer_id", "kind", "rating", "sentiment", "occurred_at", "health"),
        _answer,
    ),
    "complaint": Deed(
        "/v1/complaints",
        "complaints",
        ("complaint_opened",),
        ("id", "customer_id", "reference", "health"),
        _complaint,
    ),
}
