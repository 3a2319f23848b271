"""Feasible or refused: the arithmetic of interval and allowance, and which copies survive what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from policy_words import VAULTS, policy_of, read, words

from drorch.domain.feasibility import feasibility, interval_of
from drorch.domain.model import FailureLevel
from drorch.domain.schedule import Cron, Every, Schedule

HOUR = timedelta(hours=1)


def shop(objectives: str, *resources: str) -> str:
    """A policy with these objectives and resources."""
    head = "version: 1\napplication: shop\nowner: me\nhome: {account: prod, region: us-east-1}\n"
    return f"{head}objectives: {objectives}\nresources:\n" + "".join(resources)


def dump(name: str = "orders", every: str = "every: 6h", vaults: str = "[s3-west, gcs-eu]", more: str = "") -> str:
    return (
        f"  - {{name: {name}, kind: postgres, connection: {{host: h}}, schedule: {{{every}}},"
        f" vaults: {vaults}, keep: {{daily: 14}}{more}}}\n"
    )


def volumes(name: str = "data", every: str = "1h", copies: str = "[{region: us-west-2}]", more: str = "") -> str:
    return (
        f"  - {{name: {name}, kind: ebs, select: {{tags: {{app: shop}}}}, schedule: {{every: {every}}},"
        f" copies: {copies}, keep: {{daily: 14}}{more}}}\n"
    )


def lines(text: str, **known: object) -> list[str]:
    vaults = known.pop("vaults", VAULTS)
    policy = policy_of(text, words(vaults=vaults))
    return [str(line) for line in feasibility(policy, vaults, **known)]  # type: ignore[arg-type]


# --- other accounts


def test_a_promise_to_survive_the_account_needs_a_copy_in_another_one() -> None:
    promise = "{account: {rpo: 2h}}"
    policy, findings = read(shop(promise, volumes()))
    assert policy is None
    assert "nothing of dataset data survives the loss of its account" in str(findings[0])
    for there in ("{region: us-west-2, account: vault}", "{region: us-east-1, account: vault}"):
        vault = f"vault.{there[9:18]}"
        text = shop(promise, volumes(copies=f"[{there}]"))
        assert lines(text) == [f"data at account: 1h + 15m = 1h15m <= 2h via {vault}"]
    late = read(shop(promise, volumes(every="2h", copies="[{region: us-west-2, account: vault}]")))
    assert late[0] is None and "2h + 30m = 2h30m > 2h via vault.us-west-2" in str(late[1][0])
    same = "[{region: us-east-1, account: vault}]"
    assert read(shop("{region: {rpo: 2h}}", volumes(copies=same)))[0] is None, "it is lost with the region"


# --- the arithmetic ------------------------------------------------------------------------------------------------


def test_the_allowance_is_a_quarter_of_the_interval_until_it_is_measured() -> None:
    text = shop("{provider: {rpo: 2d}}", dump())
    assert lines(text) == ["orders at provider: 6h + 1h30m = 7h30m <= 2d via gcs-eu"]
    measured = {("shop", "orders", "gcs-eu"): timedelta(minutes=20), ("bank", "orders", "gcs-eu"): 9 * HOUR}
    assert lines(text, measured=measured) == ["orders at provider: 6h + 20m = 6h20m <= 2d via gcs-eu"]


def test_the_interval_includes_the_days_of_clock_change() -> None:
    berlin = "cron: 15 */6 * * *, timezone: Europe/Berlin"
    assert lines(shop("{provider: {rpo: 9h}}", dump(every=berlin))) == [
        "orders at provider: 7h + 1h45m = 8h45m <= 9h via gcs-eu"
    ]
    assert read(shop("{provider: {rpo: 8h}}", dump(every=berlin)))[0] is None


def test_exactly_the_promise_is_feasible_and_a_minute_less_is_not() -> None:
    assert lines(shop("{provider: {rpo: 7h30m}}", dump()))
    assert read(shop("{provider: {rpo: 7h29m}}", dump()))[0] is None


def test_the_quickest_surviving_vault_counts() -> None:
    vaults = "[{vault: s3-west, every: 1d}, gcs-eu]"
    assert lines(shop("{region: {rpo: 2d}, zone: {rpo: 2d}}", dump(vaults=vaults))) == [
        "orders at zone: 6h + 1h30m = 7h30m <= 2d via gcs-eu",
        "orders at region: 6h + 1h30m = 7h30m <= 2d via gcs-eu",
    ]


def test_the_resources_of_a_dataset_are_alternatives_and_datasets_stand_for_themselves() -> None:
    text = shop(
        "{region: {rpo: 2d}, provider: {rpo: 2d}}",
        volumes(more=", dataset: uploads"),
        dump("uploads", "every: 1d"),
        dump("orders"),
    )
    assert lines(text) == [
        "uploads at region: 1h + 15m = 1h15m <= 2d via prod.us-west-2",
        "uploads at provider: 1d + 6h = 1d6h <= 2d via gcs-eu",
        "orders at region: 6h + 1h30m = 7h30m <= 2d via s3-west",
        "orders at provider: 6h + 1h30m = 7h30m <= 2d via gcs-eu",
    ]


def test_a_copy_with_a_cadence_of_its_own_has_its_own_interval() -> None:
    text = shop("{region: {rpo: 2d}}", volumes(every="4h", copies="[{region: us-west-2, every: 1d}]"))
    assert lines(text) == ["data at region: 1d + 6h = 1d6h <= 2d via prod.us-west-2"]


@pytest.mark.parametrize(
    ("schedule", "every", "interval"),
    [
        (Every(4 * HOUR), None, 4 * HOUR),
        (Every(4 * HOUR), 8 * HOUR, 8 * HOUR),
        (Every(4 * HOUR), 6 * HOUR, 8 * HOUR),
        (Every(4 * HOUR), HOUR, 4 * HOUR),
        (Cron("0 3 * * *", "UTC"), None, 24 * HOUR),
        (Cron("0 3 * * *", "UTC"), 7 * 24 * HOUR, 8 * 24 * HOUR),
    ],
)
def test_a_vault_gets_the_first_point_of_each_of_its_slots(
    schedule: Schedule, every: timedelta | None, interval: timedelta
) -> None:
    """So its interval is no multiple of its own cadence but of the schedule's."""
    assert interval_of(schedule, every) == interval


@pytest.mark.parametrize(("period", "every"), [(4, 6), (4, 8), (3, 10), (5, 5), (7, 2)])
def test_the_interval_of_a_slower_vault_bounds_what_really_happens(period: int, every: int) -> None:
    grid, slots = Every(period * HOUR), Every(every * HOUR)
    cut = grid.slot_at(datetime(2026, 11, 20, tzinfo=UTC))
    first: dict[datetime, datetime] = {}
    taken = []
    for _ in range(500):
        if first.setdefault(slots.slot_at(cut), cut) == cut:
            taken.append(cut)
        cut = grid.next_after(cut)
    gaps = [later - earlier for earlier, later in pairwise(taken)]
    assert max(gaps) == interval_of(grid, every * HOUR)


# --- what survives what --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "via"),
    [("zone", "prod.us-east-1"), ("region", "prod.us-west-2")],
)
def test_native_snapshots_are_regional_and_their_copies_survive_the_region(level: str, via: str) -> None:
    (line,) = lines(shop(f"{{{level}: {{rpo: 9h}}}}", volumes()))
    assert line == f"data at {level}: 1h + 15m = 1h15m <= 9h via {via}"


@pytest.mark.parametrize(
    ("level", "vaults", "why"),
    [
        ("region", "[s3-home]", "nothing of dataset orders survives the loss of its region"),
        ("account", "[s3-home]", "nothing of dataset orders survives the loss of its account"),
        ("provider", "[s3-west]", "nothing of dataset orders survives the loss of its provider"),
        ("tampering", "[gcs-eu]", "nothing of dataset orders survives tampering"),
    ],
)
def test_a_promise_that_nothing_survives_is_refused(level: str, vaults: str, why: str) -> None:
    for objective in ("{rpo: 30d}", "{rto: 1h}"):
        _, findings = read(shop(f"{{{level}: {objective}}}", dump(vaults=vaults)))
        (finding,) = findings
        assert (finding.line, finding.column) == (5, len(f"objectives: {{{level}: ") + 1)
        assert f"{level} is promised, but {why}" in finding.message
        assert f"exempt: {{{level}: REASON}}" in finding.hint


def test_native_copies_do_not_survive_their_account() -> None:
    _, findings = read(shop("{account: {rpo: 30d}}", volumes()))
    assert "nothing of dataset data survives the loss of its account" in findings[0].message


def test_an_exempt_level_takes_the_dataset_out() -> None:
    text = shop("{provider: {rpo: 2d}}", dump(), volumes(more=", exempt: {provider: it is in git}"))
    assert lines(text) == ["orders at provider: 6h + 1h30m = 7h30m <= 2d via gcs-eu"]


def test_a_level_with_nothing_but_a_recovery_time_needs_a_survivor_and_no_arithmetic() -> None:
    assert lines(shop("{provider: {rto: 2h}}", dump())) == []


# --- refused, with the place of the promise ------------------------------------------------------------------------


def test_an_infeasible_promise_of_the_application_is_shown_where_it_stands() -> None:
    _, findings = read(shop("{zone: {rpo: 9h}, provider: {rpo: 7h}}", dump()))
    assert [str(f) for f in findings] == [
        "shop.yaml:5:41: dataset orders cannot keep rpo 7h at provider: 6h + 1h30m = 7h30m > 7h via gcs-eu"
        " (interval + allowance: cut or copy more often, or promise 7h30m)"
    ]


def test_an_infeasible_promise_of_a_resource_is_shown_at_the_resource() -> None:
    more = ", objectives: {region: {rpo: 1h}}"
    text = shop("{region: {rpo: 9h}}", dump(), volumes(more=more))
    _, findings = read(text)
    (finding,) = findings
    assert finding.line == 8
    assert text.splitlines()[7][finding.column - 1 :].startswith("{rpo: 1h}")
    assert "dataset data cannot keep rpo 1h at region" in finding.message


def test_an_infeasible_default_is_shown_at_the_resource() -> None:
    text = shop("{zone: {rpo: 9h}}", dump())
    _, findings = read(text, words(defaults={"objectives": {"provider": {"rpo": "1h"}}}))
    assert (findings[0].line, findings[0].column) == (7, 5)
    assert "cannot keep rpo 1h at provider" in findings[0].message


def test_every_infeasible_promise_is_shown_at_once() -> None:
    _, findings = read(shop("{region: {rpo: 1h}, provider: {rpo: 1h}}", dump(), dump("more")))
    assert [f.message.partition(":")[0] for f in findings] == [
        "dataset more cannot keep rpo 1h at region",
        "dataset orders cannot keep rpo 1h at region",
        "dataset more cannot keep rpo 1h at provider",
        "dataset orders cannot keep rpo 1h at provider",
    ]


# --- without a host configuration ----------------------------------------------------------------------------------


def test_without_vaults_only_what_native_snapshots_keep_is_judged() -> None:
    text = shop("{region: {rpo: 9h}, provider: {rpo: 1h}}", dump(), volumes(more=", exempt: {provider: in git}"))
    assert lines(text, vaults=None) == ["data at region: 1h + 15m = 1h15m <= 9h via prod.us-west-2"]


def test_without_vaults_a_promise_that_native_snapshots_alone_cannot_keep_is_still_refused() -> None:
    _, findings = read(shop("{region: {rpo: 1h}}", volumes()), words(vaults=None))
    assert "dataset data cannot keep rpo 1h at region" in findings[0].message


def test_the_numbers_are_there_for_programs_too() -> None:
    policy = policy_of(shop("{provider: {rpo: 2d}}", dump()))
    (line,) = feasibility(policy, VAULTS)
    assert (line.dataset, line.level, line.resource, line.vault) == (
        "orders",
        FailureLevel.PROVIDER,
        "orders",
        "gcs-eu",
    )
    assert (line.interval, line.allowance, line.total, line.rpo) == (6 * HOUR, 1.5 * HOUR, 7.5 * HOUR, 48 * HOUR)
    assert line.feasible
    assert line.why == "allowance: a quarter of the interval"
