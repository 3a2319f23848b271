"""The planner: what one application needs done now, kept, let go and held, each with its reason. Pure.

It is level-triggered: the same world gives the same plan, whatever happened before.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from drorch.domain.action import EXECUTABLE, Action, Cut, Drill, Hold, Keep, Settling
from drorch.domain.audit import Audit
from drorch.domain.brake import brake
from drorch.domain.cadence import of_another_grid
from drorch.domain.catalogue import Catalogue
from drorch.domain.duration import duration_text
from drorch.domain.head import other_host, plan_head
from drorch.domain.instant import to_slot, to_text
from drorch.domain.intent_keys import copied_point
from drorch.domain.kms import KmsSeen, Ref
from drorch.domain.model import CopyState, RecoveryPoint
from drorch.domain.native import Source
from drorch.domain.plan_audit import plan_audit
from drorch.domain.plan_care import plan_care
from drorch.domain.plan_copies import plan_copies, plan_records
from drorch.domain.plan_expiry import in_force, plan_expiry
from drorch.domain.plan_intermediate import plan_intermediates
from drorch.domain.plan_keys import plan_shut
from drorch.domain.plan_locks import plan_locks
from drorch.domain.plan_runbook import plan_runbook
from drorch.domain.plan_scenario import plan_scenario
from drorch.domain.plan_sharing import plan_sharing
from drorch.domain.plan_sweep import plan_old_heads, plan_sweep
from drorch.domain.policy import BrakeRule, LockRule, Policy, ResourcePolicy, VaultRule
from drorch.domain.retention import FUTURE
from drorch.domain.schedule import Every
from drorch.domain.suspicion import plan_suspicion
from drorch.domain.template import plan_templates, was_database
from drorch.domain.waits import SETTLING

PointId = Callable[[str, str, str, int], str]
"""(application, resource, slot, attempt) -> the id that this site gives the point."""


@dataclass(frozen=True, slots=True)
class SourcesSeen:
    """What a native resource selects now. `why` is set when that could not be seen in this pass."""

    sources: tuple[Source, ...] = ()
    why: str = ""


_NOT_SEEN = SourcesSeen(why="its sources were not observed")


@dataclass(frozen=True, slots=True)
class Failure:
    """Earlier attempts at one action (by its key) that failed in this process."""

    at: datetime
    count: int
    why: str

    @property
    def retry_at(self) -> datetime:
        """5 minutes after the first failure, doubling, an hour at most."""
        delay = timedelta(minutes=5 * (1 << min(self.count - 1, 4)))
        return self.at + min(delay, timedelta(hours=1))


@dataclass(frozen=True, slots=True)
class Observed:
    """The world as one application sees it in this pass.

    `unread` maps vaults (native and object) that were not read completely in this pass to why; `claimed` maps resources
    to why another one goes on with what both select (`drorch.domain.claims`); `running` maps
    resources whose lock is held to what holds it; `intents` maps points whose creating call or dump may be under way,
    or may lie in a vault that was not read, to when it was begun; `state_since` is when the state folder was made, if
    it is young enough to have lost intents; `stale` says that the policy is the last valid text of a file that is
    invalid now; without `drills` this host runs none.

    For what deletes: `restoring` says which restore of the application runs here, `never_read` names object vaults
    of which nothing is known, `skewed` says why clocks differ, `host` is this one's name in heads ("" writes none),
    `locks` are the rules of vaults that lock, `locks_unread` maps native vaults to why locks there were not listed,
    `turns` maps (resource, vault) to when each turn of its bytes was read (None: none is), `approved` are the pairs of
    vault and point that a person lets pass the brake.

    `shared` maps (kind, native vault, account) to the ids of the snapshots there that are shared with that account, or
    to why that is not known.
    """

    catalogue: Catalogue
    object_vaults: tuple[str, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, SourcesSeen] = field(default_factory=dict)
    claimed: Mapping[str, str] = field(default_factory=dict)
    running: Mapping[str, str] = field(default_factory=dict)
    intents: Mapping[str, datetime] = field(default_factory=dict)
    copied: Container[str] | None = None
    """The points of which an intent says that a copy was begun; None: to be found among `intents`."""
    failures: Mapping[str, Failure] = field(default_factory=dict)
    state_since: datetime | None = None
    servers: Mapping[str, str] = field(default_factory=dict)
    stale: bool = False
    drills: bool = True
    restoring: str = ""
    never_read: frozenset[str] = frozenset()
    skewed: str = ""
    host: str = ""
    grace: timedelta = timedelta(days=3)
    brake: BrakeRule = field(default_factory=BrakeRule)
    approved: frozenset[tuple[str, str]] = frozenset()
    locks: Mapping[str, LockRule] = field(default_factory=dict)
    locks_unread: Mapping[str, str] = field(default_factory=dict)
    turns: Mapping[tuple[str, str], Mapping[int, datetime]] | None = None
    keys: Mapping[Ref, KmsSeen] = field(default_factory=dict)
    """What is known of KMS keys; of one that is not there nothing is."""
    shared: Mapping[tuple[str, str, str], frozenset[str] | str] = field(default_factory=dict)

    audit: Audit | None = None
    """The random audit that is picked, where it is of this application."""

    @property
    def writable(self) -> tuple[str, ...]:
        """The object vaults that can take records now."""
        return tuple(vault for vault in self.object_vaults if vault not in self.unread)


def plan(policy: Policy, observed: Observed, now: datetime, point_id: PointId) -> tuple[Action, ...]:
    """Every decision for one application, in the order of its resources."""
    application, retired = policy.application, policy.retired is not None and now >= policy.retired.since
    actions: list[Action] = []
    for resource in (in_force(policy, resource, now) for resource in policy.resources if not resource.template):
        another = _another_source(policy, resource, observed)
        if another is not None:
            actions.append(another)
        elif not retired:
            actions.extend(_selection(policy, resource, observed))
            if resource.name in observed.claimed:
                home, why = resource.targets[0].vault, observed.claimed[resource.name]
                actions.append(Hold(application, resource.name, home, "", why, "selected-twice"))
            else:
                actions.extend(_cuts(policy, resource, observed, now, point_id))
        copies = tuple(plan_copies(application, resource, observed, now))
        actions.extend(copies)
        actions.extend(plan_shut(application, resource, observed))
        actions.extend(plan_sharing(application, resource, observed, copies, now))
        actions.extend(plan_records(application, resource, observed, now))
        actions.extend(plan_suspicion(application, resource, observed, now))
        if not retired:
            actions.extend(_drills(policy, resource, observed, now))
            actions.extend(plan_audit(application, resource, observed))
        actions.extend(plan_care(application, resource, observed, now))
        actions.extend(plan_locks(application, resource, observed, now))
        if another is None and (resource.origin is None or resource.origin.listed):
            actions.extend(plan_expiry(policy, resource, observed, now))
            actions.extend(plan_intermediates(application, resource, observed, now))
            actions.extend(plan_sweep(application, resource, observed, now))
    if not retired:
        actions.extend(plan_scenario(policy, observed, now))
    actions.extend(plan_head(application, observed, now))
    actions.extend(plan_runbook(policy, observed, now))
    actions.extend(plan_old_heads(application, observed, now))
    actions.extend(plan_templates(policy))
    actions.extend(_left_behind(policy, observed))
    decided = tuple(_backed_off(action, observed, now) for action in actions)
    braked = brake(policy, decided, observed.catalogue, observed.brake, observed.approved, now)
    other = other_host(observed.catalogue, observed.host, now)
    if not other:
        return braked
    said = Hold(application, "", "", "", other, "other-host")
    return (said, *(_stood_still(action, other) for action in braked))


def _stood_still(action: Action, why: str) -> Action:
    """Two hosts that both act would each undo what the other does: this one looks on."""
    if not isinstance(action, EXECUTABLE):
        return action
    reason = f"{why} ({action.name}: {action.reason})"
    return Hold(action.application, action.resource, action.vault, action.point, reason, "other-host")


def _another_source(policy: Policy, resource: ResourcePolicy, observed: Observed) -> Hold | None:
    """A reused name: what it names now is not what its points were cut from, and would push their history out.

    Only what is known is compared: nothing is said while the sources could not be seen, or of points without records.
    """
    seen = observed.sources.get(resource.name, _NOT_SEEN)
    last = next((p for p in observed.catalogue.of(resource.name) if p.usable and p.identities), None)
    present = {source.identity or source.source_id for source in seen.sources}
    own = resource.name in resource.formerly
    if not resource.native or seen.why or not present or last is None or own or last.identities & present:
        return None
    were, are = ", ".join(sorted(last.identities)), ", ".join(sorted(present))
    reason = (
        f"it names {are} now, its last points are of {were}: a reused name is no continuation. Rename the resource, or "
        f"say that its history goes on with formerly: [{resource.name}]"
    )
    return Hold(policy.application, resource.name, resource.targets[0].vault, last.id, reason, "another-source")


def _backed_off(action: Action, observed: Observed, now: datetime) -> Action:
    if isinstance(action, Keep | Hold):
        return action  # nothing is tried
    failure = observed.failures.get(action.key)
    if failure is None or now >= failure.retry_at:
        return action
    reason = f"{action.name} failed {failure.count} times, next try at {to_text(failure.retry_at)}: {failure.why}"
    return Hold(action.application, action.resource, action.vault, action.point, reason, f"{action.name}-failed")


# --- cuts ----------------------------------------------------------------------------------------------------------


def _cuts(
    policy: Policy, resource: ResourcePolicy, observed: Observed, now: datetime, point_id: PointId
) -> Iterator[Action]:
    slot = to_slot(resource.schedule.slot_at(now))
    home = "" if not resource.native else resource.targets[0].vault

    def hold(reason: str, alarm: str = "", point: str = "") -> Hold:
        return Hold(policy.application, resource.name, home, point, reason, alarm)

    points = observed.catalogue.of(resource.name)
    of_slot = [point for point in points if point.slot == slot]
    readable = [rule for rule in resource.targets if rule.vault not in observed.unread]
    if not readable or (home and home in observed.unread):
        missing = home or resource.targets[0].vault
        yield hold(f"slot {slot}: {missing} was not read completely ({observed.unread[missing]})", "vault-unread")
        return
    alive = [point for point in of_slot if any(c.whole or c.state is CopyState.PENDING for c in point.copies)]
    resumed = next((p for p in alive if home and (c := p.copy_in(home)) is not None and c.partial), None)
    if (alive and resumed is None) or any(_on_its_way(p) for p in of_another_grid(resource, points, now)):
        return
    into = () if home else tuple(rule.vault for rule in readable if _wants(rule, points, now))
    if not home and not into:
        return
    unread = sorted(observed.unread.keys() & set(observed.object_vaults)) if not home else []
    begun = observed.intents if unread else ()  # a dump may lie where nobody can look now
    copied = _copied(observed) if home else ()
    taken = observed.catalogue.taken, begun, copied
    attempt, point = _next_attempt(policy.application, resource.name, slot, taken, point_id)
    if resumed is not None:
        ids = {point_id(policy.application, resource.name, slot, n): n for n in range(1, attempt + 1)}
        attempt, point = ids.get(resumed.id, attempt), resumed.id
    if resource.name in observed.running:
        reason = f"slot {slot}: {observed.running[resource.name]} is running"
        yield Settling(policy.application, resource.name, home, point, reason)
        return
    settling = _settling(resource, observed, point, slot, now)
    if settling:
        yield Settling(policy.application, resource.name, home, point, settling)
        return
    waiting = _after_failures(() if alive else of_slot, now)
    if waiting:
        yield hold(waiting, point=point)
        return
    if home:
        seen = observed.sources.get(resource.name, _NOT_SEEN)
        if seen.why:
            yield hold(f"its sources could not be seen: {seen.why}", "sources-unread")
        if not seen.sources:
            return
    reason = f"slot {slot} is due" if attempt == 1 else f"slot {slot}: attempt {attempt}, the earlier ones failed"
    if _next_attempt(policy.application, resource.name, slot, [observed.catalogue.taken], point_id)[0] < attempt:
        where = f"may lie in {', '.join(unread)}, not read now" if unread else "is not seen, and a copy of it may show"
        reason = f"slot {slot}: attempt {attempt}, an earlier one {where}"
    if resumed is not None:
        reason = f"slot {slot}: not every creating call of the point was made"
    if warning := str(getattr(resource.options, "warning", "")):
        reason = f"{reason}; {warning}"
    server = observed.servers.get(resource.name, "")
    resuming = resumed is not None
    cut = Cut(policy.application, resource.name, home, point, reason, slot, attempt, into, server, resuming)
    yield _within_window(cut, resource, observed, now)


def _on_its_way(point: RecoveryPoint) -> bool:
    """Whether it is there, or will be without anything being begun."""
    return any(copy.whole or (copy.state is CopyState.PENDING and not copy.partial) for copy in point.copies)


def _copied(observed: Observed) -> Container[str]:
    """The points of which a copy was begun that nobody has seen whole: cut again under its id, an older copy would be
    taken for one of what is cut now.
    """
    if observed.copied is not None:
        return observed.copied
    return {copied_point(key) for key in observed.intents} - {""}


def _within_window(cut: Cut, resource: ResourcePolicy, observed: Observed, now: datetime) -> Action:
    """The cut, or why it waits: one that failed before is an alarm all the while, as if it were tried again."""
    window = resource.window
    if window is None or window.open_at(now):
        return cut
    failure = observed.failures.get(cut.key)
    failed = f"; cut failed {failure.count} times: {failure.why}" if failure is not None else ""
    reason = f"{cut.reason}, held until its window {window} opens at {to_text(window.opens_after(now))}{failed}"
    return Hold(cut.application, cut.resource, cut.vault, cut.point, reason, "cut-failed" if failed else "")


def _wants(rule: VaultRule, points: Sequence[RecoveryPoint], now: datetime) -> bool:
    """Whether the vault takes the point of this slot: with an `every` of its own, only the first of each slot of it."""
    if rule.every is None:
        return True
    since = Every(rule.every).slot_at(now)
    taken = (p.cut_at for p in points if p.usable and not p.manual and p.cut_at is not None)
    return not any(since <= cut_at <= now + FUTURE for cut_at in taken)


def _next_attempt(
    application: str, resource: str, slot: str, taken: Sequence[Container[str]], point_id: PointId
) -> tuple[int, str]:
    """The smallest n >= 1 whose id nothing bears (formats: Ids)."""
    attempt, point = 1, point_id(application, resource, slot, 1)
    while any(point in ids for ids in taken):
        attempt += 1
        point = point_id(application, resource, slot, attempt)
    return attempt, point


def _settling(resource: ResourcePolicy, observed: Observed, point: str, slot: str, now: datetime) -> str:
    begun = observed.intents.get(point) if resource.native else None
    if begun is not None and now < begun + SETTLING:
        return f"slot {slot}: a call begun at {to_text(begun)} may still show; settling for {duration_text(SETTLING)}"
    lost = observed.state_since is not None and now < observed.state_since + SETTLING
    had_points = bool(observed.catalogue.of(resource.name))
    if resource.native and lost and had_points and now < resource.schedule.slot_at(now) + SETTLING:
        return f"slot {slot} is young and the state folder is new: a cut may be under way; settling"
    return ""


def _after_failures(of_slot: Sequence[RecoveryPoint], now: datetime) -> str:
    """Attempts that failed at the provider after the call are followed up as slowly as calls that fail.

    An unsigned record of the slot is nobody's attempt.
    """
    tried = [p for p in of_slot if p.cut_at is not None and any(c.state is CopyState.FAILED for c in p.copies)]
    failed = [p.cut_at for p in tried if p.cut_at is not None and p.cut_at <= now + FUTURE]
    if not failed:
        return ""
    retry_at = Failure(max(failed), len(failed), "").retry_at
    return f"{len(failed)} attempt(s) at this slot failed, next try at {to_text(retry_at)}" if now < retry_at else ""


def _selection(policy: Policy, resource: ResourcePolicy, observed: Observed) -> Iterator[Action]:
    """What is wrong with what a native resource selects, whether a cut is due or not."""
    seen = observed.sources.get(resource.name, _NOT_SEEN)
    if not resource.native or seen.why:
        return
    home = resource.targets[0].vault
    if not seen.sources:
        wanted = resource.options.model_dump(mode="json", by_alias=True, exclude_none=True)
        reason = f"nothing in {home} matches {wanted}: nothing would be protected"
        yield Hold(policy.application, resource.name, home, "", reason, "empty-selection")
        return
    latest = next((point for point in observed.catalogue.of(resource.name) if point.usable), None)
    copy = latest.copy_in(home) if latest is not None else None
    if latest is None or copy is None:
        return
    were = {member.source_id for member in copy.members if not member.image}
    for gone in sorted(were - {source.source_id for source in seen.sources}):
        reason = f"{gone} was in the last point and is gone from the selection"
        yield Hold(policy.application, resource.name, home, latest.id, reason, "member-gone")


# --- drills --------------------------------------------------------------------------------------------------------


def _drills(policy: Policy, resource: ResourcePolicy, observed: Observed, now: datetime) -> Iterator[Action]:
    rule = resource.drill
    if rule is None or observed.skewed or not (observed.drills or resource.native):
        return  # a proof signed by a clock that is ahead would outweigh the drills of all that time
    for vault in rule.from_:
        if vault in observed.unread:
            continue
        found = newest_usable(observed.catalogue.of(resource.name), vault, now + FUTURE)
        if found is None:
            continue
        drills = (d for d in observed.catalogue.drills if (d.resource, d.vault) == (resource.name, vault))
        # An audit that passed says nothing of the newest point; one that failed is tried again like any drill.
        last = next((d for d in drills if d.at <= now + FUTURE and not (d.audit and d.well)), None)
        if last is None:
            reason = f"no drill from {vault} yet"
        elif last.well and now >= last.at + rule.every:
            reason = f"last passed at {to_text(last.at)}, due every {duration_text(rule.every)}"
        elif not last.well and now >= last.at + min(rule.every, timedelta(days=1)):
            reason = f"the drill at {to_text(last.at)} failed"
        else:
            if not last.well:
                reason = f"the drill of {last.point} at {to_text(last.at)} failed; it is tried again within a day"
                yield Hold(policy.application, resource.name, vault, last.point, reason, "drill-failed")
            continue
        if resource.name in observed.running:
            reason = f"drill from {vault} is due, but {observed.running[resource.name]} is running"
            yield Settling(policy.application, resource.name, vault, found.id, reason)
        else:
            yield Drill(policy.application, resource.name, vault, found.id, reason)


def newest_usable(points: tuple[RecoveryPoint, ...], vault: str, until: datetime | None = None) -> RecoveryPoint | None:
    """The newest point (of points sorted newest first) with a usable copy in `vault`, none as of after `until`."""
    there = (p for p in points if (copy := p.copy_in(vault)) is not None and copy.usable)
    return next((p for p in there if until is None or p.cut_at is None or p.cut_at <= until), None)


# --- what does not fit ----------------------------------------------------------------------------------------------


def _left_behind(policy: Policy, observed: Observed) -> Iterator[Action]:
    """What the catalogue holds and the policy does not name, and what does not fit: reported, never touched."""
    named = {resource.name for resource in policy.resources if not resource.template}
    for left in sorted({point.resource for point in observed.catalogue.points} - named):
        what = was_database(policy, observed.catalogue, left)
        reason = f"{what} is not meant any more, or gone" if what else "not in the policy any more"
        yield Hold(policy.application, left, "", "", f"{reason}: its points are kept", "left-behind")
    for oddity in observed.catalogue.oddities:
        yield Hold(policy.application, oddity.resource, oddity.vault, oddity.point, oddity.what, oddity.alarm)
