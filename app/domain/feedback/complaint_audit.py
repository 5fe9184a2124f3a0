"""Whether a complaint is what its log says, and its customer's log what the complaint wrote."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from app.domain.feedback.complaint_records import Complaint, Step, due_at, touchpoint_id
from app.domain.feedback.complaint_states import FORWARD


def disagreements(
    complaint: Complaint,
    steps: Sequence[tuple[int, Step]],
    touchpoints: Mapping[str, bool],
    next_due_at: datetime | None,
) -> list[str]:
    """What is wrong. `steps` with their numbers, in order; `touchpoints` are the ids this complaint has in its
    customer's log, and whether each was voided; `next_due_at` is what its row holds.
    """
    found = [*_of_log(complaint, steps), *_of_touchpoints(complaint, steps, touchpoints)]
    if next_due_at != due_at(complaint):
        found.append("a worker would look at the wrong time")
    return found


def _of_log(complaint: Complaint, steps: Sequence[tuple[int, Step]]) -> Iterator[str]:
    case = complaint.case
    if [number for number, _ in steps] != list(range(1, complaint.entries + 1)):
        yield "its log has not the lines that its row counts"
        return
    told = [step for _, step in steps]
    if told[0].what != "opened" or told[0].state != "received":
        yield "its log does not begin with the receipt"
    if any(not _follows(before, after) for before, after in pairwise(told)):
        yield "its log goes a way that is not allowed"
    if (told[-1].state, told[-1].version) != (case.state, case.version):
        yield f"its row says {case.state}, its log {told[-1].state}"
    if {step.details.get("clock") for step in told if step.what == "breach"} != set(case.breaches):
        yield "its row and its log disagree on broken promises"


def _follows(before: Step, after: Step) -> bool:
    if after.what != "transition":
        return after.state == before.state
    known = FORWARD.get(before.state, ())  # type: ignore[call-overload]  # a text of the log, perhaps no state at all
    legal = after.state in known or after.state in ("merged", "withdrawn")
    return legal and after.details.get("from") == before.state


def _of_touchpoints(
    complaint: Complaint, steps: Sequence[tuple[int, Step]], touchpoints: Mapping[str, bool]
) -> Iterator[str]:
    named = [step for _, step in steps if step.touchpoint_id is not None]
    ids = {step.touchpoint_id for step in named}
    if not ids <= touchpoints.keys():
        yield "a touchpoint that its log names is missing"
    if not touchpoints.keys() <= ids:
        yield "a touchpoint that its log does not name"
    voided = {step.touchpoint_id for step in named if step.state == "merged" and step.what == "transition"}
    if any(not touchpoints.get(one or "", True) for one in voided):
        yield "it was merged, and its opening still counts"
    yield from _of_effects(complaint, ids - {None})


def _of_effects(complaint: Complaint, ids: Collection[str | None]) -> Iterator[str]:
    """Each opening is told once; each is resolved once, but for the last while it is open or was taken back."""
    case = complaint.case
    openings = {touchpoint_id(complaint, f"opened:{number}") for number in range(1, case.openings + 1)}
    answered = case.openings - (0 if case.resolved and case.state != "merged" else 1)
    resolutions = {touchpoint_id(complaint, f"resolved:{number}") for number in range(1, answered + 1)}
    if not openings <= set(ids):
        yield "an opening was never told"
    # A complaint may be merged after it was resolved: then its last opening has its answer.
    told = {one for one in ids if one is not None and ":resolved:" in one}
    last = touchpoint_id(complaint, f"resolved:{case.openings}")
    if told != resolutions and not (case.state == "merged" and told == resolutions | {last}):
        yield "its resolutions were not told once each"
