"""What is particular to EBS: sets, exclusions, tags of several volumes, and calls that are sent once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from native_clouds import (
    ACCOUNT,
    AWAY,
    HOME,
    OTHER,
    POINT,
    SITE,
    USER_TAGS,
    EbsWorld,
    copy_order,
    cut,
    cut_order,
    listed,
    own_tags,
    selected,
)
from pydantic import ValidationError

from drorch.aws import AwsAccount, AwsAccounts
from drorch.domain.errors import Busy, DrorchError, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.native import NativeSnapshot, Source
from drorch.kinds.ebs import EbsSnapshots, Options, Select


def instance_with(world: EbsWorld, *volumes: Mapping[str, str], boot: Mapping[str, str] | None = None) -> list[str]:
    """An instance with a boot volume and one data volume per tag set; its volume ids, the boot volume first."""
    ec2 = world.client("ec2")
    mappings = [{"DeviceName": f"/dev/xvd{number}", "Ebs": {"VolumeSize": 8}} for number in range(len(volumes))]
    made = ec2.run_instances(ImageId="ami-00000000", MinCount=1, MaxCount=1)["Instances"][0]
    ids = [made["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]]
    for mapping, tags in zip(mappings, volumes, strict=True):
        volume = world.source_with(tags=tags)
        ec2.attach_volume(VolumeId=volume, InstanceId=made["InstanceId"], Device=mapping["DeviceName"])
        ids.append(volume)
    if boot:
        ec2.create_tags(Resources=ids[:1], Tags=[{"Key": key, "Value": value} for key, value in boot.items()])
    return ids


def cut_all(world: EbsWorld) -> list[tuple[NativeSnapshot, ...]]:
    """Every creating call of a cut of what is selected."""
    order = cut_order(selected(world))
    return [world.kind.cut(order, call) for call in range(len(world.kind.creating_calls(order.sources)))]


def calls_of(world: EbsWorld) -> dict[str, int]:
    return {operation: count for (_, operation, _), count in world.aws.calls.items()}


# --- sets


def test_the_selected_volumes_of_an_instance_are_one_set_and_a_loose_one_is_its_own(ebs_world: EbsWorld) -> None:
    _, first, second = instance_with(ebs_world, USER_TAGS, USER_TAGS)
    loose = ebs_world.source_with()
    ebs_world.aws.calls.clear()
    made = cut_all(ebs_world)
    assert [sorted(snapshot.source_id for snapshot in call) for call in made] == [sorted([first, second]), [loose]]
    assert [{snapshot.tags["drorch:set"] for snapshot in call} for call in made] == [{"1/2:2"}, {"2/2:1"}]
    seen = calls_of(ebs_world)
    assert (seen["CreateSnapshots"], seen["CreateSnapshot"], seen.get("CreateTags")) == (1, 1, None)
    assert len(ebs_world.kind.find(ACCOUNT, HOME, POINT)) == 3


def test_volumes_that_are_not_selected_stay_out_of_the_set_the_boot_volume_too(ebs_world: EbsWorld) -> None:
    volumes = instance_with(ebs_world, USER_TAGS, {"app": "other"}, USER_TAGS, {"app": "shop"})
    (made,) = cut_all(ebs_world)
    assert sorted(snapshot.source_id for snapshot in made) == sorted([volumes[1], volumes[3]])


def test_a_boot_volume_that_is_selected_is_in_the_set(ebs_world: EbsWorld) -> None:
    volumes = instance_with(ebs_world, USER_TAGS, boot=USER_TAGS)
    (made,) = cut_all(ebs_world)
    assert sorted(snapshot.source_id for snapshot in made) == sorted(volumes)


def test_the_only_selected_volume_of_an_instance_is_cut_alone_without_asking_for_the_others(
    ebs_world: EbsWorld,
) -> None:
    _, chosen, _ = instance_with(ebs_world, USER_TAGS, {"app": "other"})
    ebs_world.aws.calls.clear()
    ((made,),) = cut_all(ebs_world)
    assert (made.source_id, made.tags["drorch:set"]) == (chosen, "1/1:1")
    assert "DescribeInstances" not in calls_of(ebs_world)


def test_sets_are_numbered_by_instance_whatever_the_order_of_the_listing(ebs_world: EbsWorld) -> None:
    instance_with(ebs_world, USER_TAGS, USER_TAGS)
    instance_with(ebs_world, USER_TAGS, USER_TAGS, USER_TAGS)
    sources = selected(ebs_world)
    calls = ebs_world.kind.creating_calls(sources)
    assert calls == ebs_world.kind.creating_calls(sources[::-1])
    assert [call[0].instance for call in calls] == sorted({source.instance for source in sources})
    assert sorted(call[0].tags["drorch:set"] for call in cut_all(ebs_world)) == sorted(
        f"{number}/2:{len(call)}" for number, call in enumerate(calls, 1)
    )


def test_a_volume_that_left_its_instance_makes_the_cut_wait(ebs_world: EbsWorld) -> None:
    _, first, _ = instance_with(ebs_world, USER_TAGS, USER_TAGS)
    order = cut_order(selected(ebs_world))
    ebs_world.client("ec2").detach_volume(VolumeId=first, InstanceId=order.sources[0].instance)
    with pytest.raises(Unavailable, match="left its instance") as waits:
        ebs_world.kind.cut(order, 0)
    assert first in waits.value.cause
    assert ebs_world.kind.find(ACCOUNT, HOME, POINT) == ()


def test_more_unselected_volumes_than_one_call_leaves_out_are_refused(ebs_world: EbsWorld) -> None:
    instance_with(ebs_world, USER_TAGS, USER_TAGS, *[{"app": "other"}] * 41)
    with pytest.raises(Refused, match="41 unselected") as refused:
        cut_all(ebs_world)
    assert refused.value.hint
    assert ebs_world.kind.find(ACCOUNT, HOME, POINT) == ()


# --- sources


def test_a_volume_says_where_it_is_and_what_it_is(ebs_world: EbsWorld) -> None:
    _, volume = instance_with(ebs_world, USER_TAGS)
    (source,) = selected(ebs_world)
    assert (source.source_id, source.identity, source.bytes) == (volume, volume, 8 << 30)
    assert source.instance.startswith("i-")
    assert (source.device, source.zone) == ("/dev/xvd0", f"{HOME}a")
    assert source.settings["gib"] == 8
    assert source.settings["type"]


def test_one_listing_serves_the_selectors_of_all_applications(ebs_world: EbsWorld) -> None:
    shop, bank = ebs_world.source_with(), ebs_world.source_with(tags={"app": "bank"})
    ebs_world.source_with(tags={"Name": "nobody's"})
    options = [ebs_world.options(), Options(select=Select(tags={"app": "bank"}))]
    ebs_world.aws.calls.clear()
    sources = tuple(ebs_world.kind.sources(ACCOUNT, HOME, options))
    assert {source.source_id for source in sources} == {shop, bank}
    assert calls_of(ebs_world) == {"DescribeVolumes": 1}
    assert [source.source_id for source in ebs_world.kind.select(options[1], sources)] == [bank]


def test_more_tag_keys_than_a_filter_takes_still_find_every_volume(ebs_world: EbsWorld) -> None:
    volume = ebs_world.source_with(tags={"key250": "x"})
    options = [Options(select=Select(tags={f"key{number:03}": "x"})) for number in range(251)]
    assert volume in {source.source_id for source in ebs_world.kind.sources(ACCOUNT, HOME, options)}


@pytest.mark.parametrize(
    "tags", [{}, {"aws:cloudformation:stack-name": "x"}, {"drorch:site": "x"}, {"": "x"}, {"tier": 1}]
)
def test_options_that_cannot_select_are_refused(tags: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate({"select": {"tags": tags}})


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValidationError):
        Options.model_validate({"select": {"tags": {"app": "shop"}, "volumes": ["vol-1"]}})


# --- tags of sets


def test_volumes_tagged_alike_hand_on_their_tags(ebs_world: EbsWorld) -> None:
    instance_with(ebs_world, USER_TAGS, USER_TAGS)
    (made,) = cut_all(ebs_world)
    expected = {**own_tags(), **USER_TAGS, "drorch:set": "1/1:2"}
    assert [dict(snapshot.tags) for snapshot in made] == [expected, expected]


def test_volumes_tagged_differently_hand_on_each_its_own(ebs_world: EbsWorld) -> None:
    _, first, second = instance_with(ebs_world, {**USER_TAGS, "Name": "a"}, {**USER_TAGS, "Name": "b"})
    (made,) = cut_all(ebs_world)
    assert {snapshot.source_id: snapshot.tags["Name"] for snapshot in made} == {first: "a", second: "b"}
    assert all({**own_tags(), **USER_TAGS}.items() <= dict(snapshot.tags).items() for snapshot in made)


def test_where_not_all_fits_a_set_bears_ours_and_what_its_volumes_have_in_common(ebs_world: EbsWorld) -> None:
    many = {f"key{number:02}": "x" for number in range(46)}
    instance_with(ebs_world, {**USER_TAGS, **many, "Name": "a"}, {**USER_TAGS, "Name": "b"})
    (made,) = cut_all(ebs_world)
    expected = {**own_tags(), **USER_TAGS, "drorch:set": "1/1:2"}
    assert [dict(snapshot.tags) for snapshot in made] == [expected, expected]


def test_what_a_restore_or_a_drill_wrote_on_a_volume_is_not_handed_on(ebs_world: EbsWorld) -> None:
    instance_with(ebs_world, {**USER_TAGS, "drorch:drill": "d1"}, {**USER_TAGS, "drorch:point": "stranger"})
    (made,) = cut_all(ebs_world)
    assert {snapshot.tags["drorch:point"] for snapshot in made} == {POINT}
    assert all("drorch:drill" not in snapshot.tags for snapshot in made)


# --- calls that are sent once


def test_a_lost_reply_to_a_cut_is_unknown_and_find_shows_what_it_made(ebs_world: EbsWorld) -> None:
    instance_with(ebs_world, USER_TAGS, USER_TAGS)
    ebs_world.aws.fail_next("CreateSnapshots", "after")
    with pytest.raises(OutcomeUnknown):
        cut_all(ebs_world)
    assert [snapshot.tags["drorch:set"] for snapshot in ebs_world.kind.find(ACCOUNT, HOME, POINT)] == ["1/1:2"] * 2


@pytest.mark.parametrize("operation", ["CreateSnapshot", "CreateSnapshots", "CopySnapshot"])
def test_a_creating_call_is_never_repeated_by_the_sdk(ebs_world: EbsWorld, operation: str) -> None:
    if operation == "CreateSnapshots":
        instance_with(ebs_world, USER_TAGS, USER_TAGS)
    else:
        ebs_world.source_with()
    sources = selected(ebs_world)
    accounts = AwsAccounts({ACCOUNT: AwsAccount()}, attempts=6)
    kind = EbsSnapshots(accounts)
    ebs_world.aws.fail_next(operation, "after")
    if operation == "CopySnapshot":
        (made,) = kind.cut(cut_order(sources), 0)
        ebs_world.finish()
        ebs_world.aws.calls.clear()
        with pytest.raises(OutcomeUnknown):
            kind.copy(copy_order(made))
        assert len(kind.find(ACCOUNT, AWAY, POINT)) == 1
    else:
        with pytest.raises(OutcomeUnknown):
            kind.cut(cut_order(sources), 0)
        assert len(kind.find(ACCOUNT, HOME, POINT)) == len(sources)
    assert calls_of(ebs_world)[operation] == 1
    accounts.close()


def test_throttling_is_busy_and_made_nothing(ebs_world: EbsWorld) -> None:
    ebs_world.source_with()
    ebs_world.aws.fail_next("CreateSnapshot", "throttle")
    with pytest.raises(Busy):
        cut(ebs_world)
    assert ebs_world.kind.find(ACCOUNT, HOME, POINT) == ()


def test_a_listing_that_ends_half_way_is_unavailable(ebs_world: EbsWorld) -> None:
    ebs_world.source_with()
    for number in range(5):
        cut(ebs_world, f"point{number}")
    ebs_world.short_pages()
    ebs_world.aws.half("DescribeSnapshots")
    with pytest.raises(Unavailable):
        listed(ebs_world)
    assert len(listed(ebs_world)) == 5


def test_expired_credentials_make_a_listing_unavailable_with_a_hint(ebs_world: EbsWorld) -> None:
    ebs_world.aws.fail_next("DescribeSnapshots", "credentials-expired")
    with pytest.raises(Unavailable) as expired:
        listed(ebs_world)
    assert expired.value.hint


# --- states


def test_a_copy_under_a_key_that_is_not_there_fails_later_and_says_so(ebs_world: EbsWorld) -> None:
    ebs_world.source_with()
    cut(ebs_world)
    ebs_world.finish()
    copied = ebs_world.kind.copy(copy_order(listed(ebs_world)[0], key="alias/nowhere"))
    assert copied.state == "pending"
    ebs_world.finish()
    (seen,) = listed(ebs_world, AWAY)
    assert seen.state == "failed"
    assert "key" in seen.why.lower()


def test_a_snapshot_in_the_recycle_bin_is_neither_listed_nor_found(ebs_world: EbsWorld) -> None:
    ebs_world.source_with()
    cut(ebs_world)
    client = ebs_world.kind._accounts.client("ec2", ACCOUNT, HOME)

    def binned(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Snapshots"][0]["State"] = "recoverable"

    client.meta.events.register("after-call.ec2.DescribeSnapshots", binned)
    try:
        assert listed(ebs_world) == []
        assert ebs_world.kind.find(ACCOUNT, HOME, POINT) == ()
    finally:
        client.meta.events.unregister("after-call.ec2.DescribeSnapshots", binned)
    assert len(listed(ebs_world)) == 1


# --- deletions


def answered(world: EbsWorld, status: int, code: str, message: str, native_id: str) -> DrorchError:
    """What `expire` raises when EC2 answers so."""
    client = world.kind._accounts.client("ec2", ACCOUNT, HOME)

    def answer(**_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        said = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
        return AWSResponse("", status, {}, None), said

    client.meta.events.register("before-call.ec2.DeleteSnapshot", answer)
    try:
        with pytest.raises(DrorchError) as raised:
            world.kind.expire(ACCOUNT, HOME, native_id)
    finally:
        client.meta.events.unregister("before-call.ec2.DeleteSnapshot", answer)
    return raised.value


def test_a_snapshot_that_a_disabled_image_uses_stays(ebs_world: EbsWorld) -> None:
    ebs_world.source_with()
    made = cut(ebs_world)
    ebs_world.finish()
    image = ebs_world.use(made)
    ebs_world.client("ec2").disable_image(ImageId=image)
    with pytest.raises(Refused, match=image) as refused:
        ebs_world.kind.expire(ACCOUNT, HOME, made.native_id)
    assert "disabled" in refused.value.hint
    assert len(listed(ebs_world)) == 1


def test_members_of_a_set_go_one_by_one(ebs_world: EbsWorld) -> None:
    instance_with(ebs_world, USER_TAGS, USER_TAGS)
    ((first, second),) = cut_all(ebs_world)
    ebs_world.finish()
    ebs_world.kind.expire(ACCOUNT, HOME, first.native_id)
    assert [snapshot.native_id for snapshot in listed(ebs_world)] == [second.native_id]


def test_a_missing_right_to_delete_is_named(ebs_world: EbsWorld) -> None:
    ebs_world.source_with()
    made = cut(ebs_world)
    told = "You are not authorized to perform: ec2:DeleteSnapshot on this resource"
    refused = answered(ebs_world, 403, "UnauthorizedOperation", told, made.native_id)
    assert isinstance(refused, Refused)
    assert "ec2:DeleteSnapshot" in refused.hint


def test_a_404_that_does_not_speak_of_the_snapshot_is_no_deletion(ebs_world: EbsWorld) -> None:
    ebs_world.source_with()
    made = cut(ebs_world)
    assert isinstance(answered(ebs_world, 404, "404", "Not Found", made.native_id), NotFound)
    assert len(listed(ebs_world)) == 1


def test_a_throttled_deletion_is_busy_and_one_that_failed_within_is_unknown(ebs_world: EbsWorld) -> None:
    ebs_world.source_with()
    made = cut(ebs_world)
    assert isinstance(answered(ebs_world, 503, "RequestLimitExceeded", "slower", made.native_id), Busy)
    assert isinstance(answered(ebs_world, 500, "InternalError", "broken", made.native_id), OutcomeUnknown)
    assert len(listed(ebs_world)) == 1


def test_a_volume_attached_to_several_instances_is_in_the_set_of_the_first(ebs_world: EbsWorld) -> None:
    ebs_world.source_with()
    client = ebs_world.kind._accounts.client("ec2", ACCOUNT, HOME)

    def shared(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Volumes"][0]["Attachments"] = [
            {"InstanceId": "i-2", "Device": "/dev/sdb", "State": "attached"},
            {"InstanceId": "i-1", "Device": "/dev/sdc", "State": "attached"},
            {"InstanceId": "i-0", "Device": "/dev/sdd", "State": "detaching"},
        ]

    client.meta.events.register("after-call.ec2.DescribeVolumes", shared)
    try:
        (source,) = selected(ebs_world)
    finally:
        client.meta.events.unregister("after-call.ec2.DescribeVolumes", shared)
    assert (source.instance, source.device) == ("i-1", "/dev/sdc")


def test_a_listing_without_a_list_is_unavailable_and_never_empty(ebs_world: EbsWorld) -> None:
    client = ebs_world.kind._accounts.client("ec2", ACCOUNT, HOME)

    def emptied(parsed: dict[str, Any], **_: Any) -> None:
        parsed.pop("Snapshots")

    client.meta.events.register("after-call.ec2.DescribeSnapshots", emptied)
    try:
        with pytest.raises(Unavailable, match="no list"):
            listed(ebs_world)
    finally:
        client.meta.events.unregister("after-call.ec2.DescribeSnapshots", emptied)


def test_a_reply_that_names_no_snapshot_is_unknown(ebs_world: EbsWorld) -> None:
    ebs_world.source_with()
    sources = selected(ebs_world)
    client = ebs_world.kind._accounts.client("ec2", ACCOUNT, HOME, repeatable=False)

    def emptied(parsed: dict[str, Any], **_: Any) -> None:
        parsed.pop("SnapshotId")

    client.meta.events.register("after-call.ec2.CreateSnapshot", emptied)
    try:
        with pytest.raises(OutcomeUnknown):
            ebs_world.kind.cut(cut_order(sources), 0)
    finally:
        client.meta.events.unregister("after-call.ec2.CreateSnapshot", emptied)
    assert len(ebs_world.kind.find(ACCOUNT, HOME, POINT)) == 1


def test_options_of_another_kind_are_a_fault_of_the_caller(ebs_world: EbsWorld) -> None:
    with pytest.raises(TypeError):
        ebs_world.kind.select(object(), [Source("vol-1")])


# --- other accounts


def test_a_snapshot_under_the_default_key_of_aws_is_refused_by_name_before_it_is_shared(ebs_world: EbsWorld) -> None:
    ec2 = ebs_world.client("ec2")
    tags = [{"ResourceType": "volume", "Tags": [{"Key": key, "Value": value} for key, value in USER_TAGS.items()]}]
    ec2.create_volume(AvailabilityZone=f"{HOME}a", Size=8, Encrypted=True, TagSpecifications=tags)
    cut(ebs_world)
    ebs_world.finish()
    order = copy_order(listed(ebs_world)[0], account=OTHER, key=ebs_world.new_key(AWAY, OTHER))
    with pytest.raises(Refused, match="default key of AWS, which cannot be shared with vault") as refused:
        ebs_world.kind.share(order)
    assert "a key of your own" in refused.value.hint
    assert ebs_world.aws.calls["ec2", "ModifySnapshotAttribute", HOME] == 0
    ebs_world.aws.fail_next("DescribeKey", "denied")
    with pytest.raises(Refused, match="AWS refused") as refused:
        ebs_world.kind.share(order)
    assert "default key" in refused.value.cause, "where nobody may ask whose key it is, EC2 says so"


def test_sharing_is_with_one_account_and_leaves_others_as_they_are(ebs_world: EbsWorld) -> None:
    ebs_world.source_with()
    cut(ebs_world)
    ebs_world.finish()
    (snapshot,) = listed(ebs_world)
    ec2 = ebs_world.client("ec2")
    said = {"SnapshotId": snapshot.native_id, "Attribute": "createVolumePermission"}
    ec2.modify_snapshot_attribute(**said, OperationType="add", UserIds=["333333333333"])
    ebs_world.kind.share(copy_order(snapshot, account=OTHER))
    assert list(ebs_world.kind.shared(ACCOUNT, HOME, SITE, OTHER)) == [snapshot.native_id]
    ebs_world.kind.unshare(ACCOUNT, HOME, snapshot.native_id, OTHER)
    left = ec2.describe_snapshot_attribute(**said)["CreateVolumePermissions"]
    assert left == [{"UserId": "333333333333"}]


def test_an_account_without_digits_cannot_be_shared_with(ebs_world: EbsWorld) -> None:
    ebs_world.source_with()
    cut(ebs_world)
    kind = EbsSnapshots(AwsAccounts({ACCOUNT: AwsAccount(), "nameless": AwsAccount()}))
    with pytest.raises(Refused, match="nameless has no id"):
        kind.share(copy_order(listed(ebs_world)[0], account="nameless"))
