"""Sweeping: what nobody can need is removed, after one more strong look at it alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from drorch.app.failpoint import reach
from drorch.app.written import require_gone
from drorch.domain import layout
from drorch.domain.action import Sweep
from drorch.domain.errors import NotFound, Refused
from drorch.domain.plan_sweep import LEFTOVER_AFTER, SHORTEST_WAIT
from drorch.ports import ObjectStore


def sweep(action: Sweep, store_of: Callable[[str], ObjectStore]) -> str:
    """Remove what the action names. Refused when a look at it now does not say the same as the plan."""
    store = store_of(action.vault)
    reach("sweep.before")
    if action.what == "uploads":
        count = _uploads(action, store)
    elif action.what == "data":
        count = _data(action, store)
    elif action.what == "records":
        count = _records(action, store)
    else:
        count = _delete_signed(store, action.paths)
    reach("sweep.called")
    return f"{count} {action.what} removed from {action.vault}: {action.reason}"


def _uploads(action: Sweep, store: ObjectStore) -> int:
    """What this role may drop goes, whatever it may not drop."""
    now, count = store.now(), 0
    denied: list[Refused] = []
    for upload in list(store.uploads(layout.DATA)):
        if upload.path in action.paths and upload.begun + SHORTEST_WAIT < now:
            try:
                store.abort_upload(upload)
                count += 1
            except Refused as error:
                denied.append(error)
    if denied:
        raise Refused(
            f"{len(denied)} unfinished uploads could not be dropped: they stay, invisible and billed",
            operation="sweep",
            vault=store.vault,
            cause=str(denied[0]),
            hint="let the role abort uploads, or give the bucket a lifecycle rule that does; see drorch vault check",
        ) from denied[0]
    return count


def _data(action: Sweep, store: ObjectStore) -> int:
    """No manifest, asked for now; nothing in the folder that is not old by the store's own clock."""
    folders = {path.rpartition("/")[0] + "/" for path in action.paths}
    for folder in folders:
        _require_no_manifest(action, store, folder)
        _require_old(action, store, folder, LEFTOVER_AFTER)
    return _delete(store, [version.path for folder in folders for version in store.history(folder)])


def _records(action: Sweep, store: ObjectStore) -> int:
    """The records of a point of which this vault, asked now, holds neither manifest nor data."""
    for path in action.paths:
        parts = path.removeprefix(layout.RECORDS).split("/")
        folder = f"{layout.DATA}{'/'.join(parts[:3])}/"
        _require_no_manifest(action, store, folder)
        if any(True for _ in store.list(folder)):
            raise _changed(action, store, f"there are data in {folder}")
    return _delete_signed(store, action.paths)


def _require_no_manifest(action: Sweep, store: ObjectStore, folder: str) -> None:
    manifest = f"{layout.RECORDS}{folder.removeprefix(layout.DATA)}manifest.json"
    try:
        store.stat(manifest)
    except NotFound:
        return
    raise _changed(action, store, f"{manifest} is there")


def _require_old(action: Sweep, store: ObjectStore, folder: str, age: timedelta) -> None:
    now: datetime = store.now()
    young = next((info.path for info in store.list(folder) if info.modified + age >= now), None)
    if young is not None:
        raise _changed(action, store, f"{young} was written less than {age.days} days ago")


def _delete(store: ObjectStore, paths: list[str]) -> int:
    for path in dict.fromkeys(paths):
        store.delete(path)
        reach("sweep.deleted")
    return len(paths)


def _delete_signed(store: ObjectStore, paths: Sequence[str]) -> int:
    """Each record, and once it is gone its signature: a record that stays without one would be nobody's."""
    for path in paths:
        _delete(store, [path])
        require_gone(store, path, "sweep")
        _delete(store, [path + layout.SIGNATURE])
    return 2 * len(paths)


def _changed(action: Sweep, store: ObjectStore, cause: str) -> Refused:
    return Refused(
        f"what was to be swept ({action.what}) is not what was seen",
        operation="sweep",
        resource=action.resource,
        vault=store.vault,
        cause=cause,
        hint="nothing was removed",
    )
