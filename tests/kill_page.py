"""docs/kills.md: where commands that bring back, and workers that drill, are killed. As a program it writes the page.

``PYTHONPATH=tests:. python tests/kill_page.py``
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kill_region import RESOURCES
from kill_rows import DRILLS, RESTORES, Death, drill_deaths, of_restore, of_step
from killing_cloud import DONE

from drorch.domain.runbook import WORDS

PAGE = Path(__file__).parents[1] / "docs" / "kills.md"
_INTRODUCTION = """# kill -9 while something is brought back

Made by `PYTHONPATH=tests:. python tests/kill_page.py` of the rows that `tests/e2e/test_kill_recovery.py` runs; a test
fails when it is out of date, when a call that changes something has no row, and when a step has none. Each line is
one life on the embedded cloud: a real process is killed at each of its deaths, one after the other, and the same
command is given again; the last is left to end. `asked`: the call has arrived and nothing is done; `done`: it is done
and no reply has come; a name is an instant of the command itself. Dumps, copies, retention: `tests/app/test_kill.py`.
"""
_RESTORES = """
## Restores

`drorch restore APP RESOURCE --into region:NAME`, with the home region lost. At the end: what is there, its tags and
names, the import blocks and the report are those of a restore that nobody disturbed (but for times, and a note that it
goes on); the last command makes nothing.

| kind | comes back as | killed at |
|---|---|---|
"""
_RUNBOOKS = """
## Runbooks

`drorch restore APP --into region:NAME`, in one life over all rows. At the end as above; a command runs once more.

| step | killed at |
|---|---|
"""
_DRILLS = """
## Drills

The worker is killed; the next one clears away what it left and begins anew. At the end nothing is there that a drill
made, and there is one proof. At every call: in memory, `tests/app/test_native_drill.py`.

| kind | killed at |
|---|---|
"""
_BACK_AS = {"data": "volumes, attached", "web": "instance", "jobs": "version of a launch template"}


def page() -> str:
    """The page as it is to be."""
    restores = [f"| {RESOURCES[name]} | {_back_as(name)} | {_words(of_restore(name))} |" for name in RESTORES]
    steps = [f"| {word} | {_words(of_step(word))} |" for word in WORDS]
    drills = [
        f"| {RESOURCES[name]} | {_words(Death(DRILLS[name][number], DONE) for number in drill_deaths(name))} |"
        for name in DRILLS
    ]
    parts = [_INTRODUCTION, _RESTORES, "\n".join(restores), "\n", _RUNBOOKS, "\n".join(steps), "\n", _DRILLS]
    return "".join([*parts, "\n".join(drills), "\n"])


def _back_as(name: str) -> str:
    return _BACK_AS.get(name, "database with its members" if name == "orders" else "database")


def _words(deaths: Iterable[Death]) -> str:
    return ", ".join(f"`{death}`" for death in deaths)


if __name__ == "__main__":
    PAGE.write_text(page())
