"""One host: its configuration turned into stores, engines, keys and the loop, each made when it is first needed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path

from drorch.app.audits import AuditKeeper
from drorch.app.automated import AutomatedWatch
from drorch.app.cache import CACHE, Cache
from drorch.app.carry import LightHands
from drorch.app.catalogue import VaultReader
from drorch.app.clock import SystemClock
from drorch.app.config import Config, find_config, load_config
from drorch.app.config_form import IdentityRef
from drorch.app.databases import DatabaseLists
from drorch.app.drill_sweep import DrillSweep
from drorch.app.expiry import ExpiryHands
from drorch.app.guide_writing import GuideKeeper, dumps_known
from drorch.app.heavy import LocalHands
from drorch.app.intents import Intents
from drorch.app.journal import JournalBook, JournalKeeper
from drorch.app.key_check import KeyWatch
from drorch.app.kms_watch import KmsWatch
from drorch.app.locks import Locks
from drorch.app.native import NativeHands
from drorch.app.native_locks import LockListings
from drorch.app.observe import Observer
from drorch.app.orders import Orders
from drorch.app.passing import Guards
from drorch.app.policies import LoadedPolicy, PolicyFolder, PolicySet
from drorch.app.reading import TrustedKey
from drorch.app.reconcile import Reconciler
from drorch.app.restore_guide import GuideWords
from drorch.app.runner import LocalRunner
from drorch.app.secret import SecretRef, resolve_secret, resolve_secret_bytes
from drorch.app.unprotected import UnprotectedWatch
from drorch.app.vaults import VaultMarks
from drorch.aws import AwsAccount, AwsAccounts, regions
from drorch.crypto import ids
from drorch.crypto.age_protected import Ask, read_identity_file
from drorch.crypto.minisign import SecretKey
from drorch.domain.action import Action, Copy, Cut, Expire, Lock, Verify
from drorch.domain.admit import Limits
from drorch.domain.errors import NotFound, Refused
from drorch.domain.instant import to_text
from drorch.domain.model import ObjectLock, Vault, place_of
from drorch.domain.priority import priority_of
from drorch.domain.vocabulary import Vocabulary
from drorch.ports import Clock, ObjectStore, SnapshotKind
from drorch.telemetry.redact import redact
from drorch.wiring import adapters
from drorch.wiring.databases import ask_servers
from drorch.wiring.jobs import compose_job
from drorch.wiring.journal import audits_of, farewell_of, journal_of
from drorch.wiring.machine import host_name, own_folder, person


@dataclass
class Host:
    """Everything that commands and the daemon need of this host. Safe for threads where threads use it."""

    config: Config
    clock: Clock
    environ: Mapping[str, str]
    ask: Callable[[str], str] | None = None
    """Gets the passphrase of the identity named, from a person; None where there is nobody to ask."""
    asks_servers: bool = False
    """Whether servers are asked for their databases; else their last answers are taken."""

    def __post_init__(self) -> None:
        self._stores: dict[str, ObjectStore] = {}
        self._loaded: PolicySet | None = None
        self._typed: dict[str, str] = {}
        self._lock = threading.Lock()

    # --- vaults and accounts ---

    @cached_property
    def accounts(self) -> AwsAccounts:
        """AWS accounts by their names."""
        known = {
            name: AwsAccount(id=account.id, role_arn=account.role_arn, external_id=account.external_id)
            for name, account in self.config.aws.accounts.items()
        }
        return adapters.build_accounts(known)

    @cached_property
    def vaults(self) -> dict[str, Vault]:
        """The configured object vaults."""
        return {name: Vault(name, vault.domain) for name, vault in self.config.vaults.items()}

    def store(self, name: str) -> ObjectStore:
        """The store of a vault, opened once. Refused for a name that the configuration does not have."""
        with self._lock:
            if name not in self._stores:
                vault = self.config.vaults.get(name)
                if vault is None:
                    known = ", ".join(sorted(self.config.vaults)) or "none"
                    raise NotFound(f"there is no vault {name!r}", hint=f"configured: {known}")
                self._stores[name] = adapters.build_store(name, vault.type, vault.options, self.accounts)
            return self._stores[name]

    @cached_property
    def kinds(self) -> dict[str, SnapshotKind]:
        """The kinds of native snapshots."""
        return adapters.build_kinds(self.accounts)

    # --- keys ---

    def secret(self, reference: SecretRef) -> str:
        """A secret's value now; never kept, but never shown in a log line either."""
        value = resolve_secret(reference, self.environ)
        redact(value)
        return value

    def signing_key(self) -> SecretKey:
        """The key that signs records, read anew at every use."""
        if self.config.signing.key is None:
            raise Refused(
                "this host has no signing key", hint="signing: key: {file: ...}, made by `drorch key new --signing`"
            )
        return SecretKey.parse(self.secret(self.config.signing.key))

    @cached_property
    def site_key(self) -> bytes:
        """What point ids are made with."""
        return ids.site_key(self.signing_key())

    @property
    def trusted(self) -> tuple[TrustedKey, ...]:
        """The keys whose records count for who reads: the listed ones alone while this host's own cannot be read.

        Refused when it cannot be read and none is listed.
        """
        try:
            return self._trusted_and_own
        except Refused:
            listed = tuple(entry.trusted for entry in self.config.signing.trusted)
            if not listed:
                raise
            return listed

    @cached_property
    def _trusted_and_own(self) -> tuple[TrustedKey, ...]:
        """The configured keys, and this host's own unless it is listed with an end. Refused when that is unreadable:
        what lives on in a daemon must not be made without it, or its own records would not count once it is back.
        """
        listed = [entry.trusted for entry in self.config.signing.trusted]
        own = self.signing_key().public if self.config.signing.key is not None else None
        if own is not None and own not in [trusted.key for trusted in listed]:
            listed.append(TrustedKey(own))
        return tuple(listed)

    def identities(self) -> tuple[str, ...]:
        """The age identities of a host that runs drills. Refused when there is none, or nobody to ask a passphrase."""
        if not self.config.encryption.identities:
            raise Refused(
                "this host has no age identity, so it cannot open a dump",
                hint="encryption: identities: [{file: ...}] on a host that runs drills, or --identity FILE",
            )
        return tuple(found for entry in self.config.encryption.identities for found in self._identities_in(entry))

    def _identities_in(self, entry: IdentityRef) -> tuple[str, ...]:
        found = read_identity_file(resolve_secret_bytes(entry.secret, self.environ), self._passphrase_of(entry))
        for identity in found:
            redact(identity)
        return found

    def _passphrase_of(self, entry: IdentityRef) -> Ask | None:
        """From its place; else from a person, who is asked once while this process runs."""
        name = str(entry.secret)

        def from_person() -> str:
            if self.ask is not None and name not in self._typed:
                self._typed[name] = self.ask(name)
                redact(self._typed[name])
            return self._typed[name]

        if entry.passphrase is not None:
            return partial(self.secret, entry.passphrase)
        return from_person if self.ask is not None else None

    def point_id(self, application: str, resource: str, slot: str, attempt: int) -> str:
        """The id that this site gives a point."""
        return ids.point_id(self.site_key, application, resource, slot, attempt)

    def valid_id(self, point: str, application: str, resource: str, slot: str) -> bool:
        """Whether this site gave the id."""
        return ids.verify_point_id(self.site_key, point, application, resource, slot) is not None

    # --- policies ---

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words that policies on this host may use."""
        return adapters.vocabulary_of(self.config)

    @cached_property
    def _folder(self) -> PolicyFolder:
        return PolicyFolder(self.config.policies, self.vocabulary)

    def policies(self) -> PolicySet:
        """The policies as they are now; an invalid file keeps its last valid text."""
        known = self.cache.texts()
        loaded = self._folder.load(known)
        if loaded is not self._loaded:  # else the same texts, of which the same are known
            texts = known | dict(loaded.renamed) | {policy.file: policy.text for policy in loaded.valid}
            if texts != known:
                self.cache.set_texts(texts)
            self._loaded = loaded
        return loaded

    def in_force(self, application: str) -> LoadedPolicy | None:
        """The policy of an application as it was read last; the files are read when none was yet."""
        return (self._loaded or self.policies()).get(application)

    def provenance(self, application: str) -> dict[str, str]:
        """Digest and git commit of the policy text in force, for the records of an application."""
        loaded = self.in_force(application)
        return {} if loaded is None else {"digest": loaded.digest, "commit": loaded.commit}

    # --- the loop ---

    @cached_property
    def _state(self) -> Path:
        """The state folder. Refused for root in a daemon's folder."""
        return own_folder(self.config.state)

    @cached_property
    def cache(self) -> Cache:
        """The disposable cache below the state folder."""
        trusted = ";".join(f"{entry.key.text()}@{entry.until}" for entry in self._trusted_and_own)
        return Cache(self._state / CACHE, f"{self.config.site};{trusted}")

    @cached_property
    def locks(self) -> Locks:
        """The locks below the state folder."""
        return Locks(self._state)

    @cached_property
    def intents(self) -> Intents:
        """The intents below the state folder."""
        return Intents(self._state, self.clock.now())

    @cached_property
    def observer(self) -> Observer:
        """Lists providers and vaults."""
        return Observer(
            site=self.config.site,
            vaults=self.vaults,
            store_of=self.store,
            kinds=self.kinds,
            reader=VaultReader(self.cache, self._trusted_and_own, self.config.site),
            cache=self.cache,
            valid_id=self.valid_id,
            marks=self._marks,
            clock=self.now,
            keys=KmsWatch(adapters.build_kms_keys(self.accounts), self.cache),
        )

    @cached_property
    def _marks(self) -> VaultMarks:
        recipients = self.config.encryption.recipients
        return VaultMarks(self.config.site, self._trusted_and_own, self.signing_key, recipients, self.guide_words)

    @cached_property
    def guide_words(self) -> GuideWords:
        """What RESTORE.md says of this host's vaults and of every kind of dump."""
        return adapters.guide_words({name: vault.options for name, vault in self.config.vaults.items()})

    @cached_property
    def guides(self) -> GuideKeeper:
        """Keeps RESTORE.md in the vaults true."""
        return GuideKeeper(
            site=self.config.site,
            trusted=self._trusted_and_own,
            signing=self.signing_key,
            recipients=self.config.encryption.recipients,
            words=self.guide_words,
            store_of=self.store,
            marked=self._marks.holds,
            dumps=partial(dumps_known, self.cache),
        )

    @cached_property
    def key_watch(self) -> KeyWatch:
        """Whether the recipients' keys were proved of late."""
        trusted, config = self._trusted_and_own, self.config
        return KeyWatch(
            site=config.site,
            recipients=config.encryption.recipients,
            every=config.prove_every,
            trusted=trusted,
            signing=self.signing_key,
            store_of=self.store,
            marked=self._marks.holds,
        )

    @cached_property
    def journal(self) -> JournalBook:
        """What this host writes down of hours and restores."""
        return journal_of(self, self._state, self._marks.holds)

    @cached_property
    def audits(self) -> AuditKeeper:
        """Picks what is drilled without anybody's choice."""
        return audits_of(self, self._trusted_and_own)

    @cached_property
    def light(self) -> LightHands:
        """Carries out what needs no worker."""
        return LightHands(
            site=self.config.site,
            native=NativeHands(self.config.site, self.kinds, self.intents),
            signing=self.signing_key,
            trusted=self._trusted_and_own,
            store_of=self.store,
            expiry=ExpiryHands(
                self.config.site, self.kinds, self.signing_key, self.store, LockListings(self.cache).met
            ),
            host=self.name,
            remember_lock=self._remember_lock,
            provenance=self.provenance,
            farewell=farewell_of(self, self._trusted_and_own),
        )

    def _throttled(self, kind: str, action: Action) -> str:
        """Why a call about native snapshots has to wait at its provider now; "" for every other action."""
        account, region = place_of(action.vault)
        if kind not in self.kinds or not region or not isinstance(action, Cut | Copy | Expire | Lock):
            return ""
        return self.accounts.pace.why_not(self.kinds[kind].service, account, region, priority_of(action))

    @cached_property
    def name(self) -> str:
        """What heads call this host: its name, and something that no other host or state folder has."""
        return host_name(self.config.state)

    def _remember_lock(self, vault: str, application: str, point: str, lock: ObjectLock) -> None:
        self.cache.set_lock(vault, application, point, lock.mode.value, to_text(lock.until))

    def _turn_read(self, action: Verify, at: datetime) -> None:
        self.cache.set_turn(action.vault, action.application, action.resource, action.turn, to_text(at))

    @cached_property
    def heavy(self) -> LocalHands:
        """Starts dumps, ships and drills in workers."""
        return LocalHands(LocalRunner(environ=self.environ), partial(compose_job, self))

    @cached_property
    def unprotected(self) -> UnprotectedWatch:
        """Looks for what no policy protects."""
        config = self.config
        return UnprotectedWatch(adapters.build_everything(self.accounts), config.ignore, config.unprotected.every)

    @cached_property
    def automated(self) -> AutomatedWatch:
        """Looks at what RDS keeps by itself."""
        return AutomatedWatch(adapters.build_automated(self.accounts))

    @cached_property
    def reconciler(self) -> Reconciler:
        """The loop's body."""
        limits = self.config.limits
        return Reconciler(
            load=self.policies,
            observer=self.observer,
            point_id=self.point_id,
            light=self.light,
            heavy=self.heavy,
            locks=self.locks,
            intents=self.intents,
            limits=Limits(
                limits.dumps,
                limits.dumps_per_server,
                {str(service): places for service, places in limits.copies.items()},
            ),
            now=self.now,
            drills=bool(self.config.encryption.identities),
            keys=self.key_watch,
            databases=DatabaseLists(self.cache, partial(ask_servers, self) if self.asks_servers else None),
            guides=self.guides,
            unprotected=self.unprotected,
            throttled=self._throttled,
            automated=self.automated,
            drill_sweep=DrillSweep(self.config.site, self.kinds),
            journal=JournalKeeper(self.journal, tuple(self.vaults)),
            guards=Guards(
                grace=self.config.grace,
                brake=self.config.brake,
                locks=dict(self.vocabulary.locks or {}),
                host=self.name,
                turns=partial(self.cache.turns_read, tuple(self.vaults)),
                turn_read=self._turn_read,
                audit=self.audits.of,
            ),
            audits=self.audits,
        )

    @cached_property
    def orders(self) -> Orders:
        """What a person orders."""
        return Orders(
            site=self.config.site,
            reconciler=self.reconciler,
            light=self.light,
            heavy=self.heavy,
            locks=self.locks,
            intents=self.intents,
            signing=self.signing_key,
            store_of=self.store,
            point_id=self.point_id,
            clock=self.clock,
            by=self.who(),
            at_once=self.config.limits.dumps,
        )

    def who(self) -> str:
        """The person who gives an order, as far as the system tells."""
        return person(self.environ)

    def now(self) -> datetime:
        """The present."""
        return self.clock.now()


def open_host(
    config: str | None,
    *,
    clock: Clock | None = None,
    environ: Mapping[str, str] | None = None,
    asks_servers: bool = False,
) -> Host:
    """The host of a configuration file, found as the contract says. InvalidInput with every error at once."""
    environ = os.environ if environ is None else environ
    path = find_config(Path(config) if config else None, environ)
    loaded = load_config(path, vault_options=adapters.store_options(), regions=regions())
    return Host(loaded, clock or SystemClock(), environ, asks_servers=asks_servers)
