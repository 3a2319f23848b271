"""The host is gone with its signing key: a new one, with a new key and the old public key trusted, goes on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from desks import ROWS, Desk, Said, typed

from drorch.crypto.minisign import SecretKey
from drorch.domain import layout


class NewHost:
    """Another host over a copy of the vault, with nothing else of the lost one but its policies and public key."""

    def __init__(self, lost: Desk, folder: Path, trusted: str) -> None:
        self.key = SecretKey.generate()
        self.vault = folder / "nas"
        self.config = folder / "drorch.yaml"
        self.environ = lost.environ
        shutil.copytree(lost.nas, self.vault, copy_function=shutil.copy2)
        for name in ("key.txt", "orders-db.password"):
            shutil.copy(lost.folder / name, folder / name)
        shutil.copytree(lost.policies, folder / "policies")
        (folder / "signing.key").write_text(self.key.text())
        (folder / "signing.key").chmod(0o600)
        (folder / "new.pub").write_text(self.key.public.file_text())
        text = lost.config.read_text().replace(str(lost.nas), str(self.vault))
        self.config.write_text(text.replace(f'"{lost.signing.public.text()}"', trusted))

    def drorch(self, *arguments: str) -> Said:
        return typed("--config", str(self.config), *arguments, environ=self.environ)


@pytest.fixture
def host(lived: Desk, tmp_path: Path) -> NewHost:
    return NewHost(lived, tmp_path, f'"{lived.signing.public.text()}"')


def test_points_of_the_lost_key_are_there_and_restore(lived: Desk, host: NewHost) -> None:
    said = host.drorch("points", "shop", "--json")
    assert said.code == 0, said.err
    assert said.json["points"] == lived.points()
    said = host.drorch("restore", "shop", "orders", "--into", lived.server.url("new_host"), "--yes")
    assert said.code == 0, said.err
    assert lived.server.value("SELECT count(*) FROM orders", "new_host") == ROWS


def test_vault_stays_this_sites_and_its_guide_is_signed_anew(lived: Desk, host: NewHost) -> None:
    said = host.drorch("vault", "init", "nas")
    assert (said.code, said.out) == (0, "nas: is marked as a vault of site acme already\n")
    guide = host.vault / layout.RESTORE_GUIDE
    command = ["minisign", "-V", "-m", guide, "-p", host.config.with_name("new.pub")]
    assert subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0


def test_without_the_old_public_key_the_vault_is_a_strangers(lived: Desk, tmp_path: Path) -> None:
    host = NewHost(lived, tmp_path, "")
    said = host.drorch("run", "--once")
    assert said.code != 0
    assert "signed by an unknown key" in said.err
    before = {path for path in host.vault.rglob("*") if path.is_file()}
    assert before == {host.vault / path.relative_to(lived.nas) for path in lived.nas.rglob("*") if path.is_file()}


def test_first_passes_change_nothing_while_the_lost_host_may_still_live(lived: Desk, host: NewHost) -> None:
    before = {path for path in host.vault.rglob("*") if path.is_file()}
    said = host.drorch("plan", "shop")
    assert said.code == 0, said.err
    assert "another drorch is at work for this site" in said.out
    host.drorch("run", "--once")
    assert {path for path in host.vault.rglob("*") if path.is_file()} == before
