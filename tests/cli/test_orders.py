"""`backup`, `drill`, `pin`, `unpin`, `run`: what a person orders, and how it ends."""

from __future__ import annotations

import re

import pytest
from desks import ROWS, Desk

from drorch.app.locks import Locks, resource_lock


@pytest.fixture
def quiet(desk: Desk) -> Desk:
    """A desk with a marked vault, a policy without drills, and no point."""
    desk.write_policy(drill="")
    assert desk.drorch("vault", "init", "nas").code == 0
    return desk


# --- backup --------------------------------------------------------------------------------------------------------


def test_backup_cuts_now_and_says_which_point(quiet: Desk) -> None:
    said = quiet.drorch("backup", "shop", "orders", "--note", "before v2", "--json")
    assert said.code == 0
    document = said.json
    assert document["failed"] == []
    (made,) = document["points"]
    assert (made["application"], made["resource"], made["vaults"], made["lost"]) == ("shop", "orders", ["nas"], {})
    (point,) = quiet.points()
    assert (point["id"], point["cut_at"], point["note"]) == (made["id"], made["cut_at"], "before v2")
    assert point["slot"].startswith("manual:")
    assert point["pinned"] is False
    assert point["copies"][0]["state"] == "usable"
    plan = quiet.drorch("plan", "--json").json["actions"]
    assert "cut" in {action["action"] for action in plan}, "an ordered point fills no slot"


def test_backup_of_every_resource_and_a_pin_for_ever(quiet: Desk) -> None:
    said = quiet.drorch("backup", "shop", "--pin", "forever")
    assert said.code == 0
    assert re.search(r"^orders: point [a-z2-7]{20}, data as of .* UTC, in nas$", said.out, re.MULTILINE)
    (point,) = quiet.points()
    assert point["pinned"] is True
    actions = quiet.drorch("plan", "--json").json["actions"]
    assert all(a["reason"].startswith("pinned") for a in actions if a["action"] == "keep")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nosuch",), 3, "there are: shop"),
        (("shop", "nosuch"), 3, "it has: orders"),
        (("shop", "--pin", "5"), 2, "a bare number has no unit"),
        (("shop", "--note", "x" * 70_000), 2, "--note"),
        (("shop", "--note", "broken \udcff"), 2, "--note"),
        ((), 2, "APP"),
    ],
)
def test_backup_of_what_cannot_be_is_refused_before_anything_is_cut(
    quiet: Desk, arguments: tuple[str, ...], code: int, words: str
) -> None:
    said = quiet.drorch("backup", *arguments)
    assert (said.code, said.out) == (code, "")
    assert words in said.err
    assert quiet.points() == []


def test_backup_while_the_resource_is_locked_is_told_by_whom(quiet: Desk) -> None:
    with Locks(quiet.state).held(resource_lock("shop", "orders"), "cut"):
        said = quiet.drorch("backup", "shop", "orders")
    assert said.code == 4
    assert "shop.orders is locked: cut (process" in said.err


def test_backup_of_a_database_that_is_down_ends_with_4_and_leaves_no_point(quiet: Desk) -> None:
    quiet.write_policy(drill="", connection="{host: 127.0.0.1, port: 1, database: x, user: backup}")
    said = quiet.drorch("backup", "shop", "--json")
    assert said.code == 4
    assert said.json["points"] == []
    assert len(said.json["failed"]) == 1
    assert quiet.points() == []


def test_wrong_password_is_refused_and_not_shown(quiet: Desk) -> None:
    quiet.secret("orders-db.password", "quite-wrong\n")
    said = quiet.drorch("backup", "shop")
    assert said.code in (3, 4)
    assert "quite-wrong" not in said.err + said.out
    assert "backup" in said.err


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda desk: desk.secret("orders-db.password", "x", 0o644), "chmod 600"),
        (lambda desk: (desk.folder / "orders-db.password").unlink(), "is not there"),
        (lambda desk: desk.secret("orders-db.password", "\n"), "is empty"),
    ],
    ids=["readable by others", "missing", "empty"],
)
def test_secret_that_is_no_secret_is_refused(quiet: Desk, prepare: object, words: str) -> None:
    prepare(quiet)  # type: ignore[operator]
    said = quiet.drorch("backup", "shop")
    assert said.code == 3
    assert words in said.err
    assert quiet.points() == []


# --- drill ---------------------------------------------------------------------------------------------------------


def test_drill_proves_the_newest_point_and_a_failed_one_ends_with_6(quiet: Desk) -> None:
    assert quiet.drorch("backup", "shop").code == 0
    quiet.write_policy()
    said = quiet.drorch("drill", "shop", "orders", "--from", "nas", "--json")
    assert said.code == 0
    document = said.json
    assert document["errors"] == []
    (drill,) = document["drills"]
    assert (drill["outcome"], drill["vault"]) == ("passed", "nas")
    assert [(p["got"], p["met"]) for p in drill["probes"]] == [(str(ROWS), True)]
    for step in document["steps"]:
        assert {"step", "resource", "detail", "estimate_s", "took_s", "outcome"} <= set(step)
        assert step["outcome"] == "done"
    assert quiet.points()[0]["copies"][0]["verified_at"] is not None
    level = quiet.drorch("status", "--json").json["applications"][0]["levels"]["region"]
    assert level["rpo_verified_s"] == level["rpo_attained_s"]
    assert level["rto_attained_s"] is not None

    quiet.write_policy(drill="{every: 7d, probes: [{sql: select count(*) from orders, expect: '> 1000'}]}")
    said = quiet.drorch("drill", "shop")
    assert said.code == 6
    assert "shop/orders from nas: failed" in said.out
    assert f"probe NOT MET: select count(*) from orders gave {ROWS}, expected > 1000" in said.out  # noqa: S608


def test_an_audit_is_picked_drilled_and_shown_and_evidence_has_its_seed(quiet: Desk) -> None:
    assert quiet.drorch("drill", "shop", "--audit").code == 2
    assert quiet.drorch("drill", "--audit").code == 3
    assert quiet.drorch("backup", "shop").code == 0
    quiet.write_config("audits: {every: 30d}")
    known = quiet.drorch("status", "--json").json["audits"]
    assert (known["newest"], known["every_s"]) == (None, 30 * 86400)
    said = quiet.drorch("drill", "--audit", "--json")
    assert said.code == 0, said.err
    (drill,) = said.json["drills"]
    assert drill["outcome"] == "passed"
    newest = quiet.drorch("status", "--json").json["audits"]["newest"]
    assert (newest["seed"], newest["point"]) == (drill["proof"]["audit"], quiet.points()[0]["id"])
    assert "random audits: last picked" in quiet.drorch("status").out
    evidence = quiet.drorch("evidence", "--from", "2026-01-01", "--to", "2126-01-01", "--json").json
    (audit,) = evidence["applications"][0]["audits"]
    assert (audit["seed"], audit["outcome"]) == (newest["seed"], "passed")
    assert not [a for a in quiet.drorch("plan", "--json").json["actions"] if a["action"] == "drill"], (
        "this slot has one"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("shop",), 3, "nas has no usable point of orders"),
        (("shop", "--from", "nosuch"), 3, "there is no vault 'nosuch'"),
        (("shop", "nosuch"), 3, "it has: orders"),
        (("nosuch",), 3, "there are: shop"),
    ],
)
def test_drill_of_what_is_not_there(quiet: Desk, arguments: tuple[str, ...], code: int, words: str) -> None:
    said = quiet.drorch("drill", *arguments)
    assert said.code == code
    assert words in said.err


def test_host_without_an_identity_cannot_drill_and_says_what_to_do(lived: Desk) -> None:
    lived.write_config(encryption=f"encryption: {{recipients: [{lived.recipient}]}}")
    try:
        said = lived.drorch("drill", "shop")
    finally:
        lived.write_config()
    assert said.code == 3
    assert "this host has no age identity" in said.err


# --- pins ----------------------------------------------------------------------------------------------------------


def test_pin_and_unpin_a_point_by_the_beginning_of_its_id(quiet: Desk) -> None:
    assert quiet.drorch("backup", "shop").code == 0
    (point,) = quiet.points()
    said = quiet.drorch("pin", point["id"][:8], "--reason", "audit 7", "--until", "2126-01-31T10:00Z")
    assert said.code == 0
    assert f"point {point['id']} of shop/orders is pinned until 2126-01-31 10:00 UTC" in said.out
    assert quiet.points()[0]["pinned"] is True
    assert "pinned" in quiet.drorch("plan", "--all").out
    said = quiet.drorch("unpin", point["id"])
    assert said.code == 0
    assert quiet.points()[0]["pinned"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("zzzz", "--reason", "x"), 3, "there is no point 'zzzz'"),
        (("", "--reason", "x"), 3, "there is no point ''"),
        (("zzzz",), 2, "--reason"),
        (("zzzz", "--reason", "x", "--until", "2001-01-01"), 2, "over already"),
        (("zzzz", "--reason", "x", "--until", "tomorrow"), 2, "such as 2026-11-20T09:15Z"),
        (("zzzz", "--reason", "broken \udcff"), 2, "--reason"),
    ],
)
def test_pin_that_makes_no_sense(quiet: Desk, arguments: tuple[str, ...], code: int, words: str) -> None:
    said = quiet.drorch("pin", *arguments)
    assert (said.code, said.out) == (code, "")
    assert words in said.err


def test_pin_that_is_over_does_not_count_any_more(quiet: Desk) -> None:
    assert quiet.drorch("backup", "shop", "--pin", "1s").code == 0
    assert "1 copy kept" in quiet.drorch("plan").out


# --- run -----------------------------------------------------------------------------------------------------------


def test_run_once_does_what_is_due_and_tells_a_script(desk: Desk) -> None:
    said = desk.ready("--json")
    assert said.code == 0
    document = said.json
    assert {"passes", "finished", "pending", "problems", "exit_code"} <= set(document)
    assert (document["exit_code"], document["pending"], document["problems"]) == (0, [], [])
    finished = [(f["action"], f["outcome"], f["error"]) for f in document["finished"]]
    assert {(outcome, error) for _, outcome, error in finished} == {("done", None)}
    assert [action for action, _, _ in finished if action in ("cut", "drill")] == ["cut", "drill"]
    again = desk.drorch("run", "--once")
    assert (again.code, again.out) == (0, "1 pass, 0 of 0 actions done\n")


def test_second_drorch_on_the_same_state_is_told_who_holds_it(desk: Desk) -> None:
    with Locks(desk.state).held("daemon", "the daemon"):
        for command in (("run", "--once"), ("run", "--once", "--json")):
            said = desk.drorch(*command)
            assert (said.code, said.out) == (4, "")
            assert "the daemon (process" in said.err


def test_invalid_policy_among_valid_ones_lets_the_others_go_on_and_ends_with_3(quiet: Desk) -> None:
    quiet.write_policy("billing", keep="{last: never}")
    said = quiet.drorch("run", "--once")
    assert said.code == 3
    assert "billing.yaml" in said.err
    assert len(quiet.points()) == 1


def test_empty_folder_of_policies_is_refused(desk: Desk) -> None:
    (desk.policies / "shop.yaml").unlink()
    for command in (("run", "--once"), ("plan",), ("status",), ("policy", "check")):
        said = desk.drorch(*command)
        assert (said.code, said.out) == (3, "")
        assert "there is no policy in" in said.err


def test_forty_policies_and_a_bad_one_touch_only_that_one(quiet: Desk) -> None:
    grants = ", ".join(f"app{n}" for n in range(40))
    quiet.write_config(
        credentials=f"credentials: {{orders-db: {{file: orders-db.password, applications: [shop, {grants}]}}}}"
    )
    for n in range(40):
        quiet.write_policy(f"app{n}", drill="", keep="{last: never}" if n == 7 else "{last: 1}")
    said = quiet.drorch("plan", "--json")
    assert said.code == 3
    assert {a["application"] for a in said.json["actions"]} == {"shop", *(f"app{n}" for n in range(40) if n != 7)}
    assert re.findall(r"app\d+\.yaml", said.err) == ["app7.yaml"]


def test_timeout_leaves_the_rest_pending_and_ends_with_4(quiet: Desk) -> None:
    with quiet.server.session(quiet.database) as session, session.transaction():
        session.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")  # the dump waits for it
        said = quiet.drorch("run", "--once", "--timeout", "1s")
    assert said.code == 4
    assert "cut of shop/orders was abandoned" in said.err
    assert quiet.points() == []
    assert quiet.drorch("run", "--once").code == 0
    assert len(quiet.points()) == 1


@pytest.mark.parametrize("option", [("--timeout", "5m"), ("--json",)])
def test_options_of_run_once_do_not_go_with_the_daemon(quiet: Desk, option: tuple[str, ...]) -> None:
    said = quiet.drorch("run", *option)
    assert said.code == 2
    assert "--once" in said.err


def test_credential_that_was_granted_to_another_application_is_refused(quiet: Desk) -> None:
    quiet.write_policy("billing", drill="")
    said = quiet.drorch("run", "--once", "--json")
    assert said.code == 3
    assert {f["application"] for f in said.json["finished"]} == {"shop"}
    assert "credential orders-db is not granted to billing" in quiet.drorch("plan").err
