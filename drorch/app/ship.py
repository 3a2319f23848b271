"""Shipping: a committed point's ciphertext goes, byte for byte, from a vault that has it to one that missed it.

No key but public ones is needed. Every leaf is verified before it is written, so damage is never spread, and the
manifest comes last, so that a point appears whole or not at all.
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

from drorch.app.failpoint import reach
from drorch.app.leaves import check_sizes, folder_of, leaf_digests, verified_leaves
from drorch.app.progress import Meter, ProgressSink, ignore
from drorch.app.reading import TrustedKey, check_sums, read_pair, read_signed
from drorch.app.signing import replicate
from drorch.app.vault_writers import put_once
from drorch.app.written import require_written
from drorch.domain import layout
from drorch.domain.errors import (
    AlreadyExists,
    Damaged,
    DrorchError,
    NotFound,
    OutcomeUnknown,
    Refused,
    Unavailable,
)
from drorch.domain.instant import from_text, to_text
from drorch.domain.record import Record, StoredArtefact, StoredVolume, artefacts_of, parse_at
from drorch.ports import Clock, ObjectStore, Upload


@dataclass(frozen=True, slots=True)
class ShipOrder:
    """Which point is to be shipped."""

    site: str
    application: str
    resource: str
    point: str
    cut_at: datetime

    @property
    def manifest_path(self) -> str:
        """Where its manifest lies in every vault."""
        return layout.manifest_path(self.application, self.resource, self.cut_at, self.point)

    def to_json(self) -> dict[str, object]:
        """As it goes through a pipe."""
        return {
            "site": self.site,
            "application": self.application,
            "resource": self.resource,
            "point": self.point,
            "cut_at": to_text(self.cut_at),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> ShipOrder:
        """The inverse of `to_json`."""
        return cls(**{**body, "cut_at": from_text(body["cut_at"])})


@dataclass(frozen=True, slots=True)
class ShipOutcome:
    """The point is committed in `vault` now: `bytes` of ciphertext, of which `sent` were not there before.

    `left_out` names records of the point that were not shipped, each with the reason.
    """

    point: str
    vault: str
    bytes: int
    sent: int
    seconds: int
    left_out: Mapping[str, str]

    def to_json(self) -> dict[str, object]:
        """As it goes through a pipe."""
        counts = {"bytes": self.bytes, "sent": self.sent, "seconds": self.seconds}
        return {"point": self.point, "vault": self.vault, **counts, "left_out": dict(self.left_out)}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> ShipOutcome:
        """The inverse of `to_json`."""
        return cls(**body)


def ship(
    order: ShipOrder,
    source: ObjectStore,
    target: ObjectStore,
    keys: Sequence[TrustedKey],
    *,
    clock: Clock,
    cancel: threading.Event | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    progress: ProgressSink = ignore,
) -> ShipOutcome:
    """Copy the point into `target`; what an earlier try left there is used when it is the same to the last byte.

    Raises BadSignature or Damaged when the source is not what was signed, Refused when the target holds something else
    under one of the point's names, Unavailable when it may be tried again or `cancel` was set. The point is not
    committed in `target` then.
    """
    began = monotonic()
    path = order.manifest_path
    manifest, manifest_data, manifest_signature = _manifest(order, source, keys)
    folder, artefacts = folder_of(manifest), artefacts_of(manifest)
    check_sums(source, manifest, keys)
    for artefact in artefacts:
        check_sizes(source, folder, artefact)
        _check_fits(target, artefact)
    total = sum(artefact.bytes for artefact in artefacts)
    meter = Meter("ship", order.resource, total, clock.now())
    carrier = Carrier(source, target, folder, clock, cancel, lambda count: progress(meter.advance(count, clock.now())))
    for artefact in artefacts:
        carrier.carry(artefact)
    reach("ship.data-written")
    sums_path = folder + layout.SUMS
    sums, sums_signature = read_pair(source, sums_path, layout.trusted_comment("sums", sums_path), keys)
    objects = [(folder + one.name + layout.LEAVES, leaf_digests(source, folder, one)) for one in artefacts]
    objects += [(sums_path, sums), (sums_path + layout.SIGNATURE, sums_signature)]
    for written, body in objects:
        put_new(target, written, body)
    left_out = _carry_records(order, source, target, keys)
    put_new(target, path + layout.SIGNATURE, manifest_signature)
    sizes = [(written, len(body)) for written, body in (*objects, (path + layout.SIGNATURE, manifest_signature))]
    sizes += [(folder + volume.object, volume.bytes) for one in artefacts for volume in one.volumes]
    require_written(target, sizes)
    carrier.check()
    reach("ship.before-manifest")
    put_new(target, path, manifest_data)
    reach("ship.manifest-written")
    return ShipOutcome(order.point, target.vault, total, carrier.sent, round(monotonic() - began), left_out)


def _manifest(order: ShipOrder, source: ObjectStore, keys: Sequence[TrustedKey]) -> tuple[Record, bytes, bytes]:
    """The verified manifest, and the very bytes that were verified."""
    manifest = read_signed(source, order.manifest_path, keys)
    if manifest.site != order.site:
        raise Refused(
            "the point belongs to another site", vault=source.vault, resource=order.resource, cause=manifest.site
        )
    data, signature = read_pair(source, order.manifest_path, manifest.comment, keys)
    if parse_at(order.manifest_path, data) != manifest:
        raise Damaged(f"{order.manifest_path} changes while it is read", operation="ship", vault=source.vault)
    return manifest, data, signature


def put_new(store: ObjectStore, path: str, body: bytes) -> None:
    """Write-once; the same bytes may be there. Refused when others are: nobody but drorch writes there."""
    try:
        put_once(store, path, body)
    except AlreadyExists as error:
        raise _foreign(store, path) from error


def _check_fits(target: ObjectStore, artefact: StoredArtefact) -> None:
    largest = target.limits.part_bytes * target.limits.max_parts
    if any(volume.bytes > largest for volume in artefact.volumes):
        raise Refused(
            f"{artefact.name} has volumes larger than the vault takes",
            vault=target.vault,
            cause=f"at most {largest} bytes in one object",
            hint="dump into this vault from the start: volumes are cut for all vaults of a dump",
        )


def _carry_records(
    order: ShipOrder, source: ObjectStore, target: ObjectStore, keys: Sequence[TrustedKey]
) -> dict[str, str]:
    """The point's other records (pins, proofs): each signed one goes along; the others stay, with the reason."""
    left_out: dict[str, str] = {}
    folder = layout.records_folder(order.application, order.resource, order.cut_at, order.point)
    for path in sorted(info.path for info in source.list(folder)):
        if not path.endswith(".json") or path == order.manifest_path:
            continue
        try:
            replicate(source, target, path, keys)
        except Refused as error:  # unsigned, damaged, or something else lies at its path in the target
            left_out[path] = str(error)
    return left_out


class Carrier:
    """Copies the data objects of one point, leaf by verified leaf."""

    def __init__(
        self,
        source: ObjectStore,
        target: ObjectStore,
        folder: str,
        clock: Clock,
        cancel: threading.Event | None,
        passed: Callable[[int], None],
    ) -> None:
        self.sent = 0
        self._source, self._target, self._folder = source, target, folder
        self._clock, self._cancel, self._passed = clock, cancel, passed

    def check(self) -> None:
        """Raises Unavailable once cancelled."""
        if self._cancel is not None and self._cancel.is_set():
            raise Unavailable("it was cancelled", operation="ship", hint="the next pass begins again")

    def carry(self, artefact: StoredArtefact) -> None:
        """All volumes of one artefact. What is there already and the same is not sent, only read for the next."""
        there = {volume.object for volume in artefact.volumes if self._is_there(volume)}
        if len(there) == len(artefact.volumes):
            self._passed(artefact.bytes)
            return
        leaves = verified_leaves(self._source, self._folder, artefact, self._clock, self._cancel)
        with closing(leaves):
            for volume in artefact.volumes:
                self._volume(volume, leaves, send=volume.object not in there)

    def send(self, volume: StoredVolume, leaves: Generator[memoryview, None, None]) -> None:
        """One volume whose path is free; `leaves` begin with its first."""
        self._volume(volume, leaves, send=True)

    def _volume(self, volume: StoredVolume, leaves: Generator[memoryview, None, None], *, send: bool) -> None:
        path = self._folder + volume.object
        upload = self._target.upload(path) if send else None
        try:
            if self._copy(volume, leaves, upload) != volume.sha256:
                raise Damaged(f"{path} is not what was signed", operation="ship", vault=self._source.vault)
            if upload is not None:
                upload.commit()
        except (AlreadyExists, OutcomeUnknown):
            if not self._is_there(volume):
                raise
        except BaseException:
            if upload is not None:
                _abort(upload)
            raise

    def _copy(self, volume: StoredVolume, leaves: Generator[memoryview, None, None], upload: Upload | None) -> str:
        """Leaves into parts. Volumes and parts are whole numbers of leaves, so none straddles two."""
        digest = hashlib.sha256()
        part = memoryview(bytearray(min(self._target.limits.part_bytes, volume.bytes) if upload else 0))
        filled = done = 0
        while done < volume.bytes:
            self.check()
            leaf = next(leaves, memoryview(b""))
            if not leaf:
                return ""
            digest.update(leaf)
            done += len(leaf)
            if upload is not None:
                filled = self._add(upload, part, filled, leaf)
                self.sent += len(leaf)
            self._passed(len(leaf))
        if upload is not None and filled:
            upload.write(part[:filled])
        return digest.hexdigest()

    @staticmethod
    def _add(upload: Upload, part: memoryview, filled: int, leaf: memoryview) -> int:
        """Put the leaf into the part, sending it whenever it is full; how far it is filled now."""
        while leaf:
            count = min(len(part) - filled, len(leaf))
            part[filled : filled + count] = leaf[:count]
            leaf = leaf[count:]
            filled += count
            if filled == len(part):
                upload.write(part)
                filled = 0
        return filled

    def _is_there(self, volume: StoredVolume) -> bool:
        """Whether the target has this volume, the same to the last byte. Refused when it has another under its name."""
        path = self._folder + volume.object
        try:
            size = self._target.stat(path).size
        except NotFound:
            return False
        digest = hashlib.sha256()
        if size == volume.bytes:
            for chunk in self._target.read(path):
                self.check()
                digest.update(chunk)
        if digest.hexdigest() != volume.sha256:
            raise _foreign(self._target, path)
        return True


def _abort(upload: Upload) -> None:
    try:
        upload.abort()
    except DrorchError:
        return  # the first error is the one to tell; parts that were left cost space only


def _foreign(store: ObjectStore, path: str) -> Refused:
    return Refused(
        f"something else lies at {path}",
        operation="ship",
        vault=store.vault,
        cause="drorch writes everything once, and it did not write this: it was tampered with",
        hint="look at who may write to this vault; the other copies are not touched",
    )
