"""What the planner may decide. Every action carries its reason; Keep, Expire and Hold are decisions that do nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import IntEnum

from drorch.domain.instant import to_text


class Urgency(IntEnum):
    """In which order admitted actions start."""

    CUT = 0
    COPY = 1
    RECORD = 2
    LOCK = 3
    DRILL = 4
    MARK = 5
    EXPIRE = 6
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
        return {"action": self.name, **{field.name: _plain(getattr(self, field.name)) for field in fields(self)}}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return to_text(value)
    return list(value) if isinstance(value, tuple) else value


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
    """Copy a native point from vault `source` into `vault`, with the key of its policy.

    `kind` and `places` are what AWS counts: of which kind it is, and how many places it still takes (the members that
    have no copy yet, the volumes of an image); so many members are begun at most, 0 says all. `due` is when a promise
    is missed that it would renew, None when it renews none; `cut_at` is the point's.
    `full` says why the provider will copy all of it, `full_gib` how much that is at the most; "" and 0 when only what
    has changed is expected to be copied.
    """

    source: str
    kms_key: str = ""
    kind: str = ""
    places: int = 0
    cut_at: datetime | None = None
    due: datetime | None = None
    full: str = ""
    full_gib: int = 0
    intermediate: str = ""
    """The vault whose copy this one, in the home's vault, is only a step to; "" of a copy of its own."""
    through: tuple[str, ...] = ()
    """The intermediates in `source` that it is made from, instead of the point's own members."""

    @property
    def key(self) -> str:
        """A step to each vault is one of its own."""
        step = f":{self.intermediate}" if self.intermediate else ""
        return f"{self.name}:{self.application}:{self.resource}:{self.vault}:{self.point}{step}"

    urgency = Urgency.COPY
    name = "copy"


@dataclass(frozen=True, slots=True)
class Ship(Action):
    """Bring a committed dump's ciphertext from vault `source` into `vault`, which missed out."""

    source: str

    urgency = Urgency.COPY
    name = "ship"


@dataclass(frozen=True, slots=True)
class Unshare(Action):
    """Take back that `account` may copy the `members` of the point's copy in `vault`; its own copies of the point lie
    in the vaults `copies`, and none of them is under way.
    """

    account: str
    members: tuple[str, ...]
    copies: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """One point may be shared with several accounts."""
        return f"{self.name}:{self.application}:{self.resource}:{self.vault}:{self.point}:{self.account}"

    urgency = Urgency.RECORD
    name = "unshare"


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
    """Restore the point from `vault` into scratch, ask the probes, sign the proof. `audit` is a random one's seed."""

    audit: str = ""

    @property
    def key(self) -> str:
        """An audit is another drill than that of the same point which is due by itself."""
        own = f"{self.name}:{self.application}:{self.resource}:{self.vault}:{self.point}"
        return f"{own}:{self.audit}" if self.audit else own

    urgency = Urgency.DRILL
    name = "drill"


@dataclass(frozen=True, slots=True)
class ScenarioDrill(Drill):
    """Bring the whole application back in the region of `vault` under the tags of a drill, measure, clear away, sign
    the proof. `resource` is `drorch.domain.scenario.SCENARIO`.
    """


@dataclass(frozen=True, slots=True)
class Verify(Action):
    """Read the `turn`-th hundredth of the leaves of every point in `vault` and compare them with what was signed."""

    turn: int

    @property
    def key(self) -> str:
        """Each turn is another action."""
        return f"{self.name}:{self.application}:{self.resource}:{self.vault}:{self.turn}"

    urgency = Urgency.DRILL
    name = "verify"


@dataclass(frozen=True, slots=True)
class Repair(Action):
    """Write the damaged or missing objects of a dump in `vault` again, from the good copy in vault `source`."""

    source: str

    urgency = Urgency.COPY
    name = "repair"


@dataclass(frozen=True, slots=True)
class Lock(Action):
    """Read the locks of the copy's objects in `vault` back; with `extend`, after locking them for the whole length.

    `until` is when those of a native copy's members are to end at the earliest.
    """

    extend: bool = False
    until: datetime | None = None

    urgency = Urgency.LOCK
    name = "lock"


@dataclass(frozen=True, slots=True)
class Mark(Action):
    """Sign a mark about the point (about its copy in `vault`, if one is named) and write it into the vaults `into`."""

    mark: str
    into: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """One copy may get several marks."""
        return f"{self.name}:{self.mark}:{self.application}:{self.resource}:{self.vault}:{self.point}"

    @property
    def lets_go(self) -> bool:
        """Whether it begins a deletion."""
        return self.mark == "expiring"

    urgency = Urgency.MARK
    name = "mark"


@dataclass(frozen=True, slots=True)
class WriteHead(Action):
    """Sign what is live of the application and write it into the vaults `into`."""

    seq: int
    into: tuple[str, ...] = ()

    urgency = Urgency.RECORD
    name = "head"


@dataclass(frozen=True, slots=True)
class WriteRunbook(Action):
    """Sign the runbook that the policy says and write it into the vaults `into`."""

    into: tuple[str, ...] = ()

    urgency = Urgency.RECORD
    name = "runbook"


@dataclass(frozen=True, slots=True)
class Expire(Action):
    """Delete the copy in `vault`: its mark `expiring` stood for the whole grace. `into` takes the mark `expired`."""

    into: tuple[str, ...] = ()

    urgency = Urgency.EXPIRE
    name = "expire"


INTERMEDIATE = "intermediate"
"""What a `Sweep` removes: native copies that were only steps to others."""


@dataclass(frozen=True, slots=True)
class Sweep(Action):
    """Remove what nobody can need from `vault`: `what` is `uploads`, `data`, `heads`, `records` or `INTERMEDIATE`;
    `paths` names it.
    """

    what: str
    paths: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """By what is swept, too; of several intermediates each is one of its own."""
        which = f":{self.paths[0]}" if self.what == INTERMEDIATE and self.paths else ""
        return f"{self.name}:{self.what}:{self.application}:{self.resource}:{self.vault}:{self.point}{which}"

    urgency = Urgency.EXPIRE
    name = "sweep"


@dataclass(frozen=True, slots=True)
class Keep(Action):
    """Retention keeps this copy; the reasons, joined."""

    name = "keep"


@dataclass(frozen=True, slots=True)
class Hold(Action):
    """Decided to do nothing, and why; `alarm` names what a person has to look at, empty when waiting is enough."""

    alarm: str = ""

    name = "hold"


@dataclass(frozen=True, slots=True)
class Settling(Hold):
    """Due, and held because something is under way: another process at the resource, or a call that may still show.

    `source`, `kind` and `places` are, as in `Copy`, of a copy that may be under way already.
    """

    source: str = ""
    kind: str = ""
    places: int = 0


@dataclass(frozen=True, slots=True)
class Braked(Hold):
    """A deletion (or the mark that begins one, as `wanted` says) that the brake holds until a person approves it."""

    wanted: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An action that may not start yet. `place` is its place in the queue of copies (from 1), 0 without a queue.

    `throttled` says that the provider wants fewer calls: it may start at any moment.
    """

    action: Action
    why: str
    place: int = 0
    throttled: bool = False

    @property
    def told(self) -> bool:
        """Whether people are told beside the action: what waits for another action or for its turn is not."""
        return bool(self.place) or self.throttled


EXECUTABLE: tuple[type[Action], ...] = (
    Cut,
    Copy,
    Unshare,
    Ship,
    WriteRecord,
    Replicate,
    Drill,
    Verify,
    Repair,
    Lock,
    Mark,
    WriteHead,
    WriteRunbook,
    Expire,
    Sweep,
)
"""Every action that touches the world: each has its row in the failpoint and fault tests."""

DELETING: tuple[type[Action], ...] = (Expire, Sweep, Repair)
"""Those that remove something that was committed, or may have been: never on an incomplete view."""


def deletions(actions: Iterable[Action]) -> frozenset[tuple[str, str]]:
    """The (vault, point) pairs that a plan deletes, begins to delete, or would if the brake let it."""
    return frozenset(
        (action.vault, action.point)
        for action in actions
        if isinstance(action, Expire | Braked) or (isinstance(action, Mark) and action.lets_go)
    )


def digest_of(pairs: Iterable[tuple[str, str]]) -> str:
    """Hex SHA-256 over the sorted (vault, point) pairs."""
    text = "".join(f"{vault}\0{point}\n" for vault, point in sorted(set(pairs)))
    return hashlib.sha256(text.encode()).hexdigest()


def deletions_digest(actions: Iterable[Action]) -> str:
    """The digest of what `deletions` finds: what a person approves by name."""
    return digest_of(deletions(actions))
