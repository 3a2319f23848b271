"""Seeing native snapshots: EC2's, listed by drorch and by boto3 alone, and a whole look at 10,000 of them.

A server of its own hands out pages of DescribeSnapshots as EC2 writes them. First a thousand in one region: CPU of who
asks. Then 10,000 of a hundred applications in three regions: what it costs a host to observe, fold and plan them, at
the first look of a process, and at later ones, a minute apart, between which nothing has changed: what was decided is
remembered then, and what is measured is finding out that it still holds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from bench.installation import NATIVE_CONFIG, install
from bench.measure import Figure, Wrong, tell, tell_figures

ACCOUNT = "123456789012"
HOME, AWAY = "us-east-1", ("us-west-2", "eu-west-1")
SNAPSHOTS = 1000
APPLICATIONS, POINTS = 100, 34
"""The newest point of each is not copied yet: 34 at home and 33 in each of two regions, 10,000 in all."""
REACH_MS, STRETCH_MS = 60.0, 25.0
REACH_PLAN_MS = 1500.0 * APPLICATIONS / 10_000
"""Performance target: 1.5 CPU seconds for 10,000 applications."""
PAGE = 1000

_ITEM = """\
<item><snapshotId>{id}</snapshotId><volumeId>{volume}</volumeId><status>completed</status>\
<startTime>{at}</startTime><progress>100%</progress>\
<ownerId>123456789012</ownerId><volumeSize>100</volumeSize><description>drorch</description><encrypted>false</encrypted>\
<storageTier>standard</storageTier><tagSet>{tags}</tagSet></item>"""
_PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>bench</requestId>\
<{what}>{items}</{what}>{more}</{action}Response>"""
_VOLUME = """\
<item><volumeId>{id}</volumeId><size>100</size><availabilityZone>us-east-1a</availabilityZone><status>available</status>\
<encrypted>false</encrypted><attachmentSet/><tagSet>{tags}</tagSet></item>"""
_IDENTITY = f"""\
<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>\
<Arn>arn:aws:iam::{ACCOUNT}:user/bench</Arn><UserId>bench</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult>\
</GetCallerIdentityResponse>"""
_REGION = re.compile(r"Credential=[^/]+/\d+/([^/]+)/")

_BOTO3 = """\
import boto3
def listed():
    found = []
    for region in REGIONS:
        client = clients.setdefault(region, None) or boto3.client("ec2", region_name=region)
        clients[region] = client
        pages = client.get_paginator("describe_snapshots").paginate(
            OwnerIds=["self"],
            Filters=[{"Name": "tag:drorch:site", "Values": ["bench"]}],
            PaginationConfig={"PageSize": 1000},
        )
        found += [snapshot["SnapshotId"] for page in pages for snapshot in page["Snapshots"]]
    return found
clients = {}
"""
_DRORCH = """\
from drorch.aws import AwsAccount
from drorch.wiring import adapters
accounts = adapters.build_accounts({"prod": AwsAccount("123456789012")})
kind = adapters.build_kinds(accounts)["ebs"]
def listed():
    return [s.native_id for region in REGIONS for s in kind.snapshots("prod", region, "bench")]
"""
_ASK = """
import json, resource, sys, time
ids = listed()
taken = []
for _ in range(int(sys.argv[1])):
    began = time.process_time()
    listed()
    taken.append((time.process_time() - began) * 1e3)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"ms": taken, "ids": sorted(ids), "mib": peak}))
"""
_LOOK = """\
import json, resource, sys, time
from collections import Counter
from drorch.wiring.host import open_host
host = open_host(sys.argv[1])
present = [NOW]
host.clock.now = lambda: present[0]
observe, observed = host.observer.observe, []
def timed(*words, **more):
    began = time.process_time()
    world = observe(*words, **more)
    observed.append((time.process_time() - began) * 1e3)
    return world
host.observer.observe = timed
looks = []
for _ in range(int(sys.argv[2])):
    began = time.process_time()
    seen = host.reconciler.look()
    looks.append((time.process_time() - began) * 1e3)
    present[0] += datetime.timedelta(minutes=1)
counts = Counter(action.name for p in seen.plans.values() for action in p.actions)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"looks": looks, "observed": observed, "counts": counts, "faults": dict(seen.faults), "mib": peak}))
"""
_POLICY = """\
version: 1
application: {name}
home: {{account: prod, region: us-east-1}}
objectives: {{region: {{rpo: 3d}}}}
resources:
  - {{name: data, kind: ebs, select: {{tags: {{app: {name}}}}}, schedule: {{every: 1d}}, keep: {{daily: {points}}},
     copies: [{{region: us-west-2}}, {{region: eu-west-1}}]}}
"""


@dataclass(frozen=True)
class Snapshot:
    """What EC2 holds of one."""

    id: str
    volume: str
    at: datetime
    tags: Mapping[str, str]


def main(given: Sequence[str] | None = None) -> int:
    """0; 1 when drorch and boto3 do not see the same snapshots, or the plan is not what it has to be."""
    parser = argparse.ArgumentParser(prog="bench.observe", description="seeing snapshots, against boto3")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--listings", type=int, default=5, help="in each round")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(given)
    try:
        figures, ratios = _a_thousand(options.rounds, options.listings)
        more, ratios_of_more = _ten_thousand(options.rounds, options.listings)
    except Wrong as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    title = f"\nsnapshots of EC2, CPU of the process that asks, {options.rounds} rounds"
    facts = {"snapshots": [SNAPSHOTS, _count()], "applications": APPLICATIONS, "cores": os.cpu_count()}
    tell_figures(title, [*figures, *more], {**ratios, **ratios_of_more}, facts, options.json)
    return 0


def _a_thousand(rounds: int, listings: int) -> tuple[list[Figure], dict[str, list[float]]]:
    held = {HOME: [_tagged(n, f"abcdefghij{n:010}") for n in range(SNAPSHOTS)]}
    with _ec2(held, ()) as env:
        ms, mib = _side_by_side(env, [HOME], SNAPSHOTS, rounds, listings)
    figures = [
        Figure("1,000: boto3", "CPU ms", tuple(ms["boto3"])),
        Figure(f"1,000: drorch (stretch {STRETCH_MS:.0f})", "CPU ms", tuple(ms["drorch"]), REACH_MS),
        Figure("1,000: drorch, peak memory", "MiB", tuple(mib["drorch"]), digits=0),
    ]
    return figures, {"1,000: as fast as boto3": _ratios(ms["boto3"], ms["drorch"])}


def _ten_thousand(rounds: int, listings: int) -> tuple[list[Figure], dict[str, list[float]]]:
    """The listing beside boto3's; then whole looks, the first of a process apart from the later ones."""
    found: dict[str, list[float]] = {"observed": [], "planned": [], "planned first": [], "first": [], "mib": []}
    with tempfile.TemporaryDirectory(prefix="drorch-bench-") as name:
        held, volumes = _furnish(Path(name))
        with _ec2(held, volumes) as env:
            ms, _ = _side_by_side(env, [HOME, *AWAY], _count(), rounds, listings)
            for number in range(rounds + 1):
                tell(f"round {number} of {rounds}: a look at {_count():,}" + ("" if number else " (warm-up)"))
                told = _look(Path(name), env, listings + 1)
                if number:
                    for what, value in told.items():
                        found[what].append(value)
    plan = f"10,000: planning {APPLICATIONS} applications"
    figures = [
        Figure("10,000: boto3 lists them", "CPU ms", tuple(ms["boto3"])),
        Figure("10,000: drorch lists them", "CPU ms", tuple(ms["drorch"]), REACH_MS * _count() / SNAPSHOTS),
        Figure("10,000: observing, all of it", "CPU ms", tuple(found["observed"])),
        Figure(f"{plan}, nothing having changed", "CPU ms", tuple(found["planned"]), REACH_PLAN_MS),
        Figure(f"{plan}, the first look of a process", "CPU ms", tuple(found["planned first"])),
        Figure("10,000: all of the first look of a process", "CPU ms", tuple(found["first"])),
        Figure("10,000: peak memory", "MiB", tuple(found["mib"]), digits=0),
    ]
    return figures, {
        "10,000: as fast as boto3": _ratios(ms["boto3"], ms["drorch"]),
        "10,000: observing and planning, as fast as boto3 only lists": _ratios(
            ms["boto3"], [a + b for a, b in zip(found["observed"], found["planned"], strict=True)]
        ),
    }


def _ratios(other: Sequence[float], own: Sequence[float]) -> list[float]:
    return [theirs / ours for theirs, ours in zip(other, own, strict=True)]


def _side_by_side(
    env: Mapping[str, str], regions: Sequence[str], count: int, rounds: int, listings: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Per contestant and round the median CPU ms of a listing, and MiB. Wrong unless both see `count` alike."""
    ms: dict[str, list[float]] = {"boto3": [], "drorch": []}
    mib: dict[str, list[float]] = {"boto3": [], "drorch": []}
    for number in range(rounds + 1):
        ids = {}
        for name in sorted(ms, reverse=bool(number % 2)):
            tell(f"round {number} of {rounds}: {name} lists {count:,}" + ("" if number else " (warm-up)"))
            program = f"REGIONS = {list(regions)!r}\n" + {"boto3": _BOTO3, "drorch": _DRORCH}[name] + _ASK
            told = _run(["-c", program, str(listings)], env)
            ids[name] = told["ids"]
            if number:
                ms[name].append(statistics.median(told["ms"]))
                mib[name].append(told["mib"])
        if not ids["boto3"] == ids["drorch"] or len(set(ids["drorch"])) != count:
            raise Wrong(f"{count} snapshots, boto3 saw {len(ids['boto3'])}, drorch {len(ids['drorch'])}")
    return ms, mib


def _look(folder: Path, env: Mapping[str, str], looks: int) -> dict[str, float]:
    told = _run(["-c", f"import datetime\nNOW = {_now()!r}\n{_LOOK}", str(folder / "drorch.yaml"), str(looks)], env)
    counts = told["counts"]
    if told["faults"] or counts.get("keep") != _count() or counts.get("copy") != APPLICATIONS * len(AWAY):
        raise Wrong(f"planned {counts}, faults {told['faults']}")
    later = list(zip(told["looks"][1:], told["observed"][1:], strict=True))
    return {
        "observed": statistics.median(observed for _, observed in later),
        "planned": statistics.median(look - observed for look, observed in later),
        "planned first": told["looks"][0] - told["observed"][0],
        "first": told["looks"][0],
        "mib": told["mib"],
    }


def _run(words: Sequence[str], env: Mapping[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, *words], env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Wrong(done.stderr[-2000:])
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


# --- what EC2 holds --------------------------------------------------------------------------------------------------


def _count() -> int:
    return APPLICATIONS * (POINTS + len(AWAY) * (POINTS - 1))


def _now() -> datetime:
    return datetime(2026, 11, 20, 0, 10, tzinfo=UTC)


def _tagged(n: int, point: str) -> Snapshot:
    at = datetime(2026, 11, 1 + n // 60 % 28, n % 24, n % 60, 7, tzinfo=UTC)
    tags = {"Name": "data", "app": "shop", "tier": "data", "drorch:application": "shop", "drorch:resource": "data"}
    tags |= {"drorch:slot": "2026-11-20T09:00Z", "drorch:point": point, "drorch:set": "1/1:1"}
    return Snapshot(f"snap-{n:017x}", f"vol-{n:017x}", at, tags)


def _furnish(folder: Path) -> tuple[dict[str, list[Snapshot]], list[tuple[str, str]]]:
    """A host of as many policies, and the snapshots of its points by region; (volume, application) of the sources."""
    from drorch.crypto import ids

    held: dict[str, list[Snapshot]] = {region: [] for region in (HOME, *AWAY)}
    volumes = [(f"vol-{number:017x}", f"app-{number:03}") for number in range(APPLICATIONS)]
    policies = {name: _POLICY.format(name=name, points=POINTS) for _, name in volumes}
    key = install(folder, NATIVE_CONFIG, policies)
    for volume, name in volumes:
        for point in range(POINTS):
            slot = _now().replace(minute=0) - timedelta(days=point)
            text = slot.strftime("%Y-%m-%dT%H:%MZ")
            tags = {"app": name, "drorch:application": name, "drorch:resource": "data", "drorch:slot": text}
            tags |= {"drorch:point": ids.point_id(ids.site_key(key), name, "data", text, 1), "drorch:set": "1/1:1"}
            native = f"snap-0{len(held[HOME]):016x}"
            held[HOME].append(Snapshot(native, volume, slot + timedelta(minutes=1), tags))
            for number, region in enumerate(AWAY if point else ()):
                copied = f"snap-{number + 1}{len(held[region]):016x}"
                at = slot + timedelta(minutes=5)
                held[region].append(Snapshot(copied, "vol-ffffffff", at, {**tags, "drorch:source": native}))
    return held, volumes


def _tags(tags: Mapping[str, str]) -> str:
    return "".join(f"<item><key>{key}</key><value>{value}</value></item>" for key, value in tags.items())


def _pages(snapshots: Sequence[Snapshot]) -> list[bytes]:
    pages = []
    for first in range(0, len(snapshots), PAGE):
        items = "".join(
            _ITEM.format(id=s.id, volume=s.volume, at=f"{s.at:%Y-%m-%dT%H:%M:%S}.000Z", tags=_tags(_own(s.tags)))
            for s in snapshots[first : first + PAGE]
        )
        more = f"<nextToken>{first // PAGE + 1}</nextToken>" if first + PAGE < len(snapshots) else ""
        pages.append(_PAGE.format(action="DescribeSnapshots", what="snapshotSet", items=items, more=more).encode())
    return pages


def _own(tags: Mapping[str, str]) -> dict[str, str]:
    return {"drorch:site": "bench", **tags}


@contextmanager
def _ec2(held: Mapping[str, Sequence[Snapshot]], volumes: Sequence[tuple[str, str]]) -> Iterator[dict[str, str]]:
    """A server in a process of its own threads; the environment that leads to it."""
    snapshots = {region: _pages(there) for region, there in held.items()}
    items = "".join(_VOLUME.format(id=volume, tags=_tags({"app": name})) for volume, name in volumes)
    of_volumes = _PAGE.format(action="DescribeVolumes", what="volumeSet", items=items, more="").encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            words = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            scope = _REGION.search(self.headers["Authorization"])
            page = self._page(words["Action"][0], int(words.get("NextToken", ["0"])[0]), scope[1] if scope else "")
            self.send_response(200)
            self.send_header("Content-Type", "text/xml;charset=UTF-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def _page(self, action: str, number: int, region: str) -> bytes:
            if action == "GetCallerIdentity":
                return _IDENTITY.encode()
            return of_volumes if action == "DescribeVolumes" else snapshots[region][number]

        def date_time_string(self, timestamp: float | None = None) -> str:
            """The bench's own present, where nobody named another."""
            return super().date_time_string(_now().timestamp() if timestamp is None else timestamp)

        def log_message(self, *_words: object) -> None:
            """Nothing: the bench speaks for itself."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
        }
        server.shutdown()


if __name__ == "__main__":
    sys.exit(main())
