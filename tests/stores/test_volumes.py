"""Artefacts past what one object may hold: volumes, dumped into, shipped between and restored from every kind of store.

The limits are made small: a volume is 8 MiB here, which is one part of S3's, two of Swift's and eight of Azure's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import azurite
import pytest
from dumped import APPLICATION, DATA, MIB, RESOURCE, SITE, World, table_rows
from live_stores import azure_store, gcs_bucket, gcs_store, s3_bucket, s3_store, swift_container, swift_store

from drorch.app.drill import DrillOrder, Scratch, run_drill
from drorch.app.reading import TrustedKey
from drorch.app.repair import RepairOrder, repair
from drorch.app.restore import RestoreRequest, restore
from drorch.app.ship import ShipOrder, ship
from drorch.app.verify import State, committed_points, verify_points, whole
from drorch.domain import layout
from drorch.domain.record import artefacts_of
from drorch.ports import StoreLimits
from drorch.stores import directory

PLAIN = table_rows("orders", 340, width=50_000)
"""More than 16 MiB when it is compressed."""
VOLUME = 8 * MIB
LIMITS = {
    "s3": StoreLimits(part_bytes=8 * MIB, max_parts=1),
    "swift": StoreLimits(part_bytes=4 * MIB, max_parts=2),
    "azure": StoreLimits(part_bytes=MIB, max_parts=8),
    "gcs": StoreLimits(part_bytes=2 * MIB, max_parts=4),
    "nas": StoreLimits(part_bytes=8 * MIB, max_parts=1),
}
SHIPPED = [("swift", "azure"), ("s3", "gcs"), ("azure", "nas"), ("gcs", "s3"), ("nas", "swift")]
"""From one kind to another; the first two are dumped into together."""
NAMES = tuple(f"{DATA}.zst.age{ending}" for ending in ("", ".001", ".002"))


class Volumes(World):
    """One point, dumped into a Swift with its segments and an S3 with its parts, and shipped through all the others."""

    def __init__(self, servers: ExitStack, folder: Path) -> None:
        super().__init__()
        self.clock.present = datetime.now(UTC)
        servers.enter_context(s3_bucket())
        servers.enter_context(gcs_bucket())
        container = servers.enter_context(swift_container())
        self.stores = {
            "s3": s3_store(),
            "swift": swift_store(container),
            "azure": azure_store(azurite.port(), azurite.container()),
            "gcs": gcs_store(),
            "nas": directory.DirectoryStore("nas", str(folder)),
        }
        for name, store in self.stores.items():
            store.vault, store.limits = name, LIMITS[name]
            servers.callback(store.close)
        self.outcome = self.dump(data=PLAIN, into=["swift", "s3"])
        self.order = ShipOrder(SITE, APPLICATION, RESOURCE, "p1", self.outcome.cut_at)
        for source, target in SHIPPED[:3]:
            self.ship(source, target)

    @property
    def keys(self) -> list[TrustedKey]:
        return [TrustedKey(self.key.public)]

    def ship(self, source: str, target: str) -> None:
        ship(self.order, self.stores[source], self.stores[target], self.keys, clock=self.clock)

    def path(self, name: str) -> str:
        return layout.data_folder(APPLICATION, RESOURCE, self.outcome.cut_at, "p1") + name

    def state(self, vault: str) -> State:
        """After reading every byte."""
        places = committed_points(self.stores[vault])
        (found,) = verify_points(self.stores[vault], places, self.keys, whole, site=SITE, clock=self.clock).points
        return found.state

    def leave(self, vault: str) -> None:
        """Remove everything from a vault."""
        for found in list(self.stores[vault].list("")):
            self.stores[vault].delete(found.path)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volumes]:
    with ExitStack() as servers:
        yield Volumes(servers, tmp_path_factory.mktemp("nas"))


def test_an_artefact_past_the_smallest_limit_is_cut_into_volumes_for_all_vaults(world: Volumes) -> None:
    (artefact,) = [one for one in artefacts_of(world.outcome.manifest) if one.name == NAMES[0]]
    assert tuple(volume.object for volume in artefact.volumes) == NAMES
    assert [volume.bytes for volume in artefact.volumes[:2]] == [VOLUME, VOLUME]
    assert world.outcome.vaults == ("swift", "s3")


@pytest.mark.parametrize("vault", list(LIMITS))
def test_volumes_are_verified_restored_and_drilled_out_of_every_store(world: Volumes, vault: str) -> None:
    sizes = {found.path: found.size for found in world.stores[vault].list(world.path(NAMES[0]))}
    assert [sizes[world.path(name)] for name in NAMES[:2]] == [VOLUME, VOLUME]
    assert world.state(vault) is State.OK
    world.engine.databases.clear()
    report = restore(
        RestoreRequest(APPLICATION, "memory://back", vault=vault), world.engine, world.stores, world.reader()
    )
    assert report.vault == vault
    assert world.engine.databases["back"][DATA] == PLAIN
    world.clock.sleep(60)  # proofs bear the second
    order = DrillOrder(SITE, APPLICATION, RESOURCE, vault)
    outcome = run_drill(order, world.engine, Scratch(), {vault: world.stores[vault]}, world.reader(), world.key)
    assert outcome.passed, outcome.why


@pytest.mark.parametrize(("source", "target"), SHIPPED[3:])
def test_volumes_are_shipped_anew_into_an_emptied_vault_of_another_kind(
    world: Volumes, source: str, target: str
) -> None:
    world.leave(target)
    world.ship(source, target)
    assert world.state(target) is State.OK


@pytest.mark.parametrize(("source", "target"), [("s3", "azure"), ("azure", "swift"), ("swift", "s3")])
def test_a_damaged_second_volume_is_repaired_from_a_vault_of_another_kind(
    world: Volumes, source: str, target: str
) -> None:
    second = world.path(NAMES[1])
    body = bytearray(b"".join(world.stores[target].read(second)))
    body[VOLUME // 2] ^= 1
    world.stores[target].delete(second)
    upload = world.stores[target].upload(second)
    for start in range(0, VOLUME, LIMITS[target].part_bytes):
        upload.write(body[start : start + LIMITS[target].part_bytes])
    upload.commit()
    assert world.state(target) is State.DAMAGED
    (place,) = committed_points(world.stores[target])
    world.clock.sleep(60)
    order = RepairOrder(SITE, place, source=source, target=target)
    mended = repair(order, world.stores, world.keys, world.key, clock=world.clock)
    assert mended.objects == (NAMES[1],)
    assert world.state(target) is State.OK
