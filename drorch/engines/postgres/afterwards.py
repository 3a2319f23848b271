"""What pg_restore was not trusted with, done after the data: privileges one by one, and the database's own properties.

`pg_restore --create` prints the database's settings and privileges under its old name; only what is known here is
taken from that script, with the name that the database bears now.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from psycopg import sql

from drorch.engines.postgres.connection import Session
from drorch.engines.postgres.roles import tried
from drorch.engines.postgres.statements import Statement, joined, statements

_TAKEN = frozenset({"GRANT", "REVOKE", "ALTER", "COMMENT", "REFRESH"})
_BEFORE_THE_NAME = (("ALTER", "DATABASE"), ("IN", "DATABASE"), ("ON", "DATABASE"))


_ENCODING = re.compile(rb"^SET client_encoding = '(\w+)';", re.MULTILINE)
_ROLE_MISSING = re.compile(r'role "[^"]*" does not exist')

# Every encoding that a database can have keeps ASCII as it is, so the script is looked at byte by byte.
_BYTES = "latin-1"


def run_afterwards(session: Session, script: bytes, database: str, *, superuser: bool) -> list[str]:
    """Run the statements of `script` in the session's database, now called `database`; what failed, as notes.

    Missing roles are no news here. Raises psycopg's OperationalError when the session is lost.
    """
    encoding = _ENCODING.search(script)
    if encoding is not None:
        session.execute("SELECT set_config('client_encoding', %s, false)", (encoding[1].decode("ascii"),))
    try:
        now = sql.Identifier(database).as_bytes(session).decode(_BYTES)
        texts = _texts(script.decode(_BYTES), now, superuser=superuser)
        failed = [tried(session, text.encode(_BYTES)) for text in texts]
    finally:
        session.execute("SELECT set_config('client_encoding', 'UTF8', false)")
    return [f"left out: {why}" for why in dict.fromkeys(failed) if why and not _ROLE_MISSING.search(why)]


def _texts(script: str, now: str, *, superuser: bool) -> Iterator[str]:
    old = ""
    for statement in statements(script):
        words = statement.words
        if words[:2] == ("CREATE", "DATABASE") and len(words) > 2:
            old = statement.tokens[2]
        elif words[0] not in _TAKEN or not _wanted(words, superuser=superuser):
            continue
        else:
            yield _renamed(statement, old, now)


def _wanted(words: Sequence[str], *, superuser: bool) -> bool:
    if words[:2] == ("COMMENT", "DATABASE") or words[:3] == ("COMMENT", "ON", "DATABASE"):
        return False  # the comment marks an unfinished restore
    if words[:2] != ("ALTER", "DATABASE"):
        return True
    # Who gives the database away can no longer rename it; a template cannot be dropped.
    return "IS_TEMPLATE" not in words and (superuser or "OWNER" not in words[3:4])


def _renamed(statement: Statement, old: str, now: str) -> str:
    words = statement.words
    for place in range(len(words) - 2):
        if words[place : place + 2] in _BEFORE_THE_NAME and statement.tokens[place + 2] == old:
            return joined([*statement.tokens[: place + 2], now, *statement.tokens[place + 3 :]])
    return statement.text
