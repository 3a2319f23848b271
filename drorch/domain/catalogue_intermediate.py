"""The part of the fold that sets intermediate copies apart: copies under another key, made only to be copied on.

One bears `drorch:intermediate`, the vault that it is for, and no signed record lists it: it is no copy of its point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime

from drorch.domain.catalogue_native import (
    TAG_APPLICATION,
    TAG_INTERMEDIATE,
    TAG_POINT,
    TAG_RESOURCE,
    TAG_SLOT,
    TAG_SOURCE,
    NativeView,
    ValidId,
)
from drorch.domain.native import NativeSnapshot


@dataclass(frozen=True, slots=True)
class Intermediate:
    """One intermediate in `vault`, for the copy in `into`, made from the cut's member `made_from`."""

    vault: str
    into: str
    resource: str
    point: str
    native_id: str
    made_from: str
    state: str
    started: datetime | None
    kms_key: str = ""
    why: str = ""


def set_apart(
    application: str,
    natives: Sequence[NativeView],
    listed: Callable[[], Set[str]],
    recorded: Set[tuple[str, str, str]],
    valid_id: ValidId,
) -> tuple[Sequence[NativeView], tuple[Intermediate, ...]]:
    """The views without intermediates, and those.

    What a signed record lists (`listed`, asked only where something bears the tag) is a copy whatever tags somebody has
    put on it since; what bears no valid id stays where it is, a stranger.
    """
    if not any(TAG_INTERMEDIATE in snapshot.tags for view in natives for snapshot in view.snapshots):
        return natives, ()
    recorded_ids = listed()

    def apart(snapshot: NativeSnapshot) -> bool:
        tags = snapshot.tags
        if TAG_INTERMEDIATE not in tags or TAG_SOURCE not in tags or snapshot.native_id in recorded_ids:
            return False
        point, resource, slot = tags.get(TAG_POINT, ""), tags.get(TAG_RESOURCE, ""), tags.get(TAG_SLOT, "")
        ours = (resource, point, slot) in recorded or valid_id(point, application, resource, slot)
        return tags.get(TAG_APPLICATION) == application and ours

    views: list[NativeView] = []
    found: list[Intermediate] = []
    for view in natives:
        own = [snapshot for snapshot in view.snapshots if apart(snapshot)]
        found += [_intermediate(view.vault.name, snapshot) for snapshot in own]
        left = tuple(snapshot for snapshot in view.snapshots if snapshot not in own) if own else view.snapshots
        views.append(replace(view, snapshots=left) if own else view)
    return views, tuple(found)


def _intermediate(vault: str, snapshot: NativeSnapshot) -> Intermediate:
    tags = snapshot.tags
    return Intermediate(
        vault=vault,
        into=tags[TAG_INTERMEDIATE],
        resource=tags[TAG_RESOURCE],
        point=tags[TAG_POINT],
        native_id=snapshot.native_id,
        made_from=tags[TAG_SOURCE],
        state=snapshot.state,
        started=snapshot.started,
        kms_key=snapshot.kms_key,
        why=snapshot.why,
    )
