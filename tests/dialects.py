"""The protocols of the stores as the proxy needs them: what a request is for, and how a success looks that is none.

Names alike in all: ``put``, ``begin``, ``part``, ``commit``, ``get``, ``head``, ``list``, ``delete``, ``lock``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from store_proxy import Reply, Request

ETAG = f'"{hashlib.md5(b"another", usedforsecurity=False).hexdigest()}"'
_LONG_AGO = "Fri, 20 Nov 2026 12:00:00 GMT"


@dataclass(frozen=True)
class Dialect:
    """`digests`: headers of a reply to ``get`` that say what its bytes are, each with another digest of its form."""

    name: Callable[[Request], str]
    idle: Mapping[str, Callable[[Request], Reply]]
    digests: Mapping[str, str]

    def misdigested(self, reply: Reply) -> None:
        """An order to the proxy: the digest of a reply is that of something else."""
        reply.headers = {name: self.digests.get(name.lower(), value) for name, value in reply.headers.items()}


def _always(status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Callable[[Request], Reply]:
    return lambda _: Reply(status, {"Date": _LONG_AGO, **(headers or {})}, body)


# --- S3 ------------------------------------------------------------------------------------------------------------


def _s3_name(request: Request) -> str:
    asked, method = request.query, request.method
    if "partNumber" in asked:
        return "part"
    if "retention" in asked:
        return "lock"
    if method == "POST":
        return "commit" if "uploadId" in asked else "begin"
    if method == "DELETE" and "uploadId" in asked:
        return "abort"
    if method == "GET" and not request.path.strip("/").partition("/")[2]:
        return "list"
    return method.lower()


_COMPLETED = b"""<?xml version="1.0"?><CompleteMultipartUploadResult><Location>http://here</Location><Bucket>b</Bucket>
<Key>k</Key><ETag>"0"</ETag></CompleteMultipartUploadResult>"""

S3 = Dialect(
    _s3_name,
    {
        "put": _always(200, {"ETag": ETAG}),
        "part": _always(200, {"ETag": ETAG}),
        "commit": _always(200, {"Content-Type": "application/xml"}, _COMPLETED),
        "delete": _always(204),
        "lock": _always(200),
    },
    {"etag": ETAG, "x-amz-checksum-crc32": "AAAAAA=="},
)

# --- Google Cloud Storage ------------------------------------------------------------------------------------------


def _gcs_name(request: Request) -> str:
    method = request.method
    if "upload_id" in request.query:
        if method != "PUT":
            return "abort"
        span = request.headers.get("Content-Range", "")
        if span.startswith("bytes */"):
            return "ask"
        return "part" if span.endswith("/*") else "commit"
    if method == "POST":
        return "begin" if request.query.get("uploadType") == ["resumable"] else "put"
    if method == "GET":
        if request.query.get("alt") == ["media"]:
            return "get"
        return "list" if request.path.endswith("/o") else "head"
    return {"PATCH": "lock"}.get(method, method.lower())


def _gcs_object(_: Request) -> Reply:
    body = {"kind": "storage#object", "name": "somewhere", "bucket": "b", "size": "1", "metageneration": "1"}
    return Reply(200, {"Content-Type": "application/json", "Date": _LONG_AGO}, json.dumps(body).encode())


def _gcs_taken(request: Request) -> Reply:
    """Of a chunk: all of it is safe."""
    last = request.headers["Content-Range"].removeprefix("bytes ").partition("/")[0].partition("-")[2]
    return Reply(308, {"Range": f"bytes=0-{last}", "Date": _LONG_AGO}, b"")


GCS = Dialect(
    _gcs_name,
    {"put": _gcs_object, "part": _gcs_taken, "commit": _gcs_object, "delete": _always(204), "lock": _gcs_object},
    {"x-goog-hash": "crc32c=AAAAAA==,md5=AAAAAAAAAAAAAAAAAAAAAA=="},
)

# --- Azure Blob Storage --------------------------------------------------------------------------------------------


def _azure_name(request: Request) -> str:
    method, comp = request.method, request.query.get("comp", [""])[0]
    named = {
        ("PUT", "block"): "part",
        ("PUT", "blocklist"): "commit",
        ("GET", "blocklist"): "blocks",
        ("PUT", "immutabilityPolicies"): "lock",
        ("GET", "list"): "list",
    }
    return named.get((method, comp), method.lower())


_WRITTEN = {"ETag": '"0x8D000000000000"', "Last-Modified": _LONG_AGO, "x-ms-version-id": "1"}

AZURE = Dialect(
    _azure_name,
    {
        "put": _always(201, _WRITTEN),
        "part": _always(201),
        "commit": _always(201, _WRITTEN),
        "delete": _always(202),
        "lock": _always(200),
    },
    {"content-md5": "AAAAAAAAAAAAAAAAAAAAAA==", "x-ms-blob-content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="},
)

# --- OpenStack Swift -----------------------------------------------------------------------------------------------


def _swift_name(request: Request) -> str:
    """Of ``/v1/ACCOUNT/CONTAINER/NAME``."""
    method, _, name = request.method, *_swift_place(request)
    if method == "PUT":
        if "multipart-manifest" in request.query:
            return "commit"
        return {"segments": "part", "uploads": "mark"}.get(name.partition(".drorch/")[2].partition("/")[0], "put")
    if not name:
        return {"GET": "list", "HEAD": "container", "POST": "bulk"}.get(method, method.lower())
    return method.lower()


def _swift_place(request: Request) -> tuple[str, str]:
    """(container, name)."""
    container, _, name = request.path.lstrip("/").partition("/")[2].partition("/")[2].partition("/")
    return container, name


_CREATED = {"Etag": ETAG.strip('"'), "Last-Modified": _LONG_AGO}

SWIFT = Dialect(
    _swift_name,
    {
        "put": _always(201, _CREATED),
        "part": _always(201, _CREATED),
        "commit": _always(201, _CREATED),
        "delete": _always(204),
    },
    {"etag": ETAG.strip('"')},
)
