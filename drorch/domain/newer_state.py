"""What RDS keeps by itself that is newer than a point, for people: told with the command that restores it. Pure.

Automated backups restore to any second up to their latest restorable time, in the region that they lie in
(RestoreDBInstanceToPointInTime, RestoreDBClusterToPointInTime); a read replica is as new as what it has received, and
promoting it ends its replication for good.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from drorch.domain.automated import Automated
from drorch.domain.instant import to_text

BACKUPS, REPLICATED, REPLICA = "automated backups", "replicated automated backups", "read replica"


@dataclass(frozen=True, slots=True)
class NewerState:
    """`as_of` is the instant that `command` brings back; None where nobody tells how far it follows."""

    what: str
    region: str
    as_of: datetime | None
    command: str


def newer_states(
    kept: Automated, kind: str, identifier: str, home: str, name: str, cut_at: datetime, at: datetime | None = None
) -> tuple[NewerState, ...]:
    """What is newer than `cut_at` and, where `at` is given, not after it: the newest first, replicas last.

    `identifier` is the source's, in region `home`; `name` that of the database to be made.
    """
    found = sorted(_backups(kept, kind, identifier, home, name, cut_at, at), key=_newest)
    replicas = [] if at is not None else list(_replicas(kept, kind))
    return (*found, *replicas)


def _newest(state: NewerState) -> tuple[float, str]:
    return -(state.as_of.timestamp() if state.as_of else 0.0), state.region


def _backups(
    kept: Automated, kind: str, identifier: str, home: str, name: str, cut_at: datetime, at: datetime | None
) -> Iterator[NewerState]:
    cluster = kind == "rds-cluster"
    verb = f"restore-db-{'cluster' if cluster else 'instance'}-to-point-in-time"
    target = f"--db-cluster-identifier {name}" if cluster else f"--target-db-instance-identifier {name}"
    source = f"--source-db-{'cluster' if cluster else 'instance'}-identifier {identifier}"
    places = [(BACKUPS, home, kept.latest, source)]
    for each in kept.replicated:
        if each.arn and not each.unseen:
            option = f"--source-db-instance-automated-backups-arn {each.arn}"
            places.append((REPLICATED, each.region, each.latest, option))
    for what, region, latest, option in places:
        as_of = latest if at is None or latest is None else min(latest, at)
        if as_of is not None and as_of > cut_at:
            command = f"aws rds {verb} --region {region} {target} {option} --restore-{'to-' if cluster else ''}time"
            yield NewerState(what, region, as_of, f"{command} {to_text(as_of)}")


def _replicas(kept: Automated, kind: str) -> Iterator[NewerState]:
    noun = "db-cluster" if kind == "rds-cluster" else "db-instance"
    for each in kept.replicas:
        if not each.why and not each.unseen:
            verb = "promote-read-replica-db-cluster" if kind == "rds-cluster" else "promote-read-replica"
            command = f"aws rds {verb} --region {each.region} --{noun}-identifier {each.identifier}"
            yield NewerState(REPLICA, each.region, None, command)
