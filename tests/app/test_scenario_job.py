"""The job of a drill of a whole application: composed of the host's configuration and policies, run by a worker."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from drorch.app.carry import Scene
from drorch.app.drill_alone import drilling_in
from drorch.app.jobs import NativeDrillJob, ScenarioJob, VaultSpec
from drorch.app.native_drill import NativeDrillOrder
from drorch.app.observe import World
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.domain.action import ScenarioDrill
from drorch.domain.catalogue import Catalogue
from drorch.domain.errors import Busy, Refused
from drorch.domain.scenario import SCENARIO
from drorch.kinds.memory import MemoryCloud, MemorySnapshots
from drorch.ports import RestoresSnapshots
from drorch.wiring.host import Host, open_host
from drorch.wiring.jobs import compose_job, drill_looks
from drorch.wiring.rights import account_uses
from drorch.worker import JOBS, Context, Wired, WorkerClock

POLICY = """\
version: 1
application: shop
home: {account: prod, region: us-east-1}
resources:
  - name: ledger
    kind: rds-instance
    identifier: shop-ledger
    schedule: {every: 1d}
    copies: [{region: us-west-2}]
    keep: {last: 3}
    drill: {every: 7d, options: {security_groups: [sg-0123456789abcdef0]}}
  - name: web
    kind: ami
    select: {tags: {app: shop}}
    schedule: {every: 1d}
    copies: [{region: us-west-2}]
    keep: {last: 3}
recovery:
  regions:
    us-west-2: {ledger: {name: shop, security_groups: default, deletion_protection: true}}
  steps:
    - {name: ledger, restore: ledger}
    - {name: image, restore: web, needs: []}
    - {name: up, launch: {image: image, group: web, target_group: web}}
drill: {every: 30d, scenario: region, max_hours: 3}
"""
ACTION = ScenarioDrill("shop", SCENARIO, "prod.us-west-2", "", "due")


def opened(folder: Path, policy: str = POLICY) -> Host:
    (folder / "policies").mkdir()
    (folder / "policies" / "shop.yaml").write_text(policy)
    (folder / "signing.key").write_text(SecretKey.generate().text())
    (folder / "signing.key").chmod(0o600)
    for name in ("nas", "near"):
        (folder / name).mkdir()
    vault = f"{{type: directory, path: {folder}/%s, provider: %s, region: %s}}"
    (folder / "drorch.yaml").write_text(
        "version: 1\nsite: acme\npolicies: policies/\nstate: state\n"
        f"vaults:\n  nas: {vault % ('nas', 'onprem', 'office')}\n  near: {vault % ('near', 'aws', 'us-east-1')}\n"
        "aws: {accounts: {prod: {id: '123456789012'}}}\n"
        f"encryption: {{recipients: [{new_identity()[1]}]}}\nsigning: {{key: {{file: signing.key}}}}\n"
    )
    return open_host(str(folder / "drorch.yaml"), environ={})


def composed(host: Host) -> ScenarioJob:
    loaded = host.policies().get("shop")
    assert loaded is not None, host.policies().findings
    scene = Scene(loaded.policy.resources[0], Catalogue("shop"), World(host.now()), (), policy=loaded.policy)
    job = compose_job(host, ACTION, scene)
    assert isinstance(job, ScenarioJob)
    return ScenarioJob.from_json(json.loads(json.dumps(job.to_json())))


def test_it_reads_points_outside_the_home_region_and_writes_its_proof_everywhere(tmp_path: Path) -> None:
    host = opened(tmp_path)
    job = composed(host)
    assert job.order.vaults == ("nas",)
    assert [vault.name for vault in job.vaults] == ["nas", "near"]
    assert (job.order.region, job.order.most.total_seconds()) == ("us-west-2", 3 * 3600)
    assert job.host.state == str(host.config.state)
    assert host.signing_key().text().splitlines()[-1] not in repr(job)


def test_each_resource_comes_back_as_its_drill_says_and_an_image_as_one_instance(tmp_path: Path) -> None:
    order = composed(opened(tmp_path)).order
    ledger, web = order.resources["ledger"], order.resources["web"]
    assert ledger.mapped["security_groups"] == "default"
    assert ledger.own == {"security_groups": ["sg-0123456789abcdef0"]}
    assert (web.kind, web.own) == ("ami", {"count": 1})
    assert [(step.name, bool(step.left_out)) for step in order.steps] == [
        ("ledger", False),
        ("image", False),
        ("up", True),
    ]


def test_it_looks_for_other_drills_wherever_this_host_drills_in_the_account(tmp_path: Path) -> None:
    host = opened(tmp_path)
    places = (("ami", "prod", "us-west-2"), ("rds-instance", "prod", "us-west-2"))
    assert composed(host).order.looks == places == drill_looks(host, "prod")
    assert drill_looks(host, "vault") == ()


def test_the_roles_may_do_what_the_drill_of_the_whole_does(tmp_path: Path) -> None:
    host = opened(tmp_path)
    (use,) = account_uses(host.config, [loaded.policy for loaded in host.policies().valid])
    assert sorted(native.service for native in use.native if native.drilled) == ["ec2", "rds"]


def test_without_it_in_the_policy_there_is_no_job(tmp_path: Path) -> None:
    host = opened(tmp_path, POLICY[: POLICY.index("drill: {every: 30d")])
    with pytest.raises(Refused, match="no drill of the whole application"):
        composed(host)


class Kinds(Wired):
    """Kinds of a cloud in memory."""

    cloud = MemoryCloud(lambda: WorkerClock(threading.Event()).now())

    def restoring(self, kind: str, /) -> RestoresSnapshots:
        return MemorySnapshots(self.cloud, kind, "rds" if kind.startswith("rds") else "ec2")


@pytest.mark.parametrize("name", ["native-drill", "scenario-drill"])
def test_a_worker_does_not_begin_while_this_host_drills_in_the_account(tmp_path: Path, name: str) -> None:
    host = opened(tmp_path)
    scenario = composed(host)
    order = NativeDrillOrder("acme", "shop", "ledger", "prod.us-west-2", "p", host.now(), (), 0, scenario.order.most)
    vaults: tuple[VaultSpec, ...] = ()
    native = NativeDrillJob(order.to_json(), "rds-instance", {}, vaults, scenario.signing_key, scenario.host)
    job = native if name == "native-drill" else scenario
    context = Context(Kinds, threading.Event(), lambda _progress: None)
    with (
        drilling_in(str(host.config.state), ["prod"], "drill of bank/ledger"),
        pytest.raises(Busy, match="drilling:prod"),
    ):
        JOBS[name](json.loads(json.dumps(job.to_json())), context)
