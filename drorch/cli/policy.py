"""``drorch policy check`` and ``drorch policy schema``: no secret, no network, no tools."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drorch.cli.policy_diff import diff

if TYPE_CHECKING:
    from drorch.app.config import Config
    from drorch.domain.errors import Finding
    from drorch.domain.policy import Policy
    from drorch.domain.vocabulary import Vocabulary


@click.group()
def policy() -> None:
    """Validate policies; compare them; print their JSON Schema for editors."""


@policy.command(short_help="Check policy files or folders; every error at once.")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def check(config: str | None, paths: tuple[Path, ...], as_json: bool) -> int:
    """Check policy files or folders (default: the configured folder); every error at once.

    Without a host configuration all but vault, account and credential names are checked.
    """
    from drorch.app.report import cadences_json
    from drorch.cli.screen import emit_json, say, tell
    from drorch.domain.errors import Usage
    from drorch.domain.feasibility import feasibility, held_by_locks, keys_beside_locks, unjudged
    from drorch.domain.policy_recovery import left_out
    from drorch.domain.policy_scenario import left_out_in_drills
    from drorch.domain.snapshot_quota import holdings
    from drorch.domain.template import meanings

    loaded_config = configuration(config)
    vocabulary = vocabulary_for(loaded_config)
    if loaded_config is None:
        tell("no host configuration: vault, account and credential names are not checked")
        if not paths:
            raise Usage("nothing to check", hint="drorch policy check FILE..., or a host configuration")
        places: tuple[Path, ...] = paths
    else:
        places = paths or (loaded_config.policies,)
    policies, findings = read(places, vocabulary)
    for unsure in (policy for policy in policies if unjudged(policy, vocabulary.locks)):
        tell(f"{unsure.application}: tampering is promised; not checked, the locks of vaults are not known here")
    warnings = [
        (p.application, f"{r.name}: {told}")
        for p in policies
        for r in p.resources
        if (told := str(getattr(r.options, "warning", "")))
    ]
    warnings += [
        (p.application, f"{r.name}: retention waits for the locks in {found.vault}: {found.sum}")
        for p in policies
        for r in p.resources
        for found in held_by_locks(r, vocabulary.grace)
    ]
    warnings += [
        (
            p.application,
            f"{r.name}: the lock in {rule.vault} does not cover {rule.kms_key}, which an administrator of"
            " the home account can have deleted after seven days: lock copies in another account, under its key",
        )
        for p in policies
        for r in p.resources
        for rule in keys_beside_locks(r)
    ]
    warnings += [
        (p.application, f"{name}: no step of the runbook brings back its copies in {region}")
        for p in policies
        for name, region in left_out(p)
    ]
    warnings += [
        (p.application, f"drill: step {step} is left out: {why}")
        for p in policies
        for step, why in left_out_in_drills(p)
    ]
    for name, warning in warnings:
        tell(f"{name}: warning: {warning}")
    judged = ((p, feasibility(p, vocabulary.vaults, locks=vocabulary.locks)) for p in policies)
    lines = [(p.application, str(line)) for p, found in judged for line in found]
    cadences = [cadence for p in policies for cadence in cadences_json(p)]
    stand_for = [(p.application, meaning) for p in policies for meaning in meanings(p)]
    held = holdings(policies, vocabulary.grace)
    if as_json:
        emit_json(
            {
                "valid": not findings,
                "applications": [policy.application for policy in policies],
                "findings": findings_json(findings),
                "feasibility": [{"application": name, "arithmetic": line} for name, line in lines],
                "cadences": cadences,
                "warnings": [{"application": name, "warning": warning} for name, warning in warnings],
                "templates": [{"application": name, "meaning": meaning} for name, meaning in stand_for],
                "snapshot_quotas": [holding.to_json() for holding in held],
            }
        )
        return 3 if findings else 0
    for finding in findings:
        tell(str(finding))
    for name, line in lines:
        say(f"{name}: {line}")
    for cadence in cadences:
        say(f"{cadence['application']}: {cadence['resource']} {cadence['why']}")
    for name, meaning in stand_for:
        say(f"{name}: {meaning}")
    for holding in held:
        if not holding.fits:
            tell(str(holding), color="yellow")
    summary = f"{len(policies)} valid"
    if findings:
        summary += f", {_counted(len(findings), 'error')} in {_counted(len({f.file for f in findings}), 'file')}"
    say(summary, color="red" if findings else "green")
    return 3 if findings else 0


@policy.command(short_help="Print the JSON Schema of a policy file.")
@click.pass_obj
def schema(config: str | None) -> int:
    """Print the JSON Schema of a policy file, for editors."""
    from drorch.cli.screen import emit_json
    from drorch.domain.policy_schema import json_schema

    emit_json(json_schema(vocabulary_for(configuration(config))))
    return 0


policy.add_command(diff)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def findings_json(findings: Iterable[Finding]) -> list[dict[str, object]]:
    """Everything that is wrong, each with its place."""
    return [
        {"file": f.file, "line": f.line, "column": f.column, "message": f.message, "hint": f.hint or None}
        for f in findings
    ]


def read(places: tuple[Path, ...], vocabulary: Vocabulary) -> tuple[list[Policy], list[Finding]]:
    """The valid policies in files and folders, and what is wrong with the others."""
    from drorch.app.policies import PolicyFolder, check_files

    folders = [place for place in places if place.is_dir()]
    files, found = check_files([place for place in places if place not in folders], vocabulary)
    policies, findings = list(files), list(found)
    for folder in folders:
        loaded = PolicyFolder(folder, vocabulary).load({})
        policies += [entry.policy for entry in loaded.valid]
        findings += loaded.findings
    return policies, findings


def configuration(config: str | None) -> Config | None:
    """The host configuration, or None when there is none to be found and none was named."""
    from drorch.app.config import find_config, load_config
    from drorch.aws import regions
    from drorch.domain.errors import NotFound
    from drorch.wiring.adapters import store_options

    try:
        path = find_config(Path(config) if config else None, os.environ)
    except NotFound:
        if config or os.environ.get("DRORCH_CONFIG"):
            raise
        return None
    return load_config(path, vault_options=store_options(), regions=regions())


def vocabulary_for(config: Config | None) -> Vocabulary:
    """The words that policies may use, with or without a host configuration."""
    from drorch.wiring.adapters import vocabulary, vocabulary_of

    return vocabulary() if config is None else vocabulary_of(config)
