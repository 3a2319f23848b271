"""What adapters say for RESTORE.md: the stock programs of a store and of an engine, as commands for a POSIX shell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from shlex import quote

from drorch.domain.record import Record

FOLDER, INTO = "{folder}", "{into}"
"""Stand in a store's commands for a folder of the vault (with a slash at its end) and for the local one."""


@dataclass(frozen=True, slots=True)
class StockTool:
    """A program that reads a store. `listing` shows what a folder holds, `fetch` brings it whole; `needs` says what
    must be set before, in one sentence.
    """

    program: str
    listing: str
    fetch: str
    needs: str = ""

    def list_of(self, folder: str) -> str:
        """The command that lists a folder (shell text, variables allowed)."""
        return self.listing.replace(FOLDER, folder)

    def fetch_of(self, folder: str, into: str) -> str:
        """The command that brings all objects of a folder into a local folder that is there."""
        return self.fetch.replace(FOLDER, folder).replace(INTO, into)


def base(prefix: str) -> str:
    """The prefix of a vault as a literal that a command's folder may follow: quoted where a shell needs it."""
    return quote(f"{prefix}/") if prefix else ""


@dataclass(frozen=True, slots=True)
class EngineWords:
    """What an engine says of its dumps: the programs that load one, and a section of Markdown for the dumps given.

    Commands stand in fenced blocks ``bash NAME``. They may use the variables and the function `opened` that
    `drorch.app.restore_guide` sets before.
    """

    programs: tuple[str, ...]
    section: Callable[[Sequence[Record]], str]


def newest_version(dumps: Sequence[Record], fact: str) -> str:
    """The highest version among the facts of dumps, by its numbers; "" when none says one."""
    found = {plain(str(dump.body.get(fact, ""))) for dump in dumps}
    return max(found, key=lambda text: ([int(n) for n in _numbers(text)], text), default="")


def _numbers(text: str) -> list[str]:
    words = "".join(letter if letter.isdecimal() and letter.isascii() else " " for letter in text).split()
    return words[:3]


def plain(text: str) -> str:
    """A word of a foreign server as it may stand in a table: on one line, without the signs of Markdown."""
    shown = "".join(letter if letter.isprintable() and letter not in "|`<>" else " " for letter in text)
    return " ".join(shown.split())[:80]
