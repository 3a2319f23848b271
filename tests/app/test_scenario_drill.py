"""Drills of whole applications: points found without the home region, steps in order, measured, always cleared away."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
from worlds import AWAY, SITE, VOLUMES, Installation

from drorch.app.drill_sweep import LATE, DrillSweep
from drorch.app.passing import scene_of
from drorch.domain.action import Drill, Hold, ScenarioDrill
from drorch.domain.catalogue import Drilled
from drorch.domain.errors import Busy, Refused, Unavailable
from drorch.domain.native_drill import drill_id
from drorch.domain.native_restore import TAG_DRILL, TAG_RESTORE, NativeRestore, RestorePart
from drorch.domain.record import Record, RecordType
from drorch.domain.scenario import SCENARIO
from drorch.kinds.memory.cloud import Restored

SHOP = (
    VOLUMES.rstrip()
    + """
      - name: ledger
        kind: rds-instance
        identifier: shop-ledger
        schedule: {every: 1d}
        copies: [{region: us-west-2}]
        keep: {last: 3}
      - name: web
        kind: ami
        select: {tags: {app: shop}}
        schedule: {every: 1d}
        copies: [{region: us-west-2}]
        keep: {last: 3}
    recovery:
      regions: {us-west-2: {data: {zone: us-west-2a, attach: i-1}}}
      steps:
        - {name: told, manual: tell everybody, needs: []}
        - {name: ledger, restore: ledger}
        - {name: data, restore: data, needs: []}
        - {name: image, restore: web, needs: [ledger]}
        - {name: up, launch: {image: image, group: web, target_group: web}}
        - {name: answers, wait: {http: "https://dr.example.com/", status: 200, for: 5m}}
        - {name: switch, record: {zone: Z1, name: shop.example.com, type: A, value: 192.0.2.7, ttl: 60},
           fallback: at the registrar}
        - {name: warm, command: [/bin/true]}
    drill: {every: 30d, scenario: region, max_hours: 2}
"""
)
RESTORES = ("data", "ledger", "web")
SERVICES = {"data": "ec2", "ledger": "rds", "web": "ec2 images"}


def lived(tmp_path: Path, text: str = SHOP, *, drilled: bool = False) -> Installation:
    world = Installation(tmp_path, text)
    world.hands.held = not drilled
    world.run(10)
    return world


def things(world: Installation, tag: str = TAG_DRILL) -> list[Restored]:
    places = world.cloud._places.items()
    return [r for (_, _, region), place in places if region == "us-west-2" for r in place.restored if tag in r.tags]


def rehearse(world: Installation, cancel: Event | None = None) -> dict[str, object]:
    assert world.seen is not None
    action = ScenarioDrill("shop", SCENARIO, AWAY, "", "asked")
    return world.rehearsed(scene_of(world.seen, action), cancel)


def drills(world: Installation) -> tuple[Drilled, ...]:
    return world.reconciler.look(fresh=True).plans["shop"].catalogue.drills


def test_a_due_drill_brings_back_what_the_runbook_restores_and_is_not_due_again_before_its_time(tmp_path: Path) -> None:
    world = lived(tmp_path, drilled=True)
    assert [type(a) for a in world.hands.started if isinstance(a, Drill)] == [ScenarioDrill]
    (drilled,) = drills(world)
    assert (drilled.resource, drilled.vault, drilled.restorable) == (SCENARIO, AWAY, True)
    assert drilled.seconds["total"] >= drilled.seconds["create"] > 0
    assert things(world) == []
    world.clock.turn(days=29)
    world.run(6)
    assert len(drills(world)) == 1
    world.clock.turn(days=1)
    world.run(10)
    assert len(drills(world)) == 2
