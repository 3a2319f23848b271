"""The network of a drill's own: a security group that is made, closed, found again and let go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from native_clouds import ACCOUNT, AWAY, Cloud
from rds_restores import ID, ClusterRestores, InstanceRestores

from drorch.domain.errors import OutcomeUnknown, Refused, Unavailable
from drorch.domain.native_restore import TAG_DRILL, TAG_RESTORE, Isolation, NativeRestore
from drorch.kinds.isolation import group_name

World = InstanceRestores | ClusterRestores
LAN, LAN6 = "10.0.0.0/8", "fd00::/8"
CALLS = (
    "CreateSecurityGroup",
    "RevokeSecurityGroupEgress",
    "AuthorizeSecurityGroupIngress",
)


@pytest.fixture(params=[InstanceRestores, ClusterRestores], ids=["instance", "cluster"])
def world(request: pytest.FixtureRequest, aws: Cloud) -> World:
    of: Callable[[Cloud], World] = request.param
    made = of(aws)
    made.said = {}
    return made


@pytest.fixture
def instance(aws: Cloud) -> InstanceRestores:
    made = InstanceRestores(aws)
    made.said = {}
    return made


def isolated(world: World, *reach_from: str, restore: str = ID, **said: Any) -> NativeRestore:
    return replace(world.order(restore, **said), isolation=Isolation(reach_from))


def ec2(world: World) -> Any:
    return world.world.client("ec2", AWAY)


def groups(world: World) -> list[dict[str, Any]]:
    """Those of drills, by their names."""
    found = ec2(world).describe_security_groups()["SecurityGroups"]
    return [group for group in found if group["GroupName"].startswith("drorch-drill-")]


def ready(world: World, order: NativeRestore) -> None:
    for _ in range(3):
        progress = world.kind.advance(order)
        world.settle()
    assert world.kind.advance(order).done, progress


def used(world: World) -> list[str]:
    """The groups of everything that was made."""
    instances = world.rds.describe_db_instances()["DBInstances"]
    return sorted({g["VpcSecurityGroupId"] for each in instances for g in each["VpcSecurityGroups"]})


def discarded(world: World) -> None:
    for _ in range(4):
        if not world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID):
            return
        world.settle()
    raise AssertionError("something is left")


def test_what_a_drill_makes_lies_in_a_closed_group_of_its_own_and_both_go(world: World) -> None:
    order = isolated(world)
    ready(world, order)
    (group,) = groups(world)
    assert used(world) == [group["GroupId"]]
    assert (group["IpPermissions"], group["IpPermissionsEgress"]) == ([], [])
    assert {tag["Key"]: tag["Value"] for tag in group["Tags"]} == dict(order.tags)
    (told,) = [m for _, m in world.kind.made(ACCOUNT, AWAY, TAG_DRILL, ID) if m.what == "security group"]
    assert told.native_id == group["GroupId"]
    discarded(world)
    assert groups(world) == [] and not world.things()


def test_named_sources_alone_come_in_to_the_databases_port_alone(instance: InstanceRestores) -> None:
    probes = ec2(instance).describe_security_groups()["SecurityGroups"][0]["GroupId"]
    ready(instance, isolated(instance, LAN, LAN6, probes))
    (group,) = groups(instance)
    (shown,) = instance.rds.describe_db_instances()["DBInstances"]
    port = shown["Endpoint"]["Port"]
    assert {(r["IpProtocol"], r["FromPort"], r["ToPort"]) for r in group["IpPermissions"]} == {("tcp", port, port)}
    rules = group["IpPermissions"]
    assert [r["CidrIp"] for rule in rules for r in rule["IpRanges"]] == [LAN]
    assert [r["CidrIpv6"] for rule in rules for r in rule["Ipv6Ranges"]] == [LAN6]
    assert [r["GroupId"] for rule in rules for r in rule["UserIdGroupPairs"]] == [probes]
    assert group["IpPermissionsEgress"] == []


def test_a_drill_that_was_killed_before_its_database_was_made_is_known_by_its_group(world: World) -> None:
    world.aws.fail_next(world.creating, "before")
    with pytest.raises((Unavailable, OutcomeUnknown)):
        world.kind.advance(isolated(world))
    assert [drill for drill, _ in world.kind.made(ACCOUNT, AWAY, TAG_DRILL)] == [ID]
    discarded(world)
    assert groups(world) == []


def test_the_check_makes_no_group(world: World) -> None:
    world.kind.check_restore(isolated(world))
    assert groups(world) == []


@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("call", CALLS)
def test_a_lost_call_ends_in_one_group_that_is_closed(instance: InstanceRestores, call: str, fault: Any) -> None:
    order = isolated(instance, LAN)
    instance.aws.fail_next(call, fault)
    with pytest.raises((Unavailable, OutcomeUnknown)):
        instance.kind.advance(order)
    assert not instance.things(), "nothing is made before its network is closed"
    ready(instance, order)
    (group,) = groups(instance)
    assert group["IpPermissionsEgress"] == []
    assert [r["CidrIp"] for rule in group["IpPermissions"] for r in rule["IpRanges"]] == [LAN]
    assert used(instance) == [group["GroupId"]]


def test_a_group_that_something_uses_stays_until_it_does_not(instance: InstanceRestores) -> None:
    ready(instance, isolated(instance))
    (group,) = groups(instance)
    other = ec2(instance).create_security_group(GroupName="other", Description="-", VpcId=group["VpcId"])["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "UserIdGroupPairs": [{"GroupId": group["GroupId"]}]}
    ec2(instance).authorize_security_group_ingress(GroupId=other, IpPermissions=[rule])
    for _ in range(3):
        left = instance.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID)
        instance.settle()
    assert [(m.what, m.native_id) for m in left] == [("security group", group["GroupId"])]
    assert "still in use" in left[0].detail
    ec2(instance).delete_security_group(GroupId=other)
    assert instance.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID) == () and groups(instance) == []


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("web", {TAG_DRILL: ID}),
        ("drorch-drill-web", {TAG_DRILL: ID}),
        (group_name("rds-instance", ID), {TAG_DRILL: "another"}),
        (group_name("rds-instance", ID), {TAG_DRILL: ID, TAG_RESTORE: "shop/data/p"}),
        (group_name("rds-instance", ID), {}),
        (group_name("rds-cluster", ID), {TAG_DRILL: ID}),
    ],
)
def test_a_group_that_no_drill_of_this_id_and_kind_made_is_never_deleted(
    instance: InstanceRestores, name: str, tags: dict[str, str]
) -> None:
    said = [{"ResourceType": "security-group", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}]
    given = {"TagSpecifications": said} if tags else {}
    made = ec2(instance).create_security_group(GroupName=name, Description="-", **given)["GroupId"]
    instance.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID)
    assert made in [group["GroupId"] for group in ec2(instance).describe_security_groups()["SecurityGroups"]]


def test_wildcards_in_an_id_reach_no_other_drills_group(instance: InstanceRestores) -> None:
    ready(instance, isolated(instance))
    discarding = instance.kind.discard(ACCOUNT, AWAY, TAG_DRILL, "*")
    assert discarding == () and len(groups(instance)) == 1


def test_a_group_that_lets_in_what_nobody_named_is_refused(instance: InstanceRestores) -> None:
    instance.aws.fail_next("RestoreDBInstanceFromDBSnapshot", "before")
    with pytest.raises((Unavailable, OutcomeUnknown)):
        instance.kind.advance(isolated(instance, LAN))
    with pytest.raises(Refused, match="lets in what nobody named") as raised:
        instance.kind.advance(isolated(instance))
    assert LAN in raised.value.cause and not instance.things()


def test_a_region_without_a_default_vpc_is_told(instance: InstanceRestores) -> None:
    client = ec2(instance)
    (vpc,) = [v["VpcId"] for v in client.describe_vpcs()["Vpcs"] if v["IsDefault"]]
    for subnet in client.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]:
        client.delete_subnet(SubnetId=subnet["SubnetId"])
    client.delete_vpc(VpcId=vpc)
    with pytest.raises(Refused, match="in which VPC"):
        instance.kind.check_restore(isolated(instance))
