"""A region is lost, then all of AWS, with real databases: every command at a terminal, estimated against measured.

``python -m bench.crisis --record docs/runs`` writes region.md and provider.md there. Ends with 1 when a command ended
otherwise than it should or what came back is not what was there, never because the machine is slow.
"""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import platform
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.crisis.estate import GIB, Estate, settle
from bench.crisis.provider import lose_provider, make_kit
from bench.crisis.record import Record, as_json, asked, table
from bench.crisis.region import live, lose_region
from bench.measure import Wrong, write_json
from drorch.demo import lifetime
from drorch.demo.world import SNAPSHOT_SECONDS, World, open_world

_VOLUME = {False: 6.0, True: 2.0}
"""Seconds that the embedded EC2 takes for a volume or an instance, by whether it is to be quick."""
_ABOUT = """\
One run of `python -m bench.crisis --gb {gb:g}`, recorded {day}; every figure on this page is of this run. The machine \
has {cores} cores, shared with other work (load average {load:.1f} when it began), on which the clouds run, too. AWS \
is moto with drorch's repairs (three regions, a real PostgreSQL behind RDS), Google Cloud Storage an emulator in \
memory. **What the provider does by itself takes the time that was set**: a snapshot {snapshot:g} s, a volume or an \
instance {volume:g} s; EBS volumes hold nothing. What reads, sends, decrypts, loads and copies rows does it really, \
RDS too: each of its snapshots, copies and restores is a copy of the database. Behind a network and a provider every \
figure is another one; what the tables show is whether drorch said beforehand what then came. Paths are shortened; \
nothing else is changed.

| database | on disk | tables | rows | a dump of it |
|---|---|---|---|---|
| orders (PostgreSQL, dumped into S3 and GCS) | {orders} | {orders_tables} | {orders_rows:,} | {dump}, {share:.0%} |
| ledger (RDS instance, snapshots) | {ledger} | {ledger_tables} | {ledger_rows:,} | none |

Most of a GiB is random bytes, which nobody can compress; the rows of the shop are about a sixth of it."""


def main(given: Sequence[str] | None = None) -> int:
    """0; 1 when something came out wrong."""
    parser = argparse.ArgumentParser(prog="bench.crisis", description="a lost region and a lost provider, recorded")
    parser.add_argument("--gb", type=float, default=1.0, help="GiB of each database; 0 is a small shop")
    parser.add_argument("--record", type=Path, help="a folder for region.md and provider.md")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="quick volumes, few drills, no Route 53")
    parser.add_argument("--only", choices=("region", "provider"), help="one of the two losses")
    parser.add_argument("--no-wheels", action="store_true", help="the kit without wheels, which come from an index")
    options = parser.parse_args(given)
    for noisy in ("gcp_storage_emulator", "gcp_storage_emulator.storage"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    try:
        records = _run(options.gb, options.record, options.only, wheels=not options.no_wheels, quick=options.quick)
    except Wrong as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    write_json(options.json, {"gb": options.gb, "cores": os.cpu_count(), "timed": as_json(records)})
    return 0


def _run(gb: float, pages: Path | None, only: str | None, *, wheels: bool, quick: bool) -> list[Record]:
    """Both scenarios or one of them, on one installation; each is told as soon as it is over."""
    load = os.getloadavg()[0]
    with lifetime.quiet_logs(), lifetime.orderly_end(), lifetime.folder() as folder, open_world(folder) as world:
        (folder / "site").mkdir(mode=0o700)
        with _healthy() as health:
            estate = settle(world, folder / "site", int(gb * GIB), health, _VOLUME[quick], quick=quick)
            hidden = _hidden(world, estate, folder)
            region, provider = Record("A region is lost", hidden), Record("The provider is lost", hidden)
            before = Record("", hidden)
            live(estate, before, quick=quick)
            about = _about(gb, estate, _VOLUME[quick], load)
            _begin(region, about, estate, before)
            make_kit(estate, provider, wheels=wheels)
            kit = provider.parts
            provider.parts = []
            if only != "provider":
                lose_region(world, estate, region, folder)
                _tell(region, pages, "region")
        if only == "region":
            return [region]
        provider.say(about)
        provider.say("## Before\n\nAs in [the run of the region](region.md); and while all was well:")
        provider.parts += kit
        lose_provider(world, estate, provider, folder, wheels=wheels)
        _tell(provider, pages, "provider")
        return [provider] if only else [region, provider]


def _tell(record: Record, pages: Path | None, name: str) -> None:
    if pages is not None:
        record.write(pages / f"{name}.md")
    sys.stdout.write(f"\n{record.title}\n{table(record.timed)}\n")
    sys.stdout.flush()


def _begin(region: Record, about: str, estate: Estate, before: Record) -> None:
    policy = (estate.folder / "policies" / "shop.yaml").read_text(encoding="utf-8").rstrip()
    region.say(about)
    region.say(f"## Before\n\nThe policy:\n\n```yaml\n{policy}\n```")
    region.parts += before.parts


def _about(gb: float, estate: Estate, volume: float, load: float) -> str:
    points = asked(estate, "drorch points shop orders")["points"]
    dump = next(copy["bytes"] for copy in points[0]["copies"])
    return _ABOUT.format(
        gb=gb,
        day=f"{datetime.now(UTC):%Y-%m-%d}",
        cores=os.cpu_count(),
        snapshot=SNAPSHOT_SECONDS,
        volume=volume,
        load=load,
        orders=_mib(estate.orders.bytes),
        orders_tables=len(estate.orders.tables),
        orders_rows=estate.orders.rows,
        dump=_mib(dump),
        share=dump / estate.orders.bytes,
        ledger=_mib(estate.ledger.bytes),
        ledger_tables=len(estate.ledger.tables),
        ledger_rows=estate.ledger.rows,
    )


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"


def _hidden(world: World, estate: Estate, folder: Path) -> list[tuple[str, str]]:
    """What a reader has no use for: where this machine has its folders, its names."""
    found = [(f"{estate.folder}/", ""), (str(estate.folder), "."), (f"{folder}/bare/", ""), (f"{folder}/", "/")]
    found += [(str(world.databases.programs), "/usr/lib/postgresql/bin"), (tempfile.gettempdir() + "/", "/tmp/")]  # noqa: S108
    return [*found, *((name, "host") for name in {platform.node()} - {""}), (f"/home/{getpass.getuser()}", "~")]


@contextmanager
def _healthy() -> Iterator[str]:
    """The address of the site that the runbook waits for."""

    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/health"
        server.shutdown()


if __name__ == "__main__":
    sys.exit(main())
