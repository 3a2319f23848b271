"""A MariaDB dump through the whole product: into a vault, back by drorch, drilled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from dumped import APPLICATION, RESOURCE, SITE, World
from mariadbservers import RunningMariadb

from drorch.app.drill import DrillOrder, Scratch, run_drill
from drorch.app.dump import DumpOrder, DumpOutcome, dump
from drorch.app.restore import RestoreRequest, restore
from drorch.domain.policy import Probe
from drorch.engines.mariadb import MariadbEngine


@pytest.fixture(scope="module")
def world() -> World:
    return World("gcs-eu")


@pytest.fixture(scope="module")
def point(world: World, mariadb: RunningMariadb, wares: str) -> Iterator[DumpOutcome]:
    """A dump of `wares` in the vault."""
    world.clock.present = datetime.now(UTC) + timedelta(minutes=1)
    order = DumpOrder(
        site=SITE,
        application=APPLICATION,
        resource=RESOURCE,
        kind="mariadb",
        point="p1",
        slot="2026-11-20T12:00Z",
        recipients=(world.recipient,),
        inventory="exact",
    )
    found = dump(order, MariadbEngine(), mariadb.options(wares), {}, world.stores, world.key, clock=world.clock)
    yield found
    mariadb.ask("DROP DATABASE IF EXISTS orders", "DROP DATABASE IF EXISTS orders_back")


def test_it_comes_back_and_every_row_count_is_compared(
    world: World, mariadb: RunningMariadb, wares: str, point: DumpOutcome
) -> None:
    request = RestoreRequest(application=APPLICATION, into=mariadb.url("orders_back"), resource=RESOURCE, site=SITE)
    report = restore(request, MariadbEngine(), world.stores, world.reader())
    assert report.point == "p1"
    assert "compare" in [step.to_json()["step"] for step in report.steps]
    assert mariadb.checksums("orders_back") == mariadb.checksums(wares)


def test_it_is_drilled_in_a_private_server(world: World, point: DumpOutcome) -> None:
    probes = (Probe(sql="select count(*) from item", expect=">= 506"),)
    order = DrillOrder(SITE, APPLICATION, RESOURCE, "gcs-eu", probes, "p1")
    outcome = run_drill(order, MariadbEngine(), Scratch(), world.stores, world.reader(), world.key)
    assert outcome.passed, outcome.why
    assert [probe.got for probe in outcome.probes] == ["506"]


def test_the_manifest_names_no_table(point: DumpOutcome) -> None:
    for name in (b"item", b"legacy", b"spare", b"parted"):
        assert name not in point.manifest.data
