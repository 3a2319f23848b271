"""What clouds answer: listings, heads, bodies, errors, over the real SDKs with replies that come from a file.

An input is a script: a first line with the call, then replies, each ``HTTP STATUS``, headers, an empty line and the
body; replies are parted by a line of equals signs. When they are used up the connection is lost.
"""

from __future__ import annotations

import base64
import functools
import io
import os
import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import google_crc32c
from botocore.awsrequest import AWSResponse
from botocore.exceptions import EndpointConnectionError
from fuzz.engine import Parser
from google.api_core.retry import Retry
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as NoConnection
from urllib3 import HTTPHeaderDict, HTTPResponse

from drorch.aws import AMBIENT, AwsAccounts
from drorch.domain.errors import DrorchError, OutcomeUnknown, Refused, Unavailable
from drorch.ports import ObjectInfo, PendingUpload
from drorch.stores import StoreClock
from drorch.stores.gcs import Options as GcsOptions
from drorch.stores.gcs import open_store as open_gcs
from drorch.stores.s3 import Options as S3Options
from drorch.stores.s3 import open_store as open_s3

PARTED = b"\n=====\n"
REGION = "us-east-1"
WHEN = "2026-11-20T09:00:00.000Z"
PATHS = ("drorch/v1/a.json", "drorch/v1/b.json", "drorch/v1/c.json")
BODY = b"the bytes of an object\n" * 3
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "fuzz",
    "AWS_SECRET_ACCESS_KEY": "fuzz",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
    "STORAGE_EMULATOR_HOST": "http://gcs.invalid",
}


class Script:
    """The replies of one input, in their order."""

    def __init__(self) -> None:
        self.replies: deque[bytes] = deque()
        self.call = b""
        self.given: list[bytes] = []
        """The replies that were asked for."""

    def load(self, data: bytes) -> None:
        self.given = []
        self.call, _, rest = data.partition(b"\n")
        self.replies = deque(rest.split(PARTED)[:20])

    def next(self, method: str | None) -> HTTPResponse | None:
        """The next reply; None when the connection is lost."""
        if not self.replies:
            return None
        self.given.append(self.replies.popleft())
        return _reply(self.given[-1], method)


def _reply(text: bytes, method: str | None) -> HTTPResponse:
    head, _, body = text.partition(b"\n\n")
    first, *lines = head.decode("latin-1").split("\n")
    found = re.search(r"[1-5]\d\d", first)
    headers = HTTPHeaderDict()
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and re.fullmatch(r"[\w-]+", name):
            headers.add(name, value.strip())
    return HTTPResponse(
        body=io.BytesIO(body), headers=headers, status=int(found.group()) if found else 200, preload_content=False,
        reason="", version=11, request_method=method, enforce_content_length=True,
    )  # fmt: skip


SCRIPT = Script()


def reply(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """One reply of a script, with its length."""
    told = {"Content-Length": str(len(body)), **(headers or {})}
    lines = "".join(f"{name}: {value}\n" for name, value in told.items())
    return f"HTTP {status}\n{lines}\n".encode() + body


def script(call: str, *replies: bytes) -> bytes:
    """A whole script."""
    return call.encode() + b"\n" + PARTED.join(replies)


# --- the SDKs, with a script for a network -------------------------------------------------------------------------


def _answer(request: Any, **_rest: Any) -> AWSResponse:
    raw = SCRIPT.next(request.method)
    if raw is None:
        raise EndpointConnectionError(endpoint_url=request.url)
    return AWSResponse(request.url, raw.status, raw.headers, raw)  # type: ignore[arg-type]


class _Adapter(HTTPAdapter):
    def send(self, request: Any, *_: Any, **__: Any) -> Any:
        raw = SCRIPT.next(request.method)
        if raw is None:
            raise NoConnection("the script has ended")
        return self.build_response(request, raw)


@functools.cache
def accounts() -> AwsAccounts:
    return AwsAccounts(attempts=1)


def _with_environment(make: Callable[[], Any]) -> Any:
    former = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        return make()
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@functools.cache
def client(service: str, repeatable: bool = True) -> Any:
    client = _with_environment(lambda: accounts().client(service, AMBIENT, REGION, repeatable=repeatable))
    client.meta.events.register_first(f"before-send.{service}", _answer)
    return client


@functools.cache
def s3() -> Any:
    """An S3 vault over the script."""
    client("s3")
    return open_s3("s3-west", S3Options(bucket="acme-dr", region=REGION, account=AMBIENT), accounts())


@functools.cache
def gcs() -> Any:
    """A GCS vault over the script."""
    store = _with_environment(lambda: open_gcs("gcs-eu", GcsOptions(bucket="acme-dr", region="eu")))
    store._asked["retry"] = Retry(predicate=lambda _: False)  # its pauses are drawn by lot: a run must be repeatable
    store._client._bucket_metadata_cache = None  # a thread of the SDK's that asks for the bucket beside every call
    for http in (store.http, store._client._http):
        http.mount("http://", _Adapter())
    return store


# --- what may come of it -------------------------------------------------------------------------------------------


def asked(call: Callable[[], object], *, mutates: bool = False) -> Any:
    """The answer, or None for one of our kinds of errors; a reader's is never OutcomeUnknown."""
    try:
        return call()
    except (Refused, Unavailable) as error:
        assert error.operation or error.vault or isinstance(error, Refused), "nobody can tell what failed"
        str(error).encode("utf-8", "surrogatepass")
    except OutcomeUnknown:
        assert mutates
    except DrorchError as error:
        raise AssertionError(f"none of the three kinds: {error}") from error
    return None


def _store_check(store: Callable[[], Any], sign: bytes) -> Callable[[bytes], None]:
    """`sign` is in every reply that is a page of a listing."""

    def check(data: bytes) -> None:
        SCRIPT.load(data)
        vault = store()
        vault._clock = StoreClock(vault._ask_time)  # a run must be repeatable: nothing is known from the input before
        first = SCRIPT.call[:1]
        if first == b"s":
            _sound(asked(lambda: [vault.stat(PATHS[0])]))
        elif first == b"r":
            asked(lambda: b"".join(vault.read(PATHS[0])))
        elif first == b"p":
            asked(lambda: vault.put(PATHS[0], BODY), mutates=True)
        elif first == b"d":
            done = asked(lambda: [vault.delete(PATHS[0])], mutates=True)
            assert not done or sign in SCRIPT.given[0], "it is gone, says a listing that says nothing"
        elif first == b"o":
            lock = asked(lambda: vault.lock_of(PATHS[0]))
            assert lock is None or lock.until.tzinfo is not None
        elif first in (b"h", b"u"):
            calls = {b"h": vault.history, b"u": vault.uploads}
            found = asked(lambda: list(calls[first]("drorch/")))
            _sound_versions(found)
            assert found is None or all(sign in given for given in SCRIPT.given), "a listing that says nothing is empty"
        else:
            found = asked(lambda: list(vault.list("drorch/")))
            _sound(found)
            assert found is None or all(sign in given for given in SCRIPT.given), "a listing that says nothing is empty"

    return check


def _sound(found: Any) -> None:
    for info in found or ():
        assert isinstance(info, ObjectInfo)
        assert isinstance(info.path, str)
        assert isinstance(info.size, int), "no size"
        assert info.modified.tzinfo is not None


def _sound_versions(found: Any) -> None:
    for one in found or ():
        assert isinstance(one.path, str)
        if isinstance(one, PendingUpload):
            assert one.begun.tzinfo is not None
            assert one.handle
        else:
            assert isinstance(one.size, int)
            assert one.modified.tzinfo is not None
            assert one.version != "None"


# --- seeds ---------------------------------------------------------------------------------------------------------


def s3_page(paths: tuple[str, ...], following: str = "") -> bytes:
    """The body of one page of ListObjectsV2."""
    more = f"<NextContinuationToken>{following}</NextContinuationToken>" if following else ""
    entries = "".join(
        f'<Contents><Key>{path}</Key><LastModified>{WHEN}</LastModified><ETag>"ab"</ETag><Size>7</Size></Contents>'
        for path in paths
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>acme-dr</Name><KeyCount>{len(paths)}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"<IsTruncated>{'true' if following else 'false'}</IsTruncated>{more}{entries}</ListBucketResult>"
    ).encode()


def _s3_error(code: str, status: int) -> bytes:
    return reply(f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode(), status)


def s3_versions(*entries: str, following: str = "") -> bytes:
    """The body of one page of ListObjectVersions; an entry is ``PATH VERSION``, with a minus before it for a marker."""

    def entry(text: str) -> str:
        path, version = text.removeprefix("-").split()
        name, size = ("DeleteMarker", "") if text.startswith("-") else ("Version", "<Size>7</Size>")
        facts = f"<VersionId>{version}</VersionId><IsLatest>false</IsLatest><LastModified>{WHEN}</LastModified>{size}"
        return f"<{name}><Key>{path}</Key>{facts}</{name}>"

    more = f"<NextKeyMarker>{following}</NextKeyMarker>" if following else ""
    return (
        f"<ListVersionsResult><IsTruncated>{'true' if following else 'false'}</IsTruncated>{more}"
        f"{''.join(map(entry, entries))}</ListVersionsResult>"
    ).encode()


def _s3_uploads(following: str, *handles: str) -> bytes:
    entries = "".join(
        f"<Upload><Key>{PATHS[0]}</Key><UploadId>{handle}</UploadId><Initiated>{WHEN}</Initiated></Upload>"
        for handle in handles
    )
    more = f"<NextKeyMarker>{PATHS[0]}</NextKeyMarker><NextUploadIdMarker>{following}</NextUploadIdMarker>"
    return (
        f"<ListMultipartUploadsResult>{more if following else ''}<IsTruncated>{'true' if following else 'false'}"
        f"</IsTruncated>{entries}</ListMultipartUploadsResult>"
    ).encode()


_S3_HEAD = {"ETag": '"ab"', "Last-Modified": "Fri, 20 Nov 2026 09:00:00 GMT", "x-amz-meta-drorch-write": "ab"}

_S3_LOCK = {"x-amz-object-lock-mode": "COMPLIANCE", "x-amz-object-lock-retain-until-date": "2027-11-20T09:00:00Z"}


def _planted_s3() -> Mapping[str, bytes]:
    return {
        "list": script("list", reply(s3_page(PATHS))),
        "list-pages": script("list", reply(s3_page(PATHS[:2], "t1")), reply(s3_page(PATHS[2:]))),
        "list-slow-down": script("list", reply(s3_page(PATHS[:2], "t1")), _s3_error("SlowDown", 503)),
        "stat": script("stat", reply(b"", headers=_S3_HEAD).replace(b"Length: 0", b"Length: 7")),
        "stat-none": script("stat", reply(b"", 404), reply(s3_page(()))),
        "read": script("read", reply(BODY, headers=_S3_HEAD)),
        "read-again": script("read", reply(BODY, headers=_S3_HEAD)[:-9], reply(BODY, 206, headers=_S3_HEAD)),
        "put": script("put", reply(b"", headers={"ETag": '"ab"'})),
        "put-lost": script("put", _s3_error("InternalError", 500), reply(b"", headers=_S3_HEAD)),
        "put-taken": script("put", _s3_error("PreconditionFailed", 412), reply(b"", headers=_S3_HEAD)),
        "history": script("history", reply(s3_versions(f"{PATHS[0]} v1", f"-{PATHS[0]} v2", f"{PATHS[1]} null"))),
        "history-pages": script(
            "history", reply(s3_versions(f"{PATHS[0]} v2", following=PATHS[0])), reply(s3_versions(f"{PATHS[0]} v1"))
        ),
        "uploads": script("uploads", reply(_s3_uploads("u1", "u1")), reply(_s3_uploads("", "u2", "u3"))),
        "delete": script(
            "delete", reply(s3_versions(f"{PATHS[0]} v2", f"{PATHS[0]} v1")), reply(b"", 204), reply(b"", 204)
        ),
        "delete-locked": script(
            "delete",
            reply(s3_versions(f"{PATHS[0]} v2", f"{PATHS[0]} v1")),
            _s3_error("AccessDenied", 403),
            reply(b"", headers={**_S3_HEAD, **_S3_LOCK}),
            reply(s3_page(()), headers={"Date": "Fri, 20 Nov 2026 09:00:00 GMT"}),
        ),
        "lock": script("object-lock", reply(b"", headers={**_S3_HEAD, **_S3_LOCK})),
    }


def gcs_page(paths: tuple[str, ...], following: str = "") -> bytes:
    """The body of one page of objects.list."""
    entries = ",".join(f'{{"name":"{path}","size":"7","timeCreated":"{WHEN}"}}' for path in paths)
    more = f',"nextPageToken":"{following}"' if following else ""
    return f'{{"kind":"storage#objects","items":[{entries}]{more}}}'.encode()


def _gcs_generations(*numbers: int) -> bytes:
    entries = ",".join(
        f'{{"name":"{PATHS[0]}","size":"7","timeCreated":"{WHEN}","timeDeleted":"{WHEN}","generation":"{number}"}}'
        for number in numbers
    )
    return f'{{"items":[{entries}]}}'.encode()


def _gcs_error(status: int, reason: str) -> bytes:
    body = f'{{"error":{{"code":{status},"message":"no","errors":[{{"reason":"{reason}"}}]}}}}'
    return reply(body.encode(), status, headers={"Content-Type": "application/json"})


_checksum: Any = google_crc32c.Checksum
_CRC = base64.b64encode(_checksum(BODY).digest()).decode()


def _planted_gcs() -> Mapping[str, bytes]:
    fact = f'{{"name":"{PATHS[0]}","size":"69","timeCreated":"{WHEN}","metadata":{{"drorch-write":"ab"}}}}'.encode()
    retention = '"retention":{"mode":"Locked","retainUntilTime":"2027-11-20T09:00:00Z"}'
    locked = fact[:-1] + b"," + retention.encode() + b"}"
    kind = {"Content-Type": "application/json"}
    body = {"x-goog-hash": "crc32c=" + _CRC, "x-goog-generation": "3"}
    span = {"Content-Range": "bytes 0-68/69", **body}
    return {
        "list": script("list", reply(gcs_page(PATHS), headers=kind)),
        "list-pages": script(
            "list", reply(gcs_page(PATHS[:2], "t1"), headers=kind), reply(gcs_page(PATHS[2:]), headers=kind)
        ),
        "list-none": script("list", reply(b'{"kind":"storage#objects"}', headers=kind)),
        "list-busy": script(
            "list", reply(gcs_page(PATHS[:2], "t1"), headers=kind), _gcs_error(429, "rateLimitExceeded")
        ),
        "stat": script("stat", reply(fact, headers=kind)),
        "stat-none": script("stat", _gcs_error(404, "notFound"), reply(gcs_page(()), headers=kind)),
        "read": script("read", reply(BODY, headers=body)),
        "read-again": script("read", reply(BODY, headers=body)[:-9], reply(BODY, 206, headers=span)),
        "put": script("put", reply(fact, headers=kind)),
        "put-lost": script("put", _gcs_error(500, "backendError"), reply(fact, headers=kind)),
        "put-taken": script("put", _gcs_error(412, "conditionNotMet"), reply(fact, headers=kind)),
        "history": script("history", reply(_gcs_generations(1, 2), headers=kind)),
        "delete": script(
            "delete", reply(_gcs_generations(1, 2), headers=kind), reply(b"", 204), reply(b"", 204)
        ),
        "delete-locked": script(
            "delete", reply(_gcs_generations(1), headers=kind), _gcs_error(403, "forbidden"),
            reply(locked, headers=kind), reply(b"{}", headers={**kind, "Date": "Fri, 20 Nov 2026 09:00:00 GMT"}),
        ),
        "lock": script("object-lock", reply(locked, headers=kind)),
    }  # fmt: skip


PARSERS = (
    Parser("s3", _store_check(s3, b"<IsTruncated"), _planted_s3, 300),
    Parser("gcs", _store_check(gcs, b"{"), _planted_gcs, 300),
)
