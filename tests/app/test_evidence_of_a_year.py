"""A year later: points were let go of and their records removed, and the evidence still tells all of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from journals import DESK, Journalling
from worlds import EU, SITE, WEST

from drorch.app.evidence import gather
from drorch.app.passing import Guards
from drorch.domain import layout
from drorch.domain.errors import Damaged
from drorch.domain.evidence import evidence
from drorch.domain.evidence_hours import Period
from drorch.domain.journal import swept_in
from drorch.domain.record import Record

ROUNDS = 20
"""Of two weeks."""
COMMIT = "4f0c2a9d51"
TEXT = DESK.replace("every: 1d", "every: 14d").replace("rpo: 36h", "rpo: 60d").replace("rpo: 2d", "rpo: 60d")
PERIOD = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC))


def document(world: Journalling) -> dict[str, Any]:
    now = world.clock.now()
    stores = {name: world.memory(name) for name in (WEST, EU)}
    return evidence(gather(stores, world.trusted, PERIOD, now, site=SITE), PERIOD, now)


def desk(told: dict[str, Any]) -> dict[str, Any]:
    (found,) = told["applications"]
    return dict(found)


def committed(world: Journalling) -> None:
    """Its policies as git has them."""
    load = world.load

    def loaded() -> Any:
        found = load()
        for one in found.valid:
            object.__setattr__(one, "commit", COMMIT)
        return found

    world.reconciler._load = loaded


def passes(world: Journalling, count: int = 5) -> None:
    for _ in range(count):
        world.once()
        world.keeper.beside.wait()
        world.clock.turn(minutes=30)


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> tuple[Journalling, dict[str, Any]]:
    """A point every two weeks, a few passes each; a pin that was taken back, an approval. And what the evidence of
    its first months said when they had just passed.
    """
    world = Journalling(tmp_path_factory.mktemp("year"), TEXT.replace("last: 3", "last: 2"), guards=Guards(host="dr1"))
    committed(world)
    before: dict[str, Any] = {}
    for number in range(ROUNDS):
        passes(world)
        if number == 1:
            point = world.reconciler.look(fresh=True).plans["desk"].catalogue.points[-1]
            world.orders(by="ann").pin(point, "the audit of 2026", None)
        if number == 3:
            world.orders(by="bob").unpin(point, "it is over")
        world.clock.turn(days=13)
        if number == 6:
            before = document(world)
    return world, before


def test_the_records_of_old_points_are_gone(year: Any) -> None:
    world, before = year
    old = {row["point"] for row in desk(before)["let_go"] if row["mark"] == "expired"}
    left = {
        path.split("/")[5].partition("-")[2] for path in world.memory(EU).objects if path.startswith(layout.RECORDS)
    }
    assert len(old) > 2
    assert not old & left
    assert old <= {entry.point for entry in world.entries(EU) if entry.text("event") == "swept"}


@pytest.mark.parametrize("section", ["let_go", "pins", "drills", "suspicions", "checks"])
def test_what_was_told_before_they_went_is_told_after_it(year: Any, section: str) -> None:
    world, before = year
    after = desk(document(world))

    def without(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{name: value for name, value in row.items() if name != "sources"} for row in rows]

    assert without(after[section]) == without(desk(before)[section])


def test_every_expiry_has_its_reason_and_the_commit_of_its_policy_and_pins_their_person(year: Any) -> None:
    world, _ = year
    told = document(world)
    expired = [row for row in desk(told)["let_go"] if row["mark"] == "expired"]
    assert len(expired) > 4
    assert all(row["reason"] and row["commit"] == COMMIT for row in expired)
    assert [(row["mark"], row["by"], row["reason"]) for row in desk(told)["pins"]] == [
        ("pin", "ann", "the audit of 2026"),
        ("unpin", "bob", "it is over"),
    ]
    assert told["unsigned"] == told["tampered"] == []
    assert {point["point"] for point in desk(told)["points"]} >= {row["point"] for row in expired}


def test_every_line_is_vouched_for_by_a_record_that_lies_there(year: Any) -> None:
    world, _ = year
    told = document(world)
    numbers = {record["number"] for record in told["records"]}
    assert {number for row in desk(told)["let_go"] for number in row["sources"]} <= numbers
    assert all(
        record["path"] in world.memory(vault).objects for record in told["records"] for vault in record["vaults"]
    )


def test_nothing_is_removed_that_no_vault_was_told_of(tmp_path: Path) -> None:
    world = Journalling(tmp_path, TEXT.replace("last: 3", "last: 2"), guards=Guards(host="dr1"))
    for _ in range(8):
        passes(world)
        world.clock.turn(days=13)
    for vault in (WEST, EU):
        world.faults(vault).order("put", "before", times=100000, only=layout.JOURNAL)
    assert not [entry for entry in world.entries(EU) if entry.text("event") == "swept"]
    there = {path for path in world.memory(EU).objects if "/marks/" in path}
    world.clock.turn(days=30)
    passes(world)
    assert there <= set(world.memory(EU).objects)
    for vault in (WEST, EU):
        world.faults(vault).clear()
    world.clock.turn(minutes=61)
    passes(world)
    assert not there <= set(world.memory(EU).objects)


def test_an_entry_that_keeps_records_of_another_point_counts_for_nothing(year: Any) -> None:
    world, _ = year
    entry = next(entry for entry in world.entries(EU) if entry.text("event") == "swept")
    assert swept_in(entry)
    with pytest.raises(Damaged):
        swept_in(Record(entry.type, entry.site, entry.at, entry.body, entry.application, entry.resource, "other"))
    with pytest.raises(Damaged):
        swept_in(Record(entry.type, entry.site, entry.at, {}, entry.application, entry.resource, entry.point))
