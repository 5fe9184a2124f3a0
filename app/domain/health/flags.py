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
    raised = {
        "complaint_open": state.open_sev > 0,
        "complaint_repeated": complaint_repeated(state, now),
        "overdue": overdue,
        "opted_out": opted_out,
        "tier_at_risk": tier_at_risk,
    }
    return tuple(name for name, up in raised.items() if up)


def complaint_repeated(state: State, now: int) -> bool:
    """Whether there was more than one complaint within living memory (half-life 180 days)."""
    return read(state.c180, now, 180) > _ONE_COMPLAINT
