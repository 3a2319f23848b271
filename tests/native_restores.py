"""One world per implementation of RestoresSnapshots: a copy of a point in AWAY, and what can happen to its restore.

In every world what a restore makes is not ready until `settle`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from native_clouds import (
    ACCOUNT,
    AWAY,
    HOME,
    POINT,
    AmiWorld,
    Cloud,
    EbsWorld,
    copy_order,
    cut_order,
    listed,
    selected,
)
from rds_restores import ClusterRestores, InstanceRestores

from drorch.domain.native import NativeSnapshot
from drorch.domain.native_restore import TAG_DRILL, NativeRestore, RestorePart
from drorch.kinds import ami, ebs
from drorch.ports import RestoresSnapshots

ID, OTHER_ID = "d7k2", "d9x4"
EXPIRES = {"drorch:expires-at": "2026-11-26T09:00:00Z"}


class RestoreWorld(Protocol):
    """What a test may do to a world beside calling its kind."""

    @property
    def kind(self) -> RestoresSnapshots:
        """What is tested, made anew at every look: as another process has it."""

    def order(self, restore: str = ID, tag: str = TAG_DRILL) -> NativeRestore:
        """The world's copy, to be brought back in AWAY."""

    def impossible(self) -> NativeRestore:
        """The same, with options that name what is not there."""

    def settle(self) -> None:
        """What was made becomes ready."""

    def break_down(self, native_id: str) -> None:
        """What was made ends in an error."""

    def things(self) -> Mapping[str, Mapping[str, str]]:
        """Id -> tags of all in AWAY that a restore could have made, whoever made it; what is gone is left out."""

    def stray(self, tags: Mapping[str, str]) -> str:
        """Somebody makes such a thing there, with these tags; its id."""

    def spoil_copy(self) -> None:
        """The copy is gone."""

    def fault(self, mode: str) -> None:
        """What the next creating call meets (`drorch.demo.faults.Mode`)."""

    def hide(self, listings: int) -> None:
        """So many of the next listings show what they showed before."""

    def lose(self, region: str) -> None:
        """The region does not answer."""

    def give_back(self, region: str) -> None:
        """It answers again."""


class _OnEc2:
    creating, listing = "", ""

    def __init__(self, cloud: Cloud, world: EbsWorld | AmiWorld) -> None:
        self.aws, self.world = cloud.aws, world
        self.ec2 = world.client("ec2", AWAY)
        self.lose, self.give_back = cloud.aws.lose_region, cloud.aws.recover_region
        self.settle: Callable[[], None] = cloud.aws.finish_ec2
        self.options: object = None
        self.parts: tuple[RestorePart, ...] = ()
        self.accounts = cloud.accounts

    def order(self, restore: str = ID, tag: str = TAG_DRILL) -> NativeRestore:
        tags = {tag: restore, "drorch:site": "acme", **EXPIRES}
        cut_at = datetime(2026, 11, 20, 9, tzinfo=UTC)
        return NativeRestore(ACCOUNT, AWAY, "shop", "data", POINT, cut_at, tag, restore, tags, self.parts, self.options)

    def fault(self, mode: Any) -> None:
        self.aws.fail_next(self.creating, mode)

    def hide(self, listings: int) -> None:
        self.aws.stale(self.listing, listings)

    def _copied(self) -> list[NativeSnapshot]:
        """A point of all the world's sources, copied into AWAY."""
        world = self.world
        order = cut_order(selected(world))
        for call in range(len(world.kind.creating_calls(order.sources))):
            world.kind.cut(order, call)
        world.finish()
        for snapshot in listed(world):
            world.kind.copy(copy_order(snapshot))
        world.finish()
        self.aws.set_ec2_transition("held")
        return listed(world, AWAY)


class EbsRestores(_OnEc2):
    """Two volumes."""

    creating, listing = "CreateVolume", "DescribeVolumes"

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud, EbsWorld(cloud))
        sources = [self.world.source_with() for _ in range(2)]
        settings = {"type": "gp3", "iops": 4000, "throughput": 250, "gib": 8}
        self.parts = tuple(
            RestorePart(snapshot.native_id, source_id=source, bytes=8 << 30, device=device, settings=settings)
            for snapshot, source, device in zip(self._copied(), sources, ("/dev/sdf", "/dev/sdg"), strict=True)
        )
        self.options = ebs.RestoreOptions(zone=f"{AWAY}a")

    @property
    def kind(self) -> ebs.EbsSnapshots:
        return ebs.EbsSnapshots(self.accounts)

    def impossible(self) -> NativeRestore:
        self.options = ebs.RestoreOptions(zone=f"{HOME}a")
        return self.order()

    def break_down(self, native_id: str) -> None:
        self.aws.fail_volume(AWAY, native_id)

    def things(self) -> Mapping[str, Mapping[str, str]]:
        found = self.ec2.describe_volumes()["Volumes"]
        return {v["VolumeId"]: {tag["Key"]: tag["Value"] for tag in v.get("Tags", ())} for v in found}

    def stray(self, tags: Mapping[str, str]) -> str:
        bearing = [{"Key": key, "Value": value} for key, value in tags.items()]
        specified = [{"ResourceType": "volume", "Tags": bearing}] if bearing else []
        made = self.ec2.create_volume(AvailabilityZone=f"{AWAY}a", Size=8, TagSpecifications=specified)
        return str(made["VolumeId"])

    def spoil_copy(self) -> None:
        self.ec2.delete_snapshot(SnapshotId=self.parts[0].native_id)


class AmiRestores(_OnEc2):
    """One instance with two volumes."""

    creating, listing = "RunInstances", "DescribeInstances"

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud, AmiWorld(cloud))
        source = self.world.source_with()
        (image,) = self._copied()
        settings = {
            "type": "m5.large",
            "subnet": "subnet-0123456789abcdef0",
            "security_groups": ["sg-0123456789abcdef0"],
        }
        parts = [RestorePart(p.native_id, "part", p.source_id, image=image.native_id) for p in image.parts]
        self.parts = (RestorePart(image.native_id, "image", source, instance=source, settings=settings), *parts)
        self.subnets = {s["AvailabilityZone"]: s["SubnetId"] for s in self.ec2.describe_subnets()["Subnets"]}
        self.group = self.ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
        self.options = self.chosen()

    def chosen(self, *zones: str, **more: Any) -> ami.RestoreOptions:
        """Into the subnets of these zones ("a"), in the region's one group."""
        subnets = [self.subnets[f"{AWAY}{zone}"] for zone in zones or ("a",)]
        return ami.RestoreOptions(**{"subnets": subnets, "security_groups": [self.group], **more})

    @property
    def kind(self) -> ami.AmiImages:
        return ami.AmiImages(self.accounts)

    def impossible(self) -> NativeRestore:
        self.options = ami.RestoreOptions(subnet="subnet-00000000000000000", security_groups=[self.group])
        return self.order()

    def break_down(self, native_id: str) -> None:
        self.aws.fail_instance(AWAY, native_id, "Client.InternalError", "Client error on launch")

    def entries(self) -> list[dict[str, Any]]:
        """Every instance that has not ended."""
        found = [i for group in self.ec2.describe_instances()["Reservations"] for i in group["Instances"]]
        return [instance for instance in found if instance["State"]["Name"] != "terminated"]

    def things(self) -> Mapping[str, Mapping[str, str]]:
        return {i["InstanceId"]: {t["Key"]: t["Value"] for t in i.get("Tags", ())} for i in self.entries()}

    def stray(self, tags: Mapping[str, str]) -> str:
        bearing = [{"Key": key, "Value": value} for key, value in tags.items()]
        specified = [{"ResourceType": "instance", "Tags": bearing}] if bearing else []
        made = self.ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, TagSpecifications=specified)
        return str(made["Instances"][0]["InstanceId"])

    def spoil_copy(self) -> None:
        self.ec2.deregister_image(ImageId=self.parts[0].native_id)


RESTORING_WORLDS: dict[str, Callable[[Callable[[], Cloud]], RestoreWorld]] = {
    "ebs": lambda open_cloud: EbsRestores(open_cloud()),
    "ami": lambda open_cloud: AmiRestores(open_cloud()),
    "rds-instance": lambda open_cloud: InstanceRestores(open_cloud()),
    "rds-cluster": lambda open_cloud: ClusterRestores(open_cloud()),
}
"""Name -> the world, of what opens the embedded cloud; a world that needs none does not call it."""
