"""What stands behind each component: how much evidence there is, and which touchpoints weigh most in it."""

from collections.abc import Callable, Iterable, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from app.domain.health.facts import Fact
from app.domain.health.form import SHIPPED, Form
from app.domain.health.model import COMPONENTS
from app.domain.health.state import State
from app.domain.health.weights import DAY_SECONDS, read

MOST_TOP: Final = 3

# Momentum has three half-lives and rhythm none, but with equal weights any half-life ranks by recency.
_FADING: Final = MappingProxyType(
    {
        "momentum": "purchases_middle",
        "rhythm": "purchases_middle",
        "value": "value",
        "refunds": "refunds",
        "complaints": "complaints",
        "contacts": "contacts",
        "satisfaction": "satisfaction",
        "engagement": "engagement",
        "advocacy": "advocacy",
        "loyalty": "loyalty",
    }
)
# What facts feed beside, or instead of, the component they are filed under.
_FEEDS: Final = MappingProxyType(
    {"momentum": ("momentum", "rhythm", "value"), "refunds": ("value", "refunds")}
)


class Ranked(NamedTuple):
    """A touchpoint on one component's short list; `weight` is what is left of it at the time it was ranked for."""

    weight: float
    fact: Fact


def told(state: State, now: int) -> tuple[str | None, ...]:
    """How much evidence each component has at `now`, in the order of COMPONENTS; None where it has none.

    Purchases are counted. Everything else fades, and so does its count: "1.5 answers, each counting half
    after 180 days".
    """
    return tuple(_TELL[name](state, now) for name in COMPONENTS)


def top(facts: Iterable[Fact], now: int, form: Form = SHIPPED) -> tuple[Sequence[Fact], ...]:
    """Up to three of `facts` for each component, in the order of COMPONENTS: what weighs most at `now` comes first.

    The weight is the fact's own (an amount for value, a severity, the weight of its kind; else 1), halved with each of
    the component's half-lives of `form` since it happened. Facts that wait for another one should not be among them.
    """
    ranked: dict[str, list[Ranked]] = {name: [] for name in COMPONENTS}
    half_lives = form.half_lives
    for fact in facts:
        if fact.component is None:
            continue
        age_days = (now - fact.at) / DAY_SECONDS
        for name in _FEEDS.get(fact.component, (fact.component,)):
            faded = 2.0 ** (-age_days / half_lives[_FADING[name]])
            ranked[name].append(Ranked(_own_weight(name, fact) * faded, fact))
    return tuple([row.fact for row in sorted(ranked[name], key=_by_weight)[:MOST_TOP]] for name in COMPONENTS)


def _by_weight(row: Ranked) -> tuple[float, int, str]:
    """Of equal weights the newest first, then by id: reading twice shows the same."""
    return -row.weight, -row.fact.at, row.fact.id


def _own_weight(component: str, fact: Fact) -> int:
    if component == "value":
        return fact.amount
    return fact.severity or fact.weight or 1


def _purchases(state: State, _now: int) -> str | None:
    if not state.n:
        return None
    return "1 purchase" if state.n == 1 else f"{state.n} purchases"


def _refunds(state: State, now: int) -> str | None:
    if not state.r240:
        return "nothing sent back" if state.n else None
    half_life = state.form.refunds
    return _fading("order sent back", "orders sent back", read(state.r240, now, half_life) / 1000, half_life)


def _complaints(state: State, now: int) -> str | None:
    if not (state.c180 or state.open_sev or state.res45):
        return None
    half_life = state.form.complaints
    told = _fading("complaint", "complaints", read(state.c180, now, half_life), half_life)
    return f"{told}; not all resolved" if state.open_sev > 0 else f"{told}; all resolved"


def _of(
    total: str, component: str, singular: str, plural: str, unit: int = 1
) -> Callable[[State, int], str | None]:
    def tell(state: State, now: int) -> str | None:
        accumulated, half_life = getattr(state, total), getattr(state.form, _FADING[component])
        if not accumulated:
            return None
        return _fading(singular, plural, read(accumulated, now, half_life) / unit, half_life)

    return tell


def _fading(singular: str, plural: str, count: float, half_life: int) -> str:
    shown = f"{count:.1f}"
    return f"{shown} {singular if shown == '1.0' else plural}, each counting half after {half_life} days"


_TELL: Final[MappingProxyType[str, Callable[[State, int], str | None]]] = MappingProxyType(
    {
        "momentum": _purchases,
        "rhythm": _purchases,
        "value": _purchases,
        "refunds": _refunds,
        "complaints": _complaints,
        "contacts": _of("con30", "contacts", "contact", "contacts"),
        "satisfaction": _of("sd180", "satisfaction", "answer", "answers", 1000),
        "engagement": _of("eng30", "engagement", "weighted action", "weighted actions", 1000),
        "advocacy": _of("adv365", "advocacy", "recommendation", "recommendations", 1000),
        "loyalty": _of("loy180", "loyalty", "weighted step", "weighted steps", 1000),
    }
)
