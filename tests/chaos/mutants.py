"""The service with one safety taken out: what the harness must not let pass. Nothing of this is reachable from app/.

`worker` is the factory that uvicorn calls in each worker process; RAPPORT_CHAOS_MUTANT says which safety goes.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from app.cli import process
from app.domain.loyalty import spending
from app.settings import Settings
from app.storage import recording, states, touchpoints
from app.storage.database import Database, Seat
from app.storage.loyalty import at_once, plain_earns, saving
from app.storage.touchpoints import KnownRow
from app.usecases.group_writer import GroupWriter
from app.usecases.lanes import Lanes
from app.usecases.record_touchpoints import Entry, Outcome, record_touchpoints


def _do_not_wait_for_the_disk() -> None:
    made = Database.__init__

    def init(self: Database, url: str, **options: Any) -> None:
        made(self, url, **options)
        for arguments in (self._arguments, self._hot_arguments):
            arguments["server_settings"]["synchronous_commit"] = "off"

    Database.__init__ = init  # type: ignore[method-assign]  # this is what a mutant is


def _do_not_look_for_known_ids() -> None:
    known_row = touchpoints.known_row

    def blind(row: Any) -> KnownRow:
        return known_row(row)._replace(stored=None)

    touchpoints.known_row = blind


def _do_not_lock() -> None:
    states._LOCK = states._LOCK.replace("FOR UPDATE", "")
    recording._WRITE_UNCHANGED = recording._WRITE_UNCHANGED.replace("FOR UPDATE", "")


def _do_not_check() -> None:
    """Believe that what was read still stands when it is written."""
    recording._WRITE_UNCHANGED = recording._WRITE_UNCHANGED.replace(
        "count(*) = cardinality($3::uuid[])", "count(*) >= 0"
    )
    for name in ("_WRITE_UNCHANGED_ONE", "_WRITE_UNCHANGED_ROW"):
        safe = getattr(recording, name)
        setattr(recording, name, safe.replace("AND s.xmin::text = new.version", ""))


def _fail_together() -> None:
    async def write(self: GroupWriter[Any, Any], items: list[Any]) -> Sequence[Any]:
        try:
            return await self._attempt(items)
        except Exception as error:  # noqa: BLE001 - that is the mistake
            return [error] * len(items)

    GroupWriter._write = write  # type: ignore[method-assign]  # this is what a mutant is


def _answer_before_commit() -> None:
    ending: set[asyncio.Task[Any]] = set()

    async def end(connection: Any, transaction: Any) -> None:
        await asyncio.sleep(0.05)
        await transaction.commit()
        await connection.close()

    async def record(self: Lanes, seat: Seat, entries: list[Entry]) -> list[Outcome]:
        connection = await seat._connect()
        transaction = connection.transaction()
        await transaction.start()
        outcomes = await record_touchpoints(connection, entries, self._model.current, self._earning())
        task = asyncio.create_task(end(connection, transaction))
        ending.add(task)
        task.add_done_callback(ending.discard)
        return outcomes

    Lanes._record = record  # type: ignore[method-assign]  # this is what a mutant is


def _capture_whatever_became_of_it() -> None:
    spending._check_open = lambda hold: None  # noqa: ARG005 - a keyword of the original


def _overwrite_accounts() -> None:
    """Believe that the account that was read is still the one that is written."""
    for parts, name in ((saving._PARTS, "changed"), (plain_earns._CTES, "earned_accounts")):
        assert isinstance(parts, dict)
        compared = "AND a.revision = new.was_revision AND a.seq = new.was_seq"
        assert compared in parts[name]
        parts[name] = parts[name].replace(compared, "")
    made = at_once._statement
    at_once._statement = lambda names: made(names).replace(  # type: ignore[assignment]  # this is what a mutant is
        "USING (customer_id, version)", "USING (customer_id)"
    )


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
    "no_check": Mutant("without a look whether what was read still stands", _do_not_check),
    "no_bisection": Mutant("a group that fails together", _fail_together),
    "no_hold_state": Mutant(
        "a capture that does not ask what became of its hold", _capture_whatever_became_of_it
    ),
    "no_account_guard": Mutant("without a look whether an account was written since", _overwrite_accounts),
}


def worker() -> FastAPI:
    """The application of one worker of a mutant."""
    MUTANTS[os.environ["RAPPORT_CHAOS_MUTANT"]].patch()
    return process.worker(Settings())
