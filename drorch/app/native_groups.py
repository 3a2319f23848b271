"""Native listings by application, the same objects as long as nothing of them has changed.

A listing makes every snapshot anew; what is equal to what the last one showed stays the object that it was, so that
whoever remembers an application's snapshots sees at a glance that they are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from drorch.domain.catalogue_native import TAG_APPLICATION, NativeView
from drorch.domain.model import ObjectLock
from drorch.domain.native import NativeSnapshot

Group = tuple[NativeSnapshot, ...]
"""The snapshots of one application in one listing, in its order."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A listing as last seen: all of it, and by application."""

    snapshots: Group = ()
    groups: Mapping[str, Group] = field(default_factory=dict)


class NativeGroups:
    """Each listing as last seen, by kind and vault."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], _Seen] = {}

    def of(self, view: NativeView) -> tuple[NativeView, Mapping[str, Group]]:
        """The same view of objects that were seen before, as far as there are equal ones; and its snapshots by the
        application that they name.
        """
        place = view.kind, view.vault.name
        before = self._known.get(place, _Seen())
        seen = self._known[place] = before if before.snapshots == view.snapshots else _seen(view.snapshots, before)
        return replace(view, snapshots=seen.snapshots), seen.groups


def _seen(snapshots: Group, before: _Seen) -> _Seen:
    by_name: dict[str, list[NativeSnapshot]] = {}
    for snapshot in snapshots:
        by_name.setdefault(snapshot.tags.get(TAG_APPLICATION, ""), []).append(snapshot)
    groups: dict[str, Group] = {}
    known: dict[int, NativeSnapshot] = {}
    for name, found in by_name.items():
        group, last = tuple(found), before.groups.get(name)
        groups[name] = group if last is None or last != group else last
        known.update((id(new), old) for new, old in zip(group, groups[name], strict=True))
    return _Seen(tuple(known[id(snapshot)] for snapshot in snapshots), groups)


def of_the_place(view: NativeView) -> tuple[object, ...]:
    """What a listing says of no snapshot in particular, but for when it was made."""
    never = not view.complete and view.at is None
    return view.kind, view.vault, view.complete, never, view.why, view.locks is None, view.locks_why


def locks_of(view: NativeView, group: Group) -> tuple[tuple[tuple[str, ObjectLock], ...], ...]:
    """What is known of the locks of each snapshot; nothing where nobody asked."""
    return tuple(view.locks_of(snapshot) for snapshot in group) if view.locks is not None else ()
