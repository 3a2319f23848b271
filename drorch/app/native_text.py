"""Native listings as text, as the cache keeps the last complete one of every place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from drorch.domain.instant import from_text, to_text
from drorch.domain.native import NativeSnapshot, Part

_FIELDS = tuple(item.name for item in fields(NativeSnapshot))


def dumped(snapshots: Sequence[NativeSnapshot]) -> str:
    """JSON of every snapshot, instants to the second."""
    rows = [{name: getattr(snapshot, name) for name in _FIELDS} for snapshot in snapshots]
    return json.dumps(rows, default=_plain, separators=(",", ":"))


def _plain(value: object) -> object:
    return to_text(value) if isinstance(value, datetime) else dict(value)  # type: ignore[call-overload]


def loaded(body: str) -> tuple[NativeSnapshot, ...]:
    """The inverse of `dumped`."""

    def snapshot(entry: dict[str, Any]) -> NativeSnapshot:
        for key in ("started", "origin"):
            entry[key] = None if entry[key] is None else from_text(entry[key])
        entry["parts"] = tuple(Part(*part) for part in entry.get("parts", ()))
        return NativeSnapshot(**entry)

    return tuple(snapshot(entry) for entry in json.loads(body))
