"""Looking for what was written, or deleted: a store may say that it was done, and have done nothing."""

from __future__ import annotations

from collections.abc import Iterable

from drorch.domain.errors import Damaged, NotFound, Unavailable
from drorch.ports import ObjectStore


def require_written(store: ObjectStore, objects: Iterable[tuple[str, int]]) -> None:
    """Ask for each object, given with its bytes, that was just written. Unavailable when one is not there, Damaged when
    it has another size: whoever commits what they belong to would commit something that cannot be restored.
    """
    for path, size in objects:
        where = {"operation": "write", "vault": store.vault, "resource": path}
        try:
            found = store.stat(path).size
        except NotFound as error:
            raise Unavailable("the vault took it, and it is not there", **where) from error
        if found != size:
            raise Damaged(f"the vault took {size} bytes, and holds {found}", **where)


def require_gone(store: ObjectStore, path: str, operation: str) -> None:
    """Ask for an object that was just deleted. Unavailable when it is still there."""
    try:
        store.stat(path)
    except NotFound:
        return
    raise Unavailable(
        "it is still there after it was deleted",
        operation=operation,
        vault=store.vault,
        resource=path,
        hint="the next pass deletes it again",
    )
