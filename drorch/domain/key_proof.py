"""When each recipient's key was last proved to open what it should, and whether that is too long ago. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from drorch.domain.duration import duration_text
from drorch.domain.instant import to_text
from drorch.domain.record import Record, RecordType

PROVE_EVERY = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class KeyStanding:
    """One recipient: since when a token waits for its key, and when the key was last proved; None while not known."""

    recipient: str
    since: datetime | None = None
    proved: datetime | None = None

    def due(self, every: timedelta) -> datetime | None:
        """When it has to be proved again; None while there is no token to prove it with."""
        last = self.proved or self.since
        return None if last is None else last + every

    def overdue(self, every: timedelta, now: datetime) -> str:
        """Why a person has to look, "" when there is time."""
        due = self.due(every)
        if due is None or now < due:
            return ""
        last = f"was last proved at {to_text(self.proved)}" if self.proved else "was never proved to open anything"
        return f"the key of {self.recipient} {last}: it is due every {duration_text(every)} (drorch key check)"


@dataclass(frozen=True, slots=True)
class KeysSeen:
    """Each recipient's key as far as the vaults tell, how often it has to be proved, and what could not be read."""

    standing: tuple[KeyStanding, ...] = ()
    every: timedelta = PROVE_EVERY
    failed: Mapping[str, str] = field(default_factory=dict)


def standings(recipients: Sequence[str], records: Iterable[Record], now: datetime) -> tuple[KeyStanding, ...]:
    """Of each recipient, from signed `key-token` and `key-proof` records. A proof of the future counts as of now."""
    since: dict[str, datetime] = {}
    proved: dict[str, datetime] = {}
    for record in records:
        recipient = record.text("recipient")
        if record.type == RecordType.KEY_TOKEN:
            since[recipient] = min(record.at, since.get(recipient, record.at))
        elif record.type == RecordType.KEY_PROOF:
            at = min(record.time("proved_at") or record.at, now)
            proved[recipient] = max(at, proved.get(recipient, at))
    return tuple(KeyStanding(name, since.get(name), proved.get(name)) for name in recipients)
