"""Who waits where AWS throttles: budgets on a clock that is turned by hand, and the clients that ask them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import clouds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drorch.aws import AwsAccount, AwsAccounts
from drorch.aws.pace import FIRST, FREE, GAIN, LEAST, PATIENCE, SAVED_SECONDS, Budget, Pace
from drorch.demo.aws import EmbeddedAws
from drorch.domain.errors import Refused, Throttled
from drorch.domain.priority import Priority, acting
from drorch.kinds.ebs import EbsSnapshots

HOME, AWAY, _ = clouds.REGIONS
LOOP = (Priority.CUT, Priority.COPY, Priority.CLEAN_UP)
"""In the order in which a pass starts them."""


@dataclass
class Hand:
    """Seconds that a test turns."""

    at: float = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def hand() -> Hand:
    return Hand()


def admitted(budget: Budget, priority: Priority, asked: int = 1000) -> int:
    """How many of so many are let in now."""
    return sum(not budget.take(priority) for _ in range(asked))


def test_nothing_is_held_back_where_nothing_was_refused(hand: Hand) -> None:
    budget = Budget(hand)
    assert [admitted(budget, priority) for priority in Priority] == [1000] * 4
    assert math.isinf(budget.rate)


def test_after_a_refusal_everything_waits_but_a_restore(hand: Hand) -> None:
    budget = Budget(hand)
    budget.refused(Priority.CUT)
    assert [admitted(budget, priority, 10) for priority in Priority] == [10, 0, 0, 0]
    assert budget.why_not(Priority.CLEAN_UP) == "it throttles, and copies go first"


def test_a_rate_is_halved_by_each_burst_of_refusals_and_never_becomes_nothing(hand: Hand) -> None:
    budget = Budget(hand)
    rates = []
    for _ in range(12):
        for _ in range(50):
            budget.refused(None)
        rates.append(budget.rate)
        hand.at += 1.0
    assert rates[0] == FIRST
    assert rates[1] == pytest.approx((FIRST + GAIN) / 2)
    assert rates[-1] >= LEAST


def test_a_rate_recovers_by_as_much_every_quiet_second_and_is_then_no_limit(hand: Hand) -> None:
    budget = Budget(hand)
    budget.refused(None)
    hand.at = 100
    assert budget.rate == pytest.approx(FIRST + 100 * GAIN)
    hand.at = (FREE - FIRST) / GAIN + 1
    assert math.isinf(budget.rate)
    assert admitted(budget, Priority.CLEAN_UP) == 1000


def test_what_is_saved_up_is_no_more_than_half_a_minute_of_the_rate(hand: Hand) -> None:
    budget = Budget(hand)
    for number in range(8):
        hand.at = number * 1.0
        budget.refused(None)
    hand.at += 20
    rate = budget.rate
    assert admitted(budget, Priority.COPY) <= rate * SAVED_SECONDS


def test_the_lower_ones_wait_while_a_higher_one_had_to(hand: Hand) -> None:
    budget = Budget(hand)
    budget.refused(Priority.COPY)
    hand.at = 60
    assert admitted(budget, Priority.CUT) == admitted(budget, Priority.CLEAN_UP) == 0
    copies = admitted(budget, Priority.COPY)
    assert copies > 20
    hand.at = 120
    assert admitted(budget, Priority.CUT) == 0, "not every copy has been let in"
    assert admitted(budget, Priority.COPY, 5) == 5
    assert admitted(budget, Priority.CUT, 5) == 5, "and now every one has"


def test_a_restore_goes_beyond_what_is_saved_up_and_the_others_pay_for_it(hand: Hand) -> None:
    budget = Budget(hand)
    budget.refused(None)
    hand.at = 10
    assert admitted(budget, Priority.RESTORE, 100) == 100
    assert admitted(budget, Priority.COPY) == 0
    hand.at = 11
    assert admitted(budget, Priority.COPY) == 0
    hand.at = 60
    assert admitted(budget, Priority.COPY) > 0


def test_a_question_takes_nothing(hand: Hand) -> None:
    asked, taken = Budget(hand), Budget(hand)
    for budget in (asked, taken):
        budget.refused(None)
    hand.at = 30
    for _ in range(1000):
        assert asked.why_not(Priority.COPY) == ""
    assert admitted(asked, Priority.COPY) == admitted(taken, Priority.COPY)


# --- simulated -----------------------------------------------------------------------------------------------------


@dataclass
class Ec2:
    """A token bucket that drorch shares with others, who take `foreign` tokens a second if they are there."""

    hand: Hand
    foreign: float
    capacity: float = 100.0
    refill: float = 5.0
    tokens: float = 100.0
    at: float = 0.0
    refused: int = 0

    def call(self) -> bool:
        """Whether it is done."""
        passed, self.at = self.hand.at - self.at, self.hand.at
        self.tokens = min(self.capacity, max(0.0, self.tokens + (self.refill - self.foreign) * passed))
        done = self.tokens >= 1
        self.tokens -= done
        self.refused += not done
        return done


@dataclass
class Loop:
    """A daemon's passes: what is due asks its budget and then EC2, and comes again in the next pass."""

    due: Counter[Priority]
    foreign: float = 0.0
    paced: bool = True
    hand: Hand = field(default_factory=Hand)
    done: dict[Priority, list[float]] = field(default_factory=lambda: {priority: [] for priority in Priority})
    out_of_turn: list[tuple[float, Priority]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ec2 = Ec2(self.hand, self.foreign)
        self.budget = Budget(self.hand)
        self.refused_at = math.inf

    def run(self, every: float, until: float) -> None:
        while self.hand.at < until and self.due.total():
            for priority in (Priority.RESTORE, *LOOP):
                for _ in range(self.due[priority]):
                    self.ask(priority)
            self.hand.at += every

    def ask(self, priority: Priority) -> None:
        if self.paced and self.budget.take(priority):
            assert priority is not Priority.RESTORE
            return
        higher = any(self.due[p] for p in LOOP if p < priority)
        if higher and self.refused_at < self.hand.at and not math.isinf(self.budget.rate):
            self.out_of_turn.append((self.hand.at, priority))
        if self.ec2.call():
            self.due[priority] -= 1
            self.done[priority].append(self.hand.at)
        else:
            self.refused_at = min(self.refused_at, self.hand.at)
            self.budget.refused(priority)


def out_of_turn(loop: Loop) -> Iterator[float]:
    """Seconds between the turns that a priority got while a higher one was waiting."""
    for priority in LOOP:
        times = [at for at, who in loop.out_of_turn if who is priority]
        yield from (later - sooner for sooner, later in pairwise(times))


amounts = st.integers(0, 400)


@settings(max_examples=40, deadline=None)
@given(
    restores=st.integers(0, 20),
    copies=amounts,
    cuts=amounts,
    deletions=amounts,
    foreign=st.floats(0, 4.5),
    every=st.floats(5, 60),
)
def test_under_throttling_the_higher_goes_first_and_everything_is_done_in_the_end(
    restores: int, copies: int, cuts: int, deletions: int, foreign: float, every: float
) -> None:
    wanted = {
        Priority.RESTORE: restores,
        Priority.COPY: copies,
        Priority.CUT: cuts,
        Priority.CLEAN_UP: deletions,
    }
    loop = Loop(Counter(wanted), foreign)
    loop.run(every, until=2 * 86_400)
    assert {priority: len(times) for priority, times in loop.done.items()} == wanted
    assert all(seconds >= PATIENCE for seconds in out_of_turn(loop))


def test_whoever_others_leave_nothing_gets_a_turn_at_a_time_and_does_not_starve() -> None:
    """Copies without end, and hardly anything left by others: one action of the rest in ten minutes or so."""
    loop = Loop(Counter({Priority.CUT: 50, Priority.CLEAN_UP: 50}), foreign=4.9)
    for _ in range(10 * 60):
        loop.due[Priority.COPY] = 100
        loop.run(60, until=loop.hand.at + 60)
    for priority in (Priority.CUT, Priority.CLEAN_UP):
        times = [at for at in loop.done[priority] if at >= 3600]
        assert not loop.due[priority] or max(later - sooner for sooner, later in pairwise(times)) <= 3 * PATIENCE
        assert len(loop.done[Priority.COPY]) > 5 * len(times)


def test_whoever_asks_once_in_a_long_while_is_let_in_too(hand: Hand) -> None:
    budget = Budget(hand)
    for _ in range(30):
        hand.at += 301
        budget.refused(Priority.COPY)
        if not budget.take(Priority.CLEAN_UP):
            break
    assert hand.at <= 2 * PATIENCE + 301


def test_a_paced_loop_meets_fewer_refusals_than_one_that_tries_everything_every_time() -> None:
    loops = {}
    for paced in (True, False):
        loops[paced] = Loop(Counter({Priority.COPY: 200, Priority.CUT: 300, Priority.CLEAN_UP: 600}), 3.0, paced)
        loops[paced].run(60, until=86_400)
        assert not loops[paced].due.total()
    assert loops[True].ec2.refused * 4 < loops[False].ec2.refused
    first, last = loops[True].done[Priority.COPY][-1], loops[True].done[Priority.CLEAN_UP][-1]
    assert first < last
    assert first <= loops[False].done[Priority.COPY][-1]


# --- clients -------------------------------------------------------------------------------------------------------


@pytest.fixture
def accounts(aws: EmbeddedAws, hand: Hand) -> AwsAccounts:
    """Accounts whose budgets do not recover by themselves."""
    made = AwsAccounts({"prod": AwsAccount()}, attempts=1, read_seconds=5)
    made.pace = Pace(hand)
    return made


def test_what_aws_throttles_holds_back_the_next_action_of_the_same_place_before_it_is_sent(
    aws: EmbeddedAws, accounts: AwsAccounts
) -> None:
    kind = EbsSnapshots(accounts)
    aws.fail_next("DescribeSnapshots", "throttle")
    with acting(Priority.CLEAN_UP), pytest.raises(Throttled, match="RequestLimitExceeded"):
        kind.find("prod", HOME, "p")
    sent = aws.calls.total()
    with acting(Priority.CLEAN_UP), pytest.raises(Throttled, match=r"it throttles") as held:
        kind.expire("prod", HOME, "snap-1")
    assert (held.value.vault, aws.calls.total()) == (f"prod.{HOME}", sent)
    with acting(Priority.CLEAN_UP):
        kind.find("prod", AWAY, "p")
    assert "ec2 in prod" in accounts.pace.why_not("ec2", "prod", HOME, Priority.CUT)
    assert accounts.pace.why_not("ec2", "prod", AWAY, Priority.CUT) == ""
    assert accounts.pace.why_not("rds", "prod", HOME, Priority.CUT) == ""


def test_a_restore_a_person_and_a_look_are_never_held_back(aws: EmbeddedAws, accounts: AwsAccounts) -> None:
    kind = EbsSnapshots(accounts)
    aws.fail_next("DescribeSnapshots", "throttle")
    with pytest.raises(Throttled):
        kind.find("prod", HOME, "p")
    assert accounts.pace.why_not("ec2", "prod", HOME, Priority.CUT)
    assert kind.find("prod", HOME, "p") == ()
    with acting(Priority.RESTORE):
        assert kind.find("prod", HOME, "p") == ()


def test_an_action_that_has_begun_is_not_stopped_half_way(aws: EmbeddedAws, accounts: AwsAccounts) -> None:
    kind = EbsSnapshots(accounts)
    with acting(Priority.CLEAN_UP):
        kind.find("prod", HOME, "p")
        accounts.pace.budget("ec2", "prod", HOME).refused(None)
        assert kind.find("prod", HOME, "p") == ()
    with acting(Priority.CLEAN_UP), pytest.raises(Throttled):
        kind.find("prod", HOME, "p")


def test_another_error_holds_nobody_back(aws: EmbeddedAws, accounts: AwsAccounts) -> None:
    kind = EbsSnapshots(accounts)
    aws.fail_next("DescribeSnapshots", "denied")
    with acting(Priority.CUT), pytest.raises(Refused):
        kind.find("prod", HOME, "p")
    assert accounts.pace.why_not("ec2", "prod", HOME, Priority.CLEAN_UP) == ""
