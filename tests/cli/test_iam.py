"""`drorch iam` on the example configuration: it needs neither secrets nor a network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from iam_judge import allowed

from drorch.cli.main import cli
from drorch.domain.errors import InvalidInput, NotFound
from drorch.kinds import everything, rds_automated

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    shutil.copy(REPOSITORY / "docs" / "drorch.example.yaml", tmp_path / "drorch.yaml")
    shutil.copytree(REPOSITORY / "policies", tmp_path / "policies")
    return tmp_path / "drorch.yaml"


def roles(config: Path, *arguments: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(cli, ["--config", str(config), "iam", "--json", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    found: list[dict[str, Any]] = json.loads(done.stdout)["roles"]
    return found


def test_each_account_gets_the_roles_that_make_sense_there(config: Path) -> None:
    assert [(role["account"], role["role"]) for role in roles(config)] == [
        ("prod", "backup"),
        ("prod", "restore"),
        ("vault", "vault"),
        ("vault", "restore"),
    ]


def test_one_role_of_one_account_can_be_asked_for(config: Path) -> None:
    (role,) = roles(config, "--role", "vault", "--account", "vault")
    assert role["id"] == "222222222222"
    assert allowed(role["documents"], "s3:PutObject", "arn:aws:s3:::acme-dr/drorch/v1/vault.json")
    assert roles(config, "--role", "vault", "--account", "prod")[0]["documents"][0]["Statement"][1]["Sid"] == "Assume"


def test_the_ambient_credentials_may_take_on_the_roles_of_other_accounts(config: Path) -> None:
    (role,) = roles(config, "--role", "backup", "--account", "prod")
    assert allowed(role["documents"], "sts:AssumeRole", "arn:aws:iam::222222222222:role/drorch")


def test_a_role_in_another_account_trusts_the_account_of_the_hosts_own_credentials_with_its_external_id(
    config: Path,
) -> None:
    trusts = {(role["account"], role["role"]): role["trust"] for role in roles(config)}
    assert [key for key, trust in trusts.items() if trust] == [("vault", "vault")]
    (statement,) = trusts["vault", "vault"]["Statement"]
    assert (statement["Principal"], statement["Action"]) == (
        {"AWS": ["arn:aws:iam::111111111111:root"]},
        "sts:AssumeRole",
    )
    assert "Condition" not in statement
    role_arn = 'role_arn: "arn:aws:iam::222222222222:role/drorch"'
    config.write_text(config.read_text().replace(role_arn, f"{role_arn}, external_id: acme-4711"))
    (role,) = roles(config, "--role", "vault", "--account", "vault")
    assert role["trust"]["Statement"][0]["Condition"] == {"StringEquals": {"sts:ExternalId": "acme-4711"}}
    done = CliRunner().invoke(cli, ["--config", str(config), "iam", "--role", "vault"], catch_exceptions=False)
    assert "# account vault (222222222222), role vault: trust policy of arn:aws:iam::222222222222:role/drorch" in (
        done.stdout
    )


def test_a_trust_policy_is_left_out_where_the_hosts_own_account_is_not_configured(config: Path) -> None:
    own = 'prod:  {id: "111111111111"}'
    role = 'prod:  {id: "111111111111", role_arn: "arn:aws:iam::111111111111:role/drorch"}'
    assert own in config.read_text()
    config.write_text(config.read_text().replace(own, role))
    assert [role["trust"] for role in roles(config)] == [None] * 4


def test_only_regions_in_use_are_named(config: Path) -> None:
    text = json.dumps(roles(config))
    assert "us-east-1" in text
    assert "ap-south-1" not in text


def test_what_unprotected_and_status_list_is_allowed_in_the_regions_in_use(config: Path) -> None:
    (role,) = roles(config, "--role", "backup", "--account", "prod")
    here = {"aws:RequestedRegion": "us-east-1"}
    for action in (*everything.PERMISSIONS, *rds_automated.PERMISSIONS, "rds:DescribeAccountAttributes"):
        assert allowed(role["documents"], action, "*", here), action
        assert not allowed(role["documents"], action, "*", {"aws:RequestedRegion": "ap-south-1"})


def test_unprotected_asks_for_databases_where_no_policy_has_any(config: Path) -> None:
    for path in (config.parent / "policies").iterdir():
        if path.stem != "ebs":
            path.unlink()
    (role,) = roles(config, "--role", "backup", "--account", "prod")
    text = json.dumps(role)
    assert "rds:DescribeDBClusters" in text and "rds:DescribeDBInstances" in text
    assert "rds:DescribeDBInstanceAutomatedBackups" not in text


def test_people_see_documents_with_their_lengths(config: Path) -> None:
    done = CliRunner().invoke(cli, ["--config", str(config), "iam", "--role", "restore"], catch_exceptions=False)
    assert "# account prod (111111111111), role restore: document 1 of 2," in done.stdout
    assert "of 6144 characters" in done.stdout


def test_an_unknown_account_and_an_invalid_policy_are_refused(config: Path) -> None:
    with pytest.raises(NotFound):
        CliRunner().invoke(cli, ["--config", str(config), "iam", "--account", "x"], catch_exceptions=False)
    (config.parent / "policies" / "bad.yaml").write_text("version: 1\n")
    with pytest.raises(InvalidInput):
        CliRunner().invoke(cli, ["--config", str(config), "iam"], catch_exceptions=False)
