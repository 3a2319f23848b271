"""``drorch restore APP --into region:NAME``: the provider's own snapshots, brought back where their copies lie."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drorch.cli.opening import held_for

if TYPE_CHECKING:
    from drorch.app.bringing_back import BroughtBack, RegionReport
    from drorch.app.locks import Locks
    from drorch.app.native_restore import Found, Located, NativeRestores, OptionsOf, RegionRequest
    from drorch.aws import AwsAccounts
    from drorch.cli.screen import ProgressLine
    from drorch.domain.catalogue_native import ValidId
    from drorch.domain.errors import Refused
    from drorch.domain.policy import Policy
    from drorch.domain.recovery import Step
    from drorch.domain.runbook import Recovery
    from drorch.ports import Clock

SCHEME = "region:"


@dataclass(frozen=True)
class Asked:
    """What was typed that concerns a region."""

    application: str
    resources: tuple[str, ...]
    region: str
    vault: str
    at: datetime | None
    point: str
    name: str
    urls: tuple[str, ...]
    trust: tuple[str, ...]
    options: tuple[str, ...]
    terraform: str
    plan_only: bool
    asks: bool
    as_json: bool
    allow_commands: bool = False


@dataclass(frozen=True)
class Sources:
    """What it is brought back with. `natives` are the policy's resources that have copies in the region, `mapped` what
    it says of how each comes back there, None without a policy. `recovery` is its runbook, `home` the account of its
    home, `commands` whether the host lets a runbook run commands (None: break glass); `accounts_of` reaches accounts.
    """

    restores: NativeRestores
    clock: Clock
    site: str = ""
    natives: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    mapped: Mapping[str, Mapping[str, object]] | None = None
    locks: Locks | None = None
    recovery: Recovery | None = None
    home: str = ""
    commands: bool | None = None
    accounts_of: Callable[[Collection[str]], AwsAccounts] = lambda _names: _no_accounts()


def bring_back(asked: Asked, sources: Sources) -> int:
    """Locate, check, ask, carry out, report."""
    from drorch.app.native_restore import RegionRequest, check_all
    from drorch.app.runbook_restores import to_bring_back
    from drorch.cli import restore_runbook
    from drorch.cli.screen import ProgressLine, emit_json, tell

    request = RegionRequest(
        application=asked.application,
        region=asked.region,
        resources=asked.resources,
        vault=asked.vault,
        at=asked.at,
        point=asked.point,
        name=asked.name,
        site=sources.site,
        natives=sources.natives,
    )
    restores, line = sources.restores, ProgressLine(quiet=asked.as_json)
    with held_for(asked.application, sources.locks):
        found = restores.find(request, _said_later(_options_of(asked, sources)))
        recovery = restore_runbook.runbook_for(asked, sources, found)
        wanted = found if recovery is None else replace(found, located=to_bring_back(found, recovery))
        _require_said(wanted)
        noted = check_all(wanted, restores.restoring)
        if asked.plan_only or asked.asks:
            if asked.as_json:
                emit_json(restore_runbook.with_runbook(plan_json(request, wanted, noted, sources.clock), recovery))
            else:
                print_plan(request, wanted, noted, sources.clock)
                if recovery is not None:
                    restore_runbook.print_runbook(recovery)
            if asked.plan_only:
                return 0
            if not click.confirm(f"Bring this back in {request.region}?", err=True):
                tell("nothing was touched")
                return 3
        if recovery is not None:
            return _carry_runbook_out(asked, sources, found, recovery, line)
        report = _carry_out(asked, sources, found, noted, line)
    if asked.terraform:
        _write_blocks(Path(asked.terraform), report)
    if asked.as_json:
        emit_json(report.to_json())
    else:
        print_report(report, asked.terraform)
    return report.exit_code


def _carry_runbook_out(asked: Asked, sources: Sources, found: Found, recovery: Recovery, line: ProgressLine) -> int:
    from drorch.app.bringing_back import RegionReport
    from drorch.cli import restore_runbook
    from drorch.cli.screen import emit_json

    report, resources = restore_runbook.carry_out(asked, sources, found, recovery, line)
    back = RegionReport(asked.application, asked.region, resources, report.steps, found.left)
    if asked.terraform:
        _write_blocks(Path(asked.terraform), back)
    if asked.as_json:
        emit_json({**back.to_json(), **report.to_json()})
    else:
        print_report(back, asked.terraform)
        restore_runbook.print_to_do(report)
    return report.exit_code


@dataclass(frozen=True)
class _Unsaid:
    """Options that are not whole: that matters only where something is made with them."""

    error: Refused


def _said_later(options_of: OptionsOf) -> OptionsOf:
    from drorch.domain.errors import Refused

    def options(kind: str, resource: str, recorded: Mapping[str, object]) -> object:
        try:
            return options_of(kind, resource, recorded)
        except Refused as error:
            return _Unsaid(error)

    return options


def _require_said(found: Found) -> None:
    for each in found.located:
        if isinstance(each.order.options, _Unsaid):
            raise each.order.options.error


def _no_accounts() -> AwsAccounts:
    from drorch.aws import AwsAccounts

    return AwsAccounts()


def _carry_out(
    asked: Asked, sources: Sources, found: Found, noted: Mapping[str, tuple[str, ...]], line: ProgressLine
) -> RegionReport:
    from drorch.app.bringing_back import BringingBack

    heard = silent if asked.as_json else telling(line)
    rounds = BringingBack(sources.restores.restoring, sources.clock, heard, line.show)
    try:
        return rounds.run(asked.application, asked.region, found, noted)
    finally:
        line.end()


def _options_of(asked: Asked, sources: Sources) -> OptionsOf:
    """What was typed over what the policy says; without a policy over what the signed runbook says."""
    from drorch.wiring import adapters

    typed = typed_options(asked.options, asked.resources)

    def options(kind: str, resource: str, recorded: Mapping[str, object]) -> object:
        mapped = recorded if sources.mapped is None else sources.mapped.get(resource, {})
        return adapters.restore_options(kind, {**mapped, **typed.get("", {}), **typed.get(resource, {})})

    return options


def configured(config: str | None, asked: Asked) -> Sources:
    """With this host's configuration, its policies as far as they can be read, and its accounts."""
    from drorch.app.loading import Reader
    from drorch.app.native_restore import NativeRestores
    from drorch.cli.opening import locks_of, stores_of, the_host
    from drorch.cli.typed import trusted_key
    from drorch.domain.errors import DrorchError

    host = the_host(config)
    trusted = [trusted_key(text) for text in asked.trust] or list(host.trusted)
    try:
        valid_id: ValidId = host.valid_id if host.site_key else _nobodys
    except DrorchError:
        valid_id = _nobodys  # without the signing key records alone vouch
    restores = NativeRestores(
        kinds_of=lambda _accounts: host.kinds,
        stores=stores_of(host),
        reader=Reader(keys=trusted, identities=(), clock=host.clock),
        valid_id=valid_id,
    )
    loaded = host.policies().get(asked.application)
    natives = _natives(loaded.policy, asked) if loaded else {}
    mapped = _mapped(loaded.policy, asked.region) if loaded else None
    return Sources(
        restores,
        host.clock,
        host.config.site,
        natives,
        mapped,
        locks_of(host),
        recovery=loaded.policy.recovery if loaded else None,
        home=loaded.policy.home.account or "" if loaded else "",
        commands=host.config.recovery.commands,
        accounts_of=lambda _names: host.accounts,
    )


def _mapped(policy: Policy, region: str) -> dict[str, Mapping[str, object]]:
    """How each resource comes back there, by the policy in force."""
    from drorch.domain.policy_drills import options_in

    return {resource.name: options_in(policy.recovery, region, resource.name) for resource in policy.resources}


def _natives(policy: Policy, asked: Asked) -> dict[str, tuple[str, tuple[str, ...]]]:
    """What the policy in force says of its native resources with copies in the region."""
    from drorch.domain.model import place_of

    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for resource in policy.resources:
        places = [place_of(rule.vault) for rule in resource.targets] if resource.native else []
        accounts = tuple(account for account, region in places if region == asked.region)
        if accounts and (not asked.resources or resource.name in asked.resources):
            found[resource.name] = (resource.kind, accounts)
    return found


def break_glass(_config: str | None, asked: Asked) -> Sources:
    """Vault URLs and trusted keys from the command line, and whatever AWS credentials this process has."""
    from drorch.app.clock import SystemClock
    from drorch.app.loading import Reader
    from drorch.app.native_restore import NativeRestores
    from drorch.aws import AwsAccount, AwsAccounts
    from drorch.cli.typed import trusted_key
    from drorch.domain.errors import Usage
    from drorch.wiring import adapters

    if not asked.trust:
        raise Usage("--vault-url needs --trust", hint="the public key from your own safe: RW..., or minisign.pub")
    stores = {}
    for url in asked.urls:
        store_type, options = adapters.store_from_url(url)
        stores[url] = adapters.build_store(url, store_type, options, AwsAccounts())
    clock = SystemClock()
    restores = NativeRestores(
        kinds_of=lambda names: adapters.build_kinds(AwsAccounts({name: AwsAccount() for name in names})),
        stores=stores,
        reader=Reader(keys=[trusted_key(text) for text in asked.trust], identities=(), clock=clock),
        valid_id=_nobodys,
    )
    return Sources(
        restores, clock, accounts_of=lambda names: AwsAccounts({name: AwsAccount() for name in names if name})
    )


def _nobodys(_point: str, _application: str, _resource: str, _slot: str) -> bool:
    return False


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


def silent(_step: Step) -> None:
    """Nobody reads along."""


def telling(line: ProgressLine) -> Callable[[Step], None]:
    """A line for each step as it ends."""
    from drorch.cli.screen import age, tell

    def heard(step: Step) -> None:
        from datetime import timedelta

        line.end()
        took = "" if step.took_s is None else age(timedelta(seconds=step.took_s))
        color = "red" if step.outcome == "failed" else None
        tell(f"{step.outcome:>7}  {step.step:<7} {step.resource:<16} {took:>7}  {step.detail}", color=color)

    return heard


# --- the plan --------------------------------------------------------------------------------------------------------


def plan_json(
    request: RegionRequest, found: Found, noted: Mapping[str, Sequence[str]], clock: Clock
) -> dict[str, object]:
    """The stable fields of ``--plan`` (README: restore into a region)."""
    from drorch.app.native_restore import as_of, data_loss
    from drorch.domain.instant import to_text
    from drorch.domain.recovery import Step

    now = clock.now()
    steps = []
    for each in found.located:
        steps.append(Step("locate", each.resource, as_of(each)))
        steps.append(Step("create", each.resource, _what(each), each.estimate_s))
    return {
        "application": request.application,
        "region": request.region,
        "resources": [
            {
                "resource": each.resource,
                "kind": each.kind,
                "point": each.choice.point.id,
                "vault": each.vault,
                "cut_at": to_text(each.choice.cut_at),
                "data_loss_s": data_loss(each, now),
                "restore": each.order.id,
                "begun": each.begun,
                "newer": [newer.to_json() for newer in each.choice.newer],
                "notes": list(_notes(each, noted)),
            }
            for each in found.located
        ],
        "steps": [step.to_json() for step in steps],
        "left": dict(found.left),
    }


def print_plan(request: RegionRequest, found: Found, noted: Mapping[str, Sequence[str]], clock: Clock) -> None:
    """What would be brought back, of when it is, and what will not be as it was."""
    from datetime import timedelta

    from drorch.app.native_restore import data_loss
    from drorch.cli.screen import age, say, table, when

    now = clock.now()
    say(f"{request.application} into {request.region}: nothing that exists is overwritten", bold=True)
    rows = [
        (
            each.resource,
            each.choice.point.id,
            when(each.choice.cut_at),
            age(timedelta(seconds=data_loss(each, now))),
            each.vault,
            "" if each.estimate_s is None else f"about {age(timedelta(seconds=each.estimate_s))}",
            _what(each),
        )
        for each in found.located
    ]
    table(("RESOURCE", "POINT", "DATA AS OF (UTC)", "LOST", "FROM", "TAKES", "MAKES"), rows)
    if all(each.estimate_s is None for each in found.located):
        say("how long it takes is not known: no drill of these snapshots has measured it")
    for each in found.located:
        _print_notes(each, _notes(each, noted))
    _print_left(found.left)


def _what(each: Located) -> str:
    count = sum(not part.image for part in each.order.parts)
    sort = "image" if any(part.role == "image" for part in each.order.parts) else "snapshot"
    return f"{each.kind} from {count} {sort}{'s' if count != 1 else ''}" + (", begun before" if each.begun else "")


def _notes(each: Located, noted: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return (*each.choice.notes, *each.notes, *noted.get(each.resource, ()))


def _print_notes(each: Located, notes: Sequence[str]) -> None:
    from drorch.cli.screen import prose, tell, when

    for newer in each.choice.newer:
        told = f"{each.resource}: newer is {newer.point}, data as of {when(newer.cut_at)}: {newer.why}"
        tell(prose(told), color="yellow")
    for note in notes:
        tell(f"note: {each.resource}: {prose(note)}", color="yellow")


def _print_left(left: Mapping[str, str]) -> None:
    from drorch.cli.screen import prose, tell

    for resource, why in sorted(left.items()):
        tell(f"not brought back by this: {resource}: {prose(why)}", color="yellow")


# --- the report ------------------------------------------------------------------------------------------------------


def print_report(report: RegionReport, terraform: str) -> None:
    """What is there now, what is lost, what remains to be done by hand."""
    from drorch.cli.screen import say, table

    rows = [
        (each.located.resource, made.what, made.native_id, made.state, made.endpoint or made.detail)
        for each in report.resources
        for made in each.made
    ]
    if rows:
        table(("RESOURCE", "WHAT", "ID", "STATE", ""), rows)
    for each in report.resources:
        _print_outcome(each)
        _print_notes(each.located, each.notes)
    _print_left(report.left)
    if terraform and any(made.address for each in report.resources for made in each.made):
        say(f"import blocks for Terraform and OpenTofu: {terraform}")


def _print_outcome(each: BroughtBack) -> None:
    from datetime import timedelta

    from drorch.cli.screen import age, prose, say, tell, when

    lost = age(timedelta(seconds=each.data_loss_s))
    as_of = f"data as of {when(each.located.choice.cut_at)} UTC ({lost} ago), point {each.located.choice.point.id}"
    if each.outcome == "done":
        say(f"{each.located.resource} is back from {each.located.vault}: {as_of}", color="green", bold=True)
    else:
        tell(f"{each.located.resource} is not back: {prose(each.why)}", color="red")


def _write_blocks(file: Path, report: RegionReport) -> None:
    from drorch.domain.errors import Unavailable

    try:
        file.write_text(report.import_blocks(), encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"{file} cannot be written", cause=error.strerror or str(error)) from error
