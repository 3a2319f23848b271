"""Vaults and providers as they are listed, built by hand: records, objects and snapshots for the fold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from drorch.domain.catalogue import Catalogue, fold
from drorch.domain.catalogue_native import NativeView
from drorch.domain.catalogue_seen import SeenRecord, Trust, VaultView
from drorch.domain.model import Copy, FailureDomain, RecoveryPoint, Vault
from drorch.domain.native import NativeSnapshot
from drorch.domain.record import Record, RecordType, artefacts_of, compose

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CUT_AT = datetime(2026, 11, 20, 9, 0, 30, tzinfo=UTC)
SLOT = "2026-11-20T09:00Z"
POINT = "goodid"
HOME, AWAY, EU, NAS = "prod.us-east-1", "prod.us-west-2", "gcs-eu", "nas"
ARTEFACT: dict[str, Any] = {
    "name": "data.zst.age",
    "bytes": 2_000_000,
    "header_bytes": 200,
    "leaf_bytes": 1 << 20,
    "leaves_sha256": "00",
    "volumes": [{"object": "data.zst.age", "bytes": 2_000_000, "sha256": "11"}],
}


def valid_id(point: str, application: str, resource: str, slot: str) -> bool:
    return point.startswith("good") and (application, resource) == ("shop", "data") and slot == SLOT


def record(kind: RecordType, /, *, at: datetime = NOW, cut_at: datetime = CUT_AT, **content: object) -> Record:
    return compose(kind, site="acme", at=at, application="shop", resource="data", point=POINT, cut_at=cut_at, **content)


def seen(made: Record, vault: str = EU, trust: Trust = Trust.SIGNED, written: datetime = NOW) -> SeenRecord:
    return SeenRecord(
        vault, made.path, made, trust, written, str(hash(made.data)), "" if trust is Trust.SIGNED else "no"
    )


def view(
    vault: str, *records: SeenRecord, objects: dict[str, int] | None = None, complete: bool = True, **more: Any
) -> VaultView:
    return VaultView(Vault(vault, FailureDomain("gcp", "x")), complete, NOW, records, objects or {}, **more)


def manifest(cut_at: datetime = CUT_AT, at: datetime = NOW) -> Record:
    return record(RecordType.MANIFEST, at=at, cut_at=cut_at, kind="postgres", slot=SLOT, artefacts=[ARTEFACT])


def objects_of(made: Record) -> dict[str, int]:
    folder = f"drorch/v1/data/shop/data/{made.path.split('/')[5]}/"
    (artefact,) = artefacts_of(made)
    return {folder + "data.zst.age": 2_000_000, folder + "data.zst.age.leaves": artefact.leaves_bytes}


def dump(vault: str = EU, trust: Trust = Trust.SIGNED, **changes: Any) -> VaultView:
    made = manifest(**changes)
    return view(vault, seen(made, vault, trust), objects=objects_of(made))


def snapshot(native_id: str = "snap-1", vault: str = HOME, /, **changes: Any) -> NativeSnapshot:
    account, _, region = vault.partition(".")
    tags = {
        "drorch:application": "shop",
        "drorch:resource": "data",
        "drorch:slot": SLOT,
        "drorch:point": POINT,
        "drorch:set": "1/1:1",
        **changes.pop("tags", {}),
    }
    values: dict[str, Any] = {"state": "usable", "source_id": "vol-1", "started": CUT_AT, "bytes": 8, **changes}
    return NativeSnapshot(native_id, account, region, "ec2", tags=tags, **values)


def copied(native_id: str = "copy-1", of: str = "snap-1", **changes: Any) -> NativeSnapshot:
    changes["tags"] = {"drorch:source": of, **changes.get("tags", {})}
    return snapshot(native_id, AWAY, **{"source_id": "", "started": NOW, **changes})


def natives(
    *snapshots: NativeSnapshot, vault: str = HOME, kind: str = "ebs", complete: bool = True, read: bool = True
) -> NativeView:
    domain = FailureDomain("aws", vault.partition(".")[2], "prod")
    return NativeView(Vault(vault, domain, native=True), kind, complete, snapshots, NOW if read else None)


def native_record(
    vault: str = HOME, *ids: str, at: datetime = NOW, cut_at: datetime = CUT_AT, kind: str = "ebs"
) -> Record:
    members = [
        {"native_id": name, "source_id": f"vol-{n + 1}", "bytes": 8} for n, name in enumerate(ids or ("snap-1",))
    ]
    return record(
        RecordType.NATIVE,
        at=at,
        cut_at=cut_at,
        vault=vault,
        kind=kind,
        slot=SLOT,
        members=members,
        usable_at="2026-11-20T10:00:00Z",
    )


def folded(vaults: Sequence[VaultView] = (), views: Sequence[NativeView] = ()) -> Catalogue:
    return fold("shop", vaults, views, valid_id, NOW)


def the_point(catalogue: Catalogue) -> RecoveryPoint:
    (point,) = catalogue.points
    return point


def the_copy(catalogue: Catalogue, vault: str) -> Copy:
    copy = the_point(catalogue).copy_in(vault)
    assert copy is not None
    return copy
