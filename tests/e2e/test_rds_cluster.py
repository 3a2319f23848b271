"""A cluster's whole life on the embedded cloud, by what a person types and by what the daemon does when nobody does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import kill_child
import pytest
from clouds import REGIONS, aws_environment, client, embedded_aws
from desks import ALIAS, Said, typed
from lone_host import furnish, week_offset

from drorch.demo.aws import EmbeddedAws
from drorch.domain.instant import from_text

pytestmark = pytest.mark.integration
HOME, AWAY = REGIONS[0], REGIONS[1]
WEEK = timedelta(days=7)
POLICY = """\
version: 1
application: shop
owner: shop@example.com
home: {{account: prod, region: {home}}}
objectives: {{region: {{rpo: 14d}}}}
resources:
  - name: seats
    kind: rds-cluster
    identifier: shop-seats
    schedule: {{every: 7d, offset: {offset}m}}
    copies: [{{region: {away}, kms_key: {alias}}}]
    keep: {{last: 1}}
    floor: 1
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with embedded_aws() as started:
        yield started


class Site:
    """A host with one vault in a folder, and an encrypted Aurora cluster of two instances at HOME."""

    def __init__(self, folder: Path, aws: EmbeddedAws) -> None:
        self.aws, self.disk = aws, folder / "disk"
        self.config = furnish(folder, ["disk"])
        policy = POLICY.format(home=HOME, away=AWAY, alias=ALIAS, offset=week_offset())
        (folder / "policies" / "shop.yaml").write_text(policy)
        self._cluster()

    def _cluster(self) -> None:
        self.aws.reset()
        for region in (HOME, AWAY):
            kms = client(self.aws, "kms", region)
            kms.create_alias(AliasName=ALIAS, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
        rds = client(self.aws, "rds")
        rds.create_db_cluster(
            DBClusterIdentifier="shop-seats",
            Engine="aurora-postgresql",
            EngineVersion="16.4",
            MasterUsername="owner",
            MasterUserPassword="not-asked-for",
            StorageEncrypted=True,
            KmsKeyId=ALIAS,
            Tags=[{"Key": "team", "Value": "travel"}],
        )
        for name in ("seats-a", "seats-b"):
            rds.create_db_instance(
                DBInstanceIdentifier=name,
                DBInstanceClass="db.r6g.large",
                Engine="aurora-postgresql",
                DBClusterIdentifier="shop-seats",
            )

    def drorch(self, *arguments: str) -> Said:
        return typed("--config", str(self.config), *arguments)

    def point(self) -> dict[str, Any]:
        (found,) = self.drorch("points", "shop", "--json").json["points"]
        return dict(found)

    def snapshots(self, region: str) -> list[dict[str, Any]]:
        shown = client(self.aws, "rds", region).describe_db_cluster_snapshots(SnapshotType="manual")
        return list(shown["DBClusterSnapshots"])

    def live(self, ahead: timedelta) -> None:
        assert kill_child.run(str(self.config), ahead / timedelta(minutes=1), locked=False).exit_code == 0


@pytest.fixture
def site(tmp_path: Path, aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name, value in aws_environment(aws.endpoint_url, HOME).items():
        monkeypatch.setenv(name, value)
    return Site(tmp_path, aws)


def test_a_cluster_is_planned_cut_copied_recorded_and_judged(site: Site) -> None:
    assert site.drorch("policy", "check").code == 0
    planned = site.drorch("plan", "--json").json
    assert [action["action"] for action in planned["actions"]] == ["cut"]
    assert {(q["vault"], q["kind"], q["total"]) for q in planned["snapshot_quotas"]} == {
        (f"prod.{region}", "rds-cluster", 1 + 1 + 1) for region in (HOME, AWAY)
    }
    said = site.drorch("run", "--once", "--json")
    assert said.code == 0, said.err
    assert {f["outcome"] for f in said.json["finished"]} == {"done"}
    point = site.point()
    copies = {copy["vault"]: copy for copy in point["copies"]}
    assert {name: copy["state"] for name, copy in copies.items()} == {
        f"prod.{HOME}": "usable",
        f"prod.{AWAY}": "usable",
    }
    (made,), (copied,) = site.snapshots(HOME), site.snapshots(AWAY)
    assert made["DBClusterSnapshotIdentifier"] == f"drorch-{point['id']}"
    assert copied["DBClusterSnapshotIdentifier"] == f"drorch-{point['id']}-1"
    assert copied["KmsKeyId"] != made["KmsKeyId"]
    tags = {tag["Key"]: tag["Value"] for tag in copied["TagList"]}
    assert (tags["drorch:point"], tags["drorch:resource"], tags["team"]) == (point["id"], "seats", "travel")
    assert from_text(point["cut_at"]) <= made["SnapshotCreateTime"]
    status = site.drorch("status", "--check")
    assert status.code == 0, status.out
    left = {action["action"] for action in site.drorch("plan", "--json").json["actions"]}
    assert not left & {"cut", "copy", "record", "replicate", "mark", "expire"}


def test_the_record_in_the_vault_holds_what_a_restore_must_make_anew(site: Site) -> None:
    assert site.drorch("run", "--once").code == 0
    records = [json.loads(path.read_text()) for path in sorted(site.disk.glob("drorch/v1/records/**/native/*.json"))]
    assert {record["vault"] for record in records} == {f"prod.{HOME}", f"prod.{AWAY}"}
    for record in records:
        assert record["kind"] == "rds-cluster"
        (member,) = record["members"]
        settings = member["settings"]
        assert (settings["engine"], settings["engine_version"]) == ("aurora-postgresql", "16.4")
        assert [m["instance"] for m in settings["members"]] == ["seats-a", "seats-b"]
        assert {m["class"] for m in settings["members"]} == {"db.r6g.large"}
        assert member["identity"].startswith("cluster-")
        assert member["encrypted"] is True


def test_what_no_rule_keeps_is_marked_and_after_the_grace_deleted_in_both_regions(site: Site) -> None:
    site.live(timedelta())
    first = {region: site.snapshots(region)[0]["DBClusterSnapshotIdentifier"] for region in (HOME, AWAY)}
    site.live(WEEK)
    site.live(WEEK + timedelta(minutes=1))
    assert [len(site.snapshots(region)) for region in (HOME, AWAY)] == [2, 2], "marked, nothing deleted"
    site.live(WEEK + timedelta(days=3, minutes=2))
    for region in (HOME, AWAY):
        (left,) = site.snapshots(region)
        assert left["DBClusterSnapshotIdentifier"] != first[region]


def test_plan_says_when_the_policies_come_to_more_snapshots_than_a_region_takes(site: Site) -> None:
    policy = site.config.parent / "policies" / "shop.yaml"
    policy.write_text(policy.read_text().replace("keep: {last: 1}", "keep: {last: 99}"))
    said = site.drorch("plan")
    assert said.code == 0
    assert f"prod.{AWAY}: 1 of kind rds-cluster come to hold 99 kept + 2 in the grace of 3d = 101" in said.err


def test_a_restore_of_a_cluster_into_a_database_says_what_takes_it(site: Site) -> None:
    assert site.drorch("run", "--once").code == 0
    said = site.drorch("restore", "shop", "seats", "--into", "postgresql://localhost/seats", "--yes")
    assert said.code == 3
    assert "rds-cluster" in said.err
    assert "--into region:NAME" in said.err
