"""`rapport fit` and `rapport backtest --from-log` as their user has them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.fitting.purchases import DAY, Purchases
from app.storage.database import Database
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.models.active_model import ActiveModel
from app.usecases.models.read_shop_log import read_shop_log
from app.usecases.post_touchpoints import post_touchpoints
from tests.cli.test_worker import fetch
from tests.fitting.logs import START, shop
from tests.usecases.posts import NOW, post

DAYS = 300
# The made-up shop ends in its own past; --as-of takes the commands there.
END = datetime.fromtimestamp(START, UTC) + timedelta(days=DAYS)
AS_OF = f"{END:%Y-%m-%d}"


async def open_shop(url: str, log: Purchases) -> None:
    """The log of a made-up shop through the write path."""
    posts = [
        post(
            str(row),
            f"external_id:{log.customer[row]}",
            "refund" if log.is_refund[row] else "purchase",
            days_ago=(NOW.timestamp() - int(log.at[row])) / DAY,
            told=False,
            amount_minor=int(log.amount[row]),
        )
        for row in range(len(log))
    ]
    store = Database(url, pool_size=2, hot_size=4, wait_seconds=5, statement_timeout_seconds=10)
    identities = Identities(store, remembered=1000, queue_limit=5000, group_limit=500)
    lanes = Lanes(store, ActiveModel(store), lanes=2, queue_limit=5000, group_limit=500)
    identities.start()
    lanes.start()
    for start in range(0, len(posts), 2000):
        await post_touchpoints(identities, lanes, posts[start : start + 2000], NOW, may_add_identifiers=True)
    await identities.drain()
    await lanes.drain()
    read = await read_shop_log(store, NOW)
    await store.close()
    assert sorted(zip(read.at, read.amount, read.is_refund, strict=True)) == sorted(
        zip(log.at.tolist(), log.amount.tolist(), log.is_refund.astype(int).tolist(), strict=True)
    )


async def models(url: str) -> list[asyncpg.Record]:
    return await fetch(
        url,
        "SELECT version, status, gate::text, backtest::text, windows::text FROM scoring_models"
        " WHERE version <> '2026.1'",
    )


@pytest.mark.long
async def test_a_fit_is_written_as_a_draft_with_its_trial(
    rapport: Any, on_database: dict[str, str], owner_url: str, tmp_path: Path
) -> None:
    await open_shop(on_database["RAPPORT_DATABASE_URL"], shop(500, DAYS, seed=3))
    arguments = ("fit", "--as-of", AS_OF, "--horizon", "45")
    tried = rapport(*arguments, "--dry-run", env=on_database)
    assert (tried.returncode, tried.stderr) == (0, "")
    assert "Fitted on" in tried.stdout
    assert "was not written" in tried.stdout
    assert await models(owner_url) == []

    done = rapport(*arguments, env=on_database)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Promotion gate: passed" in done.stdout
    (written,) = await models(owner_url)
    assert written["status"] == "draft"
    assert f"Written as a draft: {written['version']}" in done.stdout
    assert json.loads(written["gate"])["passed"] is True
    assert json.loads(written["windows"])["as_of"] == AS_OF
    report = json.loads(written["backtest"])
    assert (report["version"], report["horizon_days"]) == (written["version"], 45)
    assert "the same fit on what was known on" in report["notes"][0]

    again = rapport(*arguments, env=on_database)
    assert "These numbers are written already" in again.stdout
    assert [row["version"] for row in await models(owner_url)] == [written["version"]]

    out = tmp_path / "figures.json"
    compared = rapport("backtest", "--from-log", "--horizon", "45", "--json", str(out), env=on_database)
    assert (compared.returncode, compared.stderr) == (0, "")
    assert "the shop's own log" in compared.stdout
    told = json.loads(out.read_text("utf-8"))
    assert (told["source"]["log"], told["data"]["customers"]) == (True, 500)
    assert told["models"]["rapport"]["auc"] > 0.5


async def test_a_small_shop_is_told_what_it_fell_back_to(
    rapport: Any, on_database: dict[str, str], owner_url: str
) -> None:
    await open_shop(on_database["RAPPORT_DATABASE_URL"], shop(30, DAYS, seed=3))
    done = rapport("fit", "--as-of", AS_OF, env=on_database)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Fell back to the shipped model as it is; nothing was written, because" in done.stdout
    assert await models(owner_url) == []


async def test_before_the_first_purchase_there_is_nothing_to_learn(
    rapport: Any, on_database: dict[str, str]
) -> None:
    done = rapport("fit", "--as-of", "1990-01-01", env=on_database)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "0 purchases and refunds of 0 customers up to 1990-01-01"
    assert "0 customers bought more than once" in done.stdout
    empty = rapport("backtest", "--from-log", env=on_database)
    assert (empty.returncode, empty.stderr) == (0, "")
    assert "The log is empty." in empty.stdout


@pytest.mark.parametrize(
    "arguments, told",
    [
        (("fit", "--as-of", "2999-01-01"), "--as-of 2999-01-01: lies in the future"),
        (("fit", "--as-of", "1969-12-31"), "--as-of 1969-12-31: lies before 1970"),
        (("fit", "--horizon", "0"), "--horizon"),
        (("fit", "--horizon", "10000"), "--horizon"),
        (("backtest", "--from-log", "--horizon", "10000"), "--horizon"),
        (("backtest",), "say either a FILE or --from-log"),
        (("backtest", "shop.csv", "--from-log"), "say either a FILE or --from-log"),
    ],
)
def test_wrong_use_is_told_in_a_line(rapport: Any, arguments: tuple[str, ...], told: str) -> None:
    done = rapport(*arguments)
    assert done.returncode == 2
    assert told in done.stderr
