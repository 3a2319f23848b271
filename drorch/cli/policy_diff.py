"""``drorch policy diff``: what a change of policies does, for who reviews it. No secret, no network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drorch.cli.screen import GREEN, RED, YELLOW, emit_json, prose, say, say_prose, size, table, tell

if TYPE_CHECKING:
    from datetime import datetime

    from drorch.app.config import Config
    from drorch.domain.errors import Finding
    from drorch.domain.policy import Policy
    from drorch.domain.policy_changes import Change
    from drorch.domain.policy_diff import Calls, PolicyDiff
    from drorch.domain.policy_figures import Figures, Held
    from drorch.domain.vocabulary import Vocabulary

_MISSED = 5
_REFUSED = 3


@click.command(short_help="What a change of policies does: coverage, promises, points, calls.")
@click.argument("old", type=click.Path(exists=True, path_type=Path))
@click.argument("new", type=click.Path(exists=True, path_type=Path))
@click.option("--check", is_flag=True, help="Exit 5 when a level is covered no longer or a promise is loosened.")
@click.option("--points", is_flag=True, help="Count the points that lie in vaults, by the cache; refused without one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def diff(config: str | None, old: Path, new: Path, check: bool, points: bool, as_json: bool) -> int:
    """What comes with NEW in the place of OLD: policy files or folders, such as two checkouts of a repository.

    Risky changes stand first. Points that lie in vaults are counted where this host's cache can be read.
    """
    from drorch.app.clock import SystemClock
    from drorch.cli.policy import configuration, vocabulary_for
    from drorch.domain.cadence import Ground
    from drorch.domain.errors import Usage
    from drorch.domain.policy_diff import diff as compared

    if old.is_dir() != new.is_dir():
        raise Usage("a file and a folder cannot be compared", hint="two files, or two folders")
    loaded, now = configuration(config), SystemClock().now()
    words = vocabulary_for(loaded)
    if loaded is None:
        tell("no host configuration: every vault is taken to survive everything, defaults and locks are not known")
    before, wrong = _policies(old, words, may_be_empty=True)
    after, more = _policies(new, words)
    if findings := [*wrong, *more]:
        return _refused(findings, as_json=as_json)
    held = _held(loaded, before, after, now, wanted=points)
    found = compared(before, after, Ground(words.vaults, words.locks), now, held)
    if as_json:
        emit_json({"old": str(old), "new": str(new), **diff_json(found, counted=held is not None)})
    else:
        print_diff(found, counted=held is not None)
    return _MISSED if check and found.loosened else 0


def _policies(place: Path, words: Vocabulary, *, may_be_empty: bool = False) -> tuple[list[Policy], list[Finding]]:
    from drorch.cli.policy import read

    if may_be_empty and place.is_dir() and not any(place.glob("*.y*ml")):
        return [], []  # the first policies of a repository
    return read((place,), words)


def _refused(findings: Sequence[Finding], *, as_json: bool) -> int:
    from drorch.cli.policy import findings_json

    if as_json:
        emit_json({"valid": False, "findings": findings_json(findings)})
    else:
        for finding in findings:
            tell(str(finding))
        tell("only valid policies can be compared", color=RED)
    return _REFUSED


def _held(
    loaded: Config | None, old: Iterable[Policy], new: Iterable[Policy], now: datetime, *, wanted: bool
) -> Held | None:
    """What lies in vaults by this host's cache; None where that cannot be read, unless it is wanted."""
    from drorch.app.remembered import remembered
    from drorch.domain.errors import Unavailable, Usage
    from drorch.domain.model import Vault

    if loaded is None:
        if wanted:
            raise Usage("--points needs a host configuration", hint="it says where the cache is")
        return None
    vaults = {name: Vault(name, vault.domain) for name, vault in loaded.vaults.items()}
    try:
        return remembered(loaded.state, loaded.site, vaults, old, new, now)
    except Unavailable:
        if wanted:
            raise
        return None


# --- for scripts ---------------------------------------------------------------------------------------------------


def diff_json(found: PolicyDiff, *, counted: bool) -> dict[str, object]:
    """The stable fields; `counted` says that the points in vaults are known."""
    return {
        "valid": True,
        "loosened": found.loosened,
        "points_counted": counted,
        "coverage": {"lost": _covered_json(found.lost), "gained": _covered_json(found.gained)},
        "changes": [change.to_json() for change in found.changes],
        "applications": [
            {
                "application": each.application,
                "fate": each.fate.value,
                "formerly": each.formerly or None,
                "calls_per_day": {"before": each.calls_before.to_json(), "after": each.calls_after.to_json()},
                "vaults": [figures.to_json() for figures in each.figures],
            }
            for each in found.applications
        ],
        "totals": _totals_json(found),
    }


def _covered_json(covered: Iterable[tuple[str, str, object]]) -> list[dict[str, str]]:
    names = ("application", "dataset", "level")
    return [dict(zip(names, map(str, entry), strict=True)) for entry in sorted(covered, key=str)]


def _totals_json(found: PolicyDiff) -> dict[str, object]:
    """Of the applications that differ. Bytes are those of the rows that know theirs."""
    rows, (before, after) = _rows(found), _calls(found)
    return {
        "calls_per_day": {"before": before.to_json(), "after": after.to_json()},
        "points": {
            "before": sum(row.points_before or 0 for row in rows),
            "after": sum(row.points_after or 0 for row in rows),
        },
        "would_expire": sum(row.would_expire for row in rows),
        "held_would_expire": sum(row.held_would_expire or 0 for row in rows) if any(_counted(rows)) else None,
        "bytes": {"before": _sum(row.bytes_before for row in rows), "after": _sum(row.bytes_after for row in rows)},
    }


def _rows(found: PolicyDiff) -> list[Figures]:
    return [figures for each in found.applications for figures in each.figures]


def _counted(rows: Iterable[Figures]) -> Iterator[bool]:
    return (row.held is not None for row in rows)


def _calls(found: PolicyDiff) -> tuple[Calls, Calls]:
    from drorch.domain.policy_diff import Calls

    before = sum((each.calls_before for each in found.applications), Calls())
    return before, sum((each.calls_after for each in found.applications), Calls())


def _sum(sizes: Iterable[int | None]) -> int | None:
    known = [each for each in sizes if each is not None]
    return sum(known) if known else None


# --- for people ----------------------------------------------------------------------------------------------------


def print_diff(found: PolicyDiff, *, counted: bool) -> None:
    """The risky changes, the others, and what they cost."""
    changes = found.changes
    if not changes:
        say("nothing differs", color=GREEN)
        return
    table(("WHERE", "CHANGE", "WHAT"), [_row(change) for change in changes])
    rows = [row for row in _rows(found) if _differs(row)]
    if rows:
        say()
        say("In steady state" + (", and in the vaults now" if counted else ""), bold=True)
        heads, cells = _figures_table(rows, counted=counted)
        table(heads, cells, right=frozenset(range(2, len(heads) - 1)))
    say()
    for line in _closing(found):
        say_prose(line)
    risky = sum(change.risky for change in changes)
    summary = (
        f"{_many(len(changes), 'change')}, {risky} risky" if risky else f"{_many(len(changes), 'change')}, none risky"
    )
    say(summary + ("; a level is covered no longer, or a promise is loosened" if found.loosened else ""), bold=True)


def _row(change: Change) -> tuple[str, str, str]:
    color = RED if change.loosened else YELLOW if change.risky else None
    return change.where, click.style(change.kind, fg=color, bold=change.risky), prose(change.text)


def _differs(row: Figures) -> bool:
    same = (row.points_before, row.per_day_before) == (row.points_after, row.per_day_after)
    return not same or bool(row.would_expire or row.held_would_expire)


def _figures_table(rows: Sequence[Figures], *, counted: bool) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    heads: tuple[str, ...] = (
        "RESOURCE",
        "VAULT",
        "A DAY\nBEFORE",
        "\nAFTER",
        "POINTS\nBEFORE",
        "\nAFTER",
        "WOULD\nEXPIRE",
    )
    heads += ("LIE\nTHERE", "WOULD\nEXPIRE", "STORED\nBEFORE", "\nAFTER") if counted else ()
    return (*heads, ""), [(*_cells(row, counted=counted), "kept, nothing new" if row.left else "") for row in rows]


def _cells(row: Figures, *, counted: bool) -> tuple[str, ...]:
    cells: tuple[str, ...] = (
        f"{row.application}/{row.resource}",
        row.vault,
        _number(row.per_day_before),
        _number(row.per_day_after),
        _count(row.points_before),
        _count(row.points_after),
        _count(row.would_expire or None),
    )
    if counted:
        cells += (
            _count(row.held),
            _count(row.held_would_expire or None),
            size(row.bytes_before),
            size(row.bytes_after),
        )
    return cells


def _closing(found: PolicyDiff) -> Iterator[str]:
    before, after = _calls(found)
    calls = (
        ("cuts", before.cuts, after.cuts),
        ("copies", before.copies, after.copies),
        ("uploads", before.uploads, after.uploads),
    )
    told = [f"{_number(was)} {name} become {_number(now)}" for name, was, now in calls if round(was - now, 2)]
    if told:
        yield f"a day: {', '.join(told)}"
    rows = _rows(found)
    stored, then = _sum(row.bytes_before for row in rows), _sum(row.bytes_after for row in rows)
    if stored is not None or then is not None:
        yield f"stored in steady state, as far as sizes are known: {size(stored or 0)} become {size(then or 0)}"
    if any(row.would_expire or row.held_would_expire for row in rows):
        yield "nothing expires at once: marked first, then the grace, and the brake counts"


def _count(number: int | None) -> str:
    """`-` for none; counting ends at 1000."""
    from drorch.domain.snapshot_quota import MOST

    if number is None:
        return "-"
    return f"{MOST}+" if number >= MOST else str(number)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
