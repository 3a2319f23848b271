"""The worker as it is shipped, with the real engine: a dump of a real server, and no secret to be seen meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dumped import World
from pgservers import PASSWORD, Running, debian, running

from drorch.app.dump import DumpOrder, DumpOutcome
from drorch.app.jobs import DumpJob, HostSpec, VaultSpec
from drorch.app.processes import session_members
from drorch.app.reading import TrustedKey, read_inventory, read_signed
from drorch.app.runner import WORKER, Handle, LocalRunner
from drorch.domain.errors import Refused
from drorch.domain.record import artefacts_of
from drorch.stores.directory import DirectoryStore


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(debian()) as found:
        yield found


def job_for(server: Running, world: World, folder: Path) -> DumpJob:
    """A table of the database `shop`, owned by a role with a password, dumped over TCP."""
    user = server.role(f"LOGIN PASSWORD '{PASSWORD.replace(chr(39), chr(39) * 2)}'")
    database = server.database(user)
    server.run("CREATE TABLE orders AS SELECT generate_series(1, 5000) AS id", database=database, user=user)
    connection = {
        "host": "127.0.0.1",
        "port": server.server.port,
        "database": database,
        "user": user,
        "password": {"credential": "orders-db"},
    }
    return DumpJob(
        order=DumpOrder(
            site="acme-prod",
            application="shop",
            resource="orders",
            kind="postgres",
            point="p1",
            slot="2026-11-20T12:00Z",
            recipients=(world.recipient,),
        ),
        vaults=(VaultSpec("nas", "directory", {"path": str(folder), "provider": "onprem", "region": "office"}),),
        options={"connection": connection},
        secrets={"orders-db": PASSWORD},
        signing_key=world.key.text(),
        host=HostSpec(tools={"postgres": [str(debian())]}, inventory_budget_s=60),
    )


def started(job: DumpJob) -> Handle:
    environ = {"PATH": "/usr/bin:/bin", "AWS_SECRET_ACCESS_KEY": "aws-secret-key", "PGPASSWORD": "pg-secret"}
    return LocalRunner(command=WORKER, environ=environ).start(job)


def command_lines(handle: Handle) -> dict[int, bytes]:
    found = {}
    for pid in session_members(handle.pid):
        try:
            found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
    return found


def test_a_real_dump_shows_no_secret_while_it_runs_and_is_whole_afterwards(server: Running, tmp_path: Path) -> None:
    world = World()
    job = job_for(server, world, tmp_path)
    database = job.options["connection"]["database"]
    secrets = [PASSWORD, job.signing_key.splitlines()[1], "aws-secret-key", "pg-secret"]
    with server.session(database) as holder, holder.transaction():
        holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")  # pg_dump waits here, to be looked at
        handle = started(job)
        for _ in range(400):
            if any(b"--snapshot=" in line for line in command_lines(handle).values()) or handle.poll() is not None:
                break
            time.sleep(0.02)
        seen = command_lines(handle)
        assert any(b"--snapshot=" in line for line in seen.values()), handle.poll()
        for pid, line in seen.items():
            text = (line + Path(f"/proc/{pid}/environ").read_bytes()).decode("utf-8", "replace")
            assert not [secret for secret in secrets if secret in text], f"process {pid}: {line!r}"
    outcome = handle.wait()
    assert outcome is not None
    done = DumpOutcome.from_json(outcome.get())
    store = DirectoryStore("nas", str(tmp_path))
    manifest = read_signed(store, done.manifest.path, [TrustedKey(world.key.public)])
    assert manifest.body["engine"] == "postgres"
    inventory = read_inventory(store, manifest, artefacts_of(manifest)[-1], [world.identity], world.clock)
    assert inventory.tables == {"public.orders": 5000}
    assert not [secret for secret in secrets if secret in outcome.crash]


def test_a_wrong_password_is_refused_and_not_repeated_to_anybody(server: Running, tmp_path: Path) -> None:
    job = job_for(server, World(), tmp_path)
    outcome = started(replace(job, secrets={"orders-db": "wrong-secret"})).wait()
    assert outcome is not None
    assert isinstance(outcome.error, Refused)
    assert "wrong-secret" not in str(outcome.error) + outcome.crash
    assert list(DirectoryStore("nas", str(tmp_path)).list("drorch/")) == []


def test_options_of_another_kind_are_refused(server: Running, tmp_path: Path) -> None:
    job = job_for(server, World(), tmp_path)
    for wrong in (replace(job, options={"nonsense": 1}), replace(job, order=replace(job.order, kind="oracle"))):
        outcome = started(wrong).wait()
        assert outcome is not None
        assert isinstance(outcome.error, Refused)


def test_a_dump_worker_imports_no_sdk_that_it_does_not_need() -> None:
    import subprocess

    code = "import drorch.worker, sys; print([m for m in ('boto3', 'botocore', 'google.cloud') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert done.stdout == b"[]\n"
