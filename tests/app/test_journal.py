"""The journal: what an hour's entry says, and that it reaches every vault without holding anything up."""

from __future__ import annotations

import hashlib
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from journals import DESK, Journalling
from worlds import EU, WEST, policies

from drorch.app.catalogue import Scope
from drorch.app.journal import FORGOTTEN, RETRY
from drorch.app.passing import Guards
from drorch.app.reading import read_signed
from drorch.domain import layout
from drorch.domain.errors import Refused
from drorch.domain.instant import to_text
from drorch.domain.journal import hour_in
from drorch.domain.policy import BrakeRule


@pytest.fixture
def desk(tmp_path: Path) -> Journalling:
    return Journalling(tmp_path)


def test_an_hour_is_written_once_it_is_over_and_signed_into_every_vault(desk: Journalling) -> None:
    began = desk.clock.now()
    desk.hours(1)
    assert desk.entries(WEST) == []
    desk.hours(1)
    (entry,) = desk.entries(WEST)
    assert desk.entries(EU) == [entry]
    assert read_signed(desk.stores[WEST], entry.path, desk.trusted) == entry
    assert (entry.text("event"), entry.text("host"), entry.body["seq"]) == ("hour", "dr1", 1)
    hour = hour_in(entry)
    assert (hour.start, hour.first, hour.passes) == (began, began, 2)
    of_desk = hour.applications["desk"]
    assert of_desk.done["cut"] == 1
    assert set(of_desk.levels) == {"region", "provider"}


def test_an_hour_tells_the_worst_that_its_passes_saw(desk: Journalling) -> None:
    desk.run()
    desk.clock.turn(hours=1)
    desk.hours(3)
    figures = [hour_in(entry).applications["desk"].levels["region"] for entry in desk.entries(WEST)]
    assert figures[0].rpo_met is False, "before the first point was usable nothing was attained"
    assert figures[0].rpo_attained is None
    ages = [figure.rpo_attained for figure in figures[1:]]
    assert [figure.rpo_met for figure in figures[1:]] == [True, True]
    assert all(age is not None for age in ages)
    assert ages == sorted(age for age in ages if age is not None)
    assert {figure.rpo for figure in figures} == {36 * 3600}


def test_a_promise_that_is_missed_for_one_pass_is_missed_for_the_hour(desk: Journalling) -> None:
    desk.run()
    desk.hours(2)
    desk.hands.held = True
    desk.clock.turn(hours=36)
    desk.hours(1, passes=1)
    desk.hands.held = False
    desk.hours(2)
    figures = [hour_in(entry).applications["desk"].levels["region"] for entry in desk.entries(WEST)]
    assert [figure.rpo_met for figure in figures] == [False, True, False, True]


def test_a_vault_that_was_away_gets_its_entries_later(desk: Journalling) -> None:
    desk.hours(1)
    desk.faults(EU).order("put", "before", times=1000, only=layout.JOURNAL)
    desk.hours(2)
    assert len(desk.entries(WEST)) == 2
    assert desk.entries(EU) == []
    desk.faults(EU).clear()
    desk.clock.turn(minutes=RETRY.seconds / 60)
    desk.hours(1)
    assert desk.entries(EU) == desk.entries(WEST)
    assert not desk.book.waiting()


def test_no_pass_waits_for_a_vault_that_hangs(desk: Journalling) -> None:
    goes_on = threading.Event()

    def hang(_vault: str) -> object:
        assert goes_on.wait(30)
        raise Refused("too late")

    desk.book._store_of = hang  # type: ignore[assignment]
    for _ in range(4):
        desk.once()
        desk.clock.turn(minutes=30)
    assert desk.book.waiting()
    assert not desk.keeper.beside.idle
    goes_on.set()
    desk.keeper.beside.wait()


def test_each_entry_names_the_one_before_it_over_the_ends_of_processes(desk: Journalling) -> None:
    desk.hours(2)
    desk.reconciler.close()
    desk.restart()
    desk.hours(2)
    entries = desk.entries(WEST)
    assert [entry.body["seq"] for entry in entries] == [1, 2, 3]
    digests = [hashlib.sha256(entry.data).hexdigest() for entry in entries]
    assert [entry.text("previous") for entry in entries] == ["", *digests[:-1]]


def test_processes_of_the_same_hour_write_one_entry(desk: Journalling) -> None:
    began = desk.clock.now()
    for _ in range(4):
        desk.once()
        desk.reconciler.close()
        desk.restart()
        desk.clock.turn(minutes=14)
    desk.clock.turn(minutes=10)
    desk.hours(1)
    (entry,) = desk.entries(WEST)
    hour = hour_in(entry)
    assert (hour.start, hour.first, hour.last, hour.passes) == (began, began, began + timedelta(minutes=42), 4)


def test_what_a_process_kept_is_written_by_the_next_one_that_comes_hours_later(desk: Journalling) -> None:
    desk.hours(1)
    began = desk.clock.now()
    desk.reconciler.close()
    desk.restart()
    desk.clock.turn(hours=5)
    desk.once()
    desk.keeper.beside.wait()
    (entry,) = desk.entries(WEST)
    assert hour_in(entry).start == began - timedelta(hours=1)


def test_an_entry_that_was_signed_before_a_death_reaches_the_vaults_after_it(desk: Journalling) -> None:
    desk.hours(1)
    for vault in (WEST, EU):
        desk.faults(vault).order("put", "before", times=1000, only=layout.JOURNAL)
    desk.hours(1)
    assert desk.entries(WEST) == []
    for vault in (WEST, EU):
        desk.faults(vault).clear()
    desk.restart()
    desk.hours(1)
    assert [entry.body["seq"] for entry in desk.entries(WEST)] == [1]
    assert desk.entries(EU) == desk.entries(WEST)


def test_a_death_between_an_entry_and_its_number_gives_no_number_twice(desk: Journalling) -> None:
    desk.marked = False
    desk.hours(2)
    (desk.state / "journal" / ".last").unlink()
    desk.marked = True
    desk.hours(1)
    first, second = desk.entries(WEST)
    assert (first.body["seq"], second.body["seq"]) == (1, 2)
    assert second.text("previous") == hashlib.sha256(first.data).hexdigest()


def test_a_deletion_that_the_brake_holds_is_named_once_in_each_hour(tmp_path: Path) -> None:
    many = DESK.replace("last: 3", "last: 8")
    desk = Journalling(tmp_path, many, guards=Guards(grace=timedelta(), brake=BrakeRule(share=1, count=1)))
    for _ in range(7):
        desk.run(passes=4)
        desk.clock.turn(days=1)
    desk.policies = policies(many.replace("last: 8", "last: 1"))
    desk.hours(2)
    held = list(hour_in(desk.entries(WEST)[-1]).applications["desk"].held.values())
    assert {one.vault for one in held} == {WEST, EU}
    assert {one.action for one in held} == {"mark"}
    assert len({(one.vault, one.point) for one in held}) == len(held)
    assert all("the brake holds it" in one.reason for one in held)


def test_a_clock_that_the_vaults_contradict_signs_no_figures(desk: Journalling) -> None:
    desk.hours(1)
    desk.drifts[EU].ahead = timedelta(hours=3)
    desk.hours(2)
    desk.drifts[EU].ahead = timedelta()
    desk.hours(2)
    hours = [to_text(hour_in(entry).start)[11:13] for entry in desk.entries(WEST)]
    assert hours == ["12", "15"]


def test_nothing_is_written_into_a_vault_that_bears_no_marker(desk: Journalling) -> None:
    desk.marked = False
    desk.hours(2)
    assert desk.entries(WEST) == desk.entries(EU) == []
    assert desk.book.waiting()


def test_an_entry_that_a_vault_did_not_take_for_weeks_is_given_up(desk: Journalling) -> None:
    desk.marked = False
    desk.hours(2)
    desk.clock.turn(days=FORGOTTEN.days + 1)
    desk.hours(1)
    assert len(list(desk.book._files())) == 1, "the first is gone, that of the hour before the weeks waits"


def test_a_host_that_cannot_sign_goes_on_without_a_journal(desk: Journalling) -> None:
    def nothing() -> object:
        raise Refused("the key is away")

    desk.book._signing = nothing  # type: ignore[assignment]
    desk.hours(3)
    assert desk.reconciler.outcomes[("cut", "done")] == 1
    assert desk.entries(WEST) == []


def test_an_hour_that_no_record_can_hold_ends_no_pass_and_no_later_hour(desk: Journalling) -> None:
    desk.hours(1)
    assert desk.keeper._hour is not None
    desk.keeper._hour.applications["desk"].commit = "\udcff"
    desk.hours(3)
    assert [to_text(hour_in(entry).start)[11:13] for entry in desk.entries(WEST)] == ["13", "14"]


def test_what_is_unreadable_on_disk_is_passed_over(desk: Journalling) -> None:
    desk.marked = False
    desk.hours(2)
    (waiting,) = desk.book._files()
    waiting.write_text("{")
    (desk.state / "journal" / ".last").write_text("[]")
    (desk.state / "journal" / ".hour-0").write_text('{"hour": 3}')
    desk.marked = True
    desk.restart()
    desk.hours(2)
    assert [entry.body["seq"] for entry in desk.entries(WEST)] == [1]


def test_a_pass_lists_no_journal() -> None:
    prefixes = [prefix for scope in (Scope(), Scope("desk"), Scope("desk", "orders")) for prefix in scope.prefixes]
    assert not [prefix for prefix in prefixes if layout.JOURNAL.startswith(prefix) or "journal" in prefix]
