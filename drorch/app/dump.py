"""One dump point: a consistent view of a source, streamed to every vault at once, signed, committed by its manifest.

Data first; then leaves and SHA256SUMS; then the signatures; then ``manifest.json``, whose presence commits. A failure
at any instant leaves a vault with nothing that counts, or with all of it.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, BinaryIO

from drorch.app.dump_streams import Streams
from drorch.app.failpoint import reach
from drorch.app.pipeline import StreamProgress, StreamResult, cutting, stream_artefact
from drorch.app.vault_writers import STALL, VaultWriters
from drorch.app.written import require_written
from drorch.crypto.age import check_recipient
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.canonical import canonical_bytes
from drorch.domain.duration import duration_text
from drorch.domain.errors import DrorchError, InvalidInput, Refused, Unavailable
from drorch.domain.instant import floor_second, from_text, to_text
from drorch.domain.native import Inventory
from drorch.domain.record import Record, RecordType, compose, parse
from drorch.ports import Artefact, Clock, DumpSession, Engine, ObjectStore


@dataclass(frozen=True, slots=True)
class DumpOrder:
    """What is to be dumped, and what its manifest says besides. Holds no secret.

    `home` is {provider, account, region}, `policy` {digest, commit}; `inventory` is ``exact``, ``estimate`` or ``off``.
    """

    site: str
    application: str
    resource: str
    kind: str
    point: str
    slot: str
    recipients: tuple[str, ...]
    home: Mapping[str, str] = field(default_factory=dict)
    policy: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    inventory: str = "exact"
    identities: tuple[str, ...] = ()
    """What the last points' source said of itself (a PostgreSQL system identifier); another one is not dumped."""
    origin: Mapping[str, str] = field(default_factory=dict)
    """{template, database} of a resource that was made from a template; empty for any other."""


@dataclass(frozen=True, slots=True)
class DumpOutcome:
    """A committed point: the vaults that hold it, why others do not (they are shipped to later), ciphertext bytes."""

    point: str
    cut_at: datetime
    vaults: tuple[str, ...]
    lost: Mapping[str, str]
    bytes: int
    seconds: int
    manifest: Record

    def to_json(self) -> dict[str, object]:
        """As it goes through a pipe."""
        return {
            "point": self.point,
            "cut_at": to_text(self.cut_at),
            "vaults": list(self.vaults),
            "lost": dict(self.lost),
            "bytes": self.bytes,
            "seconds": self.seconds,
            "manifest": dict(self.manifest.body),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> DumpOutcome:
        """The inverse of `to_json`."""
        return cls(
            point=body["point"],
            cut_at=from_text(body["cut_at"]),
            vaults=tuple(body["vaults"]),
            lost=dict(body["lost"]),
            bytes=body["bytes"],
            seconds=body["seconds"],
            manifest=parse(canonical_bytes(body["manifest"])),
        )


@dataclass(frozen=True, slots=True)
class DumpLimits:
    """`stall`: the longest that one call to a vault may take; `longest`: that a whole dump may take;
    `volume_bytes`: the largest object.
    """

    stall: timedelta = STALL
    longest: timedelta | None = None
    volume_bytes: int | None = None


def dump(
    order: DumpOrder,
    engine: Engine,
    options: object,
    secrets: Mapping[str, str],
    stores: Mapping[str, ObjectStore],
    key: SecretKey,
    *,
    clock: Clock,
    limits: DumpLimits | None = None,
    cancel: threading.Event | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    progress: Callable[[StreamProgress], None] = lambda _progress: None,
) -> DumpOutcome:
    """Dump `order` from `engine` into every vault of `stores`; returns when at least one holds the committed point.

    Raises the engine's own errors, InvalidInput for bad recipients, Unavailable when no vault is left or `cancel` was
    set; then nothing was committed anywhere, unless the last step itself, writing the manifest, failed.
    """
    if not order.recipients:
        raise InvalidInput("a dump needs a recipient", hint="encryption: recipients: [age1...]")
    for recipient in order.recipients:
        check_recipient(recipient)
    limits = limits or DumpLimits()
    cut = cutting(stores, limits.volume_bytes) if limits.volume_bytes else cutting(stores)
    began = monotonic()
    cancel = cancel or threading.Event()

    def open_writers(vaults: Iterable[str], stop: threading.Event) -> VaultWriters:
        chosen = {vault: stores[vault] for vault in vaults}
        return VaultWriters(chosen, cut.part_bytes, stall=limits.stall, cancel=stop, monotonic=monotonic)

    with _within(limits.longest, cancel), open_writers(stores, cancel) as writers, ExitStack() as open_until_the_end:
        with engine.dump(options, secrets, order.inventory) as session:
            cut_at = floor_second(session.cut_at)
            _require_same_source(order, session.facts)
            folder = layout.data_folder(order.application, order.resource, cut_at, order.point)

            def stream(artefact: Artefact, into: VaultWriters, tell: Callable[[StreamProgress], None]) -> StreamResult:
                return stream_artefact(
                    artefact.name, artefact.open(), order.recipients, into, folder, cut.volume_bytes, tell
                )

            together = open_until_the_end.enter_context(Streams(writers, open_writers, stream, cancel, progress))
            streams, inventory = _stream(order, session, together)
            facts = dict(session.facts)  # some are known once the data are through
        seconds = round(monotonic() - began)
        manifest = _manifest(order, cut_at, facts, streams, inventory, clock.now(), seconds)
        together.commit()
        reach("dump.data-written")
        _write_records(writers, manifest, folder, streams, key)
        return DumpOutcome(
            point=order.point,
            cut_at=cut_at,
            vaults=writers.good,
            lost={vault: str(error) for vault, error in writers.lost.items()},
            bytes=sum(stream.artefact.bytes for stream in streams),
            seconds=seconds,
            manifest=manifest,
        )


@contextmanager
def _within(longest: timedelta | None, cancel: threading.Event) -> Iterator[None]:
    """Cancel the block after so long; the error then says so."""
    if longest is None:
        yield
        return
    late = threading.Event()

    def stop() -> None:
        late.set()
        cancel.set()

    timer = threading.Timer(longest.total_seconds(), stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    except DrorchError as error:
        if not late.is_set():
            raise
        raise Unavailable(
            f"the dump took longer than {duration_text(longest)} and was cancelled",
            operation="dump",
            cause=str(error),
            hint="`max_duration:` of the policy says how long it may take",
        ) from error
    finally:
        timer.cancel()


def _require_same_source(order: DumpOrder, facts: Mapping[str, object]) -> None:
    """A reused name is no continuation: what answers under it now would push the history of another out."""
    identity = facts.get("identity")
    if order.identities and isinstance(identity, str) and identity and identity not in order.identities:
        raise Refused(
            "another server answers under this name",
            operation="dump",
            resource=f"{order.application}/{order.resource}",
            cause=f"it says that it is {identity}, the last points are of {', '.join(order.identities)}",
            hint=f"rename the resource, or let its history go on: formerly: [{order.resource}]",
        )


def _stream(order: DumpOrder, session: DumpSession, together: Streams) -> tuple[list[StreamResult], Inventory]:
    """All artefacts, the inventory last: it may take its time once the data are through."""
    streams: list[StreamResult] = []
    for batch in layout.batches(session.artefacts(), lambda artefact: artefact.name):
        streams += together.send(batch)
    inventory = session.inventory()
    if order.inventory != "off":
        streams += together.send([Artefact(layout.INVENTORY, lambda: _Given(inventory_bytes(inventory)))])
    return streams, inventory


def inventory_bytes(inventory: Inventory) -> bytes:
    """The inventory as its artefact carries it, before compression: canonical JSON."""
    return canonical_bytes(
        {
            "tables": dict(inventory.tables),
            "estimated": sorted(inventory.estimated),
            "bytes": inventory.bytes,
            "details": dict(inventory.details),
        }
    )


class _Given:
    """A Producer of bytes that are there already."""

    def __init__(self, body: bytes) -> None:
        self.stdout: BinaryIO = io.BytesIO(body)

    def finish(self) -> None:
        """Nothing can have gone wrong."""

    def kill(self) -> None:
        """Nothing runs."""


def _manifest(
    order: DumpOrder,
    cut_at: datetime,
    facts: Mapping[str, object],
    streams: Sequence[StreamResult],
    inventory: Inventory,
    at: datetime,
    seconds: int,
) -> Record:
    """The engine's facts stand beside ours. No digest of plain data, no table name: both would tell tales."""
    content: dict[str, object] = {
        **facts,
        "kind": order.kind,
        "slot": order.slot,
        "home": dict(order.home),
        "recipients": list(order.recipients),
        "note": order.note or None,
        "policy": dict(order.policy),
        "totals": _totals(streams, inventory),
        "artefacts": [stream.artefact.body() for stream in streams],
        "dump_seconds": seconds,
        "origin": dict(order.origin) or None,
    }
    return compose(
        RecordType.MANIFEST,
        site=order.site,
        at=at,
        application=order.application,
        resource=order.resource,
        point=order.point,
        cut_at=cut_at,
        **content,
    )


def _totals(streams: Sequence[StreamResult], inventory: Inventory) -> dict[str, object]:
    totals: dict[str, object] = {"cipher_bytes": sum(stream.artefact.bytes for stream in streams)}
    if inventory.bytes:
        totals["bytes"] = inventory.bytes
    if inventory.tables:
        counted = [rows for rows in inventory.tables.values() if rows is not None]
        totals |= {"tables": len(inventory.tables), "rows": sum(counted)}
        totals |= {"uncounted": len(inventory.tables) - len(counted), "estimated": len(inventory.estimated)}
    return totals


def sums_text(streams: Sequence[StreamResult]) -> bytes:
    """SHA256SUMS as ``sha256sum -c`` reads it: every volume and every ``.leaves``."""
    lines = []
    for stream in streams:
        lines += [f"{volume.sha256}  {volume.object}\n" for volume in stream.artefact.volumes]
        lines.append(f"{stream.artefact.leaves_sha256}  {stream.artefact.name}{layout.LEAVES}\n")
    return "".join(lines).encode("ascii")


def _write_records(
    writers: VaultWriters, manifest: Record, folder: str, streams: Sequence[StreamResult], key: SecretKey
) -> None:
    sums, path = sums_text(streams), manifest.path
    sums_path = folder + layout.SUMS
    objects = [(folder + stream.artefact.name + layout.LEAVES, stream.leaves) for stream in streams]
    objects.append((sums_path, sums))
    objects.append((sums_path + layout.SIGNATURE, key.sign(sums, layout.trusted_comment("sums", sums_path))))
    objects.append((path + layout.SIGNATURE, key.sign(manifest.data, manifest.comment)))
    writers.put(objects)
    sizes = [(path, len(body)) for path, body in objects]
    sizes += [(folder + volume.object, volume.bytes) for one in streams for volume in one.artefact.volumes]
    writers.look(lambda store: require_written(store, sizes))
    reach("dump.before-manifest")
    writers.put([(path, manifest.data)], last=True)
    reach("dump.manifest-written")
