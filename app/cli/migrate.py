"""`rapport migrate`, and the same at the start of `rapport serve`."""

from app.cli import environment
from app.storage import migrate as storage


def bring_up_to_date(owner_url: str) -> bool:
    """Upgrade the schema; returns whether the roles stand too. Raises Failure when the database does not let us."""
    with environment.database_failures():
        return storage.migrate(owner_url)


def migrate() -> str:
    """Upgrade the database of the settings, and say in one line what stands."""
    with environment.database(environment.load_settings()) as urls:
        roles = bring_up_to_date(urls.owner)
    if roles:
        return f"The database is at revision {storage.head()}; the roles stand."
    return (
        f"The database is at revision {storage.head()}. This login may not create roles, so the service will use the "
        "login that it is given as it is: nothing but the code keeps it from changing the log."
    )
