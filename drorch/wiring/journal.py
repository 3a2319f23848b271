"""The journal of this host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from drorch.app.audits import AuditKeeper
from drorch.app.farewell import Farewell
from drorch.app.journal import JournalBook
from drorch.app.reading import TrustedKey
from drorch.app.restore_journal import RestoreJournal
from drorch.domain.action import Sweep
from drorch.ports import ObjectStore

if TYPE_CHECKING:
    from drorch.wiring.host import Host


def journal_of(host: Host, state: Path, marked: Callable[[ObjectStore], bool]) -> JournalBook:
    """What the host writes down of hours and restores, below its state folder."""
    return JournalBook(
        state,
        host.locks,
        site=host.config.site,
        host=host.name,
        signing=host.signing_key,
        store_of=host.store,
        marked=marked,
    )


def restores_of(host: Host, missed: Callable[[str], None]) -> RestoreJournal:
    """Where restores by this host are written down; `missed` hears why one is not."""
    return RestoreJournal(lambda: host.journal, tuple(host.vaults), host.clock, host.who(), missed)


def farewell_of(host: Host, trusted: Sequence[TrustedKey]) -> Callable[[Sweep, datetime], None]:
    """What keeps, in the journal, what records say that are about to be removed."""
    return Farewell(host.journal, tuple(host.vaults), host.store, trusted).tell


def audits_of(host: Host, trusted: Sequence[TrustedKey]) -> AuditKeeper:
    """What picks this host's random audits, and knows them by its journal."""
    return AuditKeeper(
        site=host.config.site,
        every=host.config.audits.every,
        book=host.journal,
        vaults=host.vaults,
        store_of=host.store,
        trusted=trusted,
        signing=host.signing_key,
    )
