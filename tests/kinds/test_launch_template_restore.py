"""A copy's image as a new version of a launch template: beside $Default, once, and let go by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from native_clouds import ACCOUNT, AWAY, Cloud
from native_restores import ID, AmiRestores

from drorch.domain.errors import NotFound, OutcomeUnknown, Refused
from drorch.domain.native_restore import READY, TAG_DRILL, TAG_RESTORE
from drorch.kinds.ami import RestoreOptions


@pytest.fixture
def world(aws: Cloud) -> AmiRestores:
    return AmiRestores(aws)


def template(world: AmiRestores, name: str = "shop-web") -> dict[str, Any]:
    data = {"InstanceType": "m5.large", "ImageId": "ami-12345678", "KeyName": "shop"}
    made: dict[str, Any] = world.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
    found: dict[str, Any] = made["LaunchTemplate"]
    return found


def versions(world: AmiRestores, name: str = "shop-web") -> dict[int, dict[str, Any]]:
    found = world.ec2.describe_launch_template_versions(LaunchTemplateName=name)["LaunchTemplateVersions"]
    return {version["VersionNumber"]: version for version in found}


def into(world: AmiRestores, **more: Any) -> None:
    world.options = RestoreOptions.model_validate({"launch_template": "shop-web", **more})


def test_a_launch_template_gets_a_version_with_the_image_and_keeps_its_default(world: AmiRestores) -> None:
    named = template(world)["LaunchTemplateId"]
    into(world, instance_types=["m6i.large"])
    assert world.kind.check_restore(world.order()) == ()
    progress = world.kind.advance(world.order())
    assert progress.done
    assert [(made.what, made.native_id, made.state) for made in progress.made] == [
        ("launch template version", f"{named}:2", READY)
    ]
    found = versions(world)
    data = found[2]["LaunchTemplateData"]
    assert (data["ImageId"], data["InstanceType"], data["KeyName"]) == (world.parts[0].native_id, "m6i.large", "shop")
    assert found[2]["VersionDescription"] == f"{TAG_DRILL}={ID}"
    assert found[1]["DefaultVersion"] and not found[2]["DefaultVersion"]
    assert any("$Default of shop-web is version 1" in note for note in progress.notes)
    assert world.entries() == []
    assert world.kind.advance(world.order()) == progress
    assert len(versions(world)) == 2


@pytest.mark.parametrize("mode", ["before", "after"])
def test_a_version_whose_reply_was_lost_is_made_once(world: AmiRestores, mode: Any) -> None:
    template(world)
    into(world)
    world.aws.fail_next("CreateLaunchTemplateVersion", mode)
    with pytest.raises(OutcomeUnknown):
        world.kind.advance(world.order())
    world.aws.stale("DescribeLaunchTemplateVersions", 1)
    world.kind.advance(world.order())
    assert len(versions(world)) == 2


def test_a_template_that_is_not_there_is_not_found_with_those_that_are(world: AmiRestores) -> None:
    template(world, "shop-api")
    into(world)
    for asked in (world.kind.check_restore, world.kind.advance):
        with pytest.raises(NotFound, match="no launch template shop-web") as missing:
            asked(world.order())
        assert "shop-api" in missing.value.hint


def test_a_template_takes_one_image(world: AmiRestores) -> None:
    template(world)
    into(world)
    world.parts = (*world.parts, replace(world.parts[0], native_id="ami-0123456789abcdef0"))
    with pytest.raises(Refused, match="takes one image, the copy has 2"):
        world.kind.advance(world.order())
    assert len(versions(world)) == 1


def test_of_a_template_only_the_drills_version_goes(world: AmiRestores) -> None:
    named = template(world)["LaunchTemplateId"]
    into(world)
    world.kind.advance(world.order())
    world.kind.advance(world.order(tag=TAG_RESTORE))
    world.ec2.create_launch_template_version(
        LaunchTemplateName="shop-web", VersionDescription=f"like {TAG_DRILL}={ID}", LaunchTemplateData={"KeyName": "x"}
    )
    assert [of for of, _ in world.kind.made(ACCOUNT, AWAY, TAG_DRILL)] == [ID]
    assert world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID) == ()
    assert sorted(versions(world)) == [1, 3, 4]
    assert world.kind.made(ACCOUNT, AWAY, TAG_DRILL, ID) == ()
    (kept,) = world.kind.made(ACCOUNT, AWAY, TAG_RESTORE)
    assert kept[1].native_id == f"{named}:3"


def test_a_version_that_somebody_made_the_default_stays_and_says_so(world: AmiRestores) -> None:
    template(world)
    into(world)
    world.kind.advance(world.order())
    world.ec2.modify_launch_template(LaunchTemplateName="shop-web", DefaultVersion="2")
    (left,) = world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID)
    assert "default version" in left.detail
    assert 2 in versions(world)
