"""Looking for the point in all vaults at once: in a crisis a vault that hangs does not hold up those that answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from dumped import APPLICATION, World, table_rows

from drorch.app.restore import RestoreReport, RestoreRequest, restore
from drorch.domain.errors import Unavailable
from drorch.ports import ObjectInfo
from drorch.stores.memory import MemoryStore


class BlackHole(MemoryStore):
    """A vault that cannot be reached."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        raise Unavailable("the vault does not answer", vault=self.vault)


class Slow(MemoryStore):
    """A vault that answers when it is let; `hear` is told of the question."""

    let: threading.Event
    hear: threading.Event

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self.hear.set()
        assert self.let.wait(20)
        return super().list(prefix)


@pytest.fixture
def let() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def slow(world: World, vault: str, let: threading.Event) -> Slow:
    """The vault, with what it holds, from now on slow."""
    store = Slow(vault, now=world.clock.now, limits=world.memory(vault).limits)
    store.objects = world.memory(vault).objects
    store.let, store.hear = let, threading.Event()
    world.stores[vault] = store
    return store


def run(world: World, request: RestoreRequest | None = None) -> RestoreReport:
    return restore(request or RestoreRequest(APPLICATION, "memory://back"), world.engine, world.stores, world.reader())


@pytest.fixture
def world() -> World:
    """The newest point is in s3-west only."""
    world = World("gcs-eu", "s3-west", "nas")
    world.dump("old", table_rows("orders", 1), ago=timedelta(hours=9), into=["gcs-eu"])
    world.dump("new", table_rows("orders", 3), ago=timedelta(hours=1), into=["s3-west"])
    return world


def test_a_hanging_vault_is_given_up_once_another_has_a_point(
    world: World, let: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drorch.app.reading_vaults.LATECOMERS", 0.05)
    slow(world, "s3-west", let)
    report = run(world)
    assert (report.point, report.vault) == ("old", "gcs-eu")
    assert "vault s3-west could not be read: did not answer within 0.05 s" in report.notes


def test_a_hanging_vault_is_waited_for_while_no_other_has_the_point(
    world: World, let: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gcs-eu and nas answer at once, with nothing to restore: the limit does not begin with them."""
    monkeypatch.setattr("drorch.app.reading_vaults.LATECOMERS", 0.0)
    store = slow(world, "s3-west", let)
    reports: list[RestoreReport] = []
    request = RestoreRequest(APPLICATION, "memory://back", point="new")
    thread = threading.Thread(target=lambda: reports.append(run(world, request)), daemon=True)
    thread.start()
    assert store.hear.wait(20)
    thread.join(0.1)
    assert thread.is_alive()
    let.set()
    thread.join(20)
    assert [(report.point, report.vault) for report in reports] == [("new", "s3-west")]


def test_the_named_vault_is_waited_for_to_its_end_and_the_others_are_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drorch.app.reading_vaults.LATECOMERS", 0.05)
    named, other = threading.Event(), threading.Event()
    store = slow(world, "gcs-eu", named)
    slow(world, "s3-west", other)
    reports: list[RestoreReport] = []
    request = RestoreRequest(APPLICATION, "memory://back", vault="gcs-eu")
    thread = threading.Thread(target=lambda: reports.append(run(world, request)), daemon=True)
    thread.start()
    assert store.hear.wait(20)
    thread.join(0.1)
    assert thread.is_alive()
    named.set()
    thread.join(20)
    other.set()
    assert [(report.point, report.vault) for report in reports] == [("old", "gcs-eu")]
    assert "vault s3-west could not be read: did not answer within 0.05 s" in reports[0].notes


def test_all_vaults_are_asked_at_once_by_threads_that_no_exit_waits_for(world: World, let: threading.Event) -> None:
    stores = [slow(world, vault, let) for vault in world.stores]
    reports: list[RestoreReport] = []
    thread = threading.Thread(target=lambda: reports.append(run(world)), daemon=True)
    thread.start()
    assert all(store.hear.wait(20) for store in stores)
    reading = [thread for thread in threading.enumerate() if thread.name in {f"read {v}" for v in world.stores}]
    assert [thread.daemon for thread in reading] == [True] * 3
    let.set()
    thread.join(20)
    assert [report.point for report in reports] == ["new"]


def test_the_named_vaults_error_does_not_wait_for_the_others(world: World, let: threading.Event) -> None:
    slow(world, "s3-west", let)
    world.stores["gcs-eu"] = BlackHole("gcs-eu")
    with pytest.raises(Unavailable, match="does not answer"):
        run(world, RestoreRequest(APPLICATION, "memory://back", vault="gcs-eu"))
