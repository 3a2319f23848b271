"""Crisis recovery of the provider's own snapshots: from a copy in a region into volumes, instances and databases there.

locate -> check -> create -> ready. The records of every object vault that can be read and the listing of the target
region are all that is asked; nothing is asked of any other region. What was begun is told by its tags: the same
command, wherever it is given, goes on with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from drorch.app.catalogue import read_vault
from drorch.app.loading import Reader
from drorch.app.reading_vaults import read_all
from drorch.domain.catalogue import Catalogue, Trust, VaultView, fold
from drorch.domain.catalogue_native import NativeView, ValidId
from drorch.domain.errors import DrorchError, InvalidInput, NotFound, Refused, Unavailable
from drorch.domain.instant import to_text
from drorch.domain.model import FailureDomain, RecoveryPoint, Vault, native_vault_name, place_of
from drorch.domain.native_restore import TAG_RESTORE, NativeRestore, RestorePart
from drorch.domain.offers import Offer
from drorch.domain.policy import Policy
from drorch.domain.record import Record, RecordType
from drorch.domain.recovery import Choice, Wanted, choose_point, next_best
from drorch.domain.scenario import accounts_in
from drorch.ports import ObjectStore, RestoresSnapshots, SnapshotKind

AWS = "aws"


@dataclass(frozen=True, slots=True)
class RegionRequest:
    """What a person asked for. Without `resources` every native one with a copy in `region`; `vault` "" is any there.

    `name` tells a second restore of the same point from the first. `natives` maps the native resources that a policy
    names to (kind, accounts of its copies in the region); empty, the records alone say where copies lie.
    """

    application: str
    region: str
    resources: tuple[str, ...] = ()
    vault: str = ""
    at: datetime | None = None
    point: str = ""
    note: str = ""
    name: str = ""
    site: str = ""
    natives: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Located:
    """One resource that can be brought back, from which copy; `begun` says that an earlier command has begun it."""

    resource: str
    kind: str
    choice: Choice
    order: NativeRestore
    begun: bool = False
    notes: tuple[str, ...] = ()
    refused: Refused | None = None
    """Why it is not said whole how it comes back; a step that launches its image does not need that."""
    estimate_s: int | None = None
    """Seconds that the newest drill from this vault took to make all of it; None while none has."""
    next_best: str = ""
    """The newest older point that could be brought back instead, with its data time; "" when there is none."""
    offers: tuple[Offer, ...] = ()
    """What the region has by itself that is newer."""

    @property
    def vault(self) -> str:
        """Where its copy lies."""
        return self.choice.vaults[0]


@dataclass(frozen=True, slots=True)
class Found:
    """What was located, and what of the application is not brought back by this, each with why."""

    located: tuple[Located, ...]
    left: Mapping[str, str] = field(default_factory=dict)
    runbook: Mapping[str, Any] | None = None
    """What the newest signed runbook says (`drorch.domain.runbook_record`)."""


OptionsOf = Callable[[str, str, Mapping[str, object]], object]
"""(kind, resource, what the newest signed runbook says of it there) -> its RestoreOptions. Refused when not whole."""


def natives_of(policy: Policy, region: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The native resources of a policy that have copies in the region: (kind, accounts of its copies there)."""
    return {
        resource.name: (resource.kind, accounts)
        for resource in policy.resources
        if resource.native and (accounts := accounts_in(resource, region))
    }


class NativeRestores:
    """Finds what can be brought back in a region. Opens nothing but `stores` and the kinds' clients there."""

    def __init__(
        self,
        *,
        kinds_of: Callable[[Collection[str]], Mapping[str, SnapshotKind]],
        stores: Mapping[str, ObjectStore],
        reader: Reader,
        valid_id: ValidId,
    ) -> None:
        """`kinds_of` gives the kinds that can reach the accounts of these names. `valid_id` says which ids are this
        site's; without a signing key none: records alone vouch then.
        """
        self._kinds_of = kinds_of
        self._kinds: Mapping[str, SnapshotKind] = {}
        self._stores = stores
        self._reader = reader
        self._valid_id = valid_id

    def find(self, request: RegionRequest, options_of: OptionsOf) -> Found:
        """Choose a point for every resource, and compose its order. Raises as `choose_point` for one that was named;
        NotFound when nothing has a copy there.
        """
        now = self._reader.clock.now()
        views, unread = self._vaults(request, now)
        places = sorted(_places(request, views))
        self._kinds, site = self._kinds_of({account for _, account in places}), _site(request, views)
        natives = [self._listed(place, request.region, site, now) for place in places]
        unread |= {view.vault.name: view.why for view in natives if not view.complete}
        catalogue = fold(request.application, list(views.values()), natives, self._valid_id, now)
        there = {view.vault.name for view in natives if view.complete}
        named = {point.resource for point in catalogue.points if any(c.members for c in point.copies)}
        native = sorted({*request.natives, *named} if not request.resources else request.resources)
        located, left = [], dict(_not_native(catalogue, request))
        for resource in native:
            try:
                located.append(self._locate(resource, catalogue, request, views, there, unread, options_of))
            except (NotFound, Unavailable) as error:
                if request.resources:
                    raise
                left[resource] = str(error)
        if not located:
            told = [f"{name}: {why}" for name, why in sorted(left.items())]
            told += [f"{vault} could not be read: {why}" for vault, why in sorted(unread.items())]
            cause = "; ".join(told)
            kind = Unavailable if unread else NotFound
            raise kind(
                f"nothing of {request.application} can be brought back in {request.region}",
                operation="restore",
                cause=cause or "no copy of it lies there",
            )
        return Found(tuple(located), left, catalogue.runbook.content if catalogue.runbook else None)

    # --- what is read ---

    def _vaults(self, request: RegionRequest, now: datetime) -> tuple[dict[str, VaultView], dict[str, str]]:
        if not self._stores:
            return {}, {}

        def read(name: str) -> VaultView:
            vault, store = Vault(name, FailureDomain(provider="", region="")), self._stores[name]
            return read_vault(store, vault, self._reader.keys, now, site=request.site, application=request.application)

        return read_all(tuple(self._stores), read, "", lambda views: bool(views))

    def _listed(self, place: tuple[str, str], region: str, site: str, now: datetime) -> NativeView:
        kind, account = place
        vault = Vault(native_vault_name(account, region), FailureDomain(AWS, region, account), native=True)
        try:
            found = tuple(self._kinds[kind].snapshots(account, region, site))
        except DrorchError as error:
            return NativeView(vault, kind, complete=False, why=str(error))
        return NativeView(vault, kind, complete=True, snapshots=found, at=now)

    # --- one resource ---

    def _locate(
        self,
        resource: str,
        catalogue: Catalogue,
        request: RegionRequest,
        views: Mapping[str, VaultView],
        there: Collection[str],
        unread: Mapping[str, str],
        options_of: OptionsOf,
    ) -> Located:
        now = self._reader.clock.now()
        kind = _kind_of(resource, catalogue, request)
        vaults = tuple(v for v in sorted(there) if request.vault in ("", v))
        chosen = request.point or request.note or request.at
        begun = "" if chosen else self._begun(kind, resource, request, vaults, catalogue)
        wanted = Wanted(
            application=request.application,
            resource=resource,
            vaults=vaults,
            at=request.at,
            point=request.point or begun,
            note=request.note,
            unread={vault: why for vault, why in unread.items() if vault in self._stores or not vaults},
            native=True,
        )
        choice = choose_point(catalogue, wanted, now)
        mapped = catalogue.runbook.content["regions"].get(request.region, {}) if catalogue.runbook else {}
        said = mapped.get(resource, {})
        options, refused = None, None
        try:
            options = options_of(kind, resource, said)
        except Refused as error:
            refused = error
        order = _order(choice, request, views, options)
        notes = [f"it was begun before, and goes on with point {begun}"] if begun else []
        if not any(part.settings for part in order.parts):
            notes.append("no record tells the settings of what it was cut from: those of the options, else defaults")
        estimate, other = _estimate(catalogue, choice), next_best(catalogue, choice, vaults)
        return Located(resource, kind, choice, order, bool(begun), tuple(notes), refused, estimate, other)

    def _begun(
        self, kind: str, resource: str, request: RegionRequest, vaults: Sequence[str], catalogue: Catalogue
    ) -> str:
        """The point with which an earlier command has begun there; "" when none, or when it is not known any more."""
        ours = f"{request.application}/{resource}/"
        found: set[str] = set()
        for vault in vaults:
            account, region = place_of(vault)
            for restore, _ in self.restoring(kind).made(account, region, TAG_RESTORE):
                point, _, name = restore.removeprefix(ours).partition("/")
                if restore.startswith(ours) and name == request.name:
                    found.add(point)
        known = [point.id for point in catalogue.of(resource) if point.id in found]
        return known[0] if known else ""

    def restoring(self, kind: str) -> RestoresSnapshots:
        """The kind, as one that brings back. Refused for one that cannot."""
        return restoring_kind(self._kinds, kind)


def _order(choice: Choice, request: RegionRequest, views: Mapping[str, VaultView], options: object) -> NativeRestore:
    point, vault = choice.point, choice.vaults[0]
    account, region = place_of(vault)
    identity = restore_id(request.application, point.resource, point.id, request.name)
    return NativeRestore(
        account=account,
        region=region,
        application=request.application,
        resource=point.resource,
        point=point.id,
        cut_at=choice.cut_at,
        tag=TAG_RESTORE,
        id=identity,
        tags={TAG_RESTORE: identity},
        parts=tuple(restore_parts(point, vault, native_records(views.values(), point))),
        options=options,
    )


def restoring_kind(kinds: Mapping[str, SnapshotKind], kind: str) -> RestoresSnapshots:
    """One of the kinds, as one that brings back. Refused for one that cannot."""
    found = kinds.get(kind)
    if not isinstance(found, RestoresSnapshots):
        raise Refused(f"points of kind {kind} cannot be brought back", operation="restore")
    return found


def restore_id(application: str, resource: str, point: str, name: str = "") -> str:
    """The value of ``drorch:restore``: ``APP/RESOURCE/POINT``, of a second one ``APP/RESOURCE/POINT/NAME``."""
    return "/".join(word for word in (application, resource, point, name) if word)


def _estimate(catalogue: Catalogue, choice: Choice) -> int | None:
    own = (d for d in catalogue.drills if (d.resource, d.vault) == (choice.point.resource, choice.vaults[0]))
    newest = next((drill for drill in own if drill.well and "create" in drill.seconds), None)
    return newest.seconds["create"] if newest is not None else None


def _places(request: RegionRequest, views: Mapping[str, VaultView]) -> set[tuple[str, str]]:
    """(kind, account) of every listing that may show a copy in the region: the policy's word, and the records'."""
    wanted = set(request.resources)
    places = {
        (kind, account)
        for resource, (kind, accounts) in request.natives.items()
        for account in accounts
        if not wanted or resource in wanted
    }
    for view in views.values():
        for seen in view.records:
            record = seen.record
            account, region = place_of(record.text("vault"))
            native = seen.trust is Trust.SIGNED and record.type == RecordType.NATIVE
            if native and region == request.region and (not wanted or record.resource in wanted):
                places.add((record.text("kind"), account))
    return places


def _site(request: RegionRequest, views: Mapping[str, VaultView]) -> str:
    """Whose snapshots are listed. Refused when the vaults tell of several sites, and nobody said which."""
    told = (seen.record.site for view in views.values() for seen in view.records if seen.trust is Trust.SIGNED)
    sites = {request.site} if request.site else set(told) - {""}
    if len(sites) > 1:
        cause = f"the vaults hold {request.application} of {', '.join(sorted(sites))}"
        raise Refused("it is not clear whose application is meant", operation="restore", cause=cause)
    return sites.pop() if sites else ""


def _kind_of(resource: str, catalogue: Catalogue, request: RegionRequest) -> str:
    if resource in request.natives:
        return request.natives[resource][0]
    kind = next((point.kind for point in catalogue.of(resource)), "")
    if not kind:
        raise NotFound(f"nothing is known of {request.application}/{resource}", operation="restore")
    return kind


def _not_native(catalogue: Catalogue, request: RegionRequest) -> Iterator[tuple[str, str]]:
    """The application's dumps, which no region takes: how each is brought back."""
    if request.resources:
        return
    for resource in sorted({p.resource for p in catalogue.points if any(copy.path for copy in p.copies)}):
        yield resource, f"a dump: drorch restore {request.application} {resource} --into TARGET"


def native_records(views: Iterable[VaultView], point: RecoveryPoint) -> list[Record]:
    """The signed native records of a point, the latest first."""
    found = {
        seen.digest: seen.record
        for view in views
        for seen in view.records
        if seen.trust is Trust.SIGNED and seen.record.type == RecordType.NATIVE and seen.record.point == point.id
    }
    return sorted(found.values(), key=lambda record: record.at, reverse=True)


def restore_parts(point: RecoveryPoint, vault: str, records: Sequence[Record]) -> Iterator[RestorePart]:
    """The copy's members, with what its own record says of each, else what any record says of the same source.

    A copy's member names as its source the cut's own member, and that one's record the volume or instance behind it.
    """
    copy = point.copy_in(vault)
    own = {m["native_id"]: m for r in reversed(records) if r.text("vault") == vault for m in r.body["members"]}
    every = {m["native_id"]: m for r in reversed(records) for m in r.body["members"]}
    for member in copy.members if copy else ():
        said = own.get(member.native_id) or {}
        behind = every.get(member.source_id) or {}
        settings = said.get("settings") or behind.get("settings") or {}
        yield RestorePart(
            native_id=member.native_id,
            role=member.role,
            source_id=str(behind.get("source_id") or member.source_id),
            bytes=member.bytes,
            device=str(said.get("device") or behind.get("device") or member.device),
            instance=str(said.get("instance") or behind.get("instance") or member.instance),
            image=member.image,
            encrypted=bool(said.get("encrypted")),
            settings=settings if isinstance(settings, Mapping) else {},
        )


def check_all(
    found: Found, restoring: Callable[[str], RestoresSnapshots], without: Collection[str] = ()
) -> dict[str, tuple[str, ...]]:
    """What will not be as it was, per resource. Refused with everything that is in the way; not looked at are those
    `without`.
    """
    notes: dict[str, tuple[str, ...]] = {}
    refused: list[str] = []
    hints: list[str] = []
    for each in found.located:
        if each.resource in without:
            continue
        try:
            if each.refused is not None:
                raise each.refused
            notes[each.resource] = restoring(each.kind).check_restore(each.order)
        except Refused as error:
            if len(found.located) == 1 or isinstance(error, InvalidInput):
                raise
            refused.append(f"{each.resource}: {error.message}" + (f" ({error.cause})" if error.cause else ""))
            hints += [f"{each.resource}: {error.hint}"] if error.hint else []
    if refused:
        raise Refused(
            "nothing was begun: not everything could be brought back",
            operation="restore",
            cause="; ".join(refused),
            hint="; ".join(hints),
        )
    return notes


def as_of(located: Located) -> str:
    """Of which point, as of when, from where."""
    return f"point {located.choice.point.id}, data as of {to_text(located.choice.cut_at)}, in {located.vault}"
