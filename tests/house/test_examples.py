"""Every example that the project ships is valid, and says about itself what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from drorch.app.config import Config, load_config
from drorch.app.policies import check_file, load_policies
from drorch.domain.feasibility import feasibility
from drorch.domain.policy import Vocabulary
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
    return adapters.vocabulary(
        vaults={name: vault.domain for name, vault in config.vaults.items()},
        accounts=frozenset(config.aws.accounts),
        credentials={name: frozenset(entry.applications) for name, entry in config.credentials.items()},
        defaults=config.defaults,
    )


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
    assert [loaded.file for loaded in found.valid] == ["rds-instance.yaml", "shop.yaml", "postgres.yaml", "ebs.yaml"]


def test_every_kind_has_a_policy_of_its_own_and_the_shop_has_them_all(vocabulary: Vocabulary) -> None:
    kinds = set(vocabulary.kinds)
    assert {path.stem for path in POLICIES} == kinds | {"shop"}
    for path in POLICIES:
        policy, _ = check_file(path, vocabulary)
        assert policy is not None
        assert {resource.kind for resource in policy.resources} == (kinds if path.stem == "shop" else {path.stem})


def test_every_promise_of_the_examples_is_judged_and_kept(config: Config, vocabulary: Vocabulary) -> None:
    vaults = {name: vault.domain for name, vault in config.vaults.items()}
    for path in POLICIES:
        policy, _ = check_file(path, vocabulary)
        assert policy is not None
        lines = feasibility(policy, vaults)
        assert lines
        assert all(line.feasible for line in lines), [str(line) for line in lines]


def test_every_comment_stays_on_its_line() -> None:
    """What people read in a terminal of 120 columns."""
    for path in (*POLICIES, CONFIG):
        assert max(len(line) for line in path.read_text().splitlines()) <= 120, path.name
