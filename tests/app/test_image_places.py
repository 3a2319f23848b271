"""The places that copies of images take on the embedded cloud: each of their snapshots once, none as a stranger's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

import pytest
from native_clouds import ACCOUNT, AWAY, HOME, POINT, SITE, AmiWorld, Cloud, cloud, copy_order, cut, listed

from drorch.app.copy_places import CopyPlaces
from drorch.app.observe import PendingCopies, World
from drorch.app.observed_places import Place
from drorch.domain.action import Copy
from drorch.domain.catalogue_native import NativeView
from drorch.domain.copy_queue import CopiesSeen, Lane
from drorch.domain.model import FailureDomain, Vault
from drorch.kinds.ebs import EbsSnapshots

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
LANE = Lane("ec2", "prod", AWAY)
VAULT = Vault(f"prod.{AWAY}", FailureDomain("aws", AWAY, "prod"), native=True)


@pytest.fixture(scope="module")
def opened() -> Iterator[Cloud]:
    with cloud() as made:
        yield made


class Listing:
    """Counts with the kind of volumes, which sees the snapshots of images, too."""

    def __init__(self, ebs: EbsSnapshots, blind: bool = False) -> None:
        self.ebs, self.blind = ebs, blind

    def pending_copies(self, places: Iterable[Place]) -> Mapping[Place, PendingCopies]:
        return {p: () if self.blind else tuple(self.ebs.pending_copies(p[1], p[2])) for p in places}


def due(point: str) -> Copy:
    return Copy("shop", "data", VAULT.name, point, "lacks it", f"prod.{HOME}", kind="ami", places=2)


def counted(world: AmiWorld, begun: Iterable[Copy] = (), *, blind: bool = False) -> CopiesSeen:
    ebs = EbsSnapshots(world.aws_accounts)
    kinds = (world.kind, ebs)
    views = tuple(NativeView(VAULT, of.kind, True, tuple(of.snapshots(ACCOUNT, AWAY, SITE)), NOW) for of in kinds)
    seen = CopyPlaces(Listing(ebs, blind)).seen([due("another")], begun, World(NOW, views), NOW)
    assert seen is not None
    return seen


def test_an_image_under_way_takes_a_place_for_each_snapshot_and_none_for_itself(opened: Cloud) -> None:
    world = AmiWorld(opened)
    world.source_with()
    cut(world)
    world.finish()
    world.kind.copy(copy_order(listed(world)[0]))
    world.aws.put_foreign_copies(AWAY, 3)
    for begun in ([], [due(POINT)]):
        seen = counted(world, begun)
        assert (seen.taken[LANE], seen.foreign[LANE]) == (5, 3)


def test_an_image_whose_snapshots_no_listing_of_pending_ones_shows_yet_takes_its_places(opened: Cloud) -> None:
    world = AmiWorld(opened)
    world.source_with()
    cut(world)
    world.finish()
    world.kind.copy(copy_order(listed(world)[0]))
    seen = counted(world, blind=True)
    assert (seen.taken[LANE], seen.foreign[LANE]) == (2, 0)


def test_a_snapshot_of_an_image_that_is_done_before_the_others_gives_its_place_back(opened: Cloud) -> None:
    world = AmiWorld(opened)
    world.source_with()
    cut(world)
    world.finish()
    world.kind.copy(copy_order(listed(world)[0]))
    (image,) = listed(world, AWAY)
    world.aws.finish_snapshot(AWAY, image.parts[0].native_id)
    assert counted(world).taken[LANE] == 1
