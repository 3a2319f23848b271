"""A new recipient gets the old dumps: a signed header beside the manifest, the data untouched.

The new header takes the place of the old one when a restore finds that its key opens only that. Whoever had the old key
still opens the dump: this gives a key access and takes none away.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

from drorch.app.leaves import folder_of, verified_leaves
from drorch.app.reading import TrustedKey, read_signed, rewrapped_header, rewraps_of
from drorch.app.signing import write_somewhere
from drorch.app.verify import Place
from drorch.crypto import age
from drorch.crypto.key_token import fingerprint
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.errors import Damaged, DrorchError
from drorch.domain.record import Record, RecordType, StoredArtefact, artefacts_of, compose
from drorch.ports import Clock, ObjectStore


@dataclass(frozen=True, slots=True)
class Hands:
    """What rewrapping needs: open vaults, the keys that count, the identities that open the dumps, the signing key."""

    store_of: Callable[[str], ObjectStore]
    trusted: Sequence[TrustedKey]
    identities: Sequence[str] = field(repr=False)
    signing: Callable[[], SecretKey]
    clock: Clock


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """What became of one dump: whether a record was written, and the vaults that missed it."""

    place: Place
    written: bool
    lost: Mapping[str, DrorchError] = field(default_factory=dict)


def rewrap(place: Place, recipient: str, source: str, vaults: Sequence[str], hands: Hands) -> Rewrapped:
    """Write the record of one dump, read from vault `source`, into `vaults`; nothing where the recipient has it.

    Raises like `read_signed` for the manifest, NoMatchingIdentity when no identity opens the dump, Damaged for bytes
    that are not what was signed, Unavailable when no vault took the record.
    """
    store = hands.store_of(source)
    path = layout.manifest_path(place.application, place.resource, place.cut_at, place.point)
    manifest = read_signed(store, path, hands.trusted)
    known = [str(name) for name in manifest.body.get("recipients", ())]
    known += [record.text("recipient") for record in rewraps_of(store, manifest, hands.trusted)]
    if recipient in known:
        return Rewrapped(place, written=False)
    headers = [_header(store, manifest, artefact, recipient, hands) for artefact in artefacts_of(manifest)]
    record = _record(manifest, recipient, headers, hands.clock.now())
    return Rewrapped(place, True, write_somewhere(record, hands.signing(), vaults, hands.store_of))


def _header(
    store: ObjectStore, manifest: Record, artefact: StoredArtefact, recipient: str, hands: Hands
) -> dict[str, object]:
    """From the artefact's own header, as signed; where that is for others, from one that was written for us later."""
    header = _own_header(store, manifest, artefact, hands.clock)
    if not age.opens(header, hands.identities):
        header = rewrapped_header(store, manifest, artefact, hands.trusted, hands.identities) or header
    made = age.rewrapped(header, hands.identities, recipient)
    return {"name": artefact.name, "header": base64.b64encode(made).decode("ascii")}


def _own_header(store: ObjectStore, manifest: Record, artefact: StoredArtefact, clock: Clock) -> bytes:
    """Only leaves that a signature vouches for are read: as many as the header needs."""
    numbers = range(-(-artefact.header_bytes // artefact.leaf_bytes))
    found = bytearray()
    with closing(verified_leaves(store, folder_of(manifest), artefact, clock, chosen=numbers)) as leaves:
        for leaf in leaves:
            found += leaf
    if len(found) < artefact.header_bytes:
        raise Damaged(f"{artefact.name} is shorter than its header", operation="rewrap", vault=store.vault)
    return bytes(found[: artefact.header_bytes])


def _record(manifest: Record, recipient: str, headers: Sequence[Mapping[str, object]], now: datetime) -> Record:
    return compose(
        RecordType.REWRAP,
        site=manifest.site,
        at=now,
        application=manifest.application,
        resource=manifest.resource,
        point=manifest.point,
        cut_at=manifest.cut_at,
        recipient=recipient,
        fingerprint=fingerprint(recipient),
        headers=list(headers),
    )
