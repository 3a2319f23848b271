"""What could be protected, listed without a filter: against the embedded cloud."""

from __future__ import annotations

import pytest
from native_clouds import ACCOUNT, HOME, EbsWorld, RdsWorld

from drorch.domain.errors import Unavailable
from drorch.domain.unprotected import KINDS
from drorch.kinds import everything
from drorch.kinds.everything import AwsEverything


def test_every_volume_is_seen_tagged_or_not_on_an_instance_or_not(ebs_world: EbsWorld) -> None:
    ec2 = ebs_world.client("ec2")
    instance = ec2.run_instances(ImageId="ami-00000000", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    tagged = ebs_world.source_with(tags={"app": "shop"})
    ec2.attach_volume(VolumeId=tagged, InstanceId=instance, Device="/dev/sdf")
    plain = ec2.create_volume(AvailabilityZone=f"{HOME}a", Size=8)["VolumeId"]
    ebs_world.short_pages()
    found = {s.source_id: s for s in AwsEverything(ebs_world.aws_accounts).sources("ebs", ACCOUNT, HOME)}
    assert {tagged, plain} < set(found)
    assert (found[tagged].instance, found[tagged].tags, found[tagged].bytes) == (instance, {"app": "shop"}, 8 << 30)
    assert (found[plain].instance, found[plain].tags) == ("", {})


def test_instances_of_a_cluster_are_told_as_the_cluster(rds_world: RdsWorld) -> None:
    rds = rds_world.client("rds")
    alone = rds_world.source_with()
    rds.create_db_cluster(
        DBClusterIdentifier="shop-cluster",
        Engine="aurora-postgresql",
        MasterUsername="owner",
        MasterUserPassword="not-a-secret",
        Tags=[{"Key": "app", "Value": "shop"}],
    )
    rds.create_db_instance(
        DBInstanceIdentifier="shop-cluster-1",
        DBClusterIdentifier="shop-cluster",
        DBInstanceClass="db.r6g.large",
        Engine="aurora-postgresql",
    )
    listing = AwsEverything(rds_world.aws_accounts)
    (instance,) = listing.sources("rds-instance", ACCOUNT, HOME)
    (cluster,) = listing.sources("rds-cluster", ACCOUNT, HOME)
    assert (instance.source_id, instance.settings, instance.bytes) == (alone, {"engine": "postgres"}, 20 << 30)
    assert (cluster.source_id, cluster.settings) == ("shop-cluster", {"engine": "aurora-postgresql"})
    assert cluster.tags == {"app": "shop"}


def test_a_region_that_does_not_answer_is_not_empty(ebs_world: EbsWorld) -> None:
    ebs_world.lose(HOME)
    try:
        for kind in KINDS:
            with pytest.raises(Unavailable):
                list(AwsEverything(ebs_world.aws_accounts).sources(kind, ACCOUNT, HOME))
    finally:
        ebs_world.give_back(HOME)


def test_it_calls_what_it_declares(ebs_world: EbsWorld) -> None:
    ebs_world.aws.calls.clear()
    for kind in KINDS:
        list(AwsEverything(ebs_world.aws_accounts).sources(kind, ACCOUNT, HOME))
    seen = {f"{service}:{operation}" for service, operation, _ in ebs_world.aws.calls} - {"sts:GetCallerIdentity"}
    assert seen == set(everything.PERMISSIONS)
    assert set(ebs_world.aws.calls.values()) == {1}
