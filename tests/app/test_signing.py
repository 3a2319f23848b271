"""Writing records: signature first, the same bytes everywhere, and nothing but drorch's own beside them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from faults import FaultyStore

from drorch.app.reading import TrustedKey, read_signed
from drorch.app.signing import put_pair, replicate, write_record, write_somewhere
from drorch.crypto.minisign import BadSignature, SecretKey
from drorch.domain.errors import Damaged, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.record import Record, RecordType, compose
from drorch.stores.memory import MemoryStore

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEY, STRANGER = SecretKey.generate(), SecretKey.generate()
TRUSTED = (TrustedKey(KEY.public),)


def pin(reason: str = "audit", resource: str = "data") -> Record:
    return compose(
        RecordType.MARK,
        site="acme",
        at=NOW,
        application="shop",
        resource=resource,
        point="p1",
        cut_at=NOW,
        mark="pin",
        reason=reason,
    )


def stores(*names: str) -> dict[str, FaultyStore]:
    return {name: FaultyStore(MemoryStore(name)) for name in names}


def objects(store: FaultyStore) -> dict[str, tuple[bytes, datetime]]:
    assert isinstance(store.inner, MemoryStore)
    return store.inner.objects


def test_the_same_bytes_lie_everywhere_and_read_back_signed() -> None:
    vaults = stores("eu", "nas")
    assert write_record(pin(), KEY, vaults, vaults.__getitem__) == {}
    bytes_of = [{path: body for path, (body, _) in objects(store).items()} for store in vaults.values()]
    assert bytes_of[0] == bytes_of[1]
    assert set(bytes_of[0]) == {pin().path, pin().path + ".minisig"}
    assert read_signed(vaults["eu"], pin().path, TRUSTED) == pin()


def test_the_signature_lies_there_before_the_record() -> None:
    vaults = stores("eu")
    vaults["eu"].faults.order("put", "before", after=1)
    assert set(write_record(pin(), KEY, vaults, vaults.__getitem__)) == {"eu"}
    assert set(objects(vaults["eu"])) == {pin().path + ".minisig"}
    assert write_record(pin(), KEY, vaults, vaults.__getitem__) == {}, "what a crash left is no obstacle"


def test_a_vault_that_does_not_take_it_is_named_the_others_have_it() -> None:
    vaults = stores("eu", "nas")
    vaults["nas"].faults.order("put", "after")
    lost = write_somewhere(pin(), KEY, list(vaults), vaults.__getitem__)
    assert {vault: type(error) for vault, error in lost.items()} == {"nas": OutcomeUnknown}
    vaults["nas"].faults.black_hole()
    vaults["eu"].faults.black_hole()
    with pytest.raises(Unavailable, match="no vault took the mark"):
        write_somewhere(pin("again"), KEY, list(vaults), vaults.__getitem__)


@pytest.mark.parametrize("suffix", ["", ".minisig"])
def test_something_else_at_its_place_is_refused_and_left(suffix: str) -> None:
    vaults = stores("eu")
    vaults["eu"].put(pin().path + suffix, b"planted")
    lost = write_record(pin(), KEY, vaults, vaults.__getitem__)
    assert isinstance(lost["eu"], Refused) and "something else lies" in str(lost["eu"])
    assert objects(vaults["eu"])[pin().path + suffix][0] == b"planted"


def test_a_record_is_replicated_byte_for_byte_and_twice_is_harmless() -> None:
    vaults = stores("eu", "nas")
    write_record(pin(), KEY, ["eu"], vaults.__getitem__)
    for _ in range(2):
        replicate(vaults["eu"], vaults["nas"], pin().path, TRUSTED)
    assert {p: b for p, (b, _) in objects(vaults["nas"]).items()} == {
        p: b for p, (b, _) in objects(vaults["eu"]).items()
    }


def test_nothing_is_replicated_that_is_not_signed_moved_replayed_or_by_a_stranger() -> None:
    vaults = stores("eu", "nas")
    record = pin()
    good = KEY.sign(record.data, record.comment)
    moved = pin(resource="other")
    planted = {
        "flipped": (record.path, record.data.replace(b"audit", b"audix"), good, BadSignature),
        "stranger": (record.path, record.data, STRANGER.sign(record.data, record.comment), BadSignature),
        "comment": (record.path, record.data, KEY.sign(record.data, moved.comment), BadSignature),
        "moved": (moved.path, record.data, good, Damaged),
    }
    for path, data, signature, error in planted.values():
        objects(vaults["eu"]).clear()
        put_pair(vaults["eu"], path, data, signature)
        with pytest.raises(error):
            replicate(vaults["eu"], vaults["nas"], path, TRUSTED)
    objects(vaults["eu"]).clear()
    vaults["eu"].put(record.path, record.data)
    with pytest.raises(BadSignature):
        replicate(vaults["eu"], vaults["nas"], record.path, TRUSTED)
    with pytest.raises(NotFound):
        replicate(vaults["eu"], vaults["nas"], "drorch/v1/records/shop/data/x/manifest.json", TRUSTED)
    assert not objects(vaults["nas"])
