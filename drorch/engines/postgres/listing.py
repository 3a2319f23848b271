"""Which databases of a server hold data of users: the answer to `databases: all`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from drorch.domain.errors import DrorchError, NotFound, Refused
from drorch.engines.postgres.catalog import user_objects
from drorch.engines.postgres.connection import Session, close, connect, milliseconds, translated
from drorch.engines.postgres.databases import QUIET, SUFFIX
from drorch.engines.postgres.place import Place
from drorch.engines.postgres.scratch import DRILL

MAINTENANCE = "postgres"
_PATIENCE = timedelta(seconds=10)

PROVIDERS = ("rdsadmin", "azure_maintenance", "azure_sys", "cloudsqladmin")
"""Databases of managed services, which let no user in: Amazon RDS, Azure Database, Azure's Query Store, Cloud SQL."""

# -2 marks a database whose DROP was interrupted: nobody can connect to it any more (PostgreSQL, pg_database).
_QUERY = """
SELECT datname::text, coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_catalog.pg_database
WHERE datallowconn AND NOT datistemplate AND datconnlimit <> -2 ORDER BY 1"""


def databases(place: Place) -> tuple[str, ...]:
    """Every database that can be connected to, whatever this role may do there, but templates, those of the provider
    and those that drorch restores into; `postgres` only if it holds objects of users.

    Raises what `connect` raises; Refused when no database lets us in to ask.
    """
    session = _anywhere(replace(place, session="drorch list"))
    try:
        with translated("list", place.shown):
            rows = [(str(name), str(comment)) for name, comment in session.execute(_QUERY)]
        found = [name for name, comment in rows if not _passing(name, comment) and name not in PROVIDERS]
        return tuple(name for name in found if name != MAINTENANCE or _used(place, session))
    finally:
        close(session)


def _anywhere(place: Place) -> Session:
    """A session with the maintenance database, or with a template where that is gone or closed to us."""
    failed: DrorchError | None = None
    for database in (MAINTENANCE, "template1"):
        try:
            return connect(place.at(database), "list", QUIET | {"statement_timeout": milliseconds(_PATIENCE)})
        except NotFound as error:
            failed = failed or error
        except Refused as error:
            if "permission denied for database" not in error.cause:
                raise
            failed = failed or error
    raise failed or Refused("no database of the server lets us in", operation="list", resource=place.shown)


def _used(place: Place, session: Session) -> bool:
    """Whether the maintenance database holds anything of users. It does where that cannot be seen."""
    if session.info.dbname != MAINTENANCE:
        return True
    with translated("list", place.shown):
        return bool(user_objects(session))


def _passing(name: str, comment: str) -> bool:
    """Whether drorch itself made it, for a restore under way or a drill."""
    return name.startswith(DRILL) or (name.endswith(SUFFIX) and comment.startswith("drorch: "))
