"""The fold of images: what they are made of, what is left of them, and what a signed record says of both."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from folding import (
    AWAY,
    CUT_AT,
    EU,
    HOME,
    NOW,
    SLOT,
    folded,
    natives,
    record,
    seen,
    snapshot,
    the_copy,
    the_point,
    view,
)

from drorch.domain.catalogue import Catalogue
from drorch.domain.model import CopyState
from drorch.domain.native import IMAGE, PART, NativeSnapshot, Part
from drorch.domain.record import Record, RecordType

PARTS = (Part("snap-1", "vol-1", "/dev/sda1", 5), Part("snap-2", "vol-2", "/dev/sdf", 3))
BOTH = ("ami-1", "snap-1", "snap-2")


def image(native_id: str = "ami-1", vault: str = HOME, **changes: object) -> NativeSnapshot:
    return snapshot(native_id, vault, **{"source_id": "i-1", "role": IMAGE, "parts": PARTS, **changes})


def left(native_id: str, vault: str = HOME, **changes: object) -> NativeSnapshot:
    """A snapshot whose image is gone."""
    return snapshot(native_id, vault, **{"role": PART, "source_id": f"vol-{native_id[-1]}", **changes})


def image_record(*parts: str, native_id: str = "ami-1", vault: str = HOME, at: timedelta = timedelta()) -> Record:
    members = [{"native_id": native_id, "role": "image", "source_id": "i-1", "bytes": 8}]
    members += [{"native_id": p, "role": "snapshot", "image": native_id, "bytes": 4} for p in parts]
    told = {"vault": vault, "kind": "ami", "slot": SLOT, "members": members, "usable_at": "2026-11-20T10:00:00Z"}
    return record(RecordType.NATIVE, at=NOW + at, **told)


def seen_with(*snapshots: NativeSnapshot, records: tuple[Record, ...] = ()) -> Catalogue:
    return folded([view(EU, *(seen(r) for r in records))], [natives(*snapshots, kind="ami")])


def expired(vault: str = HOME) -> Record:
    return record(RecordType.MARK, at=NOW, mark="expired", vault=vault)


def test_an_image_is_one_member_and_its_snapshots_are_members_behind_it() -> None:
    copy = the_copy(seen_with(image()), HOME)
    assert [(m.native_id, m.role, m.source_id, m.image) for m in copy.members] == [
        ("ami-1", "image", "i-1", ""),
        ("snap-1", "snapshot", "vol-1", "ami-1"),
        ("snap-2", "snapshot", "vol-2", "ami-1"),
    ]
    assert (copy.state, copy.bytes, copy.members[2].device) == (CopyState.USABLE, 8, "/dev/sdf")


def test_images_of_several_instances_are_all_needed() -> None:
    first = image(tags={"drorch:set": "1/2:1"})
    second = image("ami-2", source_id="i-2", parts=(), tags={"drorch:set": "2/2:1"})
    partial = the_copy(seen_with(first), HOME)
    assert (partial.state, partial.partial) == (CopyState.PENDING, True)
    assert the_copy(seen_with(first, second), HOME).state is CopyState.USABLE


def test_a_pending_image_says_itself_what_it_waits_for() -> None:
    copy = the_copy(seen_with(image(state="pending", why="snap-2 is not seen")), HOME)
    assert (copy.state, copy.why) == (CopyState.PENDING, "snap-2 is not seen")


def test_a_record_counts_when_it_lists_the_image_and_all_its_snapshots() -> None:
    assert the_copy(seen_with(image(), records=(image_record("snap-1", "snap-2"),)), HOME).recorded_in == {EU}
    copy = the_copy(seen_with(image(), records=(image_record("snap-1"),)), HOME)
    assert copy.recorded_in == frozenset()
    assert copy.listed == {"ami-1", "snap-1"}


def test_what_is_left_of_a_recorded_image_is_of_its_copy_and_the_copy_has_failed() -> None:
    records = (image_record("snap-1", "snap-2"),)
    copy = the_copy(seen_with(left("snap-1"), left("snap-2"), records=records), HOME)
    assert copy.state is CopyState.FAILED
    assert "without their image" in copy.why
    assert [(m.native_id, m.image) for m in copy.members] == [("snap-1", "ami-1"), ("snap-2", "ami-1")]
    assert not copy.gone


def test_a_deletion_that_was_cut_short_is_known_by_its_mark_and_lists_what_is_left() -> None:
    records = (image_record("snap-1", "snap-2"), expired())
    copy = the_copy(seen_with(left("snap-2"), records=records), HOME)
    assert copy.expired_at is not None
    assert [m.native_id for m in copy.members] == ["snap-2"]
    assert "snap-2" in copy.listed


def test_of_two_images_the_one_that_is_left_keeps_its_snapshots_beside_those_of_the_other() -> None:
    second = image("ami-2", source_id="i-2", parts=(Part("snap-3"),), tags={"drorch:set": "2/2:1"})
    members = [{"native_id": n, "bytes": 1} for n in (*BOTH, "ami-2", "snap-3")]
    both = record(RecordType.NATIVE, vault=HOME, kind="ami", slot=SLOT, members=members)
    copy = the_copy(seen_with(second, left("snap-1"), records=(both, expired())), HOME)
    assert copy.state is not CopyState.USABLE
    assert {m.native_id for m in copy.members} == {"ami-2", "snap-3", "snap-1"}


def test_a_snapshot_without_its_image_that_no_record_lists_is_an_oddity() -> None:
    found = seen_with(left("snap-9"), left("snap-1"), records=(image_record("snap-1"),))
    assert [m.native_id for m in the_copy(found, HOME).members] == ["snap-1"]
    assert [o.what for o in found.oddities if "snap-9" in o.what]


def test_what_is_left_of_an_earlier_image_is_no_part_of_the_one_that_was_made_again() -> None:
    again = image("ami-2", parts=(Part("snap-3"),))
    records = (image_record("snap-1"), image_record("snap-3", native_id="ami-2", at=timedelta(hours=1)))
    found = seen_with(again, left("snap-1"), records=records)
    copy = the_copy(found, HOME)
    assert (copy.state, [m.native_id for m in copy.members]) == (CopyState.USABLE, ["ami-2", "snap-3"])
    assert copy.recorded_in == {EU}
    assert [o.what for o in found.oddities] == ["snap-1 is left of an image that is gone"]


def test_snapshots_whose_image_is_not_seen_yet_wait_for_it() -> None:
    copy = the_copy(seen_with(left("snap-1"), left("snap-2")), HOME)
    assert (copy.state, copy.partial) == (CopyState.PENDING, True)
    assert {m.native_id for m in copy.members} == {"snap-1", "snap-2"}


def test_a_second_image_that_bears_the_tags_fails_the_copy_unless_a_record_tells_them_apart() -> None:
    stranger = image("ami-2", source_id="i-2", parts=(Part("snap-3"),))
    assert the_copy(seen_with(image(), stranger), HOME).state is CopyState.FAILED
    found = seen_with(image(), stranger, records=(image_record("snap-1", "snap-2"),))
    assert (the_copy(found, HOME).state, len(the_copy(found, HOME).members)) == (CopyState.USABLE, 3)
    assert ["ami-2" in o.what for o in found.oddities] == [True]


def test_cut_at_is_the_images_own_start_and_a_copy_inherits_it() -> None:
    copied = image("ami-2", AWAY, source_id="", started=NOW, tags={"drorch:source": "ami-1"})
    found = folded([], [natives(image(), kind="ami"), natives(copied, vault=AWAY, kind="ami")])
    assert the_point(found).cut_at == CUT_AT


@pytest.mark.parametrize("state", ["usable", "pending", "failed"])
def test_a_recorded_image_that_is_gone_whole_is_gone(state: str) -> None:
    copy = the_copy(seen_with(records=(image_record("snap-1", "snap-2"),)), HOME)
    assert copy.gone
    assert [(m.role, m.image) for m in copy.members] == [("image", ""), ("snapshot", "ami-1"), ("snapshot", "ami-1")]
    assert copy.bytes == 8
    back = seen_with(replace(image(), state=state), records=(image_record("snap-1", "snap-2"),))
    assert not the_copy(back, HOME).gone
