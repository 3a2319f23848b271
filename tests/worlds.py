"""A small complete installation in memory: policies, a cloud, vaults, keys, the reconciler, and hands for heavy work.

``world = Installation(tmp_path, POLICY)``; ``world.run()`` makes passes while the clock turns; ``world.restart()`` is a
new process on the same world, with or without what the old one had on disk. Everything a provider or vault does can be
made to fail through ``world.kinds[...].faults`` and ``world.stores[...].faults``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import wait
from pathlib import Path

from dumped import DATA, table_rows
from faults import Faults, FaultySnapshots, FaultyStore
from manual_clock import ManualClock
from policy_words import KINDS, VAULTS, policy_of, words

from drorch.app import drill, ship
from drorch.app.cache import Cache
from drorch.app.carry import LightHands, Scene
from drorch.app.catalogue import VaultReader
from drorch.app.dump import DumpOrder, dump
from drorch.app.intents import Intents
from drorch.app.loading import Reader
from drorch.app.locks import Lock, Locks
from drorch.app.native import NativeHands
from drorch.app.observe import Observer
from drorch.app.policies import LoadedPolicy, PolicySet
from drorch.app.reading import TrustedKey
from drorch.app.reconcile import Finished, Pass, Reconciler
from drorch.crypto import ids
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.action import EXECUTABLE, Action, Cut, Drill, Keep, Ship
from drorch.domain.admit import Limits
from drorch.domain.errors import Damaged, DrorchError, Unavailable
from drorch.domain.model import Vault
from drorch.domain.native import NativeSnapshot, Source
from drorch.domain.policy import KindWords, Policy
from drorch.engines.memory import MemoryEngine, MemorySource, Options
from drorch.kinds.memory import MemoryCloud, MemorySnapshots
from drorch.ports import StoreLimits
from drorch.stores.memory import MemoryStore

SITE = "acme"
HOME, AWAY = "prod.us-east-1", "prod.us-west-2"
WEST, EU = "s3-west", "gcs-eu"
WORDS = words(kinds={**KINDS, "memory": KindWords(Options, native=False)})

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


def outcomes(world: Installation, name: str) -> dict[str, int]:
    """How often an action ended in which way in this process."""
    return {outcome: count for (action, outcome), count in world.reconciler.outcomes.items() if action == name}


class FakeHands:
    """Heavy work done within this process by the product's own dump, ship and drill; each ends when it is polled.

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
            made = dump(order, world.engine, Options(), {}, stores, world.key, clock=world.clock)
            return made.to_json() | {"lost": dict(made.lost)}
        point = scene.catalogue.find(action.point)
        assert point is not None and point.cut_at is not None
        if isinstance(action, Ship):
            where = ship.ShipOrder(SITE, action.application, action.resource, point.id, point.cut_at)
            source, target = world.stores[action.source], world.stores[action.vault]
            return ship.ship(where, source, target, world.trusted, clock=world.clock).to_json()
        assert isinstance(action, Drill) and scene.resource.drill is not None
        asked = drill.DrillOrder(
            SITE, action.application, action.resource, action.vault, scene.resource.drill.probes, point.id
        )
        reader = Reader(world.trusted, [world.identity], world.clock)
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
        self, state: Path, *texts: str, vaults: Iterable[str] = (WEST, EU), pending_for: int | None = 1
    ) -> None:
        self.state = state
        self.clock = ManualClock()
        self.policies = policies(*(texts or (VOLUMES,)))
        self.stale: set[str] = set()
        self.key = SecretKey.generate()
        self.trusted = (TrustedKey(self.key.public),)
        self.identity, self.recipient = new_identity()
        self.site_key = ids.site_key(self.key)
        self.engine = MemoryEngine({"main": MemorySource({DATA: table_rows("orders", 50)})})
        self.cloud = MemoryCloud(self.clock.now, pending_for=pending_for)
        self.cloud.put_sources("ec2", "prod", "us-east-1", [self.volume("vol-1")])
        self.cloud.put_sources("rds", "prod", "us-east-1", [Source("shop-ledger", bytes=8 << 30)])
        self.kinds: dict[str, FaultySnapshots] = {
            "ebs": FaultySnapshots(MemorySnapshots(self.cloud)),
            "rds-instance": FaultySnapshots(MemorySnapshots(self.cloud, "rds-instance", "rds", named=True)),
        }
        limits = StoreLimits(part_bytes=1 << 20)
        self.stores = {
            name: FaultyStore(MemoryStore(name, now=self.clock.now, limits=limits)) for name in sorted(vaults)
        }
        self.hands = FakeHands(self)
        self.seen: Pass | None = None
        self.restart()

    @staticmethod
    def volume(name: str, instance: str = "", **tags: str) -> Source:
        return Source(name, bytes=8 << 30, instance=instance, tags={"app": "shop", **tags})

    # --- the process ---

    def restart(self, *, without: Iterable[str] = ()) -> None:
        """A new process; `without` names what of the state folder is gone: ``cache``, ``intents`` or both."""
        for name in without:
            shutil.rmtree(self.state / name, ignore_errors=True)
        self.cache = Cache(self.state / "cache" / "cache.sqlite", self.key.public.text())
        self.intents = Intents(self.state, self.clock.now())
        self.locks = Locks(self.state)
        observer = Observer(
            site=SITE,
            vaults={name: Vault(name, VAULTS[name]) for name in self.stores},
            store_of=self.stores.__getitem__,
            kinds=self.kinds,
            reader=VaultReader(self.cache, self.trusted, SITE),
            cache=self.cache,
            valid_id=self.valid_id,
        )
        self.light = LightHands(
            site=SITE,
            native=NativeHands(SITE, self.kinds, self.intents),
            signing=lambda: self.key,
            trusted=self.trusted,
            store_of=self.stores.__getitem__,
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
            now=self.clock.now,
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

    # --- passes ---

    def faults(self, where: str) -> Faults:
        """The faults of a kind or a vault, by its name."""
        found: FaultySnapshots | FaultyStore = self.kinds[where] if where in self.kinds else self.stores[where]
        return found.faults

    def once(self) -> Pass:
        """One pass, and the end of everything light that it started."""
        self.seen = self.reconciler.run_pass()
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
            calm = 0 if self._busy(seen) else calm + 1
            if calm == 3:
                return seen
        raise AssertionError([action for action in self.actions(seen) if not isinstance(action, Keep)])

    def _busy(self, seen: Pass) -> bool:
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
        """Exactly one kept point per slot in every vault of every resource, none missing, its records everywhere."""
        seen = self.reconciler.look(fresh=True)
        assert not self.actions(seen, *EXECUTABLE)
        for planned in seen.plans.values():
            for resource in planned.policy.resources:
                points = {point.id: point for point in planned.catalogue.of(resource.name)}
                for rule in resource.targets:
                    kept = [
                        points[action.point].slot
                        for action in planned.actions
                        if isinstance(action, Keep) and (action.resource, action.vault) == (resource.name, rule.vault)
                    ]
                    assert len(kept) == len(set(kept)) == slots, (resource.name, rule.vault, kept)
        self.check_records()

    def check_records(self) -> None:
        """Every vault holds the same records of native points, marks and proofs, each with its signature."""
        held = {}
        for name, store in self.stores.items():
            inner = store.inner
            assert isinstance(inner, MemoryStore)
            records = {path for path in inner.objects if path.startswith(layout.RECORDS)}
            assert {path + layout.SIGNATURE for path in records if path.endswith(".json")} <= records
            held[name] = {path for path in records if path.endswith(".json")}
        assert len({frozenset(paths) for paths in held.values()}) == 1, held

    def snapshots(self, vault: str) -> list[NativeSnapshot]:
        """What the cloud holds in a native vault."""
        return [s for s in self.cloud.snapshots() if f"{s.account}.{s.region}" == vault]

    def calls(self, kind: str, method: str) -> Callable[[], int]:
        """How many calls of a kind's method were made since this was asked."""
        counter = self.kinds[kind].faults.calls
        before = counter[method]
        return lambda: counter[method] - before
