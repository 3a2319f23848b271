"""What goes wrong at AWS, met by every action on native points: the strikes, the estate they hit, and what must hold.

An estate has one application per kind, each with as many members as its kind can have, and one more, `books`, that
nothing strikes: it must be carried on in the same passes. Copies are under a key of their own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from faults import FaultySnapshots
from witness import Witness, at_rest
from worlds import AWAY, CLUSTERS, HOME, LEDGER, SEATS, VOLUMES, Installation

from drorch.app.passing import Guards
from drorch.domain.catalogue_native import TAG_APPLICATION, TAG_POINT, TAG_SET, TAG_SITE, TAG_SLOT, TAG_SOURCE
from drorch.domain.errors import NotFound, Refused, Unavailable
from drorch.domain.native import PART, NativeSnapshot, Source
from drorch.kinds.memory.images import IMAGES

KINDS = ("ebs", "ami", "rds-instance", "rds-cluster")
SETS = ("ebs", "ami")
"""Kinds whose points may have several members."""
ACTIONS = ("cut", "copy", "tag", "observe", "expire", "record")
FAULTS = (
    "asynchronous error",
    "places taken by others",
    "not found after create",
    "aws: tags on the source",
    "one member of a set in error",
    "source deleted before the copy is done",
    "session expires between two calls",
    "KMS key disabled",
)

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


def _sources(world: Installation, **tags: str) -> None:
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
            _sources(world)
            world.cloud.put_key("prod", "us-west-2", KEY)
            for _ in range(3 if lived else 0):
                world.quiet(minutes=11)
                world.clock.turn(days=1)
            self._made[lived] = world
        self._twins += 1
        twin = self._made[lived].twin(self.folder / f"twin-{self._twins}")
        return Estate(twin, slots=2 if lived else 1)


# --- strikes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Strike:
    """A fault that meets an action of `kinds`. `does` is what drorch then does; `lived`: what is old is due to go."""

    fault: str
    action: str
    does: str
    meet: Callable[[Estate, str], None]
    kinds: tuple[str, ...] = KINDS
    lived: bool = False

    @property
    def name(self) -> str:
        return f"{self.action}: {self.fault}"


def struck(strike: Strike, moulds: Moulds) -> list[str]:
    """Strike all kinds at once, carry on, lift what stands, become quiet; what is wrong then."""
    estate = moulds.estate(lived=strike.lived)
    for kind in reversed(strike.kinds):
        strike.meet(estate, kind)
    estate.passes(8)
    blocked = estate.carried_on()
    assert not blocked, f"another application was not carried on: {blocked}"
    estate.lift()
    for _ in range(30):
        if not any(estate.faulty(kind).faults.standing for kind in KINDS):
            break
        estate.passes(1, minutes=7)
    assert not any(estate.faulty(kind).faults.standing for kind in KINDS), "the fault was never met"
    for _ in range(8):
        estate.passes(1, minutes=9)
    estate.world.quiet(most=90)
    wrong = estate.judged()
    estate.world.reconciler.close()
    return wrong


def _raising(error: Exception) -> Callable[[], None]:
    def met() -> None:
        raise error

    return met


_EXPIRED = Unavailable("AWS did not answer as it should", cause="ExpiredToken: the security token is expired")
_NO_KEY = Refused("AWS refused", cause="KMSKeyNotAccessibleFault: the key is disabled")


def _error_in_cut(estate: Estate, kind: str) -> None:
    estate.until(lambda: len(estate.snapshots(HOME, kind)) == MEMBERS[kind])
    for snapshot in estate.snapshots(HOME, kind):
        estate.world.cloud.fail(snapshot, "an internal error has occurred")


def _error_in_copy(estate: Estate, kind: str) -> None:
    estate.until(lambda: len(estate.snapshots(AWAY, kind)) == MEMBERS[kind])
    for snapshot in estate.snapshots(AWAY, kind):
        estate.world.cloud.fail(snapshot, "Given key ID is not accessible")


def _one_of_cut(estate: Estate, kind: str) -> None:
    estate.until(lambda: len(estate.snapshots(HOME, kind)) == MEMBERS[kind])
    estate.world.cloud.fail(estate.snapshots(HOME, kind)[-1], "an internal error has occurred")


def _one_of_copy(estate: Estate, kind: str) -> None:
    estate.until(lambda: len(estate.snapshots(AWAY, kind)) == MEMBERS[kind])
    estate.world.cloud.fail(estate.snapshots(AWAY, kind)[-1], "an internal error has occurred")


def _one_not_deleted(estate: Estate, kind: str) -> None:
    estate.order(kind, "expire", _raising(Unavailable("AWS did not answer as it should")), after=1)


def _no_place_for_cut(estate: Estate, kind: str) -> None:
    estate.order(kind, "cut", "throttled", times=2)


def _no_place_for_copy(estate: Estate, kind: str) -> None:
    """By the count for the ones, by the refusal of a call that the count did not foresee for the others."""
    estate.world.cloud.copy_places["us-west-2"] = estate.world.cloud.foreign_copies["us-west-2"] = 20
    estate.order(kind, "copy", "throttled")
    estate.lifts.append(lambda: estate.world.cloud.foreign_copies.clear())


def _hide(estate: Estate, kind: str, hidden: Callable[[NativeSnapshot, datetime], bool]) -> None:
    """Listings and looks do not show what is `hidden` of the application."""
    inner = estate.faulty(kind).inner
    snapshots, find = inner.snapshots, inner.find

    def shown(found: Iterator[NativeSnapshot]) -> Iterator[NativeSnapshot]:
        now = estate.world.clock.now()
        return (s for s in found if s.tags.get(TAG_APPLICATION) != kind or not hidden(s, now))

    inner.snapshots = lambda *where: shown(snapshots(*where))  # type: ignore[method-assign]
    inner.find = lambda *where: tuple(shown(iter(find(*where))))  # type: ignore[method-assign]

    def lift() -> None:
        inner.snapshots, inner.find = snapshots, find  # type: ignore[method-assign]

    estate.lifts.append(lift)


def _young(snapshot: NativeSnapshot, now: datetime) -> bool:
    return snapshot.started is not None and now < snapshot.started + timedelta(minutes=3)


def _cut_shows_late(estate: Estate, kind: str) -> None:
    estate.order(kind, "cut", "after")
    _hide(estate, kind, _young)


def _copy_shows_late(estate: Estate, kind: str) -> None:
    """The source is not found by the first call; the copy that the second one begins shows late, its reply is lost."""
    estate.order(kind, "copy", _raising(NotFound("AWS has no such thing", cause="InvalidSnapshot.NotFound")))
    estate.order(kind, "copy", "after")
    _hide(estate, kind, lambda snapshot, now: TAG_SOURCE in snapshot.tags and _young(snapshot, now))


def _gone_from_view(estate: Estate, kind: str) -> None:
    """What a listing has shown while it was pending the next ones do not, as when other servers answer them."""
    estate.until(lambda: bool(estate.snapshots(HOME, kind)))
    estate.until(lambda: _seen_at_home(estate, kind))
    begun = estate.world.clock.now()
    _hide(estate, kind, lambda _, now: now < begun + timedelta(minutes=3))


def _seen_at_home(estate: Estate, kind: str) -> bool:
    seen = estate.world.seen
    return seen is not None and any(p.copy_in(HOME) for p in seen.plans[kind].catalogue.points)


def _deleted_by_another(estate: Estate, kind: str) -> None:
    def met() -> None:
        there = [s for s in estate.world.snapshots(HOME) if s.tags.get(TAG_APPLICATION) == kind and s.role != PART]
        estate.remove(min(there, key=lambda s: s.tags[TAG_SLOT]))

    estate.order(kind, "expire", met)


def _aws_tags_on_sources(estate: Estate, kind: str) -> None:
    _sources(estate.world, **OF_AWS)
    estate.lifts.append(lambda: _must_not_bear(estate, HOME, kind))


def _aws_tags_on_snapshots(estate: Estate, kind: str) -> None:
    """Another service of AWS tags what is to be copied."""
    estate.until(lambda: len(estate.snapshots(HOME, kind)) == MEMBERS[kind])
    for snapshot in estate.snapshots(HOME, kind):
        place = estate.world.cloud._place(snapshot.service, snapshot.account, snapshot.region)
        held = place.held[snapshot.native_id]
        held.snapshot = replace(held.snapshot, tags={**held.snapshot.tags, **OF_AWS})
    estate.lifts.append(lambda: _must_not_bear(estate, AWAY, kind))


def _must_not_bear(estate: Estate, vault: str, kind: str) -> None:
    made = estate.snapshots(vault, kind)
    assert len(made) == MEMBERS[kind], "the fault was never met"
    bearing = [s for s in made if OF_AWS.keys() & s.tags.keys()]
    assert not bearing, "AWS refuses a creating call with such tags"


def _source_gone_before_cut(estate: Estate, kind: str) -> None:
    def met() -> None:
        for service in ("ec2", IMAGES, "rds", CLUSTERS):
            place = estate.world.cloud._place(service, "prod", "us-east-1")
            place.sources = {name: s for name, s in place.sources.items() if s.tags.get("app") == "books"}

    estate.order(kind, "cut", met)
    estate.lifts.append(lambda: _sources(estate.world))


def _source_gone_before_copied(estate: Estate, kind: str) -> None:
    estate.until(lambda: len(estate.snapshots(AWAY, kind)) == MEMBERS[kind])
    for snapshot in estate.snapshots(HOME, kind):
        estate.remove(snapshot)


def _expires_in(method: str) -> Callable[[Estate, str], None]:
    def meet(estate: Estate, kind: str) -> None:
        several = {"cut": CALLS, "copy": MEMBERS, "expire": MEMBERS}[method][kind] > 1
        estate.order(kind, method, _raising(_EXPIRED), after=int(several))

    return meet


def _expires_in_listing(estate: Estate, kind: str) -> None:
    """The listing of one region is answered, that of the other is not."""
    estate.faulty(kind).faults.order("snapshots", _raising(_EXPIRED), times=3, only="us-west-2")


def _key_of_source_disabled(estate: Estate, kind: str) -> None:
    """RDS says so at once, EC2 begins a snapshot that ends in error."""
    if kind in SETS:
        _error_in_cut(estate, kind)
    else:
        estate.order(kind, "cut", _raising(_NO_KEY), times=2)


def _key_disabled(estate: Estate, kind: str) -> None:
    """After the copies of the days before; a process that looked at it then does not look again."""
    estate.world.cloud._keys.discard(("prod", "us-west-2", KEY))
    estate.lifts.append(lambda: estate.world.cloud.put_key("prod", "us-west-2", KEY))


def _key_disabled_at_expiry(estate: Estate, kind: str) -> None:
    """A deletion needs no key."""
    _key_disabled(estate, kind)
    deleted = estate.world.calls(kind, "expire")

    def gone() -> None:
        assert deleted() >= MEMBERS[kind], "the fault was never met"

    estate.lifts.append(gone)


STRIKES = (
    Strike("asynchronous error", "cut", "another attempt under an id of its own, with back-off", _error_in_cut),
    Strike("asynchronous error", "copy", "copied again after an hour; an alarm until then", _error_in_copy),
    Strike("places taken by others", "cut", "tried again at the next pass; no failure", _no_place_for_cut),
    Strike("places taken by others", "copy", "waits in the queue; no failure", _no_place_for_copy),
    Strike("not found after create", "cut", "looked for by tag before it is asked again", _cut_shows_late),
    Strike("not found after create", "copy", "tried again with back-off, looked for first", _copy_shows_late),
    Strike("not found after create", "observe", "the intent stands until it is usable", _gone_from_view),
    Strike("not found after create", "expire", "what is gone is gone", _deleted_by_another, lived=True),
    Strike("aws: tags on the source", "cut", "left out, all others are carried", _aws_tags_on_sources),
    Strike("aws: tags on the source", "copy", "left out, all others are carried", _aws_tags_on_snapshots),
    Strike("one member of a set in error", "cut", "the point does not count; another attempt", _one_of_cut, SETS),
    Strike("one member of a set in error", "copy", "that member alone is copied again", _one_of_copy, SETS),
    Strike("one member of a set in error", "expire", "the rest goes, it later", _one_not_deleted, SETS, lived=True),
    Strike("source deleted before the copy is done", "cut", "nothing is cut; held", _source_gone_before_cut),
    Strike("source deleted before the copy is done", "copy", "another attempt", _source_gone_before_copied),
    Strike("session expires between two calls", "cut", "the calls that are left are made", _expires_in("cut")),
    Strike("session expires between two calls", "copy", "the members that are left are copied", _expires_in("copy")),
    Strike("session expires between two calls", "observe", "the last known state stays", _expires_in_listing),
    Strike("session expires between two calls", "expire", "goes on where it was", _expires_in("expire"), lived=True),
    Strike("KMS key disabled", "cut", "another attempt, with back-off", _key_of_source_disabled),
    Strike("KMS key disabled", "copy", "copied again when the key is back", _key_disabled, lived=True),
    Strike("KMS key disabled", "expire", "goes: a deletion needs no key", _key_disabled_at_expiry, lived=True),
)
