"""Sweeping in a small complete installation: what nobody can need goes, after one more look at it, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from lives import DUMPS, catalogue, lived, memory, paths, usable
from worlds import EU, WEST, Installation, outcomes

from drorch.app.sweep import sweep
from drorch.domain import layout
from drorch.domain.action import Sweep
from drorch.domain.errors import Refused

LEFT = "drorch/v1/data/desk/orders/20261001T120000Z-aaaaaaaaaaaaaaaaaaaa/data.zst.age"


def leave_data(world: Installation, vault: str, ago: timedelta) -> None:
    """What a dump that never ended has left, written so long ago by the store's own clock."""
    store = memory(world, vault)
    store.put(LEFT, b"half a dump")
    store.objects[LEFT] = (store.objects[LEFT][0], world.clock.now() - ago)


def passing(world: Installation, days: int) -> None:
    for _ in range(days):
        world.run(4, minutes=20)
        world.clock.turn(days=1)


def test_data_without_a_manifest_go_once_they_are_old_by_the_stores_own_clock(tmp_path: Path) -> None:
    world = lived(tmp_path)
    leave_data(world, EU, timedelta(days=31))
    world.clock.turn(minutes=20)
    world.run(4, minutes=20)
    assert not paths(world, EU, "aaaaaaaa")
    assert outcomes(world, "sweep") == {"done": 1}


def test_data_that_the_store_calls_young_stay_whatever_their_name_says(tmp_path: Path) -> None:
    world = lived(tmp_path)
    leave_data(world, EU, timedelta(days=2))
    world.clock.turn(minutes=20)
    world.run(4, minutes=20)
    assert paths(world, EU, "aaaaaaaa") == [LEFT]
    assert set(outcomes(world, "sweep")) == {"refused"}


def test_data_whose_manifest_has_come_since_stay(tmp_path: Path) -> None:
    world = lived(tmp_path)
    leave_data(world, EU, timedelta(days=40))
    manifest = LEFT.replace("/data/", "/records/", 1).replace("data.zst.age", "manifest.json")
    memory(world, EU).put(manifest, b"{}\n")
    action = Sweep("desk", "orders", EU, "a" * 20, "old", "data", (LEFT,))
    with pytest.raises(Refused, match="not what was seen"):
        sweep(action, world.stores.__getitem__)
    assert LEFT in memory(world, EU).objects


def test_data_of_a_point_that_another_vault_has_stay_for_the_ship_that_uses_them(tmp_path: Path) -> None:
    world = lived(tmp_path)
    point = catalogue(world).points[0]
    for path in paths(world, EU, f"{point.id}/manifest.json"):
        memory(world, EU).objects.pop(path)
    kept = [path for path in paths(world, EU, point.id) if "/data/" in path]
    world.faults(WEST).order("read", "before", times=10_000)  # nothing can be shipped now
    world.clock.turn(days=40)
    world.run(4, minutes=20)
    assert [path for path in paths(world, EU, point.id) if "/data/" in path] == kept


def test_an_upload_that_nobody_ends_goes_after_a_day_and_not_before(tmp_path: Path) -> None:
    world = lived(tmp_path)
    store = memory(world, EU)
    store.upload(LEFT).write(b"x")
    world.clock.turn(hours=23)
    world.run(2, minutes=5)
    assert list(store.uploads(layout.DATA))
    passing(world, 2)
    assert not list(store.uploads(layout.DATA))


def test_old_heads_go_but_the_first_of_each_month_and_the_newest(tmp_path: Path) -> None:
    world = lived(tmp_path)
    for _ in range(4):
        world.clock.turn(hours=2)
        world.once()
    many = [path for path in paths(world, EU, layout.HEADS) if path.endswith(".json")]
    assert len(many) >= 5
    world.policies = ()  # nothing new is written meanwhile
    world.clock.turn(days=36)
    world.policies = Installation(tmp_path / "other", DUMPS).policies
    world.run(6, minutes=20)
    left = [path for path in paths(world, EU, layout.HEADS) if path.endswith(".json")]
    assert many[0] in left and not set(many[1:-1]) & set(left)
    assert {path + layout.SIGNATURE for path in left} == {
        path for path in paths(world, EU, layout.HEADS) if path.endswith(layout.SIGNATURE)
    }
    assert catalogue(world).head is not None


def test_the_records_of_a_point_go_ninety_days_after_its_last_copy(tmp_path: Path) -> None:
    world = lived(tmp_path, 1)
    first = catalogue(world).points[0]
    world.clock.turn(days=1)
    passing(world, 8)
    assert not any(first.id in path for path in paths(world, EU, "manifest.json"))
    gone = [path for path in paths(world, EU, first.id) if layout.RECORDS in path]
    assert gone, "its marks stay"
    world.clock.turn(days=80)
    world.run(4, minutes=20)
    assert paths(world, EU, first.id) == gone
    world.faults(WEST).black_hole()
    world.clock.turn(days=15)
    world.run(4, minutes=20)
    assert paths(world, EU, first.id) == gone, "another vault may still hold it"
    world.faults(WEST).recover()
    world.run(8, minutes=20)
    assert not paths(world, EU, first.id) and not paths(world, WEST, first.id)


def test_nothing_is_swept_while_clocks_differ(tmp_path: Path) -> None:
    world = lived(tmp_path)
    leave_data(world, EU, timedelta(days=31))
    world.stores[WEST].clock = timedelta(hours=1)
    world.clock.turn(minutes=20)
    world.run(4, minutes=20)
    assert paths(world, EU, "aaaaaaaa") == [LEFT]


def test_uploads_that_the_role_may_not_drop_are_told_now_and_then_and_nothing_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bucket without the right to abort uploads: also those of dumps that fail stay where they are."""

    def denied() -> None:
        raise Refused("access denied", operation="s3 AbortMultipartUpload")

    world = lived(tmp_path)
    store = memory(world, EU)
    store.upload(LEFT).write(b"x")
    for method in ("abort", "abort_upload"):
        world.stores[EU].faults.order(method, denied, times=10_000)
    world.stores[EU].faults.order("write", "before")
    passing(world, 4)
    assert len(list(store.uploads(layout.DATA))) >= 1
    assert usable(world, EU) == usable(world, WEST)
    assert len(usable(world, EU)) >= 2
    assert set(outcomes(world, "sweep")) == {"refused"}
    told = [line for line in capsys.readouterr().out.splitlines() if "could not be dropped" in line]
    assert 1 <= len(told) <= 4, "no more than once a day"
    assert "AbortMultipartUpload" in told[0]
