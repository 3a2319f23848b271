"""S3's listings of what is not simply there: versions, delete markers, unfinished uploads.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html: by key, the newest version first; versions
and delete markers come in two lists. Instants of versions have whole seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC
from typing import TYPE_CHECKING, Any

from drorch.domain.errors import DrorchError, NotFound, Unavailable
from drorch.ports import ObjectVersion, PendingUpload
from drorch.stores.s3 import replies

if TYPE_CHECKING:
    from drorch.stores.s3 import S3Store

NULL = "null"
"""The version of what was written without versioning."""


def versions(store: S3Store, prefix: str, *, only: str | None = None) -> Iterator[list[ObjectVersion]]:
    """The versions and markers of each path below `prefix` (or of the path `only`), oldest first, with S3's own ids.

    A compatible store that does not know the request keeps one version: its listing, without ids.
    """
    held: dict[str, list[tuple[Any, bool]]] = {}
    try:
        for page in _pages(store, "ListObjectVersions", "list_object_versions", prefix, "VersionIdMarker", "MaxKeys"):
            for kind, marker in (("Versions", False), ("DeleteMarkers", True)):
                for found in page.get(kind, ()):
                    names = replies.MARKED if marker else replies.LISTED
                    replies.require(store, found, names, "s3 ListObjectVersions", prefix)
                    held.setdefault(found["Key"], []).append((found, marker))
            last = max(held, default="")
            for key in sorted(held):
                if key != last:  # the next page may go on with it
                    yield from _wanted(store, key, held.pop(key), only)
            if only is not None and last > store.key(only)["Key"]:
                return
    except DrorchError as error:
        if not store.compatible or code_of(error) not in ("NotImplemented", "MethodNotAllowed", "501"):
            raise
        yield from ([ObjectVersion(f.path, f.size, f.modified)] for f in store.list(prefix) if only in (None, f.path))
    for key in sorted(held):
        yield from _wanted(store, key, held[key], only)


def _wanted(store: S3Store, key: str, found: list[tuple[Any, bool]], only: str | None) -> Iterator[list[ObjectVersion]]:
    """Two lists, each newest first, as one, oldest first; of a second versions, then markers; the current one last."""
    path = store.path(key)
    if only not in (None, path):
        return
    found.reverse()
    found.sort(key=lambda pair: (pair[0]["LastModified"], bool(pair[0].get("IsLatest")), pair[1]))
    yield [
        ObjectVersion(path, one.get("Size", 0), one["LastModified"].astimezone(UTC), one.get("VersionId") or "", marker)
        for one, marker in found
    ]


def uploads(store: S3Store, prefix: str) -> Iterator[PendingUpload]:
    """ListMultipartUploads, page by page; none of a compatible store that does not know it."""
    try:
        pages = _pages(store, "ListMultipartUploads", "list_multipart_uploads", prefix, "UploadIdMarker", "MaxUploads")
        for page in pages:
            for found in page.get("Uploads", ()):
                replies.require(store, found, replies.PENDING, "s3 ListMultipartUploads", prefix)
                begun = found["Initiated"].astimezone(UTC)
                yield PendingUpload(store.path(found["Key"]), begun, found["UploadId"])
    except DrorchError as error:
        if not store.compatible or code_of(error) not in ("NotImplemented", "MethodNotAllowed", "501"):
            raise


def _pages(store: S3Store, operation: str, call: str, prefix: str, second_marker: str, size: str) -> Iterator[Any]:
    asked: dict[str, Any] = {"Bucket": store.bucket, "Prefix": store.key(prefix)["Key"], size: store.limits.page}
    while True:
        with store.mapped(f"s3 {operation}", prefix):
            page = getattr(store.client, call)(**asked)
        more = replies.continued(store, page, f"s3 {operation}", prefix)
        yield page
        if not more:
            return
        before = asked.get("KeyMarker"), asked.get(second_marker)
        following = page.get("NextKeyMarker"), page.get(f"Next{second_marker}")
        if not following[0] or following == before:
            raise Unavailable("the listing is cut off without a way on", operation=f"s3 {operation}", vault=store.vault)
        asked["KeyMarker"] = following[0]
        asked.pop(second_marker, None)
        if following[1]:
            asked[second_marker] = following[1]


def code_of(error: DrorchError) -> str:
    """What S3 calls the error; "" where it did not answer."""
    return str(getattr(error.__cause__, "response", {}).get("Error", {}).get("Code", ""))


def delete(store: S3Store, path: str, version: str) -> str:
    """DeleteObject of one version ("": of the current one); the id of a delete marker that it made instead."""
    named = {"VersionId": version} if version else {}
    reply: Any = {}
    with suppress(NotFound), store.mapped("s3 DeleteObject", path, mutates=True):
        reply = store.client.delete_object(**store.key(path), **named)
    return "" if version else str(reply.get("VersionId") or "")
