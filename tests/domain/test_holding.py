from __future__ import annotations

from datetime import timedelta

from drorch.domain.holding import most_held, slots_within
from drorch.domain.policy import Keep
from drorch.domain.schedule import Cron, Every

DAY = timedelta(days=1)
FOUR_HOURLY = Every(timedelta(hours=4))


def test_rules_add_up_and_so_do_the_points_in_grace() -> None:
    assert most_held(Keep(last=3, daily=14), 2, Every(DAY), None, 3 * DAY) == 17 + 3
    assert most_held(Keep(last=3), 2, FOUR_HOURLY, None, 3 * DAY) == 3 + 18


def test_a_span_holds_every_slot_in_it() -> None:
    assert most_held(Keep(within=2 * DAY), 2, FOUR_HOURLY, None, DAY) == 12 + 6


def test_the_floor_holds_where_rules_keep_less() -> None:
    assert most_held(Keep(last=1), 5, Every(DAY), None, timedelta()) == 5


def test_a_vault_that_takes_one_a_day_holds_fewer() -> None:
    assert slots_within(3 * DAY, FOUR_HOURLY, DAY) == 3
    assert slots_within(3 * DAY, FOUR_HOURLY, None) == 18


def test_a_cron_counts_its_instants() -> None:
    assert slots_within(7 * DAY, Cron("0 3 * * 1-5", "Europe/Berlin"), None) == 5
