"""Schema filters: which schemas a dump holds, and what of the database goes with them.

The catalogue's queries ask settings of the session (`catalog.USER_SCHEMA`), so that counts, checks and owners speak of
what is dumped and of nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from drorch.domain.errors import Refused
from drorch.engines.postgres.connection import Session, translated

_EVERYWHERE = frozenset({"public", "pg_catalog"})
"""Schemas that any target has: what lives there needs no CREATE SCHEMA."""
_EXTENSION_FLAG = 14
"""The first version whose pg_dump takes ``--extension``."""


@dataclass(frozen=True, slots=True)
class SchemaFilter:
    """Exact names: of the only schemas that are dumped, or of those that are left out. Both empty: everything is."""

    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, str]:
        """Of the session that asks the catalogue."""
        given = {"drorch.schemas": self.only, "drorch.exclude_schemas": self.without}
        return {name: _array(schemas) for name, schemas in given.items() if schemas}

    @property
    def facts(self) -> dict[str, object]:
        """For the manifest: what a restore must not take for the whole database."""
        given = {"schemas": self.only, "exclude_schemas": self.without}
        filters = {name: list(schemas) for name, schemas in given.items() if schemas}
        return {"filters": filters} if filters else {}

    def require(self, session: Session, resource: str) -> None:
        """Refused when a schema that is to be dumped does not exist; one that is left out need not."""
        if not self.only:
            return
        with translated("dump", resource):
            there = {str(row[0]) for row in session.execute("SELECT nspname::text FROM pg_catalog.pg_namespace")}
        absent = [name for name in self.only if name not in there]
        if absent:
            raise Refused(
                f"there is no schema {', '.join(map(repr, absent))}",
                operation="dump",
                resource=resource,
                hint="`schemas:` has exact names, upper and lower case told apart",
            )

    def narrowed(self, found: Mapping[str, object], client: int, resource: str) -> dict[str, object]:
        """The facts of the database without the extensions that do not go along; `client` is pg_dump's major version.

        Refused for an extension in a schema that is left out: pg_dump would dump its CREATE without the schema's.
        """
        extensions = cast("list[dict[str, object]]", found["extensions"])
        if self.only:
            at_home = _EVERYWHERE | set(self.only)
            taken = client >= _EXTENSION_FLAG
            extensions = [entry for entry in extensions if taken and entry["schema"] in at_home]
        stranded = [str(entry["name"]) for entry in extensions if entry["schema"] in self.without]
        if stranded:
            raise Refused(
                f"extensions live in schemas that are left out: {', '.join(stranded)}",
                operation="dump",
                resource=resource,
                hint="what uses them could not be restored: do not exclude their schema",
            )
        hidden = sorted(name for entry in extensions for name in cast("list[str]", entry["hidden"]))
        return {**found, "extensions": extensions, "not_dumped": hidden}

    def flags(self, extensions: Sequence[Mapping[str, object]]) -> list[str]:
        """For pg_dump; `extensions` are those that go along with the schemas."""
        if not self.only:
            return [f"--exclude-schema={_exactly(name)}" for name in self.without]
        names = [f"--schema={_exactly(name)}" for name in self.only]
        return ["--strict-names", *names, *(f"--extension={_exactly(str(entry['name']))}" for entry in extensions)]


WHOLE = SchemaFilter()


def _exactly(name: str) -> str:
    """A pattern that fits the one name: within double quotes nothing is special (psql, Patterns)."""
    return '"' + name.replace('"', '""') + '"'


def _array(names: Sequence[str]) -> str:
    """A text[] as PostgreSQL reads it (8.15.2)."""
    quoted = (name.replace("\\", "\\\\").replace('"', '\\"') for name in names)
    return "{" + ",".join(f'"{name}"' for name in quoted) + "}"
