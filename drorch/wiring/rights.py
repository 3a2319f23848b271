"""What a configuration and its policies do in each AWS account: of that `drorch iam` makes the rights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drorch.app.config import Config
from drorch.aws import asking
from drorch.domain.iam_roles import AccountUse, BucketUse, NativeUse
from drorch.domain.iam_runbook import RunbookUse
from drorch.domain.model import place_of
from drorch.domain.policy import AWS, Policy, ResourcePolicy, VaultRule
from drorch.domain.runbook import Launch, Recovery, SwitchRecord
from drorch.domain.runbook_order import resource_of
from drorch.domain.scenario import scenario_places
from drorch.steps import launch, record
from drorch.stores.s3 import permissions as s3
from drorch.wiring import adapters
from drorch.wiring.adapters import AUTOMATED, EVERYTHING


@dataclass(slots=True)
class _Gathered:
    """What one kind does in one account, while it is gathered."""

    homes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    copies: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    from_homes: set[tuple[str, str]] = field(default_factory=set)
    locks: bool = False
    shared_with: set[str] = field(default_factory=set)
    drilled: bool = False

    def use(self, kind: str) -> NativeUse:
        """The value."""
        return NativeUse(
            service=adapters.service_of(kind),
            declared=adapters.declared_of(kind, locking=self.locks),
            homes={region: frozenset(names) for region, names in self.homes.items()},
            copies={region: frozenset(keys) for region, keys in self.copies.items()},
            from_homes=frozenset(self.from_homes),
            shared_with=frozenset(self.shared_with),
            drilled=self.drilled,
        )


def account_uses(config: Config, policies: Sequence[Policy]) -> tuple[AccountUse, ...]:
    """What the site does in each of `aws.accounts`, by their names."""
    native = _native(config, policies)
    assumed = tuple(sorted(account.role_arn for account in config.aws.accounts.values() if account.role_arn))
    ambient = frozenset(account.id for account in config.aws.accounts.values() if not account.role_arn)
    return tuple(
        AccountUse(
            account=name,
            id=account.id,
            site=config.site,
            native=tuple(found.use(kind) for kind, found in sorted(native.get(name, {}).items())),
            buckets=tuple(_buckets(config, name)),
            assumed=() if account.role_arn else assumed,
            asking=_asking(native.get(name, {})),
            role_arn=account.role_arn,
            external_id=account.external_id,
            trusts=ambient if account.role_arn else frozenset(),
            runbooks=_runbooks(policies, name),
        )
        for name, account in sorted(config.aws.accounts.items())
    )


def copy_places(resource: ResourcePolicy) -> Iterator[tuple[VaultRule, str, str]]:
    """(rule, account, region) of each vault of native snapshots that a resource's points go to, its home's first."""
    for rule in resource.targets:
        yield rule, *place_of(rule.vault)


def native_resources(policies: Sequence[Policy]) -> list[tuple[Policy, ResourcePolicy]]:
    """The resources whose points are the provider's snapshots, each with its policy."""
    return [(policy, resource) for policy in policies for resource in policy.resources if resource.native]


def native_places(policies: Sequence[Policy]) -> list[tuple[str, str]]:
    """(account, region) of every place that native snapshots lie in, sorted."""
    places = (place for _, resource in native_resources(policies) for place in copy_places(resource))
    return sorted({(account, region) for _, account, region in places})


def _asking(native: Mapping[str, object]) -> tuple[str, ...]:
    """What `doctor` and `status` list besides, as far as these kinds give reason for it, and `unprotected` of all."""
    services = {adapters.service_of(kind) for kind in native} | ({"servicequotas"} if native else set())
    besides = (*asking.PERMISSIONS, *adapters.listed_besides(AUTOMATED))
    found = [action for action in besides if action.partition(":")[0] in services]
    return tuple(dict.fromkeys([*found, *(adapters.listed_besides(EVERYTHING) if native else ())]))


def _native(config: Config, policies: Sequence[Policy]) -> Mapping[str, Mapping[str, _Gathered]]:
    found: dict[str, dict[str, _Gathered]] = defaultdict(lambda: defaultdict(_Gathered))
    for _, resource in native_resources(policies):
        home = resource.home
        found[home.account][resource.kind].homes[home.region].add(str(getattr(resource.options, "identifier", "*")))
        for vault in resource.drill.from_ if resource.drill else ():
            found[place_of(vault)[0]][resource.kind].drilled = True
        for rule, account, region in copy_places(resource):
            if rule.home:
                continue
            there = found[account][resource.kind]
            there.copies[region].update({rule.kms_key} if rule.kms_key else ())
            there.locks = there.locks or rule.lock is not None
            if account != home.account and {account, home.account} <= config.aws.accounts.keys():
                there.from_homes.add((config.aws.accounts[home.account].id, home.region))
                found[home.account][resource.kind].shared_with.add(config.aws.accounts[account].id)
    for kind, account, _ in (place for policy in policies for place in scenario_places(policy)):
        found[account][kind].drilled = True
    return found


def _runbooks(policies: Sequence[Policy], account: str) -> RunbookUse:
    """What the runbooks launch where images are copied to, and the zones of their applications' home accounts."""
    groups: dict[str, set[str]] = defaultdict(set)
    zones: set[str] = set()
    for policy in policies:
        recovery = policy.recovery or Recovery()
        deeds = {region: [step.deed for step in recovery.in_region(region).steps] for region in recovery.regions}
        if policy.home.account == account:
            zones |= {deed.zone for there in deeds.values() for deed in there if isinstance(deed, SwitchRecord)}
        images = {step.name: resource_of(step) for step in recovery.steps}
        for resource in policy.resources:
            for _, where, region in copy_places(resource):
                if where == account:
                    launches = (deed for deed in deeds.get(region, ()) if isinstance(deed, Launch))
                    groups[region] |= {deed.group for deed in launches if images[deed.image] == resource.name}
    groups = {region: names for region, names in groups.items() if names}
    return RunbookUse(
        groups={region: frozenset(names) for region, names in groups.items()},
        zones=frozenset(zones),
        launching=launch.PERMISSIONS if groups else (),
        behalf=launch.BEHALF if groups else (),
        switching=record.PERMISSIONS if zones else (),
    )


def _buckets(config: Config, account: str) -> Iterator[BucketUse]:
    for _, vault in sorted(config.vaults.items()):
        options: Any = vault.options
        if vault.type != "s3" or vault.domain.provider != AWS or options.endpoint or options.account != account:
            continue
        locks = (*s3.LOOKING_AT_LOCKS, *s3.LOCKING) if options.lock is not None else ()
        yield BucketUse(
            bucket=options.bucket,
            region=options.region,
            prefix=options.prefix,
            reading=(*s3.READING, *s3.HISTORY, *(s3.LOOKING_AT_LOCKS if locks else ())),
            writing=(*s3.WRITING, *(s3.LOCKING if locks else ())),
            letting_go=s3.LETTING_GO,
        )
