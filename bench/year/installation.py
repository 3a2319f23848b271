"""One simulated site: the product's reconciler, observer, reader and hands on ports in memory, in one thread."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import structlog

from bench.year.applications import VAULTS, Site
from bench.year.clock import Clocks
from bench.year.hands import Hands
from bench.year.ledger import GRACE, Ledger
from bench.year.ports import SimCloud, SimSnapshots, SimStore, Weather
from bench.year.remembering import DeltaReader, RememberingCache, RememberingObserver, remember_pure_functions
from drorch.app import carry, expiry, native, observe, sweep
from drorch.app.carry import LightHands
from drorch.app.expiry import ExpiryHands
from drorch.app.intents import Intents
from drorch.app.locks import Lock, Locks
from drorch.app.native import NativeHands
from drorch.app.orders import Orders
from drorch.app.passing import Guards
from drorch.app.policies import LoadedPolicy, PolicySet
from drorch.app.reading import TrustedKey
from drorch.app.reconcile import Reconciler
from drorch.app.vaults import VaultMarks, init_vault
from drorch.crypto import ids
from drorch.crypto.minisign import SecretKey
from drorch.domain.admit import Limits
from drorch.domain.errors import InvalidInput
from drorch.domain.model import Vault
from drorch.domain.native import Source

SITE = "acme"
RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


class Killed(BaseException):
    """The process died at this instant."""


class InThisThread(Executor):
    """Does at once what it is given, so that the same seed gives the same year."""

    def __init__(self, **_threads: Any) -> None:
        """Of how many threads there might be and what they are called nothing comes."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The work is done when this returns."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class MortalLocks(Locks):
    """Locks that end with their process, which here is a part of one that lives on."""

    def __init__(self, state: Path) -> None:
        super().__init__(state)
        self._held: list[Lock] = []

    def take(self, name: str, what: str) -> Lock:
        """As the product's own."""
        self._held = [lock for lock in self._held if lock.descriptor >= 0]
        self._held.append(super().take(name, what))
        return self._held[-1]

    def die(self) -> None:
        """What the process held is free."""
        for lock in self._held:
            lock.release()


class Installation:
    """See the module. `restart` is a new process on the same world."""

    def __init__(self, site: Site, state: Path) -> None:
        self.site = site
        self.state = state
        self.clocks = Clocks()
        self.ledger = Ledger(self.clocks)
        self.weather = Weather(site.seed)
        names = site.of.vaults or ("s3-west", "gcs-eu")
        self.stores = {name: SimStore(name, self.clocks, self.weather, self.ledger) for name in names}
        self.cloud = SimCloud(self.clocks, self.weather, self.ledger)
        self.kinds = {
            "ebs": SimSnapshots(self.cloud),
            "rds-instance": SimSnapshots(self.cloud, "rds-instance", "rds", named=True),
        }
        volumes = [Source(f"vol-{name}", bytes=8 << 30, tags={"app": name}) for name in site.names]
        self.cloud.put_sources("ec2", "prod", "us-east-1", volumes)
        self.cloud.put_sources("rds", "prod", "us-east-1", [Source(f"db-{name}", bytes=8 << 30) for name in site.names])
        self.key = SecretKey(site.seed.to_bytes(8, "little"), hashlib.sha256(str(site.seed).encode()).digest())
        self.trusted = (TrustedKey(self.key.public),)
        self.site_key = ids.site_key(self.key)
        self.policies = {policy.application: policy for policy in site.policies()}
        self.removed: set[str] = set()
        self.invalid: set[str] = set()
        self.folder_gone = False
        self.emptied: set[str] = set()
        self.failing: set[str] = set()
        self.dies_after = 0
        self.processes = 0
        self.locks: MortalLocks
        for module in (carry, expiry, native, sweep):
            module.reach = self.reach  # type: ignore[attr-defined]
        self.restart(lost=True)

    # --- the process ---

    def restart(self, *, lost: bool = False) -> None:
        """A new process; `lost` says that the state folder is gone with the cache."""
        if lost:
            shutil.rmtree(self.state, ignore_errors=True)
            self.cache = RememberingCache(self.key.public.text())
        if self.processes:
            self.locks.die()
        self.processes += 1
        self.intents = Intents(self.state, self.clocks.now())
        self.locks = MortalLocks(self.state)
        self.reader = DeltaReader(self.cache, self.trusted, SITE)
        self.guards = Guards(grace=GRACE, host="backup-1")
        observer = RememberingObserver(
            self.cache,
            site=SITE,
            vaults={name: Vault(name, VAULTS[name]) for name in self.stores},
            store_of=self.stores.__getitem__,
            kinds=self.kinds,
            reader=self.reader,
            valid_id=self._valid_id,
            marks=VaultMarks(SITE, self.trusted, lambda: self.key, (RECIPIENT,)),
            clock=self.clocks.now,
        )
        light = LightHands(
            site=SITE,
            native=NativeHands(SITE, self.kinds, self.intents),
            signing=lambda: self.key,
            trusted=self.trusted,
            store_of=self.stores.__getitem__,
            expiry=ExpiryHands(SITE, self.kinds, lambda: self.key, self.stores.__getitem__),
            host=self.guards.host,
        )
        heavy = Hands(
            SITE, self.key, self.stores, self.clocks, lambda: self.clocks.true, self.emptied, self.failing, self.reach
        )
        everyone = len(self.site.names)
        self.reconciler = Reconciler(
            load=self._load,
            observer=observer,
            point_id=self._point_id,
            light=light,
            heavy=heavy,
            locks=self.locks,
            intents=self.intents,
            limits=Limits(dumps=everyone),  # work takes no time here: more at once, or passes would have to wait
            now=self.clocks.now,
            guards=self.guards,
        )
        self.reconciler._pool = InThisThread()  # type: ignore[assignment]
        self.orders = Orders(
            site=SITE,
            reconciler=self.reconciler,
            light=light,
            heavy=heavy,
            locks=self.locks,
            intents=self.intents,
            signing=lambda: self.key,
            store_of=self.stores.__getitem__,
            point_id=self._point_id,
            clock=self.clocks,
            by="the operator",
        )

    def reach(self, name: str) -> None:
        """The product's own places where a process may die: this one does after `dies_after` of them."""
        del name
        if self.dies_after:
            self.dies_after -= 1
            if not self.dies_after:
                raise Killed

    def init_vault(self, name: str) -> None:
        """A person marks an empty vault as one of this site."""
        init_vault(
            self.stores[name],
            site=SITE,
            key=self.key,
            trusted=self.trusted,
            recipients=(RECIPIENT,),
            now=self.clocks.now(),
        )

    def _load(self) -> PolicySet:
        if self.folder_gone:
            raise InvalidInput("the folder of policies is not there")
        return PolicySet(
            tuple(
                LoadedPolicy(policy, f"{name}.yaml", "", "", "", name in self.invalid)
                for name, policy in self.policies.items()
                if name not in self.removed
            )
        )

    def _point_id(self, application: str, resource: str, slot: str, attempt: int) -> str:
        return ids.point_id(self.site_key, application, resource, slot, attempt)

    def _valid_id(self, point: str, application: str, resource: str, slot: str) -> bool:
        return ids.verify_point_id(self.site_key, point, application, resource, slot) is not None


def prepare() -> None:
    """Nothing is logged (that would be most of the time of a year), and all that is done is done in one thread."""
    remember_pure_functions()
    observe.ThreadPoolExecutor = InThisThread  # type: ignore[assignment,misc]
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(50), logger_factory=structlog.ReturnLoggerFactory()
    )
