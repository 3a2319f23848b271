"""Cuts and copies of native snapshots: whatever reply is lost, no call is made twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from faults import FaultySnapshots
from manual_clock import ManualClock

from drorch.app.intents import Intents
from drorch.app.native import NativeHands
from drorch.domain.action import Copy, Cut
from drorch.domain.errors import NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.intent_keys import copy_intent
from drorch.domain.native import NativeSnapshot, Source
from drorch.kinds.memory import MemoryCloud, MemorySnapshots

HOME, AWAY = "prod.us-east-1", "prod.us-west-2"
SLOT = "2026-11-20T09:00Z"


class Bench:
    """Two unattached volumes and a set of two: three creating calls, four members. `named` is as RDS, one member."""

    def __init__(self, state: Path, *, named: bool = False) -> None:
        self.clock = ManualClock()
        self.cloud = MemoryCloud(self.clock.now, pending_for=None)
        service = "rds" if named else "ec2"
        self.kind = FaultySnapshots(MemorySnapshots(self.cloud, "kind", service, named=named))
        self.intents = Intents(state, self.clock.now())
        self.hands = NativeHands("acme", {"kind": self.kind}, self.intents)
        names = ["db"] if named else ["v1", "v2", "v3", "v4"]
        self.sources = [Source(n, instance="i-1" if n in ("v3", "v4") else "", tags={"app": "shop"}) for n in names]
        self.cloud.put_sources(service, "prod", "us-east-1", self.sources)

    def cut(self, *, resumed: bool = False) -> str:
        action = Cut("shop", "data", HOME, "p1", "due", SLOT, 1, resumed=resumed)
        return self.hands.cut(action, "kind", self.sources, self.clock.now())

    def copy(self, key: str = "", listed: list[NativeSnapshot] | None = None) -> str:
        action = Copy("shop", "data", AWAY, "p1", "lacks it", HOME, key)
        return self.hands.copy(action, "kind", self.held(HOME), listed or [], self.clock.now())

    def held(self, vault: str) -> list[NativeSnapshot]:
        return [s for s in self.cloud.snapshots() if f"{s.account}.{s.region}" == vault]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_cut_bears_everything_that_finds_it_again_in_the_creating_call(bench: Bench) -> None:
    assert bench.cut() == "4 snapshot(s) begun in prod.us-east-1"
    assert {(s.source_id, s.tags["drorch:set"]) for s in bench.held(HOME)} == {
        ("v3", "1/3:2"),
        ("v4", "1/3:2"),
        ("v1", "2/3:1"),
        ("v2", "3/3:1"),
    }
    for snapshot in bench.held(HOME):
        own = {key: value for key, value in snapshot.tags.items() if key != "drorch:set"}
        assert own == {
            "drorch:site": "acme",
            "drorch:application": "shop",
            "drorch:resource": "data",
            "drorch:slot": SLOT,
            "drorch:point": "p1",
            "app": "shop",
        }
    assert set(bench.intents.standing()) == {"p1"}, "it stands until the point shows"


@pytest.mark.parametrize("call", [0, 1, 2])
@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_cut_taken_up_again_makes_exactly_the_calls_that_are_missing(bench: Bench, call: int, fault: str) -> None:
    bench.kind.faults.order("cut", fault, after=call)  # type: ignore[arg-type]
    with pytest.raises(Unavailable if fault == "before" else OutcomeUnknown):
        bench.cut()
    nothing = call == 0 and fault == "before"
    assert set(bench.intents.standing()) == (set() if nothing else {"p1"})
    bench.cut()
    assert sorted(s.source_id for s in bench.held(HOME)) == ["v1", "v2", "v3", "v4"]


def test_without_its_intent_a_cut_that_is_seen_in_part_is_looked_up_too(bench: Bench) -> None:
    bench.kind.faults.order("cut", "before", after=1)
    with pytest.raises(Unavailable):
        bench.cut()
    bench.intents.end("p1")
    bench.cut(resumed=True)
    assert len(bench.held(HOME)) == 4


def test_a_look_that_fails_asks_for_nothing(bench: Bench) -> None:
    bench.kind.faults.order("cut", "after")
    with pytest.raises(OutcomeUnknown):
        bench.cut()
    bench.kind.faults.order("find", "before")
    with pytest.raises(Unavailable):
        bench.cut()
    assert bench.kind.faults.calls["cut"] == 1
    assert set(bench.intents.standing()) == {"p1"}


def test_a_selection_that_changed_is_refused_whatever_its_number(bench: Bench) -> None:
    bench.kind.faults.order("cut", "before", after=2)
    with pytest.raises(Unavailable):
        bench.cut()
    whole = bench.sources
    for changed in (whole[1:], [*whole, Source("v5")], [Source("v0"), *whole[1:]]):
        bench.sources = changed
        with pytest.raises(Refused, match="the selection changed"):
            bench.cut()
    bench.sources = whole
    bench.cut()
    assert len(bench.held(HOME)) == 4


def test_an_identifier_that_exists_is_ours_or_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path, named=True)
    bench.cut()
    bench.intents.end("p1")
    assert bench.cut() == "1 snapshot(s) begun in prod.us-east-1"
    place = bench.cloud._place("rds", "prod", "us-east-1")
    for held in place.held.values():
        held.snapshot = replace(held.snapshot, tags={"drorch:point": "p1", "drorch:site": "other"})
    with pytest.raises(Refused, match="not drorch's"):
        bench.cut()
    assert len(bench.held(HOME)) == 1


def test_a_source_that_is_gone_ends_the_intent(bench: Bench) -> None:
    bench.cloud.put_sources("ec2", "prod", "us-east-1", [])
    with pytest.raises(NotFound):
        bench.cut()
    assert not bench.intents.standing()


# --- copies --------------------------------------------------------------------------------------------------------


@pytest.fixture
def whole(bench: Bench) -> Bench:
    bench.cut()
    bench.intents.end("p1")
    bench.cloud.finish()
    return bench


def test_a_copy_bears_the_points_tags_and_its_source_and_none_of_awss(whole: Bench) -> None:
    place = whole.cloud._place("ec2", "prod", "us-east-1")
    for held in place.held.values():
        held.snapshot = replace(held.snapshot, tags={**held.snapshot.tags, "aws:x": "1", "drorch:pin": "1"})
    assert whole.copy() == "4 of 4 member(s) being copied to prod.us-west-2"
    by_source = {s.tags["drorch:source"]: s for s in whole.held(AWAY)}
    assert set(by_source) == {s.native_id for s in whole.held(HOME)}
    for source in whole.held(HOME):
        tags = dict(by_source[source.native_id].tags)
        assert tags.pop("drorch:source")
        assert tags == {k: v for k, v in source.tags.items() if k not in ("aws:x", "drorch:pin")}


@pytest.mark.parametrize("call", [0, 1, 3])
@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_copy_taken_up_again_begins_what_is_missing(whole: Bench, call: int, fault: str) -> None:
    whole.kind.faults.order("copy", fault, after=call)  # type: ignore[arg-type]
    with pytest.raises(Unavailable if fault == "before" else OutcomeUnknown):
        whole.copy()
    nothing = call == 0 and fault == "before"
    assert set(whole.intents.standing()) == (set() if nothing else {copy_intent("p1", AWAY)})
    whole.copy()
    assert len(whole.held(AWAY)) == 4
    assert whole.copy() == "0 of 4 member(s) being copied to prod.us-west-2"


def test_what_the_listing_shows_is_looked_up_even_without_an_intent(whole: Bench) -> None:
    whole.copy()
    whole.intents.end(copy_intent("p1", AWAY))
    whole.copy(listed=whole.held(AWAY))
    assert len(whole.held(AWAY)) == 4


def test_a_failed_member_is_copied_again_beside_the_others(whole: Bench) -> None:
    whole.copy()
    whole.cloud.fail(whole.held(AWAY)[1], "no key")
    assert whole.copy() == "1 of 4 member(s) being copied to prod.us-west-2"
    assert sorted(s.state for s in whole.held(AWAY)) == ["failed", "pending", "pending", "pending", "pending"]


def test_a_key_that_cannot_be_used_is_refused_before_anything_is_asked_for(whole: Bench) -> None:
    with pytest.raises(Refused, match="alias/no"):
        whole.copy(key="alias/no")
    assert not whole.held(AWAY) and not whole.intents.standing()
    whole.cloud.put_key("prod", "us-west-2", "alias/dr")
    whole.copy(key="alias/dr")
    whole.copy(key="alias/dr")
    assert whole.kind.faults.calls["check_key"] == 2, "each key is asked for once while it is good"
    assert {s.kms_key for s in whole.held(AWAY)} == {"alias/dr"}


def test_numbers_of_named_copies_go_on_where_failed_ones_have_them(tmp_path: Path) -> None:
    bench = Bench(tmp_path, named=True)
    bench.cut()
    bench.cloud.finish()
    for _ in range(3):
        bench.copy()
        bench.cloud.fail(bench.held(AWAY)[-1], "no")
    first, second, third = bench.held(AWAY)
    bench.cloud.remove(first)
    bench.cloud.remove(second)
    bench.copy()
    bench.cloud.fail(bench.held(AWAY)[-1], "no")
    bench.copy()
    assert third.native_id == "drorch-p1-3"
    assert [s.native_id for s in bench.held(AWAY)] == ["drorch-p1-3", "drorch-p1-2", "drorch-p1-4"]
