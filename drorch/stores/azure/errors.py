"""The one place where Azure's errors (and those of the libraries below it) become ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from drorch.domain.errors import (
    AlreadyExists,
    Busy,
    Damaged,
    DrorchError,
    NotFound,
    OutcomeUnknown,
    Refused,
    Unavailable,
)

_HINT_CREDENTIALS = (
    "see that this process has Azure credentials: those of DefaultAzureCredential, AZURE_STORAGE_CONNECTION_STRING, or"
    " AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY"
)
_HINT_EXPIRED = "renew the Azure credentials of this process"
_HINT_DENIED = "give the caller the role Storage Blob Data Contributor on the container (docs/permissions.md)"
_HINT_CONTAINER = "create the container, or correct its name in the configuration"
_SIGNATURE = re.compile(r"(\bsig=)[^&\s'\")]+")
"""Of a shared access signature, where an error names the whole URL."""

_MESSAGES: dict[type[DrorchError], str] = {
    Refused: "Azure refused",
    NotFound: "Azure has no such thing",
    AlreadyExists: "it exists already",
    Damaged: "the bytes changed on the way",
    Busy: "Azure is busy",
    Unavailable: "Azure did not answer as it should",
    OutcomeUnknown: "the reply was lost; it may have happened",
}
_CODES: dict[str, tuple[type[DrorchError], str]] = {
    "AuthenticationFailed": (Refused, _HINT_CREDENTIALS),
    "BlobAlreadyExists": (AlreadyExists, ""),
    "BlobImmutableDueToPolicy": (Refused, ""),
    "BlobNotFound": (NotFound, ""),
    "ConditionNotMet": (AlreadyExists, ""),
    "ContainerNotFound": (Refused, _HINT_CONTAINER),
    "InvalidBlobOrBlock": (NotFound, ""),
    "InvalidBlockList": (NotFound, ""),
    "Md5Mismatch": (Damaged, ""),
    "ServerBusy": (Busy, ""),
    "SnapshotsPresent": (Refused, "it has snapshots, which drorch did not make"),
    "TargetConditionNotMet": (AlreadyExists, ""),
}
"""https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes"""
_STATUS: dict[int, tuple[type[DrorchError], str]] = {
    401: (Unavailable, _HINT_EXPIRED),
    403: (Refused, _HINT_DENIED),
    404: (NotFound, ""),
    409: (Unavailable, "another request works on the same thing; it is asked again later"),
    429: (Busy, ""),
    501: (Refused, "the store does not know the request"),
    505: (Refused, "the store does not know this version of the protocol"),
}


@contextmanager
def mapped(operation: str, *, resource: str, vault: str, mutates: bool = False) -> Iterator[None]:
    """Raise our errors for Azure's within the block; `mutates` as in `drorch.aws.mapped`."""
    from azure.core.exceptions import AzureError

    try:
        yield
    except (AzureError, OSError, ValueError) as error:  # the SDK tells a reply that it cannot read by a ValueError
        kind, hint = _meaning(error, mutates)
        cause = _SIGNATURE.sub(r"\1...", " ".join(str(error).split()))[:300]
        raise kind(
            _MESSAGES[kind], operation=operation, resource=resource, vault=vault, cause=cause, hint=hint
        ) from error


def code_of(error: Any) -> str:
    """What Azure calls the error; "" where it did not answer."""
    code = getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))


def status_of(error: Any) -> int:
    """The HTTP status of the answer; 0 where there was none."""
    return int(getattr(error, "status_code", None) or 0)


def _meaning(error: Any, mutates: bool) -> tuple[type[DrorchError], str]:
    """(kind, hint) for an error of azure-core, azure-identity or azure-storage-blob."""
    from azure.core import exceptions as core

    lost = OutcomeUnknown if mutates else Unavailable
    status = status_of(error)
    if code_of(error) in _CODES:
        return _CODES[code_of(error)]
    if isinstance(error, core.ClientAuthenticationError) and status != 403:
        return (Unavailable, _HINT_EXPIRED) if status else (Refused, _HINT_CREDENTIALS)
    if isinstance(error, core.ServiceRequestError):  # it never left
        return Unavailable, ""
    if status in _STATUS:
        return _STATUS[status]
    if 400 <= status < 500 and status != 408:
        return Refused, ""
    return lost, ""
