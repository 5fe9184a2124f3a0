"""`rapport loyalty import`, on a database of the test's own."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.storage.database import connect_arguments
from app.usecases.loyalty.keep_programs import create_program, draft_version, publish_version

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLUB = {"code": "main", "name": "Club", "currency": "EUR", "time_zone": "Europe/Berlin"}
FILE = """customer,points,expires_at
ada,100,2097-12-31
bob,50,2097-12-31T12:00:00
bob,50,2097-12-31T12:00:00
cy,7,

dan,0,
,5,
eve,1.5,
finn,5,2020-01-01
gus,5,soon
hal,5
"""


async def fetch(url: str, query: str) -> list[Any]:
    connection = await asyncpg.connect(**connect_arguments(url))
    rows: list[Any] = await connection.fetch(query)
    await connection.close()
    return rows


@pytest.fixture
def club(owner_url: str) -> None:
    async def make() -> None:
        connection = await asyncpg.connect(**connect_arguments(owner_url))
        await create_program(connection, CLUB, "admin", NOW)
        await draft_version(connection, "main", {"earning_rules": []}, "admin", NOW)
        await publish_version(connection, "main", 1, NOW, "admin", NOW)
        await connection.close()

    asyncio.run(make())


@pytest.fixture
def balances(tmp_path: Path) -> Path:
    path = tmp_path / "balances.csv"
    path.write_text(FILE)
    return path


LOTS = """
SELECT i.value, l.remaining, l.expires_at FROM loyalty_lots l
JOIN customer_identifiers i ON i.customer_id = l.customer_id ORDER BY i.value, l.lot
"""


@pytest.mark.usefixtures("club")
def test_balances_are_booked_once_and_bad_rows_are_named(
    rapport: Any, on_database: dict[str, str], balances: Path
) -> None:
    url = on_database["RAPPORT_DATABASE_URL"]
    tried = rapport("loyalty", "import", str(balances), "--dry-run", env=on_database)
    assert tried.returncode == 1, tried.stderr
    assert "would be booked │ 4" in " ".join(tried.stdout.split())
    assert asyncio.run(fetch(url, "SELECT 1 FROM customers")) == []

    done = rapport("loyalty", "import", str(balances), env=on_database)
    assert done.returncode == 1, done.stderr
    said = [line.split(": ")[:2] for line in done.stderr.splitlines()]
    assert said == [
        ["line 7", "invalid_points"],
        ["line 8", "no_customer"],
        ["line 9", "invalid_points"],
        ["line 10", "already_expired"],
        ["line 11", "bad_time"],
        ["line 12", "bad_row"],
    ]
    end = datetime(2097, 12, 31, 23, tzinfo=UTC)
    noon = datetime(2097, 12, 31, 11, tzinfo=UTC)
    expected = [("ada", 100, end), ("bob", 50, noon), ("bob", 50, noon), ("cy", 7, None)]
    assert [tuple(row) for row in asyncio.run(fetch(url, LOTS))] == expected

    again = rapport("loyalty", "import", str(balances), env=on_database)
    assert "known from before │ 4" in " ".join(again.stdout.split())
    assert [tuple(row) for row in asyncio.run(fetch(url, LOTS))] == expected

    # A file that has grown, in another order, books what is new.
    lines = FILE.splitlines()
    balances.write_text("\n".join([lines[0], "zoe,9,", *reversed(lines[1:5])]))
    more = rapport("loyalty", "import", str(balances), env=on_database)
    assert more.returncode == 0, more.stderr
    assert "booked │ 1 │" in " ".join(more.stdout.split())
    assert len(asyncio.run(fetch(url, LOTS))) == 5
    verified = rapport("verify", env=on_database)
    assert verified.returncode == 0, verified.stdout


@pytest.mark.usefixtures("club")
def test_ids_of_a_column_are_what_a_row_is_known_by(
    rapport: Any, on_database: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "old.csv"
    path.write_text("number,member,points\n1,ada@x.org,5\n2,ada@x.org,5\n,bob@x.org,5\n")
    options = ["--customer-column", "member", "--identifier-type", "email", "--id-column", "number"]
    options += ["--expires-column", ""]
    done = rapport("loyalty", "import", str(path), *options, env=on_database)
    assert done.stderr.startswith("line 4: no_id"), done.stderr
    path.write_text("number,member,points\n1,ada@x.org,6\n2,ada@x.org,5\n")
    again = rapport("loyalty", "import", str(path), *options, env=on_database)
    assert again.stderr.startswith("line 2: id_reused"), again.stderr
    rows = asyncio.run(fetch(on_database["RAPPORT_DATABASE_URL"], LOTS))
    assert [row["remaining"] for row in rows] == [5, 5]


def test_what_is_not_there_is_said(rapport: Any, on_database: dict[str, str], balances: Path) -> None:
    done = rapport("loyalty", "import", str(balances), "--program", "x", env=on_database)
    assert (done.returncode, done.stderr) == (2, "rapport: there is no loyalty programme 'x'\n")


@pytest.mark.usefixtures("club")
def test_a_column_that_is_not_there_is_said(
    rapport: Any, on_database: dict[str, str], balances: Path
) -> None:
    done = rapport("loyalty", "import", str(balances), "--points-column", "p", env=on_database)
    assert done.returncode == 2
    assert "has no column 'p'; there are: customer, points, expires_at" in done.stderr
