"""A host's crisis kit: what of its configuration, policies, vaults and keys goes into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from drorch import __version__
from drorch.app.kit import KitSources
from drorch.app.kit_page import KitDump, KitFacts, KitVault
from drorch.app.policies import PolicySet
from drorch.app.secret import SecretRef
from drorch.domain.errors import DrorchError
from drorch.domain.model import FailureDomain
from drorch.domain.policy import ResourcePolicy
from drorch.wiring import adapters
from drorch.wiring.host import Host


def kit_facts(host: Host) -> KitFacts:
    """What the page says. Refused without a signing key; policies that are invalid count by their last valid text."""
    loaded = host.policies()
    resources = [(p.policy.application, r) for p in loaded.valid for r in p.policy.resources]
    return KitFacts(
        site=host.config.site,
        made=host.now().replace(microsecond=0),
        version=__version__,
        signing=host.signing_key().public,
        trusted=host.trusted,
        recipients=host.config.encryption.recipients,
        vaults=[
            KitVault(name, adapters.url_of(vault.options), _place(vault.domain))
            for name, vault in host.config.vaults.items()
        ],
        dumps=[_dump(host, application, r) for application, r in resources if not r.native],
        snapshots=[f"{application} {r.name}" for application, r in resources if r.native],
    )


def kit_sources(host: Host) -> KitSources:
    """What it is made of."""
    types = {vault.type for vault in host.config.vaults.values()}
    return KitSources(
        configuration=_configuration(host, host.policies()),
        store_of=host.store,
        key=host.signing_key(),
        extras=sorted(adapters.EXTRAS[name] for name in types & adapters.EXTRAS.keys()),
        environ=host.environ,
        secrets=list(_secrets(host)),
    )


def _place(domain: FailureDomain) -> str:
    account = f", account {domain.account}" if domain.account else ""
    return f"{domain.provider} {domain.region}{account}"


def _dump(host: Host, application: str, resource: ResourcePolicy) -> KitDump:
    """Its vaults by what they share with its home: another provider first, then another region."""
    options: Any = resource.options
    connection = getattr(options, "connection", None)
    name = str(getattr(connection, "database", "") or resource.name)

    def shared(vault: str) -> tuple[bool, bool]:
        domain = host.config.vaults[vault].domain
        return domain.provider == resource.home.provider, domain.region == resource.home.region

    vaults = sorted((rule.vault for rule in resource.targets), key=shared)
    into = adapters.TARGET_SHAPES[resource.kind].format(adapters.in_target(name))
    return KitDump(application, resource.name, resource.kind, into, tuple(vaults))


def _configuration(host: Host, policies: PolicySet) -> dict[str, bytes]:
    """The configuration file and the policies, which name secrets by their places alone."""
    files = {"config/drorch.yaml": host.config.file.read_bytes()}
    return files | {f"config/policies/{policy.file}": policy.text.encode() for policy in policies.valid}


def _secrets(host: Host) -> Iterator[str]:
    """Every secret that this process can reach: to be looked for, and found nowhere. Others cannot be compared."""
    config = host.config
    scratch = [place.connection.password for place in config.drills.scratch.values() if place.connection]
    references: list[SecretRef | None] = [config.signing.key, *scratch]
    references += [credential.secret for credential in config.credentials.values()]
    references += [secret for entry in config.encryption.identities for secret in (entry.secret, entry.passphrase)]
    for reference in references:
        if reference is not None:
            with suppress(DrorchError):
                yield from _lines(host.secret(reference))


def _lines(secret: str) -> Iterator[str]:
    """A key file is known by any of its lines that is no comment."""
    for line in secret.splitlines():
        if line.strip() and not line.startswith(("#", "untrusted comment:")):
            yield line.strip()
