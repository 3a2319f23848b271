"""Which newer states of a database a region offers, and the commands that take them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from drorch.domain.automated import AutomatedBackup, Database, RegionSeen
from drorch.domain.offers import Behind, Offer, offers

CUT = datetime(2026, 11, 20, 3, tzinfo=UTC)
LATEST = CUT + timedelta(hours=6)
ARN = "arn:aws:rds:us-west-2:123456789012:auto-backup:ab-1"
SOURCE = "arn:aws:rds:us-east-1:123456789012:db:shop-ledger"
BEHIND = Behind("rds-instance", {"db-1"}, "shop-ledger")
BACKUP = AutomatedBackup(
    "rds-instance", "db-1", "us-east-1", "replicating", 14, LATEST, ARN, earliest=CUT - timedelta(days=2)
)
REPLICA = Database(
    "rds-instance", "far", "db-2", SOURCE.replace("shop-ledger", "far"), replica_of=SOURCE, replication="replicating"
)


def offered(*backups: AutomatedBackup, at: datetime | None = None, behind: Behind = BEHIND) -> tuple[Offer, ...]:
    return offers(behind, RegionSeen((), backups), "us-west-2", CUT, at)


def test_newer_automated_backups_are_offered_with_their_latest_time() -> None:
    (offer,) = offered(BACKUP)
    assert (offer.what, offer.name, offer.data_as_of) == ("automated backups", ARN, LATEST)
    assert offer.command == (
        f"aws rds restore-db-instance-to-point-in-time --source-db-instance-automated-backups-arn {ARN}"
        " --target-db-instance-identifier shop-ledger-newer --use-latest-restorable-time --region us-west-2"
    )


@pytest.mark.parametrize(
    "other",
    [
        replace(BACKUP, identity="db-9"),
        replace(BACKUP, kind="rds-cluster"),
        replace(BACKUP, latest=CUT),
        replace(BACKUP, latest=None),
    ],
)
def test_those_of_another_database_or_no_newer_ones_are_not(other: AutomatedBackup) -> None:
    assert offered(other) == ()


def test_a_point_without_a_known_identity_is_offered_no_backups_by_the_name_alone() -> None:
    assert offered(BACKUP, behind=replace(BEHIND, identities=frozenset())) == ()


def test_a_time_within_the_window_is_offered_exactly() -> None:
    asked = CUT + timedelta(hours=2)
    (offer,) = offered(BACKUP, at=asked)
    assert offer.data_as_of == asked
    assert "--restore-time 2026-11-20T05:00:00Z" in offer.command


def test_a_time_after_the_window_is_never_overtaken_by_a_window_that_grows() -> None:
    (offer,) = offered(BACKUP, at=LATEST + timedelta(hours=1))
    assert offer.data_as_of == LATEST
    assert "--restore-time 2026-11-20T09:00:00Z" in offer.command and "latest" not in offer.command


def test_a_time_before_the_window_is_not_offered() -> None:
    assert offered(replace(BACKUP, earliest=LATEST - timedelta(hours=1)), at=CUT + timedelta(hours=1)) == ()


def test_a_time_at_which_a_point_was_cut_is_that_points() -> None:
    assert offered(BACKUP, at=CUT) == ()


def test_the_name_that_is_proposed_is_one_that_rds_takes() -> None:
    (offer,) = offered(BACKUP, behind=replace(BEHIND, identifier=f"{'a' * 56}-bcdefg"))
    assert f" {'a' * 56}-newer " in offer.command


def test_a_cluster_takes_the_words_of_clusters() -> None:
    cluster = Behind("rds-cluster", {"cluster-1"}, "shop")
    (offer,) = offered(replace(BACKUP, kind="rds-cluster", identity="cluster-1", arn=""), at=LATEST, behind=cluster)
    assert offer.command.startswith(
        "aws rds restore-db-cluster-to-point-in-time --source-db-cluster-resource-id cluster-1 --db-cluster-identifier"
    )
    assert "--restore-to-time 2026-11-20T09:00:00Z" in offer.command
    assert "no instances" in offer.detail


def replicas(database: Database, at: datetime | None = None, behind: Behind = BEHIND) -> tuple[Offer, ...]:
    return offers(behind, RegionSeen((database,)), "us-west-2", CUT, at)


def test_a_replica_is_offered_without_a_time_and_with_its_promotion() -> None:
    (offer,) = replicas(REPLICA)
    assert (offer.what, offer.name, offer.data_as_of) == ("read replica", "far", None)
    assert offer.command == "aws rds promote-read-replica --db-instance-identifier far --region us-west-2"
    assert SOURCE in offer.detail and "for good" in offer.detail


def test_a_replica_that_does_not_follow_says_so() -> None:
    (offer,) = replicas(replace(REPLICA, trouble="terminated (too far behind)"))
    assert "terminated (too far behind)" in offer.detail


def test_a_replica_is_none_of_a_time_that_was_asked_for_nor_of_another_database() -> None:
    assert replicas(REPLICA, at=LATEST) == ()
    assert replicas(replace(REPLICA, replica_of=SOURCE.replace("ledger", "seats"))) == ()
    assert replicas(replace(REPLICA, replica_of="")) == ()


@pytest.mark.parametrize(
    ("of", "command"),
    [
        ("", "promote-read-replica-db-cluster --db-cluster-identifier far"),
        ("world", "failover-global-cluster --global-cluster-identifier world --target-db-cluster-identifier arn:far"),
    ],
)
def test_a_cluster_is_promoted_as_what_it_is(of: str, command: str) -> None:
    arn = SOURCE.replace(":db:", ":cluster:")
    far = Database("rds-cluster", "far", "cluster-2", "arn:far", replica_of=arn, global_cluster=of)
    (offer,) = replicas(far, behind=Behind("rds-cluster", {"cluster-1"}, "shop-ledger"))
    assert f"aws rds {command}" in offer.command
