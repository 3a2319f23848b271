"""The SnapshotKind port, clause by clause, on all that claims it: the kinds on the embedded cloud, and the fakes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, timedelta

import pytest
from native_clouds import (
    ACCOUNT,
    AWAY,
    COUNTING_WORLDS,
    ENCRYPTING_WORLDS,
    HOME,
    LIMITED_WORLDS,
    OTHER,
    OTHER_POINT,
    POINT,
    SITE,
    USED_WORLDS,
    USER_TAGS,
    WORLDS,
    Cloud,
    UsedWorld,
    World,
    cloud,
    copy_order,
    cut,
    cut_order,
    listed,
    own_tags,
    selected,
    world_of,
)

from drorch.domain.errors import AlreadyExists, Busy, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.native import NativeSnapshot, SnapshotRoom, Source
from drorch.ports import CountsCopies, CountsSnapshots, SharesSnapshots


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with cloud() as opened:
        yield opened


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    return world_of(request.param, lambda: request.getfixturevalue("aws"))


# --- sources


def test_an_empty_region_has_no_sources_and_no_snapshots(world: World) -> None:
    assert list(world.kind.sources(ACCOUNT, AWAY, [world.options()])) == []
    assert listed(world, AWAY) == []
    assert world.kind.find(ACCOUNT, AWAY, POINT) == ()


def test_options_select_their_own_sources_and_nothing_else(world: World) -> None:
    first = world.source_with()
    world.source_with(tags={"app": "shop", "tier": "web"})
    assert [source.source_id for source in selected(world)] == [first]


def test_a_source_says_what_a_record_needs_of_it(world: World) -> None:
    key = world.new_key(HOME)
    name = world.source_with(key=key)
    (source,) = selected(world)
    assert source.source_id == name
    assert source.identity
    assert source.bytes > 0
    assert source.encrypted
    assert source.kms_key
    assert USER_TAGS.items() <= dict(source.tags).items()


def test_nothing_is_listed_for_no_options(world: World) -> None:
    world.source_with()
    assert list(world.kind.sources(ACCOUNT, HOME, [])) == []


def test_a_source_that_two_resources_select_is_listed_once(world: World) -> None:
    world.source_with()
    options = [world.options(), world.options()]
    assert len(list(world.kind.sources(ACCOUNT, HOME, options))) == 1


def test_creating_calls_hold_every_source_once_in_an_order_that_the_listing_does_not_change(world: World) -> None:
    sources = [Source(f"s-{number}", instance="") for number in range(4)]
    calls = world.kind.creating_calls(sources)
    assert calls == world.kind.creating_calls(sources[::-1])
    assert sorted(source.source_id for call in calls for source in call) == ["s-0", "s-1", "s-2", "s-3"]


# --- cut


def test_a_cut_bears_all_its_tags_from_the_first_moment(world: World) -> None:
    source = world.source_with()
    made = cut(world)
    assert made.source_id == source
    expected = {**own_tags(), "drorch:set": "1/1:1", **USER_TAGS}
    assert dict(made.tags) == expected
    (seen,) = listed(world)
    assert dict(seen.tags) == expected


def test_a_cut_is_pending_and_then_usable(world: World) -> None:
    world.source_with()
    made = cut(world)
    assert made.state == "pending"
    assert [snapshot.state for snapshot in listed(world)] == ["pending"]
    world.finish()
    (seen,) = listed(world)
    assert (seen.state, seen.native_id, seen.why) == ("usable", made.native_id, "")
    assert (seen.account, seen.region, seen.service) == (ACCOUNT, HOME, world.kind.service)


def test_a_usable_snapshot_says_since_when_its_data_are_in_utc_without_fractions(world: World) -> None:
    world.source_with()
    cut(world)
    world.finish()
    (seen,) = listed(world)
    assert seen.started is not None
    assert seen.started.tzinfo is UTC
    assert seen.started.microsecond == 0
    assert seen.origin is None


def test_find_sees_at_once_what_cut_made_and_no_other_point(world: World) -> None:
    world.source_with()
    made = cut(world)
    assert [snapshot.native_id for snapshot in world.kind.find(ACCOUNT, HOME, POINT)] == [made.native_id]
    assert world.kind.find(ACCOUNT, HOME, OTHER_POINT) == ()


def test_a_point_cut_twice_is_refused_by_its_identifier_or_found_twice(world: World) -> None:
    world.source_with()
    cut(world)
    if world.kind.repeatable_cut:
        with pytest.raises(AlreadyExists) as refused:
            cut(world)
        assert refused.value.vault == f"{ACCOUNT}.{HOME}"
        expected = 1
    else:
        cut(world)
        expected = 2
    assert len(world.kind.find(ACCOUNT, HOME, POINT)) == expected


def test_a_cut_of_a_source_that_is_gone_is_not_found(world: World) -> None:
    gone = Source("vol-0123456789abcdef0" if world.kind.service == "ec2" else "no-such-instance")
    with pytest.raises(NotFound):
        world.kind.cut(cut_order([gone]), 0)
    assert world.kind.find(ACCOUNT, HOME, POINT) == ()


def test_a_snapshot_that_failed_says_why(world: World) -> None:
    world.source_with()
    made = cut(world)
    world.fail(made, "the disk is on fire")
    (seen,) = listed(world)
    assert seen.state == "failed"
    assert seen.why


def test_user_tags_beyond_the_ceiling_are_left_out_and_ours_never(world: World) -> None:
    world.source_with(tags={**USER_TAGS, **{f"key{number:02}": "x" for number in range(48)}})
    tags = cut(world).tags
    assert len(tags) == 50
    assert own_tags().items() <= dict(tags).items()
    assert {key for key in tags if key.startswith("key")} == {f"key{number:02}" for number in range(43)}


# --- listings


def test_snapshots_of_another_site_are_not_listed(world: World) -> None:
    world.source_with()
    cut(world, POINT)
    cut(world, OTHER_POINT, site="stranger")
    assert [snapshot.tags["drorch:point"] for snapshot in listed(world)] == [POINT]
    assert [snapshot.tags["drorch:point"] for snapshot in listed(world, site="stranger")] == [OTHER_POINT]


def test_a_listing_goes_on_past_its_first_page(world: World) -> None:
    world.source_with()
    points = {f"point{number}" for number in range(7)}
    for point in points:
        cut(world, point)
    world.short_pages()
    assert {snapshot.tags["drorch:point"] for snapshot in listed(world)} == points
    assert len(world.kind.find(ACCOUNT, HOME, "point6")) == 1
    assert len(selected(world)) == 1


def test_a_lost_region_is_unavailable_and_never_empty(world: World) -> None:
    world.source_with()
    made = cut(world)
    world.lose(HOME)
    with pytest.raises(Unavailable) as lost:
        listed(world)
    assert lost.value.vault == f"{ACCOUNT}.{HOME}"
    with pytest.raises(Unavailable):
        list(world.kind.sources(ACCOUNT, HOME, [world.options()]))
    with pytest.raises(Unavailable):
        world.kind.find(ACCOUNT, HOME, POINT)
    with pytest.raises(Unavailable):
        world.kind.check_key(ACCOUNT, HOME, "alias/any")
    assert listed(world, AWAY) == []
    world.give_back(HOME)
    assert [snapshot.native_id for snapshot in listed(world)] == [made.native_id]


def test_a_cut_in_a_lost_region_did_not_happen_or_is_unknown(world: World) -> None:
    world.source_with()
    sources = selected(world)
    world.lose(HOME)
    with pytest.raises((Unavailable, OutcomeUnknown)):
        world.kind.cut(cut_order(sources), 0)
    world.give_back(HOME)
    assert world.kind.find(ACCOUNT, HOME, POINT) == ()


# --- copy


def test_a_copy_bears_its_source_its_set_and_the_user_tags(world: World) -> None:
    world.source_with()
    made = cut(world)
    world.finish()
    copied = world.kind.copy(copy_order(listed(world)[0]))
    expected = {**own_tags(), "drorch:source": made.native_id, "drorch:set": "1/1:1", **USER_TAGS}
    assert dict(copied.tags) == expected
    assert copied.state == "pending"
    (seen,) = listed(world, AWAY)
    assert (seen.native_id, seen.state, seen.region) == (copied.native_id, "pending", AWAY)
    assert dict(seen.tags) == expected
    world.finish()
    assert [snapshot.state for snapshot in listed(world, AWAY)] == ["usable"]
    assert len(listed(world, HOME)) == 1


def test_a_copy_of_a_full_snapshot_leaves_a_user_tag_out_and_none_of_ours(world: World) -> None:
    world.source_with(tags={**USER_TAGS, **{f"key{number:02}": "x" for number in range(48)}})
    assert len(cut(world).tags) == 50
    world.finish()
    (first,) = listed(world)
    order = copy_order(first)
    world.kind.copy(replace(order, tags={**first.tags, **order.tags}))
    (seen,) = listed(world, AWAY)
    assert len(seen.tags) == 50
    assert {**order.tags, "drorch:set": "1/1:1"}.items() <= dict(seen.tags).items()


def test_a_copy_is_found_where_it_was_made(world: World) -> None:
    world.source_with()
    cut(world)
    world.finish()
    copied = world.kind.copy(copy_order(listed(world)[0]))
    assert [snapshot.native_id for snapshot in world.kind.find(ACCOUNT, AWAY, POINT)] == [copied.native_id]


def test_a_copy_shows_no_source_of_its_own_or_the_true_one_and_its_own_time(world: World) -> None:
    name = world.source_with()
    cut(world)
    world.finish()
    (first,) = listed(world)
    world.kind.copy(copy_order(first))
    world.finish()
    (seen,) = listed(world, AWAY)
    assert seen.source_id in ("", name)
    assert seen.started is not None
    assert first.started is not None
    assert seen.started >= first.started
    assert seen.origin in (None, first.started)


def test_a_snapshot_that_is_still_pending_is_copied_later(world: World) -> None:
    world.source_with()
    made = cut(world)
    with pytest.raises(Unavailable):
        world.kind.copy(copy_order(made))
    assert world.kind.find(ACCOUNT, AWAY, POINT) == ()


def test_a_second_attempt_is_another_snapshot(world: World) -> None:
    world.source_with()
    cut(world)
    world.finish()
    (first,) = listed(world)
    failed = world.kind.copy(copy_order(first))
    world.fail(failed, "the key is gone")
    world.kind.copy(copy_order(first, attempt=2))
    assert sorted(snapshot.state for snapshot in world.kind.find(ACCOUNT, AWAY, POINT)) == ["failed", "pending"]


def test_an_encrypted_snapshot_is_copied_under_the_key_of_its_destination(world: World) -> None:
    world.source_with(key=world.new_key(HOME))
    cut(world)
    world.finish()
    (first,) = listed(world)
    assert first.encrypted
    world.kind.copy(copy_order(first, key=world.new_key(AWAY)))
    world.finish()
    (seen,) = listed(world, AWAY)
    assert (seen.state, seen.encrypted) == ("usable", True)
    assert seen.kms_key != first.kms_key


def test_an_encrypted_snapshot_without_a_key_for_its_copy_is_refused_before_the_call(world: World) -> None:
    world.source_with(key=world.new_key(HOME))
    cut(world)
    world.finish()
    (first,) = listed(world)
    with pytest.raises(Refused, match="encrypted") as refused:
        world.kind.copy(copy_order(first))
    assert AWAY in refused.value.hint
    assert listed(world, AWAY) == []


@pytest.mark.parametrize("world", ENCRYPTING_WORLDS, indirect=True)
def test_a_plain_snapshot_is_encrypted_by_its_copy_when_a_key_is_given(world: World) -> None:
    world.source_with()
    cut(world)
    world.finish()
    world.kind.copy(copy_order(listed(world)[0], key=world.new_key(AWAY)))
    world.finish()
    assert [snapshot.encrypted for snapshot in listed(world, AWAY)] == [True]


def test_a_copy_out_of_a_lost_region_did_not_happen_or_is_unknown(world: World) -> None:
    world.source_with()
    cut(world)
    world.finish()
    (first,) = listed(world)
    world.lose(HOME)
    with pytest.raises((Unavailable, OutcomeUnknown)):
        world.kind.copy(copy_order(first))
    assert world.kind.find(ACCOUNT, AWAY, POINT) == ()


@pytest.mark.parametrize("world", COUNTING_WORLDS, indirect=True)
def test_a_copy_takes_a_place_in_its_region_until_it_is_done_and_a_cut_takes_none(world: World) -> None:
    assert isinstance(world.kind, CountsCopies)
    world.source_with()
    made = cut(world)
    assert list(world.kind.pending_copies(ACCOUNT, HOME)) == []
    world.finish()
    (source,) = listed(world)
    copied = world.kind.copy(copy_order(source))
    assert [copy.native_id for copy in world.kind.pending_copies(ACCOUNT, AWAY)] == [copied.native_id]
    assert {copy.origin for copy in world.kind.pending_copies(ACCOUNT, AWAY)} <= {"", HOME}
    assert list(world.kind.pending_copies(ACCOUNT, HOME)) == []
    world.finish()
    assert list(world.kind.pending_copies(ACCOUNT, AWAY)) == []
    assert made.native_id == source.native_id


@pytest.mark.parametrize("world", COUNTING_WORLDS, indirect=True)
def test_how_many_copies_are_under_way_in_a_lost_region_is_not_known(world: World) -> None:
    assert isinstance(world.kind, CountsCopies)
    world.lose(AWAY)
    with pytest.raises(Unavailable):
        list(world.kind.pending_copies(ACCOUNT, AWAY))


@pytest.mark.parametrize("world", LIMITED_WORLDS, indirect=True)
def test_everybodys_snapshots_take_room_in_their_region_until_there_is_none(world: World) -> None:
    assert isinstance(world.kind, CountsSnapshots)
    for region, most in ((HOME, 2), (AWAY, 0)):
        world.allow(region, most)
    world.source_with()
    cut(world)
    cut(world, OTHER_POINT, site="another")
    rooms = {region: world.kind.snapshot_rooms(ACCOUNT, region)[world.kind.kind] for region in (HOME, AWAY)}
    assert rooms == {HOME: SnapshotRoom(2, 2), AWAY: SnapshotRoom(0, 0)}
    world.finish()
    with pytest.raises(Busy, match="manual snapshots"):
        cut(world, "a2345672345672345672")
    with pytest.raises(Busy, match="manual snapshots"):
        world.kind.copy(copy_order(listed(world)[0]))
    assert len(listed(world)) == 1
    world.lose(HOME)
    with pytest.raises(Unavailable):
        world.kind.snapshot_rooms(ACCOUNT, HOME)


def test_a_copy_without_a_place_is_busy_and_did_not_happen(world: World) -> None:
    world.source_with()
    cut(world)
    world.finish()
    (source,) = listed(world)
    world.leave_no_place(AWAY)
    with pytest.raises(Busy) as refused:
        world.kind.copy(copy_order(source))
    assert re.search(r"limit is 0|more than 0 snapshots across", refused.value.cause)
    assert listed(world, AWAY) == []


# --- other accounts


def of(world: World) -> SharesSnapshots:
    assert isinstance(world.kind, SharesSnapshots)
    return world.kind


def shared(world: World, site: str = SITE) -> list[str]:
    return list(of(world).shared(ACCOUNT, HOME, site, OTHER))


def whole(snapshot: NativeSnapshot) -> list[str]:
    """Its id, and those of its parts behind it."""
    return [snapshot.native_id, *(part.native_id for part in snapshot.parts)]


def to_share(world: World, *, key: str = "") -> NativeSnapshot:
    world.source_with(key=key)
    cut(world)
    world.finish()
    return listed(world)[0]


@pytest.mark.parametrize("region", [HOME, AWAY])
def test_another_account_copies_what_is_shared_with_it_and_nothing_else(world: World, region: str) -> None:
    snapshot = to_share(world)
    order = copy_order(snapshot, account=OTHER, region=region)
    with pytest.raises(NotFound):
        world.kind.copy(order)
    of(world).share(order)
    copied = world.kind.copy(order)
    world.finish()
    (found,) = world.kind.snapshots(OTHER, region, SITE)
    assert (found.native_id, found.state, found.account, found.region) == (copied.native_id, "usable", OTHER, region)
    assert {key: found.tags[key] for key in USER_TAGS} == USER_TAGS
    assert found.tags["drorch:source"] == snapshot.native_id
    assert copied.native_id not in [s.native_id for s in listed(world, region)], "it is the other account's alone"
    for native_id in whole(found):
        world.kind.expire(OTHER, region, native_id)
    assert not list(world.kind.snapshots(OTHER, region, SITE)) and listed(world) == [snapshot]


def test_what_is_shared_shows_until_it_is_taken_back(world: World) -> None:
    snapshot = to_share(world)
    assert shared(world) == []
    for _ in range(2):
        of(world).share(copy_order(snapshot, account=OTHER))
        assert shared(world)[0] == snapshot.native_id and {*shared(world)} <= {*whole(snapshot)}
    for _ in range(2):
        for native_id in whole(snapshot):
            of(world).unshare(ACCOUNT, HOME, native_id, OTHER)
        assert shared(world) == []
    with pytest.raises(NotFound):
        world.kind.copy(copy_order(snapshot, account=OTHER))
    for native_id in whole(snapshot):
        world.kind.expire(ACCOUNT, HOME, native_id)
        of(world).unshare(ACCOUNT, HOME, native_id, OTHER)


@pytest.mark.parametrize("world", [name for name in WORLDS if not name.startswith("rds")], indirect=True)
def test_what_another_site_shares_does_not_show(world: World) -> None:
    """RDS shows other accounts no tags: there its kinds cannot tell sites apart."""
    of(world).share(copy_order(to_share(world), account=OTHER))
    assert shared(world, "another-site") == []


def test_an_encrypted_snapshot_is_shared_only_for_a_copy_with_a_key(world: World) -> None:
    snapshot = to_share(world, key=world.new_key(HOME))
    with pytest.raises(Refused):
        of(world).share(copy_order(snapshot, account=OTHER))
    assert shared(world) == []
    key = world.new_key(AWAY, OTHER)
    world.kind.check_key(OTHER, AWAY, key)
    order = copy_order(snapshot, account=OTHER, key=key)
    of(world).share(order)
    world.kind.copy(order)
    world.finish()
    (found,) = world.kind.snapshots(OTHER, AWAY, SITE)
    assert (found.state, found.encrypted) == ("usable", True)


def test_a_lost_region_does_not_tell_what_is_shared(world: World) -> None:
    snapshot = to_share(world)
    world.lose(HOME)
    with pytest.raises(Unavailable):
        shared(world)
    with pytest.raises(Unavailable):
        of(world).unshare(ACCOUNT, HOME, snapshot.native_id, OTHER)


# --- expire


def ids(world: World, region: str = HOME, point: str = POINT) -> list[str]:
    return sorted(snapshot.native_id for snapshot in world.kind.find(ACCOUNT, region, point))


def everything_of(world: World, snapshot: NativeSnapshot, region: str = HOME) -> list[str]:
    """The snapshot's id, and those of its parts behind it."""
    found = world.kind.find(ACCOUNT, region, snapshot.tags["drorch:point"])
    parts = [part.native_id for one in found if one.native_id == snapshot.native_id for part in one.parts]
    return [snapshot.native_id, *parts]


def expire(world: World, snapshot: NativeSnapshot, region: str = HOME) -> None:
    for native_id in everything_of(world, snapshot, region):
        world.kind.expire(ACCOUNT, region, native_id)


def usable(world: World, point: str = POINT) -> NativeSnapshot:
    made = cut(world, point)
    world.finish()
    (seen,) = (snapshot for snapshot in listed(world) if snapshot.native_id == made.native_id)
    assert seen.state == "usable"
    return seen


def test_expire_removes_exactly_that_snapshot(world: World) -> None:
    world.source_with()
    gone, stays = usable(world), usable(world, OTHER_POINT)
    copied = world.kind.copy(copy_order(gone))
    world.finish()
    expire(world, gone)
    assert ids(world) == []
    assert [snapshot.native_id for snapshot in listed(world)] == [stays.native_id]
    assert [(snapshot.native_id, snapshot.state) for snapshot in listed(world, AWAY)] == [(copied.native_id, "usable")]


def test_of_the_members_of_a_point_only_the_one_named_goes(world: World) -> None:
    world.source_with()
    world.source_with()
    order = cut_order(selected(world))
    for call in range(len(world.kind.creating_calls(order.sources))):
        world.kind.cut(order, call)
    world.finish()
    first, *others = sorted(listed(world), key=lambda snapshot: snapshot.native_id)
    assert len(others) == len(order.sources) - 1
    expire(world, first)
    assert ids(world) == [other.native_id for other in others]


def test_a_copy_goes_and_its_source_stays(world: World) -> None:
    world.source_with()
    source = usable(world)
    copied = world.kind.copy(copy_order(source))
    world.finish()
    expire(world, copied, AWAY)
    assert ids(world, AWAY) == []
    assert ids(world) == [source.native_id]


def test_to_expire_again_is_harmless(world: World) -> None:
    world.source_with()
    gone, stays = usable(world), usable(world, OTHER_POINT)
    for native_id in everything_of(world, gone) * 2:
        world.kind.expire(ACCOUNT, HOME, native_id)
    assert [snapshot.native_id for snapshot in listed(world)] == [stays.native_id]


def test_to_expire_what_never_was_is_harmless(world: World) -> None:
    world.source_with()
    stays = usable(world)
    world.kind.expire(ACCOUNT, HOME, "snap-0123456789abcdef0" if world.kind.service == "ec2" else "drorch-nobody")
    assert ids(world) == [stays.native_id]


def test_a_snapshot_of_another_region_is_not_touched_by_its_id(world: World) -> None:
    world.source_with()
    stays = usable(world)
    world.kind.expire(ACCOUNT, AWAY, stays.native_id)
    assert ids(world) == [stays.native_id]


def test_a_failed_snapshot_can_be_removed(world: World) -> None:
    world.source_with()
    failed = cut(world)
    world.fail(failed, "the disk is on fire")
    expire(world, failed)
    assert listed(world) == []


def test_a_copy_under_way_is_ended_and_its_source_stays(world: World) -> None:
    world.source_with()
    source = usable(world)
    copied = world.kind.copy(copy_order(source))
    expire(world, copied, AWAY)
    world.finish()
    assert (ids(world), ids(world, AWAY)) == ([source.native_id], [])


def test_a_snapshot_that_is_still_being_made_goes_or_waits_for_its_end(world: World) -> None:
    world.source_with()
    made = cut(world)
    if world.kind.service == "rds":
        with pytest.raises(Unavailable):
            world.kind.expire(ACCOUNT, HOME, made.native_id)
        assert ids(world) == [made.native_id]
        world.finish()
    expire(world, made)
    assert ids(world) == []


def test_a_deletion_whose_reply_is_lost_is_unknown_and_harmless_to_repeat(world: World) -> None:
    world.source_with()
    gone, stays = usable(world), usable(world, OTHER_POINT)
    every = everything_of(world, gone)
    world.lose_the_reply_to_expire()
    with pytest.raises(OutcomeUnknown):
        world.kind.expire(ACCOUNT, HOME, gone.native_id)
    for native_id in every:
        world.kind.expire(ACCOUNT, HOME, native_id)
    assert [snapshot.native_id for snapshot in listed(world)] == [stays.native_id]


def test_nothing_goes_in_a_lost_region(world: World) -> None:
    world.source_with()
    stays = usable(world)
    world.lose(HOME)
    with pytest.raises((Unavailable, OutcomeUnknown)) as lost:
        world.kind.expire(ACCOUNT, HOME, stays.native_id)
    assert lost.value.vault == f"{ACCOUNT}.{HOME}"
    world.give_back(HOME)
    assert ids(world) == [stays.native_id]


@pytest.mark.parametrize("world", USED_WORLDS, indirect=True)
def test_a_snapshot_that_an_image_uses_is_refused_and_stays_until_the_image_is_gone(world: UsedWorld) -> None:
    world.source_with()
    used = usable(world)
    image = world.use(used)
    with pytest.raises(Refused, match=image) as refused:
        world.kind.expire(ACCOUNT, HOME, used.native_id)
    assert (refused.value.vault, refused.value.resource) == (f"{ACCOUNT}.{HOME}", used.native_id)
    assert [(snapshot.native_id, snapshot.state) for snapshot in listed(world)] == [(used.native_id, "usable")]
    world.let_go(image)
    world.kind.expire(ACCOUNT, HOME, used.native_id)
    assert ids(world) == []


# --- clocks


def test_now_is_the_providers_present_in_utc(world: World) -> None:
    for region in (HOME, AWAY):
        now = world.kind.now(ACCOUNT, region)
        assert now.utcoffset() == timedelta()
        assert abs(now - world.present()) < timedelta(minutes=1)


def test_a_lost_region_tells_no_time(world: World) -> None:
    world.lose(HOME)
    with pytest.raises(Unavailable) as lost:
        world.kind.now(ACCOUNT, HOME)
    assert lost.value.vault == f"{ACCOUNT}.{HOME}"
    assert world.kind.now(ACCOUNT, AWAY)


# --- keys


def test_a_key_that_is_there_passes(world: World) -> None:
    assert world.kind.check_key(ACCOUNT, AWAY, world.new_key(AWAY)) is None


def test_a_key_of_another_region_is_refused_with_a_hint(world: World) -> None:
    key = world.new_key(HOME)
    with pytest.raises(Refused, match=key) as refused:
        world.kind.check_key(ACCOUNT, AWAY, key)
    assert AWAY in refused.value.hint
    assert refused.value.vault == f"{ACCOUNT}.{AWAY}"


def test_the_listing_of_a_site_is_shared_by_all_points(world: World) -> None:
    world.source_with()
    cut(world, POINT)
    cut(world, OTHER_POINT)
    points = {snapshot.tags["drorch:point"] for snapshot in world.kind.snapshots(ACCOUNT, HOME, SITE)}
    assert points == {POINT, OTHER_POINT}
