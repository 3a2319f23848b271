"""`drorch doctor` on installations with something wrong: nothing it asks changes anything."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clouds import REGIONS, aws_environment, client, embedded_aws, volume
from declared import heard, undeclared
from desks import ALIAS, EBS, RDS, Desk, Said, typed

import drorch.wiring.doctor
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.demo.aws import ACCOUNT, EmbeddedAws

HOME, AWAY, _ = REGIONS


class Cloudy:
    """An installation in the cloud alone: a volume and a database, copied to a second region; no database server."""

    def __init__(self, folder: Path, aws: EmbeddedAws) -> None:
        self.folder, self.aws = folder, aws
        aws.reset()
        (folder / "policies").mkdir()
        (folder / "nas").mkdir()
        key = folder / "signing.key"
        key.write_text(SecretKey.generate().text())
        key.chmod(0o600)
        self.environ = aws_environment(aws.endpoint_url) | {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
        self.write()
        kms = client(aws, "kms", AWAY)
        self.key = kms.create_key(KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName=ALIAS, TargetKeyId=self.key)
        volume(aws, app="shop")
        client(aws, "rds").create_db_instance(
            DBInstanceIdentifier="shop-ledger",
            DBInstanceClass="db.m6g.large",
            Engine="postgres",
            EngineVersion="15.4",
            AllocatedStorage=20,
            MasterUsername="ledger",
            MasterUserPassword="not-asked-for",
        )

    def write(self, *, account: str = ACCOUNT, resources: str = EBS + RDS) -> None:
        recipient = new_identity()[1]
        (self.folder / "drorch.yaml").write_text(
            "version: 1\nsite: acme\npolicies: policies/\nstate: state\n"
            f"vaults: {{nas: {{type: directory, path: {self.folder}/nas, provider: onprem, region: office}}}}\n"
            f'aws: {{accounts: {{prod: {{id: "{account}"}}}}}}\nencryption: {{recipients: [{recipient}]}}\n'
            "signing: {key: {file: signing.key}}\n"
        )
        (self.folder / "policies" / "shop.yaml").write_text(
            f"version: 1\napplication: shop\nowner: a@example.com\nhome: {{account: prod, region: {HOME}}}\n"
            f"objectives: {{region: {{rpo: 9h}}}}\nresources:\n{resources}"
        )

    def drorch(self, *arguments: str) -> Said:
        return typed("--config", str(self.folder / "drorch.yaml"), *arguments, environ=self.environ)

    def doctor(self, *arguments: str) -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
        """The exit code, and the checks by area and subject."""
        said = self.drorch("doctor", "--json", *arguments)
        assert said.out, said.err
        return said.code, {(check["area"], check["subject"]): check for check in said.json["checks"]}


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with embedded_aws() as cloud:
        yield cloud


@pytest.fixture
def site(tmp_path: Path, aws: EmbeddedAws) -> Cloudy:
    made = Cloudy(tmp_path, aws)
    assert made.drorch("vault", "init", "nas").code == 0
    return made


def made_there(aws: EmbeddedAws) -> int:
    return sum(
        len(client(aws, "ec2", region).describe_snapshots(OwnerIds=["self"])["Snapshots"]) for region in (HOME, AWAY)
    )


def test_a_site_in_order_is_told_so_and_nothing_is_made(site: Cloudy) -> None:
    code, checks = site.doctor()
    assert {check["verdict"] for check in checks.values()} == {"ok"}, checks
    assert code == 0
    assert made_there(site.aws) == 0
    assert ACCOUNT in checks["account", "prod"]["said"]
    ebs = checks["rights", f"ebs prod.{HOME}"]["said"]
    assert "by dry run: ec2:CreateSnapshot" in ebs
    assert "nothing there to ask with: ec2:CreateSnapshots" in ebs
    assert "not asked, for that would do it: ec2:DeleteSnapshot" in ebs
    assert "AWS's default; Service Quotas did not say" in checks["quota", f"ebs prod.{HOME}"]["said"]
    assert checks["quota", f"rds-instance prod.{HOME}"]["said"].endswith("of ours, 100 allowed")
    assert {name for _, name in checks} >= {f"prod.{AWAY}", "nas", f"{ALIAS} prod.{AWAY}", "signing: key"}
    assert not [call for call in site.aws.calls if call[1].startswith("Delete")]


def test_nothing_is_called_that_is_not_declared(site: Cloudy) -> None:
    with heard() as calls:
        site.doctor()
        site.doctor("--lose", f"region:{HOME}")
    assert undeclared(calls) == set()
    assert ("drorch.aws.asking", "rds:DescribeOrderableDBInstanceOptions") in calls
    assert {action for _, action in calls if ":Delete" in action} == set()


def test_a_right_that_is_not_given_is_named_and_everything_else_is_checked_all_the_same(site: Cloudy) -> None:
    site.aws.fail_next("CreateSnapshot", "denied")
    site.aws.fail_next("DescribeDBInstances", "denied", times=20)
    code, checks = site.doctor()
    assert code == 3
    ebs = checks["rights", f"ebs prod.{HOME}"]
    assert ebs["verdict"] == "failed"
    assert "denied: ec2:CreateSnapshot" in ebs["said"]
    assert ebs["hint"] == "drorch iam prints the policy"
    assert "AccessDenied" in checks["rights", f"rds-instance prod.{HOME}"]["said"]
    assert checks["key", f"{ALIAS} prod.{AWAY}"]["verdict"] == "ok"


def test_a_copy_is_asked_with_a_snapshot_that_is_there(site: Cloudy) -> None:
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "drorch:site", "Value": "acme"}]}]
    (first,) = client(site.aws, "ec2").describe_volumes()["Volumes"]
    client(site.aws, "ec2").create_snapshot(VolumeId=first["VolumeId"], TagSpecifications=tags)
    _, checks = site.doctor()
    assert "by dry run: ec2:CopySnapshot" in checks["rights", f"ebs prod.{AWAY}"]["said"]
    assert made_there(site.aws) == 1


def test_a_key_that_is_disabled_fails(site: Cloudy) -> None:
    client(site.aws, "kms", AWAY).disable_key(KeyId=site.key)
    code, checks = site.doctor()
    assert code == 3
    assert "KeyState is Disabled" in checks["key", f"{ALIAS} prod.{AWAY}"]["said"]


def test_a_region_that_does_not_answer_cannot_be_checked(site: Cloudy) -> None:
    site.aws.lose_region(AWAY)
    code, checks = site.doctor()
    assert code == 4
    unknown = {subject for (_, subject), check in checks.items() if check["verdict"] == "could not be checked"}
    assert {f"prod.{AWAY}", f"ebs prod.{AWAY}", f"{ALIAS} prod.{AWAY}"} <= unknown
    assert checks["clock", f"prod.{HOME}"]["verdict"] == "ok"
    assert checks["account", "prod"]["verdict"] == "ok"


def test_a_vault_that_takes_connections_and_says_nothing_holds_nothing_up(
    site: Cloudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drorch.wiring.doctor, "_READ_SECONDS", 0.5)
    config = site.folder / "drorch.yaml"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dead = (
            f"type: s3, bucket: acme-dr, endpoint: 'http://127.0.0.1:{silent.getsockname()[1]}', provider: x, region: y"
        )
        config.write_text(config.read_text().replace("vaults: {", f"vaults: {{dead: {{{dead}}}, "))
        code, checks = site.doctor()
    assert code == 4
    unknown = {key for key, check in checks.items() if check["verdict"] == "could not be checked"}
    assert unknown == {("clock", "dead"), ("vault", "dead")}


def test_credentials_of_another_account_fail(site: Cloudy) -> None:
    site.write(account="999999999999")
    code, checks = site.doctor()
    assert code == 3
    assert f"belong to account {ACCOUNT}" in checks["account", "prod"]["said"]


def test_an_unmarked_vault_and_an_open_key_fail(tmp_path: Path, aws: EmbeddedAws) -> None:
    site = Cloudy(tmp_path, aws)
    (tmp_path / "signing.key").chmod(0o644)
    code, checks = site.doctor()
    assert code == 3
    assert "readable by group" in checks["secret", "signing: key"]["said"]
    (tmp_path / "signing.key").chmod(0o600)
    _, checks = site.doctor()
    assert checks["vault", "nas"]["hint"] == "drorch vault init nas"


def test_more_snapshots_than_a_quota_holds_are_told_beforehand(site: Cloudy) -> None:
    for region, value in ((HOME, 22), (AWAY, 10)):
        site.aws.set_quota(region, "rds", "L-272F1212", value)
    code, checks = site.doctor()
    assert code == 3
    home, away = (checks["quota", f"rds-instance prod.{region}"] for region in (HOME, AWAY))
    assert (home["verdict"], away["verdict"]) == ("warning", "failed")
    assert "at most 22 of ours, 10 allowed" in away["said"]


def test_snapshots_of_others_count_against_the_quota(site: Cloudy) -> None:
    client(site.aws, "rds").create_db_snapshot(DBInstanceIdentifier="shop-ledger", DBSnapshotIdentifier="by-hand")
    _, checks = site.doctor()
    assert "at most 22 of ours and 1 of others, 100 allowed" in checks["quota", f"rds-instance prod.{HOME}"]["said"]


# --- a region is lost


def test_a_target_that_could_take_over_is_told_so(site: Cloudy) -> None:
    code, checks = site.doctor("--lose", f"region:{HOME}")
    assert code == 0, checks
    assert checks["left", "shop/data"]["said"] == f"copies go to prod.{AWAY}"
    assert "is offered, its groups are there" in checks["restore", f"shop/ledger in {AWAY}"]["said"]
    assert checks["account", f"STS of prod.{AWAY}"]["verdict"] == "ok"
    assert "1 to restore, 0 there, 40 allowed" in checks["quota", f"instances prod.{AWAY}"]["said"]
    assert not any(HOME in subject for _, subject in checks)


def test_what_the_target_lacks_is_said_in_words(site: Cloudy) -> None:
    rds = client(site.aws, "rds")
    rds.create_db_parameter_group(DBParameterGroupName="tuned", DBParameterGroupFamily="postgres15", Description="t")
    rds.modify_db_instance(DBInstanceIdentifier="shop-ledger", DBParameterGroupName="tuned", ApplyImmediately=True)
    code, checks = site.doctor("--lose", f"region:{HOME}")
    found = checks["restore", f"shop/ledger in {AWAY}"]
    assert (code, found["verdict"]) == (0, "warning")
    assert "no parameter group tuned" in found["said"]
    site.aws.withhold_class(AWAY, "db.m6g.large")
    site.aws.set_quota(AWAY, "rds", "L-7B6409FD", 0)
    code, checks = site.doctor("--lose", f"region:{HOME}")
    assert code == 3
    assert "db.m6g.large with postgres 15.4 is not offered there" in checks["restore", f"shop/ledger in {AWAY}"]["said"]
    assert checks["quota", f"instances prod.{AWAY}"]["verdict"] == "failed"


def test_what_has_no_copy_elsewhere_is_lost(site: Cloudy) -> None:
    site.write(
        resources=EBS
        + RDS.replace(f"    copies: [{{region: {AWAY}, kms_key: {ALIAS}}}]\n", "").replace(
            "exempt: {provider:", "exempt: {region: rebuilt, provider:"
        )
    )
    _, checks = site.doctor("--lose", f"region:{HOME}")
    assert checks["left", "shop/ledger"]["said"] == "nothing is left, and that is meant: rebuilt"
    assert ("restore", f"shop/ledger in {AWAY}") not in checks


@pytest.mark.parametrize("words", ["zone:a", "region:", "region:mars"])
def test_only_a_region_that_something_lives_in_can_be_lost(site: Cloudy, words: str) -> None:
    assert site.drorch("doctor", "--lose", words).code == 2


def test_people_see_one_table(site: Cloudy) -> None:
    said = site.drorch("doctor", "shop")
    assert said.code == 0
    assert said.out.splitlines()[0].split() == ["AREA", "WHAT"]
    assert said.out.splitlines()[-1].endswith(" ok")
    assert site.drorch("doctor", "nobody").code == 3


# --- database servers


def test_a_server_is_met_by_its_own_handshake_with_programs_that_fit(desk: Desk) -> None:
    assert desk.drorch("vault", "init", "nas").code == 0
    said = desk.drorch("doctor", "--json")
    (found,) = [check for check in said.json["checks"] if check["area"] == "client"]
    assert (said.code, found["verdict"]) == (0, "ok"), said.json
    assert found["said"].startswith("server 15.")
    assert "pg_dump 15." in found["said"]
    desk.secret("orders-db.password", "wrong\n")
    said = desk.drorch("doctor", "--json")
    (found,) = [check for check in said.json["checks"] if check["area"] == "client"]
    assert (said.code, found["verdict"]) == (3, "failed")
    assert "wrong" not in said.out


def test_a_secret_that_cannot_be_read_does_not_take_the_other_checks_along(desk: Desk) -> None:
    (desk.folder / "orders-db.password").chmod(0o644)
    said = desk.drorch("doctor", "--json")
    failed = {(check["area"], check["subject"]) for check in said.json["checks"] if check["verdict"] == "failed"}
    assert failed == {("secret", "credentials: orders-db"), ("client", "shop/orders"), ("vault", "nas")}
