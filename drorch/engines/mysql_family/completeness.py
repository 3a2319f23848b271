"""Whether a dump holds everything: what the server had before it began, against what the dump says that it holds."""

from __future__ import annotations

from drorch.domain.errors import Damaged, NotFound, Unavailable
from drorch.engines.mysql_family.access import Access
from drorch.engines.mysql_family.facts import Relations, relations
from drorch.engines.mysql_family.scan import DumpScan

_NAMED = 10
"""So many are named in an error."""


def check(access: Access, before: Relations, scan: DumpScan) -> None:
    """Raise unless the dump has its end mark and every object of `before`. What came later may be in it or not.

    Damaged without the end mark; Unavailable for objects that are not in it, apart for those that the server does not
    have any more and for those that it has.
    """
    where = {"operation": "dump", "resource": access.place.shown}
    if not scan.ended:
        raise Damaged("the dump has no end mark", hint="its program was cut short, or is not the vendor's", **where)
    lost = _objects(before) - _held(scan)
    if not lost:
        return
    total = len(_objects(before))
    left = lost & _now(access)
    if left:
        raise Unavailable(
            f"{len(left)} of {total} objects are on the server and not in the dump",
            cause=_names(left),
            hint="made anew meanwhile, or left out by the dump program: see the user's privileges if it happens again",
            **where,
        )
    raise Unavailable(
        f"{len(lost)} of {total} objects vanished meanwhile and are not in the dump",
        cause=_names(lost),
        hint="they were dropped or renamed; the next attempt dumps what is there",
        **where,
    )


def _objects(found: Relations) -> set[tuple[str, str]]:
    relational = {("table", name) for name in found.tables} | {("view", name) for name in found.views}
    return relational | set(found.code)


def _held(scan: DumpScan) -> set[tuple[str, str]]:
    return {("table", name) for name in scan.tables} | {("view", name) for name in scan.views} | scan.code


def _now(access: Access) -> set[tuple[str, str]]:
    """What the server has by now; nothing when the database is gone."""
    try:
        return _objects(relations(access))
    except NotFound:
        return set()


def _names(objects: set[tuple[str, str]]) -> str:
    shown = sorted(f"{kind} {name}" for kind, name in objects)
    return ", ".join(shown[:_NAMED]) + (" and more" if len(shown) > _NAMED else "")
