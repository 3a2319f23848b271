"""Reading a vault's records: list, fetch what is new, check every signature, remember the verdict in the cache."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from drorch.app.cache import Cache, CachedRecord
from drorch.app.reading import FIRST_LINE, TrustedKey
from drorch.crypto.minisign import BadSignature, verify
from drorch.domain import layout
from drorch.domain.canonical import LARGEST_RECORD
from drorch.domain.catalogue import SeenRecord, Trust, VaultView
from drorch.domain.errors import Damaged, DrorchError, NotFound
from drorch.domain.instant import from_compact, from_text, to_text
from drorch.domain.model import Vault
from drorch.domain.record import Record, RecordType, parse, parse_at
from drorch.ports import ObjectInfo, ObjectStore

_LARGEST_SIGNATURE = 16 * 1024
_MEMO = 20_000
"""Parsed records held in memory; beyond that the oldest are parsed again when they are needed."""

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

_TYPE_OF = {
    "manifest.json": RecordType.MANIFEST,
    "native": RecordType.NATIVE,
    "marks": RecordType.MARK,
    "proofs": RecordType.PROOF,
}
"""What a path says of the type of a record whose content cannot be believed."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a vault is read: everything, one application, or one resource of it."""

    application: str = ""
    resource: str = ""

    @property
    def prefixes(self) -> tuple[str, str]:
        """The listings that it takes: records and data."""
        below = "".join(f"{part}/" for part in (self.application, self.resource) if part)
        return layout.RECORDS + below, layout.DATA + below


class VaultReader:
    """Keeps the cache's picture of object vaults true. `site` empty accepts any site's records (break glass)."""

    def __init__(self, cache: Cache, trusted: Sequence[TrustedKey], site: str) -> None:
        self._cache = cache
        self._trusted = tuple(trusted)
        self._site = site
        self._memo: OrderedDict[tuple[str, str, str], SeenRecord] = OrderedDict()

    def refresh(self, store: ObjectStore, now: datetime, scope: Scope | None = None) -> None:
        """List the vault (or a part of it) completely and fetch what is new: one GET pair for each new record.

        Raises what the store raises; the cache then keeps its last complete picture.
        """
        scope = scope or Scope()
        records, data = scope.prefixes
        ticket = self._cache.ticket()
        listed = {info.path: info for info in store.list(records)}
        objects = {info.path: info.size for info in store.list(data)}
        known = self._cache.fingerprints(store.vault, records)
        keep, fetched = [], []
        for path, info in sorted(listed.items()):
            if not path.endswith(".json"):
                continue
            fingerprint = _fingerprint(info, listed.get(path + layout.SIGNATURE))
            if known.get(path) == fingerprint:
                keep.append(path)
                continue
            record = self._fetch(store, info, listed.get(path + layout.SIGNATURE), fingerprint)
            if record is not None:
                keep.append(path)
                fetched.append(record)
        self._cache.replace(store.vault, scope.prefixes, keep, fetched, objects, ticket)
        if not scope.application:
            self._cache.set_listing(store.vault, to_text(now))

    def _fetch(
        self, store: ObjectStore, info: ObjectInfo, signature: ObjectInfo | None, fingerprint: str
    ) -> CachedRecord | None:
        trust, why, data = Trust.UNSIGNED, "", b""
        try:
            if info.size > LARGEST_RECORD:
                raise Damaged("a record is larger than any that drorch writes")
            data = b"".join(store.read(info.path))
            trust, why = self._judge(store, info, signature, data)
        except NotFound:
            return None  # it went between the listing and the reading; the next listing tells
        except (Damaged, BadSignature) as error:
            why = str(error)
        return CachedRecord(info.path, fingerprint, to_text(info.modified), str(trust), why, data)

    def _judge(
        self, store: ObjectStore, info: ObjectInfo, signature: ObjectInfo | None, data: bytes
    ) -> tuple[Trust, str]:
        """Raises BadSignature or Damaged, with the reason, for everything that must not count."""
        if signature is None:
            raise BadSignature("it has no signature")
        if signature.size > _LARGEST_SIGNATURE:
            raise BadSignature("its signature is larger than any that drorch writes")
        said = b"".join(store.read(signature.path))
        if not said.startswith(FIRST_LINE):
            raise BadSignature("drorch did not write its signature", cause="its untrusted comment was altered")
        verified = verify(data, said, [trusted.key for trusted in self._trusted])
        ends = [trusted.until for trusted in self._trusted if trusted.key == verified.key]
        written = max(info.modified, signature.modified)
        if None not in ends and written >= max(end for end in ends if end is not None):
            raise BadSignature("its key was no longer trusted when the store wrote it")
        record = parse(data)
        if not record.supported:
            return Trust.UNSUPPORTED, f"a record of a later version ({record.type}, format {record.body['format']})"
        parse_at(info.path, data)
        if verified.trusted_comment != record.comment:
            raise BadSignature("its trusted comment speaks of another record")
        if self._site and record.site != self._site:
            raise BadSignature(f"it is of site {record.site}")
        return Trust.SIGNED, ""

    def view(self, vault: Vault, application: str, *, complete: bool = True, why: str = "") -> VaultView:
        """The cache's picture of one application in one vault."""
        listing = self._cache.listing(vault.name)
        records = [self._parsed(vault.name, cached) for cached in self._cache.records(vault.name, application)]
        return VaultView(
            vault=vault,
            complete=complete,
            at=None if listing is None else from_text(listing[0]),
            records=tuple(record for record in records if record is not None),
            objects=self._cache.objects(vault.name, application),
            why=why,
        )

    def knows(self, vault: str) -> bool:
        """Whether the cache has ever seen anything of drorch's in the vault."""
        return self._cache.holds(vault)

    def listed_at(self, vault: str) -> datetime | None:
        """When the vault was last listed completely."""
        listing = self._cache.listing(vault)
        return None if listing is None else from_text(listing[0])

    def _parsed(self, vault: str, cached: CachedRecord) -> SeenRecord | None:
        key = (vault, cached.path, cached.fingerprint)
        if key in self._memo:
            self._memo.move_to_end(key)
            return self._memo[key]
        record = _content(cached)
        if record is None:
            return None
        seen = SeenRecord(
            vault=vault,
            path=cached.path,
            record=record,
            trust=Trust(cached.trust),
            written=from_text(cached.written),
            digest=hashlib.sha256(cached.data).hexdigest(),
            why=cached.why,
        )
        self._memo[key] = seen
        if len(self._memo) > _MEMO:
            self._memo.popitem(last=False)
        return seen


def read_vault(
    store: ObjectStore,
    vault: Vault,
    trusted: Sequence[TrustedKey],
    now: datetime,
    *,
    site: str = "",
    application: str,
) -> VaultView:
    """One application's records in one vault, read afresh, with no cache on disk: the break-glass way."""
    reader = VaultReader(Cache(None, ""), trusted, site)
    reader.refresh(store, now, Scope(application))
    return reader.view(vault, application)


def _fingerprint(record: ObjectInfo, signature: ObjectInfo | None) -> str:
    parts = [record] if signature is None else [record, signature]
    return ";".join(f"{info.size}@{info.modified.isoformat()}" for info in parts)


def _content(cached: CachedRecord) -> Record | None:
    """The record; for one that cannot be parsed or lies elsewhere, what its path says, so that it can be shown."""
    try:
        record = parse(cached.data, checked=cached.trust == Trust.SIGNED)
        if record.supported and (cached.trust == Trust.SIGNED or record.path == cached.path):
            return record
    except DrorchError:
        pass
    return _from_path(cached)


def _from_path(cached: CachedRecord) -> Record | None:
    parts = cached.path.removeprefix(layout.RECORDS).split("/")
    if len(parts) < 4:
        return None
    try:
        cut_at = from_compact(parts[2].partition("-")[0])
    except ValueError:
        return None
    at, body = _mark_from_path(parts[-1]) if parts[3] == "marks" else (_NEVER, {})
    return Record(
        type=_TYPE_OF.get(parts[3], parts[3]),
        site="",
        at=at,
        body=body,
        application=parts[0],
        resource=parts[1],
        point=parts[2].partition("-")[2],
        cut_at=cut_at,
        supported=False,
    )


def _mark_from_path(name: str) -> tuple[datetime, dict[str, str]]:
    """What the name ``TIME-TYPE[-VAULT].json`` of a mark says: a damaged pin still keeps (formats: mark)."""
    at, _, rest = name.removesuffix(".json").partition("-")
    mark, _, vault = rest.partition("-")
    try:
        return from_compact(at), {"mark": mark, "vault": vault} if vault else {"mark": mark}
    except ValueError:
        return _NEVER, {}
