"""A MariaDB dump through the whole product: into a vault, back by drorch, drilled, back by RESTORE.md's commands."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dumped import APPLICATION, RESOURCE, SITE, World
from mariadbservers import RunningMariadb

from drorch.app.drill import DrillOrder, Scratch, run_drill
from drorch.app.dump import DumpOrder, DumpOutcome, dump
from drorch.app.restore import RestoreRequest, restore
from drorch.app.restore_guide import restore_guide
from drorch.domain import layout
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


def test_the_commands_of_restore_md_bring_it_back_without_drorch(
    world: World, mariadb: RunningMariadb, wares: str, point: DumpOutcome, tmp_path: Path
) -> None:
    store = world.memory()
    for info in store.list(layout.DATA):
        (tmp_path / info.path.rpartition("/")[2]).write_bytes(b"".join(store.read(info.path)))
    (tmp_path / "key.txt").write_text(world.identity)
    (tmp_path / ".my.cnf").write_text(f"[client]\nsocket={mariadb.socket}\nuser=root\n")
    guide = restore_guide(site=SITE, vault="gcs-eu", public_key=world.key.public.text(), recipients=[world.recipient])
    commands = [line.strip() for line in guide.decode().splitlines() if line.startswith("       ")]
    wanted = [command.replace("KEY", world.key.public.text()) for command in commands if _for_mariadb(command)]
    assert len(wanted) == 3
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    script = "set -e -o pipefail\n" + "\n".join(wanted)
    subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, check=True, timeout=60)
    assert mariadb.checksums("orders") == mariadb.checksums(wares)


def _for_mariadb(command: str) -> bool:
    return "mariadb" in command or "SHA256SUMS" in command
