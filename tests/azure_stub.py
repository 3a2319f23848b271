"""A Blob Storage with versions and version-level immutability, which Azurite lacks: the documented exchange, no more.

https://learn.microsoft.com/rest/api/storageservices/operations-on-blobs: Put Blob, Put Block, Put Block List, Get Block
List, Get Blob, Get Blob Properties, Delete Blob, List Blobs, Set Blob Immutability Policy. Signatures are not looked
at. A deletion of what a path shows makes it a version that is not current; one whose policy stands is not deleted.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape


class Refusal(Exception):
    """An answer of Azure's that is none of 2xx."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass
class Version:
    body: bytes
    metadata: dict[str, str]
    id: str
    modified: datetime
    mode: str = ""
    until: datetime | None = None
    etag: str = field(init=False)

    def __post_init__(self) -> None:
        self.etag = f'"0x{hashlib.md5(self.id.encode(), usedforsecurity=False).hexdigest()[:15].upper()}"'

    def headers(self) -> dict[str, str]:
        """Of Get Blob and Get Blob Properties."""
        found = {f"x-ms-meta-{name}": value for name, value in self.metadata.items()}
        if self.until is not None:
            found["x-ms-immutability-policy-mode"] = self.mode.lower()
            found["x-ms-immutability-policy-until-date"] = format_datetime(self.until, usegmt=True)
        return found | {
            "ETag": self.etag,
            "Last-Modified": format_datetime(self.modified, usegmt=True),
            "x-ms-version-id": self.id,
            "x-ms-blob-type": "BlockBlob",
        }


class AzureStub:
    """A context manager: one container. `locking` says whether it takes immutability policies to heart."""

    def __init__(self) -> None:
        self.locking = True
        self.page = 5000
        self.versions: dict[str, list[Version]] = {}
        self.shown: dict[str, Version] = {}
        self.blocks: dict[str, dict[str, bytes]] = {}
        self.guard = threading.RLock()
        self._numbers = itertools.count()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"stub": self}))
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> AzureStub:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def write(self, name: str, body: bytes, headers: Any) -> Version:
        """A new current version; what was there stays as one that is not."""
        if headers.get("If-None-Match") == "*" and name in self.shown:
            raise Refusal(409, "BlobAlreadyExists")
        now = datetime.now(UTC)
        metadata = {key[10:]: value for key, value in headers.items() if key.lower().startswith("x-ms-meta-")}
        moment = f"{now:%Y-%m-%dT%H:%M:%S}.{next(self._numbers):07d}Z"
        version = Version(body, metadata, moment, now.replace(microsecond=0))
        self.lock(version, headers)
        self.versions.setdefault(name, []).append(version)
        self.shown[name] = version
        self.blocks.pop(name, None)
        return version

    def lock(self, version: Version, headers: Any) -> None:
        """Set the policy that the headers ask for: a locked one gets longer only."""
        asked = headers.get("x-ms-immutability-policy-until-date")
        if not asked or not self.locking:
            return
        until = parsedate_to_datetime(asked)
        mode = headers.get("x-ms-immutability-policy-mode") or "unlocked"
        weaker = version.until is not None and (until < version.until or mode.lower() != "locked")
        if until <= datetime.now(UTC) or (version.mode.lower() == "locked" and weaker):
            raise Refusal(409, "BlobImmutableDueToPolicy")
        version.until, version.mode = until, mode

    def find(self, name: str, version_id: str, headers: Any) -> Version:
        """The version that is named, or what the path shows; under the condition that the headers set."""
        named = [version for version in self.versions.get(name, ()) if version.id == version_id]
        version = named[0] if named else None if version_id else self.shown.get(name)
        if version is None:
            raise Refusal(404, "BlobNotFound")
        if headers.get("If-Match", version.etag) != version.etag:
            raise Refusal(412, "ConditionNotMet")
        return version

    def remove(self, name: str, version_id: str, headers: Any) -> None:
        """Delete Blob."""
        version = self.find(name, version_id, headers)
        if not version_id:
            del self.shown[name]
        elif version is self.shown.get(name):
            raise Refusal(403, "OperationNotAllowedOnRootBlob")
        elif version.until is not None and version.until > datetime.now(UTC):
            raise Refusal(409, "BlobImmutableDueToPolicy")
        else:
            self.versions[name].remove(version)

    def expire(self, by: timedelta) -> None:
        """Let every policy have been set earlier."""
        for version in itertools.chain.from_iterable(self.versions.values()):
            version.until = None if version.until is None else version.until - by

    def listing(self, prefix: str, include: str, after: str, limit: int) -> str:
        """List Blobs, by name, versions from the oldest to the newest."""
        rows: list[tuple[str, Version | None]] = []
        waiting = self.blocks if "uncommittedblobs" in include else {}
        for name in sorted({*self.versions, *waiting}):
            if "versions" in include:
                rows += [(name, version) for version in self.versions.get(name, ())]
            elif name in self.shown:
                rows.append((name, self.shown[name]))
            elif name in waiting:
                rows.append((name, None))
        rows = [row for row in rows if row[0].startswith(prefix)]
        start, size = int(after or 0), min(limit, self.page)
        found = "".join(self._row(name, version) for name, version in rows[start : start + size])
        more = str(start + size) if start + size < len(rows) else ""
        asked = f"<Prefix>{escape(prefix)}</Prefix><MaxResults>{limit}</MaxResults>"
        return f"<EnumerationResults>{asked}<Blobs>{found}</Blobs><NextMarker>{more}</NextMarker></EnumerationResults>"

    def _row(self, name: str, version: Version | None) -> str:
        if version is None:
            empty = "<Content-Length>0</Content-Length><BlobType>BlockBlob</BlobType>"
            return f"<Blob><Name>{escape(name)}</Name><Properties>{empty}</Properties></Blob>"
        current = "<IsCurrentVersion>true</IsCurrentVersion>" if self.shown.get(name) is version else ""
        return (
            f"<Blob><Name>{escape(name)}</Name><VersionId>{version.id}</VersionId>{current}<Properties>"
            f"<Last-Modified>{format_datetime(version.modified, usegmt=True)}</Last-Modified>"
            f"<Etag>{version.etag}</Etag><Content-Length>{len(version.body)}</Content-Length>"
            "<BlobType>BlockBlob</BlobType></Properties></Blob>"
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: AzureStub

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        self._asked = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        name = unquote(parts.path).split("/", 3)[3:]
        try:
            digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
            if self.headers.get("Content-MD5", digest) != digest:
                raise Refusal(400, "Md5Mismatch")
            with self.stub.guard:
                answer = self._answer(name[0] if name else "", body)
        except Refusal as refusal:
            text = f"<Error><Code>{refusal.code}</Code><Message>{refusal.code}</Message></Error>"
            answer = refusal.status, {"x-ms-error-code": refusal.code, "Content-Type": "application/xml"}, text.encode()
        status, headers, content = answer
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _answer(self, name: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        stub, asked = self.stub, self._asked
        version_id = asked.get("versionid", "")
        match self.command, asked.get("comp", ""):
            case "GET", "list":
                limit = int(asked.get("maxresults") or stub.page)
                found = stub.listing(asked.get("prefix", ""), asked.get("include", ""), asked.get("marker", ""), limit)
                return 200, {"Content-Type": "application/xml"}, found.encode()
            case "PUT", "block":
                stub.blocks.setdefault(name, {})[asked["blockid"]] = body
                return 201, {}, b""
            case "GET", "blocklist":
                return self._block_list(name)
            case "PUT", "blocklist":
                names = [str(block.text) for block in ElementTree.fromstring(body)]  # noqa: S314  (of our own SDK)
                held = stub.blocks.get(name, {})
                if not set(names) <= set(held):
                    raise Refusal(400, "InvalidBlockList")
                body = b"".join(held[block] for block in names)
            case "PUT", "immutabilityPolicies":
                stub.lock(stub.find(name, version_id, {}), self.headers)
                return 200, {}, b""
            case "DELETE", _:
                stub.remove(name, version_id, self.headers)
                return 202, {}, b""
            case "GET" | "HEAD", _:
                return self._read(stub.find(name, version_id, self.headers))
        version = stub.write(name, body, self.headers)
        return 201, {"ETag": version.etag, "x-ms-version-id": version.id}, b""

    def _block_list(self, name: str) -> tuple[int, dict[str, str], bytes]:
        held = self.stub.blocks.get(name)
        if held is None and name not in self.stub.shown:
            raise Refusal(404, "BlobNotFound")
        blocks = "".join(
            f"<Block><Name>{block}</Name><Size>{len(body)}</Size></Block>" for block, body in (held or {}).items()
        )
        text = f"<BlockList><UncommittedBlocks>{blocks}</UncommittedBlocks></BlockList>"
        return 200, {"Content-Type": "application/xml"}, text.encode()

    def _read(self, version: Version) -> tuple[int, dict[str, str], bytes]:
        span = (self.headers.get("x-ms-range") or self.headers.get("Range") or "").removeprefix("bytes=")
        if not span:
            return 200, version.headers(), version.body
        first, _, last = span.partition("-")
        if int(first) >= len(version.body):
            raise Refusal(416, "InvalidRange")
        part = version.body[int(first) : int(last) + 1 if last else None]
        told = f"bytes {first}-{int(first) + len(part) - 1}/{len(version.body)}"
        return 206, version.headers() | {"Content-Range": told}, part

    do_GET = do_PUT = do_HEAD = do_DELETE = _serve  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Nothing."""
