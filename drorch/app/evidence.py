"""Gathering evidence: every signed record that a period needs, read afresh out of the vaults alone.

No cache, no policy, no daemon: open stores and the keys that count. A vault that cannot be read is said to be so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from drorch.app.audits import audit_in
from drorch.app.cache import Cache
from drorch.app.catalogue import Scope, VaultReader
from drorch.app.key_check import read_keys
from drorch.app.reading import TrustedKey, read_signed
from drorch.app.restore_report import read_report
from drorch.crypto.minisign import BadSignature
from drorch.domain import layout
from drorch.domain.audit import AUDIT
from drorch.domain.catalogue_seen import SeenRecord, Trust
from drorch.domain.errors import Damaged, DrorchError, NotFound, NotInThisVersion, Refused
from drorch.domain.evidence import Gathered
from drorch.domain.evidence_hours import Period
from drorch.domain.instant import from_compact
from drorch.domain.journal import SWEPT
from drorch.domain.model import FailureDomain, Vault
from drorch.domain.record import Record, RecordType
from drorch.ports import ObjectStore

_REPORTS = 100
_AT_ONCE = 8
"""Records that are read from a vault at the same time."""
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Read:
    """What one vault holds."""

    vault: str
    records: tuple[SeenRecord, ...]
    tampered: tuple[tuple[str, str, str], ...]
    reports: tuple[tuple[str, str, Mapping[str, Any]], ...] = ()


def gather(
    stores: Mapping[str, ObjectStore],
    trusted: Sequence[TrustedKey],
    period: Period,
    now: datetime,
    *,
    applications: Sequence[str] = (),
    site: str = "",
    unopened: Mapping[str, str] | None = None,
) -> Gathered:
    """Everything that vouches for the period, of all applications or of some. `site` "" takes any site's records, and
    calls a vault as its signed marker does. `unopened` are vaults that could not even be opened, each with why.

    Raises NotFound for an application of which nothing lies in vaults that could all be read.
    """

    def read(name: str) -> _Read | DrorchError:
        try:
            return _vault(stores[name], trusted, period, now, applications, site)
        except DrorchError as error:
            return error

    with ThreadPoolExecutor(max_workers=max(1, len(stores)), thread_name_prefix="evidence") as pool:
        found = dict(zip(stores, pool.map(read, stores), strict=True))
    whole = [read for read in found.values() if isinstance(read, _Read)]
    reports = tuple(sorted((report for read in whole for report in read.reports), key=lambda report: report[:2]))
    gathered = Gathered(
        (*(read.vault if isinstance(read, _Read) else name for name, read in found.items()), *(unopened or {})),
        tuple(record for read in whole for record in read.records),
        {**(unopened or {}), **{n: str(error) for n, error in found.items() if isinstance(error, DrorchError)}},
        tuple(sorted(entry for read in whole for entry in read.tampered)),
        reports,
    )
    _require_known(gathered, applications)
    return gathered


def _require_known(gathered: Gathered, applications: Iterable[str]) -> None:
    known = {one.record.application for one in gathered.records} - {""}
    hourly = (one.record.body.get("applications") for one in gathered.records)
    known |= {name for names in hourly if isinstance(names, Mapping) for name in names}
    for name in applications:
        if name not in known and not gathered.unread:
            raise NotFound(
                f"no vault tells anything of application {name!r}",
                hint=f"there are: {', '.join(sorted(known)) or 'none'}",
            )


def _vault(
    store: ObjectStore,
    trusted: Sequence[TrustedKey],
    period: Period,
    now: datetime,
    applications: Sequence[str],
    site: str,
) -> _Read:
    reader, cache = _of_points(store, trusted, now, applications, site)
    names = applications or _applications(cache, store.vault)
    vault = Vault(store.vault, FailureDomain(provider="", region=""))
    views = [reader.view(vault, name) for name in names]
    records = [record for view in views for record in view.records]
    tampered = {(store.vault, path, what) for view in views for path, what in view.tampered.items()}
    for paths in (_journal(store, period, now), _approvals(store, period)):
        records += _signed(store, paths, trusted, site, tampered)
    records += [_seen(store, record) for record in read_keys(store, trusted, site)]
    name = store.vault if site else _called(store, trusted)
    return _Read(
        name,
        tuple(replace(record, vault=name) for record in records),
        tuple((name, path, what) for _, path, what in tampered),
        tuple((name, path, said) for path, said in _reports(store, period)),
    )


def _reports(store: ObjectStore, period: Period) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The unsigned reports of the period, the first `_REPORTS` of them: who may write may write any number."""
    paths = sorted(found.path for found in store.list(layout.REPORTS) if period.holds(_time_in(found.path)))
    for path in paths[:_REPORTS]:
        try:
            yield path, read_report(store, path)
        except (Damaged, NotFound) as error:
            yield path, {"why": error.message}


def _called(store: ObjectStore, trusted: Sequence[TrustedKey]) -> str:
    """What its site calls the vault; what it was opened as where no signed marker says."""
    try:
        return read_signed(store, layout.VAULT_MARKER, trusted).text("vault")
    except (Refused, NotFound):
        return store.vault


def _of_points(
    store: ObjectStore, trusted: Sequence[TrustedKey], now: datetime, applications: Sequence[str], site: str
) -> tuple[VaultReader, Cache]:
    cache = Cache(None, "")
    reader = VaultReader(cache, trusted, site)
    for scope in [Scope(name) for name in applications] or [Scope()]:
        reader.refresh(store, now, scope)
    return reader, cache


def _applications(cache: Cache, vault: str) -> list[str]:
    """Those of which records of points, or heads, lie there."""
    names = set()
    for prefix in (layout.RECORDS, layout.HEADS):
        names |= {record.path.removeprefix(prefix).split("/")[0] for record in cache.records(vault, prefix)}
    return sorted(names)


def _journal(store: ObjectStore, period: Period, now: datetime) -> list[str]:
    """The entries of the months in question, an hour may be told of in the month after it; of later months those of
    points whose records are gone by now.
    """
    near = frozenset(layout.journal_months(period.start, min(period.end + timedelta(days=31), now)))
    return [
        path
        for month in layout.journal_months(period.start, now)
        for path in _records(store, month)
        if month in near or f"-{SWEPT}-" in path
    ]


def _records(store: ObjectStore, prefix: str) -> list[str]:
    """The paths of records below it, those included over which somebody put a delete marker."""
    return sorted({found.path for found in store.history(prefix) if found.path.endswith(".json")})


def _approvals(store: ObjectStore, period: Period) -> list[str]:
    paths = _records(store, layout.APPROVALS)
    return [path for path in paths if period.holds(_time_in(path)) or _time_in(path) == _NEVER]


def _time_in(path: str) -> datetime:
    """The instant that a name ``TIME-...`` says; that of nothing for any other."""
    try:
        return from_compact(path.rpartition("/")[2].partition("-")[0])
    except ValueError:
        return _NEVER


def _signed(
    store: ObjectStore,
    paths: Iterable[str],
    trusted: Sequence[TrustedKey],
    site: str,
    tampered: set[tuple[str, str, str]],
) -> list[SeenRecord]:
    """Each record with what its signature is worth; what was written over or deleted meanwhile is told."""

    def over(path: str) -> None:
        tampered.add((store.vault, path, "somebody wrote over it or deleted it; its oldest valid version is read"))

    def read(path: str) -> SeenRecord | None:
        try:
            record = read_signed(store, path, trusted, over)
        except NotFound:
            return None  # it went between the listing and the reading
        except (BadSignature, Damaged, NotInThisVersion) as error:
            words = error.message.removeprefix(f"{path}: ")
            return _unbelieved(store, path, f"{words}: {error.cause}" if error.cause else words)
        if site and record.site != site:
            return _unbelieved(store, path, f"it is of site {record.site}")
        if record.type == RecordType.JOURNAL and record.text("event") == AUDIT:
            try:
                audit_in(record, trusted)
            except Refused as error:
                return _unbelieved(store, path, str(error))
        return _seen(store, record)

    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="evidence") as pool:
        return [seen for seen in pool.map(read, paths) if seen is not None]


def _seen(store: ObjectStore, record: Record) -> SeenRecord:
    digest = hashlib.sha256(record.data).hexdigest()
    return SeenRecord(store.vault, record.path, record, Trust.SIGNED, record.at, digest)


def _unbelieved(store: ObjectStore, path: str, why: str) -> SeenRecord:
    record = Record(RecordType.JOURNAL, "", _NEVER, {}, supported=False)
    return SeenRecord(store.vault, path, record, Trust.UNSIGNED, _NEVER, "", why)
