"""Seeing native snapshots: a thousand of EC2's, listed by drorch and by boto3 alone, in CPU seconds of who asks.

A server of its own hands out one page of DescribeSnapshots as EC2 writes it; both are asked whether they saw the same.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.measure import write_json

SNAPSHOTS = 1000
REACH, STRETCH = 0.060, 0.025
_ITEM = """\
<item><snapshotId>snap-{n:017x}</snapshotId><volumeId>vol-{n:017x}</volumeId><status>completed</status>\
<startTime>2026-11-{day:02}T{hour:02}:{minute:02}:07.{milli:03}Z</startTime><progress>100%</progress>\
<ownerId>123456789012</ownerId><volumeSize>100</volumeSize><description>drorch</description><encrypted>true</encrypted>\
<kmsKeyId>arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab</kmsKeyId>\
<storageTier>standard</storageTier><tagSet>{tags}</tagSet></item>"""
_TAGS = {
    "Name": "data",
    "app": "shop",
    "tier": "data",
    "drorch:site": "bench",
    "drorch:application": "shop",
    "drorch:resource": "data",
    "drorch:slot": "2026-11-20T09:00Z",
    "drorch:point": "abcdefghij{n:010}",
    "drorch:set": "1/1:1",
}
_PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<DescribeSnapshotsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>bench</requestId>\
<snapshotSet>{items}</snapshotSet></DescribeSnapshotsResponse>"""

_BOTO3 = """\
import boto3
client = boto3.client("ec2", region_name="us-east-1")
def listed():
    pages = client.get_paginator("describe_snapshots").paginate(
        OwnerIds=["self"],
        Filters=[{"Name": "tag:drorch:site", "Values": ["bench"]}],
        PaginationConfig={"PageSize": 1000},
    )
    return [snapshot["SnapshotId"] for page in pages for snapshot in page["Snapshots"]]
"""
_DRORCH = """\
from drorch.aws import AwsAccount
from drorch.wiring import adapters
accounts = adapters.build_accounts({"prod": AwsAccount("123456789012")})
kind = adapters.build_kinds(accounts)["ebs"]
def listed():
    return [snapshot.native_id for snapshot in kind.snapshots("prod", "us-east-1", "bench")]
"""
_ASK = """
import json, resource, sys, time
ids = listed()
taken = []
for _ in range(int(sys.argv[1])):
    began = time.process_time()
    listed()
    taken.append(time.process_time() - began)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": taken, "ids": sorted(ids), "mib": peak}))
"""


def main(given: Sequence[str] | None = None) -> int:
    """0; 1 when they do not see the same snapshots."""
    parser = argparse.ArgumentParser(prog="bench.observe", description="listing snapshots, against boto3")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(given)
    with _ec2() as endpoint:
        env = {**os.environ, "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        env |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull}
        found = {}
        for name, program in (("boto3", _BOTO3), ("drorch", _DRORCH)):
            command = [sys.executable, "-c", program + _ASK, str(options.rounds)]
            found[name] = json.loads(subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True).stdout)
    middle = {name: statistics.median(told["seconds"]) for name, told in found.items()}
    for name, told in found.items():
        taken = told["seconds"]
        sys.stdout.write(
            f"{name:8} {middle[name] * 1e3:6.1f} CPU ms for {SNAPSHOTS:,} snapshots "
            f"({min(taken) * 1e3:.1f}-{max(taken) * 1e3:.1f}), peak {told['mib']:.0f} MiB\n"
        )
    own = middle["drorch"]
    verdict = "reached" if own <= REACH else f"NOT reached, {own / REACH:.1f} times over"
    sys.stdout.write(f"drorch against boto3: {middle['boto3'] / own:.2f} times as fast; to reach {REACH * 1e3:.0f} ms ")
    sys.stdout.write(f"(stretch {STRETCH * 1e3:.0f}): {verdict}\n")
    write_json(options.json, {name: {**told, "ids": len(told["ids"])} for name, told in found.items()})
    same = found["boto3"]["ids"] == found["drorch"]["ids"] and len(found["drorch"]["ids"]) == SNAPSHOTS
    return 0 if same else 1


def _page() -> bytes:
    items = []
    for n in range(SNAPSHOTS):
        tags = "".join(
            f"<item><key>{key}</key><value>{value.format(n=n)}</value></item>" for key, value in _TAGS.items()
        )
        day, hour, minute = 1 + n // 60 % 28, n % 24, n % 60
        items.append(_ITEM.format(n=n, day=day, hour=hour, minute=minute, milli=n % 1000, tags=tags))
    return _PAGE.format(items="".join(items)).encode()


@contextmanager
def _ec2() -> Iterator[str]:
    page = _page()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "text/xml;charset=UTF-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_words: object) -> None:
            """Nothing: the bench speaks for itself."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


if __name__ == "__main__":
    sys.exit(main())
