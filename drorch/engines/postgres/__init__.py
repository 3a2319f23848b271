"""PostgreSQL: dumps by pg_dump in one exported snapshot, restores by pg_restore, scratch servers for drills."""

from drorch.engines.postgres.engine import PostgresEngine
from drorch.engines.postgres.into import RestoreOptions
from drorch.engines.postgres.options import Connection, Options

__all__ = ["Connection", "Options", "PostgresEngine", "RestoreOptions"]
