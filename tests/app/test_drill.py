"""A drill restores into scratch, compares, asks, measures, cleans up and signs what it found, failure included."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from dumped import APPLICATION, DATA, NOON, RESOURCE, SITE, World, table_rows
from faults import FaultyStore

from drorch import __version__
from drorch.app.catalogue import read_vault
from drorch.app.drill import DrillOrder, DrillOutcome, Scratch, run_drill
from drorch.app.progress import Progress
from drorch.app.reading import TrustedKey, read_signed
from drorch.crypto.age import new_identity
from drorch.domain.catalogue import fold
from drorch.domain.errors import InvalidInput, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.model import FailureDomain, Vault
from drorch.domain.policy import Probe
from drorch.engines.memory import MemoryTarget, _Sink

PLAIN = table_rows("orders", 300) + table_rows("items", 7, seed=2)
COUNT = Probe(sql="select count(*) from orders", expect=">= 300")
NEWEST = Probe(sql="select max(placed_at) from orders", newer_than="12h")  # type: ignore[arg-type]
CUT_AT = NOON - timedelta(minutes=5)


@pytest.fixture
def world() -> World:
    world = World("gcs-eu", "s3-west")
    world.dump("p1", PLAIN)
    world.engine.answers[NEWEST.sql] = CUT_AT - timedelta(hours=1)
    return world


def order(*probes: Probe, **changes: str) -> DrillOrder:
    values = {"site": SITE, "application": APPLICATION, "resource": RESOURCE, "vault": "gcs-eu", **changes}
    return DrillOrder(**values, probes=probes)  # type: ignore[arg-type]


def drill(world: World, *probes: Probe, **reader: object) -> DrillOutcome:
    return run_drill(order(*probes), world.engine, Scratch(), world.stores, world.reader(**reader), world.key)  # type: ignore[arg-type]


def proofs(world: World) -> dict[str, list[str]]:
    return {
        name: sorted(info.path for info in store.list("drorch/") if "/proofs/" in info.path)
        for name, store in world.stores.items()
    }


@pytest.fixture(autouse=True)
def _always_cleaned(world: World) -> Iterator[None]:
    """Whatever a drill's end is, nothing of it is left in the engine."""
    yield
    assert (world.engine.scratches, world.engine.databases, world.engine.unfinished) == (0, {}, {})


class TestPassed:
    def test_the_point_is_restored_counted_asked_and_proved(self, world: World) -> None:
        outcome = drill(world, COUNT, NEWEST)
        assert outcome.passed
        assert (outcome.point, outcome.vault, outcome.cut_at) == ("p1", "gcs-eu", CUT_AT)
        assert [(probe.got, probe.met) for probe in outcome.probes] == [
            ("300", True),
            ("2026-11-20 10:55:00+00:00", True),
        ]
        assert bytes(world.engine.given.get(DATA, b"")) in (b"", PLAIN)
        assert (outcome.why, outcome.differences, outcome.unwritten) == ("", (), {})

    def test_the_proof_lies_signed_in_every_vault_the_same_bytes(self, world: World) -> None:
        outcome = drill(world, COUNT)
        path = outcome.proof.path
        assert path.endswith("-p1/proofs/20261120T120000Z-gcs-eu.json")
        for store in world.stores.values():
            assert read_signed(store, path, [TrustedKey(world.key.public)]) == outcome.proof

    def test_the_proof_says_what_was_asked_measured_and_used(self, world: World) -> None:
        ticks = iter(range(1000))
        outcome = drill(world, COUNT, ticker=lambda: float(next(ticks)))
        body = outcome.proof.body
        assert body["outcome"] == "passed"
        assert body["probes"] == [{"sql": COUNT.sql, "expected": ">= 300", "got": "300", "met": True}]
        assert body["counts"] == {"compared": 2, "differing": 0}
        assert set(body["seconds"]) == {"download", "decrypt", "load", "compare", "probe", "total"}
        assert all(seconds > 0 for seconds in body["seconds"].values())
        parts = [body["seconds"][phase] for phase in ("download", "decrypt", "load", "compare", "probe")]
        assert body["seconds"]["total"] >= sum(parts)
        assert body["bytes"] == outcome.bytes > 0
        assert body["tools"] == {"drorch": __version__, "memory": "1"}

    def test_seconds_are_rounded_up(self, world: World) -> None:
        ticks = (number / 1000 for number in itertools.count())
        seconds = drill(world, COUNT, ticker=lambda: next(ticks)).seconds
        assert seconds == {"download": 1, "decrypt": 1, "load": 1, "compare": 1, "probe": 1, "total": 1}

    def test_the_proof_names_no_table_but_those_of_the_probes(self, world: World) -> None:
        assert b"items" not in drill(world, COUNT).proof.data

    def test_the_catalogue_takes_the_copy_for_verified(self, world: World) -> None:
        drill(world)
        vault = Vault("gcs-eu", FailureDomain("gcp", "europe-west1"))
        keys = [TrustedKey(world.key.public)]
        view = read_vault(world.stores["gcs-eu"], vault, keys, NOON, application=APPLICATION)
        catalogue = fold(APPLICATION, [view], (), lambda *_: True, NOON)
        copy = catalogue.points[0].copy_in("gcs-eu")
        assert copy is not None
        assert copy.verified_at == NOON
        assert catalogue.drills[0].passed

    def test_the_newest_point_of_the_named_vault_is_drilled(self, world: World) -> None:
        world.dump("p2", PLAIN, ago=timedelta(minutes=1), into=["s3-west"])
        assert drill(world).point == "p1"
        assert (
            run_drill(order(vault="s3-west"), world.engine, Scratch(), world.stores, world.reader(), world.key).point
            == "p2"
        )

    def test_a_point_can_be_named(self, world: World) -> None:
        world.dump("p2", PLAIN, ago=timedelta(minutes=1))
        named = order(point="p1")
        assert run_drill(named, world.engine, Scratch(), world.stores, world.reader(), world.key).point == "p1"

    def test_steps_are_told(self, world: World) -> None:
        steps = [(step.step, step.outcome) for step in drill(world, COUNT).steps]
        names = ["locate", "verify", "prepare", "load", "load", "compare", "probe"]
        assert steps == [(name, "done") for name in names]

    @pytest.mark.parametrize("phase", ["load", "compare"])
    def test_work_that_moves_no_bytes_is_reported_too(
        self, world: World, monkeypatch: pytest.MonkeyPatch, phase: str
    ) -> None:
        """A database that builds indexes for an hour must not look like one that hangs."""
        monkeypatch.setattr("drorch.app.loading._BEAT", 0.001)
        heard, silent = threading.Event(), threading.Event()

        def sink(progress: Progress) -> None:
            if silent.is_set() and progress.step == phase:
                heard.set()

        slow: type[object] = _Sink if phase == "load" else MemoryTarget
        name = "finish" if phase == "load" else "inventory"
        work = getattr(slow, name)

        def slowly(*arguments: object) -> object:
            silent.set()
            assert heard.wait(20)
            return work(*arguments)

        monkeypatch.setattr(slow, name, slowly)
        assert drill(world, sink=sink).passed

    def test_a_vault_that_takes_no_proof_is_reported_and_the_drill_counts(self, world: World) -> None:
        faulty = FaultyStore(world.memory("s3-west"))
        faulty.faults.black_hole()
        world.stores["s3-west"] = faulty
        outcome = drill(world)
        assert outcome.passed
        assert set(outcome.unwritten) == {"s3-west"}
        assert world.memory("gcs-eu").stat(outcome.proof.path).size > 0


class TestFailed:
    def failed(self, world: World, *probes: Probe) -> DrillOutcome:
        outcome = drill(world, *probes)
        assert not outcome.passed
        assert outcome.proof.body["outcome"] == "failed"
        assert outcome.why
        assert len(proofs(world)["gcs-eu"]) == 2
        return outcome

    def test_a_probe_that_is_not_met(self, world: World) -> None:
        probe = Probe(sql=COUNT.sql, expect="> 300")
        outcome = self.failed(world, probe, NEWEST)
        assert outcome.proof.body["why"] == "1 of 2 probes not met"
        assert "'select count(*) from orders' gave 300, expected > 300" in outcome.why
        assert [(step.step, step.outcome) for step in outcome.steps][-2:] == [("probe", "failed"), ("probe", "done")]

    def test_data_that_are_too_old_for_their_point(self, world: World) -> None:
        world.engine.answers[NEWEST.sql] = CUT_AT - timedelta(hours=13)
        assert not self.failed(world, NEWEST).probes[0].met

    def test_recency_is_judged_as_of_the_cut_not_of_the_drill(self, world: World) -> None:
        world.clock.present = NOON + timedelta(days=6)
        assert drill(world, NEWEST).passed

    def test_a_probe_that_answers_nothing_or_an_error(self, world: World) -> None:
        world.engine.answers["select null"] = None
        outcome = self.failed(world, Probe(sql="select null", expect="== 1"), Probe(sql="nonsense", expect="== 1"))
        assert [probe.got for probe in outcome.probes] == ["nothing", "an error: the probe failed"]

    def test_a_long_answer_is_cut_for_the_proof(self, world: World) -> None:
        world.engine.answers["select note"] = "x" * 5000
        outcome = self.failed(world, Probe(sql="select note", expect="== y"))
        assert len(outcome.probes[0].got) == 200

    def test_counts_that_differ_and_probes_are_asked_all_the_same(self, world: World) -> None:
        world.engine.sources["main"].counts = {"orders": 300, "items": 8}
        world.dump("p2", PLAIN, ago=timedelta(minutes=1))
        outcome = self.failed(world, COUNT)
        assert outcome.differences == ("items has 7 of 8 rows",)
        assert "items has 7 of 8 rows" in outcome.why
        assert outcome.proof.body["why"] == "row counts of 1 of 2 tables differ"
        assert b"items" not in outcome.proof.data
        assert outcome.probes[0].met

    def test_damaged_data(self, world: World) -> None:
        store = world.memory("gcs-eu")
        path = next(path for path in store.objects if path.endswith("data.pgcustom.zst.age"))
        body, written = store.objects[path]
        store.objects[path] = (body[:-1] + bytes([body[-1] ^ 1]), written)
        outcome = self.failed(world, COUNT)
        assert "leaf 1 of 1" in outcome.why
        assert outcome.probes == ()

    def test_a_dump_that_does_not_load(self, world: World) -> None:
        world.engine.leaves_after = 10
        outcome = self.failed(world)
        assert "exit status 1" in outcome.why
        assert outcome.proof.body["why"] == "loading failed"

    def test_a_host_whose_identity_does_not_open_it(self, world: World) -> None:
        reader = world.reader()
        other = type(reader)(reader.keys, [new_identity()[0]], reader.clock)
        outcome = run_drill(order(), world.engine, Scratch(), world.stores, other, world.key)
        assert not outcome.passed
        assert world.recipient in outcome.why


class TestNotJudged:
    """No proof, for nothing was learnt about the point."""

    @pytest.fixture(autouse=True)
    def _no_proof(self, world: World) -> Iterator[None]:
        yield
        assert all(not paths for name, paths in proofs(world).items() if name == "s3-west")

    def test_there_is_no_point(self, world: World) -> None:
        with pytest.raises(NotFound):
            drill_of = order(resource="users")
            run_drill(drill_of, world.engine, Scratch(), world.stores, world.reader(), world.key)

    def test_the_vault_is_unknown(self, world: World) -> None:
        with pytest.raises(InvalidInput):
            run_drill(order(vault="nas"), world.engine, Scratch(), world.stores, world.reader(), world.key)

    @pytest.mark.parametrize("after", range(12))
    def test_the_vault_stops_answering_at_any_read(self, world: World, after: int) -> None:
        faulty = FaultyStore(world.memory("gcs-eu"))
        faulty.faults.order("read", "before", times=50, after=after)
        world.stores["gcs-eu"] = faulty
        with pytest.raises(Unavailable):
            drill(world)

    @pytest.mark.parametrize("error", [Refused("no server is installed"), Unavailable("no disk space")])
    def test_the_scratch_place_cannot_be_made(
        self, world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        @contextmanager
        def broken(*_: object) -> Iterator[MemoryTarget]:
            raise error
            yield

        monkeypatch.setattr(world.engine, "scratch", broken)
        with pytest.raises(type(error), match=str(error)):
            drill(world)

    def test_the_scratch_place_refuses_the_dump(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise Refused("only an older server is installed")

        monkeypatch.setattr(MemoryTarget, "prepare", refuse)
        with pytest.raises(Refused, match="older server"):
            drill(world)

    @pytest.mark.parametrize("error", [Unavailable("the server died"), OutcomeUnknown("the server died")])
    def test_the_server_dies_while_it_is_asked(
        self, world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        def die(*_: object) -> None:
            raise error

        monkeypatch.setattr(MemoryTarget, "probe", die)
        with pytest.raises(type(error)):
            drill(world, COUNT)

    def test_it_is_interrupted(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        cancel = threading.Event()
        inventory = MemoryTarget.inventory

        def cancelled(self: MemoryTarget, expected):  # type: ignore[no-untyped-def]
            cancel.set()
            return inventory(self, expected)

        monkeypatch.setattr(MemoryTarget, "inventory", cancelled)
        with pytest.raises(Unavailable, match="interrupted"):
            drill(world, COUNT, cancel=cancel)


class TestJob:
    def test_an_order_survives_the_pipe(self) -> None:
        there = order(COUNT, NEWEST, point="p1")
        assert DrillOrder.from_json(json.loads(json.dumps(there.to_json()))) == there

    def test_an_outcome_goes_back_as_json(self, world: World) -> None:
        body = json.loads(json.dumps(drill(world, COUNT).to_json()))
        assert (body["outcome"], body["point"], body["cut_at"]) == ("passed", "p1", "2026-11-20T11:55:00Z")
        assert body["steps"][0]["step"] == "locate"
        assert body["proof"]["type"] == "proof"

    def test_secrets_of_the_scratch_place_show_in_no_representation(self) -> None:
        assert "hunter2" not in repr(Scratch(None, {"scratch": "hunter2"}))

    def test_identities_show_in_no_representation(self, world: World) -> None:
        assert world.identity not in repr(world.reader())

    def test_an_answer_with_a_time_is_told_in_utc(self, world: World) -> None:
        world.engine.answers[NEWEST.sql] = datetime(2026, 11, 20, 11, tzinfo=UTC)
        assert drill(world, NEWEST).probes[0].got == "2026-11-20 11:00:00+00:00"
