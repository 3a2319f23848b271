"""Light actions: what is recorded of a copy, and what is refused when the world has moved on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from worlds import AWAY, EU, HOME, LEDGER, VOLUMES, WEST, Installation

from drorch.app.carry import Scene
from drorch.app.observe import World
from drorch.domain import layout
from drorch.domain.action import Copy, Drill, Replicate, WriteRecord
from drorch.domain.catalogue import Catalogue
from drorch.domain.errors import Refused, Unavailable
from drorch.domain.native import Source
from drorch.domain.record import Record, parse


def scene(world: Installation, note: str = "") -> Scene:
    seen = world.reconciler.look()
    plan = seen.plans["shop"]
    return Scene(plan.policy.resources[0], plan.catalogue, seen.world, plan.observed.sources["data"].sources, note)


def records(world: Installation, vault: str) -> list[Record]:
    inner = world.stores[EU].inner
    found = [
        parse(body)
        for path, (body, _) in inner.objects.items()  # type: ignore[attr-defined]
        if path.startswith(layout.RECORDS) and path.endswith(".json")
    ]
    return [record for record in found if record.text("vault") == vault]


def test_a_native_record_holds_what_a_restore_needs_of_the_source(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    volume = replace(
        world.volume("vol-1", "i-1"), device="/dev/sdf", identity="vol-1", settings={"type": "gp3"}, encrypted=False
    )
    world.cloud.put_sources("ec2", "prod", "us-east-1", [volume])
    world.quiet()
    (snapshot,) = world.snapshots(HOME)
    for vault, source in ((HOME, "vol-1"), (AWAY, snapshot.native_id)):
        (record,) = records(world, vault)
        (member,) = record.body["members"]
        assert member["source_id"] == source
        assert {key: member[key] for key in ("device", "instance", "identity", "settings", "bytes", "role")} == {
            "device": "/dev/sdf",
            "instance": "i-1",
            "identity": "vol-1",
            "settings": {"type": "gp3"},
            "bytes": 8 << 30,
            "role": "snapshot",
        }
        assert record.cut_at == snapshot.started
        assert record.text("slot") == "2026-11-20T00:00Z" and record.text("kind") == "ebs"


def test_the_keys_of_a_copy_are_recorded(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES.replace("{region: us-west-2}", "{region: us-west-2, kms_key: alias/dr}"))
    world.cloud.put_key("prod", "us-west-2", "alias/dr")
    world.quiet()
    assert records(world, AWAY)[0].body["kms_keys"] == ["alias/dr"]
    assert "kms_keys" not in records(world, HOME)[0].body


def test_a_source_that_is_gone_by_then_leaves_its_settings_empty(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.once()
    world.cloud.put_sources("ec2", "prod", "us-east-1", [Source("vol-2", tags={"app": "shop"})])
    world.quiet()
    assert records(world, HOME)[0].body["members"][0]["settings"] == {}


def test_a_note_goes_into_the_record_and_from_there_into_the_next(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES, pending_for=0)
    world.once()
    point = world.reconciler.look().plans["shop"].catalogue.points[0]
    action = WriteRecord("shop", "data", HOME, point.id, "usable", (EU, WEST))
    world.light.carry_out(action, scene(world, "before the move"), world.clock.now())
    world.clock.turn(minutes=16)
    world.quiet()
    assert [record.text("note") for vault in (HOME, AWAY) for record in records(world, vault)] == [
        "before the move"
    ] * 2
    assert world.reconciler.look().plans["shop"].catalogue.points[0].note == "before the move"


def test_a_record_that_some_vault_did_not_take_says_so(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES, pending_for=0)
    world.once()
    point = world.reconciler.look().plans["shop"].catalogue.points[0]
    world.stores[WEST].faults.black_hole()
    action = WriteRecord("shop", "data", HOME, point.id, "usable", (EU, WEST))
    said = world.light.carry_out(action, scene(world), world.clock.now())
    assert said == "recorded in gcs-eu, not into s3-west"
    world.stores[EU].faults.black_hole()
    with pytest.raises(Unavailable):
        world.light.carry_out(action, scene(world), world.clock.now())


def test_what_the_plan_saw_and_is_gone_is_refused(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.quiet()
    good = scene(world)
    point = good.catalogue.points[0].id
    empty = replace(good, catalogue=Catalogue("shop"))
    for action in (Copy("shop", "data", AWAY, point, "", HOME), WriteRecord("shop", "data", HOME, point, "", (EU,))):
        with pytest.raises(Refused, match="not known any more"):
            world.light.carry_out(action, empty, world.clock.now())
    blind = replace(good, world=World(world.clock.now()))
    with pytest.raises(Refused, match="the source of the copy is not there"):
        world.light.carry_out(Copy("shop", "data", AWAY, point, "", HOME), blind, world.clock.now())
    with pytest.raises(Refused, match="to be recorded"):
        nowhere = WriteRecord("shop", "data", "prod.eu-central-1", point, "", (EU,))
        world.light.carry_out(nowhere, good, world.clock.now())


def test_a_heavy_action_is_not_carried_out_here(tmp_path: Path) -> None:
    world = Installation(tmp_path, LEDGER, VOLUMES)
    with pytest.raises(TypeError):
        world.light.carry_out(Drill("shop", "data", EU, "p", ""), scene(world), world.clock.now())
    world.stores[EU].put("drorch/v1/records/x.json", b"{}")
    replicate = Replicate("shop", "data", WEST, "p", "", EU, "drorch/v1/records/x.json")
    with pytest.raises(Refused):
        world.light.carry_out(replicate, scene(world), world.clock.now())
