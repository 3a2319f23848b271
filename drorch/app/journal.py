"""The journal of a host: entries are signed and kept on disk first, then brought to every vault beside the passes.

A vault that cannot be written to gets its entries later. Each host numbers its entries and each names the digest of the
one before it: what somebody takes away, or what never reached a vault, shows as a gap.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from drorch.app.beside import Beside
from drorch.app.locks import Locks
from drorch.app.passing import Finished, Pass
from drorch.app.signing import put_pair
from drorch.crypto.minisign import SecretKey
from drorch.domain.action import Action, Braked, Expire, Mark, Sweep
from drorch.domain.errors import DrorchError, Refused, Unavailable
from drorch.domain.instant import from_text, to_text
from drorch.domain.journal import HOUR, Held, Hour, figure_of, hour_of
from drorch.domain.record import Record, RecordType, compose, parse_at
from drorch.ports import ObjectStore

log = structlog.get_logger()

RETRY = timedelta(minutes=15)
"""A vault that did not take an entry is tried again after so long."""
FORGOTTEN = timedelta(days=35)
"""An entry that a vault did not take for so long is brought there no more."""

_LOCK = "journal"


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An entry on disk, and the vaults that do not have it yet."""

    file: Path
    path: str
    data: bytes
    signature: bytes
    since: datetime
    vaults: tuple[str, ...]


class JournalBook:
    """The entries of this host below ``STATE/journal`` until every vault has them. Safe between processes.

    `marked` says whether a vault bears this site's marker: nothing is written where it does not.
    """

    def __init__(
        self,
        state: Path,
        locks: Locks,
        *,
        site: str,
        host: str,
        signing: Callable[[], SecretKey],
        store_of: Callable[[str], ObjectStore],
        marked: Callable[[ObjectStore], bool],
    ) -> None:
        self._folder = state / "journal"
        self._locks = locks
        self._site = site
        self._host = host
        self._signing = signing
        self._store_of = store_of
        self._marked = marked

    def write(self, event: str, now: datetime, vaults: Collection[str], **content: Any) -> Record:
        """Sign an entry and keep it on disk for these vaults; `deliver` brings it there.

        Raises Refused without a signing key, Busy, Unavailable when the state folder cannot be written.
        """
        key = self._signing()
        with self._locks.held(_LOCK, "the journal"):
            before = self._last()
            seq = before.get("seq", 0) + 1
            record = compose(
                RecordType.JOURNAL,
                site=self._site,
                at=now,
                event=event,
                host=self._host,
                seq=seq,
                previous=before.get("digest"),
                **content,
            )
            signature = key.sign(record.data, record.comment)
            self._keep(self._folder / f"{seq:010d}.json", _packed(record, signature, now, vaults))
            self._keep(self._folder / ".last", {"seq": seq, "digest": hashlib.sha256(record.data).hexdigest()})
        return record

    def waiting(self) -> bool:
        """Whether any vault lacks an entry."""
        return any(True for _ in self._files())

    def deliver(self, vaults: Collection[str], now: datetime) -> Mapping[str, str]:
        """Bring what waits to the vaults that can be written to; why the others do not have it now.

        `vaults` are all that there are: what waits for others is forgotten.
        """
        failed: dict[str, str] = {}
        for file in self._files():
            entry = _unpacked(file)
            if entry is None or now - entry.since > FORGOTTEN:
                log.warning("journal entry given up", file=file.name, vaults=list(entry.vaults) if entry else [])
                file.unlink(missing_ok=True)
                continue
            left = tuple(vault for vault in entry.vaults if vault in vaults and not self._brought(entry, vault, failed))
            if not left:
                file.unlink(missing_ok=True)
            elif left != entry.vaults:
                self._keep(file, _body(entry.path, entry.data, entry.signature, entry.since, left))
        return failed

    def _brought(self, entry: _Waiting, vault: str, failed: dict[str, str]) -> bool:
        """One that has failed is not waited for again in the same delivery."""
        if vault in failed:
            return False
        try:
            store = self._store_of(vault)
            if not self._marked(store):
                failed[vault] = "it has no marker"
                return False
            put_pair(store, entry.path, entry.data, entry.signature)
        except DrorchError as error:
            failed[vault] = str(error)
            return False
        return True

    def undelivered(self, event: str) -> tuple[Record, ...]:
        """The entries of an event that some vault lacks, oldest first."""
        entries = (_unpacked(file) for file in self._files())
        return tuple(parse_at(e.path, e.data) for e in entries if e is not None and f"-{event}-" in e.path)

    # --- the folder ---

    def load(self, name: str) -> Mapping[str, Any] | None:
        """What `store` kept under a name, once: it is gone then."""
        path = self._folder / f".{name}"
        found = _read(path)
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return found

    def store(self, name: str, content: Mapping[str, Any]) -> None:
        """Keep something beside the entries. Raises Unavailable."""
        self._keep(self._folder / f".{name}", content)

    def _last(self) -> dict[str, Any]:
        """Number and digest of the newest entry; a death may have kept `.last` from being told of it."""
        found = _read(self._folder / ".last") or {}
        sound = isinstance(found.get("seq"), int) and isinstance(found.get("digest"), str)
        last = dict(found) if sound else {}
        for file in self._files():
            entry = _unpacked(file) if file.stem.isdigit() and int(file.stem) > last.get("seq", 0) else None
            if entry is not None:
                last = {"seq": int(file.stem), "digest": hashlib.sha256(entry.data).hexdigest()}
        return last

    def _files(self) -> Iterator[Path]:
        with suppress(OSError):
            yield from sorted(path for path in self._folder.iterdir() if path.name[0].isdigit())

    def _keep(self, path: Path, content: Mapping[str, Any]) -> None:
        """Whole or not at all, and on disk."""
        partial = path.with_name(f".{path.name.lstrip('.')}.{os.getpid()}.new")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with partial.open("w", encoding="utf-8") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise Unavailable(f"cannot write below {self._folder}", cause=error.strerror or "") from error


def _packed(record: Record, signature: bytes, now: datetime, vaults: Collection[str]) -> dict[str, Any]:
    return _body(record.path, record.data, signature, now, tuple(sorted(vaults)))


def _body(path: str, data: bytes, signature: bytes, since: datetime, vaults: tuple[str, ...]) -> dict[str, Any]:
    return {
        "path": path,
        "data": base64.b64encode(data).decode("ascii"),
        "signature": base64.b64encode(signature).decode("ascii"),
        "since": to_text(since),
        "vaults": list(vaults),
    }


def _unpacked(file: Path) -> _Waiting | None:
    """None for a file that says nothing: a disk that was full, somebody's hand."""
    try:
        body = _read(file) or {}
        data, signature = (base64.b64decode(body[name], validate=True) for name in ("data", "signature"))
        return _Waiting(file, body["path"], data, signature, from_text(body["since"]), tuple(body["vaults"]))
    except (KeyError, TypeError, ValueError, binascii.Error):
        return None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


# --- what the passes tell ------------------------------------------------------------------------------------------


@dataclass
class JournalKeeper:
    """Gathers what the passes see and do, and writes an entry when an hour is over. What fails is logged: no pass waits
    for the journal, and none fails for it. `vaults` are the object vaults.
    """

    book: JournalBook
    vaults: Collection[str]
    beside: Beside = field(default_factory=Beside)
    _hour: Hour | None = None
    _ended: list[Finished] = field(default_factory=list)
    _loaded: bool = False
    _tried: datetime | None = None

    def passed(self, seen: Pass) -> None:
        """What a pass saw, and what ended since the one before; a clock that others contradict is no evidence."""
        ended, self._ended = self._ended, []
        if not self.vaults or seen.world.skewed:
            return
        try:
            self._take(seen, ended)
            self._deliver(seen.at)
        except DrorchError as error:
            log.warning("journal not written", error=str(error))
        except Exception as error:
            self._hour = None  # what cannot be written down now never can be: the next hour may
            log.error("journal not written", error=str(error), exc_info=error)

    def ended(self, finished: Finished) -> None:
        """An action ended: what was done is counted, a deletion that was refused is named."""
        if finished.error is None or (isinstance(finished.error, Refused) and _deletes(finished.action)):
            self._ended.append(finished)

    def close(self, patience: float = 10.0) -> None:
        """The process ends: what the hour has so far goes to disk, what is being delivered has a moment to arrive."""
        try:
            for number, body in enumerate(self._hour.bodies() if self._hour else ()):
                self.book.store(f"hour-{number}", body)
        except DrorchError as error:
            log.warning("journal not kept", error=str(error))
        self.beside.wait(patience)

    def _take(self, seen: Pass, ended: Iterable[Finished]) -> None:
        self._restore_hour()
        if self._hour is not None and self._hour.start != hour_of(seen.at):
            for body in self._hour.bodies():
                self.book.write(HOUR, seen.at, self.vaults, **body)
                self._tried = None
            self._hour = None
        hour = self._hour = self._hour or Hour.begun(seen.at)
        hour.saw(seen.at)
        policies = {loaded.policy.application: loaded for loaded in seen.policies.valid}
        for name, plan in seen.plans.items():
            of_application = hour.of_application(name)
            of_application.policy, of_application.commit = policies[name].digest, policies[name].commit
            standings = plan.status.levels.items()
            levels = {str(level): figure for level, one in standings if (figure := figure_of(one)) is not None}
            of_application.saw(levels, valid=plan.status.policy_valid)
            braked = [action for action in plan.actions if isinstance(action, Braked)]
            of_application.hold(_held(action, action.wanted, action.reason) for action in braked)
        for finished in ended:
            _count(finished, hour)

    def _restore_hour(self) -> None:
        """What an earlier process kept: the same hour goes on, an older one is written."""
        if self._loaded:
            return
        self._loaded = True
        number = 0
        while (body := self.book.load(f"hour-{number}")) is not None:
            number += 1
            try:
                found = Hour.of(body)
            except DrorchError:
                continue
            if self._hour is None:
                self._hour = found
            elif self._hour.start == found.start:  # another part of the same hour
                self._hour.applications |= found.applications

    def _deliver(self, now: datetime) -> None:
        due = self._tried is None or not self._tried <= now < self._tried + RETRY
        if due and self.beside.idle and self.book.waiting():
            self._tried = now
            self.beside.begin(lambda: self._bring(now))

    def _bring(self, now: datetime) -> None:
        try:
            failed = self.book.deliver(self.vaults, now)
        except Exception as error:
            log.error("journal not delivered", error=str(error), exc_info=error)
            return
        for vault, why in failed.items():
            log.warning("journal not in vault", vault=vault, error=why)


def _count(finished: Finished, hour: Hour) -> None:
    action = finished.action
    of_application = hour.applications.get(action.application)
    if of_application is None:
        return
    if finished.error is None:
        of_application.done[action.mark if isinstance(action, Mark) else action.name] += 1
    else:
        of_application.hold([_held(action, action.name, str(finished.error))])


def _deletes(action: Action) -> bool:
    return isinstance(action, Expire | Sweep) or (isinstance(action, Mark) and action.lets_go)


def _held(action: Action, what: str, why: str) -> Held:
    return Held(action.vault, action.point, action.resource, what, why[:1000])
