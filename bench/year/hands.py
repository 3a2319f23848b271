"""Heavy work within this process: lean dumps and drills with the product's own signed records, and its own shipping.

A dump here writes one tiny artefact with its leaves, SHA256SUMS, signatures and manifest, in the order of the format;
it leaves out the database, the compression and the encryption, which deletion never looks at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from drorch.app import ship
from drorch.app.carry import Scene
from drorch.app.locks import Lock
from drorch.app.passing import Finished
from drorch.app.reading import TrustedKey
from drorch.app.signing import put_pair, write_record
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.action import Action, Cut, Drill, Ship
from drorch.domain.errors import Damaged, DrorchError, Refused, Unavailable
from drorch.domain.instant import floor_second, to_text
from drorch.domain.record import Record, RecordType, compose
from drorch.ports import Clock, ObjectStore

_NAME = "data.pgcustom" + layout.ENCRYPTED
_ROWS = 1_000


@dataclass
class Hands:
    """See the module. `emptied` and `failing` name applications whose database is empty, whose drills fail."""

    site: str
    key: SecretKey
    stores: Mapping[str, ObjectStore]
    clock: Clock
    true: Callable[[], datetime]
    emptied: set[str]
    failing: set[str]
    reach: Callable[[str], None]

    def start(self, action: Action, scene: Scene, lock: Lock) -> Handle:
        """It is carried out when it is polled."""
        del lock
        return Handle(self, action, scene)

    def carry_out(self, action: Action, scene: Scene) -> None:
        """Raises what the product's workers would report."""
        if isinstance(action, Cut):
            self._dump(action)
        elif isinstance(action, Ship):
            self._ship(action, scene)
        elif isinstance(action, Drill):
            self._drill(action, scene)
        else:
            raise Refused(f"{action.name} is not done here")

    def _dump(self, action: Cut) -> None:
        cut_at = floor_second(self.true())
        rows = 0 if action.application in self.emptied else _ROWS
        body = f"{action.application}/{action.resource} {rows} {to_text(cut_at)}".encode()
        manifest, objects = self._composed(action, cut_at, rows, body)
        good, why = 0, ""
        for vault in action.into:
            store = self.stores[vault]
            try:
                for path, content in objects:
                    store.put(path, content)
                self.reach("dump.data-written")
                put_pair(store, manifest.path, manifest.data, self._signed(manifest))
                good += 1
            except DrorchError as error:
                why = str(error)
        if not good:
            raise Unavailable("no vault is left", operation="dump", cause=why)

    def _composed(
        self, action: Cut, cut_at: datetime, rows: int, body: bytes
    ) -> tuple[Record, list[tuple[str, bytes]]]:
        digest = hashlib.sha256(body).digest()
        leaves = hashlib.sha256(digest).hexdigest()
        volume = {"object": _NAME, "bytes": len(body), "sha256": digest.hex()}
        artefact = {"name": _NAME, "bytes": len(body), "header_bytes": 0, "leaf_bytes": 1 << 20}
        manifest = compose(
            RecordType.MANIFEST,
            site=self.site,
            at=self.clock.now(),
            application=action.application,
            resource=action.resource,
            point=action.point,
            cut_at=cut_at,
            kind="memory",
            slot=action.slot,
            totals={"cipher_bytes": len(body), "bytes": rows * 100, "tables": 1, "rows": rows, "uncounted": 0},
            artefacts=[artefact | {"leaves_sha256": leaves, "volumes": [volume]}],
            dump_seconds=1,
        )
        folder = layout.data_folder(action.application, action.resource, cut_at, action.point)
        sums = f"{digest.hex()}  {_NAME}\n{leaves}  {_NAME}{layout.LEAVES}\n".encode()
        said = self.key.sign(sums, layout.trusted_comment("sums", folder + layout.SUMS))
        objects = [(folder + _NAME, body), (folder + _NAME + layout.LEAVES, digest), (folder + layout.SUMS, sums)]
        return manifest, [*objects, (folder + layout.SUMS + layout.SIGNATURE, said)]

    def _signed(self, record: Record) -> bytes:
        return self.key.sign(record.data, record.comment)

    def _ship(self, action: Ship, scene: Scene) -> None:
        point = scene.catalogue.find(action.point)
        if point is None or point.cut_at is None:
            raise Refused("the point is not there any more", operation="ship")
        order = ship.ShipOrder(self.site, action.application, action.resource, point.id, point.cut_at)
        source, target = self.stores[action.source], self.stores[action.vault]
        ship.ship(order, source, target, (TrustedKey(self.key.public),), clock=self.clock)

    def _drill(self, action: Drill, scene: Scene) -> None:
        point = scene.catalogue.find(action.point)
        if point is None or point.cut_at is None:
            raise Refused("the point is not there any more", operation="drill")
        fails = action.application in self.failing
        proof = compose(
            RecordType.PROOF,
            site=self.site,
            at=self.clock.now(),
            application=action.application,
            resource=action.resource,
            point=point.id,
            cut_at=point.cut_at,
            vault=action.vault,
            outcome="failed" if fails else "passed",
            seconds={"total": 60},
            bytes=100,
            why="1 of 1 probes not met" if fails else None,
        )
        lost = write_record(proof, self.key, self.stores, self.stores.__getitem__)
        if len(lost) == len(self.stores):
            raise Unavailable("no vault took the proof", operation="drill")
        if fails:
            raise Damaged("the drill failed")


class Handle:
    """One heavy action, done when it is asked for."""

    def __init__(self, hands: Hands, action: Action, scene: Scene) -> None:
        self._hands, self._action, self._scene = hands, action, scene

    def poll(self) -> Finished:
        """How it ended."""
        try:
            self._hands.carry_out(self._action, self._scene)
        except DrorchError as error:
            return Finished(self._action, "", error)
        return Finished(self._action, "done")

    def cancel(self) -> None:
        """Nothing runs between two passes."""
