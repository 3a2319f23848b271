"""RESTORE.md in the vaults: from what lies there, signed, and written again only when it has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from drorch.app.cache import Cache
from drorch.app.reading import TrustedKey, read_signed
from drorch.app.restore_guide import GuideFacts, GuideWords, restore_guide, speaks_of_no_dump
from drorch.app.versions import read_at_most
from drorch.crypto.minisign import BadSignature, SecretKey
from drorch.domain import layout
from drorch.domain.canonical import LARGEST_RECORD
from drorch.domain.catalogue import Trust
from drorch.domain.errors import Damaged, DrorchError, NotFound, NotInThisVersion
from drorch.domain.record import Record, parse
from drorch.ports import ObjectStore

log = structlog.get_logger()

EVERY = timedelta(hours=1)
"""A guide is written at most so often: where versions are kept, each writing is one more of them."""

COMMENT = layout.trusted_comment("guide", layout.RESTORE_GUIDE)
"""The trusted comment of its signature."""

_TRIES = 20
"""As many of a resource's newest manifests are tried until one counts."""

_MANIFEST = "/manifest.json"


def newest_dumps(paths: Iterable[str], read: Callable[[str], Record | None]) -> tuple[Record, ...]:
    """The newest manifest that counts of each resource; `read` gives None for one of `paths` that does not."""
    resources: dict[str, list[str]] = {}
    for path in paths:
        if path.startswith(layout.RECORDS) and path.endswith(_MANIFEST):
            resources.setdefault(path.removesuffix(_MANIFEST).rpartition("/")[0], []).append(path)
    newest = (sorted(found, reverse=True)[:_TRIES] for _, found in sorted(resources.items()))
    dumps = (next((record for path in tries if (record := read(path)) is not None), None) for tries in newest)
    return tuple(dump for dump in dumps if dump is not None)


def dumps_in(store: ObjectStore, trusted: Sequence[TrustedKey], site: str) -> tuple[Record, ...]:
    """As `newest_dumps`, from the vault itself: a listing of its records, few reads. Raises what the store raises."""

    def read(path: str) -> Record | None:
        with suppress(BadSignature, Damaged, NotFound, NotInThisVersion):
            record = read_signed(store, path, trusted)
            return record if record.site == site else None
        return None

    return newest_dumps((info.path for info in store.list(layout.RECORDS)), read)


def dumps_known(cache: Cache, vault: str) -> tuple[Record, ...]:
    """As `newest_dumps`, from what the cache has of the vault."""

    def read(path: str) -> Record | None:
        data = cache.data(vault, path)
        return None if data is None else parse(data, checked=True)

    return newest_dumps(cache.paths(vault, layout.RECORDS, _MANIFEST, Trust.SIGNED), read)


def write_guide(store: ObjectStore, guide: bytes, key: SecretKey) -> bool:
    """Sign the guide and write what differs; whether anything was written. Raises what the store raises."""
    signature = key.sign(guide, COMMENT)
    written = False
    for path, body in ((layout.RESTORE_GUIDE, guide), (layout.RESTORE_GUIDE + layout.SIGNATURE, signature)):
        if _stored(store, path) != body:
            store.put(path, body, overwrite=True)
            written = True
    return written


def _stored(store: ObjectStore, path: str) -> bytes | None:
    """What lies there; None for nothing, or nothing that drorch wrote."""
    try:
        return read_at_most(store, path, LARGEST_RECORD)
    except (NotFound, Damaged):
        return None


@dataclass(frozen=True, slots=True)
class _Kept:
    """When a vault's guide is looked at again: at `due`, or from `free` on when something was written there."""

    due: datetime
    free: datetime


@dataclass
class GuideKeeper:
    """Keeps the guides of a running host true. `marked` says whether a vault bears this site's marker, `dumps` what of
    it is known; `touch` tells that something was written to or deleted from vaults.

    A guide is written at once where there is none, or where one speaks of no dump and there is one by now; else at most
    every hour by the store's own time of writing.
    """

    site: str
    trusted: Sequence[TrustedKey]
    signing: Callable[[], SecretKey]
    recipients: Sequence[str]
    words: GuideWords
    store_of: Callable[[str], ObjectStore]
    marked: Callable[[ObjectStore], bool]
    dumps: Callable[[str], Sequence[Record]]
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _touched: set[str] = field(default_factory=set)

    def touch(self, vaults: Iterable[str]) -> None:
        """Their guides may not be true any more."""
        self._touched.update(vaults)

    def keep(self, vaults: Iterable[str], now: datetime) -> None:
        """Look at the vaults whose turn it is. What fails is logged, and tried again in an hour."""
        for vault in vaults:
            kept = self._kept.get(vault)
            if kept is not None and now < kept.due <= now + EVERY and not (vault in self._touched and now >= kept.free):
                continue
            self._touched.discard(vault)
            try:
                self._kept[vault] = self._vault(self.store_of(vault), now)
            except DrorchError as error:
                self._kept[vault] = _Kept(now + EVERY, now + EVERY)
                log.warning("restore guide not written", vault=vault, error=str(error))

    def _vault(self, store: ObjectStore, now: datetime) -> _Kept:
        if not self.marked(store):
            return _Kept(now + EVERY, now)
        key = self.signing()
        dumps = self.dumps(store.vault)
        facts = GuideFacts(self.site, store.vault, key.public, self.trusted, self.recipients, dumps)
        guide, stored = restore_guide(facts, self.words), _stored(store, layout.RESTORE_GUIDE)
        if stored not in (None, guide) and not speaks_of_no_dump(stored or b""):
            free = store.stat(layout.RESTORE_GUIDE).modified + EVERY
            if now < free <= now + EVERY:
                return _Kept(free, free)
        if write_guide(store, guide, key):
            log.info("restore guide written", vault=store.vault)
            return _Kept(now + EVERY, now + EVERY if dumps else now)
        return _Kept(now + EVERY, now)
