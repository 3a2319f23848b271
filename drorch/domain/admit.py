"""All plans together: which actions start now and which wait, and for what. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime

from drorch.domain.action import EXECUTABLE, Action, Copy, Cut, Drill, Repair, Ship, Verify, Waiting
from drorch.domain.copy_queue import CopiesSeen, admit_copies


@dataclass(frozen=True, slots=True)
class Limits:
    """Host limits: heavy work (dumps, ships, drills) at once, and dumps at once of one database server.

    `copies` maps services (`ec2`, `rds`, `rds-cluster`) to the copies under way at once into one region of an account,
    where the account's quota is not the default of AWS.
    """

    dumps: int = 4
    dumps_per_server: int = 1
    copies: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Running:
    """What is under way already: keys of actions, and how much of each limit they take."""

    keys: Set[str] = frozenset()
    heavy: int = 0
    drills: int = 0
    servers: Counter[str] = field(default_factory=Counter)
    resources: Set[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Admitted:
    """What starts now, in order, and what waits."""

    start: tuple[Action, ...]
    wait: tuple[Waiting, ...]


def is_heavy(action: Action) -> bool:
    """Whether it moves a dump's bytes: a worker process of its own."""
    return isinstance(action, Ship | Drill | Verify | Repair) or (isinstance(action, Cut) and bool(action.into))


def admit(
    actions: Iterable[Action],
    limits: Limits,
    running: Running,
    copies: CopiesSeen | None = None,
    now: datetime | None = None,
) -> Admitted:
    """Cuts before copies before records before drills; one heavy action per resource, one drill at a time.

    Both sorts work under their resource's lock: what is light waits while something heavy has it. Native copies wait
    for a place at the provider; without `copies` nothing is known of places, and none is counted.
    """
    wanted = [action for action in actions if isinstance(action, EXECUTABLE) and action.key not in running.keys]
    wanted.sort(key=lambda action: action.urgency)
    resources = set(running.resources)
    start, wait = _heavy(filter(is_heavy, wanted), limits, running, resources)
    queued: list[Copy] = []
    for action in wanted:
        if is_heavy(action):
            continue
        if (action.application, action.resource) in resources:
            wait.append(Waiting(action, "another action of this resource goes first"))
        elif isinstance(action, Copy) and copies is not None and now is not None:
            queued.append(action)
        else:
            start.append(action)
    if copies is not None and now is not None:
        begun, held = admit_copies(queued, copies, limits.copies, now)
        start.extend(begun)
        wait.extend(held)
    start.sort(key=lambda action: action.urgency)
    return Admitted(tuple(start), tuple(wait))


def _heavy(
    wanted: Iterable[Action], limits: Limits, running: Running, resources: set[tuple[str, str]]
) -> tuple[list[Action], list[Waiting]]:
    """What starts and what waits of the heavy actions; their resources are added to `resources`."""
    heavy, drills, servers = running.heavy, running.drills, Counter(running.servers)
    start: list[Action] = []
    wait: list[Waiting] = []
    for action in wanted:
        server = action.server if isinstance(action, Cut) else ""
        why = ""
        if (action.application, action.resource) in resources:
            why = "another dump, ship or drill of this resource goes first"
        elif server and servers[server] >= limits.dumps_per_server:
            why = f"{limits.dumps_per_server} dump(s) of {server} at once (limits: dumps_per_server)"
        elif isinstance(action, Drill) and drills:
            why = "one drill at a time"
        elif heavy >= limits.dumps:
            why = f"{limits.dumps} dumps, ships and drills at once (limits: dumps)"
        if why:
            wait.append(Waiting(action, why))
            continue
        start.append(action)
        heavy += 1
        drills += isinstance(action, Drill)
        servers[server] += bool(server)
        resources.add((action.application, action.resource))
    return start, wait
