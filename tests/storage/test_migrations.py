from alembic import command

from app.storage.migrate import config, migrate


def test_the_migrations_build_exactly_what_the_tables_say(owner_url: str) -> None:
    command.check(config(owner_url))


def test_migrating_again_changes_nothing(owner_url: str) -> None:
    assert migrate(owner_url)
    command.check(config(owner_url))
