"""What a person orders: a point now, a drill now, a pin, a deletion that may pass. The daemon's hands and locks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from drorch.app.approval import Approved, to_release
from drorch.app.carry import LightHands, Scene
from drorch.app.intents import Intents
from drorch.app.locks import Locks, resource_lock
from drorch.app.ordered_cuts import Ordered, OrderedCuts, Watch
from drorch.app.passing import ApplicationPlan, Finished, Handle, HeavyHands, Pass, scene_of
from drorch.app.reconcile import Reconciler
from drorch.app.signing import write_somewhere
from drorch.crypto.minisign import SecretKey
from drorch.domain.action import Action, Cut, Drill, ScenarioDrill
from drorch.domain.audit import Audit
from drorch.domain.brake import APPROVED_FOR
from drorch.domain.errors import DrorchError, NotFound, Refused, Unavailable
from drorch.domain.instant import floor_second, manual_slot, to_text
from drorch.domain.model import RecoveryPoint
from drorch.domain.plan import PointId, newest_usable
from drorch.domain.plan_scenario import scenario_vault
from drorch.domain.policy import ResourcePolicy
from drorch.domain.record import MarkType, Record, RecordType, compose
from drorch.domain.scenario import SCENARIO
from drorch.ports import Clock, ObjectStore

_POLL = 0.2
"""Seconds between looks at a worker on this host."""
_TICK_OF_RECORDS = 1.0
"""Seconds between two instants that records can tell apart."""


class Orders:
    """Carries out orders against one host; at most `at_once` dumps that were ordered together run at the same time."""

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
        at_once: int = 4,
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
        self._at_once = at_once
        self.watch = watch

    # --- backup ---

    def backup(self, seen: Pass, plan: ApplicationPlan, resource: ResourcePolicy, note: str) -> Ordered:
        """As `together`, of one resource; raises its error."""
        how = self.together(seen, plan, [resource], note)[resource.name]
        if isinstance(how, DrorchError):
            raise how
        return how

    def together(
        self, seen: Pass, plan: ApplicationPlan, resources: Sequence[ResourcePolicy], note: str
    ) -> Mapping[str, Ordered | DrorchError]:
        """Cut manual points now, all of one slot, and wait until they are usable: resource -> its point, or its error.

        All begin before any is waited for, as far as the host has places for dumps. Busy stands for a resource that is
        locked, Unavailable for a template of which no database is known.
        """
        self._reconciler.observer.mark_new(self._clock.now())
        slot = manual_slot(self._clock.now())
        ended: dict[str, Ordered | DrorchError] = {}
        wanted: list[tuple[Cut, Scene]] = []
        for resource in resources:
            try:
                wanted.append(self._wanted(seen, plan, resource, slot, note))
            except DrorchError as error:
                ended[resource.name] = error
        cuts = OrderedCuts(
            reconciler=self._reconciler,
            light=self._light,
            heavy=self._heavy,
            locks=self._locks,
            intents=self._intents,
            clock=self._clock,
            at_once=self._at_once,
            watch=lambda resource, progress: self.watch(resource, progress),
        )
        ended |= cuts.carry_out(wanted)
        return {resource.name: ended[resource.name] for resource in resources}

    def _wanted(
        self, seen: Pass, plan: ApplicationPlan, resource: ResourcePolicy, slot: str, note: str
    ) -> tuple[Cut, Scene]:
        """The cut of one resource and its scene. Raises Unavailable or Refused for one that cannot be cut now."""
        if resource.template:
            why = next((seen.why for seen in plan.policy.templates if seen.name == resource.name), "")
            raise Unavailable(f"no database of {resource.name} is known", resource=resource.name, cause=why)
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
            return Cut(application, resource.name, home, point, "ordered", slot, 1), scene
        unread = self._reconciler.observer.unread_vaults()
        into = tuple(rule.vault for rule in resource.targets if rule.vault not in unread)
        if not into:
            causes = "; ".join(f"{vault}: {why}" for vault, why in sorted(unread.items()))
            raise Unavailable("no vault can be written to", resource=resource.name, cause=causes)
        return Cut(application, resource.name, "", point, "ordered", slot, 1, into), scene

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

    def rehearse(self, seen: Pass, plan: ApplicationPlan, region: str) -> Finished:
        """Drill the whole application in a region now; "" is that of the policy's drill.

        Refused without such a drill in the policy (its region is swept, and its roles may do it) and for a region that
        the runbook does not map; NotFound when no copy goes there.
        """
        policy = plan.policy
        if policy.scenario is None or policy.recovery is None:
            hint = "drill: {every: 30d, scenario: region} beside recovery:"
            raise Refused(f"{policy.application} has no drill of the whole application", operation="drill", hint=hint)
        into, regions = region or policy.scenario.into, tuple(policy.recovery.regions)
        if into not in regions:
            raise Refused(f"{into} is no region of the runbook", operation="drill", hint=", ".join(regions))
        vault = scenario_vault(policy, into)
        if not vault:
            raise NotFound(f"no copy that the runbook brings back goes to {into}", operation="drill")
        action = ScenarioDrill(policy.application, SCENARIO, vault, "", "ordered")
        finished = self._in_worker(action, scene_of(seen, action), fail=False)
        self._read_back(self._reconciler.observer.vaults, policy.application, SCENARIO)
        return finished

    def audit(self, seen: Pass, picked: Audit) -> Finished:
        """Drill what an audit picked now. Raises NotFound when its application or its point is not here any more."""
        offer = picked.offer
        plan = seen.plans.get(offer.application)
        resource = next((r for r in plan.policy.resources if r.name == offer.resource), None) if plan else None
        point = plan.catalogue.find(offer.point) if plan else None
        if plan is None or resource is None or point is None:
            raise NotFound(f"point {offer.point} of {offer.application}/{offer.resource} is not here any more")
        action = Drill(offer.application, offer.resource, offer.vault, offer.point, picked.reason, picked.seed)
        finished = self._in_worker(action, Scene(resource, plan.catalogue, seen.world, ()), fail=False)
        self._read_back(self._reconciler.observer.vaults, *point.filed_under)
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
