"""Bringing a database to the newest schema and its roles; safe to run from several processes at once."""

import asyncio
from contextlib import suppress
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.storage.database import connect_arguments, sqlalchemy_url
from app.storage.tables import APP_ROLE, APPEND_ONLY, PRIVACY_ROLE

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def config(url: str) -> Config:
    """Alembic's configuration for the database at `url`."""
    cfg = Config()
    cfg.set_main_option("script_location", str(MIGRATIONS))
    # ConfigParser reads % as interpolation, and passwords hold %.
    cfg.set_main_option("sqlalchemy.url", sqlalchemy_url(url).replace("%", "%%"))
    return cfg


def head() -> str:
    """The revision that this code was written for."""
    revision = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    if revision is None:
        raise RuntimeError("no migrations found: the installation is incomplete")
    return revision


def migrate(url: str) -> bool:
    """Upgrade to head and set up the roles. Raises what the database raises; others that migrate wait meanwhile.

    Returns whether the roles stand: a login that may not create roles upgrades the schema alone.
    """
    command.upgrade(config(url), "head")
    return asyncio.run(_grant(url))


async def migrate_in_thread(url: str) -> bool:
    """`migrate` for callers inside an event loop: alembic's own loop runs in a thread."""
    return await asyncio.to_thread(migrate, url)


async def _grant(url: str) -> bool:
    connection = await asyncpg.connect(**connect_arguments(url))
    try:
        # Roles belong to the whole server: migrations of its other databases may be creating them right now.
        await connection.execute("SELECT pg_advisory_lock(hashtext('rapport roles'))")
        try:
            for role in (APP_ROLE, PRIVACY_ROLE):
                await _ensure_role(connection, role)
            await _ensure_membership(connection)
            for statement in _grants():
                await connection.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            return False
    finally:
        await connection.close()
    return True


async def _ensure_role(connection: asyncpg.Connection, role: str) -> None:
    if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
        # NOINHERIT: the service holds the privacy role's rights only inside SET LOCAL ROLE.
        login = "LOGIN NOINHERIT" if role == APP_ROLE else "NOLOGIN"
        await connection.execute(f"CREATE ROLE {role} {login}")
    # Plans of statements this small never pay for compilation, and the second setting keeps asyncpg's look-up of
    # types fast on Citus (plain PostgreSQL takes it as a setting it does not know, from a superuser alone). Both are
    # about speed: who may not set them may still grant.
    for setting in ("jit", "citus.override_table_visibility"):
        with suppress(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"ALTER ROLE {role} SET {setting} = off")


async def _ensure_membership(connection: asyncpg.Connection) -> None:
    """The service may take the privacy role. Asked first: a login that owns the tables need not own the roles."""
    statement = "SELECT pg_has_role($1, $2, 'MEMBER')"
    if not await connection.fetchval(statement, APP_ROLE, PRIVACY_ROLE):
        await connection.execute(f"GRANT {PRIVACY_ROLE} TO {APP_ROLE}")


def _grants() -> list[str]:
    log = ", ".join(APPEND_ONLY)
    return [
        f"GRANT USAGE ON SCHEMA public TO {APP_ROLE}, {PRIVACY_ROLE}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {APP_ROLE}, {PRIVACY_ROLE}",
        f"REVOKE UPDATE, DELETE, TRUNCATE ON {log} FROM {APP_ROLE}",
        f"REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {APP_ROLE}, {PRIVACY_ROLE}",
    ]
