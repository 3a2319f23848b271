"""Blocks that wait for the end of an upload.

They belong to a path, not to an upload (https://learn.microsoft.com/rest/api/storageservices/put-block): whoever
commits or puts a blob there discards all of them, else Azure does, a week after the last one. So each id says when its
upload began and which one it is, and nothing is discarded while another's blocks lie there, too.

No request discards blocks alone: an empty list of them is committed, and the empty blob taken away again. It bears a
mark. One that was left, because the process ended in between, is taken away by the next writer that meets it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from drorch.domain.errors import AlreadyExists, NotFound
from drorch.domain.model import ObjectLock
from drorch.ports import PendingUpload
from drorch.stores.azure import locks

if TYPE_CHECKING:
    from drorch.stores.azure import AzureStore

_TIME = "%Y%m%dT%H%M%SZ"
_ID = re.compile(r"(\d{8}T\d{6}Z)-([0-9a-f]{32})-\d{6}", re.ASCII)
_MARK = "drorch_dropped"
"""The name of a metadata field."""
_ANOTHERS = ""
"""The token of blocks that no drorch made."""
_NOBODY = '"0x0"'
"""An ETag that no blob has."""


def block_id(begun: datetime, token: str, number: int) -> str:
    """Of the `number`-th block (from 0) of an upload: as long as every other, as Azure asks."""
    return f"{begun.strftime(_TIME)}-{token}-{number:06d}"


def stage(store: AzureStore, path: str, name: str, body: bytes) -> None:
    """Put Block, compared by its MD5. Repeating the same block changes nothing."""
    with store.mapped("azure Put Block", path):
        store.blob(path).stage_block(name, body, length=len(body), validate_content=True)


def commit(store: AzureStore, path: str, names: Sequence[str], token: str, lock: ObjectLock | None) -> None:
    """Put Block List, write-once: AlreadyExists when the path is taken, NotFound when a block is gone."""
    _commit(store, path, names, lock, store.written(token))


def _commit(
    store: AzureStore, path: str, names: Sequence[str], lock: ObjectLock | None, written: dict[str, Any]
) -> None:
    from azure.core import MatchConditions
    from azure.storage.blob import BlobBlock

    with locks.hinted(lock), store.mapped("azure Put Block List", path, mutates=True):
        store.blob(path).commit_block_list(
            [BlobBlock(block_id=name) for name in names],
            match_condition=MatchConditions.IfMissing,
            validate_content=True,
            **written,
            **locks.of_request(lock),
        )


def pending(store: AzureStore, prefix: str) -> Iterator[PendingUpload]:
    """List Blobs with those that have no commit yet, then Get Block List of each: an upload per token in their ids."""
    for blob in store.blobs(prefix, ["uncommittedblobs"]):
        if blob.size:
            continue
        path = store.path(blob.name)
        for token, begun in sorted(_uploads(store, path).items()):
            if token != _ANOTHERS:
                yield PendingUpload(path, begun, token)


def drop(store: AzureStore, path: str, token: str) -> None:
    """Discard the blocks of the upload `token`, unless others' lie there. Refused where the caller may not delete."""
    if set(_uploads(store, path)) != {token}:
        return
    _require_right(store, path)
    with suppress(AlreadyExists):
        _commit(store, path, [], None, {"metadata": {_MARK: token}})
    with suppress(NotFound):
        take_away(store, path, store.facts(path))


def take_away(store: AzureStore, path: str, blob: Any) -> bool:
    """Delete the empty blob with which `drop` covered blocks, whoever left it; False when `blob` is none."""
    from azure.core import MatchConditions

    if blob.size or _MARK not in (blob.metadata or {}):
        return False
    same = {"etag": blob.etag, "match_condition": MatchConditions.IfNotModified}
    with suppress(NotFound, AlreadyExists), store.mapped("azure Delete Blob", path, mutates=True):
        store.blob(path).delete_blob(**same)
    if blob.version_id:
        with suppress(NotFound), store.mapped("azure Delete Blob", path, mutates=True):
            store.blob(path).delete_blob(version_id=blob.version_id)
    return True


def _uploads(store: AzureStore, path: str) -> dict[str, datetime]:
    """Token -> begun of every upload with blocks at `path`; those of other programs count as one, `_ANOTHERS`."""
    try:
        with store.legible("azure Get Block List", path), store.mapped("azure Get Block List", path):
            _, waiting = store.blob(path).get_block_list("uncommitted")
    except NotFound:
        return {}
    found: dict[str, datetime] = {}
    for block in waiting:
        known = _ID.fullmatch(str(block.id))
        token, begun = (known[2], known[1]) if known else (_ANOTHERS, "19700101T000000Z")
        with store.legible("azure Get Block List", path):
            found[token] = datetime.strptime(begun, _TIME).replace(tzinfo=UTC)
    return found


def _require_right(store: AzureStore, path: str) -> None:
    """Refused unless the caller may delete here: it asks for what cannot be, and learns whether it may ask."""
    from azure.core import MatchConditions

    with suppress(NotFound, AlreadyExists), store.mapped("azure Delete Blob", path):
        store.blob(path).delete_blob(etag=_NOBODY, match_condition=MatchConditions.IfNotModified)
