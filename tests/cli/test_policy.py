"""`policy check` and `policy schema`: every error at once, with no secret, no network and no tools."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from desks import Desk, typed

ROOT = Path(__file__).parents[2]


def test_valid_folder_shows_the_arithmetic_of_every_promise(desk: Desk) -> None:
    said = desk.drorch("policy", "check")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "shop: orders at region: 6h + 1h30m = 7h30m <= 9h via nas",
        "shop: orders at provider: 6h + 1h30m = 7h30m <= 2d via nas",
        "1 valid",
    ]


def test_every_error_of_every_file_is_told_at_once_at_its_place(desk: Desk) -> None:
    desk.write_policy("one", keep="{last: -1, dayly: 2}", vaults="[nosuch]", schedule="{every: 15}")
    (desk.policies / "two.yaml").write_text("version: 1\nversion: 1\n")
    (desk.policies / "three.yaml").write_text("\x00")
    plain = "{host: h, database: d, user: u}"
    desk.write_policy("four", objectives="objectives: {region: {rpo: 1m}}", connection=plain)
    said = desk.drorch("policy", "check")
    assert said.code == 3
    for line in said.err.splitlines():
        assert re.match(r"/.*\.yaml:\d+:\d+: \S", line), line
    for words in (
        "one.yaml:10:23: '15' is not a duration: a bare number has no unit",
        "one.yaml:12:22: unknown key dayly (did you mean daily?)",
        "unknown vault nosuch",
        "two.yaml:2:1: ",
        "three.yaml:1:1: ",
        "four.yaml:5:22: dataset orders cannot keep rpo 1m at region: 6h + 1h30m = 7h30m > 1m via nas",
    ):
        assert words in said.err
    assert re.search(r"^1 valid, \d+ errors in 4 files$", said.out, re.MULTILINE)


def test_images_that_restart_their_instances_are_warned_of_and_valid(desk: Desk) -> None:
    text = (ROOT / "policies" / "ami.yaml").read_text()
    path = desk.policies / "portal.yaml"
    path.write_text(text)
    assert "warning" not in desk.drorch("policy", "check", str(path)).err
    path.write_text(text.replace("reboot: false", "reboot: true "))
    said = desk.drorch("policy", "check", str(path), "--json")
    assert said.code == 0
    (warning,) = said.json["warnings"]
    assert warning == {
        "application": "portal",
        "warning": "front: reboot: true restarts every selected instance at each cut",
    }
    assert "portal: warning: front: reboot: true restarts" in said.err


def test_a_lock_that_leaves_its_key_to_the_home_account_is_warned_of(desk: Desk) -> None:
    vault = 'vault: {id: "222222222222", role_arn: "arn:aws:iam::222222222222:role/drorch"}'
    desk.config.write_text(desk.config.read_text().replace("accounts: {", f"accounts: {{{vault}, "))
    path, entry = desk.policies / "web.yaml", "{region: us-west-2, kms_key: alias/drorch"
    text = f"""\
version: 1
application: web
home: {{account: prod, region: us-east-1}}
resources:
  - name: data
    kind: ebs
    select: {{tags: {{app: web}}}}
    schedule: {{every: 1d}}
    keep: {{within: 14d}}
    copies: [{entry}}}]
"""
    path.write_text(text)
    assert "does not cover" not in desk.drorch("policy", "check", str(path)).err
    path.write_text(text.replace(entry, f"{entry}, lock: {{for: 7d, irrevocable: true}}"))
    said = desk.drorch("policy", "check", str(path), "--json")
    assert said.code == 0, said.out
    (warning,) = said.json["warnings"]
    assert "us-west-2 does not cover alias/drorch" in warning["warning"]
    for elsewhere in (", account: vault", ""):
        key = "alias/drorch" if elsewhere else "arn:aws:kms:us-west-2:222222222222:key/1234"
        given = entry.replace("alias/drorch", key)
        path.write_text(text.replace(entry, f"{given}{elsewhere}, lock: {{for: 7d, irrevocable: true}}"))
        said = desk.drorch("policy", "check", str(path))
        assert (said.code, "does not cover" in said.err) == (0, False), said.err


def test_json_has_valid_applications_and_findings(desk: Desk) -> None:
    desk.write_policy("billing", keep="{last: never}")
    said = desk.drorch("policy", "check", "--json")
    assert said.code == 3
    document = said.json
    assert (document["valid"], document["applications"]) == (False, ["shop"])
    assert {"file", "line", "column", "message", "hint"} == set(document["findings"][0])
    assert {f["line"] for f in document["findings"]} == {9, 12}
    assert document["feasibility"][0]["application"] == "shop"


def test_snapshots_of_all_policies_that_will_not_fit_into_a_region_are_counted_and_told(desk: Desk) -> None:
    for number in range(6):
        (desk.policies / f"bank-{number}.yaml").write_text(
            f"version: 1\napplication: bank-{number}\nowner: dba@example.com\n"
            "home: {account: prod, region: eu-west-1}\nresources:\n"
            f"  - {{name: ledger, kind: rds-instance, identifier: bank-{number}, schedule: {{every: 1d}}, "
            "copies: [{region: eu-central-1}], keep: {daily: 14}}\n"
        )
    said = desk.drorch("policy", "check")
    assert said.code == 0, said.err
    assert said.err.splitlines() == [
        f"prod.{region}: 6 of kind rds-instance come to hold 84 kept + 24 in the grace of 3d = 108 manual snapshots > "
        "100, AWS's default quota there"
        for region in ("eu-central-1", "eu-west-1")
    ]
    found = desk.drorch("policy", "check", "--json").json["snapshot_quotas"]
    assert {(each["vault"], each["total"], each["fits"]) for each in found} == {
        ("prod.eu-central-1", 108, False),
        ("prod.eu-west-1", 108, False),
    }


def test_without_a_host_configuration_names_are_not_checked_and_that_is_said(desk: Desk, tmp_path: Path) -> None:
    path = desk.write_policy(vaults="[any-name-at-all]", connection="{host: h, database: d, user: u}")
    empty = tmp_path / "empty"
    empty.mkdir()
    said = typed("policy", "check", str(path), environ={"PATH": "/usr/bin", "HOME": str(empty)}, folder=empty)
    assert said.code == 0
    assert said.err == "no host configuration: vault, account and credential names are not checked\n"
    said = typed("policy", "check", environ={"PATH": "/usr/bin"}, folder=empty)
    assert said.code == 2
    assert "nothing to check" in said.err


def test_a_promise_that_depends_on_locks_nobody_knows_here_is_said_to_be_unchecked(desk: Desk, tmp_path: Path) -> None:
    path = desk.write_policy(
        objectives="objectives: {tampering: {rpo: 2d}}", connection="{host: h, database: d, user: u}"
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    said = typed("policy", "check", str(path), environ={"PATH": "/usr/bin"}, folder=empty)
    assert said.code == 0
    assert "shop: tampering is promised; not checked, the locks of vaults are not known here\n" in said.err
    said = desk.drorch("policy", "check")
    assert said.code == 3
    assert "nothing of dataset orders survives tampering" in said.err


@pytest.mark.parametrize("loss", ["removed", "emptied"])
def test_without_the_folder_of_policies_nothing_is_planned_and_nothing_starts(desk: Desk, loss: str) -> None:
    desk.write_policy()
    assert desk.drorch("policy", "check").code == 0
    for path in desk.policies.iterdir():
        path.unlink()
    if loss == "removed":
        desk.policies.rmdir()
    for command in (("plan", "--json"), ("run", "--once")):
        said = desk.drorch(*command)
        assert (said.code, said.out) == (3, "")
        assert "there is no policy in" in said.err or "cannot be read: no such file or directory" in said.err


def test_two_given_files_of_one_application_are_an_error_in_both(desk: Desk) -> None:
    first = desk.write_policy()
    second = first.with_name("again.yaml")
    second.write_text("# the same\n" + first.read_text())
    for paths in ((str(first), str(second)), (str(desk.policies),), ()):
        said = desk.drorch("policy", "check", *paths)
        assert said.code == 3, paths
        for path, place, other in ((first, "2:14", "again.yaml"), (second, "3:14", "shop.yaml")):
            assert re.search(rf"^{path}:{place}: application shop is also in (/.*/)?{other} ", said.err, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ":1:1: "),
        ("- a\n- b\n", ":1:1: "),
        ("a: [\n", "yaml:"),
        ("a: &a [*a]\n", "yaml:"),
        ("\tversion: 1\n", "yaml:1:1: "),
    ],
)
def test_file_that_is_no_policy_is_told_with_its_place(desk: Desk, text: str, words: str) -> None:
    path = desk.policies / "odd.yaml"
    path.write_text(text)
    said = desk.drorch("policy", "check", str(path))
    assert said.code == 3
    assert words in said.err


def test_file_that_is_not_there(desk: Desk) -> None:
    said = desk.drorch("policy", "check", str(desk.folder / "none.yaml"))
    assert said.code == 3
    assert "cannot be read" in said.err


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ({"site": "site: Acme Prod"}, "is not a name"),
        ({"site": ""}, "site is missing"),
        ({"encryption": "encryption: {recipients: [age1nonsense]}"}, "not an age recipient"),
        ({"signing": "signing: {key: RWQAAEIyAAAA}"}, "a secret does not stand in the configuration"),
        ({"vaults": "vaults: {nas: {type: tape, container: x}}"}, "unknown vault type 'tape'"),
        ({"vaults": "vaults: {nas: {type: tape}}"}, "unknown vault type 'tape'"),
        (
            {"vaults": "vaults: {w: {type: s3, bucket: acme-dr, account: prod, region: us-wets-2}}"},
            "did you mean us-west-2",
        ),
        ({"drills": "brake: {share: 20}"}, "must be a percentage, not a bare number (such as 20%)"),
    ],
)
def test_configuration_with_errors_names_them_all_and_starts_nothing(
    desk: Desk, lines: dict[str, str], words: str
) -> None:
    desk.write_config("colour: green", **lines)
    for command in (("policy", "check"), ("plan",), ("run", "--once"), ("status", "--json")):
        said = desk.drorch(*command)
        assert (said.code, said.out) == (3, "")
        assert words in said.err
        assert "unknown key colour" in said.err
    assert not desk.state.exists()


def test_configuration_is_found_by_option_variable_folder_or_refused(desk: Desk, tmp_path: Path) -> None:
    environ = {"PATH": "/usr/bin"}
    found = typed("policy", "check", environ=environ | {"DRORCH_CONFIG": str(desk.config)}, folder=tmp_path.parent)
    assert found.code == 0
    assert typed("policy", "check", environ=environ, folder=desk.folder).code == 0
    said = typed("--config", str(tmp_path / "no.yaml"), "plan", environ=environ)
    assert said.code == 3
    assert "there is no configuration at" in said.err
    said = typed("plan", environ=environ | {"DRORCH_CONFIG": "/nowhere.yaml"}, folder=desk.folder)
    assert said.code == 3
    assert "$DRORCH_CONFIG" in said.err
    said = typed("plan", environ=environ, folder=tmp_path.parent)
    assert said.code == 3
    assert "looked for --config, $DRORCH_CONFIG, ./drorch.yaml" in said.err


def test_schema_is_a_json_schema_with_or_without_a_configuration(desk: Desk, tmp_path: Path) -> None:
    for said in (
        desk.drorch("policy", "schema"),
        typed("policy", "schema", environ={"PATH": "/usr/bin"}, folder=tmp_path.parent),
    ):
        assert (said.code, said.err) == (0, "")
        assert json.loads(said.out)["properties"].keys() >= {"application", "objectives", "resources"}
