"""All plans together: what starts, what waits, in which order."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from drorch.domain.action import Action, Braked, Copy, Cut, Drill, Expire, Hold, Keep, Mark, Replicate, Ship, WriteHead
from drorch.domain.admit import Limits, Running, admit, is_heavy


def dump(resource: str, server: str = "", application: str = "shop") -> Cut:
    return Cut(application, resource, "", f"p-{resource}", "due", "2026-11-20T09:00Z", 1, ("gcs-eu",), server)


def snapshot(resource: str) -> Cut:
    return Cut("shop", resource, "prod.us-east-1", f"p-{resource}", "due", "2026-11-20T09:00Z", 1)


def drill(resource: str) -> Drill:
    return Drill("shop", resource, "gcs-eu", "p", "due")


def ship(resource: str) -> Ship:
    return Ship("shop", resource, "nas", "p", "lacks it", "gcs-eu")


def record(resource: str) -> Replicate:
    return Replicate("shop", resource, "nas", "p", "lacks it", "gcs-eu", f"records/{resource}")


def test_decisions_that_do_nothing_are_not_started() -> None:
    found = admit(
        [Keep("s", "r", "v", "p", ""), Braked("s", "r", "v", "p", "", "brake", "expire"), Hold("s", "r", "v", "p", "")],
        Limits(),
        Running(),
    )
    assert not found.start and not found.wait


def test_cuts_before_copies_before_records_before_drills() -> None:
    actions = [drill("a"), record("b"), Copy("shop", "c", "w", "p", "", "v"), ship("d"), dump("e"), snapshot("f")]
    assert [a.name for a in admit(actions, Limits(), Running()).start] == [
        "cut", "cut", "ship", "copy", "replicate", "drill",
    ]  # fmt: skip


def test_marks_and_deletions_come_after_everything_else() -> None:
    mark = Mark("shop", "a", "v", "p", "", "expiring", ("v",))
    expire, head = Expire("shop", "b", "v", "p", ""), WriteHead("shop", "", "", "", "", 1, ("v",))
    actions = [expire, mark, drill("c"), head, record("d"), dump("e")]
    assert [a.name for a in admit(actions, Limits(), Running()).start] == [
        "cut", "head", "replicate", "drill", "mark", "expire",
    ]  # fmt: skip


def test_nothing_is_deleted_of_a_resource_at_which_something_runs() -> None:
    found = admit([Expire("shop", "a", "v", "p", ""), dump("a")], Limits(), Running())
    assert found.start == (dump("a"),)


def test_at_most_so_many_heavy_ones_at_once_running_ones_counted() -> None:
    found = admit([dump(f"r{n}") for n in range(6)], Limits(dumps=4), Running(heavy=1))
    assert len(found.start) == 3
    assert {w.why for w in found.wait} == {"4 dumps, ships and drills at once (limits: dumps)"}


def test_one_dump_per_server_and_application_borders_do_not_matter() -> None:
    found = admit([dump("a", "db:5432"), dump("b", "db:5432", "bank"), dump("c", "other:5432")], Limits(), Running())
    assert [a.resource for a in found.start] == ["a", "c"]
    assert "dumps_per_server" in found.wait[0].why
    assert not admit([dump("d", "db:5432")], Limits(), Running(servers=Counter({"db:5432": 1}), heavy=1)).start


def test_one_drill_at_a_time() -> None:
    assert [a.resource for a in admit([drill("a"), drill("b")], Limits(), Running()).start] == ["a"]
    assert not admit([drill("b")], Limits(), Running(drills=1, heavy=1)).start


def test_one_heavy_action_per_resource_the_most_urgent_first() -> None:
    found = admit([drill("a"), ship("a"), dump("a")], Limits(), Running())
    assert found.start == (dump("a"),)
    assert {w.action.name for w in found.wait} == {"ship", "drill"}


def test_what_is_light_waits_for_the_lock_of_its_resource() -> None:
    found = admit([record("a"), record("b"), drill("a")], Limits(), Running())
    assert found.start == (record("b"), drill("a"))
    assert not admit([record("a")], Limits(), Running(resources=frozenset({("shop", "a")}))).start


def test_what_runs_is_not_started_again() -> None:
    assert not admit([snapshot("a")], Limits(), Running(keys=frozenset({snapshot("a").key}))).start


_actions = st.lists(
    st.builds(
        lambda make, resource: make(resource),
        st.sampled_from([dump, snapshot, drill, ship, record]),
        st.sampled_from("abcdef"),
    ),
    max_size=20,
    unique_by=lambda action: action.key,
)


@given(_actions, st.integers(1, 4), st.integers(0, 4))
def test_everything_executable_starts_or_waits_and_no_limit_is_passed(
    actions: list[Action], dumps: int, running: int
) -> None:
    found = admit(actions, Limits(dumps=dumps), Running(heavy=running))
    assert Counter(a.key for a in actions) == Counter([a.key for a in found.start] + [w.action.key for w in found.wait])
    heavy = [a for a in found.start if is_heavy(a)]
    assert not heavy or len(heavy) + running <= dumps
    assert len({a.resource for a in heavy}) == len(heavy)
    assert not {a.resource for a in heavy} & {a.resource for a in found.start if not is_heavy(a)}
    assert list(found.start) == sorted(found.start, key=lambda a: a.urgency)
