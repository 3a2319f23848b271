"""A host that does not touch what is lost: no client of it is made, no store of it opened, as if it were gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from drorch.aws import AMBIENT, AwsAccount, AwsAccounts
from drorch.domain.errors import Unavailable
from drorch.domain.loss import Loss, reached_no_more
from drorch.domain.model import FailureDomain, FailureLevel, native_vault_name
from drorch.domain.policy import AWS
from drorch.ports import ObjectStore
from drorch.wiring.host import Host

Closed = Callable[[FailureDomain], str]
"""Why nothing there is asked; "" where it is."""


class Fence:
    """What may not be asked while `losses` are lost; `homes` are those of the resources that are looked at.

    An account that is reached by a role is lost with the account whose credentials take the role on.
    """

    def __init__(
        self,
        losses: Sequence[Loss],
        homes: Sequence[FailureDomain],
        accounts: Mapping[str, AwsAccount],
        *,
        offline: bool,
    ) -> None:
        self._losses, self._homes, self._offline = tuple(losses), tuple(homes), offline
        self._roles = {name for name, account in accounts.items() if account.role_arn}
        own = [name for name, account in accounts.items() if not account.role_arn]
        self._own_lost = next((name for name in own if self._account_lost(name)), "")

    def why(self, place: FailureDomain) -> str:
        """Why nothing there is asked; "" where it is."""
        lost = reached_no_more(self._losses, self._homes, place)
        if lost is not None:
            return f"{lost} is lost"
        if self._own_lost and place.provider == AWS and place.account in self._roles:
            return f"its role is taken on with the credentials of account {self._own_lost}, which is lost"
        return "--offline" if self._offline else ""

    def _account_lost(self, name: str) -> bool:
        return any(
            loss.level is FailureLevel.ACCOUNT and (loss.name or home.account) == name
            for loss in self._losses
            for home in self._homes
        )


class FencedAccounts(AwsAccounts):
    """Accounts without clients of what is closed; S3-compatible services elsewhere are their vaults' matter."""

    def __init__(self, accounts: Mapping[str, AwsAccount], closed: Closed) -> None:
        super().__init__(accounts)
        self._closed = closed

    def client(self, service: str, account: str, region: str, *, repeatable: bool = True, endpoint: str = "") -> Any:
        """As of `AwsAccounts`. Unavailable where nothing is asked."""
        why = "" if account == AMBIENT else self._closed(FailureDomain(AWS, region, account))
        if why:
            raise Unavailable("it is not asked", operation=service, vault=native_vault_name(account, region), cause=why)
        return super().client(service, account, region, repeatable=repeatable, endpoint=endpoint)


class FencedHost(Host):
    """A host whose stores and accounts stand behind a fence."""

    fence: Fence

    @cached_property
    def accounts(self) -> AwsAccounts:
        """AWS accounts by their names, what is closed left out."""
        return FencedAccounts(accounts_of(self), self.fence.why)

    def store(self, name: str) -> ObjectStore:
        """As of `Host`. Unavailable where nothing is asked."""
        vault = self.vaults.get(name)
        why = self.fence.why(vault.domain) if vault is not None else ""
        if why:
            raise Unavailable("it is not asked", operation="open", vault=name, cause=why)
        return super().store(name)


def accounts_of(host: Host) -> dict[str, AwsAccount]:
    """The accounts of its configuration."""
    return {
        name: AwsAccount(id=one.id, role_arn=one.role_arn, external_id=one.external_id)
        for name, one in host.config.aws.accounts.items()
    }


def fenced(host: Host, fence: Fence) -> FencedHost:
    """The same host behind a fence."""
    made = FencedHost(host.config, host.clock, host.environ, host.ask, host.asks_servers)
    made.fence = fence
    return made
