"""A region is lost, and its volumes come back in another: what a person types, on the embedded cloud."""

from __future__ import annotations

import json
import shutil
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from clouds import REGIONS, aws_environment, client, embedded_aws, volume
from desks import ALIAS, Said, typed
from lone_host import furnish, week_offset

from drorch.crypto.minisign import SecretKey
from drorch.demo.aws import EmbeddedAws

pytestmark = pytest.mark.integration
HOME, AWAY = REGIONS[0], REGIONS[1]
POLICY = """\
version: 1
application: shop
owner: shop@example.com
home: {{account: prod, region: {home}}}
objectives: {{region: {{rpo: 14d}}}}
recovery:
  regions:
    {away}: {{data: {{zone: {away}a, type: gp3}}}}
resources:
  - name: data
    kind: ebs
    select: {{tags: {{app: shop}}}}
    schedule: {{every: 7d, offset: {offset}m}}
    copies: [{{region: {away}, kms_key: {alias}}}]
    keep: {{last: 1}}
    drill: {{every: 30d}}
"""


class Site:
    """A host with one vault in a folder, and two volumes at HOME, one of them encrypted."""

    def __init__(self, folder: Path, aws: EmbeddedAws) -> None:
        self.aws, self.folder, self.name = aws, folder, ""
        self.config = furnish(folder, ["disk"], recovery={"commands": True})
        self.policy = POLICY.format(home=HOME, away=AWAY, alias=ALIAS, offset=week_offset())
        (folder / "policies" / "shop.yaml").write_text(self.policy)
        aws.reset()
        for region in (HOME, AWAY):
            kms = client(aws, "kms", region)
            kms.create_alias(AliasName=ALIAS, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
        self.sources = {volume(aws, app="shop", Name="one"), volume(aws, app="shop", Name="two", key=ALIAS, size=16)}

    def drorch(self, *arguments: str) -> Said:
        return typed("--config", str(self.config), *arguments)

    def restore(self, *arguments: str) -> Said:
        """Under a name of each test's own: for a token that it knows EC2 would name volumes that are deleted."""
        return self.drorch("restore", "shop", "--into", f"region:{AWAY}", "--as", self.name, *arguments)

    def volumes(self) -> list[dict[str, Any]]:
        return list(client(self.aws, "ec2", AWAY).describe_volumes()["Volumes"])


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with embedded_aws() as started:
        yield started


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, aws: EmbeddedAws) -> Iterator[Site]:
    """Cut, copied, recorded and drilled."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in aws_environment(aws.endpoint_url, HOME).items():
            environment.setenv(name, value)
        made = Site(tmp_path_factory.mktemp("site"), aws)
        said = made.drorch("run", "--once")
        assert said.code == 0, said.err
        assert made.volumes() == [], "the drill of the first run cleared up"
        yield made


@pytest.fixture
def site(lived: Site, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Site]:
    """As it is before anything came back."""
    lived.name = f"t{zlib.crc32(request.node.name.encode()):08x}"
    for name, value in aws_environment(lived.aws.endpoint_url, HOME).items():
        monkeypatch.setenv(name, value)
    yield lived
    lived.aws.recover_region(HOME)
    for left in lived.volumes():
        client(lived.aws, "ec2", AWAY).delete_volume(VolumeId=left["VolumeId"])


def tags_of(entry: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in entry.get("Tags", ())}


def test_the_region_is_lost_and_the_volumes_come_back_as_they_were(site: Site) -> None:
    site.aws.lose_region(HOME)
    planned = site.restore("--plan", "--json")
    assert planned.code == 0, planned.err
    (resource,) = planned.json["resources"]
    assert (resource["resource"], resource["kind"], resource["vault"]) == ("data", "ebs", f"prod.{AWAY}")
    assert site.volumes() == [], "a plan touches nothing"
    said = site.restore("--yes", "--json")
    assert said.code == 0, said.err
    (back,) = said.json["resources"]
    assert (back["outcome"], back["point"]) == ("done", resource["point"])
    found = site.volumes()
    assert {v["VolumeId"] for v in found} == {made["id"] for made in back["made"]}
    assert {made["source_id"] for made in back["made"]} == site.sources
    assert sorted((v["Size"], tags_of(v)["Name"]) for v in found) == [(8, "one"), (16, "two")]
    assert {(v["AvailabilityZone"], v["VolumeType"]) for v in found} == {(f"{AWAY}a", "gp3")}
    for entry in found:
        assert tags_of(entry)["drorch:restore"] == f"shop/data/{resource['point']}/{site.name}"
        assert not {"drorch:point", "drorch:site", "drorch:slot"} & tags_of(entry).keys()


def test_the_same_command_again_finds_everything_there(site: Site) -> None:
    first = site.restore("--yes", "--json")
    again = site.restore("--yes", "--json")
    assert (first.code, again.code) == (0, 0)
    ids = [{made["id"] for made in said.json["resources"][0]["made"]} for said in (first, again)]
    assert ids[0] == ids[1] and len(ids[0]) == 2
    assert len(site.volumes()) == 2


def test_break_glass_takes_the_vault_alone_with_what_the_signed_runbook_says(site: Site) -> None:
    site.aws.lose_region(HOME)
    shutil.copytree(site.folder / "disk", site.folder / "stick")
    public = SecretKey.parse((site.folder / "signing.key").read_text()).public.text()  # as it lies in a safe
    words = ["--vault-url", f"file://{site.folder / 'stick'}", "--trust", public]
    said = typed("restore", "shop", "data", "--into", f"region:{AWAY}", "--as", site.name, *words, "--yes", "--json")
    assert said.code == 0, said.err
    assert {m["source_id"] for m in said.json["resources"][0]["made"]} == site.sources
    reports = [json.loads(path.read_text()) for path in (site.folder / "stick" / "drorch/v1/reports").rglob("*.json")]
    (told,) = [report for report in reports if report.get("resource") == "data"]
    assert (told["target"], told["outcome"], len(told["made"])) == ("region", "done", 2)
    assert "report, not signed: " in said.err


def test_what_is_typed_goes_over_what_the_policy_says_and_nonsense_is_refused(site: Site) -> None:
    wrong = site.restore("--with", "zone=mars-1a", "--yes")
    assert wrong.code == 3
    assert "zone: must have the right form" in wrong.err
    wrong = site.restore("--with", f"zone={AWAY}z", "--yes")
    assert wrong.code == 3
    assert f"{AWAY}z" in wrong.err and f"{AWAY}b" in wrong.err
    assert site.volumes() == []
    said = site.restore("--with", f"zone={AWAY}b", "--yes", "--json")
    assert said.code == 0, said.err
    assert {v["AvailabilityZone"] for v in site.volumes()} == {f"{AWAY}b"}


def test_import_blocks_are_written_where_they_are_wanted(site: Site) -> None:
    file = site.folder / "restored.tf"
    said = site.restore("--yes", "--terraform", str(file))
    assert said.code == 0, said.err
    text = file.read_text()
    assert text.count("import {") == 2 and "to = aws_ebs_volume.restored_data" in text
    assert all(v["VolumeId"] in text for v in site.volumes())


def test_a_drill_proves_that_the_copies_are_restorable_and_leaves_nothing(site: Site) -> None:
    (point,) = site.drorch("points", "shop", "--json").json["points"]
    said = site.drorch("drill", "shop", "data", "--json")
    assert said.code == 0, said.err
    (drilled,) = said.json["drills"]
    assert (drilled["outcome"], drilled["point"], drilled["left"]) == ("restorable", point["id"], [])
    assert site.volumes() == []
    planned = site.restore("--plan", "--json").json
    assert [step["estimate_s"] is not None for step in planned["steps"]] == [False, True]


@pytest.fixture
def answering() -> Iterator[str]:
    """The address of something that is healthy."""

    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/health"
        server.shutdown()


@pytest.fixture
def runbook(site: Site, answering: str) -> Iterator[Path]:
    """The policy has steps, the vault their record; the file that the command makes."""
    policy, made = site.config.parent / "policies" / "shop.yaml", site.folder / "reindexed"
    steps = f"""\
  steps:
    - {{name: volumes, restore: data}}
    - {{name: healthy, wait: {{http: "{answering}", status: 204, for: 10m}}}}
    - {{name: reindex, command: [{shutil.which("touch")}, {made}]}}
resources:
"""
    policy.write_text(site.policy.replace("resources:\n", steps, 1))
    checked = site.drorch("policy", "check")
    assert checked.code == 0, checked.err
    assert site.drorch("run", "--once").code == 0
    yield made
    made.unlink(missing_ok=True)
    policy.write_text(site.policy)


def test_the_runbook_is_shown_and_carried_out_in_its_order(site: Site, runbook: Path) -> None:
    site.aws.lose_region(HOME)
    planned = site.restore("--plan", "--json")
    assert planned.code == 0, planned.err
    assert [step["step"] for step in planned.json["steps"]] == ["volumes", "healthy", "reindex"]
    assert site.volumes() == [] and not runbook.exists()
    said = site.restore("--yes", "--json")
    assert said.code == 0, said.err
    assert [step["outcome"] for step in said.json["steps"]] == ["done"] * 3
    assert len(site.volumes()) == 2 and runbook.exists()
    assert {m["id"] for m in said.json["resources"][0]["made"]} == {v["VolumeId"] for v in site.volumes()}


def test_break_glass_carries_the_signed_runbook_out_and_runs_commands_only_when_told(site: Site, runbook: Path) -> None:
    site.aws.lose_region(HOME)
    public = SecretKey.parse((site.folder / "signing.key").read_text()).public.text()
    words = ["--into", f"region:{AWAY}", "--as", site.name, "--yes"]
    words += ["--vault-url", f"file://{site.folder / 'disk'}", "--trust", public]
    refused = typed("restore", "shop", *words)
    assert refused.code == 3
    assert "--allow-commands" in refused.err
    assert site.volumes() == [] and not runbook.exists()
    said = typed("restore", "shop", *words, "--allow-commands")
    assert said.code == 0, said.err
    assert len(site.volumes()) == 2 and runbook.exists()
    assert "shop is back in" in said.out


def test_a_manual_step_in_a_pipe_waits_for_nobody_and_is_told_as_left(site: Site, runbook: Path) -> None:
    policy = site.config.parent / "policies" / "shop.yaml"
    policy.write_text(
        policy.read_text().replace("{name: healthy,", "{name: word, manual: Tell payments}\n    - {name: healthy,")
    )
    said = site.restore("--yes", "--json")
    assert said.code == 3
    assert {step["step"]: step["outcome"] for step in said.json["steps"]} == {
        "volumes": "done",
        "word": "failed",
        "healthy": "not begun",
        "reindex": "not begun",
    }
    assert len(said.json["to_do"]) == 3
    assert not runbook.exists()
