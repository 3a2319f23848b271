"""AWS at the door: one session per account, cached clients, and the one place where botocore's errors become ours.

Importing this module imports no SDK; the first client does. Emulators and private clouds are reached by the SDK's own
variables (``AWS_ENDPOINT_URL``, ``AWS_ENDPOINT_URL_S3``).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from drorch import __version__
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

AMBIENT = "-"
"""The account key for the credentials of the process itself; no name of the host configuration can be spelled so."""

ATTEMPTS = 6
"""Attempts at a call that may be repeated, the first included (botocore's standard mode, exponential back-off)."""

CONNECT_SECONDS = 10
READ_SECONDS = 60
POOL = 32
"""Connections one client keeps: uploads to it and reads from it run side by side."""


@dataclass(frozen=True, slots=True)
class AwsAccount:
    """One entry of `aws.accounts`: its twelve digits, and the role to assume ("" means ambient credentials)."""

    id: str = ""
    role_arn: str = ""


class AwsAccounts:
    """Clients per service, account and region. Safe for threads; clients are made one at a time, then shared."""

    def __init__(
        self,
        accounts: Mapping[str, AwsAccount] | None = None,
        *,
        attempts: int = ATTEMPTS,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._accounts = {AMBIENT: AwsAccount(), **(accounts or {})}
        self._timeouts = (connect_seconds, read_seconds)
        self._attempts = attempts
        self._lock = threading.Lock()
        self._sessions: dict[str, _AccountSession] = {}
        self._clients: dict[tuple[str, str, str, bool, str], Any] = {}

    def account(self, name: str) -> AwsAccount:
        """The account by its key. Refused when the configuration has none of that name."""
        try:
            return self._accounts[name]
        except KeyError:
            raise Refused(
                f"there is no AWS account named {name!r}", operation="aws", hint="name it under aws.accounts"
            ) from None

    def client(self, service: str, account: str, region: str, *, repeatable: bool = True, endpoint: str = "") -> Any:
        """A botocore client, the same one for the same arguments.

        `repeatable=False` sends each request once: for the calls that AWS gives no client token (CreateSnapshot,
        CreateSnapshots, CopySnapshot, CreateImage), where a blind repetition makes a second snapshot. `endpoint` is
        the URL of a compatible service elsewhere. Making a client talks to nobody; Refused when it cannot be made.
        """
        key = (service, account, region, repeatable, endpoint)
        with self._lock:
            if key not in self._clients:
                known = self.account(account)
                if account not in self._sessions:
                    self._sessions[account] = _AccountSession(known, self._timeouts)
                with mapped(f"{service} client", resource=f"{account}.{region}"):
                    self._clients[key] = self._sessions[account].client(
                        service, region, self._attempts if repeatable else 1, endpoint
                    )
            return self._clients[key]

    def close(self) -> None:
        """Close every connection. Clients made before must not be used again."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()
            self._sessions.clear()


class _AccountSession:
    """The botocore session of one account, its credentials shared by the clients of all regions."""

    def __init__(self, account: AwsAccount, timeouts: tuple[float, float]) -> None:
        import botocore.session

        self._timeouts = timeouts
        self._session: Any = botocore.session.Session()
        self._session.user_agent_name = "drorch"
        self._session.user_agent_version = __version__
        self._session.set_config_variable("sts_regional_endpoints", "regional")
        # Parsing instants is a third of what a page of 1,000 snapshots costs with botocore's own parser.
        self._session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
        self._regions: list[str] = []
        self._credentials = self._assumed(account.role_arn) if account.role_arn else None

    def client(self, service: str, region: str, attempts: int, endpoint: str) -> Any:
        """A new client; `AwsAccounts` caches it."""
        from botocore.config import Config

        if region not in self._regions:
            self._regions.insert(0, region)
        options: dict[str, Any] = {}
        if endpoint:
            # Since 1.36 the SDK sends checksums by default that many S3-compatible stores refuse.
            options = {
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
                "s3": {"addressing_style": "path"},
            }
        config = Config(
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=self._timeouts[0],
            read_timeout=self._timeouts[1],
            max_pool_connections=POOL,
            **options,
        )
        if self._credentials is not None:
            # Set as the session's own, so that they refresh by themselves under every client made from it.
            self._session._credentials = self._credentials
        return self._session.create_client(service, region_name=region, config=config, endpoint_url=endpoint or None)

    def _assumed(self, role_arn: str) -> Any:
        """Credentials of the role, fetched at first use and again before they expire."""
        from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

        source = self._session.get_credentials()
        if source is None:
            raise Refused(
                "there are no AWS credentials to assume a role with",
                operation="sts AssumeRole",
                resource=role_arn,
                hint=_HINT_CREDENTIALS,
            )
        fetcher = AssumeRoleCredentialFetcher(
            client_creator=cast("Any", self._sts),
            source_credentials=source,
            role_arn=role_arn,
            extra_args={"RoleSessionName": "drorch"},
        )
        return DeferredRefreshableCredentials(refresh_using=fetcher.fetch_credentials, method="assume-role")

    def _sts(self, _service: str, **credentials: str) -> _AnyRegionSts:
        return _AnyRegionSts(self._session, tuple(self._regions), self._timeouts, credentials)


def _timestamp(value: Any) -> datetime:
    """An instant of a reply: ISO 8601 mostly; RFC 822 and Unix seconds as botocore reads them."""
    from botocore.utils import parse_timestamp

    if isinstance(value, str) and value[4:5] == "-":
        with suppress(ValueError):
            when = datetime.fromisoformat(value)
            return when if when.tzinfo else when.replace(tzinfo=UTC)
    return parse_timestamp(value)


class _AnyRegionSts:
    """AssumeRole at the first region that answers: the role must stay assumable while one of the regions is lost."""

    def __init__(
        self, session: Any, regions: tuple[str, ...], timeouts: tuple[float, float], credentials: Mapping[str, str]
    ) -> None:
        self._session = session
        self._regions = regions
        self._timeouts = timeouts
        self._credentials = credentials

    def assume_role(self, **request: Any) -> Any:
        """STS AssumeRole. Raises botocore's error of the last region when none answered."""
        from botocore.config import Config
        from botocore.exceptions import ConnectionError as NoConnection
        from botocore.exceptions import HTTPClientError

        config = Config(
            retries={"mode": "standard", "total_max_attempts": 2},
            connect_timeout=self._timeouts[0],
            read_timeout=self._timeouts[1],
        )
        lost: Exception | None = None
        for region in self._regions:
            client = self._session.create_client("sts", region_name=region, config=config, **self._credentials)
            try:
                return client.assume_role(**request)
            except (NoConnection, HTTPClientError) as error:
                lost = error
            finally:
                client.close()
        raise lost or Refused("no region to assume a role in", operation="sts AssumeRole")


def regions() -> frozenset[str]:
    """Every region of every partition that botocore's own data know; no network."""
    import botocore.session

    session = botocore.session.Session()
    return frozenset(
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("ec2", partition_name=partition)
    )


# --- botocore's errors as ours -------------------------------------------------------------------------------------

_HINT_CREDENTIALS = "see that this process has credentials for the account (environment, profile or instance role)"
_HINT_EXPIRED = "renew the credentials of this process; a role's session ends after an hour unless it is refreshed"
_HINT_CLOCK = "set this host's clock: AWS refuses requests that are more than 15 minutes off"
_HINT_REGION = "the bucket or account lives in another region than the one configured, or the region is not enabled"
_HINT_BUCKET = "create the bucket, or correct its name and account in the configuration"
_HINT_ARCHIVED = "the object is in an archive class and must be restored before it can be read"
_HINT_CONDITION = "the store does not know a header that was sent; `drorch vault check` names what it lacks"
_HINT_KEY = "the KMS key is absent in that region, disabled, or its policy does not let the caller use it"


def _codes(kind: type[DrorchError], hint: str, codes: str) -> dict[str, tuple[type[DrorchError], str]]:
    return dict.fromkeys(codes.split(), (kind, hint))


_CODES: dict[str, tuple[type[DrorchError], str]] = {
    **_codes(
        Busy,
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
        InsufficientDBInstanceCapacity""",
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
        IncorrectState IncorrectInstanceState IncorrectStateException InvalidSnapshot.InUse OperationAborted
        KMSInternalException DependencyTimeoutException PendingVerification""",
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
        _HINT_CREDENTIALS,
        """InvalidClientTokenId UnrecognizedClientException InvalidAccessKeyId SignatureDoesNotMatch AuthFailure
        InvalidToken MissingAuthenticationToken MissingAuthenticationTokenException IncompleteSignature
        InvalidSignatureException NotSignedUp""",
    ),
    **_codes(Refused, _HINT_KEY, "KMSKeyNotAccessibleFault KMSInvalidStateException DisabledException"),
    **_codes(Refused, _HINT_ARCHIVED, "InvalidObjectState"),
    **_codes(Refused, _HINT_CONDITION, "NotImplemented 501"),
}

_DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedAccess", "Forbidden", "403"}
)
_NOT_FOUND = re.compile(r"^(404|NoSuch\w+|[\w.]*NotFound(Fault|Exception)?)$")
_EXISTS = re.compile(r"^[\w.]*(AlreadyExists|AlreadyOwnedByYou|\.Duplicate)(Fault|Exception)?$")
_PERMISSION = re.compile(r"not authorized to perform:? \[?([a-z0-9-]+:[A-Za-z0-9*]+)")


@contextmanager
def mapped(operation: str, *, resource: str = "", vault: str = "", mutates: bool = False) -> Iterator[None]:
    """Raise our errors for botocore's within the block. `operation` is for people, such as ``ec2 CreateSnapshot``.

    `mutates` says that the call changes something: a lost reply or a 5xx is then OutcomeUnknown, not Unavailable. It
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


_MESSAGES: dict[type[DrorchError], str] = {
    Refused: "AWS refused",
    NotFound: "AWS has no such thing",
    AlreadyExists: "it exists already",
    Damaged: "the bytes changed on the way",
    Busy: "AWS is busy",
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
    if code in _DENIED:
        named = _PERMISSION.search(str(detail.get("Message", "")))
        return Refused, cause, f"allow {named.group(1) if named else error.operation_name} to the caller"
    if _NOT_FOUND.match(code):
        return NotFound, cause, ""
    if _EXISTS.match(code):
        return AlreadyExists, cause, ""
    if status == 429:
        return Busy, cause, ""
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
        return Refused, _HINT_CREDENTIALS
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
