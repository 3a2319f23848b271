"""Clearing away what a drill made: asked for again and again, until nothing of it is left or the time is over."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from threading import Event

from drorch.app.pauses import pauses
from drorch.domain.errors import DrorchError, Refused
from drorch.domain.native_restore import Made
from drorch.domain.recovery import Step
from drorch.domain.runbook_order import DONE, FAILED
from drorch.ports import Clock

CLEARING = timedelta(minutes=30)
FIRST_PAUSE = 1.0
"""Seconds between the first two rounds."""

Discard = Callable[[], tuple[Made, ...]]
"""Asks for what is to go, and gives what is still there. Raises as `RestoresSnapshots.discard`."""


@dataclass(frozen=True, slots=True)
class ClearingAway:
    """What a drill has for it: as in `NativeDrill`."""

    clock: Clock
    ticker: Callable[[], float]
    report: Callable[[Mapping[str, object]], None]
    cancel: Event | None

    def run(
        self, discards: Mapping[str, Discard], known: Mapping[str, tuple[Made, ...]], *, subject: str, resource: str
    ) -> tuple[tuple[Made, ...], Step]:
        """What is left in the end, which is the sweeper's, and the step of it all.

        In a round everything is asked for in the order of `discards`; what is refused is not asked for again. `known`
        is what there was when that began.

        Progress is reported of `subject`, and its seconds move: that is no worker that has stopped.
        """
        began, deadline, between = self.ticker(), self.clock.now() + CLEARING, pauses(FIRST_PAUSE)
        standing = dict(discards)
        left = {name: known.get(name, ()) for name in discards}
        while standing:
            for name, discard in list(standing.items()):
                try:
                    left[name] = discard()
                except Refused:
                    del standing[name]
                except DrorchError:
                    continue
                else:
                    if not left[name]:
                        del standing[name]
            stopping = self.cancel is not None and self.cancel.is_set()
            if not standing or stopping or self.clock.now() >= deadline:
                break
            so_far = math.ceil(self.ticker() - began)
            self.report({"step": "drill: clearing away", "resource": subject, "seconds": so_far})
            self.clock.sleep(next(between))
        rest = tuple(made for of in left.values() for made in of)
        took = math.ceil(self.ticker() - began)
        detail = f"{len(rest)} left to the sweeper" if rest else "everything that it made is gone"
        return rest, Step("clear", resource, detail, took_s=took, outcome=FAILED if rest else DONE)
