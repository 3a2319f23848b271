"""botocore's errors as ours, in one place: by code where the service answered, by class where it did not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any

from drorch.domain.errors import (
    AlreadyExists,
    Busy,
    Damaged,
    DrorchError,
    NotFound,
    OutcomeUnknown,
    Refused,
    Throttled,
    Unavailable,
)

HINT_CREDENTIALS = "see that this process has credentials for the account (environment, profile or instance role)"
_HINT_EXPIRED = "renew the credentials of this process; a role's session ends after an hour unless it is refreshed"
_HINT_CLOCK = "set this host's clock: AWS refuses requests that are more than 15 minutes off"
_HINT_REGION = "the bucket or account lives in another region than the one configured, or the region is not enabled"
_HINT_BUCKET = "create the bucket, or correct its name and account in the configuration"
_HINT_ARCHIVED = "the object is in an archive class and must be restored before it can be read"
_HINT_CONDITION = "the store does not know a header that was sent; `drorch vault check` names what it lacks"
_HINT_KEY = "the KMS key is absent in that region, disabled, or its policy does not let the caller use it"
_HINT_ROLE = (
    "the trust policy of role_arn must name the caller; where it asks for sts:ExternalId, external_id of aws.accounts "
    "must be that"
)
_HINT_IMAGE = "an image uses the snapshot, perhaps a disabled one that is not listed: deregister it, and it can go"


def _codes(kind: type[DrorchError], hint: str, codes: str) -> dict[str, tuple[type[DrorchError], str]]:
    return dict.fromkeys(codes.split(), (kind, hint))


_CODES: dict[str, tuple[type[DrorchError], str]] = {
    **_codes(
        Throttled,
        "the service throttles; fewer calls at a time, or wait",
        # botocore's own list of throttling codes, and the ones that EC2 and S3-compatible stores add.
        """Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException
        TooManyRequestsException ProvisionedThroughputExceededException TransactionInProgressException
        RequestLimitExceeded BandwidthLimitExceeded SlowDown PriorRequestNotComplete EC2ThrottledException
        TooManyRequests 429""",
    ),
    **_codes(
        Busy,
        "wait, or ask for a higher service quota",
        """ResourceLimitExceeded SnapshotLimitExceeded ConcurrentSnapshotLimitExceeded PendingSnapshotLimitExceeded
        SnapshotCreationPerVolumeRateExceeded SnapshotQuotaExceeded SnapshotQuotaExceededFault
        SharedSnapshotQuotaExceeded CrossRegionSnapshotCopyQuotaExceeded LimitExceededException
        InstanceQuotaExceeded StorageQuotaExceeded VolumeLimitExceeded InstanceLimitExceeded AMIQuotaExceeded
        InsufficientCapacity InsufficientInstanceCapacity InsufficientVolumeCapacity
        InsufficientDBInstanceCapacity InsufficientDBClusterCapacityFault InsufficientStorageClusterCapacity
        DBClusterQuotaExceededFault""",
    ),
    **_codes(
        Unavailable,
        _HINT_EXPIRED,
        """ExpiredToken ExpiredTokenException TokenRefreshRequired RequestExpired InvalidIdentityToken
        IDPCommunicationError""",
    ),
    **_codes(Unavailable, _HINT_CLOCK, "RequestTimeTooSkewed RequestInTheFuture"),
    **_codes(
        Unavailable,
        "it is busy with something else; it is asked again later",
        """InvalidDBInstanceState InvalidDBInstanceStateFault InvalidDBSnapshotState InvalidDBSnapshotStateFault
        InvalidDBClusterStateFault InvalidDBClusterSnapshotStateFault
        IncorrectState IncorrectInstanceState IncorrectStateException OperationAborted KMSInternalException
        DependencyTimeoutException PendingVerification""",
    ),
    # S3: a condition lost a race with another request, or the body came too slowly or not whole.
    **_codes(Unavailable, "", "ConditionalRequestConflict RequestTimeout IncompleteBody"),
    **_codes(Damaged, "", "BadDigest InvalidDigest XAmzContentSHA256Mismatch"),
    **_codes(AlreadyExists, "", "PreconditionFailed 412"),
    **_codes(Refused, _HINT_BUCKET, "NoSuchBucket AllAccessDisabled"),
    **_codes(
        Refused,
        _HINT_REGION,
        """PermanentRedirect TemporaryRedirect Redirect AuthorizationHeaderMalformed 301 307 OptInRequired
        IllegalLocationConstraintException RegionDisabledException""",
    ),
    **_codes(
        Refused,
        HINT_CREDENTIALS,
        """InvalidClientTokenId UnrecognizedClientException InvalidAccessKeyId SignatureDoesNotMatch AuthFailure
        InvalidToken MissingAuthenticationToken MissingAuthenticationTokenException IncompleteSignature
        InvalidSignatureException NotSignedUp""",
    ),
    **_codes(Refused, _HINT_IMAGE, "InvalidSnapshot.InUse"),
    **_codes(Refused, _HINT_KEY, "KMSKeyNotAccessibleFault KMSInvalidStateException DisabledException"),
    **_codes(Refused, _HINT_ARCHIVED, "InvalidObjectState"),
    **_codes(Refused, _HINT_CONDITION, "NotImplemented 501"),
}

THROTTLING = frozenset(code for code, (kind, _) in _CODES.items() if kind is Throttled)
"""The codes by which a service says that it is called too often, by whomever."""

_DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedAccess", "Forbidden", "403"}
)
_NOT_FOUND = re.compile(r"^(404|NoSuch\w+|[\w.]*NotFound(Fault|Exception)?)$")
_EXISTS = re.compile(r"^[\w.]*(AlreadyExists|AlreadyOwnedByYou|\.Duplicate)(Fault|Exception)?$")
_PERMISSION = re.compile(r"not authorized to perform:? \[?([a-z0-9-]+:[A-Za-z0-9*]+)")


@contextmanager
def mapped(operation: str, *, resource: str = "", vault: str = "", mutates: bool = False) -> Iterator[None]:
    """Raise our errors for botocore's within the block. `operation` is for people, such as ``ec2 CreateSnapshot``.

    `mutates` says that the call changes something: a 5xx or a reply that is lost or cannot be read is then
    OutcomeUnknown, not Unavailable. It
    speaks of the last attempt; a call that must know about all of them uses a client with ``repeatable=False``.
    """
    from botocore.exceptions import BotoCoreError, ClientError, UndefinedModelAttributeError
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError, ProxySchemeUnsupported

    theirs = (BotoCoreError, UndefinedModelAttributeError, ResponseParserError, HTTPError, ProxySchemeUnsupported)
    try:
        yield
    except ClientError as error:
        kind, cause, hint = _answered(error, mutates)
        raise kind(
            _MESSAGES[kind], operation=operation, resource=resource, vault=vault, cause=cause, hint=hint
        ) from error
    except (*theirs, OSError) as error:
        kind, hint = _unanswered(error, mutates)
        raise kind(
            _MESSAGES[kind], operation=operation, resource=resource, vault=vault, cause=_short(error), hint=hint
        ) from error
    except _UNREADABLE as error:
        if _within(error, "botocore.credentials"):
            raise Unavailable(
                "the role's session cannot be renewed",
                operation=operation,
                resource=resource,
                vault=vault,
                cause=_short(error),
                hint=_HINT_CLOCK,
            ) from error
        if not _within(error, "botocore.parsers"):
            raise
        kind = OutcomeUnknown if mutates else Unavailable
        raise kind(
            "AWS's reply cannot be read", operation=operation, resource=resource, vault=vault, cause=_short(repr(error))
        ) from error


def code_of(error: DrorchError) -> str:
    """The service's own code behind an error that `mapped` raised; "" when it did not answer in such words."""
    theirs = getattr(error.__cause__, "response", None)
    detail = theirs.get("Error", {}) if isinstance(theirs, dict) else {}
    return str(detail.get("Code", ""))


_UNREADABLE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What botocore lets through when a reply does not fit the service's model: it wraps only what is no XML or JSON."""


def _within(error: Exception, module: str) -> bool:
    """Whether botocore's parsers or credentials (which say so when a session just begun has ended by this host's clock)
    were at work: the same error from elsewhere is a fault of a program.
    """
    return any(frame.f_globals.get("__name__") == module for frame, _ in walk_tb(error.__traceback__))


_MESSAGES: dict[type[DrorchError], str] = {
    Refused: "AWS refused",
    NotFound: "AWS has no such thing",
    AlreadyExists: "it exists already",
    Damaged: "the bytes changed on the way",
    Busy: "AWS is busy",
    Throttled: "AWS is called too often",
    Unavailable: "AWS did not answer as it should",
    OutcomeUnknown: "the reply was lost; it may have happened",
}


def _answered(error: Any, mutates: bool) -> tuple[type[DrorchError], str, str]:
    """(kind, cause, hint) for an error that the service itself returned."""
    detail = error.response.get("Error", {})
    code = str(detail.get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    cause = _short(f"{code}: {detail.get('Message') or 'no further word'}" if code else error)
    if code in _CODES:
        kind, hint = _CODES[code]
        return kind, cause, hint
    if code in _DENIED and error.operation_name == "AssumeRole":
        return Refused, cause, _HINT_ROLE
    if code in _DENIED:
        named = _PERMISSION.search(str(detail.get("Message", "")))
        return Refused, cause, f"allow {named.group(1) if named else error.operation_name} to the caller"
    if _NOT_FOUND.match(code):
        return NotFound, cause, ""
    if _EXISTS.match(code):
        return AlreadyExists, cause, ""
    if status == 429:
        return Throttled, cause, ""
    if status >= 500 or code in ("500", "502", "503", "504") or code.startswith(("Internal", "ServiceUnavailable")):
        return (OutcomeUnknown if mutates else Unavailable), cause, ""
    return Refused, cause, ""


def _unanswered(error: Exception, mutates: bool) -> tuple[type[DrorchError], str]:
    """(kind, hint) for an error that arose on this side of the wire."""
    from botocore import exceptions as raised
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    never_sent = (
        raised.EndpointConnectionError,
        raised.ConnectTimeoutError,
        raised.ProxyConnectionError,
        raised.InvalidIMDSEndpointError,
    )
    lost = (
        raised.HTTPClientError,
        raised.ConnectionError,
        raised.IncompleteReadError,
        raised.AwsChunkedWrapperError,
        ResponseParserError,
        HTTPError,
        OSError,
    )
    credentials = (
        raised.CredentialRetrievalError,
        raised.MetadataRetrievalError,
        raised.TokenRetrievalError,
        raised.SSOError,
        raised.LoginError,
    )
    if isinstance(error, credentials):
        return Unavailable, _HINT_EXPIRED
    if isinstance(error, (raised.NoCredentialsError, raised.PartialCredentialsError, raised.NoAuthTokenError)):
        return Refused, HINT_CREDENTIALS
    if isinstance(error, (raised.ChecksumError, raised.FlexibleChecksumError)):
        return Damaged, ""
    if isinstance(error, raised.CapacityNotAvailableError):
        return Busy, ""
    if isinstance(error, (*never_sent, raised.PaginationError, raised.WaiterError)):
        return Unavailable, ""
    if isinstance(error, lost):
        return (OutcomeUnknown if mutates else Unavailable), ""
    return Refused, ""


def _short(what: object) -> str:
    """One line of at most 300 characters: AWS appends encoded authorisation messages of several thousand."""
    line = " ".join(str(what).split())
    return line if len(line) <= 300 else line[:299] + "…"
