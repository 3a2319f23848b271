"""OpenStack Swift, and what speaks its API: Rackspace Cloud Files, OVHcloud, Memset.

Write-once is `If-None-Match: *` on PUT (https://docs.openstack.org/api-ref/object-store/). Swift's object servers look
for the object before they take the bytes, and look no second time: writers that meet are all told 201, and the last of
them is what stays. So each write carries a token in the object's metadata; when every write that had passed the look
before ours has ended (`stores.let_settle`), the token that is there says who won. It settles a lost reply, too.

Large objects are static large objects, their segments hidden in the same container (`segments`). MD5 is what Swift
compares: `ETag` on the way in, and on the way out of what is read whole in one piece. It has no locks.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from drorch.domain.errors import (
    AlreadyExists,
    Damaged,
    DrorchError,
    NotFound,
    NotInThisVersion,
    OutcomeUnknown,
    Refused,
    Unavailable,
)
from drorch.domain.guide import StockTool
from drorch.domain.model import FailureDomain, ObjectLock
from drorch.ports import LockRule, ObjectInfo, ObjectVersion, PendingUpload, StoreLimits, check_path
from drorch.stores import SETTLE, let_settle, plain_prefix, unsettled
from drorch.stores.swift import replies, segments, stock
from drorch.stores.swift.account import SignIn
from drorch.stores.swift.session import PATIENCE, Session
from drorch.stores.swift.upload import SwiftUpload

CHUNK = 1024 * 1024
RESUMES = 3
"""How often one read is taken up again where its connection broke."""
UNKNOWN = "unknown"
"""The region of an address that names none: the catalogue's only one."""
_PREFIX_LENGTH = 60
"""Names have 1,024 bytes at most: the prefix, a path of 900, and what a segment's name adds."""


class Options(BaseModel):
    """`{type: swift, container: ..., provider: ..., region: ...}`, with the credentials of this process.

    `region` is a region of the Keystone catalogue; services of version 1 know none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    container: str = Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,254}$")
    provider: str = Field(min_length=1)
    region: str = Field(min_length=1)
    prefix: Annotated[str, Field(max_length=_PREFIX_LENGTH), AfterValidator(plain_prefix)] = ""

    @model_validator(mode="before")
    @classmethod
    def _no_lock(cls, given: Any) -> Any:
        """A lock that cannot be kept is refused with its reason, rather than as a key that is unknown."""
        if isinstance(given, dict) and given.get("lock") is not None:
            raise ValueError("Swift has no locks: whoever may write an object may delete it; take `lock` away")
        return given

    @property
    def domain(self) -> FailureDomain:
        """What is lost together with it."""
        return FailureDomain(provider=self.provider, region=self.region)

    @property
    def url(self) -> str:
        """What `from_url` reads; the service and the credentials are the environment's."""
        region = "" if self.region == UNKNOWN else f"?{urlencode({'region': self.region})}"
        return f"swift://{self.container}{f'/{self.prefix}' if self.prefix else ''}{region}"

    @property
    def stock_tools(self) -> tuple[StockTool, ...]:
        """What people read the container with."""
        return stock.tools(self.container, self.prefix, "" if self.region == UNKNOWN else self.region)


def open_store(name: str, options: Options, *, patience: float = PATIENCE, settle: float = SETTLE) -> SwiftStore:
    """The container as a vault; talks to nobody yet. Refused without python-swiftclient, or without credentials."""
    _require_client(name)
    sign_in = SignIn("" if options.region == UNKNOWN else options.region, name)
    session = Session(sign_in, options.container, name, patience=patience)
    return SwiftStore(name, session, options.container, options.prefix, settle=settle)


def _require_client(vault: str) -> None:
    try:
        import keystoneauth1  # noqa: F401
        import swiftclient  # noqa: F401
    except ModuleNotFoundError as error:
        raise Refused(
            "Swift's client is not installed", vault=vault, cause=str(error), hint='pip install "drorch[swift]"'
        ) from error


def from_url(url: str) -> Options:
    """``swift://container[/prefix][?region=]``. Without a region it is ``OS_REGION_NAME``'s. Raises Refused."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    region = query.pop("region", "") or os.environ.get("OS_REGION_NAME") or UNKNOWN
    shape = "swift://container[/prefix][?region=]"
    if parts.scheme != "swift" or query or parts.fragment:
        raise Refused(f"{url!r} is not the address of a Swift container", hint=shape)
    try:
        return Options(container=parts.netloc, provider="swift", region=region, prefix=parts.path)
    except ValidationError as error:
        wrong = "; ".join(str(found["msg"]) for found in error.errors())
        raise Refused(f"{url!r} is not the address of a Swift container", cause=wrong, hint=shape) from error


class SwiftStore:
    """An ObjectStore over a container. Safe for threads."""

    kind = {"Content-Type": "application/octet-stream"}  # noqa: RUF012  (never written to)
    newest = {"X-Newest": "true"}  # noqa: RUF012
    """Asks every replica, and takes the newest: one of them may not have been told yet."""

    def __init__(
        self,
        vault: str,
        session: Session,
        container: str,
        prefix: str = "",
        *,
        limits: StoreLimits | None = None,
        settle: float = SETTLE,
    ) -> None:
        """`settle`: see `let_settle`."""
        self.vault = vault
        self.limits = limits or StoreLimits()
        self.lock: LockRule | None = None
        self.session = session
        self.container = container
        self._prefix = f"{prefix}/" if prefix else ""
        self._settle = settle

    def now(self) -> datetime:
        """The Date header of a HEAD of the container."""
        reply = self._container("")
        with self.legible("swift HEAD", ""):
            return replies.date(reply)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """GET of the container, page by page."""
        check_path(prefix + "x", vault=self.vault)
        for found in self.listed(self.name(prefix), prefix):
            yield ObjectInfo(found.name.removeprefix(self._prefix), found.size, found.modified)

    def history(self, prefix: str) -> Iterator[ObjectVersion]:
        """`list`: versions that a container keeps are not shown, and are its owner's to remove."""
        for found in self.list(prefix):
            yield ObjectVersion(found.path, found.size, found.modified)

    def stat(self, path: str) -> ObjectInfo:
        """HEAD."""
        found = self.facts(path)
        return ObjectInfo(path, found.size, found.modified)

    def read(self, path: str, start: int = 0, length: int | None = None, *, version: str = "") -> Iterator[bytes]:
        """GET of a range; a broken connection is taken up again where it broke, on the same object only.

        The first reply says where it ends: one that comes after it does not change that. What is no large object and
        is read whole in one piece is compared with its MD5: Damaged, after the last byte, when they differ.
        """
        check_path(path, vault=self.vault)
        if version:
            raise NotFound("an object has one version", **self._where("swift GET", path))
        if length == 0:
            self._check_start(path, start, self.facts(path).size)
            return
        at, wanted = start, None if length is None else start + length
        end: int | None = None
        etag, checked = "", False
        digest = hashlib.md5(usedforsecurity=False)
        resumes = 0
        while end is None or at < end:
            broken: DrorchError | None = None
            with closing(self._get(path, at, wanted if end is None else end, etag)) as reply:
                if reply.status_code == 416:
                    return
                if end is None:
                    end, etag, checked = self._extent(path, at, wanted, reply)
                try:
                    while at < end:
                        with self.mapped("swift GET", path):
                            chunk = reply.raw.read(min(CHUNK, end - at))
                        if not chunk:
                            break
                        at += len(chunk)
                        digest.update(chunk)
                        yield chunk
                except Unavailable as error:
                    broken = error
            if at < end and (resumes := resumes + 1) > RESUMES:
                raise Unavailable(
                    f"the stream ended {end - at} bytes early, {resumes} times", **self._where("swift GET", path)
                ) from broken
        if checked and etag != digest.hexdigest():
            raise Damaged("what was read is not what Swift says it holds (MD5)", **self._where("swift GET", path))

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        """PUT in one request, with its MD5. One that is written once is looked at again when others have ended."""
        check_path(path, vault=self.vault)
        token, body = secrets.token_hex(16), bytes(body)
        headers = {
            **self.kind,
            "ETag": hashlib.md5(body, usedforsecurity=False).hexdigest(),
            **({replies.TOKEN: token} if overwrite else self.once(token)),
        }
        with self.settled(path, token, time.monotonic(), alone=overwrite):
            reply = self.session.ask(
                "swift PUT", path, "PUT", self.name(path), headers=headers, body=body, mutates=True
            )
            self.require_newest(reply, path)

    def upload(self, path: str) -> SwiftUpload:
        """A static large object, begun with the second part; a single part goes in one PUT."""
        return SwiftUpload(self, check_path(path, vault=self.vault))

    def delete(self, path: str) -> None:
        """DELETE; of a large object the manifest first, so that nothing is listed that cannot be read, then its
        segments. What is left when that fails half-way `uploads` shows, and `abort_upload` drops.
        """
        check_path(path, vault=self.vault)
        try:
            found = self.facts(path)
        except NotFound:
            return
        large = found.segmented and bool(found.token)
        if large:
            segments.mark(self, path, found.token)
        with suppress(NotFound):  # another deletion, or the first attempt at this one, was first
            self.session.ask("swift DELETE", path, "DELETE", self.name(path), mutates=True)
        if large:
            segments.drop(self, path, found.token)

    def lock_of(self, path: str) -> ObjectLock | None:
        """None: Swift has no locks."""
        self.facts(path)
        return None

    def extend_lock(self, path: str, until: datetime) -> None:  # noqa: ARG002  (the port's)
        """NotInThisVersion."""
        raise NotInThisVersion("Swift has no locks", **self._where("extend lock", path))

    def uploads(self, prefix: str) -> Iterator[PendingUpload]:
        """The marks of uploads and deletions that did not end, page by page."""
        check_path(prefix + "x", vault=self.vault)
        return segments.pending(self, prefix)

    def abort_upload(self, upload: PendingUpload) -> None:
        """Delete the segments, unless the object that they belong to is there after all."""
        check_path(upload.path, vault=self.vault)
        try:
            alive = self.facts(upload.path).token == upload.handle
        except NotFound:
            alive = False
        if alive:
            segments.unmark(self, upload.path, upload.handle)
        else:
            segments.drop(self, upload.path, upload.handle)

    def close(self) -> None:
        """Close every connection."""
        self.session.close()

    def name(self, path: str) -> str:
        """The name of the object at `path` (or what the names below a prefix begin with)."""
        return self._prefix + path

    def facts(self, path: str) -> replies.Facts:
        """HEAD. A missing container is not a missing object: Refused."""
        check_path(path, vault=self.vault)
        try:
            reply = self.session.ask("swift HEAD", path, "HEAD", self.name(path), headers=self.newest)
        except NotFound:
            self._container(path)
            raise
        with self.legible("swift HEAD", path):
            return replies.facts(reply)

    def listed(self, start: str, path: str) -> Iterator[replies.Listed]:
        """Every object whose name begins with `start`, by name; what is hidden only where `start` is. Pages go on
        until one is empty: a short one may be a cluster's own limit.
        """
        hidden = start.startswith(segments.HIDDEN)
        marker = ""
        while True:
            query = {"format": "json", "prefix": start, "marker": marker, "limit": str(self.limits.page)}
            try:
                reply = self.session.ask("swift GET container", path, "GET", query=query)
            except NotFound as error:
                raise self._no_container(error) from error
            with self.legible("swift GET container", path):
                page = replies.page(reply, start, marker)
            if not page:
                return
            for found in page:
                if hidden or not found.name.startswith(segments.HIDDEN):
                    yield found
            marker = page[-1].name
            if not hidden and marker.startswith(segments.HIDDEN):
                marker = segments.BEHIND_HIDDEN

    def once(self, token: str) -> dict[str, str]:
        """The headers of a PUT that replaces nothing, known by `token`."""
        return {"If-None-Match": "*", replies.TOKEN: token}

    @contextmanager
    def settled(self, path: str, token: str, began: float, *, alone: bool = False) -> Iterator[None]:
        """Around a PUT that `began` at that time: whose object is there in the end? AlreadyExists, OutcomeUnknown.

        `alone` says that it replaces whatever is there, and so never meets another.
        """
        try:
            yield
        except (AlreadyExists, OutcomeUnknown) as error:
            self._look(path, token, error)
        if not alone:
            let_settle(began, self._settle)
            self._look(path, token, OutcomeUnknown("it is not there any more", **self._where("swift PUT", path)))

    def require_newest(self, reply: Any, path: str) -> None:
        """OutcomeUnknown where Swift put the object behind a later one, or a later deletion: 202."""
        if reply.status_code == 202:
            raise OutcomeUnknown("Swift knows a later write or deletion", **self._where("swift PUT", path))

    def mapped(self, operation: str, path: str) -> AbstractContextManager[None]:
        """Our errors for those of requests, with this vault's name."""
        from drorch.stores.swift.errors import mapped

        return mapped(operation, resource=path, vault=self.vault)

    def legible(self, operation: str, path: str) -> AbstractContextManager[None]:
        """Unavailable, with this vault's name, where a field of a reply cannot be read."""
        return replies.legible(operation, resource=path, vault=self.vault)

    def _look(self, path: str, token: str, error: DrorchError) -> None:
        """Fine if what is there is ours. Else AlreadyExists; OutcomeUnknown where nothing is there, or unseen."""
        try:
            theirs = self.facts(path).token
        except DrorchError as unseen:
            raise unsettled(error, unseen) from error.__cause__
        if theirs == token:
            return
        if isinstance(error, AlreadyExists):
            raise error from error.__cause__
        raise AlreadyExists("another writer was first", **self._where(error.operation, path)) from error

    def _get(self, path: str, start: int, end: int | None, etag: str) -> Any:
        """The reply of a streamed GET."""
        headers = {**self.newest, **({"If-Match": f'"{etag}"'} if etag else {})}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        try:
            reply = self.session.ask(
                "swift GET", path, "GET", self.name(path), headers=headers, expected=(409, 412, 416), stream=True
            )
        except NotFound:
            self._container(path)
            raise
        if reply.status_code in (200, 206):
            found = replies.span(reply)
            if (start or found) and not found.startswith(f"{start}-"):
                reply.close()
                raise Unavailable("the reply begins at another byte", **self._where("swift GET", path))
            return reply
        with closing(reply):
            if reply.status_code == 412:
                raise Unavailable("it was replaced while it was read", **self._where("swift GET", path))
            if reply.status_code == 409:  # a segment cannot be read; is it gone?
                segments.require_whole(self, path)
                raise Unavailable("Swift cannot read a segment of it", **self._where("swift GET", path))
            if etag:  # it was there a moment ago
                raise Unavailable("it ends before its announced end", **self._where("swift GET", path))
            self._check_start(path, start, self.facts(path).size)
        return reply

    def _extent(self, path: str, start: int, wanted: int | None, reply: Any) -> tuple[int, str, bool]:
        """(where the bytes end that are to be read, the object's ETag, whether that is the MD5 of just those)."""
        with self.legible("swift GET", path):
            length, total = replies.extent(reply)
            etag = replies.etag(reply)
        if total is not None:
            self._check_start(path, start, total)
        end = start + length if wanted is None else min(wanted, start + length)
        return end, etag, total is None and end == start + length and not replies.segmented(reply)

    def _check_start(self, path: str, start: int, size: int) -> None:
        if start > size:
            raise Refused("it ends before the first byte asked for", **self._where("swift GET", path))

    def _container(self, path: str) -> Any:
        """HEAD of the container. Refused when it is missing: Swift tells that as it tells a missing object."""
        try:
            return self.session.ask("swift HEAD container", path, "HEAD")
        except NotFound as error:
            raise self._no_container(error) from error

    def _no_container(self, error: DrorchError) -> Refused:
        return Refused(
            "Swift has no such container",
            **self._where("swift HEAD container", self.container),
            cause=error.cause,
            hint="create the container, or correct its name and region in the configuration",
        )

    def _where(self, operation: str, path: str) -> dict[str, str]:
        return {"operation": operation, "vault": self.vault, "resource": path}
