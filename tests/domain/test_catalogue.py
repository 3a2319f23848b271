"""The fold: what records and listings say together, and what counts for nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from folding import (
    AWAY,
    CUT_AT,
    EU,
    HOME,
    NAS,
    NOW,
    POINT,
    SLOT,
    copied,
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
    valid_id,
    view,
)
from hypothesis import given
from hypothesis import strategies as st

from drorch.domain.catalogue import Catalogue, SeenRecord, Trust, fold
from drorch.domain.model import CopyState
from drorch.domain.native import NativeSnapshot
from drorch.domain.record import Record, RecordType

# --- dumps ---------------------------------------------------------------------------------------------------------


def test_a_manifest_and_its_objects_make_a_usable_copy() -> None:
    found = folded([dump(EU), dump(NAS)])
    point = the_point(found)
    assert (point.id, point.slot, point.kind, point.cut_at) == (POINT, SLOT, "postgres", CUT_AT)
    assert {copy.vault: (copy.state, copy.bytes) for copy in point.copies} == {
        EU: (CopyState.USABLE, 2_000_000),
        NAS: (CopyState.USABLE, 2_000_000),
    }
    assert not found.oddities


@pytest.mark.parametrize("name", ["data.zst.age", "data.zst.age.leaves"])
@pytest.mark.parametrize("size", [None, 0, 2_000_001])
def test_an_object_that_is_missing_or_of_another_size_makes_it_failed(name: str, size: int | None) -> None:
    made = manifest()
    objects = objects_of(made)
    path = next(path for path in objects if path.endswith(name))
    objects.pop(path)
    if size is not None:
        objects[path] = size
    copy = the_copy(folded([view(EU, seen(made), objects=objects)]), EU)
    assert copy.state is CopyState.FAILED and name in copy.why


@pytest.mark.parametrize(("trust", "state"), [(Trust.UNSIGNED, "unsigned"), (Trust.UNSUPPORTED, "unsupported")])
def test_what_is_not_signed_is_shown_and_counts_for_nothing(trust: Trust, state: str) -> None:
    point = the_point(folded([dump(EU, trust)]))
    assert [copy.state for copy in point.copies] == [state]
    assert not point.usable and not point.facts
    both = the_point(folded([dump(EU, trust), dump(NAS)]))
    assert {copy.vault: copy.state for copy in both.copies} == {EU: state, NAS: "usable"}


def test_of_two_manifests_with_one_id_the_earliest_is_the_point() -> None:
    later = manifest(CUT_AT + timedelta(hours=1))
    both = view(EU, seen(later), seen(manifest()), objects=objects_of(manifest()) | objects_of(later))
    only_later = view(NAS, seen(later, NAS), objects=objects_of(later))
    found = folded([only_later, both])
    point = the_point(found)
    assert point.cut_at == CUT_AT
    assert [copy.vault for copy in point.copies] == [EU]
    assert sorted(odd.vault for odd in found.oddities) == [EU, NAS]


def test_a_forged_earlier_manifest_takes_nothing_over() -> None:
    forged = seen(manifest(CUT_AT - timedelta(days=9)), EU, Trust.UNSIGNED)
    true = seen(manifest())
    point = the_point(folded([view(EU, forged, true, objects=objects_of(manifest()))]))
    assert point.cut_at == CUT_AT and point.usable


def test_ids_of_everything_that_was_seen_are_taken() -> None:
    leftover = view(EU, objects={"drorch/v1/data/shop/data/20261120T090000Z-leftover/data.zst.age": 1})
    found = folded([leftover, dump(NAS)], [natives(snapshot(tags={"drorch:point": "forged"}))])
    assert found.taken >= {"leftover", POINT, "forged"}


def test_other_applications_are_not_looked_at() -> None:
    assert fold("bank", [dump()], [natives(snapshot())], valid_id, NOW) == Catalogue("bank")


# --- marks and proofs ----------------------------------------------------------------------------------------------


def mark(name: str, minutes: float = 0, *, trust: Trust = Trust.SIGNED, vault: str = EU, until: str = "") -> SeenRecord:
    made = record(RecordType.MARK, at=NOW + timedelta(minutes=minutes), mark=name, until=until or None)
    return seen(made, vault, trust)


def pinned(*marks: SeenRecord) -> bool:
    made = manifest()
    return the_point(folded([view(EU, seen(made), *marks, objects=objects_of(made))])).pinned


def test_the_latest_of_pin_and_unpin_wins_and_on_a_tie_the_pin() -> None:
    assert not pinned()
    assert pinned(mark("pin", -2))
    assert not pinned(mark("pin", -2), mark("unpin", -1))
    assert pinned(mark("pin", -2), mark("unpin", -1), mark("pin", 0))
    assert pinned(mark("pin"), mark("unpin"))


def test_an_unsigned_pin_keeps_and_an_unsigned_unpin_releases_nothing() -> None:
    assert pinned(mark("pin", trust=Trust.UNSIGNED))
    assert pinned(mark("pin", -2), mark("unpin", -1, trust=Trust.UNSIGNED))
    assert not pinned(mark("pin", -2, trust=Trust.UNSIGNED), mark("unpin", -1))
    assert not pinned(mark("pin", trust=Trust.UNSUPPORTED))


def test_a_pin_ends_when_it_says() -> None:
    assert pinned(mark("pin", until="2026-11-20T12:00:01Z"))
    assert not pinned(mark("pin", until="2026-11-20T12:00:00Z"))


def test_expiring_and_kept_are_of_one_vault_and_a_copy_that_expires_is_still_usable() -> None:
    expiring = seen(record(RecordType.MARK, mark="expiring", vault=EU))
    kept = seen(record(RecordType.MARK, mark="kept", vault=EU), trust=Trust.UNSIGNED)
    forged = replace(expiring, trust=Trust.UNSIGNED)
    made = manifest()
    for records, state in (((expiring,), "expiring"), ((expiring, kept), "usable"), ((forged,), "usable")):
        found = folded([view(EU, seen(made), *records, objects=objects_of(made)), dump(NAS)])
        assert the_copy(found, EU).state == state
        assert the_copy(found, NAS).state == "usable"
        assert the_copy(found, EU).usable


def test_proofs_verify_the_copy_they_were_made_from_and_only_signed_passed_ones() -> None:
    passed = seen(record(RecordType.PROOF, vault=EU, outcome="passed", seconds={"total": 60}, bytes=5))
    failed = seen(record(RecordType.PROOF, at=NOW - timedelta(days=1), vault=NAS, outcome="failed"))
    forged = seen(
        record(RecordType.PROOF, at=NOW + timedelta(days=1), vault=NAS, outcome="passed"), trust=Trust.UNSIGNED
    )
    made = manifest()
    found = folded([view(EU, seen(made), passed, failed, forged, objects=objects_of(made)), dump(NAS)])
    assert {copy.vault: copy.verified_at for copy in the_point(found).copies} == {EU: NOW, NAS: None}
    assert [(d.vault, d.passed, d.seconds, d.bytes) for d in found.drills] == [
        (EU, True, {"total": 60}, 5),
        (NAS, False, {}, 0),
    ]
    assert [odd.what for odd in found.oddities] == [f"the record {forged.path} counts for nothing: no"]


def test_the_newest_proof_of_a_copy_decides_whether_it_is_verified() -> None:
    """A copy that was proved last week and failed today is not known to restore."""
    earlier = seen(record(RecordType.PROOF, at=NOW - timedelta(days=7), vault=EU, outcome="passed"))
    failed = seen(record(RecordType.PROOF, at=NOW, vault=EU, outcome="failed"))
    again = seen(record(RecordType.PROOF, at=NOW + timedelta(hours=1), vault=EU, outcome="passed"))
    made = manifest()
    for proofs, verified in (
        ([earlier], NOW - timedelta(days=7)),
        ([earlier, failed], None),
        ([earlier, failed, again], NOW + timedelta(hours=1)),
    ):
        found = folded([view(EU, seen(made), *proofs, objects=objects_of(made))])
        assert the_copy(found, EU).verified_at == verified


def test_an_object_where_no_data_lie_stops_nothing() -> None:
    """A desktop's hidden file in a folder vault is nobody's data."""
    made = manifest()
    stray = {"drorch/v1/data/shop/Thumbs.db": 1, "drorch/v1/data/shop/orders/x": 1, "drorch/v1/data/desktop.ini": 1}
    found = folded([view(EU, seen(made), objects=objects_of(made) | stray)])
    assert the_copy(found, EU).usable


def test_a_proof_that_lies_in_three_vaults_is_one_drill() -> None:
    proof = record(RecordType.PROOF, vault=EU, outcome="passed")
    found = folded([view(name, seen(proof, name)) for name in (EU, NAS, "s3")])
    assert len(found.drills) == 1
    assert [(s.path, s.have) for s in found.scattered] == [(proof.path, frozenset({EU, NAS, "s3"}))]


def test_manifests_and_unsigned_records_are_not_scattered() -> None:
    assert not folded([dump(), view(NAS, mark("pin", trust=Trust.UNSIGNED, vault=NAS))]).scattered


# --- native --------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_a_copy_in_its_provider_state() -> None:
    for state in ("pending", "usable", "failed"):
        copy = the_copy(folded([], [natives(snapshot(state=state))]), HOME)
        assert copy.state == state and not copy.partial
        assert [m.native_id for m in copy.members] == ["snap-1"]


def test_tags_without_a_valid_id_are_an_oddity_and_no_point() -> None:
    found = folded([], [natives(snapshot(tags={"drorch:point": "badid"}), snapshot("s2", tags={"drorch:slot": "x"}))])
    assert not found.points
    assert [odd.point for odd in found.oddities] == ["badid", POINT]


def test_all_members_of_all_creating_calls_have_to_be_there() -> None:
    first = snapshot("s1", tags={"drorch:set": "1/2:1"})
    second = [snapshot(f"s{n}", source_id=f"vol-{n}", tags={"drorch:set": "2/2:2"}) for n in (2, 3)]
    for present, partial in (((first,), True), (second, True), ((first, second[0]), True), ((first, *second), False)):
        copy = the_copy(folded([], [natives(*present)]), HOME)
        assert (copy.state is CopyState.PENDING, copy.partial) == (partial, partial)


def test_one_failed_member_fails_the_copy() -> None:
    members = [snapshot(f"s{n}", source_id=f"vol-{n}", tags={"drorch:set": "1/1:2"}) for n in (1, 2)]
    copy = the_copy(folded([], [natives(members[0], replace(members[1], state="failed", why="disk"))]), HOME)
    assert copy.state is CopyState.FAILED and copy.why == "s2: disk" and copy.failed_at == CUT_AT


def test_a_second_snapshot_of_one_source_is_reported_the_first_stays() -> None:
    late = snapshot("snap-0", started=CUT_AT + timedelta(minutes=1))
    found = folded([], [natives(late, snapshot())])
    assert [m.native_id for m in the_copy(found, HOME).members] == ["snap-1"]
    assert "snap-0 is a second snapshot of vol-1" in found.oddities[0].what
    again = folded([], [natives(snapshot(state="failed"), late)])
    assert the_copy(again, HOME).state is CopyState.USABLE and not again.oddities


def members_of(*sets: str, vault: str = HOME) -> list[NativeSnapshot]:
    """Snapshots snap-1, snap-2 ... of vol-1, vol-2 ... with these sets; elsewhere copy-1 ... of snap-1 ..."""
    if vault == HOME:
        return [snapshot(f"snap-{n}", source_id=f"vol-{n}", tags={"drorch:set": s}) for n, s in enumerate(sets, 1)]
    return [copied(f"copy-{n}", f"snap-{n}", tags={"drorch:set": s}) for n, s in enumerate(sets, 1)]


@pytest.mark.parametrize("vault", [HOME, AWAY])
@pytest.mark.parametrize(
    ("sets", "why"),
    [
        (["1/1:2"] * 3, "creating call 1 has 3 members, 2 were made: 3 snapshots claim to be of it"),
        (["1/2:2", "1/2:2", "1/2:3", "2/2:1"], "creating call 1 has 3 members, 2 were made: 4 snapshots"),
        (["1/2:1", "2/2:1", "2/2:1"], "creating call 2 has 2 members, 1 were made: 3 snapshots"),
        (["1/2:1", "2/2:1", "3/3:1"], "its members tell of 2 and 3 creating calls: 3 snapshots"),
        (["1/1:2", "1/1:2", "no set"], "creating call 1 has 3 members, 1 were made"),
    ],
)
def test_more_members_than_were_made_fail_a_copy_of_which_nothing_is_recorded(
    vault: str, sets: list[str], why: str
) -> None:
    """A stranger's snapshot that bears a point's valid tags does not get into its signed record."""
    members = members_of(*sets, vault=vault)
    found = folded([], [natives(*members, vault=vault)])
    copy = the_copy(found, vault)
    assert copy.state is CopyState.FAILED and copy.why.startswith(why)
    assert not copy.partial and not copy.recorded_in and copy.failed_at == members[0].started
    (odd,) = found.oddities
    assert (odd.vault, odd.point) == (vault, POINT) and all(member.native_id in odd.what for member in members)


def test_the_latest_signed_record_of_any_vault_tells_a_point_s_own_members_from_a_stranger() -> None:
    home, away = members_of(*["1/1:2"] * 2), members_of(*["1/1:2"] * 3, vault=AWAY)
    recorded = view(EU, seen(native_record(HOME, "snap-1", "snap-2")))
    found = folded([recorded], [natives(*home), natives(*away, vault=AWAY)])
    assert [m.native_id for m in the_copy(found, AWAY).members] == ["copy-1", "copy-2"]
    assert the_copy(found, AWAY).state is CopyState.USABLE and the_copy(found, HOME).usable
    assert [(odd.vault, odd.what.split()[0]) for odd in found.oddities] == [(AWAY, "copy-3")]
    forged = view(EU, seen(native_record(HOME, "snap-1", "snap-2"), trust=Trust.UNSIGNED))
    unknown = folded([forged], [natives(*home), natives(*away, vault=AWAY)])
    assert the_copy(unknown, AWAY).state is CopyState.FAILED and the_copy(unknown, HOME).usable


def test_a_call_that_was_made_twice_after_a_lost_reply_is_duplicates_and_stays_usable() -> None:
    made = members_of("1/2:2", "1/2:2", "2/2:1")
    again = [replace(s, native_id=f"{s.native_id}-again", started=NOW) for s in made[:2]]
    found = folded([], [natives(*made, *again)])
    assert the_copy(found, HOME).state is CopyState.USABLE
    assert [m.native_id for m in the_copy(found, HOME).members] == ["snap-1", "snap-2", "snap-3"]
    assert all("is a second snapshot of" in odd.what for odd in found.oddities) and len(found.oddities) == 2


def test_what_a_signed_record_lists_stays_what_the_point_is() -> None:
    early = snapshot("snap-0", started=CUT_AT - timedelta(minutes=1))
    stranger = snapshot("snap-9", source_id="vol-9")
    found = folded([view(EU, seen(native_record(HOME, "snap-1")))], [natives(early, stranger, snapshot())])
    copy = the_copy(found, HOME)
    assert [m.native_id for m in copy.members] == ["snap-1"] and copy.recorded_in == {EU}
    assert [odd.what.split()[0] for odd in found.oddities] == ["snap-0", "snap-9"]


def test_of_several_records_the_latest_whose_members_all_exist_counts() -> None:
    records = [
        native_record(AWAY, "copy-1", at=NOW),
        native_record(AWAY, "copy-2", at=NOW + timedelta(hours=1)),
        native_record(AWAY, "copy-3", at=NOW + timedelta(hours=2)),
    ]
    vault = view(EU, *(seen(made) for made in records))
    there = natives(copied("copy-1"), copied("copy-2"), vault=AWAY)
    copy = the_copy(folded([vault], [natives(snapshot()), there]), AWAY)
    assert [m.native_id for m in copy.members] == ["copy-2"] and copy.recorded_in == {EU}


def test_a_copy_made_again_is_not_recorded_yet() -> None:
    vault = view(EU, seen(native_record(AWAY, "copy-1")))
    copy = the_copy(folded([vault], [natives(snapshot()), natives(copied("copy-2"), vault=AWAY)]), AWAY)
    assert copy.usable and not copy.recorded_in


@pytest.mark.parametrize("trust", [Trust.UNSIGNED, Trust.UNSUPPORTED])
def test_a_native_record_that_is_not_signed_makes_no_copy(trust: Trust) -> None:
    found = folded([view(EU, seen(native_record(), trust=trust))], [natives()])
    assert not found.points and len(found.oddities) == 1


def test_snapshots_that_are_gone_make_the_copy_failed_where_the_listing_says_so() -> None:
    vault = view(EU, seen(native_record(HOME)), seen(native_record(AWAY, "copy-1")))
    gone = folded([vault], [natives(), natives(copied(), vault=AWAY)])
    assert {c.vault: c.state for c in the_point(gone).copies} == {HOME: "failed", AWAY: "usable"}
    for unknown in ([], [natives(complete=False, read=False)], [natives(kind="rds-instance")]):
        found = folded([vault], [*unknown, natives(copied(), vault=AWAY)])
        assert {c.vault: c.state for c in the_point(found).copies} == {HOME: "usable", AWAY: "usable"}
        assert the_copy(found, HOME).why == "as last recorded"
    last_known = folded([vault], [natives(complete=False), natives(copied(), vault=AWAY)])
    assert the_copy(last_known, HOME).state is CopyState.FAILED, "the last complete listing did not have it either"


# --- cut_at --------------------------------------------------------------------------------------------------------


def test_cut_at_is_the_earliest_start_of_the_cuts_own_members() -> None:
    members = [
        snapshot("s1", tags={"drorch:set": "1/1:2"}, started=CUT_AT.replace(microsecond=900_000)),
        snapshot("s2", source_id="vol-2", tags={"drorch:set": "1/1:2"}, started=CUT_AT + timedelta(seconds=9)),
    ]
    for begun in (CUT_AT, CUT_AT + timedelta(days=9), None):
        away = natives(copied(started=begun), vault=AWAY)
        assert the_point(folded([], [natives(*members), away])).cut_at == CUT_AT


def test_a_copy_begun_before_the_cut_is_of_an_earlier_one_and_makes_the_point_as_old_as_that_may_be() -> None:
    home, begun = natives(snapshot("s1", started=CUT_AT)), CUT_AT - timedelta(seconds=1)
    slot, origin = datetime(2026, 11, 20, 9, tzinfo=UTC), CUT_AT - timedelta(minutes=5)
    assert the_point(folded([], [home, natives(copied(started=begun), vault=AWAY)])).cut_at == slot
    assert the_point(folded([], [home, natives(copied(started=begun, origin=origin), vault=AWAY)])).cut_at == origin
    failed = natives(copied(started=begun, state="failed"), vault=AWAY)
    assert the_point(folded([], [home, failed])).cut_at == CUT_AT, "what failed counts for nothing"


def test_with_home_lost_cut_at_comes_from_the_record_else_from_the_copys_origin_else_from_the_slot() -> None:
    lost = natives(complete=False, read=False)
    away = natives(copied(), vault=AWAY)
    recorded = view(EU, seen(native_record(AWAY, "copy-1")))
    assert the_point(folded([recorded], [lost, away])).cut_at == CUT_AT
    told = natives(copied(origin=CUT_AT + timedelta(seconds=3)), vault=AWAY)
    assert the_point(folded([], [lost, told])).cut_at == CUT_AT + timedelta(seconds=3)
    assert the_point(folded([], [lost, away])).cut_at == datetime(2026, 11, 20, 9, tzinfo=UTC), "never better than true"


def test_a_copy_is_never_as_of_its_own_start() -> None:
    """CopySnapshot starts hours later; the data are those of the source."""
    point = the_point(folded([], [natives(copied(started=NOW), vault=AWAY)]))
    assert point.cut_at is not None and point.cut_at < CUT_AT


# --- whatever is seen ----------------------------------------------------------------------------------------------

_text = st.text(max_size=6)
_tags = st.dictionaries(
    st.sampled_from(
        ["drorch:application", "drorch:resource", "drorch:slot", "drorch:point", "drorch:set", "drorch:source"]
    ),
    st.sampled_from(
        ["shop", "data", SLOT, POINT, "1/2:2", "2/2:1", "1/99999999999:1", "0/0:0", "-1/1:1", "x", "snap-1"]
    ),
)
_snapshots = st.lists(
    st.builds(
        lambda name, tags, state, source, started: replace(
            snapshot(name, tags=tags), state=state, source_id=source, started=started
        ),
        _text,
        _tags,
        st.sampled_from(["pending", "usable", "failed"]),
        st.sampled_from(["", "vol-1", "vol-2"]),
        st.sampled_from([None, CUT_AT, NOW]),
    ),
    max_size=6,
)
_records = st.lists(
    st.tuples(
        st.sampled_from(
            [
                manifest(),
                manifest(CUT_AT + timedelta(days=1)),
                native_record(),
                native_record(AWAY, "copy-1"),
                record(RecordType.MARK, mark="pin"),
                record(RecordType.MARK, mark="expiring", vault=EU),
                record(RecordType.PROOF, vault=EU, outcome="passed", seconds="soon"),
            ]
        ),
        st.sampled_from(list(Trust)),
        st.sampled_from([EU, NAS]),
    ),
    max_size=8,
)


@given(_snapshots, _records, st.booleans(), st.booleans())
def test_the_fold_raises_nothing_and_believes_no_stranger(
    snapshots: list[NativeSnapshot], records: list[tuple[Record, Trust, str]], complete: bool, read: bool
) -> None:
    vaults = [
        view(
            vault,
            *(seen(made, vault, trust) for made, trust, of in records if of == vault),
            objects=objects_of(manifest()),
        )
        for vault in (EU, NAS)
    ]
    found = folded(vaults, [natives(*snapshots, complete=complete, read=read)])
    signed = {(made.type, vault) for made, trust, vault in records if trust is Trust.SIGNED}
    for point in found.points:
        for copy in point.copies:
            if copy.vault in (EU, NAS) and copy.usable:
                assert (RecordType.MANIFEST, copy.vault) in signed
            assert (
                not copy.usable
                or copy.vault != AWAY
                or (RecordType.NATIVE, EU) in signed
                or (RecordType.NATIVE, NAS) in signed
            )
    assert folded(vaults[::-1], [natives(*snapshots[::-1], complete=complete, read=read)]).taken == found.taken
