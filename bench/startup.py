"""How long a command takes until it says something, and whether it imports an SDK for that."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.measure import measure, write_json

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
    told: dict[str, object] = {"cores": os.cpu_count()}
    wrong = False
    for words in COMMANDS:
        walls = [measure([sys.executable, "-m", "drorch", *words]).wall for _ in range(options.rounds + 1)][1:]
        middle, name = statistics.median(walls), " ".join(("drorch", *words))
        sdks = _imported(words)
        wrong = wrong or bool(sdks)
        verdict = "reached" if middle <= REACH else f"NOT reached, by {middle - REACH:.2f} s"
        sys.stdout.write(
            f"{name:22} {middle:.2f} s ({min(walls):.2f}-{max(walls):.2f}), to reach {REACH}: {verdict}; "
            f"SDKs imported: {sdks or 'none'}\n"
        )
        told[name] = {"wall": walls, "median": middle, "sdks": sdks}
    write_json(options.json, told)
    return 1 if wrong else 0


def _imported(words: Sequence[str]) -> str:
    """The SDKs that a command has imported when it is done."""
    program = _IMPORTED.format(words=list(words), sdks=_SDKS)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return done.stderr.strip()


if __name__ == "__main__":
    sys.exit(main())
