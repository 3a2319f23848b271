"""How many copies may be under way into a region: EC2 and RDS refuse the next one, whoever began the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

DEFAULTS = {"ec2": 20, "rds": 20, "rds-cluster": 5}
"""Per destination region (EBS endpoints and quotas, concurrent snapshot copies; RDS user guide, copying snapshots); of
clusters from one region to another (Aurora user guide, copying a DB cluster snapshot)."""

places = dict(DEFAULTS)
"""What holds now, in every region; set by the embedded AWS."""


def is_full(service: str, snapshots: Iterable[Any]) -> bool:
    """Whether as many of the region's `snapshots` are copies that are not at their end as the service lets be so."""
    under_way = sum(getattr(s, "is_copy", False) and s.status in ("pending", "creating") for s in snapshots)
    return bool(under_way >= places[service])
