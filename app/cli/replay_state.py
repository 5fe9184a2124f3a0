"""`rapport replay-state`: every state again from the log, with a progress bar."""

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.cli import environment
from app.cli.failure import PARTIAL, Failure
from app.usecases.models.active_model import ActiveModel
from app.usecases.replay_states import Replay, replay_states


def replay_state(*, dry_run: bool, restart: bool) -> int:
    """Replay the database of the settings, print what was found; returns the exit code."""
    with environment.database(environment.load_settings()) as urls:
        try:
            replay = environment.run(_replay(urls.app, dry_run=dry_run, restart=restart))
        except KeyboardInterrupt:
            again = "" if dry_run else ": run the same command again to go on"
            raise Failure(f"stopped{again}", exit_code=PARTIAL) from None
    _print(replay, dry_run=dry_run)
    return PARTIAL if replay.failed or (dry_run and replay.changed) else 0


async def _replay(url: str, *, dry_run: bool, restart: bool) -> Replay:
    progress = Progress(
        TextColumn("Comparing" if dry_run else "Replaying"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    async with environment.opened(url) as database:
        model = ActiveModel(database)
        await model.refresh()
        with progress:
            task = progress.add_task("")

            def watch(replay: Replay, customers: int) -> None:
                # New customers may come while we count.
                progress.update(task, completed=replay.replayed, total=max(customers, replay.replayed))

            return await replay_states(database, model.current, dry_run=dry_run, restart=restart, watch=watch)


def _print(replay: Replay, *, dry_run: bool) -> None:
    # Another program that reads this must not get lines folded to 80 columns.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    for one in replay.first:
        console.print(f"customer {one.customer_id}: {one.what}", markup=False)
    named, differing = len(replay.first), replay.changed + replay.failed
    if replay.first and differing > named:
        console.print(f"... and {differing - named:,} more")
    if replay.resumed:
        console.print(f"went on after {replay.resumed:,} customers of an earlier run")
    would = "would change" if dry_run else "changed"
    console.print(
        f"{replay.replayed:,} states replayed, {replay.changed:,} {would}, {replay.failed:,} failed"
    )
    if replay.moved:
        console.print(f"{replay.moved:,} of them to the half-lives of the active model")
    if replay.kept:
        console.print(
            f"{replay.kept:,} keep the half-lives they have, and their model: a part of their log was purged"
        )
    for version in replay.retired:
        console.print(f"model {version} scores nobody any more and is retired", markup=False)
