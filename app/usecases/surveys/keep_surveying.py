"""The sweep of surveys, again and again beside the requests."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime

import structlog

from app.domain.problems import Unavailable
from app.storage.database import Database, is_canceled, is_retryable
from app.usecases.surveys.signing import Signing
from app.usecases.surveys.sweep_surveys import SurveysSwept, sweep_surveys

log = structlog.get_logger(__name__)


async def survey_once(database: Database, signing: Signing, now: datetime) -> SurveysSwept:
    """One sweep."""
    return await sweep_surveys(database, (await signing.secrets()).pepper, now)


async def keep_surveying(database: Database, signing: Signing, pause_seconds: float) -> None:
    """`survey_once` every `pause_seconds`, the first after one pause, until cancelled.

    A database that is away is tried again next time.
    """
    away = False
    while True:
        await asyncio.sleep(pause_seconds)
        try:
            swept = await survey_once(database, signing, datetime.now(UTC))
        except Exception as error:
            passes = isinstance(error, Unavailable) or is_retryable(error) or is_canceled(error)
            if not passes:
                log.exception("surveys_not_swept")
            elif not away:
                log.warning("surveys_not_swept", error=type(error).__name__)
            away = True
        else:
            away = False
            if swept != SurveysSwept():
                log.info("surveys_swept", **asdict(swept))
