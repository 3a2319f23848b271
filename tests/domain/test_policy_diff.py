"""What a change of policies does: coverage, promises, retention and calls, the risky first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_words import VAULTS, policy_of, words

from drorch.domain.cadence import Ground
from drorch.domain.instant import to_slot
from drorch.domain.model import Copy, CopyState, FailureLevel, RecoveryPoint
from drorch.domain.policy import Keep, LockRule, Policy
from drorch.domain.policy_diff import Fate, PolicyDiff, diff
from drorch.domain.policy_figures import Held, per_day
from drorch.domain.retention import Candidate, keep
from drorch.domain.schedule import Cron, Every, Schedule
from drorch.domain.snapshot_quota import kept_instants

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
LOCKS = {"s3-west": LockRule(for_=timedelta(days=30))}
GROUND = Ground(VAULTS, LOCKS)
HOUR = timedelta(hours=1)


def dump(
    name: str = "orders",
    *,
    schedule: str = "{every: 6h}",
    vaults: str = "[s3-west, gcs-eu]",
    keep: str = "{daily: 40}",
    more: str = "",
) -> str:
    return (
        f"  - {{name: {name}, kind: postgres, connection: {{host: h}}, schedule: {schedule}, vaults: {vaults},"
        f" keep: {keep}{more}}}\n"
    )


def volumes(
    name: str = "data", *, copies: str = "[{region: us-west-2}]", keep: str = "{daily: 14}", more: str = ""
) -> str:
    return (
        f"  - {{name: {name}, kind: ebs, select: {{tags: {{app: shop}}}}, schedule: {{every: 1h}}, copies: {copies},"
        f" keep: {keep}{more}}}\n"
    )


def shop(*resources: str, promise: str = "{region: {rpo: 9h}}", top: str = "", name: str = "shop") -> Policy:
    head = f"version: 1\napplication: {name}\nowner: me\nhome: {{account: prod, region: us-east-1}}\n{top}"
    return policy_of(f"{head}objectives: {promise}\nresources:\n{''.join(resources or (dump(),))}", words(locks=LOCKS))


def differs(old: Policy | Iterable[Policy], new: Policy | Iterable[Policy], held: Held | None = None) -> PolicyDiff:
    before, after = ([each] if isinstance(each, Policy) else list(each) for each in (old, new))
    return diff(before, after, GROUND, NOW, held)


def kinds(found: PolicyDiff) -> list[str]:
    """In their order, the risky with a mark, those for --check with two."""
    return [f"{change.kind}{'!' * (change.risky + change.loosened)}" for change in found.changes]


def the_text(found: PolicyDiff, kind: str) -> str:
    (text,) = [change.text for change in found.changes if change.kind == kind]
    return text


# --- what is covered and promised ----------------------------------------------------------------------------------


def test_a_level_that_nothing_survives_any_more_is_lost_whether_it_was_promised_or_not() -> None:
    found = differs(shop(dump()), shop(dump(vaults="[s3-west]")))
    assert found.lost == {("shop", "orders", FailureLevel.PROVIDER)}
    assert (found.gained, found.loosened) == (frozenset(), True)
    assert kinds(found) == ["level-lost!!", "vault-lost!"]
    assert the_text(found, "level-lost") == "covered no longer: provider"
    back = differs(shop(dump(vaults="[s3-west]")), shop(dump()))
    assert (kinds(back), back.gained, back.loosened) == (["level-covered", "vault-added"], found.lost, False)


def test_a_level_that_another_resource_of_the_dataset_keeps_is_not_lost() -> None:
    old = shop(dump(), volumes(more=", dataset: orders"))
    found = differs(old, shop(dump()))
    assert (found.lost, found.loosened) == (frozenset(), False)
    assert kinds(found) == ["resource-lost!"]
    assert "its points are kept" in the_text(found, "resource-lost")


@pytest.mark.parametrize(
    ("before", "after", "more", "kinds_"),
    [
        ("{region: {rpo: 9h}}", "{region: {rpo: 10h}}", "", ["objective-loosened!!"]),
        ("{region: {rpo: 9h}}", "{region: {rpo: 8h}}", "", ["objective-tightened"]),
        ("{region: {rpo: 9h, rto: 1h}}", "{region: {rpo: 8h}}", "", ["objective-loosened!!"]),
        ("{region: {rpo: 9h, rto: 1h}}", "{region: {rpo: 8h, rto: 2h}}", "", ["objective-loosened!!"]),
        ("{region: {rpo: 9h}}", "{region: {rpo: 9h, rto: 2h}}", "", ["objective-tightened"]),
        ("{region: {rpo: 9h}, zone: {rpo: 9h}}", "{region: {rpo: 9h}}", "", ["objective-dropped!!"]),
        ("{region: {rpo: 9h}}", "{region: {rpo: 9h}, zone: {rpo: 9h}}", "", ["objective-added"]),
        ("{region: {rpo: 9h}}", "{region: {rpo: 9h}}", ", exempt: {region: cache}", ["exempt-added!!"]),
        ("{region: {rpo: 9h}}", "{region: {rpo: 9h}}", ", exempt: {zone: cache}", ["exempt-added!"]),
    ],
)
def test_promises_are_loosened_tightened_dropped_and_exempt(
    before: str, after: str, more: str, kinds_: list[str]
) -> None:
    old, new = shop(dump(), promise=before), shop(dump(more=more), promise=after)
    found = differs(old, new)
    assert kinds(found) == kinds_
    assert found.loosened == kinds_[0].endswith("!!")
    back = {"exempt-added!!": ["exempt-removed"], "exempt-added!": ["exempt-removed"]}
    assert kinds(differs(new, old)) == back.get(kinds_[0], kinds(differs(new, old)))


def test_a_promise_that_reaches_less_far_back_is_loosened() -> None:
    promise = "{tampering: {rpo: 2d}}"
    kept = dump(keep="{within: 60d}")
    old, new = (shop(kept, promise=promise, top=f"reach_back: {days}d\n") for days in (30, 20))
    assert (kinds(differs(old, new)), kinds(differs(new, old))) == (["objective-loosened!!"], ["objective-tightened"])


# --- applications and resources ------------------------------------------------------------------------------------


def test_a_lost_file_deletes_nothing_and_costs_all_that_was_covered() -> None:
    found = differs([shop(), shop(name="bank")], shop())
    (change,) = found.changes
    assert (change.kind, change.application, change.loosened) == ("application-lost", "bank", True)
    assert "nothing is deleted" in change.text
    assert {level for _, _, level in found.lost} == set(change.levels) == set(FailureLevel)
    assert all(row.left and row.points_after == row.points_before and not row.would_expire for row in _rows(found))
    assert found.applications[0].fate is Fate.LOST
    added = differs(shop(), [shop(), shop(name="bank")])
    assert (kinds(added), added.gained, added.loosened) == (["application-added"], found.lost, False)


def test_a_new_name_carries_the_history_on_and_nothing_is_lost() -> None:
    new = shop(dump("ledger", more=", formerly: [orders]"), name="bank", top="formerly: [shop]\n")
    found = differs(shop(), new)
    assert (kinds(found), found.lost, found.gained) == (
        ["application-renamed", "resource-renamed"],
        frozenset(),
        frozenset(),
    )
    assert (found.applications[0].fate, found.applications[0].formerly) == (Fate.RENAMED, "shop")
    unsaid = differs(shop(), shop(dump("ledger")))
    assert kinds(unsaid) == ["level-lost!!", "resource-lost!", "level-covered", "resource-added"]


def test_who_leaves_is_cut_no_more_and_keeps_what_its_rules_keep() -> None:
    left = "retired: {since: 2026-11-01, keep: {last: 3}, reason: sold}\n"
    found = differs(shop(), shop(top=left))
    assert kinds(found)[:2] == ["application-retired!!", "level-lost!!"]
    assert {(row.points_before, row.points_after, row.would_expire, row.per_day_after) for row in _rows(found)} == {
        (41, 3, 38, 0.0)
    }
    told = {change.text.split(";")[0] for change in found.changes if change.kind == "retention-shortened"}
    assert told == {f"{vault}: daily 40 becomes last 3" for vault in ("s3-west", "gcs-eu")}
    back = differs(shop(top=left), shop())
    assert back.loosened is False
    assert "application-returned" in kinds(back)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (dump(), dump(schedule="{every: 4h}"), "cadence-faster"),
        (dump(), dump(schedule="{every: 7h}"), "cadence-slower"),
        (dump(), dump(schedule="{every: 6h, offset: 1h}"), "cadence-changed"),
        (dump(), dump(schedule="{}"), "cadence-changed"),
        (dump(), dump(vaults="[s3-west, {vault: gcs-eu, every: 1d}]"), "cadence-slower"),
        (dump(), dump(more=", keep_manual: 7d"), "retention-shortened!"),
        (dump(), dump(more=", max_duration: 1h, inventory: estimate"), "settings-changed"),
        (dump(), dump().replace("host: h", "host: i"), "source-changed"),
        (dump(more=", drill: {every: 7d}"), dump(), "drill-lost!"),
        (dump(more=", drill: {every: 7d}"), dump(more=", drill: {every: 30d}"), "drill-reduced!"),
        (dump(more=", drill: {every: 7d}"), dump(more=", drill: {every: 7d, from: [gcs-eu]}"), "drill-reduced!"),
        (dump(), dump(more=", drill: {every: 7d}"), "drill-added"),
        (volumes(), volumes(copies="[{region: us-west-2, kms_key: alias/x}]"), "key-changed"),
    ],
)
def test_every_other_difference_is_told_once(old: str, new: str, kind: str) -> None:
    found = differs(shop(old), shop(new))
    assert kinds(found) == [kind]
    assert not found.loosened
    assert kinds(differs(shop(new), shop(old))), "and the other way round"


def test_a_cadence_says_before_and_after_and_why() -> None:
    found = differs(shop(dump(schedule="{every: 4h}")), shop(dump(schedule="{}")))
    (change,) = found.changes
    assert (change.before, change.after) == ("every 4h", "every 6h")
    assert change.text == "every 4h becomes every 6h: region rpo 9h, time to usable 1h30m assumed"


@pytest.mark.parametrize(
    ("before", "after", "shorter"),
    [
        ("{for: 9d, irrevocable: true}", "{for: 8d, irrevocable: true}", True),
        ("{for: 9d, irrevocable: true}", "{for: 9d, mode: governance}", True),
        ("{for: 9d, mode: governance}", "{for: 9d, irrevocable: true}", False),
        ("{for: 8d, irrevocable: true}", "{for: 9d, irrevocable: true}", False),
    ],
)
def test_a_lock_that_holds_less_is_risky(before: str, after: str, shorter: bool) -> None:
    old, new = (shop(volumes(copies=f"[{{region: us-west-2, lock: {lock}}}]")) for lock in (before, after))
    assert ("lock-shortened!" in kinds(differs(old, new)), "lock-lengthened" in kinds(differs(old, new))) == (
        shorter,
        not shorter,
    )
    none = shop(volumes())
    assert "lock-shortened!" in kinds(differs(new, none))


# --- retention -----------------------------------------------------------------------------------------------------


def _rows(found: PolicyDiff) -> list[object]:
    return [row for each in found.applications for row in each.figures]


def test_shorter_retention_says_how_many_points_would_expire_and_how_far_the_rest_reaches() -> None:
    found = differs(shop(dump(keep="{daily: 14}")), shop(dump(keep="{daily: 7}")))
    assert kinds(found) == ["retention-shortened!"] * 2
    assert found.changes[0].text == (
        "s3-west: daily 14 becomes daily 7; reaches back 5d15h, it was 12d15h; "
        "7 of 15 points would begin to expire, of 2026-11-07 to 2026-11-13"
    )
    back = differs(shop(dump(keep="{daily: 7}")), shop(dump(keep="{daily: 14}")))
    assert kinds(back) == ["retention-lengthened"] * 2


def test_more_points_in_less_time_reach_less_far_back_under_the_same_rules() -> None:
    old, new = (shop(dump(schedule=f"{{every: {every}}}", keep="{last: 12}")) for every in ("6h", "1h"))
    found = differs(old, new)
    assert kinds(found) == ["retention-shortened!", "retention-shortened!", "cadence-faster"]
    assert found.changes[0].text == "s3-west: last 12; reaches back 11h, it was 2d21h"
    assert kinds(differs(new, old)) == ["cadence-slower"]


def test_buckets_of_days_do_not_shrink_with_the_cadence() -> None:
    old, new = (shop(dump(schedule=f"{{every: {every}}}")) for every in ("6h", "1h"))
    assert kinds(differs(old, new)) == ["cadence-faster"]


def test_points_that_lie_in_vaults_are_counted_where_they_are_known() -> None:
    old, new = shop(dump(keep="{daily: 14}")), shop(dump(keep="{daily: 7}"))
    points = []
    for day in range(10):
        cut_at = NOW - timedelta(days=day)
        copy = Copy("s3-west", CopyState.USABLE, bytes=1000)
        points.append(RecoveryPoint(f"p{day}", "shop", "orders", "postgres", to_slot(cut_at), cut_at, (copy,)))
    held = Held({("shop", "orders"): tuple(points)}, frozenset({"s3-west"}))
    west, gcs = differs(old, new, held).applications[0].figures
    assert (west.held, west.held_would_expire, west.bytes_before, west.bytes_after) == (10, 3, 15_000, 8_000)
    assert (gcs.held, gcs.held_would_expire, gcs.bytes_before) == (None, None, None)
    told = "3 of 10 points there would begin to expire, of 2026-11-11 to 2026-11-13"
    assert told in differs(old, new, held).changes[0].text
    document = west.to_json()
    assert document["expiring"] == {"oldest": "2026-11-11T09:30:00Z", "newest": "2026-11-13T09:30:00Z"}
    assert [each.point for each in west.held_expiring or ()] == ["p7", "p8", "p9"]


RULES = st.builds(
    lambda **given: Keep(**{name: count for name, count in given.items() if count}),
    last=st.integers(1, 30),
    hourly=st.integers(0, 30),
    daily=st.integers(0, 30),
    weekly=st.integers(0, 10),
    monthly=st.integers(0, 14),
    yearly=st.integers(0, 3),
)
GRIDS: st.SearchStrategy[Schedule] = st.sampled_from(
    [Every(HOUR), Every(6 * HOUR), Every(24 * HOUR, 2 * HOUR), Cron("15 */6 * * *", "Europe/Berlin")]
)


@given(RULES, GRIDS, st.integers(1, 4), st.integers(0, 365 * 24 * 60))
@settings(max_examples=40, deadline=None)
def test_the_steady_state_is_what_retention_keeps_of_it_and_of_the_whole_history(
    rules: Keep, grid: Schedule, floor: int, minutes: int
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    kept = kept_instants(rules, floor, grid, None, now)
    history = set(kept)
    instant = grid.slot_at(now)
    for _ in range(700):
        history.add(instant)
        instant = grid.slot_at(instant - timedelta(seconds=1))
    for points in (kept, history):
        candidates = [Candidate(str(each), each) for each in points]
        verdicts = keep(rules, candidates, zone=grid.zone, floor=floor, keep_manual=HOUR, now=now)
        assert {verdict.candidate.cut_at for verdict in verdicts if verdict.kept} == kept


# --- calls ---------------------------------------------------------------------------------------------------------


def test_calls_of_a_day_are_cuts_copies_and_uploads() -> None:
    resources = dump(vaults="[s3-west, {vault: gcs-eu, every: 1d}]"), volumes()
    (added,) = differs([], shop(*resources)).applications
    assert added.calls_before.to_json() == {"cuts": 0, "copies": 0, "uploads": 0}
    assert added.calls_after.to_json() == {"cuts": 28.0, "copies": 24.0, "uploads": 5.0}


def test_slots_of_a_day_are_counted_over_weeks() -> None:
    assert per_day(Every(6 * HOUR)) == 4
    assert per_day(Cron("0 3 * * 1", "UTC")) == pytest.approx(1 / 7)
    assert per_day(Cron("15 */6 * * *", "Europe/Berlin")) == 4
    assert per_day(Cron("0 0 1 1 *", "UTC")) < 1 / 300


# --- what holds of every two policies ------------------------------------------------------------------------------

_VAULT_LISTS = st.sampled_from(["[s3-west]", "[s3-west, gcs-eu]", "[s3-home, s3-west]"])
_RESOURCES = st.tuples(
    st.builds(
        dump,
        schedule=st.sampled_from(["{every: 1h}", "{every: 6h}", "{}"]),
        vaults=_VAULT_LISTS,
        keep=st.sampled_from(["{daily: 40}", "{last: 40, monthly: 3}"]),
    ),
    st.sampled_from(["", volumes(), volumes(copies="[{region: us-west-2, account: vault}]")]),
)
_POLICIES = st.builds(
    lambda resources, promise, name: shop(*filter(None, resources), promise=promise, name=name),
    _RESOURCES,
    st.sampled_from(["{region: {rpo: 9h}}", "{region: {rpo: 2d}, zone: {rpo: 9h}}"]),
    st.sampled_from(["shop", "bank"]),
)


@given(_POLICIES)
@settings(max_examples=20, deadline=None)
def test_a_policy_does_not_differ_from_itself(policy: Policy) -> None:
    found = differs(policy, policy)
    assert found == PolicyDiff()
    assert not found.changes and not found.loosened


@given(_POLICIES, _POLICIES)
@settings(max_examples=40, deadline=None)
def test_what_is_lost_one_way_is_gained_the_other_way(old: Policy, new: Policy) -> None:
    there, back = differs(old, new), differs(new, old)
    assert (there.lost, there.gained) == (back.gained, back.lost)
    assert not there.lost & there.gained
    assert there.loosened or not there.lost
    assert bool(there.changes) == bool(back.changes) == (old != new)
    risky = [change.risky for change in there.changes]
    assert risky == sorted(risky, reverse=True)
