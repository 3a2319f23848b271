"""How a kind's points come back, as it is said, recorded and read again."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from drorch.domain.canonical import canonical_bytes, parse_canonical
from drorch.domain.policy_drills import drill_said
from drorch.domain.runbook import said_of
from drorch.wiring.adapters import SNAPSHOT_KINDS, restore_model

SAID: dict[str, Mapping[str, object]] = {
    "ebs": {"zone": "us-west-2a"},
    "ami": {"security_groups": ["sg-0123456789abcdef0"], "subnets": ["subnet-0123456789abcdef0"]},
    "rds-instance": {"security_groups": "default", "subnet_group": "default"},
    "rds-cluster": {"security_groups": "default", "class": "db.r6g.large"},
}


@pytest.mark.parametrize("kind", SNAPSHOT_KINDS)
def test_what_is_said_is_the_same_once_it_was_recorded_and_read_again(kind: str) -> None:
    model = restore_model(kind)
    assert model is not None
    options = model.model_validate(dict(SAID[kind]))
    recorded = parse_canonical(canonical_bytes(said_of(options)))
    assert model.model_validate(recorded) == options
    assert recorded.keys() == SAID[kind].keys(), "what was left out stays left out"


@pytest.mark.parametrize("kind", SNAPSHOT_KINDS)
def test_a_drill_says_a_name_of_its_own_where_a_kind_has_names(kind: str) -> None:
    model = restore_model(kind)
    assert model is not None
    said = drill_said(model, {"attach": {"instance": "i-1"}, "launch_template": "web"}, SAID[kind], "x" * 20)
    options = model.model_validate(said)
    assert said.get("name", f"drorch-drill-{'x' * 20}") == f"drorch-drill-{'x' * 20}"
    assert not {"attach", "launch_template"} & said_of(options).keys()
