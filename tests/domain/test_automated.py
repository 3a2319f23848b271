"""What RDS keeps by itself, as it is shown, and when its replication needs a person."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from policy_words import KINDS, Instance, policy_of, words

from drorch.domain.automated import (
    AutomatedBackup,
    Database,
    Listed,
    RegionSeen,
    Replicated,
    automated,
    databases_of,
    first_places,
    further_places,
)
from drorch.domain.policy import ResourcePolicy
from drorch.domain.vocabulary import KindWords

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOME, AWAY, FAR = ("prod", "us-east-1"), ("prod", "us-west-2"), ("prod", "eu-west-1")
ARN = "arn:aws:rds:us-east-1:123456789012:db:shop-ledger"
BACKUP_ARN = "arn:aws:rds:us-west-2:123456789012:auto-backup:ab-1"
REPLICA_ARN = "arn:aws:rds:eu-west-1:123456789012:db:shop-ledger-r"
POLICY = policy_of(
    """
    version: 1
    application: shop
    owner: dba@example.com
    home: {account: prod, region: us-east-1}
    resources:
      - name: ledger
        kind: rds-instance
        identifier: shop-ledger
        schedule: {every: 1d}
        copies: [{region: us-west-2}]
        keep: {last: 2}
      - {name: data, kind: ebs, select: {tags: {app: shop}}, schedule: {every: 1d}, keep: {last: 2}}
    """,
    words(kinds={**KINDS, "rds-cluster": KindWords(Instance, native=True)}),
)
LEDGER: ResourcePolicy = POLICY.resources[0]

SHOP = Database(
    "rds-instance", "shop-ledger", "db-1", ARN, "available", 7, NOW - timedelta(minutes=5), True, (BACKUP_ARN,)
)
BACKUP = AutomatedBackup("rds-instance", "db-1", "us-east-1", "replicating", 14, NOW - HOUR / 6, BACKUP_ARN)


def listed(*backups: AutomatedBackup, database: Database = SHOP, **more: RegionSeen | str) -> Listed:
    regions = {("prod", name.replace("_", "-")): seen for name, seen in more.items()}
    return {HOME: RegionSeen((database,)), AWAY: RegionSeen((), backups), **regions}


def wrong(seen: Listed) -> list[tuple[str, str]]:
    return list(automated(LEDGER, seen, NOW).wrong)


def test_what_is_kept_is_shown() -> None:
    kept = automated(LEDGER, listed(BACKUP), NOW)
    assert (kept.retention_days, kept.protected, kept.latest) == (7, True, NOW - timedelta(minutes=5))
    assert kept.replicated == (Replicated("us-west-2", "replicating", 14, NOW - HOUR / 6),)
    assert list(kept.wrong) == []


def test_a_database_that_nobody_replicates_is_no_alarm() -> None:
    alone = replace(SHOP, replicated_to=(), retention_days=0, protected=False)
    kept = automated(LEDGER, listed(database=alone), NOW)
    assert (kept.replicated, kept.retention_days, kept.protected) == ((), 0, False)
    assert list(kept.wrong) == []


def test_what_is_left_of_a_replication_while_its_database_lives_says_that_it_stopped() -> None:
    left = replace(BACKUP, status="retained", latest=NOW - 30 * HOUR)
    ((where, why),) = wrong(listed(left, database=replace(SHOP, replicated_to=())))
    assert where == "us-west-2"
    assert "has stopped at 2026-11-19T03:00:00Z" in why
    assert "StartDBInstanceAutomatedBackupsReplication" in why and "KMS key" in why


def test_what_was_left_before_it_was_begun_again_is_no_alarm() -> None:
    left = replace(BACKUP, status="retained", latest=NOW - 30 * HOUR, arn=f"{BACKUP_ARN}0")
    kept = automated(LEDGER, listed(left, BACKUP), NOW)
    assert [each.status for each in kept.replicated] == ["replicating"]
    assert list(kept.wrong) == []


def test_replicated_backups_that_the_database_names_and_that_are_not_there_are_gone() -> None:
    ((_, why),) = wrong(listed())
    assert "are gone" in why


@pytest.mark.parametrize(("behind", "alarms"), [(3, 0), (3.1, 1)])
def test_a_replication_that_stands_still_for_hours_is_an_alarm(behind: float, alarms: int) -> None:
    assert SHOP.latest is not None
    stood = replace(BACKUP, latest=SHOP.latest - behind * HOUR)
    found = wrong(listed(stood))
    assert len(found) == alarms
    assert all("stands still at" in why and "behind the database" in why for _, why in found)


def test_while_the_database_is_stopped_its_replicas_stand_still_as_it_does() -> None:
    stopped = replace(SHOP, status="stopped", latest=NOW - 100 * HOUR)
    assert wrong(listed(replace(BACKUP, latest=NOW - 101 * HOUR), database=stopped)) == []


def test_a_replication_that_has_just_begun_has_no_instant_yet() -> None:
    assert wrong(listed(replace(BACKUP, latest=None))) == []


def test_backups_of_another_database_of_that_name_or_region_are_not_taken_for_its_own() -> None:
    alone = replace(SHOP, replicated_to=())
    others = (replace(BACKUP, identity="db-2"), replace(BACKUP, home="eu-west-1"), replace(BACKUP, kind="rds-cluster"))
    assert automated(LEDGER, listed(*others, database=alone), NOW).replicated == ()


def test_a_region_that_could_not_be_seen_is_no_alarm_and_is_told() -> None:
    kept = automated(LEDGER, {HOME: RegionSeen((SHOP,)), AWAY: "it does not answer"}, NOW)
    assert kept.replicated == (Replicated("us-west-2", unseen="it does not answer"),)
    assert list(kept.wrong) == []
    assert automated(LEDGER, {HOME: "denied"}, NOW).unseen == "denied"
    assert automated(LEDGER, {}, NOW).unseen == "its region was not listed yet"
    assert automated(LEDGER, {HOME: RegionSeen()}, NOW).unseen == "shop-ledger is not there"


def test_read_replicas_are_shown_wherever_they_are_and_one_that_does_not_follow_is_an_alarm() -> None:
    source = replace(SHOP, replicated_to=(), replicas=("shop-ledger-2", REPLICA_ARN))
    near = replace(SHOP, identifier="shop-ledger-2", replica_of="shop-ledger", replication="replicating")
    far = Database(
        "rds-instance",
        "shop-ledger-r",
        "db-9",
        REPLICA_ARN,
        replica_of=ARN,
        replication="error",
        trouble="error (slot)",
    )
    seen = {HOME: RegionSeen((source, near)), AWAY: RegionSeen(), FAR: RegionSeen((far,))}
    kept = automated(LEDGER, seen, NOW)
    assert [(r.identifier, r.region, r.status) for r in kept.replicas] == [
        ("shop-ledger-2", "us-east-1", "replicating"),
        ("shop-ledger-r", "eu-west-1", "error"),
    ]
    ((where, why),) = kept.wrong
    assert where == "eu-west-1 (shop-ledger-r)"
    assert "does not follow: error (slot)" in why


def test_a_replica_that_is_not_seen_is_told_and_no_alarm() -> None:
    source = replace(SHOP, replicated_to=(), replicas=(REPLICA_ARN,))
    for seen, why in (("denied", "denied"), (RegionSeen(), "it is not listed there")):
        kept = automated(LEDGER, {HOME: RegionSeen((source,)), FAR: seen}, NOW)
        assert [replica.unseen for replica in kept.replicas] == [why]
        assert list(kept.wrong) == []


def test_databases_are_looked_for_where_they_and_their_copies_are_and_where_they_replicate_to() -> None:
    found = list(databases_of([POLICY]))
    assert [(name, resource.name) for name, resource in found] == [("shop", "ledger")]
    assert first_places([LEDGER]) == {HOME: {"rds-instance"}, AWAY: {"rds-instance"}}
    source = replace(SHOP, replicas=(REPLICA_ARN, "near"))
    assert further_places([LEDGER], listed(database=source)) == {FAR: {"rds-instance"}}
    assert further_places([LEDGER], {HOME: "denied", AWAY: RegionSeen()}) == {}
