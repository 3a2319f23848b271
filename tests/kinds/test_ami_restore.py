"""What is particular to instances that are brought back: capacity, subnets, groups, profiles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from native_clouds import ACCOUNT, AWAY, Cloud
from native_restores import ID, AmiRestores
from pydantic import ValidationError

from drorch.domain.errors import Busy, NotFound, Refused, Unavailable
from drorch.domain.native_restore import FAILED, READY, TAG_DRILL, TAG_RESTORE, Made, NativeRestore, RestoreProgress
from drorch.kinds.ami import RestoreOptions
from drorch.kinds.ebs import EbsSnapshots

SUBNET, GROUP = "subnet-0123456789abcdef0", "sg-0123456789abcdef0"


@pytest.fixture
def world(aws: Cloud) -> AmiRestores:
    return AmiRestores(aws)


def done(world: AmiRestores, order: NativeRestore | None = None) -> RestoreProgress:
    for _ in range(6):
        progress = world.kind.advance(order or world.order())
        if progress.done:
            return progress
        world.settle()
    raise AssertionError(progress.waiting)


def recorded(world: AmiRestores, **settings: object) -> None:
    image, *parts = world.parts
    world.parts = (replace(image, settings={**image.settings, **settings}), *parts)


def only(world: AmiRestores) -> dict[str, Any]:
    (entry,) = world.entries()
    return entry


def launches(world: AmiRestores) -> int:
    return sum(
        n for (_, operation, region), n in world.aws.calls.items() if (operation, region) == ("RunInstances", AWAY)
    )


# --- what comes up


def test_an_instance_comes_up_with_the_images_volumes_where_it_is_told_to(world: AmiRestores) -> None:
    progress = done(world)
    entry = only(world)
    assert (entry["InstanceType"], entry["SubnetId"]) == ("m5.large", world.subnets[f"{AWAY}a"])
    assert [group["GroupId"] for group in entry["SecurityGroups"]] == [world.group]
    assert {block["DeviceName"] for block in entry["BlockDeviceMappings"]} == set(world.world.DEVICES)
    (made,) = progress.made
    assert (made.what, made.state, made.address, made.import_id) == ("instance", READY, "aws_instance", made.native_id)
    assert made.source_id == world.parts[0].source_id


def test_the_volumes_of_an_instance_bear_its_tags_and_are_no_volumes_of_a_restore_of_ebs(
    world: AmiRestores, aws: Cloud
) -> None:
    done(world)
    found = world.ec2.describe_volumes(Filters=[{"Name": f"tag:{TAG_DRILL}", "Values": [ID]}])["Volumes"]
    assert len(found) == len(world.world.DEVICES)
    assert all({"Key": "drorch:image", "Value": world.parts[0].native_id} in volume["Tags"] for volume in found)
    assert EbsSnapshots(aws.accounts).made(ACCOUNT, AWAY, TAG_DRILL) == ()
    assert EbsSnapshots(aws.accounts).discard(ACCOUNT, AWAY, TAG_DRILL, ID) == ()
    assert len(world.ec2.describe_volumes()["Volumes"]) >= len(found)


def test_what_was_recorded_and_is_not_restored_is_told_before_and_after(world: AmiRestores) -> None:
    recorded(world, key_name="shop", instance_profile=f"arn:aws:iam::{'1' * 12}:instance-profile/ops/web")
    source = world.parts[0].source_id
    checked = world.kind.check_restore(world.order())
    for notes in (checked, done(world).notes):
        assert f"{source}: was in {SUBNET}, now {world.subnets[f'{AWAY}a']}" in notes
        assert f"{source}: was in {GROUP}, now in {world.group}" in notes
        assert f"{source}: had key pair shop, now none" in notes
        assert f"{source}: had instance profile web, now none (instance_profile: NAME)" in notes
        assert any("elastic IP" in note and "user data" in note for note in notes)


def test_a_recorded_key_pair_is_taken_where_it_is_and_a_named_one_must_be_there(world: AmiRestores) -> None:
    recorded(world, key_name="shop")
    world.ec2.create_key_pair(KeyName="shop")
    done(world)
    assert only(world)["KeyName"] == "shop"
    world.options = world.chosen(key_name="sho*")
    with pytest.raises(Refused, match="no key pair"):
        world.kind.check_restore(world.order())


def test_all_instances_of_a_count_are_launched_by_one_call(world: AmiRestores) -> None:
    world.options = world.chosen(count=3)
    progress = done(world)
    assert len(progress.made) == len(world.entries()) == 3
    assert launches(world) == 1


def test_every_image_of_a_copy_comes_up(world: AmiRestores) -> None:
    second = world.ec2.copy_image(SourceImageId=world.parts[0].native_id, SourceRegion=AWAY, Name="second")["ImageId"]
    world.aws.finish_snapshots()
    world.parts = (*world.parts, replace(world.parts[0], native_id=second, source_id="i-2"))
    progress = done(world)
    assert {made.source_id for made in progress.made} == {world.parts[0].source_id, "i-2"}
    assert {entry["ImageId"] for entry in world.entries()} == {world.parts[0].native_id, second}


# --- capacity


@pytest.mark.parametrize("code", ["InsufficientInstanceCapacity", "Unsupported"])
def test_where_there_is_no_capacity_the_next_subnet_and_then_the_next_type_is_taken(
    world: AmiRestores, code: str
) -> None:
    world.options = world.chosen("a", "b", instance_types=["m5.large", "m6i.large"])
    world.aws.refuse_launches(f"{AWAY}a", "m5.large", code)
    done(world)
    assert (only(world)["InstanceType"], only(world)["SubnetId"]) == ("m5.large", world.subnets[f"{AWAY}b"])
    world.aws.refuse_launches(f"{AWAY}b", "m5.large", code)
    progress = done(world, world.order("second"))
    (made,) = progress.made
    assert "m6i.large" in made.detail
    assert any("m5.large had no capacity" in note for note in progress.notes)


def test_without_any_capacity_it_is_busy_says_what_was_tried_and_comes_up_when_there_is_some(
    world: AmiRestores,
) -> None:
    world.options = world.chosen("a", "b", instance_types=["m5.large"])
    for zone in ("a", "b"):
        world.aws.refuse_launches(f"{AWAY}{zone}", "m5.large")
    with pytest.raises(Busy, match="no capacity") as busy:
        world.kind.advance(world.order())
    assert busy.value.cause.count("InsufficientInstanceCapacity") == 2
    assert "instance_types" in busy.value.hint
    assert world.entries() == []
    world.aws.refuse_launches(f"{AWAY}b", "m5.large", "")
    assert done(world).done


def test_an_instance_that_ended_at_its_start_for_want_of_capacity_is_followed_by_the_next(world: AmiRestores) -> None:
    world.options = world.chosen(instance_types=["m5.large", "m6i.large"])
    (first,) = world.kind.advance(world.order()).made
    message = "Server.InsufficientInstanceCapacity: Insufficient capacity to satisfy instance request"
    world.aws.fail_instance(AWAY, first.native_id, "Server.InsufficientInstanceCapacity", message)
    progress = done(world)
    (made,) = progress.made
    assert made.native_id != first.native_id
    assert only(world)["InstanceType"] == "m6i.large"


def test_a_refusal_that_no_other_type_cures_is_raised_and_nothing_else_is_tried(world: AmiRestores) -> None:
    world.options = world.chosen("a", "b", instance_types=["m5.large", "m6i.large"])
    world.aws.refuse_launches(f"{AWAY}a", "m5.large", "InstanceLimitExceeded")
    with pytest.raises(Busy):
        world.kind.advance(world.order())
    assert launches(world) == 1


def test_after_a_fallback_a_listing_that_lags_makes_no_second_instance(world: AmiRestores) -> None:
    world.options = world.chosen(instance_types=["m5.large", "m6i.large"])
    world.aws.refuse_launches(f"{AWAY}a", "m5.large")
    world.kind.advance(world.order())
    world.hide(1)
    world.kind.advance(world.order())
    assert only(world)["InstanceType"] == "m6i.large"


def test_a_type_that_a_zone_does_not_offer_is_not_tried_there(world: AmiRestores) -> None:
    world.options = world.chosen(instance_types=["x9.none", "m5.large"])
    progress = done(world)
    assert launches(world) == 1
    assert any("x9.none" in note for note in progress.notes)
    world.options = world.chosen(instance_types=["x9.none"])
    with pytest.raises(Refused, match="not offered") as refused:
        world.kind.check_restore(world.order("second"))
    assert refused.value.hint


def test_an_instance_that_ended_otherwise_is_failed_with_ec2s_word(world: AmiRestores) -> None:
    (made,) = world.kind.advance(world.order()).made
    world.break_down(made.native_id)
    (failed,) = world.kind.advance(world.order()).failed
    assert failed.state == FAILED
    assert "Client error on launch" in failed.detail


def test_an_instance_that_stopped_by_itself_did_not_come_up(world: AmiRestores) -> None:
    done(world)
    world.ec2.stop_instances(InstanceIds=[only(world)["InstanceId"]])
    progress = world.kind.advance(world.order())
    assert not progress.done
    assert progress.failed[0].detail.startswith("stopped")


# --- where to


def test_recorded_groups_that_are_not_there_are_refused_and_the_default_group_is_never_taken(
    world: AmiRestores,
) -> None:
    world.options = world.chosen(security_groups=[])
    for asked in (world.kind.check_restore, world.kind.advance):
        with pytest.raises(Refused, match="security groups are not in") as refused:
            asked(world.order())
        assert world.group in refused.value.hint
    assert world.entries() == []
    recorded(world, security_groups=[world.group])
    done(world)
    assert [group["GroupId"] for group in only(world)["SecurityGroups"]] == [world.group]


def test_groups_of_another_vpc_are_refused(world: AmiRestores) -> None:
    vpc = world.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    group = world.ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
    world.options = world.chosen(security_groups=[group])
    with pytest.raises(Refused, match="not in vpc-"):
        world.kind.check_restore(world.order())
    subnet = world.ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    world.options = RestoreOptions(subnets=(world.subnets[f"{AWAY}a"], subnet), security_groups=(group,))
    with pytest.raises(Refused, match="2 VPCs"):
        world.kind.check_restore(world.order())


def test_a_recorded_subnet_is_taken_where_it_is_and_refused_where_it_is_not(world: AmiRestores) -> None:
    world.options = RestoreOptions(security_groups=(world.group,))
    with pytest.raises(Refused, match=SUBNET) as refused:
        world.kind.check_restore(world.order())
    assert "subnets: of subnet-" in refused.value.hint
    recorded(world, subnet=world.subnets[f"{AWAY}b"])
    done(world)
    assert only(world)["SubnetId"] == world.subnets[f"{AWAY}b"]


@pytest.mark.parametrize("missing", ["type", "subnet", "security_groups"])
def test_what_no_record_tells_must_be_said(world: AmiRestores, missing: str) -> None:
    recorded(world, subnet=world.subnets[f"{AWAY}a"], security_groups=[world.group])
    recorded(world, **{missing: None})
    world.options = RestoreOptions()
    with pytest.raises(Refused) as refused:
        world.kind.check_restore(world.order())
    assert refused.value.hint


def test_an_instance_profile_is_one_that_is_there_and_none_is_made(world: AmiRestores) -> None:
    world.options = world.chosen(instance_profile="web")
    for asked in (world.kind.check_restore, world.kind.advance):
        with pytest.raises(Refused, match="no instance profile web"):
            asked(world.order())
    assert world.entries() == []
    iam = world.world.client("iam", AWAY)
    assert iam.list_instance_profiles()["InstanceProfiles"] == []
    iam.create_instance_profile(InstanceProfileName="web")
    done(world)
    assert only(world)["IamInstanceProfile"]["Arn"].endswith("/web")


@pytest.mark.parametrize(
    ("state", "kind"), [("pending", Unavailable), ("disabled", Refused), ("deregistered", NotFound)]
)
def test_an_image_that_cannot_be_launched_says_so(world: AmiRestores, state: str, kind: type[Exception]) -> None:
    client = world.accounts.client("ec2", ACCOUNT, AWAY)

    def turned(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Images"][0]["State"] = state

    client.meta.events.register("after-call.ec2.DescribeImages", turned)
    try:
        with pytest.raises(kind):
            world.kind.check_restore(world.order())
    finally:
        client.meta.events.unregister("after-call.ec2.DescribeImages", turned)


@pytest.mark.parametrize(
    "options",
    [
        {"subnet": SUBNET, "subnets": [SUBNET]},
        {"subnet": "private"},
        {"security_groups": ["web"]},
        {"instance_types": ["large"]},
        {"count": 0},
        {"count": 21},
        {"launch_template": "shop-web", "subnet": SUBNET},
        {"launch_template": "shop-web", "count": 2},
        {"launch_template": "shop-web", "instance_types": ["m5.large", "m6i.large"]},
        {"instance_profile": "arn:aws:iam::111111111111:instance-profile/web"},
        {"user_data_file": "/etc/passwd"},
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RestoreOptions.model_validate(options)


# --- letting go


def discarded(world: AmiRestores) -> tuple[Made, ...]:
    for _ in range(4):
        left = world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID)
        if not left:
            break
        world.settle()
    return left


def test_the_volumes_that_a_drills_instance_leaves_are_deleted_and_no_other(world: AmiRestores) -> None:
    done(world)
    kept = done(world, world.order(tag=TAG_RESTORE)).made[0].native_id
    stray = world.ec2.create_volume(AvailabilityZone=f"{AWAY}a", Size=8)["VolumeId"]
    assert discarded(world) == ()
    volumes = world.ec2.describe_volumes()["Volumes"]
    where = {v["VolumeId"]: [a["InstanceId"] for a in v["Attachments"]] for v in volumes}
    assert where.pop(stray) == []
    assert list(where.values()) == [[kept]] * len(world.world.DEVICES)
    assert only(world)["InstanceId"] == kept


def test_a_drills_volume_that_somebody_attached_elsewhere_is_told_and_stays(world: AmiRestores) -> None:
    done(world)
    volume = only(world)["BlockDeviceMappings"][1]
    drilled, moved = only(world)["InstanceId"], volume["Ebs"]["VolumeId"]
    other = world.stray({})
    world.settle()
    world.ec2.detach_volume(VolumeId=moved, InstanceId=drilled, Device=volume["DeviceName"])
    world.ec2.attach_volume(VolumeId=moved, InstanceId=other, Device="/dev/sdp")
    assert {made.native_id for _, made in world.kind.made(ACCOUNT, AWAY, TAG_DRILL, ID)} == {drilled, moved}
    assert [(thing.native_id, other in thing.detail) for thing in discarded(world)] == [(moved, True)]
    assert [entry["InstanceId"] for entry in world.entries()] == [other]


def test_an_instance_that_is_protected_is_left_with_ec2s_word_and_the_others_go(world: AmiRestores) -> None:
    world.options = world.chosen(count=2)
    done(world)
    protected = world.entries()[0]["InstanceId"]
    world.ec2.modify_instance_attribute(InstanceId=protected, DisableApiTermination={"Value": True})
    left = discarded(world)
    assert protected in {thing.native_id for thing in left}
    assert any("OperationNotPermitted" in thing.detail for thing in left)
    assert [entry["InstanceId"] for entry in world.entries()] == [protected]


# --- calls


def test_a_call_that_launches_is_sent_once_so_that_the_next_type_is_tried_at_once(world: AmiRestores) -> None:
    world.options = world.chosen(instance_types=["m5.large", "m6i.large"])
    client = world.accounts.client("ec2", ACCOUNT, AWAY, repeatable=False)
    asked: list[str] = []

    def answer(params: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
        asked.append(params["body"]["InstanceType"])
        if asked != ["m5.large"]:
            return None
        said = {"Error": {"Code": "InsufficientInstanceCapacity"}, "ResponseMetadata": {"HTTPStatusCode": 500}}
        return AWSResponse("", 500, {}, None), said

    client.meta.events.register("before-call.ec2.RunInstances", answer)
    try:
        done(world)
    finally:
        client.meta.events.unregister("before-call.ec2.RunInstances", answer)
    assert asked == ["m5.large", "m6i.large"]
