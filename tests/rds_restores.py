"""RDS's worlds of RestoresSnapshots: a copy of a database in AWAY, and what can happen to its restore.

What a restore makes is not ready until `settle`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from native_clouds import (
    ACCOUNT,
    AWAY,
    HOME,
    POINT,
    Cloud,
    RdsClusterWorld,
    RdsWorld,
    copy_order,
    cut,
    listed,
    selected,
)

from drorch.domain.native_restore import TAG_DRILL, TAG_RESTORE, NativeRestore, RestorePart
from drorch.kinds import rds_cluster, rds_instance

ID = "d7k2"
EXPIRES = {"drorch:expires-at": "2026-11-26T09:00:00Z"}


class _OnRds:
    creating, listing = "", ""

    def __init__(self, cloud: Cloud, world: RdsWorld | RdsClusterWorld) -> None:
        self.aws, self.accounts, self.world = cloud.aws, cloud.accounts, world
        self.rds = world.client("rds", AWAY)
        self.lose, self.give_back = cloud.aws.lose_region, cloud.aws.recover_region
        self.settle: Callable[[], None] = cloud.aws.finish_db_instances
        self.said: dict[str, Any] = {}
        """Options beside a name for each restore."""

    def _copied(self, source: str) -> RestorePart:
        (settings,) = (each.settings for each in selected(self.world, source))
        cut(self.world)
        self.world.finish()
        (snapshot,) = listed(self.world)
        key = self.world.new_key(AWAY) if snapshot.encrypted else ""
        self.world.kind.copy(copy_order(snapshot, key=key))
        self.world.finish()
        (there,) = listed(self.world, AWAY)
        self.aws.set_db_instance_transition("held")
        self.aws.calls.clear()
        return RestorePart(there.native_id, source_id=source, bytes=20 << 30, settings=settings)

    def fault(self, mode: Any) -> None:
        self.aws.fail_next(self.creating, mode)

    def hide(self, listings: int) -> None:
        self.aws.stale(self.listing, listings)

    def break_down(self, native_id: str) -> None:
        self.aws.fail_database(AWAY, native_id)

    def _order(self, restore: str, tag: str, part: RestorePart, options: object) -> NativeRestore:
        tags = {tag: restore, "drorch:site": "acme", **EXPIRES}
        cut_at = datetime(2026, 11, 20, 9, tzinfo=UTC)
        return NativeRestore(ACCOUNT, AWAY, "shop", "data", POINT, cut_at, tag, restore, tags, (part,), options)

    def _instances(self) -> dict[str, Mapping[str, str]]:
        found = self.rds.describe_db_instances()["DBInstances"]
        return {i["DBInstanceIdentifier"]: {t["Key"]: t["Value"] for t in i["TagList"]} for i in found}

    def _stray_instance(self, tags: Mapping[str, str], name: str) -> str:
        self.rds.create_db_instance(
            DBInstanceIdentifier=name,
            DBInstanceClass="db.t3.micro",
            Engine="postgres",
            MasterUsername="owner",
            MasterUserPassword="not-a-secret",
            AllocatedStorage=20,
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
        return name


class InstanceRestores(_OnRds):
    """One PostgreSQL instance; `recorded` are settings of its source at HOME."""

    creating, listing = "RestoreDBInstanceFromDBSnapshot", "DescribeDBInstances"

    def __init__(self, cloud: Cloud, *, encrypted: bool = False, **recorded: Any) -> None:
        world = RdsWorld(cloud)
        super().__init__(cloud, world)
        self.source = world.source_with(key=world.new_key(HOME) if encrypted else "", **recorded)
        self.part = self._copied(self.source)
        self.said = {"security_groups": "default"}
        self._strays = 0

    @property
    def kind(self) -> rds_instance.RdsInstanceSnapshots:
        return rds_instance.RdsInstanceSnapshots(self.accounts)

    def order(self, restore: str = ID, tag: str = TAG_DRILL, **said: Any) -> NativeRestore:
        """Drills under their own names, restores under one of each, unless one is said."""
        options = {**self.said, **({"name": f"back-{restore}"} if tag == TAG_RESTORE else {}), **said}
        return self._order(restore, tag, self.part, rds_instance.RestoreOptions(**options))

    def impossible(self) -> NativeRestore:
        return self.order(subnet_group="nowhere")

    def things(self) -> Mapping[str, Mapping[str, str]]:
        return self._instances()

    def stray(self, tags: Mapping[str, str]) -> str:
        self._strays += 1
        return self._stray_instance(tags, f"stray{self._strays}")

    def spoil_copy(self) -> None:
        self.rds.delete_db_snapshot(DBSnapshotIdentifier=self.part.native_id)

    def shown(self, name: str) -> Mapping[str, Any]:
        """An instance as AWAY shows it."""
        (found,) = self.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
        return found  # type: ignore[no-any-return]


class ClusterRestores(_OnRds):
    """One Aurora cluster with two members."""

    creating, listing = "RestoreDBClusterFromSnapshot", "DescribeDBClusters"

    def __init__(self, cloud: Cloud, members: int = 2, *, encrypted: bool = False, **recorded: Any) -> None:
        world = RdsClusterWorld(cloud)
        super().__init__(cloud, world)
        self.source = world.source_with(key=world.new_key(HOME) if encrypted else "", **recorded)
        for number in range(1, members + 1):
            world.member_of(self.source, f"shop-orders1-{'abc'[number - 1]}", number)
        self.part = self._copied(self.source)
        self.said = {"security_groups": "default"}
        self._strays = 0

    @property
    def kind(self) -> rds_cluster.RdsClusterSnapshots:
        return rds_cluster.RdsClusterSnapshots(self.accounts)

    def order(self, restore: str = ID, tag: str = TAG_DRILL, **said: Any) -> NativeRestore:
        """Drills under their own names, restores under one of each, unless one is said."""
        options = {**self.said, **({"name": f"back-{restore}"} if tag == TAG_RESTORE else {}), **said}
        return self._order(restore, tag, self.part, rds_cluster.RestoreOptions(**options))

    def impossible(self) -> NativeRestore:
        return self.order(parameter_group="nowhere")

    def clusters(self) -> dict[str, Mapping[str, Any]]:
        """Every cluster of AWAY by its name."""
        return {c["DBClusterIdentifier"]: c for c in self.rds.describe_db_clusters()["DBClusters"]}

    def things(self) -> Mapping[str, Mapping[str, str]]:
        tags = {name: {t["Key"]: t["Value"] for t in each["TagList"]} for name, each in self.clusters().items()}
        return {**tags, **self._instances()}

    def stray(self, tags: Mapping[str, str]) -> str:
        self._strays += 1
        name = f"stray{self._strays}"
        self.rds.create_db_cluster(
            DBClusterIdentifier=name,
            Engine="aurora-postgresql",
            MasterUsername="owner",
            MasterUserPassword="not-a-secret",
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
        return name

    def spoil_copy(self) -> None:
        self.rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=self.part.native_id)
