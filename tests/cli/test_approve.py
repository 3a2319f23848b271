"""`plan`, `approve` and `clear` in front of a world that deletes: what people see, what passes, what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from desks import Said, typed
from worlds import EU, ORDERS, SITE, WEST, Installation, policies

from drorch.app.signing import write_record
from drorch.domain.action import Braked, Expire, Mark
from drorch.domain.model import CopyState
from drorch.domain.record import MarkType, RecordType, compose

POINTS = 12
GOING = 2 * (POINTS - 3)
"""With two kept: the newest verified one stays as well, in both vaults."""
SHRUNK = ORDERS.replace("keep: {last: 3}", "keep: {last: 2}")
FULL = ORDERS.replace("keep: {last: 3}", "keep: {last: 40}")


@dataclass
class Counter:
    """A terminal in front of a world: commands are typed, and find the world as their host."""

    world: Installation

    @property
    def host(self) -> Any:
        world = self.world
        orders = world.orders(by="ada")
        config = SimpleNamespace(grace=timedelta(days=3))
        vaults = world.reconciler.observer.vaults
        return SimpleNamespace(
            reconciler=world.reconciler, orders=orders, clock=world.clock, config=config, vaults=vaults
        )

    def drorch(self, *arguments: str) -> Said:
        return typed(*arguments)

    def digest(self) -> str:
        text: str = self.drorch("plan", "--json").json["digest"]
        return text


@pytest.fixture
def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    """Twelve daily points in two vaults, and a policy that keeps all of them; nothing is due."""
    world = Installation(tmp_path, FULL)
    for _ in range(POINTS):
        world.clock.turn(minutes=24 * 60 - 3)
        world.run(3)
    made = Counter(world)
    monkeypatch.setattr("drorch.cli.opening.the_host", lambda _config, **_more: made.host)
    yield made


def shrink(counter: Counter, text: str = SHRUNK) -> None:
    """Somebody merges a policy that keeps next to nothing."""
    counter.world.policies = policies(text)


# --- plan ----------------------------------------------------------------------------------------------------------


def test_a_big_change_is_seen_at_once_before_the_table(counter: Counter) -> None:
    shrink(counter)
    said = counter.drorch("plan")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0] == "desk"
    header = next(number for number, line in enumerate(lines) if line.startswith("ACTION"))
    begins = re.compile(
        r"(\d+) of 12 copies of desk/orders in (gcs-eu|s3-west) (begin to expire|are held by the brake)"
    )
    summed = [begins.match(line) for line in lines[1:header]]
    assert all(summed)
    assert {match[2] for match in summed if match} == {WEST, EU}
    assert sum(int(match[1]) for match in summed if match) == GOING
    marked = next(line for line in lines[1:header] if "begin to expire" in line)
    assert re.search(r": no keep rule keeps them; deleted no earlier than 20\d\d-\d\d-\d\d \d\d:\d\d UTC$", marked)
    assert "may go from gcs-eu within 1d" in said.out


def test_the_end_says_how_much_under_which_digest_and_what_lets_it_pass(counter: Counter) -> None:
    shrink(counter)
    said = counter.drorch("plan", "desk")
    actions = counter.drorch("plan", "--json").json["actions"]
    begins = sum(action["action"] == "mark" for action in actions)
    held = sum(action.get("wanted") == "mark" for action in actions)
    assert begins > 0 and held > 0
    digest = counter.digest()[:16]
    *_, last, command = said.out.splitlines()
    assert re.fullmatch(
        rf"{begins} copies would begin to expire, deleted no earlier than \S+ \S+ UTC; "
        rf"the brake holds {held} copies \(digest {digest}\)",
        last,
    )
    assert command == f"drorch approve {digest} lets exactly these pass, for an hour"


def test_long_runs_are_one_row_and_all_shows_each(counter: Counter) -> None:
    shrink(counter)
    joined = counter.drorch("plan").out
    rows = [line for line in joined.splitlines() if re.match(r"(hold|mark expiring) ", line)]
    assert any(re.search(r" \d+ points +as of \S+ \S+ to \S+ \S+: the brake holds it", row) for row in rows)
    each = counter.drorch("plan", "--all").out
    assert not re.search(r"\d points", each)
    rows = [line for line in each.splitlines() if re.match(r"(hold|mark expiring) ", line)]
    assert len(rows) == GOING


def test_a_few_deletions_need_no_summary_and_no_approval(counter: Counter) -> None:
    shrink(counter, ORDERS.replace("keep: {last: 3}", "keep: {last: 11}"))
    out = counter.drorch("plan").out
    assert out.splitlines()[1].startswith("ACTION")
    assert out.count("mark expiring") == 2
    assert re.search(r"^2 copies would begin to expire, .* \(digest [0-9a-f]{16}\)$", out, re.MULTILINE)
    assert "drorch approve" not in out


def test_a_quiet_plan_says_nothing_of_deletions(counter: Counter) -> None:
    counter.world.quiet()
    out = counter.drorch("plan").out
    assert "digest" not in out
    assert "expire" not in out


# --- approve -------------------------------------------------------------------------------------------------------


def test_an_approval_lets_exactly_what_was_shown_pass_and_says_until_when(counter: Counter) -> None:
    shrink(counter)
    world, digest = counter.world, counter.digest()
    said = counter.drorch("approve", digest[:16], "--reason", "smaller by order of ada")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0].split() == ["ACTION", "VAULT", "APPLICATION", "RESOURCE", "POINT", "DATA", "AS", "OF", "SIZE"]
    row = re.compile(r"expiring +(gcs-eu|s3-west) +desk +orders +[a-z2-7]{20} +\d{4}-\d\d-\d\d \d\d:\d\d +\S+ \w+")
    assert sum(bool(row.match(line)) for line in lines) == GOING
    assert re.search(
        rf"^these {GOING} deletions may pass until \d{{4}}-\d\d-\d\d \d\d:\d\d UTC \(digest {digest[:16]}\)$",
        said.out,
        re.MULTILINE,
    )
    assert counter.digest() == digest, "what is approved is still the same plan"
    assert not world.actions(world.reconciler.look(), Braked)
    seen = world.run(6)
    states = [copy.state for point in seen.plans["desk"].catalogue.points for copy in point.copies]
    assert states.count(CopyState.EXPIRING) == GOING
    world.clock.turn(minutes=3 * 24 * 60 + 5)
    assert world.actions(world.reconciler.look(), Expire)


def test_an_hour_after_an_approval_the_brake_holds_again(counter: Counter) -> None:
    def decided() -> tuple[int, int]:
        seen = counter.world.reconciler.look()
        marks = [action for action in counter.world.actions(seen, Mark) if isinstance(action, Mark) and action.lets_go]
        return len(marks), len(counter.world.actions(seen, Braked))

    shrink(counter)
    before = decided()
    assert min(before) > 0
    assert counter.drorch("approve", counter.digest()).code == 0
    assert decided() == (GOING, 0)
    counter.world.clock.turn(minutes=61)
    assert decided() == before


def test_a_plan_that_has_changed_ends_with_3_and_names_the_digest_of_now(counter: Counter) -> None:
    shrink(counter)
    before = counter.digest()
    shrink(counter, ORDERS)
    said = counter.drorch("approve", before[:16])
    assert (said.code, said.out) == (3, "")
    assert "the plan has changed since: look at it again" in said.err
    assert counter.digest()[:16] in said.err
    assert counter.world.reconciler.look().plans["desk"].observed.approved == frozenset()


@pytest.mark.parametrize("digest", ["", "abc", "all", "0123456789abcde", "zzzzzzzzzzzzzzzz"])
def test_what_is_no_digest_ends_with_2(counter: Counter, digest: str) -> None:
    said = counter.drorch("approve", digest)
    assert (said.code, said.out) == (2, "")
    assert "drorch plan shows it" in said.err


def test_with_nothing_to_delete_there_is_nothing_to_approve(counter: Counter) -> None:
    said = counter.drorch("approve", counter.digest())
    assert said.code == 3
    assert "deletes nothing" in said.err


def test_nothing_is_approved_while_a_vault_cannot_be_read(counter: Counter) -> None:
    shrink(counter)
    digest = whole = counter.digest()
    counter.world.faults(EU).black_hole()
    for code in (3, 4):  # the plan is another one now, and that one is not whole
        said = counter.drorch("approve", digest)
        assert (said.code, said.out) == (code, "")
        assert f"{EU} could not be read" in said.err
        digest = counter.digest()
    counter.world.faults(EU).recover()
    assert counter.drorch("approve", whole).code == 0


def test_approve_for_scripts(counter: Counter) -> None:
    shrink(counter)
    digest = counter.digest()
    counter.world.faults(WEST).order("put", "before", times=1)
    said = counter.drorch("approve", digest, "--json")
    assert said.code == 0
    document = said.json
    assert set(document) == {"digest", "until", "deletions", "lost"}
    assert (document["digest"], list(document["lost"])) == (digest, [WEST])
    assert f"not written into {WEST}" in said.err
    fields = {"vault", "application", "resource", "point", "cut_at", "bytes", "action", "held", "reason"}
    assert all(set(each) == fields for each in document["deletions"])
    assert {each["action"] for each in document["deletions"]} == {"mark"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["until"])


# --- points and clear ----------------------------------------------------------------------------------------------


def doubted(counter: Counter) -> str:
    """The newest point is marked as suspect, as the loop does it; its id."""
    world = counter.world
    point = world.reconciler.look().plans["desk"].catalogue.points[0]
    assert point.cut_at is not None
    record = compose(
        RecordType.MARK,
        site=SITE,
        at=world.clock.now(),
        application="desk",
        resource="orders",
        point=point.id,
        cut_at=point.cut_at,
        mark=str(MarkType.SUSPECT),
        reason="suspect beside point x: 3 of 9 tables are gone",
    )
    assert write_record(record, world.key, world.stores, world.stores.__getitem__) == {}
    world.reconciler.look(fresh=True)
    return point.id


def test_a_suspect_point_is_shown_with_the_last_unsuspicious_one_until_it_is_cleared(counter: Counter) -> None:
    point = doubted(counter)
    good = counter.world.reconciler.look().plans["desk"].catalogue.points[1]
    shown = counter.drorch("points", "desk")
    assert re.search(rf"^{point} +orders +\S+ \S+ +suspect +.*3 of 9 tables are gone$", shown.out, re.MULTILINE)
    assert good.cut_at is not None
    last = f"orders: last unsuspicious: {good.id} as of {good.cut_at:%Y-%m-%d %H:%M} UTC"
    assert shown.out.splitlines()[-1] == last
    first = counter.drorch("points", "desk", "--json").json["points"][0]
    assert first["suspect"] == "suspect beside point x: 3 of 9 tables are gone"
    said = counter.drorch("clear", point[:8], "--reason", "the tables were merged")
    assert (said.code, said.out) == (0, f"point {point} of desk/orders is not suspect any more\n")
    assert "suspect" not in counter.drorch("points", "desk").out
    again = counter.drorch("clear", point, "--reason", "x")
    assert again.code == 3
    assert "is not suspect" in again.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [(("zzzz", "--reason", "x"), 3, "there is no point 'zzzz'"), (("zzzz",), 2, "--reason")],
)
def test_clear_of_what_is_not_there(counter: Counter, arguments: tuple[str, ...], code: int, words: str) -> None:
    said = counter.drorch("clear", *arguments)
    assert (said.code, said.out) == (code, "")
    assert words in said.err


def test_points_say_since_when_a_copy_expires_and_when_it_is_deleted(counter: Counter) -> None:
    shrink(counter, ORDERS.replace("keep: {last: 3}", "keep: {last: 11}"))
    counter.world.run(6)
    out = counter.drorch("points", "desk").out
    (row, _) = [line for line in out.splitlines() if re.match(r"  (gcs-eu|s3-west) +expiring ", line)]
    found = re.search(r"expiring since (\S+ \S+), deleted no earlier than (\S+ \S+)$", row)
    assert found
    days = [int(found[number][8:10]) for number in (1, 2)]
    assert timedelta(days=(days[1] - days[0]) % 30) == counter.world.guards.grace
