"""Names to adapters, and jobs for workers: the secrets in them are the granted ones, as they are now."""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drorch.app.carry import Scene
from drorch.app.clock import SystemClock
from drorch.app.jobs import DrillJob, DumpJob, NativeDrillJob, RepairJob, ShipJob, VerifyJob
from drorch.app.native_drill import NativeDrillOrder
from drorch.app.observe import World
from drorch.app.repair import RepairOrder
from drorch.app.verify import Place
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.domain.action import Copy, Cut, Drill, Repair, Ship, Verify
from drorch.domain.catalogue import Catalogue
from drorch.domain.errors import NotFound, Refused, Usage
from drorch.domain.model import Copy as DumpCopy
from drorch.domain.model import CopyState, FailureDomain, Member, RecoveryPoint
from drorch.domain.native_restore import Isolation
from drorch.wiring import adapters
from drorch.wiring.host import Host, open_host
from drorch.wiring.jobs import compose_job

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
POLICY = """\
version: 1
application: shop
home: {provider: onprem, region: office}
resources:
  - name: orders
    kind: postgres
    connection: {host: db.internal, database: orders, user: backup, password: {credential: orders-db}}
    schedule: {every: 6h}
    vaults: [nas]
    keep: {last: 3}
    drill: {every: 7d, probes: [{sql: select 1, expect: == 1}]}
"""


class Home:
    """A host in a folder."""

    def __init__(self, folder: Path, more: str = "", credentials: str = "") -> None:
        self.folder = folder
        self.key = SecretKey.generate()
        self.identity, recipient = new_identity()
        (folder / "policies").mkdir()
        (folder / "policies" / "shop.yaml").write_text(POLICY)
        for name, text in (
            ("key.txt", self.identity),
            ("signing.key", self.key.text()),
            ("db.password", "first"),
            ("scratch.password", "scratch-secret"),
        ):
            self.secret(name, text)
        (folder / "drorch.yaml").write_text(
            f"version: 1\nsite: acme\npolicies: policies/\nstate: state\n"
            f"vaults:\n  nas: {{type: directory, path: {folder}, provider: onprem, region: office}}\n"
            f"encryption: {{recipients: [{recipient}], identities: [{{file: key.txt}}]}}\n"
            "signing: {key: {file: signing.key}}\n"
            + (credentials or "credentials: {orders-db: {file: db.password, applications: [shop]}}\n")
            + more
        )
        self.host: Host = open_host(str(folder / "drorch.yaml"), environ={})

    def secret(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text + "\n")
        path.chmod(0o600)

    def scene(self, catalogue: Catalogue | None = None) -> Scene:
        policy = self.host.policies().get("shop")
        assert policy is not None, self.host.policies().findings
        return Scene(policy.policy.resources[0], catalogue or Catalogue("shop"), World(self.host.now()), (), "a note")


CUT = Cut("shop", "orders", "", "p1", "due", "2026-11-20T09:00Z", 1, ("nas",))
DRILL = Drill("shop", "orders", "nas", "p1", "due")


def test_job_of_a_dump_carries_what_the_worker_needs_and_the_secret_as_it_is_now(tmp_path: Path) -> None:
    home = Home(tmp_path)
    job = compose_job(home.host, CUT, home.scene())
    assert isinstance(job, DumpJob)
    assert (job.order.site, job.order.point, job.order.note) == ("acme", "p1", "a note")
    assert job.order.policy["digest"]
    assert dict(job.secrets) == {"orders-db": "first"}
    home.secret("db.password", "rotated")
    again = compose_job(home.host, CUT, home.scene())
    assert isinstance(again, DumpJob)
    assert dict(again.secrets) == {"orders-db": "rotated"}
    assert SecretKey.parse(again.signing_key).public == home.key.public


def test_no_job_shows_its_secrets(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for job in (compose_job(home.host, CUT, home.scene()), compose_job(home.host, DRILL, home.scene())):
        for secret in ("first", home.identity, home.key.text().splitlines()[-1]):
            assert secret not in repr(job)
    assert "first" in json.dumps(compose_job(home.host, CUT, home.scene()).to_json()), "the pipe has to carry it"


FILES = POLICY.replace("kind: postgres", "kind: files\n    paths: [/srv/shop/uploads]")
FILES = "\n".join(line for line in FILES.splitlines() if "connection" not in line).replace(", probes", "} #") + "\n"


def files_home(folder: Path) -> Home:
    home = Home(folder, more="paths: {shop: [/srv/shop], billing: [/srv/billing]}\n")
    (folder / "policies" / "shop.yaml").write_text(FILES)
    return home


def test_job_of_files_carries_what_its_application_may_read_and_where_a_drill_unpacks(tmp_path: Path) -> None:
    home = files_home(tmp_path)
    cut = compose_job(home.host, CUT, home.scene())
    assert isinstance(cut, DumpJob)
    assert cut.options == {"paths": ["/srv/shop/uploads"], "exclude": []}
    assert cut.host.paths == ("/srv/shop",)
    again = DumpJob.from_json(json.loads(json.dumps(cut.to_json())))
    assert list(again.host.paths) == ["/srv/shop"]
    drill = compose_job(home.host, DRILL, home.scene())
    assert isinstance(drill, DrillJob)
    assert drill.host.scratch == str(tmp_path / "state" / "drills")
    assert drill.host.paths == (), "a drill reads nothing of this host"


@pytest.mark.parametrize("paths", ["", "paths: {billing: [/srv/shop]}\n", "paths: {shop: [/srv/shop/other]}\n"])
def test_path_that_was_not_granted_is_refused_at_its_use_too(tmp_path: Path, paths: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    scene = files_home(tmp_path / "a").scene()
    host = Home(tmp_path / "b", more=paths).host
    with pytest.raises(Refused, match="path /srv/shop/uploads is not granted to shop"):
        compose_job(host, CUT, scene)


@pytest.mark.parametrize(
    "credentials",
    [
        "credentials: {orders-db: {file: db.password, applications: [billing]}}\n",
        "credentials: {orders-db: {file: db.password}}\n",
        "credentials: {another: {file: db.password, applications: [shop]}}\n",
    ],
)
def test_credential_that_was_not_granted_is_refused_at_its_use_too(tmp_path: Path, credentials: str) -> None:
    """The policy was checked when it was read; a stale one may name what was taken away since."""
    home = Home(tmp_path)
    scene = home.scene()
    other = tmp_path / "other"
    other.mkdir()
    host = dataclasses.replace(Home(other, credentials=credentials).host)
    with pytest.raises(Refused, match="credential orders-db is not granted to shop"):
        compose_job(host, CUT, scene)


def test_secret_that_is_gone_is_refused_when_it_is_needed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (tmp_path / "db.password").unlink()
    with pytest.raises(NotFound, match=r"db\.password"):
        compose_job(home.host, CUT, home.scene())


def test_drill_runs_on_a_private_server_or_on_the_one_of_the_configuration(tmp_path: Path) -> None:
    home = Home(tmp_path)
    job = compose_job(home.host, DRILL, home.scene())
    assert isinstance(job, DrillJob)
    assert (job.scratch, dict(job.secrets)) == (None, {})
    assert job.identities == (home.identity,)
    folder = tmp_path / "second"
    folder.mkdir()
    scratch = "drills: {scratch: {postgres: {connection: {host: h, user: u, password: {file: scratch.password}}}}}\n"
    home = Home(folder, scratch)
    job = compose_job(home.host, DRILL, home.scene())
    assert isinstance(job, DrillJob)
    assert job.scratch is not None
    assert job.scratch["connection"]["password"] == {"credential": "scratch"}
    assert dict(job.secrets) == {"scratch": "scratch-secret"}


LEDGER = """\
version: 1
application: shop
home: {account: prod, region: us-east-1}
recovery: {regions: {us-west-2: {ledger: {subnet_group: dr, security_groups: [sg-1]}}}}
resources:
  - name: ledger
    kind: rds-instance
    identifier: shop-ledger
    schedule: {every: 6h}
    copies: [{region: us-west-2}]
    keep: {last: 3}
    drill:
      every: 7d
      probes: [{sql: select 1, expect: == 1}]
      connect: {user: probe, password: {credential: orders-db}}
      isolation: own
      reach_from: [10.0.0.0/8]
"""


def test_drill_of_a_database_asks_its_probes_in_a_network_of_its_own(tmp_path: Path) -> None:
    home = Home(tmp_path, 'aws: {accounts: {prod: {id: "111111111111"}}}\n')
    (tmp_path / "policies" / "shop.yaml").write_text(LEDGER)
    vault, member = "prod.us-west-2", Member("drorch-p1-1", "shop-ledger")
    copies = (DumpCopy(vault, CopyState.USABLE, (member,), bytes=5),)
    catalogue = Catalogue("shop", (RecoveryPoint("p1", "shop", "ledger", "rds-instance", "", NOON, copies),))
    drill = Drill("shop", "ledger", vault, "p1", "due")
    job = compose_job(home.host, drill, home.scene(catalogue))
    assert isinstance(job, NativeDrillJob)
    assert (job.connect, job.secrets) == (
        {"user": "probe", "password": {"credential": "orders-db"}},
        {"orders-db": "first"},
    )
    assert job.options["subnet_group"] == "dr"
    assert "first" not in repr(job) and "first" in json.dumps(job.to_json())
    order = NativeDrillOrder.from_json(json.loads(json.dumps(job.to_json()))["order"])
    assert ([probe.sql for probe in order.probes], order.isolation) == (["select 1"], Isolation(("10.0.0.0/8",)))
    (tmp_path / "policies" / "shop.yaml").write_text(
        LEDGER.replace("      isolation: own\n", "").split("      reach")[0]
    )
    job = compose_job(home.host, drill, home.scene(catalogue))
    assert isinstance(job, NativeDrillJob)
    assert NativeDrillOrder.from_json(job.order).isolation is None, "the runbook's groups"


def test_ship_of_a_point_that_is_gone_is_refused_and_a_light_action_has_no_job(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(Refused, match="not known any more"):
        compose_job(home.host, Ship("shop", "orders", "nas", "p1", "lacks it", "gcs-eu"), home.scene())
    with pytest.raises(TypeError):
        compose_job(home.host, Copy("shop", "orders", "nas", "p1", "lacks it", "x"), home.scene())
    assert ShipJob.name == "ship"


def of(point: str, *copies: DumpCopy, cut_at: datetime | None = NOON) -> RecoveryPoint:
    return RecoveryPoint(point, "shop", "orders", "postgres", "", cut_at, copies, filed=("old-shop", "orders"))


def test_reading_by_turns_is_of_the_copies_that_count_wherever_they_are_filed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    good, bad = DumpCopy("nas", CopyState.USABLE), DumpCopy("nas", CopyState.FAILED)
    going, elsewhere = DumpCopy("nas", CopyState.EXPIRING), DumpCopy("gcs-eu", CopyState.USABLE)
    points = (of("p1", good), of("p2", bad), of("p3", going), of("p4", elsewhere), of("p5", good, cut_at=None))
    verify = Verify("shop", "orders", "nas", "", "turn 7", 7)
    job = compose_job(home.host, verify, home.scene(Catalogue("shop", points)))
    assert isinstance(job, VerifyJob)
    assert (job.order.site, job.order.vault, job.order.turn) == ("acme", "nas", 7)
    assert job.order.places == (Place("old-shop", "orders", NOON, "p1"), Place("old-shop", "orders", NOON, "p3"))
    assert [vault.name for vault in job.vaults] == ["nas"]
    assert home.key.text().splitlines()[-1] not in repr(job)


def test_repair_names_its_point_and_both_vaults(tmp_path: Path) -> None:
    home = Home(tmp_path)
    action = Repair("shop", "orders", "nas", "p1", "damaged", "gcs-eu")
    job = compose_job(home.host, action, home.scene(Catalogue("shop", (of("p1"),))))
    assert isinstance(job, RepairJob)
    assert job.order == RepairOrder("acme", Place("old-shop", "orders", NOON, "p1"), source="gcs-eu", target="nas")
    assert home.key.text().splitlines()[-1] not in repr(job)
    with pytest.raises(Refused, match="not known any more"):
        compose_job(home.host, action, home.scene())


# --- names to adapters ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: adapters.build_store("v", "tape", {}, {}), Refused, "no vault type 'tape'"),
        (lambda: adapters.build_store("v", "gcs", {"bucket": 7}, {}), Refused, "options of vault v"),
        (lambda: adapters.store_from_url("ftp://a/b"), Usage, "is no vault"),
        (lambda: adapters.store_from_url("http://a/b"), Usage, "is no vault"),
        (lambda: adapters.store_from_url(""), Usage, "is no vault"),
        (lambda: adapters.build_engine("rds-cluster"), Refused, "no kind of dump"),
        (lambda: adapters.build_engine("oracle"), Refused, "no kind of dump"),
        (lambda: adapters.engine_options("postgres", {"connection": {}}), Refused, "no options of postgres"),
        (lambda: adapters.engine_of_target("region:us-east-1"), Usage, "no restore target"),
        (lambda: adapters.engine_of_target("orders"), Usage, "no restore target"),
    ],
)
def test_name_that_no_adapter_has(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(
    ("url", "kind", "domain"),
    [
        ("s3://acme-dr/team?region=us-west-2", "s3", FailureDomain("aws", "us-west-2")),
        ("gs://acme-dr", "gcs", FailureDomain("gcp", "unknown")),
        ("azure://acmedr/vault/team", "azure", FailureDomain("azure", "unknown")),
        ("swift://acme-dr", "swift", FailureDomain("swift", "unknown")),
        ("file:///mnt/dr", "directory", None),
    ],
)
def test_vault_by_its_address(url: str, kind: str, domain: FailureDomain | None) -> None:
    found, options = adapters.store_from_url(url)
    assert found == kind
    where = adapters.domain_of(options)
    if domain is not None:
        assert (where.provider, where.region) == (domain.provider, domain.region)


@pytest.mark.parametrize("target", ["postgresql://h/d", "postgres://h/d", "postgresql:///d?host=/run"])
def test_target_of_postgres(target: str) -> None:
    assert adapters.engine_of_target(target) == "postgres"


def test_host_without_signing_key_or_identity_says_what_is_missing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    text = (tmp_path / "drorch.yaml").read_text()
    (tmp_path / "drorch.yaml").write_text(
        text.replace("signing: {key: {file: signing.key}}\n", "").replace(", identities: [{file: key.txt}]", "")
    )
    host = open_host(str(home.folder / "drorch.yaml"), environ={})
    with pytest.raises(Refused, match="no signing key"):
        host.signing_key()
    with pytest.raises(Refused, match="no age identity"):
        host.identities()
    assert host.trusted == ()
    with pytest.raises(NotFound, match="there is no vault 'x'"):
        host.store("x")


def test_hosts_own_key_counts_unless_the_configuration_gives_it_an_end(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert [(t.key, t.until) for t in home.host.trusted] == [(home.key.public, None)]
    ended = f"{{key: {home.key.public.text()}, until: 2027-01-01T00:00Z}}"
    path = tmp_path / "drorch.yaml"
    path.write_text(path.read_text().replace("signing.key}}", f"signing.key}}, trusted: [{ended}]}}"))
    (only,) = open_host(str(path), environ={}).trusted
    assert only.until is not None


def test_listed_keys_count_for_reading_while_the_own_one_is_out_of_reach_and_the_own_one_once_it_is_back(
    tmp_path: Path,
) -> None:
    home, listed = Home(tmp_path), SecretKey.generate().public
    (tmp_path / "signing.key").rename(tmp_path / "away")
    with pytest.raises(Refused, match="is not there"):
        _ = home.host.trusted
    path = tmp_path / "drorch.yaml"
    path.write_text(path.read_text().replace("signing.key}}", f'signing.key}}, trusted: ["{listed.text()}"]}}'))
    host = open_host(str(path), environ={})
    assert [trusted.key for trusted in host.trusted] == [listed]
    with pytest.raises(Refused, match="is not there"):
        _ = host.site_key
    with pytest.raises(Refused, match="is not there"):
        _ = host.observer
    (tmp_path / "away").rename(tmp_path / "signing.key")
    assert [trusted.key for trusted in host.trusted] == [listed, home.key.public]
    assert host.observer is not None


def test_policy_that_became_invalid_is_remembered_by_the_next_process(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert [p.stale for p in home.host.policies().valid] == [False]
    (tmp_path / "policies" / "shop.yaml").write_text("version: 1\n")
    host = open_host(str(tmp_path / "drorch.yaml"), environ={})
    (loaded,) = host.policies().valid
    assert (loaded.stale, loaded.policy.application) == (True, "shop")
    assert host.provenance("shop")["digest"] == loaded.digest
    assert host.provenance("nosuch") == {}


def test_root_leaves_no_files_in_a_daemons_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sudo drorch status` beside a daemon of another user would leave a cache that the daemon cannot open."""
    state = tmp_path / "state"
    state.mkdir()
    if os.geteuid() == 0:
        os.chown(state, 65534, 65534)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    host = Host(cast("Any", SimpleNamespace(state=state)), SystemClock(), {})
    with pytest.raises(Refused, match="sudo -u"):
        _ = host.locks
    assert list(state.iterdir()) == []
