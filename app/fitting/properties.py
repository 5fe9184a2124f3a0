"""What every model of the score must promise, tried on made-up lives: part of the promotion gate."""

from collections.abc import Iterator
from random import Random
from typing import Final

from app.domain.health.facts import Fact, fact_of
from app.domain.health.form import Form
from app.domain.health.history import fold
from app.domain.health.model import Model
from app.domain.health.score import score
from app.domain.health.state import State
from app.domain.health.threads import joined
from app.fitting.purchases import DAY

_LIVES: Final = 200
_SEED: Final = 3
_NOW: Final = 1_767_225_600
_ROUNDING: Final = 1e-9
_KINDS: Final = (
    "purchase",
    "purchase",
    "purchase",
    "visit",
    "support_contact",
    "complaint_opened",
    "nps",
    "referral",
)
_NEVER_LOWER: Final = ("purchase", "visit", "referral", "points_redeemed")
_NEVER_RAISE: Final = ("support_contact", "complaint_opened", "refund")


def broken_promises(model: Model) -> list[str]:
    """A sentence for each promise that `model` breaks, with how often; none for a model that may score.

    The shapes of the terms keep most of them whatever the numbers; the numbers of momentum and rhythm can break the
    first. Every model is tried on the same lives.
    """
    broken = dict.fromkeys(("buys", "suffers", "waits"), 0)
    for state in _lives(model.form):
        before = score(state, _NOW, model)
        broken["buys"] += any(
            _after(state, kind, model) < before.log_odds - _ROUNDING for kind in _NEVER_LOWER
        )
        broken["suffers"] += any(
            _after(state, kind, model) > before.log_odds + _ROUNDING for kind in _NEVER_RAISE
        )
        if not (state.con30 or state.c180 or state.r240 or state.sd180):
            later = score(state, _NOW + 90 * DAY, model)
            broken["waits"] += later.log_odds > before.log_odds + _ROUNDING
    told = {
        "buys": "a purchase, a visit, a referral or a redemption lowers health",
        "suffers": "a contact, a complaint or a refund raises health",
        "waits": "silence raises health though no penalty fades",
    }
    return [
        f"{what} in {broken[name]} of {_LIVES} made-up lives." for name, what in told.items() if broken[name]
    ]


def _lives(form: Form) -> Iterator[State]:
    random = Random(_SEED)  # noqa: S311 - made-up lives, the same for every model
    for number in range(_LIVES):
        # Some buy many times a day: only then may the shorter usual gap cost more than the purchase brings.
        days, many = (2, 150) if number % 10 == 0 else (1000, 25)
        kinds = random.choices(_KINDS, k=1 + number % many)
        facts = (
            _fact(kind, _NOW - int(random.uniform(0, days) * DAY), f"{number}-{index}")
            for index, kind in enumerate(kinds)
        )
        yield fold(facts, form)


def _fact(kind: str, at: int, name: str) -> Fact:
    properties = {"complaint_id": name, "rating": len(name)}
    return fact_of(kind, at, name, amount=2_500, properties=properties)


def _after(state: State, kind: str, model: Model) -> float:
    return score(joined(state, (), _fact(kind, _NOW, "now")), _NOW, model).log_odds
