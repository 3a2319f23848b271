"""What is particular to clusters: members and their settings, keys that cannot be given, times that are not told."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from native_clouds import (
    ACCOUNT,
    AWAY,
    HOME,
    POINT,
    RdsClusterWorld,
    copy_order,
    cut,
    cut_order,
    listed,
    selected,
)
from pydantic import ValidationError

from drorch.domain.canonical import canonical_bytes
from drorch.domain.errors import AlreadyExists, Busy, NotFound, NotInThisVersion, OutcomeUnknown, Refused, Unavailable
from drorch.domain.native import NativeSnapshot, Source
from drorch.kinds import rds_instance
from drorch.kinds.rds_cluster import Options


def finished_cut(world: RdsClusterWorld) -> NativeSnapshot:
    cut(world)
    world.finish()
    (first,) = listed(world)
    return first


def answering(world: RdsClusterWorld, operation: str, region: str, change: Any) -> Any:
    """Every reply to `operation` there is changed before it is read; call what is returned to end that."""
    client = world.kind._accounts.client("rds", ACCOUNT, region)

    def answer(parsed: dict[str, Any], **_: Any) -> None:
        change(parsed)

    client.meta.events.register(f"after-call.rds.{operation}", answer)
    return lambda: client.meta.events.unregister(f"after-call.rds.{operation}", answer)


def test_identifiers_are_the_points_id_and_a_copys_attempt(cluster_world: RdsClusterWorld) -> None:
    cluster_world.source_with()
    first = finished_cut(cluster_world)
    assert first.native_id == f"drorch-{POINT}"
    assert cluster_world.kind.copy(copy_order(first, attempt=2)).native_id == f"drorch-{POINT}-2"
    with pytest.raises(AlreadyExists):
        cluster_world.kind.copy(copy_order(first, attempt=2))


def test_the_snapshots_of_clusters_and_of_instances_are_not_mixed(cluster_world: RdsClusterWorld) -> None:
    cluster_world.source_with()
    cut(cluster_world)
    instances = rds_instance.RdsInstanceSnapshots(cluster_world.kind._accounts)
    assert list(instances.snapshots(ACCOUNT, HOME, "acme")) == []
    assert instances.find(ACCOUNT, HOME, POINT) == ()
    instances.expire(ACCOUNT, HOME, f"drorch-{POINT}")
    assert len(listed(cluster_world)) == 1


def test_automated_snapshots_are_never_listed(cluster_world: RdsClusterWorld) -> None:
    cluster_world.source_with()
    shown = cluster_world.client("rds").describe_db_cluster_snapshots(SnapshotType="automated")
    assert shown["DBClusterSnapshots"], "moto makes one with the cluster"
    assert list(cluster_world.kind._manual(ACCOUNT, HOME)) == []


def test_a_cluster_that_is_not_available_makes_the_cut_wait(cluster_world: RdsClusterWorld) -> None:
    cluster_world.aws.set_db_instance_transition("held")
    cluster_world.source_with()
    with pytest.raises(Unavailable):
        cut(cluster_world)
    cluster_world.aws.finish_db_instances()
    assert cut(cluster_world).state == "pending"


def test_a_lost_reply_is_unknown_and_find_shows_what_it_made(cluster_world: RdsClusterWorld) -> None:
    cluster_world.source_with()
    cluster_world.aws.fail_next("CreateDBClusterSnapshot", "after")
    with pytest.raises(OutcomeUnknown):
        cut(cluster_world)
    assert [snapshot.native_id for snapshot in cluster_world.kind.find(ACCOUNT, HOME, POINT)] == [f"drorch-{POINT}"]


def test_a_full_snapshot_quota_is_busy_with_a_hint(
    cluster_world: RdsClusterWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster_world.source_with()
    monkeypatch.setenv("MOTO_RDS_SNAPSHOT_LIMIT", "1")
    with pytest.raises(Busy) as full:
        cut(cluster_world)
    assert "quota" in full.value.hint


def test_a_listing_that_ends_half_way_is_unavailable(cluster_world: RdsClusterWorld) -> None:
    cluster_world.source_with()
    for number in range(5):
        cut(cluster_world, f"point{number}")
    cluster_world.short_pages()
    cluster_world.aws.half("DescribeDBClusterSnapshots")
    with pytest.raises(Unavailable):
        listed(cluster_world)


# --- what a restore needs


def test_a_cluster_says_what_its_restore_needs_members_included(cluster_world: RdsClusterWorld) -> None:
    name = cluster_world.source_with(
        EnableCloudwatchLogsExports=["postgresql"],
        EnableIAMDatabaseAuthentication=True,
        DeletionProtection=True,
        ServerlessV2ScalingConfiguration={"MinCapacity": 0.5, "MaxCapacity": 16.0},
    )
    for member, tier in (("writer", 7), ("spare", 2), ("heir", 1)):
        cluster_world.member_of(name, member, tier)
    (source,) = selected(cluster_world)
    assert source.identity.startswith("cluster-")
    settings = source.settings
    assert (settings["engine"], settings["engine_version"]) == ("aurora-postgresql", "16.4")
    assert (settings["iam_authentication"], settings["deletion_protection"]) == (True, True)
    assert settings["log_exports"] == ["postgresql"]
    assert settings["serverless_v2"] == {"MinCapacity": "0.5", "MaxCapacity": "16"}
    needed = {"port", "user", "parameter_group", "subnet_group", "security_groups", "option_groups", "zones"}
    assert needed <= settings.keys()
    members: Any = settings["members"]
    assert [(m["instance"], m["writer"], m["promotion_tier"]) for m in members] == [
        ("writer", True, 7),
        ("heir", False, 1),
        ("spare", False, 2),
    ]
    assert {m["class"] for m in members} == {"db.r6g.large"}
    assert all("parameter_groups" in m for m in members)
    assert b'"promotion_tier":7' in canonical_bytes(settings)


def test_instances_are_listed_only_for_a_cluster_that_has_some(cluster_world: RdsClusterWorld) -> None:
    cluster_world.source_with()
    cluster_world.aws.calls.clear()
    (source,) = selected(cluster_world)
    assert source.settings["members"] == []
    assert cluster_world.aws.calls[("rds", "DescribeDBInstances", HOME)] == 0


def test_a_multi_az_db_cluster_is_a_cluster_like_any_other(cluster_world: RdsClusterWorld) -> None:
    name = cluster_world.source_with(
        Engine="mysql",
        EngineVersion="8.0.39",
        DBClusterInstanceClass="db.m6gd.large",
        StorageType="io1",
        AllocatedStorage=100,
        Iops=1000,
    )
    (source,) = selected(cluster_world)
    assert (source.source_id, source.bytes) == (name, 100 << 30)
    assert (source.settings["class"], source.settings["iops"]) == ("db.m6gd.large", 1000)
    assert cut(cluster_world).state == "pending"


@pytest.mark.parametrize("engine", ["neptune", "docdb"])
def test_clusters_of_other_services_that_the_listing_shows_are_not_cut(
    cluster_world: RdsClusterWorld, engine: str
) -> None:
    with pytest.raises(NotInThisVersion, match=engine):
        cluster_world.kind.cut(cut_order([Source("graph", settings={"engine": engine})]), 0)
    assert cluster_world.aws.calls[("rds", "CreateDBClusterSnapshot", HOME)] == 0


# --- copies


def test_a_key_for_the_copy_of_a_plain_snapshot_is_refused_before_the_call(cluster_world: RdsClusterWorld) -> None:
    cluster_world.source_with()
    first = finished_cut(cluster_world)
    with pytest.raises(Refused, match="not encrypted") as refused:
        cluster_world.kind.copy(copy_order(first, key=cluster_world.new_key(AWAY)))
    assert "kms_key" in refused.value.hint
    assert refused.value.vault == f"{ACCOUNT}.{AWAY}"
    assert listed(cluster_world, AWAY) == []
    assert cluster_world.aws.calls[("rds", "CopyDBClusterSnapshot", AWAY)] == 0


def test_a_copy_never_tells_when_its_source_was_made_whatever_time_it_shows(cluster_world: RdsClusterWorld) -> None:
    cluster_world.source_with()
    cluster_world.kind.copy(copy_order(finished_cut(cluster_world)))
    (seen,) = listed(cluster_world, AWAY)
    assert seen.origin is None


def test_a_copy_in_the_making_is_pending_and_then_usable(cluster_world: RdsClusterWorld) -> None:
    cluster_world.source_with()
    cluster_world.kind.copy(copy_order(finished_cut(cluster_world)))
    shown = cluster_world.client("rds", AWAY).describe_db_cluster_snapshots()["DBClusterSnapshots"]
    assert [one["Status"] for one in shown] == ["copying"]
    assert [snapshot.state for snapshot in listed(cluster_world, AWAY)] == ["pending"]
    cluster_world.finish()
    assert [snapshot.state for snapshot in listed(cluster_world, AWAY)] == ["usable"]


def test_a_copy_request_is_signed_for_the_source_region(cluster_world: RdsClusterWorld) -> None:
    cluster_world.source_with()
    first = finished_cut(cluster_world)
    client = cluster_world.kind._accounts.client("rds", ACCOUNT, AWAY, repeatable=False)
    sent: dict[str, Any] = {}

    def note(params: dict[str, Any], **_: Any) -> None:
        sent.update(params["body"])

    client.meta.events.register_last("before-call.rds.CopyDBClusterSnapshot", note)
    try:
        cluster_world.kind.copy(copy_order(first))
    finally:
        client.meta.events.unregister("before-call.rds.CopyDBClusterSnapshot", note)
    assert f"%2F{HOME}%2Frds%2Faws4_request" in sent["PreSignedUrl"]
    assert "SourceRegion" not in sent
    assert sent["SourceDBClusterSnapshotIdentifier"].startswith(f"arn:aws:rds:{HOME}:")


def test_a_source_snapshot_that_is_gone_is_not_found(cluster_world: RdsClusterWorld) -> None:
    cluster_world.source_with()
    first = finished_cut(cluster_world)
    cluster_world.client("rds").delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=first.native_id)
    with pytest.raises(NotFound):
        cluster_world.kind.copy(copy_order(first))


def test_a_key_that_the_destination_does_not_know_is_refused_at_once(cluster_world: RdsClusterWorld) -> None:
    cluster_world.source_with(key=cluster_world.new_key(HOME))
    first = finished_cut(cluster_world)
    with pytest.raises(Refused):
        cluster_world.kind.copy(copy_order(first, key="0f0f0f0f-1111-2222-3333-444444444444"))
    assert listed(cluster_world, AWAY) == []


# --- states and deletions


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("available", "usable"),
        ("creating", "pending"),
        ("copying", "pending"),
        ("failed", "failed"),
        ("inaccessible-encryption-credentials", "failed"),
    ],
)
def test_a_status_that_is_not_known_is_a_failure_in_its_own_words(
    cluster_world: RdsClusterWorld, status: str, state: str
) -> None:
    cluster_world.source_with()
    cut(cluster_world)

    def change(parsed: dict[str, Any]) -> None:
        for entry in parsed["DBClusterSnapshots"]:
            entry["Status"] = status

    end = answering(cluster_world, "DescribeDBClusterSnapshots", HOME, change)
    try:
        (seen,) = listed(cluster_world)
    finally:
        end()
    assert (seen.state, status in seen.why) == (state, state == "failed")


def test_a_snapshot_at_rest_that_rds_does_not_let_go_is_refused_with_a_hint(cluster_world: RdsClusterWorld) -> None:
    cluster_world.source_with()
    first = finished_cut(cluster_world)
    client = cluster_world.kind._accounts.client("rds", ACCOUNT, HOME)

    def answer(**_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        return AWSResponse("", 400, {}, None), {
            "Error": {"Code": "InvalidDBClusterSnapshotStateFault", "Message": "another service manages it"},
            "ResponseMetadata": {"HTTPStatusCode": 400},
        }

    client.meta.events.register("before-call.rds.DeleteDBClusterSnapshot", answer)
    try:
        with pytest.raises(Refused) as refused:
            cluster_world.kind.expire(ACCOUNT, HOME, first.native_id)
    finally:
        client.meta.events.unregister("before-call.rds.DeleteDBClusterSnapshot", answer)
    assert "AWS Backup" in refused.value.hint
    assert len(listed(cluster_world)) == 1


def test_a_copy_whose_source_is_deleted_under_it_fails_and_never_becomes_usable(cluster_world: RdsClusterWorld) -> None:
    cluster_world.source_with()
    first = finished_cut(cluster_world)
    cluster_world.kind.copy(copy_order(first))
    cluster_world.kind.expire(ACCOUNT, HOME, first.native_id)
    cluster_world.finish()
    assert [snapshot.state for snapshot in listed(cluster_world, AWAY)] == ["failed"]


@pytest.mark.parametrize("identifier", ["", "Shop", "shop_orders", "shop--orders", "shop-", "1shop", "s" * 64])
def test_identifiers_that_rds_does_not_take_are_refused(identifier: str) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate({"identifier": identifier})


def test_options_of_instances_are_not_those_of_clusters(cluster_world: RdsClusterWorld) -> None:
    with pytest.raises(TypeError):
        cluster_world.kind.select(rds_instance.Options(identifier="shop"), [Source("shop")])
