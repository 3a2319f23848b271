"""How long a command takes until it says something, and whether it imports an SDK for that."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.measure import Figure, measure, tell_figures

COMMANDS = (("--help",), ("restore", "--help"))
REACH = 0.15
_SDKS = ("boto3", "botocore", "google.cloud", "google.auth", "azure", "swiftclient", "psycopg")
_IMPORTED = """\
import sys
from drorch.cli.main import main
sys.argv[1:] = {words!r}
try:
    main({words!r})
except SystemExit:
    pass
sys.stderr.write(" ".join(sorted(name for name in sys.modules if name in {sdks!r})))
"""


def main(given: Sequence[str] | None = None) -> int:
    """0; 1 when a command imports an SDK to tell how it is used."""
    parser = argparse.ArgumentParser(prog="bench.startup", description="start-up of commands")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(given)
    bare = _walls([sys.executable, "-c", ""], options.rounds)
    figures, ratios, facts = [Figure("python", "s", bare, digits=2)], {}, {"cores": os.cpu_count()}
    imported = {}
    for words in COMMANDS:
        name = " ".join(("drorch", *words))
        walls = _walls([sys.executable, "-m", "drorch", *words], options.rounds)
        figures.append(Figure(name, "s", walls, REACH, digits=2))
        ratios[f"{name}, of python alone"] = [own / other for own, other in zip(walls, bare, strict=True)]
        imported[name] = _imported(words)
    wrong = sorted(name for name, sdks in imported.items() if sdks)
    title = f"start-up; an SDK is imported by: {', '.join(wrong) or 'none'}"
    tell_figures(title, figures, ratios, facts | {"sdks": imported}, options.json)
    return 1 if wrong else 0


def _walls(command: Sequence[str], rounds: int) -> tuple[float, ...]:
    """Seconds of each run; a first one does not count."""
    return tuple(measure(command).wall for _ in range(rounds + 1))[1:]


def _imported(words: Sequence[str]) -> str:
    """The SDKs that a command has imported when it is done."""
    program = _IMPORTED.format(words=list(words), sdks=_SDKS)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return done.stderr.strip()


if __name__ == "__main__":
    sys.exit(main())
