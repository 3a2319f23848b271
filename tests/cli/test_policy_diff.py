"""`policy diff`: what a change of policies does, for who reviews it, with no secret and no network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from desks import Desk, Said, typed

CHANGE = {
    "kind",
    "risky",
    "loosened",
    "application",
    "dataset",
    "resource",
    "vault",
    "levels",
    "before",
    "after",
    "text",
}
VAULT = {
    "application",
    "resource",
    "vault",
    "left",
    "points_per_day",
    "points",
    "reach_s",
    "would_expire",
    "held",
    "held_would_expire",
    "expiring",
    "held_expiring",
    "bytes",
}


def differs(desk: Desk, *options: str, **changes: str) -> Said:
    """The desk's policies as they are, beside a checkout in which the shop's is another."""
    checkout = desk.folder / "checkout"
    before = (desk.policies / "shop.yaml").read_text()
    desk.write_policy(**changes)
    shutil.copytree(desk.policies, checkout, dirs_exist_ok=True)
    (desk.policies / "shop.yaml").write_text(before)
    return desk.drorch("policy", "diff", str(desk.policies), str(checkout), *options)


def test_what_is_loosened_is_told_first_and_ends_with_5_when_that_is_asked(desk: Desk) -> None:
    promise = "objectives: {region: {rpo: 1d, rto: 2h}, provider: {rpo: 2d}}"
    for options, code in (((), 0), (("--check",), 5)):
        said = differs(desk, *options, objectives=promise, schedule="{}", keep="{last: 3, daily: 3}")
        assert (said.code, said.err) == (code, "")
    lines = said.out.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["shop/orders", "objective-loosened"],
        ["shop/orders", "retention-shortened"],
        ["shop/orders", "cadence-slower"],
    ]
    assert lines[3].endswith("every 6h becomes every 12h: region rpo 1d, time to usable 3h assumed")
    assert "a day: 4 cuts become 2, 4 uploads become 2" in lines
    assert lines[-1] == "3 changes, 2 risky; a level is covered no longer, or a promise is loosened"


def test_what_protects_as_much_as_before_passes_the_check(desk: Desk) -> None:
    said = differs(desk, "--check", schedule="{every: 4h}")
    assert said.code == 0
    assert said.out.splitlines()[-1] == "1 change, none risky"
    said = differs(desk, "--check")
    assert (said.code, said.out) == (0, "nothing differs\n")


def test_json_has_every_stable_field(desk: Desk) -> None:
    document: dict[str, Any] = differs(desk, "--json", keep="{last: 3}").json
    assert document.keys() == {
        *("old", "new", "valid", "loosened", "points_counted", "coverage", "changes", "applications", "totals")
    }
    assert (document["valid"], document["loosened"], document["coverage"]) == (True, False, {"lost": [], "gained": []})
    (change,) = document["changes"]
    assert change.keys() == CHANGE
    assert (change["kind"], change["risky"], change["before"]) == ("retention-shortened", True, "last 3, daily 7")
    (application,) = document["applications"]
    assert application.keys() == {"application", "fate", "formerly", "calls_per_day", "vaults"}
    (vault,) = application["vaults"]
    assert vault.keys() == VAULT
    assert (vault["held"], vault["bytes"]) == (None, {"before": None, "after": None})
    assert document["totals"]["points"] == vault["points"]
    assert vault["points"]["after"] == 3
    assert vault["would_expire"] == vault["points"]["before"] - 3
    assert document["totals"]["calls_per_day"]["after"] == {"cuts": 4, "copies": 0, "uploads": 4}


def test_points_that_lie_in_vaults_are_counted_from_the_cache_without_the_signing_key(twin: Desk) -> None:
    (twin.folder / "signing.key").unlink()
    cache = (twin.state / "cache.sqlite").read_bytes()
    (vault,) = differs(twin, "--points", "--json", keep="{last: 1}").json["applications"][0]["vaults"]
    assert (vault["held"], vault["held_would_expire"]) == (2, 0), "a cut and an order, which the floor keeps"
    assert vault["bytes"]["after"] > 0
    assert (twin.state / "cache.sqlite").read_bytes() == cache, "it is only read"
    said = differs(twin, keep="{last: 1}")
    assert "In steady state, and in the vaults now" in said.out
    assert "stored in steady state, as far as sizes are known: " in said.out


def test_without_a_cache_points_are_counted_by_the_rules_alone_unless_they_are_wanted(desk: Desk) -> None:
    assert differs(desk, "--json", keep="{last: 1}").json["points_counted"] is False
    said = differs(desk, "--points", keep="{last: 1}")
    assert (said.code, said.out) == (4, "")
    assert "cannot be read" in said.err
    assert not desk.state.exists(), "who reviews makes no state"


def test_a_cache_of_another_site_is_not_read(twin: Desk) -> None:
    twin.write_config(site="site: another")
    said = differs(twin, "--points", keep="{last: 1}")
    assert said.code == 4
    assert "of another site" in said.err


def test_files_are_compared_without_a_host_configuration_and_that_is_said(desk: Desk, tmp_path: Path) -> None:
    plain = "{host: h, database: d, user: u}"
    old = desk.write_policy(vaults="[any, other]", connection=plain)
    new = tmp_path / "new.yaml"
    new.write_text(old.read_text().replace("[any, other]", "[any]"))
    empty = tmp_path / "empty"
    empty.mkdir()
    said = typed("policy", "diff", str(old), str(new), environ={"PATH": "/usr/bin"}, folder=empty)
    assert said.code == 0
    assert "no host configuration: every vault is taken to survive everything" in said.err
    assert "nothing new goes to other; what lies there is kept" in said.out
    said = typed("policy", "diff", "--points", str(old), str(new), environ={"PATH": "/usr/bin"}, folder=empty)
    assert said.code == 2
    assert "--points needs a host configuration" in said.err


@pytest.mark.parametrize("side", ["old", "new"])
def test_an_invalid_policy_on_either_side_is_refused_with_its_errors(desk: Desk, side: str) -> None:
    good, bad = desk.policies / "shop.yaml", desk.folder / "bad.yaml"
    bad.write_text(good.read_text().replace("daily: 7", "dayly: 7"))
    places = (str(bad), str(good)) if side == "old" else (str(good), str(bad))
    said = desk.drorch("policy", "diff", *places)
    assert (said.code, said.out) == (3, "")
    assert "bad.yaml:" in said.err
    assert "unknown key dayly" in said.err
    document = desk.drorch("policy", "diff", *places, "--json")
    assert (document.code, document.json["valid"]) == (3, False)
    assert document.json["findings"][0]["line"] > 1


def test_the_first_policies_of_a_repository_are_added_and_the_last_one_is_not_taken_away(desk: Desk) -> None:
    empty = desk.folder / "empty"
    empty.mkdir()
    said = desk.drorch("policy", "diff", str(empty), str(desk.policies), "--check")
    assert said.code == 0
    assert "application-added" in said.out
    said = desk.drorch("policy", "diff", str(desk.policies), str(empty))
    assert (said.code, said.out) == (3, "")
    assert "there is no policy in" in said.err


def test_a_file_and_a_folder_or_nothing_cannot_be_compared(desk: Desk) -> None:
    shop = desk.policies / "shop.yaml"
    for places in ((str(shop), str(desk.policies)), (str(shop), str(desk.folder / "none.yaml")), (str(shop),)):
        assert desk.drorch("policy", "diff", *places).code == 2
