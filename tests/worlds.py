"""A small complete installation in memory: policies, a cloud, vaults, keys, the reconciler, and hands for heavy work.

``world = Installation(tmp_path, POLICY)``; ``world.run()`` makes passes while the clock turns; ``world.restart()`` is a
new process on the same world, with or without what the old one had on disk. Everything a provider or vault does can be
made to fail through ``world.kinds[...].faults`` and ``world.stores[...].faults``.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

from dumped import DATA, table_rows
from faults import Faults, FaultySnapshots, FaultyStore
from manual_clock import ManualClock
from policy_words import REGIONS, RETURNING, VAULTS, Returned, policy_of, words

from drorch.app import drill, ship
from drorch.app.cache import Cache
from drorch.app.carry import LightHands, Scene
from drorch.app.catalogue import VaultReader
from drorch.app.damage import VerifyOrder, read_turn
from drorch.app.dump import DumpOrder, dump
from drorch.app.expiry import ExpiryHands
from drorch.app.intents import Intents
from drorch.app.kms_watch import KmsWatch
from drorch.app.loading import Reader
from drorch.app.locks import Lock, Locks
from drorch.app.native import NativeHands
from drorch.app.native_drill import NativeDrill, NativeDrillOrder
from drorch.app.native_locks import LockListings
from drorch.app.native_restore import NativeRestores, native_records, restore_parts, restoring_kind
from drorch.app.observe import Observer
from drorch.app.orders import Orders
from drorch.app.passing import Finished, Guards, Pass
from drorch.app.policies import LoadedPolicy, PolicySet
from drorch.app.reading import TrustedKey
from drorch.app.reconcile import Reconciler
from drorch.app.repair import RepairOrder, repair
from drorch.app.scenario_drill import ScenarioDrill as Rehearsing
from drorch.app.scenario_points import ScenarioPoints
from drorch.app.verify import Place
from drorch.crypto import ids
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.action import EXECUTABLE, Action, Cut, Drill, Keep, Repair, ScenarioDrill, Ship, Verify
from drorch.domain.admit import Limits
from drorch.domain.errors import Damaged, DrorchError, Unavailable
from drorch.domain.instant import to_text
from drorch.domain.model import ObjectLock, RecoveryPoint, Vault
from drorch.domain.native import NativeSnapshot, Source
from drorch.domain.native_drill import drill_places
from drorch.domain.policy import LockRule, Policy
from drorch.domain.policy_drills import drill_said
from drorch.domain.scenario import ScenarioOrder, scenario_order
from drorch.domain.vocabulary import KindWords
from drorch.engines.memory import MemoryEngine, MemorySource, Options
from drorch.kinds.memory import MemoryCloud, MemorySnapshots
from drorch.kinds.memory import images as memory_images
from drorch.kinds.memory.keys import MemoryKeys
from drorch.ports import KmsKeys, RestoresSnapshots, StoreLimits
from drorch.stores.memory import MemoryStore

SITE = "acme"
HOME, AWAY = "prod.us-east-1", "prod.us-west-2"
WEST, EU = "s3-west", "gcs-eu"
CLOUD = "cloud"
CLUSTERS = "rds clusters"
"""Where the fake keeps those: their listings are not those of instances."""
WORDS = words(
    kinds={
        **RETURNING,
        "ami": replace(RETURNING["ebs"], locks=False),
        "rds-cluster": RETURNING["rds-instance"],
        "memory": KindWords(Options, native=False),
    },
    regions=REGIONS | {"eu-west-1"},
)

VOLUMES = """
    version: 1
    application: shop
    owner: payments@example.com
    home: {account: prod, region: us-east-1}
    resources:
      - name: data
        kind: ebs
        select: {tags: {app: shop}}
        schedule: {every: 1d}
        copies: [{region: us-west-2}]
        keep: {last: 3}
"""
IMAGES = VOLUMES.replace("kind: ebs", "kind: ami").replace("name: data", "name: web")
LEDGER = """
    version: 1
    application: bank
    owner: payments@example.com
    home: {account: prod, region: us-east-1}
    resources:
      - name: ledger
        kind: rds-instance
        identifier: shop-ledger
        schedule: {every: 1d}
        copies: [{region: us-west-2}]
        keep: {last: 3}
"""
SEATS = LEDGER.replace("bank", "booking").replace("ledger", "seats").replace("rds-instance", "rds-cluster")
ORDERS = """
    version: 1
    application: desk
    owner: payments@example.com
    home: {account: prod, region: us-east-1}
    resources:
      - name: orders
        kind: memory
        schedule: {every: 1d}
        vaults: [s3-west, gcs-eu]
        keep: {last: 3}
        drill: {every: 7d, from: [gcs-eu], probes: [{sql: select count(*) from orders, expect: ">= 1"}]}
"""
EVERYTHING = (VOLUMES, LEDGER, ORDERS)


def policies(*texts: str) -> tuple[Policy, ...]:
    return tuple(policy_of(text, WORDS) for text in texts)


def restores_of(kinds: Mapping[str, FaultySnapshots]) -> Callable[[str], RestoresSnapshots]:
    """The kinds as those that bring back."""
    return partial(restoring_kind, kinds)  # type: ignore[arg-type]


def drilled_as(_kind: str, mapped: Mapping[str, object], own: Mapping[str, object], point: str) -> object:
    """How a stand-in brings a point back for a drill."""
    return SimpleNamespace(**drill_said(Returned, mapped, own, point))


def outcomes(world: Installation, name: str) -> dict[str, int]:
    """How often an action ended in which way in this process."""
    return {outcome: count for (action, outcome), count in world.reconciler.outcomes.items() if action == name}


def place_of(point: RecoveryPoint) -> Place:
    """Where a dump lies in every vault that has it."""
    assert point.cut_at is not None
    return Place(*point.filed_under, point.cut_at, point.id)


class Serial(ThreadPoolExecutor):
    """An executor that does at once, and here, what it is given."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


ROOM = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where the state folders of worlds without number lie: nothing there has to survive anything."""


class Drift:
    """A clock that may be off: `ahead` of the true one, `since` when."""

    def __init__(self, true: ManualClock, ahead: timedelta = timedelta()) -> None:
        self.true = true
        self.ahead = ahead

    @property
    def ahead(self) -> timedelta:
        return self._ahead

    @ahead.setter
    def ahead(self, ahead: timedelta) -> None:
        self._ahead, self.since = ahead, self.true.now()

    def now(self) -> datetime:
        return self.true.now() + self.ahead

    def sleep(self, seconds: float) -> None:
        self.true.sleep(seconds)


class FakeHands:
    """Heavy work done within this process by the product's own code; each piece ends when it is polled.

    `held` keeps what was started running until it is cleared, `dies` lets the next work die without a word.
    """

    def __init__(self, world: Installation) -> None:
        self.world = world
        self.held = False
        self.dies = 0
        self.started: list[Action] = []

    def start(self, action: Action, scene: Scene, lock: Lock) -> FakeHandle:
        self.started.append(action)
        return FakeHandle(self, action, scene)

    def carry_out(self, action: Action, scene: Scene) -> dict[str, object]:
        world = self.world
        if isinstance(action, Cut):
            world.engine.sources["main"].cut_at = world.clock.now()
            order = DumpOrder(
                SITE, action.application, action.resource, "memory", action.point, action.slot, (world.recipient,)
            )
            stores = {name: world.stores[name] for name in action.into}
            made = dump(order, world.engine, Options(), {}, stores, world.key, clock=world.host)
            return made.to_json() | {"lost": dict(made.lost)}
        if isinstance(action, Verify):
            places = tuple(
                place_of(p)
                for p in scene.catalogue.of(action.resource)
                if p.cut_at is not None and (there := p.copy_in(action.vault)) is not None and there.usable
            )
            turn = VerifyOrder(SITE, action.application, action.resource, action.vault, action.turn, places)
            return read_turn(turn, world.stores, world.trusted, world.key, clock=world.host).to_json()
        if isinstance(action, ScenarioDrill):
            return world.rehearsed(scene)
        point = scene.catalogue.find(action.point)
        assert point is not None and point.cut_at is not None
        if isinstance(action, Ship):
            where = ship.ShipOrder(SITE, action.application, action.resource, point.id, point.cut_at)
            source, target = world.stores[action.source], world.stores[action.vault]
            return ship.ship(where, source, target, world.trusted, clock=world.host).to_json()
        if isinstance(action, Repair):
            mended = RepairOrder(SITE, place_of(point), action.source, action.vault)
            return repair(mended, world.stores, world.trusted, world.key, clock=world.host).to_json()
        assert isinstance(action, Drill)
        if scene.resource.native:
            return world.drilled(action, scene)
        probes = scene.resource.drill.probes if scene.resource.drill is not None else ()
        asked = drill.DrillOrder(
            SITE, action.application, action.resource, action.vault, probes, point.id, action.audit
        )
        reader = Reader(world.trusted, [world.identity], world.host)
        return drill.run_drill(asked, world.engine, drill.Scratch(), world.stores, reader, world.key).to_json()


class FakeHandle:
    def __init__(self, hands: FakeHands, action: Action, scene: Scene) -> None:
        self._hands, self._action, self._scene = hands, action, scene
        self._cancelled = False

    def poll(self) -> Finished | None:
        if self._cancelled or self._hands.dies:
            self._hands.dies = max(0, self._hands.dies - 1)
            return Finished(self._action, "", Unavailable("the worker was killed"))
        if self._hands.held:
            return None
        try:
            result = self._hands.carry_out(self._action, self._scene)
        except DrorchError as error:
            return Finished(self._action, "", error)
        if isinstance(self._action, Drill) and result["outcome"] != drill.PASSED:
            return Finished(self._action, "", Damaged("the drill failed"), result)
        return Finished(self._action, "done", None, result)

    def cancel(self) -> None:
        self._cancelled = True


class Installation:
    """See the module. `policies` may be changed between passes; `stale` names applications whose file is invalid."""

    def __init__(
        self,
        state: Path,
        *texts: str,
        vaults: Iterable[str] = (WEST, EU),
        pending_for: int | None = 1,
        guards: Guards | None = None,
        locks: Mapping[str, LockRule] | None = None,
        versioned: bool = False,
    ) -> None:
        self.state = state
        self.clock = ManualClock()
        self.host = Drift(self.clock)
        """This host's clock; `clock` is the true one, and the databases'."""
        self.drifts = {name: Drift(self.clock) for name in (*sorted(vaults), CLOUD)}
        """The clocks of the vaults and of the cloud."""
        self.policies = policies(*(texts or (VOLUMES,)))
        self.stale: set[str] = set()
        self.key = SecretKey.generate()
        self.answer: object = 3
        """Of every database that a native drill made, to any probe."""
        self.trusted = (TrustedKey(self.key.public),)
        self.identity, self.recipient = new_identity()
        self.site_key = ids.site_key(self.key)
        self.engine = MemoryEngine({"main": MemorySource({DATA: table_rows("orders", 50)})})
        self.cloud = MemoryCloud(self.drifts[CLOUD].now, pending_for=pending_for)
        self.cloud.put_sources("ec2", "prod", "us-east-1", [self.volume("vol-1")])
        self.cloud.put_sources("rds", "prod", "us-east-1", [Source("shop-ledger", bytes=8 << 30)])
        self.cloud.put_sources(CLUSTERS, "prod", "us-east-1", [Source("shop-seats", bytes=8 << 30)])
        self.cloud.put_sources(memory_images.IMAGES, "prod", "us-east-1", [replace(self.volume("i-1"), identity="i-1")])
        self.serial = False
        """Whether light actions are done one after the other, in the same order always; from the next `restart` on."""
        self.blind: set[str] = set()
        """Dumps that were tried again though the first one might lie in a vault that could not be read."""
        self.guards = guards or Guards()
        """What the host says of deletion; takes effect at the next `restart`."""
        self._around({name: self._store(name, versioned, (locks or {}).get(name)) for name in sorted(vaults)})
        self.restart()

    def _store(self, name: str, versioned: bool, lock: LockRule | None) -> MemoryStore:
        limits = StoreLimits(part_bytes=1 << 20)
        return MemoryStore(name, now=self.drifts[name].now, limits=limits, versioned=versioned, lock=lock)

    def _around(self, stores: Mapping[str, MemoryStore]) -> None:
        """What can be made to fail, around the cloud and these stores."""
        self.kinds: dict[str, FaultySnapshots] = {
            "ebs": FaultySnapshots(MemorySnapshots(self.cloud)),
            "ami": FaultySnapshots(memory_images.MemoryImages(self.cloud)),
            "rds-instance": FaultySnapshots(MemorySnapshots(self.cloud, "rds-instance", "rds", named=True)),
            "rds-cluster": FaultySnapshots(
                MemorySnapshots(self.cloud, "rds-cluster", CLUSTERS, named=True, dated=False)
            ),
        }
        self.keys: KmsKeys = MemoryKeys(self.cloud)
        self.stores = {name: FaultyStore(store) for name, store in stores.items()}
        self.hands = FakeHands(self)
        self.seen: Pass | None = None

    def memory(self, vault: str) -> MemoryStore:
        """What really lies in an object vault."""
        inner = self.stores[vault].inner
        assert isinstance(inner, MemoryStore)
        return inner

    def twin(self, state: Path) -> Installation:
        """The same world once more, with a life of its own: clocks, vaults, cloud and state folder are copies.

        This one is a mould from then on: it makes no more passes.
        """
        self.reconciler.close()
        self.cache.close()
        shutil.copytree(self.state, state, dirs_exist_ok=True)
        twin = copy.copy(self)
        twin.state, twin.clock, twin.stale = state, ManualClock(self.clock.present), set(self.stale)
        twin.host = Drift(twin.clock, self.host.ahead)
        twin.drifts = {name: Drift(twin.clock, drift.ahead) for name, drift in self.drifts.items()}
        twin.engine = MemoryEngine({name: replace(source) for name, source in self.engine.sources.items()})
        twin.engine.answers = dict(self.engine.answers)
        twin.blind = set(self.blind)
        twin.cloud = _twin_cloud(self.cloud, twin.drifts[CLOUD].now)
        twin._around({name: _twin_store(self.memory(name), twin.drifts[name].now) for name in self.stores})
        twin.restart()
        return twin

    @staticmethod
    def volume(name: str, instance: str = "", **tags: str) -> Source:
        return Source(name, bytes=8 << 30, instance=instance, tags={"app": "shop", **tags})

    # --- the process ---

    def restart(self, *, without: Iterable[str] = ()) -> None:
        """A new process; `without` names what of the state folder is gone: ``cache``, ``intents`` or both."""
        for name in without:
            shutil.rmtree(self.state / name, ignore_errors=True)
        self.cache = Cache(self.state / "cache" / "cache.sqlite", self.key.public.text())
        self.intents = Intents(self.state, self.host.now())
        self.locks = Locks(self.state)
        observer = Observer(
            site=SITE,
            vaults={name: Vault(name, VAULTS[name]) for name in self.stores},
            store_of=self.stores.__getitem__,
            kinds=self.kinds,
            reader=VaultReader(self.cache, self.trusted, SITE),
            cache=self.cache,
            valid_id=self.valid_id,
            clock=self.host.now,
            keys=KmsWatch(self.keys, self.cache),
        )
        self.light = LightHands(
            site=SITE,
            native=NativeHands(SITE, self.kinds, self.intents),
            signing=lambda: self.key,
            trusted=self.trusted,
            store_of=self.stores.__getitem__,
            expiry=ExpiryHands(
                SITE, self.kinds, lambda: self.key, self.stores.__getitem__, LockListings(self.cache).met
            ),
            host=self.guards.host,
            remember_lock=lambda vault, application, point, lock: self.cache.set_lock(
                vault, application, point, lock.mode.value, to_text(lock.until)
            ),
        )
        self.reconciler = Reconciler(
            load=self.load,
            observer=observer,
            point_id=self.point_id,
            light=self.light,
            heavy=self.hands,
            locks=self.locks,
            intents=self.intents,
            limits=Limits(),
            now=self.host.now,
            guards=self.guards,
        )
        if self.serial:
            self.reconciler._pool = Serial()

    def drilled(self, action: Drill, scene: Scene) -> dict[str, object]:
        """A native drill, as a worker runs it."""
        point = scene.catalogue.find(action.point)
        assert point is not None and point.cut_at is not None and scene.resource.drill is not None
        copied, kind = point.copy_in(action.vault), self.kinds[scene.resource.kind]
        assert copied is not None
        reader = VaultReader(self.cache, self.trusted, SITE)
        views = [reader.view(Vault(name, VAULTS[name]), point.filed_under[0]) for name in self.stores]
        parts = tuple(restore_parts(point, action.vault, native_records(views, point)))
        most = timedelta(hours=scene.resource.drill.max_hours or 4)
        probes = scene.resource.drill.probes
        order = NativeDrillOrder(
            SITE,
            *point.filed_under,
            action.vault,
            point.id,
            point.cut_at,
            parts,
            copied.bytes,
            most,
            probes,
            audit=action.audit,
        )
        through_the_pipe = NativeDrillOrder.from_json(json.loads(json.dumps(order.to_json())))
        asking = lambda _made: nullcontext(lambda _sql: self.answer)  # noqa: E731
        ticker = lambda: self.clock.now().timestamp()  # noqa: E731
        drill = NativeDrill(kind, self.stores, self.clock, self.key, ticker, asking=asking)
        return drill.run(through_the_pipe, SimpleNamespace(name=f"drorch-drill-{point.id}"))

    def rehearsed(self, scene: Scene, cancel: Event | None = None) -> dict[str, object]:
        """A drill of the whole application, as a worker runs it."""
        policy = scene.policy
        assert policy is not None and policy.scenario is not None
        away = tuple(name for name in self.stores if VAULTS[name].region != policy.home.region)
        order = scenario_order(policy, policy.scenario, site=SITE, vaults=away, looks=drill_places(self.policies))
        restores = NativeRestores(
            kinds_of=lambda _accounts: self.kinds,
            stores={name: self.stores[name] for name in order.vaults},
            reader=Reader(self.trusted, (), self.clock),
            valid_id=self.valid_id,
        )
        points = ScenarioPoints(restores, restores_of(self.kinds), drilled_as, self.clock)
        ticker = lambda: self.clock.now().timestamp()  # noqa: E731
        drill = Rehearsing(points, restores_of(self.kinds), self.stores, self.clock, self.key, ticker, cancel=cancel)
        return drill.run(ScenarioOrder.from_json(json.loads(json.dumps(order.to_json()))))

    def orders(self, **more: Any) -> Orders:
        """What a person orders of the process that lives now."""
        return Orders(
            site=SITE,
            reconciler=self.reconciler,
            light=self.light,
            heavy=self.hands,
            locks=self.locks,
            intents=self.intents,
            signing=lambda: self.key,
            store_of=self.stores.__getitem__,
            point_id=self.point_id,
            clock=self.clock,
            **more,
        )

    def load(self) -> PolicySet:
        return PolicySet(
            tuple(
                LoadedPolicy(p, f"{p.application}.yaml", "", "", "", p.application in self.stale) for p in self.policies
            )
        )

    def point_id(self, application: str, resource: str, slot: str, attempt: int) -> str:
        return ids.point_id(self.site_key, application, resource, slot, attempt)

    def valid_id(self, point: str, application: str, resource: str, slot: str) -> bool:
        return ids.verify_point_id(self.site_key, point, application, resource, slot) is not None

    def lock_of(self, snapshot: NativeSnapshot) -> ObjectLock | None:
        """The lock that really lies on a snapshot, whoever put it and however old it is."""
        place = self.cloud._place(snapshot.service, snapshot.account, snapshot.region)
        return place.held[snapshot.native_id].lock if snapshot.native_id in place.held else None

    # --- passes ---

    def faults(self, where: str) -> Faults:
        """The faults of a kind or a vault, by its name."""
        found: FaultySnapshots | FaultyStore = self.kinds[where] if where in self.kinds else self.stores[where]
        return found.faults

    def once(self) -> Pass:
        """One pass, and the end of everything light that it started."""
        self.seen = self.reconciler.run_pass()
        if self.seen.world.unread.keys() & self.stores.keys():
            self.blind |= {a.point for a in self.seen.started if isinstance(a, Cut) and a.into and a.attempt > 1}
        wait([future for _, future in self.reconciler._futures.values()], timeout=30)
        return self.seen

    def run(self, passes: int = 6, minutes: float = 1) -> Pass:
        """Passes with the clock turning in between; the last one."""
        for _ in range(passes):
            seen = self.once()
            self.clock.turn(minutes=minutes)
        return seen

    def quiet(self, minutes: float = 7, most: int = 40) -> Pass:
        """Passes until three in a row have nothing to do, begin or wait for; that many must be enough."""
        calm = 0
        for _ in range(most):
            seen = self.once()
            self.clock.turn(minutes=minutes)
            calm = 0 if self.busy(seen) else calm + 1
            if calm == 3:
                return seen
        raise AssertionError([action for action in self.actions(seen) if not isinstance(action, Keep)])

    def busy(self, seen: Pass) -> bool:
        """Whether a pass had something to do, to wait for or to try again."""
        pending = any(
            copy.state == "pending" for p in seen.plans.values() for q in p.catalogue.points for copy in q.copies
        )
        waits = any("settling" in hold.reason or "next try" in hold.reason for hold in seen.holds)
        return bool(seen.started or seen.running or pending or waits)

    @staticmethod
    def actions(seen: Pass, *types: type[Action]) -> list[Action]:
        """Every decision of a pass, or those of some types."""
        found = [action for p in seen.plans.values() for action in p.actions]
        return [action for action in found if isinstance(action, types)] if types else found

    # --- what must hold in the end ---

    def check_whole(self, slots: int = 1) -> None:
        """Exactly one kept point per slot in every vault of every resource, none missing, its records everywhere.

        Of dumps that were cut blindly a vault may keep a second one: its newest, or the newest that was drilled.
        """
        seen = self.reconciler.look(fresh=True)
        hourly = "the last head is of"
        assert not [action for action in self.actions(seen, *EXECUTABLE) if not action.reason.startswith(hourly)]
        for planned in seen.plans.values():
            for resource in planned.policy.resources:
                points = {point.id: point for point in planned.catalogue.of(resource.name)}
                for rule in resource.targets:
                    kept = [
                        points[action.point].slot
                        for action in planned.actions
                        if isinstance(action, Keep) and (action.resource, action.vault) == (resource.name, rule.vault)
                        if not self._surplus(action)
                    ]
                    assert len(kept) == len(set(kept)) == slots, (resource.name, rule.vault, kept)
        self.check_records()

    def _surplus(self, action: Keep) -> bool:
        """Whether a vault keeps a second dump of a slot only as its newest, or as the newest that was drilled."""
        allowed = ("the newest usable point of a vault always stays, a duplicate", "the newest point that a drill")
        return action.point in self.blind and all(why.startswith(allowed) for why in action.reason.split("; "))

    def _is_blind(self, path: str) -> bool:
        return path.endswith("manifest.json") and path.split("/")[-2].rpartition("-")[2] in self.blind

    def check_records(self) -> None:
        """Every vault holds the same records, each with its signature; a dump cut blindly need not lie in every one."""
        held = {}
        for name in self.stores:
            records = {path for path in self.memory(name).objects if path.startswith(layout.RECORDS)}
            assert {path + layout.SIGNATURE for path in records if path.endswith(".json")} <= records
            held[name] = {path for path in records if path.endswith(".json") and not self._is_blind(path)}
        assert len({frozenset(paths) for paths in held.values()}) == 1, held

    def snapshots(self, vault: str) -> list[NativeSnapshot]:
        """What the cloud holds in a native vault."""
        return [s for s in self.cloud.snapshots() if f"{s.account}.{s.region}" == vault]

    def calls(self, kind: str, method: str) -> Callable[[], int]:
        """How many calls of a kind's method were made since this was asked."""
        counter = self.kinds[kind].faults.calls
        before = counter[method]
        return lambda: counter[method] - before


def _twin_store(store: MemoryStore, now: Callable[[], datetime]) -> MemoryStore:
    twin = MemoryStore(store.vault, now=now, limits=store.limits, versioned=store.versioned, lock=store.lock)
    twin.objects = dict(store.objects)
    twin._versions = {path: [copy.copy(version) for version in all_] for path, all_ in store._versions.items()}
    twin._pending, twin._count = dict(store._pending), store._count
    return twin


def _twin_cloud(cloud: MemoryCloud, now: Callable[[], datetime]) -> MemoryCloud:
    twin = MemoryCloud(now, pending_for=cloud.pending_for, copy_places=cloud.copy_places)
    for where, place in cloud._places.items():
        held = {native_id: copy.copy(snapshot) for native_id, snapshot in place.held.items()}
        points = {point: dict(ids) for point, ids in place.points.items()}
        restored = [copy.copy(made) for made in place.restored]
        twin._places[where] = type(place)(dict(place.sources), held, points, dict(place.pending), restored)
    twins = {
        id(old): twin._places[where].held[name] for where, p in cloud._places.items() for name, old in p.held.items()
    }
    for each in twins.values():
        each.source = twins.get(id(each.source), each.source)
    twin._lost, twin._keys, twin._made = set(cloud._lost), dict(cloud._keys), cloud._made
    return twin
