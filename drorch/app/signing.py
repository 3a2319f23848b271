"""Signing records and writing them into vaults: the signature first, then the record whose presence counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from drorch.app.leaves import read_at_most
from drorch.app.reading import TrustedKey, read_record_pair
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.canonical import LARGEST_RECORD
from drorch.domain.errors import AlreadyExists, DrorchError, Refused, Unavailable
from drorch.domain.record import Record
from drorch.ports import ObjectStore


def write_record(
    record: Record, key: SecretKey, vaults: Iterable[str], store_of: Callable[[str], ObjectStore]
) -> dict[str, DrorchError]:
    """Sign the record and write it, the same bytes everywhere. The errors of the vaults that do not have it now."""
    signature = key.sign(record.data, record.comment)
    lost: dict[str, DrorchError] = {}
    for vault in vaults:
        try:
            put_pair(store_of(vault), record.path, record.data, signature)
        except DrorchError as error:
            lost[vault] = error
    return lost


def write_somewhere(
    record: Record, key: SecretKey, vaults: Sequence[str], store_of: Callable[[str], ObjectStore]
) -> dict[str, DrorchError]:
    """As `write_record`, and Unavailable when no vault took it."""
    lost = write_record(record, key, vaults, store_of)
    if len(lost) == len(vaults):
        raise Unavailable(
            f"no vault took the {record.type}",
            resource=record.resource,
            cause="; ".join(str(error) for error in lost.values()),
            hint="it is written again at the next pass",
        )
    return lost


def replicate(source: ObjectStore, target: ObjectStore, path: str, trusted: Sequence[TrustedKey]) -> None:
    """Bring a signed record, byte for byte, into a vault that lacks it: the version that counts, if there are several.

    Raises NotFound, BadSignature or Damaged.
    """
    put_pair(target, path, *read_record_pair(source, path, trusted))


def put_pair(store: ObjectStore, path: str, data: bytes, signature: bytes) -> None:
    """Write-once; what a crash left of the very same record is no obstacle, anything else there is refused."""
    for name, body in ((path + layout.SIGNATURE, signature), (path, data)):
        try:
            store.put(name, body)
        except AlreadyExists as error:
            if read_at_most(store, name, LARGEST_RECORD) != body:
                raise Refused(
                    f"something else lies at {name}",
                    vault=store.vault,
                    hint="drorch never wrote it: look at who may write to this vault",
                ) from error
