"""Whose account it is: the environment of OpenStack's own clients, a token, and another one when it has ended.

The variables are those of python-swiftclient (https://docs.openstack.org/python-swiftclient/latest/cli/): ``ST_AUTH``,
``ST_USER``, ``ST_KEY`` for TempAuth and other version 1 services; ``OS_*`` for Keystone, application credentials
included; or a finished token, ``OS_AUTH_TOKEN`` with ``OS_STORAGE_URL``, which cannot be renewed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drorch.domain.errors import Refused, Unavailable
from drorch.stores.swift.errors import HINT_CREDENTIALS, signing_in

SECONDS = 30
"""For one answer of the service that gives tokens."""
_KEYSTONE = (
    *("user_id", "user_domain_id", "user_domain_name", "tenant_id", "tenant_name", "project_id", "project_name"),
    *("project_domain_id", "project_domain_name", "service_type", "endpoint_type", "auth_type"),
    *("application_credential_id", "application_credential_secret"),
)
"""What python-swiftclient takes of ``OS_*``, by its own names."""


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
        self._asked = _request(region, os.environ if environ is None else environ)
        if not self._asked:
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
        asked = {**self._asked}
        if "token" in asked:
            return Account(asked["url"], asked["token"])
        with signing_in(self._vault):
            url, token = ask(asked.pop("auth_url"), asked.pop("user"), asked.pop("key"), **asked)
        if not url or not token:
            raise Unavailable("the reply names no account", operation="swift sign-in", vault=self._vault)
        return Account(str(url).rstrip("/"), str(token))


def ca_file(environ: Mapping[str, str] | None = None) -> str:
    """The authority that ``OS_CACERT`` names, "" for those of the system."""
    return (os.environ if environ is None else environ).get("OS_CACERT", "")


def _request(region: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of `swiftclient.client.get_auth`, {} where the environment has no credentials."""
    storage = environ.get("OS_STORAGE_URL", "")
    if storage and environ.get("OS_AUTH_TOKEN"):
        return {"url": storage.rstrip("/"), "token": environ["OS_AUTH_TOKEN"]}
    common = {"cacert": ca_file(environ) or None, "timeout": SECONDS}
    if environ.get("ST_AUTH"):
        return {
            "auth_url": environ["ST_AUTH"],
            "user": environ.get("ST_USER", ""),
            "key": environ.get("ST_KEY", ""),
            "auth_version": "1",
            "os_options": {"object_storage_url": storage} if storage else {},
            **common,
        }
    if not environ.get("OS_AUTH_URL"):
        return {}
    options = {name: environ[f"OS_{name.upper()}"] for name in _KEYSTONE if environ.get(f"OS_{name.upper()}")}
    if "application_credential_id" in options:
        options.setdefault("auth_type", "v3applicationcredential")
    if region:
        options["region_name"] = region
    if storage:
        options["object_storage_url"] = storage
    return {
        "auth_url": environ["OS_AUTH_URL"],
        "user": environ.get("OS_USERNAME", ""),
        "key": environ.get("OS_PASSWORD", ""),
        "auth_version": environ.get("OS_IDENTITY_API_VERSION", "3"),
        "os_options": options,
        **common,
    }
