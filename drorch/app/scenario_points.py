"""What a drill of a whole application brings back: points found without the home region, under a drill's tags.

What a killed worker left is found, to be cleared away first: it may have been on its way out. While another drill goes
on in one of the accounts, this one does not begin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from drorch.app.drill_alone import require_alone
from drorch.app.native_restore import Located, NativeRestores, RegionRequest
from drorch.domain.errors import NotFound
from drorch.domain.instant import floor_second, from_compact, to_text
from drorch.domain.native_drill import begun_before, drill_id, until_of
from drorch.domain.native_restore import TAG_DRILL, TAG_EXPIRES, Isolation, NativeRestore
from drorch.domain.scenario import Rehearsed, ScenarioOrder
from drorch.ports import Clock, RestoresSnapshots

OptionsFor = Callable[[str, Mapping[str, object], Mapping[str, object], str], object]
"""(kind, what the runbook maps, what the drill says, point) -> its RestoreOptions. Refused when not whole."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One resource of a drill: the copy in `vault`, and how it is brought back from it."""

    kind: str
    vault: str
    order: NativeRestore


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a drill brings back, in the order of its steps, until when it may be there, and what killed ones left: by
    their ids. `missing` says why nothing of a resource can be brought back.
    """

    found: Mapping[str, Rehearsal]
    until: datetime
    left: Mapping[str, Rehearsal]
    missing: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ScenarioPoints:
    """Chooses them. Every database lies in a network that nothing enters: nobody asks it anything."""

    restores: NativeRestores
    restoring: Callable[[str], RestoresSnapshots]
    options_for: OptionsFor
    clock: Clock

    def choose(self, order: ScenarioOrder) -> Chosen:
        """Of every resource the newest point that can be brought back.

        Raises Busy as `require_alone`; NotFound when there is nothing at all; Unavailable when that is not known.
        """
        now = self.clock.now()
        prefixes = {name: f"{order.site}/{order.application}/{name}/" for name in order.resources}
        there = require_alone(self.restoring, order.looks, prefixes.values(), now)
        until = floor_second(now + order.most)
        while any(until_of(drill) == until for drill in there):
            until += timedelta(seconds=1)  # an id of its own, beside what a killed one left
        located, missing = self._located(order)
        found = {
            name: self._rehearsal(located[name], order, order.resources[name], until)
            for name in (step.resource for step in order.steps if not step.left_out)
            if name in located
        }
        left = {
            drill: _left(order, name, account, drill)
            for name, prefix in prefixes.items()
            for drill in begun_before(there, prefix)
            for account in order.resources[name].accounts
        }
        if not found:
            cause = "; ".join(f"{name}: {why}" for name, why in missing.items())
            raise NotFound(f"nothing of {order.application} can be brought back in {order.region}", cause=cause)
        return Chosen(found, until, left, missing)

    def _located(self, order: ScenarioOrder) -> tuple[dict[str, Located], dict[str, str]]:
        """The newest point of each resource, and why there is none of the others."""
        natives = {name: (of.kind, of.accounts) for name, of in order.resources.items()}
        # By that name no restore goes: the point of one that a person has begun is not the drill's.
        whole = RegionRequest(order.application, order.region, site=order.site, natives=natives, name=TAG_DRILL)
        located = {each.resource: each for each in self.restores.find(whole, _later).located}
        missing: dict[str, str] = {}
        for name in natives.keys() - located.keys():
            try:
                request = replace(whole, resources=(name,), natives={name: natives[name]})
                located[name] = self.restores.find(request, _later).located[0]
            except NotFound as error:
                missing[name] = str(error)
        return located, missing

    def _rehearsal(self, each: Located, order: ScenarioOrder, resource: Rehearsed, until: datetime) -> Rehearsal:
        found = each.order
        drill = drill_id(order.site, order.application, each.resource, found.point, until)
        tags = {TAG_DRILL: drill, TAG_EXPIRES: to_text(until)}
        options = self.options_for(resource.kind, resource.mapped, resource.own, found.point)
        tagged = replace(found, tag=TAG_DRILL, id=drill, tags=tags, options=options, isolation=Isolation())
        return Rehearsal(resource.kind, each.vault, tagged)


def _left(order: ScenarioOrder, name: str, account: str, drill: str) -> Rehearsal:
    """What bears this id, as far as clearing it away needs to know."""
    point, until = drill.split("/")[3:]
    of = NativeRestore(
        account=account,
        region=order.region,
        application=order.application,
        resource=name,
        point=point,
        cut_at=from_compact(until),
        tag=TAG_DRILL,
        id=drill,
        tags={},
        parts=(),
        options=None,
    )
    return Rehearsal(order.resources[name].kind, "", of)


def _later(_kind: str, _resource: str, _said: Mapping[str, object]) -> object:
    """How it is brought back is said once its point is known."""
    return None
