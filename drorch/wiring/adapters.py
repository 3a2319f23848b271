"""Names to adapters. A store is `stores/TYPE.py`, an engine `engines/KIND`, a kind of snapshot `kinds/KIND.py`.

Importing an adapter's module for its Options imports no SDK; opening it does.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ValidationError

from drorch.aws import AwsAccount, AwsAccounts, regions
from drorch.domain.errors import Refused, Usage
from drorch.domain.explain import Problem, explain
from drorch.domain.iam_roles import Declared
from drorch.domain.model import FailureDomain
from drorch.domain.native_restore import Isolation
from drorch.domain.policy import DrillRule, LockRule
from drorch.domain.policy_drills import drill_said, isolation_of
from drorch.domain.vocabulary import KindWords, Vocabulary
from drorch.ports import AutomatedBackups, Engine, Everything, KmsKeys, ObjectStore, SnapshotKind

if TYPE_CHECKING:
    from drorch.app.config import Config
    from drorch.app.restore_guide import GuideWords

STORES = ("s3", "gcs", "azure", "swift", "directory")
ENGINES = {
    "postgres": "PostgresEngine",
    "mariadb": "MariadbEngine",
    "mysql": "MysqlEngine",
    "files": "FilesEngine",
}
SNAPSHOT_KINDS = {
    "ebs": ("ebs", "EbsSnapshots"),
    "ami": ("ami", "AmiImages"),
    "rds-instance": ("rds_instance", "RdsInstanceSnapshots"),
    "rds-cluster": ("rds_cluster", "RdsClusterSnapshots"),
}
EVERYTHING, AUTOMATED = "everything", "rds_automated"
"""The modules beside the kinds that list what no cut and no copy needs: for `unprotected`, and for `status`."""
LOCKED_KINDS = frozenset({"ebs"})
PROBED_KINDS = frozenset({"rds-instance", "rds-cluster"})
"""Snapshots of databases: what is made of them in a drill can be asked."""
LATER_LOCKS = {"ami": "an image can be deregistered, however its snapshots are locked"}
URL_SCHEMES = {"s3": "s3", "gs": "gcs", "azure": "azure", "swift": "swift", "file": "directory"}
TARGETS = {
    "postgresql": "postgres",
    "postgres": "postgres",
    "mariadb": "mariadb",
    "mysql": "mysql",
    "dir": "files",
}
TARGET_SHAPES = {
    "postgres": "postgresql://localhost/{}",
    "mariadb": "mariadb://localhost/{}",
    "mysql": "mysql://localhost/{}",
    "files": "dir:/srv/restored/{}",
}
"""A restore TARGET of each engine on the machine at hand."""
EXTRAS = {"gcs": "gcs", "azure": "azure", "swift": "swift"}
"""The extra of drorch that a type of vault needs."""


def store_options() -> dict[str, type[BaseModel]]:
    """type -> the options model of every store that a configuration may name."""
    return {name: _module("stores", name).Options for name in STORES}


def build_store(
    name: str,
    store_type: str,
    options: BaseModel | Mapping[str, object],
    accounts: AwsAccounts | Mapping[str, Mapping[str, str]],
) -> ObjectStore:
    """Open the store of vault `name`. Refused when the options are not of its type; talks to nobody yet."""
    if store_type not in (*STORES, "memory"):
        raise Refused(f"there is no vault type {store_type!r}", vault=name, hint=f"one of {', '.join(STORES)}")
    module = _module("stores", store_type)
    if not isinstance(options, BaseModel):
        try:
            options = module.Options(**options)
        except ValidationError as error:
            raise Refused(f"the options of vault {name} are not those of {store_type}", cause=str(error)) from error
    if not isinstance(accounts, AwsAccounts):
        accounts = build_accounts({key: AwsAccount(**account) for key, account in accounts.items()})
    extra = (accounts,) if store_type == "s3" else ()
    store: ObjectStore = module.open_store(name, options, *extra)
    return store


def store_from_url(url: str) -> tuple[str, BaseModel]:
    """(type, options) of a ``--vault-url``. Usage for anything else."""
    shapes = (
        "s3://bucket[/prefix], gs://bucket[/prefix], azure://account/container[/prefix], swift://container[/prefix]"
    )
    shapes += " or file:///path"
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise Usage(f"{url!r} is no address", cause=str(error), hint=shapes) from error
    if scheme not in URL_SCHEMES:
        raise Usage(f"{url!r} is no vault", hint=shapes)
    store_type = URL_SCHEMES[scheme]
    options: BaseModel = _module("stores", store_type).from_url(url)
    return store_type, options


def domain_of(options: BaseModel) -> FailureDomain:
    """Where a store with these options lies."""
    domain: FailureDomain = options.domain  # type: ignore[attr-defined]  # every store's Options has it (a test asserts)
    return domain


def lock_of(options: BaseModel) -> LockRule | None:
    """The lock that a store with these options puts on what it writes; None where it has none, or can have none."""
    lock: LockRule | None = getattr(options, "lock", None)
    return lock


def url_of(options: BaseModel) -> str:
    """The ``--vault-url`` of a store with these options."""
    url: str = options.url  # type: ignore[attr-defined]  # every store's Options has it (a test asserts)
    return url


def guide_words(vaults: Mapping[str, BaseModel]) -> GuideWords:
    """What the stores with these options, by the names of their vaults, and all engines say for RESTORE.md."""
    from drorch.app.restore_guide import GuideWords

    tools: dict[str, Any] = {name: getattr(options, "stock_tools", ()) for name, options in vaults.items()}
    return GuideWords(tools, {kind: _module("engines", f"{kind}.guide").WORDS for kind in ENGINES})


def build_engine(
    kind: str,
    tools: Mapping[str, Sequence[str]] | None = None,
    *,
    inventory_budget: timedelta | None = None,
    granted: Sequence[str] = (),
    scratch: Path | None = None,
) -> Engine:
    """The engine of a kind; `tools` maps engines to folders of client programs. Refused.

    `granted` are the paths of this host that may be dumped, `scratch` is the folder that they are drilled in.
    """
    if kind == "memory":
        return _module("engines", "memory").MemoryEngine()  # type: ignore[no-any-return]
    if kind == "files":
        return _module("engines", "files").FilesEngine(granted=granted, scratch=scratch)  # type: ignore[no-any-return]
    if kind not in ENGINES:
        raise Refused(f"{kind} is no kind of dump", hint=f"one of {', '.join(ENGINES)}")
    folders = [Path(folder) for folder in (tools or {}).get(kind, ())]
    rest: dict[str, Any] = {} if inventory_budget is None else {"inventory_budget": inventory_budget}
    engine: Engine = getattr(_module("engines", kind), ENGINES[kind])(folders, **rest)
    return engine


def engine_options(kind: str, options: Mapping[str, object]) -> BaseModel:
    """An engine's options from their JSON. Refused when they are not."""
    try:
        model: BaseModel = _module("engines", kind).Options(**options)
    except ValidationError as error:
        raise Refused(f"these are no options of {kind}", cause=str(error)) from error
    return model


def engine_of_target(url: str) -> str:
    """The engine that a restore TARGET belongs to. Usage for one that is none."""
    scheme = url.partition(":")[0]
    if scheme not in TARGETS:
        hint = "postgresql://[user@]host[:port]/database, mariadb://, mysql://, dir:/path or region:NAME"
        raise Usage(f"{url!r} is no restore target", hint=hint)
    return TARGETS[scheme]


def in_target(name: str) -> str:
    """A database's name as it stands in a restore TARGET."""
    return quote(name, safe="")


def build_kinds(accounts: AwsAccounts) -> dict[str, SnapshotKind]:
    """Every kind of native snapshot. No SDK is imported before one of them is asked."""
    return {kind: getattr(_module("kinds", module), name)(accounts) for kind, (module, name) in SNAPSHOT_KINDS.items()}


def restore_model(kind: str) -> type[BaseModel] | None:
    """How a point of a kind is said to be brought back in a region; None for one that is not."""
    family, name = ("kinds", SNAPSHOT_KINDS[kind][0]) if kind in SNAPSHOT_KINDS else ("engines", kind)
    model: type[BaseModel] | None = getattr(_module(family, name), "RestoreOptions", None)
    return model


def restore_options(kind: str, said: Mapping[str, object]) -> BaseModel:
    """How a point of a kind is brought back, as `said`. Refused with every key that is wrong or missing."""
    model = restore_model(kind) if kind in SNAPSHOT_KINDS else None
    if model is None:
        raise Refused(f"points of kind {kind} are not brought back into a region", operation="restore")
    try:
        return model(**said)
    except ValidationError as error:
        wrong = "; ".join(_wrong(problem) for problem in explain(error, dict(said), (), model))
        known = ", ".join(field.alias or name for name, field in model.model_fields.items())
        hint = f"--with KEY=VALUE, or recovery: in the policy; {kind} knows {known}"
        raise Refused(f"how {kind} is brought back is not said whole", cause=wrong, hint=hint) from error


def _wrong(problem: Problem) -> str:
    where = ".".join(map(str, problem.loc))
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{where}: {problem.message}{hint}" if where else f"{problem.message}{hint}"


def drill_options(kind: str, mapped: Mapping[str, object], own: Mapping[str, object], point: str) -> BaseModel:
    """As `restore_options`, as a drill does it (`drorch.domain.policy_drills.drill_said`)."""
    model = restore_model(kind)
    return restore_options(kind, {} if model is None else drill_said(model, mapped, own, point))


def drill_isolation(kind: str, mapped: Mapping[str, object], rule: DrillRule | None) -> Isolation | None:
    """The network of the drill's own (`drorch.domain.policy_drills.isolation_of`)."""
    model = restore_model(kind)
    return None if model is None else isolation_of(model, mapped, rule, probes=kind in PROBED_KINDS)


def declared_of(kind: str, *, locking: bool = False) -> Declared:
    """What a kind of snapshot declares that it has to be allowed to do; with `locking` also to lock its copies."""
    module = _module("kinds", SNAPSHOT_KINDS[kind][0])
    behalf: tuple[str, ...] = _module("kinds", "").KEY_USE
    locks: tuple[str, ...] = getattr(module, "LOCKING", ()) if locking else ()
    asked = dict.fromkeys((*module.PERMISSIONS, *_module("kinds", "kms_keys").PERMISSIONS, *locks))
    return Declared(tuple(asked), behalf, getattr(module, "RESTORE_PERMISSIONS", ()))


def listed_besides(module: str) -> tuple[str, ...]:
    """What `EVERYTHING` or `AUTOMATED` declares that it has to be allowed to list."""
    permissions: tuple[str, ...] = _module("kinds", module).PERMISSIONS
    return permissions


def service_of(kind: str) -> str:
    """The AWS service of a kind of snapshot, such as ``ec2``."""
    module, name = SNAPSHOT_KINDS[kind]
    service: str = getattr(_module("kinds", module), name).service
    return service


def build_kms_keys(accounts: AwsAccounts) -> KmsKeys:
    """What describes KMS keys. No SDK is imported before it is asked."""
    keys: KmsKeys = _module("kinds", "kms_keys").AwsKmsKeys(accounts)
    return keys


def build_everything(accounts: AwsAccounts) -> Everything:
    """What lists all that could be protected. No SDK is imported before it is asked."""
    everything: Everything = _module("kinds", EVERYTHING).AwsEverything(accounts)
    return everything


def build_automated(accounts: AwsAccounts) -> AutomatedBackups:
    """What lists the backups that RDS keeps by itself. No SDK is imported before it is asked."""
    automated: AutomatedBackups = _module("kinds", AUTOMATED).AwsAutomatedBackups(accounts)
    return automated


def build_accounts(accounts: Mapping[str, AwsAccount]) -> AwsAccounts:
    """The accounts of a host configuration."""
    return AwsAccounts(accounts)


def vocabulary(
    *,
    vaults: Mapping[str, FailureDomain] | None = None,
    accounts: frozenset[str] | None = None,
    credentials: Mapping[str, frozenset[str]] | None = None,
    paths: Mapping[str, tuple[str, ...]] | None = None,
    defaults: Mapping[str, object] | None = None,
    locks: Mapping[str, LockRule] | None = None,
    grace: timedelta = timedelta(days=3),
    commands: bool | None = None,
    allow_unknown_regions: bool = False,
) -> Vocabulary:
    """The words that policies may use; None where there is no host configuration to check against."""
    native = {kind: (module, True) for kind, (module, _) in SNAPSHOT_KINDS.items()}
    dumps = {kind: (kind, False) for kind in ENGINES}
    kinds = {
        kind: KindWords(
            options=_module("kinds" if is_native else "engines", module).Options,
            native=is_native,
            probes=kind in PROBED_KINDS if is_native else kind != "files",
            locks=kind in LOCKED_KINDS,
            locks_later=LATER_LOCKS.get(kind, ""),
            shares=is_native and hasattr(getattr(_module("kinds", module), SNAPSHOT_KINDS[kind][1]), "share"),
            restore=restore_model(kind),
        )
        for kind, (module, is_native) in {**native, **dumps}.items()
    }
    return Vocabulary(
        kinds=kinds,
        regions=None if allow_unknown_regions else regions(),
        vaults=vaults,
        accounts=accounts,
        credentials=credentials,
        paths=paths,
        defaults=defaults or {},
        locks=locks,
        grace=grace,
        commands=commands,
    )


def vocabulary_of(config: Config) -> Vocabulary:
    """The words that policies on a configured host may use."""
    return vocabulary(
        vaults={name: vault.domain for name, vault in config.vaults.items()},
        accounts=frozenset(config.aws.accounts),
        credentials={name: frozenset(c.applications) for name, c in config.credentials.items()},
        paths=config.paths,
        defaults=dict(config.defaults),
        locks={name: lock for name, vault in config.vaults.items() if (lock := lock_of(vault.options)) is not None},
        grace=config.grace,
        commands=config.recovery.commands,
        allow_unknown_regions=config.allow_unknown_regions,
    )


def _module(family: str, name: str) -> Any:
    return importlib.import_module(f"drorch.{family}.{name}" if name else f"drorch.{family}")
