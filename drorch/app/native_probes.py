"""Probes put to what the drill of a native point made: over its own endpoint, as an application would come to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from drorch.app import probing
from drorch.app.pauses import pauses
from drorch.domain.errors import Busy, DrorchError, Refused, Unavailable
from drorch.domain.native_drill import connection_to
from drorch.domain.native_restore import Made
from drorch.domain.policy import Probe
from drorch.ports import AsksDatabases, Clock, Engine, ProbeResult

Asking = Callable[[Made], AbstractContextManager[Callable[[str], object]]]
"""A way to ask what was made; raises as `AsksDatabases.asking`, NotInThisVersion for an engine that nobody asks."""

REACHING = timedelta(minutes=5)
"""So long an endpoint is tried: its name and its routes can be younger than the database."""
FIRST_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered. `why` something is wrong is for the proof, `told` says more to the people here."""

    probes: tuple[ProbeResult, ...]
    why: str = ""
    told: str = ""


@dataclass(frozen=True, slots=True)
class NativeProbes:
    """Puts probes to one database. `interrupted` raises when the drill is to end."""

    asking: Asking
    clock: Clock
    interrupted: Callable[[], None]

    def put(self, made: Made, probes: Sequence[Probe], cut_at: datetime, until: datetime) -> Answers:
        """The answers to all of `probes`, or why they could not be had, at the latest a probe's minute after `until`.

        What cannot be reached is judged, too: nobody can say of such a point that it is verified.
        """
        last = min(until, self.clock.now() + REACHING)
        between = pauses(FIRST_PAUSE)
        while True:
            self.interrupted()
            found: list[ProbeResult] = []
            try:
                with self.asking(made) as ask:
                    for probe in probes:
                        self.interrupted()
                        if self.clock.now() >= until:
                            late = f"{len(found)} of {len(probes)} probes were asked in the time that a drill may take"
                            return Answers(tuple(found), late, late)
                        found.append(probing.put(probe, ask, cut_at))
            except Unavailable as error:
                self.interrupted()  # which is Unavailable itself
                if self.clock.now() >= last:
                    return Answers(tuple(found), *_unreached(made, error))
            except Refused as error:
                why = f"the probes could not be asked: {error.message}"
                return Answers(tuple(found), why, f"the probes could not be asked: {error}")
            else:
                return Answers(tuple(found), *probing.unmet(found))
            self.clock.sleep(next(between))


def asking_of(
    engine: Callable[[str], Engine],
    options: Callable[[str, Mapping[str, object]], object],
    login: Mapping[str, object],
    secrets: Mapping[str, str],
    made: Made,
) -> AbstractContextManager[Callable[[str], object]]:
    """How a database that a drill made is asked, by the engine of ours that fits its provider's word for it."""
    kind, connection = connection_to(made, login)
    asks = engine(kind)
    if not isinstance(asks, AsksDatabases):
        raise Refused(f"the engine {kind} asks no databases", operation="probe")
    return asks.asking(options(kind, {"connection": connection}), secrets)


def _unreached(made: Made, error: DrorchError) -> tuple[str, str]:
    if isinstance(error, Busy):
        return "it had no free connection for the probes", f"{made.endpoint} had no free connection: {error}"
    why = "its endpoint did not answer the probes: most likely the network keeps this host from it"
    hint = "reach_from: must name where this host's connections come from, and its subnets need a route to this host"
    return why, f"{why} ({made.endpoint}: {error}; {hint})"
