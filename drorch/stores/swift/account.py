"""Whose account it is: the environment of OpenStack's own clients, a token, and another one when it has ended.

The variables are those of python-swiftclient (https://docs.openstack.org/python-swiftclient/latest/cli/): ``ST_AUTH``,
``ST_USER``, ``ST_KEY`` for TempAuth and other services of version 1; ``OS_*`` for Keystone, by password or application
credential; or a finished token, ``OS_AUTH_TOKEN`` with ``OS_STORAGE_URL``, which cannot be renewed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drorch.domain.errors import Refused
from drorch.stores.swift.errors import HINT_CREDENTIALS, signing_in

SECONDS = 30
"""For one answer of the service that gives tokens."""
_PASSWORD = ("user_id", "username", "password", "user_domain_id", "user_domain_name")
_PROJECT = ("project_id", "project_name", "project_domain_id", "project_domain_name")
_APPLICATION = ("application_credential_id", "application_credential_secret", "application_credential_name")
"""What keystoneauth takes, by the names of the variables without ``OS_``."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where the account's containers are, and the token that opens them."""

    url: str
    token: str

    def __repr__(self) -> str:
        return f"Account({self.url})"


class SignIn:
    """The account of this process in one region. Safe for threads: one of them asks for the token."""

    def __init__(self, region: str, vault: str, environ: Mapping[str, str] | None = None) -> None:
        """`region` is the catalogue's name, "" for the only one. Refused when the environment names no account."""
        self._vault = vault
        self._region = region
        self._environ = {**(os.environ if environ is None else environ)}
        if not any(_named(self._environ)):
            raise Refused(
                "there are no Swift credentials", operation="swift sign-in", vault=vault, hint=HINT_CREDENTIALS
            )
        self._lock = threading.Lock()
        self._account: Account | None = None

    def account(self) -> Account:
        """The account, asked for once. Refused, Unavailable."""
        with self._lock:
            if self._account is None:
                self._account = self._sign_in()
            return self._account

    def renewed(self, refused: Account) -> Account:
        """Another token than the one that was refused, unless a thread has got it already."""
        with self._lock:
            if self._account is None or self._account.token == refused.token:
                self._account = self._sign_in()
            return self._account

    def _sign_in(self) -> Account:
        from swiftclient.client import get_auth

        ask: Any = get_auth
        environ = self._environ
        fixed, first, _ = _named(environ)
        storage = environ.get("OS_STORAGE_URL", "")
        with signing_in(self._vault):
            if fixed:
                url, token = storage, environ["OS_AUTH_TOKEN"]
            elif first:
                user, key = environ.get("ST_USER", ""), environ.get("ST_KEY", "")
                url, token = ask(environ["ST_AUTH"], user, key, cacert=ca_file(environ) or None, timeout=SECONDS)
            else:
                options = {
                    "service_type": environ.get("OS_SERVICE_TYPE", "object-store"),
                    "endpoint_type": environ.get("OS_ENDPOINT_TYPE") or environ.get("OS_INTERFACE") or "public",
                    "region_name": self._region or None,
                }
                url, token = ask(None, None, None, session=_keystone(environ), os_options=options)
        if not (storage or url) or not token:
            raise Refused(
                "the account has no Swift there",
                operation="swift sign-in",
                vault=self._vault,
                cause=f"region {self._region}" if self._region else "",
                hint="`region` of the vault must be one of the catalogue",
            )
        return Account(str(storage or url).rstrip("/"), str(token))


def ca_file(environ: Mapping[str, str] | None = None) -> str:
    """The authority that ``OS_CACERT`` names, "" for those of the system."""
    return (os.environ if environ is None else environ).get("OS_CACERT", "")


def _named(environ: Mapping[str, str]) -> tuple[bool, bool, bool]:
    """Whether there is a finished token, a service of version 1, a Keystone. The first counts."""
    fixed = bool(environ.get("OS_STORAGE_URL") and environ.get("OS_AUTH_TOKEN"))
    return fixed, bool(environ.get("ST_AUTH")), bool(environ.get("OS_AUTH_URL"))


def _keystone(environ: Mapping[str, str]) -> Any:
    """A session of keystoneauth that has not asked yet: by application credential, or by password."""
    from keystoneauth1 import identity, session

    kinds: Any = identity

    def given(*names: str) -> dict[str, str]:
        return {name: environ[f"OS_{name.upper()}"] for name in names if environ.get(f"OS_{name.upper()}")}

    url = environ["OS_AUTH_URL"].rstrip("/")
    second = environ.get("OS_IDENTITY_API_VERSION", "").startswith("2") or url.endswith("/v2.0")
    if not url.endswith(("/v2.0", "/v3")):
        url += "/v2.0" if second else "/v3"
    tenant = {name.replace("tenant", "project"): value for name, value in given("tenant_id", "tenant_name").items()}
    project = {**tenant, **given(*_PROJECT)}
    plugin: Any
    if application := given(*_APPLICATION):
        plugin = kinds.V3ApplicationCredential(url, **application, **given(*_PASSWORD[:1], *_PASSWORD[3:]))
    elif second:
        tenant = {name.replace("project", "tenant"): value for name, value in project.items() if "domain" not in name}
        plugin = kinds.V2Password(url, **given("user_id", "username", "password"), **tenant)
    else:
        plugin = kinds.V3Password(url, **given(*_PASSWORD), **project)
    return session.Session(auth=plugin, verify=ca_file(environ) or True, timeout=SECONDS)
