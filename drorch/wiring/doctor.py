"""The checks of `drorch doctor`, made of a configuration and its policies. Nothing is asked before they are run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from drorch.app import doctor_host
from drorch.app.doctor import Answer, Check, Verdict
from drorch.app.vaults import VaultMarks
from drorch.aws import AwsAccount, AwsAccounts
from drorch.domain.model import native_vault_name
from drorch.domain.policy import Policy
from drorch.wiring import doctor_aws, doctor_clients
from drorch.wiring.host import Host
from drorch.wiring.jobs import named_paths
from drorch.wiring.rights import native_places

_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 5.0, 10.0, 2
"""Of AWS: an answer that takes longer than a check may is none."""


def checks(host: Host, policies: Sequence[Policy]) -> list[Check]:
    """Every check that these policies, and the host itself, give reason for, in the order of the screen."""
    return [
        *_secrets(host),
        *_accounts(host, policies),
        *_clocks(host, policies),
        *doctor_aws.rights(host, policies),
        *doctor_aws.keys(host, policies),
        *_vaults(host),
        *doctor_clients.checks(host, policies),
        *_files(policies),
        *doctor_aws.quotas(host, policies),
    ]


def make_impatient(host: Host) -> None:
    """Give the host clients of AWS that give up sooner than those of a pass. Before anything else is asked of it.

    They do not ask whose credentials they have before each first call, one after the other: there is a check for that,
    and where a region is silent all others of the account would wait for it.
    """
    known = {
        name: AwsAccount(role_arn=one.role_arn, external_id=one.external_id)
        for name, one in host.config.aws.accounts.items()
    }
    host.accounts = AwsAccounts(known, attempts=_ATTEMPTS, connect_seconds=_CONNECT_SECONDS, read_seconds=_READ_SECONDS)


def _secrets(host: Host) -> Iterator[Check]:
    config = host.config
    named = {f"credentials: {name}": entry.secret for name, entry in sorted(config.credentials.items())}
    if config.signing.key is not None:
        named["signing: key"] = config.signing.key
    for number, identity in enumerate(config.encryption.identities, 1):
        named[f"identity {number}"] = identity.secret
        if identity.passphrase is not None:
            named[f"identity {number}, passphrase"] = identity.passphrase
    for engine, place in sorted(config.drills.scratch.items()):
        if place.connection is not None and place.connection.password is not None:
            named[f"drills: {engine}, password"] = place.connection.password
    for subject, reference in named.items():
        yield Check("secret", subject, partial(doctor_host.secret, reference, host.environ))


def _accounts(host: Host, policies: Sequence[Policy]) -> Iterator[Check]:
    regions: dict[str, dict[str, None]] = defaultdict(dict)
    for account, region in [*native_places(policies), *_buckets(host)]:
        regions[account][region] = None
    for account, found in sorted(regions.items()):
        yield Check("account", account, partial(doctor_aws.identity, host, account, tuple(found)))


def _buckets(host: Host) -> Iterator[tuple[str, str]]:
    """(account, region) of the vaults that are buckets at AWS."""
    for _, vault in sorted(host.config.vaults.items()):
        options: Any = vault.options
        if vault.type == "s3" and not options.endpoint:
            yield options.account, options.region


def _clocks(host: Host, policies: Sequence[Policy]) -> Iterator[Check]:
    for account, region in native_places(policies):
        subject = native_vault_name(account, region)
        yield Check("clock", subject, partial(_clock_of_region, host, account, region))
    for name in sorted(host.config.vaults):
        yield Check("clock", name, partial(_clock_of_vault, host, name))


def _clock_of_region(host: Host, account: str, region: str) -> Answer:
    def theirs() -> datetime:
        return host.accounts.now(account, region)

    return doctor_host.clock(host.now, theirs)


def _clock_of_vault(host: Host, name: str) -> Answer:
    return doctor_host.clock(host.now, host.store(name).now)


def _vaults(host: Host) -> Iterator[Check]:
    for name, vault in sorted(host.config.vaults.items()):
        yield Check("vault", name, partial(_vault, host, name))
        if vault.type == "directory":
            options: Any = vault.options
            yield Check("vault", f"{name} in the service", partial(_folder, str(options.path)))


def _folder(path: str) -> Answer:
    return doctor_host.writable(path, doctor_host.unit_settings())


def _vault(host: Host, name: str) -> Answer:
    signing = host.config.signing
    if signing.key is not None and not signing.trusted and doctor_host.out_of_reach(signing.key, host.environ):
        hint = "list the public key under `signing: trusted:`, or ask as the service does"
        return Answer(Verdict.UNKNOWN, "the key that signed its mark is known to the service alone", hint)
    marks = VaultMarks(host.config.site, host.trusted, host.signing_key, host.config.encryption.recipients)
    return doctor_host.vault(host.store(name), marks.holds)


def _files(policies: Sequence[Policy]) -> Iterator[Check]:
    dumps = [(policy, resource) for policy in policies for resource in policy.resources if resource.kind == "files"]
    hidden = doctor_host.unit_settings() if dumps else {}
    for policy, resource in dumps:
        for path in named_paths(resource.options):
            subject = f"{policy.application}/{resource.name} {path}"
            yield Check("files", subject, partial(doctor_host.readable, path, hidden))
