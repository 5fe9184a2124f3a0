"""Versions of the scoring model: what may be proposed, and what may be published."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from app.domain.health.model import Model, ModelFault, number
from app.domain.health.resolution import RESOLUTION

HALF_LIVES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "purchases_short": 15,
        "purchases_middle": 60,
        "purchases_long": 240,
        "value": 120,
        "refunds": 240,
        "contacts": 30,
        "complaints_resolved": 45,
        "complaints": 180,
        "satisfaction": 180,
        "engagement": 30,
        "advocacy": 365,
        "loyalty": 180,
    }
)
"""Days in which each sum of a stored state halves. A model may name them; only these can be read from a state."""

_RESOLUTION_RANGES: Final = MappingProxyType(
    {
        "base": (0, 1),
        "slow": (0, 1),
        "half_days": (0.1, 3650),
        "per_csat": (0, 1),
        "min": (0, 1),
        "max": (0, 1),
        "csat_missing": (1, 5),
    }
)
_NESTED: Final = ("bands", "coverage", "resolution", "half_lives")
# Of the state's schema, not of the score's: other numbers mean that every state is computed again from its log.
_OF_THE_STATE: Final = ("resolution", "half_lives")


class Gate(NamedTuple):
    """Whether a model may take the place of the active one, judged on the newest closed window; and why not."""

    passed: bool
    reasons: Sequence[str]


def completed(version: str, given: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a version that says `given` and leaves the rest as `base` (another version's) has it.

    Members of members (`bands`, `coverage`, `resolution`, `half_lives`) are completed too. Raises ModelFault.
    """
    if given.get("version", version) != version:
        raise ModelFault("version", "inconsistent", "must be the version that is being written.")
    parameters = {**base, **given, "version": version}
    for name in _NESTED:
        theirs, ours = given.get(name), base.get(name)
        if name == "half_lives" and name in given and ours is None:
            ours = dict(HALF_LIVES)
        if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
            parameters[name] = {**ours, **theirs}
    read(parameters)
    return parameters


def read(parameters: Mapping[str, Any]) -> Model:
    """The model in these parameters, as far as it reads states; what it wants of their schema is checked for sense.

    Raises ModelFault.
    """
    resolution = parameters.get("resolution", asdict(RESOLUTION))
    _check("resolution", resolution, _RESOLUTION_RANGES)
    half_lives = parameters.get("half_lives", HALF_LIVES)
    _check("half_lives", half_lives, dict.fromkeys(HALF_LIVES, (1, 3650)))
    ours = {name: value for name, value in parameters.items() if name not in _OF_THE_STATE}
    return Model.parse({**ours, "resolution": asdict(RESOLUTION)})


def _check(where: str, given: object, ranges: Mapping[str, tuple[float, float]]) -> None:
    if not isinstance(given, Mapping):
        raise ModelFault(where, "wrong_type", "must be an object.")
    if given.keys() != ranges.keys():
        raise ModelFault(where, "unknown_member", f"the members are {', '.join(ranges)}.")
    for name, span in ranges.items():
        number(f"{where}.{name}", given[name], *span)


def schema_differences(parameters: Mapping[str, Any]) -> list[str]:
    """What these parameters want of stored states that they do not hold, in sentences; none: it can score them."""
    told = []
    for where, held in (("half_lives", HALF_LIVES), ("resolution", asdict(RESOLUTION))):
        wanted = parameters.get(where, held)
        told += [
            f"{where}.{name} is {wanted[name]}, and stored states hold {value}."
            for name, value in held.items()
            if wanted[name] != value
        ]
    return told
