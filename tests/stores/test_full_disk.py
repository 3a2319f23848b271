"""A folder on a disk of 1 MiB that fills up: at whichever byte, the vault has a point whole or not at all.

The disk is a tmpfs where this process may mount one; elsewhere what is written below the folder is counted.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dumped import APPLICATION, MIB, RESOURCE, SITE, World, table_rows

from drorch.app.reading import TrustedKey
from drorch.app.ship import ShipOrder, ship
from drorch.app.verify import State, committed_points, verify_points, whole
from drorch.domain.errors import Unavailable
from drorch.ports import StoreLimits
from drorch.stores.directory import DirectoryStore

PAGE = 4096
SIZE = 256 * PAGE
PLAIN = table_rows("orders", 3000)
"""About 130 KiB when it is compressed: with its records it takes some forty pages."""
POINT_PAGES = 60


class Disk:
    """A folder, and how to take room away from it and give it back."""

    def __init__(self, folder: Path, free: Callable[[], int]) -> None:
        self.root, self._filler = folder / "vault", folder / "filler"
        self.root.mkdir()
        self.free = free

    def leave(self, pages: int) -> None:
        """So many free pages."""
        self._filler.write_bytes(bytes(max(0, self.free() - pages * PAGE)))

    def make_room(self) -> None:
        self._filler.unlink()


def _mounted(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def _counted(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """A budget of bytes in the place of a disk."""
    write = os.write

    def used() -> int:
        return sum(-(-path.stat().st_size // PAGE) * PAGE for path in folder.rglob("*") if path.is_file())

    def filling(descriptor: int, data: memoryview) -> int:
        if str(folder) in str(Path(f"/proc/self/fd/{descriptor}").readlink()) and used() + len(data) > SIZE:
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    patch.setattr(os, "write", filling)
    yield lambda: SIZE - used()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    if not _mounted(tmp_path):
        with _counted(tmp_path, monkeypatch) as free:
            yield Disk(tmp_path, free)
        return
    try:
        yield Disk(tmp_path, lambda: os.statvfs(tmp_path).f_bavail * PAGE)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def files(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]


def test_at_whichever_byte_the_disk_is_full_the_point_is_whole_or_not_there(disk: Disk) -> None:
    """In the middle of a part, between two, and at every record up to the manifest; room again, and it is shipped."""
    told = 0
    for pages in range(0, POINT_PAGES, 3):
        world = World("gcs-eu")
        nas = DirectoryStore("nas", str(disk.root), limits=StoreLimits(part_bytes=MIB))
        disk.leave(pages)
        world.stores["nas"] = nas
        outcome = world.dump(data=PLAIN)
        keys = [TrustedKey(world.key.public)]
        assert "gcs-eu" in outcome.vaults
        if "nas" in outcome.lost:
            told += 1
            assert "the disk is full" in outcome.lost["nas"]
            assert "make room" in outcome.lost["nas"]
            assert committed_points(nas) == []
        assert not [name for name in files(disk.root) if name.startswith(".incoming")], "no half of a file is left"
        disk.make_room()
        order = ShipOrder(SITE, APPLICATION, RESOURCE, "p1", outcome.cut_at)
        ship(order, world.stores["gcs-eu"], nas, keys, clock=world.clock)
        (found,) = verify_points(nas, committed_points(nas), keys, whole, site=SITE, clock=world.clock).points
        assert found.state is State.OK
        for info in list(nas.list("")):
            nas.delete(info.path)
    assert 0 < told < POINT_PAGES // 3, "the disk was full at some, and large enough for others"


def test_a_ship_onto_a_full_disk_is_tried_again_and_goes_on(disk: Disk) -> None:
    world = World("gcs-eu")
    cut_at = world.dump(data=PLAIN).cut_at
    nas = DirectoryStore("nas", str(disk.root), limits=StoreLimits(part_bytes=MIB))
    order = ShipOrder(SITE, APPLICATION, RESOURCE, "p1", cut_at)
    keys = [TrustedKey(world.key.public)]
    disk.leave(20)
    with pytest.raises(Unavailable, match="the disk is full"):
        ship(order, world.stores["gcs-eu"], nas, keys, clock=world.clock)
    assert committed_points(nas) == []
    disk.make_room()
    ship(order, world.stores["gcs-eu"], nas, keys, clock=world.clock)
    assert len(committed_points(nas)) == 1
