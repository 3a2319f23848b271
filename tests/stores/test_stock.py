"""What a store says of itself for people: its address, and the commands of stock tools that read it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import swift_server
from live_stores import swift_container, swift_store
from pydantic import BaseModel

from drorch.domain.guide import StockTool
from drorch.ports import StoreLimits
from drorch.stores import azure, directory, gcs, s3, swift
from drorch.wiring import adapters

ODD = "te'am/$(reboot) `x`"
FOLDER = "drorch/v1/data/shop/orders/P/"
S3 = {"bucket": "acme-dr", "region": "us-west-2", "account": "vault"}
OFF_AWS = {"bucket": "acme-dr", "region": "eu-1", "endpoint": "https://minio.example:9000", "provider": "onprem"}
AZURE = {"account_name": "acmedr", "container": "acme-dr", "region": "westeurope"}
SWIFT = {"container": "acme-dr", "provider": "rackspace", "region": "DFW"}
GCS = {"bucket": "acme-dr", "region": "europe-west1"}
OPTIONS = {
    "s3": s3.Options(**S3, prefix="team/dr"),
    "s3 off AWS": s3.Options.model_validate(OFF_AWS),
    "gcs": gcs.Options(**GCS),
    "gcs with a prefix": gcs.Options(**GCS, prefix="team/dr"),
    "azure": azure.Options(**AZURE, prefix="team/dr"),
    "swift": swift.Options(**SWIFT, prefix="team/dr"),
    "directory": directory.Options(path="/mnt/d r/%41", provider="onprem", region="office"),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_address_leads_back_to_the_same_place(options: BaseModel) -> None:
    kind, found = adapters.store_from_url(adapters.url_of(options))
    assert type(found) is type(options)
    assert kind in ("s3", "gcs", "azure", "swift", "directory")
    told = {"account", "provider", "lock", *(("region",) if kind in ("gcs", "azure", "directory") else ())}
    assert found.model_dump(exclude=told) == options.model_dump(exclude=told)


def test_every_store_of_a_configuration_has_an_address_and_a_tool() -> None:
    shown = {type(options) for options in OPTIONS.values()}
    assert shown == set(adapters.store_options().values())
    for options in OPTIONS.values():
        assert adapters.guide_words({"v": options}).tools["v"]


def words(options: BaseModel, program: str, *, fetch: bool = True) -> list[list[str]]:
    """The arguments that a shell hands over to each call of the program; `ls` and `mv` and `curl` are not run."""
    (tool,) = [t for t in adapters.guide_words({"v": options}).tools["v"] if t.program == program]
    asked = tool.fetch_of('"$DATA"', "data") if fetch else tool.list_of('"$DATA"')
    stub = '() { printf \'%s\\0\' "$@" END >> "$OUT"; }'
    script = f"{program}{stub}; mv{stub}; ls{stub}; OUT=/dev/stdout; DATA={FOLDER}; {asked}"
    command = ["/bin/bash", "-f", "-c", script]
    done = subprocess.run(command, env={"PATH": ""}, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return [call.split("\0")[:-1] for call in done.stdout.split("END\0") if call]


@pytest.mark.parametrize("prefix", ["", "team/dr", ODD])
def test_a_shell_hands_the_whole_place_over_and_runs_nothing_of_it(prefix: str) -> None:
    below = f"{prefix}/{FOLDER}" if prefix else FOLDER
    place = s3.Options(**S3, prefix=prefix)
    where = f"s3://acme-dr/{below}"
    assert words(place, "aws") == [["s3", "cp", "--recursive", where, "data/", "--region", "us-west-2"]]
    assert words(place, "aws", fetch=False) == [["s3", "ls", where, "--region", "us-west-2"]]
    off = s3.Options.model_validate({**OFF_AWS, "prefix": prefix})
    assert words(off, "aws")[0][-2:] == ["--endpoint-url", "https://minio.example:9000"]
    google = gcs.Options(**GCS, prefix=prefix)
    assert words(google, "gcloud") == [["storage", "cp", "--recursive", f"gs://acme-dr/{below}*", "data/"]]
    assert words(google, "gsutil") == [["-m", "cp", "-r", f"gs://acme-dr/{below}*", "data/"]]
    blobs = azure.Options(**AZURE, prefix=prefix)
    assert words(blobs, "azcopy")[0][1] == f"https://acmedr.blob.core.windows.net/acme-dr/{below}*"
    batch, moved = words(blobs, "az")
    assert (batch[-1], moved[0], moved[-1]) == (f"{below}*", f"data/{below}*", "data/")
    objects = swift.Options(**SWIFT, prefix=prefix)
    assert words(objects, "swift")[0][-5:] == ["--prefix", below, "--remove-prefix", "--output-dir", "data"]
    folder = directory.Options(path=f"/mnt/{prefix}", provider="onprem", region="office")
    assert words(folder, "cp") == [["-R", f"/mnt/{below}." if prefix else f"/mnt/{FOLDER}.", "data/"]]


# --- Swift's own clients, on a real Swift ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    """A container with two records, one a folder deeper, and an object of two segments."""
    with swift_container() as name:
        store = swift_store(name)
        store.limits = StoreLimits(part_bytes=64 * 1024)
        store.put(f"{FOLDER}manifest.json", b"{}")
        store.put(f"{FOLDER}rewraps/a.json", b"[]")
        upload = store.upload(f"{FOLDER}large")
        for part in (b"a" * 64 * 1024, b"b" * 1024):
            upload.write(part)
        upload.commit()
        store.put("drorch/v1/data/shop/orders/P2/other", b"not this one")
        yield name


@pytest.mark.parametrize("program", ["swift", "curl"])
def test_stock_tools_bring_a_folder_of_a_real_swift_and_nothing_else(
    container: str, program: str, tmp_path: Path
) -> None:
    tools: dict[str, StockTool] = {
        tool.program: tool for tool in swift.Options(**{**SWIFT, "container": container}, prefix="team/dr").stock_tools
    }
    environ = swift_server.running().environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    (tmp_path / "data").mkdir()
    sign_in = "" if program == "swift" else 'eval "$(swift auth)"; STORAGE_URL=$OS_STORAGE_URL TOKEN=$OS_AUTH_TOKEN\n'
    script = f"{sign_in}{tools[program].fetch_of(FOLDER, 'data')}\n{tools[program].list_of(FOLDER)}"
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {
        path.relative_to(tmp_path / "data").as_posix(): path.read_bytes()
        for path in (tmp_path / "data").rglob("*")
        if path.is_file()
    }
    large = b"a" * 64 * 1024 + b"b" * 1024
    assert found == {"manifest.json": b"{}", "rewraps/a.json": b"[]", "large": large}
    assert f"team/dr/{FOLDER}manifest.json" in done.stdout.splitlines()
