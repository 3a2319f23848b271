"""``drorch demo`` as a newcomer runs it: the whole of it, once, and once interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DEMO = [sys.executable, "-m", "drorch", "demo"]
ACCOUNTS = ("/etc/passwd", "/etc/group", "/etc/shadow")


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """A temporary folder of our own, open to pass through like the system's, so that what is left is seen."""
    folder = Path(tempfile.mkdtemp(prefix="drorch-e2e-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def surroundings(*places: Path) -> dict[str, object]:
    """Accounts, and mode and owners of `places` and of every folder above them."""
    above = {one for place in places for one in (place, *place.parents)}
    facts: dict[str, object] = {str(one): (one.stat().st_mode, one.stat().st_uid, one.stat().st_gid) for one in above}
    return facts | {name: Path(name).read_bytes() for name in ACCOUNTS if os.access(name, os.R_OK)}


def processes(word: str) -> list[str]:
    """Command lines that name `word`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in line:
            found.append(line)
    return found


@dataclass(frozen=True)
class Told:
    """One run to its end."""

    code: int
    document: dict[str, Any]
    text: str
    kept: Path


@pytest.fixture(scope="module")
def told(temporary: Path, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The demo with ``--json``: the story on stderr, the summary on stdout. Leaves no trace but what it keeps."""
    kept = tmp_path_factory.mktemp("demo") / "kept"
    package = Path(sys.prefix).resolve()
    before = surroundings(temporary, kept.parent, package)
    environment = os.environ | {"TMPDIR": str(temporary)}
    done = subprocess.run(
        [*DEMO, "--keep", str(kept), "--json"],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
        check=False,
    )
    assert done.stdout, done.stderr
    assert surroundings(temporary, kept.parent, package) == before
    assert list(temporary.iterdir()) == []
    assert processes(str(temporary)) == []
    return Told(done.returncode, json.loads(done.stdout), done.stderr, kept)


def test_every_comparison_holds_and_the_time_of_each_act_is_told(told: Told) -> None:
    assert told.code == 0, told.text
    assert told.document["held"] is True
    assert all(check["held"] for check in told.document["checks"])
    seconds = [act["seconds"] for act in told.document["acts"]]
    assert all(seconds) and sum(seconds) == pytest.approx(told.document["seconds"], rel=0.1)
    tables = told.document["tables"]
    assert all(table["same"] and table["rows"] == table["restored_rows"] for table in tables)
    assert sum(table["rows"] for table in tables) >= 100_000
    assert [act["act"] for act in told.document["acts"]] == [
        "setting up", "a normal day", "the drill", "letting go", "region lost", "coming back", "AWS gone",
        "back",
    ]  # fmt: skip
    assert "Traceback" not in told.text


def test_the_story_shows_what_the_loop_did(told: Told) -> None:
    for seen in (
        "prod.us-east-1: pending -> usable",
        "prod.us-west-2: pending -> usable",
        "into s3-eu, gcs-eu, office",
        "gcs-eu: drill passed",
        "was not read completely",
        "marked as expiring in office",
        "marked as kept in office",
        "objects deleted from office",
        "somebody removed it",
        "LEVEL       PROMISED  ATTAINED  VERIFIED",
        "data is back in us-west-2",
        "the same command again makes nothing twice",
        "nothing listens where AWS was",
        "drorch restore shop orders --vault-url gs://",
        "every comparison held",
    ):
        assert seen in told.text, seen
    assert "\x1b[" not in told.text  # no colours where nobody sees them
    identity = (told.kept / "key.txt").read_text().splitlines()[-1]
    assert identity not in told.text


def test_the_kept_folder_holds_the_vault_its_keys_and_a_configuration_that_works(told: Told) -> None:
    names = {path.name for path in told.kept.iterdir()} - {"state"}
    assert names == {"vault", "key.txt", "minisign.key", "minisign.pub", "drorch.yaml", "policies"}
    for secret in ("key.txt", "minisign.key"):
        assert stat.S_IMODE((told.kept / secret).stat().st_mode) == 0o600
    command = [sys.executable, "-m", "drorch", "--config", str(told.kept / "drorch.yaml"), "points", "shop", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    points = {point["resource"]: point for point in json.loads(done.stdout)["points"]}
    assert points["orders"]["copies"][0]["vault"] == "office"
    assert points["orders"]["copies"][0]["state"] == "usable"
    assert {copy["vault"] for copy in points["data"]["copies"]} == {"prod.us-east-1", "prod.us-west-2"}
    assert all(len(copy["members"]) == 3 for copy in points["data"]["copies"])


def test_the_kept_dump_opens_with_stock_tools(told: Told) -> None:
    folders = sorted((told.kept / "vault/drorch/v1/data/shop/orders").iterdir())
    (folder, *_) = [folder for folder in folders if any(folder.iterdir())]

    def stock(*command: str) -> None:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr)

    stock("minisign", "-V", "-p", str(told.kept / "minisign.pub"), "-m", "SHA256SUMS")
    stock("sha256sum", "--check", "SHA256SUMS")
    opened = ["age", "-d", "-i", str(told.kept / "key.txt"), "data.pgcustom.zst.age"]
    with subprocess.Popen(opened, cwd=folder, stdout=subprocess.PIPE) as age:
        plain = subprocess.run(["zstd", "-d", "-c"], stdin=age.stdout, capture_output=True, timeout=60, check=True)
    assert age.returncode == 0
    assert plain.stdout.startswith(b"PGDMP")


def test_a_folder_that_is_not_empty_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    done = subprocess.run([*DEMO, "--keep", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_interrupted_demo_leaves_nothing_behind(temporary: Path) -> None:
    environment = os.environ | {"TMPDIR": str(temporary)}
    with subprocess.Popen([*DEMO], stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "a dump begins" in line:
                break
        began = time.monotonic()
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()
        assert demo.wait(60) == 130
    assert time.monotonic() - began < 30
    assert list(temporary.iterdir()) == []
    assert processes(str(temporary)) == []
