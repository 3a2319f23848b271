"""What is particular to restored instances of RDS: names, groups of the region, classes, what no restore call takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from native_clouds import ACCOUNT, AWAY, HOME, Cloud
from pydantic import ValidationError
from rds_restores import ID, InstanceRestores

from drorch.domain.errors import Busy, Refused, Unavailable
from drorch.domain.native_restore import READY, TAG_DRILL, TAG_RESTORE, RestoreProgress
from drorch.kinds.rds_family.restore_notes import by_hand, differences
from drorch.kinds.rds_family.restore_request import instance_request
from drorch.kinds.rds_instance import RestoreOptions

DRILLED = f"drorch-drill-{ID}-data"


def restored(world: InstanceRestores, tag: str = TAG_RESTORE, **said: Any) -> RestoreProgress:
    """Called until it is ready."""
    world.kind.advance(world.order(tag=tag, **said))
    world.settle()
    progress = world.kind.advance(world.order(tag=tag, **said))
    assert progress.done
    return progress


def refused(world: InstanceRestores, tag: str = TAG_RESTORE, **said: Any) -> Refused:
    """By the check and by the action alike, and nothing is made."""
    before = world.things()
    order = world.order(tag=tag, **said)
    for asked in (world.kind.check_restore, world.kind.advance):
        with pytest.raises(Refused) as raised:
            asked(order)
    assert world.things() == before
    assert raised.value.vault == f"{ACCOUNT}.{AWAY}"
    return raised.value


# --- what may be said


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"class": "m5.large"}, "class"),
        ({"class": "db.m5.large", "classes": ["db.m6g.large"]}, "class: NAME, or classes"),
        ({"port": 80}, "port"),
        ({"security_groups": "shop"}, "security_groups"),
        ({"security_groups": []}, "security_groups"),
        ({"name": "Shop"}, "name"),
        ({"public": "yes"}, "public"),
        ({"zone": "us-east-1a"}, "zone"),
    ],
)
def test_what_makes_no_sense_is_no_option(said: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        RestoreOptions.model_validate(said)


def test_every_option_says_what_may_be_written() -> None:
    assert [name for name, field in RestoreOptions.model_fields.items() if not field.description] == []


# --- as recorded


def test_what_was_recorded_comes_back_where_the_call_takes_it(aws: Cloud) -> None:
    world = InstanceRestores(
        aws,
        MultiAZ=True,
        StorageType="io1",
        Iops=3000,
        BackupRetentionPeriod=7,
        PreferredBackupWindow="04:00-04:30",
        EnableIAMDatabaseAuthentication=True,
        EnableCloudwatchLogsExports=["postgresql"],
        CopyTagsToSnapshot=True,
        DeletionProtection=True,
        Port=5433,
    )
    progress = restored(world)
    shown = world.shown(progress.made[0].native_id)
    assert (shown["MultiAZ"], shown["StorageType"], shown["Iops"]) == (True, "io1", 3000)
    assert (shown["BackupRetentionPeriod"], shown["PreferredBackupWindow"]) == (7, "04:00-04:30")
    assert (shown["IAMDatabaseAuthenticationEnabled"], shown["DeletionProtection"]) == (True, True)
    assert shown["EnabledCloudwatchLogsExports"] == ["postgresql"]
    assert shown["Endpoint"]["Port"] == 5433
    assert progress.made[0].endpoint == f"{shown['Endpoint']['Address']}:5433"
    assert (progress.made[0].address, progress.made[0].import_id) == ("aws_db_instance", "back-d7k2")
    assert [note for note in progress.notes if "now" in note.split(": ")[-1]] == []


def test_there_is_no_endpoint_before_it_is_available(aws: Cloud) -> None:
    world = InstanceRestores(aws)
    begun = world.kind.advance(world.order())
    assert (begun.made[0].endpoint, begun.notes) == ("", ())
    assert begun.waiting == f"database instance {DRILLED} is creating"


def test_what_was_public_is_not_unless_it_is_said_and_the_difference_is_told(aws: Cloud) -> None:
    world = InstanceRestores(aws, PubliclyAccessible=True)
    assert any("public: true" in note for note in world.kind.check_restore(world.order()))
    progress = restored(world)
    assert world.shown("back-d7k2")["PubliclyAccessible"] is False
    assert any("publicly accessible" in note for note in progress.notes)


def test_a_drill_is_never_protected_from_deletion(aws: Cloud) -> None:
    world = InstanceRestores(aws, DeletionProtection=True)
    progress = restored(world, TAG_DRILL)
    assert world.shown(DRILLED)["DeletionProtection"] is False
    assert "deletion protection: on at the cut, off now" in progress.notes
    assert world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID) == ()


def test_what_no_restore_call_takes_is_told_with_the_command_that_sets_it(aws: Cloud) -> None:
    world = InstanceRestores(aws, PreferredMaintenanceWindow="sun:03:00-sun:04:00", MaxAllocatedStorage=200)
    told = "\n".join(world.kind.check_restore(world.order(tag=TAG_RESTORE)))
    command = f"aws rds modify-db-instance --region {AWAY} --db-instance-identifier back-d7k2 --apply-immediately"
    assert f"{command} --preferred-maintenance-window sun:03:00-sun:04:00 --max-allocated-storage 200" in told
    assert "\n".join(restored(world).notes) == told
    assert not [name for _, name, _ in world.aws.calls if name.startswith("Modify")]


# --- names


def test_the_recorded_name_is_taken_where_it_is_free(aws: Cloud) -> None:
    world = InstanceRestores(aws)
    order = world.order(tag=TAG_RESTORE)
    order = replace(order, options=RestoreOptions(security_groups="default"))
    assert world.kind.advance(order).made[0].native_id == world.source


def test_a_name_that_somebody_has_is_refused_with_the_way_out(aws: Cloud) -> None:
    world = InstanceRestores(aws)
    name = world.stray({"drorch:restore": "another"})
    error = refused(world, name=name)
    assert name in error.message
    assert error.hint.startswith("name: ANOTHER")


def test_a_name_taken_while_the_listing_did_not_show_it_is_refused_and_left_alone(aws: Cloud) -> None:
    world = InstanceRestores(aws)
    world.kind.check_restore(world.order(name="stray1", tag=TAG_RESTORE))
    world.stray({})
    world.hide(1)
    with pytest.raises(Refused) as raised:
        world.kind.advance(world.order(name="stray1", tag=TAG_RESTORE))
    assert "does not bear this restore's tag" in raised.value.cause
    assert world.things() == {"stray1": {}}


def test_a_drill_makes_nothing_under_a_name_that_could_be_anybodys(aws: Cloud) -> None:
    world = InstanceRestores(aws)
    assert "drorch-drill-" in refused(world, TAG_DRILL, name="shop-ledger-2").hint


def test_what_another_resource_of_the_same_restore_made_is_not_taken_for_its_own(aws: Cloud) -> None:
    world = InstanceRestores(aws)
    order = world.order()
    tags = {**order.tags, "drorch:resource": "data"}
    world.kind.advance(replace(order, tags=tags))
    other = replace(order, resource="ledger", tags={**tags, "drorch:resource": "ledger"})
    made = world.kind.advance(other).made
    assert [each.native_id for each in made] == [f"drorch-drill-{ID}-ledger"]
    assert len(world.things()) == 2


# --- groups of the region


def test_recorded_groups_are_taken_where_the_region_has_them(aws: Cloud) -> None:
    world = InstanceRestores(aws)
    world.part = replace(world.part, settings={**world.part.settings, "parameter_groups": ["shop-pg"]})
    error = refused(world)
    assert "parameter_group:" in error.hint
    assert "shop-pg" in error.message
    world.rds.create_db_parameter_group(
        DBParameterGroupName="shop-pg", DBParameterGroupFamily="postgres16", Description="the shop's"
    )
    restored(world)
    assert world.shown("back-d7k2")["DBParameterGroups"][0]["DBParameterGroupName"] == "shop-pg"


@pytest.mark.parametrize("kind", ["parameter", "option"])
def test_the_default_group_is_taken_when_it_is_said_and_told(aws: Cloud, kind: str) -> None:
    world = InstanceRestores(aws)
    world.part = replace(world.part, settings={**world.part.settings, f"{kind}_groups": ["shop"]})
    assert f"{kind}_group:" in refused(world).hint
    progress = restored(world, **{f"{kind}_group": "default"})
    assert any(note.startswith(f"{kind} groups: shop at the cut, default") for note in progress.notes)


def test_nobody_guesses_security_groups(aws: Cloud) -> None:
    world = InstanceRestores(aws)
    world.said = {}
    world.part = replace(world.part, settings={**world.part.settings, "security_groups": ["sg-0123456789abcdef0"]})
    assert "security_groups: default" in refused(world).hint
    assert "sg-0123456789abcdef0" in refused(world, security_groups=("sg-0123456789abcdef0",)).message
    world.part = replace(world.part, settings={})
    assert "security_groups" in refused(world).hint


def test_security_groups_of_the_region_are_taken_and_those_of_another_vpc_refused(aws: Cloud) -> None:
    world = InstanceRestores(aws)
    ec2 = world.world.client("ec2", AWAY)
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="shop", Description="the shop's", VpcId=vpc)["GroupId"]
    subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"] if s["VpcId"] != vpc][:2]
    world.rds.create_db_subnet_group(DBSubnetGroupName="shop", DBSubnetGroupDescription="-", SubnetIds=subnets)
    assert "two VPCs" in refused(world, subnet_group="shop", security_groups=(group,)).message
    restored(world, security_groups=(group,))
    assert [g["VpcSecurityGroupId"] for g in world.shown("back-d7k2")["VpcSecurityGroups"]] == [group]


# --- classes


def test_the_next_class_is_taken_where_the_first_has_no_capacity_and_told(aws: Cloud) -> None:
    world = InstanceRestores(aws)
    world.aws.exhaust_class(AWAY, "db.r6g.large")
    progress = restored(world, classes=("db.r6g.large", "db.r5.large"))
    assert world.shown("back-d7k2")["DBInstanceClass"] == "db.r5.large"
    assert "class: db.t3.micro at the cut, db.r5.large now" in progress.notes


def test_no_capacity_for_any_class_is_busy_and_a_later_call_makes_it(aws: Cloud) -> None:
    world = InstanceRestores(aws)
    world.aws.exhaust_class(AWAY, "db.t3.micro")
    with pytest.raises(Busy) as raised:
        world.kind.advance(world.order())
    assert "classes: [" in raised.value.hint
    assert world.things() == {}


def test_a_class_that_the_region_does_not_offer_is_refused_before_anything_is_made(aws: Cloud) -> None:
    world = InstanceRestores(aws)
    world.aws.withhold_class(AWAY, "db.t3.micro")
    assert "class: NAME" in refused(world).hint


# --- the copy and its key


def test_a_copy_under_way_is_waited_for(aws: Cloud) -> None:
    world = InstanceRestores(aws)
    world.rds.copy_db_snapshot(
        SourceDBSnapshotIdentifier=world.part.native_id, TargetDBSnapshotIdentifier="drorch-under-way"
    )
    order = replace(world.order(), parts=(replace(world.part, native_id="drorch-under-way"),))
    with pytest.raises(Unavailable):
        world.kind.advance(order)
    assert world.things() == {}


# --- drills


def test_a_database_with_a_drills_tag_and_a_name_of_its_own_is_never_deleted(aws: Cloud) -> None:
    world = InstanceRestores(aws)
    name = world.stray({TAG_DRILL: ID})
    restored(world, TAG_DRILL)
    assert world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID) == ()
    assert set(world.things()) == {name}


def test_what_bears_both_tags_is_held(aws: Cloud) -> None:
    world = InstanceRestores(aws)
    order = world.order()
    world.kind.advance(replace(order, tags={**order.tags, TAG_RESTORE: "r1"}))
    world.settle()
    assert world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID) == ()
    assert world.aws.calls[("rds", "DeleteDBInstance", AWAY)] == 0
    assert len(world.things()) == 1


def test_one_that_somebody_protected_from_deletion_is_refused_and_stays(aws: Cloud) -> None:
    world = InstanceRestores(aws)
    restored(world, TAG_DRILL)
    world.rds.modify_db_instance(DBInstanceIdentifier=DRILLED, DeletionProtection=True, ApplyImmediately=True)
    with pytest.raises(Refused):
        world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID)
    assert set(world.things()) == {DRILLED}


def test_nothing_is_restored_at_home_by_an_order_for_elsewhere(aws: Cloud) -> None:
    world = InstanceRestores(aws)
    restored(world)
    assert [state for _, made in world.kind.made(ACCOUNT, AWAY, TAG_RESTORE) for state in [made.state]] == [READY]
    assert world.kind.made(ACCOUNT, HOME, TAG_RESTORE) == ()


# --- without a cloud


@pytest.mark.parametrize(
    ("recorded", "said", "wanted"),
    [
        ({"storage_type": "gp3", "iops": 3000, "throughput": 125}, {}, {"StorageType": "gp3"}),
        (
            {"storage_type": "gp3", "iops": 12000, "throughput": 500},
            {},
            {"StorageType": "gp3", "Iops": 12000, "StorageThroughput": 500},
        ),
        ({"storage_type": "gp2", "iops": 300}, {}, {"StorageType": "gp2"}),
        ({"storage_type": "io1", "iops": 3000}, {}, {"StorageType": "io1", "Iops": 3000}),
        ({"storage_type": "io1", "iops": 3000}, {"storage_type": "gp3"}, {"StorageType": "gp3"}),
        ({}, {}, {}),
    ],
)
def test_volumes_are_asked_for_only_with_what_their_type_takes(
    recorded: dict[str, Any], said: dict[str, Any], wanted: dict[str, Any]
) -> None:
    request = instance_request(RestoreOptions(**said), recorded, drill=False)
    assert {key: request[key] for key in ("StorageType", "Iops", "StorageThroughput") if key in request} == wanted


def test_processor_features_go_with_their_class_alone() -> None:
    recorded = {"class": "db.r5.large", "processor": [{"Name": "coreCount", "Value": "1"}]}
    assert "ProcessorFeatures" in instance_request(RestoreOptions(), recorded, drill=False)
    other = RestoreOptions.model_validate({"class": "db.r6g.large"})
    assert "ProcessorFeatures" not in instance_request(other, recorded, drill=False)


def test_what_remains_by_hand_is_named_one_by_one() -> None:
    recorded = {
        "managed_password": True,
        "roles": ["arn:aws:iam::111111111111:role/s3"],
        "domains": ["d-1234567890"],
        "replica_of": "shop-main",
        "monitoring_seconds": 60,
        "monitoring_role": "arn:aws:iam::111111111111:role/m",
        "performance_insights": True,
    }
    told = "\n".join(by_hand("instance", "new", AWAY, recorded))
    for word in ("Secrets Manager", "role/s3", "d-1234567890", "replica of shop-main", "--enable-performance-insights"):
        assert word in told
    assert "--monitoring-interval 60 --monitoring-role-arn arn:aws:iam::111111111111:role/m" in told
    assert [*by_hand("instance", "new", AWAY, {})] == [
        "event subscriptions, alarms, DNS records and read replicas of new are not made anew: by hand"
    ]


def test_default_groups_of_two_versions_are_no_difference() -> None:
    was, now = {"parameter_groups": ["default.postgres15"]}, {"parameter_groups": ["default.postgres16"]}
    assert [*differences(was, now)] == []
    assert [*differences({"multi_az": True}, {})] == ["Multi-AZ: on at the cut, none now"]
