"""The metrics of the contract: from what was observed, absent while not known, and as promtool wants them."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from passes import (
    AWAY,
    HOME,
    NOW,
    OFF,
    HandClock,
    HandReconciler,
    copy,
    cut,
    drilled,
    hours,
    native_copy,
    passed,
    planned,
    point,
    policy,
    resource,
)

from drorch.daemon.publishing import Publisher
from drorch.domain.action import Action, Braked, Hold, Ship
from drorch.domain.catalogue import Catalogue, Drilled, Head
from drorch.domain.errors import Unavailable
from drorch.domain.key_proof import KeysSeen, KeyStanding
from drorch.domain.model import Copy, CopyState, LockMode, Oddity, RecoveryPoint
from drorch.domain.plan_care import TURNS
from drorch.domain.policy import Policy
from drorch.domain.scenario import SCENARIO
from drorch.domain.window import Window
from drorch.telemetry.exposition import Family, exposition, write_page
from drorch.telemetry.metrics import ApplicationFacts, Facts, render

GIB = 1 << 30


def native(name: str = "p-data", age: float = 1.5, *copies: Copy) -> RecoveryPoint:
    return point(name, "data", NOW - hours(age), *(copies or (native_copy(HOME), native_copy(AWAY))))


def dump(name: str = "p-orders", age: float = 0.4, **changes: object) -> RecoveryPoint:
    made = Copy(OFF, CopyState.USABLE, path="x/", bytes=700)
    return point(name, "orders", NOW - hours(age), replace(made, **changes), kind="postgres")  # type: ignore[arg-type]


def page(
    *points: RecoveryPoint,
    drills: tuple[object, ...] = (),
    actions: tuple[Action, ...] = (),
    never_read: frozenset[str] = frozenset(),
    later: timedelta = timedelta(),
    unread: dict[str, str] | None = None,
    turns: dict[tuple[str, str], dict[int, datetime]] | None = None,
    known: dict[str, object] | None = None,
    of: Policy | None = None,
    **more: object,
) -> dict[str, float]:
    seen = Catalogue("shop", points, drills, **(known or {}))  # type: ignore[arg-type]
    plan = planned(of, catalogue=seen, actions=actions, never_read=never_read)
    application = ApplicationFacts(plan.policy, plan.catalogue, plan.status, plan.actions, unread or {}, turns)
    facts = Facts(at=NOW, version="1.2.3", applications=(application,), never_read=never_read, **more)  # type: ignore[arg-type]
    return samples(render(facts, NOW + later))


def samples(text: str) -> dict[str, float]:
    rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name.removeprefix("drorch_"): float(value) for name, _, value in rows}


def test_attained_rpo_is_in_data_time_and_infinite_without_a_point() -> None:
    found = page(native(), dump())
    attained = 'rpo_attained_seconds{application="shop",resource="%s",level="%s",basis="%s"}'
    assert found[attained % ("data", "region", "usable")] == 1.5 * 3600
    assert found[attained % ("data", "region", "verified")] == float("inf")
    assert found[attained % ("data", "provider", "usable")] == float("inf")
    assert found[attained % ("orders", "provider", "usable")] == 0.4 * 3600
    dataset = 'dataset_rpo_attained_seconds{application="shop",dataset="orders",level="provider",basis="usable"}'
    assert found[dataset] == 0.4 * 3600


def test_what_was_never_read_is_absent_and_not_zero_or_infinite() -> None:
    found = page(never_read=frozenset({OFF}))
    about = [name for name in found if "orders" in name and "objective_seconds" not in name]
    # That no vault with a lock is there is known without reading any.
    assert [name for name in about if 'level="tampering"' not in name] == []
    met = 'objective_met{application="shop",dataset="%s",level="region",objective="rpo"}'
    assert met % "orders" not in found
    assert found[met % "data"] == 0


def test_a_promise_counts_where_the_dataset_is_not_exempt() -> None:
    found = page(native(), dump(), drills=(drilled(NOW - hours(3), total=90),))
    where = 'application="shop",dataset="%s",level="%s"'
    assert found["rpo_objective_seconds{%s}" % (where % ("data", "region"))] == 9 * 3600
    assert found["rto_objective_seconds{%s}" % (where % ("data", "region"))] == 2 * 3600
    assert "rpo_objective_seconds{%s}" % (where % ("data", "provider")) not in found
    assert found["rto_attained_seconds{%s}" % (where % ("orders", "provider"))] == 90
    assert found['objective_met{%s,objective="rpo"}' % (where % ("data", "region"))] == 1
    assert found['objective_met{%s,objective="rto"}' % (where % ("orders", "region"))] == 1
    assert 'objective_met{%s,objective="rto"}' % (where % ("data", "region")) not in found


def test_without_a_new_look_what_was_attained_grows_older_and_is_missed() -> None:
    """Passes that fail for ten hours must not leave a green figure behind."""
    found = page(native(), dump(), later=hours(10))
    where = '{application="shop",resource="data",level="region",basis="usable"}'
    assert found["rpo_attained_seconds" + where] == 11.5 * 3600
    assert found['objective_met{application="shop",dataset="data",level="region",objective="rpo"}'] == 0


def test_points_are_counted_by_vault_and_state_with_the_newest_usable_one() -> None:
    pending = native("p3", 0.2, native_copy(HOME), native_copy(AWAY, CopyState.PENDING))
    failed = native("p2", 0.7, native_copy(HOME, CopyState.FAILED))
    found = page(pending, failed, native("p1"), dump())
    where = 'application="shop",resource="data",vault="%s"'
    count = 'points{%s,state="%s"}'
    assert found[count % (where % HOME, "usable")] == 2
    assert found[count % (where % HOME, "failed")] == 1
    assert found[count % (where % AWAY, "pending")] == 1
    assert found["newest_cut_timestamp_seconds{%s}" % (where % HOME)] == (NOW - hours(0.2)).timestamp()
    assert found["newest_cut_timestamp_seconds{%s}" % (where % AWAY)] == (NOW - hours(1.5)).timestamp()
    assert found["point_bytes{%s}" % (where % HOME)] == 8 * GIB
    assert found['point_bytes{application="shop",resource="orders",vault="gcs-eu"}'] == 700


def test_a_vault_without_a_usable_point_shows_that_it_has_none() -> None:
    found = page(native())
    where = '{application="shop",resource="orders",vault="gcs-eu"'
    assert found["points" + where + ',state="usable"}'] == 0
    assert not [name for name in found if name.startswith(("newest_cut", "point_bytes")) and "orders" in name]


def test_the_next_slot_is_due_once_this_one_is_filled() -> None:
    due = 'next_due_timestamp_seconds{application="shop",resource="%s"}'
    found = page(native("p1", 0.2), native("p0", 5))
    assert found[due % "data"] == NOW.replace(minute=0).timestamp() + 3600
    assert found[due % "orders"] == NOW.replace(minute=0).timestamp()
    only_failed = page(native("p1", 0.2, native_copy(HOME, CopyState.FAILED)))
    assert only_failed[due % "data"] == NOW.replace(minute=0).timestamp()


def test_a_slot_whose_window_is_closed_is_due_when_it_opens() -> None:
    due = 'next_due_timestamp_seconds{application="shop",resource="orders"}'
    for opens, expected in ((12, NOW.replace(hour=12, minute=0)), (9, NOW.replace(minute=0))):
        window = Window(opens * 60, (opens + 1) * 60)
        orders = resource("orders", "postgres", window=window)
        assert page(of=policy("shop", [orders]))[due] == expected.timestamp()


@pytest.mark.parametrize(
    ("action", "missing"),
    [
        (Ship("shop", "orders", OFF, "p-orders", "lacks it", "s3-west"), 1),
        (Hold("shop", "orders", OFF, "p-lost", "a dump is running"), 1),
        (Hold("shop", "orders", OFF, "p-orders", "a drill is due, but a dump is running"), 0),
        (Hold("shop", "orders", OFF, "", "no point in question"), 0),
        (cut(), 0),
    ],
)
def test_a_vault_is_missing_a_point_while_the_planner_wants_to_bring_one(action: Action, missing: int) -> None:
    elsewhere = point("p-lost", "orders", NOW - hours(1), Copy("s3-west", CopyState.USABLE), kind="postgres")
    found = page(native(), dump(), elsewhere, actions=(action,))
    assert found['vault_missing{application="shop",resource="orders",vault="gcs-eu"}'] == missing


def test_drills_tell_when_they_last_passed_and_how_long_that_took() -> None:
    drills = (drilled(NOW, passed=False, total=5), drilled(NOW - hours(2), total=90), drilled(NOW - hours(9), total=70))
    found = page(dump(), drills=drills)
    where = '{application="shop",resource="orders",vault="gcs-eu"}'
    assert found["drill_last_success_timestamp_seconds" + where] == (NOW - hours(2)).timestamp()
    assert found["drill_duration_seconds" + where] == 90


def test_a_drill_of_the_whole_application_that_ended_well_stands_under_a_name_that_no_resource_has() -> None:
    old, last, failed = (
        Drilled(SCENARIO, "prod.us-west-2", "p", NOW - hours(h), NOW, False, {"total": 60 + h}, restorable=well)
        for h, well in ((9, True), (2, True), (1, False))
    )
    found = page(native(), drills=(failed, last, old))
    where = '{application="shop",resource="scenario.region",vault="prod.us-west-2"}'
    assert found["drill_last_success_timestamp_seconds" + where] == (NOW - hours(2)).timestamp()
    assert found["drill_duration_seconds" + where] == 62


def test_holds_are_counted_by_class_and_copies_by_where_they_queue() -> None:
    holds = (
        Hold("shop", "data", HOME, "", "slot 2026: settling"),
        Hold("shop", "data", HOME, "", "gone", "member-gone"),
    )
    pending = native("p1", 0.2, native_copy(HOME), native_copy(AWAY, CopyState.PENDING))
    found = page(pending, native("p0", 2, native_copy(HOME)), actions=(*holds, holds[0], copy("p0")))
    assert found['holds{reason="waiting"}'] == 2
    assert found['holds{reason="member-gone"}'] == 1
    assert found['copy_queue_depth{service="ec2",region="us-west-2"}'] == 2


# --- what guards deletion ------------------------------------------------------------------------------------------


def head(**live: dict[str, str]) -> Head:
    return Head(NOW, NOW, 1, "dr1", "", "", live, {}, frozenset({OFF}))


def test_what_somebody_removed_is_counted_where_it_was_seen_to_be_gone() -> None:
    was = head(**{OFF: {"p-orders": "x", "p-lost": "y", "p-too": "z"}, AWAY: {"p-data": "x"}})
    found = page(native("p-data", 1, native_copy(HOME)), dump(), known={"head": was})
    where = 'removed_copies{application="shop",vault="%s"}'
    assert [found[where % vault] for vault in (HOME, AWAY, OFF)] == [0, 1, 2]
    blind = page(dump(), known={"head": was}, unread={OFF: "timed out"})
    assert where % OFF not in blind
    assert blind[where % AWAY] == 1


def test_what_somebody_wrote_over_is_counted_and_other_oddities_are_not() -> None:
    odd = (Oddity(OFF, "x: written over", "orders", "p1", "tampering"), Oddity(OFF, "a stranger"))
    found = page(dump(), known={"oddities": odd})
    where = 'tampered_objects{application="shop",vault="%s"}'
    assert (found[where % OFF], found[where % HOME]) == (1, 0)


def test_suspect_points_count_until_they_are_cleared_or_gone() -> None:
    odd = replace(dump("p2", 0.2), suspect="3 of 9 tables are gone")
    broken = replace(dump("p3", 0.1, state=CopyState.FAILED), suspect="x")
    where = 'suspect_points{application="shop",resource="%s"}'
    found = page(native(), dump(), odd, broken)
    assert (found[where % "orders"], found[where % "data"]) == (1, 0)
    assert where % "orders" not in page(never_read=frozenset({OFF}))


def test_the_age_of_the_last_reading_is_that_of_the_oldest_turn_and_absent_before_all_were_made() -> None:
    all_turns = {turn: NOW - timedelta(days=TURNS - turn) for turn in range(TURNS)}
    where = 'coverage_age_seconds{application="shop",resource="orders",vault="gcs-eu"}'
    found = page(dump(), turns={("orders", OFF): all_turns}, later=hours(1))
    assert found[where] == TURNS * 86400 + 3600
    for some in (None, {}, {("orders", OFF): {1: NOW}}, {("orders", "other"): all_turns}):
        assert where not in page(dump(), turns=some)


def test_files_that_the_newest_dump_could_not_take_as_they_were_are_counted() -> None:
    before = replace(dump("p1", 2), facts={"counted": {"skipped": 9}})
    newest = replace(dump("p2", 1), facts={"counted": {"files": 7, "skipped": 2, "vanished": 0, "changed": 1}})
    where = 'dump_noted_files{application="shop",resource="orders",what="%s"}'
    found = page(newest, before)
    assert (found[where % "skipped"], found[where % "changed"]) == (2, 1)
    assert where % "vanished" not in found
    assert where % "skipped" not in page(dump("p3", 0.5), before)


def test_the_lock_is_that_of_the_newest_usable_copy() -> None:
    until = {"locked_until": NOW + hours(48), "lock_mode": LockMode.COMPLIANCE}
    where = 'locked_until_timestamp_seconds{application="shop",resource="orders",vault="gcs-eu"}'
    broken = dump("p3", 0.1, state=CopyState.FAILED, locked_until=NOW)
    assert page(dump(**until), broken)[where] == (NOW + hours(48)).timestamp()
    assert where not in page(dump("p1", 2, **until), dump("p2", 1))


def test_deletions_that_the_brake_holds_are_counted_per_vault() -> None:
    held = tuple(Braked("shop", "orders", OFF, f"p{n}", "too many", "brake", "mark") for n in range(3))
    found = page(native(), dump(), actions=(*held, Hold("shop", "orders", OFF, "p9", "waiting")))
    where = 'deletions_held{application="shop",vault="%s"}'
    assert (found[where % OFF], found[where % HOME]) == (3, 0)
    assert found['holds{reason="brake"}'] == 3


def test_what_is_unprotected_is_counted_where_it_was_looked_for_and_absent_elsewhere() -> None:
    found = page(unprotected={("ebs", "prod", "us-east-1"): 2, ("rds-cluster", "prod", "us-east-1"): 0})
    assert found['unprotected{kind="ebs",account="prod",region="us-east-1"}'] == 2
    assert found['unprotected{kind="rds-cluster",account="prod",region="us-east-1"}'] == 0
    assert not [name for name in page() if name.startswith("unprotected")]


def test_the_daemon_publishes_what_its_pass_has_seen_of_all_this(tmp_path: Path) -> None:
    held = Braked("shop", "orders", OFF, "p3", "too many", "brake", "mark")
    plan = planned(catalogue=Catalogue("shop", (dump(),), head=head(**{OFF: {"p-lost": "x"}})), actions=(held,))
    all_turns = dict.fromkeys(range(TURNS), NOW - hours(1))
    observed = replace(plan.observed, turns={("orders", OFF): all_turns}, unread={OFF: "timed out"})
    publisher = Publisher(tmp_path, "1.2.3", HandReconciler(HandClock()), NOW, monotonic=lambda: 0.0)
    publisher.passed(passed(replace(plan, observed=observed)), 0.1, NOW)
    found = samples(publisher.page)
    assert found['coverage_age_seconds{application="shop",resource="orders",vault="gcs-eu"}'] == 3600
    assert found['deletions_held{application="shop",vault="gcs-eu"}'] == 1
    assert found['alarm{kind="brake"}'] == 1
    assert not [name for name in found if name.startswith("removed_copies") and "gcs-eu" in name], "it was not read"


def test_what_the_loop_knows_of_itself() -> None:
    found = page(
        policies={"shop": True, "blog": False},
        vaults_checked={OFF: NOW},
        outcomes={("cut", "done"): 3, ("cut", "unavailable"): 1},
        attempts={("shop", "data", "done"): NOW},
        alarms=frozenset({"policy-invalid"}),
        pass_seconds=1.25,
        pass_ended=NOW,
    )
    assert found['build_info{version="1.2.3"}'] == 1
    assert found['policy_valid{application="shop"}'] == 1
    assert found['policy_valid{application="blog"}'] == 0
    assert found['vault_checked_timestamp_seconds{vault="gcs-eu"}'] == NOW.timestamp()
    assert found['actions_total{action="cut",outcome="unavailable"}'] == 1
    done = 'last_attempt_timestamp_seconds{application="shop",resource="data",outcome="done"}'
    assert found[done] == NOW.timestamp()
    assert found['alarm{kind="policy-invalid"}'] == 1
    assert found["pass_duration_seconds"] == 1.25
    assert found["pass_last_end_timestamp_seconds"] == NOW.timestamp()


def test_before_the_first_pass_only_the_version_is_known() -> None:
    assert samples(render(Facts(NOW, "1.2.3"), NOW)) == {'build_info{version="1.2.3"}': 1}


def test_every_metric_of_the_contract_is_there_and_promtool_finds_nothing() -> None:
    noted = replace(dump(locked_until=NOW), facts={"counted": {"changed": 1}})
    plan = planned(
        policy(resources=[resource("data", "ebs"), resource("orders", "postgres")]),
        Catalogue("shop", (native(), noted), (drilled(NOW),)),
        (Hold("shop", "data", HOME, "", "gone", "member-gone"), copy()),
    )
    turns = {("orders", OFF): dict.fromkeys(range(TURNS), NOW)}
    application = ApplicationFacts(plan.policy, plan.catalogue, plan.status, plan.actions, turns=turns)
    facts = Facts(
        NOW,
        "1.2.3",
        (application,),
        {"shop": True},
        {OFF: NOW},
        frozenset(),
        {("cut", "done"): 1},
        {("shop", "data", "done"): NOW},
        frozenset({"member-gone"}),
        0.5,
        NOW,
        KeysSeen((KeyStanding("age1one", NOW, NOW),)),
    )
    text = render(facts, NOW)
    named = {line.split()[2].removeprefix("drorch_") for line in text.splitlines() if line.startswith("# TYPE")}
    assert named == {
        *("rpo_objective_seconds", "rpo_attained_seconds", "dataset_rpo_attained_seconds", "rto_objective_seconds"),
        *("rto_attained_seconds", "objective_met", "alarm", "vault_missing", "vault_checked_timestamp_seconds"),
        *("policy_valid", "points", "point_bytes", "newest_cut_timestamp_seconds", "next_due_timestamp_seconds"),
        *("last_attempt_timestamp_seconds", "drill_last_success_timestamp_seconds", "drill_duration_seconds"),
        *("actions_total", "holds", "pass_duration_seconds", "pass_last_end_timestamp_seconds"),
        *("copy_queue_depth", "build_info", "removed_copies", "tampered_objects", "suspect_points"),
        *("coverage_age_seconds", "locked_until_timestamp_seconds", "deletions_held"),
        *("key_proved_timestamp_seconds", "key_proof_due_timestamp_seconds", "dump_noted_files"),
    }
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_labels_are_escaped_so_that_promtool_reads_them_back() -> None:
    family = Family("drorch_odd", 'A "quoted" \\ help\nin two lines.')
    family.add(1, vault='a "b" \\ c\nd')
    text = exposition([family])
    assert text.splitlines()[2] == 'drorch_odd{vault="a \\"b\\" \\\\ c\\nd"} 1'
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, timeout=30, check=False)
    assert checked.returncode == 0


@pytest.mark.parametrize(("value", "text"), [(float("inf"), "+Inf"), (3.0, "3"), (0.25, "0.25"), (1.7e9, "1700000000")])
def test_numbers_are_written_as_the_format_wants_them(value: float, text: str) -> None:
    family = Family("drorch_a", "A.")
    family.add(value)
    assert exposition([family]).splitlines()[-1] == f"drorch_a {text}"


def test_the_text_file_is_replaced_whole_and_may_be_read_by_others(tmp_path: Path) -> None:
    target = tmp_path / "metrics.prom"
    write_page(target, "a 1\n")
    write_page(target, "a 2\n")
    assert target.read_text() == "a 2\n"
    assert target.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.prom"]


def test_a_text_file_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot write"):
        write_page(tmp_path / "absent" / "metrics.prom", "a 1\n")
    (tmp_path / "metrics.prom").mkdir()
    with pytest.raises(Unavailable, match="cannot write"):
        write_page(tmp_path / "metrics.prom", "a 1\n")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.prom"]
