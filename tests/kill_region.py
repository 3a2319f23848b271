"""A host that has cut and copied one resource of every kind of snapshot, the region of the copies, and what is there.

All of it lies in the embedded AWS of this process and in folders; commands are typed in children (`command_child`).
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import command_child
from clouds import REGIONS, aws_environment, client, volume
from desks import Said
from killing_cloud import KillingAws
from lone_host import furnish, week_offset

from drorch.app.failpoint import VARIABLE
from drorch.app.locks import Locks

HOME, AWAY = REGIONS[0], REGIONS[1]
VAULT = f"prod.{AWAY}"
PATIENCE_S = 60.0
"""Far longer than any command here takes."""
GROUP, TARGETS, TEMPLATE, RECORD = "shop-dr", "shop-tg", "shop-jobs", "shop.example.com"
RESOURCES = {"data": "ebs", "web": "ami", "jobs": "ami", "ledger": "rds-instance", "orders": "rds-cluster"}
"""Resource -> its kind; `jobs` comes back as a version of a launch template."""
_SELECTED = {
    "ebs": "select: {tags: {app: shop, disk: data}}",
    "ami": "select: {tags: {app: NAME}}",
    "rds-instance": "identifier: shop-ledger",
    "rds-cluster": "identifier: shop-orders",
}
POLICY = """\
version: 1
application: shop
owner: shop@example.com
home: {{account: prod, region: {home}}}
objectives: {{region: {{rpo: 14d}}}}
recovery:
  regions:
    {away}:
      data: {{zone: {away}a, type: gp3, attach: {{instance: {instance}}}}}
      web: {{subnets: [{subnet}], security_groups: [{group}]}}
      jobs: {{launch_template: {template}}}
      ledger: {{security_groups: default}}
      orders: {{security_groups: default}}
  steps:
    - {{name: volumes, restore: data}}
    - {{name: database, restore: ledger, needs: []}}
    - {{name: image, restore: web, needs: []}}
    - {{name: site, launch: {{image: image, group: {asg}, target_group: {targets}}}, needs: [volumes, database]}}
    - {{name: healthy, wait: {{http: "{address}", for: 10m}}}}
    - {{name: dns, record: {{zone: {zone}, name: {record}, type: CNAME, value: dr.example.com}}, fallback: page 12}}
    - {{name: word, manual: Tell payments}}
    - {{name: reindex, command: [/usr/bin/touch, {made}]}}
resources:
"""
_VOLATILE = re.compile(
    r"(Time|Date|Address|PublicIp|DnsName|DNSName|Endpoint|ClientToken|Arn|ARN|ResourceId|^HostedZoneId|^VersionNumber)$"
)
_ID = re.compile(
    r"\b(vol|i|eni|eni-attach|lt)-[0-9a-f]{8,17}(:[0-9]+)?\b|(?<=version )[2-9]\b|"
    r"(?<=\.)(cluster-)?[a-z0-9]{10,12}(?=\.[a-z0-9-]+\.rds\.)"
)


class Command:
    """The process in which commands are typed, one after the other."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._words = (folder / "server.err").open("w")
        tests = Path(command_child.__file__).parent
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("AWS_", "DRORCH_"))}
        self._process = subprocess.Popen(
            [sys.executable, command_child.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            text=True,
            env={**kept, **environ, "PYTHONPATH": f"{tests}:{tests.parent}"},
        )

    def type(self, *argv: str, environ: Mapping[str, str] | None = None, answer: str = "") -> Said:
        """A command, and how it ended as `Popen.returncode` says it; at a terminal where `answer` is typed ahead."""
        out, err = self._folder / "out", self._folder / "err"
        order: dict[str, Any] = {"argv": argv, "environ": dict(environ or {}), "out": str(out), "err": str(err)}
        if not answer:
            code = self._obey(order | {"terminal": ""})
            return Said(code, out.read_text(), err.read_text())
        with Terminal(answer) as terminal:
            try:
                code = self._obey(order | {"terminal": terminal.name})
            except AssertionError as error:
                raise AssertionError(f"{error}: {terminal.shown}") from error
        return Said(code, out.read_text(), terminal.shown)

    def _obey(self, order: Mapping[str, Any]) -> int:
        _pipe(self._process.stdin).write(json.dumps(order) + "\n")
        _pipe(self._process.stdin).flush()
        answer = _pipe(self._process.stdout)
        assert select.select([answer], [], [], PATIENCE_S)[0], f"{' '.join(order['argv'])} does not end"
        return os.waitstatus_to_exitcode(int(answer.readline()))

    def close(self) -> None:
        """No commands any more."""
        _pipe(self._process.stdin).close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _pipe(self._process.stdout).close()
        self._words.close()


class Terminal:
    """Where somebody sits who has typed ahead."""

    def __init__(self, answer: str) -> None:
        self._leader, self._follower = pty.openpty()
        self.name = os.ttyname(self._follower)
        self._pieces: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        os.write(self._leader, answer.encode())

    def __enter__(self) -> Terminal:
        self._reader.start()
        return self

    def __exit__(self, *_how: object) -> None:
        os.close(self._follower)  # the last who had it open: the reader ends
        self._reader.join(10)
        os.close(self._leader)

    @property
    def shown(self) -> str:
        return b"".join(self._pieces).decode(errors="replace")

    def _read(self) -> None:
        with suppress(OSError):
            while piece := os.read(self._leader, 4096):
                self._pieces.append(piece)


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


class Healthy:
    """Something that answers 200."""

    def __init__(self) -> None:
        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/health"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Region:
    """The site, its cloud, and AWAY, where things come back."""

    def __init__(self, folder: Path, aws: KillingAws) -> None:
        self.folder, self.aws = folder / "host", aws
        self.folder.mkdir()
        self.config = furnish(self.folder, ["disk"], recovery={"commands": True})
        self.reindexed = folder / "reindexed"
        self.healthy = Healthy()
        self.ec2, self.rds = client(aws, "ec2", AWAY), client(aws, "rds", AWAY)
        self.autoscaling = client(aws, "autoscaling", AWAY)
        self.route53 = client(aws, "route53", "us-east-1")
        aws.reset()
        self._sources()
        self.policy = POLICY.format(**self._landing(), home=HOME, away=AWAY) + "".join(
            f"  - name: {name}\n    kind: {kind}\n    {_SELECTED[kind].replace('NAME', name)}\n"
            f"    schedule: {{every: 7d, offset: {week_offset()}m}}\n"
            f"    copies: [{{region: {AWAY}}}]\n    keep: {{last: 1}}\n"
            for name, kind in RESOURCES.items()
        )
        self.write_policy()
        self.command = Command(folder, aws_environment(aws.endpoint_url, HOME))
        said = self.drorch("run", "--once")
        assert said.code == 0, said.err
        aws.set_ec2_transition(describes=2)
        aws.set_db_instance_transition(describes=2)
        self.empty = self.things()

    def close(self) -> None:
        self.command.close()
        self.healthy.close()

    def write_policy(self, drill: str = "", whole: str = "") -> None:
        """The policy; `drill` is that of every resource, `whole` that of the application."""
        text = self.policy.replace("    keep: {last: 1}\n", f"    keep: {{last: 1}}\n{drill}")
        text = text.replace("recovery:\n", f"{whole}recovery:\n")
        (self.folder / "policies" / "shop.yaml").write_text(text)

    # --- commands ---

    def drorch(self, *argv: str, failpoint: str = "", answer: str = "") -> Said:
        """A command with this host's configuration; nobody of it is left behind."""
        environ = {VARIABLE: failpoint} if failpoint else {}
        said = self.command.type("--config", str(self.config), *argv, environ=environ, answer=answer)
        self.nobody_left()
        return said

    def nobody_left(self) -> None:
        """A worker whose command was killed goes by itself; until then it holds its resource's lock."""
        locks, deadline = Locks(self.folder / "state"), time.monotonic() + 30
        while any(locks.holder(f"shop.{name}") for name in RESOURCES):
            assert time.monotonic() < deadline, "a worker was left behind"
            time.sleep(0.02)

    # --- the cloud before ---

    def _sources(self) -> None:
        for name in ("one", "two"):
            volume(self.aws, app="shop", disk="data", Name=name)
        ec2, rds = client(self.aws, "ec2", HOME), client(self.aws, "rds", HOME)
        for name in (name for name, kind in RESOURCES.items() if kind == "ami"):
            ec2.run_instances(
                ImageId="ami-12345678",
                InstanceType="m5.large",
                MinCount=1,
                MaxCount=1,
                BlockDeviceMappings=[{"DeviceName": d, "Ebs": {"VolumeSize": 8}} for d in ("/dev/sda1", "/dev/sdf")],
                TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "app", "Value": name}]}],
            )
        owner = {"MasterUsername": "owner", "MasterUserPassword": "not-a-secret"}
        small = {"DBInstanceClass": "db.t3.micro", "AllocatedStorage": 20, "Engine": "postgres"}
        rds.create_db_instance(DBInstanceIdentifier="shop-ledger", **small, **owner)
        aurora = {"Engine": "aurora-postgresql", "EngineVersion": "16.4"}
        rds.create_db_cluster(DBClusterIdentifier="shop-orders", **aurora, **owner)
        member = {"DBClusterIdentifier": "shop-orders", "DBInstanceClass": "db.r6g.large", "Engine": aurora["Engine"]}
        for name in ("a", "b"):
            rds.create_db_instance(DBInstanceIdentifier=f"shop-orders-{name}", **member)

    def _landing(self) -> dict[str, str]:
        """What is in AWAY before: an instance that volumes are attached to, a template, an empty group, a zone."""
        subnets = self.ec2.describe_subnets()["Subnets"]
        group = self.ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
        made = self.ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, SubnetId=subnets[0]["SubnetId"])
        data = {"ImageId": "ami-12345678", "InstanceType": "m5.large"}
        for name in (TEMPLATE, GROUP):
            template = self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
        self.template = template["LaunchTemplate"]["LaunchTemplateId"]
        elb = client(self.aws, "elbv2", AWAY)
        of = {"Name": TARGETS, "Protocol": "HTTP", "Port": 80, "VpcId": subnets[0]["VpcId"]}
        target = elb.create_target_group(**of)["TargetGroups"][0]["TargetGroupArn"]
        self.autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=GROUP,
            LaunchTemplate={"LaunchTemplateId": self.template, "Version": "$Default"},
            MinSize=0,
            MaxSize=4,
            DesiredCapacity=0,
            TargetGroupARNs=[target],
            VPCZoneIdentifier=",".join(subnet["SubnetId"] for subnet in subnets[:2]),
        )
        zone = self.route53.create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"]
        self.zone = zone.rpartition("/")[2]
        return {
            "instance": made["Instances"][0]["InstanceId"],
            "subnet": subnets[0]["SubnetId"],
            "group": group,
            "template": TEMPLATE,
            "asg": GROUP,
            "targets": TARGETS,
            "address": self.healthy.address,
            "zone": self.zone,
            "record": RECORD,
            "made": str(self.reindexed),
        }

    # --- what is there ---

    def things(self) -> dict[str, list[Any]]:
        """Everything that a restore, a runbook or a drill could have made, as AWS shows it."""
        reservations = self.ec2.describe_instances()["Reservations"]
        instances = [entry for each in reservations for entry in each["Instances"]]
        templates = self.ec2.describe_launch_templates()["LaunchTemplates"]
        versions = [
            version
            for template in templates
            for version in self.ec2.describe_launch_template_versions(LaunchTemplateId=template["LaunchTemplateId"])[
                "LaunchTemplateVersions"
            ]
        ]
        return {
            "volumes": self.ec2.describe_volumes()["Volumes"],
            "instances": [entry for entry in instances if entry["State"]["Name"] != "terminated"],
            "versions": versions,
            "networks": self.ec2.describe_security_groups()["SecurityGroups"],
            "databases": self.rds.describe_db_instances()["DBInstances"],
            "clusters": self.rds.describe_db_clusters()["DBClusters"],
            "groups": self.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"],
            "records": self.route53.list_resource_record_sets(HostedZoneId=self.zone)["ResourceRecordSets"],
            "snapshots": self.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"],
            "images": self.ec2.describe_images(Owners=["self"])["Images"],
        }

    def shown(self) -> list[str]:
        """`things` so that what was made one after the other can be compared."""
        return _shown(self.things())

    def empty_again(self) -> None:
        """What was made since the host was made is gone, as if nobody had begun."""
        before = {_name(entry) for entries in self.empty.values() for entry in entries}
        now = {what: [e for e in entries if _name(e) not in before] for what, entries in self.things().items()}
        self.autoscaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, DesiredCapacity=0)
        for each in now["instances"]:
            self.ec2.terminate_instances(InstanceIds=[each["InstanceId"]])
        for each in self.ec2.describe_volumes()["Volumes"]:
            if each["VolumeId"] not in before:
                for at in each["Attachments"]:
                    self.ec2.detach_volume(**{key: at[key] for key in ("VolumeId", "InstanceId", "Device")})
                self.ec2.delete_volume(VolumeId=each["VolumeId"])
        for each in now["versions"]:
            number = str(each["VersionNumber"])
            self.ec2.delete_launch_template_versions(LaunchTemplateId=each["LaunchTemplateId"], Versions=[number])
        for each in now["databases"]:
            self.rds.delete_db_instance(DBInstanceIdentifier=each["DBInstanceIdentifier"], SkipFinalSnapshot=True)
        for each in now["clusters"]:
            self.rds.delete_db_cluster(DBClusterIdentifier=each["DBClusterIdentifier"], SkipFinalSnapshot=True)
        changes = [{"Action": "DELETE", "ResourceRecordSet": each} for each in now["records"]]
        if changes:
            self.route53.change_resource_record_sets(HostedZoneId=self.zone, ChangeBatch={"Changes": changes})
        self.reindexed.unlink(missing_ok=True)
        self._new_template()
        assert self.shown() == _shown(self.empty)
        self.empty = self.things()

    def _new_template(self) -> None:
        """For a token that it knows EC2 would name a version that is deleted: the group gets a template anew."""
        self.ec2.delete_launch_template(LaunchTemplateId=self.template)
        data = {"ImageId": "ami-12345678", "InstanceType": "m5.large"}
        made = self.ec2.create_launch_template(LaunchTemplateName=GROUP, LaunchTemplateData=data)
        self.template = made["LaunchTemplate"]["LaunchTemplateId"]
        named = {"LaunchTemplateId": self.template, "Version": "$Default"}
        self.autoscaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, LaunchTemplate=named)


_NAMES = ("VolumeId", "InstanceId", "ImageId", "SnapshotId", "DBInstanceIdentifier", "DBClusterIdentifier")


def _name(entry: dict[str, Any]) -> str:
    if "VersionNumber" in entry:
        return f"{entry['LaunchTemplateId']}:{entry['VersionNumber']}"
    named = next((key for key in _NAMES if key in entry), "")
    return str(entry[named]) if named else f"{entry.get('Name', '')}{entry.get('AutoScalingGroupName', '')}"


def _shown(things: dict[str, list[Any]]) -> list[str]:
    return sorted(f"{what}: {alike(_still(entry))}" for what, entries in things.items() for entry in entries)


def alike(value: Any) -> str:
    """As text, without ids that AWS gave and without the name of the restore."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return re.sub(r"/(golden|killed)(-book)?\b", "/NAME", _ID.sub("ID", text))


def _still(value: Any) -> Any:
    """Without what differs between two things that were made alike."""
    if isinstance(value, dict):
        return {name: _still(each) for name, each in value.items() if not _VOLATILE.search(name)}
    return [_still(each) for each in value] if isinstance(value, list) else value
