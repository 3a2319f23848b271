"""What is particular to volumes that are brought back: types and numbers, zones, keys, devices, and tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from native_clouds import ACCOUNT, AWAY, HOME, Cloud
from native_restores import ID, EbsRestores
from pydantic import ValidationError

from drorch.aws import AwsAccount, AwsAccounts
from drorch.domain.errors import NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.native_restore import READY, TAG_DRILL, RestoreProgress
from drorch.kinds.ebs import EbsSnapshots, RestoreOptions

ZONE = f"{AWAY}a"


@pytest.fixture
def world(aws: Cloud) -> EbsRestores:
    return EbsRestores(aws)


def recorded(world: EbsRestores, **settings: object) -> None:
    """The first part alone, with these settings."""
    world.parts = (replace(world.parts[0], settings=settings),)


def done(world: EbsRestores) -> RestoreProgress:
    for _ in range(6):
        progress = world.kind.advance(world.order())
        if progress.done:
            return progress
        world.settle()
    raise AssertionError(progress.waiting)


def shown(world: EbsRestores, volume: str = "") -> dict[str, Any]:
    found: list[dict[str, Any]] = world.ec2.describe_volumes(Filters=[{"Name": f"tag:{TAG_DRILL}", "Values": [ID]}])[
        "Volumes"
    ]
    return next(v for v in found if volume in ("", v["VolumeId"]))


def instance(world: EbsRestores, zone: str = ZONE) -> str:
    made = world.ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, Placement={"AvailabilityZone": zone})
    world.settle()
    return str(made["Instances"][0]["InstanceId"])


def attached(world: EbsRestores) -> dict[str, str]:
    """Device -> source volume, of what the restore attached."""
    sources = {part.native_id: part.source_id for part in world.parts}
    found = world.ec2.describe_volumes(Filters=[{"Name": f"tag:{TAG_DRILL}", "Values": [ID]}])["Volumes"]
    return {a["Device"]: sources[v["SnapshotId"]] for v in found for a in v["Attachments"]}


# --- types and numbers


@pytest.mark.parametrize(
    ("settings", "options", "expected"),
    [
        ({"type": "gp3", "iops": 4000, "throughput": 250}, {}, ("gp3", 4000, 250)),
        ({"type": "io2", "iops": 9000}, {}, ("io2", 9000, None)),
        ({"type": "io1", "iops": 9000}, {"type": "io2"}, ("io2", 9000, None)),
        ({"type": "io2", "iops": 9000}, {"type": "gp3"}, ("gp3", 3000, None)),
        ({"type": "io2", "iops": 9000}, {"iops": 500}, ("io2", 500, None)),
        ({"type": "gp2", "iops": 300}, {}, ("gp2", None, None)),
        ({"type": "st1"}, {}, ("st1", None, None)),
        ({}, {}, ("gp3", 3000, None)),
        ({}, {"type": "gp3", "throughput": 300}, ("gp3", 3000, 300)),
    ],
)
def test_a_volume_is_as_it_was_recorded_but_for_what_the_options_say(
    world: EbsRestores, settings: dict[str, object], options: dict[str, object], expected: tuple[object, ...]
) -> None:
    recorded(world, **settings)
    world.options = RestoreOptions.model_validate({"zone": ZONE, **options})
    done(world)
    volume = shown(world)
    assert (volume["VolumeType"], volume.get("Iops"), volume.get("Throughput")) == expected
    assert volume["AvailabilityZone"] == ZONE


@pytest.mark.parametrize(
    ("settings", "options", "word"),
    [
        ({"type": "gp2"}, {"iops": 500}, "takes no iops"),
        ({"type": "io2", "iops": 500}, {"throughput": 300}, "takes no throughput"),
        ({"type": "gp3"}, {"type": "io2"}, "needs iops"),
        ({"type": "gp3"}, {"type": "st1", "iops": 500}, "takes no iops"),
    ],
)
def test_numbers_that_the_type_does_not_take_are_refused_before_anything_is_made(
    world: EbsRestores, settings: dict[str, object], options: dict[str, object], word: str
) -> None:
    recorded(world, **settings)
    world.options = RestoreOptions.model_validate({"zone": ZONE, **options})
    for asked in (world.kind.check_restore, world.kind.advance):
        with pytest.raises(Refused, match=word) as refused:
            asked(world.order())
        assert refused.value.hint
    assert world.things() == {}


def test_what_will_not_be_as_it_was_is_said_before_and_after(world: EbsRestores) -> None:
    recorded(world, type="io2", iops=9000)
    world.options = RestoreOptions(zone=ZONE, type="gp3")
    said = f"{world.parts[0].source_id}: was io2, now gp3; 9000 IOPS, now the default"
    assert said in world.kind.check_restore(world.order())
    assert said in done(world).notes


def test_what_no_record_tells_is_said(world: EbsRestores) -> None:
    recorded(world)
    assert world.kind.check_restore(world.order()) == (
        f"{world.parts[0].source_id}: no record tells its type; it becomes gp3",
    )


def test_the_rate_of_initialization_is_handed_on_and_without_one_slow_blocks_are_told(world: EbsRestores) -> None:
    assert any("first read" in note for note in done(world).notes)
    world.options = RestoreOptions(zone=ZONE, initialization_rate=300)
    kept = world.order("fast")
    world.kind.advance(kept)
    world.settle()
    assert not any("first read" in note for note in world.kind.advance(kept).notes)
    found = world.ec2.describe_volumes(Filters=[{"Name": f"tag:{TAG_DRILL}", "Values": ["fast"]}])["Volumes"]
    assert {volume["VolumeInitializationRate"] for volume in found} == {300}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"zone": "a"},
        {"zone": ZONE, "initialization_rate": 99},
        {"zone": ZONE, "initialization_rate": 301},
        {"zone": ZONE, "type": "gp4"},
        {"zone": ZONE, "iops": 0},
        {"zone": ZONE, "attach": {"instance": "web"}},
        {"zone": ZONE, "attach": {"instance": "i-0123456789abcdef0", "force": True}},
        {"zone": ZONE, "size": 16},
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RestoreOptions.model_validate(options)


# --- places and keys


def test_a_zone_of_another_region_is_refused_with_the_zones_there_are(world: EbsRestores) -> None:
    world.options = RestoreOptions(zone=f"{HOME}a")
    with pytest.raises(Refused, match=f"no zone {HOME}a") as refused:
        world.kind.check_restore(world.order())
    assert f"{AWAY}a, {AWAY}b" in refused.value.hint


def test_an_encrypted_volume_keeps_the_key_of_its_copy_or_gets_the_one_that_is_named(world: EbsRestores) -> None:
    world.options = RestoreOptions(zone=ZONE, kms_key=world.world.new_key(AWAY))
    done(world)
    volume = shown(world)
    assert volume["Encrypted"]
    assert f":kms:{AWAY}:" in volume["KmsKeyId"]


def test_a_key_that_is_not_there_is_refused_before_anything_is_made(world: EbsRestores) -> None:
    world.options = RestoreOptions(zone=ZONE, kms_key="alias/nowhere")
    with pytest.raises(Refused, match="alias/nowhere"):
        world.kind.advance(world.order())
    assert world.things() == {}


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [("State", "pending", Unavailable), ("State", "error", Refused), ("StorageTier", "archive", Refused)],
)
def test_a_snapshot_that_gives_no_volume_says_so(
    world: EbsRestores, field: str, value: str, kind: type[Exception]
) -> None:
    client = world.accounts.client("ec2", ACCOUNT, AWAY)

    def turned(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Snapshots"][0][field] = value

    client.meta.events.register("after-call.ec2.DescribeSnapshots", turned)
    try:
        with pytest.raises(kind):
            world.kind.check_restore(world.order())
    finally:
        client.meta.events.unregister("after-call.ec2.DescribeSnapshots", turned)
    world.kind.check_restore(world.order())


def test_a_restore_goes_on_with_the_volumes_that_are_there_when_the_copy_is_gone(world: EbsRestores) -> None:
    begun = world.kind.advance(world.order())
    for part in world.parts:
        world.ec2.delete_snapshot(SnapshotId=part.native_id)
    assert {made.native_id for made in done(world).made} == {made.native_id for made in begun.made}


# --- attaching


def test_volumes_are_attached_under_their_recorded_devices_once_they_are_available(world: EbsRestores) -> None:
    world.options = RestoreOptions.model_validate({"zone": ZONE, "attach": {"instance": instance(world)}})
    world.kind.advance(world.order())
    assert attached(world) == {}
    progress = done(world)
    assert attached(world) == {part.device: part.source_id for part in world.parts}
    assert all("attached to i-" in made.detail and made.state == READY for made in progress.made)
    assert world.kind.advance(world.order()) == progress


def test_a_device_that_is_in_use_is_left_alone_and_the_next_free_one_is_taken_and_told(world: EbsRestores) -> None:
    there = instance(world)
    stray = world.stray({})
    world.settle()
    world.ec2.attach_volume(VolumeId=stray, InstanceId=there, Device="/dev/xvdf")
    world.options = RestoreOptions.model_validate({"zone": ZONE, "attach": {"instance": there}})
    progress = done(world)
    first, second = (part.source_id for part in world.parts)
    assert attached(world) == {"/dev/sdh": first, "/dev/sdg": second}
    assert any("/dev/sdh" in note and "it was /dev/sdf" in note for note in progress.notes)
    assert world.ec2.describe_volumes(VolumeIds=[stray])["Volumes"][0]["Attachments"][0]["Device"] == "/dev/xvdf"


@pytest.mark.parametrize("mode", ["before", "after", "throttle"])
def test_an_attachment_that_is_lost_on_the_way_is_made_once(world: EbsRestores, mode: Any) -> None:
    world.options = RestoreOptions.model_validate({"zone": ZONE, "attach": {"instance": instance(world)}})
    world.kind.advance(world.order())
    world.settle()
    world.aws.fail_next("AttachVolume", mode)
    with pytest.raises(Exception, match="AttachVolume"):
        world.kind.advance(world.order())
    done(world)
    assert attached(world) == {part.device: part.source_id for part in world.parts}


def test_an_attachment_that_no_listing_shows_yet_is_waited_for(world: EbsRestores) -> None:
    world.options = RestoreOptions.model_validate({"zone": ZONE, "attach": {"instance": instance(world)}})
    world.kind.advance(world.order())
    world.settle()
    world.kind.made(ACCOUNT, AWAY, TAG_DRILL, ID)
    world.aws.fail_next("AttachVolume", "after")
    with pytest.raises(OutcomeUnknown):
        world.kind.advance(world.order())
    world.hide(1)
    assert not world.kind.advance(world.order()).done
    done(world)
    assert attached(world) == {part.device: part.source_id for part in world.parts}


def test_a_name_that_is_taken_meanwhile_is_chosen_anew(world: EbsRestores) -> None:
    there, stray = instance(world), world.stray({})
    world.options = RestoreOptions.model_validate({"zone": ZONE, "attach": {"instance": there}})
    world.kind.advance(world.order())
    world.settle()
    client = world.accounts.client("ec2", ACCOUNT, AWAY)

    def meanwhile(**_: Any) -> None:
        client.meta.events.unregister("after-call.ec2.DescribeInstances", meanwhile)
        world.ec2.attach_volume(VolumeId=stray, InstanceId=there, Device="/dev/sdf")

    client.meta.events.register("after-call.ec2.DescribeInstances", meanwhile)
    with pytest.raises(Unavailable, match="taken meanwhile"):
        world.kind.advance(world.order())
    done(world)
    assert attached(world).keys() == {"/dev/sdg", "/dev/sdh"}


def test_an_instance_without_a_free_name_is_refused_before_anything_is_made(world: EbsRestores) -> None:
    there = instance(world)
    letters = "fghijklmnop"
    for letter in letters:
        stray = world.stray({})
        world.settle()
        world.ec2.attach_volume(VolumeId=stray, InstanceId=there, Device=f"/dev/sd{letter}")
    before = world.things().keys()
    world.options = RestoreOptions.model_validate({"zone": ZONE, "attach": {"instance": there}})
    with pytest.raises(Refused, match="2 volumes have no name") as refused:
        world.kind.advance(world.order())
    assert refused.value.hint
    assert world.things().keys() == before


def test_an_instance_elsewhere_or_nowhere_is_refused_before_anything_is_made(world: EbsRestores) -> None:
    elsewhere = instance(world, f"{AWAY}b")
    before = world.things()
    world.options = RestoreOptions.model_validate({"zone": ZONE, "attach": {"instance": elsewhere}})
    with pytest.raises(Refused, match=f"is in {AWAY}b") as refused:
        world.kind.advance(world.order())
    assert refused.value.hint == f"zone: {AWAY}b"
    world.options = RestoreOptions.model_validate({"zone": ZONE, "attach": {"instance": "i-0123456789abcdef0"}})
    with pytest.raises(NotFound):
        world.kind.advance(world.order())
    world.ec2.terminate_instances(InstanceIds=[elsewhere])
    assert world.things().keys() <= before.keys()


def test_a_volume_that_somebody_attached_elsewhere_stays_there(world: EbsRestores) -> None:
    wanted, other = instance(world), instance(world)
    world.options = RestoreOptions.model_validate({"zone": ZONE, "attach": {"instance": wanted}})
    begun = world.kind.advance(world.order())
    world.settle()
    world.ec2.attach_volume(VolumeId=begun.made[0].native_id, InstanceId=other, Device="/dev/sdp")
    progress = done(world)
    assert any(f"attached to {other} by somebody" in note for note in progress.notes)
    assert shown(world, begun.made[0].native_id)["Attachments"][0]["InstanceId"] == other


def test_a_drills_volume_that_is_attached_stays_until_it_is_detached(world: EbsRestores) -> None:
    there = instance(world)
    world.options = RestoreOptions.model_validate({"zone": ZONE, "attach": {"instance": there}})
    made = [made.native_id for made in done(world).made]
    left = world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID)
    assert sorted(thing.native_id for thing in left) == sorted(made)
    assert all(there in thing.detail for thing in left)
    for volume in made:
        at = shown(world, volume)["Attachments"][0]
        world.ec2.detach_volume(VolumeId=volume, InstanceId=there, Device=at["Device"])
    assert world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID) == ()
    assert not set(made) & world.things().keys()


# --- tokens and refusals


def test_a_restore_that_was_begun_with_other_options_is_refused_and_makes_no_second(world: EbsRestores) -> None:
    world.kind.made(ACCOUNT, AWAY, TAG_DRILL, ID)
    world.hide(2)
    before = {made.native_id for made in world.kind.advance(world.order()).made}
    world.options = RestoreOptions(zone=f"{AWAY}b")
    with pytest.raises(Refused, match="begun with other options") as refused:
        world.kind.advance(world.order())
    assert refused.value.hint
    assert world.things().keys() == before
    assert {made.native_id for made in world.kind.advance(world.order()).made} == before


def test_a_throttled_creating_call_is_repeated_by_the_sdk_and_makes_one(
    world: EbsRestores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    accounts = AwsAccounts({ACCOUNT: AwsAccount()}, attempts=6)
    world.aws.fail_next("CreateVolume", "throttle")
    world.aws.fail_next("CreateVolume", "after")
    EbsSnapshots(accounts).advance(world.order())
    accounts.close()
    assert len(world.things()) == len(world.parts)


def test_a_second_volume_of_one_snapshot_is_told_and_left(world: EbsRestores) -> None:
    done(world)
    tags = [{"Key": TAG_DRILL, "Value": ID}]
    second = world.ec2.create_volume(
        AvailabilityZone=ZONE,
        SnapshotId=world.parts[0].native_id,
        TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
    )["VolumeId"]
    world.settle()
    notes = done(world).notes
    assert any("second volume" in note for note in notes)
    assert second in world.things()


def test_what_ec2_does_not_let_go_is_left_with_its_word(world: EbsRestores) -> None:
    done(world)
    client = world.accounts.client("ec2", ACCOUNT, AWAY)

    def refuse(**_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        said = {"Error": {"Code": "VolumeInUse", "Message": "in use"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
        return AWSResponse("", 400, {}, None), said

    client.meta.events.register("before-call.ec2.DeleteVolume", refuse)
    try:
        left = world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID)
    finally:
        client.meta.events.unregister("before-call.ec2.DeleteVolume", refuse)
    assert {thing.detail for thing in left} == {"VolumeInUse: in use"}
    assert world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID) == ()
