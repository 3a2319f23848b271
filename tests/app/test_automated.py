"""Looking at what RDS keeps by itself: how often, how many calls, and what becomes an alarm."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from native_clouds import ACCOUNT, AWAY, HOME, Cloud, RdsClusterWorld, RdsWorld, cloud
from passes import NOW, passed, planned, policy, resource
from policy_words import policy_of
from worlds import LEDGER, SEATS, VOLUMES, WORDS, policies

from drorch.app.automated import AutomatedSeen, AutomatedWatch
from drorch.daemon.publishing import alarms_of
from drorch.domain.automated import STOPPED, RegionSeen
from drorch.domain.errors import Unavailable
from drorch.domain.policy import Policy
from drorch.kinds.rds_automated import PERMISSIONS, AwsAutomatedBackups

ANYWHERE = replace(WORDS, regions=None)
US, WEST = ("prod", "us-east-1"), ("prod", "us-west-2")


class Listing:
    """Empty regions; counts who asked."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self.wrong: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()

    def seen(self, account: str, region: str, kinds: Collection[str]) -> RegionSeen:
        self.calls[account, region] += 1
        self.answers.wait(10)
        if self.wrong is not None:
            raise self.wrong
        return RegionSeen()


def known(watch: AutomatedWatch, minutes: float, of: tuple[Policy, ...]) -> AutomatedSeen:
    """What a pass is told, and the end of the listing that it began."""
    seen = watch.known(of, NOW + timedelta(minutes=minutes))
    watch.wait()
    return seen


def test_regions_are_listed_once_a_quarter_of_an_hour_whatever_the_number_of_databases() -> None:
    for count in (1, 200):
        listing = Listing()
        watch = AutomatedWatch(listing)
        of = policies(*(LEDGER.replace("bank", f"bank{n}") for n in range(count)))
        for minutes in (0, 1, 14):
            known(watch, minutes, of)
        assert listing.calls == {US: 1, WEST: 1}
        known(watch, 15, of)
        assert listing.calls == {US: 2, WEST: 2}


def test_without_a_database_of_rds_nothing_is_listed() -> None:
    listing = Listing()
    watch = AutomatedWatch(listing)
    assert known(watch, 0, policies(VOLUMES)) == watch.look(policies(VOLUMES), NOW) == {}
    assert not listing.calls


def test_a_policy_that_brings_another_region_is_listed_at_once() -> None:
    listing = Listing()
    watch = AutomatedWatch(listing)
    known(watch, 0, policies(LEDGER))
    far = policy_of(SEATS.replace("us-west-2", "eu-west-1"), ANYWHERE)
    known(watch, 1, (*policies(LEDGER), far))
    assert listing.calls["prod", "eu-west-1"] == 1


def test_a_pass_does_not_wait_for_a_listing() -> None:
    listing = Listing()
    listing.answers.clear()
    watch = AutomatedWatch(listing)
    assert watch.known(policies(LEDGER), NOW) == {}
    assert watch.known(policies(LEDGER), NOW + timedelta(hours=1)) == {}
    listing.answers.set()
    watch.wait()
    assert listing.calls == {US: 1, WEST: 1}
    assert set(known(watch, 61, policies(LEDGER))) == {("bank", "ledger")}


@pytest.mark.parametrize("error", [Unavailable("the region does not answer"), KeyError("DBInstances")])
def test_a_listing_that_fails_is_told_and_is_no_alarm(error: Exception) -> None:
    listing = Listing()
    listing.wrong = error
    (kept,) = AutomatedWatch(listing).look(policies(LEDGER), NOW).values()
    assert kept.unseen
    assert list(kept.wrong) == []


# --- on the embedded cloud -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened() -> Iterator[Cloud]:
    with cloud() as made:
        yield made


def of_the_world(kind: str, name: str) -> tuple[Policy, ...]:
    text = LEDGER.replace("us-east-1", HOME).replace("us-west-2", AWAY).replace("shop-ledger", name)
    return (policy_of(text.replace("rds-instance", kind), ANYWHERE),)


def test_a_replication_that_stopped_by_itself_is_an_alarm_that_says_where_and_what_to_do(opened: Cloud) -> None:
    world = RdsWorld(opened)
    of = of_the_world("rds-instance", world.source_with(BackupRetentionPeriod=7))
    watch = AutomatedWatch(AwsAutomatedBackups(world.aws_accounts))
    arn = world.client("rds").describe_db_instances()["DBInstances"][0]["DBInstanceArn"]
    away = world.client("rds", AWAY)
    away.start_db_instance_automated_backups_replication(SourceDBInstanceArn=arn, SourceRegion=HOME)
    (kept,) = watch.look(of, world.present()).values()
    assert [(each.region, each.status, each.why) for each in kept.replicated] == [(AWAY, "replicating", "")]
    away.stop_db_instance_automated_backups_replication(SourceDBInstanceArn=arn)
    seen = watch.look(of, world.present())
    alarms = alarms_of(passed(planned(policy(resources=(resource("data", "ebs"),))), automated=seen))
    ((kind, subject),) = alarms
    assert (kind, subject) == (STOPPED, f"bank/ledger in {AWAY}")
    assert "StartDBInstanceAutomatedBackupsReplication" in alarms[kind, subject]


def test_a_replication_that_stands_still_and_a_replica_that_broke_are_alarms(opened: Cloud) -> None:
    world = RdsWorld(opened)
    name = world.source_with(BackupRetentionPeriod=7)
    arn = world.client("rds").describe_db_instances()["DBInstances"][0]["DBInstanceArn"]
    away = world.client("rds", AWAY)
    away.start_db_instance_automated_backups_replication(SourceDBInstanceArn=arn, SourceRegion=HOME)
    away.create_db_instance_read_replica(DBInstanceIdentifier="far", SourceDBInstanceIdentifier=arn, SourceRegion=HOME)
    watch = AutomatedWatch(AwsAutomatedBackups(world.aws_accounts))
    of = of_the_world("rds-instance", name)
    (kept,) = watch.look(of, world.present()).values()
    assert [(r.identifier, r.region, r.status) for r in kept.replicas] == [("far", AWAY, "replicating")]
    assert list(kept.wrong) == []
    world.aws.hold_backups(AWAY, name, world.present() - timedelta(hours=5))
    world.aws.break_replica(AWAY, "far", "terminated", "too far behind")
    (kept,) = watch.look(of, world.present()).values()
    told = dict(kept.wrong)
    assert "stands still" in told[AWAY]
    assert "terminated (too far behind)" in told[f"{AWAY} (far)"]


def test_a_replica_in_a_region_that_no_policy_names_is_looked_for_there(opened: Cloud) -> None:
    world = RdsWorld(opened)
    name = world.source_with(BackupRetentionPeriod=7)
    arn = world.client("rds").describe_db_instances()["DBInstances"][0]["DBInstanceArn"]
    world.client("rds", "us-west-2").start_db_instance_automated_backups_replication(
        SourceDBInstanceArn=arn, SourceRegion=HOME
    )
    watch = AutomatedWatch(AwsAutomatedBackups(world.aws_accounts))
    world.aws.calls.clear()
    (kept,) = watch.look(of_the_world("rds-instance", name), world.present()).values()
    assert [each.region for each in kept.replicated] == ["us-west-2"]
    assert {op for _, op, _ in world.aws.calls} <= {right.partition(":")[2] for right in PERMISSIONS}
    assert set(world.aws.calls.values()) == {1}, "a listing for each region, none per database"


def test_clusters_are_listed_with_their_retention(opened: Cloud) -> None:
    world = RdsClusterWorld(opened)
    name = world.source_with(BackupRetentionPeriod=5, DeletionProtection=True)
    watch = AutomatedWatch(AwsAutomatedBackups(world.aws_accounts))
    (kept,) = watch.look(of_the_world("rds-cluster", name), world.present()).values()
    assert (kept.retention_days, kept.protected, kept.unseen) == (5, True, "")


def test_secondaries_of_an_aurora_global_database_are_its_replicas_and_one_that_does_not_follow_is_an_alarm(
    opened: Cloud,
) -> None:
    world = RdsClusterWorld(opened)
    name = world.source_with(BackupRetentionPeriod=5)
    home, west = world.client("rds"), world.client("rds", "us-west-2")
    (primary,) = home.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"]
    home.create_global_cluster(GlobalClusterIdentifier="world", SourceDBClusterIdentifier=primary["DBClusterArn"])
    west.create_db_cluster(DBClusterIdentifier="far", Engine=primary["Engine"], GlobalClusterIdentifier="world")
    watch = AutomatedWatch(AwsAutomatedBackups(world.aws_accounts))
    world.aws.calls.clear()
    (kept,) = watch.look(of_the_world("rds-cluster", name), world.present()).values()
    assert [(r.identifier, r.region, r.status, r.why) for r in kept.replicas] == [("far", "us-west-2", "connected", "")]
    assert {op for _, op, _ in world.aws.calls} <= {right.partition(":")[2] for right in PERMISSIONS}
    assert set(world.aws.calls.values()) == {1}, "a listing for each region, none per database"
    world.aws.break_replica("us-west-2", "far")
    (kept,) = watch.look(of_the_world("rds-cluster", name), world.present()).values()
    ((where, told),) = kept.wrong
    assert (where, "pending-resync" in told) == ("us-west-2 (far)", True)


def test_long_listings_are_read_to_their_end(opened: Cloud) -> None:
    world = RdsWorld(opened)
    for _ in range(5):
        world.source_with(BackupRetentionPeriod=7)
    world.short_pages()
    seen = AwsAutomatedBackups(world.aws_accounts).seen(ACCOUNT, HOME, {"rds-instance"})
    assert (len(seen.databases), len(seen.backups)) == (5, 5)
