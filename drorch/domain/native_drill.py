"""Drills of native points: what bears which tag, until when it may be there, and who may clear it away. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from drorch.domain.errors import NotInThisVersion, Refused
from drorch.domain.instant import from_compact, to_compact
from drorch.domain.model import place_of
from drorch.domain.native_restore import Made
from drorch.domain.policy import Policy
from drorch.domain.scenario import scenario_places

Place = tuple[str, str, str]
"""(kind, account, region)."""

_ASKED_BY = {
    "postgres": "postgres",
    "aurora-postgresql": "postgres",
    "mysql": "mysql",
    "aurora-mysql": "mysql",
    "aurora": "mysql",
    "mariadb": "mariadb",
}
"""RDS's word for an engine -> the kind of dump whose probes are put to it (RDS API, CreateDBInstance, Engine)."""


def asked_by(engine: str) -> str:
    """The engine that puts probes to a database of which its provider says `engine`; "" where none does."""
    return _ASKED_BY.get(engine, "")


def drill_id(site: str, application: str, resource: str, point: str, until: datetime) -> str:
    """The value of ``drorch:drill``: ``SITE/APP/RESOURCE/POINT/UNTIL``: whose it is, and how long it may be there."""
    return f"{site}/{application}/{resource}/{point}/{to_compact(until)}"


def until_of(drill: str) -> datetime | None:
    """Until when what bears this id may be there; None for one that no drill gave."""
    parts = drill.split("/")
    if len(parts) != 5 or not all(parts):
        return None
    try:
        return from_compact(parts[4])
    except ValueError:
        return None


def begun_before(drills: Iterable[str], ours: str) -> tuple[str, ...]:
    """Of `drills`, those that begin with `ours` and that a drill gave, the first begun first."""
    return tuple(sorted(drill for drill in drills if drill.startswith(ours) and until_of(drill) is not None))


def others_alive(drills: Iterable[str], ours: Collection[str], now: datetime) -> list[str]:
    """Of `drills`, those whose time is not over and that begin with none of `ours` (``SITE/APP/RESOURCE/``)."""
    alive = [drill for drill in drills if (until := until_of(drill)) is not None and until > now]
    return sorted({drill for drill in alive if not drill.startswith(tuple(ours))})


def connection_to(made: Made, login: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """(kind of dump, its `connection:`) by which probes get to what a drill made; `login` is a policy's, as plain data.

    NotInThisVersion for an engine that drorch does not ask; Refused when nobody says which database.
    """
    kind = asked_by(made.engine)
    where = {"operation": "probe", "resource": made.native_id}
    if not kind:
        raise NotInThisVersion(f"probes of engine {made.engine or 'unknown'} are not in this version", **where)
    host, _, port = made.endpoint.rpartition(":")
    known = {"user": made.user, "database": made.database}
    connection = {key: value for key, value in known.items() if value} | dict(login)
    if missing := sorted({"user", "database"} - connection.keys()):
        hint = f"connect: {{{missing[0]}: NAME}}"
        raise Refused(f"nobody says which {missing[0]} the probes take", hint=hint, **where)
    return kind, {**connection, "host": host, "port": int(port)}


@dataclass(frozen=True, slots=True)
class DrillLeft:
    """What a drill left behind past its time: under which id, how many things, and what became of clearing it away."""

    place: Place
    drill: str
    things: tuple[str, ...]
    why: str

    @property
    def subject(self) -> str:
        """What an alarm is about."""
        return f"{self.place[1]}.{self.place[2]}: {self.drill}"


def drill_places(policies: Iterable[Policy]) -> frozenset[Place]:
    """Where the drills of native resources, and of whole applications, make things."""
    policies = tuple(policies)
    whole = (place for policy in policies for place in scenario_places(policy))
    return frozenset(whole) | frozenset(
        (resource.kind, *place_of(vault))
        for policy in policies
        for resource in policy.resources
        if resource.native and resource.drill is not None
        for vault in resource.drill.from_
    )
