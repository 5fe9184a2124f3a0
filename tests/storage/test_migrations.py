import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from alembic import command
from sqlalchemy import make_url

from app.storage import migrate as module
from app.storage.database import connect_arguments
from app.storage.migrate import config, migrate, migrate_in_thread


def test_the_migrations_build_exactly_what_the_tables_say(owner_url: str) -> None:
    command.check(config(owner_url))


def test_migrating_again_changes_nothing(owner_url: str) -> None:
    assert migrate(owner_url)
    command.check(config(owner_url))


@pytest.mark.parametrize("option", ["sslmode", "ssl"])
def test_the_url_may_say_how_to_encrypt(owner_url: str, option: str) -> None:
    url = make_url(owner_url).update_query_dict({option: "disable"}).render_as_string(hide_password=False)
    assert migrate(url)
    command.check(config(url))


@dataclass(frozen=True)
class Tenant:
    """A database on a server that somebody else administers, and two roles that are not there yet."""

    admin: asyncpg.Connection
    url: str
    login: str
    app_role: str
    privacy_role: str


@pytest.fixture
def empty_database(database_server: Any) -> Iterator[str]:
    """The name of a database in which nothing has been done."""
    with database_server.database() as name:
        yield name


@pytest.fixture
async def tenant(
    database_server: Any, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Tenant]:
    """Logs in with CREATEROLE and owns its database; is no superuser."""
    mark = secrets.token_hex(4)
    login, app_role, privacy_role = (f"rapport_test_{name}_{mark}" for name in ("owner", "app", "privacy"))
    monkeypatch.setattr(module, "APP_ROLE", app_role)
    monkeypatch.setattr(module, "PRIVACY_ROLE", privacy_role)
    owner_url = database_server.owner_url(empty_database)
    admin = await asyncpg.connect(**connect_arguments(owner_url))
    password = secrets.token_hex(8)
    await admin.execute(f"CREATE ROLE {login} LOGIN CREATEROLE PASSWORD '{password}'")
    await admin.execute(f"ALTER DATABASE {empty_database} OWNER TO {login}")
    url = make_url(owner_url).set(username=login, password=password).render_as_string(hide_password=False)
    yield Tenant(admin, url, login, app_role, privacy_role)
    for role in (app_role, privacy_role, login):
        if await admin.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
            await admin.execute(f"DROP OWNED BY {role} CASCADE")
    await admin.execute(f"ALTER DATABASE {empty_database} OWNER TO CURRENT_USER")
    for role in (app_role, privacy_role, login):
        await admin.execute(f"DROP ROLE IF EXISTS {role}")
    await admin.close()


async def rights(tenant: Tenant) -> list[bool]:
    """Whether the service may: read the log, add to it, change it, change a state; and take the privacy role."""
    asked = [("touchpoints", right) for right in ("SELECT", "INSERT", "UPDATE")]
    may = [
        await tenant.admin.fetchval("SELECT has_table_privilege($1, $2, $3)", tenant.app_role, table, right)
        for table, right in [*asked, ("customer_states", "UPDATE")]
    ]
    return [
        *may,
        await tenant.admin.fetchval(
            "SELECT pg_has_role($1, $2, 'MEMBER')", tenant.app_role, tenant.privacy_role
        ),
    ]


ALL_THAT_IT_NEEDS = [True, True, False, True, True]


async def test_a_login_that_may_create_roles_and_no_more_makes_them_stand(tenant: Tenant) -> None:
    for _ in range(2):
        assert await migrate_in_thread(tenant.url)
        assert await rights(tenant) == ALL_THAT_IT_NEEDS
    settings = await tenant.admin.fetchval(
        "SELECT setconfig FROM pg_db_role_setting JOIN pg_roles r ON r.oid = setrole WHERE rolname = $1",
        tenant.app_role,
    )
    assert "jit=off" in settings


async def test_roles_that_somebody_else_made_are_granted_to_and_set(tenant: Tenant) -> None:
    await tenant.admin.execute(f"CREATE ROLE {tenant.app_role} LOGIN NOINHERIT")
    await tenant.admin.execute(f"CREATE ROLE {tenant.privacy_role}")
    await tenant.admin.execute(f"GRANT {tenant.privacy_role} TO {tenant.app_role}")
    await tenant.admin.execute(f"ALTER ROLE {tenant.login} NOCREATEROLE")
    assert await migrate_in_thread(tenant.url)
    assert await rights(tenant) == ALL_THAT_IT_NEEDS

    await tenant.admin.execute(f"ALTER ROLE {tenant.login} SUPERUSER")
    assert await migrate_in_thread(tenant.url)
    settings = await tenant.admin.fetchval(
        "SELECT setconfig FROM pg_db_role_setting JOIN pg_roles r ON r.oid = setrole WHERE rolname = $1",
        tenant.app_role,
    )
    assert sorted(settings) == ["citus.override_table_visibility=off", "jit=off"]


async def test_a_login_that_may_not_create_roles_upgrades_the_schema_alone(tenant: Tenant) -> None:
    await tenant.admin.execute(f"ALTER ROLE {tenant.login} NOCREATEROLE")
    assert not await migrate_in_thread(tenant.url)
    assert await tenant.admin.fetchval("SELECT count(*) FROM touchpoints") == 0
