"""What is particular to restored clusters: their members, capacities, clusters without members, what drills leave."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from native_clouds import ACCOUNT, AWAY, Cloud
from rds_restores import ID, ClusterRestores

from drorch.domain.errors import Busy, OutcomeUnknown, Refused
from drorch.domain.native_restore import CREATING, READY, TAG_DRILL, TAG_RESTORE, RestoreProgress
from drorch.kinds.rds_cluster import RestoreOptions
from drorch.kinds.rds_family.restore_request import cluster_request

DRILLED = f"drorch-drill-{ID}-data"


def restored(world: ClusterRestores, tag: str = TAG_DRILL, **said: Any) -> RestoreProgress:
    """Called until all of it is ready."""
    for _ in range(5):
        progress = world.kind.advance(world.order(tag=tag, **said))
        if progress.done:
            return progress
        world.settle()
    raise AssertionError(progress.waiting)


def with_classes(world: ClusterRestores, *classes: str) -> None:
    """The record says so of its members."""
    members = [
        {**member, "class": found} for member, found in zip(world.part.settings["members"], classes, strict=True)
    ]  # type: ignore[call-overload]
    world.part = replace(world.part, settings={**world.part.settings, "members": members})


def test_members_are_made_once_the_cluster_is_there_and_all_at_once_when_they_are_alike(aws: Cloud) -> None:
    world = ClusterRestores(aws)
    begun = world.kind.advance(world.order())
    assert [(made.what, made.state) for made in begun.made] == [("cluster", CREATING)]
    world.settle()
    progress = world.kind.advance(world.order())
    assert [made.native_id for made in progress.made] == [DRILLED, f"{DRILLED}-1", f"{DRILLED}-2"]
    assert not progress.done
    assert progress.made[0].endpoint == ""
    world.settle()
    progress = world.kind.advance(world.order())
    assert progress.done
    assert progress.made[0].endpoint.endswith(":5432") or progress.made[0].endpoint.endswith(":3306")
    assert [made.address for made in progress.made] == ["aws_rds_cluster", *["aws_rds_cluster_instance"] * 2]


def test_a_cluster_without_its_writer_has_no_endpoint_however_it_is_asked_for(aws: Cloud) -> None:
    world = ClusterRestores(aws)
    world.kind.advance(world.order())
    world.settle()
    for done in (False, True):
        found = [made for _, made in world.kind.made(ACCOUNT, AWAY, TAG_DRILL) if made.what == "cluster"]
        assert [bool(made.endpoint) for made in found] == [done]
        restored(world)


def test_the_writer_is_there_before_members_of_other_classes_are_made(aws: Cloud) -> None:
    world = ClusterRestores(aws)
    with_classes(world, "db.r6g.2xlarge", "db.r6g.large")
    world.kind.advance(world.order())
    world.settle()
    assert [made.native_id for made in world.kind.advance(world.order()).made] == [DRILLED, f"{DRILLED}-1"]
    progress = restored(world)
    assert len(progress.made) == 3
    (cluster,) = world.clusters().values()
    assert [m["DBInstanceIdentifier"] for m in cluster["DBClusterMembers"] if m["IsClusterWriter"]] == [f"{DRILLED}-1"]


def test_under_its_recorded_name_a_clusters_members_have_their_own_again(aws: Cloud) -> None:
    world = ClusterRestores(aws)
    restored(world, TAG_RESTORE, name=world.source)
    assert set(world.things()) == {world.source, "shop-orders1-a", "shop-orders1-b"}


def test_as_many_members_as_are_said_of_the_class_that_is_said(aws: Cloud) -> None:
    world = ClusterRestores(aws)
    progress = restored(world, members=1, **{"class": "db.t4g.medium"})
    assert len(progress.made) == 2
    assert "1 of 2 members are made" in progress.notes
    assert f"class of member {DRILLED}-1: db.r6g.large at the cut, db.t4g.medium now" in progress.notes


def test_a_members_name_that_somebody_has_is_refused_before_the_cluster_is_made(aws: Cloud) -> None:
    world = ClusterRestores(aws)
    world._stray_instance({}, f"{DRILLED}-2")
    for asked in (world.kind.check_restore, world.kind.advance):
        with pytest.raises(Refused) as raised:
            asked(world.order())
        assert f"{DRILLED}-2" in raised.value.message
    assert world.clusters() == {}


def test_a_cluster_without_recorded_members_is_not_made_empty(aws: Cloud) -> None:
    world = ClusterRestores(aws, members=0)
    with pytest.raises(Refused) as raised:
        world.kind.advance(world.order())
    assert "class:" in raised.value.hint
    assert len(restored(world, **{"class": "db.r6g.large"}).made) == 2


def test_a_lost_reply_for_a_member_makes_no_second(aws: Cloud) -> None:
    world = ClusterRestores(aws)
    world.kind.advance(world.order())
    world.settle()
    world.aws.fail_next("CreateDBInstance", "after")
    with pytest.raises(OutcomeUnknown):
        world.kind.advance(world.order())
    restored(world)
    assert set(world.things()) == {DRILLED, f"{DRILLED}-1", f"{DRILLED}-2"}


def test_a_member_without_capacity_takes_the_next_class_or_waits(aws: Cloud) -> None:
    world = ClusterRestores(aws)
    world.aws.exhaust_class(AWAY, "db.r6g.large")
    world.kind.advance(world.order())
    world.settle()
    with pytest.raises(Busy):
        world.kind.advance(world.order())
    progress = restored(world, classes=("db.r6g.large", "db.r5.large"))
    assert {made.state for made in progress.made} == {READY}
    assert any("db.r5.large now" in note for note in progress.notes)


def test_serverless_capacities_come_back(aws: Cloud) -> None:
    world = ClusterRestores(aws, ServerlessV2ScalingConfiguration={"MinCapacity": 0.5, "MaxCapacity": 8})
    restored(world)
    (cluster,) = world.clusters().values()
    assert cluster["ServerlessV2ScalingConfiguration"]["MinCapacity"] == 0.5
    assert cluster["ServerlessV2ScalingConfiguration"]["MaxCapacity"] == 8


def test_the_members_of_a_multi_az_cluster_are_left_to_rds(aws: Cloud) -> None:
    world = ClusterRestores(aws, members=0, DBClusterInstanceClass="db.m6gd.large", Engine="postgres")
    with pytest.raises(Refused):
        world.kind.check_restore(world.order(members=2))
    progress = restored(world)
    assert [made.what for made in progress.made] == ["cluster"]
    assert progress.made[0].endpoint
    assert world.clusters()[DRILLED]["DBClusterInstanceClass"] == "db.m6gd.large"


def test_a_parameter_group_of_clusters_is_looked_for_among_those(aws: Cloud) -> None:
    world = ClusterRestores(aws)
    world.rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName="shop", DBParameterGroupFamily="aurora-postgresql16", Description="the shop's"
    )
    restored(world, parameter_group="shop")
    assert world.clusters()[DRILLED]["DBClusterParameterGroup"] == "shop"


def test_a_drills_members_go_before_their_cluster(aws: Cloud) -> None:
    world = ClusterRestores(aws)
    restored(world)
    assert world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID) == ()
    assert world.things() == {}


def test_a_drills_cluster_with_an_instance_of_somebody_is_held_and_that_instance_too(aws: Cloud) -> None:
    world = ClusterRestores(aws)
    restored(world)
    world.rds.create_db_instance(
        DBInstanceIdentifier="by-hand",
        DBInstanceClass="db.r6g.large",
        Engine="aurora-postgresql",
        DBClusterIdentifier=DRILLED,
    )
    with pytest.raises(Refused) as raised:
        world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID)
    assert raised.value.cause == "by-hand"
    assert set(world.things()) == {DRILLED, "by-hand"}


def test_serverless_v1_has_its_own_capacities_and_no_members() -> None:
    recorded = {"engine_mode": "serverless", "serverless": {"MinCapacity": 2, "MaxCapacity": 8, "AutoPause": True}}
    request = cluster_request(RestoreOptions(), recorded, drill=False)
    assert request["ScalingConfiguration"] == {"AutoPause": True, "MinCapacity": 2, "MaxCapacity": 8}
    assert request["EngineMode"] == "serverless"
