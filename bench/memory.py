"""Memory of a dump: the worker and its children, at several sizes, into one to five vaults, one of them slow.

Against itself: what it needs must not depend on how much is dumped. The vaults are folders and the emulators of the
tests (`make test` installs Azurite); what they hold is in this process's memory, or in one of their own.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import boto3

from bench.desk import MIB, Desk, desk
from bench.measure import Figure, Wrong, measure, tell, tell_figures
from drorch.demo.aws import EmbeddedAws
from drorch.demo.gcs import EmbeddedGcs
from tests import azurite, swift_server

SPREAD = 1.10
SLOW_BYTES = 12 * MIB


@dataclass(frozen=True)
class Case:
    """Dumps into `vaults`, whose SDKs are `sdks`, take at most `reach` MiB; one goes through a slow line."""

    name: str
    vaults: tuple[str, ...]
    sdks: int
    reach: int
    slow: bool = False


CASES = (
    Case("one-folder", ("a",), 0, 128),
    Case("three-folders", ("a", "b", "c"), 0, 128),
    Case("s3", ("s3",), 1, 128),
    Case("four-clouds", ("s3", "gcs", "azure", "swift"), 4, 176),
    Case("five-one-slow", ("s3", "gcs", "azure", "swift", "a"), 4, 176, slow=True),
)


Peaks = dict[str, dict[int, list[float]]]
"""MiB by case and size of the dump, one for each round."""


def main(given: Sequence[str] | None = None) -> int:
    """0; 1 when a dump takes more memory than it may, or more the larger it is."""
    parser = argparse.ArgumentParser(prog="bench.memory", description="peak memory of a dump's processes")
    parser.add_argument("--mib", type=int, nargs="+", default=[128, 512], help="about the sizes of the dumps")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(given)
    found: Peaks = {case.name: {mib: [] for mib in options.mib} for case in CASES}
    try:
        for number in range(options.rounds):
            for mib in options.mib:
                with (
                    tempfile.TemporaryDirectory(prefix="drorch-bench-") as folder,
                    desk(Path(folder), mib * MIB) as made,
                ):
                    for name, peak in _of_all(made, mib, f"round {number + 1} of {options.rounds}"):
                        found[name][mib].append(peak)
    except Wrong as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    missed = [case.name for case in CASES if not _kept(case, found[case.name])]
    _tell(found, missed, options.json)
    return 1 if missed else 0


def _tell(found: Peaks, missed: Sequence[str], file: Path | None) -> None:
    figures = [
        Figure(f"{case.name} ({case.sdks} SDKs), {mib} MiB", "MiB", tuple(peaks), case.reach, 0)
        for case in CASES
        for mib, peaks in found[case.name].items()
    ]
    ratios = {
        f"{name}: at {max(sizes)} MiB, of {min(sizes)}": [
            b / a for a, b in zip(sizes[min(sizes)], sizes[max(sizes)], strict=True)
        ]
        for name, sizes in found.items()
    }
    title = f"\npeak memory of the worker and its children; at every size within {SPREAD - 1:.0%}"
    tell_figures(title, figures, ratios, {"missed": list(missed)}, file)
    sys.stdout.write(f"not kept: {', '.join(missed)}\n" if missed else "kept by every case\n")


def _of_all(made: Desk, mib: int, turn: str) -> Iterator[tuple[str, float]]:
    """Name of a case, MiB of its worker and what that started."""
    with EmbeddedAws() as aws, EmbeddedGcs() as gcs, _slow_line(gcs.url) as slow:
        keys = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
        _s3_bucket(aws.endpoint_url, keys)
        gcs.create_bucket("acme-dr")
        swift = swift_server.running()
        made.env.update(swift.environment)
        made.env.update(keys, AWS_ENDPOINT_URL=aws.endpoint_url, PYTHONPATH=_hidden(made.folder))
        made.env.update(STORAGE_EMULATOR_HOST=gcs.url)
        made.env.update(AZURE_STORAGE_CONNECTION_STRING=azurite.connection_string(azurite.port()))
        vaults = {name: made.directory(name) for name in ("a", "b", "c")} | {
            "s3": "type: s3, bucket: acme-dr, account: prod, region: us-west-2",
            "gcs": "type: gcs, bucket: acme-dr, region: europe-west1",
            "azure": f"type: azure, account_name: {azurite.ACCOUNT}, container: {azurite.container()}, region: x",
            "swift": f"type: swift, container: {swift.container()}, provider: rackspace, region: DFW",
        }
        made.furnish(vaults, {case.name: case.vaults for case in CASES})
        for case in CASES:
            tell(f"{turn}: {mib} MiB into {case.name}")
            env = made.env | ({"STORAGE_EMULATOR_HOST": slow} if case.slow else {})
            done = measure(made.drorch("backup", case.name), env=env, of="drorch.worker")
            if not done.mib:
                raise Wrong("no worker was seen")
            yield case.name, done.mib


def _hidden(folder: Path) -> str:
    """A path for Python on which awscrt cannot be imported: the embedded AWS needs it here, drorch itself does not."""
    hidden = folder / "hidden"
    hidden.mkdir()
    (hidden / "awscrt.py").write_text("raise ImportError\n")
    return str(hidden)


def _s3_bucket(endpoint: str, keys: Mapping[str, str]) -> None:
    words = {"region_name": "us-west-2", "endpoint_url": endpoint}
    words |= {name.lower(): value for name, value in keys.items()}
    boto3.client("s3", **words).create_bucket(
        Bucket="acme-dr", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )


def _kept(case: Case, peaks: Mapping[int, Sequence[float]]) -> bool:
    """No dump of any round above what it may take, and by the medians hardly more for a larger one."""
    middle = [statistics.median(values) for values in peaks.values()]
    most = max(value for values in peaks.values() for value in values)
    return most <= case.reach and max(middle) <= min(middle) * SPREAD


@contextmanager
def _slow_line(url: str) -> Iterator[str]:
    """The same service through a line that takes `SLOW_BYTES` a second."""
    address = urlsplit(url)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    server = socket.create_connection((address.hostname, address.port))
                    for pair in ((client, server, SLOW_BYTES), (server, client, 0)):
                        threading.Thread(target=_carry, args=pair, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def _carry(source: socket.socket, target: socket.socket, rate: int) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
            if rate:
                time.sleep(len(data) / rate)
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    sys.exit(main())
