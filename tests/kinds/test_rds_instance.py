"""What is particular to RDS: identifiers as keys, instances that are busy, settings for the restore, option groups."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from native_clouds import (
    ACCOUNT,
    AWAY,
    HOME,
    OTHER,
    POINT,
    SITE,
    USER_TAGS,
    RdsWorld,
    copy_order,
    cut,
    cut_order,
    listed,
    selected,
)
from pydantic import ValidationError

from drorch.domain.canonical import canonical_bytes
from drorch.domain.errors import (
    AlreadyExists,
    Busy,
    DrorchError,
    NotFound,
    OutcomeUnknown,
    Refused,
    Unavailable,
)
from drorch.domain.native import NativeSnapshot, SnapshotRoom, Source
from drorch.kinds.rds_instance import Options
from drorch.ports import CountsSnapshots


def test_the_identifier_of_a_cut_is_the_points_id(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    assert cut(rds_world).native_id == f"drorch-{POINT}"


def test_the_identifier_of_a_copy_carries_its_attempt(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    cut(rds_world)
    rds_world.finish()
    (first,) = listed(rds_world)
    assert rds_world.kind.copy(copy_order(first)).native_id == f"drorch-{POINT}-1"
    assert rds_world.kind.copy(copy_order(first, attempt=2)).native_id == f"drorch-{POINT}-2"
    with pytest.raises(AlreadyExists):
        rds_world.kind.copy(copy_order(first, attempt=2))


def test_an_instance_that_is_busy_makes_the_cut_wait(rds_world: RdsWorld) -> None:
    rds_world.aws.set_db_instance_transition("held")
    rds_world.source_with()
    with pytest.raises(Unavailable):
        cut(rds_world)
    rds_world.aws.finish_db_instances()
    assert cut(rds_world).state == "pending"


def test_a_lost_reply_is_unknown_and_find_shows_what_it_made(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    rds_world.aws.fail_next("CreateDBSnapshot", "after")
    with pytest.raises(OutcomeUnknown):
        cut(rds_world)
    assert [snapshot.native_id for snapshot in rds_world.kind.find(ACCOUNT, HOME, POINT)] == [f"drorch-{POINT}"]


def test_throttling_is_busy_and_made_nothing(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    rds_world.aws.fail_next("CreateDBSnapshot", "throttle")
    with pytest.raises(Busy):
        cut(rds_world)
    assert rds_world.kind.find(ACCOUNT, HOME, POINT) == ()


def test_a_full_snapshot_quota_is_busy_with_a_hint(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    rds_world.aws.set_quota(HOME, "rds", "L-272F1212", 0)
    with pytest.raises(Busy) as raised:
        cut(rds_world)
    assert "quota" in raised.value.hint
    assert "Cannot create more than 0 manual snapshots" in raised.value.cause


def test_everybodys_snapshots_are_counted_beside_the_quota(rds_world: RdsWorld) -> None:
    name = rds_world.source_with()
    rds_world.client("rds").create_db_snapshot(DBSnapshotIdentifier="by-hand", DBInstanceIdentifier=name)
    cut(rds_world)
    rds_world.aws.set_quota(HOME, "rds", "L-272F1212", 250)
    assert isinstance(rds_world.kind, CountsSnapshots)
    assert rds_world.kind.snapshot_rooms(ACCOUNT, HOME) == {
        "rds-instance": SnapshotRoom(2, 250),
        "rds-cluster": SnapshotRoom(0, 100),
    }


def test_a_listing_that_ends_half_way_is_unavailable(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    for number in range(5):
        cut(rds_world, f"point{number}")
    rds_world.short_pages()
    rds_world.aws.half("DescribeDBSnapshots")
    with pytest.raises(Unavailable):
        listed(rds_world)


def test_an_instance_says_what_its_restore_needs(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    rds_world.source_with()
    first, second = selected(rds_world, "shop-ledger1") + selected(rds_world, "shop-ledger2")
    assert first.identity.startswith("db-")
    assert first.identity != second.identity
    assert first.bytes == 20 << 30
    needed = {"engine", "engine_version", "class", "storage_type", "storage_gib", "port", "multi_az"}
    needed |= {"parameter_groups", "option_groups", "security_groups"}
    assert needed <= first.settings.keys()
    assert first.settings["engine"] == "postgres"
    assert b'"engine":"postgres"' in canonical_bytes(first.settings)


def test_what_a_restore_would_set_to_a_default_is_written_down(rds_world: RdsWorld) -> None:
    rds_world.source_with(
        EnableIAMDatabaseAuthentication=True,
        EnableCloudwatchLogsExports=["postgresql", "upgrade"],
        DeletionProtection=True,
        CopyTagsToSnapshot=True,
        AutoMinorVersionUpgrade=False,
        PreferredMaintenanceWindow="sun:03:00-sun:04:00",
        MultiAZ=True,
        StorageType="io1",
        Iops=3000,
        MaxAllocatedStorage=200,
        BackupRetentionPeriod=7,
    )
    (source,) = selected(rds_world)
    said = source.settings
    assert (said["iam_authentication"], said["deletion_protection"], said["copies_tags"]) == (True, True, True)
    assert said["log_exports"] == ["postgresql", "upgrade"]
    assert (said["minor_upgrades"], said["multi_az"]) == (False, True)
    assert said["maintenance_window"] == "sun:03:00-sun:04:00"
    assert (said["storage_type"], said["iops"], said["storage_gib_max"]) == ("io1", 3000, 200)
    assert (said["backup_days"], said["user"]) == (7, "owner")
    assert "not-a-secret" not in str(said)


def test_an_instance_of_a_cluster_is_refused_and_the_kind_of_clusters_named(rds_world: RdsWorld) -> None:
    member = Source("aurora-1", settings={"cluster": "aurora"})
    with pytest.raises(Refused, match="cluster") as refused:
        rds_world.kind.cut(cut_order([member]), 0)
    assert refused.value.hint == "kind: rds-cluster, identifier: aurora"
    assert rds_world.aws.calls[("rds", "CreateDBSnapshot", HOME)] == 0


def test_tags_that_rds_reserves_are_not_handed_on(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    (source,) = selected(rds_world)
    tagged = Source(source.source_id, tags={**USER_TAGS, "rds:primaryDB": "x", "aws:rds:primaryDBInstance": "y"})
    (made,) = rds_world.kind.cut(cut_order([tagged]), 0)
    assert {key for key in made.tags if not key.startswith("drorch:")} == set(USER_TAGS)


def test_a_copy_tells_when_the_original_was_cut(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    cut(rds_world)
    rds_world.finish()
    (first,) = listed(rds_world)
    rds_world.kind.copy(copy_order(first))
    (seen,) = listed(rds_world, AWAY)
    assert seen.origin == first.started


def test_a_source_snapshot_that_is_gone_is_not_found(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    cut(rds_world)
    rds_world.finish()
    (first,) = listed(rds_world)
    rds_world.client("rds").delete_db_snapshot(DBSnapshotIdentifier=first.native_id)
    with pytest.raises(NotFound):
        rds_world.kind.copy(copy_order(first))


def test_a_key_that_the_destination_does_not_know_is_refused_at_once(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    cut(rds_world)
    rds_world.finish()
    with pytest.raises(Refused):
        rds_world.kind.copy(copy_order(listed(rds_world)[0], key="0f0f0f0f-1111-2222-3333-444444444444"))
    assert listed(rds_world, AWAY) == []


# --- option groups


def oracle(world: RdsWorld, *options: str) -> NativeSnapshot:
    """A usable snapshot of an instance under an option group of its own with these options."""
    world.source_with(Engine="oracle-ee", EngineVersion="19", OptionGroupName=world.option_group(HOME, *options))
    cut(world)
    world.finish()
    (first,) = listed(world)
    return first


def group_of_the_copy(world: RdsWorld) -> str:
    (copied,) = world.client("rds", AWAY).describe_db_snapshots()["DBSnapshots"]
    return str(copied["OptionGroupName"])


def test_a_copy_gets_the_option_group_of_the_same_name_in_its_region(rds_world: RdsWorld) -> None:
    first = oracle(rds_world, "Timezone")
    rds_world.option_group(AWAY, "Timezone", "S3_INTEGRATION")
    rds_world.kind.copy(copy_order(first))
    assert group_of_the_copy(rds_world) == "shop"


def test_without_options_that_bind_a_copy_is_made_under_the_default_group(rds_world: RdsWorld) -> None:
    first = oracle(rds_world, "S3_INTEGRATION")
    rds_world.kind.copy(copy_order(first))
    assert group_of_the_copy(rds_world).startswith("default:oracle-ee")


def test_a_group_of_another_engine_is_not_taken_for_the_snapshots(rds_world: RdsWorld) -> None:
    first = oracle(rds_world)
    rds_world.option_group(AWAY, engine="mysql", major="8.0")
    rds_world.kind.copy(copy_order(first))
    assert group_of_the_copy(rds_world).startswith("default:oracle-ee")


@pytest.mark.parametrize(
    ("there", "cause"),
    [
        (None, "no such group"),
        ({"options": ("S3_INTEGRATION",)}, "it lacks Timezone"),
        ({"options": ("Timezone",), "major": "21", "engine": "oracle-ee-cdb"}, "oracle-ee-cdb, not oracle-ee"),
    ],
)
def test_a_copy_that_cannot_do_without_its_options_names_the_group_to_make(
    rds_world: RdsWorld, there: dict[str, Any] | None, cause: str
) -> None:
    first = oracle(rds_world, "Timezone", "S3_INTEGRATION")
    if there is not None:
        rds_world.option_group(AWAY, *there.pop("options"), **there)
    with pytest.raises(Refused, match="option group shop") as refused:
        rds_world.kind.copy(copy_order(first))
    assert cause in refused.value.cause
    assert f"make option group shop in {AWAY}" in refused.value.hint
    assert "oracle-ee 19 with Timezone" in refused.value.hint
    assert refused.value.vault == f"{ACCOUNT}.{AWAY}"
    assert rds_world.aws.calls[("rds", "CopyDBSnapshot", AWAY)] == 0


def test_where_nobody_may_look_at_option_groups_the_copy_is_made_as_rds_allows(rds_world: RdsWorld) -> None:
    first = oracle(rds_world, "S3_INTEGRATION")
    rds_world.option_group(AWAY, "S3_INTEGRATION")
    client = rds_world.kind._accounts.client("rds", ACCOUNT, AWAY)

    def denied(**_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        message = "not authorized to perform: rds:DescribeOptionGroups"
        return AWSResponse("", 403, {}, None), {
            "Error": {"Code": "AccessDenied", "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": 403},
        }

    client.meta.events.register("before-call.rds.DescribeOptionGroups", denied)
    try:
        rds_world.kind.copy(copy_order(first))
    finally:
        client.meta.events.unregister("before-call.rds.DescribeOptionGroups", denied)
    assert group_of_the_copy(rds_world).startswith("default:oracle-ee")


def test_nobody_asks_for_the_groups_of_an_instance_under_the_default_one(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    cut(rds_world)
    rds_world.finish()
    rds_world.kind.copy(copy_order(listed(rds_world)[0]))
    assert not [name for _, name, _ in rds_world.aws.calls if name == "DescribeOptionGroups"]


def test_a_refusal_about_the_option_group_says_what_is_missing(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    cut(rds_world)
    rds_world.finish()
    (first,) = listed(rds_world)
    client = rds_world.kind._accounts.client("rds", ACCOUNT, AWAY, repeatable=False)

    def refusal(**_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        message = "The snapshot requires a target option group with the following options: Timezone"
        return AWSResponse("", 400, {}, None), {
            "Error": {"Code": "InvalidParameterCombination", "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": 400},
        }

    client.meta.events.register("before-call.rds.CopyDBSnapshot", refusal)
    try:
        with pytest.raises(Refused, match="Timezone") as refused:
            rds_world.kind.copy(copy_order(first))
    finally:
        client.meta.events.unregister("before-call.rds.CopyDBSnapshot", refusal)
    assert "option group" in refused.value.hint
    assert AWAY in refused.value.hint


# --- deletions


def in_the_wrong_state(world: RdsWorld, native_id: str) -> DrorchError:
    """What `expire` raises when RDS says that the snapshot is in a state in which it does not go."""
    client = world.kind._accounts.client("rds", ACCOUNT, HOME)

    def answer(**_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        return AWSResponse("", 400, {}, None), {
            "Error": {"Code": "InvalidDBSnapshotState", "Message": "another service manages it"},
            "ResponseMetadata": {"HTTPStatusCode": 400},
        }

    client.meta.events.register("before-call.rds.DeleteDBSnapshot", answer)
    try:
        with pytest.raises(DrorchError) as raised:
            world.kind.expire(ACCOUNT, HOME, native_id)
    finally:
        client.meta.events.unregister("before-call.rds.DeleteDBSnapshot", answer)
    return raised.value


def test_a_snapshot_at_rest_that_rds_does_not_let_go_is_refused_with_a_hint(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    made = cut(rds_world)
    rds_world.finish()
    refused = in_the_wrong_state(rds_world, made.native_id)
    assert isinstance(refused, Refused)
    assert "AWS Backup" in refused.hint
    assert (refused.resource, refused.vault) == (made.native_id, f"{ACCOUNT}.{HOME}")
    assert "another service manages it" in refused.cause
    assert len(listed(rds_world)) == 1


def test_a_snapshot_in_the_making_or_gone_meanwhile_is_asked_for_later(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    made = cut(rds_world)
    for native_id in (made.native_id, "drorch-gone"):
        assert isinstance(in_the_wrong_state(rds_world, native_id), Unavailable)


def test_a_region_lost_before_the_second_look_leaves_the_deletion_for_later(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    made = cut(rds_world)
    rds_world.finish()
    rds_world.aws.fail_next("DescribeDBSnapshots", "before")
    assert isinstance(in_the_wrong_state(rds_world, made.native_id), Unavailable)


def test_a_copy_whose_source_is_deleted_under_it_fails_and_never_becomes_usable(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    cut(rds_world)
    rds_world.finish()
    (source,) = listed(rds_world)
    rds_world.kind.copy(copy_order(source))
    rds_world.kind.expire(ACCOUNT, HOME, source.native_id)
    rds_world.finish()
    assert [snapshot.state for snapshot in listed(rds_world, AWAY)] == ["failed"]


def test_a_snapshot_under_the_points_identifier_is_found_even_without_tags(rds_world: RdsWorld) -> None:
    name = rds_world.source_with()
    rds_world.client("rds").create_db_snapshot(DBSnapshotIdentifier=f"drorch-{POINT}", DBInstanceIdentifier=name)
    (found,) = rds_world.kind.find(ACCOUNT, HOME, POINT)
    assert dict(found.tags) == {}
    assert listed(rds_world) == []


@pytest.mark.parametrize("identifier", ["", "Shop", "shop_ledger", "shop--ledger", "shop-", "1shop", "s" * 64])
def test_identifiers_that_rds_does_not_take_are_refused(identifier: str) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate({"identifier": identifier})


def test_options_of_another_kind_are_a_fault_of_the_caller(rds_world: RdsWorld) -> None:
    with pytest.raises(TypeError):
        rds_world.kind.select(object(), [Source("shop")])


# --- other accounts


def test_a_snapshot_whose_options_bind_it_is_refused_by_name_before_it_is_shared(rds_world: RdsWorld) -> None:
    with pytest.raises(Refused, match="option group shop keeps it from being shared") as refused:
        rds_world.kind.share(copy_order(oracle(rds_world, "TDE"), account=OTHER))
    assert "TDE" in refused.value.cause
    assert rds_world.aws.calls["rds", "ModifyDBSnapshotAttribute", HOME] == 0


@pytest.mark.parametrize("option", ["Timezone", "S3_INTEGRATION"])
def test_options_that_do_not_keep_it_from_being_shared(rds_world: RdsWorld, option: str) -> None:
    first = oracle(rds_world, option)
    rds_world.kind.share(copy_order(first, account=OTHER))
    assert list(rds_world.kind.shared(ACCOUNT, HOME, SITE, OTHER)) == [first.native_id]


def test_what_people_share_is_no_sharing_of_drorch(rds_world: RdsWorld) -> None:
    rds_world.source_with()
    rds = rds_world.client("rds")
    rds.create_db_snapshot(DBSnapshotIdentifier="by-hand", DBInstanceIdentifier="shop-ledger1")
    rds_world.finish()
    rds.modify_db_snapshot_attribute(
        DBSnapshotIdentifier="by-hand", AttributeName="restore", ValuesToAdd=["222222222222"]
    )
    assert list(rds_world.kind.shared(ACCOUNT, HOME, SITE, OTHER)) == []
