"""Actions as values: what makes two the same one, what scripts see, what the digest covers."""

from __future__ import annotations

import hashlib
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drorch.domain import action as actions
from drorch.domain.action import (
    DELETING,
    EXECUTABLE,
    Action,
    Braked,
    Copy,
    Cut,
    Drill,
    Expire,
    Hold,
    Keep,
    Lock,
    Mark,
    Repair,
    Replicate,
    Settling,
    Ship,
    Sweep,
    Unshare,
    Verify,
    WriteHead,
    WriteRecord,
    WriteRunbook,
    deletions,
    deletions_digest,
)
from drorch.domain.record import MarkType


def expire(vault: str, point: str, reason: str = "no keep rule keeps it") -> Expire:
    return Expire("shop", "data", vault, point, reason)


def test_what_touches_the_world_and_what_of_it_deletes() -> None:
    harmless = {Cut, Copy, Ship, WriteRecord, Replicate, Drill, Verify, Lock, Mark, WriteHead, WriteRunbook, Unshare}
    assert set(DELETING) == {Expire, Sweep, Repair}
    assert set(EXECUTABLE) == harmless | set(DELETING)
    every = {c for _, c in inspect.getmembers(actions, inspect.isclass) if issubclass(c, Action)} - {Action}
    assert issubclass(actions.ScenarioDrill, Drill) and not issubclass(actions.ScenarioDrill, DELETING)
    every.remove(actions.ScenarioDrill)  # a drill like the others
    assert every - set(EXECUTABLE) == {Keep, Hold, Settling, Braked}
    assert all((c.urgency is actions.Urgency.NEVER) == (c not in EXECUTABLE) for c in every)
    assert len({c.name for c in every}) == len(every - {Settling, Braked}), "both are holds to people and scripts"


def test_what_deletes_starts_last() -> None:
    assert max(c.urgency for c in EXECUTABLE) is Expire.urgency is Sweep.urgency
    assert all(c.urgency < Mark.urgency < Expire.urgency for c in set(EXECUTABLE) - {Mark, Expire, Sweep})


def test_only_the_mark_expiring_begins_a_deletion() -> None:
    assert [m.value for m in MarkType if Mark("shop", "data", "v", "p", "", m.value).lets_go] == ["expiring"]


def test_the_digest_covers_what_is_deleted_what_begins_it_and_what_the_brake_holds_of_it() -> None:
    mark = Mark("shop", "data", "a", "1", "", "expiring", ("x",))
    braked = Braked("shop", "data", "a", "1", "too many", "brake", "mark")
    assert deletions([mark]) == deletions([braked]) == deletions([expire("a", "1")]) == {("a", "1")}
    others = [Mark("shop", "data", "a", "2", "", "kept"), Sweep("shop", "", "a", "", "", "heads", ("h",))]
    assert deletions([*others, Repair("shop", "data", "a", "3", "", "b")]) == frozenset()


def test_the_digest_covers_the_sorted_deletions_and_nothing_else() -> None:
    pairs = [expire("b", "1"), expire("a", "2"), expire("a", "1", "another reason"), expire("a", "1")]
    others = [Keep("shop", "data", "a", "3", "pinned"), Hold("shop", "data", "a", "4", "wait")]
    wanted = hashlib.sha256(b"a\x001\na\x002\nb\x001\n").hexdigest()
    assert deletions_digest([*pairs, *others]) == wanted
    assert deletions_digest(others) == hashlib.sha256(b"").hexdigest()


@given(st.permutations([expire(vault, point) for vault in "abc" for point in "123"]), st.integers(0, 8))
def test_the_digest_knows_no_order_and_misses_no_deletion(pairs: list[Action], left_out: int) -> None:
    whole = deletions_digest(pairs)
    assert whole == deletions_digest(sorted(pairs, key=lambda a: (a.vault, a.point)))
    assert whole != deletions_digest(pairs[:left_out] + pairs[left_out + 1 :])


def test_an_attempts_successor_is_the_same_cut_another_slots_is_not() -> None:
    first = Cut("shop", "data", "v", "p1", "due", "2026-11-20T09:00Z", 1)
    assert first.key == Cut("shop", "data", "v", "p2", "due again", "2026-11-20T09:00Z", 2).key
    assert first.key != Cut("shop", "data", "v", "p1", "due", "2026-11-20T10:00Z", 1).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Copy("shop", "data", "v", "p", "", "home"), Copy("shop", "data", "w", "p", "", "home")),
        (Copy("shop", "data", "v", "p", "", "home"), Ship("shop", "data", "v", "p", "", "home")),
        (Replicate("shop", "data", "v", "p", "", "w", "a"), Replicate("shop", "data", "v", "p", "", "w", "b")),
        (Drill("shop", "data", "v", "p", ""), Drill("bank", "data", "v", "p", "")),
        (Verify("shop", "data", "v", "", "", 1), Verify("shop", "data", "v", "", "", 2)),
        (Mark("shop", "data", "v", "p", "", "pin"), Mark("shop", "data", "v", "p", "", "unpin")),
        (Mark("shop", "data", "v", "p", "", "kept"), Mark("shop", "data", "w", "p", "", "kept")),
        (Sweep("shop", "data", "v", "", "", "uploads"), Sweep("shop", "data", "v", "", "", "data")),
        (Sweep("shop", "data", "v", "p", "", "data"), Sweep("shop", "data", "v", "q", "", "data")),
    ],
)
def test_keys_tell_apart_what_is_not_the_same(one: Action, other: Action) -> None:
    assert one.key != other.key


def test_json_has_the_stable_fields_and_lists() -> None:
    cut = Cut("shop", "orders", "", "p", "due", "2026-11-20T09:00Z", 1, ("a", "b"), "db:5432")
    assert cut.to_json() == {
        "action": "cut",
        "application": "shop",
        "resource": "orders",
        "vault": "",
        "point": "p",
        "reason": "due",
        "slot": "2026-11-20T09:00Z",
        "attempt": 1,
        "into": ["a", "b"],
        "server": "db:5432",
        "resumed": False,
    }
