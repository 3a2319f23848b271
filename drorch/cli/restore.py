"""``drorch restore``: crisis recovery. Imports one provider's SDK and nothing else heavy."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import click

from drorch.cli.opening import held_for

if TYPE_CHECKING:
    from drorch.app.loading import Reader
    from drorch.app.locks import Locks
    from drorch.app.progress import Progress
    from drorch.app.reading import TrustedKey
    from drorch.app.restore import RestoreReport, RestoreRequest
    from drorch.app.restore_journal import RestoreJournal
    from drorch.cli.screen import ProgressLine
    from drorch.domain.recovery import RestorePlan, Step
    from drorch.ports import Clock, Engine, ObjectStore

EPILOG = """
\b
Look first; nothing is touched:
  drorch restore shop orders --into postgresql://localhost/orders --plan
\b
As it was before a deployment (drorch backup shop --note "before 4.2"):
  drorch restore shop orders --note "before 4.2" --into postgresql:///orders_back
\b
As it was before a mistake, from a vault of your choice:
  drorch restore shop orders --at 2026-11-20T09:15Z --from gcs-eu \\
      --into postgresql://restore@db2.internal/orders_back
\b
Break glass, with nothing but a vault and a key file:
  drorch restore shop orders --vault-url gs://acme-dr --identity key.txt \\
      --trust RW... --into postgresql://localhost/orders
\b
Files, into a folder that is absent or empty:
  drorch restore shop uploads --into dir:/srv/back
\b
Snapshots and images, in the region where their copies lie:
  drorch restore shop --into region:us-west-2 --with zone=us-west-2a --plan
"""


@click.command(epilog=EPILOG)
@click.argument("application", metavar="APP")
@click.argument("resources", nargs=-1, metavar="[RESOURCE...]")
@click.option(
    "--into",
    required=True,
    metavar="TARGET",
    help="postgresql://[user@]host[:port]/db (no password inside), mariadb://, mysql://, dir:/path or region:NAME.",
)
@click.option("--from", "vault", metavar="V", help="Restore from this vault.")
@click.option("--at", metavar="TIME", help="The newest point not after this instant (UTC).")
@click.option("--point", metavar="ID", help="Exactly this point.")
@click.option("--note", metavar="TEXT", help="The newest point with this note, or with this in its note.")
@click.option("--plan", "plan_only", is_flag=True, help="Show the steps, touch nothing.")
@click.option("--yes", is_flag=True, help="Do not ask on a terminal.")
@click.option("--globals", "with_globals", is_flag=True, help="Create missing roles; existing ones are never altered.")
@click.option("--into-password-file", metavar="FILE", help="The target's password (or PGPASSWORD, MYSQL_PWD).")
@click.option(
    "--vault-url",
    "urls",
    multiple=True,
    metavar="URL",
    help="Break glass: s3://, gs://, azure://, swift:// or file:///. No config.",
)
@click.option("--identity", "identities", multiple=True, metavar="FILE", help="An age identity file.")
@click.option("--passphrase-file", metavar="FILE", help="The passphrase of protected identities; else it is asked for.")
@click.option("--trust", multiple=True, metavar="KEY", help="RW... or a .pub file, whose records count; @before=TIME.")
@click.option("--accept-unsigned", default="", metavar="POINT", help="Take this point though nothing vouches for it.")
@click.option(
    "--with", "with_options", multiple=True, metavar="[RES.]KEY=VALUE", help="How snapshots come back in a region."
)
@click.option("--as", "name", default="", metavar="NAME", help="Bring the same snapshots back once more, apart.")
@click.option("--terraform", default="", metavar="FILE", help="Import blocks of what was made in a region.")
@click.option("--report", multiple=True, metavar="FILE", help="Write the report there: JSON for *.json, else text.")
@click.option("--allow-commands", is_flag=True, help="Break glass: the signed runbook may run its commands.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def restore(config: str | None, /, application: str, resources: tuple[str, ...], **options: object) -> int:
    """Bring a database, the files or the snapshots of application APP back from a vault into TARGET.

    Everything is verified before the target sees it. An absent one is made under a temporary name and renamed at the
    end; an existing one must be empty. The same command may be repeated after a failure.
    """
    said = _Said.of(options)
    if said.into.startswith("region:"):
        return _into_region(config, application, resources, said)
    _require_one(resources, said)
    sources = _break_glass(said) if said.urls else _configured(config, said)
    request = _request(application, resources, said, sources.site)
    with held_for(application, sources.locks):
        return _carry_out(said, sources, request)


def _require_one(resources: tuple[str, ...], said: _Said) -> None:
    """A database or a folder takes one dump; what only a region takes is refused."""
    from drorch.domain.errors import Usage

    if len(resources) > 1:
        raise Usage("one target takes one resource", hint=f"name one of {', '.join(resources)}, or --into region:NAME")
    if said.with_options or said.name or said.terraform or said.allow_commands:
        raise Usage("--with, --as, --terraform and --allow-commands go with --into region:NAME")


def _carry_out(said: _Said, sources: _Sources, request: RestoreRequest) -> int:
    from drorch.app.restore import plan_restore
    from drorch.app.restore import restore as carry_out
    from drorch.cli.screen import emit_json, tell

    if said.plan_only or _asks(said):
        planned = plan_restore(request, sources.engine, sources.stores, sources.reader)
        if said.as_json:
            emit_json(planned.to_json())
        else:
            print_plan(planned)
        if said.plan_only:
            return 0
        if not click.confirm(f"Restore into {said.into}?", err=True):
            tell("nothing was touched")
            return 3
    heard = None if said.as_json else partial(_tell_step, sources.line)
    run = partial(carry_out, request, sources.engine, sources.stores, sources.reader, heard)
    report = sources.journal.told(request, run) if sources.journal else run()
    if said.as_json:
        emit_json(report.to_json())
    else:
        print_report(report)
    return 0


@dataclass(frozen=True)
class _Said:
    """What was typed."""

    into: str
    vault: str
    at: str
    point: str
    note: str
    plan_only: bool
    yes: bool
    with_globals: bool
    into_password_file: str
    urls: tuple[str, ...]
    identities: tuple[str, ...]
    passphrase_file: str
    trust: tuple[str, ...]
    accept_unsigned: str
    with_options: tuple[str, ...]
    name: str
    terraform: str
    allow_commands: bool
    report: tuple[str, ...]
    as_json: bool

    @classmethod
    def of(cls, options: Mapping[str, object]) -> _Said:
        """The options; reserved ones are refused, not ignored."""
        given = dict(options)
        return cls(**{key: "" if value is None else value for key, value in given.items()})  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Sources:
    """What a restore reads from: open stores by name, the keys, the engine of the target; where its progress shows."""

    stores: Mapping[str, ObjectStore]
    reader: Reader
    engine: Engine
    site: str
    line: ProgressLine
    locks: Locks | None = None
    journal: RestoreJournal | None = None


def _into_region(config: str | None, application: str, resources: tuple[str, ...], said: _Said) -> int:
    """Snapshots into a region: the vaults' records and that region's own listing are all that is asked."""
    from drorch.cli import region_sources, restore_region
    from drorch.cli.typed import instant
    from drorch.domain.errors import Usage

    if said.with_globals or said.accept_unsigned:
        raise Usage("--globals and --accept-unsigned are for one dump")
    if len(resources) != 1 and said.point:
        raise Usage("--point is for one resource", hint="name it")
    found = region_sources.break_glass if said.urls else region_sources.configured
    request = region_sources.Asked(
        application=application,
        resources=resources,
        region=restore_region.region_of(said.into),
        vault=said.vault,
        at=instant(said.at, "--at") if said.at else None,
        point=said.point,
        note=said.note,
        name=said.name,
        urls=said.urls,
        trust=said.trust,
        options=said.with_options,
        terraform=said.terraform,
        plan_only=said.plan_only,
        asks=_asks(said),
        as_json=said.as_json,
        allow_commands=said.allow_commands,
        identities=said.identities,
        passphrase_file=said.passphrase_file,
        into_password_file=said.into_password_file,
        report=said.report,
    )
    return restore_region.bring_back(request, found(config, request))


def _break_glass(said: _Said) -> _Sources:
    """No configuration, cache, policy or daemon: vault URLs, identities and trusted keys from the command line."""
    from drorch.app.clock import SystemClock
    from drorch.cli.opening import require_trust, store_at
    from drorch.cli.restore_reports import unsigned_reports
    from drorch.cli.screen import ProgressLine
    from drorch.cli.typed import trusted_key
    from drorch.domain.errors import Usage
    from drorch.wiring import adapters

    require_trust(said.trust)
    if not said.identities:
        raise Usage("--vault-url needs --identity", hint="the age identity file that opens the dumps")
    stores = {url: store_at(url) for url in said.urls}
    line = ProgressLine(quiet=said.as_json)
    reader = _reader([trusted_key(text) for text in said.trust], _identities(said), SystemClock(), line)
    engine = adapters.build_engine(adapters.engine_of_target(said.into))
    journal = unsigned_reports(stores, reader.clock, said.report)
    return _Sources(stores, reader, engine, "", line, journal=journal)


def _configured(config: str | None, said: _Said) -> _Sources:
    from drorch.cli.opening import locks_of, stores_of, the_host
    from drorch.cli.passphrase import from_person
    from drorch.cli.restore_reports import signed_journal
    from drorch.cli.screen import ProgressLine
    from drorch.cli.typed import trusted_key
    from drorch.wiring import adapters

    host = the_host(config)
    host.ask = from_person(said.passphrase_file)
    stores = stores_of(host, said.vault)
    trusted = [trusted_key(text) for text in said.trust] or list(host.trusted)
    # A plan opens no dump, so it needs no identity, and none that is out of reach keeps it from being shown.
    identities = _identities(said) if said.identities or said.plan_only else host.identities()
    tools = {name: list(folders) for name, folders in host.config.tools.items()}
    engine = adapters.build_engine(adapters.engine_of_target(said.into), tools)
    line = ProgressLine(quiet=said.as_json)
    reader = _reader(trusted, identities, host.clock, line)
    journal = signed_journal(host, said.report)
    return _Sources(stores, reader, engine, host.config.site, line, locks_of(host), journal)


def _reader(trusted: list[TrustedKey], identities: tuple[str, ...], clock: Clock, line: ProgressLine) -> Reader:
    from drorch.app.loading import Reader
    from drorch.cli.screen import progress_words

    def show(progress: Progress) -> None:
        if progress.total and progress.done >= progress.total:
            line.end()
        else:
            line.show(progress_words(progress.to_json()))

    return Reader(keys=trusted, identities=identities, clock=clock, sink=show)


def _request(application: str, resources: tuple[str, ...], said: _Said, site: str) -> RestoreRequest:
    from drorch.app.restore import RestoreRequest
    from drorch.cli.passphrase import secret_file
    from drorch.cli.typed import instant

    return RestoreRequest(
        application=application,
        into=said.into,
        resource=resources[0] if resources else "",
        vault=said.vault,
        at=instant(said.at, "--at") if said.at else None,
        point=said.point,
        note=said.note,
        accept_unsigned=said.accept_unsigned,
        with_globals=said.with_globals,
        site=site,
        password=secret_file(said.into_password_file) if said.into_password_file else None,
    )


def _identities(said: _Said) -> tuple[str, ...]:
    from drorch.cli.passphrase import identities_in

    return tuple(found for name in said.identities for found in identities_in(name, said.passphrase_file))


def _asks(said: _Said) -> bool:
    return not (said.yes or said.as_json) and sys.stdin.isatty() and sys.stderr.isatty()


def _tell_step(line: ProgressLine, step: Step) -> None:
    """A line as each step ends."""
    from drorch.cli.screen import tell

    line.end()
    took = "" if step.took_s is None else f"{step.took_s} s"
    tell(f"{step.outcome or 'done':>7}  {step.step:<9}{took:>6}  {step.detail}")


def print_plan(planned: RestorePlan) -> None:
    """What a restore would do, for people."""
    from drorch.cli.screen import prose, say, table, tell, when

    choice = planned.choice
    say(
        f"{choice.point.application}/{choice.point.resource}: point {choice.point.id} from {choice.vaults[0]}",
        bold=True,
    )
    say(f"data as of {when(choice.cut_at)} UTC")
    for newer in choice.newer:
        tell(f"newer: {newer.point}, data as of {when(newer.cut_at)}: {newer.why}", color="yellow")
    for note in choice.notes:
        tell(f"note: {prose(note)}", color="yellow")
    rows = [(s.step, "" if s.estimate_s is None else f"about {s.estimate_s} s", s.detail) for s in planned.steps]
    table(("STEP", "TAKES", ""), rows)
    if all(s.estimate_s is None for s in planned.steps):
        say("how long loading takes is not known: no drill has measured it")


def print_report(report: RestoreReport) -> None:
    """What was restored, what is lost, what remains to do by hand."""
    from datetime import timedelta

    from drorch.cli.screen import age, prose, say, size, tell, when

    say(f"restored {report.application}/{report.resource} from {report.vault}", color="green", bold=True)
    lost = age(timedelta(seconds=report.data_loss_s))
    say(f"data as of {when(report.cut_at)} UTC ({lost} ago), point {report.point}, {size(report.bytes)}")
    for newer in report.newer:
        tell(f"a newer point exists: {newer.point}, data as of {when(newer.cut_at)}: {newer.why}", color="yellow")
    for note in report.notes:
        tell(f"note: {prose(note)}", color="yellow")
