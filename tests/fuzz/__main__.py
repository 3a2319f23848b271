"""``python -m tests.fuzz [--rounds N] [--seconds S] [--seed S] [--parser P]``: longer than the test suite does it.

Each parser stops at N inputs or after S seconds. Prints a table; inputs with a new finding are kept among the seeds.
``--plant`` writes the seeds that real writers make, where they are missing; ``--settle`` renames open findings that
are mended.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")


def main() -> int:
    from fuzz.engine import run, table
    from fuzz.parsers import PARSERS

    asked = argparse.ArgumentParser(prog="python -m tests.fuzz")
    asked.add_argument("--rounds", type=int, default=10**9)
    asked.add_argument("--seconds", type=float, default=20.0)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--parser", choices=sorted(PARSERS), action="append")
    asked.add_argument("--plant", action="store_true")
    asked.add_argument("--settle", action="store_true")
    given = asked.parse_args()
    chosen = [PARSERS[name] for name in given.parser or PARSERS]
    if given.plant:
        for parser in chosen:
            parser.folder.mkdir(parents=True, exist_ok=True)
            for name, data in parser.plant().items():
                if not (parser.folder / name).exists():
                    (parser.folder / name).write_bytes(data)
        return 0
    if given.settle:
        for parser in chosen:
            sys.stdout.writelines(f"mended: {parser.name}/{name}\n" for name in parser.settle())
        return 0
    reports = []
    for parser in chosen:
        reports.append(run(parser, given.rounds, given.seed, seconds=given.seconds))
        for finding in reports[-1].findings:
            sys.stderr.write(f"{finding.keep()}\n{finding.text}\n")
    sys.stdout.write(table(reports) + "\n")
    return 1 if any(report.findings for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
