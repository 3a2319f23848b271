"""What snapshots are brought back with: this host's configuration and policies, or the command line alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drorch.app.locks import Locks
    from drorch.app.native_restore import NativeRestores
    from drorch.app.reading import TrustedKey
    from drorch.app.restore_journal import RestoreJournal
    from drorch.app.runbook_dumps import DumpSources
    from drorch.aws import AwsAccounts
    from drorch.domain.catalogue_native import ValidId
    from drorch.domain.dump_return import DumpReturn
    from drorch.domain.policy import Policy
    from drorch.domain.runbook import Recovery
    from drorch.ports import Clock
    from drorch.wiring.host import Host


@dataclass(frozen=True)
class Asked:
    """What was typed that concerns a region."""

    application: str
    resources: tuple[str, ...]
    region: str
    vault: str
    at: datetime | None
    point: str
    note: str
    name: str
    urls: tuple[str, ...]
    trust: tuple[str, ...]
    options: tuple[str, ...]
    terraform: str
    plan_only: bool
    asks: bool
    as_json: bool
    allow_commands: bool = False
    identities: tuple[str, ...] = ()
    passphrase_file: str = ""
    into_password_file: str = ""
    report: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sources:
    """What it is brought back with. `natives` are the policy's resources that have copies in the region, `mapped` what
    it says of how each comes back there, None without a policy.
    """

    restores: NativeRestores
    clock: Clock
    site: str = ""
    natives: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    mapped: Mapping[str, Mapping[str, object]] | None = None
    locks: Locks | None = None
    promised: timedelta | None = None
    """The RTO objective of the application at level region."""
    recovery: Recovery | None = None
    """The policy's runbook; without a policy the signed one counts."""
    account: str = ""
    """That of the home, whose hosted zones a runbook's records lie in."""
    commands: bool | None = None
    """Whether the host configuration lets a runbook run commands; None under break glass."""
    journal: RestoreJournal | None = None
    accounts_of: Callable[[Collection[str]], AwsAccounts] | None = None
    """The AWS accounts of these names."""
    dumps: Callable[[], DumpSources] | None = None
    """What the dumps of a runbook are brought back with; raises where an identity cannot be read."""


def configured(config: str | None, asked: Asked) -> Sources:
    """With this host's configuration, its policies as far as they can be read, and its accounts."""
    from drorch.app.loading import Reader
    from drorch.app.native_restore import NativeRestores, natives_of
    from drorch.cli.opening import locks_of, stores_of, the_host
    from drorch.cli.restore_reports import signed_journal
    from drorch.cli.typed import trusted_key
    from drorch.domain.errors import DrorchError
    from drorch.domain.runbook import Recovery

    host = the_host(config)
    trusted = [trusted_key(text) for text in asked.trust] or list(host.trusted)
    try:
        valid_id: ValidId = host.valid_id if host.site_key else _nobodys
    except DrorchError:
        valid_id = _nobodys  # without the signing key records alone vouch
    restores = NativeRestores(
        kinds_of=lambda _accounts: host.kinds,
        stores=stores_of(host),
        reader=Reader(keys=trusted, identities=(), clock=host.clock),
        valid_id=valid_id,
    )
    policy = _policy(host, asked.application)
    return Sources(
        restores=restores,
        clock=host.clock,
        site=host.config.site,
        natives=natives_of(policy, asked.region) if policy else {},
        mapped=_mapped(policy, asked.region) if policy else None,
        locks=locks_of(host),
        promised=_promised(policy) if policy else None,
        recovery=policy.recovery or Recovery() if policy else None,
        account=policy.home.account or "" if policy else "",
        commands=host.config.recovery.commands,
        journal=signed_journal(host, asked.report),
        accounts_of=lambda _names: host.accounts,
        dumps=lambda: _dumps_of(host, asked, trusted),
    )


def _dumps_of(host: Host, asked: Asked, trusted: Sequence[TrustedKey]) -> DumpSources:
    from drorch.app.loading import Reader
    from drorch.app.runbook_dumps import DumpSources
    from drorch.cli.opening import stores_of
    from drorch.cli.passphrase import from_person, secret_file
    from drorch.wiring import adapters
    from drorch.wiring.jobs import credentials

    host.ask = from_person(asked.passphrase_file)
    # A plan opens no dump, so it needs no identity, and none that is out of reach keeps it from being shown.
    identities = _identities(asked) if asked.identities or asked.plan_only else host.identities()
    tools = {name: list(folders) for name, folders in host.config.tools.items()}

    def password(options: DumpReturn) -> str | None:
        if options.credential:
            return credentials(host, options, asked.application)[options.credential]
        return secret_file(asked.into_password_file) if asked.into_password_file else None

    return DumpSources(
        stores=stores_of(host),
        reader=Reader(keys=trusted, identities=identities, clock=host.clock),
        engine=lambda into: adapters.build_engine(adapters.engine_of_target(into), tools),
        password=password,
        site=host.config.site,
    )


def _identities(asked: Asked) -> tuple[str, ...]:
    from drorch.cli.passphrase import identities_in

    return tuple(found for name in asked.identities for found in identities_in(name, asked.passphrase_file))


def _policy(host: Host, application: str) -> Policy | None:
    """The one in force; a crisis does not stop for policies that cannot be read."""
    from drorch.cli.screen import tell
    from drorch.domain.errors import DrorchError

    try:
        loaded = host.policies().get(application)
    except DrorchError as error:
        tell(f"the policies cannot be read, the signed runbook counts: {error}", color="yellow")
        return None
    return loaded.policy if loaded else None


def _promised(policy: Policy) -> timedelta | None:
    """The shortest that is promised for any of its resources when the region is lost."""
    from drorch.domain.model import FailureLevel

    said = [resource.objectives.get(FailureLevel.REGION) for resource in policy.resources]
    return min((objective.rto for objective in said if objective and objective.rto), default=None)


def _mapped(policy: Policy, region: str) -> dict[str, Mapping[str, object]]:
    """How each resource comes back there, by the policy in force."""
    from drorch.domain.policy_drills import options_in

    return {resource.name: options_in(policy.recovery, region, resource.name) for resource in policy.resources}


def break_glass(_config: str | None, asked: Asked) -> Sources:
    """Vault URLs and trusted keys from the command line, and whatever AWS credentials this process has."""
    from drorch.app.clock import SystemClock
    from drorch.app.loading import Reader
    from drorch.app.native_restore import NativeRestores
    from drorch.app.runbook_dumps import DumpSources
    from drorch.aws import AwsAccount, AwsAccounts
    from drorch.cli.opening import require_trust, store_at
    from drorch.cli.passphrase import secret_file
    from drorch.cli.restore_reports import unsigned_reports
    from drorch.cli.typed import trusted_key
    from drorch.wiring import adapters

    require_trust(asked.trust)
    trusted = [trusted_key(text) for text in asked.trust]
    stores = {url: store_at(url) for url in asked.urls}
    clock = SystemClock()

    def accounts_of(names: Collection[str]) -> AwsAccounts:
        return AwsAccounts({name: AwsAccount() for name in names})

    restores = NativeRestores(
        kinds_of=lambda names: adapters.build_kinds(accounts_of(names)),
        stores=stores,
        reader=Reader(keys=trusted, identities=(), clock=clock),
        valid_id=_nobodys,
    )

    def dumps() -> DumpSources:
        password = secret_file(asked.into_password_file) if asked.into_password_file else None
        reader = Reader(keys=trusted, identities=_identities(asked), clock=clock)
        return DumpSources(
            stores,
            reader,
            lambda into: adapters.build_engine(adapters.engine_of_target(into)),
            lambda _options: password,
        )

    journal = unsigned_reports(stores, clock, asked.report)
    return Sources(restores, clock, journal=journal, accounts_of=accounts_of, dumps=dumps)


def _nobodys(_point: str, _application: str, _resource: str, _slot: str) -> bool:
    return False
