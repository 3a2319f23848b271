"""Repairs on moto 5.2.5: where it is simpler than the service it stands for, and drorch would notice.

Each module replaces functions of moto by its own, written from the API model and the provider's page; each repair has
a test of its own in ``tests/demo/``. Nothing here is verified against the real service.
"""

from __future__ import annotations

import importlib
import os

_MODULES = (
    "ec2",
    "images",
    "instances",
    "kms",
    "launching",
    "launch_templates",
    "offers",
    "rds",
    "rds_automated",
    "rds_clusters",
    "rds_options",
    "rds_quotas",
    "rds_restores",
    "rds_sharing",
    "records",
    "s3",
    "security_groups",
    "snapshot_locks",
    "volumes",
)


def apply() -> None:
    """Repair the moto of this process; harmless twice (importing a module of this package applies it, once)."""
    # moto fills every region with about 1,300 snapshots of its built-in AMIs unless told otherwise.
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    for name in _MODULES:
        importlib.import_module(f"{__name__}.{name}")
