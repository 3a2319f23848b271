"""What `plan`, `status` and `points` show: the stable fields for scripts, and lines that people can read."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from desks import Desk

from drorch.app.clock import SystemClock

LEVELS = ("zone", "region", "account", "provider", "tampering")
STANDING = {
    "rpo_objective_s": (int, None),
    "rpo_attained_s": (int, None),
    "rpo_verified_s": (int, None),
    "rto_objective_s": (int, None),
    "rto_attained_s": (int, None),
    "rto_basis": (str, None),
    "rto_breaks_at": (str, None),
    "rpo_met": (bool, None),
    "rto_met": (bool, None),
    "why": (str,),
}
ID = r"[a-z2-7]{20}"
INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
DRILLED = r"drill of \d+ [A-Z][a-z]{2}, \d+\.\d KiB, from nas"
SLOT = r"\d{4}-\d\d-\d\dT\d\d:\d\dZ"


def check(document: dict[str, Any], fields: dict[str, tuple[type | None, ...]]) -> None:
    """All the fields are there, and of one of their types."""
    assert set(fields) <= set(document)
    for name, kinds in fields.items():
        value = document[name]
        assert any(value is None if kind is None else type(value) is kind for kind in kinds), (name, value)


# --- status --------------------------------------------------------------------------------------------------------


def test_status_has_every_stable_field_and_null_where_nothing_is_known(lived: Desk) -> None:
    said = lived.drorch("status", "--json")
    assert (said.code, said.err) == (0, "")
    document = said.json
    assert re.fullmatch(INSTANT, document["at"])
    (shop,) = document["applications"]
    check(shop, {"application": (str,), "policy_valid": (bool,), "levels": (dict,), "datasets": (list,)})
    (dataset,), (resource,) = shop["datasets"], shop["resources"]
    check(dataset, {"dataset": (str,), "resources": (list,), "exempt": (dict,), "levels": (dict,)})
    check(resource, {"resource": (str,), "kind": (str,), "newest_cut_at": (str,), "levels": (dict,)})
    for part in (shop, dataset, resource):
        assert tuple(part["levels"]) == LEVELS
        for standing in part["levels"].values():
            check(standing, STANDING)
    region, account = shop["levels"]["region"], shop["levels"]["account"]
    assert (region["rpo_objective_s"], region["rto_objective_s"]) == (9 * 3600, 2 * 3600)
    assert (region["rpo_met"], region["rto_met"]) == (True, True)
    assert 0 <= region["rpo_attained_s"] < 3600  # the points are cut once for all tests of this package
    assert region["rto_attained_s"] is not None
    assert re.fullmatch(f"orders: {DRILLED}", region["rto_basis"])
    assert region["rto_breaks_at"] is None
    assert (account["rpo_objective_s"], account["rpo_met"], account["rto_met"]) == (None, None, None)
    assert shop["levels"]["tampering"]["rpo_attained_s"] is None


def test_status_before_the_first_point_knows_no_numbers(desk: Desk) -> None:
    level = desk.drorch("status", "--json").json["applications"][0]["levels"]["region"]
    assert level["rpo_attained_s"] is None
    assert level["rpo_verified_s"] is None
    assert level["rpo_met"] is False
    assert level["rto_met"] is None


@pytest.mark.parametrize(("option", "code"), [((), 0), (("--check",), 5), (("--strict",), 5)])
def test_missed_objective_ends_with_5_only_when_asked(desk: Desk, option: tuple[str, ...], code: int) -> None:
    said = desk.drorch("status", *option)
    assert said.code == code
    assert "RPO MISSED" in said.out


def test_what_is_not_known_yet_is_a_failure_only_when_strict(desk: Desk) -> None:
    desk.write_policy(drill="")
    assert desk.ready().code == 0
    assert desk.drorch("status", "--check").code == 0
    said = desk.drorch("status", "--check", "--strict")
    assert said.code == 5
    assert "RTO unknown" in said.out
    assert desk.drorch("status", "--strict", "--json").json["applications"][0]["levels"]["region"]["rto_met"] is None


def test_everything_met_is_no_failure(lived: Desk) -> None:
    said = lived.drorch("status", "shop", "--check", "--strict")
    assert said.code == 0
    line = rf"^region +9h +\S+ +\S+ +2h +\S+ +met +orders: newest usable copy in nas; RTO: {DRILLED}$"
    assert re.search(line, said.out, re.MULTILINE)


def test_application_whose_policy_never_was_valid_is_shown_as_such(desk: Desk) -> None:
    desk.write_policy("billing", keep="{last: never}")
    said = desk.drorch("status", "--json")
    billing = next(a for a in said.json["applications"] if a["application"] == "billing")
    assert billing == {
        "application": "billing",
        "policy_valid": False,
        "levels": {},
        "datasets": [],
        "resources": [],
        "unkept": [],
    }
    shown = desk.drorch("status")
    for each in (said, shown):
        assert each.code == 0
        assert "billing.yaml:12:18: last must be a whole number" in each.err
    assert "billing  (its policy file is invalid and never was valid here: nothing is known)" in shown.out
    assert desk.drorch("status", "--strict").code == 5
    refused = desk.drorch("status", "billing")
    assert (refused.code, refused.out) == (3, "")
    assert "drorch policy check" in refused.err


def test_policy_that_became_invalid_stays_in_force_and_is_said_to_be_invalid(desk: Desk) -> None:
    assert desk.drorch("status").code == 0
    desk.write_policy(keep="{last: never}")
    said = desk.drorch("status", "--json")
    assert said.json["applications"][0]["policy_valid"] is False
    assert said.json["applications"][0]["levels"]["region"]["rpo_objective_s"] == 9 * 3600
    assert "the last valid text is in force" in desk.drorch("status").out


def test_removed_policy_file_is_reported(desk: Desk) -> None:
    desk.write_policy("billing", drill="", connection="{host: 127.0.0.1, database: billing, user: backup}")
    assert desk.drorch("status").code == 0
    (desk.policies / "billing.yaml").unlink()
    said = desk.drorch("status")
    assert "the policy of billing is gone: its points are kept" in said.err


# --- points --------------------------------------------------------------------------------------------------------


def test_points_have_every_stable_field_newest_first(lived: Desk) -> None:
    said = lived.drorch("points", "shop", "--json")
    assert (said.code, said.err) == (0, "")
    ordered, scheduled = said.json["points"]
    for point in (ordered, scheduled):
        fields = ("id", "application", "resource", "kind", "slot", "cut_at")
        check(point, {**dict.fromkeys(fields, (str,)), "pinned": (bool,), "note": (str, None), "copies": (list,)})
        assert re.fullmatch(ID, point["id"])
        assert re.fullmatch(INSTANT, point["cut_at"])
        (copy,) = point["copies"]
        check(copy, {"vault": (str,), "state": (str,), "provider": (str,), "account": (None,), "region": (str,)})
        check(copy, {"members": (list,), "path": (str,), "bytes": (int,)})
        check(copy, {"locked_until": (None,), "verified_at": (str, None)})
        assert point["suspect"] is None
        assert (copy["vault"], copy["state"], copy["provider"], copy["region"]) == ("nas", "usable", "onprem", "office")
        assert (lived.nas / copy["path"]).is_dir()
    assert ordered["cut_at"] >= scheduled["cut_at"]
    assert (ordered["note"], ordered["pinned"]) == ("für v2", True)
    assert ordered["slot"].startswith("manual:")
    assert (scheduled["note"], scheduled["pinned"]) == (None, False)
    assert re.fullmatch(SLOT, scheduled["slot"])
    assert scheduled["copies"][0]["verified_at"] is not None
    assert ordered["copies"][0]["verified_at"] is None


def test_points_for_people_show_state_note_pin_and_proof(lived: Desk) -> None:
    said = lived.drorch("points", "shop", "orders", "--vault", "nas")
    assert said.code == 0
    assert re.search(
        rf"^{ID}  orders +\S+ \S+ +pinned +manual:{INSTANT}: für v2; pinned until \S+ \S+$", said.out, re.MULTILINE
    )
    assert re.search(r"^  nas +usable +\d{4}-\d\d-\d\d \d\d:\d\d +\d+\.\d KiB$", said.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("nosuch",), "there are: shop"),
        (("shop", "nosuch"), "it has: orders"),
        (("shop", "--vault", "nosuch"), "shop uses: nas"),
    ],
)
def test_points_of_what_is_not_there_name_what_there_is(lived: Desk, arguments: tuple[str, ...], hint: str) -> None:
    said = lived.drorch("points", *arguments)
    assert (said.code, said.out) == (3, "")
    assert hint in said.err


def test_no_points_are_an_empty_list(desk: Desk) -> None:
    assert desk.drorch("points", "shop", "--json").json == {"points": []}
    assert desk.drorch("points", "shop").out == "no points\n"


def test_vault_that_cannot_be_read_is_told_and_the_last_known_state_shown(desk: Desk) -> None:
    desk.write_policy(drill="")
    assert desk.ready().code == 0
    away = desk.nas.rename(desk.folder / "unplugged")
    try:
        for command in (("points", "shop"), ("status",), ("plan",), ("points", "shop", "--json"), ("plan", "--json")):
            said = desk.drorch(*command)
            assert said.code == 0
            assert (said.out + said.err).count(str(desk.nas)) == 1 or "--json" in command
            assert "nas" in said.err or "[1]" in said.out
        assert len(desk.points()) == 1
        pinned = desk.drorch("pin", "zzzz", "--reason", "x")
        assert pinned.code == 4, "what could not be read may hold the point"
        drilled = desk.drorch("drill", "shop", "--from", "nas")
        assert drilled.code == 4
    finally:
        away.rename(desk.nas)


# --- plan ----------------------------------------------------------------------------------------------------------


def test_plan_has_every_stable_field_and_says_what_is_due(desk: Desk) -> None:
    said = desk.drorch("plan", "--json")
    assert (said.code, said.err) == (0, "")
    document = said.json
    assert re.fullmatch(INSTANT, document["at"])
    assert re.fullmatch(r"[0-9a-f]{64}", document["digest"])
    (cut,) = document["actions"]
    fields = ("action", "application", "resource", "vault", "point", "reason")
    check(cut, dict.fromkeys(fields, (str,)))
    assert (cut["action"], cut["application"], cut["resource"]) == ("cut", "shop", "orders")
    assert re.fullmatch(ID, cut["point"])
    assert re.fullmatch(rf"slot {SLOT} is due", cut["reason"])


def test_plan_changes_nothing(desk: Desk) -> None:
    before = desk.drorch("plan", "--json").json
    again = desk.drorch("plan", "--json").json
    assert [path for path in desk.nas.rglob("*") if path.is_file()] == []
    assert before["actions"] == again["actions"]


def test_plan_of_a_quiet_world_keeps_and_says_why(lived: Desk) -> None:
    actions = lived.drorch("plan", "shop", "--json").json["actions"]
    assert {action["action"] for action in actions} == {"keep"}
    said = lived.drorch("plan")
    assert said.out == "shop\n2 copies kept (--all shows why)\n"
    said = lived.drorch("plan", "--all")
    assert "pinned" in said.out
    assert re.search(rf"^keep +orders +nas +{ID}  last 1 of 3", said.out, re.MULTILINE)


def test_the_same_world_without_its_cache_gives_the_same_plan(lived: Desk) -> None:
    before = lived.drorch("plan", "--json").json
    for path in lived.state.glob("cache.sqlite*"):
        path.unlink()
    after = lived.drorch("plan", "--json").json
    assert (after["actions"], after["digest"]) == (before["actions"], before["digest"])


def test_plan_with_an_invalid_policy_among_valid_ones_plans_the_others_and_ends_with_3(desk: Desk) -> None:
    desk.write_policy("billing", keep="{last: never}")
    said = desk.drorch("plan", "--json")
    assert said.code == 3
    assert [action["application"] for action in said.json["actions"]] == ["shop"]
    assert "billing.yaml:12:18: last must be a whole number" in said.err


def test_plan_shows_what_would_be_let_go_and_lets_go_of_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    text = desk.write_policy(drill="").read_text()
    (desk.policies / "shop.yaml").write_text(text + "    floor: 1\n    keep_manual: 1m\n")
    assert desk.drorch("vault", "init", "nas").code == 0
    for _ in range(2):
        assert desk.drorch("backup", "shop").code == 0
    real = SystemClock.now
    monkeypatch.setattr(SystemClock, "now", lambda clock: real(clock) + timedelta(minutes=2))
    objects = {path for path in desk.nas.rglob("*") if path.is_file()}
    said = desk.drorch("plan", "--json")
    (mark,) = [action for action in said.json["actions"] if action.get("mark") == "expiring"]
    _, older = [point["id"] for point in desk.points()]
    assert (mark["point"], mark["vault"]) == (older, "nas")
    shown = desk.drorch("plan").out
    assert re.search(rf"^mark expiring +orders +nas +{older} +a manual point whose time is over$", shown, re.MULTILINE)
    digest = said.json["digest"][:16]
    over = rf"1 copy would begin to expire, deleted no earlier than \S+ \S+ UTC \(digest {digest}\)"
    assert re.search(f"^{over}$", shown, re.MULTILINE)
    assert objects == {path for path in desk.nas.rglob("*") if path.is_file()}


def test_json_is_one_document_and_nothing_else_stands_on_stdout(lived: Desk) -> None:
    for command in (("status",), ("plan",), ("points", "shop"), ("policy", "check"), ("vault", "check", "nas")):
        said = lived.drorch(*command, "--json")
        assert said.code == 0
        assert said.out.count("\n") == json.dumps(said.json, indent=2, ensure_ascii=False).count("\n") + 1
