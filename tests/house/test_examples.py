"""Every example that the project ships is valid, and says about itself what it shows."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from policy_words import read

from drorch.app.config import Config, load_config
from drorch.app.policies import check_file, load_policies
from drorch.domain.feasibility import feasibility
from drorch.domain.policy import Policy
from drorch.domain.snapshot_quota import holdings
from drorch.domain.vocabulary import Vocabulary
from drorch.wiring import adapters

ROOT = Path(__file__).parents[2]
POLICIES = sorted((ROOT / "policies").iterdir())
CONFIG = ROOT / "docs" / "drorch.example.yaml"


@pytest.fixture(scope="module")
def config() -> Config:
    """The example of a host configuration."""
    return load_config(CONFIG, vault_options=adapters.store_options(), regions=adapters.regions())


@pytest.fixture(scope="module")
def vocabulary(config: Config) -> Vocabulary:
    """What policies may name on the example's host."""
    return adapters.vocabulary_of(config)


def test_the_policies_of_the_example_lie_beside_it_wherever_it_is_copied_to(config: Config) -> None:
    assert config.policies == CONFIG.parent / "policies"


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.name)
def test_every_policy_is_valid_on_the_examples_host_and_without_any(path: Path, vocabulary: Vocabulary) -> None:
    for known in (vocabulary, adapters.vocabulary()):
        policy, findings = check_file(path, known)
        assert policy is not None, [str(finding) for finding in findings]


def test_the_examples_are_one_folder_of_policies(vocabulary: Vocabulary) -> None:
    found = load_policies(ROOT / "policies", vocabulary, {})
    assert found.findings == ()
    assert [loaded.file for loaded in found.valid] == [
        "rds-cluster.yaml",
        "cluster.yaml",
        "rds-instance.yaml",
        "retired.yaml",
        "files.yaml",
        "ami.yaml",
        "shop.yaml",
        "postgres.yaml",
        "mariadb.yaml",
        "mysql.yaml",
        "ebs.yaml",
    ]


def test_every_kind_has_a_policy_of_its_own_and_the_shop_has_one_of_each_sort(vocabulary: Vocabulary) -> None:
    kinds = set(vocabulary.kinds)
    assert {path.stem for path in POLICIES} == kinds | {"shop", "retired", "cluster"}
    for path in (path for path in POLICIES if path.stem != "retired"):
        policy, _ = check_file(path, vocabulary)
        assert policy is not None
        other = {"shop": {"ebs", "rds-instance", "postgres", "files"}, "cluster": {"postgres"}}
        expected = other.get(path.stem, {path.stem})
        assert {resource.kind for resource in policy.resources} == expected


def test_every_promise_of_the_examples_is_judged_and_kept(config: Config, vocabulary: Vocabulary) -> None:
    vaults = {name: vault.domain for name, vault in config.vaults.items()}
    for path in POLICIES:
        policy, _ = check_file(path, vocabulary)
        assert policy is not None
        lines = feasibility(policy, vaults, locks=vocabulary.locks)
        assert lines
        assert all(line.feasible for line in lines), [str(line) for line in lines]


def fifteen_of(text: str, vocabulary: Vocabulary) -> tuple[Policy, ...]:
    """The policy in `text` of fifteen applications, each with databases of its own."""
    found = []
    vocabulary = replace(vocabulary, paths=None, credentials=None)  # they are granted by the names of applications
    for number in range(15):
        named = re.sub(r"(application|identifier): ([\w-]+)", rf"\1: \2-{number}", text)
        policy, findings = read(named, vocabulary)
        assert policy is not None, findings
        found.append(policy)
    return tuple(found)


@pytest.mark.parametrize("name", ["rds-instance", "rds-cluster", "shop", "README"])
def test_fifteen_databases_under_what_is_shipped_fit_what_aws_allows(name: str, vocabulary: Vocabulary) -> None:
    if name == "README":
        text = re.findall(r"```yaml\n(version: 1\napplication: .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    else:
        text = (ROOT / "policies" / f"{name}.yaml").read_text()
    held = holdings(fifteen_of(text, vocabulary), vocabulary.grace)
    assert {(each.vault, each.resources) for each in held} == {("prod.us-east-1", 15), ("prod.us-west-2", 15)}
    assert {(each.kept, each.leaving, each.total) for each in held} == {(30, 60, 90)}
    assert all(each.fits for each in held)


@pytest.mark.parametrize("kind", ["rds-instance", "rds-cluster"])
def test_fifteen_databases_whose_policies_leave_keep_out_fit_by_the_examples_defaults(
    kind: str, vocabulary: Vocabulary
) -> None:
    text = re.sub(r"(?m)^    keep: .*\n", "", (ROOT / "policies" / f"{kind}.yaml").read_text())
    held = holdings(fifteen_of(text, vocabulary), vocabulary.grace)
    assert [each.total for each in held] == [90, 90]


def test_one_example_leaves_and_one_survives_tampering(config: Config, vocabulary: Vocabulary) -> None:
    policies = {path.stem: check_file(path, vocabulary)[0] for path in POLICIES}
    leaving = policies["retired"]
    assert leaving is not None
    assert leaving.retired is not None
    assert leaving.formerly
    assert [stem for stem, policy in policies.items() if policy is not None and policy.retired] == ["retired"]
    tickets = policies["postgres"]
    assert tickets is not None
    (line,) = [line for line in feasibility(tickets, vocabulary.vaults, locks=vocabulary.locks) if line.lock]
    assert (line.level, line.vault) == ("tampering", "s3-west")
    assert config.brake.share == 20
    assert config.grace == timedelta(days=3)


def test_every_comment_stays_on_its_line() -> None:
    """What people read in a terminal of 120 columns."""
    for path in (*POLICIES, CONFIG):
        assert max(len(line) for line in path.read_text().splitlines()) <= 120, path.name
