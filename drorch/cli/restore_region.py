"""``drorch restore APP --into region:NAME``: the provider's own snapshots, brought back where their copies lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drorch.cli.opening import held_for

if TYPE_CHECKING:
    from drorch.app.native_restore import Found, OptionsOf, RegionRequest
    from drorch.app.region_report import RegionReport
    from drorch.cli.region_sources import Asked, Sources

SCHEME = "region:"


def bring_back(asked: Asked, sources: Sources) -> int:
    """Locate, check, ask, carry out, report: by the runbook where no resource is named and there is one."""
    from drorch.app.native_restore import RegionRequest
    from drorch.cli.restore_runbook import runbook_of, with_runbook

    request = RegionRequest(
        application=asked.application,
        region=asked.region,
        resources=asked.resources,
        vault=asked.vault,
        at=asked.at,
        point=asked.point,
        note=asked.note,
        name=asked.name,
        site=sources.site,
        natives=sources.natives,
    )
    with held_for(asked.application, sources.locks):
        found = offered(sources, request, _found(asked, sources, request))
        recovery = None if asked.resources else runbook_of(sources, found)
        if recovery is not None and recovery.steps and asked.region in recovery.regions:
            return with_runbook(asked, sources, request, found, recovery.in_region(asked.region))
        return _without_runbook(asked, sources, request, found)


def _found(asked: Asked, sources: Sources, request: RegionRequest) -> Found:
    """What can be brought back; that there are no snapshots matters only where any are to be."""
    from drorch.app.native_restore import Found
    from drorch.domain.dump_return import dumps_in
    from drorch.domain.errors import NotFound

    try:
        return sources.restores.find(request, _options_of(asked, sources))
    except NotFound:
        known = None if asked.resources else sources.recovery
        if known is None or not known.restored or known.restored - dumps_in(known, asked.region).keys():
            raise
        return Found(())


def offered(sources: Sources, request: RegionRequest, found: Found) -> Found:
    """With what the region has by itself that is newer, unless a point was named."""
    from drorch.app.offers import with_offers
    from drorch.domain.automated import KINDS
    from drorch.wiring import adapters

    databases = {each.order.account for each in found.located if each.kind in KINDS}
    if request.point or request.note or sources.accounts_of is None or not databases:
        return found
    kept = adapters.build_automated(sources.accounts_of(databases))
    return replace(found, located=tuple(with_offers(found.located, kept, request.at)))


def _without_runbook(asked: Asked, sources: Sources, request: RegionRequest, found: Found) -> int:
    from drorch.app.bringing_back import BringingBack
    from drorch.app.native_restore import check_all
    from drorch.cli.live import LiveSteps
    from drorch.cli.region_screen import plan_json, print_plan, print_report
    from drorch.cli.screen import emit_json

    noted = check_all(found, sources.restores.restoring)
    if asked.plan_only or asked.asks:
        if asked.as_json:
            emit_json(plan_json(request, found, noted, sources.clock))
        else:
            print_plan(request, found, noted, sources.clock)
        if asked.plan_only or not agreed(asked):
            return 0 if asked.plan_only else 3
    began, live = sources.clock.now(), LiveSteps(quiet=asked.as_json, promised=sources.promised)
    rounds = BringingBack(sources.restores.restoring, sources.clock, live.ended, live.shown)
    try:
        report = rounds.run(asked.application, asked.region, found, noted)
    finally:
        live.clear()
    journal(asked, sources, began, report)
    if asked.terraform:
        write_blocks(Path(asked.terraform), report.import_blocks())
    if asked.as_json:
        emit_json(report.to_json())
    else:
        print_report(report, asked.terraform)
    return report.exit_code


def journal(asked: Asked, sources: Sources, began: datetime, report: RegionReport, to_do: Sequence[str] = ()) -> None:
    """An entry of every resource, and of what remains; under break glass unsigned reports."""
    from drorch.app.restore_journal import RegionAsked

    if sources.journal is not None:
        wanted = RegionAsked(asked.region, asked.vault, asked.at, asked.point, asked.note)
        sources.journal.region(wanted, began, report, to_do)


def agreed(asked: Asked) -> bool:
    """Whether the person at the terminal says yes."""
    from drorch.cli.screen import tell

    if click.confirm(f"Bring this back in {asked.region}?", err=True):
        return True
    tell("nothing was touched")
    return False


def _options_of(asked: Asked, sources: Sources) -> OptionsOf:
    """What was typed over what the policy says; without a policy over what the signed runbook says."""
    from drorch.wiring import adapters

    typed = typed_options(asked.options, asked.resources)

    def options(kind: str, resource: str, recorded: Mapping[str, object]) -> object:
        mapped = recorded if sources.mapped is None else sources.mapped.get(resource, {})
        return adapters.restore_options(kind, {**mapped, **typed.get("", {}), **typed.get(resource, {})})

    return options


def region_of(into: str) -> str:
    """The region of ``region:NAME``. Usage for one that AWS does not have."""
    from drorch.aws import regions
    from drorch.domain.errors import Usage

    region = into.removeprefix(SCHEME)
    if region not in regions():
        raise Usage(f"AWS has no region {region!r}", hint="such as --into region:us-west-2")
    return region


def typed_options(texts: Sequence[str], resources: Sequence[str]) -> dict[str, dict[str, object]]:
    """Resource ("" for every one) -> key -> value of ``--with [RESOURCE.]KEY=VALUE``; a comma makes a list of values.

    Usage for anything else.
    """
    from drorch.domain.errors import Usage

    found: dict[str, dict[str, object]] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        resource, dot, name = key.partition(".")
        if not dot:
            resource, name = "", key
        if not sign or not name or not value:
            raise Usage(f"--with {text}: not of the form [RESOURCE.]KEY=VALUE", hint="such as --with zone=us-west-2a")
        if resource and resources and resource not in resources:
            raise Usage(f"--with {text}: {resource} is not among {', '.join(resources)}")
        found.setdefault(resource, {})[name] = _plain(value)
    return found


def _plain(text: str) -> object:
    """A typed value as a policy would have it: numbers, true and false as such, a list where there is a comma."""
    if "," in text:
        return [_plain(part.strip()) for part in text.split(",") if part.strip()]
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isdecimal() and (text == "0" or text[0] != "0") else text


def write_blocks(file: Path, blocks: str) -> None:
    """Import blocks into a file. Unavailable when it cannot be written."""
    from drorch.domain.errors import Unavailable

    try:
        file.write_text(blocks, encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"{file} cannot be written", cause=error.strerror or str(error)) from error
