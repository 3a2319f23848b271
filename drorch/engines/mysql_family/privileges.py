"""What a user may do, from its own SHOW GRANTS: both vendors write them alike, and need no privilege to show them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_GRANT = re.compile(r"GRANT (?P<what>.+?) ON (?P<scope>\*\.\*|`(?:[^`]|``)+`\.\*) TO ")
_ALL = "ALL PRIVILEGES"


@dataclass(frozen=True, slots=True)
class Privileges:
    """(scope pattern, privileges): the scope is ``*`` for the whole server, else a pattern of LIKE for databases.

    `by_roles`: the user has roles, so that what is missing here may come through one.
    """

    grants: tuple[tuple[str, frozenset[str]], ...]
    by_roles: bool

    @classmethod
    def read(cls, lines: Iterable[str]) -> Privileges:
        """From the lines of SHOW GRANTS; what speaks of single tables or routines is left out."""
        grants, roles = [], False
        for line in lines:
            match = _GRANT.match(line)
            if match is None:
                roles = roles or (" ON " not in line and line.startswith("GRANT "))
                continue
            scope = "*" if match["scope"] == "*.*" else match["scope"][1:-3].replace("``", "`")
            grants.append((scope, frozenset(what.strip().upper() for what in match["what"].split(","))))
        return cls(tuple(grants), roles)

    def has(self, privilege: str, database: str = "") -> bool:
        """On all of a database; `database` "" asks for the whole server."""
        for scope, held in self.grants:
            covered = scope == "*" or (database and _like(scope, database))
            if covered and (privilege in held or _ALL in held):
                return True
        return False


def _like(pattern: str, name: str) -> bool:
    """Database grants are patterns of LIKE, case aside (the server may be either)."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    words = {"%": ".*", "_": "."}
    expression = "".join(words.get(part, re.escape(part[-1])) for part in parts)
    return re.fullmatch(expression, name, re.DOTALL | re.IGNORECASE) is not None
