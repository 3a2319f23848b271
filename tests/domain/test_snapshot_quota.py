"""How many manual snapshots of RDS policies come to: by the rules, with what is in its grace, over all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from policy_words import KINDS, Instance, policy_of, words

from drorch.domain.policy import Keep, Policy
from drorch.domain.retention import Candidate, keep
from drorch.domain.schedule import Cron, Every, Schedule
from drorch.domain.snapshot_quota import MOST, counted, holdings, most_kept
from drorch.domain.vocabulary import KindWords

GRACE = timedelta(days=3)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
WORDS = words(kinds={**KINDS, "rds-cluster": KindWords(Instance, native=True)})
NIGHTLY = Cron("0 2 * * *", "Europe/Berlin")


def policy(name: str, more: str = "", *, kind: str = "rds-instance", schedule: str = "{every: 1d}") -> Policy:
    return policy_of(
        f"""
        version: 1
        application: {name}
        owner: dba@example.com
        home: {{account: prod, region: us-east-1}}
        resources:
          - name: ledger
            kind: {kind}
            identifier: {name}-ledger
            schedule: {schedule}
            copies: [{{region: us-west-2}}]
            keep: {{daily: 4}}
            {more}
        """,
        WORDS,
    )


def left_by_retention(rules: Keep, floor: int, schedule: Schedule, days: int) -> int:
    """The most that is left at any time when every slot is cut and what no rule keeps goes at once."""
    now = datetime(2026, 9, 28, tzinfo=UTC)
    end, most = now + days * DAY, 0
    held: list[datetime] = []
    while now < end:
        now = schedule.next_after(now)
        held.append(now)
        candidates = [Candidate(str(when), when) for when in held]
        said = keep(rules, candidates, zone=schedule.zone, floor=floor, keep_manual=DAY, now=now)
        kept = {verdict.candidate.cut_at for verdict in said if verdict.kept}
        held = [when for when in held if when in kept]
        most = max(most, len(held))
    return most


@pytest.mark.parametrize(
    ("rules", "schedule", "days"),
    [
        (Keep(last=3), Every(4 * HOUR), 10),
        (Keep(last=2, daily=14), Every(4 * HOUR), 40),
        (Keep(last=3, hourly=12, daily=7), Every(4 * HOUR, HOUR), 30),
        (Keep(daily=7, weekly=8), NIGHTLY, 110),
        (Keep(last=2, daily=14, weekly=8, within=3 * DAY), Cron("0 2,14 * * *", "America/New_York"), 110),
        (Keep(last=1, weekly=4, monthly=3), Every(DAY), 130),
        (Keep(last=3, daily=14, weekly=8, monthly=4), NIGHTLY, 220),
        (Keep(last=5), Every(7 * DAY), 100),
    ],
    ids=str,
)
def test_what_is_counted_is_what_retention_leaves_at_the_most(rules: Keep, schedule: Schedule, days: int) -> None:
    left = left_by_retention(rules, 2, schedule, days)
    assert left <= most_kept(rules, 2, schedule, None) <= left + 1


def test_volumes_are_counted_in_the_same_way_and_no_further_than_is_told() -> None:
    (volumes,) = policy_of(
        """
        version: 1
        application: wiki
        owner: dba@example.com
        home: {account: prod, region: us-east-1}
        resources:
          - {name: a, kind: ebs, select: {tags: {app: wiki}}, schedule: {every: 4h}, keep: {last: 3, within: 2d}}
        """,
        WORDS,
    ).resources
    (rule,) = volumes.targets
    assert counted(volumes, rule, GRACE) == (13, 3 * 6 + 1)
    many = rule.model_copy(update={"keep": Keep(last=10**6)})
    assert counted(volumes, many, timedelta(days=10**5)) == (MOST, MOST)


def test_the_floor_stays_where_rules_keep_less() -> None:
    assert most_kept(Keep(last=1), 4, Every(DAY), None) == 4


def test_a_vault_that_takes_fewer_points_holds_fewer_hours_of_them() -> None:
    assert most_kept(Keep(within=3 * DAY), 1, Every(4 * HOUR), None) == 19
    assert most_kept(Keep(within=3 * DAY), 1, Every(4 * HOUR), DAY) == 4


def test_no_number_in_a_policy_makes_the_count_endless() -> None:
    assert most_kept(Keep(last=10**12, yearly=10**12), 1, Every(timedelta(minutes=1)), None) == 1000


def test_points_in_their_grace_and_the_one_being_made_are_counted_in_both_regions() -> None:
    home, away = holdings([policy("shop")], GRACE)
    assert (home.vault, away.vault) == ("prod.us-east-1", "prod.us-west-2")
    assert (home.kept, home.leaving, home.total, home.fits) == (4, 4, 8, True)
    assert away.total == home.total
    often, _ = holdings([policy("shop", schedule="{every: 4h}")], GRACE)
    assert often.leaving == 3 * 6 + 1


def test_where_points_come_more_rarely_than_the_grace_lasts_one_is_leaving_all_the_same() -> None:
    for schedule in (
        "{every: 7d}",
        '{cron: "0 2 * * 3", timezone: Europe/Berlin}',
        '{cron: "0 2 1 * *", timezone: UTC}',
    ):
        assert {holding.leaving for holding in holdings([policy("shop", schedule=schedule)], GRACE)} == {2}


def test_a_copy_with_rules_of_its_own_is_counted_by_those() -> None:
    text = "copies: [{region: us-west-2, every: 1d, keep: {daily: 2}}]"
    rare = policy_of(
        f"""
        version: 1
        application: shop
        owner: dba@example.com
        home: {{account: prod, region: us-east-1}}
        resources:
          - {{name: a, kind: rds-instance, identifier: a, schedule: {{every: 4h}}, keep: {{last: 9}}, floor: 1, {text}}}
        """,
        WORDS,
    )
    home, away = holdings([rare], GRACE)
    assert (home.kept, home.leaving) == (9, 19)
    assert (away.kept, away.leaving) == (2, 4)


def test_all_policies_share_the_quota_and_clusters_have_one_of_their_own() -> None:
    many = [policy(f"shop{number}") for number in range(13)]
    few = [policy(f"seat{number}", kind="rds-cluster") for number in range(2)]
    found = {(h.vault, h.kind): h for h in holdings([*many, *few], GRACE)}
    instances = found["prod.us-west-2", "rds-instance"]
    assert (instances.resources, instances.total, instances.fits) == (13, 104, False)
    assert found["prod.us-west-2", "rds-cluster"].fits
    assert "13 of kind rds-instance come to hold 52 kept + 52 in the grace of 3d = 104 manual snapshots > 100" in str(
        instances
    )


def test_fifteen_databases_fit_with_two_points_each_beside_the_grace() -> None:
    fifteen = [policy(f"shop{number}").model_copy() for number in range(15)]
    lean = [p.model_copy(update={"resources": tuple(_keeping(r, Keep(daily=2)) for r in p.resources)}) for p in fifteen]
    assert {h.total for h in holdings(lean, GRACE)} == {90}
    assert not any(h.fits for h in holdings(fifteen, GRACE))


def _keeping(resource: object, rules: Keep) -> object:
    targets = tuple(rule.model_copy(update={"keep": rules}) for rule in resource.targets)  # type: ignore[attr-defined]
    return resource.model_copy(update={"targets": targets})  # type: ignore[attr-defined]


def test_other_kinds_are_not_counted() -> None:
    volumes = policy_of(
        """
        version: 1
        application: wiki
        owner: dba@example.com
        home: {account: prod, region: us-east-1}
        resources:
          - {name: a, kind: ebs, select: {tags: {app: wiki}}, schedule: {every: 4h}, keep: {last: 500}}
        """,
        WORDS,
    )
    assert holdings([volumes], GRACE) == ()
