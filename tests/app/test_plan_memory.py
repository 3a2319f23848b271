"""What passes remember of their decisions: the same as a decision made anew, and never what deletes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from recollection import Recollection, planned_at, recollected
from worlds import AWAY, EU, EVERYTHING, LEDGER, ORDERS, VOLUMES, WEST, Installation, policies

from drorch.app.cache import Cache
from drorch.app.catalogue import Scope, VaultReader
from drorch.app.locks import resource_lock, restoring_lock
from drorch.app.passing import Guards
from drorch.app.plan_memory import PlanMemory
from drorch.app.planning import Planner
from drorch.domain import layout
from drorch.domain.action import Expire
from drorch.domain.plan import Failure

INSTANT = timedelta.resolution


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.configure(**before)


@pytest.fixture
def memory() -> Iterator[Recollection]:
    with recollected() as found:
        yield found
    assert not found.wrong, found.wrong


def test_days_in_which_little_happens_are_remembered_rightly(tmp_path: Path, memory: Recollection) -> None:
    world = Installation(tmp_path, *EVERYTHING, guards=Guards(host="here", grace=timedelta(days=1)))
    for _ in range(5):
        world.quiet(minutes=11)
        world.run(3, minutes=77)
        world.clock.turn(hours=9)
    assert memory.counts["remembered"] > memory.counts["made"] / 4
    assert memory.counts["until some instant"] > 10


def test_trouble_is_remembered_rightly(tmp_path: Path, memory: Recollection) -> None:
    world = Installation(tmp_path, *EVERYTHING, guards=Guards(host="here", grace=timedelta(hours=5)))
    world.run(4, minutes=9)
    for where, method in (("ebs", "copy"), ("rds-instance", "cut"), (EU, "list"), (WEST, "put"), ("ebs", "snapshots")):
        world.faults(where).order(method, "before")
        world.faults(where).order(method, "after" if method in ("copy", "cut", "put") else "half")
        world.clock.turn(hours=23)
        world.run(5, minutes=16)
    world.cloud.lose("us-west-2")
    world.run(3, minutes=31)
    world.cloud.give_back("us-west-2")
    world.policies = policies(*(text.replace("last: 3", "last: 1") for text in EVERYTHING))
    world.run(9, minutes=61)
    assert memory.counts["remembered"]


def test_a_clock_that_steps_back_brings_nothing_back(tmp_path: Path, memory: Recollection) -> None:
    world = Installation(tmp_path, VOLUMES, ORDERS)
    world.quiet()
    world.host.ahead = -timedelta(hours=7)
    world.run(2)
    world.host.ahead = timedelta(days=2)
    world.run(2)
    world.host.ahead = timedelta()
    world.run(2)


Change = Callable[[Installation], object]


def _note_failure(world: Installation) -> None:
    name = world.policies[0].application
    cut = f"cut:{name}:data:{world.policies[0].resources[0].schedule.slot_at(world.clock.now()):%Y-%m-%dT%H:%MZ}"
    world.reconciler._failures[cut] = Failure(world.clock.now(), 1, "no")


def _remove_record(world: Installation) -> None:
    store = world.memory(EU)
    for path in [path for path in store.objects if path.startswith(f"{layout.RECORDS}shop/")]:
        store.delete(path)
    world.clock.turn(minutes=15)


CHANGES: dict[str, Change] = {
    "a snapshot that is gone": lambda world: world.cloud.remove(world.snapshots(AWAY)[0]),
    "a volume that is gone": lambda world: world.cloud.put_sources("ec2", "prod", "us-east-1", []),
    "a volume more": lambda world: world.cloud.put_sources(
        "ec2", "prod", "us-east-1", [world.volume("vol-1"), world.volume("vol-2")]
    ),
    "a record that is gone": _remove_record,
    "another policy": lambda world: setattr(
        world, "policies", policies(VOLUMES.replace("last: 3", "last: 9"), LEDGER, ORDERS)
    ),
    "a policy that is invalid": lambda world: world.stale.add("shop"),
    "a lock that is held": lambda world: world.locks.take(resource_lock("shop", "data"), "backup"),
    "a restore": lambda world: world.locks.take(restoring_lock("shop"), "restore"),
    "a region that does not answer": lambda world: world.cloud.lose("us-west-2"),
    "another grace": lambda world: setattr(
        world.reconciler._planner, "_guards", Guards(host="here", grace=timedelta(days=9))
    ),
    "a horizon that is reached": lambda world: world.clock.turn(days=1),
}


@pytest.fixture
def calm(tmp_path: Path, memory: Recollection) -> Installation:
    """Three applications in a slot's middle, of which everything is remembered."""
    world = Installation(tmp_path, *EVERYTHING)
    world.quiet()
    world.once()
    assert {made for _, made in planned_at(world).values()} == {False}
    return world


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_what_it_was_decided_from_is_seen(calm: Installation, change: Change) -> None:
    before = calm.reconciler._planner._memory._plans["shop"]
    change(calm)
    calm.once()
    assert calm.reconciler._planner._memory._plans.get("shop") is not before


@pytest.mark.parametrize("what", [0, 2], ids=["an intent", "a failure"])
def test_what_was_asked_of_this_process_is_seen_when_it_is_another(calm: Installation, what: int) -> None:
    calm.clock.turn(days=1)
    calm.reconciler.look()
    calm.reconciler.look()
    before = calm.reconciler._planner._memory._plans["shop"]
    key = next(iter(before.asked[what].answers))
    if what == 0:
        calm.intents.begin(key, calm.clock.now())
    else:
        calm.reconciler._failures[key] = Failure(calm.clock.now(), 1, "no")
    calm.reconciler.look()
    assert calm.reconciler._planner._memory._plans.get("shop") is not before


def test_who_stood_back_is_decided_anew_when_the_other_one_has_left(calm: Installation) -> None:
    rival = policies(VOLUMES.replace("application: shop", "application: stall"))
    calm.policies = (*calm.policies, *rival)
    calm.once()
    before = calm.reconciler._planner._memory._plans["stall"]
    calm.policies = (*policies(LEDGER, ORDERS), *rival)
    calm.once()
    assert calm.reconciler._planner._memory._plans.get("stall") is not before


def test_a_lock_that_another_listing_shows_is_seen(tmp_path: Path, memory: Recollection) -> None:
    lock = "{region: us-west-2, lock: {for: 10d, mode: governance}}"
    world = Installation(tmp_path, VOLUMES.replace("{region: us-west-2}", lock))
    world.quiet()
    world.once()
    before = world.reconciler._planner._memory._plans["shop"]
    snapshot = world.snapshots(AWAY)[0]
    held = world.cloud._place(snapshot.service, snapshot.account, snapshot.region).held[snapshot.native_id]
    assert held.lock is not None
    held.lock = replace(held.lock, until=held.lock.until + timedelta(days=30))
    world.once()
    assert world.reconciler._planner._memory._plans.get("shop") is not before


def test_what_happens_to_others_does_not_matter(calm: Installation) -> None:
    before = dict(calm.reconciler._planner._memory._plans)
    _note_failure(calm)
    calm.intents.begin("another@prod.us-west-2", calm.clock.now())
    calm.cloud.put_sources("rds", "prod", "us-east-1", [])
    calm.once()
    after = calm.reconciler._planner._memory._plans
    assert after["shop"] is before["shop"] and after["desk"] is before["desk"]
    assert after["bank"] is not before["bank"]


def test_a_record_that_another_process_read_is_seen_at_once(calm: Installation) -> None:
    before = calm.reconciler._planner._memory._plans["shop"]
    store = calm.memory(EU)
    path = next(path for path in store.objects if path.startswith(f"{layout.RECORDS}shop/"))
    store.delete(path)
    cache = Cache(calm.state / "cache" / "cache.sqlite", calm.key.public.text())
    VaultReader(cache, calm.trusted, "acme").refresh(store, calm.clock.now(), Scope("shop"))
    cache.close()
    calm.once()
    assert calm.reconciler._planner._memory._plans.get("shop") is not before


def test_what_deletes_is_decided_anew_under_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = Installation(tmp_path, ORDERS, guards=Guards(grace=timedelta(hours=1)))
    for _ in range(5):
        world.quiet()
        world.clock.turn(days=1)
    anew: list[str] = []
    real = Planner.fresh

    def fresh(planner: Planner, policy: object, *given: object, **named: object) -> object:
        anew.append(getattr(policy, "application", ""))
        return real(planner, policy, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Planner, "fresh", fresh)
    for _ in range(40):
        anew.clear()
        seen = world.once()
        if any(isinstance(action, Expire) for action in seen.started):
            assert anew
            return
        world.clock.turn(minutes=13)
    raise AssertionError("nothing was ever deleted")


def test_the_memory_is_bounded_and_who_came_first_stays(calm: Installation) -> None:
    planner = calm.reconciler._planner
    plans = list(planner._memory._plans.values())
    small = PlanMemory(points=sum(known.weight for known in plans[:2]))
    for known in plans:
        small.keep(known)
    assert list(small._plans) == [known.grounds.policy.application for known in plans[:2]]
    small.forget(plans[0].grounds.policy.application)
    small.keep(plans[0])
    assert set(small._plans) == {known.grounds.policy.application for known in plans[:2]}
    small.only([plans[1].grounds.policy.application])
    assert small._held == plans[1].weight
