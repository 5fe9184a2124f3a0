"""`rapport migrate`, and the same at the start of `rapport serve`."""

from app.cli import environment
from app.cli.failure import Failure
from app.storage import migrate as storage


def bring_up_to_date(owner_url: str) -> bool:
    """Upgrade the schema; returns whether the roles stand too. Raises Failure when the database does not let us."""
    with environment.database_failures():
        return storage.migrate(owner_url)


def migrate() -> str:
    """Upgrade the database of the settings, and say in one line what stands."""
    settings = environment.load_settings()
    if environment.leads_to_pooler(settings):
        raise Failure("RAPPORT_PGBOUNCER: migrations need RAPPORT_MIGRATION_URL, which leads past the pooler")
    with environment.database(settings) as urls:
        roles = bring_up_to_date(urls.owner)
    if roles:
        return f"The database is at revision {storage.head()}; the roles stand."
    return (
        f"The database is at revision {storage.head()}. This login may not create roles, so the service will use the "
        "login that it is given as it is: nothing but the code keeps it from changing the log."
    )
