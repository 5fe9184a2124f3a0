"""A scoring model: every coefficient of the score. Changing them changes how a state is read, never the state."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.resources import files
from itertools import pairwise
from math import isclose, log
from types import MappingProxyType
from typing import Any, Final, Self

from app.domain.health.form import HALF_LIVES, SHIPPED, Form, form_of
from app.domain.health.mbg import purchase_probability
from app.domain.health.resolution import Resolution
from app.domain.health.state import State, adopting
from app.domain.problems import Unavailable

COMPONENTS: Final = (
    "momentum",
    "rhythm",
    "value",
    "refunds",
    "complaints",
    "contacts",
    "satisfaction",
    "engagement",
    "advocacy",
    "loyalty",
)
"""The parts of the score, in the order in which every tuple of terms, contributions and weights has them."""

BANDS: Final = ("thriving", "healthy", "cooling", "at_risk", "lost")
"""From best to worst; `unknown` stands beside them when there is no evidence."""

_RANGES: Final = MappingProxyType(
    {
        "horizon_days": (1, 3650),
        "churn_window_days": (1, 3650),
        "margin": (0, 1),
        "discount_per_year": (0, 1),
        "b0": (-20, 20),
        "ref": (-20, 20),
        "scale": (0.05, 20),
        "c_mbg_logit": (0, 5),
        "p_clip": (1e-9, 0.01),
        "b_n15": (0, 5),
        "b_n60": (0, 5),
        "b_n240": (0, 5),
        "n_floor": (0.001, 1),
        "b_ln1x": (0, 5),
        "b_pace": (-5, 0),
        "b_pace2": (-5, 0),
        "b_tenure": (0, 5),
        "gap_prior_days": (1, 3650),
        "b_value": (0, 5),
        "value_unit_minor": (1, 1_000_000),
        "w_refund": (0, 10),
        "refund_pseudo": (0.1, 100),
        "complaint_max": (0, 20),
        "complaint_load": (0.1, 100),
        "open_age_days": (0.1, 3650),
        "repeat_extra": (0, 10),
        "w_contact": (0, 10),
        "contact_free": (0, 100),
        "contact_max": (0, 20),
        "w_satisfaction": (0, 10),
        "satisfaction_pseudo": (0.1, 100),
        "w_engagement": (0, 10),
        "w_advocacy": (0, 10),
        "w_loyalty": (0, 10),
    }
)

# The sign of each coefficient is part of the promise (a purchase never lowers, a complaint never raises), so the
# ranges above hold it; these two are lists of positive numbers.
_LISTS: Final = MappingProxyType({"mbg_weeks": 4, "gamma_gamma_major_units": 3})
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
_HALF_LIFE_DAYS: Final = (1, 3650)
# What says the form of the states that a model reads, in its JSON.
_OF_THE_FORM: Final = ("resolution", "half_lives")
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,63}")
_HALF_DAY_IN_WEEKS: Final = 0.5 / 7


class ModelFault(ValueError):
    """What is wrong with a model, in one sentence that begins with the member's name.

    `member` is that name, "coverage.loyalty", or empty for the whole; `code` is a stable word: `wrong_type`,
    `out_of_range`, `required`, `unknown_member`, `unknown_component`, `unknown_band`, `inconsistent`,
    `invalid_version`.
    """

    def __init__(self, member: str, code: str, sentence: str) -> None:
        super().__init__(f"{member or 'the model'}: {sentence}")
        self.member = member
        self.code = code
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Model:
    """The numbers of one model version (docs: health). Times are in days unless the name says weeks.

    `mbg_weeks` is (r, alpha, a, b) of MBG/NBD, `gamma_gamma_major_units` (p, q, gamma). `bands` are the lower edges in
    points in the order of BANDS, `coverage` the weights of COMPONENTS, which add up to 1. `form` is that of the states
    it reads. `earlier` are the models that go on scoring the customers whose states have another form: those that no
    replay has reached yet, or none can. They are no part of the version.
    """

    version: str
    horizon_days: float
    churn_window_days: float
    mbg_weeks: tuple[float, ...]
    gamma_gamma_major_units: tuple[float, ...]
    margin: float
    discount_per_year: float
    b0: float
    ref: float
    scale: float
    c_mbg_logit: float
    p_clip: float
    b_n15: float
    b_n60: float
    b_n240: float
    n_floor: float
    b_ln1x: float
    b_pace: float
    b_pace2: float
    b_tenure: float
    gap_prior_days: float
    b_value: float
    value_unit_minor: float
    w_refund: float
    refund_pseudo: float
    complaint_max: float
    complaint_load: float
    open_age_days: float
    repeat_extra: float
    w_contact: float
    contact_free: float
    contact_max: float
    w_satisfaction: float
    satisfaction_pseudo: float
    w_engagement: float
    w_advocacy: float
    w_loyalty: float
    bands: tuple[float, ...]
    coverage: tuple[float, ...]
    form: Form = SHIPPED
    earlier: "tuple[Model, ...]" = field(default=(), compare=False, repr=False)

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Self:
        """The model in a JSON object with exactly these members. ModelFault when it cannot hold.

        `half_lives` may be missing: then they are the shipped ones. Refused besides unknown, missing and out-of-range
        numbers: band edges that do not fall, coverage that does not add up to 1, half-lives that are no whole days, and
        a first purchase that would lower health.
        """
        names = {one.name for one in fields(cls)} - {"form", "earlier"} | set(_OF_THE_FORM)
        if "half_lives" not in given:
            given = {**given, "half_lives": SHIPPED.half_lives}
        _members("", given, names, "unknown_member")
        version = given["version"]
        check_version(version)
        numbers: dict[str, Any] = {name: number(name, given[name], *span) for name, span in _RANGES.items()}
        lists: dict[str, Any] = {name: _positives(name, given[name], count) for name, count in _LISTS.items()}
        model = cls(
            version=version,
            **numbers,
            **lists,
            bands=_band_edges(given["bands"]),
            coverage=_coverage(given["coverage"]),
            form=form_of(_half_lives(given["half_lives"]), _resolution(given["resolution"])),
        )
        fresh = model.first_purchase_momentum()
        if fresh < 0:
            raise ModelFault(
                "b0",
                "inconsistent",
                f"a first purchase would lower health, its momentum is {fresh:.3f} and must be >= 0.",
            )
        return model

    def to_json(self) -> dict[str, Any]:
        """The JSON object that `parse` reads back to an equal model, members in the order of the shipped file."""
        # Without the others, which asdict would copy too.
        numbers = asdict(replace(self, earlier=()))
        del numbers["form"], numbers["earlier"]
        form = self.form
        return {
            **numbers,
            "mbg_weeks": list(self.mbg_weeks),
            "gamma_gamma_major_units": list(self.gamma_gamma_major_units),
            "bands": dict(zip(BANDS, self.bands, strict=True)),
            "coverage": dict(zip(COMPONENTS, self.coverage, strict=True)),
            "resolution": asdict(form.resolution),
            # The shipped ones go without saying: versions that were hashed before they could be named stay the same.
            **({} if form[:-1] == SHIPPED[:-1] else {"half_lives": form.half_lives}),
        }

    def of(self, state: State) -> "Model":
        """The model that scores `state`: this one, or the one for states of its form. A state of nothing is read by
        this one. Raises Unavailable `busy` when the form came with a publication that this process has not seen yet.
        """
        form = state.form
        if form is self.form:
            return self
        found = self.reading(form)
        if found is None and not state.is_empty:
            raise Unavailable("busy", "A scoring model was just published; try again.", retry_after_seconds=1)
        return found if found is not None and not state.is_empty else self

    def reading(self, form: Form) -> "Model | None":
        """The model in play that reads states of `form`."""
        return next((one for one in (self, *self.earlier) if one.form == form), None)

    def taking(self, state: State) -> State:
        """The state to add a fact to: while nothing has counted yet it takes this model's form."""
        return adopting(state, self.form)

    @property
    def versions(self) -> list[str]:
        """All versions that score somebody."""
        return [self.version, *(one.version for one in self.earlier)]

    def first_purchase_momentum(self) -> float:
        """The momentum term (log-odds) in the second after a first purchase."""
        p = purchase_probability(0, 0, _HALF_DAY_IN_WEEKS, self.horizon_days / 7, self.mbg_weeks)
        p = min(1 - self.p_clip, max(self.p_clip, p))
        recent = (self.b_n15 + self.b_n60 + self.b_n240) * log(1 + self.n_floor)
        return self.b0 - self.ref + self.c_mbg_logit * log(p / (1 - p)) + recent


def shipped() -> Model:
    """The model that comes with this release. Reads package data: call it once, when the process starts."""
    text = files("app.domain.health").joinpath("models", "2026.1.json").read_text("utf-8")
    return Model.parse(json.loads(text))


def check_version(version: object) -> None:
    """Raises ModelFault unless it can name a model, also in a path."""
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise ModelFault(
            "version",
            "invalid_version",
            "use up to 64 letters, digits, dots, dashes, plus signs and underscores.",
        )


def number(name: str, value: object, lowest: float, highest: float) -> float:
    """`value` when it is a number in this range. Raises ModelFault."""
    wrong = f"must be a number between {lowest} and {highest}."
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ModelFault(name, "wrong_type", wrong)
    if not lowest <= value <= highest:
        raise ModelFault(name, "out_of_range", wrong)
    return value


def _members(where: str, given: object, names: set[str], stranger: str) -> Mapping[str, object]:
    if not isinstance(given, Mapping):
        raise ModelFault(where, "wrong_type", "must be an object.")
    missing = sorted(names - given.keys())
    if missing:
        raise ModelFault(where, "required", f"{', '.join(missing)} missing.")
    unknown = len(given.keys() - names)
    if unknown:
        raise ModelFault(where, stranger, f"{unknown} unknown; the members are {', '.join(sorted(names))}.")
    return given


def _positives(name: str, values: object, count: int) -> tuple[float, ...]:
    if not isinstance(values, list | tuple) or len(values) != count:
        raise ModelFault(name, "wrong_type", f"must be a list of {count} numbers.")
    return tuple(number(name, value, 1e-6, 1e6) for value in values)


def _band_edges(given: object) -> tuple[float, ...]:
    members = _members("bands", given, set(BANDS), "unknown_band")
    edges = tuple(number(f"bands.{name}", members[name], 0, 100) for name in BANDS)
    if edges[-1] != 0 or any(better <= worse for better, worse in pairwise(edges)):
        raise ModelFault(
            "bands", "inconsistent", "the edges must fall from thriving to lost, and lost must begin at 0."
        )
    return edges


def _coverage(given: object) -> tuple[float, ...]:
    members = _members("coverage", given, set(COMPONENTS), "unknown_component")
    weights = tuple(number(f"coverage.{name}", members[name], 0, 1) for name in COMPONENTS)
    if not isclose(sum(weights), 1):
        raise ModelFault("coverage", "inconsistent", "the weights must add up to 1.")
    return weights


def _half_lives(given: object) -> dict[str, int]:
    members = _members("half_lives", given, set(HALF_LIVES), "unknown_member")
    days = {name: number(f"half_lives.{name}", members[name], *_HALF_LIFE_DAYS) for name in HALF_LIVES}
    for name, value in days.items():
        if value != int(value):
            raise ModelFault(f"half_lives.{name}", "wrong_type", "must be a whole number of days.")
    if days["refunds"] != days["purchases_long"]:
        raise ModelFault(
            "half_lives.refunds",
            "inconsistent",
            "must be that of purchases_long: refunds are weighed against the purchases of the same time.",
        )
    return {name: int(value) for name, value in days.items()}


def _resolution(given: object) -> Resolution:
    members = _members("resolution", given, set(_RESOLUTION_RANGES), "unknown_member")
    numbers: dict[str, Any] = {
        name: number(f"resolution.{name}", members[name], *span) for name, span in _RESOLUTION_RANGES.items()
    }
    if numbers["csat_missing"] != int(numbers["csat_missing"]):
        raise ModelFault("resolution.csat_missing", "wrong_type", "must be a whole number.")
    if numbers["min"] > numbers["max"]:
        raise ModelFault("resolution.min", "inconsistent", "must not be above max.")
    return Resolution(**{**numbers, "csat_missing": int(numbers["csat_missing"])})
