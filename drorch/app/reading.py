"""Verified reading: nothing in a vault is believed before a trusted key's signature or a signed digest vouches for it.

A record counts when its signature is by a trusted key, says the record's own path, and the record's content belongs to
that path. An artefact's bytes count leaf by leaf (`drorch.app.leaves`), before they reach the decryptor.
"""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime

from drorch.app.leaves import LARGEST_LEAF, folder_of, verified_leaves
from drorch.app.unzstd import decompressed
from drorch.app.versions import Found, ObjectDamaged, Shadowed, nobody, read_at_most, read_valid
from drorch.crypto.age import AgeError, Decryptor, NoMatchingIdentity, opens
from drorch.crypto.minisign import BadSignature, PublicKey, verify
from drorch.domain import layout
from drorch.domain.canonical import LARGEST_RECORD, parse_canonical
from drorch.domain.errors import Damaged, NotFound, NotInThisVersion
from drorch.domain.instant import to_text
from drorch.domain.native import Inventory
from drorch.domain.record import Record, StoredArtefact, artefacts_of, parse_at
from drorch.ports import Clock, ObjectStore

_LARGEST_SIGNATURE = 16 * 1024
FIRST_LINE = b"untrusted comment: signature from drorch\n"
"""Always the same, so that not one bit of a vault can be flipped unnoticed."""
_PLAIN_ROOM = 512 * 1024
"""More than a decryptor holds back: a chunk, an unfinished header."""


def _untimed(leaves: Iterator[memoryview]) -> Iterator[memoryview]:
    return leaves


def _nobody(_count: int) -> None:
    """Hears of passed bytes where nobody wants to know."""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key whose records count; with `until`, only what the store itself says was written before (a stolen key)."""

    key: PublicKey
    until: datetime | None = None


def read_signed(store: ObjectStore, path: str, keys: Sequence[TrustedKey], shadowed: Shadowed = nobody) -> Record:
    """The record at `path`. Raises NotFound, BadSignature (absent, altered, foreign, too late) or Damaged."""

    def judge(data: bytes, _signature: bytes, comment: str) -> Record:
        record = parse_at(path, data)
        if not record.supported:
            raise NotInThisVersion(
                f"{path} is a record of a later version", operation="verify", vault=store.vault, cause=record.type
            )
        _same_comment(store, path, comment, record.comment)
        return record

    return _verified(store, path, keys, judge, shadowed)


def read_pair(
    store: ObjectStore, path: str, comment: str, keys: Sequence[TrustedKey], shadowed: Shadowed = nobody
) -> tuple[bytes, bytes]:
    """The object at `path` and its signature, the very bytes that were verified. Raises as `read_signed`."""

    def judge(data: bytes, signature: bytes, found: str) -> tuple[bytes, bytes]:
        _same_comment(store, path, found, comment)
        return data, signature

    return _verified(store, path, keys, judge, shadowed)


def read_record_pair(store: ObjectStore, path: str, keys: Sequence[TrustedKey]) -> tuple[bytes, bytes]:
    """As `read_pair`, of a record: what it is says its own content."""

    def judge(data: bytes, signature: bytes, found: str) -> tuple[bytes, bytes]:
        _same_comment(store, path, found, parse_at(path, data).comment)
        return data, signature

    return _verified(store, path, keys, judge, nobody)


def read_unsigned(store: ObjectStore, path: str) -> Record:
    """The record at `path` whatever its signature, for a point that a person accepted by name. Raises as `parse_at`."""
    return parse_at(path, read_at_most(store, path, LARGEST_RECORD))


def check_signature(store: ObjectStore, path: str, data: bytes, keys: Sequence[TrustedKey]) -> str:
    """The trusted comment of the signature beside `path`. Raises BadSignature unless a trusted key made it in time."""
    return _signed(
        store, path, data, lambda: store.stat(path).modified, keys, lambda _data, _signature, comment: comment, nobody
    )


def check_sums(store: ObjectStore, manifest: Record, keys: Sequence[TrustedKey], shadowed: Shadowed = nobody) -> None:
    """SHA256SUMS, which the tool-free way goes by, is signed and says what the manifest says.

    Raises BadSignature or Damaged. A restore goes by the manifest; a vault where the two differ was tampered with.
    """
    path = folder_of(manifest) + layout.SUMS
    signed = {artefact.name + layout.LEAVES: artefact.leaves_sha256 for artefact in artefacts_of(manifest)}
    signed |= {volume.object: volume.sha256 for artefact in artefacts_of(manifest) for volume in artefact.volumes}

    def judge(data: bytes, _signature: bytes, comment: str) -> None:
        _same_comment(store, path, comment, layout.trusted_comment("sums", path))
        listed = sorted(data.decode("utf-8", "replace").splitlines())
        if listed != sorted(f"{digest}  {name}" for name, digest in signed.items()):
            raise Damaged(f"{path} lists other objects than the manifest", operation="verify", vault=store.vault)

    try:
        _verified(store, path, keys, judge, shadowed)
    except NotFound as error:
        raise ObjectDamaged(path, "it is missing", vault=store.vault, missing=True) from error


def _verified(
    store: ObjectStore,
    path: str,
    keys: Sequence[TrustedKey],
    judge: Callable[[bytes, bytes, str], Found],
    shadowed: Shadowed,
) -> Found:
    """What `judge` makes of the object's bytes, of its signature and of what a trusted key says in it.

    Where the store keeps versions, the first pair that holds counts.
    """

    def check(data: bytes, written: Callable[[], datetime]) -> Found:
        return _signed(store, path, data, written, keys, judge, shadowed)

    return read_valid(store, path, LARGEST_RECORD, check, shadowed)


def _signed(
    store: ObjectStore,
    path: str,
    data: bytes,
    written: Callable[[], datetime],
    keys: Sequence[TrustedKey],
    judge: Callable[[bytes, bytes, str], Found],
    shadowed: Shadowed,
) -> Found:
    def check(signature: bytes, signed: Callable[[], datetime]) -> Found:
        comment = _vouched(store, path, data, signature, keys, lambda: max(written(), signed()))
        return judge(data, signature, comment)

    try:
        return read_valid(store, path + layout.SIGNATURE, _LARGEST_SIGNATURE, check, shadowed)
    except NotFound as error:
        raise BadSignature(f"{path} is not signed", operation="verify", vault=store.vault) from error


def _vouched(
    store: ObjectStore,
    path: str,
    data: bytes,
    signature: bytes,
    keys: Sequence[TrustedKey],
    written: Callable[[], datetime],
) -> str:
    """The trusted comment. Raises BadSignature unless a trusted key signed `data`, and before it ceased to count."""
    if not signature.startswith(FIRST_LINE):
        raise BadSignature(
            f"{path}: drorch did not write this signature",
            operation="verify",
            vault=store.vault,
            cause="its first line, which no key vouches for, was altered",
        )
    try:
        verified = verify(data, signature, [trusted.key for trusted in keys])
    except BadSignature as error:
        raise type(error)(
            f"{path}: {error.message}", operation="verify", vault=store.vault, cause=error.cause, hint=error.hint
        ) from error
    ends = [trusted.until for trusted in keys if trusted.key == verified.key]
    if None not in ends:
        at = written()
        end = max(until for until in ends if until is not None)
        if at >= end:
            raise BadSignature(
                f"{path} is signed by key {verified.key.name}, which is trusted only until {to_text(end)}",
                operation="verify",
                vault=store.vault,
                cause=f"the store says it was written at {to_text(at)}",
            )
    return verified.trusted_comment


def open_artefact(
    store: ObjectStore,
    manifest: Record,
    artefact: StoredArtefact,
    identities: Sequence[str],
    clock: Clock,
    *,
    passed: Callable[[int], None] = _nobody,
    timed: Callable[[Iterator[memoryview]], Iterator[memoryview]] = _untimed,
    cancel: threading.Event | None = None,
    keys: Sequence[TrustedKey] = (),
) -> Generator[memoryview, None, None]:
    """The plain bytes, in pieces that are valid only until the next is asked for. Close it to stop before the end.

    `passed` hears of ciphertext bytes as they are through; `timed` is put between the vault and the decryptor, to
    measure how long the one is waited for. Where no identity opens the artefact, a header that one of `keys` signed for
    it later (`key rewrap`) is taken. Raises Damaged (exit 6) for anything that is not what was signed, naming vault,
    object and leaf; NoMatchingIdentity (exit 3) naming the recipients that could open it; Unavailable. What came before
    the error was authentic; only the end without an error says that it was everything.
    """

    def plain(header: bytes = b"") -> Iterator[memoryview]:
        with closing(verified_leaves(store, folder_of(manifest), artefact, clock, cancel)) as leaves:
            yield from decompressed(_decrypted(timed(leaves), identities, passed, artefact, header))

    try:
        try:
            yield from plain()
        except NoMatchingIdentity:  # raised before the first byte came out
            header = rewrapped_header(store, manifest, artefact, keys, identities)
            if not header:
                raise
            yield from plain(header)
    except NoMatchingIdentity as error:
        recipients = ", ".join(str(name) for name in manifest.body.get("recipients", ())) or "no recorded recipient"
        raise NoMatchingIdentity(
            f"no identity given opens {artefact.name}",
            operation="decrypt",
            resource=f"{manifest.application}/{manifest.resource}",
            vault=store.vault,
            cause=f"it was encrypted to {recipients}",
            hint=error.hint,
        ) from error
    except Damaged as error:
        if error.vault:
            raise
        raise Damaged(
            f"{artefact.name} of point {manifest.point}: {error.message}",
            operation=error.operation,
            resource=f"{manifest.application}/{manifest.resource}",
            vault=store.vault,
            cause=error.cause,
            hint=error.hint,
        ) from error


def rewrapped_header(
    store: ObjectStore,
    manifest: Record,
    artefact: StoredArtefact,
    keys: Sequence[TrustedKey],
    identities: Sequence[str],
) -> bytes:
    """The header for an artefact that a `rewrap` record of the point holds for one of the identities; b"" for none."""
    if not keys:
        return b""
    for record in rewraps_of(store, manifest, keys):
        for entry in record.body["headers"]:
            header = _header_in(entry) if entry["name"] == artefact.name else b""
            with suppress(AgeError):  # a signed record that is no header opens nothing, and hides no other
                if header and opens(header, identities):
                    return header
    return b""


def rewraps_of(store: ObjectStore, manifest: Record, keys: Sequence[TrustedKey]) -> Iterator[Record]:
    """The `rewrap` records of a dump that count in a vault. Raises what the store raises."""
    folder = manifest.path.removesuffix("manifest.json") + "rewraps/"
    for path in sorted(info.path for info in store.list(folder) if info.path.endswith(".json")):
        with suppress(BadSignature, Damaged, NotInThisVersion, NotFound):
            yield read_signed(store, path, keys)


def _header_in(entry: Mapping[str, object]) -> bytes:
    try:
        return base64.b64decode(str(entry["header"]), validate=True)
    except binascii.Error:
        return b""


def _decrypted(
    leaves: Iterator[memoryview],
    identities: Sequence[str],
    passed: Callable[[int], None],
    artefact: StoredArtefact,
    header: bytes = b"",
) -> Iterator[memoryview]:
    """One output buffer for the whole stream: fresh memory for every leaf would cost more than the cipher.

    A `header` takes the place of the one that the artefact begins with.
    """
    decryptor = Decryptor(identities)
    out = memoryview(bytearray(min(artefact.leaf_bytes, LARGEST_LEAF) + _PLAIN_ROOM))
    skip = artefact.header_bytes if header else 0
    decryptor.update(header)
    for leaf in leaves:
        whole, skipped = len(leaf), min(skip, len(leaf))
        leaf, skip = leaf[skipped:], skip - skipped
        if decryptor.room(len(leaf)) > len(out):
            out = memoryview(bytearray(decryptor.room(len(leaf))))
        yield out[: decryptor.update_into(leaf, out)]
        passed(whole)
    yield memoryview(decryptor.finish())


def verify_artefact(
    store: ObjectStore,
    manifest: Record,
    artefact: StoredArtefact,
    clock: Clock,
    *,
    passed: Callable[[int], None] = _nobody,
    cancel: threading.Event | None = None,
) -> None:
    """Read every byte of an artefact and compare it with what was signed; needs no identity. Raises Damaged."""
    with closing(verified_leaves(store, folder_of(manifest), artefact, clock, cancel)) as leaves:
        for leaf in leaves:
            passed(len(leaf))


def inventory_artefact(manifest: Record) -> StoredArtefact | None:
    """The encrypted inventory, if the dump made one."""
    name = layout.INVENTORY + layout.ENCRYPTED
    return next((artefact for artefact in artefacts_of(manifest) if artefact.name == name), None)


def read_inventory(
    store: ObjectStore,
    manifest: Record,
    artefact: StoredArtefact,
    identities: Sequence[str],
    clock: Clock,
    keys: Sequence[TrustedKey] = (),
) -> Inventory:
    """What was in the source when the point was cut. Raises as `open_artefact`, Damaged when it is no inventory."""
    data = bytearray()
    with closing(open_artefact(store, manifest, artefact, identities, clock, keys=keys)) as parts:
        for part in parts:
            data += part
            if len(data) > LARGEST_RECORD:
                raise Damaged("the inventory is larger than any that drorch writes", vault=store.vault)
    return parse_inventory(bytes(data))


def parse_inventory(data: bytes) -> Inventory:
    """The inventory in its canonical bytes. Raises Damaged."""
    body = parse_canonical(data)
    tables, estimated = body.get("tables"), body.get("estimated", [])
    if not isinstance(tables, dict):
        raise Damaged("the inventory lists no tables")
    size, details = body.get("bytes", 0), body.get("details", {})
    sound = (
        all(count is None or type(count) is int for count in tables.values())
        and isinstance(estimated, list)
        and all(isinstance(name, str) for name in estimated)
        and type(size) is int
        and isinstance(details, dict)
    )
    if not sound:
        raise Damaged("the inventory is not of the form that drorch writes")
    return Inventory(tables=tables, estimated=frozenset(estimated), bytes=size, details=details)


def _same_comment(store: ObjectStore, path: str, found: str, expected: str) -> None:
    if found != expected:
        raise BadSignature(
            f"the signature of {path} was made for something else",
            operation="verify",
            vault=store.vault,
            cause=f"it says {found!r}",
        )
