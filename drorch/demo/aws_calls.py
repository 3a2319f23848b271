"""What a request to the embedded AWS asks for: service, operation, regions; and errors as each protocol spells them."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

_SCOPE = re.compile(r"/\d{8}/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request")
_PAGE_TOKENS = frozenset({"NextToken", "Marker", "continuation-token", "marker", "key-marker"})
_SUBRESOURCES = {
    "acl": "Acl",
    "encryption": "Encryption",
    "legal-hold": "LegalHold",
    "lifecycle": "Lifecycle",
    "location": "Location",
    "object-lock": "LockConfiguration",
    "policy": "Policy",
    "publicAccessBlock": "PublicAccessBlock",
    "retention": "Retention",
    "tagging": "Tagging",
    "versioning": "Versioning",
}
_S3_OBJECT = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
_S3_BUCKET = {"GET": "ListObjects", "HEAD": "HeadBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}
_VERBS = {"GET": "Get", "PUT": "Put", "DELETE": "Delete"}


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `regions` are all regions it needs alive besides the bucket's; `key` tells listings apart."""

    service: str
    operation: str
    region: str
    regions: frozenset[str]
    bucket: str = ""
    later_page: bool = False
    key: str = ""

    @property
    def listing(self) -> bool:
        """Whether it lists (its replies can go stale)."""
        return self.operation.startswith(("Describe", "List"))


def identify(environ: dict[str, Any]) -> Call | None:
    """The call that a WSGI request makes, by its SigV4 credential scope; None for what is not signed.

    Reads a form body and puts it back; bodies of other kinds stay unread.
    """
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    credential = environ.get("HTTP_AUTHORIZATION") or (query.get("X-Amz-Credential") or [""])[0]
    scope = _SCOPE.search(credential)
    if scope is None:
        return None
    region, service = scope[1], scope[2]
    if service == "s3":
        return _s3_call(environ, query, region)
    form = _form(environ)
    operation = (form.get("Action") or [environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]])[0]
    return Call(
        service=service,
        operation=operation,
        region=region,
        regions=frozenset({region, *_source_regions(form)}),
        later_page=not _PAGE_TOKENS.isdisjoint(form),
        key=f"{region} {sorted(form.items())}",
    )


def _form(environ: dict[str, Any]) -> dict[str, list[str]]:
    if not environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return {}
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return parse_qs(body.decode(), keep_blank_values=True)


def _source_regions(form: dict[str, list[str]]) -> list[str]:
    """The regions that a copy reads from; a copy out of a lost region fails like a call to it."""
    arns = [
        arn
        for name in ("SourceDBSnapshotIdentifier", "SourceDBClusterSnapshotIdentifier")
        for arn in form.get(name, [])
    ]
    return [*form.get("SourceRegion", []), *(arn.split(":")[3] for arn in arns if arn.startswith("arn:"))]


def _s3_call(environ: dict[str, Any], query: dict[str, list[str]], region: str) -> Call:
    bucket, _, key = unquote(environ.get("PATH_INFO", "")).lstrip("/").partition("/")
    return Call(
        service="s3",
        operation=_s3_operation(environ["REQUEST_METHOD"], bucket, key, query),
        region=region,
        regions=frozenset({region}),
        bucket=bucket,
        later_page=not _PAGE_TOKENS.isdisjoint(query),
        key=f"{region} {bucket}/{key} {sorted(query.items())}",
    )


def _s3_operation(method: str, bucket: str, key: str, query: dict[str, list[str]]) -> str:
    if not bucket:
        return "ListBuckets"
    if "uploadId" in query:
        parts = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}
        return parts.get(method, "ListParts")
    if "uploads" in query:
        return "CreateMultipartUpload" if method == "POST" else "ListMultipartUploads"
    for name, suffix in _SUBRESOURCES.items():
        if name in query:
            of_object = bool(key) or name == "object-lock"
            return f"{_VERBS.get(method, method)}{'Object' if of_object else 'Bucket'}{suffix}"
    if method == "POST":
        return "DeleteObjects" if "delete" in query else "PostObject"
    if "versions" in query:
        return "ListObjectVersions"
    if "list-type" in query:
        return "ListObjectsV2"
    return (_S3_OBJECT if key else _S3_BUCKET).get(method, method)


_CODES = {
    # mode: (EC2, S3, other query services, JSON services); each (status, code)
    "before": (
        (503, "Unavailable"),
        (503, "ServiceUnavailable"),
        (503, "ServiceUnavailable"),
        (500, "KMSInternalException"),
    ),
    "throttle": ((503, "RequestLimitExceeded"), (503, "SlowDown"), (400, "Throttling"), (400, "ThrottlingException")),
    "credentials-expired": (
        (400, "RequestExpired"),
        (400, "ExpiredToken"),
        (403, "ExpiredToken"),
        (400, "ExpiredTokenException"),
    ),
    "denied": (
        (403, "UnauthorizedOperation"),
        (403, "AccessDenied"),
        (403, "AccessDenied"),
        (400, "AccessDeniedException"),
    ),
    "broken": ((500, "InternalError"), (500, "InternalError"), (500, "InternalFailure"), (500, "InternalFailure")),
}


def error_reply(call: Call, mode: str, message: str) -> tuple[int, str, bytes]:
    """Status, content type and body of an error of kind `mode`, as the call's service words it."""
    ec2, s3, query, structured = _CODES[mode]
    text = escape(message)
    if call.service == "ec2":
        status, code = ec2
        inner = f"<Errors><Error><Code>{code}</Code><Message>{text}</Message></Error></Errors><RequestID>0</RequestID>"
        return status, "text/xml", f"<Response>{inner}</Response>".encode()
    if call.service == "s3":
        status, code = s3
        return status, "application/xml", f"<Error><Code>{code}</Code><Message>{text}</Message></Error>".encode()
    if call.service == "kms":
        status, code = structured
        return status, "application/x-amz-json-1.1", json.dumps({"__type": code, "message": message}).encode()
    status, code = query
    inner = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error><RequestId>0</RequestId>"
    return status, "text/xml", f"<ErrorResponse>{inner}</ErrorResponse>".encode()
