"""The public fake of images: in a MemoryCloud, faithful to what `ami` shows of EC2.

    cloud.put_sources(IMAGES, "prod", "us-east-1", [Source("i-1", tags={"app": "shop"})])
    kind = MemoryImages(cloud)

An image is made of two snapshots, which stay when it is deregistered, and cannot go before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from drorch.domain.catalogue_native import TAG_POINT, TAG_SET, TAG_SOURCE
from drorch.domain.errors import AlreadyExists, Refused
from drorch.domain.model import native_vault_name
from drorch.domain.native import IMAGE, PART, NativeSnapshot, Part, Source
from drorch.kinds import set_text
from drorch.kinds.memory import MemorySnapshots
from drorch.kinds.memory.cloud import Held, MemoryCloud, Place
from drorch.ports import CopyOrder, CutOrder

IMAGES = "ec2-images"
"""The service under which the cloud keeps them: apart from snapshots of volumes."""
DEVICES = ("/dev/sda1", "/dev/sdf")


class MemoryImages(MemorySnapshots):
    """Images in a MemoryCloud (SnapshotKind)."""

    def __init__(self, cloud: MemoryCloud) -> None:
        super().__init__(cloud, "ami", IMAGES)
        self.repeatable_cut = True

    def creating_calls(self, sources: Sequence[Source]) -> tuple[tuple[Source, ...], ...]:
        """Each instance for itself."""
        return tuple((source,) for source in sorted(sources, key=lambda source: source.source_id))

    def cut(self, order: CutOrder, call: int) -> tuple[NativeSnapshot, ...]:
        """One image. AlreadyExists when its name, which says point and call, is taken."""
        text, vault = set_text(call, self.creating_calls(order.sources)), native_vault_name(order.account, order.region)
        with self.cloud.lock:
            place = self.cloud.reach(self.service, order.account, order.region, "cut")
            for held in (place.held[native_id] for native_id in place.points.get(order.point, ())):
                tags = held.snapshot.tags
                if held.snapshot.role == IMAGE and tags.get(TAG_SET) == text and TAG_SOURCE not in tags:
                    raise AlreadyExists("the name is taken", resource=held.snapshot.native_id, vault=vault)
            return tuple(self._of_parts(place, made) for made in super().cut(order, call))

    def copy(self, order: CopyOrder) -> NativeSnapshot:
        """Begin one copy of an image, with snapshots of its own."""
        with self.cloud.lock:
            made = super().copy(order)
            return self._of_parts(self.cloud.reach(self.service, order.account, order.region, "copy"), made)

    def expire(self, account: str, region: str, native_id: str) -> None:
        """Deregister an image, which leaves its snapshots, or delete one of those. Refused while an image uses it."""
        with self.cloud.lock:
            place = self.cloud.reach(self.service, account, region, "expire")
            for held in place.held.values():
                if native_id in (part.native_id for part in held.snapshot.parts):
                    raise Refused(
                        "an image uses the snapshot",
                        operation="expire",
                        resource=native_id,
                        vault=native_vault_name(account, region),
                        cause=held.snapshot.native_id,
                    )
            found = place.held.get(native_id)
            super().expire(account, region, native_id)
            if found is None:
                return
            for part in found.snapshot.parts:
                left = replace(found.snapshot, native_id=part.native_id, source_id=part.source_id, bytes=part.bytes)
                self._hold(place, replace(left, role=PART, parts=(), state="usable", why=""))

    def _hold(self, place: Place, snapshot: NativeSnapshot) -> None:
        place.held[snapshot.native_id] = Held(snapshot)
        place.points.setdefault(snapshot.tags.get(TAG_POINT, ""), {})[snapshot.native_id] = None

    def _of_parts(self, place: Place, image: NativeSnapshot) -> NativeSnapshot:
        """The image, with new snapshots. The reply to a creating call does not tell them."""
        copied = TAG_SOURCE in image.tags
        parts = tuple(
            Part(
                self.cloud.next_id(),
                "" if copied else f"{image.source_id}{device}",
                device,
                image.bytes // len(DEVICES),
            )
            for device in DEVICES
        )
        place.held[image.native_id].snapshot = replace(image, role=IMAGE, parts=parts)
        return replace(image, role=IMAGE, parts=())

    def _name(self, place: Place, point: str, suffix: str, vault: str) -> str:
        return super()._name(place, point, suffix, vault).replace("snap-", "ami-")
