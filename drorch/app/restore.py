"""Crisis recovery: from a surviving vault into a database or a folder, everything verified before it is believed.

locate -> verify -> prepare -> load -> compare -> complete. It needs open stores, keys and identities, nothing else: no
configuration, no cache, no policy. Until `complete` nothing is real; whatever fails before, the target is as it was and
the same command may be given again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from drorch.app.catalogue import read_vault
from drorch.app.loading import Pace, Reader, load_together
from drorch.app.progress import Steps
from drorch.app.reading import inventory_artefact
from drorch.app.reading_vaults import read_all
from drorch.app.verifying import (
    Ready,
    artefacts_to_load,
    differing_counts,
    manifest_of,
    verify_point,
)
from drorch.domain import layout
from drorch.domain.catalogue import Catalogue, VaultView, fold
from drorch.domain.errors import Damaged, DrorchError, NotFound, Unavailable, Usage
from drorch.domain.instant import to_text
from drorch.domain.model import FailureDomain, RecoveryPoint, Vault
from drorch.domain.record import Record
from drorch.domain.recovery import Choice, Newer, RestorePlan, Step, Wanted, choose_point, next_best, restore_plan
from drorch.ports import BearsMark, Engine, ObjectStore, RestoreTarget


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """What a person asked for. Without `resource` the only dump, without `vault` any; `site` "" is break glass."""

    application: str
    into: str
    resource: str = ""
    vault: str = ""
    at: datetime | None = None
    point: str = ""
    accept_unsigned: str = ""
    note: str = ""
    with_globals: bool = False
    site: str = ""
    password: str | None = field(default=None, repr=False)
    mark: bool = False
    """Whether the target says afterwards what was restored into it (`BearsMark`), as `mark_of`."""


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was restored, what is lost since then, and what people must know."""

    application: str
    resource: str
    point: str
    vault: str
    cut_at: datetime
    data_loss_s: int
    bytes: int
    steps: tuple[Step, ...]
    newer: tuple[Newer, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """The stable fields (contract, section 4), and more."""
        return {
            "application": self.application,
            "resource": self.resource,
            "point": self.point,
            "vault": self.vault,
            "cut_at": to_text(self.cut_at),
            "data_loss_s": self.data_loss_s,
            "bytes": self.bytes,
            "steps": [step.to_json() for step in self.steps],
            "newer": [newer.to_json() for newer in self.newer],
            "notes": list(self.notes),
        }


def restore(
    request: RestoreRequest,
    engine: Engine,
    stores: Mapping[str, ObjectStore],
    reader: Reader,
    took: Callable[[Step], None] | None = None,
) -> RestoreReport:
    """Carry it out. `stores` are the vaults by their names, the preferred ones first; `took` hears of each step's end.

    Raises the errors of the tree: Refused kinds before anything started, Damaged for what is not as signed or counted,
    Unavailable when the same command may succeed later. The target then is as it was.
    """
    steps = Steps(took, reader.ticker)
    target = engine.target(request.into, request.password, with_globals=request.with_globals)
    with steps.step("locate", request.resource, "the vaults that can be read"):
        choice, catalogue = locate(request, stores, reader)
        steps.detail(f"point {choice.point.id}, data as of {to_text(choice.cut_at)}", choice.point.resource)
    resource = choice.point.resource
    older = next_best(catalogue, choice, (request.vault,) if request.vault else tuple(stores))
    with _with_next_best(older, Damaged, Unavailable), steps.step("verify", resource, ""):
        ready = verify_point(choice, engine.kind, stores, reader, request.accept_unsigned, request.with_globals)
        steps.detail(f"signature, path, sizes and key in vault {ready.store.vault}")
    if request.mark and isinstance(target, BearsMark):
        target.leave(mark_of(choice.point))
    with steps.step("prepare", resource, request.into):
        target.prepare(ready.facts)
    other = next((vault for vault in choice.vaults if vault != ready.store.vault), "")
    again = f"--point {choice.point.id} --from {other}, the same data" if other else older
    with _with_next_best(again, Damaged), _abandoning(target):
        notes: list[str] = []
        for batch in layout.batches(ready.artefacts, lambda artefact: artefact.name):
            with steps.step("load", resource, ", ".join(artefact.name for artefact in batch)):
                notes += load_together(ready.store, ready.manifest, batch, target, reader, Pace())
        if ready.counted:
            what, where = ready.counts
            with steps.step("compare", resource, f"{what} of {ready.counted} {where}"):
                _require_counts(ready, target)
        with steps.step("complete", resource, request.into):
            notes += target.complete()
    return RestoreReport(
        application=request.application,
        resource=resource,
        point=choice.point.id,
        vault=ready.store.vault,
        cut_at=choice.cut_at,
        data_loss_s=choice.data_loss_s(reader.clock.now()),
        bytes=ready.bytes,
        steps=tuple(steps.taken),
        newer=choice.newer,
        notes=(*choice.notes, *ready.notes, *notes),
    )


def mark_of(point: RecoveryPoint) -> str:
    """What a target that holds a point says of it."""
    return f"{point.application}/{point.resource}/{point.id}"


def plan_restore(
    request: RestoreRequest, engine: Engine, stores: Mapping[str, ObjectStore], reader: Reader
) -> RestorePlan:
    """What `restore` would do, with estimates from drills; the target is not touched, no data are read."""
    engine.target(request.into, request.password, with_globals=request.with_globals)
    choice, catalogue = locate(request, stores, reader)
    manifest, _ = manifest_of(stores[choice.vaults[0]], choice, reader.keys, request.accept_unsigned)
    names = [artefact.name for artefact in artefacts_to_load(manifest, request.with_globals)]
    counted = inventory_artefact(manifest) is not None
    needs = _extensions(manifest)
    return restore_plan(choice, catalogue.drills, into=request.into, artefacts=names, counted=counted, needs=needs)


def _extensions(manifest: Record) -> tuple[str, ...]:
    """What the engine recorded of them, for people: ``pg_trgm 1.6``."""
    found = manifest.body.get("extensions")
    entries = [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
    return tuple(f"{entry.get('name')} {entry.get('version')}" for entry in entries)


def locate(request: RestoreRequest, stores: Mapping[str, ObjectStore], reader: Reader) -> tuple[Choice, Catalogue]:
    """Read the records of every vault that can be read, all at once, and choose.

    The vault that was asked for is waited for to its end; any other at most `LATECOMERS` seconds more, once what was
    read holds a point to restore. Raises as `choose_point`, and the error of a vault without which there is no choice.
    """
    if request.vault and request.vault not in stores:
        raise NotFound(f"there is no vault {request.vault}", hint=f"there are {', '.join(stores) or 'none'}")
    if request.point and request.accept_unsigned not in ("", request.point):
        raise Usage("--point and --accept-unsigned name two points")
    if request.note and (request.point or request.accept_unsigned):
        raise Usage("--note finds a point, and one is named already", hint="leave one of the two out")
    now = reader.clock.now()

    def choose(views: Mapping[str, VaultView], unread: Mapping[str, str]) -> tuple[Choice, Catalogue]:
        read = tuple(name for name in stores if name in views)
        catalogue = fold(request.application, [views[name] for name in read], (), lambda *_: True, now)
        wanted = Wanted(
            application=request.application,
            resource=request.resource,
            vaults=(request.vault,) if request.vault else read,
            at=request.at,
            point=request.point,
            accept_unsigned=request.accept_unsigned,
            note=request.note,
            unread=unread,
        )
        return choose_point(catalogue, wanted, now), catalogue

    def enough(views: Mapping[str, VaultView]) -> bool:
        if request.vault:
            return request.vault in views
        try:
            choose(views, {})
        except DrorchError:
            return False
        return True

    def read(name: str) -> VaultView:
        vault = Vault(name, FailureDomain(provider="", region=""))
        return read_vault(stores[name], vault, reader.keys, now, site=request.site, application=request.application)

    needed = request.vault or (next(iter(stores)) if len(stores) == 1 else "")
    return choose(*read_all(tuple(stores), read, needed, enough))


def _require_counts(ready: Ready, target: RestoreTarget) -> None:
    differences = differing_counts(ready, target)
    if differences:
        raise Damaged(
            f"what was loaded of point {ready.manifest.point} is not what was dumped",
            operation="compare",
            resource=f"{ready.manifest.application}/{ready.manifest.resource}",
            cause="; ".join(differences),
        )


@contextmanager
def _with_next_best(named: str, *kinds: type[DrorchError]) -> Iterator[None]:
    """An error that says that this copy cannot be had names what could be, which is taken when it is asked for."""
    try:
        yield
    except kinds as error:
        if named:
            told = f"the next best is {named}"
            error.hint = f"{error.hint}; {told}" if error.hint else told
        raise


@contextmanager
def _abandoning(target: RestoreTarget) -> Iterator[None]:
    """Give the target up on any way out but the good one; the first error stays the one that is told."""
    try:
        yield
    except BaseException as error:
        try:
            target.abandon()
        except DrorchError as second:
            if isinstance(error, DrorchError):
                remains = f"what was loaded could not be removed ({second.message}); the same command replaces it"
                error.hint = f"{error.hint}; {remains}" if error.hint else remains
        raise
