"""Sweeping: what nobody can need, and never anything else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from passes import OFF
from planning import NOW, WEST, drilled, dumped, head, hours, only, orders, planned, point, seen, series, slot

from drorch.domain.action import Action, Sweep
from drorch.domain.catalogue_upkeep import Bygone, Leftover
from drorch.domain.instant import from_compact, to_compact
from drorch.domain.plan_sweep import old_heads

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
PATHS = ("data/x/a", "data/x/b")


def sweeps(of: Any = None, **changes: Any) -> list[Action]:
    changes.setdefault("object_vaults", (OFF, WEST))
    points = changes.pop("points", series(1, OFF, WEST))
    return only(planned(seen(*points, **changes), of or orders()), Sweep)


HOLDING: list[dict[str, Any]] = [
    {"stale": True},
    {"skewed": "clocks differ"},
    {"never_read": frozenset({"nas"})},
    {"running": {"orders": "dump"}},
    {"object_vaults": ()},
    {"host": "here", "more": {"head": head(host="there")}},
    {"more": {"drills": (drilled(hours(1), passed=False),)}},
]


def held(changes: dict[str, Any], **more: Any) -> list[Action]:
    return sweeps(**(changes | {"more": more | changes.get("more", {})}))


# --- data without a manifest ----------------------------------------------------------------------------------------


def left(age: timedelta = 31 * DAY, *, name: str = "x", of: str = "orders", expired: bool = False) -> Leftover:
    return Leftover(OFF, of, name, NOW - age, PATHS, expired)


def test_data_that_no_manifest_ever_named_go_after_30_days() -> None:
    reason = "data without a manifest for more than 30 days, and no vault has the point"
    swept = [Sweep("shop", "orders", OFF, "x", reason, "data", PATHS)]
    assert sweeps(more={"leftovers": (left(30 * DAY + SECOND),)}) == swept
    assert not sweeps(more={"leftovers": (left(30 * DAY),)})


def test_data_of_a_point_that_any_vault_has_stay() -> None:
    """Its manifest may be what was lost here."""
    (elsewhere,) = series(1, WEST)
    assert not sweeps(points=[elsewhere], more={"leftovers": (left(name=elsewhere.id),)})


def test_data_that_were_let_go_are_not_swept_but_deleted_and_those_of_others_are_not_looked_at() -> None:
    assert not sweeps(more={"leftovers": (left(expired=True), left(of="data"))})


def test_data_in_a_vault_that_was_not_read_stay() -> None:
    assert not sweeps(more={"leftovers": (left(),)}, unread={OFF: "timeout"})
    assert sweeps(more={"leftovers": (left(),)}, unread={WEST: "timeout"})


@pytest.mark.parametrize("changes", HOLDING)
def test_what_holds_deletions_holds_the_sweep_of_data_uploads_and_records(changes: dict[str, Any]) -> None:
    things: dict[str, Any] = {"leftovers": (left(),), "uploads": UPLOADS, "bygone": (bygone(),)}
    assert len(held({}, **things)) == 3
    assert not held(changes, **things)


# --- uploads --------------------------------------------------------------------------------------------------------

UPLOAD = "drorch/v1/data/shop/orders/20261101T000000Z-x/data.zst.age"
UPLOADS = {OFF: {UPLOAD: NOW - 2 * DAY}}


def test_an_upload_that_was_not_ended_goes_after_a_day() -> None:
    for age, over in ((DAY + SECOND, True), (DAY, False)):
        found = sweeps(more={"uploads": {OFF: {UPLOAD: NOW - age}}})
        reason = "1 uploads older than the longest dump were never ended"
        assert found == ([Sweep("shop", "orders", OFF, "", reason, "uploads", (UPLOAD,))] if over else [])


def test_or_after_twice_the_longest_dump_that_is_known() -> None:
    def long(seconds: object) -> list[Action]:
        dumps = [point(slot(n), dumped(OFF), dumped(WEST), of="orders") for n in (0, 1)]
        dumps[1].facts["dump_seconds"] = seconds
        dumps[0].facts["dump_seconds"] = 60
        return sweeps(points=dumps, more={"uploads": UPLOADS})

    assert not long(24 * 3600)
    assert long(24 * 3600 - 1)
    assert long("long") and long(None)


def test_only_uploads_of_the_resource_in_vaults_that_were_read_go_in_order_and_not_too_many_at_once() -> None:
    other = {path.replace("/orders/", "/data/"): begun for path, begun in UPLOADS[OFF].items()}
    assert not sweeps(more={"uploads": {OFF: other}})
    assert not sweeps(more={"uploads": UPLOADS}, unread={OFF: "timeout"})
    many = {f"{UPLOAD}.{n:03d}": NOW - 2 * DAY for n in range(700)}
    (found,) = sweeps(more={"uploads": {OFF: dict(reversed(many.items()))}})
    assert isinstance(found, Sweep) and found.paths == tuple(sorted(many))[:500]


# --- records of points that are gone everywhere ---------------------------------------------------------------------


def bygone(age: timedelta = 91 * DAY, of: str = "orders") -> Bygone:
    return Bygone(OFF, of, "x", NOW - age, PATHS)


def test_the_records_of_a_point_that_no_vault_has_held_for_90_days_go() -> None:
    reason = "no vault has held the point for 90 days"
    swept = [Sweep("shop", "orders", OFF, "x", reason, "records", PATHS)]
    assert sweeps(more={"bygone": (bygone(90 * DAY + SECOND), bygone(of="data"))}) == swept
    assert not sweeps(more={"bygone": (bygone(90 * DAY),)})


@pytest.mark.parametrize("unread", [OFF, WEST])
def test_while_any_vault_is_unread_no_records_go(unread: str) -> None:
    """It may still hold the point."""
    assert not sweeps(more={"bygone": (bygone(),)}, unread={unread: "timeout"})


# --- heads ----------------------------------------------------------------------------------------------------------


def path(at: datetime) -> str:
    return f"drorch/v1/heads/shop/{to_compact(at)}.json"


def hourly(days: int) -> list[str]:
    return [path(NOW - n * timedelta(hours=6)) for n in range(4 * days)]


def test_heads_older_than_35_days_go_but_the_first_of_each_month() -> None:
    old = [
        datetime(2026, 9, 1, 0, 30, tzinfo=UTC),
        datetime(2026, 9, 1, 1, 30, tzinfo=UTC),
        datetime(2026, 10, 2, tzinfo=UTC),
    ]
    limit = NOW - 35 * DAY
    heads = [*old, limit - SECOND, limit, NOW]
    paths = tuple(path(at) for at in heads)
    assert old_heads(paths, NOW) == (paths[1], paths[3])
    assert old_heads(paths[::-1], NOW) == (paths[1], paths[3]), "in whatever order they are listed"


def test_the_newest_head_never_goes() -> None:
    ages = (400, 399, 398)
    paths = [path(NOW - n * DAY) for n in ages]
    assert old_heads(paths, NOW) == (paths[1],)
    assert old_heads(paths[:1], NOW) == () == old_heads([], NOW)


def test_what_is_no_head_is_not_swept_and_counts_for_no_month() -> None:
    odd = ["drorch/v1/heads/shop/00000000.json", "drorch/v1/heads/shop/20251017T000000Z.json.minisig"]
    paths = [path(NOW - n * DAY) for n in (400, 399, 398)]
    assert old_heads([*odd, *paths], NOW) == (paths[1],)


def test_old_heads_are_swept_from_the_vaults_that_were_read_not_too_many_at_once() -> None:
    paths = tuple(hourly(300))
    wanted = old_heads(paths, NOW)
    (found,) = sweeps(more={"heads": {OFF: paths, WEST: paths}}, unread={WEST: "timeout"})
    reason = f"{len(wanted)} heads are older than 35 days (the first of each month stays)"
    assert len(wanted) > 500
    assert found == Sweep("shop", "", OFF, "", reason, "heads", wanted[:500])
    assert not sweeps(more={"heads": {OFF: tuple(hourly(34))}})


@pytest.mark.parametrize(
    "changes",
    [
        {"stale": True},
        {"skewed": "clocks differ"},
        {"never_read": frozenset({"nas"})},
        {"host": "here", "more": {"head": head(host="there")}},
    ],
)
def test_heads_stay_while_something_that_matters_is_not_known(changes: dict[str, Any]) -> None:
    assert held({}, heads={OFF: tuple(hourly(300))})
    assert not held(changes, heads={OFF: tuple(hourly(300))})


@given(st.lists(st.integers(0, 24 * 400), max_size=60, unique=True))
def test_every_month_keeps_its_first_head_and_35_days_keep_all(ages: list[int]) -> None:
    paths = [path(NOW - hours(age)) for age in ages]
    gone = set(old_heads(paths, NOW))
    months: dict[tuple[int, int], list[str]] = {}
    for name in sorted(paths):
        at = from_compact(name.rpartition("/")[2].removesuffix(".json"))
        months.setdefault((at.year, at.month), []).append(name)
        assert not (name in gone and NOW - at <= 35 * DAY)
    assert not gone & {names[0] for names in months.values()}
    assert not paths or max(paths) not in gone
    old = {name for name in paths if name < path(NOW - 35 * DAY)}
    assert gone >= old - {names[0] for names in months.values()} - {max(paths, default="")}
