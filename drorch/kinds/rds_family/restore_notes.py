"""What a restored database has otherwise than was recorded, and what is left to be done by hand: in words. Pure.

What no restore call takes is named with the command that sets it, and left to people: a modification is applied at any
time to whatever has the name by then, also to what somebody has changed since.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from drorch.kinds.rds_family.restore_options import RestoredDatabase
from drorch.kinds.rds_family.restore_request import is_default

Settings = Mapping[str, Any]

_COMPARED = {
    "engine_version": "engine version",
    "class": "class",
    "storage_type": "storage type",
    "iops": "IOPS",
    "throughput": "storage throughput",
    "multi_az": "Multi-AZ",
    "port": "port",
    "network": "network type",
    "iam_authentication": "IAM authentication",
    "backup_days": "backup retention in days",
    "backup_window": "backup window",
    "minor_upgrades": "minor upgrades",
    "deletion_protection": "deletion protection",
    "copies_tags": "tags copied to snapshots",
    "log_exports": "log exports",
    "certificate_authority": "certificate authority",
    "license": "licence",
    "processor": "processor features",
    "dedicated_log_volume": "dedicated log volume",
    "subnet_group": "subnet group",
    "parameter_group": "parameter group",
    "parameter_groups": "parameter groups",
    "option_groups": "option groups",
    "serverless_v2": "serverless capacities",
    "backtrack_seconds": "backtrack window in seconds",
}
_SET_LATER = {
    "maintenance_window": "--preferred-maintenance-window",
    "storage_gib_max": "--max-allocated-storage",
    "monitoring_seconds": "--monitoring-interval",
    "monitoring_role": "--monitoring-role-arn",
    "insights_mode": "--database-insights-mode",
    "performance_insights": "--enable-performance-insights",
    "performance_insights_days": "--performance-insights-retention-period",
}
"""What no restore call of instances takes, as options of ``modify-db-instance``; of clusters but for their storage."""
_NOUNS = {"instance": "db-instance", "cluster": "db-cluster"}


def differences(recorded: Settings, shown: Settings) -> Iterator[str]:
    """Of what restore calls take; a default group of another version is no difference."""
    for name, words in _COMPARED.items():
        was, now = recorded.get(name), shown.get(name)
        if was in (None, "", [], False) and now in (None, "", [], False):
            continue
        if name in recorded and was != now and not (_defaults(was) and _defaults(now)):
            yield f"{words}: {_word(was)} at the cut, {_word(now)} now"


def by_hand(noun: str, name: str, region: str, recorded: Settings, shown: Settings | None = None) -> Iterator[str]:
    """What remains to be done with a database (`noun` is ``instance`` or ``cluster``) that is restored as `name`.

    What `shown` (its settings now, once they are known) already has is left out.
    """
    where = f"--region {region} --{_NOUNS[noun]}-identifier {name}"
    modify = f"aws rds modify-{_NOUNS[noun]} {where} --apply-immediately"
    if options := shlex.join(_set_later(recorded, shown or {})):
        yield f"no restore call takes these settings; set them by hand: {modify} {options}"
    if recorded.get("managed_password"):
        yield (
            "the master password was managed in Secrets Manager, and is now the one that was set last; by hand: "
            f"{modify} --manage-master-user-password"
        )
    for role in recorded.get("roles") or ():
        attach = f"aws rds add-role-to-{_NOUNS[noun]} {where} --role-arn {role}"
        yield f"the IAM role {role} is not attached; by hand: {attach}"
    if domains := recorded.get("domains"):
        yield f"it has not joined the directory {', '.join(map(str, domains))}; by hand: {modify} --domain ..."
    if source := recorded.get("replica_of"):
        yield f"it was a replica of {source}, and is a database of its own now"
    if recorded.get("tde_credential"):
        yield "its TDE credential is not set: by hand"
    if recorded.get("global_cluster"):
        yield f"it is not part of the global database {recorded['global_cluster']}: by hand"
    if recorded.get("http_endpoint"):
        yield f"its Data API is off; by hand: {modify} --enable-http-endpoint"
    yield f"event subscriptions, alarms, DNS records and read replicas of {name} are not made anew: by hand"


def deliberate(options: RestoredDatabase, recorded: Settings, *, drill: bool) -> Iterator[str]:
    """What is otherwise because drorch decides it so."""
    if recorded.get("public") and not options.public:
        yield "it was publicly accessible, and is not now: public: true brings it back so"
    if recorded.get("deletion_protection") and drill:
        yield "it is not protected from deletion in a drill"
    if recorded.get("processor") and options.wanted_classes not in ((), (recorded.get("class"),)):
        yield "processor features belong to the recorded class, and are not set"


def _set_later(recorded: Settings, shown: Settings) -> Iterator[str]:
    for name, option in _SET_LATER.items():
        was = recorded.get(name)
        if not was or was == shown.get(name) or (name == "storage_gib_max" and was == recorded.get("storage_gib")):
            continue
        if name == "performance_insights_days" and not recorded.get("performance_insights"):
            continue
        if name == "insights_mode" and was == "standard":
            continue
        yield option
        if was is not True:
            yield str(was)


def _defaults(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    return all(isinstance(name, str) and (not name or is_default(name)) for name in names)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return "none" if value in (None, "") else str(value)
