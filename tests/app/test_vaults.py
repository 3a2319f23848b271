"""Marking a vault as a site's, and the check of a live one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from faults import FaultyStore

from drorch.app.key_check import read_keys
from drorch.app.reading import TrustedKey, read_signed
from drorch.app.vaults import CHECKS, check_vault, init_vault
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import PublicKey, SecretKey, verify
from drorch.domain import layout
from drorch.domain.errors import Refused, Unavailable
from drorch.stores.memory import MemoryStore

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEY = SecretKey.generate()
TRUSTED = (TrustedKey(KEY.public),)
ONE, TWO = (new_identity()[1] for _ in range(2))


def init(store: MemoryStore | FaultyStore, site: str = "acme", key: SecretKey = KEY, now: datetime = NOON) -> str:
    trusted = (TrustedKey(key.public),)
    return init_vault(store, site=site, key=key, trusted=trusted, recipients=[ONE], now=now)


def test_marker_is_signed_and_names_the_site() -> None:
    store = MemoryStore("nas")
    assert init(store) == "marked as a vault of site acme"
    marker = read_signed(store, layout.VAULT_MARKER, TRUSTED)
    assert (marker.site, marker.body["vault"]) == ("acme", "nas")
    assert len(marker.body["id"]) == 16


def test_repeating_it_writes_nothing_more() -> None:
    store = FaultyStore(MemoryStore("nas"))
    init(store)
    before = store.faults.calls["put"]
    assert init(store) == "is marked as a vault of site acme already"
    assert store.faults.calls["put"] == before


def test_guide_is_signed_shows_the_key_and_is_renewed_when_it_changes() -> None:
    store = MemoryStore("nas")
    init(store)
    first = b"".join(store.read(layout.RESTORE_GUIDE))
    init_vault(store, site="acme", key=KEY, trusted=TRUSTED, recipients=[TWO], now=NOON)
    second = b"".join(store.read(layout.RESTORE_GUIDE))
    assert (ONE.encode() in first, ONE.encode() in second, TWO.encode() in second) == (True, False, True)
    assert KEY.public.text().encode() in second
    signature = b"".join(store.read(layout.RESTORE_GUIDE + layout.SIGNATURE))
    assert verify(second, signature, [KEY.public]).trusted_comment == layout.trusted_comment(
        "guide", layout.RESTORE_GUIDE
    )


def test_vault_of_another_site_or_of_a_stranger_is_refused_and_left_as_it_is() -> None:
    store = MemoryStore("nas")
    init(store)
    before = dict(store.objects)
    with pytest.raises(Refused, match="belongs to site acme"):
        init(store, site="other")
    with pytest.raises(Refused):
        init(store, key=SecretKey.generate())
    assert store.objects == before


@pytest.mark.parametrize("puts", range(6))
def test_init_that_was_cut_short_is_finished_by_the_next(puts: int) -> None:
    store = FaultyStore(MemoryStore("nas"))
    store.faults.order("put", "before", after=puts)
    with pytest.raises(Unavailable):
        init(store)
    init(store, now=NOON + timedelta(seconds=1))
    (token,) = read_keys(store, TRUSTED, "acme")
    assert token.text("recipient") == ONE
    assert read_signed(store, layout.VAULT_MARKER, TRUSTED).site == "acme"
    guide = b"".join(store.read(layout.RESTORE_GUIDE))
    assert verify(guide, b"".join(store.read(layout.RESTORE_GUIDE + layout.SIGNATURE)), [KEY.public])


def test_vault_that_does_not_answer_is_not_marked_anew() -> None:
    store = FaultyStore(MemoryStore("nas"))
    store.faults.black_hole()
    with pytest.raises(Unavailable):
        init(store)
    with pytest.raises(Unavailable):
        check_vault(store, site="acme", trusted=TRUSTED)


@pytest.mark.parametrize(("site", "ok"), [("acme", True), ("other", False), ("", False)])
def test_check_asks_for_the_marker_and_every_clause(site: str, ok: bool) -> None:
    store = MemoryStore("nas")
    if site:
        init(store, site=site)
    before = dict(store.objects)
    marker, *clauses = check_vault(store, site="acme", trusted=TRUSTED)
    assert (marker.name, marker.ok) == ("marker", ok)
    assert bool(marker.detail) is not ok
    assert all(clause.ok for clause in clauses)
    assert len(clauses) >= 15
    assert store.objects == before
    assert CHECKS.startswith(layout.ROOT)


def test_public_key_of_the_guide_can_be_read_back() -> None:
    store = MemoryStore("nas")
    init(store)
    guide = b"".join(store.read(layout.RESTORE_GUIDE)).decode()
    (line,) = [line for line in guide.splitlines() if line.startswith("- `RW")]
    assert PublicKey.parse(line.split("`")[1]) == KEY.public
