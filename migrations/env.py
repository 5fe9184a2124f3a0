"""How alembic reaches the database: one connection, one advisory lock, one transaction per migration."""

import asyncio

import asyncpg
from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.settings import Settings
from app.storage.database import connect_arguments, sqlalchemy_url
from app.storage.tables import metadata

# Any constant will do, as long as every process that migrates takes the same one.
MIGRATION_LOCK = 7_276_780_114
LOCK_TIMEOUT = "10s"


def _run(connection: Connection) -> None:
    # Replicas that start together wait here for the first; a table lock held by the running service is not waited
    # for longer than lock_timeout, because everybody else would queue behind us.
    connection.execute(text(f"SELECT pg_advisory_lock({MIGRATION_LOCK})"))
    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transaction_per_migration=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.execute(text(f"SELECT pg_advisory_unlock({MIGRATION_LOCK})"))
    connection.commit()


async def _online(url: str) -> None:
    # Like the service's own connections: SQLAlchemy's dialect would hand `sslmode` and the like to asyncpg as they are.
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(**connect_arguments(url)),
        poolclass=pool.NullPool,
    )
    async with engine.connect() as connection:
        await connection.run_sync(_run)
    await engine.dispose()


def _url_of_environment() -> str | None:
    settings = Settings()
    url = settings.migration_url or settings.database_url
    return url and sqlalchemy_url(url)


def main() -> None:
    """Alembic loads this file for its effect."""
    url = context.config.get_main_option("sqlalchemy.url") or _url_of_environment()
    if context.is_offline_mode():
        context.configure(url=url, target_metadata=metadata, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
    elif url is None:
        raise SystemExit("no database: set RAPPORT_DATABASE_URL, or use `rapport migrate`")
    else:
        asyncio.run(_online(url))


main()
