"""A small installation lives through whatever may happen, in any order; each deletion is judged as it happens.

The bounded profile runs always. ``DRORCH_MACHINE_EXAMPLES=2000`` runs that many lives, at random, and prints what was
tried (``-s`` shows it; ``DRORCH_MACHINE_REPORT`` names a file that gets it).
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any, cast

import pytest
import structlog
from dumped import DATA, table_rows
from faults import Fault, FaultySnapshots, FaultyStore
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from recollection import recollected
from witness import Truth, Witness, at_rest
from worlds import (
    AWAY,
    CLOUD,
    EU,
    HOME,
    IMAGES,
    ORDERS,
    ROOM,
    SEATS,
    SITE,
    VOLUMES,
    WEST,
    FakeHands,
    Installation,
    policies,
)

from drorch.app import expiry, planning
from drorch.app.expiry import ExpiryHands
from drorch.app.locks import Lock, Locks, resource_lock
from drorch.app.passing import Guards, Pass
from drorch.app.signing import put_pair, write_somewhere
from drorch.crypto.minisign import SecretKey
from drorch.domain import catalogue_marks, layout, objective, plan, plan_expiry, retention
from drorch.domain.action import Braked, Cut, deletions, digest_of
from drorch.domain.errors import DrorchError
from drorch.domain.feasibility import domains_of
from drorch.domain.model import FailureDomain, FailureLevel, LockMode, survives
from drorch.domain.objective import ApplicationStatus
from drorch.domain.policy import Policy
from drorch.domain.record import Record, RecordType, compose
from drorch.ports import LocksCopies

LONG = int(os.environ.get("DRORCH_MACHINE_EXAMPLES", "0"))
PROBE = "select count(*) from orders"
COUNTED = ORDERS.replace("schedule: {every: 1d}", "schedule: {every: 1d}\n        inventory: exact")
KEEPS = (1, 2, 5)
NATIVE = "a kind"
REGIONS = {HOME: "us-east-1", AWAY: "us-west-2"}
PLACES = {NATIVE: ("cut", "copy", "find", "snapshots", "sources", "expire", "now")} | dict.fromkeys(
    (WEST, EU), ("list", "read", "put", "delete", "commit", "write", "now", "stat")
)
HOURS = (-24 * 365, -24 * 30, -24, -1, 0, 0, 0, 1, 5, 24, 24 * 30, 24 * 365)
COUNTS: Counter[str] = Counter()
"""What all lives together have tried and met."""

pick = st.integers(0, 5)
vaults = st.sampled_from((WEST, EU))
everywhere = st.sampled_from((WEST, EU, HOME, AWAY))


def tried(**given: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A rule of the machine that counts how often it was tried."""

    def counting(does: Callable[..., None]) -> Callable[..., None]:
        @wraps(does)
        def counted(self: Life, **chosen: Any) -> None:
            COUNTS[f"rule {does.__name__}"] += 1
            does(self, **chosen)

        return cast("Callable[..., None]", rule(**given)(counted))

    return counting


def keeping(count: int, texts: Sequence[str]) -> tuple[Policy, ...]:
    return policies(*(text.replace("last: 3", f"last: {count}") for text in texts))


_moulds: dict[tuple[str, ...], Installation] = {}


def born(texts: tuple[str, ...], state: Path) -> Installation:
    """A twin of a world of some days with deletions under way, which is made once."""
    if texts not in _moulds:
        folder = Path(tempfile.mkdtemp(dir=ROOM))
        world = _moulds[texts] = Installation(folder, guards=Guards(host="backup1", grace=timedelta(days=1)))
        world.policies, world.serial = keeping(2, texts), True
        world.restart()
        world.memory(EU).versioned = True
        for _ in range(4):
            world.quiet(minutes=11)
            world.clock.turn(days=1)
    return _moulds[texts].twin(state)


class Life(RuleBasedStateMachine):
    """What may happen; what must never."""

    texts = (COUNTED, VOLUMES)
    natives: tuple[str, ...] = ("ebs",)
    restored = ("desk", "orders")

    def __init__(self) -> None:
        super().__init__()
        self.state = Path(tempfile.mkdtemp(dir=ROOM))
        self.world = born(self.texts, self.state / "a")
        self.witness = Witness(self.world)
        self.held: dict[str, Lock] = {}
        self.rival: Installation | None = None
        self.choices = {count: keeping(count, self.texts) for count in KEEPS}
        self.keep, self.looks = 2, 0
        self.gone: set[str] = set()
        COUNTS["lives"] += 1

    # --- passes ---

    def _pass(self, world: Installation | None = None) -> Pass:
        seen = (world or self.world).once()
        for hold in seen.holds:
            COUNTS[f"hold {hold.alarm}" if hold.alarm else "hold"] += 1
            COUNTS["braked"] += isinstance(hold, Braked)
        return seen

    def _run(self, passes: int, minutes: float) -> None:
        for _ in range(passes):
            self._pass()
            self.world.clock.turn(minutes=minutes)

    @tried(days=st.integers(1, 2))
    def days_pass(self, days: int) -> None:
        for _ in range(days):
            self.world.clock.turn(days=1)
            self._run(4, 11)

    @tried(hours=st.sampled_from((1, 5, 13)))
    def hours_pass(self, hours: int) -> None:
        self.world.clock.turn(hours=hours)
        self._run(2, 7)

    @tried(without=st.sampled_from(((), (), ("cache",), ("intents",), ("cache", "intents"))))
    def the_daemon_dies_in_mid_pass(self, without: tuple[str, ...]) -> None:
        """What was begun ends or not; nobody hears of it."""
        self.world.reconciler.run_pass()
        self._stop(self.world)
        self.world.restart(without=without)

    def _stop(self, world: Installation) -> None:
        world.reconciler.close()
        world.cache.close()

    @tried()
    def a_second_daemon_runs_beside(self) -> None:
        """On the same state folder, against the locks' intent."""
        rival = copy.copy(self.world)
        rival.hands = FakeHands(rival)
        rival.restart()
        rival.reconciler.run_pass()
        self._pass()
        self._pass(rival)
        self._stop(rival)

    # --- policies ---

    def _set_policies(self) -> None:
        self.world.policies = tuple(p for p in self.choices[self.keep] if p.application not in self.gone)

    @tried(keep=st.sampled_from(KEEPS))
    def retention_changes(self, keep: int) -> None:
        self.keep = keep
        self._set_policies()

    @tried(application=st.sampled_from(("desk", "shop")))
    def a_policy_goes_or_comes_back(self, application: str) -> None:
        self.gone ^= {application}
        self._set_policies()

    @tried(application=st.sampled_from(("desk", "shop")))
    def a_policy_becomes_invalid_or_valid(self, application: str) -> None:
        self.world.stale ^= {application}

    # --- clocks ---

    @tried(hours=st.sampled_from(HOURS))
    def the_hosts_clock_steps(self, hours: int) -> None:
        self.world.host.ahead = timedelta(hours=hours)
        self.world.clock.turn(minutes=2)

    @tried(where=st.sampled_from((WEST, EU, CLOUD)), hours=st.sampled_from(HOURS))
    def anothers_clock_steps(self, where: str, hours: int) -> None:
        self.world.drifts[where].ahead = timedelta(hours=hours)
        self.world.clock.turn(minutes=2)

    # --- places ---

    @tried(vault=vaults)
    def a_vault_is_lost_or_comes_back(self, vault: str) -> None:
        faults = self.world.stores[vault].faults
        faults.recover() if faults.away else faults.black_hole()

    @tried(vault=st.sampled_from((HOME, AWAY)))
    def a_region_is_lost_or_comes_back(self, vault: str) -> None:
        region, lost = REGIONS[vault], self.world.cloud._lost
        self.world.cloud.give_back(region) if region in lost else self.world.cloud.lose(region)

    @tried(where=st.sampled_from(sorted(PLACES)), method=pick, fault=st.sampled_from(("before", "after", "timeout")))
    def something_will_fail(self, where: str, method: int, fault: Fault) -> None:
        only = REGIONS[HOME] if where == NATIVE else ""  # two regions are listed at once, in no certain order
        for place in self.natives if where == NATIVE else (where,):
            self.world.faults(place).order(PLACES[where][method % len(PLACES[where])], fault, only=only)

    @tried(where=st.sampled_from(sorted(PLACES)), times=st.integers(1, 6))
    def listings_will_end_half_way(self, where: str, times: int) -> None:
        if where == NATIVE:
            for kind in self.natives:
                self.world.faults(kind).order("snapshots", "half", times=times, only=REGIONS[AWAY])
        else:
            self.world.faults(where).order("list", "half", times=times)

    @tried(where=st.sampled_from(sorted(PLACES)), times=st.integers(1, 8))
    def listings_will_be_stale(self, where: str, times: int) -> None:
        if where == NATIVE:
            for kind in self.natives:
                self.world.kinds[kind].stale(2 * times)
        else:
            self.world.stores[where].stale(times)

    @tried(held=st.booleans())
    def dumps_take_long_or_end(self, held: bool) -> None:
        self.world.hands.held = held

    # --- what others do ---

    def _points(self, vault: str) -> list[Truth]:
        return self.witness.usable(vault)

    def _by_others(self, vault: str, point: str) -> None:
        self.witness.by_others.add((vault, point))

    @tried(vault=vaults)
    def a_vault_is_emptied(self, vault: str) -> None:
        for truth in self._points(vault):
            self._by_others(vault, truth.point)
        store = self.world.memory(vault)
        store.objects.clear()
        store._versions.clear()

    @tried(vault=everywhere, number=pick)
    def somebody_deletes_a_copy(self, vault: str, number: int) -> None:
        points = self._points(vault)
        if not points:
            return
        point = points[number % len(points)].point
        self._by_others(vault, point)
        for snapshot in self.world.snapshots(vault):
            if snapshot.tags.get("drorch:point") == point:
                self.world.cloud.remove(snapshot)
        for path in self._paths(vault, f"-{point}/"):
            self.world.memory(vault).objects.pop(path)
            self.world.memory(vault)._versions.pop(path, None)

    def _paths(self, vault: str, part: str) -> list[str]:
        return [p for p in self.world.memory(vault).objects if part in p] if vault in self.world.stores else []

    @tried(vault=vaults, number=pick)
    def somebody_deletes_an_object(self, vault: str, number: int) -> None:
        paths = self._paths(vault, "/data/")
        points = self._points(vault)
        if paths and points:
            path = paths[number * 7 % len(paths)]
            self._by_others(vault, path.split("/")[5].partition("-")[2])
            self.world.memory(vault).objects.pop(path)
            self.world.memory(vault)._versions.pop(path, None)

    @tried(number=pick, planted=st.booleans())
    def somebody_hides_or_writes_over_an_object(self, number: int, planted: bool) -> None:
        paths = self._paths(EU, "/desk/")
        if paths:
            path = paths[number * 5 % len(paths)]
            self.world.memory(EU).plant(path, b"{}\n") if planted else self.world.memory(EU).hide(path)

    @tried(vault=vaults, number=pick, mark=st.sampled_from(("expiring", "expired", "unpin", "kept", "suspect")))
    def somebody_plants_an_unsigned_mark(self, vault: str, number: int, mark: str) -> None:
        for truth in self._points(vault)[number : number + 1]:
            of = None if mark in ("unpin", "suspect") else vault
            record = self._mark(truth, mark, of, self.world.clock.now() - timedelta(days=9))
            forged = SecretKey.generate().sign(record.data, record.comment)
            with suppress(DrorchError):
                put_pair(self.world.memory(vault), record.path, record.data, forged)

    @tried(vault=vaults, number=pick)
    def somebody_leaves_junk(self, vault: str, number: int) -> None:
        self.world.memory(vault).plant(f"{layout.DATA}desk/orders/20260101T000000Z-junk{number}/data.zst.age", b"x")
        self.world.memory(vault).plant(f"{layout.RECORDS}desk/orders/20260101T000000Z-junk/manifest.json", b"{}\n")

    # --- what people do ---

    def _mark(self, truth: Truth, mark: str, vault: str | None, at: datetime) -> Record:
        return compose(
            RecordType.MARK,
            site=SITE,
            at=at,
            application=truth.application,
            resource=truth.resource,
            point=truth.point,
            cut_at=truth.cut_at,
            mark=mark,
            vault=vault,
            reason="a person said so",
        )

    def _written(self, record: Record) -> bool:
        """Into every vault that answers now, as the commands do."""
        try:
            write_somewhere(record, self.world.key, list(self.world.stores), self.world.stores.__getitem__)
        except DrorchError:
            return False
        return True

    @tried(vault=everywhere, number=pick, word=st.sampled_from(("pin", "unpin", "cleared")))
    def a_person_says_a_word(self, vault: str, number: int, word: str) -> None:
        for truth in self._points(vault)[number : number + 1]:
            self._written(self._mark(truth, word, None, self.world.host.now()))

    @tried()
    def a_person_approves(self) -> None:
        seen = self.world.reconciler.look(fresh=True)
        pairs = sorted(deletions(action for action in self.world.actions(seen)))
        if pairs:
            named = [list(pair) for pair in pairs]
            at = self.world.host.now()
            record = compose(RecordType.APPROVAL, site=SITE, at=at, digest=digest_of(pairs), deletions=named)
            COUNTS["approved"] += self._written(record)
            self._run(2, 3)

    @tried()
    def a_restore_holds_a_resource_or_ends(self) -> None:
        name = resource_lock(*self.restored)
        if name in self.held:
            self.held.pop(name).release()
            self.witness.restoring.discard(self.restored)
            return
        with suppress(DrorchError):
            self.held[name] = self.world.locks.take(name, "restore")
            self.witness.restoring.add(self.restored)

    @tried(fails=st.booleans())
    def drills_will_fail_or_pass(self, fails: bool) -> None:
        self.world.engine.answers = {PROBE: 0} if fails else {}

    @tried(small=st.booleans())
    def the_database_shrinks_or_grows_back(self, small: bool) -> None:
        self.world.engine.sources["main"].artefacts = {DATA: table_rows("orders", 5 if small else 50)}

    @tried()
    def another_host_writes_a_head(self) -> None:
        seen = self.world.reconciler.look(fresh=True)
        for application, planned in seen.plans.items():
            head = planned.catalogue.head
            if head is None:
                continue
            at = self.world.host.now()
            record = compose(
                RecordType.HEAD,
                site=SITE,
                at=at,
                application=application,
                seq=head.seq + 1,
                host="backup2",
                live=head.live,
                lost={},
            )
            away = [name for name, store in self.world.stores.items() if store.faults.away]
            if self._written(record) and not away:
                written = [self.world.drifts[name].now() for name in self.world.stores]
                self.witness.other_until = min(at, *written) + timedelta(hours=2)
                self.witness.other_at = at
                COUNTS["other host"] += 1

    # --- what must hold ---

    @invariant()
    def nothing_that_was_deleted_should_have_stayed(self) -> None:
        COUNTS["steps"] += 1
        assert not self.witness.wrong, self.witness.wrong

    @invariant()
    def attained_is_never_better_than_the_truth(self) -> None:
        world = self.world
        for name in (HOME, AWAY):
            self.witness.usable(name)
        self.looks += 1
        if self.looks % 3:
            return  # every third time is often enough
        seen = world.reconciler.look(fresh=True)
        if seen.world.unread:
            return
        COUNTS["statuses compared"] += 1
        for planned in seen.plans.values():
            domains = domains_of(planned.policy, world.reconciler.observer.vaults)
            for resource in planned.status.resources:
                for level, standing in resource.levels.items():
                    if standing.rpo_attained is not None:
                        truth = self._newest(planned.policy, resource.resource, level, domains)
                        assert truth is not None, f"{resource.resource} has nothing at level {level}"
                        assert standing.rpo_attained >= seen.at - truth, (resource.resource, level)

    def _newest(
        self, policy: Policy, resource: str, level: FailureLevel, domains: dict[str, FailureDomain]
    ) -> datetime | None:
        home = policy.home.domain
        found = [
            truth.cut_at
            for vault, domain in domains.items()
            if survives(level, home, domain)
            for truth in self.witness.of(vault, policy.application, resource)
            if truth.cut_at <= self.world.host.now() + timedelta(minutes=5)
        ]
        return max(found, default=None)

    def teardown(self) -> None:
        """Everything is put right; after some days of peace the world is as it must be."""
        try:
            self._heal()
            for _ in range(5):
                self.world.clock.turn(days=1)
                self._run(4, 19)
            self._run(4, 31)
            assert not self.witness.wrong, self.witness.wrong
            self._at_rest()
        finally:
            COUNTS.update({f"deleted {what}": count for what, count in self.witness.seen.items()})
            for action, outcome in self.world.reconciler.outcomes:
                COUNTS[f"{action} {outcome}"] += self.world.reconciler.outcomes[(action, outcome)]
            for lock in self.held.values():
                lock.release()
            _write_report()
            self._stop(self.world)
            shutil.rmtree(self.state, ignore_errors=True)

    def _heal(self) -> None:
        world = self.world
        places: list[FaultySnapshots | FaultyStore] = [*world.kinds.values(), *world.stores.values()]
        for place in places:
            place.faults.clear()
            place.faults.recover()
            place._stale_passes = 0
        for region in REGIONS.values():
            world.cloud.give_back(region)
        for drift in (world.host, *world.drifts.values()):
            drift.ahead = timedelta()
        for lock in self.held.values():
            lock.release()
        self.held.clear()
        self.witness.restoring.clear()
        world.hands.held, world.engine.answers = False, {}
        self.gone.clear()
        world.stale.clear()
        self.keep = 2
        self._set_policies()

    def _at_rest(self) -> None:
        seen = self.world.reconciler.look(fresh=True)
        alarms = {hold.alarm for hold in seen.holds}
        COUNTS["lives at rest"] += 1
        problems = at_rest(self.witness, strict=False)
        if "replicate-failed" in alarms:  # what was hidden in the vault that alone has it cannot be brought elsewhere
            problems = [problem for problem in problems if " lacks " not in problem]
        assert not problems, (problems, sorted(alarms))


class NativeLife(Life):
    """The same of images, each of which has snapshots of its own, and of clusters; nothing is dumped."""

    texts = (IMAGES, SEATS)
    natives = ("ami", "rds-cluster")
    restored = ("shop", "web")


class RememberingLife(Life):
    """The same, with every plan that passes remember compared with one that is made anew."""

    def __init__(self) -> None:
        self._recollecting = recollected()
        self.recollection = self._recollecting.__enter__()
        super().__init__()

    @invariant()
    def nothing_is_remembered_wrongly(self) -> None:
        assert not self.recollection.wrong, self.recollection.wrong

    def teardown(self) -> None:
        try:
            super().teardown()
            self.nothing_is_remembered_wrongly()
        finally:
            COUNTS.update({f"plans {what}": count for what, count in self.recollection.counts.items()})
            self._recollecting.__exit__(None, None, None)


@pytest.fixture(scope="module", autouse=True)
def _quiet_log() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.configure(**before)


def _write_report() -> None:
    """After every life, so that a run that is cut short has its counts."""
    if "DRORCH_MACHINE_REPORT" in os.environ:
        Path(os.environ["DRORCH_MACHINE_REPORT"]).write_text(json.dumps(dict(sorted(COUNTS.items())), indent=1))


@pytest.fixture(scope="module", autouse=True)
def _report() -> Iterator[None]:
    yield
    if LONG:
        sys.stdout.write(f"\n{json.dumps(dict(sorted(COUNTS.items())), indent=1)}\n")


TestLife, TestNativeLife, TestRememberingLife = Life.TestCase, NativeLife.TestCase, RememberingLife.TestCase
TestLife.settings = TestNativeLife.settings = settings(
    max_examples=LONG or 5,
    stateful_step_count=30,
    derandomize=not LONG,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)
TestRememberingLife.settings = settings(TestLife.settings, max_examples=LONG or 2, stateful_step_count=20)


# --- that it reaches what it is about, and sees it --------------------------------------------------------------------


@pytest.fixture
def life(request: pytest.FixtureRequest) -> Iterator[Life]:
    made: Life = getattr(request, "param", Life)()
    yield made
    for lock in made.held.values():
        lock.release()
    made._stop(made.world)
    shutil.rmtree(made.state, ignore_errors=True)


def test_deletions_marks_taken_back_brakes_removals_and_suspicion_are_within_reach(life: Life) -> None:
    before = Counter(COUNTS)
    life.days_pass(days=2)
    life.retention_changes(keep=5)
    life.days_pass(days=2)
    life.days_pass(days=2)
    life.somebody_deletes_a_copy(vault=HOME, number=0)
    life.hours_pass(hours=1)
    life.retention_changes(keep=1)
    life.days_pass(days=1)
    life.the_database_shrinks_or_grows_back(small=True)
    life.days_pass(days=2)
    met = COUNTS - before
    marks = {m.text("mark") for name in life.world.stores for m in life.witness.records(name) if m.type == "mark"}
    assert {"expiring", "expired", "kept", "suspect"} <= marks
    assert life.witness.seen["copy"] and life.witness.seen["dump"] and life.witness.seen["snapshot"]
    assert met["braked"] and met["hold removed"] and met["hold suspect"]
    life.nothing_that_was_deleted_should_have_stayed()


@pytest.mark.parametrize("life", [NativeLife], indirect=True)
def test_images_and_clusters_are_let_go_within_reach(life: Life) -> None:
    life.days_pass(days=2)
    assert all(life.world.kinds[kind].faults.calls["expire"] for kind in life.natives)
    assert life.witness.seen["copy"] and not life.witness.wrong


def _observed(monkeypatch: pytest.MonkeyPatch, **said: object) -> None:
    """Let the planner see something else than what is."""
    monkeypatch.setattr(planning, "Observed", lambda **seen: plan.Observed(**(seen | said)))


def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = retention.keep
    monkeypatch.setattr(
        plan_expiry,
        "keep",
        lambda *given, **named: tuple(replace(v, kept=False) for v in verdicts(*given, **named)),
    )
    monkeypatch.setattr(plan, "brake", lambda _policy, actions, *_: actions)
    monkeypatch.setattr(plan, "_cuts", lambda *_: iter(()))


def _no_mark_first(monkeypatch: pytest.MonkeyPatch) -> None:
    signs = ExpiryHands._sign

    def only_others(hands: ExpiryHands, mark: str, *given: Any) -> object:
        return None if mark == "expired" else signs(hands, mark, *given)

    monkeypatch.setattr(ExpiryHands, "_sign", only_others)


def _locks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Locks, "take", lambda self, name, _what: Lock(self._path(name), -1))
    _observed(monkeypatch, running={})


def _freezes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_expiry, "Candidate", lambda **said: retention.Candidate(**(said | {"frozen": ""})))


def _pin_one_that_goes(life: Life) -> None:
    going = life.witness.usable(EU)[2]
    assert life._written(life._mark(going, "pin", None, life.world.host.now()))
    life.days_pass(days=2)


def _lock_one_that_goes(life: Life) -> str:
    """Somebody locks the oldest snapshot at home, of which no policy speaks; a day passes. Its id."""
    going = min(life.world.snapshots(HOME), key=lambda s: (s.started or life.world.clock.now(), s.native_id))
    kind, until = life.world.kinds["ebs"].inner, life.world.clock.now() + timedelta(hours=48)
    assert isinstance(kind, LocksCopies)
    kind.lock("prod", REGIONS[HOME], going.native_id, LockMode.GOVERNANCE, until)
    life.days_pass(days=1)
    return going.native_id


def _cut_then_half(life: Life) -> None:
    """A dump is cut and read back, marks are written; the listings after that end half-way."""
    life._run(2, 11)
    life.world.faults(EU).order("list", "half", times=3)
    life._run(1, 11)


SABOTAGE: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], Callable[[Life], object], tuple[str, ...]]] = {
    "retention keeps nothing": (
        _nothing_kept,
        lambda life: [life.days_pass(days=2), life.days_pass(days=2)],
        ("the newest usable point", "the newest verified point", "the floor is", "one of the last"),
    ),
    "no grace": (
        lambda patch: _observed(patch, grace=timedelta()),
        lambda life: life.days_pass(days=2),
        ("after it was marked",),
    ),
    "clocks are believed": (
        lambda patch: _observed(patch, skewed=""),
        lambda life: [life.anothers_clock_steps(where=EU, hours=-1), life.days_pass(days=2)],
        ("while clocks differ",),
    ),
    "half a listing is enough": (
        lambda patch: _observed(patch, unread={}),
        _cut_then_half,
        ("listing of the vault that did not end",),
    ),
    "pins are not seen": (
        lambda patch: patch.setattr(catalogue_marks, "_pin", lambda *_: (False, None)),
        _pin_one_that_goes,
        ("while pinned",),
    ),
    "locks on snapshots are not seen": (
        lambda patch: patch.setattr(expiry, "standing_locks", lambda *_: {}),
        _lock_one_that_goes,
        ("while it is locked",),
    ),
    "nothing is said before": (_no_mark_first, lambda life: life.days_pass(days=2), ("without a signed mark",)),
    "an invalid policy is good enough": (
        lambda patch: _observed(patch, stale=False),
        lambda life: [life.a_policy_becomes_invalid_or_valid(application="desk"), life.days_pass(days=2)],
        ("without a valid policy",),
    ),
    "locks hold nobody": (
        _locks_nothing,
        lambda life: [life.a_restore_holds_a_resource_or_ends(), life.days_pass(days=2)],
        ("something else holds",),
    ),
    "other hosts are not seen": (
        lambda patch: patch.setattr(plan, "other_host", lambda *_: ""),
        lambda life: [life.another_host_writes_a_head(), life.hours_pass(hours=1)],
        ("another host is at work",),
    ),
    "failed drills are not seen": (
        lambda patch: patch.setattr(plan_expiry, "failed_drill", lambda *_: ""),
        lambda life: [life.drills_will_fail_or_pass(fails=True), *(life.days_pass(days=2) for _ in range(3))],
        ("the last drill failed",),
    ),
    "suspicion is not heard": (
        _freezes_nothing,
        lambda life: [life.the_database_shrinks_or_grows_back(small=True), *(life.days_pass(days=2) for _ in range(4))],
        ("a point after it is suspect",),
    ),
}


def test_a_snapshot_that_somebody_locked_stays_until_its_lock_ends(life: Life) -> None:
    locked = _lock_one_that_goes(life)
    assert locked in {s.native_id for s in life.world.snapshots(HOME)}
    life.days_pass(days=2)
    life.days_pass(days=2)
    assert locked not in {s.native_id for s in life.world.snapshots(HOME)}
    assert not life.witness.wrong


@pytest.mark.parametrize("name", SABOTAGE)
def test_a_guard_that_is_taken_away_is_missed(life: Life, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    sabotage, lived, words = SABOTAGE[name]
    sabotage(monkeypatch)
    lived(life)
    for wanted in words:
        assert any(wanted in wrong for wrong in life.witness.wrong), (wanted, life.witness.wrong)


def test_a_status_that_flatters_is_seen(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    told = objective.status

    def flattering(*given: Any, **named: Any) -> ApplicationStatus:
        true: ApplicationStatus = told(*given, **named)
        levels = {k: v._replace(rpo_attained=timedelta()) for k, v in true.resources[0].levels.items()}
        return replace(true, resources=(replace(true.resources[0], levels=levels),))

    monkeypatch.setattr(planning, "status", flattering)
    life.looks = 2
    with pytest.raises(AssertionError):
        life.attained_is_never_better_than_the_truth()


def test_a_snapshot_that_went_unrecorded_and_was_cut_again_is_as_old_as_the_second_cut(life: Life) -> None:
    life.hours_pass(hours=1)
    life.world.reconciler.look(fresh=True)  # which shows it usable; no pass has recorded it
    first = life.witness.usable(HOME)[0]
    life.somebody_deletes_a_copy(vault=HOME, number=0)
    life._run(4, 3)
    again = life.witness.usable(HOME)[0]
    assert again.point == first.point and again.cut_at > first.cut_at
    life.looks = 2
    life.attained_is_never_better_than_the_truth()


def test_a_second_kept_point_of_a_slot_is_seen(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    life.hours_pass(hours=1)
    newest = life.witness.of(EU, "desk", "orders")[0]
    twin = life.world.point_id("desk", "orders", newest.slot, 2)
    again = Cut("desk", "orders", "", twin, "sabotage", newest.slot, 2, (WEST, EU))
    scene: Any = None
    life.world.hands.carry_out(again, scene)
    monkeypatch.setattr(plan_expiry, "fillers", lambda points, *_: {point.id for point in points})
    life._run(4, 20)
    assert [problem for problem in at_rest(life.witness) if "kept points of orders fill slot" in problem]


def test_another_host_whose_clock_is_a_year_ahead_does_not_stop_this_one_for_a_year(life: Life) -> None:
    life.world.host.ahead = timedelta(days=365)
    life.another_host_writes_a_head()
    life.world.host.ahead = timedelta()
    life.hours_pass(hours=5)
    assert "other-host" not in {hold.alarm for hold in life.world.reconciler.look(fresh=True).holds}
    assert life.world.reconciler.outcomes[("cut", "done")]
