"""The one place where Google's errors (and those of the libraries below it) become ours."""

from __future__ import annotations

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
    "see that this process has Google credentials (GOOGLE_APPLICATION_CREDENTIALS, or a service account)"
)
_HINT_EXPIRED = "renew the Google credentials of this process"
_HINT_DENIED = "grant the caller storage.objects.create, .get and .list on the bucket"

_MESSAGES: dict[type[DrorchError], str] = {
    Refused: "GCS refused",
    NotFound: "GCS has no such thing",
    AlreadyExists: "it exists already",
    Damaged: "the bytes changed on the way",
    Busy: "GCS is busy",
    Unavailable: "GCS did not answer as it should",
    OutcomeUnknown: "the reply was lost; it may have happened",
}


@contextmanager
def mapped(operation: str, *, resource: str, vault: str, mutates: bool = False) -> Iterator[None]:
    """Raise our errors for Google's within the block; `mutates` as in `drorch.aws.mapped`."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage.exceptions import DataCorruption, InvalidPathError, InvalidResponse
    from urllib3.exceptions import HTTPError, ProxySchemeUnsupported

    google = (GoogleAPIError, GoogleAuthError, DataCorruption, InvalidPathError, InvalidResponse)
    try:
        yield
    except (*google, HTTPError, ProxySchemeUnsupported, OSError) as error:  # requests' own errors are OSErrors
        kind, hint = _meaning(error, mutates)
        cause = " ".join(str(error).split())[:300]
        raise kind(
            _MESSAGES[kind], operation=operation, resource=resource, vault=vault, cause=cause, hint=hint
        ) from error


def _meaning(error: Any, mutates: bool) -> tuple[type[DrorchError], str]:
    """(kind, hint) for an error of google-api-core, google-auth, google-cloud-storage, requests or urllib3."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.cloud.storage.exceptions import DataCorruption, InvalidPathError, InvalidResponse
    from urllib3.exceptions import ProxySchemeUnsupported

    lost = OutcomeUnknown if mutates else Unavailable
    if isinstance(error, api.RetryError):
        return _meaning(error.cause, mutates) if error.cause else (lost, "")
    if isinstance(error, auth.GoogleAuthError):
        return _credentials(error)
    if isinstance(error, (DataCorruption, api.DataLoss)):
        return Damaged, ""
    if isinstance(error, api.GoogleAPICallError) and error.code is not None:
        return _status(int(error.code), str(error), mutates)
    if isinstance(error, InvalidResponse):
        return _status(int(getattr(error.response, "status_code", 0) or 500), str(error), mutates)
    if isinstance(error, (InvalidPathError, api.DuplicateCredentialArgs, ProxySchemeUnsupported)):
        return Refused, ""
    return (Unavailable if _never_sent(error) else lost), ""


def answered(reply: Any) -> Exception:
    """The error that google-api-core makes of a reply."""
    from google.api_core import exceptions

    api: Any = exceptions
    error: Exception = api.from_http_response(reply)
    return error


def _credentials(error: Any) -> tuple[type[DrorchError], str]:
    from google.auth import exceptions as auth

    if isinstance(error, auth.DefaultCredentialsError):
        return Refused, _HINT_CREDENTIALS
    if isinstance(error, (auth.TransportError, auth.TimeoutError, auth.ResponseError)):
        return Unavailable, ""
    return Unavailable, _HINT_EXPIRED


def _status(code: int, text: str, mutates: bool) -> tuple[type[DrorchError], str]:
    """https://cloud.google.com/storage/docs/json_api/v1/status-codes"""
    if code == 403 and ("rateLimitExceeded" in text or "userRateLimitExceeded" in text):
        return Busy, ""
    if code == 400 and "match calculated" in text:  # the CRC-32C that came with the bytes
        return Damaged, ""
    known: dict[int, tuple[type[DrorchError], str]] = {
        401: (Unavailable, _HINT_EXPIRED),
        403: (Refused, _HINT_DENIED),
        404: (NotFound, ""),
        409: (Unavailable, "another request works on the same thing; it is asked again later"),
        410: (NotFound, ""),
        412: (AlreadyExists, ""),
        429: (Busy, ""),
        501: (Refused, "the store does not know the request"),
    }
    if code in known:
        return known[code]
    if code == 408 or code >= 500 or code < 400:
        return (OutcomeUnknown if mutates else Unavailable), ""
    return Refused, ""


def _never_sent(error: Any) -> bool:
    """Whether the connection was not even made: requests wraps urllib3's reason twice."""
    from requests.exceptions import ConnectTimeout, ProxyError
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    reasons = [error, *getattr(error, "args", ())]
    reasons += [getattr(reason, "reason", None) for reason in reasons]
    return any(
        isinstance(reason, (ConnectTimeout, ProxyError, ConnectTimeoutError, NewConnectionError)) for reason in reasons
    )
