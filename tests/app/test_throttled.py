"""A provider that is called too often: what concerns it waits, by priority, and nothing has failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from clouds import aws_environment, client, embedded_aws
from passes import HandClock, HandReconciler, copy
from worlds import AWAY, HOME, VOLUMES, Installation, outcomes

from drorch.app.once import run_once
from drorch.app.passing import Pass
from drorch.app.report import plan_json
from drorch.aws.pace import Pace
from drorch.cli.plan_words import rows
from drorch.crypto.minisign import SecretKey
from drorch.domain.action import EXECUTABLE, Action, Copy, Cut, Waiting
from drorch.domain.priority import Priority, acting, priority_of, turn
from drorch.wiring.host import Host, open_host

WHY = "ec2 in prod.us-west-2: it throttles, and copies go first"


def hold(world: Installation, *held: type[Action]) -> list[Action]:
    """From now on these kinds of action have to wait; what was asked for."""
    asked: list[Action] = []

    def throttled(kind: str, action: Action) -> str:
        assert kind == "ebs"
        asked.append(action)
        return WHY if isinstance(action, held) else ""

    world.reconciler._throttled = throttled
    return asked


@pytest.mark.parametrize(("method", "name"), [("cut", "cut"), ("copy", "copy")])
def test_a_call_that_is_throttled_waits_and_counts_as_no_failure(tmp_path: Path, method: str, name: str) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.faults("ebs").order(method, "throttled", times=3)
    for _ in range(12):
        world.run(1)
        assert not world.reconciler._failures
        assert not [h for h in world.reconciler.look().holds if h.alarm.endswith("-failed")]
    world.quiet()
    assert outcomes(world, name) == {"throttled": 3, "done": 1}
    world.check_whole()


def test_what_has_to_wait_is_not_begun_and_says_so(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    hold(world, Copy)
    world.run(4)
    calls = world.calls("ebs", "copy")
    seen = world.once()
    assert calls() == 0
    (waits,) = seen.waiting
    assert (waits.action.vault, waits.why, waits.throttled) == (AWAY, WHY, True)
    told = [a for a in plan_json(seen.at, seen.plans, seen.waiting)["actions"] if a["action"] == "copy"]
    assert [a["waiting"] for a in told] == [{"place": None, "reason": WHY}]
    plan = seen.plans["shop"]
    shown = rows(plan, lambda text: text, everything=False, queue={waits.action.key: waits})
    assert [row for row in shown if f"waits: {WHY}" in " ".join(map(str, row))]
    hold(world)
    world.quiet()
    world.check_whole()


def test_what_does_not_have_to_wait_goes_on(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    hold(world, Copy)
    world.run(5)
    assert outcomes(world, "cut") == {"done": 1}
    assert world.snapshots(HOME)
    assert not world.snapshots(AWAY)


def test_actions_are_carried_out_with_their_priority(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    found: dict[str, Priority | None] = {}

    def note(method: str) -> None:
        acts = turn()
        found[method] = acts.priority if acts else None

    for method in ("cut", "copy", "snapshots"):
        world.faults("ebs").order(method, lambda method=method: note(method))  # type: ignore[misc]
    world.quiet()
    assert found == {"cut": Priority.CUT, "copy": Priority.COPY, "snapshots": None}
    assert turn() is None


def test_what_lets_go_comes_last_and_what_brings_to_safety_first() -> None:
    ranks = {action.name: priority_of(action.__new__(action)) for action in EXECUTABLE}
    assert {name for name, rank in ranks.items() if rank is Priority.CLEAN_UP} == {"expire", "sweep"}
    assert {name for name, rank in ranks.items() if rank is Priority.CUT} == {"cut"}
    assert Priority.RESTORE not in ranks.values()
    assert Priority.RESTORE < ranks["copy"] < ranks["cut"] < ranks["expire"]


def test_a_turn_ends_with_its_block_and_the_one_around_it_goes_on() -> None:
    with acting(Priority.CUT):
        outer = turn()
        with pytest.raises(ValueError, match="x"), acting(Priority.RESTORE):
            assert turn() is not outer
            raise ValueError("x")
        assert turn() is outer


class Throttling(HandReconciler):
    """A copy waits for three passes."""

    def run_pass(self, *, start: object = True) -> Pass:
        held = self.passes < 3
        if not held and not self.started:
            self.due.append(copy())
        seen = super().run_pass(start=start)
        return replace(seen, waiting=(Waiting(copy(), WHY, throttled=True),)) if held else seen


def test_a_run_goes_on_while_something_is_throttled() -> None:
    clock = HandClock()
    report = run_once(Throttling(clock), clock)
    assert ([each.action.name for each in report.finished], report.exit_code) == (["copy"], 0)


def test_cuts_and_copies_are_what_a_provider_is_asked_for(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    asked = hold(world)
    world.quiet()
    assert {Cut, Copy} <= {type(action) for action in asked}


# --- a host on the embedded AWS ------------------------------------------------------------------------------------

HOME_REGION = HOME.partition(".")[2]
CONFIG = """\
version: 1
site: acme
policies: policies/
state: state
aws: {accounts: {prod: {id: "123456789012"}}}
signing: {key: {file: minisign.key}}
"""


def host_of(folder: Path, applications: int, monotonic: Callable[[], float]) -> Host:
    key = folder / "minisign.key"
    key.write_text(SecretKey.generate().text())
    key.chmod(0o600)
    (folder / "drorch.yaml").write_text(CONFIG)
    (folder / "policies").mkdir()
    for number in range(applications):
        text = VOLUMES.replace("shop\n", f"shop{number}\n", 1).replace("app: shop", f"app: shop{number}")
        (folder / "policies" / f"shop{number}.yaml").write_text(text)
    host = open_host(str(folder / "drorch.yaml"))
    host.accounts.pace = Pace(monotonic)
    return host


def passed(host: Host) -> Pass:
    """One pass, and the end of what it started."""
    seen = host.reconciler.run_pass()
    while host.reconciler.running_count():
        time.sleep(0.005)
        host.reconciler.harvest()
    return seen


def test_a_host_whose_cuts_are_throttled_waits_and_asks_for_none_until_the_rate_allows_it(tmp_path: Path) -> None:
    seconds = [0.0]
    with embedded_aws() as aws, pytest.MonkeyPatch.context() as environment:
        for name, value in aws_environment(aws.endpoint_url).items():
            environment.setenv(name, value)
        for number in range(4):
            tags = [{"ResourceType": "volume", "Tags": [{"Key": "app", "Value": f"shop{number}"}]}]
            client(aws, "ec2", HOME_REGION).create_volume(
                AvailabilityZone=f"{HOME_REGION}a", Size=8, TagSpecifications=tags
            )
        host = host_of(tmp_path, 4, lambda: seconds[0])
        aws.fail_next("CreateSnapshot", "throttle", times=4)
        passed(host)
        refused = aws.calls["ec2", "CreateSnapshot", HOME_REGION]
        assert host.reconciler.outcomes == {("cut", "throttled"): 4}
        seen = passed(host)
        assert aws.calls["ec2", "CreateSnapshot", HOME_REGION] == refused
        assert [(w.action.name, w.throttled) for w in seen.waiting] == [("cut", True)] * 4
        assert "ec2 in prod.us-east-1: it throttles" in seen.waiting[0].why
        aws.faults.clear()
        seconds[0] += 30
        passed(host)
        assert host.reconciler.outcomes["cut", "done"] == 4
        assert not host.reconciler._failures
        host.reconciler.close()
