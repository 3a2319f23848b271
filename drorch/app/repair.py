"""Writing the damaged objects of a dump again, from a vault that has them as they were signed.

The order is what makes it safe: what is needed of the good copy is read to its last byte, then a signed mark says into
every vault what is about to be replaced, then it is replaced, then the repaired copy is read to its last byte, and only
then a proof says that it is intact. Cut short anywhere the copy stays damaged, and the next pass begins again.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from drorch.app.damage import free_instant, sign_proof
from drorch.app.failpoint import reach
from drorch.app.leaves import folder_of, leaf_digests, verified_leaves
from drorch.app.progress import Meter, ProgressSink, ignore
from drorch.app.reading import TrustedKey, check_sums, read_pair, read_signed
from drorch.app.ship import Carrier
from drorch.app.signing import write_record
from drorch.app.vault_writers import put_once
from drorch.app.verify import Place, State, VerifyReport, verify_points, whole
from drorch.app.versions import older_versions
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.errors import Damaged, NotFound, Refused, Unavailable
from drorch.domain.record import MarkType, Record, RecordType, StoredArtefact, StoredVolume, artefacts_of, compose
from drorch.ports import Clock, ObjectStore


@dataclass(frozen=True, slots=True)
class RepairOrder:
    """Which point's copy in vault `target` is repaired from vault `source`."""

    site: str
    place: Place
    source: str
    target: str

    def to_json(self) -> dict[str, object]:
        """As it goes through a pipe."""
        return {"site": self.site, "place": self.place.to_json(), "source": self.source, "target": self.target}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> RepairOrder:
        """The inverse of `to_json`."""
        return cls(**{**body, "place": Place.from_json(body["place"])})


@dataclass(frozen=True, slots=True)
class RepairOutcome:
    """The copy in `vault` is whole: `objects` were written again, `bytes` were read back. `unwritten` names the vaults
    that did not take the proof; it is brought there later.
    """

    point: str
    vault: str
    objects: tuple[str, ...]
    bytes: int
    seconds: int
    unwritten: Mapping[str, str]

    def to_json(self) -> dict[str, object]:
        """As it goes through a pipe."""
        return {
            "point": self.point,
            "vault": self.vault,
            "objects": list(self.objects),
            "bytes": self.bytes,
            "seconds": self.seconds,
            "unwritten": dict(self.unwritten),
        }


def repair(
    order: RepairOrder,
    stores: Mapping[str, ObjectStore],
    keys: Sequence[TrustedKey],
    key: SecretKey,
    *,
    clock: Clock,
    cancel: threading.Event | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    progress: ProgressSink = ignore,
) -> RepairOutcome:
    """Repair one copy; mark and proof go into all of `stores`, which hold `source` and `target` among them.

    Raises BadSignature or Damaged when the source is not what was signed (nothing is touched then) or the repaired copy
    cannot be read back, Refused when an object is locked and too large to be written over, Unavailable.
    """
    began = monotonic()
    work = _Repair(order, stores, keys, clock, cancel, progress)
    work.look()
    work.check_source()
    if work.broken:
        _mark(order, work.broken, stores, keys, key, clock.now())
        reach("repair.marked")
        for item in work.broken:
            work.replace(item)
    reach("repair.written")
    report = work.read_back()
    reach("repair.verified")
    found = report.points[0]
    seconds = monotonic() - began
    _, lost = sign_proof(found, stores, key, keys, site=order.site, now=clock.now(), seconds=seconds)
    if len(lost) == len(stores):
        raise Unavailable("no vault took the proof of the repair", operation="repair", vault=order.target)
    reach("repair.proved")
    return RepairOutcome(
        point=order.place.point,
        vault=order.target,
        objects=tuple(item.path.rpartition("/")[2] for item in work.broken),
        bytes=report.bytes,
        seconds=round(seconds),
        unwritten={vault: str(error) for vault, error in lost.items()},
    )


@dataclass(frozen=True, slots=True)
class _Item:
    """One object as it should be: a small one with its bytes, or a volume of an artefact."""

    path: str
    size: int
    sha256: str
    body: bytes | None = None
    artefact: StoredArtefact | None = None
    volume: StoredVolume | None = None

    def __str__(self) -> str:
        return f"{self.path.rpartition('/')[2]} (sha256 {self.sha256})"


def _small(path: str, body: bytes) -> _Item:
    return _Item(path, len(body), hashlib.sha256(body).hexdigest(), body)


class _Repair:
    """What is broken in the target, and how it is put right."""

    def __init__(
        self,
        order: RepairOrder,
        stores: Mapping[str, ObjectStore],
        keys: Sequence[TrustedKey],
        clock: Clock,
        cancel: threading.Event | None,
        progress: ProgressSink,
    ) -> None:
        self._order, self._keys, self._clock, self._cancel = order, keys, clock, cancel
        self._source, self._target = stores[order.source], stores[order.target]
        self._progress = progress
        self._manifest = self._read_manifest()
        self._folder = folder_of(self._manifest)
        self._artefacts = artefacts_of(self._manifest)
        self.broken: list[_Item] = []
        self._meter = self._new_meter("compare", sum(artefact.bytes for artefact in self._artefacts))

    def look(self) -> None:
        """Find every object of the point that is missing in the target or is not what was signed."""
        self.broken = [item for item in self._items() if not self._is_whole(item)]

    def check_source(self) -> None:
        """Every leaf that will be needed is good in the source, before anything in the target is touched."""
        self._meter = self._new_meter("read", sum(item.size for item in self.broken if item.volume is not None))
        for item in self.broken:
            if item.artefact is not None and item.volume is not None:
                with closing(self._leaves(item.artefact, item.volume)) as leaves:
                    for leaf in leaves:
                        self._passed(len(leaf))
        self._meter = self._new_meter("repair", sum(item.size for item in self.broken if item.volume is not None))

    def replace(self, item: _Item) -> None:
        """Remove the object and write it anew; one that is locked is written over, as far as one request can."""
        self._check_cancelled()
        if not self._removed(item):
            self._write_over(item)
        elif item.artefact is not None and item.volume is not None:
            reach("repair.deleted")
            carrier = Carrier(self._source, self._target, self._folder, self._clock, self._cancel, self._passed)
            with closing(self._leaves(item.artefact, item.volume)) as leaves:
                carrier.send(item.volume, leaves)
        else:
            reach("repair.deleted")
            put_once(self._target, item.path, item.body or b"")

    def read_back(self) -> VerifyReport:
        """Every byte of the target's copy. Raises Damaged unless it is whole."""
        report = verify_points(
            self._target,
            [self._order.place],
            self._keys,
            whole,
            site=self._order.site,
            clock=self._clock,
            cancel=self._cancel,
            progress=self._progress,
            label=self._order.place.resource,
        )
        found = report.points[0]
        if found.state is State.UNAVAILABLE:
            raise Unavailable("the repaired copy could not be read back", vault=self._target.vault, cause=found.why)
        if found.state is not State.OK:
            raise Damaged(
                f"point {self._order.place.point} is damaged after its repair",
                operation="repair",
                vault=self._target.vault,
                cause=found.why,
            )
        return report

    # --- what should be there ---

    def _read_manifest(self) -> Record:
        manifest = read_signed(self._source, self._order.place.manifest_path, self._keys)
        if manifest.site != self._order.site:
            raise Refused("the point belongs to another site", vault=self._source.vault, cause=manifest.site)
        check_sums(self._source, manifest, self._keys)
        return manifest

    def _items(self) -> list[_Item]:
        """Every object of the point, in the order in which a dump writes them: the manifest comes last."""
        volumes = [
            _Item(self._folder + volume.object, volume.bytes, volume.sha256, artefact=artefact, volume=volume)
            for artefact in self._artefacts
            for volume in artefact.volumes
        ]
        leaves = [
            _small(self._folder + artefact.name + layout.LEAVES, leaf_digests(self._source, self._folder, artefact))
            for artefact in self._artefacts
        ]
        sums_path, path = self._folder + layout.SUMS, self._manifest.path
        sums, sums_signature = read_pair(self._source, sums_path, layout.trusted_comment("sums", sums_path), self._keys)
        data, signature = read_pair(self._source, path, self._manifest.comment, self._keys)
        return [
            *volumes,
            *leaves,
            _small(sums_path, sums),
            _small(sums_path + layout.SIGNATURE, sums_signature),
            _small(path + layout.SIGNATURE, signature),
            _small(path, data),
        ]

    # --- what is there ---

    def _is_whole(self, item: _Item) -> bool:
        """Whether the target has it: as the current object (read twice before that is denied), or as an older version,
        which reading goes by. Nothing of which there is a good version is touched.
        """
        for last in (False, True):
            try:
                found = self._target.stat(item.path).size
                if found == item.size and self._digest(item.path) == item.sha256:
                    self._passed(item.size)
                    return True
            except NotFound:
                break
            if last or found != item.size:
                break
        return any(
            version.size == item.size and self._digest(item.path, version.version) == item.sha256
            for version in older_versions(self._target, item.path)
        )

    def _digest(self, path: str, version: str = "") -> str:
        digest = hashlib.sha256()
        chunks = self._target.read(path, version=version) if version else self._target.read(path)
        for chunk in chunks:
            self._check_cancelled()
            self._passed(0)
            digest.update(chunk)
        return digest.hexdigest()

    # --- how it is put right ---

    def _removed(self, item: _Item) -> bool:
        """Whether the path is free now; False where the store refuses, because a lock stands."""
        try:
            self._target.delete(item.path)
        except Refused:
            return False
        return True

    def _write_over(self, item: _Item) -> None:
        if item.size > self._target.limits.part_bytes:
            raise Refused(
                f"{item.path} is damaged, cannot be removed and is too large to be written over",
                operation="repair",
                vault=self._target.vault,
                cause=f"one request carries {self._target.limits.part_bytes} bytes, it has {item.size}",
                hint="it can be repaired once its lock has ended; the other copies are not touched",
            )
        body = item.body
        if body is None and item.artefact is not None and item.volume is not None:
            with closing(self._leaves(item.artefact, item.volume)) as leaves:
                body = b"".join(bytes(leaf) for leaf in leaves)
        self._target.put(item.path, body or b"", overwrite=True)

    def _leaves(self, artefact: StoredArtefact, volume: StoredVolume) -> Generator[memoryview, None, None]:
        """The verified leaves of one volume. Volumes are whole numbers of leaves: a dump cuts them so."""
        begin = 0
        for other in artefact.volumes:
            if other.object == volume.object:
                break
            begin += other.bytes
        chosen = range(begin // artefact.leaf_bytes, -(-(begin + volume.bytes) // artefact.leaf_bytes))
        return verified_leaves(self._source, self._folder, artefact, self._clock, self._cancel, chosen=chosen)

    def _new_meter(self, step: str, total: int) -> Meter:
        return Meter(step, self._order.place.resource, total, self._clock.now())

    def _passed(self, count: int) -> None:
        self._progress(self._meter.advance(count, self._clock.now()))

    def _check_cancelled(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise Unavailable("it was cancelled", operation="repair", hint="the next pass begins again")


def _mark(
    order: RepairOrder,
    broken: Sequence[_Item],
    stores: Mapping[str, ObjectStore],
    keys: Sequence[TrustedKey],
    key: SecretKey,
    now: datetime,
) -> None:
    """The mark `repaired` into every vault that takes it, the source and the target at least."""
    place = order.place
    objects = ", ".join(str(item) for item in broken)
    record = compose(
        RecordType.MARK,
        site=order.site,
        at=free_instant(stores[order.target], place, "marks/", order.target, keys, now),
        application=place.application,
        resource=place.resource,
        point=place.point,
        cut_at=place.cut_at,
        mark=str(MarkType.REPAIRED),
        vault=order.target,
        reason=f"written again from vault {order.source}: {objects}",
    )
    lost = write_record(record, key, stores, stores.__getitem__)
    for vault in (order.source, order.target):
        if vault in lost:
            raise Unavailable(
                "the mark of the repair could not be written: nothing was touched",
                operation="repair",
                vault=vault,
                cause=str(lost[vault]),
            )
