"""Intents: what was about to be asked of a provider whose calls have no token, written down and fsynced first.

After a crash, or a reply that never came, the planner waits until such a call would show in a listing before it asks
again. An intent goes away when its point is usable, or when the provider said that nothing happened.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from drorch.domain.errors import Unavailable
from drorch.domain.instant import from_text, to_slot, to_text
from drorch.domain.intent_keys import copy_intent
from drorch.domain.model import RecoveryPoint
from drorch.domain.policy import ResourcePolicy

if TYPE_CHECKING:  # whose scenes carry these intents
    from drorch.app.passing import ApplicationPlan

FORGOTTEN = timedelta(days=2)
"""After so long neither a failure nor an intent says anything about the next try."""


class Intents:
    """The files below ``STATE/intents``, one per call under way: its name is the key, its content the instant."""

    def __init__(self, state: Path, now: datetime) -> None:
        self._folder = state / "intents"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            birth = self._folder / ".since"
            if not birth.exists():
                self._write(birth, now)
            self.since = self._read(birth) or now
        except OSError as error:
            raise Unavailable(
                f"cannot write below {state}",
                cause=error.strerror or "",
                hint="the state folder must be writable for this user",
            ) from error

    def begin(self, key: str, now: datetime) -> bool:
        """Write the intent down; True when one was there already: look before acting."""
        path = self._folder / key
        known = path.exists()
        try:
            self._write(path, now)
        except OSError as error:
            raise Unavailable("an intent could not be written down, so nothing was asked", cause=str(error)) from error
        return known

    def end(self, key: str) -> None:
        """The call is known to have shown, or not to have happened."""
        (self._folder / key).unlink(missing_ok=True)

    def standing(self) -> Mapping[str, datetime]:
        """Every intent with the instant at which it was begun."""
        found = {path.name: self._read(path) for path in self._folder.iterdir() if not path.name.startswith(".")}
        return {key: at for key, at in found.items() if at is not None}

    @staticmethod
    def _read(path: Path) -> datetime | None:
        try:
            return from_text(path.read_text(encoding="ascii").strip())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            # A file cut short by a crash still says that a call may be under way since it was written.
            return datetime.fromtimestamp(path.stat().st_mtime, tz=UTC) if path.exists() else None

    def _write(self, path: Path, now: datetime) -> None:
        with path.open("w", encoding="ascii") as file:
            file.write(to_text(now) + "\n")
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def settle(intents: Intents, plans: Iterable[ApplicationPlan], at: datetime, *, blind: bool) -> None:
    """An intent ends when what it was about is usable, and when it is of no use any more.

    Until then what one listing showed may be missing from the next, which another server of the provider answers; and
    a copy that fails there is tried again an hour after it was begun.
    That of a dump stands until its slot is over or filled in every vault: should the only vault that has it not be read
    after the cache was lost, its id must not be given to another dump.
    `blind`: an object vault cannot be read, and a dump may lie there that nobody has seen yet.
    """
    standing = intents.standing()
    for p in plans if standing else ():
        resources = {r.name: r for r in p.policy.resources}
        homes = {name: r.targets[0].vault for name, r in resources.items() if r.native}
        for point in p.catalogue.points:
            dump = point.id in standing and point.resource not in homes
            if dump and not _may_be_cut_again(point, resources.get(point.resource), p.catalogue.points, at):
                intents.end(point.id)
            for copy in point.copies:
                home = homes.get(point.resource) == copy.vault
                key = point.id if home else copy_intent(point.id, copy.vault)
                if copy.whole and key in standing:
                    intents.end(key)
    for key, begun_at in standing.items():
        if not blind and at >= begun_at + FORGOTTEN:
            intents.end(key)


def _may_be_cut_again(
    point: RecoveryPoint, resource: ResourcePolicy | None, points: Iterable[RecoveryPoint], at: datetime
) -> bool:
    """Whether the dump's slot is due where nobody sees that it was filled: one vault is read, the other is not."""
    if resource is None or point.manual or point.slot != to_slot(resource.schedule.slot_at(at)):
        return False
    of_slot = [p for p in points if p.resource == point.resource and p.slot == point.slot]
    filled = {copy.vault for p in of_slot for copy in p.copies if copy.usable}
    return not {rule.vault for rule in resource.targets} <= filled
