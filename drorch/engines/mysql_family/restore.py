"""A database that a dump is loaded into: nothing that exists is overwritten, nothing half-loaded is unmarked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from drorch.domain.errors import Busy, DrorchError, Refused
from drorch.engines.mysql_family import accounts, databases
from drorch.engines.mysql_family.access import Access, Keeper, open_access, quoted
from drorch.engines.mysql_family.clients import choose
from drorch.engines.mysql_family.facts import DumpFacts
from drorch.engines.mysql_family.loading import DataConsumer, Lines, ScriptConsumer
from drorch.engines.mysql_family.place import Place
from drorch.engines.mysql_family.privileges import Privileges
from drorch.engines.mysql_family.probe import ask
from drorch.engines.mysql_family.vendor import DATA, GLOBALS, Vendor
from drorch.ports import Consumer, Inventory


class FamilyTarget:
    """The `RestoreTarget` of both vendors. Load the accounts before the data, so that definers are there."""

    def __init__(self, vendor: Vendor, place: Place, tools: Sequence[Path], *, with_globals: bool) -> None:
        self._vendor = vendor
        self._place = place
        self._tools = tools
        self._with_globals = with_globals
        self._access: Access | None = None
        self._keeper: Keeper | None = None
        self._facts: DumpFacts | None = None
        self._marked = False
        self._loaded = False
        self._notes: list[str] = []
        self._versions: dict[str, str] = {}

    @property
    def versions(self) -> Mapping[str, str]:
        """The client and the server, as they say it themselves."""
        return self._versions

    def prepare(self, facts: Mapping[str, object]) -> None:
        """See the port. Busy when another restore into the same database is running."""
        read = DumpFacts.read(facts, self._vendor.kind)
        self._facts = read
        try:
            self._open(read)
        except BaseException:
            self.abandon()
            raise

    def _open(self, facts: DumpFacts) -> None:
        access = self._access = open_access(self._vendor, self._place, self._tools, "restore")
        self._choose_client(access, facts)
        self._versions |= {self._vendor.programs.client[0]: access.client.version}
        self._versions |= {self._vendor.programs.server[0]: access.greeting.version}
        self._check_server(access, facts)
        self._keeper = Keeper(access, databases.lock_name(self._place.database))
        if not self._keeper.lock():
            message = "another restore into this database is running"
            raise Busy(message, operation="restore", resource=self._place.shown)
        note = databases.make_ready(access, facts)
        self._marked = True
        self._notes += [note] if note else []

    def _choose_client(self, access: Access, facts: DumpFacts) -> None:
        """One that is no older than the dump program was, nor than the server."""
        wanted = max(access.greeting.series, facts.client_series)
        purpose = f"to load what version {facts.client_version} dumped"
        access.client = choose(self._vendor, self._tools, self._vendor.programs.client, wanted, purpose)

    def _check_server(self, access: Access, facts: DumpFacts) -> None:
        where = {"operation": "restore", "resource": self._place.shown}
        if access.greeting.series < facts.server_series:
            raise Refused(
                f"the target server is {self._vendor.name} {access.greeting.version}: too old for this dump",
                cause=f"the dump is of {facts.server_version}",
                **where,
            )
        ((read_only, lower_case),) = access.ask("SELECT @@read_only, @@lower_case_table_names", "restore", database="")
        if read_only not in ("0", "OFF"):
            raise Refused("the target server is read-only", cause="read_only is on: is it a replica?", **where)
        if int(str(lower_case)) != facts.lower_case:
            self._notes.append("the server treats the case of table names in another way than the source did")

    def load(self, artefact: str) -> Consumer:
        """See the port. Accounts are read and left alone unless they were asked for."""
        if self._access is None or self._facts is None or not self._marked:
            raise Refused("the target was not prepared", operation="restore", resource=self._place.shown)
        access, facts = self._access, self._facts
        if artefact == GLOBALS:
            return ScriptConsumer(lambda text: self._load_accounts(access, text))
        if artefact != DATA:
            raise Refused(f"a dump of {self._vendor.name} has no such artefact", operation="restore", resource=artefact)
        own, notes = self._definers(access, facts)
        self._notes += notes

        def loaded() -> tuple[str, ...]:
            self._loaded = True
            return ()

        return DataConsumer(access, Lines(own_definers=own), loaded)

    def _load_accounts(self, access: Access, text: str) -> tuple[str, ...]:
        return accounts.create_missing(access, text) if self._with_globals else ()

    def _definers(self, access: Access, facts: DumpFacts) -> tuple[bool, list[str]]:
        """Whether every object becomes the restoring user's, and what to say of it.

        Only who has the privilege may create objects of other definers (MariaDB SET USER, MySQL SET_USER_ID).
        """
        rows = access.ask("SHOW GRANTS; SELECT current_user()", "restore", database="")
        me = str(rows[-1][0])
        others = [definer for definer in facts.definers if definer != me]
        grants = Privileges.read(str(row[0]) for row in rows[:-1])
        if not others:
            return False, []
        if not any(grants.has(privilege) for privilege in self._vendor.every_definer):
            told = f"views, triggers, routines and events of {', '.join(others)} belong to {me} now: they run with its"
            return True, [f"{told} privileges (the user may not create objects of other definers)"]
        lacking = accounts.missing(access, others)
        told = f"these definers do not exist here, what is theirs fails when it is used: {', '.join(lacking)}"
        return False, [f"{told} (create them, or restore with --globals)"] if lacking else []

    def inventory(self, expected: Inventory) -> Inventory:
        """See the port. A table that is not there has no entry."""
        access = self._require()
        counted = [name for name, rows in expected.tables.items() if rows is not None]
        wanted = [name for name in counted if name not in expected.estimated]
        here = {str(row[0]) for row in access.ask("SHOW TABLES", "compare")}
        present = [name for name in wanted if name in here]
        query = ";\n".join(f"SELECT count(*) FROM {quoted(name)}" for name in present)  # noqa: S608  quoted
        rows = access.ask(query, "compare") if present else []
        return Inventory(tables={name: int(str(row[0])) for name, row in zip(present, rows, strict=True)})

    def probe(self, sql: str) -> object:
        """See `probe.ask`."""
        return ask(self._require(), sql)

    def _require(self) -> Access:
        if self._access is None:
            raise Refused("the target was not prepared", operation="restore", resource=self._place.shown)
        return self._access

    def complete(self) -> tuple[str, ...]:
        """See the port. Refused when the data were not loaded."""
        if not self._loaded or self._access is None:
            raise Refused("nothing was loaded", operation="restore", resource=self._place.shown)
        databases.make_real(self._access)
        self._marked = self._loaded = False
        self._close()
        return (*self._notes, *self._told())

    def _told(self) -> list[str]:
        """What people should know of this dump, whatever became of it here."""
        facts, notes = self._facts, list[str]()
        if facts is None:
            return notes
        if facts.not_transactional:
            kinds = ", ".join(f"{count} of {engine}" for engine, count in facts.not_transactional.items())
            notes.append(f"tables without transactions are not as of one instant: {kinds}")
        if facts.system_versioned:
            notes.append(f"the history of {facts.system_versioned} system-versioned tables is not in the dump")
        if facts.events:
            notes.append(f"{facts.events} events were restored; they run where event_scheduler is on")
        if not facts.accounts:
            notes.append("the dump holds no accounts: the dumping user could not read them")
        return notes

    def abandon(self) -> None:
        """See the port: the database is dropped, or emptied if it was there; else it stays marked."""
        if self._access is not None and self._marked:
            with suppress(DrorchError):
                databases.clear(self._access, found=databases.is_found(self._access))
        self._marked = self._loaded = False
        self._close()

    def _close(self) -> None:
        keeper, self._keeper = self._keeper, None
        access, self._access = self._access, None
        if keeper is not None:
            keeper.release()
        if access is not None:
            access.close()
