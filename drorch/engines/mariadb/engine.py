"""The MariaDB engine: what is MariaDB's own of the shared one."""

from __future__ import annotations

from typing import ClassVar

from drorch.engines.mysql_family.engine import FamilyEngine
from drorch.engines.mysql_family.options import FamilyOptions
from drorch.engines.mysql_family.vendor import Programs, Vendor

_ACCOUNTS = "SELECT user, host, is_role FROM mysql.user WHERE user <> '' ORDER BY user, host"

MARIADB = Vendor(
    kind="mariadb",
    name="MariaDB",
    package="mariadb-client",
    server_package="mariadb-server",
    programs=Programs(
        dump=("mariadb-dump", "mysqldump"),
        client=("mariadb", "mysql"),
        server=("mariadbd", "mysqld"),
        setup=("mariadb-install-db", "mysql_install_db"),
    ),
    oldest=(10, 3),  # MariaDB 10.3 has sequences, roles and SHOW CREATE USER in the form that is read here
    # No --flush-logs and no --master-data: both need RELOAD, and stop every writer for a moment.
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
    ),
    # Since 11.4 the client checks certificates unless it is told not to.
    tls={
        "verify-full": ("ssl", "ssl-verify-server-cert"),
        "require": ("ssl", "skip-ssl-verify-server-cert"),
        "off": ("skip-ssl",),
    },
    confine=("--sandbox",),
    time_limit="SET SESSION max_statement_time = {0}",
    accounts=_ACCOUNTS,
    before_accounts="",
    shows_roles=True,
    replica_status=(((0, 0), "SHOW ALL SLAVES STATUS"),),
    every_definer=frozenset({"SET USER", "SUPER"}),
    every_routine="SHOW CREATE ROUTINE",  # since 11.3; before, who reads mysql.proc sees all of them
    routine_grant="SELECT ON mysql.proc",
    setup_flags=(
        "--no-defaults",
        "--datadir={}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
    ),
    server_flags=("--skip-name-resolve",),
    withheld=("FILE", "SHUTDOWN", "SUPER"),
)


class Options(FamilyOptions):
    """The keys of `kind: mariadb`."""


class MariadbEngine(FamilyEngine):
    """MariaDB 10.3 and newer."""

    kind = "mariadb"
    vendor: ClassVar[Vendor] = MARIADB
    options: ClassVar[type[FamilyOptions]] = Options
