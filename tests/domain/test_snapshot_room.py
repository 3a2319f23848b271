"""What would not fit beside the snapshots that an account may have is held, the more urgent served first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from policy_words import KINDS, Instance, policy_of, words

from drorch.domain.action import Action, Copy, Cut, Hold, Keep
from drorch.domain.native import SnapshotRoom
from drorch.domain.snapshot_room import FULL, RoomSeen, fitted, pools_wanted
from drorch.domain.vocabulary import KindWords

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
HOME, AWAY = "prod.us-east-1", "prod.us-west-2"
WORDS = words(kinds={**KINDS, "rds-cluster": KindWords(Instance, native=True)})


def policy(name: str, kind: str = "rds-instance"):  # type: ignore[no-untyped-def]
    return policy_of(
        f"""
        version: 1
        application: {name}
        owner: dba@example.com
        home: {{account: prod, region: us-east-1}}
        resources:
          - name: ledger
            kind: {kind}
            identifier: {name}
            schedule: {{every: 1d}}
            copies: [{{region: us-west-2}}]
            keep: {{last: 2}}
        """,
        WORDS,
    )


RESOURCES = {
    (name, "ledger"): policy(name, kind).resources[0]
    for name, kind in (("a", "rds-instance"), ("b", "rds-instance"), ("c", "rds-cluster"))
}


def cut(application: str, slot: str = "2026-11-20T00:00Z") -> Cut:
    return Cut(application, "ledger", HOME, f"p-{application}", f"slot {slot} is due", slot, 1)


def copy(application: str, due: datetime | None = None, vault: str = AWAY, kind: str = "rds-instance") -> Copy:
    return Copy(application, "ledger", vault, f"q-{application}", "lacks it", HOME, kind=kind, places=1, due=due)


def rooms(home: int = 100, away: int = 100, used: int = 99) -> RoomSeen:
    kind = "rds-instance"
    return RoomSeen({(kind, HOME): SnapshotRoom(used, home), (kind, AWAY): SnapshotRoom(used, away)})


def held(plans: dict[str, tuple[Action, ...]], seen: RoomSeen) -> list[Hold]:
    changed = fitted(plans, RESOURCES, seen)
    return [action for name in sorted(changed) for action in changed[name] if isinstance(action, Hold)]


def test_room_is_needed_for_a_cut_where_it_is_made_and_where_its_copies_go() -> None:
    of_cut = {("rds-instance", HOME), ("rds-instance", AWAY)}
    assert pools_wanted([cut("a"), cut("a")], RESOURCES) == of_cut
    assert pools_wanted([copy("a")], RESOURCES) == {("rds-instance", AWAY)}
    assert pools_wanted([cut("c")], RESOURCES) == {("rds-cluster", HOME), ("rds-cluster", AWAY)}
    stranger = Cut("wiki", "pages", HOME, "p", "due", "s", 1)
    assert pools_wanted([stranger, Keep("a", "ledger", HOME, "p", "")], RESOURCES) == frozenset()


def test_the_last_place_is_taken_and_no_more() -> None:
    (only,) = held({"a": (cut("a"),), "b": (cut("b"),)}, rooms())
    assert (only.application, only.alarm) == ("b", FULL)
    assert "99 of 100 manual snapshots of rds-instance, everybody's counted and 1 being begun" in only.reason


def test_the_older_slot_goes_first() -> None:
    (only,) = held({"a": (cut("a"),), "b": (cut("b", "2026-11-19T00:00Z"),)}, rooms())
    assert only.application == "a"


def test_a_cut_goes_before_a_copy_into_the_same_region_and_of_copies_the_more_urgent() -> None:
    late, soon = NOW + timedelta(days=1), NOW
    plans: dict[str, tuple[Action, ...]] = {"a": (cut("a"), copy("a", vault=HOME)), "b": (copy("b", vault=HOME),)}
    assert {hold.point for hold in held(plans, rooms())} == {"q-a", "q-b"}
    (only,) = held({"a": (copy("a", late),), "b": (copy("b", soon),)}, rooms())
    assert only.application == "a"


def test_more_snapshots_than_are_allowed_are_no_room_at_all() -> None:
    (only,) = held({"a": (cut("a"),)}, rooms(home=90))
    assert "99 of 90" in only.reason


def test_a_pool_that_was_not_counted_is_not_held() -> None:
    assert fitted({"a": (cut("a"), copy("a"))}, RESOURCES, RoomSeen()) == {}
    assert fitted({"c": (cut("c"),)}, RESOURCES, rooms(home=0, away=0)) == {}


def test_a_refusal_that_is_heeded_holds_whatever_was_counted() -> None:
    seen = RoomSeen({("rds-instance", HOME): SnapshotRoom(0, 100)}, {("rds-instance", HOME): "AWS refused it"})
    (only,) = held({"a": (cut("a"),)}, seen)
    assert only.reason.startswith("AWS refused it. ")


def test_a_cut_whose_copy_would_not_fit_is_made_and_says_so() -> None:
    changed = fitted({"a": (cut("a"),)}, RESOURCES, rooms(away=99))
    (told,) = changed["a"]
    assert isinstance(told, Cut)
    assert told.reason.endswith(
        f"its copy will have to wait: {AWAY} has 99 of 99 manual snapshots of rds-instance, everybody's counted"
    )


def test_what_fits_is_left_as_it_is_and_everything_else_too() -> None:
    other = Keep("a", "ledger", HOME, "p", "")
    changed = fitted({"a": (other, cut("a")), "b": (cut("b"), other)}, RESOURCES, rooms())
    assert "a" not in changed
    assert changed["b"][1] is other
