"""Jobs for workers: an action and what the planner saw, with secrets resolved at this moment and no earlier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from drorch.app.carry import Scene
from drorch.app.catalogue import VaultReader
from drorch.app.damage import VerifyOrder
from drorch.app.drill import DrillOrder
from drorch.app.dump import DumpOrder
from drorch.app.jobs import (
    DrillJob,
    DumpJob,
    HostSpec,
    Job,
    NativeDrillJob,
    RepairJob,
    ScenarioJob,
    ShipJob,
    VaultSpec,
    VerifyJob,
)
from drorch.app.native_drill import NativeDrillOrder
from drorch.app.native_restore import native_records, restore_parts
from drorch.app.repair import RepairOrder
from drorch.app.ship import ShipOrder
from drorch.app.verify import Place
from drorch.domain.action import Action, Cut, Drill, Repair, ScenarioDrill, Ship, Verify
from drorch.domain.errors import Refused
from drorch.domain.host_path import HostPath, granting
from drorch.domain.model import place_of
from drorch.domain.native_drill import Place as DrillPlace
from drorch.domain.native_drill import drill_places
from drorch.domain.policy import CredentialRef
from drorch.domain.policy_drills import options_in
from drorch.domain.runbook import said_of
from drorch.domain.scenario import scenario_order
from drorch.wiring import adapters

if TYPE_CHECKING:
    from drorch.wiring.host import Host


MOST_HOURS = 4
"""For which anything of a drill of snapshots may be there, where its rule says nothing."""

_MAINTENANCE = {"postgres": "postgres"}
"""The database from which an engine makes others, where it needs one."""


def compose_job(host: Host, action: Action, scene: Scene) -> Job:
    """The job of a heavy action. Raises Refused when a secret cannot be resolved."""
    if isinstance(action, Cut):
        return _dump(host, action, scene)
    if isinstance(action, Ship):
        return _ship(host, action, scene)
    if isinstance(action, ScenarioDrill):
        return scenario_job(host, action)
    if isinstance(action, Drill):
        return _drill(host, action, scene)
    if isinstance(action, Verify):
        return _verify(host, action, scene)
    if isinstance(action, Repair):
        return _repair(host, action, scene)
    raise TypeError(f"{action.name} is no heavy action")


def _dump(host: Host, action: Cut, scene: Scene) -> DumpJob:
    resource = scene.resource
    home, origin = resource.home, resource.origin
    order = DumpOrder(
        site=host.config.site,
        application=action.application,
        resource=action.resource,
        kind=resource.kind,
        point=action.point,
        slot=action.slot,
        recipients=host.config.encryption.recipients,
        home={"provider": home.provider, "account": home.account, "region": home.region},
        policy=host.provenance(action.application),
        note=scene.note,
        inventory=resource.inventory,
        identities=_identities(scene),
        origin={} if origin is None else {"template": origin.template, "database": origin.database},
    )
    return DumpJob(
        order=order,
        vaults=tuple(_vault(host, name) for name in action.into),
        options=options_json(resource.options),
        secrets=credentials(host, resource.options, action.application),
        signing_key=host.signing_key().text(),
        host=replace(
            host_spec(host),
            inventory_budget_s=_counting_budget(scene, action.resource),
            paths=granted_paths(host, resource.options, action.application),
        ),
        longest=resource.max_duration,
    )


def _identities(scene: Scene) -> tuple[str, ...]:
    """Of the newest point whose source said who it is; of none where the policy carries another's history on."""
    resource = scene.resource
    if resource.name in resource.formerly:
        return ()
    points = scene.catalogue.of(resource.name)
    last = next((point for point in points if point.usable and point.identities), None)
    return tuple(sorted(last.identities)) if last is not None else ()


def _counting_budget(scene: Scene, resource: str) -> int | None:
    """Seconds for exact counts: a tenth of what the last dump took; None before there is one."""
    for point in scene.catalogue.of(resource):
        took = point.facts.get("dump_seconds")
        if isinstance(took, int):
            return max(took // 10, 10)
    return None


def _ship(host: Host, action: Ship, scene: Scene) -> ShipJob:
    point = scene.catalogue.find(action.point)
    if point is None or point.cut_at is None:
        raise Refused(f"point {action.point} is not known any more", operation="ship", resource=action.resource)
    return ShipJob(
        order=ShipOrder(host.config.site, *point.filed_under, action.point, point.cut_at),
        source=_vault(host, action.source),
        target=_vault(host, action.vault),
        trusted=host.trusted,
        host=host_spec(host),
    )


def _drill(host: Host, action: Drill, scene: Scene) -> DrillJob | NativeDrillJob:
    if scene.resource.native:
        return _native_drill(host, action, scene)
    rule = scene.resource.drill
    probes = rule.probes if rule is not None else ()
    point = scene.catalogue.find(action.point)
    names = point.filed_under if point is not None else (action.application, action.resource)
    order = DrillOrder(host.config.site, *names, action.vault, probes, action.point, action.audit)
    scratch = host.config.drills.scratch.get(scene.resource.kind)
    options, secrets = _scratch(host, scratch, scene.resource.kind)
    return DrillJob(
        order=order.to_json(),
        kind=scene.resource.kind,
        vaults=tuple(_vault(host, name) for name in host.vaults),
        trusted=host.trusted,
        identities=host.identities(),
        signing_key=host.signing_key().text(),
        scratch=options,
        secrets=secrets,
        host=host_spec(host),
    )


def _native_drill(host: Host, action: Drill, scene: Scene) -> NativeDrillJob:
    point, rule, kind = scene.catalogue.find(action.point), scene.resource.drill, scene.resource.kind
    copy = point.copy_in(action.vault) if point is not None else None
    if point is None or point.cut_at is None or copy is None:
        raise Refused(f"point {action.point} is not known any more", operation="drill", resource=action.resource)
    application, resource = point.filed_under
    loaded = host.in_force(action.application)
    recovery, region = loaded.policy.recovery if loaded else None, place_of(action.vault)[1]
    mapped, own = options_in(recovery, region, action.resource), rule.options if rule else {}
    reader = VaultReader(host.cache, host.trusted, host.config.site)
    views = [reader.view(vault, application) for vault in host.vaults.values()]
    order = NativeDrillOrder(
        site=host.config.site,
        application=application,
        resource=resource,
        vault=action.vault,
        point=point.id,
        cut_at=point.cut_at,
        parts=tuple(restore_parts(point, action.vault, native_records(views, point))),
        bytes=copy.bytes,
        most=timedelta(hours=(rule.max_hours if rule else None) or MOST_HOURS),
        probes=rule.probes if rule else (),
        isolation=adapters.drill_isolation(kind, mapped, rule),
        audit=action.audit,
    )
    login = rule.connect if rule else None
    return NativeDrillJob(
        order=order.to_json(),
        kind=kind,
        options=said_of(adapters.drill_options(kind, mapped, own, point.id)),
        vaults=tuple(_vault(host, name) for name in host.vaults),
        signing_key=host.signing_key().text(),
        host=host_spec(host),
        looks=drill_looks(host, place_of(action.vault)[0]),
        connect=None if login is None else login.model_dump(mode="json", exclude_none=True),
        secrets={} if login is None else credentials(host, login, action.application),
    )


def scenario_job(host: Host, action: ScenarioDrill) -> ScenarioJob:
    """Points are read from the object vaults outside the home region, as without it."""
    loaded = host.in_force(action.application)
    if loaded is None or loaded.policy.scenario is None:
        raise Refused(f"{action.application} has no drill of the whole application", operation="drill")
    policy, rule = loaded.policy, replace(loaded.policy.scenario, into=place_of(action.vault)[1])
    away = tuple(name for name, vault in host.vaults.items() if vault.domain.region != policy.home.region)
    looks = drill_places(loaded.policy for loaded in host.policies().valid)
    return ScenarioJob(
        order=scenario_order(policy, rule, site=host.config.site, vaults=away, looks=looks),
        vaults=tuple(_vault(host, name) for name in host.vaults),
        trusted=host.trusted,
        signing_key=host.signing_key().text(),
        host=host_spec(host),
    )


def drill_looks(host: Host, account: str) -> tuple[DrillPlace, ...]:
    """Where this host's policies drill in an account."""
    places = drill_places(loaded.policy for loaded in host.policies().valid)
    return tuple(sorted(place for place in places if place[1] == account))


def _verify(host: Host, action: Verify, scene: Scene) -> VerifyJob:
    """Over the copies that count: what is known to be damaged waits for its repair."""
    places = tuple(
        Place(*point.filed_under, point.cut_at, point.id)
        for point in scene.catalogue.of(action.resource)
        if point.cut_at is not None and (copy := point.copy_in(action.vault)) is not None and copy.usable
    )
    return VerifyJob(
        order=VerifyOrder(host.config.site, action.application, action.resource, action.vault, action.turn, places),
        vaults=tuple(_vault(host, name) for name in host.vaults),
        trusted=host.trusted,
        signing_key=host.signing_key().text(),
        host=host_spec(host),
    )


def _repair(host: Host, action: Repair, scene: Scene) -> RepairJob:
    point = scene.catalogue.find(action.point)
    if point is None or point.cut_at is None:
        raise Refused(f"point {action.point} is not known any more", operation="repair", resource=action.resource)
    place = Place(*point.filed_under, point.cut_at, point.id)
    return RepairJob(
        order=RepairOrder(host.config.site, place, source=action.source, target=action.vault),
        vaults=tuple(_vault(host, name) for name in host.vaults),
        trusted=host.trusted,
        signing_key=host.signing_key().text(),
        host=host_spec(host),
    )


def _scratch(host: Host, scratch: Any, kind: str) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """The engine's options of a configured scratch server; (None, {}) for a private one."""
    if scratch is None or scratch.connection is None:
        return None, {}
    connection = scratch.connection.model_dump(mode="json", exclude={"password"}, exclude_none=True)
    connection.setdefault("database", _MAINTENANCE.get(kind, kind))
    if scratch.connection.password is None:
        return {"connection": connection}, {}
    secret = {"scratch": host.secret(scratch.connection.password)}
    return {"connection": connection | {"password": {"credential": "scratch"}}}, secret


def credentials(host: Host, options: BaseModel, application: str) -> dict[str, str]:
    """The values of the credentials that a resource's options name. Refused for one not granted to the application."""
    found: dict[str, str] = {}
    for reference in _references(options):
        if not isinstance(reference, CredentialRef):
            continue
        credential = host.config.credentials.get(reference.credential)
        if credential is None or application not in credential.applications:
            raise Refused(
                f"credential {reference.credential} is not granted to {application}",
                hint=f"credentials: {reference.credential}: {{..., applications: [{application}]}}",
            )
        found[reference.credential] = host.secret(credential.secret)
    return found


def granted_paths(host: Host, options: BaseModel, application: str) -> tuple[str, ...]:
    """What the application may read of this host. Refused when a resource's options name a path that is not in it.

    The worker is told the grants, not only the paths: it decides by them which links it may follow.
    """
    granted = host.config.paths.get(application, ())
    for path in _references(options):
        if isinstance(path, HostPath) and granting(path.root, granted) is None:
            raise Refused(
                f"path {path.root} is not granted to {application}", hint=f"paths: {{{application}: [{path.root}]}}"
            )
    return granted


def named_paths(options: BaseModel) -> list[str]:
    """The paths of this host that a resource's options name."""
    return [reference.root for reference in _references(options) if isinstance(reference, HostPath)]


def _references(value: object) -> list[CredentialRef | HostPath]:
    if isinstance(value, CredentialRef | HostPath):
        return [value]
    if isinstance(value, BaseModel):
        return [reference for name in type(value).model_fields for reference in _references(getattr(value, name))]
    if isinstance(value, Mapping):
        return [reference for inner in value.values() for reference in _references(inner)]
    if isinstance(value, list | tuple):
        return [reference for inner in value for reference in _references(inner)]
    return []


def _vault(host: Host, name: str) -> VaultSpec:
    vault = host.config.vaults[name]
    return VaultSpec(name, vault.type, options_json(vault.options))


def host_spec(host: Host) -> HostSpec:
    """What adapters in a worker need of the host."""
    accounts = {name: account.model_dump() for name, account in host.config.aws.accounts.items()}
    tools = {name: list(folders) for name, folders in host.config.tools.items()}
    return HostSpec(accounts, tools, scratch=str(host.config.state / "drills"), state=str(host.config.state))


def options_json(options: BaseModel) -> dict[str, Any]:
    """Options as they go through a pipe."""
    return options.model_dump(mode="json", exclude_none=True, by_alias=True)
