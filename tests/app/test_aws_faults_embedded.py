"""One example of each of AWS's faults on the embedded cloud, through the real kinds (all cells: test_aws_faults)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from faults import FaultySnapshots
from moto.ec2 import ec2_backends
from native_clouds import AWAY, HOME, Cloud, World, cloud, world_of
from worlds import IMAGES, LEDGER, SEATS, SITE, VOLUMES, Installation, outcomes

from drorch.demo.aws import ACCOUNT
from drorch.domain.catalogue_native import TAG_POINT, TAG_SOURCE
from drorch.domain.native import PART, NativeSnapshot
from drorch.kinds.kms_keys import AwsKmsKeys

TEXTS = {"ebs": VOLUMES, "ami": IMAGES, "rds-instance": LEDGER, "rds-cluster": SEATS}
DRORCHS = {f"drorch:{name}" for name in ("site", "application", "resource", "slot", "point", "set")}


@pytest.fixture(scope="module")
def opened() -> Iterator[Cloud]:
    with cloud() as made:
        yield made


class Site:
    """One resource of the kind, with so many members, on the embedded cloud; nothing of it is finished by itself."""

    def __init__(self, folder: Path, opened: Cloud, kind: str, members: int = 1, *, keyed: bool = False) -> None:
        self.kind, self.members = kind, members
        self.aws: Any = world_of(kind, lambda: opened)
        world: World = self.aws
        home_key, self.key = (world.new_key(HOME), world.new_key(AWAY)) if keyed else ("", "")
        self.sources = [world.source_with(key=home_key) for _ in range(members)]
        opened.aws.finish_db_instances()
        self.installation = self._installed(folder, opened, world.options(self.sources[0]))
        self.began = self.installation.clock.present

    def _installed(self, folder: Path, opened: Cloud, options: object) -> Installation:
        installation = Installation(folder, TEXTS[self.kind].replace("us-east-1", HOME).replace("us-west-2", AWAY))
        installation.clock.present = datetime.now(UTC)
        (policy,) = installation.policies
        (resource,) = policy.resources
        targets = resource.targets
        if self.key:
            targets = (targets[0], *(rule.model_copy(update={"kms_key": self.key}) for rule in targets[1:]))
        resource = resource.model_copy(update={"options": options, "targets": targets})
        installation.policies = (policy.model_copy(update={"resources": (resource,)}),)
        installation.kinds[self.kind] = self.calls = FaultySnapshots(self.aws.kind)
        installation.keys = AwsKmsKeys(opened.accounts)
        installation.restart()
        return installation

    def passes(self, count: int, *, minutes: float = 1, finish: bool = False) -> None:
        for _ in range(count):
            self.installation.once()
            if finish:
                self.aws.finish()
            self.installation.clock.turn(minutes=minutes)
            self.calls.clock = self.installation.clock.present - self.began

    def copying(self) -> list[NativeSnapshot]:
        """Up to where every member is being copied."""
        self.passes(1)
        self.aws.finish()
        self.passes(1)
        return self.there(AWAY)

    def there(self, region: str) -> list[NativeSnapshot]:
        return [s for s in self.aws.kind.snapshots("prod", region, SITE) if s.role != PART]

    def made_whole(self) -> Counter[str]:
        """Everything ends; each member was made once in both regions, and bears every tag; how copies ended."""
        self.passes(8, minutes=11, finish=True)
        self.installation.quiet()
        self.installation.check_whole()
        (planned,) = self.installation.reconciler.look(fresh=True).plans.values()
        (whole,) = [point.id for point in planned.catalogue.points if point.usable]
        for region in (HOME, AWAY):
            usable = [s for s in self.there(region) if s.state == "usable"]
            made = Counter((s.tags[TAG_POINT], s.tags.get(TAG_SOURCE) or s.source_id) for s in usable)
            assert [n for (point, _), n in made.items() if point == whole] == [1] * self.members
            for snapshot in usable:
                assert DRORCHS | {"app", "tier"} <= snapshot.tags.keys()
                assert not [tag for tag in snapshot.tags if tag.startswith("aws:")]
        return Counter(outcomes(self.installation, "copy"))


def test_a_copy_that_ends_in_error_is_made_again(tmp_path: Path, opened: Cloud) -> None:
    site = Site(tmp_path, opened, "ami")
    (failed,) = site.copying()
    site.aws.fail(failed, "Given key ID is not accessible")
    assert site.made_whole()["done"] == 2


def test_copies_wait_while_others_have_all_places(tmp_path: Path, opened: Cloud) -> None:
    site = Site(tmp_path, opened, "ebs", 2)
    foreign = opened.aws.put_foreign_copies(AWAY, 20)
    site.passes(1)
    for snapshot in site.there(HOME):
        opened.aws.finish_snapshot(HOME, snapshot.native_id)
    site.passes(6)
    assert site.there(AWAY) == []
    for native_id in foreign:
        opened.aws.finish_snapshot(AWAY, native_id)
    assert site.made_whole() == {"done": 1}


def test_a_snapshot_that_listings_do_not_show_yet_is_not_made_again(tmp_path: Path, opened: Cloud) -> None:
    site = Site(tmp_path, opened, "rds-instance")
    site.passes(1)
    opened.aws.stale("DescribeDBSnapshots", 6)
    site.installation.restart()
    site.passes(3)
    opened.aws.stale("DescribeDBSnapshots", 0)
    site.made_whole()
    assert len(site.there(HOME)) == 1


def test_tags_of_aws_on_the_source_are_left_out(tmp_path: Path, opened: Cloud) -> None:
    site = Site(tmp_path, opened, "ebs", 2)
    for volume in site.sources:
        ec2_backends[ACCOUNT][HOME].tags[volume]["aws:cloudformation:stack-name"] = "shop"
    site.made_whole()


def test_a_point_of_which_one_member_failed_does_not_count_and_is_cut_again(tmp_path: Path, opened: Cloud) -> None:
    site = Site(tmp_path, opened, "ebs", 2)
    site.passes(1)
    site.aws.fail(site.there(HOME)[0], "an internal error has occurred")
    site.aws.finish()
    site.passes(2)
    assert site.there(AWAY) == []
    assert site.made_whole() == {"done": 1}


def test_a_source_deleted_before_its_copy_was_done_is_cut_again(tmp_path: Path, opened: Cloud) -> None:
    site = Site(tmp_path, opened, "rds-cluster")
    (copied,) = site.copying()
    (source,) = site.there(HOME)
    site.aws.client("rds", HOME).delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=source.native_id)
    site.aws.fail(copied, "the source was deleted")
    assert site.made_whole()["done"] == 2


def test_a_session_that_expires_between_two_copies_leaves_the_rest_for_later(tmp_path: Path, opened: Cloud) -> None:
    site = Site(tmp_path, opened, "ebs", 2)
    expire = ("CopySnapshot", "credentials-expired")
    site.calls.faults.order("copy", lambda: opened.aws.fail_next(*expire), after=1)
    assert len(site.copying()) == 1
    assert site.made_whole() == {"unavailable": 1, "done": 1}


def test_a_key_that_is_disabled_after_the_cut_is_waited_for(tmp_path: Path, opened: Cloud) -> None:
    site = Site(tmp_path, opened, "rds-instance", keyed=True)
    kms = site.aws.client("kms", AWAY)
    (key,) = [alias["TargetKeyId"] for alias in kms.list_aliases()["Aliases"] if alias["AliasName"] == site.key]
    kms.disable_key(KeyId=key)
    assert site.copying() == []
    site.passes(4)
    seen = site.installation.seen
    assert seen is not None and {hold.alarm for hold in seen.holds if hold.alarm} == {"kms-key"}
    assert outcomes(site.installation, "copy") == {}
    kms.enable_key(KeyId=key)
    assert site.made_whole()["done"] == 1
