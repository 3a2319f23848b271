"""A policy that says what it promises, not how often: `check`, `plan` and `status` say the cadence and why."""

from __future__ import annotations

from datetime import timedelta

import pytest
from desks import Desk

from drorch.domain import time_to_usable

DERIVED = "every 6h: region rpo 9h, time to usable 1h30m assumed"
FIELDS = {
    "application": "shop",
    "resource": "orders",
    "every_s": 6 * 3600,
    "by_policy_s": 6 * 3600,
    "level": "region",
    "vault": "nas",
    "rpo_s": 9 * 3600,
    "time_to_usable_s": 5400,
    "measured": False,
    "kept": True,
    "why": DERIVED,
}


def promise(desk: Desk, rpo: str = "9h") -> None:
    desk.write_policy(schedule="{}", objectives=f"objectives: {{region: {{rpo: {rpo}}}, provider: {{rpo: 2d}}}}")


def test_check_and_plan_and_status_say_the_cadence_and_why(desk: Desk) -> None:
    promise(desk)
    assert desk.drorch("policy", "check").out.splitlines() == [
        "shop: orders at region: 6h + 1h30m = 7h30m <= 9h via nas",
        "shop: orders at provider: 6h + 1h30m = 7h30m <= 2d via nas",
        f"shop: orders {DERIVED}",
        "1 valid",
    ]
    assert desk.drorch("policy", "check", "--json").json["cadences"] == [FIELDS]
    assert f"\norders {DERIVED}\n" in desk.drorch("plan").out
    planned = desk.drorch("plan", "--json").json
    assert (planned["cadences"], planned["unkept"]) == ([FIELDS], [])
    (shop,) = desk.drorch("status", "--json").json["applications"]
    (orders,) = shop["resources"]
    assert (orders["cadence"], orders["time_to_usable_s"], shop["unkept"]) == (FIELDS, {}, [])


def test_a_schedule_that_the_policy_says_is_no_cadence_to_explain(desk: Desk) -> None:
    assert desk.drorch("policy", "check", "--json").json["cadences"] == []
    assert desk.drorch("plan", "--json").json["cadences"] == []
    assert desk.drorch("status", "--json").json["applications"][0]["resources"][0]["cadence"] is None


def test_a_changed_promise_cuts_nothing_that_the_slot_has_already(twin: Desk) -> None:
    promise(twin, "2d")
    actions = twin.drorch("plan", "--json").json["actions"]
    assert "cut" not in {action["action"] for action in actions}


def test_a_promise_that_copies_are_too_slow_for_is_warned_of(lived: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever said the schedule: that of the desk stands in its policy."""
    monkeypatch.setattr(time_to_usable, "usual", lambda *_: timedelta(hours=4))
    said = "shop: warning: orders at region: 6h + 4h = 10h > 9h via nas, by the times that copies took lately"
    late = {"dataset": "orders", "level": "region", "vault": "nas", "arithmetic": "6h + 4h = 10h > 9h via nas"}
    for command in ("plan", "status"):
        assert said in lived.drorch(command).err
    assert lived.drorch("plan", "--json").json["unkept"] == [{"application": "shop", **late}]
    (shop,) = lived.drorch("status", "--json").json["applications"]
    assert (shop["unkept"], shop["resources"][0]["time_to_usable_s"]) == ([late], {"nas": 4 * 3600})
    monkeypatch.undo()
    assert "warning" not in lived.drorch("status").err
