"""`vault verify`: what lies in a vault is compared with what was signed, told, signed, and repaired by the next run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from desks import Desk, Surroundings

from drorch.domain import layout


def with_two_vaults(desk: Desk) -> Desk:
    """It has a point in two folders."""
    (desk.folder / "nas2").mkdir()
    desk.vaults = ["nas", "nas2"]
    vaults = [
        f"  {name}: {{type: directory, path: {desk.folder / name}, provider: {name}, region: office}}"
        for name in desk.vaults
    ]
    desk.write_config(vaults="\n".join(["vaults:", *vaults]))
    desk.write_policy(drill="")
    done = desk.ready()
    assert done.code == 0, done.err
    return desk


@pytest.fixture
def two(desk: Desk) -> Desk:
    return with_two_vaults(desk)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, around: Surroundings) -> Desk:
    """Left as it is."""
    return with_two_vaults(Desk(tmp_path_factory.mktemp("good"), around))


def data(desk: Desk, vault: str = "nas") -> Path:
    (found,) = (desk.folder / vault / layout.DATA).rglob("data.pgcustom.zst.age")
    return found


def flip(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(body)


def proofs(desk: Desk, vault: str = "nas") -> list[dict[str, object]]:
    paths = sorted((desk.folder / vault / layout.RECORDS).rglob("proofs/*.json"))
    return [json.loads(path.read_text()) for path in paths]


def state(desk: Desk, vault: str = "nas") -> str:
    (point,) = desk.points()
    return str(next(copy["state"] for copy in point["copies"] if copy["vault"] == vault))


@pytest.mark.parametrize("words", [(), ("--full",), ("--sample", "100%"), ("shop",), ("shop", "orders")])
def test_a_good_vault_is_said_to_be_good_without_an_age_key(good: Desk, words: tuple[str, ...]) -> None:
    key = good.folder / "key.txt"
    key.rename(good.folder / "offline")
    try:
        done = good.drorch("vault", "verify", "nas", *words)
    finally:
        (good.folder / "offline").rename(key)
    assert done.code == 0, done.err
    assert done.out.startswith("nas: 1 point, ")
    assert done.out.endswith("nothing damaged\n")


def test_damage_is_told_signed_and_repaired_by_the_next_run(two: Desk) -> None:
    good = data(two).read_bytes()
    flip(data(two))
    done = two.drorch("vault", "verify", "nas", "--full")
    assert done.code == 6
    assert "data.pgcustom.zst.age: leaf 1 of 1" in done.out
    assert "signed as damaged" in done.out
    for vault in two.vaults:
        (proof,) = proofs(two, vault)
        assert (proof["outcome"], proof["vault"]) == ("damaged", "nas")
    assert state(two) == "failed"
    done = two.drorch("run", "--once")
    assert done.code == 0, done.err
    assert data(two).read_bytes() == good
    assert state(two) == "usable"
    assert two.drorch("vault", "verify", "nas", "--full").code == 0


def test_the_document_names_object_and_leaf(two: Desk) -> None:
    flip(data(two))
    done = two.drorch("vault", "verify", "nas", "--full", "--json")
    assert done.code == 6
    (point,) = done.json["points"]
    (damage,) = point["damage"]
    assert (done.json["ok"], done.json["selection"], done.json["vault"]) == (False, "full", "nas")
    assert (point["state"], point["application"], point["resource"]) == ("damaged", "shop", "orders")
    assert damage["path"].endswith("/data.pgcustom.zst.age")
    assert (damage["leaf"], damage["offset"]) == (1, 0)
    assert done.json["signed"] == [point["point"]]


def test_without_a_signing_key_it_only_tells(two: Desk) -> None:
    flip(data(two))
    (two.folder / "signing.key").unlink()
    done = two.drorch("vault", "verify", "nas", "--full")
    assert done.code == 6
    assert "told, not signed" in done.err
    assert proofs(two) == []


def test_what_is_missing_is_told(two: Desk) -> None:
    data(two).unlink()
    done = two.drorch("vault", "verify", "nas", "--json")
    assert done.code == 6
    assert done.json["points"][0]["state"] == "missing"
    assert two.drorch("vault", "verify", "nas2").code == 0, "another vault is another copy"


def test_a_manifest_that_nobody_signed_is_told_and_no_proof_about_it_is_signed(two: Desk) -> None:
    (manifest,) = (two.nas / layout.RECORDS).rglob("manifest.json")
    flip(manifest)
    done = two.drorch("vault", "verify", "nas", "--json")
    assert done.code == 6
    assert (done.json["points"][0]["state"], done.json["signed"]) == ("unsigned", [])
    assert proofs(two, "nas2") == []


def test_a_vault_that_is_not_mounted_is_unavailable(two: Desk) -> None:
    two.nas.rename(two.folder / "away")
    two.nas.mkdir()
    done = two.drorch("vault", "verify", "nas")
    assert done.code == 4
    assert "mounted" in done.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nowhere",), 3, "there is no vault"),
        (("nas", "billing"), 3, "no dump of billing"),
        (("nas", "shop", "ledger"), 3, "no dump of shop/ledger"),
        (("nas", "--sample", "0%"), 2, "no share"),
        (("nas", "--sample", "101%"), 2, "no share"),
        (("nas", "--sample", "half"), 2, "no share"),
        (("nas", "--sample", "1%", "--full"), 2, "exclude each other"),
    ],
)
def test_what_makes_no_sense_is_refused(good: Desk, words: tuple[str, ...], code: int, said: str) -> None:
    done = good.drorch("vault", "verify", *words)
    assert done.code == code
    assert said in done.err
