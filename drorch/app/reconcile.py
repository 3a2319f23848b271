"""One pass: observe, plan, admit, start, harvest. Level-triggered; nothing here waits for a snapshot or a dump."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog

from drorch.app.audits import AuditKeeper
from drorch.app.automated import AutomatedWatch
from drorch.app.carry import LightHands, Scene
from drorch.app.copy_places import CopyPlaces
from drorch.app.databases import DatabaseLists
from drorch.app.drill_sweep import DrillSweep
from drorch.app.failpoint import reach
from drorch.app.guide_writing import GuideKeeper
from drorch.app.intents import FORGOTTEN, Intents, settle
from drorch.app.journal import JournalKeeper
from drorch.app.key_check import KeyWatch
from drorch.app.locks import Lock, Locks, resource_lock
from drorch.app.observe import Observer
from drorch.app.passing import (
    ApplicationPlan,
    Finished,
    Guards,
    Handle,
    HeavyHands,
    Pass,
    held_back,
    planned_again,
    scene_of,
    where_of,
    written_to,
)
from drorch.app.planning import Planner
from drorch.app.policies import PolicySet
from drorch.app.snapshot_rooms import SnapshotRooms
from drorch.app.unprotected import UnprotectedWatch
from drorch.domain.action import Action, Cut, Expire, Sweep, Verify
from drorch.domain.admit import Admitted, Limits, Running, admit, is_heavy
from drorch.domain.catalogue_former import carries_on
from drorch.domain.errors import Busy, DrorchError
from drorch.domain.plan import Failure, PointId
from drorch.domain.priority import acting, priority_of

log = structlog.get_logger()

_DELETE_AT_ONCE = 200
"""Resources of which something is deleted in one pass; the next pass takes the others."""


class Reconciler:
    """The loop's body. One per process; holds what is under way and what failed lately, nothing that must survive."""

    def __init__(
        self,
        *,
        load: Callable[[], PolicySet],
        observer: Observer,
        point_id: PointId,
        light: LightHands,
        heavy: HeavyHands,
        locks: Locks,
        intents: Intents,
        limits: Limits,
        now: Callable[[], datetime],
        drills: bool = True,
        guards: Guards | None = None,
        keys: KeyWatch | None = None,
        databases: DatabaseLists | None = None,
        guides: GuideKeeper | None = None,
        unprotected: UnprotectedWatch | None = None,
        throttled: Callable[[str, Action], str] = lambda _kind, _action: "",
        automated: AutomatedWatch | None = None,
        drill_sweep: DrillSweep | None = None,
        journal: JournalKeeper | None = None,
        audits: AuditKeeper | None = None,
    ) -> None:
        """`throttled` says why an action (of this kind of resource) has to wait at its provider now, or ""."""
        self._load = load
        self._keys, self._databases, self._guides = keys, databases, guides
        self._unprotected = unprotected
        self._throttled = throttled
        self._automated, self._journal = automated, journal
        self._drill_sweep, self._audits = drill_sweep, audits
        self._guards = guards or Guards()
        self.observer = observer
        self._planner = Planner(
            observer=observer,
            point_id=point_id,
            locks=locks,
            guards=self._guards,
            drills=drills,
            state_since=lambda: intents.since,
        )
        self._light = light
        self._heavy = heavy
        self._locks = locks
        self._intents = intents
        self._limits = limits
        self._now = now
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="act")
        self._futures: dict[tuple[str, str], tuple[tuple[Action, ...], Future[list[Finished]]]] = {}
        self._handles: dict[str, tuple[Action, Handle, Lock]] = {}
        self._failures: dict[str, Failure] = {}
        self._copies = CopyPlaces(observer)
        self._rooms = SnapshotRooms(observer, self._copies)
        self._policies = PolicySet(())
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.attempts: dict[tuple[str, str, str], datetime] = {}

    # --- looking ---

    def look(self, *, fresh: bool = False) -> Pass:
        """Observe and plan; change nothing."""
        now = self._now()
        policies = self._policies = self._load()
        world = self.observer.observe([loaded.policy for loaded in policies.valid], now, fresh=fresh)
        if self._databases is not None:
            catalogue = partial(self.observer.catalogue, world=world)
            policies = self._policies = self._databases.expand(policies, catalogue, now)
        if self._audits is not None:
            self._audits.known([name for name in self.observer.vaults if name not in world.unread], now)
        look = self._planner.look(world, now, self._intents.standing(), self._failures)
        plans: dict[str, ApplicationPlan] = {}
        faults: dict[str, str] = {}
        for loaded in policies.valid:
            name = loaded.policy.application
            try:
                plans[name] = self._planner.planned(loaded.policy, look, valid=not loaded.stale)
            except Exception as error:
                faults[name] = f"a fault in drorch itself: {type(error).__name__}: {error}"
                log.error("application not planned", application=name, exc_info=error)
        self._planner.only(plans)
        audits = self._audits.seen(now) if self._audits is not None else None
        return Pass(now, policies, world, self._rooms.fitted(plans, now), faults=faults, audits=audits)

    def admitted(self, seen: Pass) -> Admitted:
        """What of a look may start now and what waits; where copies are due, everybody's under way are listed first."""
        actions = [action for p in seen.plans.values() for action in p.actions]
        begun = [action for started, _ in self._futures.values() for action in started]
        copies = self._copies.seen(actions, begun, seen.world, seen.at)
        return held_back(admit(actions, self._limits, self._running(), copies, seen.at), seen, self._throttled)

    # --- acting ---

    def run_pass(self, *, start: bool = True) -> Pass:
        """Harvest what ended, look, and start what is admitted (nothing new with `start` false)."""
        finished = self.harvest()
        seen = self.look()
        if self._audits is not None and start and self._audits.passed(seen):
            seen = self.look()
        blind = bool(seen.world.unread.keys() & self.observer.vaults.keys())
        settle(self._intents, seen.plans.values(), seen.at, blind=blind)
        admitted = self.admitted(seen)
        self._copies.wait(admitted.wait, seen.at)
        started: tuple[Action, ...] = ()
        if admitted.start and start:
            self.observer.mark_new(self._now())
            deleting = [action for action in admitted.start if isinstance(action, Expire | Sweep)]
            started = self._start([action for action in admitted.start if action not in deleting], seen)
            started += self._start_deleting(deleting, seen)
        finished += self.harvest()
        readable = [name for name in self.observer.vaults if name not in seen.world.unread]
        keys = self._keys.seen(readable, self._now(), write=start and not seen.world.skewed) if self._keys else None
        if self._guides and start:
            self._guides.keep(readable, self._now())
        if self._journal and start:
            self._journal.passed(seen)
        seen = replace(seen, waiting=admitted.wait, started=started, finished=finished, keys=keys)
        return self._watched(replace(seen, running=self.running_count()), acts=start)

    def _watched(self, seen: Pass, *, acts: bool) -> Pass:
        """With what is listed beside the passes, as far as it is known."""
        policies = [loaded.policy for loaded in seen.policies.valid]
        selected = partial(self.observer.sources_of, world=seen.world)
        bare = self._unprotected.known(policies, selected, seen.at) if self._unprotected else None
        kept = self._automated.known(policies, seen.at) if self._automated else {}
        clear = acts and not seen.world.skewed
        left = self._drill_sweep.known(policies, seen.at, clear=clear) if self._drill_sweep else ()
        return replace(seen, unprotected=bare, automated=kept, drills_left=left)

    def _running(self) -> Running:
        heavy = [action for action, _, _ in self._handles.values()]
        light = [action for actions, _ in self._futures.values() for action in actions]
        servers = Counter(a.server for a in heavy if isinstance(a, Cut) and a.server)
        return Running(
            keys=frozenset(action.key for action in heavy + light),
            heavy=len(heavy),
            drills=sum(action.name == "drill" for action in heavy),
            servers=servers,
            resources=frozenset((action.application, action.resource) for action in heavy + light),
        )

    def _start(self, actions: Iterable[Action], seen: Pass) -> tuple[Action, ...]:
        started: list[Action] = []
        light: dict[tuple[str, str], list[Action]] = {}
        for action in actions:
            if is_heavy(action):
                if self._start_heavy(action, seen):
                    started.append(action)
            elif (action.application, action.resource) not in self._futures:
                light.setdefault((action.application, action.resource), []).append(action)
        for where, actions in light.items():
            scene = scene_of(seen, actions[0])
            future = self._pool.submit(self._carry_out, tuple(actions), scene)
            self._futures[where] = (tuple(actions), future)
            started.extend(actions)
        return tuple(started)

    def _start_deleting(self, actions: Sequence[Action], seen: Pass) -> tuple[Action, ...]:
        """What deletes is planned twice: the second time under its resource's lock, on a fresh and complete view."""
        locks: dict[tuple[str, str], Lock] = {}
        for where in dict.fromkeys((action.application, action.resource) for action in actions):
            if where not in self._futures and len(locks) < _DELETE_AT_ONCE:
                with suppress(DrorchError):
                    locks[where] = self._locks.take(resource_lock(*where), "expire")
        try:
            again = self._look_again(actions, locks, seen)
        except DrorchError as error:
            for lock in locks.values():
                lock.release()
            log.warning("nothing deleted", error=str(error))
            return ()
        started: list[Action] = []
        for where, lock in locks.items():
            confirmed = [
                same
                for action in actions
                if (action.application, action.resource) == where and (same := planned_again(action, again))
            ]
            if not confirmed:
                lock.release()
                continue
            future = self._pool.submit(self._carry_out_under, lock, tuple(confirmed), scene_of(again, confirmed[0]))
            self._futures[where] = (tuple(confirmed), future)
            started.extend(confirmed)
        return tuple(started)

    def _look_again(self, actions: Sequence[Action], locks: Container[tuple[str, str]], seen: Pass) -> Pass:
        """The applications concerned, observed anew: the vaults in question listed as a whole, every other vault as far
        as it may hold a pin, a mark or a proof of them.
        """
        names = {action.application for action in actions if (action.application, action.resource) in locks}
        if not names:
            return replace(seen, plans={})
        now, policies = self._now(), [seen.plans[name].policy for name in sorted(names)]
        whole = {action.vault for action in actions} & self.observer.vaults.keys()
        for policy in policies:
            for vault in self.observer.vaults.keys() - whole:
                self.observer.refresh_application(vault, policy, now)
        world = self.observer.observe(policies, now, fresh=bool(whole), only=whole)
        look = self._planner.look(world, now, self._intents.standing(), self._failures)
        plans = {}
        for policy in policies:
            held = {
                resource for resource in [r.name for r in policy.resources] if (policy.application, resource) in locks
            }
            valid = seen.plans[policy.application].status.policy_valid
            plans[policy.application] = self._planner.fresh(policy, look, valid=valid, held=held)
        return Pass(now, seen.policies, world, plans)

    def _carry_out_under(self, lock: Lock, actions: tuple[Action, ...], scene: Scene) -> list[Finished]:
        try:
            return [self._carry_out_one(action, scene) for action in actions]
        finally:
            lock.release()

    def _start_heavy(self, action: Action, seen: Pass) -> bool:
        try:
            lock = self._locks.take(resource_lock(action.application, action.resource), action.name)
        except Busy:
            return False
        except DrorchError as error:
            self._note(Finished(action, "", error))
            return False
        try:
            if not self._still_wanted(action, seen):
                lock.release()
                return False
            if isinstance(action, Cut):
                self._intents.begin(action.point, self._now())
            handle = self._heavy.start(action, scene_of(seen, action), lock)
        except DrorchError as error:
            lock.release()
            self._note(Finished(action, "", error))
            return False
        self._handles[action.key] = (action, handle, lock)
        log.info("action started", action=action.name, **where_of(action), reason=action.reason)
        return True

    def _still_wanted(self, action: Action, seen: Pass) -> bool:
        """Look again under the lock, at this resource alone: another process may just have done it."""
        for vault in written_to(action, self.observer.vaults):
            self.observer.refresh(vault, action.application, action.resource, self._now())
        if isinstance(action, Verify):
            return True  # it reads, and whatever lies there is worth reading
        before = seen.plans[action.application]
        valid = before.status.policy_valid
        look = self._planner.look(seen.world, seen.at, before.observed.intents, self._failures)
        again = self._planner.fresh(before.policy, look, valid=valid, held=(action.resource,))
        return any(a.key == action.key and a.point == action.point for a in again.actions)

    def _carry_out(self, actions: tuple[Action, ...], scene: Scene) -> list[Finished]:
        """One resource's light actions, one after the other under its lock."""
        first = actions[0]
        try:
            with self._locks.held(resource_lock(first.application, first.resource), first.name):
                return [self._carry_out_one(action, scene) for action in actions]
        except Busy:
            return []  # somebody else is at this resource; the next pass looks again

    def _carry_out_one(self, action: Action, scene: Scene) -> Finished:
        try:
            with acting(priority_of(action)):
                return Finished(action, self._light.carry_out(action, scene, self._now()))
        except DrorchError as error:
            return Finished(action, "", error)
        except Exception as error:  # a fault in one action must not take the pass of all applications along
            log.exception("a fault in drorch", action=action.name, **where_of(action))
            fault = DrorchError("a fault in drorch", operation=action.name, cause=f"{type(error).__name__}: {error}")
            return Finished(action, "", fault)

    # --- harvesting ---

    def harvest(self) -> tuple[Finished, ...]:
        """What ended since the last look, noted, logged, and read back from the vaults it touched."""
        ended: list[Finished] = []
        for where, (_, future) in list(self._futures.items()):
            if future.done():
                del self._futures[where]
                ended.extend(future.result())
        for key, (_, handle, lock) in list(self._handles.items()):
            finished = handle.poll()
            if finished is not None:
                del self._handles[key]
                lock.release()
                ended.append(finished)
        for finished in ended:
            self._note(finished)
        self._read_back(ended)
        for finished in ended:
            if finished.error is None:
                reach(f"{finished.action.name}.recorded")
        return tuple(ended)

    def _note(self, finished: Finished) -> None:
        action, error, now = finished.action, finished.error, self._now()
        self.outcomes[(action.name, finished.outcome)] += 1
        self.attempts[(action.application, action.resource, finished.outcome)] = now
        if self._journal:
            self._journal.ended(finished)
        if isinstance(action, Verify) and finished.result:
            self._guards.turn_read(action, now)
            self._planner.forget(action.application)
        if error is None:
            self._failures.pop(action.key, None)
            log.info("action done", action=action.name, **where_of(action), result=finished.text)
            return
        if self._rooms.waits(action, error, now):
            log.info("action waits", action=action.name, **where_of(action), error=str(error))
            return
        if not isinstance(error, Busy):
            self._failures = {key: f for key, f in self._failures.items() if now < f.at + FORGOTTEN}
            before = self._failures.get(action.key)
            self._failures[action.key] = Failure(now, before.count + 1 if before else 1, str(error))
        log.warning("action failed", action=action.name, **where_of(action), outcome=finished.outcome, error=str(error))

    def _read_back(self, ended: Sequence[Finished]) -> None:
        for vault in {f.action.vault for f in ended if isinstance(f.action, Sweep) and f.action.what == "uploads"}:
            self.observer.refresh_uploads(vault, self._now())
        touched = {
            (vault, finished.action.application, finished.action.resource)
            for finished in ended
            for vault in written_to(finished.action, self.observer.vaults)
        }
        if self._guides:
            self._guides.touch(vault for vault, _, _ in touched)
        policies = {loaded.policy.application: loaded.policy for loaded in self._policies.valid}
        for vault, application, resource in sorted(touched):
            policy = policies.get(application)
            if policy is not None and carries_on(policy):
                self.observer.refresh_application(vault, policy, self._now())
            else:
                self.observer.refresh(vault, application, resource, self._now())

    # --- ending ---

    def running_count(self) -> int:
        """How many actions are under way."""
        return len(self._handles) + sum(len(actions) for actions, _ in self._futures.values())

    def heavy_running(self) -> tuple[Action, ...]:
        """The dumps, ships and drills under way."""
        return tuple(action for action, _, _ in self._handles.values())

    def cancel(self) -> None:
        """Abandon every worker; what they had sent is never committed."""
        for _, handle, _ in self._handles.values():
            handle.cancel()

    def close(self) -> None:
        """Wait for light actions (a few calls each) and let every lock go."""
        self._pool.shutdown(wait=True)
        for _, _, lock in self._handles.values():
            lock.release()
        if self._journal:
            self._journal.close()
