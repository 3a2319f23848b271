"""The PostgreSQL engine as the core sees it. The driver is imported when something is really done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from drorch.domain.errors import Refused
from drorch.engines.postgres.options import Options

if TYPE_CHECKING:
    from drorch.ports import DumpSession, RestoreTarget


class PostgresEngine:
    """Streamed logical dumps of PostgreSQL 10 and newer.

    `tools`: folders of programs, searched before PATH. `runtime`: where private servers live (a short path that other
    users may pass through; the system's temporary folder by default). `inventory_budget` bounds the exact counting;
    `lock_timeout` is how long a dump waits for a table that somebody holds, `patience` how long it lets others wait for
    one that it holds itself.
    """

    kind = "postgres"

    def __init__(
        self,
        tools: Sequence[Path] = (),
        runtime: Path | None = None,
        *,
        inventory_budget: timedelta = timedelta(seconds=60),
        lock_timeout: timedelta = timedelta(seconds=10),
        patience: timedelta = timedelta(minutes=1),
    ) -> None:
        self.inventory_budget = inventory_budget
        self.lock_timeout = lock_timeout
        self.patience = patience
        self._tools = tuple(tools)
        self._runtime = runtime

    def dump(self, options: object, secrets: Mapping[str, str], inventory: str) -> AbstractContextManager[DumpSession]:
        """See the port. Refused: wrong password, unreadable tables, row-level security, clients that are too old."""
        from drorch.engines.postgres import dump
        from drorch.engines.postgres.filters import SchemaFilter
        from drorch.engines.postgres.place import from_connection

        given = _options(options)
        place = from_connection(given.connection, secrets)
        schemas = SchemaFilter(given.schemas or (), given.exclude_schemas or ())
        rules = dump.DumpRules(
            inventory, self.inventory_budget, self.lock_timeout, self.patience, given.streams, schemas
        )
        return dump.open_session(place, self._tools, rules)

    def databases(self, options: object, secrets: Mapping[str, str]) -> tuple[str, ...]:
        """See the port. Refused: wrong password, no right to connect; Unavailable when nobody answers."""
        from drorch.engines.postgres.listing import MAINTENANCE, databases
        from drorch.engines.postgres.place import from_connection

        return databases(from_connection(_options(options).of(MAINTENANCE).connection, secrets))

    def asking(self, options: object, secrets: Mapping[str, str]) -> AbstractContextManager[Callable[[str], object]]:
        """See the port."""
        from drorch.engines.postgres.place import from_connection
        from drorch.engines.postgres.probe import asking

        return asking(from_connection(_options(options).connection, secrets))

    def versions(self, options: object, secrets: Mapping[str, str]) -> Mapping[str, str]:
        """See the port."""
        from drorch.engines.postgres import versions
        from drorch.engines.postgres.listing import MAINTENANCE
        from drorch.engines.postgres.place import from_connection

        given = _options(options)
        one = given if given.connection.database is not None else given.of(MAINTENANCE)
        return versions.versions(from_connection(one.connection, secrets), self._tools)

    def target(self, url: str, password: str | None, *, with_globals: bool) -> RestoreTarget:
        """See the port; the forms of the URL are those of `place.from_url`. Connects to nothing yet."""
        from drorch.engines.postgres.place import from_url
        from drorch.engines.postgres.restore import PostgresTarget

        return PostgresTarget(from_url(url, password), self._tools, with_globals=with_globals)

    def scratch(self, options: object, secrets: Mapping[str, str]) -> AbstractContextManager[RestoreTarget]:
        """See the port. `options` with a connection use that server, its `database` for administration."""
        from drorch.engines.postgres import scratch
        from drorch.engines.postgres.place import from_connection

        if options is None:
            return scratch.private(self._tools, self._runtime)
        return scratch.given(from_connection(_options(options).connection, secrets), self._tools)


def _options(options: object) -> Options:
    if not isinstance(options, Options):
        raise Refused("these are no options of the postgres engine", resource=type(options).__name__)
    return options
