"""The RestoresSnapshots port, clause by clause, on all that claims it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from native_clouds import ACCOUNT, AWAY, HOME, Cloud, cloud
from native_restores import ID, OTHER_ID, RESTORING_WORLDS, RestoreWorld

from drorch.domain.errors import Busy, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.native_restore import CREATING, FAILED, READY, TAG_DRILL, TAG_RESTORE, Made, RestoreProgress
from drorch.ports import RestoresSnapshots


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with cloud() as opened:
        yield opened


@pytest.fixture(params=RESTORING_WORLDS)
def world(request: pytest.FixtureRequest) -> RestoreWorld:
    return RESTORING_WORLDS[request.param](lambda: request.getfixturevalue("aws"))


def finished(world: RestoreWorld, restore: str = ID, tag: str = TAG_DRILL) -> RestoreProgress:
    """Called until it is done."""
    for _ in range(12):
        progress = world.kind.advance(world.order(restore, tag))
        if progress.done:
            return progress
        world.settle()
    raise AssertionError(progress.waiting)


def bearing(world: RestoreWorld, restore: str = ID, tag: str = TAG_DRILL) -> set[str]:
    return {native_id for native_id, tags in world.things().items() if tags.get(tag) == restore}


def ids(made: tuple[Made, ...]) -> set[str]:
    return {thing.native_id for thing in made}


def discarded(world: RestoreWorld, restore: str = ID) -> None:
    """Called until nothing is left."""
    for _ in range(6):
        if not world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, restore):
            return
        world.settle()
    raise AssertionError("something is left")


def test_a_kind_says_by_its_methods_that_it_restores(world: RestoreWorld) -> None:
    assert isinstance(world.kind, RestoresSnapshots)


def assert_one_of_each(world: RestoreWorld, progress: RestoreProgress) -> None:
    """All that bears the id is told, and nothing is there twice."""
    assert ids(progress.made) == bearing(world)
    sources = [made.source_id for made in progress.made]
    assert len(sources) == len(set(sources)), "there are two of one source"


# --- looking


def test_the_check_changes_nothing(world: RestoreWorld) -> None:
    before = world.things()
    notes = world.kind.check_restore(world.order())
    assert all(isinstance(note, str) and note for note in notes)
    assert world.things() == before


def test_what_is_not_there_is_refused_with_the_way_out_before_anything_is_made(world: RestoreWorld) -> None:
    before = world.things()
    order = world.impossible()
    for asked in (world.kind.check_restore, world.kind.advance):
        with pytest.raises(Refused) as refused:
            asked(order)
        assert refused.value.hint
        assert refused.value.vault == f"{ACCOUNT}.{AWAY}"
    assert world.things() == before


def test_a_copy_that_is_gone_is_not_found_and_nothing_is_made(world: RestoreWorld) -> None:
    world.spoil_copy()
    before = world.things()
    for asked in (world.kind.check_restore, world.kind.advance):
        with pytest.raises(NotFound):
            asked(world.order())
    assert world.things() == before


def test_what_a_restore_made_is_in_nobodys_way(world: RestoreWorld) -> None:
    finished(world)
    world.kind.check_restore(world.order())
    world.kind.check_restore(world.order(OTHER_ID))


# --- making


def test_what_is_made_bears_every_tag_from_its_creating_call_on(world: RestoreWorld) -> None:
    before = world.things().keys()
    progress = world.kind.advance(world.order())
    assert not progress.done
    assert progress.waiting
    made = {native_id: tags for native_id, tags in world.things().items() if native_id not in before}
    assert made
    assert all(world.order().tags.items() <= dict(tags).items() for tags in made.values())


@pytest.mark.parametrize(("tag", "app"), [(TAG_RESTORE, "shop"), (TAG_DRILL, None)])
def test_user_tags_come_along_but_not_into_a_drill_and_none_of_the_cuts(
    world: RestoreWorld, tag: str, app: str | None
) -> None:
    finished(world, tag=tag)
    found = bearing(world, tag=tag)
    assert found
    for native_id in found:
        tags = world.things()[native_id]
        assert tags.get("app") == app, "a policy that selects by it would cut what a drill made"
        assert not {"drorch:point", "drorch:slot", "drorch:source", "drorch:set"} & tags.keys()


def test_it_is_creating_and_then_ready_and_done(world: RestoreWorld) -> None:
    begun = world.kind.advance(world.order())
    assert CREATING in {made.state for made in begun.made}
    progress = finished(world)
    assert {made.state for made in progress.made} == {READY}
    assert progress.waiting == ""
    assert progress.failed == ()
    assert ids(progress.made) == bearing(world)
    for made in progress.made:
        assert made.what and made.detail
        assert bool(made.address) == bool(made.import_id)


def test_doing_it_again_makes_nothing_twice_and_changes_nothing(world: RestoreWorld) -> None:
    first = finished(world)
    before = world.things()
    again = world.kind.advance(world.order())
    assert again == first
    assert world.things() == before


def test_nothing_that_was_there_is_changed(world: RestoreWorld) -> None:
    stray = world.stray({"app": "shop", TAG_RESTORE: ID})
    nameless = world.stray({})
    before = world.things()
    finished(world)
    after = world.things()
    assert {name: after[name] for name in (stray, nameless)} == {name: before[name] for name in (stray, nameless)}


def test_two_restores_of_one_copy_are_apart(world: RestoreWorld) -> None:
    first, second = finished(world), finished(world, OTHER_ID)
    assert not ids(first.made) & ids(second.made)
    assert ids(second.made) == bearing(world, OTHER_ID)


def test_what_ends_in_an_error_is_told_as_failed_and_not_made_again(world: RestoreWorld) -> None:
    begun = world.kind.advance(world.order())
    world.break_down(begun.made[0].native_id)
    before = bearing(world)
    progress = world.kind.advance(world.order())
    assert [made.native_id for made in progress.failed] == [begun.made[0].native_id]
    assert not progress.done
    assert bearing(world) <= before


# --- replies that are lost, listings that lag


def test_a_lost_reply_is_unknown_and_calling_again_makes_no_second(world: RestoreWorld) -> None:
    world.kind.check_restore(world.order())
    world.fault("after")
    with pytest.raises(OutcomeUnknown):
        world.kind.advance(world.order())
    assert_one_of_each(world, finished(world))


def test_a_listing_that_does_not_show_it_yet_makes_no_second(world: RestoreWorld) -> None:
    first = world.kind.advance(world.order())
    made = bearing(world)
    world.hide(1)
    again = world.kind.advance(world.order())
    assert bearing(world) == made
    assert ids(again.made) == ids(first.made)


def test_a_lost_reply_and_a_listing_that_lags_together_make_no_second(world: RestoreWorld) -> None:
    world.kind.made(ACCOUNT, AWAY, TAG_DRILL, ID)
    world.fault("after")
    with pytest.raises(OutcomeUnknown):
        world.kind.advance(world.order())
    world.hide(1)
    world.kind.advance(world.order())
    assert_one_of_each(world, finished(world))


@pytest.mark.parametrize(("mode", "kind"), [("throttle", Busy), ("before", OutcomeUnknown), ("denied", Refused)])
def test_a_creating_call_that_is_refused_made_nothing_and_is_made_later(
    world: RestoreWorld, mode: str, kind: type[Exception]
) -> None:
    world.fault(mode)
    with pytest.raises(kind):
        world.kind.advance(world.order())
    assert bearing(world) == set()
    assert finished(world).done


def test_a_lost_region_is_unavailable_and_never_empty(world: RestoreWorld) -> None:
    finished(world)
    world.lose(AWAY)
    with pytest.raises(Unavailable):
        world.kind.check_restore(world.order())
    with pytest.raises(Unavailable):
        world.kind.made(ACCOUNT, AWAY, TAG_DRILL)
    with pytest.raises((Unavailable, OutcomeUnknown)):
        world.kind.advance(world.order())
    with pytest.raises((Unavailable, OutcomeUnknown)):
        world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID)
    world.give_back(AWAY)
    assert bearing(world)


# --- what was made, and letting it go


def told(world: RestoreWorld, tag: str, restore: str = "") -> Mapping[str, str]:
    return {made.native_id: of for of, made in world.kind.made(ACCOUNT, AWAY, tag, restore)}


def test_what_was_made_is_told_by_its_tag_with_the_id_of_its_restore(world: RestoreWorld) -> None:
    first, second = ids(finished(world).made), ids(finished(world, OTHER_ID).made)
    kept = ids(finished(world, ID, TAG_RESTORE).made)
    assert told(world, TAG_DRILL) == {**dict.fromkeys(first, ID), **dict.fromkeys(second, OTHER_ID)}
    assert set(told(world, TAG_DRILL, ID)) == first
    assert set(told(world, TAG_RESTORE)) == kept
    assert told(world, TAG_DRILL, "nobody") == {}
    assert world.kind.made(ACCOUNT, HOME, TAG_DRILL) == ()


def test_what_a_drill_made_is_let_go_and_nothing_else(world: RestoreWorld) -> None:
    finished(world)
    others = ids(finished(world, OTHER_ID).made) | ids(finished(world, ID, TAG_RESTORE).made)
    others |= {world.stray({}), world.stray({"Name": f"{TAG_DRILL}={ID}"}), world.stray({"drill": ID})}
    before = world.things()
    discarded(world)
    after = world.things()
    assert bearing(world) == set()
    assert others <= after.keys()
    assert {name: after[name] for name in others} == {name: before[name] for name in others}


def test_ids_that_look_like_patterns_let_nothing_go(world: RestoreWorld) -> None:
    made = ids(finished(world).made)
    for pattern in ("*", "d*", "d7k?", "d7k"):
        world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, pattern)
        assert told(world, TAG_DRILL, pattern) == {}
    assert made <= world.things().keys()


@pytest.mark.parametrize(("tag", "restore"), [(TAG_RESTORE, ID), (TAG_DRILL, ""), ("app", "shop"), ("Name", "")])
def test_what_is_no_drills_is_not_let_go(world: RestoreWorld, tag: str, restore: str) -> None:
    finished(world, ID, TAG_RESTORE)
    before = world.things()
    with pytest.raises(Refused):
        world.kind.discard(ACCOUNT, AWAY, tag, restore)
    assert world.things() == before


def test_letting_go_is_harmless_twice_and_where_there_is_nothing(world: RestoreWorld) -> None:
    assert world.kind.discard(ACCOUNT, AWAY, TAG_DRILL, ID) == ()
    finished(world)
    discarded(world)
    discarded(world)
    assert told(world, TAG_DRILL, ID) == {}


def test_what_failed_is_let_go_too(world: RestoreWorld) -> None:
    begun = world.kind.advance(world.order())
    world.break_down(begun.made[0].native_id)
    assert FAILED in {made.state for made in world.kind.advance(world.order()).made}
    world.settle()
    discarded(world)
    assert bearing(world) == set()
