"""What a policy may name on this host: kinds with their words, regions, vaults, accounts, credentials, paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from pydantic import BaseModel

from drorch.domain.model import FailureDomain
from drorch.domain.policy import LockRule


@dataclass(frozen=True, slots=True)
class KindWords:
    """A kind of resource: the model of its own keys, and whether its points are the provider's snapshots.

    `probes` says whether what is restored in a drill can be asked a query, `shares` whether its copies may lie in
    another account than its sources, `locks` whether they can be locked; `locks_later` is why they cannot in this
    version, where they could at their provider. `restore` is the model of how a point comes back in another region;
    None: that is not in this version.
    """

    options: type[BaseModel]
    native: bool
    service: str = ""
    probes: bool = True
    locks: bool = False
    locks_later: str = ""
    shares: bool = False
    restore: type[BaseModel] | None = None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What policies may name. None: not known on this host, names of this sort go unchecked.

    `credentials` maps a name to the applications that it is granted to, `paths` an application to the paths of this
    host that it may read; `defaults` has `keep`, `drill`, `objectives`.
    `locks` has the lock of every vault that has one; `grace` is the host's time between the mark and the deletion.
    `commands` says whether this host lets a runbook run commands.
    """

    kinds: Mapping[str, KindWords]
    regions: frozenset[str] | None = None
    vaults: Mapping[str, FailureDomain] | None = None
    accounts: frozenset[str] | None = None
    credentials: Mapping[str, frozenset[str]] | None = None
    paths: Mapping[str, tuple[str, ...]] | None = None
    defaults: Mapping[str, object] = field(default_factory=dict)
    locks: Mapping[str, LockRule] | None = None
    grace: timedelta = timedelta(days=3)
    commands: bool | None = None
