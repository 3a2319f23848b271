"""The one place where Swift's answers (and the errors of the libraries below) become ours."""

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

HINT_CREDENTIALS = (
    "give this process OS_AUTH_URL with user and project (or an application credential), or ST_AUTH, ST_USER and ST_KEY"
)
_HINT_DENIED = "the container's ACLs, or the user's role, must let the caller list, read and write it"
_HINT_QUOTA = "the account's or container's quota is used up, or the object is larger than the cluster takes"

_MESSAGES: dict[type[DrorchError], str] = {
    Refused: "Swift refused",
    NotFound: "Swift has no such thing",
    AlreadyExists: "it exists already",
    Damaged: "the bytes changed on the way",
    Busy: "Swift is busy",
    Unavailable: "Swift did not answer as it should",
    OutcomeUnknown: "the reply was lost; it may have happened",
}
_STATUS: dict[int, tuple[type[DrorchError], str]] = {
    401: (Refused, HINT_CREDENTIALS),
    403: (Refused, _HINT_DENIED),
    404: (NotFound, ""),
    409: (Unavailable, "another request works on the same thing; it is asked again later"),
    412: (AlreadyExists, ""),
    413: (Refused, _HINT_QUOTA),
    422: (Damaged, ""),  # the ETag that was sent is not that of what arrived
    429: (Busy, ""),
    498: (Busy, ""),  # Swift's own rate limit
}
"""https://docs.openstack.org/api-ref/object-store/, by operation; 498: https://docs.openstack.org/swift/latest/ratelimit.html"""


def answered(reply: Any, *, operation: str, resource: str, vault: str, mutates: bool) -> DrorchError:
    """The error for a reply whose status is none that was expected."""
    code = int(reply.status_code)
    kind, hint = _STATUS.get(code, (Refused, ""))
    if code not in _STATUS and (code == 408 or code >= 500 or code < 400):
        kind = OutcomeUnknown if mutates else Unavailable
    word = " ".join(str(reply.reason or "").split())[:100]
    return kind(
        _MESSAGES[kind],
        operation=operation,
        resource=resource,
        vault=vault,
        cause=f"{code} {word}".strip(),
        hint=hint,
    )


@contextmanager
def mapped(operation: str, *, resource: str, vault: str, mutates: bool = False) -> Iterator[None]:
    """Raise our errors for those of requests, urllib3 and the network within the block.

    `mutates` says that the call changes something: a reply that was lost is OutcomeUnknown then.
    """
    from requests.exceptions import InvalidHeader, InvalidSchema, InvalidURL, MissingSchema
    from urllib3.exceptions import HTTPError, ProxySchemeUnsupported

    unfit = (InvalidHeader, InvalidSchema, InvalidURL, MissingSchema, ProxySchemeUnsupported)
    try:
        yield
    except (OSError, HTTPError, ProxySchemeUnsupported) as error:  # requests' own errors are OSErrors
        never_asked = isinstance(error, unfit)
        lost = OutcomeUnknown if mutates and not _never_sent(error) else Unavailable
        kind: type[DrorchError] = Refused if never_asked else lost
        cause = " ".join(str(error).split())[:300]
        raise kind(_MESSAGES[kind], operation=operation, resource=resource, vault=vault, cause=cause) from error


@contextmanager
def signing_in(vault: str) -> Iterator[None]:
    """Raise our errors for those of python-swiftclient and keystoneauth while a token is asked for."""
    from keystoneauth1.exceptions import ClientException as KeystoneError
    from keystoneauth1.exceptions import ConnectionError as KeystoneUnreachable
    from swiftclient.exceptions import ClientException as SwiftError

    operation = "swift sign-in"
    with mapped(operation, resource="", vault=vault):
        try:
            yield
        except (SwiftError, KeystoneError) as error:
            reasons = list(_reasons(error))
            statuses = [int(getattr(reason, "http_status", 0) or 0) for reason in reasons]
            unreachable = any(isinstance(reason, (KeystoneUnreachable, OSError)) for reason in reasons)
            passing = unreachable or any(status in (408, 429, 498) or status >= 500 for status in statuses)
            kind: type[DrorchError] = Unavailable if passing else Refused
            cause = " ".join(str(error).split())[:200]
            hint = "" if passing else HINT_CREDENTIALS
            raise kind(_MESSAGES[kind], operation=operation, vault=vault, cause=cause, hint=hint) from error


def _reasons(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those that it came from: python-swiftclient does not pass on what a connection met."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _never_sent(error: Any) -> bool:
    """Whether the connection was not even made: requests wraps urllib3's reason twice."""
    from requests.exceptions import ConnectTimeout, ProxyError
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    reasons = [error, *getattr(error, "args", ())]
    reasons += [getattr(reason, "reason", None) for reason in reasons]
    return any(
        isinstance(reason, (ConnectTimeout, ProxyError, ConnectTimeoutError, NewConnectionError)) for reason in reasons
    )
