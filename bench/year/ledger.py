"""The ground truth of a simulated site, kept beside the product: what really exists where, and what may never happen.

Nothing here asks the product. Ports tell the ledger of every change; it judges each deletion at the instant it happens
and keeps what it finds broken.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bench.year.clock import START, Clocks
from drorch.domain import layout

GRACE = timedelta(days=3)
FLOOR = 2
PLAUSIBLE = timedelta(minutes=5)
BROUGHT = timedelta(minutes=1)
"""A dump that shows in a vault so long after its data time was not streamed there."""

Resource = tuple[str, str]
"""(application, resource)."""


@dataclass(slots=True)
class Held:
    """One copy that really exists."""

    point: str
    slot: str
    cut_at: datetime
    came: datetime
    usable: bool = True
    verified: bool = False
    marked: datetime | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """One invariant that did not hold."""

    invariant: str
    application: str
    day: float
    what: str

    def __str__(self) -> str:
        return f"day {self.day:.2f}: {self.application}: {self.invariant}: {self.what}"


@dataclass(slots=True)
class Taken:
    """A copy that somebody took away, and what it was; `told` once the product has reported it."""

    application: str
    resource: str
    at: datetime
    held: Held
    told: bool = False


@dataclass
class Ledger:
    """`frozen` names applications under which nothing may be deleted now, and why."""

    clocks: Clocks
    copies: dict[Resource, dict[str, dict[str, Held]]] = field(default_factory=dict)
    cut_at: dict[str, datetime] = field(default_factory=dict)
    points: set[str] = field(default_factory=set)
    slots: dict[Resource, set[str]] = field(default_factory=dict)
    pinned: dict[str, datetime] = field(default_factory=dict)
    frozen: dict[str, str] = field(default_factory=dict)
    taken_copies: dict[tuple[str, str], Taken] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unlisted: set[str] = field(default_factory=set)
    """Vaults whose listing as a whole failed in this pass."""
    listed: dict[str, datetime] = field(default_factory=dict)
    expired: dict[tuple[str, str], None] = field(default_factory=dict)
    marks: set[str] = field(default_factory=set)
    """Paths of every mark ever written, so that one that goes into three vaults is one."""

    def break_(self, invariant: str, application: str, what: str) -> None:
        """Note what did not hold."""
        self.broken.append(Broken(invariant, application, round(self.clocks.day, 3), what))

    def begin_pass(self) -> None:
        """A pass begins: no listing of it has failed yet."""
        self.unlisted.clear()

    def listing_done(self, vault: str) -> None:
        """A vault was listed: what had come until now could be seen."""
        self.listed[vault] = self.clocks.true

    def listing_failed(self, vault: str) -> None:
        """A listing of a whole vault failed."""
        self.unlisted.add(vault)

    def of(self, where: Resource, vault: str) -> dict[str, Held]:
        """point -> what a vault really holds of a resource."""
        return self.copies.setdefault(where, {}).setdefault(vault, {})

    # --- what comes ---

    def wrote(self, vault: str, path: str, body: bytes) -> None:
        """A record was written into an object vault."""
        application, resource, folder, rest = path.removeprefix(layout.RECORDS).split("/", 3)
        at, _, point = folder.partition("-")
        if rest == "manifest.json":
            slot = str(json.loads(body)["slot"])
            cut_at = datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            for other, points in self.copies.get((application, resource), {}).items():
                if point in points and points[point].cut_at != cut_at:
                    what = f"{point} of {cut_at} in {vault} bears the id of one of {points[point].cut_at} in {other}"
                    self.break_("id", application, what)
            self._come(vault, application, resource, Held(point, slot, cut_at, self.clocks.true))
            return
        sort, _, name = rest.partition("/")
        word, _, of = name.removesuffix(".json").partition("-")[2].partition("-")
        if sort == "marks":
            self._marked(word, of, application, resource, point, again=path in self.marks)
            self.marks.add(path)
        elif sort == "proofs":
            proof = json.loads(body)
            held = self.of((application, resource), str(proof["vault"])).get(point)
            if held is not None:
                held.verified = proof["outcome"] == "passed"

    def snapshot(
        self, vault: str, application: str, resource: str, point: str, slot: str, started: datetime | None
    ) -> None:
        """A snapshot was begun; `started` None for a copy, whose data are those of the cut."""
        cut_at = self.cut_at[point] if started is None else self.cut_at.setdefault(point, started)
        self._come(vault, application, resource, Held(point, slot, cut_at, self.clocks.true, usable=False))

    def usable(self, vault: str, application: str, resource: str, point: str) -> None:
        """A snapshot is complete."""
        self.of((application, resource), vault)[point].usable = True

    def _come(self, vault: str, application: str, resource: str, held: Held) -> None:
        where = (application, resource)
        known = self.slots.setdefault(where, set())
        if held.point not in self.points:
            self.points.add(held.point)
            self.cut_at.setdefault(held.point, held.cut_at)
            self.counts["points cut"] += 1
            self.counts["duplicates"] += held.slot in known
        elif held.cut_at + BROUGHT < held.came or not held.usable:
            self.counts["copies brought later"] += 1
            self.counts["of those in place of what was taken"] += (vault, held.point) in self.taken_copies
        known.add(held.slot)
        self.of(where, vault)[held.point] = held

    def _marked(self, word: str, vault: str, application: str, resource: str, point: str, *, again: bool) -> None:
        if again:
            return  # the same mark in another vault, perhaps much later
        self.counts[f"marks {word}"] += 1
        held = self.of((application, resource), vault).get(point) if vault else None
        if word == "expiring" and held is not None and held.marked is None:
            held.marked = self.clocks.true
        elif word == "kept" and held is not None:
            held.marked = None
        elif word == "expired":
            self.expired[(vault, point)] = None
            self._judge_mark(vault, application, resource, point)

    def _judge_mark(self, vault: str, application: str, resource: str, point: str) -> None:
        if application in self.frozen and point in self.of((application, resource), vault):
            self.break_(
                "frozen", application, f"{point} marked as expired under a policy that is {self.frozen[application]}"
            )

    # --- what goes ---

    def deleting(self, vault: str, path: str) -> None:
        """The product deletes an object."""
        if path.startswith(layout.RECORDS):
            application, resource, folder, rest = path.removeprefix(layout.RECORDS).split("/", 3)
            point = folder.partition("-")[2]
            if rest == "manifest.json":
                self.deleting_copy(vault, application, resource, point)
            elif rest.endswith(".json") and any(
                point in held for held in self.copies[(application, resource)].values()
            ):
                self.break_("records", application, f"{vault}: {rest} of {point}, which still exists, was deleted")
        elif path.startswith(layout.DATA):
            application, resource, folder, _ = path.removeprefix(layout.DATA).split("/", 3)
            point = folder.partition("-")[2]
            if point in self.of((application, resource), vault):
                self.break_("data", application, f"{vault}: data of {point} were deleted before its manifest")

    def deleting_copy(self, vault: str, application: str, resource: str, point: str) -> None:
        """The product deletes a copy: all that forbids it is looked at now."""
        there = self.of((application, resource), vault)
        held = there.get(point)
        if held is None:
            return
        for invariant, what in self._against(held, there, vault, application):
            self.break_(invariant, application, f"{resource}: {point} (data as of {held.cut_at}) of {vault}: {what}")
        del there[point]
        self.counts["copies deleted"] += 1

    def _against(self, held: Held, there: dict[str, Held], vault: str, application: str) -> Iterator[tuple[str, str]]:
        true = self.clocks.true
        if held.usable:
            usable = [h for h in there.values() if h.usable and h.cut_at <= self.clocks.now() + PLAUSIBLE]
            newest = max(usable, key=lambda h: (h.cut_at, h.point), default=None)
            verified = max((h for h in usable if h.verified), key=lambda h: (h.cut_at, h.point), default=None)
            if held is newest:
                yield "newest", "it was the newest usable point there"
            if held is verified:
                yield "verified", "it was the newest verified point there"
            if len(usable) - 1 < FLOOR:
                yield "floor", f"{len(usable) - 1} usable points are left, the floor is {FLOOR}"
        if self.pinned.get(held.point, true) > true:
            yield "pinned", "it was pinned"
        if vault in self.unlisted:
            yield "incomplete", "the vault was not listed completely in this pass"
        if self.clocks.off():
            yield "clock", "clocks differ"
        if application in self.frozen:
            yield "frozen", f"its policy is {self.frozen[application]}"
        if held.usable and (held.marked is None or true < held.marked + GRACE):
            since = "never" if held.marked is None else f"{(true - held.marked) / timedelta(hours=1):.1f} h ago"
            yield "grace", f"it was marked {since}"
        if (vault, held.point) not in self.expired:
            yield "word", "no `expired` mark was written before"

    def taken(self, vault: str, path: str) -> None:
        """Somebody takes an object away."""
        if path.startswith(layout.RECORDS) and path.endswith("/manifest.json"):
            application, resource, folder, _ = path.removeprefix(layout.RECORDS).split("/", 3)
            self.taken_copy(vault, application, resource, folder.partition("-")[2])

    def taken_copy(self, vault: str, application: str, resource: str, point: str) -> None:
        """Somebody takes a copy away."""
        held = self.of((application, resource), vault).pop(point, None)
        if held is not None:
            never_seen = held.came > self.listed.get(vault, START)
            self.taken_copies[(vault, point)] = Taken(application, resource, self.clocks.true, held, told=never_seen)
            self.counts["of those before anybody could see them"] += never_seen
            self.counts["copies taken away by somebody"] += 1
