"""What the region has by itself that is newer, asked of that region alone, beside what is brought back there."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from native_clouds import ACCOUNT, AWAY, HOME, Cloud, RdsClusterWorld, RdsWorld, cloud
from worlds import LEDGER, SITE, VOLUMES, Installation

from drorch.app.clock import SystemClock
from drorch.app.loading import Reader
from drorch.app.native_restore import Found, Located, NativeRestores, RegionRequest
from drorch.app.offers import with_offers
from drorch.aws import AwsAccounts
from drorch.cli.region_screen import plan_json, print_plan
from drorch.cli.region_sources import Sources
from drorch.cli.restore_region import offered
from drorch.domain.automated import RegionSeen
from drorch.domain.errors import Refused
from drorch.domain.offers import Offer
from drorch.kinds.rds_automated import AwsAutomatedBackups


@pytest.fixture(scope="module")
def opened() -> Iterator[Cloud]:
    with cloud() as made:
        yield made


class Denied:
    def __init__(self) -> None:
        self.asked = 0

    def seen(self, account: str, region: str, kinds: Collection[str]) -> RegionSeen:
        self.asked += 1
        raise Refused("no right", operation=f"{account} {region} {sorted(kinds)}")


def located(tmp_path: Path, application: str, text: str, resource: str, kind: str) -> Located:
    """What would be brought back of the only resource, after three days of a simulated installation."""
    world = Installation(tmp_path, text)
    for _ in range(3):
        world.run(8)
        world.clock.turn(days=1)
    by = NativeRestores(
        kinds_of=lambda _accounts: world.kinds,
        stores=world.stores,
        reader=Reader(keys=world.trusted, identities=(), clock=world.host),
        valid_id=world.valid_id,
    )
    asked = RegionRequest(application, "us-west-2", site=SITE, natives={resource: (kind, ("prod",))})
    (each,) = by.find(asked, lambda *_: SimpleNamespace(name="")).located
    return each


def ledger(tmp_path: Path) -> Located:
    return located(tmp_path, "bank", LEDGER, "ledger", "rds-instance")


def of(each: Located, kind: str, name: str, identity: str) -> Located:
    """The point of a database of the embedded cloud, as its records tell of it."""
    (part,) = each.order.parts
    order = replace(each.order, account=ACCOUNT, region=AWAY, parts=(replace(part, source_id=name),))
    point = replace(each.choice.point, identities=frozenset({identity}))
    return replace(each, kind=kind, order=order, choice=replace(each.choice, point=point))


def test_a_look_that_is_denied_is_a_note_and_one_look_serves_all_of_a_kind(tmp_path: Path) -> None:
    each, denied = ledger(tmp_path), Denied()
    seen = list(with_offers([each, each], denied, None))
    assert denied.asked == 1
    assert all("could not be seen" in one.notes[-1] and "no right" in one.notes[-1] for one in seen)
    assert [one.offers for one in seen] == [(), ()]


def test_volumes_ask_nothing_of_rds(tmp_path: Path) -> None:
    data, denied = located(tmp_path, "shop", VOLUMES, "data", "ebs"), Denied()
    assert list(with_offers([data], denied, None)) == [data]
    assert denied.asked == 0


def test_replicated_backups_and_a_replica_are_seen_with_the_home_region_lost(tmp_path: Path, opened: Cloud) -> None:
    world = RdsWorld(opened)
    name = world.source_with(BackupRetentionPeriod=7)
    (entry,) = world.client("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
    away, arn = world.client("rds", AWAY), entry["DBInstanceArn"]
    away.start_db_instance_automated_backups_replication(SourceDBInstanceArn=arn, SourceRegion=HOME)
    away.create_db_instance_read_replica(DBInstanceIdentifier="far", SourceDBInstanceIdentifier=arn, SourceRegion=HOME)
    each = of(ledger(tmp_path), "rds-instance", name, entry["DbiResourceId"])
    kept = AwsAutomatedBackups(world.aws_accounts)
    world.aws.lose_region(HOME)
    try:
        world.aws.calls.clear()
        older = replace(each, choice=replace(each.choice, cut_at=world.present() - timedelta(days=1)))
        (seen,) = with_offers([older], kept, None)
        assert {region for service, _, region in world.aws.calls if service == "rds"} == {AWAY}
    finally:
        world.aws.recover_region(HOME)
    backups, replica = seen.offers
    assert backups.data_as_of is not None and world.present() - backups.data_as_of < timedelta(hours=1)
    assert f"--source-db-instance-automated-backups-arn arn:aws:rds:{AWAY}" in backups.command
    assert (replica.name, replica.data_as_of) == ("far", None)
    newer = replace(each, choice=replace(each.choice, cut_at=world.present()))
    (seen,) = with_offers([newer], kept, world.present())
    assert seen.offers == ()


def test_a_secondary_of_a_global_database_is_offered_with_the_failover_of_that(tmp_path: Path, opened: Cloud) -> None:
    world = RdsClusterWorld(opened)
    name = world.source_with(BackupRetentionPeriod=5)
    home, away = world.client("rds"), world.client("rds", AWAY)
    (primary,) = home.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"]
    home.create_global_cluster(GlobalClusterIdentifier="globe", SourceDBClusterIdentifier=primary["DBClusterArn"])
    away.create_db_cluster(DBClusterIdentifier="second", Engine=primary["Engine"], GlobalClusterIdentifier="globe")
    each = of(ledger(tmp_path), "rds-cluster", name, primary["DbClusterResourceId"])
    (seen,) = with_offers([each], AwsAutomatedBackups(world.aws_accounts), None)
    (offer,) = seen.offers
    assert offer.name == "second"
    assert "failover-global-cluster --global-cluster-identifier globe" in offer.command


def test_a_plan_names_what_is_offered_with_its_time_and_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    each = ledger(tmp_path)
    when = each.choice.cut_at + timedelta(hours=2)
    offer = Offer("automated backups", "ab-1", when, "aws rds restore-it --now", "of us-east-1, replicating")
    bank, found = RegionRequest("bank", "us-west-2"), Found((replace(each, offers=(offer,)),))
    print_plan(bank, found, {}, SystemClock())
    told = capsys.readouterr().err
    assert f"us-west-2 has automated backups ab-1, data as of {when:%Y-%m-%d %H:%M}" in told
    assert "\n  aws rds restore-it --now\n" in told
    (said,) = plan_json(bank, found, {}, SystemClock())["resources"]  # type: ignore[misc]
    assert said["offers"] == [offer.to_json()]


@pytest.mark.parametrize(("named", "looks"), [("", True), ("p1", False)])
def test_the_command_looks_in_the_accounts_of_its_databases_unless_a_point_was_named(
    tmp_path: Path, opened: Cloud, named: str, looks: bool
) -> None:
    world = RdsWorld(opened)
    each = of(ledger(tmp_path), "rds-instance", "nobodys", "db-0")
    asked: list[Collection[str]] = []

    def accounts_of(names: Collection[str]) -> AwsAccounts:
        asked.append(names)
        return world.aws_accounts

    sources = Sources(SimpleNamespace(), SystemClock(), accounts_of=accounts_of)  # type: ignore[arg-type]
    found = offered(sources, RegionRequest("bank", AWAY, point=named), Found((each,)))
    assert found == Found((each,))
    assert asked == ([{ACCOUNT}] if looks else [])
