"""`restore`: what a person types on the day itself, with a configuration and with nothing but a vault and a key."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from desks import PASSWORD, ROWS, Desk, Said, start, typed

from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.stores import azure, gcs, swift

COUNT = "SELECT count(*) FROM orders"


def target(desk: Desk, database: str) -> str:
    """Over the socket, where the superuser needs no password."""
    return desk.server.url(database)


def glass(desk: Desk, into: str, *more: str, vault: str = "") -> tuple[str, ...]:
    """A break-glass restore from the directory vault."""
    url, key, trust = vault or f"file://{desk.nas}", str(desk.folder / "key.txt"), desk.signing.public.text()
    return ("restore", "shop", "orders", "--vault-url", url, "--identity", key, "--trust", trust, "--into", into, *more)


def bare(*arguments: str, home: Path, **more: object) -> Said:
    """In a process that has nothing but PATH and an empty home."""
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(home)}
    with start([sys.executable, "-m", "drorch", *arguments], environ, cwd=home, **more) as process:
        out, err = process.communicate(timeout=60)
    return Said(process.returncode, out, err)


# --- with a configuration ------------------------------------------------------------------------------------------


def test_restore_into_an_absent_database_tells_what_and_as_of_when(lived: Desk) -> None:
    said = lived.drorch("restore", "shop", "--into", target(lived, "back1"), "--yes")
    assert said.code == 0
    assert lived.server.value(COUNT, "back1") == ROWS
    newest = lived.points()[0]
    assert "restored shop/orders from nas" in said.out
    assert re.search(rf"^data as of \S+ \S+ UTC \(.* ago\), point {newest['id']}, ", said.out, re.MULTILINE)
    assert re.findall(r"^ +done  (\w+) ", said.err, re.MULTILINE) == [
        "locate",
        "verify",
        "prepare",
        "load",
        "compare",
        "complete",
    ]


def test_json_tells_every_step_and_nothing_else(lived: Desk) -> None:
    said = lived.drorch("restore", "shop", "orders", "--into", target(lived, "back2"), "--json")
    assert said.code == 0
    assert said.err == ""
    document = said.json
    for step in document["steps"]:
        assert {"step", "resource", "detail", "estimate_s", "took_s", "outcome"} <= set(step)
        assert (step["outcome"], step["resource"]) == ("done", "orders")
    assert document["cut_at"] == lived.points()[0]["cut_at"]
    assert document["newer"] == []
    assert type(document["data_loss_s"]) is int


def test_plan_touches_nothing_and_estimates_from_drills(lived: Desk) -> None:
    drilled = lived.points()[1]
    command = ("restore", "shop", "--into", target(lived, "never"), "--plan", "--point", drilled["id"])
    said = lived.drorch(*command, "--json")
    assert said.code == 0
    document = said.json
    assert document["point"] == drilled["id"]
    assert [step["outcome"] for step in document["steps"]] == [None] * len(document["steps"])
    assert any(type(step["estimate_s"]) is int for step in document["steps"])
    assert [newer["point"] for newer in document["newer"]] == [lived.points()[0]["id"]]
    said = lived.drorch(*command)
    assert re.search(r"^load +about \d+ s  data\.pgcustom", said.out, re.MULTILINE)
    assert "newer: " in said.err
    assert "never" not in {str(name) for name in databases(lived)}


def test_plan_needs_neither_the_identity_nor_the_signing_key(lived: Desk) -> None:
    text = lived.config.read_text()
    assert text.count("{file: key.txt}") == text.count("{file: signing.key}") == 1
    config = lived.folder / "keyless.yaml"
    config.write_text(text.replace("{file: key.txt}", "{file: gone}").replace("{file: signing.key}", "{file: gone}"))
    command = ("--config", str(config), "restore", "shop", "--into", target(lived, "never"))
    said = typed(*command, "--plan", "--json", environ=lived.environ)
    assert said.code == 0, said.err
    assert said.json["point"] == lived.points()[0]["id"]
    said = typed(*command, "--yes", environ=lived.environ)
    assert said.code == 3
    assert "is not there" in said.err
    assert "never" not in {str(name) for name in databases(lived)}


def test_point_in_time_is_the_newest_not_after_it(lived: Desk) -> None:
    newest, oldest = lived.points()
    at = oldest["cut_at"].replace("Z", "+00:00")
    said = lived.drorch("restore", "shop", "--into", target(lived, "then"), "--at", at, "--plan", "--json")
    assert said.json["point"] in (oldest["id"], newest["id"] if newest["cut_at"] == oldest["cut_at"] else "")
    said = lived.drorch("restore", "shop", "--into", target(lived, "then"), "--at", "2001-01-01", "--plan")
    assert said.code == 3
    assert "as of 2001-01-01T00:00:00Z or before" in said.err


def test_target_that_is_not_empty_is_refused_and_left_alone(lived: Desk) -> None:
    said = lived.drorch("restore", "shop", "--into", target(lived, lived.database), "--yes")
    assert (said.code, said.out) == (3, "")
    assert "the target is not empty" in said.err
    assert lived.server.value(COUNT, lived.database) == ROWS


def test_password_for_the_target_comes_from_a_file(lived: Desk) -> None:
    lived.server.run("ALTER ROLE backup CREATEDB")
    port = lived.server.server.port
    secret = lived.secret("target.password", PASSWORD + "\n")
    into = f"postgresql://backup@127.0.0.1:{port}/back3"
    said = lived.drorch("restore", "shop", "--into", into, "--into-password-file", str(secret), "--yes")
    assert said.code == 0, said.err
    assert lived.server.value(COUNT, "back3") == ROWS
    wrong = lived.secret("wrong.password", "wrong\n")
    said = lived.drorch("restore", "shop", "--into", into + "x", "--into-password-file", str(wrong), "--yes")
    assert said.code in (3, 4)
    said = lived.drorch("restore", "shop", "--into", into + "y", "--yes", environ={"PGPASSWORD": PASSWORD})
    assert said.code == 0, said.err


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (("--into", "postgresql://u:geheim@h/d"), 2, "a password inside the target is refused"),
        (("--into", "postgresql://h/d", "--at", "yesterday"), 2, "not a time"),
        (("--into", "region:nowhere-1"), 2, "AWS has no region 'nowhere-1'"),
        (("--into", "region:eu-west-1", "--globals"), 2, "are for one dump"),
        (("--into", "region:eu-west-1", "--with", "zone"), 2, "not of the form"),
        (("--into", "region:eu-west-1", "--with", "other.zone=a"), 2, "other is not among orders"),
        (("--into", "region:eu-west-1", "--vault-url", "gs://b"), 2, "--vault-url needs --trust"),
        (("--into", "region:eu-west-1"), 3, "its points are dumps, not snapshots"),
        (("--into", "postgresql://h/d", "--with", "zone=a"), 2, "go with --into region:NAME"),
        (("--into", "mysql://u:geheim@h/d"), 2, "a password inside the target is refused"),
        (("--into", "mariadb://u:geheim@h/d"), 2, "a password inside the target is refused"),
        (("--into", "dir:relative"), 2, "the target is dir:/PATH"),
        (("--into", "dir://u:geheim@h/d"), 2, "the target is dir:/PATH"),
        (("--into", "nonsense"), 2, "no restore target"),
        (("--into", "postgresql://h/d", "--note", "v2", "--point", "x"), 2, "--note finds a point, and one is named"),
        (("--into", "postgresql://h/d", "--note", "v3"), 3, "has a note with 'v3' in it"),
        (("--into", "postgresql://h/d", "--allow-commands"), 2, "go with --into region:NAME"),
        (("two", "--into", "postgresql://h/d"), 2, "one target takes one resource"),
        (("--into", "postgresql://h/d", "--vault-url", "gs://b"), 2, "--vault-url needs --trust"),
        (("--into", "postgresql://h/d", "--vault-url", "gs://b", "--trust", "RW"), 2, "--vault-url needs --identity"),
        (("--into", "postgresql://h/d", "--point", "zzzz"), 3, "no point zzzz"),
        (("--into", "postgresql://h/d", "--from", "nosuch"), 3, "there is no vault nosuch"),
        (("--into", "postgresql://h/d", "--trust", "/nowhere.pub"), 2, "nor a readable .pub file"),
        ((), 2, "--into"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_read(
    lived: Desk, more: tuple[str, ...], code: int, words: str
) -> None:
    said = lived.drorch("restore", "shop", "orders", *more)
    assert (said.code, said.out) == (code, "")
    assert words in said.err
    assert "geheim" not in said.err


def test_the_point_before_a_deployment_is_found_by_its_note(lived: Desk) -> None:
    ordered = next(point for point in lived.points() if point["note"])
    said = lived.drorch("restore", "shop", "--note", "v2", "--into", target(lived, "back5"), "--plan", "--json")
    assert (said.code, said.json["point"], said.json["note"]) == (0, ordered["id"], "für v2")
    said = lived.drorch("restore", "shop", "--note", "für v2", "--into", target(lived, "back5"), "--yes", "--json")
    assert (said.code, said.json["point"]) == (0, ordered["id"])
    assert lived.server.value(COUNT, "back5") == ROWS


def test_database_server_that_is_down_ends_with_4_and_the_same_command_succeeds_later(lived: Desk) -> None:
    # Nothing listens there: a port that is free on the machine, behind a socket folder that is empty.
    said = lived.drorch("restore", "shop", "--into", f"postgresql:///back4?host={lived.folder}&user=postgres", "--yes")
    assert said.code == 4
    said = lived.drorch("restore", "shop", "--into", target(lived, "back4"), "--yes")
    assert said.code == 0


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 3), (b"\x04", 130)])
def test_person_at_a_terminal_is_shown_the_plan_and_asked(lived: Desk, answer: bytes, code: int) -> None:
    master, slave = os.openpty()
    command = [sys.executable, "-m", "drorch", "--config", str(lived.config)]
    command += ["restore", "shop", "--into", target(lived, "asked")]
    with subprocess.Popen(command, env=lived.environ, stdin=slave, stdout=subprocess.PIPE, stderr=slave) as process:
        os.write(master, answer)
        out, _ = process.communicate(timeout=30)
    os.close(slave)
    told = os.read(master, 65536).decode()
    os.close(master)
    assert process.returncode == code
    assert b"STEP" in out
    assert f"Restore into {target(lived, 'asked')}? [y/N]" in told
    assert ("nothing was touched" if code == 3 else "drorch: stopped") in told
    assert "asked" not in {str(name) for name in databases(lived)}


# --- break glass ---------------------------------------------------------------------------------------------------


def test_break_glass_needs_nothing_but_a_vault_and_a_key(lived: Desk, tmp_path: Path) -> None:
    said = bare(*glass(lived, target(lived, "glass1")), home=tmp_path)
    assert said.code == 0, said.err
    assert lived.server.value(COUNT, "glass1") == ROWS
    assert list(tmp_path.iterdir()) == [], "nothing is left in the home"


def test_break_glass_leaves_its_report_in_the_vault_and_where_it_was_told_to(lived: Desk, tmp_path: Path) -> None:
    files = [str(tmp_path / "report.json"), str(tmp_path / "report.txt")]
    more = ("--report", files[0], "--report", files[1])
    said = bare(*glass(lived, target(lived, "glass5"), *more), home=tmp_path)
    assert said.code == 0, said.err
    (path,) = re.findall(r"^report, not signed: (\S+) in file://", said.err, re.MULTILINE)
    (told,) = json.loads(Path(files[0]).read_text())["restores"]
    left = json.loads((lived.nas / path).read_text())
    assert left["point"] == told["point"] == lived.points()[0]["id"]
    assert set(told["steps"]) >= {"verify", "load", "compare"}
    assert "shop/orders: done" in Path(files[1]).read_text()
    refused = bare(*glass(lived, target(lived, "glass6"), "--report", str(tmp_path / "no" / "r")), home=tmp_path)
    assert (refused.code, "cannot be written" in refused.err) == (4, True)


def test_break_glass_takes_its_public_key_from_a_file(lived: Desk, tmp_path: Path) -> None:
    arguments = [str(lived.folder / "minisign.pub") if a.startswith("RW") else a for a in glass(lived, "x")]
    arguments[arguments.index("x")] = target(lived, "glass2")
    said = typed(*arguments, "--plan", "--json", environ={"PATH": "/usr/bin", "HOME": str(tmp_path)})
    assert said.code == 0, said.err


def test_identity_that_does_not_open_it_is_refused_before_the_database_is_asked(lived: Desk, tmp_path: Path) -> None:
    identity, _ = new_identity()
    other = lived.secret("other.txt", identity + "\n")
    arguments = [str(other) if a.endswith("key.txt") else a for a in glass(lived, target(lived, "glass3"))]
    said = typed(*arguments, environ={"PATH": "/usr/bin", "HOME": str(tmp_path)})
    assert said.code == 3
    assert "no identity given opens" in said.err
    assert lived.recipient in said.err
    assert "glass3" not in {str(name) for name in databases(lived)}


def test_records_of_a_key_that_is_not_trusted_do_not_count(lived: Desk, tmp_path: Path) -> None:
    stranger = SecretKey.generate().public.text()
    arguments = [stranger if a.startswith("RW") else a for a in glass(lived, target(lived, "glass4"))]
    said = typed(*arguments, environ={"PATH": "/usr/bin", "HOME": str(tmp_path)})
    assert said.code == 3
    assert "unsigned in " in said.err
    point = lived.points()[0]["id"]
    said = typed(*arguments, "--accept-unsigned", point, environ={"PATH": "/usr/bin", "HOME": str(tmp_path)})
    assert said.code == 0, said.err
    assert lived.server.value(COUNT, "glass4") == ROWS


def test_key_that_was_stolen_counts_only_for_what_the_store_saw_before(lived: Desk, tmp_path: Path) -> None:
    arguments = [f"{a}@before=2001-01-01" if a.startswith("RW") else a for a in glass(lived, target(lived, "glass5"))]
    said = typed(*arguments, environ={"PATH": "/usr/bin", "HOME": str(tmp_path)})
    assert said.code == 3
    assert "its key was no longer trusted when the store wrote it" in said.err


def test_damaged_data_end_with_6_and_the_undamaged_vault_serves_the_same_command(lived: Desk, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(lived.nas, broken)
    for path in broken.rglob("data.pgcustom.zst.age"):
        body = bytearray(path.read_bytes())
        body[len(body) // 2] ^= 1
        path.chmod(0o600)
        path.write_bytes(body)
    into, environ = target(lived, "glass6"), {"PATH": "/usr/bin", "HOME": str(tmp_path)}
    said = typed(*glass(lived, into, vault=f"file://{broken}"), environ=environ)
    assert said.code == 6
    assert "leaf" in said.err
    assert "glass6" not in {str(name) for name in databases(lived)}
    assert typed(*glass(lived, into), environ=environ).code == 0
    assert lived.server.value(COUNT, "glass6") == ROWS


def test_truncated_data_are_found_before_the_database_is_asked(lived: Desk, tmp_path: Path) -> None:
    short = tmp_path / "short"
    shutil.copytree(lived.nas, short)
    for path in short.rglob("data.pgcustom.zst.age"):
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-1])
    said = typed(*glass(lived, "postgresql://127.0.0.1:1/x", vault=f"file://{short}"), environ={"HOME": str(tmp_path)})
    assert said.code == 6


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("file:///nowhere/at/all", 4),
        ("gs://acme-dr", 4),
        ("s3://acme-dr?region=us-west-2&endpoint=http://127.0.0.1:1", 4),
        ("azure://acmedr/vault", 4),
        ("swift://acme-dr", 4),
        ("http://h/x", 2),
    ],
)
def test_vault_that_does_not_answer_ends_with_4(
    lived: Desk, tmp_path: Path, url: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcs, "open_store", partial(gcs.open_store, patience=0.1))
    monkeypatch.setattr(azure, "open_store", partial(azure.open_store, attempts=1))
    monkeypatch.setattr(swift, "open_store", partial(swift.open_store, patience=0.1))
    environ = {
        "PATH": "/usr/bin",
        "HOME": str(tmp_path),
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:1",
        "AZURE_STORAGE_CONNECTION_STRING": "AccountName=acmedr;AccountKey=eA==;BlobEndpoint=http://127.0.0.1:1/acmedr",
        "ST_AUTH": "http://127.0.0.1:1/auth/v1.0",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    said = typed(*glass(lived, target(lived, "glass7"), vault=url), environ=environ)
    assert said.code == code, said.err
    assert said.out == ""


def test_identity_that_others_can_read_is_refused_with_the_cure(lived: Desk, tmp_path: Path) -> None:
    lent = lived.secret("lent.txt", lived.identity + "\n", 0o644)
    arguments = [str(lent) if a.endswith("key.txt") else a for a in glass(lived, "postgresql://127.0.0.1:1/x")]
    said = typed(*arguments, environ={"HOME": str(tmp_path)})
    assert said.code == 3
    assert f"chmod 600 {lent}" in said.err


def databases(desk: Desk) -> set[object]:
    with desk.server.session() as session:
        return {row[0] for row in session.execute("SELECT datname::text FROM pg_database")}
