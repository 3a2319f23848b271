"""``drorch doctor``: everything that the policies need, asked whether it would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from drorch.app.doctor import Finding
    from drorch.domain.policy import Policy
    from drorch.wiring.host import Host


@click.command(short_help="Ask everything that the policies need whether it would do.")
@click.argument("applications", nargs=-1, metavar="[APP]...")
@click.option("--lose", metavar="region:R", help="Ask instead whether the regions that copies lie in could take over.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def doctor(config: str | None, applications: tuple[str, ...], lose: str | None, as_json: bool) -> int:
    """Ask accounts, rights, keys, clocks, vaults, database servers, files and quotas whether they would do.

    Nothing is changed: what makes something is asked by a dry run where EC2 offers one, and what cannot be asked
    without doing it is named. Every check has half a minute. Exit 3 when something failed, 4 when something could not
    be checked.
    """
    from drorch.app.doctor import examine, exit_code
    from drorch.cli.opening import the_host
    from drorch.cli.screen import emit_json
    from drorch.wiring import doctor as asked
    from drorch.wiring import doctor_lost

    host = the_host(config)
    asked.make_impatient(host)
    policies = _policies(host, applications)
    if lose is None:
        checks = asked.checks(host, policies)
    else:
        checks = doctor_lost.checks(host, policies, doctor_lost.lost_region(lose, policies))
    findings = examine(checks)
    if as_json:
        emit_json({"ok": exit_code(findings) == 0, "checks": [_body(finding) for finding in findings]})
    else:
        _show(findings)
    return exit_code(findings)


def _policies(host: Host, applications: tuple[str, ...]) -> list[Policy]:
    """Those named, all without names. NotFound for a name that is none's; invalid files are told and left out."""
    from drorch.app.policies import PolicyFolder
    from drorch.cli.screen import YELLOW, tell
    from drorch.domain.errors import NotFound

    loaded = PolicyFolder(host.config.policies, host.vocabulary).load({})
    for finding in loaded.findings:
        tell(str(finding), color=YELLOW)
    known = {entry.policy.application: entry.policy for entry in loaded.valid}
    for name in applications:
        if name not in known:
            raise NotFound(f"there is no application {name!r}", hint=f"there are: {', '.join(sorted(known)) or 'none'}")
    return [known[name] for name in dict.fromkeys(applications or sorted(known))]


def _body(finding: Finding) -> dict[str, object]:
    answer = finding.answer
    return {
        "area": finding.area,
        "subject": finding.subject,
        "verdict": answer.verdict.value,
        "said": answer.said or None,
        "hint": answer.hint or None,
    }


def _show(findings: tuple[Finding, ...]) -> None:
    from drorch.app.doctor import Verdict
    from drorch.cli.screen import GREEN, RED, YELLOW, say, table

    colors = {Verdict.OK: GREEN, Verdict.WARNING: YELLOW, Verdict.FAILED: RED, Verdict.UNKNOWN: YELLOW}

    def row(finding: Finding) -> tuple[str, ...]:
        answer = finding.answer
        words = f"{answer.said} (hint: {answer.hint})" if answer.hint else answer.said
        shown = click.style(answer.verdict.value, fg=colors[answer.verdict])
        return finding.area, finding.subject, shown, words

    table(("AREA", "WHAT", "", ""), [row(finding) for finding in findings])
    counts = {verdict: sum(finding.answer.verdict is verdict for finding in findings) for verdict in Verdict}
    said = ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count)
    say(said or "there is nothing to check", color=RED if counts[Verdict.FAILED] else None)
