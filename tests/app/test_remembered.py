"""What a cache remembers of points, read by somebody who has neither keys nor a network."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from worlds import AWAY, HOME, ORDERS, SITE, VOLUMES, Installation, policies

from drorch.app.cache import CACHE, Cache
from drorch.app.remembered import remembered
from drorch.domain.errors import Unavailable
from drorch.domain.model import FailureDomain, Vault
from drorch.domain.policy import Policy
from drorch.domain.policy_figures import Held

VAULTS = {
    "s3-west": Vault("s3-west", FailureDomain("aws", "us-west-2", "vault")),
    "gcs-eu": Vault("gcs-eu", FailureDomain("gcp", "europe-west1")),
    "new": Vault("new", FailureDomain("gcp", "europe-west1")),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Two days of volumes and dumps, and the cache of that where a host has it."""
    world = Installation(tmp_path_factory.mktemp("state"), VOLUMES, ORDERS)
    world.quiet()
    world.clock.turn(days=1)
    world.quiet()
    world.cache.close()
    with sqlite3.connect(world.state / "cache" / "cache.sqlite") as found:
        found.execute("update meta set value = ? where key = 'trusted'", (f"{SITE};RW1",))
        found.commit()
        found.execute("vacuum into ?", (str(world.state / CACHE),))
    return world


def read(world: Installation, old: tuple[Policy, ...], new: tuple[Policy, ...]) -> Held:
    return remembered(world.state, SITE, VAULTS, old, new, world.clock.now())


def test_snapshots_and_dumps_are_counted_by_vault(world: Installation) -> None:
    held = read(world, world.policies, world.policies)
    for application, resource, vaults in (("shop", "data", (HOME, AWAY)), ("desk", "orders", ("s3-west", "gcs-eu"))):
        for vault in vaults:
            points = held.of(application, resource, vault)
            assert points is not None
            assert sum((copy := point.copy_in(vault)) is not None and copy.usable for point in points) == 2


def test_nothing_is_known_of_a_vault_that_was_never_listed(world: Installation) -> None:
    held = read(world, world.policies, world.policies)
    assert held.of("desk", "orders", "new") is None
    assert held.of("desk", "elsewhere", "gcs-eu") == (), "it was listed, and there is nothing"


def test_a_history_is_counted_under_its_new_name_and_that_of_who_is_gone_under_the_old(world: Installation) -> None:
    renamed = VOLUMES.replace("application: shop", "application: store\n    formerly: [shop]").replace(
        "name: data", "name: disks\n        formerly: [data]"
    )
    held = read(world, world.policies, policies(renamed))
    assert len(held.of("store", "disks", AWAY) or ()) == 2
    assert held.of("shop", "data", AWAY) == ()
    assert len(held.of("desk", "orders", "gcs-eu") or ()) == 2


def test_a_cache_that_is_read_stays_as_it_is_whoever_reads_it(world: Installation) -> None:
    before = (world.state / CACHE).read_bytes()
    read(world, world.policies, world.policies)
    cache = Cache.of_another(world.state / CACHE, SITE)
    with pytest.raises(Unavailable):
        cache.set_listing("s3-west", "2026-11-20T09:15:00Z")
    cache.close()
    assert (world.state / CACHE).read_bytes() == before


def test_root_leaves_the_cache_of_a_daemon_alone(
    world: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / CACHE).write_bytes((world.state / CACHE).read_bytes())
    if os.geteuid() == 0:
        os.chown(tmp_path / CACHE, 65534, 65534)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(Unavailable, match="another user's"):
        Cache.of_another(tmp_path / CACHE, SITE)
    assert [path.name for path in tmp_path.iterdir()] == [CACHE]


@pytest.mark.parametrize("wrong", ["absent", "site", "version", "damaged"])
def test_a_cache_that_cannot_be_read_is_unavailable_and_is_left_alone(
    world: Installation, tmp_path: Path, wrong: str
) -> None:
    path = tmp_path / CACHE
    if wrong != "absent":
        path.write_bytes((world.state / CACHE).read_bytes())
    if wrong == "version":
        with sqlite3.connect(path) as found:
            found.execute("pragma user_version = 1")
    if wrong == "damaged":
        path.write_bytes(b"not a database at all, but longer than a header of one" * 20)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(Unavailable):
        remembered(tmp_path, "other" if wrong == "site" else SITE, VAULTS, (), (), world.clock.now())
    assert (path.read_bytes() if path.exists() else None) == before
