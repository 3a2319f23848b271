"""The whole life of images: in memory what happens to them, and on the embedded cloud that the two are alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from clouds import aws_environment
from faults import FaultySnapshots
from native_clouds import Cloud, cloud
from worlds import AWAY, EU, HOME, IMAGES, Installation, outcomes

from drorch.aws import AwsAccount, AwsAccounts
from drorch.domain.action import Cut, Expire, Hold
from drorch.domain.errors import Refused
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import CopyState
from drorch.domain.native import PART
from drorch.domain.record import RecordType
from drorch.domain.recovery import Wanted, choose_point
from drorch.kinds.ami import AmiImages, Options, Select
from drorch.kinds.memory.images import IMAGES as SERVICE

WEB = IMAGES.replace("keep: {last: 3}", "keep: {last: 2}")


def days(world: Installation, count: int) -> None:
    for _ in range(count):
        world.quiet()
        world.clock.turn(days=1)


def copies(world: Installation, vault: str) -> list[PointCopy]:
    points = world.reconciler.look(fresh=True).plans["shop"].catalogue.points
    return [copy for point in points if (copy := point.copy_in(vault)) is not None]


def left_over(world: Installation) -> list[str]:
    return [s.native_id for s in world.cloud.snapshots() if s.role == PART]


def bodies(world: Installation) -> list[dict[str, Any]]:
    """The signed native records."""
    plans = world.reconciler.look(fresh=True).plans
    paths = [p for p in world.memory(EU).objects if "/native/" in p and p.endswith(".json")]
    assert plans["shop"].catalogue.points
    return [json.loads(world.memory(EU).objects[path][0]) for path in sorted(paths)]


# --- in memory


def test_a_point_is_cut_copied_recorded_and_let_go_with_all_its_snapshots(tmp_path: Path) -> None:
    world = Installation(tmp_path, WEB)
    days(world, 8)
    for vault in (HOME, AWAY):
        found = copies(world, vault)
        assert [copy.state for copy in found[:2]] == [CopyState.USABLE] * 2
        assert all(len(copy.members) == 3 for copy in found)
    assert outcomes(world, "expire")["done"] > 2
    assert set(outcomes(world, "expire")) == {"done"}
    assert left_over(world) == []
    alarms = [a for a in world.actions(world.reconciler.look(fresh=True), Hold) if isinstance(a, Hold) and a.alarm]
    assert alarms == []


def test_the_record_names_the_image_and_its_snapshots_and_what_a_restore_needs(tmp_path: Path) -> None:
    world = Installation(tmp_path, WEB)
    days(world, 1)
    for body in bodies(world):
        assert body["type"] == RecordType.NATIVE
        of_image, *parts = body["members"]
        assert (of_image["role"], of_image["identity"]) == ("image", "i-1")
        assert [(part["role"], part["image"]) for part in parts] == [("snapshot", of_image["native_id"])] * 2
        assert all(part["device"] for part in parts)


def test_a_deletion_that_ended_after_the_image_goes_on_with_the_snapshots(tmp_path: Path) -> None:
    world = Installation(tmp_path, WEB)
    days(world, 3)
    world.kinds["ami"].faults.order("expire", "before", only="snap")
    for _ in range(8):
        days(world, 1)
        if not world.kinds["ami"].faults.standing:
            break
    assert not world.kinds["ami"].faults.standing
    days(world, 2)
    assert left_over(world) == []
    assert outcomes(world, "expire")["unavailable"] == 1


def test_a_snapshot_that_is_not_let_go_is_told_and_tried_again_until_it_is(tmp_path: Path) -> None:
    world = Installation(tmp_path, WEB)
    days(world, 1)
    image = next(s for s in world.cloud.snapshots() if f"{s.account}.{s.region}" == HOME)
    stuck = image.parts[0].native_id
    kind = world.kinds["ami"]
    expire = kind.inner.expire

    def refuse(account: str, region: str, native_id: str) -> None:
        if native_id == stuck:
            raise Refused("an image uses the snapshot", resource=native_id, cause="ami-golden")
        expire(account, region, native_id)

    beside = image.parts[1].native_id
    kind.inner.expire = refuse  # type: ignore[method-assign]
    for _ in range(8):
        world.run(4)
        world.clock.turn(days=1)
    assert left_over(world) == [stuck]
    assert beside not in {s.native_id for s in world.cloud.snapshots()}
    world.run(3, minutes=0)
    held = [h.reason for h in world.reconciler.look(fresh=True).holds if "expire failed" in h.reason]
    assert any("ami-golden" in reason for reason in held)
    kind.inner.expire = expire  # type: ignore[method-assign]
    days(world, 2)
    assert left_over(world) == []


def test_an_image_that_somebody_deregistered_is_told_and_its_snapshots_are_not_touched(tmp_path: Path) -> None:
    world = Installation(tmp_path, WEB)
    days(world, 1)
    image = next(s for s in world.cloud.snapshots() if f"{s.account}.{s.region}" == HOME)
    world.kinds["ami"].inner.expire("prod", "us-east-1", image.native_id)
    seen = world.run(2)
    copy = copies(world, HOME)[-1]
    assert copy.state is CopyState.FAILED
    assert not world.actions(seen, Expire)
    days(world, 6)
    assert set(left_over(world)) == {part.native_id for part in image.parts}


def test_what_is_left_of_a_copy_that_somebody_deregistered_does_not_keep_it_from_being_made_again(
    tmp_path: Path,
) -> None:
    world = Installation(tmp_path, WEB)
    world.quiet()
    image = next(s for s in world.cloud.snapshots() if f"{s.account}.{s.region}" == AWAY)
    world.kinds["ami"].inner.expire("prod", "us-west-2", image.native_id)
    world.quiet(minutes=20)
    (copy,) = copies(world, AWAY)
    assert (copy.state, len(copy.members)) == (CopyState.USABLE, 3)
    assert copy.recorded_in
    assert not {part.native_id for part in image.parts} & {m.native_id for m in copy.members}
    assert set(left_over(world)) == {part.native_id for part in image.parts}


def test_of_two_instances_the_image_that_was_not_made_is_made_later(tmp_path: Path) -> None:
    world = Installation(tmp_path, WEB)
    two = [replace(world.volume(name), identity=name) for name in ("i-1", "i-2")]
    world.cloud.put_sources(SERVICE, "prod", "us-east-1", two)
    world.kinds["ami"].faults.order("cut", "before", after=1)
    world.quiet(minutes=3)
    (copy,) = copies(world, HOME)
    assert [(m.source_id, m.role) for m in copy.members if not m.image] == [("i-1", "image"), ("i-2", "image")]
    assert len(copy.members) == 6
    (away,) = copies(world, AWAY)
    assert (away.state, len(away.members)) == (CopyState.USABLE, 6)
    assert len(world.cloud.snapshots()) == 4


def test_a_listing_is_remembered_with_the_snapshots_of_its_images(tmp_path: Path) -> None:
    world = Installation(tmp_path, WEB)
    days(world, 1)
    known = copies(world, HOME)
    world.restart()
    world.cloud.lose("us-east-1")
    assert [copy.members for copy in copies(world, HOME)] == [copy.members for copy in known]


def test_a_plan_says_that_a_cut_restarts_the_instances(tmp_path: Path) -> None:
    world = Installation(tmp_path, WEB)
    (policy,) = world.policies
    rebooting = Options(select=Select(tags={"app": "shop"}), reboot=True)
    resource = policy.resources[0].model_copy(update={"options": rebooting})
    world.policies = (policy.model_copy(update={"resources": (resource,)}),)
    (cut,) = world.actions(world.reconciler.look(), Cut)
    assert "restarts every selected instance" in cut.reason


def test_a_restore_of_images_into_anything_but_a_region_says_what_takes_them(tmp_path: Path) -> None:
    world = Installation(tmp_path, WEB)
    days(world, 1)
    catalogue = world.reconciler.look().plans["shop"].catalogue
    with pytest.raises(Refused, match="snapshots \\(ami\\)") as refused:
        choose_point(catalogue, Wanted("shop", "web"), world.clock.now())
    assert refused.value.hint == "drorch restore shop web --into region:NAME"


# --- on the embedded cloud


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with cloud() as opened:
        yield opened


def test_the_same_life_on_the_embedded_cloud(tmp_path: Path, aws: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws_environment(aws.aws.endpoint_url, "us-east-1").items():
        monkeypatch.setenv(name, value)
    aws.aws.reset()
    accounts = AwsAccounts({"prod": AwsAccount()}, attempts=1)
    kind = FaultySnapshots(AmiImages(accounts))
    ec2 = accounts.client("ec2", "prod", "us-east-1")
    ec2.run_instances(
        ImageId="ami-12345678",
        MinCount=1,
        MaxCount=1,
        BlockDeviceMappings=[{"DeviceName": d, "Ebs": {"VolumeSize": 8}} for d in ("/dev/sda1", "/dev/sdf")],
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "app", "Value": "shop"}]}],
    )
    world = Installation(tmp_path, WEB)
    world.clock.present = datetime.now(UTC)
    (policy,) = world.policies
    options = Options(select=Select(tags={"app": "shop"}))
    resource = policy.resources[0].model_copy(update={"options": options})
    world.policies = (policy.model_copy(update={"resources": (resource,)}),)
    world.kinds["ami"] = kind
    world.restart()
    begun = world.clock.present
    for _ in range(8):
        world.quiet(minutes=1)
        world.clock.turn(days=1)
        kind.clock = world.clock.present - begun
    assert outcomes(world, "expire").get("done", 0) >= 2, outcomes(world, "expire")
    for vault, region in ((HOME, "us-east-1"), (AWAY, "us-west-2")):
        client = accounts.client("ec2", "prod", region)
        images = client.describe_images(Owners=["self"])["Images"]
        used = {block["Ebs"]["SnapshotId"] for image in images for block in image["BlockDeviceMappings"]}
        held = {m.native_id for copy in copies(world, vault) for m in copy.members}
        assert {image["ImageId"] for image in images} | used == held
        assert {s["SnapshotId"] for s in client.describe_snapshots(OwnerIds=["self"])["Snapshots"]} == used
    accounts.close()


def test_sources_of_the_fake_are_kept_under_a_service_of_their_own(tmp_path: Path) -> None:
    world = Installation(tmp_path, WEB)
    days(world, 1)
    assert {s.service for s in world.cloud.snapshots()} == {SERVICE}
