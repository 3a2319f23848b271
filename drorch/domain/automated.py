"""What RDS keeps by itself beside drorch's points: automated backups, their replicas in other regions, read replicas.

Shown and watched, never counted: nothing here restores from them in this version. Replication stops by itself when a
KMS key is disabled or deleted, the account is suspended or a region is opted out of, and stays stopped (RDS user guide,
"Troubleshooting stopped cross-Region automated backups").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from drorch.domain.duration import duration_text
from drorch.domain.instant import to_text
from drorch.domain.model import place_of
from drorch.domain.policy import AWS, Policy, ResourcePolicy

KINDS = ("rds-cluster", "rds-instance")
STOPPED = "replication-stopped"
"""The alarm of a replication that has stopped, or stands still."""
STANDS_STILL = timedelta(hours=3)
"""How far a replica of automated backups may be behind; RDS ships logs every five minutes (RDS user guide, PITR)."""
RETAINED = "retained"
"""The status of what is left of a deleted database, and of a replication that was stopped."""

HINT_STOPPED = (
    "StartDBInstanceAutomatedBackupsReplication begins it again, once its cause is gone: a KMS key disabled or deleted"
    " in either region, an opt-in changed, an account that was suspended. One that was stopped on purpose is told until"
    " what is left of it is deleted or has expired"
)
HINT_BROKEN = "see its events; a replica whose replication is terminated has to be made anew"

Place = tuple[str, str]
"""(account, region)."""


@dataclass(frozen=True, slots=True)
class Database:
    """An instance or a cluster as its region lists it.

    `replicated_to` are the ARNs of its replicated automated backups, `replicas` the names (ARNs in other regions) of
    its read replicas, `replica_of` is what it is one of, `trouble` what is wrong with that replication. The secondary
    clusters of an Aurora global database are read replicas of its primary.
    """

    kind: str
    identifier: str
    identity: str
    arn: str
    status: str = ""
    retention_days: int = 0
    latest: datetime | None = None
    protected: bool = False
    replicated_to: tuple[str, ...] = ()
    replicas: tuple[str, ...] = ()
    replica_of: str = ""
    replication: str = ""
    trouble: str = ""
    global_cluster: str = ""
    """The Aurora global database whose secondary it is."""


@dataclass(frozen=True, slots=True)
class AutomatedBackup:
    """Automated backups of one database as a region lists them; `home` is the region of the database."""

    kind: str
    identity: str
    home: str
    status: str
    retention_days: int = 0
    latest: datetime | None = None
    arn: str = ""
    earliest: datetime | None = None


@dataclass(frozen=True, slots=True)
class RegionSeen:
    """What one region lists, whoever's it is."""

    databases: tuple[Database, ...] = ()
    backups: tuple[AutomatedBackup, ...] = ()


Listed = Mapping[Place, RegionSeen | str]
"""What each place lists, or why that could not be seen."""


@dataclass(frozen=True, slots=True)
class Replicated:
    """Automated backups in another region. `why` says what is wrong, `unseen` why that is not known; else both ""."""

    region: str
    status: str = ""
    retention_days: int | None = None
    latest: datetime | None = None
    why: str = ""
    unseen: str = ""


@dataclass(frozen=True, slots=True)
class Replica:
    """A read replica. `why` and `unseen` as of `Replicated`."""

    identifier: str
    region: str
    status: str = ""
    why: str = ""
    unseen: str = ""


@dataclass(frozen=True, slots=True)
class Automated:
    """What RDS keeps by itself of one resource; `unseen` says why that is not known."""

    retention_days: int = 0
    latest: datetime | None = None
    protected: bool = False
    replicated: tuple[Replicated, ...] = ()
    replicas: tuple[Replica, ...] = ()
    unseen: str = ""

    @property
    def wrong(self) -> Iterator[tuple[str, str]]:
        """(where, what is wrong and what to do) of each replication that needs a person."""
        yield from ((each.region, f"{each.why}. {HINT_STOPPED}") for each in self.replicated if each.why)
        for replica in self.replicas:
            if replica.why:
                yield f"{replica.region} ({replica.identifier})", f"{replica.why}. {HINT_BROKEN}"


def databases_of(policies: Iterable[Policy]) -> Iterator[tuple[str, ResourcePolicy]]:
    """(application, resource) of every database of RDS."""
    for policy in policies:
        yield from ((policy.application, r) for r in policy.resources if r.kind in KINDS and r.home.provider == AWS)


def first_places(resources: Iterable[ResourcePolicy]) -> dict[Place, frozenset[str]]:
    """Where these live and where their copies go, with the kinds to be listed there: the same backups may lie there."""
    found: dict[Place, set[str]] = {}
    for resource in resources:
        for rule in resource.targets:
            found.setdefault(place_of(rule.vault), set()).add(resource.kind)
    return {place: frozenset(kinds) for place, kinds in found.items()}


def further_places(resources: Iterable[ResourcePolicy], listed: Listed) -> dict[Place, frozenset[str]]:
    """The places that these replicate to, and that were not listed yet."""
    found: dict[Place, set[str]] = {}
    for resource in resources:
        database = _database(resource, listed)
        for arn in (*database.replicated_to, *database.replicas) if isinstance(database, Database) else ():
            place = resource.home.account or "", _region(arn)
            if place[1] and place not in listed:
                found.setdefault(place, set()).add(resource.kind)
    return {place: frozenset(kinds) for place, kinds in found.items()}


def automated(resource: ResourcePolicy, listed: Listed, now: datetime) -> Automated:
    """What was seen of one resource."""
    database = _database(resource, listed)
    if isinstance(database, str):
        return Automated(unseen=database)
    account, home = resource.home.account or "", resource.home.region
    places = {region: seen for (of, region), seen in sorted(listed.items()) if of == account and region != home}
    replicated = [found for region, seen in places.items() if (found := _replicated(database, home, region, seen, now))]
    replicas = tuple(_replica(database, name, home, listed, account) for name in database.replicas)
    return Automated(database.retention_days, database.latest, database.protected, tuple(replicated), replicas)


def _database(resource: ResourcePolicy, listed: Listed) -> Database | str:
    """The database that a resource names, or why it is not known."""
    seen = listed.get((resource.home.account or "", resource.home.region), "its region was not listed yet")
    if isinstance(seen, str):
        return seen
    name = str(getattr(resource.options, "identifier", ""))
    there = (d for d in seen.databases if d.kind == resource.kind and d.identifier == name)
    return next(there, f"{name} is not there")


def _replicated(database: Database, home: str, region: str, seen: RegionSeen | str, now: datetime) -> Replicated | None:
    """What the region has of the database's automated backups; None when none are said to be there."""
    named = [arn for arn in database.replicated_to if _region(arn) == region]
    if isinstance(seen, str):
        return Replicated(region, unseen=seen) if named else None
    own = (database.kind, database.identity, home)
    there = [b for b in seen.backups if (b.kind, b.identity, b.home) == own]
    alive = [backup for backup in there if backup.status != RETAINED]
    if not there:
        gone = "its replicated automated backups are gone, and the database still names them"
        return Replicated(region, why=gone) if named else None
    newest = max(alive or there, key=lambda backup: (backup.latest is not None, backup.latest))
    if not alive:
        why = f"the replication of its automated backups has stopped{_since(newest.latest)}"
    else:
        why = _behind(newest.latest, database.latest or now)
    return Replicated(region, newest.status, newest.retention_days, newest.latest, why)


def _behind(latest: datetime | None, source: datetime) -> str:
    """Beside the database's own latest restorable time, which stands still, too, while an instance is stopped."""
    if latest is None or source - latest <= STANDS_STILL:
        return ""
    behind = duration_text(timedelta(seconds=int((source - latest).total_seconds())))
    return f"the replication of its automated backups stands still{_since(latest)}, {behind} behind the database"


def _since(latest: datetime | None) -> str:
    return "" if latest is None else f" at {to_text(latest)}"


def _replica(database: Database, name: str, home: str, listed: Listed, account: str) -> Replica:
    region, identifier = _region(name) or home, name.rpartition(":")[2]
    seen = listed.get((account, region), "its region was not listed yet")
    if isinstance(seen, str):
        return Replica(identifier, region, unseen=seen)
    sources = (database.arn, database.identifier)
    there = next((d for d in seen.databases if d.identifier == identifier and d.replica_of in sources), None)
    if there is None:
        return Replica(identifier, region, unseen="it is not listed there")
    why = f"the read replica {identifier} does not follow: {there.trouble}" if there.trouble else ""
    return Replica(identifier, region, there.replication or there.status, why)


def _region(arn: str) -> str:
    """The region of an ARN; "" for a plain name."""
    parts = arn.split(":")
    return parts[3] if len(parts) > 5 else ""
