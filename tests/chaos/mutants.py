"""The service with one safety taken out: what the harness must not let pass. Nothing of this is reachable from app/.

`worker` is the factory that uvicorn calls in each worker process; RAPPORT_CHAOS_MUTANT says which safety goes.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import FastAPI

from app.cli import serve
from app.storage import recording, touchpoints
from app.storage.database import Database
from app.storage.touchpoints import KnownRow
from app.usecases.group_writer import GroupWriter
from app.usecases.lanes import Lanes
from app.usecases.record_touchpoints import Entry, Outcome, record_touchpoints


def _do_not_wait_for_the_disk() -> None:
    made = Database.__init__

    def init(self: Database, url: str, **options: Any) -> None:
        made(self, url, **options)
        self._arguments["server_settings"]["synchronous_commit"] = "off"

    Database.__init__ = init  # type: ignore[method-assign]  # this is what a mutant is


def _do_not_look_for_known_ids() -> None:
    known_row = touchpoints.known_row

    def blind(row: Any) -> KnownRow:
        return replace(known_row(row), stored=None)

    touchpoints.known_row = blind


def _do_not_lock() -> None:
    recording._LOCK_AND_LOAD = recording._LOCK_AND_LOAD.replace("FOR UPDATE", "")


def _do_not_look_again() -> None:
    """Believe what was seen before the lock was had."""
    recording._LOCK_AND_LOAD = recording._LOCK_AND_LOAD.replace(
        "l.version IS DISTINCT FROM", "false AND l.version IS DISTINCT FROM"
    )


def _fail_together() -> None:
    async def write(self: GroupWriter[Any, Any], items: list[Any]) -> Sequence[Any]:
        try:
            return await self._attempt(items)
        except Exception as error:  # noqa: BLE001 - that is the mistake
            return [error] * len(items)

    GroupWriter._write = write  # type: ignore[method-assign]  # this is what a mutant is


def _answer_before_commit() -> None:
    ending: set[asyncio.Task[Any]] = set()

    async def end(transaction: Any) -> None:
        await asyncio.sleep(0.05)
        await transaction.__aexit__(None, None, None)

    async def record(self: Lanes, entries: list[Entry]) -> list[Outcome]:
        transaction = self._database.hot_transaction()
        connection = await transaction.__aenter__()
        outcomes = await record_touchpoints(connection, entries, self._model.current)
        task = asyncio.create_task(end(transaction))
        ending.add(task)
        task.add_done_callback(ending.discard)
        return outcomes

    Lanes._record = record  # type: ignore[method-assign]  # this is what a mutant is


@dataclass(frozen=True, slots=True)
class Mutant:
    """`prepare`: statements for its database. `kills`: what shows it; several clients at once show the others."""

    says: str
    patch: Callable[[], None]
    prepare: Sequence[str] = ()
    kills: Sequence[str] = ()


MUTANTS = {
    "commit_off": Mutant("synchronous_commit off", _do_not_wait_for_the_disk, kills=("postmaster",)),
    "early_answer": Mutant("the answer before the commit", _answer_before_commit, kills=("terminated",)),
    "no_key": Mutant(
        "without the unique key, and the look-up blind",
        _do_not_look_for_known_ids,
        prepare=(
            "ALTER TABLE touchpoints DROP CONSTRAINT pk_touchpoints",
            "CREATE INDEX ix_chaos ON touchpoints (customer_id, source, id)",
        ),
    ),
    "no_lock": Mutant("without the row lock", _do_not_lock),
    "no_second_look": Mutant("without a second look behind a lock that was waited for", _do_not_look_again),
    "no_bisection": Mutant("a group that fails together", _fail_together),
}


def worker() -> FastAPI:
    """The application of one worker of a mutant."""
    MUTANTS[os.environ["RAPPORT_CHAOS_MUTANT"]].patch()
    return serve.worker()
