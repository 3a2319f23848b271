"""What EC2 and RDS answer: listings of snapshots and of what they are made from, over the network of `replies`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from fuzz.engine import Parser
from fuzz.replies import REGION, SCRIPT, WHEN, accounts, asked, client, reply, script

from drorch.aws import AMBIENT
from drorch.domain.canonical import canonical_bytes
from drorch.kinds.ami import AmiImages
from drorch.kinds.ami import Options as AmiOptions
from drorch.kinds.ebs import EbsSnapshots
from drorch.kinds.ebs import Options as EbsOptions
from drorch.kinds.rds_cluster import Options as ClusterOptions
from drorch.kinds.rds_cluster import RdsClusterSnapshots
from drorch.kinds.rds_instance import Options as RdsOptions
from drorch.kinds.rds_instance import RdsInstanceSnapshots

KINDS: Mapping[str, tuple[Any, str, Any]] = {
    "ec2": (EbsSnapshots, "ec2", EbsOptions.model_validate({"select": {"tags": {"app": "shop"}}})),
    "ec2-images": (AmiImages, "ec2", AmiOptions.model_validate({"select": {"tags": {"app": "shop"}}})),
    "rds": (RdsInstanceSnapshots, "rds", RdsOptions(identifier="shop")),
    "rds-cluster": (RdsClusterSnapshots, "rds", ClusterOptions(identifier="shop")),
}


@functools.cache
def _kind(name: str) -> Any:
    kind, service, _ = KINDS[name]
    client(service)
    return kind(accounts())


def _native_check(name: str) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        SCRIPT.load(data)
        kind, options = _kind(name), KINDS[name][2]
        if SCRIPT.call[:1] == b"v":
            found = asked(lambda: list(kind.sources(AMBIENT, REGION, [options])))
            for source in found or ():
                assert source.source_id and isinstance(source.bytes, int)
                canonical_bytes(source.settings)
        else:
            found = asked(lambda: list(kind.snapshots(AMBIENT, REGION, "acme")))
            for snapshot in found or ():
                assert snapshot.native_id
                assert isinstance(snapshot.progress, int)
                assert snapshot.started is None or snapshot.started.tzinfo is not None

    return check


def _tags(name: str, item: str, site: str = "acme") -> str:
    low = "" if item != "item" else "k"
    key, value = ("key", "value") if low else ("Key", "Value")
    return f"<{name}><{item}><{key}>drorch:site</{key}><{value}>{site}</{value}></{item}></{name}>"


def _planted_ec2() -> Mapping[str, bytes]:
    def page(following: str, *numbers: int) -> bytes:
        entries = "".join(
            f"<item><snapshotId>snap-{number}</snapshotId><volumeId>vol-1</volumeId><status>completed</status>"
            f"<startTime>{WHEN}</startTime><progress>100%</progress><volumeSize>8</volumeSize>"
            f"<encrypted>true</encrypted>{_tags('tagSet', 'item')}</item>"
            for number in numbers
        )
        more = f"<nextToken>{following}</nextToken>" if following else ""
        return reply(f"<DescribeSnapshotsResponse><snapshotSet>{entries}</snapshotSet>{more}"
                     "</DescribeSnapshotsResponse>".encode())  # fmt: skip

    volume = (
        "<item><volumeId>vol-1</volumeId><size>8</size><availabilityZone>us-east-1a</availabilityZone>"
        "<attachmentSet><item><instanceId>i-1</instanceId><device>/dev/sdf</device><status>attached</status></item>"
        f"</attachmentSet><iops>3000</iops>{_tags('tagSet', 'item')}</item>"
    )
    volumes = f"<DescribeVolumesResponse><volumeSet>{volume}</volumeSet></DescribeVolumesResponse>"
    error = "<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>"
    return {
        "snapshots": script("snapshots", page("", 1, 2)),
        "snapshots-pages": script("snapshots", page("t1", 1, 2), page("", 3)),
        "snapshots-limit": script("snapshots", page("t1", 1), reply(error.encode(), 503)),
        "volumes": script("volumes", reply(volumes.encode())),
    }


def _planted_images() -> Mapping[str, bytes]:
    def answer(call: str, items: str, entries: str) -> bytes:
        return reply(f"<{call}Response><{items}>{entries}</{items}></{call}Response>".encode())

    part = (
        "<item><snapshotId>snap-1</snapshotId><volumeId>vol-1</volumeId><status>completed</status>"
        f"<startTime>{WHEN}</startTime><volumeSize>8</volumeSize>{_tags('tagSet', 'item')}</item>"
    )
    image = (
        "<item><imageId>ami-1</imageId><imageState>{state}</imageState><name>drorch-1</name>"
        "<creationDate>2026-11-20T09:00:00.000Z</creationDate><blockDeviceMapping><item><deviceName>/dev/sda1</deviceName>"
        f"<ebs><snapshotId>snap-1</snapshotId></ebs></item></blockDeviceMapping>{_tags('tagSet', 'item')}</item>"
    )
    instance = (
        "<item><instancesSet><item><instanceId>i-1</instanceId><rootDeviceName>/dev/sda1</rootDeviceName>"
        "<blockDeviceMapping><item><ebs><volumeId>vol-1</volumeId></ebs></item></blockDeviceMapping>"
        f"<groupSet><item><groupId>sg-1</groupId></item></groupSet>{_tags('tagSet', 'item')}</item></instancesSet>"
        "</item>"
    )
    volume = "<item><volumeId>vol-1</volumeId><size>8</size></item>"
    snapshots = answer("DescribeSnapshots", "snapshotSet", part)
    states = {
        state: script("snapshots", snapshots, answer("DescribeImages", "imagesSet", image.format(state=state)))
        for state in ("available", "failed")
    }
    found = answer("DescribeInstances", "reservationSet", instance), answer("DescribeVolumes", "volumeSet", volume)
    return {**states, "volumes": script("volumes", *found)}


def _planted_rds() -> Mapping[str, bytes]:
    def page(following: str, *numbers: int) -> bytes:
        entries = "".join(
            f"<DBSnapshot><DBSnapshotIdentifier>drorch-{number}</DBSnapshotIdentifier>"
            f"<DBInstanceIdentifier>shop</DBInstanceIdentifier><Status>available</Status>"
            f"<SnapshotCreateTime>{WHEN}</SnapshotCreateTime><AllocatedStorage>20</AllocatedStorage>"
            f"<PercentProgress>100</PercentProgress>{_tags('TagList', 'Tag')}</DBSnapshot>"
            for number in numbers
        )
        more = f"<Marker>{following}</Marker>" if following else ""
        inner = f"<DescribeDBSnapshotsResult>{more}<DBSnapshots>{entries}</DBSnapshots></DescribeDBSnapshotsResult>"
        return reply(f"<DescribeDBSnapshotsResponse>{inner}</DescribeDBSnapshotsResponse>".encode())

    instance = (
        "<DBInstance><DBInstanceIdentifier>shop</DBInstanceIdentifier><AllocatedStorage>20</AllocatedStorage>"
        "<Endpoint><Port>5432</Port></Endpoint><DBSubnetGroup><VpcId>vpc-1</VpcId></DBSubnetGroup>"
        f"<DbiResourceId>db-1</DbiResourceId>{_tags('TagList', 'Tag')}</DBInstance>"
    )
    instances = (
        f"<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances>{instance}</DBInstances>"
        "</DescribeDBInstancesResult></DescribeDBInstancesResponse>"
    )
    return {
        "snapshots": script("snapshots", page("", 1, 2)),
        "snapshots-pages": script("snapshots", page("m1", 1, 2), page("", 3)),
        "volumes": script("v instances", reply(instances.encode())),
    }


def _planted_clusters() -> Mapping[str, bytes]:
    snapshot = (
        "<DBClusterSnapshot><DBClusterSnapshotIdentifier>drorch-1</DBClusterSnapshotIdentifier>"
        "<DBClusterIdentifier>shop</DBClusterIdentifier><Status>copying</Status>"
        f"<SnapshotCreateTime>{WHEN}</SnapshotCreateTime><StorageEncrypted>true</StorageEncrypted>"
        f"<PercentProgress>45</PercentProgress>{_tags('TagList', 'Tag')}</DBClusterSnapshot>"
    )
    listed = (
        "<DescribeDBClusterSnapshotsResponse><DescribeDBClusterSnapshotsResult><DBClusterSnapshots>"
        f"{snapshot}</DBClusterSnapshots></DescribeDBClusterSnapshotsResult></DescribeDBClusterSnapshotsResponse>"
    )
    member = "<DBInstanceIdentifier>shop-a</DBInstanceIdentifier>"
    cluster = (
        "<DBCluster><DBClusterIdentifier>shop</DBClusterIdentifier><Engine>aurora-postgresql</Engine>"
        f"<DBClusterMembers><DBClusterMember>{member}<IsClusterWriter>true</IsClusterWriter>"
        "<PromotionTier>1</PromotionTier></DBClusterMember></DBClusterMembers><ServerlessV2ScalingConfiguration>"
        f"<MinCapacity>0.5</MinCapacity></ServerlessV2ScalingConfiguration>{_tags('TagList', 'Tag')}</DBCluster>"
    )
    clusters = (
        f"<DescribeDBClustersResponse><DescribeDBClustersResult><DBClusters>{cluster}</DBClusters>"
        "</DescribeDBClustersResult></DescribeDBClustersResponse>"
    )
    instances = (
        f"<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances><DBInstance>{member}"
        "<DBClusterIdentifier>shop</DBClusterIdentifier><DBInstanceClass>db.r6g.large</DBInstanceClass></DBInstance>"
        "</DBInstances></DescribeDBInstancesResult></DescribeDBInstancesResponse>"
    )
    return {
        "snapshots": script("snapshots", reply(listed.encode())),
        "volumes": script("v clusters", reply(clusters.encode()), reply(instances.encode())),
    }


PARSERS = (
    Parser("rds-cluster", _native_check("rds-cluster"), _planted_clusters, 200),
    Parser("ec2", _native_check("ec2"), _planted_ec2, 200),
    Parser("ec2-images", _native_check("ec2-images"), _planted_images, 200),
    Parser("rds", _native_check("rds"), _planted_rds, 200),
)
