"""What a drill of a whole application brings back: points found without the home region, under a drill's tags.

What was begun and killed is gone on with: its point stays chosen, its tag and its time, too. While another drill goes
on in one of the accounts, this one does not begin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from drorch.app.drill_alone import require_alone
from drorch.app.native_restore import Located, NativeRestores, RegionRequest
from drorch.domain.errors import NotFound
from drorch.domain.instant import to_text
from drorch.domain.native_drill import begun_of, drill_id, until_of
from drorch.domain.native_restore import TAG_DRILL, TAG_EXPIRES, NativeRestore
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


@dataclass(slots=True)
class ScenarioPoints:
    """Chooses them. `missing` says, after `find`, why nothing of a resource can be brought back."""

    restores: NativeRestores
    restoring: Callable[[str], RestoresSnapshots]
    options_for: OptionsFor
    clock: Clock
    missing: dict[str, str] = field(default_factory=dict)

    def find(self, order: ScenarioOrder) -> tuple[dict[str, Rehearsal], datetime]:
        """What is brought back, in the order of the steps, and until when it may be there.

        Raises Busy as `require_alone`; NotFound when there is nothing at all; Unavailable when that is not known.
        """
        now = self.clock.now()
        prefixes = {name: f"{order.site}/{order.application}/{name}/" for name in order.resources}
        there = require_alone(self.restoring, order.looks, prefixes.values(), now)
        begun = {name: drill for name, ours in prefixes.items() if (drill := begun_of(there, ours, now))}
        until = max((end for drill in begun.values() if (end := until_of(drill))), default=now + order.most)
        natives = {name: (of.kind, of.accounts) for name, of in order.resources.items()}
        # By that name no restore goes: the point of one that a person has begun is not the drill's.
        whole = RegionRequest(order.application, order.region, site=order.site, natives=natives, name=TAG_DRILL)
        located = {each.resource: each for each in self.restores.find(whole, _later).located}
        found: dict[str, Rehearsal] = {}
        for name in (step.resource for step in order.steps if not step.left_out):
            each = self._of(name, whole, located.get(name), begun.get(name, ""))
            if each is not None:
                found[name] = self._rehearsal(each, order, order.resources[name], begun.get(name, ""), until)
        if not found:
            cause = "; ".join(f"{name}: {why}" for name, why in self.missing.items())
            raise NotFound(f"nothing of {order.application} can be brought back in {order.region}", cause=cause)
        return found, until

    def _of(self, name: str, whole: RegionRequest, located: Located | None, begun: str) -> Located | None:
        """The point that was begun, while it is known; else the newest. None, and `missing`, where there is none."""
        point = begun.split("/")[3] if begun else ""
        if located is not None and point in ("", located.order.point):
            return located
        for chosen in dict.fromkeys((point, "")):
            request = replace(whole, resources=(name,), point=chosen, natives={name: whole.natives[name]})
            try:
                return self.restores.find(request, _later).located[0]
            except NotFound as error:
                self.missing[name] = str(error)
        return None

    def _rehearsal(
        self, each: Located, order: ScenarioOrder, resource: Rehearsed, begun: str, until: datetime
    ) -> Rehearsal:
        found = each.order
        named = drill_id(order.site, order.application, each.resource, found.point, until)
        drill = begun if begun.split("/")[3:4] == [found.point] else named
        expires = to_text(until_of(drill) or until)
        options = self.options_for(resource.kind, resource.mapped, resource.own, found.point)
        tagged = replace(found, tag=TAG_DRILL, id=drill, tags={TAG_DRILL: drill, TAG_EXPIRES: expires}, options=options)
        return Rehearsal(resource.kind, each.vault, tagged)


def _later(_kind: str, _resource: str, _said: Mapping[str, object]) -> object:
    """How it is brought back is said once its point is known."""
    return None
