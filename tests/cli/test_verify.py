"""`rapport verify` as its user has it."""

import json
from typing import Any

import asyncpg

from app.domain.health.state import EMPTY
from app.domain.ids import uuid7
from app.storage.database import connect_arguments

CUSTOMER = uuid7(1)


async def execute(url: str, statement: str, *arguments: object) -> None:
    connection = await asyncpg.connect(**connect_arguments(url))
    try:
        await connection.execute(statement, *arguments)
    finally:
        await connection.close()


async def add_customer(url: str, state: bytes) -> None:
    await execute(
        url, "INSERT INTO customers (id, created_at, updated_at) VALUES ($1, now(), now())", CUSTOMER
    )
    await execute(url, "INSERT INTO customer_states (customer_id, state) VALUES ($1, $2)", CUSTOMER, state)


async def test_a_database_that_holds_ends_with_0(
    rapport: Any, on_database: dict[str, str], owner_url: str
) -> None:
    await add_customer(owner_url, EMPTY.encode())
    done = rapport("verify", env=on_database)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        *(
            "check",
            "states",
            "orphans",
            "identifiers",
            "claims",
            "complaints",
            "ledgers",
            "append-only",
            "durability",
        )
    ]
    assert all(line.endswith(" 0") for line in done.stdout.splitlines()[1:])


async def test_a_difference_ends_with_1_and_names_the_customer_by_uuid(
    rapport: Any, on_database: dict[str, str], owner_url: str
) -> None:
    await add_customer(owner_url, EMPTY._replace(eng30=1).encode())
    done = rapport("verify", env=on_database)
    assert done.returncode == 1
    assert f"states: customer {CUSTOMER}: the stored state is not that of the log: eng30" in done.stdout

    done = rapport("verify", "--json", env=on_database)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["holds"] is False
    states = next(check for check in told["checks"] if check["name"] == "states")
    assert (states["checked"], states["differences"]) == (1, 1)
    assert states["first"][0]["customer_id"] == str(CUSTOMER)


def test_a_database_without_the_schema_is_said_in_one_line(
    rapport: Any, on_database: dict[str, str], database_server: Any
) -> None:
    with database_server.database() as name:
        done = rapport("verify", env=on_database | {"RAPPORT_DATABASE_URL": database_server.owner_url(name)})
    assert done.returncode == 2
    assert done.stderr.startswith("rapport: the database has no Rapport schema")
