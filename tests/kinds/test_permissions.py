"""Each kind declares the IAM permissions that its calls need: all that it calls, and nothing that it does not."""

from __future__ import annotations

import subprocess
import sys

from native_clouds import (
    ACCOUNT,
    AWAY,
    HOME,
    POINT,
    USER_TAGS,
    EbsWorld,
    RdsWorld,
    copy_order,
    cut_order,
    listed,
    selected,
)

from drorch.kinds import ebs, rds_instance
from drorch.ports import CountsCopies


def seen(world: EbsWorld | RdsWorld) -> set[str]:
    return {f"{service}:{operation}" for service, operation, _ in world.aws.calls} - {"sts:GetCallerIdentity"}


def whole_life(world: EbsWorld | RdsWorld) -> None:
    """Everything that the port offers, once; STS tells anybody the time and needs no permission."""
    order = cut_order(selected(world))
    for call in range(len(world.kind.creating_calls(order.sources))):
        world.kind.cut(order, call)
    world.finish()
    for snapshot in listed(world):
        world.kind.copy(copy_order(snapshot))
    assert isinstance(world.kind, CountsCopies) and list(world.kind.pending_copies(ACCOUNT, AWAY))
    for copied in world.kind.find(ACCOUNT, AWAY, POINT):
        world.kind.expire(ACCOUNT, AWAY, copied.native_id)
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
    assert seen(ebs_world) | {"ec2:CreateTags"} == set(ebs.PERMISSIONS)


def test_rds_calls_what_it_declares(rds_world: RdsWorld) -> None:
    key = rds_world.new_key(AWAY)
    rds_world.source_with()
    rds_world.aws.calls.clear()
    rds_world.kind.check_key(ACCOUNT, AWAY, key)
    whole_life(rds_world)
    assert seen(rds_world) | {"rds:AddTagsToResource"} == set(rds_instance.PERMISSIONS)
    assert rds_world.aws.calls[("rds", "DescribeDBInstances", HOME)] == 1


def test_options_are_read_without_loading_an_sdk() -> None:
    code = (
        "import sys; import drorch.kinds.ebs, drorch.kinds.rds_instance, drorch.kinds.memory;"
        "sys.exit(any(name.partition('.')[0] in ('boto3', 'botocore', 'moto') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
