"""The restore stream: a dump read from a vault, verified leaf by leaf, decrypted and decompressed, into nothing.

Against the stock tools, which verify only what age does, and against restic. Both streams are compared once, byte by
byte, before anything is measured.
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
from bench.measure import Claim, Measured, Wrong, as_json, as_table, measure, rounds, tell, write_json

CLAIMS = (Claim("drorch", "age | zstd", 1.0), Claim("drorch", "restic dump", 3.0))

_READ = """\
import sys
from pathlib import Path
from drorch.app.clock import SystemClock
from drorch.app.reading import TrustedKey, open_artefact, read_signed
from drorch.crypto.minisign import PublicKey
from drorch.domain.record import artefacts_of
from drorch.stores import directory
vault, manifest, identity, public = sys.argv[1:]
store = directory.open_store("a", directory.Options(path=vault, provider="onprem", region="a"))
record = read_signed(store, manifest, [TrustedKey(PublicKey.parse(public))])
opened = open_artefact(store, record, artefacts_of(record)[0], [Path(identity).read_text().strip()], SystemClock())
for piece in opened:
    sys.stdout.buffer.write(piece)
"""


def main(given: Sequence[str] | None = None) -> int:
    """0; 1 when a stream is not what was dumped."""
    parser = argparse.ArgumentParser(prog="bench.restore", description="drorch's reading against stock tools")
    parser.add_argument("--mib", type=int, default=512, help="about the size of the dump")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(given)
    with tempfile.TemporaryDirectory(prefix="drorch-bench-") as folder, desk(Path(folder), options.mib * MIB) as made:
        made.furnish({"a": made.directory("a")}, {"one": ("a",)})
        measure(made.drorch("backup", "one"), env=made.env)
        try:
            streams = _streams(made)
            size = _same(streams, made)
            found = rounds({name: _into_nothing(line, made) for name, line in streams.items()}, options.rounds, tell)
        except Wrong as error:
            sys.stderr.write(f"\n{error}\n")
            return 1
    sys.stdout.write(f"\n{size / MIB:.0f} MiB of plain stream, {options.rounds} rounds, {os.cpu_count()} cores\n")
    sys.stdout.write(as_table(found, CLAIMS))
    if "restic dump" not in found:
        sys.stdout.write("restic is not installed: not measured\n")
    write_json(options.json, as_json(found, CLAIMS, {"plain_bytes": size, "cores": os.cpu_count()}))
    return 0


def _streams(made: Desk) -> dict[str, str]:
    """Name -> the shell line whose output is the plain dump."""
    data = made.newest("a", "one")
    manifest = str(data.parent.relative_to(made.folder / "a")).replace("/data/", "/records/", 1) + "/manifest.json"
    public = (made.folder / "minisign.pub").read_text().split()[-1]
    (made.folder / "read.py").write_text(_READ)
    own = f"{sys.executable} {made.folder / 'read.py'} {made.folder / 'a'} {manifest} {made.identity} {public}"
    found = {"age | zstd": f"age -d -i {made.identity} {data} | zstd -dcq", "drorch": own}
    if shutil.which("restic"):
        environment = f"RESTIC_REPOSITORY={made.folder / 'restic'} RESTIC_PASSWORD=bench"
        stored = f"{found['age | zstd']} | {environment} restic -q backup --stdin --stdin-filename dump"
        _out(f"{environment} restic -q init && {stored}", made)
        found["restic dump"] = f"{environment} restic -q dump latest dump"
    return found


def _same(streams: dict[str, str], made: Desk) -> int:
    """Bytes of the stream. Raises Wrong when one differs from another."""
    digests = {name: _out(f"{line} | sha256sum", made) for name, line in streams.items()}
    if len(set(digests.values())) != 1:
        raise Wrong(f"the streams differ: {digests}")
    return int(_out(f"{streams['age | zstd']} | wc -c", made))


def _into_nothing(line: str, made: Desk) -> Callable[[int], Measured]:
    return lambda _round: measure(["bash", "-c", f"set -o pipefail; {line} > /dev/null"], env=made.env)


def _out(line: str, made: Desk) -> str:
    command = ["bash", "-c", f"set -o pipefail; {line}"]
    done = subprocess.run(command, env=made.env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Wrong(f"{line} ended with {done.returncode}: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
