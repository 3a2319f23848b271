"""What a restore must know of a database and no snapshot tells it: as the record carries it, JSON-able, no floats.

A restore gives defaults for nearly all of this (parameter and security groups, Single-AZ; RDS user guide, "Restoring
to a DB instance"), so it is written down at the cut. The fields are those of the RDS API's DBInstance and DBCluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

_BOTH = {
    "engine": "Engine",
    "engine_version": "EngineVersion",
    "engine_lifecycle": "EngineLifecycleSupport",
    "storage_type": "StorageType",
    "storage_gib": "AllocatedStorage",
    "iops": "Iops",
    "throughput": "StorageThroughput",
    "kms_key": "KmsKeyId",
    "multi_az": "MultiAZ",
    "user": "MasterUsername",
    "character_set": "CharacterSetName",
    "public": "PubliclyAccessible",
    "network": "NetworkType",
    "iam_authentication": "IAMDatabaseAuthenticationEnabled",
    "backup_days": "BackupRetentionPeriod",
    "backup_window": "PreferredBackupWindow",
    "maintenance_window": "PreferredMaintenanceWindow",
    "minor_upgrades": "AutoMinorVersionUpgrade",
    "deletion_protection": "DeletionProtection",
    "copies_tags": "CopyTagsToSnapshot",
    "log_exports": "EnabledCloudwatchLogsExports",
    "monitoring_seconds": "MonitoringInterval",
    "monitoring_role": "MonitoringRoleArn",
    "insights_mode": "DatabaseInsightsMode",
    "performance_insights": "PerformanceInsightsEnabled",
    "performance_insights_key": "PerformanceInsightsKMSKeyId",
    "performance_insights_days": "PerformanceInsightsRetentionPeriod",
}
_INSTANCE = {
    **_BOTH,
    "class": "DBInstanceClass",
    "license": "LicenseModel",
    "storage_gib_max": "MaxAllocatedStorage",
    "zone": "AvailabilityZone",
    "port": "DbInstancePort",
    "database": "DBName",
    "national_character_set": "NcharCharacterSetName",
    "timezone": "Timezone",
    "certificate_authority": "CACertificateIdentifier",
    "processor": "ProcessorFeatures",
    "dedicated_log_volume": "DedicatedLogVolume",
    "multi_tenant": "MultiTenant",
    "tde_credential": "TdeCredentialArn",
    "promotion_tier": "PromotionTier",
    "replica_of": "ReadReplicaSourceDBInstanceIdentifier",
    "cluster": "DBClusterIdentifier",
}
_CLUSTER = {
    **_BOTH,
    "engine_mode": "EngineMode",
    "class": "DBClusterInstanceClass",
    "zones": "AvailabilityZones",
    "port": "Port",
    "database": "DatabaseName",
    "parameter_group": "DBClusterParameterGroup",
    "subnet_group": "DBSubnetGroup",
    "serverless": "ScalingConfigurationInfo",
    "serverless_v2": "ServerlessV2ScalingConfiguration",
    "backtrack_seconds": "BacktrackWindow",
    "http_endpoint": "HttpEndpointEnabled",
    "global_cluster": "GlobalClusterIdentifier",
    "scalability": "ClusterScalabilityType",
    "replica_of": "ReplicationSourceIdentifier",
}
_MEMBER = {
    "class": "DBInstanceClass",
    "zone": "AvailabilityZone",
    "public": "PubliclyAccessible",
    "certificate_authority": "CACertificateIdentifier",
    "monitoring_seconds": "MonitoringInterval",
    "monitoring_role": "MonitoringRoleArn",
    "performance_insights": "PerformanceInsightsEnabled",
    "maintenance_window": "PreferredMaintenanceWindow",
    "minor_upgrades": "AutoMinorVersionUpgrade",
}
_LISTS = {
    "parameter_groups": ("DBParameterGroups", "DBParameterGroupName"),
    "option_groups": ("OptionGroupMemberships", "OptionGroupName"),
    "security_groups": ("VpcSecurityGroups", "VpcSecurityGroupId"),
    "domains": ("DomainMemberships", "Domain"),
    "roles": ("AssociatedRoles", "RoleArn"),
}
_CLUSTER_LISTS = {
    **{name: _LISTS[name] for name in ("security_groups", "domains", "roles")},
    "option_groups": ("DBClusterOptionGroupMemberships", "DBClusterOptionGroupName"),
}
_ALWAYS = frozenset({"parameter_groups", "option_groups", "security_groups"})
"""Told even when there are none."""


def instance_settings(entry: Mapping[str, Any]) -> dict[str, object]:
    """Of a DBInstance as DescribeDBInstances shows it."""
    settings = {**_fields(entry, _INSTANCE), **_names(entry, _LISTS)}
    endpoint = entry.get("Endpoint") or {}
    if endpoint.get("Port"):
        settings["port"] = endpoint["Port"]  # DbInstancePort is 0 for most engines (RDS API, DBInstance)
    subnets = entry.get("DBSubnetGroup") or {}
    named = {"subnet_group": "DBSubnetGroupName", "vpc": "VpcId"}
    settings |= {name: subnets[field] for name, field in named.items() if subnets.get(field)}
    if entry.get("MasterUserSecret"):
        settings["managed_password"] = True
    return settings


def cluster_settings(entry: Mapping[str, Any], instances: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """Of a DBCluster as DescribeDBClusters shows it, with its members, the writer first, by promotion tier.

    `instances` are DBInstances of the account and region: a cluster names its members and does not say their class. A
    restored Aurora cluster is empty, so its instances must be made anew out of `members`.
    """
    settings = {**_fields(entry, _CLUSTER), **_names(entry, _CLUSTER_LISTS)}
    if entry.get("MasterUserSecret"):
        settings["managed_password"] = True
    by_name = {instance.get("DBInstanceIdentifier"): instance for instance in instances}
    members = [
        _member(member, by_name.get(member["DBInstanceIdentifier"], {}))
        for member in entry.get("DBClusterMembers") or ()
        if member.get("DBInstanceIdentifier")
    ]
    members.sort(key=lambda member: (not member["writer"], member["promotion_tier"], member["instance"]))
    return {**settings, "members": members}


def _member(member: Mapping[str, Any], instance: Mapping[str, Any]) -> dict[str, Any]:
    own = {
        "instance": member["DBInstanceIdentifier"],
        "writer": bool(member.get("IsClusterWriter")),
        "promotion_tier": member.get("PromotionTier") or 0,
    }
    groups = {"parameter_groups": _LISTS["parameter_groups"]} if instance else {}
    return {**_fields(instance, _MEMBER), **_names(instance, groups), **own}


def _fields(entry: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, object]:
    return {name: _plain(entry[field]) for name, field in fields.items() if entry.get(field) not in (None, "", [], {})}


def _names(entry: Mapping[str, Any], lists: Mapping[str, tuple[str, str]]) -> dict[str, object]:
    found = {
        name: [item[key] for item in entry.get(field) or () if item.get(key)] for name, (field, key) in lists.items()
    }
    return {name: names for name, names in found.items() if names or name in _ALWAYS}


def _plain(value: object) -> object:
    """As canonical JSON takes it: serverless capacities are halves, so fractions become text."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
