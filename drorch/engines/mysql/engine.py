"""The MySQL engine: what is MySQL's own of the shared one. Written from the manual; no server of it was run."""

from __future__ import annotations

from typing import ClassVar

from drorch.engines.mysql_family.engine import FamilyEngine
from drorch.engines.mysql_family.options import FamilyOptions
from drorch.engines.mysql_family.vendor import Programs, Vendor

MYSQL = Vendor(
    kind="mysql",
    name="MySQL",
    package="mysql-client",
    server_package="mysql-server",
    programs=Programs(dump=("mysqldump",), client=("mysql",), server=("mysqld",), setup=("mysqld",)),
    oldest=(5, 7),
    # No --flush-logs and no --source-data: both need RELOAD, and stop every writer for a moment. The statistics of
    # columns (mysqldump 8.0) are asked of servers that do not have them; GTIDs would need a superuser at the restore.
    flags=(
        "--single-transaction",
        "--quick",
        "--routines",
        "--events",
        "--triggers",
        "--add-drop-trigger",
        "--hex-blob",
        "--skip-lock-tables",
        "--skip-add-locks",
        "--no-tablespaces",
        "--comments",
        "--loose-column-statistics=0",
        "--set-gtid-purged=OFF",
    ),
    tls={
        "verify-full": ("ssl-mode=VERIFY_IDENTITY",),
        "require": ("ssl-mode=REQUIRED",),
        "off": ("ssl-mode=DISABLED",),
    },
    # 8.0.40 and 8.4.3 can switch off the client's shell command, 9.x all of its commands that have long names.
    confine=("--system-command=OFF", "--commands=OFF"),
    # Within the server the limit holds for SELECT only, which is what a probe is.
    time_limit="SET SESSION max_execution_time = {1}",
    # Hashes of caching_sha2_password hold bytes that are no text (8.0.17).
    accounts="SELECT user, host, 'N' FROM mysql.user WHERE user <> '' ORDER BY user, host",
    before_accounts="/*!80017 SET SESSION print_identified_with_as_hex = ON */;",
    shows_roles=False,  # 8.0 does for active roles; not tried, so a user with roles is trusted
    replica_status=(((8, 1), "SHOW REPLICA STATUS"), ((0, 0), "SHOW SLAVE STATUS")),
    every_definer=frozenset({"SET_USER_ID", "SET_ANY_DEFINER", "SUPER"}),
    every_routine="SHOW_ROUTINE",  # since 8.0.20
    routine_grant="SHOW_ROUTINE ON *.*",
    setup_flags=("--no-defaults", "--initialize-insecure", "--datadir={}"),
    server_flags=("--skip-name-resolve", "--loose-mysqlx=OFF"),
    withheld=("FILE", "SHUTDOWN", "SUPER"),
)


class Options(FamilyOptions):
    """The keys of `kind: mysql`."""


class MysqlEngine(FamilyEngine):
    """MySQL 5.7 and newer."""

    kind = "mysql"
    vendor: ClassVar[Vendor] = MYSQL
    options: ClassVar[type[FamilyOptions]] = Options
