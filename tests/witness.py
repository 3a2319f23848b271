"""What is true of a small installation, told from what really lies in its vaults and its cloud, and every deletion
judged at the moment it happens.

Nothing here asks the product for its opinion, except to read and check the bytes of a record. ``Witness(world)`` stands
behind the vaults and the kinds; what it finds wrong is in `wrong`, which a test expects to be empty after every step.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from worlds import CLOUD, Installation

from drorch.crypto.minisign import BadSignature, verify
from drorch.domain import layout
from drorch.domain.catalogue_native import TAG_APPLICATION, TAG_POINT, TAG_RESOURCE, TAG_SET, TAG_SLOT, TAG_SOURCE
from drorch.domain.errors import DrorchError
from drorch.domain.instant import from_compact
from drorch.domain.native import PART, NativeSnapshot
from drorch.domain.policy import Policy, ResourcePolicy
from drorch.domain.record import Record, RecordType, artefacts_of, parse_at
from drorch.kinds.memory.cloud import Held
from drorch.ports import ObjectVersion
from drorch.stores.memory import MemoryStore

SKEW = timedelta(minutes=5)
NOTICED = timedelta(minutes=30)
"""Within so long a clock that was turned is asked again."""
Where = tuple[str, str]
"""(vault, point)."""


@dataclass(frozen=True)
class Truth:
    """One usable point of one vault: complete, signed, there."""

    vault: str
    application: str
    resource: str
    point: str
    slot: str
    cut_at: datetime

    @property
    def manual(self) -> bool:
        return self.slot.startswith("manual:")


class Witness:
    """See the module. `restoring` are the resources at which something else is at work, by whoever runs the test."""

    def __init__(self, world: Installation) -> None:
        self.world = world
        self.wrong: list[str] = []
        self.seen: Counter[str] = Counter()
        """Objects and snapshots that drorch removed, by what they were."""
        self.removed: set[Where] = set()
        """Copies of which drorch removed something that was committed."""
        self.by_others: set[Where] = set()
        """Copies that somebody else removed or damaged; the tests say so."""
        self.ever: dict[Where, Truth] = {}
        self.restoring: set[tuple[str, str]] = set()
        self.other_until: datetime | None = None
        """By this host's clock: until then the head of another one, dated `other_at`, is fresh."""
        self.other_at = datetime.min.replace(tzinfo=UTC)
        self.guarded = True
        self._begun: dict[tuple[str, str], datetime] = {}
        self._listed: dict[str, bool] = {}
        self._memo: dict[tuple[str, bytes, bytes], Record | None] = {}
        self._whole: dict[Where, tuple[int, int]] = {}
        for name in world.stores:
            store = world.memory(name)
            self._begun |= {(name, path): at for path, (_, at) in store.objects.items()}
            self._behind_store(name, store)
        for kind in world.kinds.values():
            self._behind_kind(kind.inner)

    # --- standing behind ---

    def _behind_store(self, vault: str, store: MemoryStore) -> None:
        written, delete = store._write, store.delete

        def write(path: str, body: bytes, *, locked: bool) -> None:
            written(path, body, locked=locked)
            self._begun.setdefault((vault, path), self.world.clock.now())

        def deleted(path: str) -> None:
            if path in store.objects or path in store._versions:
                self._judge_object(vault, store, path)
            delete(path)

        store._write, store.delete = write, deleted  # type: ignore[method-assign]
        faulty = self.world.stores[vault]
        history = faulty.history

        def listed(prefix: str) -> Iterator[ObjectVersion]:
            try:
                yield from history(prefix)
            except DrorchError:
                self._listed[vault] = False
                raise
            self._listed[vault] = True

        faulty.history = listed  # type: ignore[method-assign]

    def _behind_kind(self, kind: object) -> None:
        expire: Callable[[str, str, str], None] = kind.expire  # type: ignore[attr-defined]

        def expired(account: str, region: str, native_id: str) -> None:
            vault = f"{account}.{region}"
            snapshot = next((s for s in self.world.snapshots(vault) if s.native_id == native_id), None)
            if snapshot is not None:
                self._judge_snapshot(vault, snapshot)
            expire(account, region, native_id)

        kind.expire = expired  # type: ignore[attr-defined]
        unshare: Callable[[str, str, str, str], None] = kind.unshare  # type: ignore[attr-defined]

        def unshared(account: str, region: str, native_id: str, other: str) -> None:
            for s in self.world.cloud.snapshots():
                if (s.account, s.state, s.tags.get(TAG_SOURCE)) == (other, "pending", native_id):
                    self.wrong.append(f"{native_id} is not shared any more while {s.native_id} is made of it")
            unshare(account, region, native_id, other)

        kind.unshare = unshared  # type: ignore[attr-defined]

    # --- what is there ---

    def records(self, vault: str) -> list[Record]:
        """Every record of the vault that the site's key vouches for."""
        store = self.world.memory(vault)
        there = store._versions if store.versioned else store.objects
        paths = [path for path in there if path.startswith(layout.RECORDS) and _json(path)]
        found = (self._signed(store, path) for path in paths)
        return [record for record in found if record is not None]

    def _signed(self, store: MemoryStore, path: str) -> Record | None:
        for body in _bodies(store, path):
            for signature in _bodies(store, path + layout.SIGNATURE):
                known = (path, body, signature)
                if known not in self._memo:
                    self._memo[known] = self._parsed(*known)
                if self._memo[known] is not None:
                    return self._memo[known]
        return None

    def _parsed(self, path: str, body: bytes, signature: bytes) -> Record | None:
        try:
            record = parse_at(path, body)
            said = verify(body, signature, [self.world.key.public]).trusted_comment
        except (DrorchError, BadSignature):
            return None
        return record if said == record.comment else None

    def marks(self, point: str, *names: str) -> list[Record]:
        """The signed marks of these names about a point, in whatever vault, each once."""
        found = {}
        for vault in self.world.stores:
            for record in self.records(vault):
                if record.type == RecordType.MARK and record.point == point and record.text("mark") in names:
                    found[record.path] = record
        return list(found.values())

    def usable(self, vault: str) -> list[Truth]:
        """The usable points of a vault, newest first."""
        found = self._dumps(vault) if vault in self.world.stores else self._natives(vault)
        points = sorted(found, key=lambda truth: (truth.cut_at, truth.point), reverse=True)
        for truth in points:
            self.ever.setdefault((vault, truth.point), truth)
        return points

    def _dumps(self, vault: str) -> Iterator[Truth]:
        store = self.world.memory(vault)
        for record in self.records(vault):
            if record.type != RecordType.MANIFEST or record.cut_at is None:
                continue
            where = (record.application, record.resource, record.cut_at, record.point)
            folder = layout.data_folder(*where)
            wanted = {f"{folder}{v.object}": v.bytes for a in artefacts_of(record) for v in a.volumes}
            wanted |= {f"{folder}{a.name}{layout.LEAVES}": a.leaves_bytes for a in artefacts_of(record)}
            if all(any(len(body) == size for body in _bodies(store, path)) for path, size in wanted.items()):
                yield Truth(vault, *where[:2], record.point, record.text("slot"), record.cut_at)

    def _natives(self, vault: str) -> Iterator[Truth]:
        groups: dict[str, list[tuple[NativeSnapshot, datetime]]] = {}
        for held in (held for place in self.world.cloud._places.values() for held in place.held.values()):
            snapshot, since = held.snapshot, _as_of(held)
            if snapshot.role == PART or since is None:
                continue  # what is left of an image is no copy
            if f"{snapshot.account}.{snapshot.region}" == vault and snapshot.state == "usable":
                groups.setdefault(snapshot.tags.get(TAG_POINT, ""), []).append((snapshot, since))
        for point, members in groups.items():
            tags = members[0][0].tags
            names = tags.get(TAG_APPLICATION, ""), tags.get(TAG_RESOURCE, ""), tags.get(TAG_SLOT, "")
            sets = [m.tags.get(TAG_SET, "1/1:1") for m, _ in members]
            whole = {text.partition("/")[0] for text in sets} >= {str(n + 1) for n in range(_calls(set(sets)))}
            full = all(sets.count(text) >= int(text.rpartition(":")[2]) for text in set(sets))
            if whole and full and self.world.valid_id(point, *names):
                yield Truth(vault, *names[:2], point, names[2], min(since for _, since in members))

    def of(self, vault: str, application: str, resource: str) -> list[Truth]:
        """The usable points of one resource in a vault, newest first."""
        return [t for t in self.usable(vault) if (t.application, t.resource) == (application, resource)]

    def verified(self, vault: str, point: str) -> bool:
        """Whether the last drill of the copy passed."""
        proofs = {p.path: p for name in self.world.stores for p in self.records(name) if p.type == RecordType.PROOF}
        of_copy = [p for p in proofs.values() if p.point == point and p.text("vault") == vault]
        told = [p for p in of_copy if p.text("outcome") in ("passed", "failed")]
        last = max(told, key=lambda p: (p.at, p.text("outcome") != "passed"), default=None)
        return last is not None and last.text("outcome") == "passed"

    def pinned(self, point: str) -> bool:
        """By the last signed word about it."""
        pins = self.marks(point, "pin", "unpin")
        if not pins:
            return False
        last = max(pins, key=lambda mark: (mark.at, mark.text("mark") == "pin"))
        until = last.time("until")
        return last.text("mark") == "pin" and (until is None or self.world.host.now() < until)

    def rule(self, application: str, resource: str) -> tuple[Policy, ResourcePolicy] | None:
        """What the policies say of it now."""
        for policy in self.world.policies:
            for found in policy.resources:
                if (policy.application, found.name) == (application, resource):
                    return policy, found
        return None

    # --- judging ---

    def _judge_object(self, vault: str, store: MemoryStore, path: str) -> None:
        if path.startswith(layout.HEADS):
            self.seen["head"] += 1
            heads = [name for name in store.objects if name.startswith(path.rpartition("/")[0]) and _json(name)]
            if _json(path) and path == max(heads):
                self._blame(f"{vault}: the newest head {path} was deleted")
            return
        parts = path.split("/")
        if len(parts) < 6 or not path.startswith((layout.DATA, layout.RECORDS)):
            self._blame(f"{vault}: {path} was deleted, and nobody may do that")
            return
        application, resource, folder = parts[3:6]
        at, _, point = folder.partition("-")
        manifest = layout.manifest_path(application, resource, from_compact(at), point)
        if path.startswith(layout.RECORDS) and not path.startswith(manifest):
            self.seen["record"] += 1
            self._judge_record(vault, point, path)
        elif path.startswith(layout.DATA) and not self.marks(point, "expired") and manifest not in store.objects:
            self.seen["leftover"] += 1
            self._judge_leftover(vault, store, path, point)
        elif path.startswith(layout.DATA) and manifest in store.objects and self._damaged(store, path, manifest):
            self.seen["damaged"] += 1
        else:
            self.seen["dump"] += 1
            self._judge_copy(vault, application, resource, point)

    def _judge_snapshot(self, vault: str, snapshot: NativeSnapshot) -> None:
        self.seen["snapshot"] += 1
        tags = snapshot.tags
        self._judge_copy(vault, tags[TAG_APPLICATION], tags[TAG_RESOURCE], tags[TAG_POINT])
        lock = self.world.lock_of(snapshot)
        if lock is not None and self.world.drifts[CLOUD].now() < lock.until:
            self._blame(f"{vault}: {snapshot.native_id} was to be deleted while it is locked until {lock.until}")

    def _damaged(self, store: MemoryStore, path: str, manifest: str) -> bool:
        """Whether the object is not what its manifest signs."""
        record = self._signed(store, manifest)
        name = path.rpartition("/")[2]
        if record is None:
            return False
        signed = {v.object: v.sha256 for a in artefacts_of(record) for v in a.volumes}
        signed |= {a.name + layout.LEAVES: a.leaves_sha256 for a in artefacts_of(record)}
        body = _bodies(store, path)[0]
        return name not in signed or hashlib.sha256(body).hexdigest() != signed[name]

    def _judge_record(self, vault: str, point: str, path: str) -> None:
        """Records go when no vault has held anything of the point for 90 days."""
        left = [name for name in self.world.stores if any(t.point == point for t in self.usable(name))]
        left += [s.native_id for s in self.world.cloud.snapshots() if s.tags.get(TAG_POINT) == point]
        ended = [self._begun.get((name, mark.path)) for mark in self.marks(point, "expired") for name in [vault]]
        young = any(at is not None and self.world.clock.now() < at + timedelta(days=90) - NOTICED for at in ended)
        if left or (young and _json(path)):
            self._blame(f"{vault}: the record {path} was deleted; left: {left}, young: {young}")

    def _judge_leftover(self, vault: str, store: MemoryStore, path: str, point: str) -> None:
        folder = path.rpartition("/")[0] + "/"
        ages = [self.world.clock.now() - self._begun[(vault, p)] for p in store.objects if p.startswith(folder)]
        if any(age < timedelta(days=30) - NOTICED for age in ages):
            self._blame(f"{vault}: {path} had no manifest, and is not 30 days old")
        if any(t.point == point for name in self.world.stores for t in self.usable(name)):
            self._blame(f"{vault}: {path} is of a point that another vault has")

    def _judge_copy(self, vault: str, application: str, resource: str, point: str) -> None:
        where = (vault, point)
        first = where not in self.removed
        self.removed.add(where)
        there = self.of(vault, application, resource)
        now, host = self.world.clock.now(), self.world.host.now()
        own = next((t for t in there if t.point == point), None)

        def say(what: str) -> None:
            self._blame(f"{where} of {application}/{resource}: {what}")

        if not any(mark.text("vault") == vault for mark in self.marks(point, "expired")):
            say("deleted without a signed mark `expired` in any vault")
        if self._skewed(vault, now, host):
            say("deleted while clocks differ")
        if self.other_until is not None and self.other_at - SKEW <= host < self.other_until:
            say("deleted while another host is at work")
        if (application, resource) in self.restoring:
            say("deleted while something else holds the resource")
        if first and vault in self.world.stores and not self._listed.get(vault):
            say("deleted after a listing of the vault that did not end")
        if own is None:
            return  # the end of a deletion that was judged when it began, or what was no copy any more
        if first:
            self.seen["copy"] += 1
        if self.pinned(point):
            say("deleted while pinned")
        rule = self.rule(application, resource)
        if rule is None or application in self.world.stale:
            say("deleted without a valid policy that names it")
            return
        self._judge_whole(rule[1], there, own, now, say)

    def _judge_whole(
        self, rule: ResourcePolicy, there: list[Truth], own: Truth, now: datetime, say: Callable[[str], None]
    ) -> None:
        vault, point = own.vault, own.point
        kept = max((m.at for m in self.marks(point, "kept") if m.text("vault") == vault), default=None)
        expiring = [m for m in self.marks(point, "expiring") if m.text("vault") == vault]
        force = [m for m in expiring if kept is None or m.at > kept]
        if not force:
            say(f"deleted without a mark `expiring` in force (kept at {kept})")
        else:
            latest = max(force, key=lambda mark: mark.at)
            written = [at for (_, path), at in self._begun.items() if path == latest.path]
            if now - min(written) < self.world.guards.grace - NOTICED:
                say(f"deleted {now - min(written)} after it was marked")
        plausible = [t for t in there if t.cut_at <= now + SKEW]
        left = [t for t in there if t.point != point]
        if plausible and plausible[0].point == point:
            say("the newest usable point of its vault was deleted")
        verified = next((t for t in plausible if self.verified(vault, t.point)), None)
        if verified is not None and verified.point == point:
            say("the newest verified point of its vault was deleted")
        if len(left) < rule.floor:
            say(f"{len(left)} usable points left, the floor is {rule.floor}")
        target = next((t for t in rule.targets if t.vault == vault), None)
        if target is None:
            say("deleted from a vault that the policy does not name")
        elif point in {t.point for t in filling(plausible)[: target.keep.last]}:
            say(f"deleted, and it is one of the last {target.keep.last}")
        suspects = [m for t in plausible for m in self.marks(t.point, "suspect")]
        if any(m.cut_at is not None and m.cut_at > own.cut_at for m in suspects) and not self._cleared(suspects):
            say("deleted though a point after it is suspect")
        if self._drill_failed(own):
            say("deleted though the last drill failed")

    def _cleared(self, suspects: list[Record]) -> bool:
        return all(any(c.at >= m.at for c in self.marks(m.point, "cleared")) for m in suspects)

    def _drill_failed(self, own: Truth) -> bool:
        rule = self.rule(own.application, own.resource)
        drilled = rule[1].drill.from_ if rule is not None and rule[1].drill is not None else ()
        proofs = {p.path: p for name in self.world.stores for p in self.records(name) if p.type == RecordType.PROOF}
        for vault in drilled:
            of_vault = [p for p in proofs.values() if (p.resource, p.text("vault")) == (own.resource, vault)]
            told = [p for p in of_vault if p.text("outcome") in ("passed", "failed")]
            if told and max(told, key=lambda p: p.at).text("outcome") == "failed":
                return True
        return False

    def _skewed(self, vault: str, now: datetime, host: datetime) -> bool:
        """Whether the vault's clock and the host's differ, and did so before this very minute."""
        drift = self.world.drifts[vault if vault in self.world.stores else CLOUD]
        at_once = now - max(drift.since, self.world.host.since) < timedelta(minutes=1)
        return abs(drift.now() - host) > SKEW and not at_once

    def _blame(self, what: str) -> None:
        if self.guarded:
            self.wrong.append(f"{self.world.clock.now():%m-%d %H:%M} {what}")


# --- at rest ---------------------------------------------------------------------------------------------------------


def at_rest(witness: Witness, *, strict: bool = True) -> list[str]:
    """What is not as it must be once nothing is left to do, in words.

    Without `strict` the vaults were tampered with: what drorch does not count there, and says so, is no fault.
    """
    whole = [*_let_go_whole(witness), *_kept_once(witness), *_none_missing(witness, strict), *_told_alike(witness)]
    return [*whole, *(f"{name} is still shared" for name in witness.world.cloud.shared_ids())]


def _targets(witness: Witness) -> Iterator[tuple[Policy, ResourcePolicy, str, int]]:
    for policy in witness.world.policies:
        for resource in policy.resources:
            for rule in resource.targets:
                yield policy, resource, rule.vault, rule.keep.last


def _let_go_whole(witness: Witness) -> Iterator[str]:
    """A deletion that began has ended, and every vault says so."""
    world = witness.world
    for vault, point in sorted(witness.removed):
        if any(t.point == point for t in witness.usable(vault)):
            continue  # it was brought again
        for name in world.stores:
            told = [m for m in witness.marks(point, "expired") if m.text("vault") == vault]
            if told and not any(m.path in world.memory(name).objects for m in told):
                yield f"{name} has no mark `expired` of {point} in {vault}"
        left = [s.native_id for s in world.snapshots(vault) if s.tags.get(TAG_POINT) == point]
        if vault in world.stores:
            left += [p for p in world.memory(vault).objects if p.startswith(layout.DATA) and f"-{point}/" in p]
            left += [p for p in world.memory(vault).objects if p.endswith(f"-{point}/manifest.json")]
        if left:
            yield f"{vault}: {len(left)} things are left of {point}, which was let go: {left[:3]}"
    for (vault, point), truth in sorted(witness.ever.items()):
        gone = not any(t.point == point for t in witness.usable(vault))
        if gone and (vault, point) not in witness.removed | witness.by_others:
            yield f"{truth} is missing, and nobody let it go"


def _kept_once(witness: Witness) -> Iterator[str]:
    """One kept point per slot per vault, each where a rule wants it, and no vault below its floor."""
    for policy, resource, vault, last in _targets(witness):
        there = witness.of(vault, policy.application, resource.name)
        kept = [t for t in there if not t.manual and not _expiring(witness, t) and not witness.pinned(t.point)]
        slots = Counter(t.slot for t in kept)
        for slot, count in slots.items():
            if count > 1:
                yield f"{vault}: {count} kept points of {resource.name} fill slot {slot}"
        targets = [rule.vault for rule in resource.targets]
        everywhere = {t.point: t for v in targets for t in witness.of(v, policy.application, resource.name)}
        for truth in filling(list(everywhere.values()))[:last]:
            home = (targets[0], truth.point)
            if truth.point not in {t.point for t in there} and not (resource.native and home in witness.by_others):
                yield f"{vault}: {truth} is one of the last {last}, and missing"
        if len(there) < min(resource.floor, len(everywhere)):
            yield f"{vault}: {len(there)} usable points of {resource.name}, the floor is {resource.floor}"


def _expiring(witness: Witness, truth: Truth) -> bool:
    marks = [m for m in witness.marks(truth.point, "kept", "expiring", "expired") if m.text("vault") == truth.vault]
    last = max(marks, key=lambda mark: (mark.at, mark.text("mark") == "kept"), default=None)
    return last is not None and last.text("mark") != "kept"


def _none_missing(witness: Witness, strict: bool) -> Iterator[str]:
    """What drorch counts as usable is whole, and nothing that is whole goes uncounted."""
    seen = witness.world.reconciler.look(fresh=True)
    for policy, resource, vault, _ in _targets(witness):
        points = seen.plans[policy.application].catalogue.of(resource.name)
        counted = {p.id for p in points if (c := p.copy_in(vault)) is not None and c.usable}
        true = {t.point for t in witness.of(vault, policy.application, resource.name)}
        told = any(oddity.vault == vault for oddity in seen.plans[policy.application].catalogue.oddities)
        if counted - true or (true - counted and (strict or not told)):
            yield f"{vault}: counted as usable: {sorted(counted)}, whole: {sorted(true)}"


def _told_alike(witness: Witness) -> Iterator[str]:
    """The same signed records everywhere (a manifest lies with its data); no upload is left."""
    held = {}
    for name in witness.world.stores:
        held[name] = {record.path for record in witness.records(name) if record.type != RecordType.MANIFEST}
        pending = witness.world.memory(name)._pending.values()
        if pending:
            yield f"{name}: uploads are left: {sorted(upload.path for upload in pending)}"
    for name, paths in held.items():
        lacking = sorted(set().union(*held.values()) - paths)
        if lacking:
            yield f"{name}: lacks {len(lacking)} records: {lacking[:3]}"


def filling(points: list[Truth]) -> list[Truth]:
    """Of usable points those that fill a slot, the earliest of each, newest first."""
    first: dict[str, Truth] = {}
    for truth in sorted(points, key=lambda t: (t.cut_at, t.point)):
        if not truth.manual:
            first.setdefault(truth.slot, truth)
    return sorted(first.values(), key=lambda t: (t.cut_at, t.point), reverse=True)


def _bodies(store: MemoryStore, path: str) -> list[bytes]:
    """Every version of an object's bytes that can still be read, oldest first."""
    if store.versioned:
        return [version.body for version in store._versions.get(path, ()) if version.body is not None]
    return [store.objects[path][0]] if path in store.objects else []


def _as_of(held: Held) -> datetime | None:
    """Of when its data are. A point's id says nothing of it: one that was never recorded may be cut again under it."""
    return held.snapshot.started if held.source is None else _as_of(held.source)


def _calls(sets: set[str]) -> int:
    return max(int(text.partition("/")[2].partition(":")[0]) for text in sets)


def _json(path: str) -> bool:
    return path.endswith(".json")
