"""Records: signed, write-once facts. Their content, their paths, and the strict reader.

A record is one JSON object. Common fields: `format`, `type`, `site`, `at`; application, resource, point and `cut_at`
where it concerns one. The reader rebuilds the path from the content and refuses a record found elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from drorch.domain import layout
from drorch.domain.canonical import canonical_bytes, parse_canonical
from drorch.domain.errors import Damaged
from drorch.domain.instant import from_text, to_compact, to_text

FORMAT = 1


class RecordType(StrEnum):
    """The types that this version reads and writes. Others are `unsupported`: shown, never counted, never deleted."""

    MANIFEST = "manifest"
    NATIVE = "native"
    MARK = "mark"
    PROOF = "proof"
    VAULT = "vault"
    HEAD = "head"
    APPROVAL = "approval"
    KEY_TOKEN = "key-token"  # noqa: S105  no password: a type of records
    KEY_PROOF = "key-proof"
    REWRAP = "rewrap"
    RUNBOOK = "runbook"
    JOURNAL = "journal"


class MarkType(StrEnum):
    """What a mark says; `expiring`, `kept`, `expired` and `repaired` of one vault, the others of the point."""

    PIN = "pin"
    UNPIN = "unpin"
    EXPIRING = "expiring"
    KEPT = "kept"
    EXPIRED = "expired"
    SUSPECT = "suspect"
    CLEARED = "cleared"
    REPAIRED = "repaired"


OF_A_KEY = frozenset({RecordType.KEY_TOKEN, RecordType.KEY_PROOF})
"""Of a recipient, not of an application."""

OF_ONE_VAULT = frozenset({MarkType.EXPIRING, MarkType.KEPT, MarkType.EXPIRED, MarkType.REPAIRED})


@dataclass(frozen=True, slots=True)
class Record:
    """One record as its content says. `body` is the whole content, unknown fields included."""

    type: str
    site: str
    at: datetime
    body: Mapping[str, Any]
    application: str = ""
    resource: str = ""
    point: str = ""
    cut_at: datetime | None = None
    supported: bool = True

    @property
    def path(self) -> str:
        """Where this record must lie. Raises Damaged when the content does not say (an unsupported type)."""
        return _path(self)

    @property
    def data(self) -> bytes:
        """The canonical bytes, as they are signed and written."""
        return canonical_bytes(self.body)

    @property
    def comment(self) -> str:
        """The trusted comment of its signature."""
        return layout.trusted_comment(self.type, self.path)

    def text(self, key: str, default: str = "") -> str:
        """A text field of the body; `default` when absent or null."""
        value = self.body.get(key)
        return value if isinstance(value, str) else default

    def time(self, key: str) -> datetime | None:
        """A time field of the body; None when absent or null. Raises Damaged when it is not a time."""
        value = self.body.get(key)
        return None if value is None else _time(value, key)


def compose(
    record_type: RecordType,
    *,
    site: str,
    at: datetime,
    application: str = "",
    resource: str = "",
    point: str = "",
    cut_at: datetime | None = None,
    **content: object,
) -> Record:
    """A new record of this site; `content` adds the fields of its type. None values are left out."""
    body: dict[str, object] = {"format": FORMAT, "type": str(record_type), "site": site, "at": to_text(at)}
    if point:
        if cut_at is None:
            raise TypeError("a record of a point needs its cut_at")
        body |= {"application": application, "resource": resource, "point": point, "cut_at": to_text(cut_at)}
    elif application:
        body["application"] = application
    body |= {key: value for key, value in content.items() if value is not None}
    return parse(canonical_bytes(body))


def parse(data: bytes, *, checked: bool = False) -> Record:
    """The record in `data`. Raises Damaged when a field that its type needs is missing or of the wrong type.

    `checked` says that these very bytes went through here before: they are only read, ten times as fast.
    """
    body: dict[str, Any] = json.loads(data) if checked else parse_canonical(data)
    record_format, record_type = body.get("format"), body.get("type")
    if not isinstance(record_format, int) or isinstance(record_format, bool) or not isinstance(record_type, str):
        raise Damaged("a record says neither its format nor its type")
    supported = record_format == FORMAT and record_type in set(RecordType)
    try:
        record = Record(
            type=record_type,
            site=_field(body, "site"),
            at=_time(body.get("at"), "at"),
            body=body,
            application=_optional(body, "application"),
            resource=_optional(body, "resource"),
            point=_optional(body, "point"),
            cut_at=None if body.get("cut_at") is None else _time(body["cut_at"], "cut_at"),
            supported=supported,
        )
        if supported and not checked:
            _check(record)
    except Damaged:
        if supported:
            raise
        return Record(record_type, "", from_text("1970-01-01T00:00:00Z"), body, supported=False)
    return record


def parse_at(path: str, data: bytes) -> Record:
    """As `parse`; Damaged also when the content belongs to another path (moved or replayed)."""
    record = parse(data)
    if record.supported and record.path != path:
        raise Damaged("a record lies where it does not belong", cause=f"{path} holds the record of {record.path}")
    return record


# --- what each type must say ---------------------------------------------------------------------------------------


def _path(record: Record) -> str:
    if record.type == RecordType.VAULT:
        return layout.VAULT_MARKER
    if record.type == RecordType.HEAD:
        return layout.head_path(record.application, record.at)
    if record.type == RecordType.RUNBOOK:
        return layout.runbook_path(record.application, record.at)
    if record.type == RecordType.APPROVAL:
        return layout.approval_path(record.at, record.text("digest"))
    if record.type in OF_A_KEY:
        return layout.key_path(record.text("fingerprint"), record.type.removeprefix("key-"), record.at)
    if record.type == RecordType.JOURNAL:
        return layout.journal_path(record.at, record.text("event"), hashlib.sha256(record.data).hexdigest())
    if record.cut_at is None:
        raise Damaged("a record names no point")
    folder = layout.records_folder(record.application, record.resource, record.cut_at, record.point)
    at = to_compact(record.at)
    if record.type == RecordType.MANIFEST:
        return folder + "manifest.json"
    if record.type == RecordType.NATIVE:
        return f"{folder}native/{at}-{record.text('vault')}.json"
    if record.type == RecordType.PROOF:
        return f"{folder}proofs/{at}-{record.text('vault')}.json"
    if record.type == RecordType.REWRAP:
        return f"{folder}rewraps/{at}-{record.text('fingerprint')}.json"
    if record.type == RecordType.MARK:
        vault = record.text("vault")
        return f"{folder}marks/{at}-{record.text('mark')}{'-' + vault if vault else ''}.json"
    raise Damaged("a record of an unknown type has no path", cause=record.type)


def _check(record: Record) -> None:
    body = record.body
    if record.type == RecordType.VAULT:
        _field(body, "vault")
        return
    if record.type == RecordType.HEAD:
        _check_head(record)
        return
    if record.type == RecordType.RUNBOOK:
        _check_runbook(body)
        return
    if record.type == RecordType.APPROVAL:
        _check_approval(body)
        return
    if record.type in OF_A_KEY:
        _check_key(record)
        return
    if record.type == RecordType.JOURNAL:
        _check_journal(record)
        return
    if not (record.application and record.resource and record.point and record.cut_at):
        raise Damaged(f"a {record.type} names no point")
    for key in ("application", "resource", "point"):
        _name(body, key)
    if record.type == RecordType.MANIFEST:
        _check_manifest(body)
    elif record.type == RecordType.MARK:
        mark = _name(body, "mark")
        if mark in OF_ONE_VAULT and not record.text("vault"):
            raise Damaged(f"a mark {mark} names no vault")
        record.time("until")
    elif record.type == RecordType.REWRAP:
        _check_rewrap(body)
    else:
        _field(body, "vault")
        if record.type == RecordType.NATIVE:
            record.time("usable_at")
            for member in _list(body, "members"):
                _field(member, "native_id")
        elif record.type == RecordType.PROOF:
            _field(body, "outcome")
    if "/" in record.text("vault"):
        raise Damaged(f"a {record.type} has a vault name that no vault has")


def _check_head(record: Record) -> None:
    _name(record.body, "application")
    _field(record.body, "host")
    _count(record.body, "seq")
    for key in ("live", "lost"):
        vaults = record.body.get(key, {})
        of_text = isinstance(vaults, Mapping) and all(
            isinstance(points, Mapping) and all(isinstance(digest, str) for digest in points.values())
            for points in vaults.values()
        )
        if not of_text:
            raise Damaged(f"a head's {key} does not map vaults to points to digests")


def _check_runbook(body: Mapping[str, Any]) -> None:
    _name(body, "application")
    regions, kinds = _mapping(body, "regions"), _mapping(body, "kinds")
    if not all(isinstance(of, Mapping) and all(isinstance(o, Mapping) for o in of.values()) for of in regions.values()):
        raise Damaged("a runbook's regions do not map resources to options")
    if not all(isinstance(kind, str) for kind in kinds.values()):
        raise Damaged("a runbook's kinds are no text")
    for step in _list(body, "steps"):
        _name(step, "name")
    provenance = _mapping(body, "policy") if body.get("policy") is not None else {}
    if not all(isinstance(text, str) for text in provenance.values()):
        raise Damaged("a runbook does not say of which policy it is")


def _check_rewrap(body: Mapping[str, Any]) -> None:
    for key in ("recipient", "fingerprint"):
        _name(body, key)
    for header in _list(body, "headers"):
        _name(header, "name")
        _field(header, "header")


def _check_key(record: Record) -> None:
    body, more = record.body, {RecordType.KEY_TOKEN: ("sealed", "sha256", "public"), RecordType.KEY_PROOF: ("answer",)}
    if not re.fullmatch("[0-9a-f]{16}", _field(body, "fingerprint")):
        raise Damaged(f"a {record.type} names no key")
    for key in ("recipient", *more[RecordType(record.type)]):
        _field(body, key)
    record.time("proved_at")


def _check_approval(body: Mapping[str, Any]) -> None:
    if not re.fullmatch("[0-9a-f]{64}", _field(body, "digest")):
        raise Damaged("an approval names no digest")
    for pair in _list(body, "deletions"):
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            raise Damaged("an approval's deletions are not pairs of vault and point")


def _check_journal(record: Record) -> None:
    body = record.body
    if not re.fullmatch("[a-z]{1,32}", _field(body, "event")):
        raise Damaged("an entry of the journal names no event")
    _field(body, "host")
    _count(body, "seq")
    if not re.fullmatch("[0-9a-f]{64}|", record.text("previous")):
        raise Damaged("an entry of the journal names no entry before it")


def _check_manifest(body: Mapping[str, Any]) -> None:
    for key in ("kind", "slot"):
        _field(body, key)
    artefacts = _list(body, "artefacts")
    if not artefacts:
        raise Damaged("a manifest lists no artefact")
    for artefact in artefacts:
        _name(artefact, "name")
        _field(artefact, "leaves_sha256")
        for key in ("bytes", "header_bytes", "leaf_bytes"):
            _count(artefact, key)
        if artefact["leaf_bytes"] == 0:
            raise Damaged("a manifest's leaves are empty", cause=artefact["name"])
        volumes = _list(artefact, "volumes")
        for volume in volumes:
            _name(volume, "object")
            _field(volume, "sha256")
        if sum(_count(volume, "bytes") for volume in volumes) != artefact["bytes"]:
            raise Damaged("a manifest's volumes do not add up", cause=artefact["name"])


@dataclass(frozen=True, slots=True)
class StoredVolume:
    """One object of an artefact: name within the point's data folder, bytes, lower-case hex sha256 of its bytes."""

    object: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredArtefact:
    """One artefact as its manifest signs it. `name` ends in ``.zst.age``; `bytes` are of ciphertext, all volumes."""

    name: str
    bytes: int
    header_bytes: int
    leaf_bytes: int
    leaves_sha256: str
    volumes: tuple[StoredVolume, ...]

    def body(self) -> dict[str, object]:
        """As the manifest carries it."""
        return {
            "name": self.name,
            "bytes": self.bytes,
            "header_bytes": self.header_bytes,
            "leaf_bytes": self.leaf_bytes,
            "leaves_sha256": self.leaves_sha256,
            "volumes": [{"object": v.object, "bytes": v.bytes, "sha256": v.sha256} for v in self.volumes],
        }

    @property
    def leaves_bytes(self) -> int:
        """The signed size of the ``.leaves`` object: 32 bytes for each started leaf."""
        return 32 * -(-self.bytes // self.leaf_bytes)


def artefacts_of(manifest: Record) -> tuple[StoredArtefact, ...]:
    """The artefacts of a manifest that `parse` accepted, in their order."""
    return tuple(
        StoredArtefact(
            name=entry["name"],
            bytes=entry["bytes"],
            header_bytes=entry["header_bytes"],
            leaf_bytes=entry["leaf_bytes"],
            leaves_sha256=entry["leaves_sha256"],
            volumes=tuple(StoredVolume(v["object"], v["bytes"], v["sha256"]) for v in entry["volumes"]),
        )
        for entry in manifest.body["artefacts"]
    )


# --- strict fields -------------------------------------------------------------------------------------------------


def _field(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key) if isinstance(body, Mapping) else None
    if not isinstance(value, str) or not value:
        raise Damaged(f"a record has no {key}")
    return value


def _name(body: Mapping[str, Any], key: str) -> str:
    value = _field(body, key)
    if "/" in value or value in (".", "..") or not value.isprintable():
        raise Damaged(f"a record has a {key} that is no plain name", cause=repr(value))
    return value


def _optional(body: Mapping[str, Any], key: str) -> str:
    return "" if body.get(key) is None else _field(body, key)


def _count(body: Mapping[str, Any], key: str) -> int:
    value = body.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Damaged(f"a record's {key} is not a count")
    return value


def _list(body: Mapping[str, Any], key: str) -> list[Any]:
    value = body.get(key)
    if not isinstance(value, list):
        raise Damaged(f"a record's {key} is not a list")
    return value


def _mapping(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = body.get(key)
    if not isinstance(value, Mapping):
        raise Damaged(f"a record's {key} is not a mapping")
    return value


def _time(value: object, key: str) -> datetime:
    try:
        return from_text(value) if isinstance(value, str) else _no_time(key)
    except ValueError as error:
        raise Damaged(f"a record's {key} is not a time", cause=str(error)) from error


def _no_time(key: str) -> datetime:
    raise Damaged(f"a record's {key} is not a time")


def noted_files(manifest: Mapping[str, object]) -> dict[str, int]:
    """How many files a dump of files did not store (``skipped``), missed (``vanished``), or read while they changed
    (``changed``), from its manifest; without those of which there were none.
    """
    counted = manifest.get("counted")
    counts = counted if isinstance(counted, Mapping) else {}
    return {
        what: count
        for what in ("skipped", "vanished", "changed")
        if isinstance(count := counts.get(what), int) and count > 0
    }
