"""What a person orders: a point, a drill, a pin, with everything that may go wrong meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from worlds import EU, HOME, ORDERS, SITE, VOLUMES, WEST, Installation, policies

from drorch.app.locks import resource_lock
from drorch.app.passing import ApplicationPlan, Pass
from drorch.app.signing import write_record
from drorch.domain import layout
from drorch.domain.action import Braked, digest_of
from drorch.domain.errors import Busy, Damaged, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.model import RecoveryPoint
from drorch.domain.policy import ResourcePolicy
from drorch.domain.record import MarkType, RecordType, compose, parse_at
from drorch.stores.memory import MemoryStore


class Counter:
    """A person at the counter: the orders of a world, and what was heard of progress."""

    def __init__(self, world: Installation) -> None:
        self.world = world
        self.heard: list[str] = []
        self.orders = world.orders(watch=self.hear)

    def hear(self, resource: str, progress: Mapping[str, Any]) -> None:
        self.heard.append(f"{resource}: {progress.get('step', '')}")

    def look(self, application: str, *, fresh: bool = False) -> tuple[Pass, ApplicationPlan, ResourcePolicy]:
        seen = self.world.reconciler.look(fresh=fresh)
        plan = seen.plans[application]
        return seen, plan, plan.policy.resources[0]

    def backup(self, application: str, note: str = "") -> Any:
        return self.orders.backup(*self.look(application), note)

    def points(self, application: str) -> tuple[RecoveryPoint, ...]:
        return self.look(application, fresh=True)[1].catalogue.points


@pytest.fixture
def volumes(tmp_path: Path) -> Counter:
    return Counter(Installation(tmp_path, VOLUMES))


@pytest.fixture
def dumps(tmp_path: Path) -> Counter:
    return Counter(Installation(tmp_path, ORDERS))


# --- native points -------------------------------------------------------------------------------------------------


def test_snapshot_is_waited_for_and_recorded_in_every_vault(volumes: Counter) -> None:
    made = volumes.backup("shop", "before the move")
    assert (made.resource, made.vaults, made.lost) == ("data", (HOME,), {})
    (point,) = volumes.points("shop")
    assert (point.id, point.manual, point.note, point.cut_at) == (made.point, True, "before the move", made.cut_at)
    (copy,) = point.copies
    assert copy.usable
    assert set(copy.recorded_in) == {WEST, EU}
    assert volumes.world.intents.standing() == {}
    assert not volumes.world.locks.holder(resource_lock("shop", "data"))


def test_reply_that_was_lost_is_looked_for_and_nothing_is_cut_twice(volumes: Counter) -> None:
    volumes.world.faults("ebs").order("cut", "after")
    made = volumes.backup("shop")
    assert [point.id for point in volumes.points("shop")] == [made.point]
    assert len(volumes.world.snapshots(HOME)) == 1
    assert "data: looking whether the cut was begun" in volumes.heard


def test_cut_that_never_shows_ends_as_unknown_and_is_not_repeated(
    volumes: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(*_: object) -> None:
        raise OutcomeUnknown("the connection broke before the request was there")

    monkeypatch.setattr(volumes.world.kinds["ebs"], "cut", vanish)
    before = volumes.world.clock.now()
    with pytest.raises(OutcomeUnknown, match="does not show"):
        volumes.backup("shop")
    assert timedelta(minutes=5) < volumes.world.clock.now() - before < timedelta(minutes=6)
    assert volumes.world.snapshots(HOME) == []
    assert not volumes.world.locks.holder(resource_lock("shop", "data"))


def test_provider_that_fails_the_snapshot_is_told(volumes: Counter) -> None:
    world = volumes.world
    world.cloud.pending_for = None

    def fail(_resource: str, _progress: Mapping[str, Any]) -> None:
        for snapshot in world.snapshots(HOME):
            world.cloud.fail(snapshot, "an error of the disk")

    volumes.orders.watch = fail
    with pytest.raises(Unavailable, match="failed at the provider"):
        volumes.backup("shop")


def test_what_another_resource_cuts_is_not_cut_by_order_either(volumes: Counter) -> None:
    volumes.world.policies = policies(VOLUMES.replace("application: shop", "application: bank"), VOLUMES)
    with pytest.raises(Refused, match="selects the same") as told:
        volumes.backup("shop")
    assert "bank/data selects vol-1" in told.value.cause
    assert not volumes.world.cloud.snapshots()


def test_what_cannot_be_seen_is_no_empty_selection(volumes: Counter) -> None:
    volumes.world.faults("ebs").order("sources", "before")
    with pytest.raises(Unavailable, match="could not be seen"):
        volumes.backup("shop")
    volumes.world.cloud.put_sources("ec2", "prod", "us-east-1", [])
    with pytest.raises(Refused, match="nothing to cut"):
        volumes.backup("shop")
    assert volumes.world.snapshots(HOME) == []


def test_record_that_no_vault_takes_leaves_a_point_that_the_next_pass_records(volumes: Counter) -> None:
    for vault in (WEST, EU):
        volumes.world.faults(vault).order("put", "before", times=1)
    with pytest.raises(Unavailable, match="no vault took the native"):
        volumes.backup("shop")
    volumes.world.quiet()
    manual = [point for point in volumes.points("shop") if point.manual]
    assert [set(copy.recorded_in) for copy in manual[0].copies if copy.vault == HOME] == [{WEST, EU}]


# --- dumps ---------------------------------------------------------------------------------------------------------


def test_dump_goes_into_every_vault_and_one_that_fails_is_named(dumps: Counter) -> None:
    dumps.world.faults(EU).order("commit", "before")
    made = dumps.backup("desk")
    assert made.vaults == (WEST,)
    assert set(made.lost) == {EU}
    (point,) = dumps.points("desk")
    assert [copy.vault for copy in point.copies if copy.usable] == [WEST]
    dumps.world.quiet()
    found = next(p for p in dumps.points("desk") if p.id == made.point)
    assert {copy.vault for copy in found.copies if copy.usable} == {WEST, EU}, "the next pass ships it"


def test_resource_that_is_busy_is_not_cut_beside_it(dumps: Counter) -> None:
    with dumps.world.locks.held(resource_lock("desk", "orders"), "cut"), pytest.raises(Busy):
        dumps.backup("desk")
    assert dumps.world.hands.started == []


def test_worker_that_dies_raises_and_lets_the_lock_go(dumps: Counter) -> None:
    dumps.world.hands.dies = 1
    with pytest.raises(Unavailable, match="killed"):
        dumps.backup("desk")
    assert dumps.points("desk") == ()
    assert set(dumps.backup("desk").vaults) == {WEST, EU}


def test_order_that_is_given_up_cancels_its_worker(dumps: Counter) -> None:
    dumps.world.hands.held = True

    def interrupt(_resource: str, _progress: Mapping[str, Any]) -> None:
        raise KeyboardInterrupt

    dumps.orders.watch = interrupt
    with pytest.raises(KeyboardInterrupt):
        dumps.backup("desk")
    assert not dumps.world.locks.holder(resource_lock("desk", "orders"))
    assert dumps.points("desk") == ()


# --- several resources together --------------------------------------------------------------------------------------

DESKTOP = (
    VOLUMES
    + """\
      - name: orders
        kind: memory
        schedule: {every: 1d}
        vaults: [s3-west, gcs-eu]
        keep: {last: 3}
      - name: invoices
        kind: memory
        schedule: {every: 1d}
        vaults: [s3-west, gcs-eu]
        keep: {last: 3}
"""
)


@pytest.fixture
def desktop(tmp_path: Path) -> Counter:
    return Counter(Installation(tmp_path, DESKTOP))


def together(counter: Counter) -> Mapping[str, Any]:
    seen, plan, _ = counter.look("shop")
    return counter.orders.together(seen, plan, plan.policy.resources, "before 4.2")


def test_all_cuts_begin_before_any_is_waited_for(desktop: Counter) -> None:
    world = desktop.world
    world.hands.held = True

    def begun(_resource: str, _progress: Mapping[str, Any]) -> None:
        assert len(world.snapshots(HOME)) == 1
        assert {action.resource for action in world.hands.started} == {"orders", "invoices"}
        world.hands.held = False

    desktop.orders.watch = begun
    made = together(desktop)
    assert not world.hands.held, "somebody was waited for"
    assert list(made) == ["data", "orders", "invoices"]
    points = {point.resource: point for point in desktop.points("shop")}
    assert {resource: how.point for resource, how in made.items()} == {r: p.id for r, p in points.items()}
    assert len({point.slot for point in points.values()}) == 1
    assert points["data"].note == "before 4.2"
    assert all(copy.usable for point in points.values() for copy in point.copies)


def test_one_that_fails_is_told_and_the_others_stay(desktop: Counter) -> None:
    desktop.world.hands.dies = 1
    with desktop.world.locks.held(resource_lock("shop", "invoices"), "cut"):
        made = together(desktop)
    assert isinstance(made["orders"], Unavailable)
    assert isinstance(made["invoices"], Busy)
    assert [point.resource for point in desktop.points("shop")] == ["data"]
    assert not desktop.world.locks.holder(resource_lock("shop", "orders"))


def test_as_many_dumps_begin_as_the_host_has_places_for_and_the_others_follow(desktop: Counter) -> None:
    desktop.orders._at_once = 1
    desktop.world.hands.held = True
    running: list[int] = []

    def count(resource: str, _progress: Mapping[str, Any]) -> None:
        running.append(len(desktop.world.hands.started))
        desktop.world.hands.held = False

    desktop.orders.watch = count
    assert not [how for how in together(desktop).values() if isinstance(how, Exception)]
    assert running[0] == 1
    assert len(desktop.world.hands.started) == 2


def test_an_order_that_is_given_up_leaves_no_lock_and_no_worker(desktop: Counter) -> None:
    desktop.world.hands.held = True

    def interrupt(_resource: str, _progress: Mapping[str, Any]) -> None:
        raise KeyboardInterrupt

    desktop.orders.watch = interrupt
    with pytest.raises(KeyboardInterrupt):
        together(desktop)
    for resource in ("data", "orders", "invoices"):
        assert not desktop.world.locks.holder(resource_lock("shop", resource))


# --- drills --------------------------------------------------------------------------------------------------------


def test_drill_verifies_the_newest_point_of_the_vault(dumps: Counter) -> None:
    made = dumps.backup("desk")
    finished = dumps.orders.drill(*dumps.look("desk"), EU)
    assert (finished.error, finished.result["point"]) == (None, made.point)
    (point,) = dumps.points("desk")
    assert [copy.vault for copy in point.copies if copy.verified_at] == [EU]


def test_drill_that_fails_is_returned_with_its_result_and_one_that_dies_is_raised(dumps: Counter) -> None:
    dumps.backup("desk")
    seen, plan, resource = dumps.look("desk")
    assert resource.drill is not None
    impossible = resource.drill.probes[0].model_copy(update={"expect": "== -1"})
    wrong = resource.model_copy(update={"drill": resource.drill.model_copy(update={"probes": (impossible,)})})
    finished = dumps.orders.drill(seen, plan, wrong, EU)
    assert isinstance(finished.error, Damaged)
    assert finished.result["outcome"] == "failed"
    dumps.world.hands.dies = 1
    with pytest.raises(Unavailable, match="killed"):
        dumps.orders.drill(*dumps.look("desk"), EU)


def test_drill_of_what_cannot_be_drilled(dumps: Counter, volumes: Counter) -> None:
    with pytest.raises(NotFound, match="no usable point"):
        dumps.orders.drill(*dumps.look("desk"), EU)
    with pytest.raises(NotFound, match="there is no vault 'nosuch'"):
        dumps.orders.drill(*dumps.look("desk"), "nosuch")
    dumps.world.faults(EU).black_hole()
    with pytest.raises(Unavailable, match="could not be read"):
        dumps.orders.drill(*dumps.look("desk", fresh=True), EU)
    with pytest.raises(NotFound, match=f"there is no vault '{EU}' of data"):
        volumes.orders.drill(*volumes.look("shop"), EU)


# --- pins ----------------------------------------------------------------------------------------------------------


def test_pin_goes_into_every_vault_that_can_be_reached_and_names_the_others(dumps: Counter) -> None:
    dumps.backup("desk")
    dumps.world.faults(EU).black_hole()
    _, plan, _ = dumps.look("desk")
    (point,) = plan.catalogue.points
    lost = dumps.orders.pin(point, "audit 7", None)
    assert set(lost) == {EU}
    dumps.world.faults(EU).recover()
    assert dumps.points("desk")[0].pinned
    dumps.world.quiet()
    dumps.world.check_records()
    assert dumps.orders.unpin(point, "over") == {}
    assert not next(p for p in dumps.points("desk") if p.id == point.id).pinned


def test_unpin_in_the_same_second_counts(dumps: Counter) -> None:
    dumps.backup("desk")
    _, plan, _ = dumps.look("desk")
    dumps.orders.pin(plan.catalogue.points[0], "a slip", None)
    dumps.orders.unpin(plan.catalogue.points[0], "a slip")
    assert not dumps.points("desk")[0].pinned


def test_pin_that_no_vault_takes_is_no_pin(dumps: Counter) -> None:
    dumps.backup("desk")
    _, plan, _ = dumps.look("desk")
    for vault in (WEST, EU):
        dumps.world.faults(vault).order("put", "before")
    with pytest.raises(Unavailable, match="no vault took the mark"):
        dumps.orders.pin(plan.catalogue.points[0], "audit 7", None)
    assert not dumps.points("desk")[0].pinned


def test_pin_ends_at_its_time(dumps: Counter) -> None:
    dumps.backup("desk")
    _, plan, _ = dumps.look("desk")
    end = dumps.world.clock.now() + timedelta(hours=1)
    dumps.orders.pin(plan.catalogue.points[0], "until tonight", end)
    assert dumps.points("desk")[0].pinned
    dumps.world.clock.turn(minutes=61)
    assert not dumps.points("desk")[0].pinned


def test_host_without_a_vault_has_nowhere_to_write_a_pin(tmp_path: Path) -> None:
    counter = Counter(Installation(tmp_path, VOLUMES, vaults=()))
    made = counter.backup("shop")
    assert made.vaults == (HOME,)
    _, plan, _ = counter.look("shop")
    with pytest.raises(Refused, match="no object vault"):
        counter.orders.pin(plan.catalogue.points[0], "x", None)


# --- suspects and approvals ----------------------------------------------------------------------------------------


def sign(world: Installation, point: RecoveryPoint, mark: MarkType, **content: object) -> None:
    """A mark as the loop makes it, in every vault."""
    assert point.cut_at is not None
    application, resource = point.filed_under
    record = compose(
        RecordType.MARK,
        site=SITE,
        at=world.clock.now(),
        application=application,
        resource=resource,
        point=point.id,
        cut_at=point.cut_at,
        mark=str(mark),
        **content,
    )
    assert write_record(record, world.key, world.stores, world.stores.__getitem__) == {}


def test_point_that_is_cleared_in_the_same_second_is_suspect_no_more(dumps: Counter) -> None:
    dumps.backup("desk")
    (point,) = dumps.points("desk")
    with pytest.raises(Refused, match="is not suspect"):
        dumps.orders.clear(point, "a slip")
    sign(dumps.world, point, MarkType.SUSPECT, reason="3 of 9 tables are gone")
    (point,) = dumps.points("desk")
    assert point.suspect == "3 of 9 tables are gone"
    assert dumps.orders.clear(point, "the tables were merged") == {}
    (point,) = dumps.points("desk")
    assert (point.suspect, point.judged) == ("", True)


def test_marks_are_filed_where_the_point_is_filed(dumps: Counter) -> None:
    """A policy may carry another's history on: the records of its points stay under the names of before."""
    dumps.backup("desk")
    (point,) = dumps.points("desk")
    renamed = replace(point, application="counter", resource="sales", filed=("desk", "orders"))
    dumps.orders.pin(renamed, "audit 7", None)
    inner = dumps.world.stores[EU].inner
    assert isinstance(inner, MemoryStore)
    assert [path for path in inner.objects if path.endswith("-pin.json") and "/desk/orders/" in path]
    assert dumps.points("desk")[0].pinned


def releasing(seen: Pass, *pairs: tuple[str, str]) -> Pass:
    """The pass with a plan that would delete these (vault, point) pairs."""
    plan = seen.plans["desk"]
    held = tuple(Braked("desk", "orders", vault, point, "too many", "brake", "mark") for vault, point in pairs)
    return replace(seen, plans={"desk": replace(plan, actions=held)})


def test_approval_is_signed_into_every_vault_and_counts_for_an_hour(dumps: Counter) -> None:
    made = dumps.backup("desk")
    pairs = [(WEST, made.point), (EU, made.point)]
    seen, _, _ = dumps.look("desk")
    approved = dumps.orders.approve(releasing(seen, *pairs), digest_of(pairs)[:16], "too many fakes")
    assert (approved.digest, dict(approved.lost)) == (digest_of(pairs), {})
    assert timedelta(minutes=59) < approved.until - dumps.world.clock.now() <= timedelta(hours=1)
    for store in dumps.world.stores.values():
        assert isinstance(store.inner, MemoryStore)
        (path,) = [p for p in store.inner.objects if p.startswith(layout.APPROVALS) and p.endswith(".json")]
        record = parse_at(path, b"".join(store.read(path)))
        assert record.body["deletions"] == [list(pair) for pair in sorted(pairs)]
        assert record.text("reason") == "too many fakes"
    _, plan, _ = dumps.look("desk")
    assert plan.observed.approved == frozenset(pairs), "it is read back at once"
    dumps.world.clock.turn(minutes=61)
    _, plan, _ = dumps.look("desk")
    assert plan.observed.approved == frozenset()


def test_approval_that_no_vault_takes_is_none_and_one_vault_is_enough(dumps: Counter) -> None:
    made = dumps.backup("desk")
    pairs = [(WEST, made.point)]
    seen, _, _ = dumps.look("desk")
    for vault in (WEST, EU):
        dumps.world.faults(vault).order("put", "before", times=1)
    with pytest.raises(Unavailable, match="no vault took the approval"):
        dumps.orders.approve(releasing(seen, *pairs), digest_of(pairs), "")
    dumps.world.faults(WEST).order("put", "before", times=1)
    approved = dumps.orders.approve(releasing(seen, *pairs), digest_of(pairs), "")
    assert set(approved.lost) == {WEST}
    assert dumps.look("desk")[1].observed.approved == frozenset(pairs)


def test_approval_of_another_plan_writes_nothing(dumps: Counter) -> None:
    made = dumps.backup("desk")
    seen, _, _ = dumps.look("desk")
    with pytest.raises(Refused, match="no plan has the digest"):
        dumps.orders.approve(releasing(seen, (WEST, made.point)), "0" * 16, "")
    inner = dumps.world.stores[WEST].inner
    assert isinstance(inner, MemoryStore)
    assert not [path for path in inner.objects if path.startswith(layout.APPROVALS)]
