"""The calls that bring a database back, out of what its record says and what was asked otherwise. Pure.

RestoreDBInstanceFromDBSnapshot, RestoreDBClusterFromSnapshot and CreateDBInstance as the RDS API describes them. What
is left out there RDS takes from the snapshot (engine, version, size, users, licence) or sets to its own default
(Single-AZ, no protection, no log exports), so that what was recorded of the latter is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drorch.kinds.rds_family.restore_options import RestoredCluster, RestoredDatabase, RestoredInstance

Settings = Mapping[str, Any]

_PROVISIONED = ("io1", "io2")
_GP3_IOPS, _GP3_THROUGHPUT = 3000, 125
"""What gp3 has at least. Below a size that depends on the engine it has just that, and RDS refuses to be told so (RDS
user guide, "gp3 storage").
"""
_SCALING = ("MinCapacity", "MaxCapacity", "SecondsUntilAutoPause", "SecondsBeforeTimeout")

_INSTANCE = {
    "minor_upgrades": "AutoMinorVersionUpgrade",
    "copies_tags": "CopyTagsToSnapshot",
    "iam_authentication": "EnableIAMDatabaseAuthentication",
    "log_exports": "EnableCloudwatchLogsExports",
    "network": "NetworkType",
    "backup_days": "BackupRetentionPeriod",
    "backup_window": "PreferredBackupWindow",
    "dedicated_log_volume": "DedicatedLogVolume",
    "engine_lifecycle": "EngineLifecycleSupport",
    "certificate_authority": "CACertificateIdentifier",
}
_CLUSTER = {
    "copies_tags": "CopyTagsToSnapshot",
    "iam_authentication": "EnableIAMDatabaseAuthentication",
    "log_exports": "EnableCloudwatchLogsExports",
    "network": "NetworkType",
    "backup_days": "BackupRetentionPeriod",
    "backup_window": "PreferredBackupWindow",
    "backtrack_seconds": "BacktrackWindow",
    "engine_mode": "EngineMode",
    "engine_lifecycle": "EngineLifecycleSupport",
}
_MEMBER = {
    "promotion_tier": "PromotionTier",
    "minor_upgrades": "AutoMinorVersionUpgrade",
    "maintenance_window": "PreferredMaintenanceWindow",
    "certificate_authority": "CACertificateIdentifier",
}


def instance_request(options: RestoredInstance, settings: Settings, *, drill: bool) -> dict[str, Any]:
    """RestoreDBInstanceFromDBSnapshot but for names, tags, groups and class."""
    request = {
        **_recorded(settings, _INSTANCE),
        **_storage(options, settings),
        "PubliclyAccessible": options.public,
        "DeletionProtection": protection(options, settings, drill=drill),
        "MultiAZ": bool(settings.get("multi_az", False) if options.multi_az is None else options.multi_az),
        **_port(options, settings),
    }
    recorded = settings.get("class")
    if settings.get("processor") and options.wanted_classes in ((), (recorded,)):
        request["ProcessorFeatures"] = settings["processor"]  # of that class alone
    if options.ca_certificate:
        request["CACertificateIdentifier"] = options.ca_certificate
    return request


def cluster_request(options: RestoredCluster, settings: Settings, *, drill: bool) -> dict[str, Any]:
    """RestoreDBClusterFromSnapshot but for names, tags, groups, engine and class."""
    request = {
        **_recorded(settings, _CLUSTER),
        **_port(options, settings),
        "DeletionProtection": protection(options, settings, drill=drill),
    }
    storage = options.storage_type or settings.get("storage_type")
    if storage and storage != "aurora":  # the default of Aurora, which is not always taken by its name
        request["StorageType"] = storage
    if is_multi_az_cluster(settings):
        request |= _storage(options, settings) | {"PubliclyAccessible": options.public}
    if settings.get("engine_mode") == "serverless" and settings.get("serverless"):
        request["ScalingConfiguration"] = _capacities(settings["serverless"], int)
    if settings.get("serverless_v2"):
        request["ServerlessV2ScalingConfiguration"] = _capacities(settings["serverless_v2"], float)
    return request


def member_request(options: RestoredCluster, member: Settings) -> dict[str, Any]:
    """CreateDBInstance in a cluster but for names, tags, group, engine and class."""
    request = {**_recorded(member, _MEMBER), "PubliclyAccessible": options.public}
    return request | ({"CACertificateIdentifier": options.ca_certificate} if options.ca_certificate else {})


def protection(options: RestoredDatabase, settings: Settings, *, drill: bool) -> bool:
    """Never in a drill, which is to be cleared away."""
    if drill:
        return False
    return bool(
        settings.get("deletion_protection", False)
        if options.deletion_protection is None
        else options.deletion_protection
    )


def is_multi_az_cluster(settings: Settings) -> bool:
    """A Multi-AZ DB cluster has a class itself, and RDS makes its instances."""
    return bool(settings.get("class"))


def has_members(settings: Settings) -> bool:
    """Whether the instances of such a cluster are made by whoever restores it."""
    return not is_multi_az_cluster(settings) and settings.get("engine_mode") != "serverless"


def is_default(group: str) -> bool:
    """``default``, ``default.postgres16``, ``default:mysql-8-0``: what RDS takes by itself."""
    return group == "default" or group.startswith(("default.", "default:"))


def _recorded(settings: Settings, fields: Mapping[str, str]) -> dict[str, Any]:
    return {field: settings[name] for name, field in fields.items() if settings.get(name) not in (None, "", [])}


def _port(options: RestoredDatabase, settings: Settings) -> dict[str, Any]:
    port = options.port or settings.get("port")
    return {"Port": port} if port else {}


def _storage(options: RestoredDatabase, settings: Settings) -> dict[str, Any]:
    """The volumes; what belongs to another type than was asked for is left to RDS."""
    kind = options.storage_type or settings.get("storage_type")
    if not kind:
        return {}
    same = kind == settings.get("storage_type")
    iops = options.iops or (settings.get("iops") if same else None) or 0
    throughput = settings.get("throughput") or 0 if same else 0
    request: dict[str, Any] = {"StorageType": kind}
    if options.iops or (iops and (kind in _PROVISIONED or (kind == "gp3" and iops > _GP3_IOPS))):
        request["Iops"] = iops
    if kind == "gp3" and throughput > _GP3_THROUGHPUT:
        request["StorageThroughput"] = throughput
    return request


def _capacities(recorded: Settings, number: type[int] | type[float]) -> dict[str, Any]:
    """Records hold no fractions: capacities stand there as text."""
    found: dict[str, Any] = {name: recorded[name] for name in ("AutoPause", "TimeoutAction") if name in recorded}
    for name in _SCALING:
        if recorded.get(name) is not None:
            found[name] = number(recorded[name]) if name.endswith("Capacity") else int(recorded[name])
    return found
