"""What the planner may decide. Every action carries its reason; Keep, Expire and Hold are decisions that do nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum


class Urgency(IntEnum):
    """In which order admitted actions start."""

    CUT = 0
    COPY = 1
    RECORD = 2
    DRILL = 3
    NEVER = 9


@dataclass(frozen=True, slots=True)
class Action:
    """One decision about one point (or resource) in one vault."""

    application: str
    resource: str
    vault: str
    point: str
    reason: str

    urgency = Urgency.NEVER
    name = ""

    @property
    def key(self) -> str:
        """What makes two decisions the same one: for intents, back-off and what is running."""
        return f"{self.name}:{self.application}:{self.resource}:{self.vault}:{self.point}"

    def to_json(self) -> Mapping[str, object]:
        """The stable fields of contract section 4, then those of the action's own."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"action": self.name, **{key: list(v) if isinstance(v, tuple) else v for key, v in own.items()}}


@dataclass(frozen=True, slots=True)
class Cut(Action):
    """Make a point: native in `vault`, a dump into every vault of `into`. `server` is what its dumps queue for.

    `resumed` says that some of the point's creating calls were seen to be made.
    """

    slot: str
    attempt: int
    into: tuple[str, ...] = ()
    server: str = ""
    resumed: bool = False

    @property
    def key(self) -> str:
        """Without the point: a failed attempt's successor has another id and must not start over at once."""
        return f"{self.name}:{self.application}:{self.resource}:{self.slot}"

    urgency = Urgency.CUT
    name = "cut"


@dataclass(frozen=True, slots=True)
class Copy(Action):
    """Copy a native point from vault `source` into `vault`, with the key of its policy."""

    source: str
    kms_key: str = ""

    urgency = Urgency.COPY
    name = "copy"


@dataclass(frozen=True, slots=True)
class Ship(Action):
    """Bring a committed dump's ciphertext from vault `source` into `vault`, which missed out."""

    source: str

    urgency = Urgency.COPY
    name = "ship"


@dataclass(frozen=True, slots=True)
class WriteRecord(Action):
    """Sign the native record of the copy in `vault` and write it into the object vaults `into`."""

    into: tuple[str, ...] = ()

    urgency = Urgency.RECORD
    name = "record"


@dataclass(frozen=True, slots=True)
class Replicate(Action):
    """Write a signed record that vault `source` has, byte for byte, into `vault`."""

    source: str
    path: str

    urgency = Urgency.RECORD
    name = "replicate"

    @property
    def key(self) -> str:
        """One point has many records."""
        return f"{self.name}:{self.vault}:{self.path}"


@dataclass(frozen=True, slots=True)
class Drill(Action):
    """Restore the point from `vault` into scratch, ask the probes, sign the proof."""

    urgency = Urgency.DRILL
    name = "drill"


@dataclass(frozen=True, slots=True)
class Keep(Action):
    """Retention keeps this copy; the reasons, joined."""

    name = "keep"


@dataclass(frozen=True, slots=True)
class Expire(Action):
    """Retention would let this copy go. This version shows it and deletes nothing."""

    name = "expire"


@dataclass(frozen=True, slots=True)
class Hold(Action):
    """Decided to do nothing, and why; `alarm` names what a person has to look at, empty when waiting is enough."""

    alarm: str = ""

    name = "hold"


@dataclass(frozen=True, slots=True)
class Settling(Hold):
    """Due, and held because something is under way: another process at the resource, or a call that may still show."""


EXECUTABLE: tuple[type[Action], ...] = (Cut, Copy, Ship, WriteRecord, Replicate, Drill)
"""Every action that touches the world: each has its row in the failpoint and fault tests."""


def deletions_digest(actions: Iterable[Action]) -> str:
    """Hex SHA-256 over the sorted (vault, point) pairs that retention would delete."""
    pairs = sorted({(action.vault, action.point) for action in actions if isinstance(action, Expire)})
    return hashlib.sha256("".join(f"{vault}\0{point}\n" for vault, point in pairs).encode()).hexdigest()
