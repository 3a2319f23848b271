"""No vendor error leaves an adapter: every exception class and every known code of the SDKs becomes one of ours.

The classes are read from the installed libraries, so that an upgrade which adds one is noticed here.
"""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import azure.core.exceptions
import azure.identity
import botocore.exceptions
import google.api_core.exceptions
import google.auth.exceptions
import google.cloud.storage.exceptions
import keystoneauth1.exceptions
import pytest
import requests
import requests.exceptions
import swiftclient.exceptions
import urllib3.exceptions
from azure.storage.blob._shared.authentication import AzureSigningError
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from botocore.retries.standard import ThrottledRetryableChecker
from google.api_core.exceptions import GoogleAPICallError, from_http_status

from drorch.aws import code_of, mapped
from drorch.aws.errors import _CODES
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
from drorch.stores.azure import errors as azure_errors
from drorch.stores.gcs import errors as gcs
from drorch.stores.swift import errors as swift


def classes(module: ModuleType) -> list[type[Exception]]:
    """The exceptions that a library defines; warnings are never raised."""
    return [
        found
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, Exception) and not issubclass(found, Warning) and found.__module__ == module.__name__
    ]


def bare(kind: type[Exception]) -> Exception:
    """An instance without its constructor, whose arguments differ from class to class."""
    error = kind.__new__(kind)
    error.args = ("what the library says",)
    if isinstance(error, ClientError):
        error.response, error.operation_name = {}, "CopySnapshot"
    if isinstance(error, GoogleAPICallError):
        error.message, error._errors, error._details, error._response = "what the library says", (), (), None
    if isinstance(error, google.api_core.exceptions.RetryError):
        error.message, error._cause = "what the library says", None
    for name in ("partial", "expected", "length"):
        if not hasattr(error, name):
            setattr(error, name, 0)
    if isinstance(error, azure.core.exceptions.ODataV4Error):
        error._error_format = None
    if isinstance(error, swiftclient.exceptions.ClientException):
        swiftclient.exceptions.ClientException.__init__(error, "what the library says")
    if not hasattr(error, "response"):
        error.response = None  # type: ignore[attr-defined]
    return error


def ours(error: BaseException, *, mutates: bool = False) -> DrorchError:
    with pytest.raises(DrorchError) as raised, mapped("ec2 CopySnapshot", resource="snap-1", mutates=mutates):
        raise error
    return raised.value


def ours_at_google(error: BaseException, *, mutates: bool = False) -> DrorchError:
    with pytest.raises(DrorchError) as raised, gcs.mapped("gcs put", resource="a", vault="gcs-eu", mutates=mutates):
        raise error
    return raised.value


def ours_at_swift(error: BaseException, *, mutates: bool = False) -> DrorchError:
    with pytest.raises(DrorchError) as raised, swift.mapped("swift PUT", resource="a", vault="dfw", mutates=mutates):
        raise error
    return raised.value


def answer(code: str, status: int = 400, message: str = "", operation: str = "CopySnapshot") -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        operation,
    )


# --- AWS -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*classes(botocore.exceptions), ResponseParserError], ids=lambda kind: kind.__name__)
def test_every_exception_of_botocore_becomes_ours(kind: type[Exception]) -> None:
    error = ours(bare(kind))
    assert isinstance(error, (Refused, Unavailable))
    assert (error.operation, error.resource) == ("ec2 CopySnapshot", "snap-1")
    assert error.__cause__ is not None


@pytest.mark.parametrize("kind", classes(urllib3.exceptions), ids=lambda kind: kind.__name__)
def test_every_exception_of_urllib3_becomes_ours(kind: type[Exception]) -> None:
    expected = Refused if kind is urllib3.exceptions.ProxySchemeUnsupported else Unavailable
    assert isinstance(ours(bare(kind)), expected)
    assert isinstance(ours_at_google(bare(kind)), expected)
    assert isinstance(ours_at_swift(bare(kind)), expected)


@pytest.mark.parametrize(
    ("kind", "reading", "changing"),
    [
        ("EndpointConnectionError", Unavailable, Unavailable),
        ("ConnectTimeoutError", Unavailable, Unavailable),
        ("ProxyConnectionError", Unavailable, Unavailable),
        ("ReadTimeoutError", Unavailable, OutcomeUnknown),
        ("ConnectionClosedError", Unavailable, OutcomeUnknown),
        ("SSLError", Unavailable, OutcomeUnknown),
        ("HTTPClientError", Unavailable, OutcomeUnknown),
        ("ResponseStreamingError", Unavailable, OutcomeUnknown),
        ("IncompleteReadError", Unavailable, OutcomeUnknown),
        ("NoCredentialsError", Refused, Refused),
        ("PartialCredentialsError", Refused, Refused),
        ("CredentialRetrievalError", Unavailable, Unavailable),
        ("MetadataRetrievalError", Unavailable, Unavailable),
        ("SSOTokenLoadError", Unavailable, Unavailable),
        ("ParamValidationError", Refused, Refused),
        ("NoRegionError", Refused, Refused),
        ("FlexibleChecksumError", Damaged, Damaged),
        ("ChecksumError", Damaged, Damaged),
        ("PaginationError", Unavailable, Unavailable),
        ("CapacityNotAvailableError", Busy, Busy),
    ],
)
def test_what_an_exception_of_botocore_means(
    kind: str, reading: type[DrorchError], changing: type[DrorchError]
) -> None:
    error = getattr(botocore.exceptions, kind)
    assert type(ours(bare(error))) is reading
    assert type(ours(bare(error), mutates=True)) is changing


def test_reply_that_is_no_xml_is_unknown_when_the_call_changes_something() -> None:
    assert type(ours(ResponseParserError("<html>"))) is Unavailable
    assert type(ours(ResponseParserError("<html>"), mutates=True)) is OutcomeUnknown


@pytest.mark.parametrize("code", sorted(_CODES))
def test_every_code_of_the_table_means_the_same_for_reading_and_changing_calls(code: str) -> None:
    """A code says what happened, whatever the status beside it: RequestLimitExceeded and SlowDown come with 503."""
    kind, hint = _CODES[code]
    for status in (400, 503):
        for mutates in (False, True):
            error = ours(answer(code, status), mutates=mutates)
            assert type(error) is kind
            assert error.hint == hint
            assert code in error.cause


def test_every_throttling_code_that_botocore_knows_is_throttling() -> None:
    a_quota = {"LimitExceededException"}
    for code in ThrottledRetryableChecker._THROTTLED_ERROR_CODES:
        assert type(ours(answer(code), mutates=True)) is (Busy if code in a_quota else Throttled)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("InvalidSnapshot.NotFound", NotFound),
        ("InvalidVolume.NotFound", NotFound),
        ("InvalidInstanceID.NotFound", NotFound),
        ("DBSnapshotNotFound", NotFound),
        ("DBSnapshotNotFoundFault", NotFound),
        ("DBInstanceNotFound", NotFound),
        ("NotFoundException", NotFound),
        ("NoSuchKey", NotFound),
        ("NoSuchUpload", NotFound),
        ("404", NotFound),
        ("NoSuchBucket", Refused),
        ("DBSnapshotAlreadyExists", AlreadyExists),
        ("DBSnapshotAlreadyExistsFault", AlreadyExists),
        ("BucketAlreadyOwnedByYou", AlreadyExists),
        ("InvalidAMIName.Duplicate", AlreadyExists),
        ("PreconditionFailed", AlreadyExists),
        ("ResourceLimitExceeded", Busy),
        ("ConcurrentSnapshotLimitExceeded", Busy),
        ("SnapshotQuotaExceeded", Busy),
        ("InvalidDBInstanceState", Unavailable),
        ("InvalidDBSnapshotState", Unavailable),
        ("InvalidSnapshot.InUse", Refused),
        ("ExpiredToken", Unavailable),
        ("RequestTimeTooSkewed", Unavailable),
        ("ConditionalRequestConflict", Unavailable),
        ("BadDigest", Damaged),
        ("AccessDenied", Refused),
        ("UnauthorizedOperation", Refused),
        ("KMSKeyNotAccessibleFault", Refused),
        ("InvalidParameterValue", Refused),
        ("", Refused),
    ],
)
def test_what_a_code_of_aws_means(code: str, kind: type[DrorchError]) -> None:
    assert type(ours(answer(code))) is kind


@pytest.mark.parametrize(
    ("code", "status"),
    [("InternalError", 500), ("InternalFailure", 0), ("ServiceUnavailable", 503), ("502", 502), ("Whatever", 504)],
)
def test_fault_of_the_service_leaves_a_changing_call_unknown(code: str, status: int) -> None:
    assert type(ours(answer(code, status))) is Unavailable
    assert type(ours(answer(code, status), mutates=True)) is OutcomeUnknown


def test_code_of_the_service_stays_to_be_asked() -> None:
    assert code_of(ours(answer("InvalidSnapshot.NotFound"))) == "InvalidSnapshot.NotFound"
    assert code_of(ours(bare(botocore.exceptions.ReadTimeoutError))) == ""
    assert code_of(ours_at_google(from_http_status(404, "x"))) == ""
    assert code_of(NotFound("ours")) == ""


def test_denied_names_the_permission() -> None:
    told = "User: arn:aws:iam::1:user/x is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::b/a"
    assert "s3:PutObject" in ours(answer("AccessDenied", 403, told)).hint
    assert "CopySnapshot" in ours(answer("UnauthorizedOperation", 403, "Encoded authorization: x" * 99)).hint


def test_causes_stay_short() -> None:
    """AWS appends encoded authorisation messages of several thousand characters."""
    assert len(ours(answer("UnauthorizedOperation", 403, "x" * 5000)).cause) <= 300


def test_our_own_errors_pass_through_untouched() -> None:
    mine = NotFound("there is no such thing", vault="a")
    assert ours(mine) is mine
    assert ours_at_google(mine) is mine


def test_faults_of_ours_are_not_taken_for_the_vendors() -> None:
    with pytest.raises(KeyError), mapped("ec2 CopySnapshot"):
        raise KeyError("ours")
    with pytest.raises(KeyError), gcs.mapped("gcs put", resource="a", vault="b"):
        raise KeyError("ours")


# --- Google --------------------------------------------------------------------------------------------------------

GOOGLE = [
    *classes(google.api_core.exceptions),
    *classes(google.auth.exceptions),
    *classes(google.cloud.storage.exceptions),
    *classes(requests.exceptions),
]
ASYNC_ONLY = {"AsyncRestUnsupportedParameterError"}
"""Raised by google-api-core's asynchronous transports alone, which drorch does not use."""


@pytest.mark.parametrize("kind", [kind for kind in GOOGLE if kind.__name__ not in ASYNC_ONLY], ids=lambda k: k.__name__)
def test_every_exception_of_googles_libraries_becomes_ours(kind: type[Exception]) -> None:
    error = ours_at_google(bare(kind))
    assert isinstance(error, (Refused, Unavailable))
    assert (error.operation, error.resource, error.vault) == ("gcs put", "a", "gcs-eu")


@pytest.mark.parametrize(
    ("status", "reading", "changing"),
    [
        (400, Refused, Refused),
        (401, Unavailable, Unavailable),
        (403, Refused, Refused),
        (404, NotFound, NotFound),
        (408, Unavailable, OutcomeUnknown),
        (409, Unavailable, Unavailable),
        (410, NotFound, NotFound),
        (412, AlreadyExists, AlreadyExists),
        (416, Refused, Refused),
        (429, Busy, Busy),
        (500, Unavailable, OutcomeUnknown),
        (501, Refused, Refused),
        (503, Unavailable, OutcomeUnknown),
    ],
)
def test_what_a_status_of_gcs_means(status: int, reading: type[DrorchError], changing: type[DrorchError]) -> None:
    assert type(ours_at_google(from_http_status(status, "x"))) is reading
    assert type(ours_at_google(from_http_status(status, "x"), mutates=True)) is changing


def test_rate_limit_of_gcs_comes_as_forbidden_and_is_busy() -> None:
    assert type(ours_at_google(from_http_status(403, "rateLimitExceeded"))) is Busy


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("DefaultCredentialsError", Refused),
        ("RefreshError", Unavailable),
        ("TransportError", Unavailable),
        ("TimeoutError", Unavailable),
    ],
)
def test_what_googles_credentials_errors_mean(kind: str, expected: type[DrorchError]) -> None:
    """They arise before anything is sent: never unknown."""
    error = getattr(google.auth.exceptions, kind)("x")
    assert type(ours_at_google(error, mutates=True)) is expected


def test_connection_that_was_never_made_changed_nothing() -> None:
    never = urllib3.exceptions.NewConnectionError(None, "refused")  # type: ignore[arg-type]
    given_up: Any = urllib3.exceptions.MaxRetryError(None, "/", never)  # type: ignore[arg-type]
    assert type(ours_at_google(requests.exceptions.ConnectionError(given_up), mutates=True)) is Unavailable
    cut = requests.exceptions.ConnectionError(urllib3.exceptions.ProtocolError("cut"))
    assert type(ours_at_google(cut, mutates=True)) is OutcomeUnknown


def test_deadline_of_repetitions_means_what_its_cause_means() -> None:
    late = google.api_core.exceptions.RetryError("late", from_http_status(429, "x"))
    assert type(ours_at_google(late)) is Busy


# --- Azure ---------------------------------------------------------------------------------------------------------


def ours_at_azure(error: BaseException, *, mutates: bool = False) -> DrorchError:
    with (
        pytest.raises(DrorchError) as raised,
        azure_errors.mapped("azure Put Blob", resource="a", vault="azure-eu", mutates=mutates),
    ):
        raise error
    return raised.value


def azure_answer(status: int, code: str = "") -> azure.core.exceptions.HttpResponseError:
    error = azure.core.exceptions.HttpResponseError("what Azure says")
    error.status_code, error.error_code = status, code  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    "kind",
    [*classes(azure.core.exceptions), azure.identity.CredentialUnavailableError, AzureSigningError],
    ids=lambda kind: kind.__name__,
)
def test_every_exception_of_azure_becomes_ours(kind: type[Exception]) -> None:
    error = ours_at_azure(bare(kind), mutates=True)
    assert isinstance(error, (Refused, Unavailable, OutcomeUnknown))
    assert (error.operation, error.resource, error.vault) == ("azure Put Blob", "a", "azure-eu")


@pytest.mark.parametrize(
    ("kind", "reading", "changing"),
    [
        ("ServiceRequestError", Unavailable, Unavailable),
        ("ServiceRequestTimeoutError", Unavailable, Unavailable),
        ("ServiceResponseError", Unavailable, OutcomeUnknown),
        ("ServiceResponseTimeoutError", Unavailable, OutcomeUnknown),
        ("IncompleteReadError", Unavailable, OutcomeUnknown),
        ("DecodeError", Unavailable, OutcomeUnknown),
        ("ClientAuthenticationError", Refused, Refused),
    ],
)
def test_what_an_exception_of_azure_means(kind: str, reading: type[DrorchError], changing: type[DrorchError]) -> None:
    error = getattr(azure.core.exceptions, kind)
    assert type(ours_at_azure(bare(error))) is reading
    assert type(ours_at_azure(bare(error), mutates=True)) is changing


@pytest.mark.parametrize("code", sorted(azure_errors._CODES))
def test_every_code_of_azures_table_means_the_same_for_reading_and_changing_calls(code: str) -> None:
    kind, hint = azure_errors._CODES[code]
    for mutates in (False, True):
        error = ours_at_azure(azure_answer(409, code), mutates=mutates)
        assert (type(error), error.hint) == (kind, hint)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "InvalidHeaderValue", Refused),
        (401, "InvalidAuthenticationInfo", Unavailable),
        (403, "AuthorizationFailure", Refused),
        (404, "", NotFound),
        (408, "", OutcomeUnknown),
        (409, "BlobBeingRehydrated", Unavailable),
        (412, "LeaseIdMissing", Refused),
        (429, "", Busy),
        (500, "InternalError", OutcomeUnknown),
        (501, "", Refused),
        (503, "", OutcomeUnknown),
        (503, "ServerBusy", Busy),
        (200, "", OutcomeUnknown),
    ],
)
def test_what_an_answer_of_azure_means(status: int, code: str, kind: type[DrorchError]) -> None:
    assert type(ours_at_azure(azure_answer(status, code), mutates=True)) is kind


def test_the_signature_of_a_shared_access_stands_in_no_error_of_azure() -> None:
    """requests names the whole address of what it did not reach."""
    words = "Max retries exceeded with url: /vault/a?sv=2024-11-04&sig=c2VjcmV0%3D&sr=c (Caused by SSLError())"
    error = ours_at_azure(azure.core.exceptions.ServiceRequestError(words))
    assert "c2VjcmV0" not in f"{error} {error.cause}"
    assert "sig=...&sr=c (Caused by" in error.cause


# --- Swift ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", classes(requests.exceptions), ids=lambda kind: kind.__name__)
def test_every_exception_of_requests_becomes_ours_at_swift(kind: type[Exception]) -> None:
    error = ours_at_swift(bare(kind), mutates=True)
    assert isinstance(error, (Refused, Unavailable, OutcomeUnknown))
    assert (error.operation, error.resource, error.vault) == ("swift PUT", "a", "dfw")


KEYSTONE = [
    found
    for _, found in inspect.getmembers(keystoneauth1.exceptions, inspect.isclass)
    if issubclass(found, keystoneauth1.exceptions.ClientException)
]
"""The others are mixed into these, or come of a discovery of versions that nobody asks for."""


@pytest.mark.parametrize("kind", [*KEYSTONE, *classes(swiftclient.exceptions)], ids=lambda kind: kind.__name__)
def test_every_exception_of_the_sign_in_becomes_ours_and_is_never_unknown(kind: type[Exception]) -> None:
    error = bare(kind)
    with pytest.raises((Refused, Unavailable)) as raised, swift.signing_in("dfw"):
        raise error
    assert (raised.value.operation, raised.value.vault) == ("swift sign-in", "dfw")


@pytest.mark.parametrize(
    ("status", "reading", "changing"),
    [
        (302, Unavailable, OutcomeUnknown),
        (400, Refused, Refused),
        (401, Refused, Refused),
        (403, Refused, Refused),
        (404, NotFound, NotFound),
        (408, Unavailable, OutcomeUnknown),
        (409, Unavailable, Unavailable),
        (412, AlreadyExists, AlreadyExists),
        (413, Refused, Refused),
        (422, Damaged, Damaged),
        (429, Busy, Busy),
        (498, Busy, Busy),
        (500, Unavailable, OutcomeUnknown),
        (503, Unavailable, OutcomeUnknown),
        (507, Unavailable, OutcomeUnknown),
    ],
)
def test_what_a_status_of_swift_means(status: int, reading: type[DrorchError], changing: type[DrorchError]) -> None:
    reply = requests.Response()
    reply.status_code = status
    for mutates, expected in ((False, reading), (True, changing)):
        error = swift.answered(reply, operation="swift PUT", resource="a", vault="dfw", mutates=mutates)
        assert type(error) is expected
