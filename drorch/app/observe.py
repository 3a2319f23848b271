"""Observing: one paginated listing per account, region and kind for all applications together; vaults when due.

A listing that fails keeps the last complete picture and says that it is not of this pass.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Lock

from drorch.app.cache import Cache
from drorch.app.catalogue import Scope, VaultReader
from drorch.app.kms_watch import KmsWatch
from drorch.app.native_groups import Group, NativeGroups, locks_of, of_the_place
from drorch.app.native_locks import LockListings
from drorch.app.native_text import dumped, loaded
from drorch.app.observed_places import Place, home_of, locking_places, one_kind_each, places_of
from drorch.app.sharing import Sharing, SharingLook
from drorch.app.vaults import VaultMarks
from drorch.domain import layout
from drorch.domain.catalogue import Catalogue, FoldMemory, fold
from drorch.domain.catalogue_former import carried_on, former_names
from drorch.domain.catalogue_native import NativeView, ValidId
from drorch.domain.claims import Claimant, claims
from drorch.domain.copy_queue import QUOTAS
from drorch.domain.duration import duration_text
from drorch.domain.errors import DrorchError, Refused
from drorch.domain.instant import from_text, to_text
from drorch.domain.kms import KmsSeen, Ref, shut_copies
from drorch.domain.model import FailureDomain, Vault, native_vault_name, place_of
from drorch.domain.native import NativeSnapshot, PendingCopy, SnapshotRoom, Source
from drorch.domain.plan import SourcesSeen
from drorch.domain.policy import Policy, ResourcePolicy
from drorch.domain.record import Record
from drorch.domain.snapshot_room import Pool
from drorch.ports import CountsCopies, CountsSnapshots, ObjectStore, SnapshotKind

LISTING_EVERY = timedelta(minutes=15)
"""How often an object vault is listed as a whole; what drorch itself writes is read back at once."""

SKEW = timedelta(minutes=5)
UPLOADS_EVERY = timedelta(days=1)

PendingCopies = tuple[PendingCopy, ...] | str
"""The copies under way in a place, or why they could not be listed."""


@dataclass(frozen=True, slots=True)
class World:
    """What one pass saw. `sources` maps places to what was listed there, or to why it was not."""

    at: datetime
    natives: tuple[NativeView, ...] = ()
    sources: Mapping[Place, tuple[Source, ...] | str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    approvals: tuple[Record, ...] = ()
    """The signed approvals that lie in any vault."""
    skewed: str = ""
    """Which clocks differ by more than `SKEW`, in words; while any do nothing is deleted and nothing locked."""
    shared: Mapping[Sharing, frozenset[str] | str] = field(default_factory=dict)
    """The ids of what is shared, or why that is not known; asked only where copies cross accounts."""
    claims: Mapping[Claimant, str] = field(default_factory=dict)
    """The resources that stand back because another one selects the same, each with why."""
    keys: Mapping[Ref, KmsSeen] = field(default_factory=dict)
    """What is known of the keys that copies are to be encrypted with, and of those that copies bear."""
    _lock: Lock = field(default_factory=Lock, compare=False, repr=False)
    _by_id: dict[tuple[str, str], NativeSnapshot] = field(default_factory=dict, compare=False, repr=False)
    groups: tuple[Mapping[str, Group], ...] = field(default=(), compare=False, repr=False)
    """The snapshots of each view by application, the same objects while nothing of them changed."""
    changes: Mapping[tuple[str, str], int] = field(default_factory=dict, compare=False, repr=False)
    """(vault, application) -> a number that is another one when what the cache knows of the two has changed."""

    def snapshot(self, vault: str, native_id: str) -> NativeSnapshot | None:
        """One snapshot by its vault and id, as seen in this pass."""
        with self._lock:
            if not self._by_id:
                for view in self.natives:
                    self._by_id.update({(view.vault.name, s.native_id): s for s in view.snapshots})
        return self._by_id.get((vault, native_id))

    def natives_of(self, application: str) -> tuple[NativeView, ...]:
        """The views with one application's snapshots only: its fold must not read those of ten thousand others."""
        return tuple(replace(view, snapshots=groups.get(application, ())) for view, groups in _both(self))


@dataclass(frozen=True, slots=True)
class _Clock:
    """How far another clock is ahead of this host's, and when it was asked."""

    ahead: timedelta
    at: datetime


class Observer:
    """Lists providers and vaults. `store_of` opens a vault's store; it may raise like any store."""

    def __init__(
        self,
        *,
        site: str,
        vaults: Mapping[str, Vault],
        store_of: Callable[[str], ObjectStore],
        kinds: Mapping[str, SnapshotKind],
        reader: VaultReader,
        cache: Cache,
        valid_id: ValidId,
        marks: VaultMarks | None = None,
        clock: Callable[[], datetime] | None = None,
        keys: KmsWatch | None = None,
    ) -> None:
        self.vaults = vaults
        self._keys = keys
        self._clock = clock
        self._clocks: dict[str, _Clock] = {}
        self._site = site
        self._store_of = store_of
        self._kinds = kinds
        self._reader = reader
        self._cache = cache
        self._is_ours = valid_id
        self._ours: set[tuple[str, str, str, str]] = set()
        self._asked: dict[str, datetime] = {}
        self._uploads_asked: dict[str, datetime] = {}
        self._why: dict[str, str] = {}
        self._marks = marks
        self._new: set[str] = set()
        self._memory = FoldMemory()
        self._groups = NativeGroups()
        self._listed_sources: dict[Place, tuple[Source, ...] | str] = {}
        self._selected: dict[int, tuple[ResourcePolicy, tuple[Source, ...], SourcesSeen]] = {}
        self._locks = LockListings(cache)
        self._sharing = SharingLook(site, kinds, cache)

    def observe(
        self, policies: Iterable[Policy], now: datetime, *, fresh: bool = False, only: Collection[str] = ()
    ) -> World:
        """One pass over everything that the policies name.

        `fresh` lists every vault whatever its turn, or those of `only`.
        """
        policies = list(policies)
        resources = [resource for policy in policies for resource in policy.resources if resource.native]
        homes, places = places_of(resources)
        # All at once: what does not answer must not make the rest of the pass wait in line behind it.
        with ThreadPoolExecutor(max_workers=16, thread_name_prefix="observe") as pool:
            due = {name: fresh and (not only or name in only) for name in self.vaults}
            vaults = [pool.submit(self._vault, name, now, due[name]) for name in self.vaults]
            clocks = [pool.submit(self._provider_clock, *where, now, fresh) for where in sorted(one_kind_each(places))]
            locking = locking_places(resources)
            seen = pool.map(lambda place: self._native(place, now, locking=place in locking), sorted(places))
            listed = pool.map(lambda place: self._sources(place, homes[place]), sorted(homes))
            asked = self._sharing.places(resources)
            sharing = pool.map(self._sharing.ask, asked)
            listings = [self._groups.of(view) for view in seen]
            sources, shared = list(listed), dict(zip(asked, sharing, strict=True))
            for future in (*vaults, *clocks):
                future.result()
        views = [view for view, _ in listings]
        unread = dict(self._why)
        for view in views:
            if not view.complete:
                unread[view.vault.name] = view.why
        seen_sources = self._as_before(dict(zip(sorted(homes), sources, strict=True)), resources)
        approvals = self._reader.approvals(self.vaults)
        keys = self._keys.known(resources, views, now, fresh=fresh and not only) if self._keys is not None else {}
        self._sharing.remember(resources, shared, now)
        world = World(
            now,
            tuple(views),
            seen_sources,
            unread,
            approvals,
            self._skewed(unread),
            shared,
            keys=keys,
            groups=tuple(groups for _, groups in listings),
            changes=self._cache.changes(),
        )
        claimed = claims(policies, lambda resource: self.sources_of(resource, world).sources, views, now)
        return replace(world, claims=claimed)

    def refresh(self, vault: str, application: str, resource: str, now: datetime) -> None:
        """Read back what drorch has just written; a failure leaves that to the next listing."""
        try:
            self._reader.refresh(self._store_of(vault), now, Scope(application, resource))
        except DrorchError as error:
            self._why[vault] = str(error)
            self._asked.pop(vault, None)

    def refresh_application(self, vault: str, policy: Policy, now: datetime) -> None:
        """As `refresh`, of everything that an application's catalogue is made of."""
        for name in (policy.application, *former_names(policy)):
            self.refresh(vault, name, "", now)

    def evidence(self, policy: Policy, world: World) -> tuple[object, ...]:
        """What the catalogue of an application is made from, beside what the world says of every application alike
        (`common_evidence`): equal evidence of both kinds, and no instant that it turns on between, give equal
        catalogues.
        """
        names = (policy.application, *former_names(policy))
        changes = tuple(world.changes.get((vault, name)) for name in names for vault in self.vaults)
        seen = tuple((view, groups.get(name, ())) for name in names for view, groups in _both(world))
        locks = tuple(locks_of(view, group) for view, group in seen if view.locks is not None)
        return changes, tuple(group for _, group in seen), locks

    def common_evidence(self, world: World) -> tuple[object, ...]:
        """What the world says of every application alike, for their catalogues."""
        uploads = tuple(self._reader.uploads(vault) for vault in self.vaults)
        return tuple(of_the_place(view) for view in world.natives), uploads, world.unread, world.keys

    def catalogue(self, policy: Policy, world: World, now: datetime | None = None) -> Catalogue:
        """One application's catalogue from what this pass saw, with the histories that it carries on.

        `now` stands in for the instant of the pass.
        """
        at = world.at if now is None else now
        own, *former = (self._fold(name, world, at) for name in (policy.application, *former_names(policy)))
        shut = {ref: seen.shut for ref, seen in world.keys.items() if seen.shut}
        return shut_copies(carried_on(policy, own, former), shut)

    def _fold(self, application: str, world: World, now: datetime) -> Catalogue:
        views = [
            self._reader.view(vault, application, complete=name not in world.unread, why=world.unread.get(name, ""))
            for name, vault in self.vaults.items()
        ]
        return fold(application, views, world.natives_of(application), self._valid_id, now, self._memory)

    def _valid_id(self, point: str, application: str, resource: str, slot: str) -> bool:
        """Each id is computed once; what is not ours is asked again, so that strangers' tags do not fill the memory."""
        key = (point, application, resource, slot)
        if key not in self._ours and self._is_ours(*key):
            self._ours.add(key)
        return key in self._ours

    def never_read(self, world: World) -> frozenset[str]:
        """Vaults of which nothing at all is known."""
        objects = {name for name in self.vaults if self._reader.listed_at(name) is None}
        return frozenset(objects | {view.vault.name for view in world.natives if view.at is None})

    def _as_before(
        self, listed: dict[Place, tuple[Source, ...] | str], resources: Sequence[ResourcePolicy]
    ) -> dict[Place, tuple[Source, ...] | str]:
        """The same listings; one that shows what the last one there did is that one. Forgets selections of others."""
        for place, seen in listed.items():
            before = self._listed_sources.get(place)
            listed[place] = before if before is not None and before == seen else seen
        self._listed_sources |= listed
        known = ((id(resource), self._selected.get(id(resource))) for resource in resources)
        self._selected = {key: entry for key, entry in known if entry is not None}
        return listed

    def checked_at(self, vault: str) -> datetime | None:
        """When an object vault was last listed completely."""
        return self._reader.listed_at(vault)

    def sources_of(self, resource: ResourcePolicy, world: World) -> SourcesSeen:
        """What a native resource selects now; worked out once for each listing that shows something else."""
        seen = world.sources.get(home_of(resource), "its account and region were not observed")
        if isinstance(seen, str):
            return SourcesSeen(why=seen)
        known = self._selected.get(id(resource))
        if known is None or known[0] is not resource or known[1] is not seen:
            known = resource, seen, SourcesSeen(self._kinds[resource.kind].select(resource.options, seen))
            self._selected[id(resource)] = known
        return known[2]

    def pending_copies(self, places: Iterable[Place]) -> Mapping[Place, PendingCopies]:
        """Everybody's copies under way, by (service of a quota, account, region): one listing each, all at once."""
        asked = sorted(set(places))
        with ThreadPoolExecutor(max_workers=16, thread_name_prefix="observe") as pool:
            return dict(zip(asked, pool.map(lambda place: self._pending(*place), asked), strict=True))

    def snapshot_rooms(self, pools: Iterable[Pool]) -> Mapping[Pool, SnapshotRoom]:
        """Everybody's snapshots beside what AWS allows; pools that could not be asked are left out."""
        wanted = sorted(set(pools), key=lambda pool: (pool[1], pool[0]))
        asked = {vault: kind for kind, vault in wanted}  # the answer to one tells of the others
        with ThreadPoolExecutor(max_workers=16, thread_name_prefix="observe") as pool:
            told = dict(zip(asked, pool.map(self._rooms, asked.values(), asked), strict=True))
        return {(kind, vault): told[vault][kind] for kind, vault in wanted if kind in told[vault]}

    # --- one listing each ---

    def _vault(self, name: str, now: datetime, fresh: bool) -> None:
        asked = self._asked.get(name)
        due = fresh or asked is None or now >= asked + LISTING_EVERY or now < asked or name in self._why
        if not due:
            return
        try:
            store = self._store_of(name)
            self._require_marker(store, now)
            self._reader.refresh(store, now)
            if name not in self._new:  # asking a folder for its time writes there: it may just not be mounted
                self._note_clock(name, store.now, now)
            self._look_for_uploads(store, now)
            if name in self._new and self._reader.knows(name):
                raise _unmarked(name, "it holds records, but no marker")
        except DrorchError as error:
            self._why[name] = str(error)
        else:
            self._why.pop(name, None)
            self._asked[name] = now

    def refresh_uploads(self, vault: str, now: datetime) -> None:
        """Look at a vault's uploads anew, after some were given up; a failure leaves that to the next listing."""
        self._uploads_asked.pop(vault, None)
        with suppress(DrorchError):
            self._look_for_uploads(self._store_of(vault), now)

    def _look_for_uploads(self, store: ObjectStore, now: datetime) -> None:
        asked = self._uploads_asked.get(store.vault)
        if asked is None or not asked <= now < asked + UPLOADS_EVERY:
            self._reader.look_for_uploads(store)
            self._uploads_asked[store.vault] = now

    def _provider_clock(self, kind: str, account: str, region: str, now: datetime, fresh: bool) -> None:
        """Ask a region for its time as often as a vault is listed."""
        name = native_vault_name(account, region)
        known = self._clocks.get(name)
        if not fresh and known is not None and known.at <= now < known.at + LISTING_EVERY:
            return
        try:
            self._note_clock(name, lambda: self._kinds[kind].now(account, region), now)
        except DrorchError:
            self._clocks.pop(name, None)  # what does not answer is unread anyway; it says nothing about clocks

    def _note_clock(self, name: str, ask: Callable[[], datetime], now: datetime) -> None:
        """How far a clock is ahead of ours, whatever the request took: within its time there is no difference."""
        before = self._clock() if self._clock else now
        theirs = ask()
        after = self._clock() if self._clock else now
        ahead = theirs - after if theirs > after else min(theirs - before, timedelta())
        self._clocks[name] = _Clock(ahead, now)

    def _skewed(self, unread: Collection[str]) -> str:
        off = {n: c.ahead for n, c in self._clocks.items() if abs(c.ahead) > SKEW and n not in unread}
        if not off:
            return ""
        told = (
            f"{name} is {duration_text(abs(ahead))} {'ahead of' if ahead > timedelta() else 'behind'} this host"
            for name, ahead in sorted(off.items())
        )
        return f"clocks differ: {'; '.join(told)}"

    def _require_marker(self, store: ObjectStore, now: datetime) -> None:
        """An unmounted folder or a wrong bucket looks like an empty vault: the marker tells them apart."""
        if self._marks is None:
            return
        marker = f"marker:{store.vault}"
        if self._marks.holds(store):
            self._cache.set_listing(marker, to_text(now))
            self._new.discard(store.vault)
        elif self._cache.listing(marker) is not None or self._reader.knows(store.vault):
            raise _unmarked(store.vault, "its marker is gone")
        else:
            self._new.add(store.vault)

    def unread_vaults(self) -> Mapping[str, str]:
        """Object vaults that may not be read or written now, each with why."""
        return dict(self._why)

    def mark_new(self, now: datetime) -> None:
        """Mark the vaults that are empty and were never seen before, when something is about to be written."""
        if self._marks is None:
            return
        for name in sorted(self._new):
            try:
                store = self._store_of(name)
                self._marks.mark(store, now)
                self._require_marker(store, now)
            except DrorchError as error:
                self._why[name] = str(error)

    def _native(self, place: Place, now: datetime, *, locking: bool) -> NativeView:
        view = self._native_without_locks(place, now)
        return self._locks.with_locks(view, self._kinds[view.kind], locking=locking, now=now)

    def _native_without_locks(self, place: Place, now: datetime) -> NativeView:
        kind, account, region = place
        vault = Vault(native_vault_name(account, region), FailureDomain("aws", region, account), native=True)
        name = f"{kind}:{vault.name}"
        try:
            snapshots = tuple(self._kinds[kind].snapshots(account, region, self._site))
        except DrorchError as error:
            known = self._cache.listing(name)
            if known is None:
                return NativeView(vault, kind, complete=False, why=str(error))
            return NativeView(vault, kind, False, loaded(known[1]), from_text(known[0]), str(error))
        self._cache.set_listing(name, to_text(now), dumped(snapshots))
        return NativeView(vault, kind, complete=True, snapshots=snapshots, at=now)

    def _pending(self, service: str, account: str, region: str) -> PendingCopies:
        """By the first kind of the service that can tell; without one only our own copies are known."""
        kinds = (kind for name, kind in self._kinds.items() if name in QUOTAS and QUOTAS[name].service == service)
        counting = next((kind for kind in kinds if isinstance(kind, CountsCopies)), None)
        try:
            return tuple(counting.pending_copies(account, region)) if counting is not None else ()
        except DrorchError as error:
            return str(error)

    def _rooms(self, kind: str, vault: str) -> Mapping[str, SnapshotRoom]:
        counting, (account, region) = self._kinds[kind], place_of(vault)
        if not isinstance(counting, CountsSnapshots):
            return {}
        try:
            return counting.snapshot_rooms(account, region)
        except DrorchError:
            return {}

    def _sources(self, place: Place, options: Sequence[object]) -> tuple[Source, ...] | str:
        kind, account, region = place
        try:
            return tuple(self._kinds[kind].sources(account, region, options))
        except DrorchError as error:
            return str(error)


def _unmarked(vault: str, why: str) -> Refused:
    return Refused(
        f"{why} ({layout.VAULT_MARKER}), so nothing is read or written there",
        vault=vault,
        hint=f"is the right thing mounted, is the bucket the right one? If it is: drorch vault init {vault}",
    )


def of_applications(world: World) -> tuple[object, ...]:
    """All that a world says of single applications: where it is equal, so is the evidence of each."""
    locks = tuple(view.locks for view in world.natives)
    return world.groups, locks, world.changes, world.sources, world.claims


def _both(world: World) -> Iterable[tuple[NativeView, Mapping[str, Group]]]:
    return zip(world.natives, world.groups, strict=True)
