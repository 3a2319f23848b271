"""``drorch demo``: the main job end to end on an embedded cloud."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from drorch.demo.run import Outcome
    from drorch.demo.story import Tone
    from drorch.domain.objective import ApplicationStatus

_EXTRA = frozenset({"moto", "werkzeug", "flask", "flask_cors", "gcp_storage_emulator", "fs", "google", "google_crc32c"})
"""What the extra brings, by the names it is imported by."""


@click.command()
@click.option(
    "--keep", metavar="DIR", type=click.Path(path_type=Path), help="Leave the directory vault and its keys in DIR."
)
@click.option("--json", "as_json", is_flag=True, help="A summary as one JSON document on stdout.")
def demo(keep: Path | None, as_json: bool) -> int:
    """The main job end to end on an embedded cloud and a real PostgreSQL; no account needed.

    A shop is protected by the daemon's own code, loses its home region, then all of AWS, and comes back from a vault
    outside AWS. Exit 0 only if every comparison held. Without --keep nothing is left behind.
    """
    from drorch.cli.screen import emit_json
    from drorch.demo.environment import environment

    with environment({}), contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        outcome = _run(keep)
        _summary(outcome)
    if as_json:
        emit_json(outcome.to_json())
    return outcome.exit_code


def _run(keep: Path | None) -> Outcome:
    from drorch.domain.errors import Refused

    try:
        from drorch.demo.run import run_demo
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise Refused(
            "the demo's parts are not installed", cause=f"no {error.name}", hint='pip install "drorch[demo]"'
        ) from error
    return run_demo(_Screen(), keep)


class _Screen:
    """The stage of people: headers, lines, the table of ``drorch status``."""

    def act(self, title: str) -> None:
        """A header."""
        from drorch.cli.screen import say

        say()
        say(title, bold=True)

    def line(self, text: str, tone: Tone = "") -> None:
        """A line; quiet ones are dim where there are colours."""
        from drorch.cli.screen import GREEN, RED

        click.echo(click.style(text, fg={"good": GREEN, "bad": RED}.get(tone), dim=tone == "quiet" or None))

    def standing(self, statuses: Iterable[ApplicationStatus], at: datetime) -> None:
        """The table, as of `at`."""
        from drorch.cli.screen import say
        from drorch.cli.status import print_status

        say(f"         drorch status, {at:%H:%M:%S} UTC")
        print_status(statuses, at)


def _summary(outcome: Outcome) -> None:
    from drorch.cli.screen import GREEN, RED, say, table

    story = outcome.story
    say()
    table(("ACT", "SECONDS"), [(name, f"{seconds:.1f}") for name, seconds in story.acts], right=frozenset({1}))
    say()
    wrong = [check for check in story.checks if not check.held]
    for check in wrong:
        say(f"DIFFERS: {check.what}{': ' + check.detail if check.detail else ''}", color=RED)
    if wrong:
        say(f"{len(wrong)} of {len(story.checks)} comparisons did not hold", color=RED, bold=True)
    else:
        rows = sum(before.rows for before, _ in outcome.tables.values() if before)
        text = f"every comparison held: {len(story.checks)} of {len(story.checks)}"
        say(f"{text}; {rows:,} rows back from outside AWS; {story.seconds:.0f} s", color=GREEN, bold=True)
    if outcome.kept is not None:
        say(f"kept in {outcome.kept}; look at it with")
        say(f"  drorch --config {outcome.kept / 'drorch.yaml'} points shop")
