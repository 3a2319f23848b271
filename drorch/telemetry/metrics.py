"""The metrics of drorch, from what was observed and in data time. What is not known is absent, never 0."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from drorch.domain.action import Action, Braked, Copy, Hold, Ship
from drorch.domain.cadence import of_another_grid
from drorch.domain.catalogue import Catalogue
from drorch.domain.head import removed
from drorch.domain.instant import to_slot
from drorch.domain.key_proof import KeysSeen
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import CopyState, FailureLevel, RecoveryPoint, place_of
from drorch.domain.objective import ApplicationStatus, Standing
from drorch.domain.plan_care import coverage
from drorch.domain.policy import Policy, ResourcePolicy
from drorch.domain.record import noted_files
from drorch.domain.scenario import SCENARIO
from drorch.telemetry.exposition import Family, exposition

WAITING = "waiting"
"""The class of a hold that needs nobody: time is its cure. Every other class is the name of its alarm."""

SERVICES = {"ebs": "ec2", "ami": "ec2", "rds-instance": "rds", "rds-cluster": "rds"}
"""The AWS service that carries the copies of a kind, each with its own quota per destination region."""


@dataclass(frozen=True, slots=True)
class ApplicationFacts:
    """One application as a pass saw it.

    `unread` maps vaults that were not read completely to why; `turns` maps (resource, vault) to when each turn of its
    bytes was read, None where nothing is read.
    """

    policy: Policy
    catalogue: Catalogue
    status: ApplicationStatus
    actions: tuple[Action, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)
    turns: Mapping[tuple[str, str], Mapping[int, datetime]] | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the metrics are computed from. `at` is when the applications were observed.

    `policies` maps every application that is known to whether its file is valid now; `vaults_checked` maps vaults to
    when they were last listed completely; `never_read` names those of which nothing is known; `outcomes` counts ended
    actions by (action, outcome); `attempts` maps (application, resource, outcome) to the last one's end.
    """

    at: datetime
    version: str
    applications: tuple[ApplicationFacts, ...] = ()
    policies: Mapping[str, bool] = field(default_factory=dict)
    vaults_checked: Mapping[str, datetime] = field(default_factory=dict)
    never_read: frozenset[str] = frozenset()
    outcomes: Mapping[tuple[str, str], int] = field(default_factory=dict)
    attempts: Mapping[tuple[str, str, str], datetime] = field(default_factory=dict)
    alarms: frozenset[str] = frozenset()
    pass_seconds: float | None = None
    pass_ended: datetime | None = None
    keys: KeysSeen | None = None
    unprotected: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """(kind, account, region) -> how many no policy selects and nobody ignores; absent where that is not known."""


def render(facts: Facts, now: datetime) -> str:
    """The page as of `now`: what was attained grows older when no pass has looked since, and is missed when due."""
    page = _Page()
    page["build_info"].add(1, version=facts.version)
    for kind in facts.alarms:
        page["alarm"].add(1, kind=kind)
    for application, valid in facts.policies.items():
        page["policy_valid"].add(valid, application=application)
    for vault, checked in facts.vaults_checked.items():
        page["vault_checked_timestamp_seconds"].add(checked.timestamp(), vault=vault)
    for (application, resource, outcome), ended in facts.attempts.items():
        family = page["last_attempt_timestamp_seconds"]
        family.add(ended.timestamp(), application=application, resource=resource, outcome=outcome)
    for (action, outcome), count in facts.outcomes.items():
        page["actions_total"].add(count, action=action, outcome=outcome)
    if facts.pass_seconds is not None:
        page["pass_duration_seconds"].add(facts.pass_seconds)
    if facts.pass_ended is not None:
        page["pass_last_end_timestamp_seconds"].add(facts.pass_ended.timestamp())
    holds: Counter[str] = Counter()
    queues: Counter[tuple[str, str]] = Counter()
    for seen in facts.applications:
        _objectives(page, seen.status, max(now - facts.at, timedelta()))
        for each in seen.policy.resources:
            _resource(page, seen, each, facts.never_read, now)
        _whole_drilled(page, seen)
        _guards(page, seen, facts.never_read)
        holds.update(a.alarm or WAITING for a in seen.actions if isinstance(a, Hold))
        queues.update(_queued(seen))
    _keys(page, facts.keys or KeysSeen())
    for (kind, account, region), count in facts.unprotected.items():
        page["unprotected"].add(count, kind=kind, account=account, region=region)
    for reason, count in holds.items():
        page["holds"].add(count, reason=reason)
    for (service, region), count in queues.items():
        page["copy_queue_depth"].add(count, service=service, region=region)
    return exposition(page.values())


def _keys(page: _Page, keys: KeysSeen) -> None:
    for key in keys.standing:
        if key.proved is not None:
            page["key_proved_timestamp_seconds"].add(key.proved.timestamp(), recipient=key.recipient)
        due = key.due(keys.every)
        if due is not None:
            page["key_proof_due_timestamp_seconds"].add(due.timestamp(), recipient=key.recipient)


class _Page(dict[str, Family]):
    """Every metric of the contract, in its order."""

    def __init__(self) -> None:
        super().__init__({name: Family(f"drorch_{name}", text) for name, text in _HELP.items()})
        self["actions_total"].type = "counter"


_HELP = {
    "build_info": "The version that runs; always 1.",
    "rpo_objective_seconds": "The promised RPO of a dataset at a failure level.",
    "rpo_attained_seconds": "Age of the newest usable (or verified) copy that survives the level, in data time.",
    "dataset_rpo_attained_seconds": "The best attained RPO of the resources that protect a dataset.",
    "rto_objective_seconds": "The promised RTO of a dataset at a failure level.",
    "rto_attained_seconds": "How long a restore from a surviving vault would take now, by the last drills.",
    "objective_met": "1 while the promise is kept, 0 while it is not, absent while that is not known.",
    "alarm": "1 while an alarm stands.",
    "vault_missing": "1 while a vault lacks a usable point that its own keep rules are owed.",
    "vault_checked_timestamp_seconds": "When a vault was last listed completely.",
    "policy_valid": "0 while an application's policy file is invalid or gone; its last valid text is cut under.",
    "points": "Recovery points with a copy in the vault, by the copy's state.",
    "point_bytes": "Bytes of the newest usable point in the vault; for native snapshots the size of their sources.",
    "dump_noted_files": "Files that the newest dump did not store, or that vanished or changed while it read them.",
    "newest_cut_timestamp_seconds": "cut_at of the newest usable point in the vault.",
    "next_due_timestamp_seconds": "The start of the next slot to be filled, or of its window; in the past while late.",
    "last_attempt_timestamp_seconds": "When an action at the resource last ended so, since the start.",
    "drill_last_success_timestamp_seconds": "When a drill from the vault last passed; of scenario.region, ended well.",
    "drill_duration_seconds": "How long that drill took from its start to answered probes.",
    "actions_total": "Ended actions since the start.",
    "holds": "What the planner decided not to do in the last pass, by class of reason.",
    "pass_duration_seconds": "How long the last pass took.",
    "pass_last_end_timestamp_seconds": "When the last pass ended, whatever its outcome.",
    "copy_queue_depth": "Native copies that are pending or still to be begun, by destination region.",
    "removed_copies": "Copies that were live and are gone although nobody let them go: somebody removed them.",
    "tampered_objects": "Committed objects of the vault over which somebody wrote or deleted.",
    "suspect_points": "Usable points that are not believed to be everything, until they are cleared or have expired.",
    "coverage_age_seconds": "Age of the time since when every byte of the resource in the vault was read once.",
    "locked_until_timestamp_seconds": "When the lock of the newest usable point in the vault ends.",
    "key_proved_timestamp_seconds": "When the key of a recipient last proved that it opens what it should.",
    "key_proof_due_timestamp_seconds": "When it has to prove that again; in the past while that is late.",
    "unprotected": "Volumes, database instances and clusters that no policy selects and no ignore: covers.",
    "deletions_held": "Deletions, and marks that begin one, which the brake holds until a person approves them.",
}


# --- promises ------------------------------------------------------------------------------------------------------


def _objectives(page: _Page, status: ApplicationStatus, passed: timedelta) -> None:
    name = status.application
    for resource in status.resources:
        for level, standing in resource.levels.items():
            where = {"application": name, "resource": resource.resource, "level": level.value}
            _attained(page["rpo_attained_seconds"], _aged(standing, passed), where)
    for dataset in status.datasets:
        for level, standing in dataset.levels.items():
            _promise(page, name, dataset.dataset, level, _aged(standing, passed))


def _aged(standing: Standing, passed: timedelta) -> Standing:
    """The same standing a while later, nothing new having been seen."""
    return standing._replace(
        rpo_attained=None if standing.rpo_attained is None else standing.rpo_attained + passed,
        rpo_verified=None if standing.rpo_verified is None else standing.rpo_verified + passed,
    )


def _attained(family: Family, standing: Standing, where: Mapping[str, str]) -> None:
    for basis, age in (("usable", standing.rpo_attained), ("verified", standing.rpo_verified)):
        if age is not None:
            family.add(age.total_seconds(), **where, basis=basis)
        elif standing.known:
            family.add(math.inf, **where, basis=basis)


def _promise(page: _Page, application: str, dataset: str, level: FailureLevel, standing: Standing) -> None:
    where = {"application": application, "dataset": dataset, "level": level.value}
    _attained(page["dataset_rpo_attained_seconds"], standing, where)
    if standing.rto_attained is not None:
        page["rto_attained_seconds"].add(standing.rto_attained.total_seconds(), **where)
    if standing.objective is None or standing.exempt:
        return
    for what, promised in (("rpo", standing.objective.rpo), ("rto", standing.objective.rto)):
        if promised is not None:
            page[f"{what}_objective_seconds"].add(promised.total_seconds(), **where)
    for what, met in (("rpo", standing.rpo_met), ("rto", standing.rto_met)):
        if met is not None:
            page["objective_met"].add(met, **where, objective=what)


# --- resources and their vaults ------------------------------------------------------------------------------------


def _resource(
    page: _Page, facts: ApplicationFacts, resource: ResourcePolicy, never_read: frozenset[str], now: datetime
) -> None:
    points = facts.catalogue.of(resource.name)
    name = {"application": facts.policy.application, "resource": resource.name}
    targets = [rule.vault for rule in resource.targets]
    seen = {copy.vault for point in points for copy in point.copies}
    if not never_read.intersection(targets) or points:
        page["next_due_timestamp_seconds"].add(_next_due(resource, points, now).timestamp(), **name)
    for vault in sorted({*targets, *seen}):
        if vault in never_read and vault not in seen:
            continue
        where = {**name, "vault": vault}
        _read_through(page, facts, where, now)
        _vault(page, where, [(point, copy) for point in points if (copy := point.copy_in(vault)) is not None])
        if vault in targets and vault not in never_read:
            page["vault_missing"].add(_lacks(facts, resource.name, vault), **where)
    if targets and not never_read.issuperset(targets):
        page["suspect_points"].add(sum(bool(point.suspect) and point.usable for point in points), **name)
    newest = next((point for point in points if point.usable), None)
    for what, count in noted_files(newest.facts).items() if newest is not None else ():
        page["dump_noted_files"].add(count, **name, what=what)
    for drill in facts.catalogue.drills:  # newest first
        where = {**name, "vault": drill.vault}
        if drill.resource != resource.name or not drill.passed or tuple(where.items()) in _drilled(page):
            continue
        page["drill_last_success_timestamp_seconds"].add(drill.at.timestamp(), **where)
        if "total" in drill.seconds:
            page["drill_duration_seconds"].add(drill.seconds["total"], **where)


def _whole_drilled(page: _Page, facts: ApplicationFacts) -> None:
    """The last drill of the whole application that ended well in each region, by the native vault of its first copy."""
    for drill in facts.catalogue.drills:  # newest first
        where = {"application": facts.policy.application, "resource": SCENARIO, "vault": drill.vault}
        if drill.resource == SCENARIO and drill.well and tuple(where.items()) not in _drilled(page):
            page["drill_last_success_timestamp_seconds"].add(drill.at.timestamp(), **where)
            page["drill_duration_seconds"].add(drill.seconds.get("total", 0), **where)


def _drilled(page: _Page) -> Iterable[tuple[tuple[str, str], ...]]:
    return page["drill_last_success_timestamp_seconds"].samples


def _vault(page: _Page, where: Mapping[str, str], copies: list[tuple[RecoveryPoint, PointCopy]]) -> None:
    states = Counter(copy.shown for _, copy in copies)
    for state in sorted({CopyState.USABLE.value, *states}):
        page["points"].add(states[state], **where, state=state)
    usable = [(point.cut_at, point.id, copy) for point, copy in copies if copy.usable and point.cut_at is not None]
    if not usable:
        return
    cut_at, _, newest = max(usable, key=lambda entry: entry[:2])
    page["newest_cut_timestamp_seconds"].add(cut_at.timestamp(), **where)
    size = newest.bytes or sum(member.bytes for member in newest.members)
    if size:
        page["point_bytes"].add(size, **where)
    if newest.locked_until is not None:
        page["locked_until_timestamp_seconds"].add(newest.locked_until.timestamp(), **where)


def _next_due(resource: ResourcePolicy, points: Iterable[RecoveryPoint], now: datetime) -> datetime:
    """The current slot while nothing fills it or is about to, else the next one; never before its window opens."""
    slot = resource.schedule.slot_at(now)
    alive = (CopyState.USABLE, CopyState.EXPIRING, CopyState.PENDING)
    points = list(points)
    of_slot = [*(p for p in points if p.slot == to_slot(slot)), *of_another_grid(resource, points, now)]
    filled = any(copy.state in alive for point in of_slot for copy in point.copies)
    if filled:
        return resource.schedule.next_after(now)
    window = resource.window
    return slot if window is None or window.open_at(now) else window.opens_after(now)


def _lacks(facts: ApplicationFacts, resource: str, vault: str) -> bool:
    """Whether the planner wants to bring a point there, now or once a hold is over."""
    for action in facts.actions:
        if action.resource != resource or action.vault != vault:
            continue
        if isinstance(action, Copy | Ship):
            return True
        point = facts.catalogue.find(action.point) if isinstance(action, Hold) and action.point else None
        if point is not None and point.usable:
            there = point.copy_in(vault)
            if there is None or there.partial or not (there.usable or there.state is CopyState.PENDING):
                return True
    return False


def _queued(facts: ApplicationFacts) -> Iterable[tuple[str, str]]:
    """(service, region) of every native copy that is pending or wanted."""
    native = {resource.name: resource for resource in facts.policy.resources if resource.native}
    for action in facts.actions:
        if isinstance(action, Copy) and action.resource in native:
            yield _queue(native[action.resource], action.vault)
    for name, resource in native.items():
        for point in facts.catalogue.of(name):
            for copy in point.copies:
                under_way = copy.state is CopyState.PENDING and not copy.partial
                if under_way and copy.vault != resource.targets[0].vault:
                    yield _queue(resource, copy.vault)


def _queue(resource: ResourcePolicy, vault: str) -> tuple[str, str]:
    return SERVICES.get(resource.kind, resource.kind), place_of(vault)[1]


# --- what guards deletion ------------------------------------------------------------------------------------------


def _guards(page: _Page, facts: ApplicationFacts, never_read: frozenset[str]) -> None:
    """Per vault: what somebody took or changed as far as it was read, and what the brake holds."""
    application = facts.policy.application
    gone = Counter(entry.vault for entry in removed(facts.catalogue, facts.unread))
    odd = Counter(oddity.vault for oddity in facts.catalogue.oddities if oddity.alarm == "tampering")
    held = Counter(action.vault for action in facts.actions if isinstance(action, Braked))
    named = {rule.vault for resource in facts.policy.resources for rule in resource.targets}
    there = {copy.vault for point in facts.catalogue.points for copy in point.copies}
    for vault in sorted({*named, *there, *gone, *odd, *held} - {""}):
        where = {"application": application, "vault": vault}
        page["deletions_held"].add(held[vault], **where)
        if vault not in facts.unread and vault not in never_read:
            page["removed_copies"].add(gone[vault], **where)
        if vault not in never_read:
            page["tampered_objects"].add(odd[vault], **where)


def _read_through(page: _Page, facts: ApplicationFacts, where: Mapping[str, str], now: datetime) -> None:
    """Since when every byte was read; absent before that is so."""
    read = (facts.turns or {}).get((where["resource"], where["vault"]), {})
    since = coverage(read)
    if since is not None:
        page["coverage_age_seconds"].add(max((now - since).total_seconds(), 0), **where)
