"""Histories that are carried on: former names of applications and resources, and records that stay where they are."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from passes import OFF, policy, resource
from planning import NOW, WEST, data, drilled, dumped, head, hours, orders, planned, point, seen, slot, taken

from drorch.domain.action import Hold
from drorch.domain.catalogue import Catalogue, Scattered
from drorch.domain.catalogue_former import carried_on, carries_on, former_names
from drorch.domain.catalogue_marks import LetGo
from drorch.domain.catalogue_upkeep import Bygone, Leftover
from drorch.domain.model import Oddity, RecoveryPoint
from drorch.domain.policy import Policy


def named(*formerly: str, **resources: tuple[str, ...]) -> Policy:
    """An application `shop` with its former names, and its resources with theirs."""
    made = [resource(name, "postgres", formerly=names) for name, names in resources.items()]
    return policy("shop", made).model_copy(update={"formerly": formerly})


def old(hours_ago: float, of: str = "orders", application: str = "store", **more: Any) -> RecoveryPoint:
    return replace(point(slot(hours_ago), dumped(OFF), of=of, **more), application=application)


def catalogue(*points: RecoveryPoint, application: str = "store", **more: Any) -> Catalogue:
    return Catalogue(application, points, taken=frozenset(p.id for p in points), **more)


def test_the_former_names_are_those_of_other_applications() -> None:
    assert former_names(named("store", "shop", "boutique", orders=())) == ("store", "boutique")
    assert former_names(named(orders=("sales",))) == ()


def test_who_carries_something_on() -> None:
    assert carries_on(named("store", orders=()))
    assert carries_on(named(ledger=(), orders=("sales",)))
    assert not carries_on(named("shop", orders=()))


def test_where_nothing_is_carried_on_the_catalogue_is_the_own_one() -> None:
    own = catalogue(old(1, application="shop"), application="shop")
    assert carried_on(named(orders=()), own, ()) is own


def test_points_of_a_former_application_are_the_applications_own_and_stay_filed_where_they_are() -> None:
    own, former = point(slot(1), dumped(OFF), of="orders"), old(9)
    found = carried_on(named("store", orders=()), catalogue(own, application="shop"), [catalogue(former)])
    assert [(p.id, p.application, p.resource, p.filed_under) for p in found.points] == [
        (own.id, "shop", "orders", ("shop", "orders")),
        (former.id, "shop", "orders", ("store", "orders")),
    ]
    assert found.application == "shop" and found.taken == {own.id, former.id}


def test_a_resources_former_name_becomes_its_present_one_in_this_application_and_in_former_ones() -> None:
    here, there = old(1, "sales", "shop"), old(2, "sales")
    found = carried_on(named("store", orders=("sales",)), catalogue(here, application="shop"), [catalogue(there)])
    assert [(p.resource, p.filed_under) for p in found.points] == [
        ("orders", ("shop", "sales")),
        ("orders", ("store", "sales")),
    ]


def test_where_a_point_is_filed_is_not_forgotten_when_it_is_renamed_again() -> None:
    filed = replace(old(1, "sales"), filed=("boutique", "till"))
    found = carried_on(named("store", orders=("sales",)), catalogue(application="shop"), [catalogue(filed)])
    assert found.points[0].filed_under == ("boutique", "till")


def test_everything_that_names_a_resource_is_renamed() -> None:
    former = catalogue(
        old(9, "sales"),
        drills=(drilled(hours(5), of="sales"), drilled(hours(9), of="ledger")),
        oddities=(Oddity(OFF, "a lone record", "sales"),),
        scattered=(Scattered("records/x", "sales", "p", frozenset({OFF})),),
        let_go=(LetGo(OFF, "sales", "q", NOW, NOW, True, NOW),),
        leftovers=(Leftover(OFF, "sales", "r", NOW, ("x",), False),),
        bygone=(Bygone(OFF, "sales", "s", NOW, ("y",)),),
        digests={(OFF, "p"): "d"},
    )
    own = catalogue(application="shop", drills=(drilled(hours(7)),), digests={(OFF, "o"): "e"})
    found = carried_on(named("store", orders=("sales",)), own, [former])
    everything = (*found.oddities, *found.scattered, *found.let_go, *found.leftovers, *found.bygone)
    assert [entry.resource for entry in everything] == ["orders"] * 5
    assert [(d.resource, d.at) for d in found.drills] == [
        ("orders", NOW - hours(5)),
        ("orders", NOW - hours(7)),
        ("ledger", NOW - hours(9)),
    ], "newest first"
    assert found.digests == {(OFF, "p"): "d", (OFF, "o"): "e"}


def test_the_own_head_and_heads_and_uploads_count_and_without_a_head_that_of_the_former_name() -> None:
    mine, theirs = head((OFF, "p")), head((OFF, "q"), host="there")
    former = catalogue(head=theirs, heads={OFF: ("h",)}, uploads={OFF: {"u": NOW}})
    own = catalogue(application="shop", head=mine, heads={WEST: ("i",)}, uploads={WEST: {"v": NOW}})
    of = named("store", "boutique", orders=())
    found = carried_on(of, own, [catalogue(), former])
    assert (found.head, found.heads, found.uploads) == (mine, own.heads, own.uploads)
    assert carried_on(of, replace(own, head=None), [catalogue(), former]).head == theirs
    assert carried_on(of, replace(own, head=None), [catalogue()]).head is None


def test_what_nothing_carries_on_stays_under_its_own_name_and_is_told_as_left_behind() -> None:
    of = orders(OFF)
    carried = named("store", orders=())
    found = carried_on(carried, catalogue(application="shop"), [catalogue(old(1, "till"))])
    told = [a for a in planned(seen(catalogue=found), of) if isinstance(a, Hold) and a.alarm == "left-behind"]
    assert [(a.application, a.resource) for a in told] == [("shop", "till")]


def test_a_carried_on_history_is_let_go_by_the_present_rules() -> None:
    former = [old(n, "sales") for n in range(40, 50)]
    own = [point(slot(n), dumped(OFF), of="orders") for n in range(3)]
    found = carried_on(named("store", orders=("sales",)), catalogue(*own, application="shop"), [catalogue(*former)])
    gone = taken(planned(seen(catalogue=found), orders(OFF)))
    assert gone and gone <= {(OFF, p.id) for p in former}


def test_a_policy_that_names_a_resource_as_its_own_former_one_renames_nothing() -> None:
    """It says that the source was replaced, and that the history goes on."""
    own = old(1, application="shop")
    found = carried_on(named(orders=("orders",)), catalogue(own, application="shop"), ())
    assert found.points == (own,) and found.points[0].filed is None
    assert data().formerly == ()


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans(), st.booleans()), max_size=12, unique_by=lambda t: t[0]))
def test_no_point_is_lost_and_they_are_newest_first(entries: list[tuple[int, bool, bool]]) -> None:
    points = [
        replace(old(age, application="store" if former else "shop"), **({} if known else {"cut_at": None}))
        for age, former, known in entries
    ]
    parts = [[p for p in points if p.application == name] for name in ("shop", "store")]
    own, former = catalogue(*parts[0], application="shop"), catalogue(*parts[1])
    found = carried_on(named("store", orders=()), own, [former])
    assert sorted(p.id for p in found.points) == sorted(p.id for p in points)
    ages = [p.cut_at or NOW - timedelta(days=9999) for p in found.points]
    assert ages == sorted(ages, reverse=True)
