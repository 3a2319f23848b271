"""``drorch status``: attained against promised, per failure level."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import click

from drorch.cli.screen import GREEN, RED, YELLOW, age, prose, say, say_prose, table, when

if TYPE_CHECKING:
    from drorch.app.passing import Pass
    from drorch.domain.audit import AuditsSeen
    from drorch.domain.automated import Automated
    from drorch.domain.objective import ApplicationStatus, Standing

_HEADERS = ("LEVEL", "RPO\nPROMISED", "\nATTAINED", "\nVERIFIED", "RTO\nPROMISED", "\nFORECAST", "", "WHY")


@click.command()
@click.argument("applications", nargs=-1, metavar="[APP]...")
@click.option("--check", is_flag=True, help="Exit 5 when an objective is missed.")
@click.option("--strict", is_flag=True, help="As --check, and also when an objective is not known yet.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def status(config: str | None, applications: tuple[str, ...], check: bool, strict: bool, as_json: bool) -> int:
    """Attained against promised RPO and RTO per failure level.

    VERIFIED counts only points that a drill has restored; FORECAST is how long a restore would take now, by the last
    passed drills and today's sizes.
    """
    from drorch.app.report import status_json
    from drorch.cli.opening import the_host
    from drorch.cli.screen import emit_json
    from drorch.cli.selection import chosen, late_promises, tell_about_policies, tell_late, tell_unread

    host = the_host(config)
    seen = host.reconciler.look()
    plans = chosen(seen, applications)
    statuses = [plan.status for plan in plans]
    invalid = [entry.application for entry in seen.policies.invalid] if not applications else []
    kept = host.automated.look([plan.policy for plan in plans], seen.at)
    unkept = late_promises(host, plans, seen)
    if as_json:
        known = {plan.policy.application: plan for plan in plans}
        emit_json(status_json(seen.at, known, invalid, kept, unkept, seen.audits))
    else:
        print_status(statuses, seen.at)
        print_automated(kept)
        if seen.audits is not None and not applications:
            say_prose(prose(audits_line(seen.audits)))
        for name in sorted(set(invalid) - seen.plans.keys()):
            say(f"{name}  (its policy file is invalid and never was valid here: nothing is known)", bold=True)
    tell_late(unkept)
    tell_about_policies(seen)
    tell_unread(seen)
    return _verdict(statuses, seen, check=check or strict, strict=strict)


def print_status(statuses: Iterable[ApplicationStatus], now: datetime) -> None:
    """One table per application: its levels, then those of its datasets where there are several; then what growth
    will break.
    """
    from drorch.domain.objective import growing

    for number, application in enumerate(statuses):
        if number:
            say()
        note = "" if application.policy_valid else "  (its policy file is invalid: the last valid text is in force)"
        say(f"{application.application}{note}", bold=True)
        rows: list[tuple[str, ...]] = [_row(str(level), standing) for level, standing in application.levels.items()]
        if len(application.datasets) > 1:
            for dataset in application.datasets:
                told = [_row(f"  {level}", s) for level, s in dataset.levels.items() if _told(s)]
                rows += [(dataset.dataset,), *told] if told else []
        table(_HEADERS, rows, right=frozenset({1, 2, 3, 4, 5}))
        for name, level, why in growing(application, now):
            say_prose(prose(f"{name} at {level}: {why}"), color=YELLOW)


def audits_line(audits: AuditsSeen) -> str:
    """How random audits stand, in a line."""
    newest = audits.newest
    told = "random audits: none yet"
    if newest is not None:
        where = f"{newest.offer.application}/{newest.offer.resource}, point {newest.offer.point} from"
        told = f"random audits: last picked {when(newest.at)} UTC, {where} {newest.offer.vault}"
    due = f"the next is due {when(audits.next_at)} UTC" if audits.next_at else "it is not known when one is due"
    return f"{told}; {due}{f': {audits.why}' if audits.why else ''}"


def print_automated(kept: Mapping[tuple[str, str], Automated]) -> None:
    """What RDS keeps by itself, a line per database, replica and replication; nothing where there is none."""
    if not kept:
        return
    say()
    say("Kept by RDS itself, not counted above: restore does not use it in this version", bold=True)
    for (application, resource), each in kept.items():
        for line, wrong in automated_lines(each):
            say_prose(prose(f"{application}/{resource}: {line}"), color=RED if wrong else None)


def automated_lines(kept: Automated) -> Iterator[tuple[str, bool]]:
    """Lines for people, and whether each says that something is wrong."""
    from drorch.domain.automated import HINT_BROKEN, HINT_STOPPED

    if kept.unseen:
        yield f"could not be seen: {kept.unseen}", False
        return
    protection = f"deletion protection {'on' if kept.protected else 'OFF'}"
    if kept.retention_days:
        yield f"automated backups of {kept.retention_days} d, up to {when(kept.latest)} UTC; {protection}", False
    else:
        yield f"automated backups are OFF; {protection}", False
    for copy in kept.replicated:
        told = copy.why and f"{copy.why}. {HINT_STOPPED}"
        told = told or copy.unseen or f"{copy.status} up to {when(copy.latest)} UTC, {copy.retention_days} d"
        yield f"automated backups in {copy.region}: {told}", bool(copy.why)
    for replica in kept.replicas:
        told = (replica.why and f"{replica.why}. {HINT_BROKEN}") or replica.unseen or replica.status
        yield f"read replica {replica.identifier} in {replica.region}: {told}", bool(replica.why)


def _told(standing: Standing) -> bool:
    return standing.objective is not None or bool(standing.exempt)


def _row(name: str, standing: Standing) -> tuple[str, ...]:
    objective = standing.objective
    return (
        name,
        age(objective.rpo) if objective else "-",
        age(standing.rpo_attained),
        age(standing.rpo_verified),
        age(objective.rto) if objective else "-",
        age(standing.rto_attained),
        _mark(standing),
        f"exempt: {standing.exempt}" if standing.exempt else _why(standing),
    )


def _why(standing: Standing) -> str:
    """Where what is left lies; where a recovery time is promised or known, too, what that is thought by."""
    promised = standing.objective is not None and standing.objective.rto is not None
    if standing.rto_basis and (promised or standing.rto_attained is not None):
        slowest = standing.rto_basis.removeprefix(f"{standing.why.partition(': ')[0]}: ")
        return f"{standing.why}; RTO: {slowest}"
    return standing.why


def _mark(standing: Standing) -> str:
    if standing.exempt:
        return "exempt"
    missed = [name for name, met in (("RPO", standing.rpo_met), ("RTO", standing.rto_met)) if met is False]
    if missed:
        return click.style(f"{'+'.join(missed)} MISSED", fg=RED, bold=True)
    promised = standing.objective
    if promised is None:
        return "no promise"
    unknown = [
        name
        for name, limit, met in (("RPO", promised.rpo, standing.rpo_met), ("RTO", promised.rto, standing.rto_met))
        if limit is not None and met is None
    ]
    if unknown:
        return click.style(f"{'+'.join(unknown)} unknown", fg=YELLOW)
    return click.style("met", fg=GREEN)


def _verdict(statuses: Iterable[ApplicationStatus], seen: Pass, *, check: bool, strict: bool) -> int:
    if not check:
        return 0
    standings = [
        standing
        for application in statuses
        for dataset in application.datasets
        for standing in dataset.levels.values()
        if standing.objective is not None and not standing.exempt
    ]
    missed = any(False in (s.rpo_met, s.rto_met) for s in standings)
    unknown = any(
        (s.objective and s.objective.rpo is not None and s.rpo_met is None)
        or (s.objective and s.objective.rto is not None and s.rto_met is None)
        for s in standings
    )
    if missed or (strict and (unknown or seen.policies.invalid)):
        return 5
    return 0
