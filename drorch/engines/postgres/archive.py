"""The table of contents of a custom-format archive, read from its head while the rest still streams.

The contents stand in front of the data (pg_backup_custom.c), so `pg_restore --list` answers from the first part alone.
What a target cannot or must not take is left out by a list for `--use-list`; the order is never changed, since a
stream cannot go back.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from drorch.domain.errors import Damaged, Refused, Unavailable
from drorch.engines.postgres.child import environment, memory_file

FIRST_TRY = 64 * 1024
"""Bytes of the head at which the contents are asked for first; doubled at each failure."""

LARGEST_HEAD = 256 * 1024 * 1024

_ENTRY = re.compile(r"^\d+; \d+ \d+ (?P<text>.*)$")


@dataclass(frozen=True, slots=True)
class TargetRules:
    """What is known about the target. `own_roles`: owners and privileges are pg_restore's business.

    `refresh_later` leaves materialized views to the end, when their owners have their privileges.
    """

    superuser: bool
    extensions_left_out: frozenset[str] = frozenset()
    tables_left_out: frozenset[tuple[str, str]] = frozenset()
    schemas_present: frozenset[str] = frozenset()
    own_roles: bool = True
    refresh_later: bool = False


@dataclass
class Arrangement:
    """`listing` for `--use-list`, `deferred` entries whose SQL is run afterwards, one by one, and notes for people."""

    listing: list[str] = field(default_factory=list)
    deferred: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def contents(pg_restore: str, head: bytes) -> list[str] | None:
    """The lines of the table of contents; None when `head` does not reach its end.

    Damaged when these are not the first bytes of an archive, Refused when pg_restore is too old for it.
    """
    try:
        done = subprocess.run(
            [pg_restore, "--list", "--create"],
            input=head,
            capture_output=True,
            check=False,
            env=environment(None),
            cwd="/",
        )
    except OSError as error:
        raise Unavailable("pg_restore did not start", resource=pg_restore, cause=str(error)) from error
    if done.returncode == 0:
        return [line for line in done.stdout.decode("utf-8", "replace").splitlines() if _ENTRY.match(line)]
    words = done.stderr.decode("utf-8", "replace").strip()
    if "end of file" in words:
        return None
    if "unsupported version" in words:
        raise Refused("pg_restore is too old for this dump", operation="restore", resource=pg_restore, cause=words)
    raise Damaged("this is no pg_dump archive", operation="restore", cause=words[-500:])


def script(pg_restore: str, head: bytes, lines: Sequence[str]) -> bytes:
    """The SQL of entries that have no data, and of the database itself, made from the head alone.

    In the encoding that the script names, which is the dumped database's.
    """
    with memory_file("\n".join(lines).encode() + b"\n") as (path, descriptor):
        done = subprocess.run(
            [pg_restore, "--file=-", "--create", f"--use-list={path}"],
            input=head,
            capture_output=True,
            check=False,
            env=environment(None),
            pass_fds=[descriptor],
            cwd="/",
        )
    if done.returncode != 0:
        cause = done.stderr.decode("utf-8", "replace").strip()[-500:]
        raise Unavailable("pg_restore failed", operation="restore", resource=pg_restore, cause=cause)
    return done.stdout


def arrange(lines: Iterable[str], rules: TargetRules) -> Arrangement:
    """Decide about every entry. Pure."""
    found = Arrangement()
    left_out: dict[str, list[str]] = {}
    for line in lines:
        match = _ENTRY.match(line)
        text = match["text"] if match else ""
        fate, why = _fate(text, rules)
        if fate == "load":
            found.listing.append(line)
        elif fate == "defer":
            found.deferred.append(line)
        elif why:
            left_out.setdefault(why, []).append(text.strip())
    for why, texts in left_out.items():
        more = f" and {len(texts) - 5} more" if len(texts) > 5 else ""
        found.notes.append(f"{why}: {'; '.join(texts[:5])}{more}")
    return found


def _fate(text: str, rules: TargetRules) -> tuple[str, str]:
    """`load`, `defer` or `omit` with the reason that people should read ("" for none)."""
    if text.startswith(("SUBSCRIPTION", "COMMENT - SUBSCRIPTION", "ACL - SUBSCRIPTION")):
        return "omit", "subscriptions are never restored, they would draw on the live publisher"
    if not rules.superuser and text.startswith(("EVENT TRIGGER", "COMMENT - EVENT TRIGGER", "PUBLICATION")):
        return "omit", "left out, only a superuser can make them"
    if text.startswith("COMMENT - PUBLICATION") and not rules.superuser:
        return "omit", ""
    if text.startswith(("DATABASE - ", "DATABASE PROPERTIES - ", "COMMENT - DATABASE ")):
        return "omit", ""  # `script` has them
    if text.startswith("ACL - DATABASE "):
        return "defer", ""
    for name in rules.extensions_left_out:
        if text.rstrip() in (f"EXTENSION - {name}", f"COMMENT - EXTENSION {name}"):
            return "omit", ""
    if text.startswith("COMMENT - EXTENSION ") and not rules.superuser:
        return "omit", ""
    if any(text.startswith(f"TABLE DATA {schema} {name} ") for schema, name in rules.tables_left_out):
        return "omit", "rows of an extension's own tables were left out, the role may not write them"
    if any(text.startswith(f"SCHEMA - {name} ") for name in rules.schemas_present):
        return "omit", ""
    if text.startswith("COMMENT - SCHEMA public") and not rules.superuser:
        return "defer", ""
    if not rules.own_roles and text.startswith(("ACL ", "DEFAULT ACL ")):
        return "defer", ""
    if rules.refresh_later and text.startswith("MATERIALIZED VIEW DATA "):
        return "defer", ""
    return "load", ""
