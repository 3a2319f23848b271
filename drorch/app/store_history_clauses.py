"""The clauses about time: the store's clock, what was there before, what was never ended, what is gone."""

from __future__ import annotations

import threading
from datetime import timedelta

from drorch.app.store_clauses import NO_ABORT, ContractBroken, give_up, pattern, raises, read, require, send
from drorch.domain.errors import NotFound, Refused
from drorch.domain.instant import to_text
from drorch.ports import ObjectStore

NEAR = timedelta(minutes=1)
"""How far a store's clock may be from the times that it gives its objects."""
TICK_SECONDS, TICKS = 0.1, 50
"""How often, and how many times, a clock of whole seconds is asked until it has moved."""
ONE_VERSION = "one version of an object is kept: what is written over or deleted by others cannot be read again"
NOT_SHOWN = "unfinished uploads are not shown: nobody but the store itself can drop them"
NO_DELETION = "this role may not delete: what retention lets go of stays"


def clock(store: ObjectStore, prefix: str) -> None:
    """Aware, moving, and the one that the objects' times are from."""
    before = store.now()
    require(before.tzinfo is not None, "the store's present has no time zone")
    store.put(prefix + "object", b"now")
    modified = store.stat(prefix + "object").modified
    after = store.now()
    require(modified.tzinfo is not None, "the time of writing has no time zone")
    require(
        before - NEAR <= modified <= after + NEAR,
        f"its clock says {to_text(after)}, and dates what was written in that moment {to_text(modified)}",
    )
    pause = threading.Event()
    for _ in range(TICKS):
        if store.now() > before:
            return
        pause.wait(TICK_SECONDS)
    raise ContractBroken("the store's clock stands still")


def history(store: ObjectStore, prefix: str) -> str | None:
    """What is listed, and where there are versions each of them, the oldest first, readable by its name."""
    bodies: dict[str, list[bytes]] = {}
    for name in ("a", "a/b", "b"):
        bodies[prefix + name + "-x"] = [f"first {name}".encode()]
        store.put(prefix + name + "-x", bodies[prefix + name + "-x"][0])
    changed = prefix + "b-x"
    bodies[changed].append(b"second, and longer")
    store.put(changed, bodies[changed][1], overwrite=True)
    shown = list(store.history(prefix))
    paths = [version.path for version in shown]
    require(sorted(set(paths)) == sorted(bodies), f"the history is of {sorted(set(paths))}")
    require(
        paths == [path for path in dict.fromkeys(paths) for _ in range(paths.count(path))],
        "the versions of a path are not together",
    )
    listed = {info.path: info.size for info in store.list(prefix)}
    require({version.path: version.size for version in shown} == listed, "the last of a history is not what is listed")
    for path, known in bodies.items():
        versions = [version for version in shown if version.path == path]
        require(len(versions) in (1, len(known)), f"{path} was written {len(known)} times, and has {len(versions)}")
        found = [b"".join(store.read(path, version=version.version)) for version in versions]
        require(found == known[-len(versions) :], f"the versions of {path} are not what was written, oldest first")
    require(list(store.history(prefix + "absent/")) == [], "there is a history below an absent path")
    return None if paths.count(changed) > 1 else ONE_VERSION


def abandoned(store: ObjectStore, prefix: str) -> str | None:
    """Where the store lists unfinished uploads: ours is there until it is dropped. Elsewhere there is none."""
    path = prefix + "left"
    upload = store.upload(path)
    try:
        upload.write(pattern(store.limits.part_bytes, 9))
        upload.write(b"part")
        found = list(store.uploads(prefix))
        for pending in found:
            require(pending.path == path, f"an unfinished upload is shown as one of {pending.path}")
            require(pending.begun.tzinfo is not None, "the time of an unfinished upload has no time zone")
            try:
                store.abort_upload(pending)
                store.abort_upload(pending)
            except Refused:
                return NO_ABORT
        require(not list(store.uploads(prefix)), "an unfinished upload is shown after it was dropped")
    finally:
        give_up(upload)
    send(store, prefix + "whole", [pattern(store.limits.part_bytes, 9), b"part"])
    require(not list(store.uploads(prefix)), "an upload is shown as unfinished after its end")
    return None if found else NOT_SHOWN


def gone(store: ObjectStore, prefix: str) -> str | None:
    """No version and no marker is left, and the path is free again; of a role that may not delete nothing is asked."""
    path = prefix + "object"
    store.put(path, b"first")
    store.put(path, b"second", overwrite=True)
    store.put(path + "-and-more", b"stays")
    try:
        store.delete(path)
    except Refused:
        return NO_DELETION
    left = [version for version in store.history(path) if version.path == path]
    require(not left, f"after deletion {len(left)} versions or markers are left")
    with raises(NotFound, "a deleted object has facts"):
        store.stat(path)
    require(read(store, path + "-and-more") == b"stays", "deleting an object took another")
    store.put(path, b"third")
    require(read(store, path) == b"third", "a deleted object cannot be written again")
    return None
