"""Scratch places for drills: a private server of our own, or a database of a passing name on a given server."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from drorch.domain.errors import DrorchError, Refused
from drorch.engines.mysql_family import accounts
from drorch.engines.mysql_family.access import Access, Keeper, open_access, quoted
from drorch.engines.mysql_family.clients import choose
from drorch.engines.mysql_family.databases import lock_name
from drorch.engines.mysql_family.facts import DumpFacts
from drorch.engines.mysql_family.place import Place
from drorch.engines.mysql_family.restore import FamilyTarget
from drorch.engines.mysql_family.server import SUPERUSER, PrivateServer
from drorch.engines.mysql_family.vendor import Vendor

LOADER = "drorch_restore"
"""The user that loads in a private server: a dump runs code, so it may touch no file and stop nothing."""

_DRILL = "drorch_drill_"
_DRILL_NAME = re.compile(_DRILL + "[0-9a-f]{12}")


class PrivateScratch(FamilyTarget):
    """A throw-away server, started by `prepare` in a version that the dump can be loaded into."""

    def __init__(self, vendor: Vendor, tools: Sequence[Path], folder: Path) -> None:
        place = Place("", 0, "drill", LOADER, "off", socket=str(folder / "s"))
        super().__init__(vendor, place, tools, with_globals=True)
        self._folder = folder
        self._server: PrivateServer | None = None

    def prepare(self, facts: Mapping[str, object]) -> None:
        """Start the server, then as everywhere. Refused when no server of the dump's version or newer is installed."""
        read = DumpFacts.read(facts, self._vendor.kind)
        programs = self._vendor.programs
        purpose = f"to drill a dump of version {read.server_version}"
        server = choose(self._vendor, self._tools, programs.server, read.server_series, purpose)
        self._server = PrivateServer(self._vendor, self._setup_program(server.path), server.path, self._folder)
        self._server.start()
        with self._as_superuser() as access:
            withheld = ", ".join(self._vendor.withheld)
            access.ask(
                f"CREATE USER {LOADER}@localhost; GRANT ALL ON *.* TO {LOADER}@localhost;"
                f"REVOKE {withheld} ON *.* FROM {LOADER}@localhost",
                "scratch",
                database="",
            )
        super().prepare(facts)

    def _setup_program(self, server: str) -> str:
        """What makes a data folder; MySQL's server does it itself, MariaDB's is a script without a version."""
        if self._vendor.programs.setup == self._vendor.programs.server:
            return server
        beside = [Path(server).parent, *self._tools, Path("/usr/bin"), Path(server).parents[1] / "scripts"]
        for path in (folder / name for folder in beside for name in self._vendor.programs.setup):
            if path.is_file() and os.access(path, os.X_OK):
                return str(path)
        hint = f"install {self._vendor.server_package}"
        raise Refused("the program that sets a server up is not installed", operation="scratch", hint=hint)

    def close(self) -> None:
        """Stop and remove everything."""
        self.abandon()
        if self._server is not None:
            self._server.stop()

    @contextmanager
    def _as_superuser(self) -> Iterator[Access]:
        place = replace(self._place, user=SUPERUSER)
        access = open_access(self._vendor, place, self._tools, "scratch")
        try:
            yield access
        finally:
            access.close()

    def _load_accounts(self, access: Access, text: str) -> tuple[str, ...]:  # noqa: ARG002  root's way is another
        with self._as_superuser() as admin:
            return tuple(note for note in accounts.create_missing(admin, text) if note.startswith("left out"))


class GivenScratch(FamilyTarget):
    """A database of a passing name on a server that the host configuration names."""

    def _check_server(self, access: Access, facts: DumpFacts) -> None:
        super()._check_server(access, facts)
        ((scheduler,),) = access.ask("SELECT @@event_scheduler", "scratch", database="")
        if facts.events and scheduler in ("1", "ON"):
            raise Refused(
                "the drill's server runs events, and the dump has some",
                operation="scratch",
                resource=self._place.shown,
                hint="SET GLOBAL event_scheduler = OFF there, or drill in a private server",
            )

    def discard(self) -> None:
        """Drop the database, whether it was completed or not."""
        self.abandon()
        with suppress(DrorchError):
            access = open_access(self._vendor, self._place, self._tools, "scratch")
            try:
                access.ask(f"DROP DATABASE IF EXISTS {quoted(self._place.database)}", "scratch", database="")
            finally:
                access.close()


@contextmanager
def private(vendor: Vendor, tools: Sequence[Path], runtime: Path | None) -> Iterator[PrivateScratch]:
    """A private server below `runtime` (the system's temporary folder by default), removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="drorch-my-", dir=runtime or passable_parent()))
    target = PrivateScratch(vendor, tools, folder)
    try:
        yield target
    finally:
        target.close()
        shutil.rmtree(folder, ignore_errors=True)


def passable_parent() -> Path:
    """The system's temporary folder, unless the server's own uid could not pass through it."""
    first = Path(tempfile.gettempdir()).resolve()
    for parent in (first, Path("/tmp"), Path("/var/tmp")):  # noqa: S108  the folder made in it is ours alone
        passable = parent.is_dir() and all(place.stat().st_mode & stat.S_IXOTH for place in (parent, *parent.parents))
        if passable or os.geteuid() != 0:
            return parent
    return first


@contextmanager
def given(vendor: Vendor, place: Place, tools: Sequence[Path]) -> Iterator[GivenScratch]:
    """A new database on the server of `place`; what killed drills left there is dropped first."""
    _sweep(vendor, place, tools)
    target = GivenScratch(vendor, place.at(_DRILL + secrets.token_hex(6)), tools, with_globals=False)
    try:
        yield target
    finally:
        target.discard()


def _sweep(vendor: Vendor, place: Place, tools: Sequence[Path]) -> None:
    """Drop drill databases of which no living session holds the lock."""
    access = open_access(vendor, place, tools, "scratch")
    try:
        names = [str(row[0]) for row in access.ask("SHOW DATABASES", "scratch", database="")]
        for name in names:
            if _DRILL_NAME.fullmatch(name):
                _drop_if_free(access, name)
    finally:
        access.close()


def _drop_if_free(access: Access, name: str) -> None:
    keeper = Keeper(access, lock_name(name))
    try:
        if keeper.lock():
            with suppress(DrorchError):
                access.ask(f"DROP DATABASE IF EXISTS {quoted(name)}", "scratch", database="")
    finally:
        keeper.release()
