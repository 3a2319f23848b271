"""What lies in vaults: canonical JSON, records, whole vaults of strangers, a dump with all that belongs to it."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from fuzz.engine import Parser
from fuzz.hostile import APPLICATION, EU, IDENTITY, KEY, NOW, RESOURCE, SITE, TRUSTED, HostileStore, packed, unpacked
from manual_clock import ManualClock

from drorch.app.cache import Cache
from drorch.app.catalogue import VaultReader
from drorch.app.dump import DumpLimits, DumpOrder, dump
from drorch.app.reading import (
    check_sums,
    inventory_artefact,
    open_artefact,
    parse_inventory,
    read_inventory,
    read_signed,
)
from drorch.crypto.age import recipient_of
from drorch.domain import audit, layout
from drorch.domain.canonical import canonical_bytes, parse_canonical
from drorch.domain.catalogue import Catalogue, Trust, fold
from drorch.domain.errors import Damaged, Refused, Unavailable
from drorch.domain.evidence_hours import by_application, spans
from drorch.domain.journal import Figure, Held, Hour, hour_in, swept_in
from drorch.domain.native import Inventory
from drorch.domain.record import (
    Record,
    RecordType,
    StoredArtefact,
    StoredVolume,
    artefacts_of,
    compose,
    parse,
    parse_at,
)
from drorch.engines.memory import MemoryEngine, MemorySource, Options
from drorch.stores.memory import MemoryStore

PLAIN = b"".join(b"%d\torder %d\n" % (number, number * 7919) for number in range(40))
CUT = NOW - timedelta(hours=1)


def _dump_kinds() -> list[Record]:
    where: Any = {"site": SITE, "at": NOW, "application": APPLICATION, "resource": RESOURCE, "cut_at": CUT}
    volume = StoredVolume("data.pgcustom.zst.age", 300, "ab" * 32)
    artefact = StoredArtefact("data.pgcustom.zst.age", 300, 200, 1 << 20, "cd" * 32, (volume,))
    member = {"native_id": "snap-1", "source_id": "vol-1", "role": "snapshot", "bytes": 1 << 33, "identity": "vol-1"}
    of_key: Any = {"recipient": "age1x", "fingerprint": "0123456789abcdef"}
    steps = [{"name": "database", "restore": "ledger", "needs": []}, {"name": "word", "manual": "x", "needs": []}]
    runbook: Any = {"regions": {"us-west-2": {"ledger": {"subnet_group": "dr"}}}, "kinds": {"ledger": "rds-instance"},
                    "steps": steps, "policy": {"digest": "ab" * 32, "commit": ""}}  # fmt: skip
    pin = compose(RecordType.MARK, point="p1", mark="pin", reason="audit", until="2027-01-01T00:00:00Z", **where)
    head: Any = {"host": "dr1", "seq": 7, "live": {"eu": {"p1": "ab" * 32}}, "lost": {}}
    return [
        compose(RecordType.MANIFEST, point="p1", kind="postgres", slot="2026-11-20T11:00Z", note="before",
                artefacts=[artefact.body()], recipients=["age1x"], **where),
        compose(RecordType.NATIVE, point="p2", kind="ebs", slot="2026-11-20T11:00Z", vault="prod.us-east-1",
                members=[member], usable_at="2026-11-20T11:30:00Z", **where),
        pin,
        compose(RecordType.MARK, point="p2", mark="expiring", vault="prod.us-east-1", **where),
        compose(RecordType.PROOF, point="p1", vault="eu", outcome="passed", seconds={"load": 3}, bytes=7, **where),
        compose(RecordType.VAULT, site=SITE, at=NOW, vault="eu", name="eu"),
        compose(RecordType.HEAD, site=SITE, at=NOW, application=APPLICATION, **head),
        compose(RecordType.APPROVAL, site=SITE, at=NOW, digest="ab" * 32, deletions=[["eu", "p1"]]),
        compose(RecordType.KEY_TOKEN, site=SITE, at=NOW, vault="eu", sealed="YWdl", sha256="ab" * 32, public="cd" * 32,
                **of_key),
        compose(RecordType.KEY_PROOF, site=SITE, at=NOW, answer="drorch-key-1", proved_at="2026-11-20T11:30:00Z",
                **of_key),
        compose(RecordType.REWRAP, point="p1", headers=[{"name": "data", "header": "YWdl"}], **of_key, **where),
        compose(RecordType.RUNBOOK, site=SITE, at=NOW, application=APPLICATION, **runbook),
        compose(RecordType.JOURNAL, site=SITE, at=NOW, event="hour", host="dr1", seq=7, previous="ab" * 32,
                **_an_hour().bodies()[0]),
        compose(RecordType.JOURNAL, application=APPLICATION, event="restore", host="dr1", seq=8, by="ann",
                target="postgresql", wanted={"note": "before 4.2"}, outcome="failed", site=SITE, at=NOW),
        compose(RecordType.JOURNAL, point="p1", event="audit", host="dr1", seq=9, **_an_audit(), **where),
        compose(RecordType.JOURNAL, point="p1", event="swept", host="dr1", seq=10, records=[pin.body], **where),
    ]  # fmt: skip


def _an_audit() -> dict[str, Any]:
    """Its signature is none that a key made: what is read of an entry does not ask."""
    content = audit.content("s", b"c\nRURmdXp6\nt\ns\n", [audit.Offer(APPLICATION, "region", RESOURCE, "eu", "p1")])
    return {name: value for name, value in content.items() if name not in ("application", "resource", "point")}


def _an_hour() -> Hour:
    hour = Hour.begun(NOW - timedelta(hours=1))
    of_shop = hour.of_application(APPLICATION)
    of_shop.policy, of_shop.commit, of_shop.done = "ab" * 32, "cd" * 20, Counter(cut=2)
    figure = Figure(rpo=3600, rpo_attained=4000, rpo_met=False, rto=60)
    of_shop.saw({"region": figure, "zone": Figure(exempt="rebuilt")}, valid=True)
    of_shop.hold([Held("eu", "p1", RESOURCE, "mark", "the brake holds it")])
    return hour


def _planted_records() -> Mapping[str, bytes]:
    return {f"{number}-{record.type}": record.data for number, record in enumerate(_dump_kinds())}


def _canonical(data: bytes) -> None:
    try:
        content = parse_canonical(data)
    except Damaged as error:
        str(error).encode()
        return
    assert parse_canonical(canonical_bytes(content)) == content


def _record(data: bytes) -> None:
    try:
        record = parse(data)
    except Damaged as error:
        str(error).encode()
        return
    assert parse(record.data) == record
    if not record.supported:
        return
    assert parse(data, checked=True) == record
    parts = record.path.split("/")
    assert not {"", ".", ".."} & set(parts), record.path
    assert parse_at(record.path, data) == record
    if record.type == RecordType.JOURNAL:
        _hour(record)
        _audit(record)
    if record.type == RecordType.MANIFEST:
        for artefact in artefacts_of(record):
            assert "/" not in artefact.name
            assert f"{artefact.leaves_bytes}"


def _audit(record: Record) -> None:
    """What is no audit is damaged; what is one is picked again by its seed."""
    for read in (audit.audit_of, audit.stated, swept_in):
        try:
            read(record)
        except Damaged as error:
            str(error).encode()


def _hour(record: Record) -> None:
    """What an hour tells can be told again, and counted."""
    try:
        hour = hour_in(record)
    except Damaged as error:
        str(error).encode()
        return
    assert (
        Hour.of(hour.bodies()[0] if hour.applications else record.body).applications.keys() == hour.applications.keys()
    )
    spans(by_application([(hour, 1)]).get(APPLICATION, {}), [hour.start], "day", str)


def _inventory(data: bytes) -> None:
    try:
        found = parse_inventory(data)
    except Damaged as error:
        str(error).encode()
        return
    json.dumps(dict(found.tables)).encode()
    assert all(count is None or type(count) is int for count in found.tables.values())


def _planted_inventory() -> Mapping[str, bytes]:
    found = Inventory({"public.orders": 12, "public.big": None}, frozenset({"public.orders"}), 8192, {"locale": "C"})
    body = {"tables": dict(found.tables), "estimated": sorted(found.estimated), "bytes": found.bytes}
    return {"exact": canonical_bytes(body | {"details": dict(found.details)}), "least": canonical_bytes({"tables": {}})}


# --- whole vaults --------------------------------------------------------------------------------------------------


def read(objects: Mapping[str, bytes], *, strict: bool = True) -> tuple[dict[str, tuple[Trust, str]], Catalogue]:
    """Path -> (trust, digest) of every record, and the catalogue. A store that answers everything is always read."""
    reader = VaultReader(Cache(None, ""), TRUSTED, SITE)
    store: Any = HostileStore(objects, strict=strict)
    reader.refresh(store, NOW)
    view = reader.view(EU, APPLICATION)
    for valid in (True, False):
        found = fold(APPLICATION, [view], [], lambda *_, valid=valid: valid, NOW)
    reader.approvals(["eu"])
    return {seen.path: (seen.trust, seen.digest) for seen in view.records}, found


@functools.cache
def vault_objects() -> Mapping[str, bytes]:
    """A vault with one record of every type, all signed."""
    objects: dict[str, bytes] = {}
    for record in _dump_kinds():
        objects[record.path] = record.data
        objects[record.path + layout.SIGNATURE] = KEY.sign(record.data, record.comment)
    objects[layout.data_folder(APPLICATION, RESOURCE, CUT, "p1") + "data.pgcustom.zst.age"] = bytes(300)
    return objects


@functools.cache
def digests() -> Mapping[str, str]:
    """Path -> digest of everything that was ever signed."""
    found, _ = read(vault_objects())
    assert {trust for trust, _ in found.values()} == {Trust.SIGNED}
    return {path: digest for path, (_, digest) in found.items()}


def _vault(data: bytes) -> None:
    objects = unpacked(_json(data))
    found, catalogue = read(objects, strict=len(data) % 2 == 0)
    for path, (trust, digest) in found.items():
        assert trust is not Trust.SIGNED or digests().get(path) == digest, path
    for drill in catalogue.drills:
        assert drill.point == "p1"


def _resigned(data: bytes) -> None:
    """Records that a trusted key signed, whatever they say: the fold raises nothing."""
    bodies = _json(data)
    objects: dict[str, bytes] = {}
    for body in bodies if isinstance(bodies, list) else [bodies]:
        try:
            record = parse(json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"))
            path = record.path
        except Damaged:
            continue
        objects[path] = record.data
        objects[path + layout.SIGNATURE] = KEY.sign(record.data, "drorch v1")
        if record.comment.isprintable() and len(record.comment) < 1000:
            objects[path + layout.SIGNATURE] = KEY.sign(record.data, record.comment)
    read(objects, strict=len(data) % 2 == 0)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return {}


def _planted_vault() -> Mapping[str, bytes]:
    return {"whole": json.dumps(packed(vault_objects())).encode()}


def _planted_resigned() -> Mapping[str, bytes]:
    bodies = [dict(record.body) for record in _dump_kinds()]
    return {"all": json.dumps(bodies).encode(), "twice": json.dumps([*bodies, *bodies[:2]]).encode()}


# --- one dump ------------------------------------------------------------------------------------------------------


def _dumped() -> Mapping[str, bytes]:
    engine = MemoryEngine({"main": MemorySource({"data.pgcustom": PLAIN}, cut_at=CUT)})
    store = MemoryStore(EU.name, now=lambda: NOW)
    order = DumpOrder(
        site=SITE, application=APPLICATION, resource=RESOURCE, kind="memory", point="p1", slot="2026-11-20T11:00Z",
        recipients=(recipient_of(IDENTITY),), inventory="exact",
    )  # fmt: skip
    dump(order, engine, Options(), {}, {EU.name: store}, KEY, clock=ManualClock(), limits=DumpLimits(volume_bytes=None))
    return {path: body for path, (body, _) in store.objects.items()}


def _planted_dump() -> Mapping[str, bytes]:
    return {"dump": json.dumps(packed(_dumped())).encode()}


@functools.cache
def _good() -> Mapping[str, bytes]:
    return unpacked(json.loads((DUMP.folder / "dump").read_bytes()))


def _manifest_path() -> str:
    return layout.manifest_path(APPLICATION, RESOURCE, CUT, "p1")


def _restored(store: Any, manifest: Record) -> list[tuple[str, bytes]]:
    """Every artefact read as a restore does it."""
    check_sums(store, manifest, TRUSTED)
    return [(a.name, _plain(store, manifest, a)) for a in artefacts_of(manifest)]


def _plain(store: Any, manifest: Record, artefact: StoredArtefact) -> bytes:
    return b"".join(bytes(part) for part in open_artefact(store, manifest, artefact, [IDENTITY], ManualClock()))


def _altered_dump(data: bytes) -> None:
    store: Any = HostileStore(unpacked(_json(data)))
    good: Any = HostileStore(_good())
    try:
        manifest = read_signed(store, _manifest_path(), TRUSTED)
        found = _restored(store, manifest)
    except (Refused, Unavailable):
        return
    assert found == _restored(good, read_signed(good, _manifest_path(), TRUSTED))
    assert found[0][1] == PLAIN


def _altered_manifest(data: bytes) -> None:
    """A manifest that nobody signed, accepted by name, over the good objects: the bytes are age's to vouch for."""
    store: Any = HostileStore(_good())
    try:
        manifest = parse(data)
        if not (manifest.supported and manifest.type == RecordType.MANIFEST):
            return
        for artefact in artefacts_of(manifest):
            plain = _plain(store, manifest, artefact)
            assert plain == PLAIN or artefact.name != "data.pgcustom.zst.age" or artefact.volumes != _volumes()
        listed = inventory_artefact(manifest)
        if listed is not None:
            read_inventory(store, manifest, listed, [IDENTITY], ManualClock())
    except (Refused, Unavailable) as error:
        str(error).encode()


def _volumes() -> tuple[StoredVolume, ...]:
    return artefacts_of(parse(_good()[_manifest_path()]))[0].volumes


def _planted_manifest() -> Mapping[str, bytes]:
    return {"manifest": _good()[_manifest_path()]}


DUMP = Parser("dump", _altered_dump, _planted_dump, 60)
PARSERS = (
    Parser("canonical", _canonical, _planted_records, 800),
    Parser("record", _record, _planted_records, 800),
    Parser("inventory", _inventory, _planted_inventory, 800),
    Parser("vault", _vault, _planted_vault, 60),
    Parser("fold", _resigned, _planted_resigned, 60),
    DUMP,
    Parser("manifest", _altered_manifest, _planted_manifest, 150),
)
