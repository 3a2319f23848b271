"""One world per implementation of SnapshotKind, all with the same handles, for the contract and the kinds' own tests.

In every world `HOME` and `AWAY` are two regions of the account `prod`, and snapshots stay pending until `finish`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from clouds import REGIONS, aws_environment, client, embedded_aws
from faults import FaultySnapshots

from drorch.aws import AwsAccount, AwsAccounts
from drorch.demo.aws import ACCOUNT as MINE
from drorch.demo.aws import EmbeddedAws
from drorch.domain.native import NativeSnapshot, Source
from drorch.kinds import ami, ebs, rds_cluster, rds_instance
from drorch.kinds.memory import MemoryCloud, MemorySnapshots
from drorch.kinds.memory.images import MemoryImages
from drorch.ports import CopyOrder, CutOrder, SnapshotKind

ACCOUNT = "prod"
OTHER, OTHER_ID = "vault", "222222222222"
"""A second account; the worlds of AWS take its role on."""
HOME, AWAY = REGIONS[0], REGIONS[1]
SITE = "acme"
POINT = "abcdefghij2345670000"
OTHER_POINT = "zyxwvutsrq2345670000"
USER_TAGS = {"app": "shop", "tier": "data"}


class World(Protocol):
    """What a test may do to a world beside calling its kind."""

    @property
    def kind(self) -> SnapshotKind:
        """What is tested."""

    def options(self, source: str = "") -> object:
        """Options that select what `source_with` made (as RDS: the source of that id)."""

    def source_with(self, *, key: str = "", tags: Mapping[str, str] = USER_TAGS) -> str:
        """A new source at HOME, encrypted when a key is named; its id."""

    def new_key(self, region: str, account: str = ACCOUNT) -> str:
        """A usable key of an account in `region`."""

    def finish(self) -> None:
        """Everything pending becomes usable."""

    def fail(self, snapshot: NativeSnapshot, why: str) -> None:
        """One snapshot ends in an error."""

    def lose(self, region: str) -> None:
        """The region does not answer."""

    def give_back(self, region: str) -> None:
        """It answers again."""

    def leave_no_place(self, region: str) -> None:
        """No copy into `region` may be begun."""

    def allow(self, region: str, snapshots: int) -> None:
        """So many snapshots may be in `region`, in the worlds that limit them."""

    def short_pages(self) -> None:
        """Listings come in pages of two."""

    def present(self) -> datetime:
        """What the provider's clocks say."""

    def lose_the_reply_to_expire(self) -> None:
        """The next deletion happens, and its reply does not come."""


class UsedWorld(World, Protocol):
    """A world in which something may need a snapshot."""

    def use(self, snapshot: NativeSnapshot) -> str:
        """An image uses the snapshot from now on; the image's id."""

    def let_go(self, image: str) -> None:
        """The image is gone."""


class _AwsWorld:
    deletion = ""

    def __init__(self, cloud: Cloud) -> None:
        self.aws = aws = cloud.aws
        self.aws_accounts = cloud.accounts
        os.environ.update(aws_environment(aws.endpoint_url, HOME))  # for this test: tests/conftest.py takes it back
        aws.reset()
        if "vault" in cloud.accounts._sessions:
            cloud.accounts.close()  # the keys that STS handed out are gone, too
        aws.set_snapshot_transition("held")
        self.finish: Callable[[], None] = aws.finish_snapshots
        self.lose = aws.lose_region
        self.give_back = aws.recover_region

    def client(self, service: str, region: str = HOME) -> Any:
        """A plain client that asks once."""
        return client(self.aws, service, region)

    def new_key(self, region: str, account: str = ACCOUNT) -> str:
        kms = self.aws_accounts.client("kms", account, region)
        key = kms.create_key(KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName=f"alias/{key[:8]}", TargetKeyId=key)
        return f"alias/{key[:8]}"

    def fail(self, snapshot: NativeSnapshot, why: str) -> None:
        self.aws.fail_snapshot(snapshot.region, snapshot.native_id, why)

    def leave_no_place(self, region: str) -> None:
        clusters = self.kind.kind == "rds-cluster"
        self.aws.set_copy_places("rds-cluster" if clusters else self.kind.service, 0)

    def allow(self, region: str, snapshots: int) -> None:
        for code in ("L-272F1212", "L-9B510759"):
            self.aws.set_quota(region, "rds", code, snapshots)

    def short_pages(self) -> None:
        self.aws.cap_pages(2)

    def present(self) -> datetime:
        return datetime.now(UTC)

    def lose_the_reply_to_expire(self) -> None:
        self.aws.fail_next(self.deletion, "after")


class EbsWorld(_AwsWorld):
    """EBS on the embedded cloud."""

    deletion = "DeleteSnapshot"

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.kind = ebs.EbsSnapshots(cloud.accounts)

    def options(self, source: str = "") -> object:
        return ebs.Options(select=ebs.Select(tags=USER_TAGS))

    def source_with(self, *, key: str = "", tags: Mapping[str, str] = USER_TAGS) -> str:
        encryption: dict[str, Any] = {"Encrypted": True, "KmsKeyId": key} if key else {}
        bearing = [{"Key": tag, "Value": value} for tag, value in tags.items()]
        made = self.client("ec2").create_volume(
            AvailabilityZone=f"{HOME}a",
            Size=8,
            TagSpecifications=[{"ResourceType": "volume", "Tags": bearing}],
            **encryption,
        )
        return str(made["VolumeId"])

    def use(self, snapshot: NativeSnapshot) -> str:
        made = self.client("ec2", snapshot.region).register_image(
            Name="golden",
            RootDeviceName="/dev/sda1",
            BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot.native_id}}],
        )
        return str(made["ImageId"])

    def let_go(self, image: str) -> None:
        self.client("ec2").deregister_image(ImageId=image)


class AmiWorld(_AwsWorld):
    """Images of instances, each with two volumes, on the embedded cloud."""

    deletion = "DeregisterImage"
    DEVICES = ("/dev/sda1", "/dev/sdf")

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.kind = ami.AmiImages(cloud.accounts)

    def options(self, source: str = "") -> object:
        return ami.Options(select=ami.Select(tags=USER_TAGS))

    def source_with(self, *, key: str = "", tags: Mapping[str, str] = USER_TAGS) -> str:
        encryption: dict[str, Any] = {"Encrypted": True, "KmsKeyId": key} if key else {}
        bearing = [{"Key": tag, "Value": value} for tag, value in tags.items()]
        made = self.client("ec2").run_instances(
            ImageId="ami-12345678",
            MinCount=1,
            MaxCount=1,
            BlockDeviceMappings=[{"DeviceName": d, "Ebs": {"VolumeSize": 8, **encryption}} for d in self.DEVICES],
            TagSpecifications=[{"ResourceType": "instance", "Tags": bearing}],
        )["Instances"]
        return str(made[0]["InstanceId"])


class RdsWorld(_AwsWorld):
    """RDS instances on the embedded cloud."""

    deletion = "DeleteDBSnapshot"

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.kind = rds_instance.RdsInstanceSnapshots(cloud.accounts)
        self._made = 0

    def options(self, source: str = "shop-ledger1") -> object:
        return rds_instance.Options(identifier=source)

    def option_group(self, region: str, *options: str, engine: str = "oracle-ee", major: str = "19") -> str:
        """Option group `shop` there, with these options; its name."""
        rds = self.client("rds", region)
        said = {"OptionGroupName": "shop", "OptionGroupDescription": "the shop's"}
        rds.create_option_group(**said, EngineName=engine, MajorEngineVersion=major)
        if options:
            included = [{"OptionName": option} for option in options]
            rds.modify_option_group(OptionGroupName="shop", OptionsToInclude=included)
        return "shop"

    def source_with(self, *, key: str = "", tags: Mapping[str, str] = USER_TAGS, **more: Any) -> str:
        self._made += 1
        name = f"shop-ledger{self._made}"
        self.client("rds").create_db_instance(
            DBInstanceIdentifier=name,
            DBInstanceClass="db.t3.micro",
            MasterUsername="owner",
            MasterUserPassword="not-a-secret",
            AllocatedStorage=20,
            Tags=[{"Key": tag, "Value": value} for tag, value in tags.items()],
            **{"Engine": "postgres", **more},
            **({"StorageEncrypted": True, "KmsKeyId": key} if key else {}),
        )
        return name


class RdsClusterWorld(_AwsWorld):
    """Aurora clusters on the embedded cloud."""

    deletion = "DeleteDBClusterSnapshot"

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.kind = rds_cluster.RdsClusterSnapshots(cloud.accounts)
        self._made = 0

    def options(self, source: str = "shop-orders1") -> object:
        return rds_cluster.Options(identifier=source)

    def source_with(self, *, key: str = "", tags: Mapping[str, str] = USER_TAGS, **more: Any) -> str:
        self._made += 1
        name = f"shop-orders{self._made}"
        self.client("rds").create_db_cluster(
            DBClusterIdentifier=name,
            MasterUsername="owner",
            MasterUserPassword="not-a-secret",
            Tags=[{"Key": tag, "Value": value} for tag, value in tags.items()],
            **{"Engine": "aurora-postgresql", "EngineVersion": "16.4", **more},
            **({"StorageEncrypted": True, "KmsKeyId": key} if key else {}),
        )
        return name

    def member_of(self, cluster: str, name: str, tier: int) -> None:
        """One more instance of a cluster."""
        self.client("rds").create_db_instance(
            DBInstanceIdentifier=name,
            DBInstanceClass="db.r6g.large",
            Engine="aurora-postgresql",
            DBClusterIdentifier=cluster,
            PromotionTier=tier,
        )


class MemoryWorld:
    """The public fake, as EBS (`named` false) or as RDS."""

    def __init__(self, *, named: bool = False, images: bool = False) -> None:
        self.now = datetime(2026, 11, 20, 9, 0, 0, 250_000, tzinfo=UTC)
        self.cloud = MemoryCloud(self._tick, pending_for=None)
        self.inner = MemorySnapshots(self.cloud, *(("rds-instance", "rds") if named else ("ebs", "ec2")), named=named)
        if images:
            self.inner = MemoryImages(self.cloud)
        self.kind: SnapshotKind = self.inner
        self._named = named
        self._sources: list[Source] = []
        self._used: dict[str, NativeSnapshot] = {}
        self.finish: Callable[[], None] = self.cloud.finish
        self.fail = self.cloud.fail
        self.lose = self.cloud.lose
        self.give_back = self.cloud.give_back

    def _tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def options(self, source: str = "source-1") -> object:
        if self._named:
            return rds_instance.Options(identifier=source)
        return ebs.Options(select=ebs.Select(tags=USER_TAGS))

    def source_with(self, *, key: str = "", tags: Mapping[str, str] = USER_TAGS) -> str:
        name = f"source-{len(self._sources) + 1}"
        self._sources.append(Source(name, bytes=8 << 30, encrypted=bool(key), kms_key=key, tags=tags, identity=name))
        self.cloud.put_sources(self.kind.service, ACCOUNT, HOME, self._sources)
        return name

    def new_key(self, region: str, account: str = ACCOUNT) -> str:
        self.cloud.put_key(account, region, f"alias/{region}")
        return f"alias/{region}"

    def leave_no_place(self, region: str) -> None:
        self.cloud.copy_places[region] = 0

    def allow(self, region: str, snapshots: int) -> None:
        self.cloud.most_snapshots[region] = snapshots

    def short_pages(self) -> None:
        """There are none here."""

    def present(self) -> datetime:
        return self.now

    def lose_the_reply_to_expire(self) -> None:
        faulty = FaultySnapshots(self.inner)
        faulty.faults.order("expire", "after")
        self.kind = faulty

    def use(self, snapshot: NativeSnapshot) -> str:
        self._used["ami-1"] = snapshot
        self.cloud.protect(snapshot, "ami-1 uses it")
        return "ami-1"

    def let_go(self, image: str) -> None:
        self.cloud.protect(self._used[image], "")


WORLDS = ("ebs", "ami", "rds-instance", "rds-cluster", "memory", "memory-images", "memory-named")
COUNTING_WORLDS = tuple(name for name in WORLDS if name != "ami")
"""Those that count copies under way: those of images are copies of snapshots to EC2, and `ebs` counts them."""
LIMITED_WORLDS = ("rds-instance", "rds-cluster", "memory-named")
"""Those in which an account may have so many snapshots in a region."""
ENCRYPTING_WORLDS = tuple(name for name in WORLDS if name != "rds-cluster")
"""Those in which the copy of a plain snapshot can be encrypted: RDS refuses it of clusters."""
LOCKING_WORLDS = ("ebs", "memory")
"""Those whose snapshots can be locked."""
USED_WORLDS = ("ebs", "memory", "memory-named")
"""Those in which something may use a snapshot: no RDS snapshot is part of an image."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """The embedded AWS and our own way to it."""

    aws: EmbeddedAws
    accounts: AwsAccounts


@contextmanager
def cloud(rds_databases: Any = None) -> Iterator[Cloud]:
    """An embedded AWS for one test module; the worlds empty it. Our clients ask once: nothing backs off."""
    with embedded_aws(rds_databases=rds_databases) as aws:
        known = {ACCOUNT: AwsAccount(MINE), OTHER: AwsAccount(OTHER_ID, f"arn:aws:iam::{OTHER_ID}:role/drorch")}
        accounts = AwsAccounts(known, attempts=1)
        yield Cloud(aws, accounts)
        accounts.close()


def world_of(name: str, open_cloud: Callable[[], Cloud]) -> World:
    """The world of that name, empty."""
    if name.startswith("memory"):
        return MemoryWorld(named=name == "memory-named", images=name == "memory-images")
    on_aws = {"ebs": EbsWorld, "ami": AmiWorld, "rds-instance": RdsWorld, "rds-cluster": RdsClusterWorld}
    return on_aws[name](open_cloud())


def own_tags(point: str = POINT, site: str = SITE) -> dict[str, str]:
    """The tags of a cut's order."""
    return {
        "drorch:site": site,
        "drorch:application": "shop",
        "drorch:resource": "data",
        "drorch:slot": "2026-11-20T09:00Z",
        "drorch:point": point,
    }


def selected(world: World, source: str = "") -> tuple[Source, ...]:
    """What the world's options select at HOME now."""
    options = world.options(source) if source else world.options()
    return world.kind.select(options, tuple(world.kind.sources(ACCOUNT, HOME, [options])))


def cut_order(sources: Sequence[Source], point: str = POINT, site: str = SITE) -> CutOrder:
    """An order to cut `sources` at HOME."""
    return CutOrder(ACCOUNT, HOME, point, tuple(sources), own_tags(point, site))


def copy_order(
    snapshot: NativeSnapshot, *, key: str = "", attempt: int = 1, account: str = ACCOUNT, region: str = AWAY
) -> CopyOrder:
    """An order to copy a snapshot from HOME into AWAY (or another `region`)."""
    tags = {**own_tags(snapshot.tags["drorch:point"]), "drorch:source": snapshot.native_id}
    return CopyOrder(
        account, region, ACCOUNT, HOME, snapshot.tags["drorch:point"], snapshot, tags, kms_key=key, attempt=attempt
    )


def cut(world: World, point: str = POINT, *, site: str = SITE) -> NativeSnapshot:
    """A point of the world's first source: its one snapshot, pending."""
    (made,) = world.kind.cut(cut_order(selected(world)[:1], point, site), 0)
    return made


def listed(world: World, region: str = HOME, site: str = SITE) -> list[NativeSnapshot]:
    """One listing of the site."""
    return list(world.kind.snapshots(ACCOUNT, region, site))
