"""The planner: what one application needs done now, kept, let go and held, each with its reason. Pure.

It is level-triggered: the same world gives the same plan, whatever happened before.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from drorch.domain.action import Action, Cut, Drill, Expire, Hold, Keep
from drorch.domain.catalogue import Catalogue
from drorch.domain.duration import duration_text
from drorch.domain.instant import to_slot, to_text
from drorch.domain.model import Copy, CopyState, RecoveryPoint
from drorch.domain.native import Source
from drorch.domain.plan_copies import SETTLING, plan_copies, plan_records
from drorch.domain.policy import Policy, ResourcePolicy
from drorch.domain.retention import Candidate, keep

PointId = Callable[[str, str, str, int], str]
"""(application, resource, slot, attempt) -> the id that this site gives the point."""


@dataclass(frozen=True, slots=True)
class SourcesSeen:
    """What a native resource selects now. `why` is set when that could not be seen in this pass."""

    sources: tuple[Source, ...] = ()
    why: str = ""


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

    `unread` maps vaults (native and object) that were not read completely in this pass to why; `running` maps
    resources whose lock is held to what holds it; `intents` maps points whose creating call may be under way to when
    it was begun; `state_since` is when the state folder was made, if it is young enough to have lost intents.
    """

    catalogue: Catalogue
    object_vaults: tuple[str, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, SourcesSeen] = field(default_factory=dict)
    running: Mapping[str, str] = field(default_factory=dict)
    intents: Mapping[str, datetime] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)
    state_since: datetime | None = None
    servers: Mapping[str, str] = field(default_factory=dict)


def plan(policy: Policy, observed: Observed, now: datetime, point_id: PointId) -> tuple[Action, ...]:
    """Every decision for one application, in the order of its resources."""
    actions: list[Action] = []
    for resource in policy.resources:
        actions.extend(_cuts(policy, resource, observed, now, point_id))
        actions.extend(plan_copies(policy.application, resource, observed, now))
        actions.extend(plan_records(policy.application, resource, observed))
        actions.extend(_drills(policy, resource, observed, now))
        actions.extend(_retention(policy, resource, observed, now))
    actions.extend(_left_behind(policy, observed))
    return tuple(_backed_off(action, observed, now) for action in actions)


def _backed_off(action: Action, observed: Observed, now: datetime) -> Action:
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

    of_slot = [point for point in observed.catalogue.of(resource.name) if point.slot == slot]
    into = tuple(rule.vault for rule in resource.targets if rule.vault not in observed.unread)
    if not into or (home and home not in into):
        missing = home or resource.targets[0].vault
        yield hold(f"slot {slot}: {missing} was not read completely ({observed.unread[missing]})", "vault-unread")
        return
    alive = [point for point in of_slot if any(c.usable or c.state is CopyState.PENDING for c in point.copies)]
    resumed = next((p for p in alive if home and (c := p.copy_in(home)) is not None and c.partial), None)
    if alive and resumed is None:
        return
    attempt, point = _next_attempt(policy.application, resource.name, slot, observed.catalogue.taken, point_id)
    if resumed is not None:
        point, attempt = resumed.id, attempt - 1
    if resource.name in observed.running:
        yield hold(f"slot {slot}: {observed.running[resource.name]} is running", point=point)
        return
    waiting = _settling(resource, observed, point, slot, now) or _after_failures(of_slot, now)
    if waiting:
        yield hold(waiting, point=point)
        return
    if home:
        held = yield from _native_sources(resource, observed, hold)
        if held:
            return
    reason = f"slot {slot} is due" if attempt == 1 else f"slot {slot}: attempt {attempt}, the earlier ones failed"
    if resumed is not None:
        reason = f"slot {slot}: not every creating call of the point was made"
    server = observed.servers.get(resource.name, "")
    dumped_into = () if home else into
    resuming = resumed is not None
    yield Cut(policy.application, resource.name, home, point, reason, slot, attempt, dumped_into, server, resuming)


def _next_attempt(
    application: str, resource: str, slot: str, taken: frozenset[str], point_id: PointId
) -> tuple[int, str]:
    """The smallest n >= 1 whose id nothing bears (formats: Ids)."""
    attempt = 1
    while (point := point_id(application, resource, slot, attempt)) in taken:
        attempt += 1
    return attempt, point


def _settling(resource: ResourcePolicy, observed: Observed, point: str, slot: str, now: datetime) -> str:
    begun = observed.intents.get(point)
    if begun is not None and now < begun + SETTLING:
        return f"slot {slot}: a call begun at {to_text(begun)} may still show; settling for {duration_text(SETTLING)}"
    lost = observed.state_since is not None and now < observed.state_since + SETTLING
    had_points = bool(observed.catalogue.of(resource.name))
    if resource.native and lost and had_points and now < resource.schedule.slot_at(now) + SETTLING:
        return f"slot {slot} is young and the state folder is new: a cut may be under way; settling"
    return ""


def _after_failures(of_slot: list[RecoveryPoint], now: datetime) -> str:
    """Attempts that failed at the provider after the call are followed up as slowly as calls that fail."""
    failed = [point.cut_at for point in of_slot if point.cut_at is not None and not point.usable]
    if not failed:
        return ""
    retry_at = Failure(max(failed), len(failed), "").retry_at
    return f"{len(failed)} attempt(s) at this slot failed, next try at {to_text(retry_at)}" if now < retry_at else ""


def _native_sources(
    resource: ResourcePolicy, observed: Observed, hold: Callable[..., Hold]
) -> Generator[Action, None, bool]:
    """Report what is wrong with the selection; the generator's value says whether the cut is held."""
    seen = observed.sources.get(resource.name, SourcesSeen(why="its sources were not observed"))
    if seen.why:
        yield hold(f"its sources could not be seen: {seen.why}", "sources-unread")
        return True
    if not seen.sources:
        yield hold("the selection is empty: nothing would be protected", "empty-selection")
        return True
    latest = next((p for p in observed.catalogue.of(resource.name) if p.usable), None)
    if latest is not None:
        before = {m.source_id for c in latest.copies if c.vault == resource.targets[0].vault for m in c.members}
        for gone in sorted(before - {source.source_id for source in seen.sources}):
            yield hold(f"{gone} was in the last point and is gone from the selection", "member-gone", latest.id)
    return False


# --- drills --------------------------------------------------------------------------------------------------------


def _drills(policy: Policy, resource: ResourcePolicy, observed: Observed, now: datetime) -> Iterator[Action]:
    rule = resource.drill
    if rule is None or resource.native:
        return
    for vault in rule.from_:
        if vault in observed.unread:
            continue
        found = newest_usable(observed.catalogue.of(resource.name), vault)
        if found is None:
            continue
        last = next((d for d in observed.catalogue.drills if (d.resource, d.vault) == (resource.name, vault)), None)
        if last is None:
            reason = f"no drill from {vault} yet"
        elif last.passed and now >= last.at + rule.every:
            reason = f"last passed at {to_text(last.at)}, due every {duration_text(rule.every)}"
        elif not last.passed and now >= last.at + min(rule.every, timedelta(days=1)):
            reason = f"the drill at {to_text(last.at)} failed"
        else:
            continue
        if resource.name in observed.running:
            reason = f"drill from {vault} is due, but {observed.running[resource.name]} is running"
            yield Hold(policy.application, resource.name, vault, found.id, reason)
        else:
            yield Drill(policy.application, resource.name, vault, found.id, reason)


def newest_usable(points: tuple[RecoveryPoint, ...], vault: str) -> RecoveryPoint | None:
    """The newest point (of points sorted newest first) with a usable copy in `vault`."""
    return next((p for p in points if (copy := p.copy_in(vault)) is not None and copy.usable), None)


# --- retention -----------------------------------------------------------------------------------------------------


def _retention(policy: Policy, resource: ResourcePolicy, observed: Observed, now: datetime) -> Iterator[Action]:
    points = observed.catalogue.of(resource.name)
    for rule in resource.targets:
        if rule.vault in observed.unread:
            reason = f"not read completely, so nothing there would be let go: {observed.unread[rule.vault]}"
            yield Hold(policy.application, resource.name, rule.vault, "", reason)
            continue
        candidates = candidates_in(points, rule.vault, resource)
        verdicts = keep(
            rule.keep,
            candidates,
            zone=resource.schedule.zone,
            floor=resource.floor,
            keep_manual=resource.keep_manual,
            now=now,
        )
        for verdict in verdicts:
            decision = Keep if verdict.kept else Expire
            point, reason = verdict.candidate.point, "; ".join(verdict.reasons)
            yield decision(policy.application, resource.name, rule.vault, point, reason)


def candidates_in(points: tuple[RecoveryPoint, ...], vault: str, resource: ResourcePolicy) -> tuple[Candidate, ...]:
    """The usable points of one vault as retention sees them: one per slot, the rest are duplicates."""
    filled: dict[str, str] = {}
    for point in sorted(points, key=lambda p: (p.cut_at is None, str(p.cut_at), p.id)):
        if point.usable and not point.manual:
            filled.setdefault(point.slot, point.id)
    candidates = []
    for point in points:
        copy = point.copy_in(vault)
        if copy is None or not copy.usable or point.cut_at is None:
            continue
        candidates.append(
            Candidate(
                point=point.id,
                cut_at=point.cut_at,
                pinned=point.pinned,
                manual=point.manual,
                verified=copy.verified_at is not None,
                duplicate=not point.manual and filled.get(point.slot) != point.id,
                held=_held(point, copy, resource),
            )
        )
    return tuple(candidates)


def _held(point: RecoveryPoint, copy: Copy, resource: ResourcePolicy) -> str:
    waiting = [c.vault for c in point.copies if c.state is CopyState.PENDING and c.vault != copy.vault]
    wanted = {rule.vault for rule in resource.targets}
    missing = sorted(wanted.intersection(waiting))
    return f"source of the pending copy to {', '.join(missing)}" if missing else ""


def _left_behind(policy: Policy, observed: Observed) -> Iterator[Action]:
    """What the catalogue holds and the policy does not name, and what does not fit: reported, never touched."""
    named = {resource.name for resource in policy.resources}
    for gone in sorted({point.resource for point in observed.catalogue.points} - named):
        yield Hold(policy.application, gone, "", "", "not in the policy any more: its points are kept", "left-behind")
    for oddity in observed.catalogue.oddities:
        yield Hold(policy.application, oddity.resource, oddity.vault, oddity.point, oddity.what, "oddity")
