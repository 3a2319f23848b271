"""`drorch kit`: all that a person needs on the day, nothing secret, verifiable, installable offline, replaceable."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from desks import PASSWORD, ROWS, Desk, Said

from drorch.app.kit import STAGING
from drorch.app.kit_wheels import needed, own_wheel
from drorch.crypto.key_token import fingerprint
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout


@pytest.fixture(scope="module")
def made(lived: Desk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kit of the lived installation without the downloads."""
    folder = tmp_path_factory.mktemp("stick") / "drorch"
    said = kit(lived, folder)
    assert said.code == 0, said.err
    assert said.json["vaults"] == [
        {"vault": "nas", "url": f"file://{lived.nas}", "guide": True, "why": None},
    ]
    assert (said.json["wheels"], said.json["dumps"], said.json["kept"]) == (1, 1, [])
    return folder


def kit(desk: Desk, folder: Path, *more: str) -> Said:
    return desk.drorch("kit", "--out", str(folder), "--no-wheels", "--json", *more)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ran(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def blocks(page: str) -> list[str]:
    return re.findall(r"^```bash\n(.*?)\n```$", page, re.MULTILINE | re.DOTALL)


# --- what is in it ---------------------------------------------------------------------------------------------------


def test_it_holds_the_page_the_guides_the_keys_the_configuration_and_drorch(lived: Desk, made: Path) -> None:
    found = files(made)
    wheel = next(name for name in found if name.endswith(".whl"))
    assert set(found) == {
        *("KIT.md", "kit.html", "COMMANDS.md", "trusted.pub", "recipients.txt", "requirements.txt", wheel),
        *("vaults/nas/RESTORE.md", "vaults/nas/RESTORE.md.minisig"),
        *("config/drorch.yaml", "config/policies/shop.yaml", "SHA256SUMS", "SHA256SUMS.minisig"),
    }
    assert found["vaults/nas/RESTORE.md"] == (lived.nas / layout.RESTORE_GUIDE).read_bytes()
    assert b"| shop | orders | postgres |" in found["vaults/nas/RESTORE.md"]
    assert found["config/drorch.yaml"] == lived.config.read_bytes()
    assert found["recipients.txt"].decode().split() == [lived.recipient, fingerprint(lived.recipient)]


def test_it_is_summed_up_and_signed_for_stock_tools(made: Path) -> None:
    check, *_ = blocks((made / "KIT.md").read_text())
    for line in check.splitlines():
        assert ran(["bash", "-e", "-c", line], made).returncode == 0, line
    for key in ("trusted.pub", "vaults/nas/RESTORE.md"):
        assert key in (made / "SHA256SUMS").read_text()
    assert ran(["minisign", "-V", "-m", "vaults/nas/RESTORE.md", "-p", "trusted.pub"], made).returncode == 0


def test_no_secret_of_the_installation_is_in_it(lived: Desk, made: Path) -> None:
    secrets = [lived.identity, lived.signing.text().splitlines()[1], PASSWORD]
    bodies = files(made)
    for name in [name for name in bodies if name.endswith(".whl")]:
        with zipfile.ZipFile(made / name) as wheel:
            bodies |= {f"{name}/{inner}": wheel.read(inner) for inner in wheel.namelist()}
    assert len(bodies) > 100
    for name, body in bodies.items():
        for secret in secrets:
            assert secret.encode() not in body, name


def test_a_retired_key_stands_in_it_with_its_end(twin: Desk, tmp_path: Path) -> None:
    old = SecretKey.generate().public
    keys = f'"{twin.signing.public.text()}", {{key: "{old.text()}", until: 2026-11-01T00:00Z}}'
    twin.config.write_text(twin.config.read_text().replace(f'"{twin.signing.public.text()}"', keys))
    assert kit(twin, tmp_path / "kit").code == 0
    page = (tmp_path / "kit" / "KIT.md").read_text()
    assert f"--trust {twin.signing.public.text()} --trust {old.text()}@before=2026-11-01T00:00:00Z" in page
    public = (tmp_path / "kit" / "trusted.pub").read_text().splitlines()
    assert public[1::2] == [twin.signing.public.text(), old.text()]
    assert public[2].endswith(f"{old.name}, counts until 2026-11-01T00:00:00Z")


# --- whose folder it is ----------------------------------------------------------------------------------------------


def test_made_again_it_replaces_what_it_made_and_nothing_else(twin: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "kit"
    assert kit(twin, folder).code == 0
    (folder / "letter.txt").write_text("to whom it may concern")
    shutil.copy(twin.policies / "shop.yaml", tmp_path)
    text = (twin.policies / "shop.yaml").read_text()
    (twin.policies / "shop.yaml").unlink()
    (twin.policies / "store.yaml").write_text(text)
    said = kit(twin, folder)
    assert said.code == 0, said.err
    assert said.json["kept"] == ["letter.txt"]
    found = files(folder)
    assert "config/policies/store.yaml" in found
    assert "config/policies/shop.yaml" not in found
    assert found["letter.txt"] == b"to whom it may concern"
    assert ran(["sha256sum", "-c", "--quiet", "SHA256SUMS"], folder).returncode == 0


def test_the_same_installation_gives_the_same_kit_but_for_its_date(twin: Desk, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert kit(twin, tmp_path / name).code == 0
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    dated = {"KIT.md", "kit.html", "SHA256SUMS", "SHA256SUMS.minisig"}
    assert {name: body for name, body in one.items() if name not in dated} == {
        name: body for name, body in two.items() if name not in dated
    }


def test_a_folder_with_anything_else_is_refused_and_left_as_it_is(twin: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    (folder / "SHA256SUMS").write_text("0  thesis.txt\n")
    before = files(folder)
    said = kit(twin, folder)
    assert said.code == 3
    assert "not empty, and no kit of this site" in said.err
    assert files(folder) == before
    assert [path.name for path in folder.iterdir() if path.is_dir()] == []


def test_the_kit_of_another_site_is_refused(twin: Desk, tmp_path: Path) -> None:
    assert kit(twin, tmp_path / "kit").code == 0
    before = files(tmp_path / "kit")
    twin.config.write_text(twin.config.read_text().replace("site: acme", "site: other"))
    assert kit(twin, tmp_path / "kit").code == 3
    assert files(tmp_path / "kit") == before


def test_one_that_was_interrupted_is_finished_by_the_next(twin: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "kit"
    assert kit(twin, folder).code == 0
    (folder / STAGING).mkdir()
    (folder / "SHA256SUMS").rename(folder / STAGING / "SHA256SUMS")
    (folder / "SHA256SUMS.minisig").unlink()
    said = kit(twin, folder)
    assert said.code == 0, said.err
    assert not (folder / STAGING).exists()
    assert ran(["sha256sum", "-c", "--quiet", "SHA256SUMS"], folder).returncode == 0


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_secret_in_a_comment_of_what_is_copied_stops_it(twin: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "kit"
    assert kit(twin, folder).code == 0
    before = files(folder)
    with (twin.policies / "shop.yaml").open("a") as policy:
        policy.write(f"# the password was {PASSWORD}\n")
    said = kit(twin, folder)
    assert said.code == 3
    assert "config/policies/shop.yaml" in said.err
    assert PASSWORD not in said.err
    assert files(folder) == before


def test_a_vault_that_cannot_be_read_is_told_and_the_rest_is_made(twin: Desk, tmp_path: Path) -> None:
    gone = f"  gone: {{type: directory, path: {tmp_path}/gone, provider: onprem, region: elsewhere}}\n"
    twin.config.write_text(twin.config.read_text().replace("vaults:\n", f"vaults:\n{gone}"))
    said = kit(twin, tmp_path / "kit")
    assert said.code == 4
    assert [(v["vault"], v["guide"]) for v in said.json["vaults"]] == [("gone", False), ("nas", True)]
    assert "gone: its RESTORE.md is not in the kit" in said.err
    assert f"file://{tmp_path}/gone" in (tmp_path / "kit" / "KIT.md").read_text()


def test_an_invalid_policy_is_told_and_its_last_valid_text_is_taken(twin: Desk, tmp_path: Path) -> None:
    assert twin.drorch("plan").code == 0
    (twin.policies / "new.yaml").write_text("version: 1\napplication: new\n")
    with (twin.policies / "shop.yaml").open("a") as policy:
        policy.write("nonsense: 1\n")
    said = kit(twin, tmp_path / "kit")
    assert said.code == 3
    assert said.json["invalid"] == ["new.yaml", "shop.yaml"]
    assert "restore shop orders" in (tmp_path / "kit" / "KIT.md").read_text()
    assert b"nonsense" not in (tmp_path / "kit/config/policies/shop.yaml").read_bytes()


def test_a_guide_that_was_tampered_with_is_not_taken_along(twin: Desk, tmp_path: Path) -> None:
    with (twin.nas / layout.RESTORE_GUIDE).open("a") as guide:
        guide.write("then send your key to me\n")
    said = kit(twin, tmp_path / "kit")
    assert said.code == 4
    assert not (tmp_path / "kit" / "vaults").exists()


def test_a_folder_that_cannot_be_written_is_named(twin: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = kit(twin, tmp_path / "file" / "kit")
    assert said.code == 4
    assert "the kit could not be written" in said.err
    assert "is the stick mounted" in said.err


def test_without_pip_it_says_how_to_do_without_the_wheels(twin: Desk, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "python").write_text("#!/bin/sh\necho 'No module named pip' >&2\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    said = twin.drorch("kit", "--out", str(tmp_path / "kit"))
    assert said.code == 3
    assert "there is no pip" in said.err
    assert "--no-wheels" in said.err
    assert files(tmp_path / "kit") == {}


# --- the wheels ------------------------------------------------------------------------------------------------------


def test_drorchs_own_wheel_is_the_same_each_time_and_holds_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    one, two = own_wheel(tmp_path), own_wheel(tmp_path / "again")
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as wheel:
        names = wheel.namelist()
        assert {"drorch/__main__.py", "drorch/py.typed", "drorch/cli/kit.py"} <= set(names)
        record = next(name for name in names if name.endswith("/RECORD"))
        listed = [line.split(",")[0] for line in wheel.read(record).decode().splitlines()]
    assert sorted(listed) == sorted(names)
    assert not [name for name in names if "__pycache__" in name]


@pytest.mark.parametrize(
    ("extras", "some", "none"),
    [
        ((), {"boto3", "psycopg-binary", "zstandard", "cffi"}, {"google-cloud-storage", "pytest", "moto", "drorch"}),
        (("gcs",), {"boto3", "google-cloud-storage", "google-auth"}, {"azure-storage-blob", "python-swiftclient"}),
        (("azure", "swift"), {"azure-identity", "msal", "keystoneauth1"}, {"google-cloud-storage"}),
    ],
)
def test_what_the_vaults_need_comes_along_and_no_more(extras, some, none) -> None:
    found = needed(extras)
    assert some <= set(found)
    assert not none & set(found)


def test_the_kit_alone_installs_drorch_offline_and_its_command_restores(lived: Desk, tmp_path: Path) -> None:
    stick, work = tmp_path / "stick", tmp_path / "work"
    said = lived.drorch("kit", "--out", str(stick))
    assert said.code == 0, said.err
    shutil.copytree(stick, work)
    shutil.copy(lived.folder / "key.txt", work)
    own = tmp_path / "bin"
    own.mkdir()
    for name in ("bash", "minisign", "sha256sum"):
        (own / name).symlink_to(str(shutil.which(name)))
    (own / "python3").symlink_to(os.path.realpath(sys.executable))
    check, install, restore = blocks((work / "KIT.md").read_text())
    into = lived.server.url("from_the_kit")
    restore, count = re.subn(r"--into \S+", f"--into '{into}'", restore)
    assert count == 1
    script = "\n".join((check, install, restore))
    print(script)  # noqa: T201
    environ = {"PATH": str(own), "HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_COMPILE": "1"}
    command = [str(own / "bash"), "-e", "-c", script]
    done = subprocess.run(command, cwd=work, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert lived.server.value("SELECT count(*) FROM orders", "from_the_kit") == ROWS
    where = [str(work / "venv/bin/python"), "-I", "-c", "import drorch; print(drorch.__file__)"]
    assert ran(where, tmp_path).stdout.startswith(str(work / "venv"))
