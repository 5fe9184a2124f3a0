"""Red flags: what a person should see beside the score. They never change it."""

from app.domain.health.model import Model
from app.domain.health.score import usual_gap_days
from app.domain.health.state import State
from app.domain.health.weights import DAY_SECONDS, read

_OVERDUE_GAPS = 3
# A single complaint may read up to 1.0002: the table's rounding, and clocks a few minutes ahead.
_ONE_COMPLAINT = 1.001


def red_flags(
    state: State, now: int, model: Model, *, opted_out: bool = False, tier_at_risk: bool = False
) -> tuple[str, ...]:
    """The flags of `state` at `now` (seconds since 1970), most urgent first.

    `complaint_open`; `complaint_repeated`, more than one in the decayed count; `overdue`, silent for more than three
    usual gaps. `opted_out` (they unsubscribed) and `tier_at_risk` are known from elsewhere.
    """
    overdue = state.t_last is not None and now - state.t_last > _OVERDUE_GAPS * DAY_SECONDS * usual_gap_days(
        state, model
    )
    raised = []
    if state.open_sev > 0:
        raised.append("complaint_open")
    if complaint_repeated(state, now):
        raised.append("complaint_repeated")
    if overdue:
        raised.append("overdue")
    if opted_out:
        raised.append("opted_out")
    if tier_at_risk:
        raised.append("tier_at_risk")
    return tuple(raised)


def complaint_repeated(state: State, now: int) -> bool:
    """Whether there was more than one complaint within living memory (the half-life of complaints)."""
    return read(state.c180, now, state.form.complaints) > _ONE_COMPLAINT
