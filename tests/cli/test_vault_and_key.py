"""`vault init`, `vault check` and `key new`."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from desks import Desk, typed
from live_stores import gcs_bucket

from drorch.app.store_contract import CLAUSES
from drorch.crypto import age, minisign
from drorch.domain import layout


def test_init_marks_a_vault_once_and_leaves_a_signed_guide(desk: Desk) -> None:
    said = desk.drorch("vault", "init", "nas")
    assert (said.code, said.out) == (0, "nas: marked as a vault of site acme\n")
    marker, guide = desk.nas / layout.VAULT_MARKER, desk.nas / layout.RESTORE_GUIDE
    before = marker.read_bytes(), guide.read_bytes()
    said = desk.drorch("vault", "init", "nas")
    assert (said.code, said.out) == (0, "nas: is marked as a vault of site acme already\n")
    assert (marker.read_bytes(), guide.read_bytes()) == before
    for path in (marker, guide):
        command = ["minisign", "-V", "-m", path, "-p", desk.folder / "minisign.pub"]
        assert subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    assert desk.recipient in guide.read_text()
    assert desk.identity not in guide.read_text()


def test_init_of_another_sites_vault_is_refused(desk: Desk) -> None:
    assert desk.drorch("vault", "init", "nas").code == 0
    desk.write_config(site="site: other")
    said = desk.drorch("vault", "init", "nas")
    assert said.code == 3
    assert "this vault belongs to site acme" in said.err
    checked = desk.drorch("vault", "check", "nas")
    assert checked.code == 3
    assert "belongs to site acme" in checked.out


def test_init_of_a_vault_with_a_strangers_marker_is_refused(desk: Desk) -> None:
    assert desk.drorch("vault", "init", "nas").code == 0
    stranger = minisign.SecretKey.generate()
    desk.secret("signing.key", stranger.text())
    desk.write_config(signing=f'signing: {{key: {{file: signing.key}}, trusted: ["{stranger.public.text()}"]}}')
    said = desk.drorch("vault", "init", "nas")
    assert said.code in (3, 6)
    assert layout.VAULT_MARKER in said.err


def test_check_names_what_a_vault_lacks_and_leaves_nothing_behind(desk: Desk) -> None:
    said = desk.drorch("vault", "check", "nas", "--json")
    assert said.code == 3
    document = said.json
    assert (document["vault"], document["ok"]) == ("nas", False)
    assert [c["clause"] for c in document["clauses"] if not c["ok"]] == ["marker"]
    assert {"clause", "promise", "ok", "detail"} == set(document["clauses"][0])
    assert desk.drorch("vault", "init", "nas").code == 0
    before = sorted(desk.nas.rglob("*"))
    said = desk.drorch("vault", "check", "nas")
    assert said.code == 0
    assert f"{len(CLAUSES) + 2} of {len(CLAUSES) + 2} clauses hold" in said.out
    assert "BROKEN" not in said.out
    assert [path for path in sorted(desk.nas.rglob("*")) if path.is_file()] == [p for p in before if p.is_file()]


def test_vault_that_is_not_there(desk: Desk) -> None:
    for command in ("init", "check"):
        said = desk.drorch("vault", command, "nosuch")
        assert (said.code, said.out) == (3, "")
        assert "configured: nas" in said.err
    shutil.rmtree(desk.nas)
    for command in ("init", "check"):
        said = desk.drorch("vault", command, "nas")
        assert (said.code, said.out) == (4, "")
    assert not desk.nas.exists(), "a mount that is missing is not made up"


LOCKED = "vaults:\n  google: {type: gcs, bucket: acme-dr, region: europe-west1, lock: {for: 35d}}"


def test_vault_that_claims_a_lock_it_does_not_get_is_refused(desk: Desk) -> None:
    desk.write_config(vaults=LOCKED)
    with gcs_bucket() as google:
        desk.environ["STORAGE_EMULATOR_HOST"] = google.url
        said = desk.drorch("vault", "init", "google")
        assert (said.code, said.out) == (3, "")
        assert "does not lock as its `lock:` says" in said.err
        assert "object retention" in said.err
        said = desk.drorch("vault", "check", "google", "--json")
        assert said.code == 3
        assert [c["clause"] for c in said.json["clauses"] if not c["ok"]] == ["marker", "lock", "lock-parts"]


def test_vault_with_a_lock_is_marked_and_checked(desk: Desk) -> None:
    desk.write_config(vaults=LOCKED)
    with gcs_bucket(locks=True) as google:
        desk.environ["STORAGE_EMULATOR_HOST"] = google.url
        assert desk.drorch("vault", "init", "google").code == 0
        said = desk.drorch("vault", "check", "google")
        assert said.code == 0, said.out
        assert "locked" in said.out
        assert "a later check removes" in said.out


def test_host_without_a_signing_key_is_told_how_to_make_one(desk: Desk) -> None:
    desk.write_config(signing="")
    said = desk.drorch("vault", "init", "nas")
    assert said.code == 3
    assert "drorch key new --signing" in said.err


# --- keys ----------------------------------------------------------------------------------------------------------


def test_new_identity_opens_what_its_recipient_was_sent(tmp_path: Path) -> None:
    out = tmp_path / "key.txt"
    said = typed("key", "new", "--out", str(out))
    assert said.code == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    public = said.out.strip()
    assert public.startswith("age1")
    assert (tmp_path / "key.txt.pub").read_text().strip() == public
    (identity,) = age.parse_identity_file(out.read_text())
    told = subprocess.run(["age-keygen", "-y", out], capture_output=True, text=True, timeout=20, check=True)
    assert told.stdout.strip() == public
    assert identity not in said.out + said.err


def test_new_signing_key_signs_what_minisign_verifies(tmp_path: Path) -> None:
    out = tmp_path / "signing.key"
    said = typed("key", "new", "--signing", "--out", str(out))
    assert said.code == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert said.out.startswith("RW")
    key = minisign.SecretKey.parse(out.read_text())
    assert key.public.text() == said.out.strip()
    text = tmp_path / "text"
    text.write_bytes(b"a text")
    (tmp_path / "text.minisig").write_bytes(key.sign(b"a text", "a comment"))
    command = ["minisign", "-V", "-m", text, "-p", f"{out}.pub"]
    assert subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0


@pytest.mark.parametrize("taken", ["key.txt", "key.txt.pub"])
def test_key_is_never_overwritten(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("precious")
    said = typed("key", "new", "--out", str(tmp_path / "key.txt"))
    assert (said.code, said.out) == (3, "")
    assert "never overwritten" in said.err
    assert [path.name for path in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken).read_text() == "precious"


def test_key_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    said = typed("key", "new", "--out", str(tmp_path / "no" / "key.txt"))
    assert (said.code, said.out) == (3, "")
    assert "cannot write" in said.err
