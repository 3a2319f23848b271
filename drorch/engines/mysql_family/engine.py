"""What the core sees of both engines; each vendor's own names it and gives its `Vendor` and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from drorch.domain.errors import Refused
from drorch.engines.mysql_family.options import Connection, FamilyOptions
from drorch.engines.mysql_family.vendor import Vendor

if TYPE_CHECKING:
    from drorch.ports import DumpSession, RestoreTarget


class FamilyEngine:
    """Streamed logical dumps by the vendor's own programs.

    `tools`: folders of programs, searched before PATH. `runtime`: where private servers live (a short path that other
    users may pass through). `inventory_budget` has no use here: rows are counted in the dump, at no cost to the server.
    `lock_timeout` is how long a dump waits for a table that somebody holds, `patience` how long it lets others wait for
    one that it holds itself.
    """

    vendor: ClassVar[Vendor]
    options: ClassVar[type[FamilyOptions]]

    def __init__(
        self,
        tools: Sequence[Path] = (),
        runtime: Path | None = None,
        *,
        inventory_budget: timedelta = timedelta(seconds=60),
        lock_timeout: timedelta = timedelta(seconds=10),
        patience: timedelta = timedelta(minutes=1),
    ) -> None:
        self.kind = self.vendor.kind
        self.inventory_budget = inventory_budget
        self.lock_timeout = lock_timeout
        self.patience = patience
        self._tools = tuple(tools)
        self._runtime = runtime

    def dump(self, options: object, secrets: Mapping[str, str], inventory: str) -> AbstractContextManager[DumpSession]:
        """See the port. Refused: another vendor, wrong password, missing privileges, clients that are too old."""
        from drorch.engines.mysql_family import dump
        from drorch.engines.mysql_family.place import from_connection
        from drorch.engines.mysql_family.watchdog import DumpRules

        place = from_connection(self._connection(options), secrets)
        rules = DumpRules(inventory, self.lock_timeout, self.patience)
        return dump.open_session(self.vendor, place, self._tools, rules)

    def asking(self, options: object, secrets: Mapping[str, str]) -> AbstractContextManager[Callable[[str], object]]:
        """See the port."""
        from drorch.engines.mysql_family.place import from_connection
        from drorch.engines.mysql_family.probe import asking

        return asking(self.vendor, from_connection(self._connection(options), secrets), self._tools)

    def versions(self, options: object, secrets: Mapping[str, str]) -> Mapping[str, str]:
        """See the port."""
        from drorch.engines.mysql_family.access import open_access
        from drorch.engines.mysql_family.clients import choose
        from drorch.engines.mysql_family.place import from_connection

        place = from_connection(self._connection(options), secrets)
        access = open_access(self.vendor, place, self._tools, "doctor")
        try:
            greeting, names = access.greeting, self.vendor.programs.dump
        finally:
            access.close()
        purpose = f"to dump a server of version {greeting.version}"
        dumper = choose(self.vendor, self._tools, names, greeting.series, purpose)
        return {"server": greeting.version, Path(dumper.path).name: dumper.version}

    def target(self, url: str, password: str | None, *, with_globals: bool) -> RestoreTarget:
        """See the port; the forms of the URL are those of `place.from_url`. Connects to nothing yet."""
        from drorch.engines.mysql_family.place import from_url
        from drorch.engines.mysql_family.restore import FamilyTarget

        place = from_url(url, password, self.kind)
        return FamilyTarget(self.vendor, place, self._tools, with_globals=with_globals)

    def scratch(self, options: object, secrets: Mapping[str, str]) -> AbstractContextManager[RestoreTarget]:
        """See the port. `options` with a connection use that server; its `database` is not touched."""
        from drorch.engines.mysql_family import scratch
        from drorch.engines.mysql_family.place import from_connection

        if options is None:
            return scratch.private(self.vendor, self._tools, self._runtime)
        return scratch.given(self.vendor, from_connection(self._connection(options), secrets), self._tools)

    def _connection(self, options: object) -> Connection:
        if not isinstance(options, self.options):
            raise Refused(f"these are no options of the {self.vendor.kind} engine", resource=type(options).__name__)
        return options.connection
