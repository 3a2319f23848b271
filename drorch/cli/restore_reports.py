"""Where a restore is written down: the signed journal, or under break glass unsigned reports; and files, when asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drorch.app.restore_journal import RestoreJournal
    from drorch.app.restore_report import ReportFiles
    from drorch.ports import Clock, ObjectStore
    from drorch.wiring.host import Host


def signed_journal(host: Host, files: Sequence[str]) -> RestoreJournal:
    """This host's journal. Unavailable when a file cannot be written."""
    from drorch.wiring.journal import restores_of

    journal = restores_of(host, lambda why: _told(f"this restore stands in no journal: {why}"))
    journal.local = _files(files).add
    return journal


def unsigned_reports(stores: Mapping[str, ObjectStore], clock: Clock, files: Sequence[str]) -> RestoreJournal:
    """Reports without a signature, in the vaults of the command line. Unavailable when a file cannot be written."""
    import os

    from drorch.app.restore_report import UnsignedReports
    from drorch.cli.screen import tell
    from drorch.domain.errors import Refused
    from drorch.wiring.machine import person

    def no_book() -> None:
        raise Refused("break glass has no key to sign with")

    return UnsignedReports(
        book=no_book,  # type: ignore[arg-type]  # it is never opened
        vaults=tuple(stores),
        clock=clock,
        by=person(os.environ),
        missed=lambda why: _told(f"the report of this restore: {why}"),
        local=_files(files).add,
        stores=stores,
        left=lambda where: tell(f"report, not signed: {where}"),
    )


def _files(names: Sequence[str]) -> ReportFiles:
    from drorch.app.restore_report import ReportFiles

    files = ReportFiles(tuple(Path(name) for name in names), _told)
    files.require()
    return files


def _told(text: str) -> None:
    from drorch.cli.screen import tell

    tell(text, color="yellow")
