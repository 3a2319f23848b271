"""Locked copies of volumes on the embedded cloud: what a person sees, what an attacker cannot do, and how they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import kill_child
import pytest
from botocore.exceptions import ClientError
from clouds import REGIONS, aws_environment, client, embedded_aws
from desks import Said, typed
from lone_host import furnish, week_offset

from drorch.demo.aws import EmbeddedAws
from drorch.domain.instant import from_text

pytestmark = pytest.mark.integration
HOME, AWAY = REGIONS[0], REGIONS[1]
DAY, WEEK = timedelta(days=1), timedelta(days=7)
POLICY = """\
version: 1
application: shop
owner: shop@example.com
home: {{account: prod, region: {home}}}
objectives: {{region: {{rpo: 14d}}, tampering: {{rpo: 14d}}}}
resources:
  - name: data
    kind: ebs
    select: {{tags: {{app: shop}}}}
    schedule: {{every: 7d, offset: {offset}m}}
    copies: [{{region: {away}, lock: {{for: 9d, irrevocable: true}}}}]
    keep: {{within: 6d}}
    floor: 1
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with embedded_aws() as started:
        yield started


class Site:
    """A host with one vault in a folder, and a set of two volumes at HOME."""

    def __init__(self, folder: Path, aws: EmbeddedAws) -> None:
        self.aws, self.turned = aws, timedelta()
        self.config = furnish(folder, ["disk"], brake={"share": "100%", "count": 10, "per": "1d"})
        policy = POLICY.format(home=HOME, away=AWAY, offset=week_offset())
        (folder / "policies" / "shop.yaml").write_text(policy)
        aws.reset()
        for _ in range(2):
            client(aws, "ec2").create_volume(
                AvailabilityZone=f"{HOME}a",
                Size=8,
                TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "app", "Value": "shop"}]}],
            )

    def drorch(self, *arguments: str) -> Said:
        return typed("--config", str(self.config), *arguments)

    def live(self, ahead: timedelta) -> None:
        """Passes until nothing is left to do, so much later by every clock there is."""
        self.aws.turn_lock_clock(ahead - self.turned)
        self.turned = ahead
        assert kill_child.run(str(self.config), ahead / timedelta(minutes=1), locked=False).exit_code == 0

    def snapshots(self, region: str) -> set[str]:
        shown = client(self.aws, "ec2", region).describe_snapshots(OwnerIds=["self"])["Snapshots"]
        return {str(entry["SnapshotId"]) for entry in shown}

    def attack(self, region: str) -> int:
        """Somebody with every right in the account ends what can be ended; how many snapshots are gone then."""
        ec2, before = client(self.aws, "ec2", region), self.snapshots(region)
        for snapshot in sorted(before):
            tried(partial(ec2.unlock_snapshot, SnapshotId=snapshot))
            for how in ({"LockMode": "governance"}, {"LockMode": "compliance", "CoolOffPeriod": 1}):
                tried(partial(ec2.lock_snapshot, SnapshotId=snapshot, LockDuration=1, **how))
                tried(partial(ec2.unlock_snapshot, SnapshotId=snapshot))
            tried(partial(ec2.delete_snapshot, SnapshotId=snapshot))
        return len(before - self.snapshots(region))


@pytest.fixture
def site(tmp_path: Path, aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name, value in aws_environment(aws.endpoint_url, HOME).items():
        monkeypatch.setenv(name, value)
    return Site(tmp_path, aws)


def tried(call: Callable[[], Any]) -> None:
    with suppress(ClientError):
        call()


def test_copies_are_locked_shown_and_left_when_an_attacker_with_all_keys_is_done(site: Site) -> None:
    checked = site.drorch("policy", "check")
    assert checked.code == 0, checked.err
    assert f"data at tampering: 7d + 1d18h = 8d18h <= 14d via prod.{AWAY}; lock 9d >= interval" in checked.out
    assert site.drorch("run", "--once").code == 0
    (point,) = site.drorch("points", "shop", "--json").json["points"]
    copies = {copy["vault"]: copy for copy in point["copies"]}
    until = from_text(copies[f"prod.{AWAY}"]["locked_until"])
    assert abs(until - datetime.now(UTC) - 9 * DAY) < timedelta(minutes=10)
    assert copies[f"prod.{HOME}"]["locked_until"] is None
    level = site.drorch("status", "--json").json["applications"][0]["levels"]["tampering"]
    assert level["rpo_met"] is True and "locked until" in level["why"]
    assert not [a for a in site.drorch("plan", "--json").json["actions"] if a["action"] == "lock"]

    assert {region: site.attack(region) for region in (HOME, AWAY)} == {HOME: 2, AWAY: 0}
    (point,) = site.drorch("points", "shop", "--json").json["points"]
    (left,) = [copy for copy in point["copies"] if copy["vault"] == f"prod.{AWAY}"]
    assert (left["state"], from_text(left["locked_until"])) == ("usable", until)


def test_what_is_let_go_stays_until_its_lock_ends_and_then_goes(site: Site) -> None:
    policy = site.config.parent / "policies" / "shop.yaml"  # the cloud's snapshots are all of today: they are counted
    policy.write_text(policy.read_text().replace("{within: 6d}", "{last: 1}").replace(", tampering: {rpo: 14d}", ""))
    assert "retention waits for the locks in" in site.drorch("policy", "check").err
    site.live(timedelta())
    first = {region: site.snapshots(region) for region in (HOME, AWAY)}
    assert [len(found) for found in first.values()] == [2, 2]
    site.live(WEEK)  # the newest of the floor until now: locked anew, until nine days from then
    site.live(WEEK + timedelta(minutes=1))
    site.live(WEEK + 3 * DAY + timedelta(minutes=5))
    assert not first[HOME] & site.snapshots(HOME)
    assert first[AWAY] < site.snapshots(AWAY)
    site.live(WEEK + 9 * DAY + timedelta(hours=1))
    assert first[AWAY] < site.snapshots(AWAY), "marked, and in its grace"
    site.live(WEEK + 12 * DAY + timedelta(hours=2))
    assert not first[AWAY] & site.snapshots(AWAY)


def test_the_rights_are_those_of_locking_and_never_of_taking_a_lock_off(site: Site) -> None:
    printed = site.drorch("iam", "--json").json
    allowed, denied = set(), set()
    for statement in (s for role in _documents(printed) for s in role["Statement"]):
        (allowed if statement["Effect"] == "Allow" else denied).update(statement["Action"])
    assert {"ec2:LockSnapshot", "ec2:DescribeLockedSnapshots"} <= allowed
    assert not [action for action in allowed if "Unlock" in action]
    assert "ec2:Unlock*" in denied
    policy = site.config.parent / "policies" / "shop.yaml"
    text = policy.read_text().replace(", lock: {for: 9d, irrevocable: true}", "")
    policy.write_text(text.replace(", tampering: {rpo: 14d}", ""))
    unlocked = [s for role in _documents(site.drorch("iam", "--json").json) for s in role["Statement"]]
    assert not [s for s in unlocked if "ec2:LockSnapshot" in s["Action"]]


def _documents(printed: Any) -> Iterator[dict[str, Any]]:
    """Every policy document, wherever it stands."""
    if isinstance(printed, dict) and "Statement" in printed:
        yield printed
    elif isinstance(printed, dict | list):
        for inner in printed.values() if isinstance(printed, dict) else printed:
            yield from _documents(inner)
