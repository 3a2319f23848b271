"""Native listings by application, the same objects as long as nothing of them has changed.

A listing makes every snapshot anew; what is equal to what the last one showed stays the object that it was, so that
whoever remembers an application's snapshots sees at a glance that they are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drorch.domain.catalogue_native import TAG_APPLICATION, NativeView
from drorch.domain.model import ObjectLock
from drorch.domain.native import NativeSnapshot

Group = tuple[NativeSnapshot, ...]
"""The snapshots of one application in one listing, in its order."""


def grouped(view: NativeView, before: Mapping[str, Group]) -> dict[str, Group]:
    """The snapshots of a listing by the application that they name; a group equal to the one `before` is that one."""
    by_name: dict[str, list[NativeSnapshot]] = {}
    for snapshot in view.snapshots:
        by_name.setdefault(snapshot.tags.get(TAG_APPLICATION, ""), []).append(snapshot)
    groups: dict[str, Group] = {}
    for name, snapshots in by_name.items():
        group, known = tuple(snapshots), before.get(name)
        groups[name] = known if known is not None and known == group else group
    return groups


class NativeGroups:
    """The groups of each listing as last seen, by kind and vault."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Mapping[str, Group]] = {}

    def of(self, views: Sequence[NativeView]) -> tuple[Mapping[str, Group], ...]:
        """The groups of each view, in their order."""
        found = []
        for view in views:
            place = view.kind, view.vault.name
            self._known[place] = grouped(view, self._known.get(place, {}))
            found.append(self._known[place])
        return tuple(found)


def of_the_place(view: NativeView) -> tuple[object, ...]:
    """What a listing says of no snapshot in particular, but for when it was made."""
    never = not view.complete and view.at is None
    return view.kind, view.vault, view.complete, never, view.why, view.locks is None, view.locks_why


def locks_of(view: NativeView, group: Group) -> tuple[tuple[tuple[str, ObjectLock], ...], ...]:
    """What is known of the locks of each snapshot; nothing where nobody asked."""
    return tuple(view.locks_of(snapshot) for snapshot in group) if view.locks is not None else ()
