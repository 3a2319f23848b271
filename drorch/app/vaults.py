"""Marking a vault as a site's, and asking a live vault whether it keeps the store contract."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from drorch.app.guide_writing import dumps_in, write_guide
from drorch.app.key_check import read_keys, write_tokens
from drorch.app.reading import TrustedKey, read_signed, read_unsigned
from drorch.app.restore_guide import GuideFacts, GuideWords, restore_guide
from drorch.app.store_contract import LOCK, LOCK_OVERWRITTEN, ClauseResult, check_store, clean, remove_left, run_clause
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.errors import DrorchError, NotFound, Refused
from drorch.domain.record import Record, RecordType, compose
from drorch.ports import ObjectStore

CHECKS = f"{layout.ROOT}check/"
"""Below this prefix `vault check` writes, each time in a folder of its own, and removes what it wrote."""


class VaultMarks:
    """Whose vault it is: what the loop asks before it reads or writes one."""

    def __init__(
        self,
        site: str,
        trusted: Sequence[TrustedKey],
        signing: Callable[[], SecretKey],
        recipients: Sequence[str],
        words: GuideWords | None = None,
    ) -> None:
        self._site = site
        self._trusted = trusted
        self._signing = signing
        self._recipients = recipients
        self._words = words

    def holds(self, store: ObjectStore) -> bool:
        """Whether this site's marker of this vault is there; False for none at all. Refused for any other."""
        try:
            _own_marker(store, self._site, self._trusted)
        except NotFound:
            return False
        return True

    def mark(self, store: ObjectStore, now: datetime) -> None:
        """As `init_vault`."""
        init_vault(
            store,
            site=self._site,
            key=self._signing(),
            trusted=self._trusted,
            recipients=self._recipients,
            now=now,
            words=self._words,
        )


def init_vault(
    store: ObjectStore,
    *,
    site: str,
    key: SecretKey,
    trusted: Sequence[TrustedKey],
    recipients: Sequence[str],
    now: datetime,
    words: GuideWords | None = None,
) -> str:
    """Write the marker, once, RESTORE.md of what lies there, and the tokens that recipients lack (`key check`).

    Refused when the vault belongs to another site, or has not the lock that it claims. Cut short at any instant, it is
    finished by the next.
    """
    if store.lock is not None:
        _require_lock(store)
    marker = _marker_to_sign(store, site, now)
    if marker is None:
        _own_marker(store, site, trusted)
        done = f"is marked as a vault of site {site} already"
    else:
        store.put(marker.path + layout.SIGNATURE, key.sign(marker.data, marker.comment))
        done = f"marked as a vault of site {site}"
    facts = GuideFacts(site, store.vault, key.public, trusted, recipients, dumps_in(store, trusted, site))
    write_guide(store, restore_guide(facts, words or GuideWords()), key)
    write_tokens(store, site=site, key=key, recipients=recipients, known=read_keys(store, trusted, site), now=now)
    return done


def _marker_to_sign(store: ObjectStore, site: str, now: datetime) -> Record | None:
    """The marker while it has no signature, written if there was none; None when there is a signed one.

    The marker goes first, unlike a record: its id is new each time, and a signature alone would be in the way for ever.
    """
    try:
        found = read_unsigned(store, layout.VAULT_MARKER)
    except NotFound:
        found = compose(RecordType.VAULT, site=site, at=now, vault=store.vault, id=secrets.token_hex(8))
        store.put(found.path, found.data)
        return found
    _require_site(store, found, site)
    try:
        store.stat(found.path + layout.SIGNATURE)
    except NotFound:
        return found
    return None


def check_vault(store: ObjectStore, *, site: str, trusted: Sequence[TrustedKey]) -> tuple[ClauseResult, ...]:
    """The marker, and every clause of the store contract. Raises what the store raises when it cannot be reached."""
    detail = ""
    try:
        _own_marker(store, site, trusted)
    except NotFound:
        detail = f"nobody has marked it: drorch vault init {store.vault}"
    except Refused as error:
        detail = str(error)
    marker = ClauseResult("marker", f"the vault is marked as one of site {site}", not detail, detail)
    remove_left(store, CHECKS)
    return (marker, *check_store(store, f"{CHECKS}{secrets.token_hex(8)}/"))


def _require_lock(store: ObjectStore) -> None:
    """Try the lock on an object of its own, for minutes; what stays locked the next check removes."""
    prefix = f"{CHECKS}{secrets.token_hex(8)}/"
    for clause in (LOCK_OVERWRITTEN, LOCK):
        result = run_clause(clause, store, prefix)
        if not result.ok:
            with suppress(DrorchError):
                clean(store, prefix)
            raise Refused(
                "the vault does not lock as its `lock:` says",
                operation="init",
                vault=store.vault,
                cause=result.detail,
                hint="give the bucket Object Lock (S3) or object retention (GCS) and no default retention, or take "
                "`lock:` from the vault",
            )
    with suppress(Refused):
        clean(store, prefix)


def _own_marker(store: ObjectStore, site: str, trusted: Sequence[TrustedKey]) -> None:
    _require_site(store, read_signed(store, layout.VAULT_MARKER, trusted), site)


def _require_site(store: ObjectStore, marker: Record, site: str) -> None:
    if marker.site != site:
        raise Refused(
            f"this vault belongs to site {marker.site}",
            vault=store.vault,
            hint="a bucket or a prefix holds the copies of one site",
        )
    if marker.text("vault") != store.vault:
        raise Refused(
            f"this vault is marked as {marker.text('vault')}",
            vault=store.vault,
            hint="one place has one name: records name vaults, and two names would count one copy twice",
        )
