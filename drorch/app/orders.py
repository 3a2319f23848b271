"""What a person orders: a point now, a drill now, a pin, a deletion that may pass. The daemon's hands and locks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from drorch.app.approval import Approved, to_release
from drorch.app.carry import LightHands, Scene
from drorch.app.intents import Intents
from drorch.app.locks import Locks, resource_lock
from drorch.app.passing import ApplicationPlan, Finished, Handle, HeavyHands, Pass
from drorch.app.reconcile import Reconciler
from drorch.app.signing import write_somewhere
from drorch.crypto.minisign import SecretKey
from drorch.domain.action import Action, Cut, Drill, WriteRecord
from drorch.domain.brake import APPROVED_FOR
from drorch.domain.errors import DrorchError, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.instant import floor_second, from_text, manual_slot, to_text
from drorch.domain.model import CopyState, RecoveryPoint
from drorch.domain.plan import PointId, newest_usable
from drorch.domain.policy import ResourcePolicy
from drorch.domain.record import MarkType, Record, RecordType, compose
from drorch.ports import Clock, ObjectStore

_LOOK_EVERY = 2.0
"""Seconds between looks at a snapshot that is pending."""
_POLL = 0.2
"""Seconds between looks at a worker on this host."""
_TICK_OF_RECORDS = 1.0
"""Seconds between two instants that records can tell apart."""

Watch = Callable[[str, Mapping[str, Any]], None]
"""Hears of progress: the resource, and what was reported last."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """A point that was cut by order, usable now."""

    resource: str
    point: str
    cut_at: datetime
    vaults: tuple[str, ...]
    lost: Mapping[str, str]


class Orders:
    """Carries out orders against one host."""

    def __init__(
        self,
        *,
        site: str,
        reconciler: Reconciler,
        light: LightHands,
        heavy: HeavyHands,
        locks: Locks,
        intents: Intents,
        signing: Callable[[], SecretKey],
        store_of: Callable[[str], ObjectStore],
        point_id: PointId,
        clock: Clock,
        by: str = "",
        watch: Watch = lambda _resource, _progress: None,
    ) -> None:
        self._site = site
        self._reconciler = reconciler
        self._light = light
        self._heavy = heavy
        self._locks = locks
        self._intents = intents
        self._signing = signing
        self._store_of = store_of
        self._point_id = point_id
        self._clock = clock
        self._by = by
        self.watch = watch

    # --- backup ---

    def backup(self, seen: Pass, plan: ApplicationPlan, resource: ResourcePolicy, note: str) -> Ordered:
        """Cut a manual point now and wait until it is usable. Raises Busy when the resource is locked, Unavailable for
        a template of which no database is known.
        """
        if resource.template:
            why = next((seen.why for seen in plan.policy.templates if seen.name == resource.name), "")
            raise Unavailable(f"no database of {resource.name} is known", resource=resource.name, cause=why)
        self._reconciler.observer.mark_new(self._clock.now())
        slot = manual_slot(self._clock.now())
        application = plan.policy.application
        point = self._point_id(application, resource.name, slot, 1)
        sources = plan.observed.sources.get(resource.name)
        scene = Scene(resource, plan.catalogue, seen.world, sources.sources if sources else (), note)
        if resource.native:
            if sources is None or sources.why:
                why = sources.why if sources else "its sources were not observed"
                raise Unavailable("what is to be cut could not be seen", resource=resource.name, cause=why)
            if not sources.sources:
                raise Refused("there is nothing to cut", resource=resource.name, cause="the selection is empty")
            if resource.name in plan.observed.claimed:
                cause = plan.observed.claimed[resource.name]
                raise Refused("another resource selects the same", resource=resource.name, cause=cause)
            home = resource.targets[0].vault
            cut = Cut(application, resource.name, home, point, "ordered", slot, 1)
            return self._native(cut, scene)
        unread = self._reconciler.observer.unread_vaults()
        into = tuple(rule.vault for rule in resource.targets if rule.vault not in unread)
        if not into:
            causes = "; ".join(f"{vault}: {why}" for vault, why in sorted(unread.items()))
            raise Unavailable("no vault can be written to", resource=resource.name, cause=causes)
        cut = Cut(application, resource.name, "", point, "ordered", slot, 1, into)
        result = self._in_worker(cut, scene).result
        self._read_back(into, application, resource.name)
        return Ordered(
            resource.name, point, from_text(result["cut_at"]), tuple(result["vaults"]), dict(result.get("lost") or {})
        )

    def _native(self, cut: Cut, scene: Scene) -> Ordered:
        with self._locks.held(resource_lock(cut.application, cut.resource), "backup"):
            try:
                self._light.carry_out(cut, scene, self._clock.now())
            except OutcomeUnknown:
                self.watch(cut.resource, {"step": "looking whether the cut was begun"})
            point, seen = self._usable(cut)
            self._intents.end(cut.point)
            self._recorded(cut, scene, seen)
        if point.cut_at is None:
            raise Unavailable(f"the provider does not say what {point.id} is as of", resource=cut.resource)
        return Ordered(cut.resource, cut.point, point.cut_at, (cut.vault,), {})

    def _recorded(self, cut: Cut, scene: Scene, seen: Pass) -> None:
        """Sign the native record; what no vault takes now is written at the next pass."""
        into = tuple(self._reconciler.observer.vaults)
        if not into:
            return
        record = WriteRecord(cut.application, cut.resource, cut.vault, cut.point, "usable", into)
        catalogue = seen.plans[cut.application].catalogue
        scene = Scene(scene.resource, catalogue, seen.world, scene.sources, scene.note)
        self._light.carry_out(record, scene, self._clock.now())
        self._read_back(into, cut.application, cut.resource)

    def _usable(self, cut: Cut) -> tuple[RecoveryPoint, Pass]:
        """Look until the point is usable; what shows nothing for long was never begun."""
        begun = self._clock.now()
        while True:
            seen = self._reconciler.look()
            point = seen.plans[cut.application].catalogue.find(cut.point)
            copy = point.copy_in(cut.vault) if point is not None else None
            if point is not None and copy is not None:
                if copy.whole:
                    return point, seen
                if copy.state is CopyState.FAILED:
                    raise Unavailable(f"point {cut.point} failed at the provider", vault=cut.vault, cause=copy.why)
                self.watch(cut.resource, {"step": copy.why})
            elif self._clock.now() - begun > timedelta(minutes=5):
                raise OutcomeUnknown(
                    f"point {cut.point} does not show", vault=cut.vault, hint="drorch points shows it if it comes up"
                )
            self._clock.sleep(_LOOK_EVERY)

    # --- drill ---

    def drill(self, seen: Pass, plan: ApplicationPlan, resource: ResourcePolicy, vault: str) -> Finished:
        """Drill the newest usable point of a vault now.

        Raises NotFound when there is none, Unavailable when the vault could not be read and may have one.
        """
        vaults = self._reconciler.observer.vaults
        known = [rule.vault for rule in resource.targets] if resource.native else sorted(vaults)
        if vault not in known:
            raise NotFound(f"there is no vault {vault!r} of {resource.name}", hint=f"{', '.join(known) or 'none'}")
        point = newest_usable(plan.catalogue.of(resource.name), vault)
        if point is None and vault in seen.world.unread:
            raise Unavailable(f"{vault} could not be read", resource=resource.name, cause=seen.world.unread[vault])
        if point is None:
            raise NotFound(f"{vault} has no usable point of {resource.name}", hint="drorch points shows what there is")
        action = Drill(plan.policy.application, resource.name, vault, point.id, "ordered")
        finished = self._in_worker(action, Scene(resource, plan.catalogue, seen.world, ()), fail=False)
        self._read_back(vaults, *point.filed_under)
        return finished

    def _in_worker(self, action: Action, scene: Scene, *, fail: bool = True) -> Finished:
        with self._locks.held(resource_lock(action.application, action.resource), f"{action.name} by order") as lock:
            handle: Handle = self._heavy.start(action, scene, lock)
            try:
                while (finished := handle.poll()) is None:
                    self.watch(action.resource, getattr(handle, "progress", {}))
                    self._clock.sleep(_POLL)
            except BaseException:
                handle.cancel()
                raise
        if finished.error is not None and (fail or not finished.result):
            raise finished.error
        return finished

    # --- pins, and what was suspect ---

    def require_a_vault(self) -> None:
        """Refused when there is no object vault that a pin (a mark, an approval) could be written into."""
        if not self._reconciler.observer.vaults:
            raise Refused("orders are kept as records, and this host has no object vault for them", hint="vaults: ...")

    def pin(self, point: RecoveryPoint, reason: str, until: datetime | None) -> Mapping[str, DrorchError]:
        """Sign a pin into every vault that can be reached; the errors of the others. Unavailable when none can be."""
        return self._mark(point, MarkType.PIN, reason, until)

    def unpin(self, point: RecoveryPoint, reason: str) -> Mapping[str, DrorchError]:
        """End the pin. As `pin`."""
        # Records carry whole seconds, and on a tie the mark that keeps wins: this one must be later than any pin.
        self._clock.sleep(_TICK_OF_RECORDS)
        return self._mark(point, MarkType.UNPIN, reason, None)

    def clear(self, point: RecoveryPoint, reason: str) -> Mapping[str, DrorchError]:
        """Say that a suspect point is what it should be. As `pin`; Refused for a point that is not suspect."""
        if not point.suspect:
            raise Refused(f"point {point.id} is not suspect", resource=point.resource, hint="nothing has to be cleared")
        self._clock.sleep(_TICK_OF_RECORDS)  # as for `unpin`: on a tie it would stay suspect
        return self._mark(point, MarkType.CLEARED, reason, None)

    def _mark(
        self, point: RecoveryPoint, mark: MarkType, reason: str, until: datetime | None
    ) -> Mapping[str, DrorchError]:
        if point.cut_at is None:
            raise Refused(f"point {point.id} has no instant yet", hint="wait until it is usable")
        application, resource = point.filed_under
        record = compose(
            RecordType.MARK,
            site=self._site,
            at=self._clock.now(),
            application=application,
            resource=resource,
            point=point.id,
            cut_at=point.cut_at,
            mark=str(mark),
            reason=reason or None,
            by=self._by or None,
            until=None if until is None else to_text(until),
        )
        return self._write(record, str(mark))

    # --- approvals ---

    def approve(self, seen: Pass, digest: str, reason: str) -> Approved:
        """Sign that exactly the deletions of the plan with this digest may pass the brake, for `APPROVED_FOR`.

        Raises as `to_release`; Unavailable when no vault takes the approval.
        """
        whole, releases = to_release(seen, digest)
        at = floor_second(self._clock.now())
        record = compose(
            RecordType.APPROVAL,
            site=self._site,
            at=at,
            digest=whole,
            deletions=[list(pair) for pair in sorted({(r.vault, r.point) for r in releases})],
            reason=reason or None,
            by=self._by or None,
        )
        return Approved(whole, at + APPROVED_FOR, releases, self._write(record, "approval"))

    # --- writing and reading back ---

    def _write(self, record: Record, what: str) -> Mapping[str, DrorchError]:
        """Sign the record into every vault that can be reached; the errors of the others."""
        self.require_a_vault()
        self._reconciler.observer.mark_new(self._clock.now())
        unread = self._reconciler.observer.unread_vaults()
        vaults = tuple(vault for vault in self._reconciler.observer.vaults if vault not in unread)
        lost: dict[str, DrorchError] = {vault: Unavailable(why, vault=vault) for vault, why in unread.items()}
        if not vaults:
            raise Unavailable(f"no vault can take the {what}", cause="; ".join(str(error) for error in lost.values()))
        lost |= write_somewhere(record, self._signing(), vaults, self._store_of)
        self._read_back(vaults, record.application, record.resource)
        return lost

    def _read_back(self, vaults: Iterable[str], application: str, resource: str) -> None:
        for vault in vaults:
            self._reconciler.observer.refresh(vault, application, resource, self._clock.now())
