"""What is different between MariaDB and MySQL, as values: programs, flags, words of their option files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Series = tuple[int, int]
"""The two numbers within which a vendor keeps its formats: (10, 11), (8, 0)."""

DATA = "data.sql"
GLOBALS = "globals.sql"


@dataclass(frozen=True, slots=True)
class Programs:
    """Names to look for, the first that is there and of the vendor counts. `setup` makes a private server's data."""

    dump: Sequence[str]
    client: Sequence[str]
    server: Sequence[str]
    setup: Sequence[str]


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor. `flags` are its dump program's; `tls` maps `verify-full`, `require`, `off` to option file lines.

    `confine` are options of its client that keep a dump from running commands here, used where the client has them.
    `time_limit` bounds a statement ({0} seconds, {1} milliseconds); `accounts` lists (user, host, is a role) of the
    whole server, `before_accounts` is said before they are shown; `shows_roles`: SHOW GRANTS tells what comes by a
    role; `replica_status` has the question of each series on, newest first; `every_definer` are the privileges of which
    one lets a user create objects of other definers; `every_routine` is the one that shows all routines, beside SELECT
    on everything, and `routine_grant` what to GRANT. `setup_flags` make an empty data folder ({} is its path),
    `server_flags` belong to a private server, `withheld` are the privileges that its loading user does not get.
    """

    kind: str
    name: str
    package: str
    server_package: str
    programs: Programs
    oldest: Series
    flags: Sequence[str]
    tls: Mapping[str, Sequence[str]]
    confine: Sequence[str]
    time_limit: str
    accounts: str
    before_accounts: str
    shows_roles: bool
    replica_status: Sequence[tuple[Series, str]]
    every_definer: frozenset[str]
    every_routine: str
    routine_grant: str
    setup_flags: Sequence[str]
    server_flags: Sequence[str]
    withheld: Sequence[str]
