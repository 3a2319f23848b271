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
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import structlog
from dumped import DATA, table_rows
from faults import Fault
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from witness import Truth, Witness, at_rest
from worlds import AWAY, CLOUD, EU, HOME, ORDERS, ROOM, SITE, VOLUMES, WEST, FakeHands, Installation, policies

from drorch.app.locks import Lock, resource_lock
from drorch.app.passing import Guards, Pass
from drorch.app.signing import put_pair, write_somewhere
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.action import Braked, deletions, digest_of
from drorch.domain.errors import DrorchError
from drorch.domain.model import FailureDomain, FailureLevel, survives
from drorch.domain.policy import Policy
from drorch.domain.record import Record, RecordType, compose

LONG = int(os.environ.get("DRORCH_MACHINE_EXAMPLES", "0"))
PROBE = "select count(*) from orders"
COUNTED = ORDERS.replace("schedule: {every: 1d}", "schedule: {every: 1d}\n        inventory: exact")
KEEPS = (1, 2, 5)
TEXTS = {n: policies(*(t.replace("last: 3", f"last: {n}") for t in (COUNTED, VOLUMES))) for n in KEEPS}
REGIONS = {HOME: "us-east-1", AWAY: "us-west-2"}
PLACES = {"ebs": ("cut", "copy", "find", "snapshots", "sources", "expire", "now")} | dict.fromkeys(
    (WEST, EU), ("list", "read", "put", "delete", "commit", "write", "now", "stat")
)
HOURS = (-24 * 365, -24 * 30, -24, -1, 0, 0, 0, 1, 5, 24, 24 * 30, 24 * 365)
RESOURCES = (("desk", "orders", (WEST, EU)), ("shop", "data", (HOME, AWAY)))
COUNTS: Counter[str] = Counter()
"""What all lives together have tried and met."""

pick = st.integers(0, 5)
vaults = st.sampled_from((WEST, EU))
everywhere = st.sampled_from((WEST, EU, HOME, AWAY))


class Mould:
    """A world of some days with deletions under way, made once; every life begins in a twin of it."""

    folder: Path | None = None
    world: Installation

    @classmethod
    def twin(cls, state: Path) -> Installation:
        if cls.folder is None:
            cls.folder = Path(tempfile.mkdtemp(dir=ROOM))
            cls.world = Installation(cls.folder, guards=Guards(host="backup1", grace=timedelta(days=1)))
            cls.world.policies, cls.world.serial = TEXTS[2], True
            cls.world.restart()
            cls.world.memory(EU).versioned = True
            for _ in range(4):
                cls.world.quiet(minutes=11)
                cls.world.clock.turn(days=1)
        return cls.world.twin(state)


class Life(RuleBasedStateMachine):
    """What may happen; what must never."""

    def __init__(self) -> None:
        super().__init__()
        self.state = Path(tempfile.mkdtemp(dir=ROOM))
        self.world = Mould.twin(self.state / "a")
        self.witness = Witness(self.world)
        self.held: dict[str, Lock] = {}
        self.rival: Installation | None = None
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

    @rule(days=st.integers(1, 2))
    def days_pass(self, days: int) -> None:
        for _ in range(days):
            self.world.clock.turn(days=1)
            self._run(4, 11)

    @rule(hours=st.sampled_from((1, 5, 13)))
    def hours_pass(self, hours: int) -> None:
        self.world.clock.turn(hours=hours)
        self._run(2, 7)

    @rule(without=st.sampled_from(((), (), ("cache",), ("intents",), ("cache", "intents"))))
    def the_daemon_dies_in_mid_pass(self, without: tuple[str, ...]) -> None:
        """What was begun ends or not; nobody hears of it."""
        self.world.reconciler.run_pass()
        self._stop(self.world)
        self.world.restart(without=without)

    def _stop(self, world: Installation) -> None:
        world.reconciler.close()
        world.cache.close()

    @rule()
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
        self.world.policies = tuple(p for p in TEXTS[self.keep] if p.application not in self.gone)

    @rule(keep=st.sampled_from(KEEPS))
    def retention_changes(self, keep: int) -> None:
        self.keep = keep
        self._set_policies()

    @rule(application=st.sampled_from(("desk", "shop")))
    def a_policy_goes_or_comes_back(self, application: str) -> None:
        self.gone ^= {application}
        self._set_policies()

    @rule(application=st.sampled_from(("desk", "shop")))
    def a_policy_becomes_invalid_or_valid(self, application: str) -> None:
        self.world.stale ^= {application}

    # --- clocks ---

    @rule(hours=st.sampled_from(HOURS))
    def the_hosts_clock_steps(self, hours: int) -> None:
        self.world.host.ahead = timedelta(hours=hours)
        self.world.clock.turn(minutes=2)

    @rule(where=st.sampled_from((WEST, EU, CLOUD)), hours=st.sampled_from(HOURS))
    def anothers_clock_steps(self, where: str, hours: int) -> None:
        self.world.drifts[where].ahead = timedelta(hours=hours)
        self.world.clock.turn(minutes=2)

    # --- places ---

    @rule(vault=vaults)
    def a_vault_is_lost_or_comes_back(self, vault: str) -> None:
        faults = self.world.stores[vault].faults
        faults.recover() if faults.away else faults.black_hole()

    @rule(vault=st.sampled_from((HOME, AWAY)))
    def a_region_is_lost_or_comes_back(self, vault: str) -> None:
        region, lost = REGIONS[vault], self.world.cloud._lost
        self.world.cloud.give_back(region) if region in lost else self.world.cloud.lose(region)

    @rule(where=st.sampled_from(sorted(PLACES)), method=pick, fault=st.sampled_from(("before", "after", "timeout")))
    def something_will_fail(self, where: str, method: int, fault: Fault) -> None:
        only = REGIONS[HOME] if where == "ebs" else ""  # two regions are listed at once, in no certain order
        self.world.faults(where).order(PLACES[where][method % len(PLACES[where])], fault, only=only)

    @rule(where=st.sampled_from(sorted(PLACES)), times=st.integers(1, 6))
    def listings_will_end_half_way(self, where: str, times: int) -> None:
        if where == "ebs":
            self.world.faults(where).order("snapshots", "half", times=times, only=REGIONS[AWAY])
        else:
            self.world.faults(where).order("list", "half", times=times)

    @rule(where=st.sampled_from(sorted(PLACES)), times=st.integers(1, 8))
    def listings_will_be_stale(self, where: str, times: int) -> None:
        if where == "ebs":
            self.world.kinds[where].stale(2 * times)
        else:
            self.world.stores[where].stale(times)

    @rule(held=st.booleans())
    def dumps_take_long_or_end(self, held: bool) -> None:
        self.world.hands.held = held

    # --- what others do ---

    def _points(self, vault: str) -> list[Truth]:
        return self.witness.usable(vault)

    def _by_others(self, vault: str, point: str) -> None:
        self.witness.by_others.add((vault, point))

    @rule(vault=vaults)
    def a_vault_is_emptied(self, vault: str) -> None:
        for truth in self._points(vault):
            self._by_others(vault, truth.point)
        store = self.world.memory(vault)
        store.objects.clear()
        store._versions.clear()

    @rule(vault=everywhere, number=pick)
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

    @rule(vault=vaults, number=pick)
    def somebody_deletes_an_object(self, vault: str, number: int) -> None:
        paths = self._paths(vault, "/data/")
        points = self._points(vault)
        if paths and points:
            path = paths[number * 7 % len(paths)]
            self._by_others(vault, path.split("/")[5].partition("-")[2])
            self.world.memory(vault).objects.pop(path)
            self.world.memory(vault)._versions.pop(path, None)

    @rule(number=pick, planted=st.booleans())
    def somebody_hides_or_writes_over_an_object(self, number: int, planted: bool) -> None:
        paths = self._paths(EU, "/desk/")
        if paths:
            path = paths[number * 5 % len(paths)]
            self.world.memory(EU).plant(path, b"{}\n") if planted else self.world.memory(EU).hide(path)

    @rule(vault=vaults, number=pick, mark=st.sampled_from(("expiring", "expired", "unpin", "kept", "suspect")))
    def somebody_plants_an_unsigned_mark(self, vault: str, number: int, mark: str) -> None:
        for truth in self._points(vault)[number : number + 1]:
            of = None if mark in ("unpin", "suspect") else vault
            record = self._mark(truth, mark, of, self.world.clock.now() - timedelta(days=9))
            forged = SecretKey.generate().sign(record.data, record.comment)
            with suppress(DrorchError):
                put_pair(self.world.memory(vault), record.path, record.data, forged)

    @rule(vault=vaults, number=pick)
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

    @rule(vault=everywhere, number=pick, word=st.sampled_from(("pin", "unpin", "cleared")))
    def a_person_says_a_word(self, vault: str, number: int, word: str) -> None:
        for truth in self._points(vault)[number : number + 1]:
            self._written(self._mark(truth, word, None, self.world.host.now()))

    @rule()
    def a_person_approves(self) -> None:
        seen = self.world.reconciler.look(fresh=True)
        pairs = sorted(deletions(action for action in self.world.actions(seen)))
        if pairs:
            named = [list(pair) for pair in pairs]
            at = self.world.host.now()
            record = compose(RecordType.APPROVAL, site=SITE, at=at, digest=digest_of(pairs), deletions=named)
            COUNTS["approved"] += self._written(record)
            self._run(2, 3)

    @rule()
    def a_restore_holds_a_resource_or_ends(self) -> None:
        for application, resource, _ in RESOURCES[:1]:
            name = resource_lock(application, resource)
            if name in self.held:
                self.held.pop(name).release()
                self.witness.restoring.discard((application, resource))
                continue
            with suppress(DrorchError):
                self.held[name] = self.world.locks.take(name, "restore")
                self.witness.restoring.add((application, resource))

    @rule(fails=st.booleans())
    def drills_will_fail_or_pass(self, fails: bool) -> None:
        self.world.engine.answers = {PROBE: 0} if fails else {}

    @rule(small=st.booleans())
    def the_database_shrinks_or_grows_back(self, small: bool) -> None:
        self.world.engine.sources["main"].artefacts = {DATA: table_rows("orders", 5 if small else 50)}

    @rule()
    def another_host_writes_a_head(self) -> None:
        seen = self.world.reconciler.look(fresh=True)
        for application, planned in seen.plans.items():
            head = planned.catalogue.head
            if head is None:
                continue
            at = self.world.host.now()
            told = {"seq": head.seq + 1, "host": "backup2", "live": head.live, "lost": {}}
            record = compose(RecordType.HEAD, site=SITE, at=at, application=application, **told)
            away = [name for name, store in self.world.stores.items() if store.faults.away]
            if self._written(record) and not away:
                written = [self.world.drifts[name].now() for name in self.world.stores]
                self.witness.other_until = min(at, *written) + timedelta(hours=2)
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
            domains = world.reconciler.domains(planned.policy)
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
        for place in (*world.kinds.values(), *world.stores.values()):
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


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=LONG or 15,
    stateful_step_count=30,
    derandomize=not LONG,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)
