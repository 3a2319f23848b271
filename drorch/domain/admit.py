"""All plans together: which actions start now and which wait, and for what. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from drorch.domain.action import EXECUTABLE, Action, Cut, Drill, Repair, Ship, Verify


@dataclass(frozen=True, slots=True)
class Limits:
    """Host limits: heavy work (dumps, ships, drills) at once, and dumps at once of one database server."""

    dumps: int = 4
    dumps_per_server: int = 1


@dataclass(frozen=True, slots=True)
class Running:
    """What is under way already: keys of actions, and how much of each limit they take."""

    keys: Set[str] = frozenset()
    heavy: int = 0
    drills: int = 0
    servers: Counter[str] = field(default_factory=Counter)
    resources: Set[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Waiting:
    """An action that may not start yet."""

    action: Action
    why: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """What starts now, in order, and what waits."""

    start: tuple[Action, ...]
    wait: tuple[Waiting, ...]


def is_heavy(action: Action) -> bool:
    """Whether it moves a dump's bytes: a worker process of its own."""
    return isinstance(action, Ship | Drill | Verify | Repair) or (isinstance(action, Cut) and bool(action.into))


def admit(actions: Iterable[Action], limits: Limits, running: Running) -> Admitted:
    """Cuts before copies before records before drills; one heavy action per resource, one drill at a time.

    Both sorts work under their resource's lock: what is light waits while something heavy has it.
    """
    wanted = [action for action in actions if isinstance(action, EXECUTABLE) and action.key not in running.keys]
    wanted.sort(key=lambda action: action.urgency)
    heavy, drills = running.heavy, running.drills
    servers, resources = Counter(running.servers), set(running.resources)
    start: list[Action] = []
    wait: list[Waiting] = []
    for action in filter(is_heavy, wanted):
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
    for action in wanted:
        if is_heavy(action):
            continue
        if (action.application, action.resource) in resources:
            wait.append(Waiting(action, "another action of this resource goes first"))
        else:
            start.append(action)
    start.sort(key=lambda action: action.urgency)
    return Admitted(tuple(start), tuple(wait))
