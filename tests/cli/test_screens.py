"""How plans, points and their guards look: from hand-made worlds, line by line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from passes import HOME, NOW, OFF, copy, hours, planned, point

from drorch.app.passing import ApplicationPlan
from drorch.cli.plan import print_plan
from drorch.cli.points import print_points, unsuspicious
from drorch.domain.action import Action, Braked, Cut, Expire, Hold, Keep, Lock, Mark, Sweep, Waiting, deletions_digest
from drorch.domain.catalogue import Catalogue
from drorch.domain.model import Copy, CopyState, LockMode, RecoveryPoint

GRACE = timedelta(days=3)
HELD = "the brake holds it: 4 may go from gcs-eu within 1d, 4 were marked before (no keep rule keeps it)"


def dump(number: int, **changes: object) -> RecoveryPoint:
    copy = replace(Copy(OFF, CopyState.USABLE, path="x/", bytes=700), **changes)  # type: ignore[arg-type]
    return point(f"p{number:02}", "orders", NOW - hours(number), copy, kind="postgres")


def plan_of(actions: Iterable[Action], count: int = 30) -> ApplicationPlan:
    return planned(catalogue=Catalogue("shop", tuple(dump(n) for n in range(count))), actions=actions)


def marks(first: int, last: int, reason: str = "no keep rule keeps it", mark: str = "expiring") -> list[Action]:
    return [Mark("shop", "orders", OFF, f"p{n:02}", reason, mark, (OFF,)) for n in range(first, last)]


def braked(first: int, last: int) -> list[Action]:
    return [Braked("shop", "orders", OFF, f"p{n:02}", HELD, "brake", "mark") for n in range(first, last)]


def expired(first: int, last: int, reason: str = "no keep rule keeps it; marked for longer than 3d") -> list[Action]:
    return [Expire("shop", "orders", OFF, f"p{n:02}", reason, (OFF,)) for n in range(first, last)]


def shown(capsys: pytest.CaptureFixture[str], *plans: ApplicationPlan, **options: bool) -> list[str]:
    print_plan(plans, NOW, **options)
    return capsys.readouterr().out.splitlines()


# --- plan ----------------------------------------------------------------------------------------------------------


def test_a_copy_that_waits_says_its_place_and_what_for(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = copy("p1"), copy("p2")
    why = "20 of 20 ec2 copies into prod.us-west-2 are under way, 7 of them not of this site"
    print_plan([plan_of([first, second])], NOW, everything=True, queue={second.key: Waiting(second, why, 3)})
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "copy data prod.us-west-2 p1 lacks it" in lines
    assert f"copy data prod.us-west-2 p2 lacks it; waits, place 3 in the queue: {why}" in " ".join(lines)


def test_a_summary_tells_each_step_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, plan_of([*expired(25, 30), *marks(20, 25), *braked(10, 20)]))
    assert lines[:4] == [
        "shop",
        "5 of 30 copies of shop/orders in gcs-eu are deleted: no keep rule keeps them; marked for longer than 3d",
        "5 of 30 copies of shop/orders in gcs-eu begin to expire: no keep rule keeps them; "
        "deleted no earlier than 2026-11-23 09:30 UTC",
        "10 of 30 copies of shop/orders in gcs-eu are held by the brake: "
        "4 may go from gcs-eu within 1d, 4 were marked before (no keep rule keeps them)",
    ]
    assert lines[-2].startswith(
        "5 copies would begin to expire, deleted no earlier than 2026-11-23 09:30 UTC; "
        "5 copies would be deleted; the brake holds 10 copies (digest "
    )


def test_a_summary_of_several_reasons_counts_them(capsys: pytest.CaptureFixture[str]) -> None:
    reasons = ["a duplicate", "a manual point whose time is over", "c", "d"]
    actions = [*marks(1, 4), *(mark for n, why in enumerate(reasons) for mark in marks(4 + n, 5 + n, why))]
    (line,) = [line for line in shown(capsys, plan_of(actions)) if line.startswith("7 of 30")]
    assert ": no keep rule keeps it (3), a duplicate (1), a manual point whose time is over (1), and 2 other" in line


@pytest.mark.parametrize(("count", "summed"), [(5, False), (6, True)])
def test_a_few_deletions_are_not_summed_up(capsys: pytest.CaptureFixture[str], count: int, summed: bool) -> None:
    assert (" copies of shop/orders in gcs-eu " in shown(capsys, plan_of(marks(0, count)))[1]) is summed


def test_runs_end_where_the_decision_or_the_reason_changes(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = [
        Hold("shop", "orders", OFF, f"p{n:02}", f"no rule; marked, and deleted no earlier than 2026-11-2{n}T09:30:00Z")
        for n in range(1, 6)
    ]
    actions = [*waiting, *marks(6, 9), *marks(9, 14, "a duplicate"), *marks(14, 18, mark="kept", reason="kept again")]
    lines = shown(capsys, plan_of(actions))
    rows = [line.split(maxsplit=6) for line in lines[lines.index("shop") + 1 :] if line.startswith(("hold", "mark"))]
    assert [" ".join(row[:2]) for row in rows] == ["hold orders", *["mark expiring"] * 4, "mark kept"]
    text = "\n".join(lines)
    assert "5 points  as of 2026-11-20 04:30 to 2026-11-20 08:30: no rule; marked" in text
    assert "2026-11-21T09:30:00Z (the first of them)" in text
    assert "5 points  as of 2026-11-19 20:30 to 2026-11-20 00:30: a duplicate" in text
    assert "4 points  as of" in text.partition("mark kept")[2]


def test_what_is_no_run_of_marks_is_never_joined(capsys: pytest.CaptureFixture[str]) -> None:
    cuts = [Cut("shop", "orders", HOME, f"p{n:02}", "due", "2026-11-20T09:00Z", 1) for n in range(9)]
    holds = [Hold("shop", "orders", "", "", f"slot {n} waits", "") for n in range(9)]
    lines = shown(capsys, plan_of([*cuts, *holds]))
    assert sum(line.startswith(("cut", "hold")) for line in lines) == 18


def test_all_joins_nothing_and_shows_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    kept = Keep("shop", "orders", OFF, "p00", "last 1 of 3")
    lines = shown(capsys, plan_of([kept, *marks(1, 20)]), everything=True)
    assert sum(line.startswith(("keep", "mark expiring")) for line in lines) == 20


def test_colours_tell_what_ends_from_what_stays(capsys: pytest.CaptureFixture[str]) -> None:
    import click

    from drorch.cli.plan_words import rows

    sweep, lock = Sweep("shop", "orders", OFF, "", "old", "heads"), Lock("shop", "orders", OFF, "p1", "due")
    given = [*expired(1, 2), *marks(2, 3), *marks(3, 4, mark="kept"), *marks(4, 5, mark="suspect"), *braked(5, 6)]
    given += [Hold("shop", "orders", OFF, "", "x"), sweep, lock]
    cells = [row[0] for row in rows(plan_of(given), str, everything=True)]
    red, yellow, green = ({"fg": color} for color in ("red", "yellow", "green"))
    assert cells == [
        click.style("expire", **red),
        click.style("mark expiring", **red),
        click.style("mark kept", **green),
        click.style("mark suspect", **yellow),
        click.style("hold", **yellow, bold=True),
        click.style("hold", **yellow),
        click.style("sweep", **red),
        click.style("lock", **green),
    ]


def test_of_some_applications_each_has_the_digest_that_can_be_approved(capsys: pytest.CaptureFixture[str]) -> None:
    one, two = plan_of(braked(1, 3)), plan_of(braked(5, 7))
    apart = [line for line in shown(capsys, one, two, together=False) if line.startswith("drorch approve ")]
    assert [line.split()[2] for line in apart] == [deletions_digest(p.actions)[:16] for p in (one, two)]
    together = [line for line in shown(capsys, one, two) if line.startswith("drorch approve ")]
    assert [line.split()[2] for line in together] == [deletions_digest([*one.actions, *two.actions])[:16]]


# --- points --------------------------------------------------------------------------------------------------------


def row_of(capsys: pytest.CaptureFixture[str], of: RecoveryPoint) -> str:
    print_points([of], GRACE)
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  gcs-eu")]
    return " ".join(row.split())


@pytest.mark.parametrize(
    ("copy", "told"),
    [
        (
            {"locked_until": NOW + timedelta(days=35), "lock_mode": LockMode.COMPLIANCE},
            "usable - 700 B locked until 2026-12-25 09:30 (compliance)",
        ),
        (
            {"locked_until": NOW, "lock_mode": LockMode.GOVERNANCE, "state": CopyState.EXPIRING, "expiring_since": NOW},
            "expiring - 700 B expiring since 2026-11-20 09:30, deleted no earlier than 2026-11-23 09:30; "
            "locked until 2026-11-20 09:30 (governance)",
        ),
        ({"damaged": True, "state": CopyState.FAILED, "why": "leaf 7 differs"}, "damaged - 700 B leaf 7 differs"),
        ({"gone": True, "state": CopyState.FAILED, "why": "its snapshots are gone"}, "gone - 700 B its snapshots"),
        (
            {"state": CopyState.FAILED, "expiring_since": NOW, "expired_at": NOW, "why": "data is missing"},
            "failed - 700 B its deletion began 2026-11-20 09:30; data is missing",
        ),
        ({"verified_at": NOW}, "usable 2026-11-20 09:30 700 B"),
    ],
    ids=["locked", "expiring", "damaged", "gone", "begun", "verified"],
)
def test_a_copy_tells_what_is_to_become_of_it(
    capsys: pytest.CaptureFixture[str], copy: dict[str, object], told: str
) -> None:
    assert row_of(capsys, dump(1, **copy)).startswith(f"gcs-eu {told}")


def test_a_point_tells_its_pin_and_why_it_is_suspect_without_orders_to_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    odd = replace(dump(1), pinned=True, pin_until=NOW, suspect="3 of 9 tables\x1b[2J are gone", note="v2")
    print_points([odd], GRACE)
    out = capsys.readouterr().out
    assert "suspect pinned" in out
    assert "2026-11-20T08:00Z: v2; pinned until 2026-11-20 09:30; 3 of 9 tables?[2J are gone" in out


def test_the_last_unsuspicious_point_is_told_per_resource_with_a_suspect() -> None:
    odd = replace(dump(1), suspect="x")
    other = replace(point("q1", "users", NOW, Copy(OFF, CopyState.USABLE)), suspect="y")
    catalogue = Catalogue("shop", (other, odd, dump(2), dump(3)))
    assert list(unsuspicious([other, odd], catalogue)) == [
        "users: last unsuspicious: none",
        "orders: last unsuspicious: p02 as of 2026-11-20 07:30 UTC",
    ]
    assert list(unsuspicious([dump(2)], catalogue)) == []
