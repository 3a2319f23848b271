"""kill -9 at every failpoint of every action, then a start: one kept point per slot, none missing, none made twice.

The cloud is the embedded AWS in this process, the vaults are folders: both outlive the child that is killed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import kill_child
import kill_rows
import kill_worker
import pytest
from clouds import REGIONS, aws_environment, client, client_in, embedded_aws, volume
from lone_host import VAULT_ID, furnish, week_offset

import drorch
from drorch.app.locks import Locks
from drorch.demo.aws import EmbeddedAws
from drorch.domain import layout
from drorch.domain.action import EXECUTABLE, Keep, WriteHead
from drorch.domain.errors import Unavailable
from drorch.domain.model import CopyState

HOME, AWAY = REGIONS[0], REGIONS[1]
AWS_KINDS = ("ebs", "ebs-vault", "ami", "rds-instance", "rds-cluster")
STEPS = ("before", "called", "recorded")
TOP = """
version: 1
application: shop
owner: payments@example.com
home: {account: prod, region: %s}
resources:
  - name: data
    schedule: {every: 7d, offset: %dm}
    keep: {last: 1}
    floor: 1
""" % (HOME, 0)  # noqa: UP031 - the text is full of braces
KINDS = {
    "ebs": f"    kind: ebs\n    select: {{tags: {{app: shop}}}}\n    copies: [{{region: {AWAY}}}]\n",
    "ami": f"    kind: ami\n    select: {{tags: {{app: shop}}}}\n    copies: [{{region: {AWAY}}}]\n",
    "ebs-vault": "    kind: ebs\n    select: {tags: {app: shop}}\n"
    f"    copies: [{{region: {AWAY}, account: vault}}]\n",
    "rds-instance": f"    kind: rds-instance\n    identifier: shop-data\n    copies: [{{region: {AWAY}}}]\n",
    "rds-cluster": f"    kind: rds-cluster\n    identifier: shop-data\n    copies: [{{region: {AWAY}}}]\n",
    "memory": "    kind: memory\n    vaults: [disk, nas]\n    drill: {every: 7d, from: [disk]}\n",
    "undrilled": "    kind: memory\n    vaults: [disk, nas]\n",
    "runbook": "    kind: memory\n    vaults: [disk, nas]\n"
    f"recovery: {{regions: {{{AWAY}: {{}}}}, steps: [{{name: word, manual: tell}}]}}\n",
}


@dataclass(frozen=True)
class Row:
    """One death: at which failpoint, in a world of which kind. `late` says that vault `nas` was away until then.

    `after` is what was there before: a point (`whole`), one that is too old to be kept (`old`), one whose grace is over
    besides (`marked`), one that is a day old (`settled`), data without a manifest (`leftover`), a copy of which an
    object is gone (`damaged`).
    """

    failpoint: str
    kind: str
    late: bool = False
    in_worker: bool = False
    after: str = ""


ROWS = [
    Row("record.recorded", "ebs"),
    *(Row(f"replicate.{step}", "ebs", late=True) for step in STEPS),
    Row("cut.called:2", "ebs"),
    Row("copy.called:2", "ebs"),
    *(Row(f"copy.{step}", "ebs-vault") for step in ("shared", "called")),
    *(Row(f"unshare.{step}", "ebs-vault") for step in STEPS),
    Row("cut.called", "rds-instance"),
    Row("copy.called", "rds-instance"),
    *(Row(f"{action}.{step}", "memory") for action in ("cut", "drill") for step in STEPS),
    *(Row(f"ship.{step}", "memory", late=True) for step in STEPS),
    *(Row(f"dump.{at}", "memory", in_worker=True) for at in ("data-written", "before-manifest", "manifest-written")),
    *(
        Row(f"ship.{at}", "memory", late=True, in_worker=True)
        for at in ("data-written", "before-manifest", "manifest-written")
    ),
    *(Row(f"head.{step}", "memory") for step in STEPS),
    *(Row(f"runbook.{step}", "runbook") for step in STEPS),
    *(Row(f"lock.{step}", "memory", after="whole") for step in STEPS),
    *(Row(f"verify.{step}", "memory", after="settled") for step in STEPS),
    *(Row(f"mark.{step}", "undrilled", after="old") for step in STEPS),
    *(
        Row(f"expire.{step}", "undrilled", after="marked")
        for step in (*STEPS, "marked", "manifest-deleted", "manifest-deleted:2", "data-deleted", "data-deleted:3")
    ),
    *(Row(f"sweep.{step}", "memory", after="leftover") for step in (*STEPS, "deleted")),
    *(Row(f"repair.{step}", "memory", after="damaged") for step in STEPS),
    *(
        Row(f"repair.{step}", "memory", after="damaged", in_worker=True)
        for step in ("marked", "deleted", "written", "verified", "proved")
    ),
]


def test_every_action_dies_at_every_step() -> None:
    """A new action without its rows fails here."""
    wanted = {f"{action.name}.{step}" for action in EXECUTABLE for step in STEPS}
    assert wanted <= {row.failpoint for row in ROWS} | CHAINED


def test_every_failpoint_of_the_product_is_died_at() -> None:
    source = "".join(path.read_text() for path in Path(drorch.__file__).parent.rglob("*.py"))
    written = set(re.findall(r'\breach\("([^"]+)"\)', source))
    assert written and written <= {row.failpoint for row in ROWS} | CHAINED | {*kill_rows.JOURNAL}


# --- the world -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with embedded_aws() as started:
        yield started


@pytest.fixture(scope="module")
def child(aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    tests = Path(kill_child.__file__).parent
    words = (tmp_path_factory.mktemp("child") / "stderr").open("w")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DRORCH_"))},
        **aws_environment(aws.endpoint_url, HOME),
        "PYTHONPATH": f"{tests}:{tests.parent}",
    }
    process = subprocess.Popen(
        [sys.executable, kill_child.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=words,
        text=True,
        env=environment,
    )
    yield process
    _pipe(process.stdin).close()
    process.wait(timeout=30)
    words.close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


class Site:
    """A configured host on disk, and the child that runs it."""

    def __init__(self, folder: Path, kind: str, child: subprocess.Popen[str]) -> None:
        self.folder, self.kind, self.child = folder, kind, child
        self.config = folder / "drorch.yaml"

    def set_up(self) -> None:
        """Its files, in a folder that is there."""
        furnish(self.folder, ("disk", "nas"))
        policy = TOP.replace("offset: 0m", f"offset: {week_offset()}m") + KINDS[self.kind]
        (self.folder / "policies" / "shop.yaml").write_text(policy)

    def run(self, minutes: float = 0, failpoint: str = "", *, locked: bool = False) -> int:
        """One `run --once` of a child whose clock is that far ahead; how it ended, as `Popen.returncode` says it."""
        order = {"config": str(self.config), "minutes": minutes, "failpoint": failpoint, "locked": locked}
        _pipe(self.child.stdin).write(json.dumps(order) + "\n")
        _pipe(self.child.stdin).flush()
        status = os.waitstatus_to_exitcode(int(_pipe(self.child.stdout).readline()))
        self.nobody_left()
        return status

    def nobody_left(self) -> None:
        """A worker whose daemon was killed goes by itself; until then it holds its resource's lock."""
        locks, deadline = Locks(self.folder / "state"), time.monotonic() + kill_worker.GRACE_S + 20
        while locks.holder("shop.data"):
            assert time.monotonic() < deadline, "a worker was left behind"
            time.sleep(0.02)

    def nas_away(self) -> None:
        (self.folder / "nas").rename(self.folder / "nas.away")

    def nas_back(self) -> None:
        (self.folder / "nas.away").rename(self.folder / "nas")

    def leave_leftover(self) -> None:
        """Half a dump of forty days ago."""
        past = datetime.now(UTC) - timedelta(days=40)
        folder = self.folder / "disk" / layout.data_folder("shop", "data", past, "nothing")
        folder.mkdir(parents=True)
        for name in ("data.zst.age", "data.zst.age.leaves"):
            (folder / name).write_bytes(b"half of a dump")
            os.utime(folder / name, (past.timestamp(), past.timestamp()))

    def damage(self) -> None:
        """Somebody deletes the data of a copy."""
        next((self.folder / "disk" / layout.DATA).rglob("*.age")).unlink()

    def data(self, vault: str) -> set[str]:
        """The points of which a vault holds data."""
        return {path.parent.name for path in (self.folder / vault / layout.DATA).rglob("*") if path.is_file()}

    def check_whole(self, minutes: float, *, locked: bool = False, marked: bool = False, killed: bool = False) -> None:
        host = kill_child.host_of(str(self.config), minutes, locked)
        seen = host.reconciler.look(fresh=True)
        planned = seen.plans["shop"]
        due = [action for action in planned.actions if isinstance(action, EXECUTABLE)]
        assert not [action for action in due if not isinstance(action, WriteHead)]  # one a second at the most
        told = ("no new one before that", "deleted no earlier than")
        assert [a for a in planned.actions if a.name == "hold" and not any(words in a.reason for words in told)] == []
        point, *older = planned.catalogue.points
        assert {copy.state for old in older for copy in old.copies} == ({CopyState.EXPIRING} if marked else set())
        (resource,) = planned.policy.resources
        kept = sorted(action.vault for action in planned.actions if isinstance(action, Keep))
        assert kept == sorted(rule.vault for rule in resource.targets)
        assert {copy.state for copy in point.copies} == {CopyState.USABLE}
        for below in (layout.RECORDS, layout.RUNBOOKS):
            records = [self.records(name, below) for name in ("disk", "nas")]
            assert records[0] == records[1]
        assert (planned.catalogue.runbook is not None) is (self.kind == "runbook") is bool(records[0])
        records = [self.records(name) for name in ("disk", "nas")]
        if resource.native:
            assert all(copy.recorded_in == {"disk", "nas"} for copy in point.copies)
        else:
            assert len([path for path in records[0] if path.endswith("manifest.json")]) == 1 + len(older)
            assert resource.drill is None or any(drill.passed for drill in planned.catalogue.drills)
            left = {name.partition("-")[2] for name in self.data("disk") | self.data("nas")}
            known = {each.id for each in planned.catalogue.points}
            assert left == known or (killed and left > known)  # of a dump that was killed data may lie about
        if locked:
            copy = point.copy_in("disk")
            assert copy is not None and copy.locked_until is not None
            assert copy.locked_until > host.now() + timedelta(days=29)
        host.reconciler.close()

    def records(self, vault: str, below: str = layout.RECORDS) -> dict[str, bytes]:
        root = self.folder / vault / below
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def sources(aws: EmbeddedAws, kind: str) -> None:
    """An empty cloud with two volumes, which are two creating calls, or with one database instance or cluster."""
    aws.reset()
    if kind.startswith("ebs"):
        for _ in range(2):
            volume(aws, HOME, app="shop")
    elif kind == "ami":
        for _ in range(2):
            client(aws, "ec2", HOME).run_instances(
                ImageId="ami-12345678",
                MinCount=1,
                MaxCount=1,
                BlockDeviceMappings=[{"DeviceName": d, "Ebs": {"VolumeSize": 8}} for d in ("/dev/sda1", "/dev/sdf")],
                TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "app", "Value": "shop"}]}],
            )
    elif kind == "rds-instance":
        client(aws, "rds", HOME).create_db_instance(
            DBInstanceIdentifier="shop-data",
            DBInstanceClass="db.t3.micro",
            Engine="postgres",
            MasterUsername="owner",
            MasterUserPassword="not-a-secret",
            AllocatedStorage=20,
        )
    elif kind == "rds-cluster":
        client(aws, "rds", HOME).create_db_cluster(
            DBClusterIdentifier="shop-data",
            Engine="aurora-mysql",
            MasterUsername="owner",
            MasterUserPassword="not-a-secret",
        )


def made(aws: EmbeddedAws, kind: str) -> list[int]:
    """How many snapshots of drorch's there are at home and away."""
    found: list[int] = []
    for region in (HOME, AWAY):
        if kind == "ami":
            listed: Any = of_site(aws, region, "Snapshots")
        elif kind.startswith("ebs"):
            ec2 = (
                client_in(aws, VAULT_ID, "ec2", region)
                if (kind, region) == ("ebs-vault", AWAY)
                else client(aws, "ec2", region)
            )
            listed = ec2.describe_snapshots(
                OwnerIds=["self"], Filters=[{"Name": "tag:drorch:site", "Values": ["acme"]}]
            )["Snapshots"]
        elif kind == "rds-cluster":
            rds = client(aws, "rds", region)
            listed = rds.describe_db_cluster_snapshots(SnapshotType="manual")["DBClusterSnapshots"]
        else:
            listed = client(aws, "rds", region).describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
        found.append(len(listed))
    return found


def of_site(aws: EmbeddedAws, region: str, what: str) -> list[Any]:
    """Snapshots or images that bear the site's tag."""
    ec2 = client(aws, "ec2", region)
    ask = ec2.describe_snapshots if what == "Snapshots" else ec2.describe_images
    return list(ask(Filters=[{"Name": "tag:drorch:site", "Values": ["acme"]}])[what])


class Moulds:
    """Sites as they were before their death, each lived through once. All lie at one place while they are in use: what
    a host is called in heads comes from where its state lies.
    """

    def __init__(self, root: Path, aws: EmbeddedAws, child: subprocess.Popen[str]) -> None:
        self.root, self.aws, self.child = root, aws, child
        self.minutes: dict[tuple[str, str], float] = {}

    def site(self, row: Row) -> tuple[Site, float]:
        """A site in which the row's action is due, and how far ahead its clock is."""
        folder, key = self.root / "site", (row.kind, row.after)
        mould = self.root / "-".join(key)
        shutil.rmtree(folder, ignore_errors=True)
        site = Site(folder, row.kind, self.child)
        if key in self.minutes:
            shutil.copytree(mould, folder)
            return site, self.minutes[key]
        folder.mkdir()
        site.set_up()
        if row.kind in AWS_KINDS:
            sources(self.aws, row.kind)
        minutes = become(site, row.after) if row.after else 0.0
        if row.after and row.kind not in AWS_KINDS:  # a cloud cannot be copied like a folder
            shutil.copytree(folder, mould)
            self.minutes[key] = minutes
        return site, minutes


@pytest.fixture(scope="module")
def moulds(aws: EmbeddedAws, child: subprocess.Popen[str], tmp_path_factory: pytest.TempPathFactory) -> Moulds:
    return Moulds(tmp_path_factory.mktemp("moulds"), aws, child)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}-{row.failpoint}")
def test_killed_and_started_again(row: Row, aws: EmbeddedAws, moulds: Moulds, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws_environment(aws.endpoint_url, HOME).items():
        monkeypatch.setenv(name, value)
    site, minutes = moulds.site(row)
    locked = row.failpoint.startswith("lock.")
    if row.late:
        site.nas_away()
        assert site.run() == Unavailable.exit_code
        site.nas_back()
        minutes = 16  # past the vault's next listing and what was backed off from
    died = Unavailable.exit_code if row.in_worker else -signal.SIGKILL
    assert site.run(minutes, row.failpoint, locked=locked) == died, "the failpoint was not reached"
    minutes += 6  # what may still show has settled
    assert site.run(minutes, locked=locked) == 0
    site.check_whole(minutes, locked=locked, marked=row.after == "old", killed=row.failpoint.startswith("dump."))
    if row.kind in AWS_KINDS:
        assert made(aws, row.kind) == ([2, 2] if row.kind.startswith("ebs") else [1, 1])
        shared = client(aws, "ec2", HOME).describe_snapshots(OwnerIds=["self"], RestorableByUserIds=[VAULT_ID])
        assert not shared["Snapshots"]


BEGINNING = ("cut.before", "cut.called", "copy.before", "copy.called", "record.before", "record.called")
RESUMED = ("cut.before", "cut.called", "cut.recorded", "copy.before", "copy.called", "copy.recorded", *BEGINNING[4:])
"""Where a point has two creating calls the second is made after the death, and the action ends."""
MEMBER = "expire.member-deleted"
LETTING_GO = ("expire.before", "expire.marked", MEMBER)
CHAINS = {
    "ebs": (RESUMED, (*LETTING_GO, "expire.called", "expire.recorded")),
    "ami": (RESUMED, (*LETTING_GO, MEMBER, MEMBER, "expire.called", "expire.recorded")),
    "rds-cluster": (BEGINNING, (*LETTING_GO, "expire.recorded")),
}
"""Deaths one after the other in one life: while a point is made, and while one is let go at home, then away."""
CHAINED = {failpoint for making, letting_go in CHAINS.values() for failpoint in (*making, *letting_go)}


@pytest.mark.parametrize("kind", CHAINS)
def test_killed_at_every_step_of_one_life(
    kind: str, aws: EmbeddedAws, moulds: Moulds, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws_environment(aws.endpoint_url, HOME).items():
        monkeypatch.setenv(name, value)
    site, minutes = moulds.site(Row("", kind))
    making, letting_go = CHAINS[kind]
    for failpoint in making:
        assert site.run(minutes, failpoint) == -signal.SIGKILL, f"{failpoint} was not reached"
        minutes += 6
    minutes = become(site, "marked", minutes)
    golden = use_a_snapshot(aws) if kind == "ami" else ""
    for failpoint in letting_go[:-1]:
        assert site.run(minutes, failpoint) == -signal.SIGKILL, f"{failpoint} was not reached"
        minutes += 1
    if golden:
        let_the_snapshot_go(aws, golden)
    assert site.run(minutes, letting_go[-1]) == -signal.SIGKILL, "the last failpoint was not reached"
    assert site.run(minutes + 1) == 0
    site.check_whole(minutes + 1)
    assert made(aws, kind) == {"ebs": [2, 2], "ami": [4, 4], "rds-cluster": [1, 1]}[kind]
    if kind == "ami":
        assert [len(of_site(aws, region, "Images")) for region in (HOME, AWAY)] == [2, 2]


def use_a_snapshot(aws: EmbeddedAws) -> str:
    """An image of somebody else's, of a snapshot of the older of drorch's images; its id."""
    oldest = min(of_site(aws, HOME, "Images"), key=lambda image: image["CreationDate"])
    snapshot = oldest["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    blocks = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}]
    ec2 = client(aws, "ec2", HOME)
    return str(ec2.register_image(Name="golden", RootDeviceName="/dev/sda1", BlockDeviceMappings=blocks)["ImageId"])


def let_the_snapshot_go(aws: EmbeddedAws, image: str) -> None:
    """The other image is whole; of the older point nothing but its snapshot is left."""
    ec2 = client(aws, "ec2", HOME)
    (golden,) = ec2.describe_images(ImageIds=[image])["Images"]
    used = golden["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    kept = {b["Ebs"]["SnapshotId"] for i in of_site(aws, HOME, "Images") for b in i["BlockDeviceMappings"]}
    assert {s["SnapshotId"] for s in of_site(aws, HOME, "Snapshots")} == {used, *kept} and used not in kept
    ec2.deregister_image(ImageId=image)


def become(site: Site, what: str, minutes: float = 0) -> float:
    """Live until the world is as `Row.after` says; the minutes that this took, from now on in."""
    assert site.run(minutes) == 0
    if what == "leftover":
        site.leave_leftover()
    elif what == "damaged":
        site.damage()
    if what in ("whole", "leftover", "damaged"):
        return 1
    if what == "settled":
        return timedelta(hours=25) / timedelta(minutes=1)
    minutes = timedelta(days=7) / timedelta(minutes=1)
    if what == "marked":
        assert site.run(minutes) == 0
        minutes += 1
        assert site.run(minutes) == 0  # what was copied in the run before is usable now, and older ones may go
        minutes += timedelta(days=3, minutes=1) / timedelta(minutes=1)
    return minutes
