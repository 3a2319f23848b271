"""``drorch simulate``: what would be left, lost and promised if something were gone now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from drorch.cli.screen import GREEN, RED, YELLOW, age, prose, say, say_prose, table, tell, when

if TYPE_CHECKING:
    from drorch.app.policies import PolicySet
    from drorch.domain.simulation import ApplicationLoss, DatasetLoss, ResourceLoss, Verdict
    from drorch.wiring.host import Host
    from drorch.wiring.simulation import Simulated

_HEADERS = (
    "APPLICATION\nAND DATASET",
    "",
    "DATA\nAS OF",
    "\nLOST",
    "\nPROMISED",
    "RECOVERY\nTAKES",
    "\nPROMISED",
    "LEFT",
)


@click.command(short_help="What would be left if a region, an account, a provider were lost now.")
@click.option(
    "--lose",
    "lose",
    multiple=True,
    required=True,
    metavar="WHAT",
    help="zone:us-east-1a, region:us-east-1, account:prod, provider:aws or tampering. Several are lost together."
    " A level by itself: each application's own home.",
)
@click.argument("applications", nargs=-1, metavar="[APP]...")
@click.option("--offline", is_flag=True, help="Ask nothing at all: answer from what was seen last.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def simulate(
    config: str | None, lose: tuple[str, ...], applications: tuple[str, ...], offline: bool, as_json: bool
) -> int:
    """What would be left, how much data lost and how long until back, against what is promised.

    Nothing that is lost is asked: what is known of it, and of what it keeps us from asking, is what was seen last.
    Changes nothing. Exit 5 when a promise would be broken, 4 when that is not known.
    """
    from drorch.app.simulation import simulation_json
    from drorch.cli.opening import the_host
    from drorch.cli.screen import emit_json
    from drorch.domain.loss import parse_loss
    from drorch.wiring.simulation import simulated

    losses = list(dict.fromkeys(parse_loss(text) for text in lose))
    host = the_host(config)
    policies = _policies(host, applications)
    found = simulated(host, policies, losses, offline=offline)
    known = {entry.policy.application for entry in policies.valid}
    invalid = [e.application or e.file for e in policies.invalid if e.application not in known and not applications]
    if as_json:
        emit_json(simulation_json(losses, found.seen, found.applications, found.closed, invalid))
    else:
        say(f"Lost: {' and '.join(map(str, losses))}, {when(found.seen.at)} UTC", bold=True)
        _print(found.applications)
        for name in invalid:
            say(f"{name}  (its policy file is invalid and never was valid here: nothing is known)", bold=True)
    _tell_what_was_seen(found)
    return _exit_code(found.applications, invalid)


def _policies(host: Host, applications: tuple[str, ...]) -> PolicySet:
    """Those named, all without names; what is wrong with files is told. NotFound for a name that is none's."""
    from drorch.app.simulation import only
    from drorch.domain.errors import NotFound

    loaded = host.policies()
    for finding in loaded.findings:
        tell(str(finding), color=YELLOW)
    known = sorted(entry.policy.application for entry in loaded.valid)
    for name in applications:
        if name not in known:
            never_valid = name in {entry.application for entry in loaded.invalid}
            hint = "its policy is invalid: drorch policy check" if never_valid else f"there are: {', '.join(known)}"
            raise NotFound(f"there is no application {name!r}", hint=hint)
    return only(loaded, applications)


# --- the table -------------------------------------------------------------------------------------------------------


def _print(applications: Iterable[ApplicationLoss]) -> None:
    """Broken promises first, in each verdict what nothing is left of; what is untouched in one line; counts last."""
    from drorch.domain.simulation import BADNESS, Verdict

    every = [(application, dataset) for application in applications for dataset in application.datasets]
    every.sort(key=lambda e: (BADNESS.index(e[1].verdict), not _gone(e[1]), e[0].application, e[1].dataset))
    shown = [entry for entry in every if entry[1].verdict is not Verdict.UNTOUCHED]
    rows = [row for application, dataset in shown for row in _rows(application, dataset)]
    if rows:
        table(_HEADERS, rows, right=frozenset({3, 4, 5, 6}))
    names = [f"{application.application}/{dataset.dataset}" for application, dataset in every[len(shown) :]]
    if names:
        say_prose(prose(f"untouched, nothing of them lies there: {', '.join(names)}"))
    counts = Counter(dataset.verdict for _, dataset in every)
    told = ", ".join(f"{counts[verdict]} {_counted(verdict)}" for verdict in BADNESS if counts[verdict])
    gone = sum(_gone(dataset) for _, dataset in every)
    color = RED if counts[Verdict.MISSED] else YELLOW if gone or counts[Verdict.UNKNOWN] else GREEN
    ending = f"; nothing is left of {gone}" if gone else ""
    say(f"{len(every)} dataset{'' if len(every) == 1 else 's'}: {told or 'none'}{ending}", color=color, bold=True)


def _gone(dataset: DatasetLoss) -> bool:
    """Whether it is known that nothing is left of it."""
    return dataset.data_loss is None and dataset.known


def _rows(application: ApplicationLoss, dataset: DatasetLoss) -> Iterator[tuple[str, ...]]:
    """One of the dataset, and one for each of its resources where they are not the same."""
    members = [each for each in application.resources if each.resource in dataset.resources]
    best = max((m for m in members if m.left), key=lambda m: m.left[0].cut_at, default=members[0])
    alone, lost = dataset.resources == (dataset.dataset,), dataset.fate == "lost"
    words = [f"exempt: {dataset.exempt}"] if dataset.verdict == "exempt" else []
    if alone:
        words.append(_left(best) if lost and best.left else best.why)
    if dataset.recovery_basis and best.left:
        words.append(f"RTO: {dataset.recovery_basis}")
    yield (
        f"{application.application}/{dataset.dataset}",
        _mark(dataset.verdict),
        when(best.left[0].cut_at) if lost and best.left else "-",
        _loss(dataset.data_loss, lost=lost, known=dataset.known),
        age(dataset.rpo),
        age(dataset.recovery),
        age(dataset.rto),
        "; ".join(words),
    )
    if not alone:
        yield from (_row_of(member) for member in members)


def _row_of(member: ResourceLoss) -> tuple[str, ...]:
    lost = member.fate == "lost"
    words = [_left(member) if member.left else member.why] if lost else [member.why]
    words += [f"RTO: {member.recovery.basis}"] if lost and member.recovery.basis else []
    return (
        f"  {member.resource}",
        "" if lost else _spaced(member.fate),
        when(member.left[0].cut_at) if lost and member.left else "-",
        _loss(member.data_loss, lost=lost, known=member.known),
        "-",
        age(member.recovery.took) if lost else "-",
        "-",
        "; ".join(words),
    )


def _loss(span: timedelta | None, *, lost: bool, known: bool) -> str:
    if not lost:
        return "nothing"
    return age(span) if span is not None or not known else click.style("NOTHING LEFT", fg=RED)


def _left(member: ResourceLoss) -> str:
    """The newest point and where it lies; older ones of other vaults by how much older they are."""
    newest = member.left[0]
    told: dict[str, list[str]] = {}
    for each in member.left:
        of = f"point {each.point}" if each.cut_at == newest.cut_at else f"{age(newest.cut_at - each.cut_at)} older"
        told.setdefault(of, []).append(each.vault + (" (as recorded)" if each.recorded else ""))
    return ", ".join(f"{of} in {' and '.join(vaults)}" for of, vaults in told.items())


def _mark(verdict: Verdict) -> str:
    colors = {"missed": RED, "unknown": YELLOW, "unmeasured": YELLOW, "met": GREEN}
    word = "MISSED" if verdict == "missed" else _spaced(verdict)
    return click.style(word, fg=colors[verdict], bold=verdict == "missed") if verdict in colors else word


def _spaced(word: str) -> str:
    return {"unknown": "not known", "unmeasured": "not measured"}.get(word, word.replace("_", " "))


def _counted(verdict: Verdict) -> str:
    """After a number."""
    return {"no_promise": "without a promise", "runs_on": "running on"}.get(verdict, _spaced(verdict))


# --- what was seen ---------------------------------------------------------------------------------------------------


def _tell_what_was_seen(found: Simulated) -> None:
    """What was not asked or did not answer, each cause once, and since when it is known."""
    groups: dict[str, list[str]] = {}
    for name, at in sorted(found.seen.seen.items()):
        why = found.closed.get(name) or found.seen.unread.get(name)
        if why is not None:
            known = "never seen" if at is None else f"as of {when(at)} UTC"
            groups.setdefault(f"{'not asked' if name in found.closed else 'not read'}, {why}", []).append(
                f"{name} ({known})"
            )
    for why, names in groups.items():
        tell(f"{why}: {', '.join(names)}", color=YELLOW)


def _exit_code(applications: Iterable[ApplicationLoss], invalid: list[str]) -> int:
    from drorch.domain.simulation import Verdict

    verdicts = {dataset.verdict for application in applications for dataset in application.datasets}
    if Verdict.UNKNOWN in verdicts:
        return 4
    if invalid:
        return 3
    return 5 if Verdict.MISSED in verdicts else 0
