"""A shop describes a survey, or changes it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.domain.feedback.surveys import survey_of
from app.domain.problems import Conflict, NotFound, Stale
from app.storage import surveys
from app.storage.surveys import StoredSurvey

MOST_SURVEYS: Final = 200
FROM_THE_FIRST: Final = UUID(int=0)


async def define_survey(
    connection: asyncpg.Connection, said: Mapping[str, Any], now: datetime
) -> tuple[StoredSurvey, bool]:
    """The survey and whether it is new: the same may be sent again.

    `said`: the arguments of `survey_of`, and `active`. Raises what that raises, Conflict `survey_exists` or
    `too_many_surveys`.
    """
    given = dict(said)
    active = given.pop("active", True)
    survey = survey_of(**given)
    fresh = StoredSurvey(
        survey,
        given.get("trigger"),
        given.get("limits"),
        active,
        1,
        None if survey.trigger is None else now,
        FROM_THE_FIRST if survey.trigger is not None and survey.trigger.on == "periodic" else None,
        now,
        now,
    )
    known = await surveys.find(connection, survey.code)
    if known is None:
        if len(await surveys.after(connection, "", MOST_SURVEYS)) >= MOST_SURVEYS:
            raise too_many_surveys()
        if await surveys.insert(connection, fresh):
            return fresh, True
        known = await surveys.find(connection, survey.code)
    if known is None or (known.survey, known.active) != (survey, active):
        raise survey_exists()
    return known, False


async def change_survey(
    connection: asyncpg.Connection,
    code: str,
    said: Mapping[str, Any],
    now: datetime,
    *,
    expected_revision: int | None = None,
) -> StoredSurvey:
    """The survey after the members of `said` were replaced: question, channel, trigger, limits, active.

    Kind and scale stay for ever, because a figure is of one kind and one scale. A new trigger counts for what arrives
    from then on. Raises NotFound `survey_not_found`, Stale `stale`, and what `survey_of` raises.
    """
    known = await surveys.lock(connection, code)
    if known is None:
        raise survey_not_found()
    if expected_revision is not None and expected_revision != known.revision:
        raise stale_survey()
    was = known.survey
    survey = survey_of(
        code=code,
        kind=was.kind,
        scale={"min": was.scale.min, "max": was.scale.max, "direction": was.scale.direction},
        question=said.get("question", was.question),
        channel=said.get("channel", was.channel),
        trigger=said.get("trigger", known.trigger),
        limits=said.get("limits", known.limits),
    )
    active = said.get("active", known.active)
    changed = known._replace(
        survey=survey,
        trigger=said.get("trigger", known.trigger),
        limits=said.get("limits", known.limits),
        active=active,
    )
    if changed == known:
        return known
    begins = survey.trigger is not None and (survey.trigger != was.trigger or (active and not known.active))
    if begins and survey.trigger is not None:
        periodic = survey.trigger.on == "periodic"
        changed = changed._replace(triggered_since=now, seeded_after=FROM_THE_FIRST if periodic else None)
    if survey.trigger is None:
        changed = changed._replace(triggered_since=None, seeded_after=None)
    changed = changed._replace(revision=known.revision + 1, updated_at=now)
    await surveys.update(connection, changed)
    return changed


def survey_not_found() -> NotFound:
    """No survey of this code."""
    return NotFound("survey_not_found", "There is no survey of this code.")


def survey_exists() -> Conflict:
    """PATCH changes a survey."""
    return Conflict("survey_exists", "There is a survey of this code already. PATCH changes it.")


def too_many_surveys() -> Conflict:
    """Every sweep looks at all of them."""
    return Conflict("too_many_surveys", f"A shop has at most {MOST_SURVEYS} surveys.")


def stale_survey() -> Stale:
    """If-Match."""
    return Stale("stale", "The survey was changed since.")
