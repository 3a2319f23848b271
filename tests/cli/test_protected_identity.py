"""Identities under a passphrase: made, and read by every command that opens dumps."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from desks import ROWS, Desk, typed
from terminals import at_a_terminal

from drorch.crypto.age_protected import protect, read_identity_file

COUNT = "SELECT count(*) FROM orders"
PASSPHRASE = "correct hörse battery staple"
CHEAP = 4
"""A work factor for tests: 16 KiB instead of 256 MiB."""
NEW = [sys.executable, "-m", "drorch", "key", "new", "--passphrase", "--out"]


def passphrase_file(folder: Path, text: str = PASSPHRASE) -> Path:
    path = folder / "passphrase"
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def sealed(lived: Desk, tmp_path: Path) -> Path:
    """The identity of the desk, protected."""
    path = tmp_path / "key.age"
    path.write_text(protect(lived.identity + "\n", PASSPHRASE, CHEAP))
    path.chmod(0o600)
    return path


def glass(desk: Desk, identity: Path, into: str) -> tuple[str, ...]:
    vault = ("--vault-url", f"file://{desk.nas}", "--trust", desk.signing.public.text())
    return ("restore", "shop", "orders", *vault, "--identity", str(identity), "--into", desk.server.url(into), "--yes")


# --- key new -------------------------------------------------------------------------------------------------------


def test_new_key_asks_twice_shows_nothing_and_the_age_program_opens_what_it_protects(tmp_path: Path) -> None:
    out = tmp_path / "key.age"
    done = at_a_terminal([*NEW, str(out)], PASSPHRASE, PASSPHRASE)
    assert done.code == 0, done.shown
    assert PASSPHRASE not in done.shown
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    recipient = done.out.decode().strip()
    assert (tmp_path / "key.age.pub").read_text().strip() == recipient
    sent = subprocess.run(["age", "-r", recipient], input=b"a dump", capture_output=True, timeout=20, check=True)
    (tmp_path / "dump.age").write_bytes(sent.stdout)
    command = ["age", "-d", "-i", str(out), str(tmp_path / "dump.age")]
    assert at_a_terminal(command, PASSPHRASE).out == b"a dump"


@pytest.mark.parametrize(("lines", "words"), [(("one", "two"), "the two passphrases differ"), (("",), "is empty")])
def test_new_key_writes_nothing_for_a_passphrase_that_is_not_one(
    tmp_path: Path, lines: tuple[str, ...], words: str
) -> None:
    done = at_a_terminal([*NEW, str(tmp_path / "key.age")], *lines)
    assert (done.code, done.out) == (3, b"")
    assert words in done.shown
    assert list(tmp_path.iterdir()) == []


def test_new_key_takes_the_passphrase_from_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    secret, out = passphrase_file(tmp_path), tmp_path / "key.age"
    said = typed("key", "new", "--passphrase-file", str(secret), "--out", str(out))
    assert said.code == 0, said.err
    (identity,) = read_identity_file(out.read_bytes(), lambda: PASSPHRASE)
    assert identity not in out.read_text() + said.out + said.err
    secret.chmod(0o644)
    said = typed("key", "new", "--passphrase-file", str(secret), "--out", str(tmp_path / "other"))
    assert said.code == 3
    assert "readable by group or others" in said.err


@pytest.mark.parametrize("option", [("--passphrase",), ("--passphrase-file", "any")])
def test_signing_key_has_no_passphrase(tmp_path: Path, option: tuple[str, ...]) -> None:
    said = typed("key", "new", "--signing", *option, "--out", str(tmp_path / "signing.key"))
    assert (said.code, said.out) == (2, "")
    assert "a signing key has no passphrase" in said.err
    assert list(tmp_path.iterdir()) == []


# --- restore and drill ---------------------------------------------------------------------------------------------


def test_break_glass_asks_for_the_passphrase_at_the_terminal(lived: Desk, sealed: Path) -> None:
    command = [sys.executable, "-m", "drorch", *glass(lived, sealed, "typed")]
    done = at_a_terminal(command, PASSPHRASE)
    assert done.code == 0, done.shown
    assert f"Passphrase of the identity in file {sealed}: " in done.shown
    assert PASSPHRASE not in done.shown
    assert lived.server.value(COUNT, "typed") == ROWS


def test_break_glass_takes_the_passphrase_from_a_file(lived: Desk, sealed: Path, tmp_path: Path) -> None:
    said = typed(*glass(lived, sealed, "filed"), "--passphrase-file", str(passphrase_file(tmp_path)))
    assert said.code == 0, said.err
    assert lived.server.value(COUNT, "filed") == ROWS


def test_wrong_passphrase_is_refused_before_the_target_is_touched(lived: Desk, sealed: Path, tmp_path: Path) -> None:
    wrong = passphrase_file(tmp_path, "hunter2-hunter2")
    said = typed(*glass(lived, sealed, "never"), "--passphrase-file", str(wrong))
    assert (said.code, said.out) == (3, "")
    assert "the passphrase does not open this file" in said.err
    assert "hunter2" not in said.err


def test_without_a_terminal_and_a_file_the_restore_says_what_to_give(lived: Desk, sealed: Path) -> None:
    said = lived.run(*glass(lived, sealed, "never"), stdin=subprocess.DEVNULL, start_new_session=True)
    assert (said.code, said.out) == (3, "")
    assert "there is no terminal to ask for a passphrase on (hint: --passphrase-file FILE)" in said.err


def test_binary_identity_file_of_the_age_program_is_read(lived: Desk, tmp_path: Path) -> None:
    path = tmp_path / "key.age"
    done = at_a_terminal(["age", "-p", "-o", str(path), str(lived.folder / "key.txt")], PASSPHRASE, PASSPHRASE)
    assert done.code == 0, done.shown
    path.chmod(0o600)
    assert not path.read_bytes().startswith(b"-----")
    said = typed(*glass(lived, path, "binary"), "--passphrase-file", str(passphrase_file(tmp_path)))
    assert said.code == 0, said.err
    assert lived.server.value(COUNT, "binary") == ROWS


def configured(twin: Desk, sealed: Path, more: str = "") -> Path:
    """A copy of the desk's configuration whose identity is the protected one."""
    shutil.copy(sealed, twin.folder / "key.age")
    config = twin.folder / "protected.yaml"
    text = twin.config.read_text()
    assert text.count("{file: key.txt}") == 1
    config.write_text(text.replace("{file: key.txt}", f"{{file: key.age{more}}}"))
    return config


def test_drill_reads_the_passphrase_that_the_configuration_names(twin: Desk, sealed: Path) -> None:
    passphrase_file(twin.folder)
    config = configured(twin, sealed, ", passphrase: {file: passphrase}")
    said = typed("--config", str(config), "drill", "shop", "orders", environ=twin.environ)
    assert said.code == 0, said.err
    assert "shop/orders from nas: passed" in said.out


def test_drill_takes_the_passphrase_of_the_command_line(twin: Desk, sealed: Path, tmp_path: Path) -> None:
    config = configured(twin, sealed)
    secret = str(passphrase_file(tmp_path))
    command = ("--config", str(config), "drill", "shop", "orders", "--passphrase-file")
    said = typed(*command, secret, "--json", environ=twin.environ)
    assert said.code == 0, said.err
    assert said.json["drills"][0]["outcome"] == "passed"
    said = typed(*command, str(passphrase_file(tmp_path, "wrong")), environ=twin.environ)
    assert (said.code, said.out) == (3, "")
    assert "the passphrase does not open this file" in said.err


def test_passphrase_does_not_stand_in_the_environment(twin: Desk, sealed: Path) -> None:
    config = configured(twin, sealed, ", passphrase: {env: PASSPHRASE}")
    said = typed("--config", str(config), "status", environ=twin.environ)
    assert said.code == 3
    assert "a passphrase does not stand in the environment" in said.err
