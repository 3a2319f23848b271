"""Marking a vault as a site's, and asking a live vault whether it keeps the store contract."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime

from drorch.app.leaves import read_at_most
from drorch.app.reading import TrustedKey, read_signed
from drorch.app.restore_guide import restore_guide
from drorch.app.signing import put_pair
from drorch.app.store_contract import ClauseResult, check_store
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.canonical import LARGEST_RECORD
from drorch.domain.errors import DrorchError, NotFound, Refused
from drorch.domain.record import RecordType, compose
from drorch.ports import ObjectStore

CHECKS = f"{layout.ROOT}check/"
"""Below this prefix `vault check` writes, each time in a folder of its own, and removes what it wrote."""


def init_vault(
    store: ObjectStore,
    *,
    site: str,
    key: SecretKey,
    trusted: Sequence[TrustedKey],
    recipients: Sequence[str],
    now: datetime,
) -> str:
    """Write the marker, once, and RESTORE.md. Refused when the vault belongs to another site."""
    try:
        _own_marker(store, site, trusted)
        done = f"is marked as a vault of site {site} already"
    except NotFound:
        record = compose(RecordType.VAULT, site=site, at=now, vault=store.vault, id=secrets.token_hex(8))
        put_pair(store, record.path, record.data, key.sign(record.data, record.comment))
        done = f"marked as a vault of site {site}"
    guide = restore_guide(site=site, vault=store.vault, public_key=key.public.text(), recipients=recipients)
    if _differs(store, guide):
        signature = key.sign(guide, layout.trusted_comment("guide", layout.RESTORE_GUIDE))
        store.put(layout.RESTORE_GUIDE, guide, overwrite=True)
        store.put(layout.RESTORE_GUIDE + layout.SIGNATURE, signature, overwrite=True)
    return done


def check_vault(store: ObjectStore, *, site: str, trusted: Sequence[TrustedKey]) -> tuple[ClauseResult, ...]:
    """The marker, and every clause of the store contract. Raises what the store raises when it cannot be reached."""
    try:
        _own_marker(store, site, trusted)
        marker = ClauseResult("marker", f"the vault is marked as one of site {site}", True, "")
    except NotFound:
        marker = ClauseResult("marker", f"the vault is marked as one of site {site}", False, "drorch vault init")
    except Refused as error:
        marker = ClauseResult("marker", f"the vault is marked as one of site {site}", False, str(error))
    return (marker, *check_store(store, f"{CHECKS}{secrets.token_hex(8)}/"))


def _own_marker(store: ObjectStore, site: str, trusted: Sequence[TrustedKey]) -> None:
    record = read_signed(store, layout.VAULT_MARKER, trusted)
    if record.site != site:
        raise Refused(
            f"this vault belongs to site {record.site}",
            vault=store.vault,
            hint="a bucket or a prefix holds the copies of one site",
        )


def _differs(store: ObjectStore, guide: bytes) -> bool:
    try:
        return read_at_most(store, layout.RESTORE_GUIDE, LARGEST_RECORD) != guide
    except DrorchError:
        return True
