"""Models: what is accepted, and what is refused with which words."""

import json
from copy import deepcopy
from importlib.resources import files
from typing import Any

import pytest

from app.domain.health.model import COMPONENTS, Model, shipped

SHIPPED: dict[str, Any] = json.loads(
    files("app.domain.health").joinpath("models", "2026.1.json").read_text("utf-8")
)
BROKEN: list[tuple[str, Any, str]] = [
    ("b_n15", -0.1, "b_n15: must be a number between 0 and 5"),
    ("b_n15", True, "b_n15: must be a number"),
    ("b_n15", "1", "b_n15: must be a number"),
    ("b_n15", float("nan"), "b_n15: must be a number"),
    ("scale", 0, "scale: must be a number between 0.05"),
    ("b_pace", 0.1, "b_pace: must be a number between -5 and 0"),
    ("version", "a b", "version: use"),
    ("mbg_weeks", [1, 2, 3], "mbg_weeks: must be a list of 4 numbers"),
    ("mbg_weeks", [1, 2, 3, 0], "mbg_weeks: must be a number"),
    ("bands", {**SHIPPED["bands"], "healthy": 80}, "bands: the edges must fall"),
    ("bands", {**SHIPPED["bands"], "lost": 5}, "lost must begin at 0"),
    ("bands", {"thriving": 80}, "bands: at_risk, cooling, healthy, lost missing"),
    ("coverage", {**SHIPPED["coverage"], "loyalty": 0.5}, "coverage: the weights must add up to 1"),
    ("coverage", [], "coverage: must be an object"),
    (
        "resolution",
        {**SHIPPED["resolution"], "slow": 1.5},
        "resolution.slow: must be a number between 0 and 1",
    ),
    (
        "resolution",
        {**SHIPPED["resolution"], "csat_missing": 2.5},
        "resolution.csat_missing: must be a whole number",
    ),
    (
        "resolution",
        {**SHIPPED["resolution"], "min": 0.9, "max": 0.8},
        "resolution.min: must not be above max",
    ),
    ("b0", -2, "b0: a first purchase would lower health"),
]


def test_the_shipped_model_is_the_shipped_file_and_reads_back_as_itself() -> None:
    model = shipped()
    assert model.to_json() == SHIPPED
    assert list(model.to_json()) == list(SHIPPED)
    assert Model.parse(json.loads(json.dumps(model.to_json()))) == model
    assert tuple(SHIPPED["coverage"]) == COMPONENTS


@pytest.mark.parametrize("name, value, sentence", BROKEN)
def test_a_model_that_cannot_hold_is_refused_with_a_sentence(name: str, value: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Model.parse({**deepcopy(SHIPPED), name: value})


def test_missing_and_unknown_members_are_refused_by_name_and_by_number() -> None:
    with pytest.raises(ValueError, match="the model: scale missing"):
        Model.parse({name: value for name, value in SHIPPED.items() if name != "scale"})
    with pytest.raises(ValueError, match="the model: 1 unknown"):
        Model.parse({**SHIPPED, "b_moon": 1})
