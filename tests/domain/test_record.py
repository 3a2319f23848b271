"""Records: what each type must say, where it must lie, and what is refused."""

from __future__ import annotations

import contextlib
import copy
import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drorch.domain.canonical import canonical_bytes, parse_canonical
from drorch.domain.errors import Damaged
from drorch.domain.layout import of_data, volume_name
from drorch.domain.record import Record, RecordType, artefacts_of, compose, parse, parse_at

AT = datetime(2026, 11, 20, 12, 0, 5, tzinfo=UTC)
CUT_AT = datetime(2026, 11, 20, 9, 15, tzinfo=UTC)
FOLDER = "drorch/v1/records/shop/orders/20261120T091500Z-abcdefghij2345670000/"
ARTEFACT = {
    "name": "data.pgcustom.zst.age",
    "bytes": 3_000_000,
    "header_bytes": 200,
    "leaf_bytes": 1 << 20,
    "leaves_sha256": "00" * 32,
    "volumes": [
        {"object": "data.pgcustom.zst.age", "bytes": 2_000_000, "sha256": "11" * 32},
        {"object": "data.pgcustom.zst.age.001", "bytes": 1_000_000, "sha256": "22" * 32},
    ],
}


def record(record_type: RecordType, /, **content: object) -> Record:
    return compose(
        record_type,
        site="acme",
        at=AT,
        application="shop",
        resource="orders",
        point="abcdefghij2345670000",
        cut_at=CUT_AT,
        **content,
    )


def manifest(**changes: object) -> Record:
    return record(
        RecordType.MANIFEST, **({"kind": "postgres", "slot": "2026-11-20T09:00Z", "artefacts": [ARTEFACT]} | changes)
    )


OF_KEY: dict[str, Any] = {"recipient": "age1one", "fingerprint": "0123456789abcdef"}
RECORDS = {
    FOLDER + "manifest.json": manifest(),
    FOLDER + "native/20261120T120005Z-prod.us-west-2.json": record(
        RecordType.NATIVE, vault="prod.us-west-2", members=[{"native_id": "snap-1"}], usable_at="2026-11-20T12:00:00Z"
    ),
    FOLDER + "marks/20261120T120005Z-pin.json": record(RecordType.MARK, mark="pin", until="2027-01-01T00:00:00Z"),
    FOLDER + "marks/20261120T120005Z-expiring-gcs-eu.json": record(RecordType.MARK, mark="expiring", vault="gcs-eu"),
    FOLDER + "proofs/20261120T120005Z-gcs-eu.json": record(RecordType.PROOF, vault="gcs-eu", outcome="passed"),
    FOLDER + "rewraps/20261120T120005Z-0123456789abcdef.json": record(
        RecordType.REWRAP, **OF_KEY, headers=[{"name": "data.zst.age", "header": "YWdl"}]
    ),
    "drorch/v1/keys/0123456789abcdef/token-20261120T120005Z.json": compose(
        RecordType.KEY_TOKEN, site="acme", at=AT, **OF_KEY, sealed="YWdl", sha256="00" * 32, public="11" * 32
    ),
    "drorch/v1/keys/0123456789abcdef/proof-20261120T120005Z.json": compose(
        RecordType.KEY_PROOF, site="acme", at=AT, **OF_KEY, answer="drorch-key-1", proved_at="2026-11-20T12:00:00Z"
    ),
    "drorch/v1/vault.json": compose(RecordType.VAULT, site="acme", at=AT, vault="gcs-eu"),
    "drorch/v1/heads/shop/20261120T120005Z.json": compose(
        RecordType.HEAD,
        site="acme",
        at=AT,
        application="shop",
        host="backup-1",
        seq=3,
        live={"gcs-eu": {"abcdefghij2345670000": "33" * 32}},
        lost={"gcs-eu": {"klmnopqrst2345670000": "2026-11-01T00:00:00Z"}},
    ),
    "drorch/v1/runbooks/shop/20261120T120005Z.json": compose(
        RecordType.RUNBOOK,
        site="acme",
        at=AT,
        application="shop",
        regions={"us-west-2": {"ledger": {"subnet_group": "dr"}}},
        kinds={"ledger": "rds-instance"},
        steps=[{"name": "database", "restore": "ledger", "needs": []}],
        policy={"digest": "ab" * 32, "commit": "cafe"},
    ),
    f"drorch/v1/approvals/20261120T120005Z-{'ab' * 8}.json": compose(
        RecordType.APPROVAL, site="acme", at=AT, digest="ab" * 32, deletions=[["gcs-eu", "abcdefghij2345670000"]]
    ),
}


@pytest.mark.parametrize("path", RECORDS)
def test_a_record_says_where_it_lies_and_reads_back(path: str) -> None:
    made = RECORDS[path]
    assert made.path == path
    assert made.comment == f"drorch v1 {made.type} {path}"
    assert parse_at(path, made.data) == made


@pytest.mark.parametrize("path", RECORDS)
@pytest.mark.parametrize("elsewhere", RECORDS)
def test_a_record_found_elsewhere_is_refused(path: str, elsewhere: str) -> None:
    if path == elsewhere:
        assert parse_at(elsewhere, RECORDS[path].data).path == elsewhere
        return
    with pytest.raises(Damaged, match="does not belong"):
        parse_at(elsewhere, RECORDS[path].data)


@pytest.mark.parametrize("path", RECORDS)
@pytest.mark.parametrize("value", [None, 7, "", [], {}, "../x", True])
def test_no_field_of_the_wrong_type_gets_through_to_the_path(path: str, value: object) -> None:
    body = parse_canonical(RECORDS[path].data)
    for key in body:
        changed = copy.deepcopy(body) | {key: value}
        try:
            found = parse_at(path, canonical_bytes(changed))
        except Damaged:
            continue
        assert not found.supported or found.path == path


@pytest.mark.parametrize("path", RECORDS)
def test_unknown_fields_are_ignored_and_kept(path: str) -> None:
    body = parse_canonical(RECORDS[path].data) | {"later": {"x": [1]}}
    found = parse_at(path, canonical_bytes(body))
    assert found.supported and found.body["later"] == {"x": [1]}


def entry(**changes: object) -> Record:
    content: dict[str, Any] = {"event": "hour", "host": "dr1", "seq": 1} | changes
    return compose(RecordType.JOURNAL, site="acme", at=AT, **content)


def test_an_entry_of_the_journal_lies_in_its_month_under_its_own_digest() -> None:
    one, other = entry(), entry(seq=2)
    digest = hashlib.sha256(one.data).hexdigest()
    assert one.path == f"drorch/v1/journal/202611/20261120T120005Z-hour-{digest[:16]}.json"
    assert other.path != one.path
    with pytest.raises(Damaged, match="does not belong"):
        parse_at(one.path, other.data)


@pytest.mark.parametrize(
    "change",
    [{"event": ""}, {"event": "a/b"}, {"event": "Hour"}, {"host": None}, {"seq": -1}, {"seq": "1"}, {"previous": "ab"}],
)
def test_an_entry_of_the_journal_that_does_not_say_what_it_must_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Damaged):
        entry(**change)


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"type": "report"}, {"format": 9, "type": "manifest", "at": 12}, {"type": "audit"}]
)
def test_a_later_format_or_type_is_unsupported_whatever_else_it_says(change: dict[str, Any]) -> None:
    found = parse(canonical_bytes(parse_canonical(manifest().data) | change))
    assert not found.supported


@pytest.mark.parametrize("change", [{"format": "1"}, {"format": True}, {"format": None}, {"type": 3}, {"type": None}])
def test_what_says_neither_format_nor_type_is_damaged(change: dict[str, Any]) -> None:
    with pytest.raises(Damaged):
        parse(canonical_bytes(parse_canonical(manifest().data) | change))


def artefact(**changes: object) -> list[dict[str, object]]:
    return [{**ARTEFACT, **changes}]


@pytest.mark.parametrize(
    "changes",
    [
        {"artefacts": []},
        {"artefacts": "data"},
        {"artefacts": artefact(bytes=3_000_001)},
        {"artefacts": artefact(bytes=-1)},
        {"artefacts": artefact(bytes=True)},
        {"artefacts": artefact(name="../data")},
        {"artefacts": artefact(name="..")},
        {"artefacts": artefact(volumes=[])},
        {"artefacts": artefact(volumes=[{"object": "a/b", "bytes": 3_000_000, "sha256": "11"}])},
        {"artefacts": artefact(leaves_sha256="")},
        {"kind": ""},
        {"slot": 3},
    ],
)
def test_a_manifest_that_does_not_add_up_is_damaged(changes: dict[str, object]) -> None:
    with pytest.raises(Damaged):
        manifest(**changes)


@pytest.mark.parametrize(
    "content",
    [
        {"mark": "expiring"},
        {"mark": "pin", "until": "tomorrow"},
        {"mark": "pin", "until": 5},
        {"mark": "pin", "vault": "a/b"},
        {},
    ],
)
def test_a_mark_that_cannot_be_meant_is_damaged(content: dict[str, object]) -> None:
    with pytest.raises(Damaged):
        record(RecordType.MARK, **content)


@pytest.mark.parametrize(
    "content",
    [
        {"vault": "prod.us-west-2"},
        {"vault": "prod.us-west-2", "members": [{}]},
        {"vault": "prod.us-west-2", "members": ["snap-1"]},
        {"members": []},
        {"vault": "prod.us-west-2", "members": [], "usable_at": "now"},
    ],
)
def test_a_native_record_without_its_members_or_vault_is_damaged(content: dict[str, object]) -> None:
    with pytest.raises(Damaged):
        record(RecordType.NATIVE, **content)


@pytest.mark.parametrize(
    "content",
    [
        {"host": "", "seq": 1},
        {"host": "backup-1"},
        {"host": "backup-1", "seq": -1},
        {"host": "backup-1", "seq": True},
        {"host": "backup-1", "seq": 1, "live": ["gcs-eu"]},
        {"host": "backup-1", "seq": 1, "live": {"gcs-eu": ["p"]}},
        {"host": "backup-1", "seq": 1, "lost": {"gcs-eu": {"p": 5}}},
        {"host": "backup-1", "seq": 1, "application": ""},
        {"host": "backup-1", "seq": 1, "application": "../bank"},
    ],
)
def test_a_head_that_cannot_be_meant_is_damaged(content: dict[str, object]) -> None:
    body = {"format": 1, "type": "head", "site": "acme", "at": "2026-11-20T12:00:05Z", "application": "shop"}
    assert parse(canonical_bytes(body | {"host": "backup-1", "seq": 0})).supported
    with pytest.raises(Damaged):
        parse(canonical_bytes(body | content))


@pytest.mark.parametrize(
    "content",
    [
        {"digest": "ab", "deletions": []},
        {"digest": "AB" * 32, "deletions": []},
        {"digest": "ab" * 32 + "\n", "deletions": []},
        {"digest": "../" + "ab" * 32, "deletions": []},
        {"digest": "ab" * 32},
        {"digest": "ab" * 32, "deletions": {"v": "p"}},
        {"digest": "ab" * 32, "deletions": ["vp"]},
        {"digest": "ab" * 32, "deletions": [["v", "p", "q"]]},
        {"digest": "ab" * 32, "deletions": [["v", 1]]},
    ],
)
def test_an_approval_that_cannot_be_meant_is_damaged(content: dict[str, object]) -> None:
    with pytest.raises(Damaged):
        compose(RecordType.APPROVAL, site="acme", at=AT, **content)


def test_artefacts_come_back_as_they_were_signed() -> None:
    (found,) = artefacts_of(manifest())
    assert found.body() == ARTEFACT
    assert found.leaves_bytes == 32 * 3


def test_a_record_of_a_point_needs_its_cut_at() -> None:
    with pytest.raises(TypeError):
        compose(RecordType.MARK, site="acme", at=AT, application="shop", resource="orders", point="p", mark="pin")


@given(
    st.dictionaries(st.sampled_from(["format", "type", "site", "at", "vault", "mark", "cut_at", "point"]), st.text())
)
def test_any_object_is_a_record_or_damaged(body: dict[str, Any]) -> None:
    with contextlib.suppress(Damaged):
        parse(canonical_bytes({"format": 1, "type": "mark", **body}))


def test_names_of_volumes_and_data_paths() -> None:
    assert [volume_name("a.age", n) for n in (0, 1, 12)] == ["a.age", "a.age.001", "a.age.012"]
    assert of_data("drorch/v1/data/shop/orders/20261120T091500Z-p/a.age") == (
        "shop",
        "orders",
        "20261120T091500Z-p",
        "a.age",
    )
    assert of_data("drorch/v1/records/shop/orders/p/manifest.json") is None
