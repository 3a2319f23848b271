"""The act of the demo in which something is let go: by a careless change, taken back; on purpose; by a thief."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path

from drorch.app.passing import Pass
from drorch.demo import site
from drorch.demo.story import Story, Watch
from drorch.domain.action import Drill, Expire, Hold, Mark
from drorch.domain.model import CopyState, RecoveryPoint
from drorch.wiring.host import Host

_ORDERED = 3
"""Points by order; the newest two are the floor, so that one can go."""
_SHORT = "    keep_manual: 1s\n"
_AFTER = "    keep: {last: 3, daily: 14}\n    drill:"


def let_go(host: Host, watch: Watch, story: Story, policy: Path) -> None:
    """Points by order; a policy under which they have no reason to be; the marks taken back, then the grace over."""
    goes = {_order_points(host, watch, story)[0]}
    careful = policy.read_text(encoding="utf-8")
    policy.write_text(careful.replace(_AFTER, _AFTER.replace("    drill:", _SHORT + "    drill:")), encoding="utf-8")
    story.tell("policy", "orders", "merged: points that were ordered live a second (it was 14 days)", "bad")
    time.sleep(1.1)
    said = _actions(watch.look(), Mark)
    story.check("plan says beforehand what would begin to expire", {action.point for action in said} == goes)
    seen = watch.run(but=(Drill, Expire))
    marked = _states(seen, goes) == {CopyState.EXPIRING}
    story.check(
        "marked, nothing deleted", marked and not _actions(seen, Expire), f"grace {host.config.grace.seconds} s"
    )
    policy.write_text(careful, encoding="utf-8")
    story.tell("policy", "orders", "the change is taken back", "good")
    seen = watch.run(but=(Drill,))
    story.check("every mark is taken back with it", _states(seen, goes) == {CopyState.USABLE})
    policy.write_text(careful.replace(_AFTER, _AFTER.replace("    drill:", _SHORT + "    drill:")), encoding="utf-8")
    story.tell("policy", "orders", "merged again, on purpose")
    watch.run(but=(Drill, Expire))
    time.sleep(host.config.grace.total_seconds())
    seen = watch.run(but=(Drill,))
    left = {point.id for point in _points(seen)}
    story.check(
        "after the grace it is gone; the floor and the verified point are not", not left & goes and len(left) == 3
    )
    policy.write_text(careful, encoding="utf-8")


def rob(watch: Watch, story: Story, vault: Path) -> None:
    """Somebody deletes the newest dump from the vault on the spot: seen against the signed heads, and brought back."""
    newest = _points(watch.look())[0]
    stolen = [path for path in vault.rglob("*") if path.is_file() and newest.id in str(path)]
    for path in stolen:
        path.unlink()
    story.tell(
        "thief", site.DIRECTORY, f"{len(stolen)} files of the newest dump are deleted behind drorch's back", "bad"
    )
    seen = watch.look()
    alarms = [hold for hold in seen.holds if hold.alarm == "removed"]
    for hold in alarms:
        story.tell("alarm", hold.resource, f"{hold.vault}: {hold.reason}", "bad")
    story.check("it is missed", {(hold.vault, hold.point) for hold in alarms} == {(site.DIRECTORY, newest.id)})
    watch.run(but=(Drill,))
    back = [path for path in stolen if path.exists()]
    story.check("and back from another vault, file by file", len(back) == len(stolen), f"{len(back)} files")


def _order_points(host: Host, watch: Watch, story: Story) -> list[str]:
    seen = watch.look()
    plan = seen.plans[site.APPLICATION]
    resource = next(r for r in plan.policy.resources if r.name == "orders")
    ids = []
    for number in range(_ORDERED):
        if number:
            time.sleep(1.1)  # two points by order in one second would be one
        ordered = host.orders.backup(seen, plan, resource, f"before deployment {number + 1}")
        story.tell("backup", "orders", f"by order, into {', '.join(ordered.vaults)}", "good")
        ids.append(ordered.point)
    watch.run(but=(Drill,))
    return ids


def _actions(seen: Pass, kind: type[Mark] | type[Expire] | type[Hold]) -> list[Mark | Expire | Hold]:
    return [action for plan in seen.plans.values() for action in plan.actions if isinstance(action, kind)]


def _points(seen: Pass) -> list[RecoveryPoint]:
    return [point for point in seen.plans[site.APPLICATION].catalogue.points if point.resource == "orders"]


def _states(seen: Pass, points: Collection[str]) -> set[CopyState]:
    return {copy.state for point in _points(seen) if point.id in points for copy in point.copies}
