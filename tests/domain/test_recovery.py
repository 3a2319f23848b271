"""Which point a restore takes, what it says about the others, and whether counts agree: pure decisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from drorch.domain.catalogue import Catalogue, Drilled, Scattered
from drorch.domain.errors import Damaged, DrorchError, NotFound, Refused, Unavailable
from drorch.domain.model import Copy, CopyState, Member, RecoveryPoint
from drorch.domain.native import Inventory
from drorch.domain.recovery import Choice, Wanted, choose_point, count_differences, restore_plan

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
VAULTS = ("gcs-eu", "s3-west")
SNAPSHOT = Copy("prod.us-east-1", CopyState.USABLE, (Member("snap-1", "vol-1"),))


def copy_in(vault: str, cut_at: datetime, state: CopyState = CopyState.USABLE, late: timedelta = timedelta()) -> Copy:
    usable_at = cut_at + timedelta(minutes=10) + late if state is CopyState.USABLE else None
    return Copy(vault, state, path="drorch/v1/data/x/", bytes=1000, usable_at=usable_at, why="")


def point(name: str, hours_ago: float, *copies: Copy, resource: str = "orders") -> RecoveryPoint:
    cut_at = NOW - hours_ago * HOUR
    held = copies or tuple(copy_in(vault, cut_at) for vault in VAULTS)
    return RecoveryPoint(
        id=name,
        application="shop",
        resource=resource,
        kind="postgres",
        slot="",
        cut_at=cut_at,
        copies=held,
        facts={"dump_seconds": 600},
    )


def catalogue(*points: RecoveryPoint, scattered: tuple[Scattered, ...] = ()) -> Catalogue:
    newest_first = sorted(points, key=lambda p: p.cut_at or NOW, reverse=True)
    return Catalogue("shop", tuple(newest_first), scattered=scattered)


def choose(*points: RecoveryPoint, **wanted: object) -> Choice:
    return choose_point(catalogue(*points), replace(Wanted("shop", "orders", VAULTS), **wanted), NOW)  # type: ignore[arg-type]


class TestChoice:
    def test_the_newest_usable_point_is_taken_from_the_preferred_vault(self) -> None:
        choice = choose(point("old", 9), point("new", 1), point("middle", 5))
        assert (choice.point.id, choice.vaults, choice.newer, choice.notes) == ("new", VAULTS, (), ())
        assert choice.cut_at == NOW - HOUR

    def test_at_a_time_the_newest_before_it_is_taken_and_the_newer_ones_are_named(self) -> None:
        choice = choose(point("old", 9), point("new", 1), point("middle", 5), at=NOW - 4 * HOUR)
        assert choice.point.id == "middle"
        assert [(newer.point, newer.why) for newer in choice.newer] == [
            ("new", "it is newer than 2026-11-20T08:00:00Z")
        ]

    def test_exactly_at_the_time_counts(self) -> None:
        assert choose(point("p", 5), at=NOW - 5 * HOUR).point.id == "p"

    def test_a_named_point_is_taken_though_newer_ones_are_usable(self) -> None:
        choice = choose(point("old", 9), point("new", 1), point="old")
        assert choice.point.id == "old"
        assert "usable in gcs-eu, s3-west, but point old was asked for" in choice.newer[0].why

    def test_only_vaults_that_may_be_used_count_and_others_are_named(self) -> None:
        elsewhere = point("new", 1, copy_in("nas", NOW - HOUR))
        choice = choose(point("old", 9), elsewhere)
        assert choice.point.id == "old"
        assert choice.newer[0].why == "its copy in nas is not among the vaults to restore from"

    @pytest.mark.parametrize("state", [CopyState.PENDING, CopyState.FAILED, CopyState.UNSIGNED, CopyState.UNSUPPORTED])
    def test_a_newer_point_that_is_not_usable_is_passed_over_and_named_with_its_state(self, state: CopyState) -> None:
        broken = point("new", 1, copy_in("gcs-eu", NOW - HOUR, state))
        choice = choose(point("old", 9), broken)
        assert choice.point.id == "old"
        assert choice.newer[0].why == f"{state} in gcs-eu"

    def test_an_expiring_copy_still_serves(self) -> None:
        assert choose(point("p", 1, copy_in("gcs-eu", NOW - HOUR, CopyState.EXPIRING))).point.id == "p"

    def test_a_newer_point_that_only_records_name_is_told(self) -> None:
        path = "drorch/v1/records/shop/orders/20261120T113000Z-lost/proofs/20261120T114000Z-s3-west.json"
        seen = Scattered(path, "orders", "lost", frozenset({"gcs-eu"}))
        other = replace(seen, resource="ledger")
        choice = choose_point(catalogue(point("p", 3), scattered=(seen, other)), Wanted("shop", "orders", VAULTS), NOW)
        assert [(newer.point, newer.cut_at) for newer in choice.newer] == [("lost", NOW - HOUR / 2)]
        assert "no vault that could be read" in choice.newer[0].why

    def test_a_vault_that_could_not_be_read_is_noted(self) -> None:
        choice = choose(point("p", 3), unread={"nas": "timed out"})
        assert choice.notes == ("vault nas could not be read: timed out",)


def with_note(made: RecoveryPoint, note: str) -> RecoveryPoint:
    return replace(made, note=note)


class TestNote:
    def test_the_newest_point_whose_note_has_the_text_is_taken_and_the_newer_are_named(self) -> None:
        choice = choose(
            point("new", 1), with_note(point("b", 3), "before 4.2"), with_note(point("a", 5), "before 4.2"), note="4.2"
        )
        assert choice.point.id == "b"
        assert [(newer.point, newer.why) for newer in choice.newer] == [("new", "its note is not 'before 4.2'")]

    def test_the_very_note_wins_over_longer_ones_that_are_newer(self) -> None:
        choice = choose(
            with_note(point("new", 1), "before 4.21"), with_note(point("old", 5), "before 4.2"), note="before 4.2"
        )
        assert choice.point.id == "old"

    def test_a_part_of_different_notes_is_refused_with_all_of_them(self) -> None:
        points = [with_note(point("a", 1), "before 4.1"), with_note(point("b", 3), "before 4.2")]
        with pytest.raises(Refused, match="2 different notes") as told:
            choose(*points, note="before")
        assert told.value.hint == "say which: 'before 4.1', 'before 4.2'"

    def test_a_damaged_point_does_not_hand_its_note_to_another(self) -> None:
        damaged = with_note(point("new", 1, copy_in("gcs-eu", NOW - HOUR, CopyState.FAILED)), "before 4.2")
        with pytest.raises(Damaged, match=r"with the note 'before 4\.2'"):
            choose(damaged, with_note(point("old", 5), "before 4.2 again"), note="before 4.2")

    def test_before_a_time_only_points_of_then_count(self) -> None:
        points = [with_note(point("b", 1), "nightly"), with_note(point("a", 5), "nightly")]
        assert choose(*points, note="nightly", at=NOW - 4 * HOUR).point.id == "a"

    def test_a_note_that_is_nowhere_may_lie_in_a_vault_that_was_not_read(self) -> None:
        points = [with_note(point("a", 5), "before 4.1"), point("b", 1)]
        with pytest.raises(NotFound, match=r"'4\.2' in it") as told:
            choose(*points, note="4.2")
        assert "a (2026-11-20T07:00:00Z)" in told.value.hint
        assert "b (" not in told.value.hint
        with pytest.raises(Unavailable):
            choose(*points, note="4.2", unread={"s3-west": "it does not answer"})


class TestResource:
    def test_the_only_dump_of_the_application_needs_no_name(self) -> None:
        native = point(
            "snap", 1, Copy("prod.us-east-1", CopyState.USABLE, (Member("snap-1", "vol-1"),)), resource="data"
        )
        wanted = Wanted("shop", vaults=VAULTS)
        assert choose_point(catalogue(point("p", 3), native), wanted, NOW).point.id == "p"

    def test_of_several_one_must_be_named(self) -> None:
        with pytest.raises(Refused, match="several resources") as caught:
            choose_point(catalogue(point("p", 3), point("q", 3, resource="users")), Wanted("shop", vaults=VAULTS), NOW)
        assert caught.value.hint == "name one of orders, users"

    def test_snapshots_are_no_dump_and_a_dump_is_no_snapshot(self) -> None:
        native = point(
            "snap", 1, Copy("prod.us-east-1", CopyState.USABLE, (Member("snap-1", "vol-1"),)), resource="data"
        )
        with pytest.raises(Refused) as caught:
            choose_point(catalogue(native), Wanted("shop", "data", VAULTS), NOW)
        assert caught.value.hint == "drorch restore shop data --into region:NAME"
        with pytest.raises(Refused, match="dumps, not snapshots"):
            choose_point(catalogue(point("p", 1)), Wanted("shop", "orders", VAULTS, native=True), NOW)

    def test_of_snapshots_the_newest_with_a_whole_copy_in_the_vaults_is_chosen(self) -> None:
        def native(name: str, hours: float, *copies: Copy) -> RecoveryPoint:
            return point(name, hours, *copies, resource="data")

        member = (Member("snap-1", "vol-1"),)
        found = choose_point(
            catalogue(
                native("home", 1, Copy("prod.us-east-1", CopyState.USABLE, member)),
                native("gone", 2, Copy("prod.us-west-2", CopyState.USABLE, member, gone=True)),
                native("shut", 3, Copy("prod.us-west-2", CopyState.USABLE, member, shut="its key is disabled")),
                native("pending", 4, Copy("prod.us-west-2", CopyState.PENDING, member)),
                native("good", 5, Copy("prod.us-west-2", CopyState.USABLE, member)),
            ),
            Wanted("shop", "data", ("prod.us-west-2",), native=True),
            NOW,
        )
        assert found.point.id == "good"
        assert [newer.point for newer in found.newer] == ["home", "gone", "shut", "pending"]


class TestRefusals:
    def refused(self, *points: RecoveryPoint, **wanted: object) -> DrorchError:
        with pytest.raises(DrorchError) as caught:
            choose(*points, **wanted)
        return caught.value

    def test_nothing_at_all_is_not_found(self) -> None:
        error = self.refused()
        assert isinstance(error, NotFound)
        assert error.exit_code == 3
        assert "gcs-eu, s3-west" in error.hint

    def test_nothing_old_enough_names_what_there_is(self) -> None:
        error = self.refused(point("p", 3), at=NOW - 10 * HOUR)
        assert isinstance(error, NotFound)
        assert "as of 2026-11-20T02:00:00Z or before" in error.message
        assert error.hint == "there are p (2026-11-20T09:00:00Z)"

    def test_an_unknown_name_names_what_there_is(self) -> None:
        error = self.refused(point("p", 3), point="q")
        assert isinstance(error, NotFound)
        assert error.hint == "there are p (2026-11-20T09:00:00Z)"

    def test_unknown_is_not_absent_while_a_vault_is_unread(self) -> None:
        for wanted in ({"point": "q"}, {"at": NOW - 10 * HOUR}):
            error = self.refused(point("p", 3), unread={"nas": "timed out"}, **wanted)
            assert isinstance(error, Unavailable)
            assert error.exit_code == 4
            assert "vault nas could not be read: timed out" in error.cause

    def test_a_named_point_with_wrong_objects_is_damaged(self) -> None:
        broken = replace(copy_in("gcs-eu", NOW, CopyState.FAILED), why="data is missing")
        error = self.refused(point("p", 3, broken), point="p")
        assert isinstance(error, Damaged)
        assert error.cause == "failed in gcs-eu (data is missing)"

    def test_when_all_that_there_is_is_damaged_that_is_said(self) -> None:
        error = self.refused(point("p", 3, copy_in("gcs-eu", NOW, CopyState.FAILED)))
        assert isinstance(error, Damaged)
        assert error.exit_code == 6

    def test_an_unsigned_point_is_taken_only_by_name_and_word(self) -> None:
        unsigned = point("p", 3, copy_in("gcs-eu", NOW, CopyState.UNSIGNED))
        assert isinstance(self.refused(unsigned), NotFound)
        named = self.refused(unsigned, point="p")
        assert "--accept-unsigned p" in named.hint
        assert named.exit_code == 3
        assert choose(unsigned, accept_unsigned="p").vaults == ("gcs-eu",)
        assert isinstance(self.refused(unsigned, accept_unsigned="q"), NotFound)

    def test_accepting_one_unsigned_point_accepts_no_other(self) -> None:
        one = point("p", 3, copy_in("gcs-eu", NOW, CopyState.UNSIGNED))
        other = point("q", 1, copy_in("gcs-eu", NOW, CopyState.UNSIGNED))
        choice = choose(one, other, accept_unsigned="p")
        assert choice.point.id == "p"
        assert choice.newer[0].why == "unsigned in gcs-eu"


class TestSuspect:
    def test_the_newest_is_taken_and_the_last_unsuspicious_one_is_named(self) -> None:
        odd = replace(point("odd", 1), suspect="suspect beside point good: 3 of 9 tables are gone")
        also = replace(point("also", 2), suspect="anybody's text")
        choice = choose(point("old", 9), point("good", 5), odd, also)
        assert (choice.point.id, choice.newer) == ("odd", ())
        assert choice.notes == (
            "point odd is suspect beside point good: 3 of 9 tables are gone; the last unsuspicious one is good, "
            "as of 2026-11-20T07:00:00Z: --point good takes it",
        )
        assert choose(odd, also, point="also").notes == (
            "point also is suspect: anybody's text; there is no unsuspicious one in these vaults",
        )

    def test_by_time_and_by_name_the_choice_is_as_it_was(self) -> None:
        points = (point("old", 9), replace(point("odd", 5), suspect="x"), point("new", 1))
        assert (choose(*points).point.id, choose(*points).notes) == ("new", ())
        assert choose(*points, point="old").notes == ()
        assert "unsuspicious one is new" in choose(*points, point="odd").notes[0]
        at = choose(*points, at=NOW - 4 * HOUR)
        assert at.point.id == "odd"
        assert "unsuspicious one is old" in at.notes[0], "what is newer than the time that was asked for is no answer"

    def test_an_unsuspicious_point_that_cannot_be_restored_is_not_named(self) -> None:
        broken = point("broken", 5, copy_in("gcs-eu", NOW, CopyState.FAILED))
        assert "there is no unsuspicious one" in choose(broken, replace(point("odd", 1), suspect="x")).notes[0]


class TestImplausible:
    def test_a_cut_after_the_stores_own_time_is_never_taken_silently(self) -> None:
        ahead = point("ahead", -1, copy_in("gcs-eu", NOW - 3 * HOUR))
        choice = choose(point("p", 5), ahead)
        assert choice.point.id == "p"
        assert "lies after the store's own time" in choice.newer[0].why
        assert "--point ahead" in choice.newer[0].why

    def test_alone_it_is_refused_and_by_name_it_is_taken_with_a_note(self) -> None:
        ahead = point("ahead", -1, copy_in("gcs-eu", NOW - 3 * HOUR))
        with pytest.raises(NotFound, match="after the store's own time"):
            choose(ahead)
        choice = choose(ahead, point="ahead")
        assert "point ahead is implausible" in choice.notes[0]

    def test_clocks_may_differ_a_little(self) -> None:
        near = point("near", 0, copy_in("gcs-eu", NOW - HOUR))
        assert choose(near).point.id == "near"

    def test_a_wrong_clock_of_ours_makes_nothing_implausible(self) -> None:
        choice = choose_point(catalogue(point("p", 3)), Wanted("shop", "orders", VAULTS), NOW - 48 * HOUR)
        assert (choice.point.id, choice.notes) == ("p", ())

    def test_a_point_shipped_days_later_is_the_newest_but_noted(self) -> None:
        shipped = point("shipped", 48, copy_in("gcs-eu", NOW - 48 * HOUR, late=24 * HOUR))
        choice = choose(shipped)
        assert choice.point.id == "shipped"
        assert "long before the store's own time" in choice.notes[0]

    def test_a_copy_elsewhere_that_was_written_in_time_vouches_for_it(self) -> None:
        cut_at = NOW - 48 * HOUR
        both = point("p", 48, copy_in("gcs-eu", cut_at, late=24 * HOUR), copy_in("s3-west", cut_at))
        assert choose(both).notes == ()

    def test_as_the_state_of_a_past_time_a_late_point_must_be_named(self) -> None:
        late = point("late", 48, copy_in("gcs-eu", NOW - 48 * HOUR, late=24 * HOUR))
        choice = choose(point("old", 60), late, at=NOW - 40 * HOUR)
        assert choice.point.id == "old"
        assert "--point late" in choice.newer[0].why


class TestPlan:
    DRILL = Drilled("orders", "gcs-eu", "x", NOW, NOW, True, {"download": 3, "load": 7, "total": 30}, bytes=500)

    def steps(self, *drills: Drilled) -> list[tuple[str, int | None]]:
        plan = restore_plan(
            choose(point("p", 3)), drills, into="postgresql:///x", artefacts=["globals", "data"], counted=True
        )
        return [(step.step, step.estimate_s) for step in plan.steps]

    def test_steps_come_in_order_and_without_a_drill_nothing_is_estimated(self) -> None:
        assert self.steps() == [
            ("locate", None),
            ("verify", None),
            ("prepare", None),
            ("load", None),
            ("load", None),
            ("compare", None),
            ("complete", None),
        ]

    def test_the_load_is_estimated_by_the_newest_passed_drill_of_this_vault(self) -> None:
        elsewhere = replace(self.DRILL, vault="s3-west", at=NOW + HOUR, seconds={"load": 1000})
        failed = replace(self.DRILL, passed=False, at=NOW + HOUR, seconds={"load": 1000})
        other = replace(self.DRILL, resource="users", at=NOW + HOUR, seconds={"load": 1000})
        assert dict(self.steps(elsewhere, failed, other, self.DRILL))["load"] == 20

    def test_a_drill_of_another_vault_is_better_than_none(self) -> None:
        assert dict(self.steps(replace(self.DRILL, vault="s3-west")))["load"] == 20


class TestCounts:
    def test_equal_counts_differ_in_nothing(self) -> None:
        counts = Inventory({"public.a": 3, "public.b": 0})
        assert count_differences(counts, counts) == ()

    def test_every_difference_is_told(self) -> None:
        expected = Inventory({"public.a": 3, "public.b": 4, "public.c": 5})
        found = Inventory({"public.a": 3, "public.b": 2})
        assert count_differences(expected, found) == ("public.b has 2 of 4 rows", "public.c is missing (5 rows)")

    def test_estimates_and_tables_that_were_not_counted_say_nothing(self) -> None:
        expected = Inventory({"public.a": 3, "public.b": None}, estimated=frozenset({"public.a"}))
        assert count_differences(expected, Inventory({"public.a": 9})) == ()
