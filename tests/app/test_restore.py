"""Restoring: the right point, verified, into a target that becomes real only at the end, and again after a failure."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from io import RawIOBase

import pytest
from dumped import APPLICATION, DATA, GLOBALS, MIB, NOON, World, table_rows

from drorch.app.progress import Progress
from drorch.app.reading import TrustedKey
from drorch.app.restore import RestoreReport, RestoreRequest, plan_restore, restore
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.errors import Damaged, DrorchError, NotFound, Refused, Unavailable, Usage
from drorch.domain.instant import to_text
from drorch.domain.recovery import Step
from drorch.engines.memory import MemoryTarget
from drorch.ports import ObjectInfo
from drorch.stores.directory import Options as DirectoryOptions
from drorch.stores.directory import open_store
from drorch.stores.memory import MemoryStore

PLAIN = table_rows("orders", 40_000) + table_rows("items", 25, seed=2)
REQUEST = RestoreRequest(APPLICATION, "memory://back")


class BlackHole(MemoryStore):
    """A vault that cannot be reached."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        raise Unavailable("the vault does not answer", vault=self.vault)


@pytest.fixture
def world() -> World:
    world = World("gcs-eu", "s3-west")
    world.dump("p1", PLAIN, volume_bytes=MIB)
    return world


def run(world: World, request: RestoreRequest = REQUEST, **reader: object) -> RestoreReport:
    return restore(request, world.engine, world.stores, world.reader(**reader))  # type: ignore[arg-type]


def damage(world: World, vault: str, ending: str, place: int = -1) -> None:
    store = world.memory(vault)
    path = next(path for path in sorted(store.objects) if path.endswith(ending))
    body, written = store.objects[path]
    changed = bytearray(body)
    changed[place] ^= 1
    store.objects[path] = (bytes(changed), written)


class TestHappyPath:
    def test_the_data_come_back_byte_for_byte(self, world: World) -> None:
        report = run(world)
        assert world.engine.databases == {"back": {DATA: PLAIN}}
        assert (report.resource, report.point, report.vault) == ("orders", "p1", "gcs-eu")
        assert report.cut_at == NOON - timedelta(minutes=5)
        assert report.data_loss_s == 300
        assert (report.newer, report.notes) == ((), ())

    def test_every_step_is_told_as_it_ends(self, world: World) -> None:
        heard: list[Step] = []
        report = restore(REQUEST, world.engine, world.stores, world.reader(), heard.append)
        names = ["locate", "verify", "prepare", "load", "compare", "complete"]
        assert [step.step for step in heard] == names
        assert report.steps == tuple(heard)
        assert {step.outcome for step in heard} == {"done"}

    def test_the_report_is_json_of_stable_fields(self, world: World) -> None:
        body = run(world).to_json()
        assert body["cut_at"] == "2026-11-20T11:55:00Z"
        assert body["data_loss_s"] == 300
        steps = body["steps"]
        assert isinstance(steps, list)
        assert set(steps[0]) == {"step", "resource", "detail", "estimate_s", "took_s", "outcome"}

    def test_progress_counts_ciphertext_up_to_the_end(self, world: World) -> None:
        seen: list[Progress] = []
        run(world, sink=seen.append)
        assert seen[-1].done == seen[-1].total
        assert [look.done for look in seen] == sorted(look.done for look in seen)
        assert len(seen) >= 2

    def test_globals_are_loaded_first_and_only_when_asked_for(self, world: World) -> None:
        run(world, RestoreRequest(APPLICATION, "memory://back", with_globals=True))
        assert list(world.engine.databases["back"]) == [GLOBALS, DATA]

    def test_out_of_a_directory_with_nothing_else(self, world: World, tmp_path) -> None:  # type: ignore[no-untyped-def]
        store = open_store("nas", DirectoryOptions(path=str(tmp_path), provider="onprem", region="office"))
        for path, (body, _) in world.memory().objects.items():
            store.put(path, body)
        report = restore(REQUEST, world.engine, {"nas": store}, world.reader())
        assert report.vault == "nas"
        assert world.engine.databases["back"][DATA] == PLAIN

    def test_a_dump_without_counts_says_that_nothing_was_compared(self) -> None:
        world = World("gcs-eu")
        world.dump("p1", PLAIN, inventory="off")
        report = run(world)
        assert "compare" not in [step.step for step in report.steps]
        assert "row counts cannot be compared" in report.notes[0]

    def test_an_empty_database_comes_back_empty(self) -> None:
        world = World("gcs-eu")
        world.dump("p1", b"")
        run(world)
        assert world.engine.databases["back"] == {DATA: b""}


class TestWhichPoint:
    @pytest.fixture
    def world(self) -> World:
        world = World("gcs-eu", "s3-west")
        world.dump("old", table_rows("orders", 1), ago=timedelta(hours=9))
        world.dump("middle", table_rows("orders", 2), ago=timedelta(hours=5))
        world.dump("new", table_rows("orders", 3), ago=timedelta(hours=1), into=["s3-west"])
        return world

    def test_the_newest_of_all_vaults(self, world: World) -> None:
        report = run(world)
        assert (report.point, report.vault, report.data_loss_s) == ("new", "s3-west", 3600)

    def test_from_one_vault_its_newest_and_the_newer_one_elsewhere_is_named(self, world: World) -> None:
        report = run(world, RestoreRequest(APPLICATION, "memory://back", vault="gcs-eu"))
        assert (report.point, report.vault) == ("middle", "gcs-eu")
        assert [newer.point for newer in report.newer] == ["new"]

    def test_at_a_time(self, world: World) -> None:
        report = run(world, RestoreRequest(APPLICATION, "memory://back", point="old"))
        assert report.point == "old"
        assert [newer.point for newer in report.newer] == ["new", "middle"]

    def test_a_vault_that_does_not_answer_is_noted_and_the_others_serve(self, world: World) -> None:
        world.stores["s3-west"] = BlackHole("s3-west")
        report = run(world)
        assert report.point == "middle"
        assert "vault s3-west could not be read" in report.notes[0]

    def test_the_only_vault_not_answering_is_unavailable(self, world: World) -> None:
        with pytest.raises(Unavailable, match="does not answer"):
            restore(REQUEST, world.engine, {"s3-west": BlackHole("s3-west")}, world.reader())

    def test_the_named_vault_not_answering_is_unavailable(self, world: World) -> None:
        world.stores["s3-west"] = BlackHole("s3-west")
        with pytest.raises(Unavailable):
            run(world, RestoreRequest(APPLICATION, "memory://back", vault="s3-west"))

    def test_an_unknown_vault_is_refused_with_the_known_ones(self, world: World) -> None:
        with pytest.raises(NotFound, match="gcs-eu, s3-west"):
            run(world, RestoreRequest(APPLICATION, "memory://back", vault="nas"))

    def test_another_sites_points_do_not_count(self, world: World) -> None:
        with pytest.raises(NotFound):
            run(world, RestoreRequest(APPLICATION, "memory://back", resource="orders", site="acme-test"))

    def test_a_damaged_copy_is_passed_over_for_a_good_one_in_another_vault(self, world: World) -> None:
        damage(world, "gcs-eu", "-middle/data.pgcustom.zst.age.leaves")
        report = run(world, RestoreRequest(APPLICATION, "memory://back", point="middle"))
        assert report.vault == "s3-west"
        assert "the copy in vault gcs-eu could not be used" in report.notes[0]


class TestNextBest:
    """What could be had instead is named with its data time, and is taken by nobody but who asks for it."""

    @pytest.fixture
    def world(self) -> World:
        world = World("gcs-eu", "s3-west")
        world.dump("old", PLAIN, volume_bytes=MIB, ago=timedelta(hours=9))
        world.dump("new", PLAIN, volume_bytes=MIB, ago=timedelta(hours=1))
        return world

    def test_of_a_damaged_copy_the_same_data_of_another_vault_are(self, world: World) -> None:
        damage(world, "gcs-eu", "-new/data.pgcustom.zst.age.001")
        with pytest.raises(Damaged) as caught:
            run(world)
        assert caught.value.hint.endswith("the next best is --point new --from s3-west, the same data")
        assert world.engine.databases == {}
        assert run(world, RestoreRequest(APPLICATION, "memory://back", point="new", vault="s3-west")).point == "new"

    def test_of_a_copy_that_is_damaged_everywhere_the_older_point_is(self, world: World) -> None:
        for vault in ("gcs-eu", "s3-west"):
            damage(world, vault, "-new/data.pgcustom.zst.age.leaves")
        with pytest.raises(Damaged) as caught:
            run(world)
        told = f"the next best is --point old, data as of {to_text(NOON - timedelta(hours=9))}"
        assert caught.value.hint.endswith(told)
        assert (world.engine.unfinished, world.engine.given) == ({}, {})
        assert run(world, RestoreRequest(APPLICATION, "memory://back", point="old")).point == "old"

    def test_of_one_that_no_identity_opens_the_older_point_is(self, world: World) -> None:
        reader = world.reader()
        other = type(reader)(reader.keys, [new_identity()[0]], reader.clock)
        with pytest.raises(Refused) as caught:
            restore(REQUEST, world.engine, world.stores, other)
        assert "the next best is --point old, data as of " in caught.value.hint


class TestKeys:
    def test_a_wrong_identity_is_refused_before_the_target_is_touched(self, world: World) -> None:
        reader = world.reader()
        other = type(reader)(reader.keys, [new_identity()[0]], reader.clock)
        with pytest.raises(Refused, match=world.recipient) as caught:
            restore(REQUEST, world.engine, world.stores, other)
        assert caught.value.exit_code == 3
        assert (world.engine.unfinished, world.engine.given) == ({}, {})

    def test_a_stolen_key_counts_for_what_was_written_before_the_theft(self, world: World) -> None:
        world.clock.present = NOON + timedelta(hours=3)
        world.dump("forged", table_rows("orders", 1))
        stolen_at = NOON + timedelta(hours=1)
        report = run(world, keys=[TrustedKey(world.key.public, until=stolen_at)])
        assert report.point == "p1"
        assert [newer.point for newer in report.newer] == ["forged"]

    def test_an_unsigned_point_is_restored_by_name_with_a_note(self, world: World) -> None:
        stranger = SecretKey.generate()
        world.dump("found", table_rows("orders", 4), ago=timedelta(minutes=1), key=stranger)
        request = RestoreRequest(APPLICATION, "memory://back", accept_unsigned="found")
        report = run(world, request)
        assert report.point == "found"
        assert any("accepted by name without a valid signature" in note for note in report.notes)
        assert world.engine.databases["back"][DATA] == table_rows("orders", 4)

    def test_accepting_an_unsigned_point_still_checks_every_leaf(self, world: World) -> None:
        world.dump("found", PLAIN, ago=timedelta(minutes=1), key=SecretKey.generate(), into=["gcs-eu"])
        damage(world, "gcs-eu", "-found/data.pgcustom.zst.age")
        with pytest.raises(Damaged, match="leaf"):
            run(world, RestoreRequest(APPLICATION, "memory://back", accept_unsigned="found"))
        assert world.engine.databases == {}

    def test_two_names_for_one_restore_make_no_sense(self, world: World) -> None:
        with pytest.raises(Usage):
            run(world, RestoreRequest(APPLICATION, "memory://back", point="p1", accept_unsigned="p2"))


class TestFailures:
    def test_damage_in_mid_stream_kills_the_loader_and_nothing_becomes_real(self, world: World) -> None:
        damage(world, "gcs-eu", "data.pgcustom.zst.age.001")
        with pytest.raises(Damaged, match="leaf 2 of") as caught:
            run(world, RestoreRequest(APPLICATION, "memory://back", vault="gcs-eu"))
        assert caught.value.exit_code == 6
        assert world.engine.killed == [DATA]
        assert (world.engine.databases, world.engine.unfinished) == ({}, {})
        given = bytes(world.engine.given[DATA])
        assert 0 < len(given) < len(PLAIN)
        assert PLAIN.startswith(given)

    def test_after_a_failure_the_same_command_succeeds(self, world: World) -> None:
        world.engine.leaves_after = MIB
        with pytest.raises(Refused):
            run(world)
        world.engine.leaves_after = None
        assert run(world).point == "p1"
        assert world.engine.databases["back"][DATA] == PLAIN

    def test_a_loader_that_leaves_tells_why_itself(self, world: World) -> None:
        world.engine.leaves_after = MIB
        with pytest.raises(Refused, match="exit status 1"):
            run(world)
        assert world.engine.unfinished == {}

    def test_a_loader_that_leaves_content_before_the_end_is_no_success(self, world: World) -> None:
        world.engine.dies_with = BrokenPipeError("gone")
        with pytest.raises(Refused, match="ended before its data did"):
            run(world)
        assert world.engine.databases == {}

    def test_a_target_that_is_not_empty_is_refused_before_any_data_are_read(self, world: World) -> None:
        world.engine.databases["back"] = {DATA: b"orders\tmine\n"}
        with pytest.raises(Refused, match="not empty") as caught:
            run(world)
        assert caught.value.exit_code == 3
        assert world.engine.given == {}
        assert world.engine.databases["back"] == {DATA: b"orders\tmine\n"}

    def test_counts_that_differ_are_damage_and_the_target_is_given_up(self) -> None:
        world = World("gcs-eu")
        world.engine.sources["main"].counts = {"orders": 201, "items": 3}
        world.dump("p1", table_rows("orders", 200))
        with pytest.raises(Damaged, match=r"items is missing \(3 rows\); orders has 200 of 201 rows") as caught:
            run(world)
        assert caught.value.exit_code == 6
        assert (world.engine.databases, world.engine.unfinished) == ({}, {})

    def test_a_dump_of_another_engine_is_refused(self, world: World) -> None:
        world.engine.kind = "mysql"
        with pytest.raises(Refused, match="is a memory dump, the target takes mysql"):
            run(world)

    def test_a_password_in_the_target_is_usage_before_anything_is_read(self, world: World) -> None:
        with pytest.raises(Usage):
            restore(RestoreRequest(APPLICATION, "memory://u:secret@back"), world.engine, {}, world.reader())

    def test_the_password_shows_in_no_representation(self) -> None:
        assert "hunter2" not in repr(RestoreRequest(APPLICATION, "memory://back", password="hunter2"))

    def test_when_giving_up_fails_too_the_first_error_is_told_with_what_is_left(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stuck(self: MemoryTarget) -> None:
            raise Unavailable("the server is gone")

        monkeypatch.setattr(MemoryTarget, "abandon", stuck)
        world.engine.leaves_after = MIB
        with pytest.raises(Refused, match="exit status 1") as caught:
            run(world)
        assert "could not be removed (the server is gone); the same command replaces it" in caught.value.hint

    def test_every_failed_step_is_told(self, world: World) -> None:
        heard: list[Step] = []
        world.engine.leaves_after = MIB
        with pytest.raises(Refused):
            restore(REQUEST, world.engine, world.stores, world.reader(), heard.append)
        assert (heard[-1].step, heard[-1].outcome) == ("load", "failed")


class Stuck(RawIOBase):
    """The input of a process that reads nothing until it is killed."""

    def __init__(self) -> None:
        self.written, self.released = threading.Event(), threading.Event()

    def writable(self) -> bool:
        return True

    def write(self, part: object) -> int:
        self.written.set()
        assert self.released.wait(20)
        raise BrokenPipeError("killed")


class TestInterruption:
    def test_it_ends_though_the_loader_is_stuck(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        cancel, stuck = threading.Event(), Stuck()

        class Consumer:
            stdin = stuck

            def finish(self) -> tuple[str, ...]:
                raise Refused("it was killed")

            def kill(self) -> None:
                stuck.released.set()

        monkeypatch.setattr(MemoryTarget, "load", lambda *_: Consumer())
        monkeypatch.setattr(world.engine, "_watch", lambda *_: None)
        errors: list[DrorchError] = []

        def work() -> None:
            try:
                run(world, cancel=cancel)
            except DrorchError as error:
                errors.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert stuck.written.wait(20)
        cancel.set()
        thread.join(20)
        assert not thread.is_alive()
        assert isinstance(errors[0], Unavailable)
        assert "interrupted" in errors[0].message
        assert world.engine.unfinished == {}


class TestPlan:
    def test_the_plan_touches_nothing_and_reads_no_data(self, world: World) -> None:
        store = world.memory("gcs-eu")
        for path in [path for path in store.objects if path.endswith(".age")]:
            store.objects[path] = (bytes(len(store.objects[path][0])), store.objects[path][1])
        plan = plan_restore(REQUEST, world.engine, world.stores, world.reader())
        assert [step.step for step in plan.steps] == ["locate", "verify", "prepare", "load", "compare", "complete"]
        assert {step.estimate_s for step in plan.steps} == {None}
        assert (world.engine.unfinished, world.engine.databases, world.engine.given) == ({}, {}, {})
        body = plan.to_json()
        assert (body["point"], body["vault"], body["cut_at"]) == ("p1", "gcs-eu", "2026-11-20T11:55:00Z")

    def test_the_plan_lists_globals_when_asked_for(self, world: World) -> None:
        request = RestoreRequest(APPLICATION, "memory://back", with_globals=True)
        plan = plan_restore(request, world.engine, world.stores, world.reader())
        loads = [step.detail for step in plan.steps if step.step == "load"]
        assert loads == [GLOBALS + layout.ENCRYPTED, DATA + layout.ENCRYPTED]
