"""Asking a region what it keeps of databases by itself, beside the copies that are brought back there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from drorch.app.native_restore import Located
from drorch.domain.automated import KINDS, RegionSeen
from drorch.domain.errors import DrorchError
from drorch.domain.offers import Behind, offers
from drorch.ports import AutomatedBackups


def with_offers(located: Iterable[Located], kept: AutomatedBackups, at: datetime | None) -> Iterator[Located]:
    """Each with what its region has that is newer; one look for each account, and none where no database comes back.

    A point that was named is what is meant: pass only what was chosen by its time. A look that fails is a note, for no
    restore waits for it.
    """
    seen: dict[tuple[str, str, str], RegionSeen | str] = {}
    for each in located:
        if each.kind not in KINDS:
            yield each
            continue
        place = each.order.account, each.order.region, each.kind
        if place not in seen:
            seen[place] = _look(kept, *place)
        found = seen[place]
        if isinstance(found, str):
            yield replace(each, notes=(*each.notes, found))
            continue
        source = next((part.source_id for part in each.order.parts), "")
        behind = Behind(each.kind, each.choice.point.identities, source)
        yield replace(each, offers=offers(behind, found, each.order.region, each.choice.cut_at, at))


def _look(kept: AutomatedBackups, account: str, region: str, kind: str) -> RegionSeen | str:
    try:
        return kept.seen(account, region, (kind,))
    except DrorchError as error:
        return f"whether {region} has newer automated backups or a replica could not be seen: {error}"
