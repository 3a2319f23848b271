"""A backup by drorch against what people write in a shell, and against restic: the same dump of a real PostgreSQL.

What drorch does besides is within its time: its start, the look at its vaults, the inventory's row counts, digests of
leaves, signatures. Every backup is opened with the stock `age` and `zstd` and compared, statement by statement.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.desk import MIB, Desk, desk
from bench.measure import Claim, Contestants, Measured, Wrong, as_json, as_table, measure, rounds, tell, write_json

_VAULTS = ("a", "b", "c")
CLAIMS = (
    Claim("drorch, one vault", "shell, one file", 1.0),
    Claim("drorch, three vaults", "shell, three files", 1.0),
    Claim("drorch, three vaults", "shell, one file", 0.95),
    Claim("drorch, one vault", "restic", 1.7),
)


def main(given: Sequence[str] | None = None) -> int:
    """0; 1 when a backup is not what was in the database."""
    parser = argparse.ArgumentParser(prog="bench.backup", description="drorch against a shell and restic")
    parser.add_argument("--mib", type=int, default=256, help="about the size of the dump")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(given)
    with tempfile.TemporaryDirectory(prefix="drorch-bench-") as folder, desk(Path(folder), options.mib * MIB) as made:
        vaults = {name: made.directory(name) for name in _VAULTS}
        made.furnish(vaults, {"one": _VAULTS[:1], "three": _VAULTS})
        race = _Race(made)
        try:
            found = rounds(race.contestants(), options.rounds, tell)
        except Wrong as error:
            sys.stderr.write(f"\n{error}\n")
            return 1
    facts = {"dump_bytes": race.plain, "rounds": options.rounds, "cores": os.cpu_count()}
    sys.stdout.write(f"\n{race.plain / MIB:.0f} MiB of pg_dump, {options.rounds} rounds, {os.cpu_count()} cores\n")
    sys.stdout.write(as_table(found, CLAIMS))
    if "restic" not in found:
        sys.stdout.write("restic is not installed: not measured\n")
    write_json(options.json, as_json(found, CLAIMS, facts))
    return 0


class _Race:
    def __init__(self, made: Desk) -> None:
        self.desk = made
        self.plain = int(self._out(f"{self._pg_dump()} | wc -c"))
        self._wanted = self._digest(f"{self._pg_dump()} | {self._as_sql()}")

    def contestants(self) -> Contestants:
        found: dict[str, Callable[[int], Measured]] = {
            "shell, one file": lambda n: self._shell(n, 1),
            "drorch, one vault": lambda n: self._drorch(n, "one", _VAULTS[:1]),
            "shell, three files": lambda n: self._shell(n, 3),
            "drorch, three vaults": lambda n: self._drorch(n, "three", _VAULTS),
        }
        if shutil.which("restic"):
            found["restic"] = self._restic
        return found

    def _pg_dump(self) -> str:
        return f"{self.desk.program('pg_dump')} -Fc -Z0 shop"

    def _shell(self, number: int, files: int) -> Measured:
        del number
        names = [self.desk.folder / f"shell-{n}" for n in range(files)]
        last = f"> {names[0]}" if files == 1 else f"| tee {names[0]} {names[1]} > {names[2]}"
        line = f"set -o pipefail; {self._pg_dump()} | zstd -q -3 -T1 | age -r {self.desk.recipient} {last}"
        measured = measure(["bash", "-c", line], env=self.desk.env)
        for name in names:
            self._check(name)
            name.unlink()
        return measured

    def _drorch(self, number: int, application: str, vaults: Sequence[str]) -> Measured:
        del number
        measured = measure(self.desk.drorch("backup", application), env=self.desk.env)
        for vault in vaults:
            self._check(self.desk.newest(vault, application))
        return measured

    def _restic(self, number: int) -> Measured:
        repository = self.desk.folder / "restic"
        env = {**self.desk.env, "RESTIC_REPOSITORY": str(repository), "RESTIC_PASSWORD": "bench"}
        self._out("restic -q init", env)
        line = f"set -o pipefail; {self._pg_dump()} | restic -q backup --stdin --stdin-filename dump"
        measured = measure(["bash", "-c", line], env=env)
        self._compare(f"restic, round {number}", self._digest(f"restic -q dump latest dump | {self._as_sql()}", env))
        shutil.rmtree(repository)
        return measured

    def _check(self, file: Path) -> None:
        opened = f"age -d -i {self.desk.identity} {file} | zstd -dc"
        self._compare(str(file), self._digest(f"{opened} | {self._as_sql()}"))

    def _compare(self, what: str, digest: str) -> None:
        if digest != self._wanted:
            raise Wrong(f"{what} does not hold what is in the database")

    def _as_sql(self) -> str:
        """pg_restore writes a new random word into two of its lines at each run."""
        return f"{self.desk.program('pg_restore')} -f - | grep -av '^.\\(un\\)\\?restrict ' | sha256sum"

    def _digest(self, line: str, env: dict[str, str] | None = None) -> str:
        return self._out(f"set -o pipefail; {line}", env).split()[0]

    def _out(self, line: str, env: dict[str, str] | None = None) -> str:
        command = ["bash", "-c", line]
        done = subprocess.run(command, env=env or self.desk.env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Wrong(f"{line} ended with {done.returncode}: {done.stderr}")
        return done.stdout


if __name__ == "__main__":
    sys.exit(main())
