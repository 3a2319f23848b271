"""What of a dump fits a target: roles, extensions, tablespaces, schemas. Asked of the server, not guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from drorch.engines.postgres.archive import TargetRules
from drorch.engines.postgres.connection import Session, translated
from drorch.engines.postgres.facts import DumpFacts, Extension
from drorch.engines.postgres.roles import existing_roles


@dataclass
class Fit:
    """How pg_restore is told to load: `rules` for the table of contents, `flags` for its command line."""

    rules: TargetRules
    flags: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    role_notes: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    """Extensions that the target cannot have, with the reason."""


def examine(session: Session, facts: DumpFacts) -> Fit:
    """Look at the target database through `session` (``search_path`` = pg_catalog); changes nothing."""
    with translated("restore", "target"):
        me = session.execute(
            "SELECT current_user::text, rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        schemas = session.execute("SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^pg_'").fetchall()
        tablespaces = {str(row[0]) for row in session.execute("SELECT spcname::text FROM pg_tablespace")}
    user, superuser = (str(me[0]), bool(me[1])) if me else ("", False)
    roles = existing_roles(session)
    owners_missing, grantees_missing = facts.owners - roles, facts.grantees - roles
    keep_owner = superuser and not owners_missing
    keep_acl = keep_owner and not grantees_missing
    # pg_dump knows that `public` is there already, but not where it was told by name to dump it.
    not_created = frozenset() if "public" in facts.schemas else frozenset({"public"})
    lacking, unwritable = _try_extensions(session, facts.extensions)
    fit = Fit(
        TargetRules(
            superuser=superuser,
            extensions_left_out=frozenset(lacking),
            tables_left_out=frozenset(unwritable),
            schemas_present=frozenset(str(row[0]) for row in schemas) - {"information_schema"} - not_created,
            own_roles=keep_acl,
            refresh_later=keep_owner and not keep_acl,
        )
    )
    fit.lacking = [f"{name} ({why})" for name, why in lacking.items()]
    if fit.lacking:
        fit.notes.append(f"extensions left out, the target cannot have them: {', '.join(fit.lacking)}")
    fit.flags += [] if keep_owner else ["--no-owner"]
    fit.flags += [] if keep_acl else ["--no-acl"]
    if facts.tablespaces - tablespaces:
        fit.flags.append("--no-tablespaces")
        fit.notes.append(f"tablespaces missing here: {', '.join(sorted(facts.tablespaces - tablespaces))}")
    fit.role_notes = _role_notes(user, superuser, sorted(owners_missing | grantees_missing), keep_owner=keep_owner)
    return fit


def _role_notes(user: str, superuser: bool, missing: Sequence[str], *, keep_owner: bool) -> list[str]:
    notes = []
    if missing:
        notes.append(
            f"roles missing here, their privileges were left out (--globals creates them): {', '.join(missing)}"
        )
    if not keep_owner:
        reason = "an owner is missing" if superuser else f"{user} is no superuser"
        notes.append(f"owners were not kept, everything belongs to {user}: {reason}")
    return notes


def _try_extensions(session: Session, extensions: Sequence[Extension]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Extensions that cannot be had, with the server's reason; and their tables that the role may not fill.

    Each is created in a transaction that is rolled back: providers allow by hooks what the catalogue does not tell.
    """
    lacking: dict[str, str] = {}
    unwritable: list[tuple[str, str]] = []
    with translated("restore", "extensions"), session.transaction(force_rollback=True):
        for extension in extensions:
            why = _try_extension(session, extension)
            if why is not None:
                lacking[extension.name] = why
                unwritable += extension.tables
            else:
                unwritable += [table for table in extension.tables if not _may_fill(session, table)]
    return lacking, unwritable


def _try_extension(session: Session, extension: Extension) -> str | None:
    name, schema = sql.Identifier(extension.name), sql.Identifier(extension.schema)
    why = _tried(
        session,
        sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema),
        sql.SQL("CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA {} CASCADE").format(name, schema),
    )
    if why is not None and "must be installed in schema" in why:
        # A control file may fix the schema, which CREATE EXTENSION then makes itself.
        why = _tried(session, sql.SQL("CREATE EXTENSION IF NOT EXISTS {} CASCADE").format(name))
    return why


def _tried(session: Session, *queries: sql.Composed) -> str | None:
    try:
        with session.transaction():
            for query in queries:
                session.execute(query)
    except psycopg.Error as error:
        if error.sqlstate is None or error.sqlstate.startswith("57"):  # the server is going, or the session is lost
            raise
        return error.diag.message_primary or type(error).__name__
    return None


def _may_fill(session: Session, table: tuple[str, str]) -> bool:
    """Whether COPY into an extension's table would be allowed; a table that is not there is none of its tables here."""
    row = session.execute(
        "SELECT has_table_privilege(c.oid, 'INSERT') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s",
        table,
    ).fetchone()
    return row == (True,)
