"""What the demo is made of: the files it writes, the variables it takes away, what ends it, and its exit code."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from drorch.app.passing import Finished, Pass
from drorch.app.policies import load_policies
from drorch.demo import site
from drorch.demo.environment import environment
from drorch.demo.run import Outcome
from drorch.demo.story import Story, Tone, Watch
from drorch.domain.action import Cut
from drorch.domain.errors import Refused, Unavailable
from drorch.domain.model import FailureLevel
from drorch.wiring.adapters import vocabulary_of
from drorch.wiring.host import open_host

NOW = datetime(2026, 11, 20, 9, 15, tzinfo=UTC)


class Silent:
    """A stage that remembers its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Tone]] = []

    def act(self, title: str) -> None:
        self.lines.append((title, ""))

    def line(self, text: str, tone: Tone = "") -> None:
        self.lines.append((text, tone))

    def standing(self, statuses: Iterable[Any], at: datetime) -> None:
        raise AssertionError("no table was asked for")


def installation(folder: Path) -> site.Installation:
    folder.mkdir()
    return site.Installation(folder, site.Database("127.0.0.1", 5432, "hush"), Path("/opt/pg/bin"), NOW)


@pytest.mark.parametrize("name", ["plain", 'a "quoted" {folder}: #1'])
def test_what_the_demo_writes_is_a_valid_configuration_with_a_valid_policy(tmp_path: Path, name: str) -> None:
    made = installation(tmp_path / name)
    host = open_host(str(made.config), environ={})
    loaded = load_policies(host.config.policies, vocabulary_of(host.config), {})
    assert not loaded.findings
    (policy,) = [entry.policy for entry in loaded.valid]
    assert {resource.kind for resource in policy.resources} == {"ebs", "rds-instance", "postgres"}
    assert set(policy.objectives) == {FailureLevel.ZONE, FailureLevel.REGION, FailureLevel.PROVIDER}
    assert {domain.domain.provider for domain in host.vaults.values()} == {"aws", "gcp", "onprem"}
    assert host.trusted[0].key.text() == made.trusted


def test_what_is_kept_is_valid_without_the_clouds_and_leads_to_none(tmp_path: Path) -> None:
    made = installation(tmp_path / "site")
    (made.vault / "drorch").mkdir()
    (made.vault / ".incoming").mkdir()
    kept = tmp_path / "kept"
    site.require_empty(kept)
    made.keep(kept, Path("/opt/pg/bin"))
    assert sorted(path.name for path in kept.iterdir()) == [
        "drorch.yaml", "key.txt", "minisign.key", "minisign.pub", "policies", "vault",
    ]  # fmt: skip
    assert [path.name for path in (kept / "vault").iterdir()] == ["drorch"]
    host = open_host(str(kept / "drorch.yaml"), environ={})
    loaded = load_policies(host.config.policies, vocabulary_of(host.config), {})
    assert not loaded.findings
    assert [resource.name for resource in loaded.valid[0].policy.resources] == ["orders"]
    assert set(host.vaults) == {"office"}
    assert host.config.vaults["office"].options.model_dump()["path"] == str(kept / "vault")
    assert "  # gcs-eu: {type: gcs" in (kept / "drorch.yaml").read_text()


def test_secrets_are_readable_by_their_owner_alone_and_stand_in_no_other_file(tmp_path: Path) -> None:
    made = installation(tmp_path / "site")
    for name in ("key.txt", "minisign.key", "orders-db.password"):
        assert stat.S_IMODE((made.folder / name).stat().st_mode) == 0o600
    identity = made.identity.read_text().splitlines()[-1]
    for path in (made.config, made.folder / "policies" / "shop.yaml"):
        assert "hush" not in path.read_text()
        assert identity not in path.read_text()
    assert "hush" not in repr(site.Database("127.0.0.1", 5432, "hush"))


def test_a_folder_to_keep_things_in_must_be_empty(tmp_path: Path) -> None:
    site.require_empty(tmp_path / "new" / "folder")
    site.require_empty(tmp_path / "new" / "folder")
    (tmp_path / "file").touch()
    for occupied in (tmp_path, tmp_path / "file"):
        with pytest.raises(Refused, match=r"not empty|no folder"):
            site.require_empty(occupied)


def test_a_persons_clouds_proxies_and_databases_are_out_of_reach_and_come_back() -> None:
    foreign = {
        "AWS_PROFILE": "prod", "AWS_ENDPOINT_URL_S3": "https://real", "GOOGLE_APPLICATION_CREDENTIALS": "/key.json",
        "HTTPS_PROXY": "http://proxy", "no_proxy": "*", "PGHOST": "prod-db", "DRORCH_CONFIG": "/etc/drorch.yaml",
    }  # fmt: skip
    os.environ.update(foreign)
    before = dict(os.environ)
    with environment({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}):
        assert not foreign.keys() & os.environ.keys()
        assert os.environ["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
        assert os.environ["PATH"] == before["PATH"]
    assert dict(os.environ) == before


class OnePass:
    """A loop whose only pass ends one action with an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def run_pass(self) -> Pass:
        cut = Cut("shop", "orders", "", "point", "slot is due", "slot", 1, ("gcs-eu",))
        ended = Finished(cut, "", cast("Any", self.error))
        return Pass(NOW, cast("Any", None), cast("Any", None), started=(cut,), finished=(ended,))


def test_an_action_that_fails_is_shown_and_ends_the_demo_with_its_own_error() -> None:
    stage = Silent()
    watch = Watch(cast("Any", OnePass(Unavailable("the database is gone"))), Story(stage))
    with pytest.raises(Unavailable, match="the database is gone"):
        watch.run()
    assert [tone for _, tone in stage.lines] == ["", "bad"]
    assert "a dump begins, into gcs-eu" in stage.lines[0][0]
    assert "the database is gone" in stage.lines[1][0]


def test_the_exit_code_is_0_only_if_something_was_compared_and_all_of_it_held() -> None:
    story = Story(Silent())
    assert Outcome(story).exit_code == 6
    story.check("one", held=True)
    assert Outcome(story).exit_code == 0
    story.check("two", held=False, detail="differs")
    outcome = Outcome(story)
    assert outcome.exit_code == 6
    assert outcome.to_json()["checks"] == [
        {"check": "one", "held": True, "detail": None},
        {"check": "two", "held": False, "detail": "differs"},
    ]


@pytest.mark.parametrize("missing", ["moto", "gcp_storage_emulator"])
def test_without_its_extra_the_demo_says_what_to_install(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; from drorch.cli.main import main; main(['demo'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert 'pip install "drorch[demo]"' in done.stderr
    assert "Traceback" not in done.stderr
