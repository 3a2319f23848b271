"""What a worker is told to do: one JSON object per job, sent through its control pipe, secrets and all.

These values never become arguments, environment or log lines; their representations leave the secrets out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Protocol, Self

from drorch.app.damage import VerifyOrder
from drorch.app.dump import DumpOrder
from drorch.app.reading import TrustedKey
from drorch.app.repair import RepairOrder
from drorch.app.ship import ShipOrder
from drorch.crypto.minisign import PublicKey
from drorch.domain.instant import from_text, to_text
from drorch.domain.scenario import ScenarioOrder


class Job(Protocol):
    """Any of the jobs below."""

    @property
    def name(self) -> str:
        """What the worker looks up in its table of jobs."""

    def to_json(self) -> dict[str, Any]:
        """The object for the pipe; holds secrets."""


@dataclass(frozen=True, slots=True)
class VaultSpec:
    """A vault as configured: `options` as its adapter's model dumps them (JSON)."""

    name: str
    type: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> VaultSpec:
        """The inverse of `dataclasses.asdict`."""
        return cls(**body)


@dataclass(frozen=True, slots=True)
class HostSpec:
    """What adapters need of the host configuration: AWS accounts (name -> of `AwsAccount`) and folders of clients.

    `inventory_budget_s` bounds exact counting; None leaves it to the engine. `paths` are those of this host that the
    job's application may read; `scratch` is the folder for drills that need no server, "" the system's temporary one;
    `state` is where this host's locks lie, "" where there are none.
    """

    accounts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tools: Mapping[str, Sequence[str]] = field(default_factory=dict)
    inventory_budget_s: int | None = None
    paths: Sequence[str] = ()
    scratch: str = ""
    state: str = ""

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> HostSpec:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**body, "paths": tuple(body["paths"])})

    @property
    def inventory_budget(self) -> timedelta | None:
        """As a duration."""
        return None if self.inventory_budget_s is None else timedelta(seconds=self.inventory_budget_s)


@dataclass(frozen=True, slots=True)
class DumpJob:
    """Dump one point into `vaults`, in `longest` at most. `options` are the engine's, `secrets` maps credential names
    to values.
    """

    name: ClassVar[str] = "dump"
    order: DumpOrder
    vaults: tuple[VaultSpec, ...]
    options: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    signing_key: str = field(repr=False)
    host: HostSpec = HostSpec()
    stall: timedelta = timedelta(minutes=5)
    longest: timedelta | None = None

    def to_json(self) -> dict[str, Any]:
        """The object for the pipe."""
        return {
            "job": self.name,
            "order": asdict(self.order),
            "vaults": [asdict(vault) for vault in self.vaults],
            "options": dict(self.options),
            "secrets": dict(self.secrets),
            "signing_key": self.signing_key,
            "host": asdict(self.host),
            "stall_s": self.stall.total_seconds(),
            "longest_s": None if self.longest is None else self.longest.total_seconds(),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> DumpJob:
        """The inverse of `to_json`."""
        order = {**body["order"]}
        order |= {key: tuple(body["order"][key]) for key in ("recipients", "identities")}
        return cls(
            order=DumpOrder(**order),
            vaults=_vaults(body["vaults"]),
            options=body["options"],
            secrets=body["secrets"],
            signing_key=body["signing_key"],
            host=HostSpec.from_json(body["host"]),
            stall=timedelta(seconds=body["stall_s"]),
            longest=None if body["longest_s"] is None else timedelta(seconds=body["longest_s"]),
        )


@dataclass(frozen=True, slots=True)
class ShipJob:
    """Ship one point from `source` to `target`. Needs public keys only."""

    name: ClassVar[str] = "ship"
    order: ShipOrder
    source: VaultSpec
    target: VaultSpec
    trusted: tuple[TrustedKey, ...]
    host: HostSpec = HostSpec()

    def to_json(self) -> dict[str, Any]:
        """The object for the pipe."""
        return {
            "job": self.name,
            "order": self.order.to_json(),
            "source": asdict(self.source),
            "target": asdict(self.target),
            "trusted": _keys_body(self.trusted),
            "host": asdict(self.host),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> ShipJob:
        """The inverse of `to_json`."""
        return cls(
            order=ShipOrder.from_json(body["order"]),
            source=VaultSpec.from_json(body["source"]),
            target=VaultSpec.from_json(body["target"]),
            trusted=_keys(body["trusted"]),
            host=HostSpec.from_json(body["host"]),
        )


@dataclass(frozen=True, slots=True)
class DrillJob:
    """Drill one point. `order` is a `DrillOrder` in JSON, `kind` the engine's; all `vaults` get the proof.

    `scratch` are the engine's scratch options, None for `private`.
    """

    name: ClassVar[str] = "drill"
    order: Mapping[str, Any]
    kind: str
    vaults: tuple[VaultSpec, ...]
    trusted: tuple[TrustedKey, ...]
    identities: tuple[str, ...] = field(repr=False)
    signing_key: str = field(repr=False)
    scratch: Mapping[str, Any] | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    host: HostSpec = HostSpec()

    def to_json(self) -> dict[str, Any]:
        """The object for the pipe."""
        return {
            "job": self.name,
            "order": dict(self.order),
            "kind": self.kind,
            "vaults": [asdict(vault) for vault in self.vaults],
            "trusted": _keys_body(self.trusted),
            "identities": list(self.identities),
            "signing_key": self.signing_key,
            "scratch": None if self.scratch is None else dict(self.scratch),
            "secrets": dict(self.secrets),
            "host": asdict(self.host),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> DrillJob:
        """The inverse of `to_json`."""
        return cls(
            order=body["order"],
            kind=body["kind"],
            vaults=_vaults(body["vaults"]),
            trusted=_keys(body["trusted"]),
            identities=tuple(body["identities"]),
            signing_key=body["signing_key"],
            scratch=body["scratch"],
            secrets=body["secrets"],
            host=HostSpec.from_json(body["host"]),
        )


@dataclass(frozen=True, slots=True)
class NativeDrillJob:
    """Drill one native point. `order` is a `NativeDrillOrder` in JSON, `options` the kind's own for bringing it back;
    all `vaults` get the proof. `looks` are the (kind, account, region) where no other drill may go on. `connect` is how
    its probes log on, a policy's `Login` in JSON, `secrets` the values of the credentials that it names.
    """

    name: ClassVar[str] = "native-drill"
    order: Mapping[str, Any]
    kind: str
    options: Mapping[str, Any]
    vaults: tuple[VaultSpec, ...]
    signing_key: str = field(repr=False)
    host: HostSpec = HostSpec()
    looks: tuple[tuple[str, str, str], ...] = ()
    connect: Mapping[str, Any] | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, Any]:
        """The object for the pipe."""
        return {
            "job": self.name,
            "order": dict(self.order),
            "kind": self.kind,
            "options": dict(self.options),
            "vaults": [asdict(vault) for vault in self.vaults],
            "signing_key": self.signing_key,
            "host": asdict(self.host),
            "looks": [list(look) for look in self.looks],
            "connect": None if self.connect is None else dict(self.connect),
            "secrets": dict(self.secrets),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> NativeDrillJob:
        """The inverse of `to_json`."""
        return cls(
            order=body["order"],
            kind=body["kind"],
            options=body["options"],
            vaults=_vaults(body["vaults"]),
            signing_key=body["signing_key"],
            host=HostSpec.from_json(body["host"]),
            looks=tuple((kind, account, region) for kind, account, region in body["looks"]),
            connect=body["connect"],
            secrets=body["secrets"],
        )


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """A server to be asked: the engine's kind, its options, and the values of the credentials that they name."""

    kind: str
    options: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServersJob:
    """Ask `servers`, all at once."""

    name: ClassVar[str]
    servers: tuple[ServerSpec, ...]
    host: HostSpec = HostSpec()

    def to_json(self) -> dict[str, Any]:
        """The object for the pipe."""
        return {"job": self.name, "servers": [asdict(server) for server in self.servers], "host": asdict(self.host)}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(tuple(ServerSpec(**server) for server in body["servers"]), HostSpec.from_json(body["host"]))


@dataclass(frozen=True, slots=True)
class ListJob(ServersJob):
    """Which databases they have."""

    name: ClassVar[str] = "list"


@dataclass(frozen=True, slots=True)
class VersionsJob(ServersJob):
    """Their versions, and those of the programs that would dump them."""

    name: ClassVar[str] = "versions"


@dataclass(frozen=True, slots=True)
class SigningJob:
    """Carry out `order`, and sign what came of it. All `vaults` get that, those of the order are among them."""

    name: ClassVar[str]
    of: ClassVar[type[VerifyOrder | RepairOrder | ScenarioOrder]]
    order: Any
    vaults: tuple[VaultSpec, ...]
    trusted: tuple[TrustedKey, ...]
    signing_key: str = field(repr=False)
    host: HostSpec = HostSpec()

    def to_json(self) -> dict[str, Any]:
        """The object for the pipe."""
        return {
            "job": self.name,
            "order": self.order.to_json(),
            "vaults": [asdict(vault) for vault in self.vaults],
            "trusted": _keys_body(self.trusted),
            "signing_key": self.signing_key,
            "host": asdict(self.host),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(
            order=cls.of.from_json(body["order"]),
            vaults=_vaults(body["vaults"]),
            trusted=_keys(body["trusted"]),
            signing_key=body["signing_key"],
            host=HostSpec.from_json(body["host"]),
        )


@dataclass(frozen=True, slots=True)
class VerifyJob(SigningJob):
    """Read one turn of a resource in a vault; damage is signed."""

    name: ClassVar[str] = "verify"
    of: ClassVar = VerifyOrder
    order: VerifyOrder


@dataclass(frozen=True, slots=True)
class RepairJob(SigningJob):
    """Repair one copy: mark and proof."""

    name: ClassVar[str] = "repair"
    of: ClassVar = RepairOrder
    order: RepairOrder


@dataclass(frozen=True, slots=True)
class ScenarioJob(SigningJob):
    """Drill a whole application; points are read from the vaults that the order names."""

    name: ClassVar[str] = "scenario-drill"
    of: ClassVar = ScenarioOrder
    order: ScenarioOrder


def _vaults(bodies: Sequence[Mapping[str, Any]]) -> tuple[VaultSpec, ...]:
    return tuple(VaultSpec.from_json(body) for body in bodies)


def _keys_body(keys: Sequence[TrustedKey]) -> list[dict[str, str | None]]:
    return [{"key": key.key.text(), "until": None if key.until is None else to_text(key.until)} for key in keys]


def _keys(bodies: Sequence[Mapping[str, Any]]) -> tuple[TrustedKey, ...]:
    return tuple(
        TrustedKey(PublicKey.parse(body["key"]), None if body["until"] is None else from_text(body["until"]))
        for body in bodies
    )
