"""Actions as values: what makes two the same one, what scripts see, what the digest covers."""

from __future__ import annotations

import hashlib
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drorch.domain import action as actions
from drorch.domain.action import (
    EXECUTABLE,
    Action,
    Copy,
    Cut,
    Drill,
    Expire,
    Hold,
    Keep,
    Replicate,
    Settling,
    Ship,
    WriteRecord,
    deletions_digest,
)


def expire(vault: str, point: str, reason: str = "no keep rule keeps it") -> Expire:
    return Expire("shop", "data", vault, point, reason)


def test_nothing_that_is_executable_deletes() -> None:
    assert set(EXECUTABLE) == {Cut, Copy, Ship, WriteRecord, Replicate, Drill}
    every = {c for _, c in inspect.getmembers(actions, inspect.isclass) if issubclass(c, Action)} - {Action}
    assert every - set(EXECUTABLE) == {Keep, Expire, Hold, Settling}
    assert all(c.urgency is actions.Urgency.NEVER for c in every - set(EXECUTABLE))
    assert len({c.name for c in every}) == len(every - {Settling}), "settling is a hold to people and scripts"


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
