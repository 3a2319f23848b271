"""MariaDB: dumps by mariadb-dump in one transaction, restores by its client, scratch servers for drills."""

from drorch.engines.mariadb.engine import MariadbEngine, Options
from drorch.engines.mysql_family.options import Connection

__all__ = ["Connection", "MariadbEngine", "Options"]
