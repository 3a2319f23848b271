"""What the fold remembers: a catalogue with a memory is the same as one without, and only what changed is folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from folding import (
    AWAY,
    CUT_AT,
    EU,
    HOME,
    NAS,
    NOW,
    POINT,
    copied,
    manifest,
    native_record,
    natives,
    objects_of,
    record,
    seen,
    snapshot,
    valid_id,
    view,
)
from hypothesis import given
from hypothesis import strategies as st

from drorch.domain import catalogue
from drorch.domain.catalogue import Catalogue, FoldMemory, fold
from drorch.domain.catalogue_native import NativeView
from drorch.domain.catalogue_point import Evidence, PointFold
from drorch.domain.catalogue_seen import SeenRecord, Trust, VaultView
from drorch.domain.model import LockMode, ObjectLock
from drorch.domain.native import NativeSnapshot
from drorch.domain.record import Record, RecordType, compose

OTHER = "goodother"
LATER = NOW + timedelta(days=1)


def of_other(made: Record) -> Record:
    """The same record of another point."""
    return replace(made, point=OTHER, body={**made.body, "point": OTHER})


def mark(name: str, at: datetime = NOW, **more: object) -> Record:
    return record(RecordType.MARK, at=at, mark=name, **more)


def head(seq: int) -> SeenRecord:
    live = {EU: {POINT: "digest"}}
    made = compose(
        RecordType.HEAD, site="acme", at=NOW, application="shop", seq=seq, previous="", host="h", live=live, lost={}
    )
    return seen(made)


RECORDS: tuple[SeenRecord, ...] = (
    seen(manifest()),
    seen(manifest(), NAS),
    seen(manifest(CUT_AT + timedelta(hours=1)), NAS),
    seen(manifest(), EU, Trust.UNSIGNED),
    seen(of_other(manifest()), NAS),
    seen(native_record(HOME)),
    seen(native_record(AWAY, "copy-1"), NAS),
    seen(of_other(native_record(HOME, "snap-2"))),
    seen(mark("pin", until="2026-11-20T18:00:00Z")),
    seen(mark("unpin", NOW + timedelta(minutes=1))),
    seen(mark("expiring", vault=EU)),
    seen(mark("expired", NOW + timedelta(hours=1), vault=EU), NAS),
    seen(mark("expired", NOW + timedelta(hours=1), vault=HOME)),
    seen(mark("kept", NOW + timedelta(hours=2), vault=EU)),
    seen(mark("suspect", reason="half"), NAS, Trust.UNSIGNED),
    seen(record(RecordType.PROOF, vault=EU, outcome="passed", seconds={"total": 3})),
    seen(record(RecordType.PROOF, at=NOW + timedelta(hours=3), vault=NAS, outcome="damaged", why="torn")),
    head(1),
    head(2),
)
DATA = [*objects_of(manifest()).items(), *objects_of(manifest(CUT_AT + timedelta(hours=1))).items()]
SNAPSHOTS: tuple[NativeSnapshot, ...] = (
    snapshot(),
    snapshot("snap-1", state="pending", progress=40),
    snapshot("snap-2", tags={"drorch:point": OTHER}),
    snapshot("snap-3", tags={"drorch:point": "forged"}),
    copied(),
    copied("copy-2", state="failed"),
)
Look = tuple[list[VaultView], list[NativeView], datetime]


@st.composite
def looks(draw: st.DrawFn) -> Look:
    """What one pass saw."""
    there = draw(st.sets(st.sampled_from(range(len(RECORDS)))))
    views = [
        view(
            vault,
            *(RECORDS[n] for n in sorted(there) if RECORDS[n].vault == vault),
            objects=dict(draw(st.lists(st.sampled_from(DATA), max_size=4))),
            locks=draw(st.sampled_from([{}, {POINT: ObjectLock(LockMode.COMPLIANCE, LATER)}])),
            tampered=draw(st.sampled_from([{}, {manifest().path: "somebody wrote over it"}])),
        )
        for vault in (EU, NAS)
    ]
    seen_there = draw(st.sets(st.sampled_from(range(len(SNAPSHOTS)))))
    lists = [
        natives(
            *(SNAPSHOTS[n] for n in sorted(seen_there) if (SNAPSHOTS[n].region in vault)),
            vault=vault,
            complete=complete,
            read=draw(st.booleans()) or complete,
        )
        for vault in (HOME, AWAY)
        for complete in [draw(st.booleans())]
    ]
    return views, lists, NOW + timedelta(hours=draw(st.integers(-30, 30)))


def folded(look: Look, memory: FoldMemory | None = None, application: str = "shop") -> Catalogue:
    views, lists, now = look
    return fold(application, views, lists, valid_id, now, memory)


@given(st.lists(looks(), min_size=2, max_size=5))
def test_with_a_memory_a_catalogue_is_the_same_as_without(passes: Sequence[Look]) -> None:
    memory = FoldMemory()
    for look in [*passes, *reversed(passes)]:
        assert folded(look, memory) == folded(look)
        assert folded(look, memory) == folded(look)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The points that were folded."""
    points: list[str] = []

    def counting(evidence: Evidence, now: datetime, real: object = catalogue.fold_point) -> PointFold:
        points.append(evidence.point)
        return real(evidence, now)  # type: ignore[operator,no-any-return]

    monkeypatch.setattr(catalogue, "fold_point", counting)
    return points


def test_what_has_not_changed_is_not_folded_again(counted: list[str]) -> None:
    memory = FoldMemory()
    two = [seen(manifest()), seen(of_other(manifest()))]
    one = [view(EU, *two, objects=objects_of(manifest()))], [], NOW
    folded(one, memory)
    assert sorted(counted) == [POINT, OTHER] and counted.clear() is None
    folded(([view(EU, *two, head(1), objects=objects_of(manifest()))], [], LATER), memory)
    assert not counted, "a head says nothing of a point"
    folded(([view(EU, *two, seen(mark("kept", vault=EU)), objects=objects_of(manifest()))], [], LATER), memory)
    assert counted == [POINT]


def test_a_pin_that_runs_out_is_looked_at_each_time(counted: list[str]) -> None:
    memory = FoldMemory()
    pinned = [view(EU, seen(manifest()), seen(mark("pin", until="2026-11-20T18:00:00Z")))]
    states = [folded((pinned, [], NOW + timedelta(hours=hour)), memory).points[0].pinned for hour in (0, 7, 0)]
    assert states == [True, False, True] and len(counted) == 3


def test_the_memory_forgets_the_applications_not_asked_for_longest(counted: list[str]) -> None:
    memory = FoldMemory(points=2)

    def look(name: str) -> None:
        made = replace(seen(manifest()), record=replace(manifest(), application=name))
        folded(([view(EU, made)], [], NOW), memory, name)

    for name in ("a", "b", "a", "c", "a", "b"):
        look(name)
    assert len(counted) == 4, "a, b and c once, b again: it had to make room"
