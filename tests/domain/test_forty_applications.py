"""`daily: 30` becomes `daily: 7` in forty applications at once: told before, braked, and nothing within the grace."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from passes import OFF, policy
from planning import NOW, WEST, dumped, orders, point, point_id

from drorch.domain.action import Braked, Expire, Mark, deletions
from drorch.domain.catalogue import Catalogue
from drorch.domain.catalogue_marks import LetGo
from drorch.domain.model import CopyState, RecoveryPoint
from drorch.domain.plan import Observed, plan
from drorch.domain.policy import Keep, ResourcePolicy, VaultRule
from drorch.domain.schedule import Every

GRACE = timedelta(days=3)
DAY = timedelta(days=1)


def rules(daily: int) -> ResourcePolicy:
    targets = tuple(VaultRule(vault=vault, keep=Keep(daily=daily)) for vault in (OFF, WEST))
    return orders(targets=targets, schedule=Every(DAY))


class Lived:
    """One application whose decisions are carried out at once, day by day."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.points: list[RecoveryPoint] = []
        self.going: list[LetGo] = []
        self.deleted: list[tuple[str, str]] = []
        for day in range(30, 0, -1):
            self.cut(NOW - day * DAY)

    def cut(self, at: datetime) -> None:
        slot = at.strftime("%Y-%m-%dT00:00Z")
        made = point(slot, dumped(OFF, usable_at=at), dumped(WEST, usable_at=at), of="orders", cut_at=at)
        self.points.insert(0, replace(made, application=self.name))

    def plan(self, daily: int, now: datetime) -> list[Mark | Expire | Braked]:
        taken = frozenset(p.id for p in self.points)
        catalogue = Catalogue(self.name, tuple(self.points), taken=taken, let_go=tuple(self.going))
        observed = Observed(catalogue=catalogue, object_vaults=(OFF, WEST), grace=GRACE)
        decided = plan(policy(self.name, [rules(daily)]), observed, now, point_id)
        return [action for action in decided if isinstance(action, Mark | Expire | Braked)]

    def carry_out(self, actions: list[Mark | Expire | Braked], now: datetime) -> None:
        for action in actions:
            if isinstance(action, Mark):
                kept = action.mark == "kept"
                self.change(action.vault, action.point, None if kept else now)
                self.going = [g for g in self.going if (g.vault, g.point) != (action.vault, action.point)]
                if not kept:
                    self.going.append(LetGo(action.vault, "orders", action.point, now, now, False, now))
            elif isinstance(action, Expire):
                self.deleted.append((action.vault, action.point))
                self.remove(action.vault, action.point)

    def change(self, vault: str, name: str, since: datetime | None) -> None:
        state = CopyState.USABLE if since is None else CopyState.EXPIRING
        self.points = [
            replace(
                p,
                copies=tuple(
                    replace(c, state=state, marked_at=since, expiring_since=since)
                    if (c.vault, p.id) == (vault, name)
                    else c
                    for c in p.copies
                ),
            )
            for p in self.points
        ]

    def remove(self, vault: str, name: str) -> None:
        left = [replace(p, copies=tuple(c for c in p.copies if (c.vault, p.id) != (vault, name))) for p in self.points]
        self.points = [p for p in left if p.copies]

    def day(self, number: int, daily: int) -> None:
        now = NOW + number * DAY
        self.cut(now)
        self.carry_out(self.plan(daily, now + timedelta(minutes=5)), now + timedelta(minutes=5))


@pytest.fixture
def forty() -> list[Lived]:
    return [Lived(f"app{number:02}") for number in range(40)]


def test_plan_says_before_what_would_go_and_the_brake_holds_most_of_it(forty: list[Lived]) -> None:
    for lived in forty:
        assert not lived.plan(30, NOW)
        said = lived.plan(7, NOW)
        assert len(deletions(said)) == 2 * 23
        assert not [action for action in said if isinstance(action, Expire)]
        for vault in (OFF, WEST):
            held = [action for action in said if isinstance(action, Braked) and action.vault == vault]
            assert len(held) == 23 - 6, "a fifth of thirty"


def test_nothing_is_deleted_within_the_grace_and_a_reverted_change_loses_nothing(forty: list[Lived]) -> None:
    for lived in forty:
        before = {p.id for p in lived.points}
        for number in range(3):
            lived.day(number, 7)
        assert not lived.deleted
        assert {p.id for p in lived.points} >= before
        lived.day(3, 40)
        assert {c.state for p in lived.points for c in p.copies} == {CopyState.USABLE}
        assert not lived.deleted


def test_left_alone_it_drains_at_the_brakes_pace_and_ends_at_what_the_rules_keep(forty: list[Lived]) -> None:
    for lived in forty[:5]:
        gone = []
        for number in range(16):
            before = len(lived.deleted)
            lived.day(number, 7)
            gone.append((len(lived.deleted) - before) / 2)
        assert gone[:3] == [0, 0, 0]
        assert 0 < max(gone) <= 7 + 1, "a fifth of thirty-one, and the one that was added"
        newest = [p.id for p in lived.points if any(c.state is CopyState.USABLE for c in p.copies)]
        assert len(newest) == 7
