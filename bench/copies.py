"""A burst of due copies: hundreds of points into three regions at once, with other people's copies in the way.

The embedded AWS enforces its quota of copies per region; time is turned by hand, a pass a minute, and every copy takes
as long for each contestant. Beside drorch runs the loop of the usual snapshot scripts: five copies at a time per
region, wait for all five, and what AWS refuses is an error of that run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.installation import NATIVE_CONFIG, install
from bench.measure import tell, write_json

COPIES, FIVE = 500, 5
HOME, REGIONS = "us-east-1", ("us-west-2", "eu-west-1", "eu-central-1")
PLACES = 20
REACH = 0.95
_OTHERS = (9, 3, 6, 17, 5)
"""How many copies other people have under way, half an hour each; every region begins elsewhere."""
_LONGEST = 3 * 24 * 60
_POLICY = """\
version: 1
application: {name}
home: {{account: prod, region: us-east-1}}
objectives: {{region: {{rpo: {rpo}d}}}}
resources:
  - {{name: data, kind: ebs, select: {{tags: {{app: {name}}}}}, schedule: {{every: 365d}}, keep: {{last: 1}},
     copies: [{copies}]}}
"""


@dataclass(slots=True)
class Span:
    """One copy that takes a place, in minutes since the burst; `of` is what it is a copy of, "" for a foreign one."""

    begun: int
    ends: float
    of: str


@dataclass
class Told:
    """What a contestant did. `refused` copies AWS had no place for, `failed` were reported as failures."""

    minutes: int = 0
    made: int = 0
    missing: int = 0
    double: int = 0
    refused: int = 0
    failed: int = 0
    calls: int = 0
    busy: dict[str, float] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        """Whether every copy was made once, and none was reported as a failure."""
        return not (self.missing or self.double or self.failed)


def main(given: Sequence[str] | None = None) -> int:
    """0; 1 when drorch left a copy out, made one twice or reported a failure, or let places lie idle."""
    parser = argparse.ArgumentParser(prog="bench.copies", description="a burst of copies under AWS's quotas")
    parser.add_argument("--copies", type=int, default=COPIES)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(given)
    began = time.monotonic()
    told = {}
    for name, contestant in (("drorch", drorch), ("loop in fives", in_fives)):
        with _world(options.copies) as burst:
            told[name] = contestant(burst)
    sys.stdout.write(_table(told, options.copies, time.monotonic() - began))
    write_json(options.json, {name: asdict(each) for name, each in told.items()})
    own = told["drorch"]
    return 0 if own.right and min(own.busy.values()) >= REACH else 1


def _table(told: dict[str, Told], copies: int, seconds: float) -> str:
    lines = [
        f"{copies} copies due at once into {len(REGIONS)} regions of {PLACES} places, others' copies in the way "
        f"({seconds:.0f} s)",
        f"{'':14} {'done after':>10} {'made':>5} {'missing':>8} {'double':>7} {'failures':>9} {'refused':>8} "
        f"{'calls':>6} {'places busy while copies wait':>30}",
    ]
    for name, each in told.items():
        busy = " ".join(f"{share:.1%}" for share in each.busy.values())
        after = f"{each.minutes // 60} h {each.minutes % 60:02} m"
        lines.append(
            f"{name:14} {after:>10} {each.made:5} {each.missing:8} {each.double:7} {each.failed:9} {each.refused:8} "
            f"{each.calls:6} {busy:>30}"
        )
    own = told["drorch"]
    verdict = "reached" if min(own.busy.values()) >= REACH else "NOT reached"
    lines.append(f"to reach: every copy once, no failure, places busy {REACH:.0%}: {verdict}")
    return "\n".join(lines) + "\n"


# --- the world -----------------------------------------------------------------------------------------------------


class Burst:
    """The embedded AWS, what is due in it, and its time: minutes that are turned by hand."""

    def __init__(self, aws: Any, volumes: dict[str, str], wanted: dict[str, list[str]]) -> None:
        self.aws, self.volumes, self.wanted = aws, volumes, wanted
        self.minute = 0
        self.spans: dict[str, dict[str, Span]] = {region: {} for region in REGIONS}
        self._noticed: dict[str, set[str]] = {region: set() for region in REGIONS}

    def held(self, region: str) -> dict[str, Any]:
        """Everything that lies in a region, as AWS knows it."""
        from moto.ec2.models import ec2_backends

        return dict(ec2_backends[self.aws_account][region].snapshots)

    @property
    def aws_account(self) -> str:
        """Whose account it is."""
        from drorch.demo.aws import ACCOUNT

        return ACCOUNT

    def turn(self) -> None:
        """A minute passes: copies end, and others may begin theirs before anybody looks."""
        self.minute += 1
        for number, region in enumerate(REGIONS):
            for native_id, span in self.spans[region].items():
                if self.minute - 1 < span.ends <= self.minute:
                    self.aws.finish_snapshot(region, native_id)
            self.others(region, _OTHERS[(self.minute // 30 + number) % len(_OTHERS)])

    def others(self, region: str, level: int) -> None:
        """Other people keep about `level` copies under way, and get no more places than there are."""
        under_way = [span for span in self.spans[region].values() if span.ends > self.minute]
        foreign = sum(not span.of for span in under_way)
        if foreign < level and len(under_way) < PLACES:
            (native_id,) = self.aws.put_foreign_copies(region, 1)
            self._noticed[region].add(native_id)
            ends = self.minute + _minutes(f"other-{region}-{self.minute}")
            self.spans[region][native_id] = Span(self.minute, ends, "")

    def notice(self, source_of: Callable[[Any], str]) -> None:
        """Give every copy that was begun in this minute its time."""
        for region in REGIONS:
            for native_id, snapshot in self.held(region).items():
                if native_id not in self._noticed[region]:
                    self._noticed[region].add(native_id)
                    of = source_of(snapshot)
                    self.spans[region][native_id] = Span(self.minute, self.minute + _minutes(f"{of}-{region}"), of)

    def say(self, who: str, waiting: int) -> None:
        """How far it is, every half hour."""
        if self.minute % 30 == 0:
            tell(f"{who}: minute {self.minute}, {waiting} copies wait")

    @property
    def over(self) -> bool:
        """Whether everything due has been copied, or nobody will live to see it."""
        return self.minute > _LONGEST or all(
            {span.of for span in self.spans[region].values() if span.ends <= self.minute} >= set(self.wanted[region])
            for region in REGIONS
        )

    def tell(self, told: Told) -> Told:
        """What came of it, counted in what AWS holds."""
        told.minutes = self.minute
        for region in REGIONS:
            made = [span.of for span in self.spans[region].values() if span.of and span.ends <= self.minute]
            told.made += len(made)
            told.double += len(made) - len(set(made))
            told.missing += len(set(self.wanted[region]) - set(made))
            told.busy[region] = self._busy(region)
        told.calls = sum(count for (_, name, _), count in self.aws.calls.items() if name == "CopySnapshot")
        return told

    def _busy(self, region: str) -> float:
        """Of the place-minutes until the last copy was begun, the share in which somebody's copy was under way."""
        spans = self.spans[region].values()
        until = max((span.begun for span in spans if span.of), default=0)
        first = min((span.begun for span in spans if span.of), default=0)
        taken = sum(max(0.0, min(span.ends, until) - max(span.begun, first)) for span in spans)
        return taken / (PLACES * (until - first)) if until > first else 1.0


def _minutes(of: str) -> float:
    """How long a copy takes: the same for everybody, 10 to 22 minutes."""
    return 10 + int(hashlib.sha256(of.encode()).hexdigest()[:6], 16) / 0xFFFFFF * 12


@contextmanager
def _world(copies: int) -> Iterator[Burst]:
    """A cloud with a volume for every third of a copy, and others' copies under way already."""
    from drorch.demo.aws import EmbeddedAws

    names = [f"app{number:03}" for number in range(-(-copies // len(REGIONS)))]
    wanted = {region: names[: copies // 3 + (number < copies % 3)] for number, region in enumerate(REGIONS)}
    before = dict(os.environ)
    with EmbeddedAws() as aws:
        os.environ |= {"AWS_ENDPOINT_URL": aws.endpoint_url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        os.environ |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull}
        try:
            ec2 = _client(HOME)
            volumes = {name: _volume(ec2, name) for name in names}
            burst = Burst(aws, volumes, wanted)
            for region in REGIONS:
                for _ in range(9):
                    burst.others(region, 9)
            yield burst
        finally:
            os.environ.clear()
            os.environ.update(before)


def _client(region: str) -> Any:
    import boto3

    return boto3.client("ec2", region_name=region)


def _volume(ec2: Any, name: str) -> str:
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "app", "Value": name}]}]
    return str(ec2.create_volume(AvailabilityZone=f"{HOME}a", Size=8, TagSpecifications=tags)["VolumeId"])


# --- contestants ---------------------------------------------------------------------------------------------------


class _Hand:
    """The host's clock: the minutes of the burst."""

    def __init__(self, burst: Burst) -> None:
        self._burst, self._began = burst, datetime.now(UTC).replace(microsecond=0)

    def now(self) -> datetime:
        """The present, as the burst has it."""
        return self._began + timedelta(minutes=self._burst.minute)

    def sleep(self, seconds: float) -> None:
        """Nobody sleeps here."""
        raise AssertionError(seconds)


def drorch(burst: Burst) -> Told:
    """The reconciler of a host, a pass a minute."""
    import structlog

    from drorch.wiring.host import open_host

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory(prefix="drorch-bench-") as name:
        folder = Path(name)
        policies = {}
        for number, application in enumerate(burst.volumes):
            into = ", ".join(f"{{region: {r}}}" for r in REGIONS if application in burst.wanted[r])
            policies[application] = _POLICY.format(name=application, rpo=460 + number * 37 % 100, copies=into)
        install(folder, NATIVE_CONFIG, policies)
        host = open_host(str(folder / "drorch.yaml"), clock=_Hand(burst))
        try:
            return _passes(burst, host.reconciler)
        finally:
            host.reconciler.close()


def _passes(burst: Burst, reconciler: Any) -> Told:
    told = Told()
    _pass(reconciler)  # every point is cut, and usable at once
    burst.aws.set_snapshot_transition("held")
    alarms: set[str] = set()
    while not burst.over:
        seen = _pass(reconciler)
        alarms.update(hold.reason for hold in seen.holds if hold.alarm.endswith("-failed"))
        burst.notice(lambda snapshot: next(tag["value"] for tag in snapshot.get_tags() if tag["key"] == "app"))
        burst.say("drorch", len(seen.waiting))
        burst.turn()
    outcomes = reconciler.outcomes
    told.refused = outcomes["copy", "busy"]
    told.failed = len(alarms) + sum(n for (_, how), n in outcomes.items() if how not in ("done", "busy"))
    return burst.tell(told)


def _pass(reconciler: Any) -> Any:
    seen = reconciler.run_pass()
    while reconciler.running_count():
        reconciler.harvest()
        time.sleep(0.002)
    return seen


def in_fives(burst: Burst) -> Told:
    """Per region: five copies, wait for all, the next five; what is refused is an error, and goes to the end."""
    ec2 = _client(HOME)
    points = {name: str(ec2.create_snapshot(VolumeId=volume)["SnapshotId"]) for name, volume in burst.volumes.items()}
    names = {point: name for name, point in points.items()}
    burst.aws.set_snapshot_transition("held")
    loops = [_Loop(_client(region), burst, region, points) for region in REGIONS]
    told = Told()
    while not burst.over:
        for loop in loops:
            loop.look()
        burst.notice(lambda snapshot: names[snapshot.description])
        burst.say("loop in fives", sum(len(loop.due) for loop in loops))
        burst.turn()
    told.refused = told.failed = sum(loop.refused for loop in loops)
    return burst.tell(told)


class _Loop:
    def __init__(self, ec2: Any, burst: Burst, region: str, points: dict[str, str]) -> None:
        self._ec2, self._burst, self._region, self._points = ec2, burst, region, points
        self.due = list(burst.wanted[region])
        self.refused = 0
        self._batch: list[str] = []

    def look(self) -> None:
        """Once a minute: when the five are done, the next five."""
        from botocore.exceptions import ClientError

        held = self._burst.held(self._region)
        if any(held[native_id].status == "pending" for native_id in self._batch):
            return
        five, self.due, self._batch = self.due[:FIVE], self.due[FIVE:], []
        for name in five:
            point = self._points[name]
            try:
                made = self._ec2.copy_snapshot(SourceRegion=HOME, SourceSnapshotId=point, Description=point)
                self._batch.append(made["SnapshotId"])
            except ClientError:
                self.refused += 1
                self.due.append(name)


if __name__ == "__main__":
    sys.exit(main())
