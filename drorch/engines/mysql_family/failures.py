"""The one place where a server's or a client program's error becomes ours: by its number, which never changes."""

from __future__ import annotations

import re

from drorch.domain.errors import Busy, DrorchError, NotFound, OutcomeUnknown, Refused, Unavailable

_NUMBER = re.compile(r"(?:(?i:error):? |errno: |\()(\d{4})\b")
"""``ERROR 1045 (28000)`` of the client, ``Got error: 1045:``, ``Error 1412:`` and ``(1146)`` of the dump programs."""

_RULE = "--------------\n"
_LONGEST_CAUSE = 500
_TLS = 2026
_CUT = re.compile(r"at line \d|when dumping table|reset by peer|roken pipe|unexpected eof")
"""Beside the number of TLS: it had been agreed on."""
_TLS_HINT = "name the server's certificate bundle (`ca:`) and the name in its certificate (`host:`)"
_PRIVILEGE_HINT = "GRANT what is missing to the user"
_PRIVILEGE = re.compile(r"need (?:\(at least one of\) )?the ([A-Z_ ,]+?) privilege|([A-Z][A-Z ]+) command denied")
_NO_BODY = re.compile(r"insuff?ici?ent privileges to (?:SHOW CREATE )?")
"""The dump programs' own words, in the spelling of either, where the server shows a routine's name and not its body."""

# MariaDB "Error codes"; MySQL 8.0 "Server error message reference" and "Client error message reference".
_ERRORS: dict[int, tuple[type[DrorchError], str, str]] = {
    1040: (Busy, "the server has no free connection", ""),
    1203: (Busy, "the user has no free connection", ""),
    1226: (Busy, "the user has used up a resource", ""),
    1205: (Busy, "another session holds a table", ""),
    1213: (Busy, "the server ended this session for another's sake", ""),
    1044: (Refused, "the user may not use this database", _PRIVILEGE_HINT),
    1045: (Refused, "the server did not let us in", "check the user and the password"),
    1698: (Refused, "the server did not let us in", "check the user and the password"),
    1130: (Refused, "the server admits nobody from this host", ""),
    1129: (Refused, "the server has blocked this host", "FLUSH HOSTS, once the cause is gone"),
    1049: (NotFound, "there is no such database", ""),
    1142: (Refused, "the user lacks a privilege", _PRIVILEGE_HINT),
    1143: (Refused, "the user lacks a privilege", _PRIVILEGE_HINT),
    1227: (Refused, "the user lacks a privilege", _PRIVILEGE_HINT),
    1370: (Refused, "the user lacks a privilege", _PRIVILEGE_HINT),
    1410: (Refused, "the user lacks a privilege", _PRIVILEGE_HINT),
    1419: (Refused, "the server logs in binary", "SET GLOBAL log_bin_trust_function_creators = 1, for the load"),
    1418: (Refused, "the server logs in binary", "SET GLOBAL log_bin_trust_function_creators = 1, for the load"),
    1153: (Refused, "a row is larger than the server takes", "SET GLOBAL max_allowed_packet = 1073741824"),
    1273: (Refused, "the server does not know a collation of the dump", "restore into a newer version"),
    1146: (
        Unavailable,
        "a table vanished meanwhile",
        "it was dropped or renamed; the next attempt dumps what is there",
    ),
    1412: (Unavailable, "a table was altered meanwhile", "the next attempt dumps it as it is then"),
    1356: (Refused, "a view refers to what is not there", "drop or repair the view; a dump of it would not restore"),
    1449: (Refused, "a definer does not exist", "create the account that is named, or make another one the definer"),
    _TLS: (Refused, "TLS could not be agreed on", _TLS_HINT),
}
_PASSING = frozenset({1053, 1152, 1158, 1159, 1160, 1161, 1317, 1927, 2002, 2003, 2005, 2006, 2013, 2055, 1021, 1114})
_REPEATABLE_LOST = frozenset({2006, 2013, 2055})


def failure(program: str, status: int, words: str, operation: str, resource: str) -> DrorchError:
    """The error for a program that ended with `status`, from its last words, less the statement that it repeats."""
    told = _told(words)
    where = {"operation": operation, "resource": resource, "cause": told or f"exit status {status}"}
    if status < 0:
        return Unavailable(f"{program} was ended by signal {-status}", **where)
    if _NO_BODY.search(told):
        hint = "GRANT the sight of all routines: SELECT ON mysql.proc (MariaDB), SHOW_ROUTINE ON *.* (MySQL)"
        return Refused("the user sees a routine and not its body", hint=hint, **where)
    number = number_in(told)
    if number == _TLS and _CUT.search(told):
        return Unavailable("the encrypted connection was cut", **where)
    if number in _ERRORS:
        kind, message, hint = _ERRORS[number]
        if number == 1045 and "using password: NO" in told:
            hint = _no_password(operation)
        if hint == _PRIVILEGE_HINT and (named := _PRIVILEGE.search(told)):
            hint = f"GRANT {(named[1] or named[2]).strip()} to the user"
        if "certificate" in told.lower() or "SSL" in told:
            hint = hint or _TLS_HINT
        if operation != "dump" and number == 1146:
            return Refused("a table is not there", **where)
        return kind(message, hint=hint, **where)
    if number in _PASSING or number is None:
        return Unavailable(f"{program} failed", **where)
    return Refused(f"{program} failed", **where)


def _told(words: str) -> str:
    """A program's own lines. The client puts the failed statement before them, between rules: rows, and passwords."""
    lines = words.strip().rpartition(_RULE)[2].strip().splitlines()
    if any(_NUMBER.search(line) for line in lines):
        lines = lines[next(at for at, line in enumerate(lines) if _NUMBER.search(line)) :]
    return " / ".join(lines[-4:])[:_LONGEST_CAUSE]


def number_in(words: str) -> int | None:
    """The number of the last error that a program told."""
    found = _NUMBER.findall(words)
    return int(found[-1]) if found else None


def unknown_outcome(error: DrorchError, hint: str) -> DrorchError:
    """A lost connection after a statement that changes things: it may have been carried out."""
    number = number_in(error.cause)
    if number not in _REPEATABLE_LOST and not (number == _TLS and isinstance(error, Unavailable)):
        return error
    return OutcomeUnknown(
        error.message, operation=error.operation, resource=error.resource, cause=error.cause, hint=hint
    )


def _no_password(operation: str) -> str:
    if operation == "dump":
        return "name the password in the policy: `connection: password: {credential: NAME}`"
    return "give a password: MYSQL_PWD or --into-password-file"
