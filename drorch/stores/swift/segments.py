"""Where the segments of large objects lie, and how it is known which of them nobody needs.

https://docs.openstack.org/swift/latest/overview_large_objects.html: a static large object is a manifest that names
segments. They lie in the container itself, below `.drorch/`, where no path of a vault can lie: paths have no part that
begins with a dot. Swift lists no unfinished uploads, so each one leaves a mark before its first segment and takes it
away after its end; a deletion leaves the same mark before it takes the manifest away.

    .drorch/segments/PATH/TOKEN/00000001    a segment, or a manifest of segments
    .drorch/uploads/PATH/TOKEN              the mark: while it is there, segments may be there that no manifest names
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from drorch.domain.errors import Damaged, DrorchError, NotFound, Unavailable
from drorch.ports import PendingUpload
from drorch.stores.swift import replies

if TYPE_CHECKING:
    from drorch.stores.swift import SwiftStore

HIDDEN = ".drorch/"
BEHIND_HIDDEN = ".drorch0"
"""Listed behind everything hidden: "0" follows "/"."""
MANIFEST_SECONDS = 300
"""For one manifest, or one bulk delete: Swift asks for every segment before it answers."""
TOGETHER = 1000
"""Objects of one bulk delete; clusters take ten thousand unless they say otherwise."""
MANIFEST_SEGMENTS = 1000
"""Swift's default for `max_manifest_segments`."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What a manifest says of one: its name in the container, its MD5, its bytes."""

    name: str
    etag: str
    size: int


def folder(store: SwiftStore, path: str, token: str) -> str:
    """Where the segments of one write lie."""
    return f"{HIDDEN}segments/{store.name(path)}/{token}/"


def mark(store: SwiftStore, path: str, token: str) -> None:
    """From here on there may be segments of this write that no manifest names."""
    store.session.ask("swift PUT", path, "PUT", _mark(store, path, token), body=b"")


def unmark(store: SwiftStore, path: str, token: str) -> None:
    """There are none any more, or a manifest names them."""
    _delete(store, path, _mark(store, path, token))


def put(store: SwiftStore, path: str, name: str, body: bytes | bytearray) -> Segment:
    """Write one segment. Repeating it changes nothing."""
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    store.session.ask("swift PUT", path, "PUT", name, headers={**store.kind, "ETag": digest}, body=body)
    return Segment(name, digest, len(body))


def gathered(store: SwiftStore, path: str, token: str, sent: list[Segment]) -> list[Segment]:
    """What the object's manifest is to name: the segments, or manifests of a thousand of them each."""
    if len(sent) <= MANIFEST_SEGMENTS:
        return sent
    groups: list[Segment] = []
    for start in range(0, len(sent), MANIFEST_SEGMENTS):
        group = sent[start : start + MANIFEST_SEGMENTS]
        name = f"{folder(store, path, token)}manifest-{len(groups) + 1:05d}"
        put_manifest(store, path, name, group, {})
        groups.append(Segment(name, etag_of(group), sum(one.size for one in group)))
    return groups


def put_manifest(
    store: SwiftStore, path: str, name: str, named: list[Segment], headers: dict[str, str], *, mutates: bool = False
) -> Any:
    """Write the manifest `name`. Unavailable when Swift does not find the segments that it names."""
    body = [{"path": f"/{store.container}/{one.name}", "etag": one.etag, "size_bytes": one.size} for one in named]
    reply = store.session.ask(
        "swift PUT manifest",
        path,
        "PUT",
        name,
        query={"multipart-manifest": "put"},
        headers={**store.kind, "ETag": etag_of(named), **headers},
        body=json.dumps(body).encode(),
        expected=(400,),
        mutates=mutates,
        seconds=MANIFEST_SECONDS,
    )
    if reply.status_code == 400:
        raise Unavailable(
            "the upload is gone: Swift does not find its segments as they were sent",
            operation="swift PUT manifest",
            vault=store.vault,
            resource=path,
            cause=" ".join(reply.text.split())[:200],
        )
    return reply


def etag_of(named: list[Segment]) -> str:
    """Swift's ETag of a large object: the MD5 of its segments' MD5s."""
    return hashlib.md5("".join(one.etag for one in named).encode(), usedforsecurity=False).hexdigest()


def drop(store: SwiftStore, path: str, token: str, known: list[Segment] | None = None) -> None:
    """Delete the segments of one write, then its mark. `known` ones also where no listing shows them yet."""
    names = {listed.name for listed in store.listed(folder(store, path, token), path)}
    doomed = sorted(names | {one.name for one in known or ()})
    for start in range(0, len(doomed), TOGETHER):
        _delete_together(store, path, doomed[start : start + TOGETHER])
    unmark(store, path, token)


def pending(store: SwiftStore, prefix: str) -> Iterator[PendingUpload]:
    """The marks, page by page."""
    start = _mark(store, "", "")
    for listed in store.listed(f"{HIDDEN}uploads/{store.name(prefix)}", prefix):
        path, _, token = listed.name.removeprefix(start).rpartition("/")
        yield PendingUpload(path, listed.modified, token)


def require_whole(store: SwiftStore, path: str) -> None:
    """Damaged when a segment that the manifest of `path` names is gone or another; quiet when all are there."""
    operation = "swift GET manifest"
    reply = store.session.ask(operation, path, "GET", store.name(path), query={"multipart-manifest": "get"})
    with replies.legible(operation, resource=path, vault=store.vault):
        named = [(str(entry["name"]).lstrip("/").split("/", 1), str(entry["hash"])) for entry in reply.json()]
    for (container, *name), digest in named:
        if container != store.container or not name or not _there(store, path, name[0], digest):
            raise Damaged("a segment of it is gone, or another", operation=operation, vault=store.vault, resource=path)


def _there(store: SwiftStore, path: str, name: str, digest: str) -> bool:
    try:
        reply = store.session.ask("swift HEAD segment", path, "HEAD", name, headers=store.newest)
    except NotFound:
        return False
    with replies.legible("swift HEAD segment", resource=path, vault=store.vault):
        return replies.segmented(reply) or replies.etag(reply) == digest


def _mark(store: SwiftStore, path: str, token: str) -> str:
    """``.drorch/uploads/PATH/TOKEN``; without either the folder of all marks of this vault."""
    return f"{HIDDEN}uploads/{store.name(path)}/{token}" if path else f"{HIDDEN}uploads/{store.name('')}"


def _delete_together(store: SwiftStore, path: str, names: list[str]) -> None:
    """Bulk delete (https://docs.openstack.org/swift/latest/middleware.html#bulk-delete), which answers 200 whatever
    came of it. What it did not confirm is asked for one by one: a cluster may not have it.
    """
    body = "".join(f"{quote(f'{store.container}/{name}')}\n" for name in names)
    with suppress(DrorchError):
        reply = store.session.ask(
            "swift bulk delete",
            path,
            "POST",
            query={"bulk-delete": "1"},
            headers={"Content-Type": "text/plain", "Accept": "application/json"},
            body=body.encode(),
            seconds=MANIFEST_SECONDS,
        )
        with replies.legible("swift bulk delete", resource=path, vault=store.vault):
            if int(reply.json()["Number Deleted"]) == len(names):
                return
    for name in names:
        _delete(store, path, name)


def _delete(store: SwiftStore, path: str, name: str) -> None:
    with suppress(NotFound):
        store.session.ask("swift DELETE segment", path, "DELETE", name, mutates=True)
