"""Whose word opens the container.

The names of the variables are those of Azure's command line
(https://learn.microsoft.com/cli/azure/storage/container): each serves the account that it names and no other. Every
other account is opened by DefaultAzureCredential
(https://learn.microsoft.com/python/api/azure-identity/azure.identity.defaultazurecredential).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from drorch.domain.errors import Refused

if TYPE_CHECKING:
    from drorch.stores.azure import Options

CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"
ACCOUNT = "AZURE_STORAGE_ACCOUNT"
KEY = "AZURE_STORAGE_KEY"
TIMEOUT = (10, 60)
"""Seconds to connect, and between two bytes."""


def container_client(vault: str, options: Options, *, attempts: int, span: int) -> Any:
    """A client of the container, which asks `attempts` times and reads `span` bytes at once; talks to nobody yet.

    Refused when a variable holds what is none of its kind.
    """
    from azure.storage.blob import ContainerClient, ExponentialRetry

    settings: dict[str, Any] = {
        "retry_policy": ExponentialRetry(
            initial_backoff=1, increment_base=2, retry_total=attempts - 1, random_jitter_range=1
        ),
        "connection_timeout": TIMEOUT[0],
        "read_timeout": TIMEOUT[1],
        "max_single_get_size": span,
        "max_chunk_get_size": span,
    }
    if written := os.environ.get(CONNECTION):
        try:
            client: Any = ContainerClient.from_connection_string(written, options.container, **settings)
        except ValueError:  # says parts of it
            raise Refused(f"{CONNECTION} is no connection string", vault=vault, resource=options.account_name) from None
        if client.account_name == options.account_name:
            return client
    key = os.environ.get(KEY) if os.environ.get(ACCOUNT) == options.account_name else None
    url = f"https://{options.account_name}.blob.core.windows.net"
    return ContainerClient(url, options.container, credential=key or _ambient(), **settings)


def _ambient() -> Any:
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()
