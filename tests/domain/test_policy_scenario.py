"""``drill:`` of an application: what it may say, where what is wrong with it is shown, and what a drill leaves out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from policy_words import RETURNING, read, words

from drorch.domain.catalogue import Catalogue, Drilled
from drorch.domain.native_drill import drill_places
from drorch.domain.plan_scenario import failed_whole
from drorch.domain.policy import Policy
from drorch.domain.policy_changes_scenario import changed_scenario
from drorch.domain.policy_scenario import left_out_in_drills
from drorch.domain.scenario import SCENARIO, ScenarioOrder, scenario_order, scenario_steps
from drorch.domain.scenario_rule import ScenarioRule

WORDS = words(kinds=RETURNING)
TEXT = """
    version: 1
    application: shop
    owner: payments@example.com
    home: {account: prod, region: us-east-1}
    resources:
      - name: data
        kind: ebs
        select: {tags: {app: shop}}
        schedule: {every: 1d}
        copies: [{region: us-west-2}, {region: eu-central-1}]
        keep: {last: 3}
    recovery:
      regions: {us-west-2: {data: {zone: us-west-2a}}}
      steps:
        - {name: freeze, manual: tell everybody}
        - {name: data, restore: data}
        - {name: answers, wait: {http: "https://dr.example.com/", status: 200, for: 5m}}
    drill: {every: 30d, scenario: region}
"""


def good(text: str = TEXT) -> Policy:
    policy, findings = read(text, WORDS)
    assert policy is not None, findings
    return policy


def test_the_only_region_of_the_runbook_is_where_it_is_drilled() -> None:
    assert good().scenario == ScenarioRule(timedelta(days=30), "us-west-2", timedelta(hours=4))
    said = good(TEXT.replace("scenario: region}", "scenario: region, into: us-west-2, max_hours: 2}"))
    assert said.scenario == ScenarioRule(timedelta(days=30), "us-west-2", timedelta(hours=2))


RULES = ("60d, scenario: region", "30d, scenario: region, max_hours: 2")
BOTH = TEXT.replace("zone: us-west-2a}}}", "zone: us-west-2a}}, eu-central-1: {data: {zone: eu-central-1a}}}")


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        (TEXT.replace("scenario: region", "scenario: tampering"), "tampering", "region"),
        (TEXT.replace("every: 30d, ", ""), "{scenario", "every"),
        (TEXT.replace("scenario: region}", "scenario: region, max_hours: 0}"), "0}", "greater"),
        (TEXT.replace("scenario: region}", "scenario: region, probes: []}"), "probes", "unknown"),
        (
            TEXT.replace("scenario: region}", "scenario: region, into: eu-west-9}"),
            "eu-west-9",
            "is no region of the runbook",
        ),
        (BOTH, "drill", "it is not said in which of the regions: us-west-2, eu-central-1"),
        (TEXT[: TEXT.index("    recovery:")] + "    drill: {every: 30d, scenario: region}\n", "drill", "there is none"),
        (
            TEXT.replace("        - {name: data, restore: data}\n", ""),
            "drill",
            "no step of the runbook brings snapshots back",
        ),
        (
            TEXT.replace(
                "        keep: {last: 3}\n", "        keep: {last: 3}\n        drill: {every: 7d, options: {zone: 3}}\n"
            ),
            "drill",
            "data cannot be brought back for a drill: zone",
        ),
    ],
)
def test_what_is_wrong_is_told_where_it_stands_with_a_hint(text: str, at: str, message: str) -> None:
    policy, findings = read(text, WORDS)
    assert policy is None
    found = [finding for finding in findings if message in finding.message]
    assert found, findings
    line = text.strip("\n").splitlines()[found[0].line - 1]
    assert at in line


def test_of_several_regions_one_is_said() -> None:
    scenario = good(BOTH.replace("scenario: region}", "scenario: region, into: eu-central-1}")).scenario
    assert scenario is not None and scenario.into == "eu-central-1"


def test_what_a_drill_leaves_out_is_told_with_why() -> None:
    assert [name for name, _ in left_out_in_drills(good())] == ["freeze", "answers"]
    assert list(left_out_in_drills(good(TEXT.replace("    drill: {every: 30d, scenario: region}\n", "")))) == []


def test_what_is_carried_out_needs_what_it_needed_through_what_is_left_out() -> None:
    recovery = good(
        TEXT.replace(
            "- {name: data, restore: data}", "- {name: data, restore: data}\n        - {name: look, manual: look}"
        )
    ).recovery
    assert recovery is not None
    steps = {step.name: step for step in scenario_steps(recovery, ["data"])}
    assert (steps["data"].needs, steps["data"].left_out, bool(steps["look"].left_out)) == ((), "", True)


def test_the_sweeper_looks_wherever_a_drill_may_make_something() -> None:
    assert drill_places([good(TEXT.replace("    drill: {every: 30d, scenario: region}\n", ""))]) == frozenset()
    places = drill_places([good(BOTH.replace("scenario: region}", "scenario: region, into: us-west-2}"))])
    assert places == {("ebs", "prod", "us-west-2"), ("ebs", "prod", "eu-central-1")}


def test_an_order_is_the_same_behind_a_pipe_and_looks_where_others_drill_in_its_accounts() -> None:
    policy = good()
    assert policy.scenario is not None
    looks = [("ami", "prod", "eu-central-1"), ("ami", "vault", "us-west-2")]
    order = scenario_order(policy, policy.scenario, site="acme", vaults=("gcs-eu",), looks=looks)
    assert ScenarioOrder.from_json(order.to_json()) == order
    assert order.looks == (("ami", "prod", "eu-central-1"), ("ebs", "prod", "us-west-2"))


def test_a_drill_that_is_lost_or_rarer_is_risky_and_every_other_change_is_told() -> None:
    plain = good(TEXT.replace("    drill: {every: 30d, scenario: region}\n", ""))
    rarer, shorter = (good(TEXT.replace("30d, scenario: region", more)) for more in RULES)
    told = [
        [(c.kind, c.risky) for c in changed_scenario(old, new)]
        for old, new in ((good(), plain), (plain, good()), (good(), rarer), (rarer, good()), (good(), shorter))
    ]
    assert told == [
        [("drill-lost", True)],
        [("drill-added", False)],
        [("drill-reduced", True)],
        [("drill-changed", False)],
        [("drill-changed", False)],
    ]
    (change,) = changed_scenario(good(), rarer)
    assert (change.before, change.after) == ("every 30d in us-west-2, 4h at most", "every 60d in us-west-2, 4h at most")
    assert list(changed_scenario(good(), good())) == []


def ended(day: int, *, well: bool, resource: str = SCENARIO) -> Drilled:
    at = datetime(2026, 11, 20, tzinfo=UTC) + timedelta(days=day)
    return Drilled(resource, "prod.us-west-2", "p", at, at, False, {"create": 9, "total": 9}, restorable=well)


def test_a_failed_drill_of_the_whole_holds_deletions_of_what_has_snapshots_there_until_one_ends_well() -> None:
    data = good().resources[0]
    failed, passed = ended(1, well=False), ended(2, well=True)
    own = ended(2, well=True, resource="data")

    def told(*drills: Drilled) -> str:
        return failed_whole(data, Catalogue("shop", drills=drills))

    assert "the drill of the whole application in us-west-2" in told(failed)
    assert "failed" in told(failed, replace(own, at=failed.at - timedelta(days=1)))
    assert told(passed, failed) == told(own, failed) == told() == ""
    home_only = data.model_copy(update={"targets": data.targets[:1]})
    assert failed_whole(home_only, Catalogue("shop", drills=(failed,))) == ""
