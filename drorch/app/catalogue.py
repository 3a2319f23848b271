"""Reading a vault's records: list, fetch what is new, check every signature, remember the verdict in the cache."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from drorch.app.cache import Cache, CachedRecord
from drorch.app.reading import FIRST_LINE, TrustedKey
from drorch.crypto.minisign import BadSignature, verify
from drorch.domain import layout
from drorch.domain.canonical import LARGEST_RECORD
from drorch.domain.catalogue import SeenRecord, Trust, VaultView
from drorch.domain.errors import Damaged, DrorchError, NotFound, Refused
from drorch.domain.instant import from_compact, from_text, to_compact, to_text
from drorch.domain.model import LockMode, ObjectLock, Vault
from drorch.domain.record import Record, RecordType, parse, parse_at
from drorch.domain.retention import FUTURE
from drorch.ports import ObjectStore, ObjectVersion, check_path

_LARGEST_SIGNATURE = 16 * 1024
_MEMO = 4_000
"""Parsed records held in memory; beyond that the oldest are parsed again when they are needed."""

_APPROVALS = 20
"""As many of the newest approvals are read: each is good for an hour."""

_HEADS = 20
"""So many heads (and runbooks) are tried, the newest first, until one counts."""

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

_TYPE_OF = {
    "manifest.json": RecordType.MANIFEST,
    "native": RecordType.NATIVE,
    "marks": RecordType.MARK,
    "proofs": RecordType.PROOF,
    "rewraps": RecordType.REWRAP,
}
"""What a path says of the type of a record whose content cannot be believed."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a vault is read: everything, one application, or one resource of it."""

    application: str = ""
    resource: str = ""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The listings that it takes: records and data; of more than one resource heads, runbooks and approvals."""
        below = "".join(f"{part}/" for part in (self.application, self.resource) if part)
        wider = () if self.resource else (layout.HEADS + below, layout.RUNBOOKS + below, layout.APPROVALS)
        return layout.RECORDS + below, layout.DATA + below, *wider


@dataclass(slots=True)
class _Listed:
    """What a listing of some prefixes showed: every path with its versions (delete markers left out), oldest first."""

    versions: dict[str, list[ObjectVersion]] = field(default_factory=dict)
    tampered: dict[str, str] = field(default_factory=dict)

    def add(self, store: ObjectStore, prefix: str) -> None:
        """List it completely; raises what the store raises."""
        markers: dict[str, ObjectVersion] = {}
        for found in store.history(prefix):
            if not _readable(found.path):
                self.tampered[found.path] = "no path that drorch writes: it is not read"
                continue
            if found.marker:
                markers[found.path] = found
            else:
                self.versions.setdefault(found.path, []).append(found)
        for path, found in markers.items():
            if path in self.versions:
                when = to_text(found.modified)
                self.tampered[path] = f"somebody deleted it at {when}; its version from before is read"
        for path, versions in self.versions.items():
            if len(versions) > 1 and path not in self.tampered:
                when = to_text(versions[-1].modified)
                self.tampered[path] = f"somebody wrote over it at {when}; its oldest valid version is read"


class VaultReader:
    """Keeps the cache's picture of object vaults true. `site` empty accepts any site's records (break glass)."""

    def __init__(self, cache: Cache, trusted: Sequence[TrustedKey], site: str) -> None:
        self._cache = cache
        self._trusted = tuple(trusted)
        self._site = site
        self._memo: OrderedDict[tuple[str, str, str], SeenRecord] = OrderedDict()
        self._uploads: dict[str, dict[str, datetime]] = {}

    def refresh(self, store: ObjectStore, now: datetime, scope: Scope | None = None) -> None:
        """List the vault (or a part of it) completely and fetch what is new: one GET pair for each new record.

        Raises what the store raises; the cache then keeps its last complete picture.
        """
        scope = scope or Scope()
        ticket = self._cache.ticket()
        listed = _Listed()
        for prefix in scope.prefixes:
            listed.add(store, prefix)
        objects = {p: v[0].size for p, v in listed.versions.items() if p.startswith((layout.DATA, layout.HEADS))}
        known: dict[str, str] = {}
        for prefix in scope.prefixes:
            known |= self._cache.fingerprints(store.vault, prefix)
        keep: list[str] = []
        fetched: list[CachedRecord] = []

        def read(path: str) -> None:
            fingerprint = _fingerprint(listed.versions[path], listed.versions.get(path + layout.SIGNATURE, ()))
            if known.get(path) == fingerprint:
                keep.append(path)
            elif (record := self._fetch(store, path, listed.versions, fingerprint)) is not None:
                keep.append(path)
                fetched.append(record)

        for path in _to_read(listed.versions):
            read(path)
        for heads in _heads(listed.versions, now):
            self._newest(store.vault, heads, read, fetched)
        self._cache.replace(store.vault, scope.prefixes, keep, fetched, objects, ticket, listed.tampered)
        if not scope.application:
            self._cache.set_listing(store.vault, to_text(now))

    def _newest(
        self, vault: str, heads: Sequence[str], read: Callable[[str], None], fetched: Sequence[CachedRecord]
    ) -> None:
        """The newest head or runbook that counts: one that somebody planted under a later name must not hide it."""
        for path in heads[:_HEADS]:
            read(path)
            new = next((record.trust for record in fetched if record.path == path), "")
            if (new or self._cache.trust(vault, path)) == Trust.SIGNED:
                return

    def look_for_uploads(self, store: ObjectStore) -> None:
        """Uploads that were not ended, as they are now; one listing. Raises what the store raises."""
        found: dict[str, datetime] = {}
        for upload in store.uploads(layout.DATA):
            found[upload.path] = min(upload.begun, found.get(upload.path, upload.begun))
        self._uploads[store.vault] = found

    def uploads(self, vault: str) -> Mapping[str, datetime]:
        """The data paths of uploads that were not ended when they were last looked for, and when they were begun."""
        return self._uploads.get(vault, {})

    def _fetch(
        self, store: ObjectStore, path: str, listed: Mapping[str, Sequence[ObjectVersion]], fingerprint: str
    ) -> CachedRecord | None:
        """The oldest version that a signature vouches for; where there is none, the newest with what is wrong."""
        verdict: CachedRecord | None = None
        for version in listed[path]:
            for signature in listed.get(path + layout.SIGNATURE, ()) or (None,):
                verdict = self._fetch_one(store, version, signature, fingerprint)
                if verdict is None or verdict.trust != Trust.UNSIGNED:
                    return verdict
        return verdict

    def _fetch_one(
        self, store: ObjectStore, found: ObjectVersion, signature: ObjectVersion | None, fingerprint: str
    ) -> CachedRecord | None:
        trust, why, data = Trust.UNSIGNED, "", b""
        try:
            if found.size > LARGEST_RECORD:
                raise Damaged("a record is larger than any that drorch writes")
            data = b"".join(store.read(found.path, version=found.version))
            trust, why = self._judge(store, found, signature, data)
        except NotFound:
            return None  # it went between the listing and the reading; the next listing tells
        except (Damaged, BadSignature) as error:
            why = str(error)
        return CachedRecord(found.path, fingerprint, to_text(found.modified), str(trust), why, data)

    def _judge(
        self, store: ObjectStore, info: ObjectVersion, signature: ObjectVersion | None, data: bytes
    ) -> tuple[Trust, str]:
        """Raises BadSignature or Damaged, with the reason, for everything that must not count. The text is what is
        wrong; of a signed record, the end of its key.
        """
        if signature is None:
            raise BadSignature("it has no signature")
        if signature.size > _LARGEST_SIGNATURE:
            raise BadSignature("its signature is larger than any that drorch writes")
        said = b"".join(store.read(signature.path, version=signature.version))
        if not said.startswith(FIRST_LINE):
            raise BadSignature("drorch did not write its signature", cause="its untrusted comment was altered")
        verified = verify(data, said, [trusted.key for trusted in self._trusted])
        end = _end(trusted.until for trusted in self._trusted if trusted.key == verified.key)
        if end is not None and max(info.modified, signature.modified) >= end:
            raise BadSignature("its key was no longer trusted when the store wrote it")
        record = parse(data)
        if not record.supported:
            return Trust.UNSUPPORTED, f"a record of a later version ({record.type}, format {record.body['format']})"
        parse_at(info.path, data)
        if verified.trusted_comment != record.comment:
            raise BadSignature("its trusted comment speaks of another record")
        if self._site and record.site != self._site:
            raise BadSignature(f"it is of site {record.site}")
        return Trust.SIGNED, "" if end is None else to_text(end)

    def view(self, vault: Vault, application: str, *, complete: bool = True, why: str = "") -> VaultView:
        """The cache's picture of one application in one vault."""
        listing = self._cache.listing(vault.name)
        heads = f"{layout.HEADS}{application}/"
        cached_records = self._cache.records(vault.name, f"{layout.RECORDS}{application}/")
        cached_records += self._cache.records(vault.name, heads)
        cached_records += self._cache.records(vault.name, f"{layout.RUNBOOKS}{application}/")
        records = [self._parsed(vault.name, cached) for cached in cached_records]
        return VaultView(
            vault=vault,
            complete=complete,
            at=None if listing is None else from_text(listing[0]),
            records=tuple(record for record in records if record is not None),
            objects=self._cache.objects(vault.name, f"{layout.DATA}{application}/"),
            why=why,
            tampered=self._tampered(vault.name, application),
            heads=tuple(path for path in self._cache.objects(vault.name, heads) if path.endswith(".json")),
            uploads=self.uploads(vault.name),
            locks=self._locks(vault.name, {record.record.point for record in records if record is not None}),
        )

    def approvals(self, vaults: Iterable[str]) -> tuple[Record, ...]:
        """The signed approvals that lie in any of the vaults, each once."""
        found: dict[str, Record] = {}
        for vault in vaults:
            for cached in self._cache.records(vault, layout.APPROVALS):
                seen = self._parsed(vault, cached)
                if seen is not None and seen.trust is Trust.SIGNED:
                    found[seen.digest] = seen.record
        return tuple(found.values())

    def _locks(self, vault: str, points: Collection[str]) -> dict[str, ObjectLock]:
        found = self._cache.locks(vault, points)
        return {point: ObjectLock(LockMode(mode), from_text(until)) for point, (mode, until) in found.items()}

    def _tampered(self, vault: str, application: str) -> dict[str, str]:
        below = (f"{layout.RECORDS}{application}/", f"{layout.DATA}{application}/")
        return {path: what for prefix in below for path, what in self._cache.tampered(vault, prefix).items()}

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
        signed = cached.trust == Trust.SIGNED
        seen = SeenRecord(
            vault=vault,
            path=cached.path,
            record=record,
            trust=Trust(cached.trust),
            written=from_text(cached.written),
            digest=hashlib.sha256(cached.data).hexdigest(),
            why="" if signed else cached.why,
            until=from_text(cached.why) if signed and cached.why else None,
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


@lru_cache(maxsize=200_000)  # every listing shows the same paths again
def _readable(path: str) -> bool:
    try:
        check_path(path)
    except Refused:
        return False
    return True


def _end(ends: Iterable[datetime | None]) -> datetime | None:
    """When a key that is listed with these ends ceases to count; None: never."""
    known = list(ends)
    return None if None in known else max(end for end in known if end is not None)


def _to_read(listed: Mapping[str, object]) -> Iterator[str]:
    """The records to be read: those of points, and the newest approvals."""
    records = [path for path in sorted(listed) if path.endswith(".json")]
    yield from (path for path in records if path.startswith(layout.RECORDS))
    yield from [path for path in records if path.startswith(layout.APPROVALS)][-_APPROVALS:]


def _heads(listed: Iterable[str], now: datetime) -> Iterable[list[str]]:
    """The heads of each application, newest first, and its runbooks; those of the future, which a wrong clock wrote, by
    themselves.
    """
    limit = to_compact(now + FUTURE)
    heads: dict[tuple[str, bool], list[str]] = {}
    for path in sorted(listed, reverse=True):
        folder, _, name = path.rpartition("/")
        if path.startswith((layout.HEADS, layout.RUNBOOKS)) and path.endswith(".json"):
            heads.setdefault((folder, name > limit), []).append(path)
    return heads.values()


def _fingerprint(record: Sequence[ObjectVersion], signature: Sequence[ObjectVersion]) -> str:
    return ";".join(f"{found.size}@{found.modified.isoformat()}" for found in (*record, *signature))


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
