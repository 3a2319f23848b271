"""Each kind declares the IAM permissions that its calls need: all that it calls, and nothing that it does not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

from native_clouds import (
    ACCOUNT,
    AWAY,
    HOME,
    OTHER,
    POINT,
    SITE,
    USER_TAGS,
    AmiWorld,
    Cloud,
    EbsWorld,
    RdsClusterWorld,
    RdsWorld,
    copy_order,
    cut_order,
    listed,
    selected,
)
from native_restores import ID, AmiRestores, EbsRestores
from rds_restores import ID as RDS_ID
from rds_restores import ClusterRestores, InstanceRestores

from drorch.domain.native_restore import TAG_DRILL, Isolation
from drorch.kinds import ami, ebs, rds_cluster, rds_instance
from drorch.ports import CountsCopies, CountsSnapshots, LockMode, LocksCopies, SharesSnapshots, TellsLocks

World = AmiWorld | EbsWorld | RdsWorld | RdsClusterWorld


_STS = {"sts:GetCallerIdentity", "sts:AssumeRole"}


def seen(world: World) -> set[str]:
    return {f"{service}:{operation}" for service, operation, _ in world.aws.calls} - _STS


def whole_life(world: World) -> None:
    """Everything that the port offers, once; STS tells anybody the time and needs no permission."""
    order = cut_order(selected(world))
    for call in range(len(world.kind.creating_calls(order.sources))):
        world.kind.cut(order, call)
    world.finish()
    for snapshot in listed(world):
        world.kind.copy(copy_order(snapshot))
    if not isinstance(world, AmiWorld):  # `ebs` counts those of images
        assert isinstance(world.kind, CountsCopies) and list(world.kind.pending_copies(ACCOUNT, AWAY))
    if isinstance(world.kind, CountsSnapshots):
        assert world.kind.snapshot_rooms(ACCOUNT, AWAY)
    if isinstance(world.kind, TellsLocks):
        assert world.kind.locks(ACCOUNT, AWAY) == {}
    if isinstance(world.kind, LocksCopies):
        for snapshot in listed(world):
            until = world.kind.now(ACCOUNT, HOME) + timedelta(days=2)
            world.kind.lock(ACCOUNT, HOME, snapshot.native_id, LockMode.GOVERNANCE, until)
    if isinstance(world.kind, SharesSnapshots):
        order = copy_order(listed(world)[0], account=OTHER)
        world.kind.share(order)
        world.kind.copy(order)
        for native_id in tuple(world.kind.shared(ACCOUNT, HOME, SITE, OTHER)):
            world.kind.unshare(ACCOUNT, HOME, native_id, OTHER)
    for copied in world.kind.find(ACCOUNT, AWAY, POINT):
        for native_id in (copied.native_id, *(part.native_id for part in copied.parts)):
            world.kind.expire(ACCOUNT, AWAY, native_id)
    assert world.kind.find(ACCOUNT, AWAY, POINT) == ()
    world.kind.now(ACCOUNT, AWAY)


def test_ebs_calls_what_it_declares(ebs_world: EbsWorld) -> None:
    ec2 = ebs_world.client("ec2")
    key = ebs_world.new_key(AWAY)
    instance = ec2.run_instances(ImageId="ami-00000000", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    for device in ("/dev/sdf", "/dev/sdg"):
        ec2.attach_volume(VolumeId=ebs_world.source_with(tags=USER_TAGS), InstanceId=instance, Device=device)
    ebs_world.source_with()
    ebs_world.aws.calls.clear()
    ebs_world.kind.check_key(ACCOUNT, AWAY, key)
    whole_life(ebs_world)
    assert seen(ebs_world) | {"ec2:CreateTags"} == {*ebs.PERMISSIONS, *ebs.LOCKING}


def test_images_call_what_they_declare(ami_world: AmiWorld) -> None:
    key = ami_world.new_key(AWAY)
    ami_world.source_with()
    ami_world.aws.calls.clear()
    ami_world.kind.check_key(ACCOUNT, AWAY, key)
    whole_life(ami_world)
    assert seen(ami_world) | {"ec2:CreateTags"} == set(ami.PERMISSIONS)


def test_rds_calls_what_it_declares(rds_world: RdsWorld) -> None:
    key = rds_world.new_key(AWAY)
    rds_world.source_with(Engine="oracle-ee", EngineVersion="19", OptionGroupName=rds_world.option_group(HOME))
    rds_world.aws.calls.clear()
    rds_world.kind.check_key(ACCOUNT, AWAY, key)
    whole_life(rds_world)
    assert seen(rds_world) | {"rds:AddTagsToResource"} == set(rds_instance.PERMISSIONS)
    assert rds_world.aws.calls[("rds", "DescribeDBInstances", HOME)] == 1


def test_clusters_call_what_they_declare(cluster_world: RdsClusterWorld) -> None:
    key = cluster_world.new_key(AWAY)
    cluster_world.member_of(cluster_world.source_with(), "one", 1)
    cluster_world.aws.calls.clear()
    cluster_world.kind.check_key(ACCOUNT, AWAY, key)
    whole_life(cluster_world)
    assert seen(cluster_world) | {"rds:AddTagsToResource"} == set(rds_cluster.PERMISSIONS)
    assert cluster_world.aws.calls[("rds", "DescribeDBClusters", HOME)] == 1


def test_a_restore_of_ebs_calls_what_it_declares(aws: Cloud) -> None:
    world = EbsRestores(aws)
    made = world.ec2.run_instances(
        ImageId="ami-12345678", MinCount=1, MaxCount=1, Placement={"AvailabilityZone": f"{AWAY}a"}
    )
    attach = {"instance": made["Instances"][0]["InstanceId"]}
    key = world.world.new_key(AWAY)
    world.options = ebs.RestoreOptions.model_validate({"zone": f"{AWAY}a", "kms_key": key, "attach": attach})
    world.aws.calls.clear()
    restored_and_discarded(world)
    world.ec2.terminate_instances(InstanceIds=[attach["instance"]])
    world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID)
    called = seen(world.world) - {"ec2:TerminateInstances"}
    assert called | {"ec2:CreateTags"} == set(ebs.RESTORE_PERMISSIONS)


def test_a_restore_of_images_calls_what_it_declares(aws: Cloud) -> None:
    world = AmiRestores(aws)
    world.world.client("iam", AWAY).create_instance_profile(InstanceProfileName="web")
    world.ec2.create_key_pair(KeyName="shop")
    named = world.ec2.create_launch_template(LaunchTemplateName="shop-web", LaunchTemplateData={"KeyName": "shop"})
    world.options = world.chosen(instance_profile="web", key_name="shop")
    world.aws.calls.clear()
    restored_and_discarded(world)
    world.options = ami.RestoreOptions(launch_template=named["LaunchTemplate"]["LaunchTemplateName"])
    restored_and_discarded(world)
    assert seen(world.world) | {"ec2:CreateTags"} == set(ami.RESTORE_PERMISSIONS)


def restored_and_discarded(world: EbsRestores | AmiRestores) -> None:
    """Everything that the port of restores offers."""
    world.kind.check_restore(world.order())
    for _ in range(4):
        world.kind.advance(world.order())
        world.settle()
    assert world.kind.made(ACCOUNT, AWAY, TAG_DRILL)
    for _ in range(2):
        world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID)


def test_restores_of_databases_call_what_they_declare(aws: Cloud) -> None:
    instances = InstanceRestores(aws, encrypted=True)
    recorded = {**instances.part.settings, "parameter_groups": ["shop"], "option_groups": ["shop"]}
    instances.part = replace(instances.part, settings=recorded)
    instances.world.option_group(AWAY, engine="mysql", major="8.0")
    prepare_groups(instances)
    restored_and_discarded_databases(instances)
    assert seen(instances.world) | {"rds:AddTagsToResource", "ec2:CreateTags"} == set(rds_instance.RESTORE_PERMISSIONS)


def test_restores_of_clusters_call_what_they_declare(aws: Cloud) -> None:
    clusters = ClusterRestores(aws, encrypted=True)
    members = [{**each, "parameter_groups": ["shop"]} for each in clusters.part.settings["members"]]  # type: ignore[attr-defined]
    settings = {**clusters.part.settings, "members": members, "parameter_group": "shop"}
    clusters.part = replace(clusters.part, settings=settings)
    prepare_groups(clusters)
    restored_and_discarded_databases(clusters)
    assert seen(clusters.world) | {"rds:AddTagsToResource", "ec2:CreateTags"} == set(rds_cluster.RESTORE_PERMISSIONS)


def prepare_groups(world: InstanceRestores | ClusterRestores) -> None:
    """Groups of the region by the recorded names, and a key that the copy is encrypted with."""
    ec2, rds = world.world.client("ec2", AWAY), world.rds
    subnets = ec2.describe_subnets()["Subnets"]
    groups = ec2.describe_security_groups()["SecurityGroups"]
    of_one_vpc = [each["SubnetId"] for each in subnets if each["VpcId"] == groups[0]["VpcId"]]
    said = {"Description": "the shop's", "DBParameterGroupFamily": "shop"}
    rds.create_db_subnet_group(DBSubnetGroupName="shop", DBSubnetGroupDescription="-", SubnetIds=of_one_vpc[:2])
    rds.create_db_parameter_group(DBParameterGroupName="shop", **said)
    rds.create_db_cluster_parameter_group(DBClusterParameterGroupName="shop", **said)
    world.said = {"security_groups": (groups[0]["GroupId"],), "subnet_group": "shop"}
    world.aws.calls.clear()


def restored_and_discarded_databases(world: InstanceRestores | ClusterRestores) -> None:
    """Everything that the port of restores offers."""
    world.kind.check_restore(world.order())
    for _ in range(4):
        world.kind.advance(world.order())
        world.settle()
    assert world.kind.made(ACCOUNT, AWAY, TAG_DRILL)
    for _ in range(2):
        world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, RDS_ID)
    assert world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, RDS_ID) == ()
    del world.said["security_groups"]
    world.kind.advance(replace(world.order(subnet_group="default"), isolation=Isolation(("10.0.0.0/8",))))
    world.settle()
    for _ in range(3):
        world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, RDS_ID)
        world.settle()
    assert world.kind.made(ACCOUNT, AWAY, TAG_DRILL) == ()


def test_options_are_read_without_loading_an_sdk() -> None:
    code = (
        "import sys; import drorch.kinds.ami, drorch.kinds.ebs, drorch.kinds.rds_instance, drorch.kinds.rds_cluster;"
        "import drorch.kinds.memory;"
        "sys.exit(any(name.partition('.')[0] in ('boto3', 'botocore', 'moto') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
