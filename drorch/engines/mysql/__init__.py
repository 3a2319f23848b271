"""MySQL: dumps by mysqldump in one transaction, restores by its client, scratch servers for drills."""

from drorch.engines.mysql.engine import MysqlEngine, Options
from drorch.engines.mysql_family.options import Connection

__all__ = ["Connection", "MysqlEngine", "Options"]
