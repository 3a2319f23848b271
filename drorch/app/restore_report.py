"""The report of a restore: as a file on this machine, and under break glass as an unsigned object in the vaults.

Break glass holds no signing key. What it leaves in a vault vouches for nothing by itself: `drorch evidence` lists it
apart, and whoever may write there could have written it. Its name is made of its own digest: nothing is written over.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from drorch.app.leaves import read_at_most
from drorch.app.restore_journal import PATIENCE, RestoreJournal
from drorch.domain import layout
from drorch.domain.canonical import canonical_bytes, parse_canonical
from drorch.domain.errors import AlreadyExists, DrorchError, Unavailable
from drorch.domain.instant import to_text
from drorch.ports import ObjectStore

LARGEST = 256 * 1024
"""Bytes of a report that is read; what drorch writes is far below."""


@dataclass
class UnsignedReports(RestoreJournal):
    """As `RestoreJournal`, into the vaults that were named on the command line; `left` hears where a report lies."""

    stores: Mapping[str, ObjectStore] = field(default_factory=dict)
    left: Callable[[str], None] = lambda _told: None

    def _keep(self, now: datetime, content: Mapping[str, object]) -> None:
        body = {"format": 1, "type": "report", "at": to_text(now), **content}
        cut_at = body.get("cut_at")
        data = canonical_bytes(body | ({"cut_at": to_text(cut_at)} if isinstance(cut_at, datetime) else {}))
        path = layout.report_path(now, hashlib.sha256(data).hexdigest())
        told: dict[str, str] = {}
        self.beside.wait(0)
        self.beside.begin(lambda: told.update({name: _put(store, path, data) for name, store in self.stores.items()}))
        self.beside.wait(PATIENCE)
        for name in self.stores:
            why = told.get(name, "it does not answer")
            if why:
                self.missed(f"{name} did not take it: {why}")
            else:
                self.left(f"{path} in {name}")


def _put(store: ObjectStore, path: str, data: bytes) -> str:
    """Why it does not lie there; "" where it does."""
    try:
        store.put(path, data)
    except AlreadyExists:
        return ""  # the same bytes: its digest is in its name
    except DrorchError as error:
        return str(error)
    return ""


def read_report(store: ObjectStore, path: str) -> Mapping[str, Any]:
    """What an unsigned report says. Raises Damaged for what is none, NotFound, and what the store raises."""
    return parse_canonical(read_at_most(store, path, LARGEST))


# --- on this machine -----------------------------------------------------------------------------------------------


@dataclass
class ReportFiles:
    """Writes the report of one command into files: JSON where a name ends in ``.json``, else text."""

    files: tuple[Path, ...]
    missed: Callable[[str], None]
    _told: list[Mapping[str, object]] = field(default_factory=list)

    def require(self) -> None:
        """Unavailable when a file cannot be written: said before anything is restored."""
        for file in self.files:
            if not os.access(file if file.exists() else file.absolute().parent, os.W_OK) or file.is_dir():
                raise Unavailable(f"{file} cannot be written", operation="restore", hint="--report FILE")

    def add(self, told: Mapping[str, object]) -> None:
        """One more restored resource; what cannot be written is told, and ends nothing."""
        self._told.append({n: to_text(value) if isinstance(value, datetime) else value for n, value in told.items()})
        for file in self.files:
            body = json.dumps({"restores": self._told}, indent=2) + "\n"
            try:
                file.write_text(body if file.suffix == ".json" else as_text(self._told), encoding="utf-8")
            except OSError as error:
                self.missed(f"{file} cannot be written: {error.strerror or error}")


def as_text(told: list[Mapping[str, object]]) -> str:
    """For people: an empty line between resources."""
    return "\n".join("".join(f"{line}\n" for line in _lines(one)) for one in told)


def _lines(told: Mapping[str, Any]) -> list[str]:
    what = f"{told['application']}/{told['resource']}" if told.get("resource") else told["application"]
    lines = [f"{what}: {told['outcome']}, {told['at']}, begun {told['began']} by {told.get('by') or 'nobody known'}"]
    if told.get("point"):
        lines.append(f"  point {told['point']} from {told['vault']}, data as of {told['cut_at']}")
    if told.get("data_loss_s") is not None:
        lines.append(f"  lost: the {told['data_loss_s']} s before the restore began")
    lines += [f"  {step}: {seconds} s" for step, seconds in told.get("steps", {}).items()]
    lines += [f"  in all: {told['took_s']} s"]
    lines += [f"  made: {made}" for made in told.get("made", ())]
    lines += [f"  {newer['point']} is newer and was not taken: {newer['why']}" for newer in told.get("newer", ())]
    lines += [f"  failed: {told['why']}"] if told.get("why") else []
    lines += [f"  note: {note}" for note in told.get("notes", ())]
    return [*lines, *(f"  remains to do: {text}" for text in told.get("remains", ()))]
