"""Everything about one point that can be checked before a target is touched: signature, path, sizes, sums, the key.

Shared by restore and drill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from drorch.app.leaves import check_sizes, folder_of, leaf_digests
from drorch.app.loading import Reader
from drorch.app.reading import (
    TrustedKey,
    check_sums,
    inventory_artefact,
    open_artefact,
    read_inventory,
    read_signed,
    read_unsigned,
    verify_artefact,
)
from drorch.app.versions import Shadowed, nobody
from drorch.crypto.minisign import BadSignature
from drorch.domain import layout
from drorch.domain.errors import Damaged, DrorchError, NotFound, Refused, Unavailable
from drorch.domain.native import Inventory
from drorch.domain.record import Record, StoredArtefact, artefacts_of
from drorch.domain.recovery import Choice, count_differences, counted_unit
from drorch.ports import ObjectStore, RestoreTarget

GLOBALS = "globals.sql"


@dataclass(frozen=True, slots=True)
class Ready:
    """A point whose manifest, signatures, sizes and key were checked in one vault: nothing of its data is read yet."""

    store: ObjectStore
    manifest: Record
    artefacts: tuple[StoredArtefact, ...]
    expected: Inventory
    notes: tuple[str, ...] = ()

    @property
    def facts(self) -> Mapping[str, object]:
        """What the engine recorded for its own restore: they stand in the manifest beside everything else."""
        return self.manifest.body

    @property
    def bytes(self) -> int:
        """Of ciphertext, of the artefacts to be loaded."""
        return sum(artefact.bytes for artefact in self.artefacts)

    @property
    def counted(self) -> int:
        """How many tables were counted exactly when the point was cut."""
        return sum(
            count is not None and table not in self.expected.estimated for table, count in self.expected.tables.items()
        )

    @property
    def counts(self) -> tuple[str, str]:
        """What is counted and of what, for people: ("row counts", "tables"), or the counts of files in paths."""
        return ("row counts", "tables") if counted_unit(self.expected) == "rows" else ("counts", "paths")


def verify_point(
    choice: Choice,
    kind: str,
    stores: Mapping[str, ObjectStore],
    reader: Reader,
    accept_unsigned: str = "",
    with_globals: bool = False,
) -> Ready:
    """The first of the choice's vaults whose copy stands every check that needs no loading.

    Raises the first vault's error when none does: BadSignature, Damaged, NoMatchingIdentity, Unavailable.
    """
    notes: list[str] = []
    first: DrorchError | None = None
    for vault in choice.vaults:
        try:
            ready = _verify(choice, stores[vault], reader, accept_unsigned, with_globals)
        except (Refused, Unavailable) as error:
            first = first or error
            notes.append(f"the copy in vault {vault} could not be used: {error}")
            continue
        if ready.manifest.text("kind") != kind:
            raise Refused(f"point {choice.point.id} is a {ready.manifest.text('kind')} dump, the target takes {kind}")
        return replace(ready, notes=(*notes, *ready.notes))
    raise first or NotFound(f"point {choice.point.id} has no copy to restore from")


def _verify(choice: Choice, store: ObjectStore, reader: Reader, accept_unsigned: str, with_globals: bool) -> Ready:
    accepted = accept_unsigned == choice.point.id
    over: dict[str, None] = {}
    manifest, notes = manifest_of(store, choice, reader.keys, accept_unsigned, over.setdefault)
    for artefact in artefacts_of(manifest):
        check_sizes(store, folder_of(manifest), artefact, over.setdefault)
        leaf_digests(store, folder_of(manifest), artefact, over.setdefault)
    to_load = artefacts_to_load(manifest, with_globals)
    inventory = inventory_artefact(manifest)
    try:
        check_sums(store, manifest, reader.keys, over.setdefault)
        for artefact in artefacts_of(manifest):
            if artefact not in to_load and artefact != inventory:
                verify_artefact(store, manifest, artefact, reader.clock, cancel=reader.cancel)
    except (BadSignature, Damaged) as error:
        # None of this is loaded, but it shows that somebody or something changed the vault.
        if not accepted:
            raise
        notes.append(str(error))
    notes += [
        f"somebody wrote or deleted over {path} in vault {store.vault}: its oldest valid version is read"
        for path in over
    ]
    expected = Inventory(tables={})
    if inventory is not None:
        expected = read_inventory(store, manifest, inventory, reader.identities, reader.clock, reader.keys)
    else:
        _try_identity(store, manifest, to_load[0], reader)
    ready = Ready(store, manifest, to_load, expected)
    if not ready.counted:
        notes.append("no table was counted when the point was cut: row counts cannot be compared")
    return replace(ready, notes=tuple(notes))


def _try_identity(store: ObjectStore, manifest: Record, artefact: StoredArtefact, reader: Reader) -> None:
    """A wrong key is refused before the target is touched; a readable inventory shows the same."""
    parts = open_artefact(
        store, manifest, artefact, reader.identities, reader.clock, cancel=reader.cancel, keys=reader.keys
    )
    try:
        next(parts, None)
    finally:
        parts.close()


def manifest_of(
    store: ObjectStore,
    choice: Choice,
    keys: Sequence[TrustedKey],
    accept_unsigned: str,
    shadowed: Shadowed = nobody,
) -> tuple[Record, list[str]]:
    """The manifest of the chosen point, and what must be said about it when it was accepted without a signature."""
    point = choice.point
    path = layout.manifest_path(point.application, point.resource, choice.cut_at, point.id)
    try:
        return read_signed(store, path, keys, shadowed), []
    except BadSignature as error:
        if accept_unsigned != point.id:
            raise
        return read_unsigned(store, path), [f"accepted by name without a valid signature: {error}"]


def artefacts_to_load(manifest: Record, with_globals: bool) -> tuple[StoredArtefact, ...]:
    """Globals first (the data's owners must exist), then the data in the manifest's order."""
    skipped = {layout.INVENTORY + layout.ENCRYPTED}
    globals_name = GLOBALS + layout.ENCRYPTED
    if not with_globals:
        skipped.add(globals_name)
    artefacts = [artefact for artefact in artefacts_of(manifest) if artefact.name not in skipped]
    artefacts.sort(key=lambda artefact: artefact.name != globals_name)
    if not artefacts:
        raise Damaged(f"point {manifest.point} holds no data")
    return tuple(artefacts)


def differing_counts(ready: Ready, target: RestoreTarget) -> tuple[str, ...]:
    """Every exactly counted table whose loaded rows are not those that were there when the point was cut."""
    if not ready.counted:
        return ()
    return count_differences(ready.expected, target.inventory(ready.expected))
