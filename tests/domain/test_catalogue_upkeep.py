"""The fold: heads, deletions in whole and in part, what was left over, what is gone everywhere, tampering, locks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from folding import (
    CUT_AT,
    EU,
    HOME,
    NAS,
    NOW,
    POINT,
    dump,
    folded,
    manifest,
    native_record,
    natives,
    objects_of,
    record,
    seen,
    snapshot,
    the_copy,
    the_point,
    view,
)

from drorch.domain.catalogue import fold
from drorch.domain.catalogue_seen import SeenRecord, Trust, VaultView
from drorch.domain.catalogue_upkeep import Bygone, Leftover
from drorch.domain.model import CopyState, LockMode, ObjectLock, Oddity
from drorch.domain.record import RecordType, compose

FOLDER = "20261120T090030Z-goodid"
DATA = f"drorch/v1/data/shop/data/{FOLDER}/"


def mark(name: str, minutes: float = 0, *, vault: str = EU, lies: str = EU, trust: Trust = Trust.SIGNED) -> SeenRecord:
    made = record(RecordType.MARK, at=NOW + timedelta(minutes=minutes), mark=name, vault=vault)
    return seen(made, lies, trust)


EXPIRED = (mark("expiring", -9), mark("expired", -3))

# --- deletions ------------------------------------------------------------------------------------------------------


def test_a_whole_copy_whose_deletion_was_begun_is_usable_still() -> None:
    made = manifest()
    found = folded([view(EU, seen(made), *EXPIRED, objects=objects_of(made))])
    copy = the_copy(found, EU)
    assert (copy.state, copy.usable) == (CopyState.EXPIRING, True)
    assert copy.expired_at == NOW - timedelta(minutes=3)
    assert [(entry.vault, entry.gone) for entry in found.let_go] == [(EU, True)]


def test_a_copy_of_which_data_are_deleted_is_failed_and_not_usable() -> None:
    made = manifest()
    objects = dict(list(objects_of(made).items())[:1])
    copy = the_copy(folded([view(EU, seen(made), *EXPIRED, objects=objects)]), EU)
    assert (copy.state, copy.usable, copy.expired_at) == (CopyState.FAILED, False, NOW - timedelta(minutes=3))


def test_when_its_manifest_is_deleted_its_data_are_left_over_by_a_mark() -> None:
    objects = objects_of(manifest())
    found = folded([view(EU, *EXPIRED, objects=objects), dump(NAS)])
    assert the_point(found).copy_in(EU) is None
    assert found.leftovers == (Leftover(EU, "data", POINT, CUT_AT, tuple(sorted(objects)), True),)


@pytest.mark.parametrize(
    "marks",
    [
        (),
        (mark("expiring", -9),),
        (mark("expired", -3, vault=NAS),),
        (mark("expired", -3), mark("kept", -2)),
        (mark("expired", -3, trust=Trust.UNSIGNED),),
    ],
)
def test_data_without_a_manifest_are_let_go_only_by_a_signed_mark_of_that_vault(marks: tuple[SeenRecord, ...]) -> None:
    (left,) = folded([view(EU, *marks, objects=objects_of(manifest()))]).leftovers
    assert not left.expired


def test_data_with_a_manifest_of_whatever_signature_are_not_left_over() -> None:
    for trust in Trust:
        assert not folded([dump(EU, trust)]).leftovers


def test_objects_that_are_nobodys_data_or_of_other_applications_are_not_left_over() -> None:
    objects = {
        "drorch/v1/data/bank/data/20261120T090030Z-x/data.zst.age": 1,
        "drorch/v1/data/shop/data/folder/data.zst.age": 1,
        "drorch/v1/data/shop/Thumbs.db": 1,
    }
    assert not folded([view(EU, objects=objects)]).leftovers


def test_a_native_copy_that_is_gone_without_a_mark_is_told_and_with_one_forgotten() -> None:
    of_home = seen(native_record(HOME))
    lost = folded([view(EU, of_home)], [natives()])
    copy = the_copy(lost, HOME)
    assert (copy.gone, copy.state) == (True, CopyState.FAILED)
    marks = (mark("expiring", -9, vault=HOME), mark("expired", -3, vault=HOME))
    assert not folded([view(EU, of_home, *marks)], [natives()]).points
    begun = folded([view(EU, of_home, marks[0])], [natives()])
    assert the_copy(begun, HOME).gone, "a mark that only began it does not say who deleted it"


def test_a_native_copy_whose_deletion_was_begun_and_that_is_there_still_is_kept_in_sight() -> None:
    marks = (mark("expiring", -9, vault=HOME), mark("expired", -3, vault=HOME))
    copy = the_copy(folded([view(EU, seen(native_record(HOME)), *marks)], [natives(snapshot())]), HOME)
    assert (copy.state, copy.gone, copy.expired_at) == (CopyState.EXPIRING, False, NOW - timedelta(minutes=3))


# --- what is gone everywhere ----------------------------------------------------------------------------------------


def test_the_records_of_a_point_that_was_let_go_everywhere_are_told_per_vault_since_the_last_of_it_went() -> None:
    here = (*EXPIRED, mark("expired", -1, vault=NAS))
    there = (mark("expired", -1, vault=NAS, lies=NAS),)
    found = folded([view(EU, *here), view(NAS, *there)])
    since = NOW - timedelta(minutes=1)
    assert found.bygone == (
        Bygone(EU, "data", POINT, since, tuple(sorted(m.path for m in here))),
        Bygone(NAS, "data", POINT, since, (there[0].path,)),
    )


def test_while_any_copy_is_left_nothing_of_its_records_is_bygone() -> None:
    assert not folded([view(EU, *EXPIRED), dump(NAS)]).bygone
    assert not folded([view(EU, mark("expiring", -9))]).bygone
    assert not folded([view(EU, *EXPIRED, mark("kept", -1))]).bygone


def test_a_record_that_does_not_count_keeps_all_the_records_of_its_point() -> None:
    for trust in (Trust.UNSIGNED, Trust.UNSUPPORTED):
        assert not folded([view(EU, *EXPIRED, mark("suspect", trust=trust))]).bygone


def test_a_native_copy_that_was_never_let_go_keeps_the_records_of_its_point() -> None:
    """In a vault that is not listed any more it may still lie."""
    both = [seen(native_record(HOME)), seen(native_record("prod.eu-west-1", at=NOW - timedelta(hours=1)))]
    marks = [mark("expired", -3, vault=HOME), mark("expired", -2, vault="prod.eu-west-1")]
    listed = [natives(), natives(vault="prod.eu-west-1")]
    assert folded([view(EU, *both, *marks)], listed).bygone
    assert not folded([view(EU, *both, marks[0])], listed).bygone


# --- heads ----------------------------------------------------------------------------------------------------------


def head(
    seq: int = 1, minutes: float = 0, *, lies: str = EU, trust: Trust = Trust.SIGNED, **content: Any
) -> SeenRecord:
    at = NOW + timedelta(minutes=minutes)
    body = {"host": "here", "live": {EU: {POINT: "d"}}, **content}
    made = compose(RecordType.HEAD, site="acme", at=at, application=body.pop("application", "shop"), seq=seq, **body)
    return seen(made, lies, trust, written=at)


def test_the_head_with_the_highest_number_counts_then_the_latest() -> None:
    older, newer = head(1, 5), head(2, 0)
    assert folded([view(EU, older, newer)]).head == folded([view(EU, newer, older)]).head
    found = folded([view(EU, older, newer)]).head
    assert found is not None and (found.seq, found.at) == (2, NOW)
    later = folded([view(EU, head(2, 5), head(2, 0))]).head
    assert later is not None and later.at == NOW + timedelta(minutes=5)


def test_a_head_says_who_wrote_it_who_has_it_and_when_the_last_store_took_it() -> None:
    first, second = head(3), replace(head(3, lies=NAS), written=NOW + timedelta(minutes=2))
    found = folded([view(EU, first), view(NAS, second), view("s3", head(2, lies="s3"))]).head
    assert found is not None
    assert (found.host, found.have, found.path) == ("here", frozenset({EU, NAS}), first.path)
    assert found.written == NOW + timedelta(minutes=2)
    assert (found.live, found.lost) == ({EU: {POINT: "d"}}, {})


def test_unsigned_heads_and_those_of_other_applications_count_for_nothing() -> None:
    assert folded([view(EU, head(9, trust=Trust.UNSIGNED), head(9, application="bank"))]).head is None
    found = folded([view(EU, head(9, trust=Trust.UNSIGNED), head(1))]).head
    assert found is not None and found.seq == 1


def test_ids_that_a_head_tells_of_are_taken() -> None:
    told = head(live={EU: {"a": "d"}}, lost={NAS: {"b": "2026-11-01T00:00:00Z"}})
    assert {"a", "b"} <= folded([view(EU, told)]).taken


def test_the_digest_of_a_copy_is_that_of_its_manifest_or_of_the_latest_record_of_it() -> None:
    made = seen(manifest())
    assert folded([dump(EU), dump(NAS)]).digests == {(EU, POINT): made.digest, (NAS, POINT): made.digest}
    older, newer = seen(native_record(HOME, at=NOW - timedelta(hours=1))), seen(native_record(HOME))
    for order in ((older, newer), (newer, older)):
        assert folded([view(EU, *order)], [natives(snapshot())]).digests == {(HOME, POINT): newer.digest}


def test_only_usable_copies_have_a_digest_and_only_by_signed_records() -> None:
    made = manifest()
    assert not folded([view(EU, seen(made))]).digests, "its data are missing"
    assert not folded([dump(EU, Trust.UNSIGNED)]).digests
    assert not folded([], [natives(snapshot())]).digests, "it has no record yet"


# --- what views tell ------------------------------------------------------------------------------------------------


def with_views(**more: Any) -> VaultView:
    made = manifest()
    return view(EU, seen(made), objects=objects_of(made), **more)


def test_what_somebody_wrote_over_is_told_of_its_application() -> None:
    path = f"drorch/v1/records/shop/data/{FOLDER}/manifest.json"
    other = path.replace("/shop/", "/bank/")
    found = folded([with_views(tampered={path: "a delete marker", other: "x", "drorch/v1/vault.json": "y"})])
    assert found.oddities == (Oddity(EU, f"{path}: a delete marker", "data", POINT, "tampering"),)


def test_locks_as_last_read_back_are_those_of_the_copy() -> None:
    lock = ObjectLock(LockMode.COMPLIANCE, NOW + timedelta(days=35))
    copy = the_copy(folded([with_views(locks={POINT: lock, "other": lock}), dump(NAS)]), EU)
    assert (copy.lock_mode, copy.locked_until) == (lock.mode, lock.until)
    unlocked = the_copy(folded([with_views(locks={"other": lock})]), EU)
    assert (unlocked.lock_mode, unlocked.locked_until) == (None, None)


def test_uploads_and_heads_are_those_of_the_application_per_vault() -> None:
    uploads = {DATA + "data.zst.age": NOW, "drorch/v1/data/bank/data/x/y": NOW, "drorch/v1/vault.json": NOW}
    found = folded([with_views(uploads=uploads, heads=("h1", "h2")), dump(NAS)])
    assert found.uploads == {EU: {DATA + "data.zst.age": NOW}}
    assert found.heads == {EU: ("h1", "h2")}


def test_another_application_sees_nothing_of_it() -> None:
    views = [view(EU, *EXPIRED, head(), objects=objects_of(manifest()))]
    found = fold("bank", views, [], lambda *_: True, NOW)
    assert not (found.let_go or found.leftovers or found.bygone or found.head or found.taken)
