"""Files end to end: the daemon's worker dumps and drills them, a person gets them back with drorch and without."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from desks import Said, start, typed
from guided import Shell
from trees import fill, odd, picture

from drorch.app.dump import DumpOrder
from drorch.app.jobs import DumpJob, HostSpec, VaultSpec
from drorch.app.runner import WORKER, LocalRunner
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.errors import Refused

POLICY = """\
version: 1
application: shop
owner: shop@example.com
home: {{provider: onprem, region: office}}
objectives: {{zone: {{rpo: 2d}}}}
exempt: {{}}
resources:
  - name: uploads
    kind: files
    paths: [{root}]
    exclude: ["*.tmp", "/**/thumbnails"]
    schedule: {{every: 1d}}
    vaults: [nas]
    keep: {{last: 3}}
    drill: {{every: 7d}}
"""


class Office:
    """A host with a directory vault, and a filled folder that the application may read."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.nas, self.root = folder, folder / "nas", folder / "srv" / "shop"
        self.config = folder / "drorch.yaml"
        fill(self.root / "uploads")
        odd(self.root / "uploads")
        (self.root / "uploads" / "thumbnails").mkdir()
        (self.root / "uploads" / "thumbnails" / "a.png").touch()
        (self.root / "uploads" / "half.tmp").touch()
        self.nas.mkdir()
        self.identity, recipient = new_identity()
        self.signing = SecretKey.generate()
        for name, text in (("key.txt", self.identity + "\n"), ("signing.key", self.signing.text())):
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        (folder / "policies").mkdir()
        (folder / "policies" / "shop.yaml").write_text(POLICY.format(root=self.root / "uploads"))
        self.config.write_text(
            f"version: 1\nsite: acme\npolicies: policies/\nstate: state\n"
            f"vaults:\n  nas: {{type: directory, path: {self.nas}, provider: onprem, region: elsewhere}}\n"
            f"encryption: {{recipients: [{recipient}], identities: [{{file: key.txt}}]}}\n"
            f"signing: {{key: {{file: signing.key}}}}\n"
            f"paths: {{shop: [{self.root}]}}\n"
        )

    def drorch(self, *arguments: str) -> Said:
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        return typed("--config", str(self.config), *arguments, environ=environ)

    def expected(self) -> dict[str, tuple[object, ...]]:
        left_out = {"fifo", "socket", "half.tmp", "thumbnails", "thumbnails/a.png"}
        return {name: seen for name, seen in picture(self.root / "uploads").items() if name not in left_out}

    def restored(self, back: Path) -> dict[str, tuple[object, ...]]:
        return picture(back / str(self.root / "uploads")[1:])

    def manifest(self) -> Path:
        (found,) = self.nas.rglob("manifest.json")
        return found


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    office = Office(tmp_path_factory.mktemp("office"))
    assert office.drorch("policy", "check").code == 0
    assert office.drorch("vault", "init", "nas").code == 0
    done = office.drorch("run", "--once")
    assert done.code == 0, done.err
    assert "into nas, 2 files skipped" in done.err
    return office


def test_the_manifest_counts_what_was_dumped_and_names_nothing(office: Office) -> None:
    text = office.manifest().read_text()
    body = json.loads(text)
    assert (body["kind"], body["engine"]) == ("files", "files")
    counted = body["counted"]
    assert (counted["skipped"], counted["vanished"], counted["changed"]) == (2, 0, 0)
    assert body["totals"]["rows"] == counted["files"] == sum(seen[4] is not None for seen in office.expected().values())
    assert "plain.txt" not in text
    assert str(office.root) not in text
    names = [artefact["name"] for artefact in body["artefacts"]]
    assert names == ["files.tar.zst.age", "inventory.json.zst.age"]


def test_the_drill_unpacked_and_counted_and_left_nothing(office: Office) -> None:
    (proof,) = [json.loads(path.read_text()) for path in office.nas.rglob("proofs/*.json")]
    assert (proof["outcome"], proof["counts"]) == ("passed", {"compared": 1, "differing": 0})
    assert "python" in proof["tools"]
    assert list((office.folder / "state" / "drills").iterdir()) == []
    said = office.drorch("drill", "shop", "uploads", "--json")
    assert said.code == 0, said.err


def test_the_tree_comes_back_with_a_configuration(office: Office, tmp_path: Path) -> None:
    said = office.drorch("restore", "shop", "uploads", "--into", f"dir:{tmp_path}/back", "--yes")
    assert said.code == 0, said.err
    assert office.restored(tmp_path / "back") == office.expected()
    assert "2 files were not stored (sockets, devices, fifos)" in said.err
    assert "counts of 1 paths" in said.err
    again = office.drorch("restore", "shop", "--into", f"dir:{tmp_path}/back", "--yes")
    assert again.code == 3
    assert "the target is not empty" in again.err


def test_the_tree_comes_back_with_nothing_but_a_vault_and_a_key(office: Office, tmp_path: Path) -> None:
    back = tmp_path / "home"
    back.mkdir()
    command = [sys.executable, "-m", "drorch", "restore", "shop", "uploads", "--vault-url", f"file://{office.nas}"]
    command += ["--identity", str(office.folder / "key.txt"), "--trust", office.signing.public.text()]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(back), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    with start([*command, "--into", f"dir:{back}/back"], environ, cwd=back) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "restored shop/uploads" in out
    assert office.restored(back / "back") == office.expected()
    assert [path.name for path in back.iterdir()] == ["back"]


def test_the_commands_of_the_guide_that_the_run_left_bring_the_tree_back(office: Office, tmp_path: Path) -> None:
    guide = (office.nas / layout.RESTORE_GUIDE).read_text()
    names = ("fetch-cp", "verify", "opened", "files")
    Shell(tmp_path, ("cp", "tar")).run(guide, names, office.identity, office.signing.public.text())
    assert office.restored(tmp_path / "work" / "restored") == office.expected()


def test_a_dump_of_files_is_not_loaded_into_a_database_nor_another_s_into_a_folder(office: Office) -> None:
    said = office.drorch("restore", "shop", "uploads", "--into", "postgresql://localhost/x", "--yes")
    assert said.code == 3
    assert "is a files dump" in said.err


@pytest.mark.parametrize("granted", [(), ("/srv/other",), ("ROOT/uploads/guarded",)])
def test_the_worker_reads_nothing_that_was_not_granted_whatever_it_was_told_to_dump(
    office: Office, tmp_path: Path, granted: tuple[str, ...]
) -> None:
    _, recipient = new_identity()
    job = DumpJob(
        order=DumpOrder("acme", "shop", "uploads", "files", "p1", "2026-11-20T12:00Z", (recipient,)),
        vaults=(VaultSpec("nas", "directory", {"path": str(tmp_path), "provider": "onprem", "region": "office"}),),
        options={"paths": [str(office.root / "uploads")]},
        secrets={},
        signing_key=office.signing.text(),
        host=HostSpec(paths=[path.replace("ROOT", str(office.root)) for path in granted]),
    )
    outcome = LocalRunner(command=WORKER, environ={"PATH": "/usr/bin:/bin"}).start(job).wait()
    assert outcome is not None
    assert isinstance(outcome.error, Refused)
    assert "not granted" in str(outcome.error)
    assert list(tmp_path.rglob("*.age*")) == []


def test_a_grant_that_was_taken_back_stops_the_next_dump(office: Office) -> None:
    text = office.config.read_text()
    office.config.write_text(text.replace(f"paths: {{shop: [{office.root}]}}", "paths: {}"))
    try:
        said = office.drorch("policy", "check")
        assert said.code == 3
        assert "is not granted to shop" in said.err
        said = office.drorch("backup", "shop", "uploads")
        assert said.code == 3
        assert "its policy is invalid" in said.err
    finally:
        office.config.write_text(text)
