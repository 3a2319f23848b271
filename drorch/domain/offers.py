"""What a region keeps of a database by itself that is newer than the point which is brought back. Pure; shown alone.

Nothing here is taken: a restore from automated backups and a promotion are named with the command that does it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from drorch.domain.automated import AutomatedBackup, Database, RegionSeen
from drorch.domain.instant import to_text

BACKUPS, REPLICA = "automated backups", "read replica"
_LONGEST = 57
"""Characters of a name of RDS (63) that leave room for what tells the new database from the old one."""
_DEFAULTS = "RDS gives it the default parameter, option and security groups unless the command says others"


@dataclass(frozen=True, slots=True)
class Behind:
    """The database behind a point: what nobody shares with it (DbiResourceId and the like), and its name."""

    kind: str
    identities: Collection[str]
    identifier: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A newer state that the region has. `data_as_of` is None where no listing tells it; `command` takes it."""

    what: str
    name: str
    data_as_of: datetime | None
    command: str
    detail: str = ""

    def to_json(self) -> dict[str, object]:
        """The stable fields (README: snapshots come back in a region)."""
        return {
            "what": self.what,
            "id": self.name,
            "data_as_of": to_text(self.data_as_of) if self.data_as_of else None,
            "command": self.command,
            "detail": self.detail,
        }


def offers(behind: Behind, seen: RegionSeen, region: str, cut_at: datetime, at: datetime | None) -> tuple[Offer, ...]:
    """What `region` has of the database that is newer than `cut_at` and not after `at`, the newest first.

    Automated backups are the database's by its identity alone: another one may bear its name. A replica is named
    without a time where nobody asked for one, for how far it is behind no listing of RDS tells (CloudWatch does).
    """
    found = [
        offer
        for backup in seen.backups
        if backup.kind == behind.kind and backup.identity in behind.identities
        if (offer := _of_backups(backup, behind, region, at)) and offer.data_as_of and offer.data_as_of > cut_at
    ]
    found.sort(key=lambda offer: to_text(offer.data_as_of) if offer.data_as_of else "", reverse=True)
    return (*found, *(_replicas(behind, seen, region) if at is None else ()))


def _of_backups(backup: AutomatedBackup, behind: Behind, region: str, at: datetime | None) -> Offer | None:
    """None where their window does not hold a time that was asked for."""
    if backup.latest is None or (at is not None and backup.earliest is not None and at < backup.earliest):
        return None
    as_of = backup.latest if at is None else min(at, backup.latest)
    # a time that was asked for is said: the latest one may be later than it by the time that somebody gives the command
    option = "restore-to-time" if behind.kind == "rds-cluster" else "restore-time"
    when = "--use-latest-restorable-time" if at is None else f"--{option} {to_text(as_of)}"
    name = f"{behind.identifier[:_LONGEST].rstrip('-')}-newer"
    if behind.kind == "rds-cluster":
        source = f"--source-db-cluster-resource-id {backup.identity}"
        command = f"restore-db-cluster-to-point-in-time {source} --db-cluster-identifier {name}"
        detail = f"{_DEFAULTS}; it has no instances before create-db-instance makes them"
    else:
        source = f"--source-dbi-resource-id {backup.identity}"
        if backup.arn:
            source = f"--source-db-instance-automated-backups-arn {backup.arn}"
        command = f"restore-db-instance-to-point-in-time {source} --target-db-instance-identifier {name}"
        detail = _DEFAULTS
    told = f"of {backup.home}, {backup.status}; {detail}"
    return Offer(BACKUPS, backup.arn or backup.identity, as_of, f"aws rds {command} {when} --region {region}", told)


def _replicas(behind: Behind, seen: RegionSeen, region: str) -> Iterator[Offer]:
    for database in seen.databases:
        if database.kind != behind.kind or not _follows(database, behind):
            continue
        state = database.trouble or database.replication or database.status
        detail = (
            f"follows {database.replica_of} ({state}); how far it is behind its metrics tell; promoting it ends the"
            " replication for good"
        )
        yield Offer(REPLICA, database.identifier, None, f"aws rds {_promotion(database)} --region {region}", detail)


def _follows(database: Database, behind: Behind) -> bool:
    """A source in another region is named by its ARN, one in the same region by its name alone (RDS API)."""
    return bool(database.replica_of) and database.replica_of.rpartition(":")[2] == behind.identifier


def _promotion(database: Database) -> str:
    if database.kind == "rds-instance":
        return f"promote-read-replica --db-instance-identifier {database.identifier}"
    if database.global_cluster:
        of = f"--global-cluster-identifier {database.global_cluster}"
        return f"failover-global-cluster {of} --target-db-cluster-identifier {database.arn} --allow-data-loss"
    return f"promote-read-replica-db-cluster --db-cluster-identifier {database.identifier}"
