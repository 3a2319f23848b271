"""What a reply of S3 must say. Nothing is read into one that does not: a listing without an end is not a whole one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drorch.domain.errors import Unavailable

if TYPE_CHECKING:
    from drorch.stores.s3 import S3Store

LISTED = ("Key", "Size", "LastModified")
"""What every entry of ListObjectsV2 and every version has."""
MARKED = ("Key", "LastModified")
"""What every delete marker has."""
PENDING = ("Key", "UploadId", "Initiated")
"""What every entry of ListMultipartUploads has."""
HEAD = ("ContentLength", "ETag", "LastModified")
"""What HeadObject and GetObject say of every object."""
_SPAN = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)


def require(store: S3Store, reply: Mapping[str, Any], names: tuple[str, ...], operation: str, path: str) -> None:
    """Unavailable unless the reply, or this entry of it, has all of `names`, and no size below zero."""
    missing = [name for name in names if reply.get(name) is None or reply[name] == ""]
    below = [name for name in names if isinstance(reply.get(name), int) and reply[name] < 0]
    if missing or below:
        raise Unavailable(
            "the reply is not one of S3",
            operation=operation,
            vault=store.vault,
            resource=path,
            cause=f"without {', '.join(missing)}" if missing else f"{below[0]} {reply[below[0]]}",
        )


def continued(store: S3Store, page: Mapping[str, Any], operation: str, path: str) -> bool:
    """Whether another page follows. Unavailable when the page does not say: what sent it does not know the request."""
    require(store, page, ("IsTruncated",), operation, path)
    return bool(page["IsTruncated"])


def wrong_span(reply: Mapping[str, Any], start: int, end: int | None) -> str:
    """What is wrong with the bytes of GetObject: others than those from `start` up to `end` (None: the object's). "" if
    nothing is. A service that takes no notice of the range sends the whole object without one.
    """
    told = str(reply.get("ContentRange") or "")
    if not told:
        return "the reply begins at another byte" if start else ""
    found = _SPAN.fullmatch(told)
    if found is None or int(found[1]) != start:
        return "the reply begins at another byte"
    behind, size = int(found[2]) + 1, int(found[3]) if found[3] != "*" else None
    ends = [known for known in (end, size) if known is not None]
    if behind - start != reply["ContentLength"] or (ends and behind != min(ends)):
        return "the reply has another length than its range"
    return ""
