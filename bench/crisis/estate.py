"""The shop of the crisis: two real databases of the wished size, volumes, a web server, and an installation of drorch.

Everything lies in the embedded cloud of the demo; what that has not, a pilot light in the other region, is made here.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bench.crisis.words import CONFIG, policy
from bench.measure import Wrong, tell
from drorch.crypto import age, minisign
from drorch.demo import shop, site
from drorch.demo.world import World

GIB = 2**30
_SCAN_BYTES = 256 * 1024
_ROOT = Path(__file__).parents[2]
Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Contents:
    """What a database holds: table -> (rows, MD5 over the MD5s of its rows); its size on the server's disk."""

    tables: Mapping[str, tuple[int, str]]
    bytes: int

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(rows for rows, _ in self.tables.values())


@dataclass(frozen=True)
class Estate:
    """The installation's folder, what the two databases hold, and the public key whose records count."""

    folder: Path
    trusted: str
    orders: Contents
    ledger: Contents

    def environment(self, **more: str) -> dict[str, str]:
        """That of a person at this host: the embedded clouds and nothing else."""
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        return {**os.environ, "PATH": path, "PYTHONPATH": str(_ROOT), "TERM": "xterm", "LANG": "C.UTF-8", **more}


def settle(world: World, folder: Path, size: int, health: str, seconds: float, *, quick: bool) -> Estate:
    """Fill the databases to `size` bytes each, make what the runbook needs, and install drorch into `folder`.

    `health` is the address that the runbook waits for; a volume and an instance take `seconds` until they are ready.
    `quick` leaves out what takes long (see `words.policy`). Raises Wrong when a database is smaller than wished.
    """
    tell(f"filling two databases with {size / GIB:.2f} GiB each")
    filled = {name: _filled(world, name, size) for name in (site.ORDERS, "ledger")}
    world.aws.set_ec2_transition(seconds=seconds)
    places = _places(world)
    identity, recipient = age.new_identity()
    signing = minisign.SecretKey.generate()
    (folder / "policies").mkdir()
    site.write_secret(folder / "key.txt", age.identity_file(identity, datetime.now(UTC)))
    site.write_secret(folder / "minisign.key", signing.text())
    site.write_secret(folder / "orders-db.password", world.orders.password + "\n")
    names = {"recipient": recipient, "trusted": signing.public.text(), "programs": world.databases.programs}
    (folder / "drorch.yaml").write_text(CONFIG.format(**names), encoding="utf-8")
    at = {"host": world.orders.host, "port": world.orders.port, "health": health}
    (folder / "policies" / "shop.yaml").write_text(policy(quick=quick, **at, **places), encoding="utf-8")
    return Estate(folder, signing.public.text(), filled[site.ORDERS], filled["ledger"])


# --- databases -----------------------------------------------------------------------------------------------------


def _filled(world: World, name: str, size: int) -> Contents:
    """Rows of a shop, a quarter of the size at the most, and scans (random bytes) up to it."""
    owner = site.USER if name == site.ORDERS else "ledger"
    with psycopg.connect(world.databases.dsn(name), autocommit=True) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(owner)))
        if name == site.ORDERS:
            many = max(1, round(size * 5 / GIB))
            of = shop.Size(12_000 * many, 1_500 * many, 40_000 * many, 45_000 * many)
            shop.fill(connection, newest=datetime.now(UTC) - timedelta(minutes=2), size=of)
        _scan(connection, size)
        connection.execute("RESET ROLE")
        connection.execute("VACUUM ANALYZE")
        return contents(connection, at_least=size)


def _scan(connection: Connection, size: int) -> None:
    """A table of scanned papers, until the database has `size` bytes: nothing that anybody could compress."""
    connection.execute("CREATE TABLE scans (id bigint PRIMARY KEY, taken_at timestamptz NOT NULL, body bytea NOT NULL)")
    connection.execute("ALTER TABLE scans ALTER body SET STORAGE EXTERNAL")
    drawn, number, began = random.Random(1), 0, datetime(2026, 1, 1, tzinfo=UTC)  # noqa: S311  (nothing secret)
    while (missing := size - _size(connection)) > 0:
        with connection.cursor() as cursor, cursor.copy("COPY scans FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "timestamptz", "bytea"])
            for _ in range(missing // _SCAN_BYTES + 1):
                number += 1
                copy.write_row((number, began + timedelta(minutes=number), drawn.randbytes(_SCAN_BYTES)))


def _size(connection: Connection) -> int:
    row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0


def contents(connection: Connection, at_least: int = 0) -> Contents:
    """Read all of a database. Raises Wrong when it is smaller than `at_least` bytes."""
    size = _size(connection)
    if size < at_least:
        raise Wrong(f"the database has {size} bytes, {at_least} are wanted")
    for setting in ("TimeZone TO 'UTC'", "DateStyle TO 'ISO'", "bytea_output TO 'hex'", "work_mem TO '64MB'"):
        connection.execute(sql.SQL("SET {}").format(sql.SQL(setting)))
    return Contents(dict(_tables(connection)), size)


def _tables(connection: Connection) -> Iterator[tuple[str, tuple[int, str]]]:
    listed = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
    digest = "SELECT count(*), md5(string_agg(m, '' ORDER BY m)) FROM (SELECT md5(t::text) m FROM {} t) s"
    for (name,) in connection.execute(listed).fetchall():
        row = connection.execute(sql.SQL(digest).format(sql.Identifier(name))).fetchone() or (0, "")
        yield str(name), (int(row[0]), str(row[1]))


# --- the cloud -----------------------------------------------------------------------------------------------------


def _places(world: World) -> dict[str, str]:
    """A web server at home; away a subnet in two zones, an empty group behind a target group; a name of the shop."""
    home, away = world.client("ec2", site.HOME), world.client("ec2", site.SECOND)
    tags = [{"Key": "app", "Value": "shop"}, {"Key": "tier", "Value": "web"}, {"Key": "Name", "Value": "shop-web"}]
    home.run_instances(
        ImageId="ami-12345678",
        InstanceType="m7g.large",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    vpc = away.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        away.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"{site.SECOND}{zone}")["Subnet"]
        for n, zone in enumerate("ab")
    ]
    closed = away.create_security_group(GroupName="no-ingress", Description="of drills", VpcId=vpc)["GroupId"]
    _pilot_light(world, vpc, [subnet["SubnetId"] for subnet in subnets])
    zone = world.client("route53", site.HOME).create_hosted_zone(Name="example.com", CallerReference="1")
    name = zone["HostedZone"]["Id"].rpartition("/")[2]
    return {"subnet": subnets[0]["SubnetId"], "group": closed, "zone": name}


def _pilot_light(world: World, vpc: str, subnets: list[str]) -> None:
    """A launch template, a target group and a group of nothing yet."""
    template = world.client("ec2", site.SECOND).create_launch_template(
        LaunchTemplateName="shop", LaunchTemplateData={"ImageId": "ami-12345678", "InstanceType": "m7g.large"}
    )["LaunchTemplate"]["LaunchTemplateId"]
    target = world.client("elbv2", site.SECOND).create_target_group(
        Name="shop-dr", Protocol="HTTP", Port=80, VpcId=vpc
    )["TargetGroups"][0]["TargetGroupArn"]
    world.client("autoscaling", site.SECOND).create_auto_scaling_group(
        AutoScalingGroupName="shop-dr",
        LaunchTemplate={"LaunchTemplateId": template, "Version": "$Default"},
        MinSize=0,
        MaxSize=4,
        DesiredCapacity=0,
        TargetGroupARNs=[target],
        VPCZoneIdentifier=",".join(subnets),
    )
