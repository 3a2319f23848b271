"""Users, roles and their grants as SQL: the second artefact, and how missing ones are created from it.

One group per account, headed by a comment; within it one statement per line. An account that is there is never altered.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from drorch.domain.errors import DrorchError, Refused, Unavailable
from drorch.engines.mysql_family.access import Access, quoted, text

_SYSTEM = frozenset(
    {
        "mariadb.sys",
        "mysql",
        "mysql.sys",
        "mysql.session",
        "mysql.infoschema",
        "rdsadmin",
        "rdsrepladmin",
        "PUBLIC",
    }
)
"""Accounts that a server or its provider makes for itself."""

_HEAD = "-- account "
_MARK = "drorch-next-account"


@dataclass(frozen=True, slots=True)
class Account:
    """`host` is "" for a role of MariaDB."""

    user: str
    host: str
    role: bool

    @property
    def sql(self) -> str:
        """As statements name it."""
        return quoted(self.user) if self.role and not self.host else f"{quoted(self.user)}@{quoted(self.host)}"


def readable(access: Access, operation: str) -> bool:
    """Whether this user may read the accounts of the server."""
    try:
        _accounts(access, operation)
    except Refused:
        return False
    return True


def _accounts(access: Access, operation: str) -> list[Account]:
    rows = access.ask(access.vendor.accounts, operation, database="")
    found = [Account(str(user or ""), str(host or ""), role == "Y") for user, host, role in rows]
    return [account for account in found if account.user not in _SYSTEM]


class AccountsProducer:
    """A `Producer`: the script of every account, roles first; a comment alone where they may not be read."""

    def __init__(self, access: Access, *, allowed: bool) -> None:
        body = script(access) if allowed else "-- the dumping user may not read the accounts of this server\n"
        self.stdout: BinaryIO = cast("BinaryIO", io.BytesIO(body.encode()))

    def finish(self) -> None:
        """Nothing runs any more."""

    def kill(self) -> None:
        """Nothing runs any more."""


def script(access: Access) -> str:
    """Every account's statements; an account that the server does not show is a comment.

    With ``skip_name_resolve`` a server does not know the accounts of its own tables that have a host's name.
    """
    accounts = sorted(_accounts(access, "dump"), key=lambda account: not account.role)
    parts = ["-- Accounts of the server: CREATE those that are missing, then their grants.\n"]
    try:
        shown: list[list[str] | None] = list(_shown(access, accounts))
    except Refused:
        shown = [_shown_alone(access, account) for account in accounts]
    for account, lines in zip(accounts, shown, strict=True):
        if lines is None:
            parts.append(f"-- the server does not show {account.sql}\n")
            continue
        create = [f"CREATE ROLE {account.sql}"] if account.role else []
        parts.append("\n".join([f"{_HEAD}{account.sql}", *(f"{line};" for line in [*create, *lines]), ""]))
    return "\n".join(parts)


def _shown(access: Access, accounts: list[Account]) -> list[list[str]]:
    """What the server says of each account, asked at once."""
    questions = [access.vendor.before_accounts]
    for account in accounts:
        questions.append(f"SELECT {text(_MARK)};")
        questions += [] if account.role else [f"SHOW CREATE USER {account.sql};"]
        questions.append(f"SHOW GRANTS FOR {account.sql};")
    rows = [str(row[0]) for row in access.ask("\n".join(questions), "dump", database="")]
    groups = "\n".join(rows).split(_MARK)[1:]
    return [[line for line in group.splitlines() if line] for group in groups]


def _shown_alone(access: Access, account: Account) -> list[str] | None:
    try:
        return _shown(access, [account])[0]
    except Refused:
        return None


def create_missing(access: Access, body: str) -> tuple[str, ...]:
    """Create the accounts of a script that the server does not have, with their grants; notes for people.

    A grant that fails (a plugin, a privilege or a table that is not here) is a note. Unavailable when the server goes.
    """
    present = {account.sql for account in _all_accounts(access)}
    created, kept, failed = [], [], []
    for name, statements in _groups(body):
        if name in present:
            kept.append(name)
            continue
        why = _try(access, statements[0]) if statements else "nothing is said of it"
        if why:
            failed.append(f"{name}: {why}")
            continue
        created.append(name)
        failed += [f"{name}: {why}" for statement in statements[1:] if (why := _try(access, statement))]
    notes = [f"accounts created: {', '.join(created) or 'none'}"]
    notes += [f"accounts left as they are: {', '.join(kept)}"] if kept else []
    return (*notes, *(f"left out: {why}" for why in failed))


def _all_accounts(access: Access) -> list[Account]:
    try:
        rows = access.ask(access.vendor.accounts, "restore", database="")
    except Refused as error:
        error.hint = "creating accounts needs CREATE USER and SELECT on mysql.user"
        raise
    return [Account(str(user or ""), str(host or ""), role == "Y") for user, host, role in rows]


def _groups(body: str) -> Iterator[tuple[str, list[str]]]:
    name, statements = "", list[str]()
    for line in [*body.splitlines(), _HEAD]:
        if line.startswith(_HEAD):
            if name:
                yield name, statements
            name, statements = line.removeprefix(_HEAD), []
        elif line and not line.startswith("--"):
            statements.append(line)


def _try(access: Access, statement: str) -> str:
    """Why a statement failed, without the secret that may stand in it; "" when it did not."""
    try:
        access.ask(statement, "restore", database="")
    except Unavailable:
        raise
    except DrorchError as error:
        return _shortened(error.cause or error.message)
    return ""


def _shortened(cause: str) -> str:
    """The server's own line: syntax errors quote the statement, which holds password hashes."""
    return re.sub(r" near .*", "", cause, flags=re.DOTALL)[-200:]


def definer(value: str) -> str:
    """``user@host`` of information_schema as SQL names an account; a role has no host."""
    user, at, host = value.rpartition("@")
    return f"{quoted(user)}@{quoted(host)}" if at else quoted(value)


def missing(access: Access, definers: list[str]) -> list[str]:
    """Which of `definers` (``user@host``) the server does not have; none where accounts may not be read."""
    try:
        present = {account.sql for account in _all_accounts(access)}
    except DrorchError:
        return []
    return [value for value in definers if definer(value) not in present]
