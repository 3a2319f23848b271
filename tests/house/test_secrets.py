"""During a real run no secret stands in an argument, a child's environment, a log, the state or a vault."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from clouds import SECRET_KEY
from desks import EBS, PASSWORD, Desk, Said, Surroundings, surroundings


@pytest.fixture(scope="module")
def around() -> Iterator[Surroundings]:
    with surroundings(clouds=True) as found:
        yield found


class Watch:
    """Looks again and again at the arguments and the environment of a process and of everything below it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.seen: dict[str, set[bytes]] = {"cmdline": set(), "environ": set()}
        self.programs: set[str] = set()
        self._root = process.pid
        self._root_line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        self._over = threading.Event()
        self._known = {process.pid}
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.002):
            self._look()

    def _look(self) -> None:
        parents = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    status = (folder / "stat").read_text().rpartition(")")[2].split()
                    parents[int(folder.name)] = int(status[1])
        for pid, parent in parents.items():
            # Workers have sessions of their own, and orphans another parent: once seen, a process stays ours.
            if parent in self._known:
                self._known.add(pid)
        for pid in self._known & parents.keys():
            own = True
            for what, found in self.seen.items():
                with contextlib.suppress(OSError):
                    data = Path(f"/proc/{pid}/{what}").read_bytes()
                    if what == "cmdline":
                        own = pid == self._root or data == self._root_line
                    if what == "environ" and own:
                        continue  # what the person gave it, or a fork of it that has not become its program yet
                    found.add(data)
                    if what == "cmdline":
                        self.programs.add(os.path.basename(data.split(b"\0")[0].decode()))  # noqa: PTH119


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, around: Surroundings) -> tuple[Desk, Said, Watch]:
    """A desk after one watched `run --once` with a dump into two vaults, a drill, snapshots and copies."""
    desk = Desk(tmp_path_factory.mktemp("desk"), around)
    many = "INSERT INTO orders SELECT -n, now(), md5(n::text) FROM generate_series(1, 300000) n"
    desk.server.run(many, database=desk.database)  # each program runs long enough to be seen on a busy machine
    desk.write_policy(resources=EBS, drill="{every: 7d, from: [gcs-eu]}")
    for vault in desk.vaults:
        assert desk.drorch("vault", "init", vault).code == 0
    with desk.start("run", "--once", "--json") as process, Watch(process) as watch:
        out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    return desk, Said(0, out, err), watch


def secrets_of(desk: Desk) -> dict[str, str]:
    signing = desk.signing.text().strip().splitlines()[-1]
    return {
        "the database password": PASSWORD,
        "the age identity": desk.identity,
        "the signing key": signing,
        "the AWS secret": SECRET_KEY,
    }


def test_the_run_did_what_is_watched(watched: tuple[Desk, Said, Watch]) -> None:
    _, said, watch = watched
    assert {f["action"] for f in said.json["finished"]} == {"cut", "copy", "record", "drill", "head"}
    assert {"pg_dump", "pg_restore", "postgres"} <= watch.programs
    assert len(watch.seen["environ"]) >= 3


def test_no_argument_and_no_childs_environment_holds_a_secret(watched: tuple[Desk, Said, Watch]) -> None:
    desk, _, watch = watched
    for what, secret in secrets_of(desk).items():
        for place, found in watch.seen.items():
            for data in found:
                assert secret.encode() not in data, f"{what} in {place}: {data[:200]!r}"


def test_no_log_line_and_no_answer_holds_a_secret(watched: tuple[Desk, Said, Watch]) -> None:
    desk, said, _ = watched
    lines = said.err.splitlines()
    assert len([json.loads(line) for line in lines]) >= 8
    for what, secret in secrets_of(desk).items():
        assert secret not in said.err + said.out, what


def test_neither_the_state_nor_a_vault_holds_a_secret(watched: tuple[Desk, Said, Watch]) -> None:
    desk, _, _ = watched
    files = [path for folder in (desk.state, desk.nas) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        body = path.read_bytes()
        for what, secret in secrets_of(desk).items():
            assert secret.encode() not in body, f"{what} in {path}"


def test_state_is_closed_to_others(watched: tuple[Desk, Said, Watch]) -> None:
    desk, _, _ = watched
    for name in ("locks", "intents"):
        assert (desk.state / name).stat().st_mode & 0o077 == 0
