"""A window that is closed: the installation waits for it, says so, and a person need not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from desks import Desk


def test_a_closed_window_holds_the_cut_until_it_opens_and_an_order_does_not_wait(desk: Desk) -> None:
    opens = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=6)
    window = f'{{from: "{opens:%H}:00", to: "{opens + timedelta(hours=1):%H}:00"}}'
    desk.write_policy(
        objectives="objectives: {region: {rpo: 40h}}",
        schedule=f'{{cron: "0 {opens.hour} * * *", timezone: UTC}}',
        keep=f"{{last: 3}}\n    window: {window}",
        drill="",
    )
    checked = desk.drorch("policy", "check")
    assert checked.code == 0, checked.err
    assert "; missed once a cut fails and waits up to 23h for its window" in checked.out
    assert desk.ready().code == 0
    assert desk.points() == []
    (hold,) = [action for action in desk.drorch("plan", "--json").json["actions"] if action["action"] == "hold"]
    assert hold["reason"].endswith(f" UTC opens at {opens:%Y-%m-%dT%H:%M:%SZ}")
    backup = desk.drorch("backup", "shop")
    assert backup.code == 0, backup.err
    assert "is closed; an order does not wait for it" in backup.err
    assert len(desk.points()) == 1
