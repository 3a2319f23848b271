"""What is particular to images: their names and tokens, their snapshots, and what goes when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from native_clouds import (
    ACCOUNT,
    AWAY,
    HOME,
    OTHER,
    OTHER_POINT,
    POINT,
    SITE,
    USER_TAGS,
    AmiWorld,
    copy_order,
    cut,
    cut_order,
    listed,
    selected,
)
from pydantic import ValidationError

from drorch.domain.errors import AlreadyExists, DrorchError, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.native import IMAGE, PART, NativeSnapshot, Source
from drorch.kinds import ami
from drorch.kinds.ami import Options, copy_token
from drorch.kinds.ebs import EbsSnapshots


def calls_of(world: AmiWorld) -> dict[str, int]:
    return {operation: count for (service, operation, _), count in world.aws.calls.items() if service == "ec2"}


def usable(world: AmiWorld, point: str = POINT) -> NativeSnapshot:
    made = cut(world, point)
    world.finish()
    return next(seen for seen in listed(world) if seen.native_id == made.native_id)


def snapshot_ids(image: NativeSnapshot) -> list[str]:
    return [part.native_id for part in image.parts]


# --- cuts


def test_every_instance_is_one_call_and_one_image_of_all_its_volumes(ami_world: AmiWorld) -> None:
    instances = sorted([ami_world.source_with(), ami_world.source_with()])
    order = cut_order(selected(ami_world))
    for call in range(2):
        ami_world.kind.cut(order, call)
    ami_world.finish()
    found = sorted(listed(ami_world), key=lambda image: image.source_id)
    assert [(image.source_id, image.role, image.state) for image in found] == [(i, IMAGE, "usable") for i in instances]
    assert [image.tags["drorch:set"] for image in found] == ["1/2:1", "2/2:1"]
    for image in found:
        assert [part.device for part in sorted(image.parts, key=lambda p: p.device)] == list(ami_world.DEVICES)
        assert all(part.source_id.startswith("vol-") and part.bytes == 8 << 30 for part in image.parts)
        assert image.bytes == 16 << 30
        assert image.started is not None


def test_image_and_snapshots_are_tagged_by_the_creating_call(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    ami_world.aws.calls.clear()
    made = cut(ami_world)
    assert calls_of(ami_world)["CreateImage"] == 1
    assert "CreateTags" not in calls_of(ami_world)
    shown = ami_world.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"]
    tags = [{tag["Key"]: tag["Value"] for tag in snapshot["Tags"]} for snapshot in shown]
    assert tags == [{**made.tags, "drorch:image": f"drorch-{POINT}-1"}] * 2


@pytest.mark.parametrize("reboot", [False, True])
def test_an_instance_is_rebooted_only_by_choice(ami_world: AmiWorld, reboot: bool) -> None:
    ami_world.source_with()
    options = Options.model_validate({"select": {"tags": USER_TAGS}, **({"reboot": True} if reboot else {})})
    sources = ami_world.kind.select(options, tuple(ami_world.kind.sources(ACCOUNT, HOME, [options])))
    asked: list[dict[str, Any]] = []
    client = ami_world.kind._accounts.client("ec2", ACCOUNT, HOME, repeatable=False)

    def note(params: dict[str, Any], **_: Any) -> None:
        asked.append(params["body"])

    client.meta.events.register("before-call.ec2.CreateImage", note)
    try:
        ami_world.kind.cut(cut_order(sources), 0)
    finally:
        client.meta.events.unregister("before-call.ec2.CreateImage", note)
    assert [body["NoReboot"] for body in asked] == ["false" if reboot else "true"]
    assert sources[0].settings["reboot"] is reboot
    assert bool(options.warning) is reboot


def test_a_lost_reply_to_a_cut_is_unknown_and_the_name_keeps_it_from_being_made_twice(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    ami_world.aws.fail_next("CreateImage", "after")
    with pytest.raises(OutcomeUnknown):
        cut(ami_world)
    with pytest.raises(AlreadyExists):
        cut(ami_world)
    assert len(ami_world.kind.find(ACCOUNT, HOME, POINT)) == 1


def test_a_source_says_what_a_restore_needs_of_the_instance(ami_world: AmiWorld) -> None:
    name = ami_world.source_with()
    (source,) = selected(ami_world)
    assert (source.source_id, source.identity, source.instance, source.bytes) == (name, name, name, 16 << 30)
    assert {"type", "subnet", "security_groups", "architecture"} <= source.settings.keys()


def test_an_instance_that_has_ended_is_no_source(ami_world: AmiWorld) -> None:
    name = ami_world.source_with()
    ami_world.client("ec2").terminate_instances(InstanceIds=[name])
    assert selected(ami_world) == ()


def test_one_listing_of_instances_and_one_of_volumes_serve_all_applications(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    ami_world.source_with(tags={"app": "bank"})
    options = [ami_world.options(), Options.model_validate({"select": {"tags": {"app": "bank"}}})]
    ami_world.aws.calls.clear()
    assert len(tuple(ami_world.kind.sources(ACCOUNT, HOME, options))) == 2
    assert calls_of(ami_world) == {"DescribeInstances": 1, "DescribeVolumes": 1}


@pytest.mark.parametrize("options", [{}, {"select": {"tags": {}}}, {"select": {"tags": {"a": "b"}}, "restart": True}])
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate(options)


def test_options_of_another_kind_are_a_fault_of_the_caller(ami_world: AmiWorld) -> None:
    with pytest.raises(TypeError):
        ami_world.kind.select(object(), [Source("i-1")])


# --- what is seen


def test_snapshots_of_images_are_none_of_the_volumes(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    usable(ami_world)
    volumes = EbsSnapshots(ami_world.kind._accounts)
    assert list(volumes.snapshots(ACCOUNT, HOME, "acme")) == []
    assert volumes.find(ACCOUNT, HOME, POINT) == ()


def test_an_image_under_way_has_its_snapshots_by_the_name_that_they_bear(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    cut(ami_world)
    (shown,) = ami_world.client("ec2").describe_images(Owners=["self"])["Images"]
    assert shown["BlockDeviceMappings"] == []
    (seen,) = listed(ami_world)
    assert (seen.state, len(seen.parts), seen.progress) == ("pending", 2, 45)
    assert seen.started is not None


def test_an_image_with_a_failed_snapshot_has_failed(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    cut(ami_world)
    ami_world.aws.fail_snapshot(HOME, snapshot_ids(listed(ami_world)[0])[0], "the disk is on fire")
    ami_world.finish()
    (seen,) = listed(ami_world)
    assert (seen.state, seen.why) == ("failed", "the disk is on fire")


def test_a_disabled_image_is_listed_and_not_usable_and_says_why(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    made = usable(ami_world)
    ami_world.client("ec2").disable_image(ImageId=made.native_id)
    (seen,) = listed(ami_world)
    assert (seen.native_id, seen.state) == (made.native_id, "failed")
    assert "disabled" in seen.why
    assert snapshot_ids(seen) == snapshot_ids(made)
    ami_world.client("ec2").enable_image(ImageId=made.native_id)
    assert [image.state for image in listed(ami_world)] == ["usable"]


def test_an_image_whose_snapshot_lost_its_tags_is_not_usable(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    made = usable(ami_world)
    bare = snapshot_ids(made)[0]
    ami_world.client("ec2").delete_tags(Resources=[bare], Tags=[{"Key": "drorch:site"}])
    (seen,) = listed(ami_world)
    assert seen.state == "pending"
    assert bare in seen.why
    assert bare not in snapshot_ids(seen)


def test_a_snapshot_of_another_point_is_no_part_of_an_image_that_was_registered_over_it(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    other = usable(ami_world, OTHER_POINT)
    own = usable(ami_world)
    ec2 = ami_world.client("ec2")
    ec2.create_tags(Resources=[snapshot_ids(own)[0]], Tags=[{"Key": "drorch:point", "Value": OTHER_POINT}])
    found = {image.native_id: image for image in listed(ami_world)}
    assert found[own.native_id].state == "pending"
    assert snapshot_ids(found[other.native_id]) == snapshot_ids(other)


def test_a_deregistered_image_leaves_its_snapshots_as_parts_without_an_image(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    made = usable(ami_world)
    ami_world.client("ec2").deregister_image(ImageId=made.native_id)
    assert sorted((left.native_id, left.role) for left in listed(ami_world)) == [(n, PART) for n in snapshot_ids(made)]
    assert {left.native_id for left in ami_world.kind.find(ACCOUNT, HOME, POINT)} == set(snapshot_ids(made))


# --- copies


def test_a_copy_has_snapshots_of_its_own_with_tags_and_devices(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    made = usable(ami_world)
    copied = ami_world.kind.copy(copy_order(made))
    ami_world.finish()
    (seen,) = listed(ami_world, AWAY)
    assert (seen.native_id, seen.state, seen.source_id) == (copied.native_id, "usable", "")
    assert seen.tags["drorch:source"] == made.native_id
    assert not set(snapshot_ids(seen)) & set(snapshot_ids(made))
    assert sorted(part.device for part in seen.parts) == list(ami_world.DEVICES)
    assert {part.source_id for part in seen.parts} == {""}


def test_the_same_copy_asked_for_again_is_the_same_image(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    made = usable(ami_world)
    ami_world.aws.fail_next("CopyImage", "after")
    with pytest.raises(OutcomeUnknown):
        ami_world.kind.copy(copy_order(made))
    again = ami_world.kind.copy(copy_order(made))
    assert [image.native_id for image in ami_world.kind.find(ACCOUNT, AWAY, POINT)] == [again.native_id]


def test_the_token_says_what_is_copied_where_to_and_how_often_it_was_tried(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    order = copy_order(usable(ami_world))
    tokens = {copy_token(o) for o in (order, replace(order), replace(order, attempt=2), replace(order, region=HOME))}
    assert len(tokens) == 3
    assert all(len(token) == 64 and token.isascii() for token in tokens)


def test_a_copy_that_was_let_go_can_be_made_again_and_again_though_ec2_remembers_its_token(
    ami_world: AmiWorld,
) -> None:
    ami_world.source_with()
    made = usable(ami_world)
    seen: set[str] = set()
    for _ in range(3):
        copied = ami_world.kind.copy(copy_order(made))
        assert copied.native_id not in seen
        seen.add(copied.native_id)
        assert ami_world.kind.copy(copy_order(made)).native_id == copied.native_id
        ami_world.client("ec2", AWAY).deregister_image(ImageId=copied.native_id)


def test_a_copy_that_is_spent_over_and_over_ends(ami_world: AmiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ami, "MOST_LIVES", 1)
    ami_world.source_with()
    made = usable(ami_world)
    copied = ami_world.kind.copy(copy_order(made))
    ami_world.client("ec2", AWAY).deregister_image(ImageId=copied.native_id)
    with pytest.raises(AlreadyExists):
        ami_world.kind.copy(copy_order(made))
    assert ami_world.kind.copy(copy_order(made, attempt=2)).native_id != copied.native_id


def test_another_key_is_another_token_for_ec2_refuses_one_with_other_parameters(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    made = usable(ami_world)
    first = ami_world.kind.copy(copy_order(made))
    second = ami_world.kind.copy(copy_order(made, key=ami_world.new_key(AWAY)))
    assert first.native_id != second.native_id


def test_a_copy_under_a_key_that_is_not_there_fails_later_says_so_and_when(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    ami_world.kind.copy(copy_order(usable(ami_world), key="alias/nowhere"))
    ami_world.finish()
    (seen,) = listed(ami_world, AWAY)
    assert (seen.state, seen.started is not None) == ("failed", True)
    assert "key" in seen.why.lower()


# --- deletions


def test_snapshots_go_after_their_image_and_not_before(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    made = usable(ami_world)
    with pytest.raises(Refused, match=made.native_id):
        ami_world.kind.expire(ACCOUNT, HOME, snapshot_ids(made)[0])
    for native_id in (made.native_id, *snapshot_ids(made)):
        ami_world.kind.expire(ACCOUNT, HOME, native_id)
    assert listed(ami_world) == []


@pytest.mark.parametrize("disabled", [False, True])
def test_a_snapshot_that_another_image_uses_stays_and_ec2_is_not_even_asked(
    ami_world: AmiWorld, disabled: bool
) -> None:
    ami_world.source_with()
    made = usable(ami_world)
    used, free = snapshot_ids(made)
    ec2 = ami_world.client("ec2")
    mapping = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": used}}]
    other = ec2.register_image(Name="golden", RootDeviceName="/dev/sda1", BlockDeviceMappings=mapping)["ImageId"]
    if disabled:
        ec2.disable_image(ImageId=other)
    ami_world.kind.expire(ACCOUNT, HOME, made.native_id)
    ami_world.kind.expire(ACCOUNT, HOME, free)
    ami_world.aws.calls.clear()
    with pytest.raises(Refused, match=other) as refused:
        ami_world.kind.expire(ACCOUNT, HOME, used)
    assert (refused.value.resource, refused.value.vault) == (used, f"{ACCOUNT}.{HOME}")
    assert "DeleteSnapshot" not in calls_of(ami_world)
    assert [left.native_id for left in listed(ami_world)] == [used]
    ec2.deregister_image(ImageId=other)
    ami_world.kind.expire(ACCOUNT, HOME, used)
    assert listed(ami_world) == []


def test_a_look_that_fails_deletes_nothing(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    made = usable(ami_world)
    ami_world.kind.expire(ACCOUNT, HOME, made.native_id)
    ami_world.aws.fail_next("DescribeImages", "before")
    with pytest.raises(Unavailable):
        ami_world.kind.expire(ACCOUNT, HOME, snapshot_ids(made)[0])
    assert len(listed(ami_world)) == 2


def test_an_image_that_ec2_does_not_let_go_is_refused(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    made = usable(ami_world)
    ami_world.aws.fail_next("DeregisterImage", "throttle")
    with pytest.raises(DrorchError) as raised:
        ami_world.kind.expire(ACCOUNT, HOME, made.native_id)
    assert not isinstance(raised.value, NotFound)
    assert [image.state for image in listed(ami_world)] == ["usable"]


def test_the_locks_of_its_snapshots_are_told_and_an_image_has_none(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    cut(ami_world)
    ami_world.finish()
    (image,) = listed(ami_world)
    first, second = (part.native_id for part in image.parts)
    ec2 = ami_world.client("ec2")
    ec2.lock_snapshot(SnapshotId=first, LockMode="governance", LockDuration=3)
    assert set(ami_world.kind.locks(ACCOUNT, HOME, [image.native_id, first, second])) == {first}
    assert set(ami_world.kind.locks(ACCOUNT, HOME)) == {first}
    ami_world.aws.calls.clear()
    assert ami_world.kind.locks(ACCOUNT, HOME, [image.native_id]) == {}
    assert not ami_world.aws.calls


# --- other accounts


def test_an_image_is_shared_with_its_snapshots_and_both_are_needed_to_copy_it(ami_world: AmiWorld) -> None:
    ami_world.source_with()
    cut(ami_world)
    ami_world.finish()
    (image,) = listed(ami_world)
    parts = sorted(part.native_id for part in image.parts)
    order = copy_order(image, account=OTHER)
    ami_world.kind.share(order)
    assert sorted(ami_world.kind.shared(ACCOUNT, HOME, SITE, OTHER)) == [image.native_id, *parts]
    ami_world.kind.unshare(ACCOUNT, HOME, parts[0], OTHER)
    with pytest.raises(NotFound):
        ami_world.kind.copy(order)
    ami_world.kind.share(order)
    ami_world.kind.copy(order)
    ami_world.finish()
    (copied,) = ami_world.kind.snapshots(OTHER, AWAY, SITE)
    assert copied.state == "usable" and len(copied.parts) == len(parts) == 2
    for native_id in (image.native_id, *parts):
        ami_world.kind.unshare(ACCOUNT, HOME, native_id, OTHER)
    assert not list(ami_world.kind.shared(ACCOUNT, HOME, SITE, OTHER))
