"""Versions of the scoring model: what may be proposed, and what may be published."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from app.domain.health.form import SHIPPED, Form
from app.domain.health.model import Model, ModelFault

_NESTED: Final = ("bands", "coverage", "resolution", "half_lives")


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
            ours = SHIPPED.half_lives
        if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
            parameters[name] = {**ours, **theirs}
    read(parameters)
    return parameters


def read(parameters: Mapping[str, Any]) -> Model:
    """The model in stored parameters. Raises ModelFault."""
    return Model.parse(parameters)


def form_differences(wanted: Form, held: Form) -> list[str]:
    """What one form wants that another does not hold, in sentences; none: they are the same."""
    told = [
        f"half_lives.{name} is {days}, and stored states hold {held.half_lives[name]}."
        for name, days in wanted.half_lives.items()
        if days != held.half_lives[name]
    ]
    left = asdict(held.resolution)
    return told + [
        f"resolution.{name} is {value}, and stored states hold {left[name]}."
        for name, value in asdict(wanted.resolution).items()
        if value != left[name]
    ]
