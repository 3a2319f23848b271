"""A world of one application per kind, each with as many members as its kind can have, and what must hold of it.

One more application, `books`, is struck by nothing: it must be carried on in the same passes. Copies are under a key of
their own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from faults import FaultySnapshots
from witness import Witness, at_rest
from worlds import AWAY, CLUSTERS, HOME, LEDGER, SEATS, VOLUMES, Installation

from drorch.app.passing import Guards
from drorch.domain.action import WriteHead
from drorch.domain.catalogue_native import TAG_APPLICATION, TAG_POINT, TAG_SET, TAG_SITE, TAG_SLOT, TAG_SOURCE
from drorch.domain.native import PART, NativeSnapshot, Source
from drorch.kinds.memory.images import IMAGES

KINDS = ("ebs", "ami", "rds-instance", "rds-cluster")
SETS = ("ebs", "ami")
"""Kinds whose points may have several members."""
MEMBERS = {"ebs": 3, "ami": 2, "rds-instance": 1, "rds-cluster": 1}
CALLS = {"ebs": 2, "ami": 2, "rds-instance": 1, "rds-cluster": 1}
"""Creating calls of one point: two volumes of one instance are one of them."""
BOOKS, FAR = "books", "prod.eu-central-1"
KEY = "alias/drorch"
OF_AWS = {"aws:cloudformation:stack-name": "shop", "aws:ec2:fleet-id": "fleet-1"}
_DRORCHS = {TAG_SITE, TAG_APPLICATION, TAG_SLOT, TAG_POINT, TAG_SET, "drorch:resource"}


def _policy(text: str, kind: str) -> str:
    ours = text.replace("keep: {last: 3}", "keep: {last: 2}").replace("kind: ebs", f"kind: {kind}")
    names = ("application: shop", "application: bank", "application: booking")
    for name in names:
        ours = ours.replace(name, f"application: {kind}")
    return ours.replace("copies: [{region: us-west-2}]", f"copies: [{{region: us-west-2, kms_key: {KEY}}}]")


POLICIES = (
    *(_policy(VOLUMES, kind) for kind in SETS),
    _policy(LEDGER, "rds-instance"),
    _policy(SEATS, "rds-cluster"),
    VOLUMES.replace("application: shop", f"application: {BOOKS}")
    .replace("app: shop", "app: books")
    .replace("us-west-2", "eu-central-1")
    .replace("keep: {last: 3}", "keep: {last: 2}"),
)


@dataclass
class Estate:
    """The applications, named after their kinds, in one world in memory, and everything that was seen to be wrong."""

    world: Installation
    witness: Witness = field(init=False)
    wrong: list[str] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    slots: int = 1
    lifts: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.witness = Witness(self.world)
        self.told = {path for path, _ in self._records()}
        self.before = Counter(self._calls())

    def passes(self, count: int, minutes: float = 1) -> None:
        for _ in range(count):
            self.world.once()
            self._nothing_half_counts()
            self.world.clock.turn(minutes=minutes)

    def quiet(self) -> None:
        """Until three passes in a row have nothing to do or wait for."""
        calm = 0
        for _ in range(90):
            self.passes(1, minutes=9)
            assert self.world.seen is not None
            hourly = tuple(a for a in self.world.seen.started if not isinstance(a, WriteHead))
            calm = 0 if self.world.busy(replace(self.world.seen, started=hourly)) else calm + 1
            if calm == 3:
                return
        raise AssertionError("it never becomes quiet")

    def until(self, there: Callable[[], bool]) -> None:
        for _ in range(12):
            if there():
                return
            self.passes(1)
        raise AssertionError("the fault was never met")

    def lift(self) -> None:
        while self.lifts:
            self.lifts.pop()()

    def faulty(self, kind: str) -> FaultySnapshots:
        return self.world.kinds[kind]

    def order(self, kind: str, method: str, fault: object, *, times: int = 1, after: int = 0) -> None:
        """Of this application's cuts and copies alone: `books` has volumes, too."""
        only = kind if method in ("cut", "copy") else ""
        self.faulty(kind).faults.order(method, fault, times=times, after=after, only=only)  # type: ignore[arg-type]

    def snapshots(self, vault: str, application: str, *, parts: bool = False) -> list[NativeSnapshot]:
        """Of the newest slot that the application has there, the earliest first."""
        there = [s for s in self.world.snapshots(vault) if s.tags.get(TAG_APPLICATION) == application]
        newest = max((s.tags[TAG_SLOT] for s in there), default="")
        return [s for s in there if s.tags[TAG_SLOT] == newest and (parts or s.role != PART)]

    def remove(self, snapshot: NativeSnapshot) -> None:
        """Somebody else does."""
        self.witness.by_others.add((f"{snapshot.account}.{snapshot.region}", snapshot.tags[TAG_POINT]))
        self.world.cloud.remove(snapshot)

    # --- what must hold ---

    def _records(self) -> Iterator[tuple[str, Mapping[str, object]]]:
        for name in self.world.stores:
            for path, (body, _) in list(self.world.memory(name).objects.items()):
                if "/native/" in path and path.endswith(".json"):
                    yield path, json.loads(body)

    def _nothing_half_counts(self) -> None:
        """No record is signed of, and nothing counted as usable is, what is not whole at the provider."""
        states = {s.native_id: s.state for s in self.world.cloud.snapshots()}
        parts = {p.native_id: s.state for s in self.world.cloud.snapshots() for p in s.parts}
        for path, body in self._records():
            if path not in self.told:
                self.told.add(path)
                members = [str(m["native_id"]) for m in body["members"]]  # type: ignore[attr-defined]
                half = [m for m in members if (parts | states).get(m) != "usable"]
                wanted = MEMBERS.get(str(body["application"]), 1)
                whole = [m for m in members if m in states]
                if half or len(whole) < wanted:
                    self.wrong.append(f"{path} was signed of {members}, not usable: {half}")

    def carried_on(self) -> list[str]:
        """What `books` lacks of its newest slot."""
        lacks = []
        for vault in (HOME, FAR):
            there = self.snapshots(vault, BOOKS)
            if [s.state for s in there] != ["usable"]:
                lacks.append(f"{vault}: {there}")
        records = [body for _, body in self._records() if body["application"] == BOOKS]
        newest = self.snapshots(HOME, BOOKS)[:1]
        if sum(body["point"] == s.tags[TAG_POINT] for body in records for s in newest) != 2 * len(self.world.stores):
            lacks.append("records")
        return lacks

    def judged(self) -> list[str]:
        """Everything that is wrong once nothing is left to do."""
        wrong = [*self.wrong, *self.witness.wrong, *at_rest(self.witness)]
        self.world.check_whole(self.slots)
        usable = [s for s in self.world.cloud.snapshots() if s.state == "usable" and s.role != PART]
        counted = Counter(
            (s.region, s.tags[TAG_POINT], s.tags.get(TAG_SOURCE) or s.source_id, s.tags[TAG_SET]) for s in usable
        )
        wrong += [f"{what} was made {count} times" for what, count in counted.items() if count > 1]
        for kind in KINDS:
            for vault in (HOME, AWAY):
                wrong += _untagged(kind, vault, self.snapshots(vault, kind))
        calls = Counter(self._calls())
        calls.subtract(self.before)
        for (kind, method), count in calls.items():
            if count > _most(kind, method):
                wrong.append(f"{method} of {kind} was called {count} times: a loop of failures")
        return wrong

    def _calls(self) -> dict[tuple[str, str], int]:
        return {(kind, m): self.faulty(kind).faults.calls[m] for kind in KINDS for m in ("cut", "copy", "expire")}


def _most(kind: str, method: str) -> int:
    """Calls in a slot that was struck once or thrice, `books` included: none but what failed is asked again."""
    made = {"cut": CALLS[kind], "copy": MEMBERS[kind], "expire": 6 * MEMBERS[kind]}[method]
    return 3 * made + 4


def _untagged(kind: str, vault: str, snapshots: list[NativeSnapshot]) -> Iterator[str]:
    if len([s for s in snapshots if s.state == "usable"]) < MEMBERS[kind]:
        yield f"{vault}: {kind} lacks members: {snapshots}"
    for snapshot in snapshots:
        wanted = _DRORCHS | ({TAG_SOURCE} if vault == AWAY else set()) | {"tier"}
        if missing := wanted - snapshot.tags.keys():
            yield f"{vault}: {snapshot.native_id} of {kind} lacks the tags {sorted(missing)}"
        if theirs := [tag for tag in snapshot.tags if tag.startswith("aws:") and tag not in OF_AWS]:
            yield f"{vault}: {snapshot.native_id} of {kind} bears {theirs}"


# --- estates ---------------------------------------------------------------------------------------------------------


def put_sources(world: Installation, **tags: str) -> None:
    """The sources of all applications at home; `tags` beside their own."""
    tier = {"tier": "data", **tags}

    def volume(name: str, instance: str = "", app: str = "shop") -> Source:
        return replace(world.volume(name, instance, **tier), tags={"app": app, **tier}, identity=name)

    volumes = [volume("vol-1", "i-1"), volume("vol-2", "i-1"), volume("vol-3"), volume("vol-9", app="books")]
    world.cloud.put_sources("ec2", "prod", "us-east-1", volumes)
    world.cloud.put_sources(IMAGES, "prod", "us-east-1", [volume("i-1"), volume("i-2")])
    world.cloud.put_sources("rds", "prod", "us-east-1", [Source("shop-ledger", bytes=8 << 30, tags=tier)])
    world.cloud.put_sources(CLUSTERS, "prod", "us-east-1", [Source("shop-seats", bytes=8 << 30, tags=tier)])


class Moulds:
    """Estates before their first cut, and of four days; each is built once, and a twin of it is struck."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: dict[bool, Installation] = {}
        self._twins = 0

    def estate(self, *, lived: bool) -> Estate:
        if lived not in self._made:
            guards = Guards(host="backup1", grace=timedelta(days=1))
            world = Installation(self.folder / f"mould-{lived}", *POLICIES, guards=guards)
            put_sources(world)
            world.cloud.put_key("prod", "us-west-2", KEY)
            for _ in range(3 if lived else 0):
                world.quiet(minutes=11)
                world.clock.turn(days=1)
            self._made[lived] = world
        self._twins += 1
        self._made[lived].serial = True
        twin = self._made[lived].twin(self.folder / f"twin-{self._twins}")
        return Estate(twin, slots=2 if lived else 1)
