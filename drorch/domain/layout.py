"""Where everything lies in an object vault (layout v1). Paths are relative to the vault's prefix."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TypeVar

from drorch.domain.instant import to_compact

_Named = TypeVar("_Named")

ROOT = "drorch/v1/"
RECORDS = f"{ROOT}records/"
DATA = f"{ROOT}data/"
HEADS = f"{ROOT}heads/"
RUNBOOKS = f"{ROOT}runbooks/"
APPROVALS = f"{ROOT}approvals/"
KEYS = f"{ROOT}keys/"
JOURNAL = f"{ROOT}journal/"
REPORTS = f"{ROOT}reports/"
VAULT_MARKER = f"{ROOT}vault.json"
RESTORE_GUIDE = f"{ROOT}RESTORE.md"
SIGNATURE = ".minisig"
LEAVES = ".leaves"
SUMS = "SHA256SUMS"
ENCRYPTED = ".zst.age"
INVENTORY = "inventory.json"


def lockable(path: str) -> bool:
    """Whether a vault with a lock locks the object at its creation: records of points, data, runbooks and the journal,
    nothing that is changed or let go of before long.
    """
    return path.startswith((RECORDS, DATA, RUNBOOKS, JOURNAL))


def point_folder(cut_at: datetime, point: str) -> str:
    """``20261120T091500Z-ID``: the folder's name for one point."""
    return f"{to_compact(cut_at)}-{point}"


def data_folder(application: str, resource: str, cut_at: datetime, point: str) -> str:
    """The folder of a dump's data, with a trailing slash."""
    return f"{DATA}{application}/{resource}/{point_folder(cut_at, point)}/"


def records_folder(application: str, resource: str, cut_at: datetime, point: str) -> str:
    """The folder of a point's records, with a trailing slash."""
    return f"{RECORDS}{application}/{resource}/{point_folder(cut_at, point)}/"


def manifest_path(application: str, resource: str, cut_at: datetime, point: str) -> str:
    """The record whose presence commits a dump point."""
    return records_folder(application, resource, cut_at, point) + "manifest.json"


def head_path(application: str, at: datetime) -> str:
    """What was live of an application at an instant."""
    return f"{HEADS}{application}/{to_compact(at)}.json"


def runbook_path(application: str, at: datetime) -> str:
    """How an application comes back in other regions, as its policy said it from an instant on."""
    return f"{RUNBOOKS}{application}/{to_compact(at)}.json"


def approval_path(at: datetime, digest: str) -> str:
    """A person's approval of the deletions of a plan, named by the first 16 characters of its digest."""
    return f"{APPROVALS}{to_compact(at)}-{digest[:16]}.json"


def key_path(fingerprint: str, what: str, at: datetime) -> str:
    """A `token` or a `proof` of one recipient's key, in a folder named by the recipient's fingerprint."""
    return f"{KEYS}{fingerprint}/{what}-{to_compact(at)}.json"


def journal_month(at: datetime) -> str:
    """The folder of the journal for a month (UTC), with a trailing slash: ``.../journal/202611/``."""
    return f"{JOURNAL}{to_compact(at)[:6]}/"


def journal_months(since: datetime, until: datetime) -> list[str]:
    """The folders of the journal for every month from that of one instant to that of another (both UTC)."""
    found, month = [], since.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while month <= until:
        found.append(journal_month(month))
        month = (month + timedelta(days=31)).replace(day=1)
    return found


def journal_path(at: datetime, event: str, digest: str) -> str:
    """An entry of the journal, named by the first 16 characters of the SHA-256 of its bytes: no two share a name."""
    return f"{journal_month(at)}{to_compact(at)}-{event}-{digest[:16]}.json"


def report_path(at: datetime, digest: str) -> str:
    """The unsigned report of a restore, named as an entry of the journal is: nothing is ever written over."""
    return f"{REPORTS}{to_compact(at)[:6]}/{to_compact(at)}-restore-{digest[:16]}.json"


def trusted_comment(record_type: str, path: str) -> str:
    """What the signature of a record says: it binds the record to its path."""
    return f"drorch v1 {record_type} {path}"


def volume_name(artefact: str, number: int) -> str:
    """``NAME`` for the first volume of an artefact, then ``NAME.001``, ``NAME.002``."""
    return artefact if number == 0 else f"{artefact}.{number:03d}"


def is_parallel(artefact: str) -> bool:
    """Whether an artefact (with or without ``.zst.age``) is one of those that stream at the same time: ``data-N.*``."""
    return re.match(r"data-[0-9]+\.", artefact) is not None


def batches(names: Iterable[_Named], name: Callable[[_Named], str]) -> list[list[_Named]]:
    """Artefacts in their order, those that stream at the same time together."""
    found: list[list[_Named]] = []
    for one in names:
        if found and is_parallel(name(one)) and is_parallel(name(found[-1][-1])):
            found[-1].append(one)
        else:
            found.append([one])
    return found


def of_data(path: str) -> tuple[str, str, str, str] | None:
    """(application, resource, point folder, object name) of a data path, or None when it is not one."""
    parts = path.removeprefix(DATA).split("/")
    if not path.startswith(DATA) or len(parts) != 4:
        return None
    return parts[0], parts[1], parts[2], parts[3]
