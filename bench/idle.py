"""A daemon with nothing to do: CPU between its ticks, memory, and what a pass costs that finds everything as it was.

A real `drorch run` over a real vault of signed points, all of them fresh, so that nothing is due. Measured from the end
of one pass to the beginning of the next, by the kernel's account of the process.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.installation import install
from bench.measure import Figure, Wrong, tell, tell_figures
from drorch.crypto import age
from drorch.domain import layout
from drorch.domain.instant import to_slot
from drorch.domain.record import RecordType, artefacts_of, compose

REACH_MS, REACH_MIB = 2.0, 60
_TICK = 20
_NAME = "data.pgcustom.zst.age"
_BODY = b"not opened here"
_CONFIG = """\
version: 1
site: bench
policies: policies/
state: state
tick: {tick}s
vaults: {{one: {{type: directory, path: {folder}/one, provider: onprem, region: a}}}}
aws: {{accounts: {{prod: {{id: "123456789012"}}}}}}
encryption: {{recipients: [{recipient}]}}
signing: {{key: {{file: minisign.key}}}}
http: {{listen: "127.0.0.1:{port}"}}
"""
_POLICY = """\
version: 1
application: {name}
home: {{account: prod, region: us-east-1}}
objectives: {{region: {{rpo: 3d, rto: 1d}}}}
resources:
  - {{name: data, kind: postgres, connection: {{host: 127.0.0.1, database: d, user: u}}, schedule: {{every: 1d}},
     vaults: [one], keep: {{daily: {points}}}}}
"""


def main(given: Sequence[str] | None = None) -> int:
    """0; 1 when the daemon does not see every point, or starts something."""
    parser = argparse.ArgumentParser(prog="bench.idle", description="a daemon with nothing to do")
    parser.add_argument("--applications", type=int, default=20)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(given)
    with tempfile.TemporaryDirectory(prefix="drorch-bench-") as name:
        desk = _Desk(Path(name), options.applications, options.points)
        try:
            told = desk.measured(options.passes)
        except Wrong as error:
            sys.stderr.write(f"\n{error}\n")
            return 1
    figures = [
        Figure("CPU between passes", "ms/s", tuple(told["idle_cpu_ms_per_s"]), REACH_MS),
        Figure("resident memory", "MiB", tuple(told["mib"]), REACH_MIB),
        Figure("CPU of a pass", "ms", tuple(told["pass_cpu_ms"])),
    ]
    points = options.applications * options.points
    title = f"\na daemon with {points:,} points, no SDK in use, a pass every {_TICK} s"
    apart = {"a pass costs, of what a tick between passes does": _of_a_tick(told)}
    tell_figures(title, figures, apart, {"points": points, "tick_s": _TICK, "cores": os.cpu_count()}, options.json)
    return 0


def _of_a_tick(told: dict[str, list[float]]) -> list[float]:
    """The kernel counts in hundredths of a second: what it saw nothing of is taken for one of them."""
    least = 10.0 / _TICK
    pairs = zip(told["pass_cpu_ms"], told["idle_cpu_ms_per_s"], strict=True)
    return [of_pass / (max(idle, least) * _TICK) for of_pass, idle in pairs]


class _Desk:
    def __init__(self, folder: Path, applications: int, points: int) -> None:
        self._folder = folder
        self._points = applications * points
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self._now = datetime.now(UTC).replace(microsecond=0)
        self._configure(applications, points)

    def measured(self, passes: int) -> dict[str, list[float]]:
        """CPU ms per second between passes, CPU ms of each pass, resident MiB; one of each per pass."""
        told: dict[str, list[float]] = {"idle_cpu_ms_per_s": [], "pass_cpu_ms": [], "mib": []}
        with self._daemon() as process:
            ended = self._settled(process)
            for number in range(passes):
                tell(f"pass {number + 1} of {passes}")
                time.sleep(1)  # what follows a pass, such as the page of its status, belongs to it
                before, began = _cpu_ms(process.pid), time.monotonic()
                time.sleep(_TICK - 6)
                idle = _cpu_ms(process.pid)
                told["idle_cpu_ms_per_s"].append((idle - before) / (time.monotonic() - began))
                ended = self._await_pass(process, ended)
                time.sleep(1)
                told["pass_cpu_ms"].append(_cpu_ms(process.pid) - idle)
                told["mib"].append(_resident_mib(process.pid))
        return told

    @contextmanager
    def _daemon(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "drorch", "--config", str(self._folder / "drorch.yaml"), "run"]
        log = (self._folder / "log").open("wb")
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            log.close()

    def _await_pass(self, process: subprocess.Popen[bytes], after: float) -> float:
        """When the next pass ended, by the daemon's own metric."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            if process.poll() is not None:
                raise Wrong(f"the daemon ended: {(self._folder / 'log').read_text()[-2000:]}")
            found = self._metrics().get("drorch_pass_last_end_timestamp_seconds", 0.0)
            if found > after:
                return found
            time.sleep(0.5)
        raise Wrong(f"no pass ended: {(self._folder / 'log').read_text()[-2000:]}")

    def _settled(self, process: subprocess.Popen[bytes]) -> float:
        """When a pass ended in which nothing was done: the first ones read the day's share of the vault."""
        ended = self._await_pass(process, 0.0)
        self._check()
        for _ in range(20):
            before = self._actions()
            tell(f"{before:.0f} actions done, waiting until there are none")
            ended = self._await_pass(process, ended)
            if self._actions() == before:
                return ended
        raise Wrong("it does not come to rest")

    def _actions(self) -> float:
        return sum(value for name, value in self._metrics().items() if name.startswith("drorch_actions_total"))

    def _check(self) -> None:
        """It sees every point, and has nothing to do."""
        metrics = self._metrics()
        usable = sum(v for k, v in metrics.items() if k.startswith("drorch_points{") and 'state="usable"' in k)
        if usable != self._points:
            raise Wrong(f"it sees {usable} usable points of {self._points}")

    def _metrics(self) -> dict[str, float]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as reply:
                lines = reply.read().decode().splitlines()
        except OSError:
            return {}
        return {name: float(value) for name, _, value in (x.rpartition(" ") for x in lines if x and x[0] != "#")}

    # --- what it watches over ---

    def _configure(self, applications: int, points: int) -> None:
        folder, names = self._folder, [f"app-{number:03}" for number in range(applications)]
        text = _CONFIG.format(folder=folder, recipient=age.new_identity()[1], port=self._port, tick=_TICK)
        self._key = install(folder, text, {name: _POLICY.format(name=name, points=points) for name in names})
        (folder / "one").mkdir()
        command = [sys.executable, "-m", "drorch", "--config", str(folder / "drorch.yaml"), "vault", "init", "one"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for name in names:
            for n in range(points):
                self._write_point(name, n)

    def _write_point(self, application: str, number: int) -> None:
        midnight = self._now.replace(hour=0, minute=0, second=0) - timedelta(days=number)
        cut_at = max(midnight, self._now - timedelta(minutes=1)) if not number else midnight + timedelta(minutes=1)
        point = hashlib.sha256(f"{application} {number}".encode()).hexdigest()[:20]
        leaves = hashlib.sha256(_BODY).digest()
        volume = {"object": _NAME, "bytes": len(_BODY), "sha256": leaves.hex()}
        artefact = {"name": _NAME, "bytes": len(_BODY), "header_bytes": 1, "leaf_bytes": 1 << 20, "volumes": [volume]}
        record = compose(
            RecordType.MANIFEST,
            site="bench",
            at=cut_at,
            application=application,
            resource="data",
            point=point,
            cut_at=cut_at,
            kind="postgres",
            slot=to_slot(midnight),
            totals={"tables": 1, "rows": 1, "cipher_bytes": len(_BODY), "uncounted": 0},
            artefacts=[artefact | {"leaves_sha256": hashlib.sha256(leaves).hexdigest()}],
        )
        data = layout.data_folder(application, "data", cut_at, point)
        objects = {
            data + _NAME: _BODY,
            data + _NAME + layout.LEAVES: leaves[: artefacts_of(record)[0].leaves_bytes],
            record.path: record.data,
            record.path + layout.SIGNATURE: self._key.sign(record.data, record.comment),
        }
        for path, body in objects.items():
            file = self._folder / "one" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
            os.utime(file, (cut_at.timestamp(), cut_at.timestamp()))


def _cpu_ms(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> float:
    fields = Path(f"/proc/{pid}/status").read_text().split()
    return int(fields[fields.index("VmRSS:") + 1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
