"""`rapport replay` against a real service: nothing twice, nothing lost, and the order of rows does not matter."""

import asyncio
import csv
import gzip
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.domain import keys
from app.storage.database import connect_arguments

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
COLUMNS = (
    "--customer-column",
    "who",
    "--time-column",
    "when",
    "--amount-column",
    "paid",
    "--currency",
    "EUR",
)


@pytest.fixture
def shop_file(tmp_path: Path) -> Path:
    """600 rows of 40 customers: purchases, refunds, zeros, and rows that are wholly alike."""
    chance = random.Random(5)
    rows = [
        (f"c{chance.randint(1, 40)}", f"2020-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}", amount)
        for amount in chance.choices(["10.00", "19.99", "0", "-5.5", "250"], k=570)
    ]
    rows += rows[:30]
    path = tmp_path / "shop.csv.gz"
    with gzip.open(path, "wt") as text:
        csv.writer(text).writerows([("who", "when", "paid"), *rows])
    return path


def fetch(url: str, query: str) -> list[tuple[Any, ...]]:
    async def rows() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(**connect_arguments(url))
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    # A loop of its own, which leaves the loop of the tests alone.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(rows())


def states(url: str) -> list[tuple[Any, ...]]:
    return fetch(
        url,
        "SELECT value_key, state FROM customer_states JOIN customer_identifiers USING (customer_id) ORDER BY 1",
    )


def log(url: str) -> list[tuple[Any, ...]]:
    return fetch(url, "SELECT kind, count(*), sum(amount_minor) FROM touchpoints GROUP BY 1 ORDER BY 1")


def figures(printed: str) -> dict[str, str]:
    """The table at the end, as a dictionary."""
    cells = [line.split("│")[1:3] for line in printed.splitlines() if line.startswith("│")]
    return {name.strip(): value.strip().replace(",", "") for name, value in cells}


def counts(printed: str) -> tuple[int, int, int]:
    found = figures(printed)
    return int(found["stored"]), int(found["duplicates (known already)"]), int(found["rejected"])


def test_a_second_replay_stores_nothing_and_any_order_gives_the_same_states(
    rapport: Any, serve: Any, database_server: Any, template_database: str, shop_file: Path
) -> None:
    found = []
    with (
        database_server.database(template_database) as one,
        database_server.database(template_database) as two,
    ):
        for name, order in ((one, ()), (two, ("--shuffle", "3", "--batch", "7", "--concurrency", "8"))):
            url = database_server.app_url(name)
            environment = {
                "RAPPORT_DATABASE_URL": url,
                "RAPPORT_MIGRATION_URL": database_server.owner_url(name),
            }
            serving = serve("--port", "0", env=environment)
            to = ("--url", serving.url, "--key", serving.key)
            first = rapport("replay", str(shop_file), *COLUMNS, *to, *order)
            assert (first.returncode, counts(first.stdout)) == (0, (600, 0, 0)), first.stderr
            before = states(url)
            again = rapport("replay", str(shop_file), *COLUMNS, *to)
            assert (again.returncode, counts(again.stdout)) == (0, (0, 600, 0))
            assert states(url) == before
            found.append((before, log(url)))
            assert serving.end(15) == 0
    assert found[0] == found[1]


def test_counts_and_sums_in_the_database_equal_those_of_the_file(
    rapport: Any, serve: Any, on_database: dict[str, str], shop_file: Path
) -> None:
    serving = serve("--port", "0", env=on_database)
    done = rapport("replay", str(shop_file), *COLUMNS, "--url", serving.url, env={"RAPPORT_KEY": serving.key})
    with gzip.open(shop_file, "rt") as text:
        amounts = [Decimal(row["paid"]) for row in csv.DictReader(text)]
    bought = [amount for amount in amounts if amount >= 0]
    returned = [-amount for amount in amounts if amount < 0]
    assert log(on_database["RAPPORT_DATABASE_URL"]) == [
        ("purchase", len(bought), sum(bought) * 100),
        ("refund", len(returned), sum(returned) * 100),
    ]
    found = figures(done.stdout)
    assert Decimal(found["sum of purchases"].removesuffix(" EUR")) == sum(bought)
    assert Decimal(found["sum of refunds"].removesuffix(" EUR")) == sum(returned)


def test_what_the_service_refuses_is_counted_shown_and_ends_in_exit_code_1(
    rapport: Any, serve: Any, on_database: dict[str, str], tmp_path: Path
) -> None:
    serving = serve("--port", "0", env=on_database)
    path = tmp_path / "odd.csv"
    path.write_text(
        "who,when,paid\na,2020-01-01,5\nb,2999-01-01,5\nc/d,2020-01-01,5\n,2020-01-01,5\ne,soon,5\n"
    )
    done = rapport("replay", str(path), *COLUMNS, "--url", serving.url, "--key", serving.key)
    assert done.returncode == 1
    assert counts(done.stdout) == (1, 0, 3)
    assert "in_the_future" in done.stderr
    assert "row 6: bad_time" in done.stderr
    assert "1 rows name no customer" in done.stderr


def test_a_key_that_may_not_write_or_is_unknown_is_one_line(
    rapport: Any, serve: Any, on_database: dict[str, str], shop_file: Path
) -> None:
    serving = serve("--port", "0", env=on_database)
    unknown = keys.new_key(publishable=False)
    done = rapport("replay", str(shop_file), *COLUMNS, "--url", serving.url, "--key", unknown)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("rapport: the service refused the key (401 key_invalid)")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments, says",
    [
        (("nowhere.csv", *COLUMNS), "nowhere.csv: No such file or directory"),
        (("shop.csv.gz", *COLUMNS[:-1], "XTS"), "--currency XTS: not an ISO 4217 code"),
        (("shop.csv.gz", *COLUMNS, "--time-zone", "Mars"), "--time-zone Mars: not a time zone"),
        (("shop.csv.gz", *COLUMNS, "--order-column", "no"), "no column 'no'; there are: who, when, paid"),
        (("shop.csv.gz", *COLUMNS, "--url", "http://127.0.0.1:9"), "cannot reach http://127.0.0.1:9"),
        (("shop.csv.gz", *COLUMNS, "--key", "rap_sk_x"), "the key is malformed"),
        (("shop.csv.gz", *COLUMNS, "--key", ""), "no key: give --key"),
    ],
)
@pytest.mark.usefixtures("shop_file")
def test_wrong_use_is_one_line_and_exit_code_2(rapport: Any, arguments: tuple[str, ...], says: str) -> None:
    done = rapport("replay", *arguments, env={"RAPPORT_KEY": keys.new_key(publishable=False)})
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert says in done.stderr
