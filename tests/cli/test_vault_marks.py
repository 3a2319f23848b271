"""Whose vault it is: an unmounted folder, another site's vault and a second name for one place are never written to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from desks import Desk


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_new_and_empty_vault_is_marked_by_the_first_pass_that_writes(desk: Desk) -> None:
    """Looking marks nothing."""
    assert desk.drorch("plan").code == 0
    assert _files(desk.nas) == []
    done = desk.drorch("run", "--once")
    assert done.code == 0, done.err
    assert "drorch/v1/vault.json" in _files(desk.nas)
    assert "drorch/v1/RESTORE.md" in _files(desk.nas)


@pytest.mark.parametrize("command", [("run", "--once"), ("backup", "shop", "orders")])
def test_nothing_is_written_into_the_mount_point_of_a_vault_that_is_not_mounted(
    desk: Desk, command: tuple[str, ...]
) -> None:
    """The bare folder below looks like an empty vault; what was there before says that it is not."""
    assert desk.ready().code == 0
    away = desk.nas.with_name("unmounted")
    desk.nas.rename(away)
    desk.nas.mkdir()
    done = desk.drorch(*command)
    assert done.code == 4, done.err
    assert "its marker is gone" in done.err
    assert "mounted" in done.err
    assert _files(desk.nas) == []
    shown = desk.points()
    assert [copy["vault"] for point in shown for copy in point["copies"]] == ["nas"], "as last known"
    desk.nas.rmdir()
    away.rename(desk.nas)
    assert desk.drorch("run", "--once").code == 0


def test_a_vault_of_another_site_is_neither_read_nor_written(desk: Desk) -> None:
    assert desk.ready().code == 0
    before = _files(desk.nas)
    shutil.rmtree(desk.state)
    desk.write_config(site="site: other")
    done = desk.drorch("run", "--once")
    assert done.code == 4
    assert "belongs to site acme" in done.err
    assert _files(desk.nas) == before


def test_a_vault_that_lost_its_marker_is_left_alone_until_a_person_marks_it(desk: Desk) -> None:
    assert desk.ready().code == 0
    for name in ("vault.json", "vault.json.minisig"):
        (desk.nas / "drorch/v1" / name).unlink()
    shutil.rmtree(desk.state)
    before = _files(desk.nas)
    done = desk.drorch("run", "--once")
    assert done.code == 4
    assert "holds records, but no marker" in done.err
    assert _files(desk.nas) == before
    assert desk.drorch("vault", "init", "nas").code == 0
    assert desk.drorch("run", "--once").code == 0


def test_one_place_has_one_name(desk: Desk) -> None:
    """Records name vaults: under a second name every copy would count twice."""
    assert desk.ready().code == 0
    vaults = f"vaults:\n  nas2: {{type: directory, path: {desk.nas}, provider: onprem, region: office}}"
    desk.write_config(vaults=vaults)
    desk.write_policy(vaults="[nas2]", drill="")
    done = desk.drorch("vault", "init", "nas2")
    assert done.code == 3
    assert "marked as nas" in done.err
    done = desk.drorch("run", "--once")
    assert done.code == 4
    assert "marked as nas" in done.err


def test_a_pin_says_who_gave_the_order(desk: Desk) -> None:
    assert desk.ready().code == 0
    (point,) = desk.points()
    done = desk.drorch("pin", point["id"], "--reason", "audit", environ={"SUDO_USER": "ada"})
    assert done.code == 0, done.err
    (mark,) = desk.nas.glob("drorch/v1/records/shop/orders/*/marks/*-pin.json")
    assert '"by":"ada"' in mark.read_text()
