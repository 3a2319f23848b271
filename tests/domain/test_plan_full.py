"""Which copies the provider will make whole: the first of a source, after its anchor is gone, under another key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from passes import AWAY, HOME
from planning import FAILED, PENDING, data, only, planned, point, recorded, seen, slot

from drorch.domain.action import Copy
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import Member

KEY = "arn:aws:kms:us-west-2:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER = "arn:aws:kms:us-west-2:111111111111:key/ffffffff-12ab-34cd-56ef-1234567890ab"


def keyed(key: str | None) -> Any:
    home, away = data().targets
    return data(targets=(home, away.model_copy(update={"kms_key": key})))


def copied(before: PointCopy | None, key: str | None = None, kind: str = "ebs") -> Copy:
    """The copy of this hour's point, an hour after one of which `before` is in the other region."""
    earlier = [] if before is None else [point(slot(1), recorded(HOME), before)]
    of = keyed(key).model_copy(update={"kind": kind})
    found = only(planned(seen(point(slot(0), recorded(HOME)), *earlier), of), Copy)
    (action,) = [a for a in found if a.point.endswith(f"{slot(0)}/1")]
    assert isinstance(action, Copy)
    return action


def test_the_first_copy_of_a_source_is_full_and_tells_its_size() -> None:
    action = copied(None)
    assert (action.full, action.full_gib) == ("the first of vol-1 in us-west-2", 8)
    assert action.reason == f"{AWAY} lacks it; a full copy of up to 8 GiB: the first of vol-1 in us-west-2"
    assert {"full": action.full, "full_gib": 8}.items() <= dict(action.to_json()).items()


@pytest.mark.parametrize("before", [recorded(AWAY), recorded(AWAY, PENDING)])
def test_a_copy_after_another_one_is_not_full(before: PointCopy) -> None:
    action = copied(before)
    assert (action.full, action.full_gib, action.reason) == ("", 0, f"{AWAY} lacks it")


def test_a_copy_whose_anchor_is_gone_is_full() -> None:
    assert copied(recorded(AWAY, FAILED, gone=True)).full == "the last copy of vol-1 in us-west-2 is gone"


def test_a_copy_that_failed_is_no_anchor_and_takes_none_away() -> None:
    assert copied(recorded(AWAY, FAILED, why="key")).full == "the first of vol-1 in us-west-2"
    failed = point(slot(1), recorded(HOME), recorded(AWAY, FAILED, why="key"))
    older = point(slot(2), recorded(HOME), recorded(AWAY))
    found = only(planned(seen(point(slot(0), recorded(HOME)), failed, older)), Copy)
    assert {a.full for a in found} == {""}  # type: ignore[attr-defined]


def test_of_several_copies_of_one_source_only_the_first_to_be_made_is_full() -> None:
    found = only(planned(seen(*(point(slot(n), recorded(HOME)) for n in range(3)))), Copy)
    assert [a.full_gib for a in found] == [8, 0, 0]  # type: ignore[attr-defined]


def test_the_newest_copy_decides_not_an_older_one_that_is_still_there() -> None:
    gone = point(slot(1), recorded(HOME), recorded(AWAY, FAILED, gone=True))
    older = point(slot(2), recorded(HOME), recorded(AWAY))
    found = only(planned(seen(point(slot(0), recorded(HOME)), gone, older)), Copy)
    assert [a.full for a in found] == ["the last copy of vol-1 in us-west-2 is gone", ""]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("was", "key", "why"),
    [
        (KEY, OTHER, "the last copy of vol-1 in us-west-2 is of another key"),
        (KEY, OTHER.rpartition("/")[2], "the last copy of vol-1 in us-west-2 is of another key"),
        (KEY, KEY.rpartition("/")[2], ""),
        ("", KEY, "the last copy of vol-1 in us-west-2 is not encrypted, and this one will be"),
        (KEY, "alias/drorch", ""),
        (KEY, None, ""),
    ],
)
def test_another_key_makes_a_copy_full_as_far_as_it_is_known(was: str, key: str | None, why: str) -> None:
    assert copied(recorded(AWAY, kms_key=was), key).full == why


def test_only_the_members_that_have_no_earlier_copy_count() -> None:
    members = (Member("snap-a", "vol-1", bytes=8 << 30), Member("snap-b", "vol-2", bytes=1))
    two = replace(recorded(HOME), members=members)
    before = point(slot(1), recorded(HOME), recorded(AWAY))
    (action,) = only(planned(seen(point(slot(0), two), before)), Copy)
    assert isinstance(action, Copy)
    assert (action.full, action.full_gib) == ("the first of vol-2 in us-west-2", 1)


def test_a_copys_members_are_known_by_the_snapshots_that_they_were_made_from() -> None:
    """An EBS copy does not tell its volume: only the home copy of its point does."""
    of_snapshot = replace(recorded(AWAY), members=(Member("snap-copy", f"snap-{HOME}", bytes=8 << 30),))
    assert copied(of_snapshot).full == ""


def test_clusters_are_copied_whole_every_time() -> None:
    assert copied(recorded(AWAY), kind="rds-cluster").full == "clusters are copied whole"
