"""Calls to the provider in one pass, with few and with many applications: they must be the same ones.

A daemon that asks once per application is throttled on the day on which it is needed. `drorch plan` looks at an
embedded AWS: volumes and snapshots in a home region, copies in another, dumps in a bucket; every call is counted there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import boto3

from bench.installation import install
from bench.measure import Figure, Wrong, tell, tell_figures
from drorch.crypto import age
from drorch.demo.aws import ACCOUNT, EmbeddedAws

HOME, AWAY = "us-east-1", "us-west-2"
_CONFIG = """\
version: 1
site: bench
policies: policies/
state: state
vaults: {{s3: {{type: s3, bucket: acme-dr, account: prod, region: {away}}}}}
aws: {{accounts: {{prod: {{id: "{account}"}}}}}}
encryption: {{recipients: [{recipient}]}}
signing: {{key: {{file: minisign.key}}}}
"""
_POLICY = """\
version: 1
application: {name}
home: {{account: prod, region: {home}}}
objectives: {{zone: {{rpo: 2d, rto: 1d}}}}
resources:
  - {{name: data, kind: ebs, select: {{tags: {{app: {name}}}}}, schedule: {{every: 1d}}, keep: {{daily: 7}},
     copies: [{{region: {away}}}]}}
  - {{name: ledger, kind: rds-instance, identifier: {name}, schedule: {{every: 1d}}, keep: {{daily: 7}},
     copies: [{{region: {away}}}]}}
  - {{name: orders, kind: postgres, connection: {{host: 127.0.0.1, database: d, user: u}}, schedule: {{every: 1d}},
     vaults: [s3], keep: {{daily: 7}}}}
"""

Calls = Counter[tuple[str, str, str]]


@dataclass(frozen=True)
class _Told:
    """The calls of one `drorch plan`, and how long it took, its start included."""

    calls: Calls
    seconds: float


def main(given: Sequence[str] | None = None) -> int:
    """0; 1 when more applications take more calls."""
    parser = argparse.ArgumentParser(prog="bench.calls", description="calls of a pass, by number of applications")
    parser.add_argument("--applications", type=int, nargs="+", default=[10, 200])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(given)
    found: dict[int, list[_Told]] = {number: [] for number in options.applications}
    try:
        for turn in range(options.rounds):
            for number in options.applications:
                tell(f"round {turn + 1} of {options.rounds}: {number:,} applications")
                found[number].append(_told(number))
    except Wrong as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    return _report(found, options.json)


def _report(found: dict[int, list[_Told]], file: Path | None) -> int:
    names = sorted({call for told in found.values() for each in told for call in each.calls})
    sys.stdout.write(f"\n{'calls of one pass':48}" + "".join(f"{n:>9,} apps" for n in found) + "\n")
    for name in names:
        line = " ".join(part for part in name if part)
        sys.stdout.write(f"{line:48}" + "".join(f"{told[0].calls[name]:>14}" for told in found.values()) + "\n")
    totals = {number: tuple(float(each.calls.total()) for each in told) for number, told in found.items()}
    same = len({total for each in totals.values() for total in each}) == 1
    figures = [Figure(f"{n:,} applications", "calls", values, digits=0) for n, values in totals.items()]
    figures += [
        Figure(f"{n:,} applications, `drorch plan`", "s", tuple(each.seconds for each in told))
        for n, told in found.items()
    ]
    few, many = totals[min(totals)], totals[max(totals)]
    ratios = {"calls, many of few": [b / a for a, b in zip(few, many, strict=True)]}
    calls = {str(n): {" ".join(k): v for k, v in told[0].calls.items()} for n, told in found.items()}
    verdict = "no more calls with more applications" if same else "MORE calls with more applications"
    tell_figures(verdict, figures, ratios, {"calls": calls, "no_more": same, "cores": os.cpu_count()}, file)
    return 0 if same else 1


def _told(applications: int) -> _Told:
    with tempfile.TemporaryDirectory(prefix="drorch-bench-") as name, EmbeddedAws() as aws:
        folder, keys = Path(name), {"aws_access_key_id": "bench", "aws_secret_access_key": "bench"}
        words = {"region_name": AWAY, "endpoint_url": aws.endpoint_url, **keys}
        boto3.client("s3", **words).create_bucket(
            Bucket="acme-dr", CreateBucketConfiguration={"LocationConstraint": AWAY}
        )
        env = {**os.environ, "AWS_ENDPOINT_URL": aws.endpoint_url, "AWS_EC2_METADATA_DISABLED": "true"}
        env |= {name.upper(): value for name, value in keys.items()}
        _furnish(folder, applications)
        _drorch(folder, env, "vault", "init", "s3")
        before, began = Counter(aws.calls), time.monotonic()
        _drorch(folder, env, "plan")
        return _Told(Counter(aws.calls) - before, time.monotonic() - began)


def _furnish(folder: Path, applications: int) -> None:
    names = [f"app-{number:05}" for number in range(applications)]
    config = _CONFIG.format(account=ACCOUNT, away=AWAY, recipient=age.new_identity()[1])
    install(folder, config, {name: _POLICY.format(name=name, home=HOME, away=AWAY) for name in names})


def _drorch(folder: Path, env: dict[str, str], *words: str) -> None:
    command = [sys.executable, "-m", "drorch", "--config", str(folder / "drorch.yaml"), *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Wrong(f"{' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
