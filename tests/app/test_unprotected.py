"""Looking for what no policy protects: how often, of whom, and what a pass has to wait for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from passes import NOW, policy, resource
from worlds import VOLUMES, Installation, policies

from drorch.app.unprotected import UnprotectedWatch
from drorch.daemon.publishing import Publisher
from drorch.domain.action import Copy, Cut, Hold
from drorch.domain.errors import Unavailable
from drorch.domain.native import Source
from drorch.domain.plan import SourcesSeen
from drorch.domain.policy import Policy, ResourcePolicy
from drorch.domain.unprotected import Place, UnprotectedSeen

HERE = ("ebs", "prod", "us-east-1")
HOUR = timedelta(hours=1)


class Listing:
    """Everything that lies anywhere; counts who asked."""

    def __init__(self, *volumes: str) -> None:
        self.here = {HERE: [Source(name) for name in volumes]}
        self.calls: Counter[Place] = Counter()
        self.wrong: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()

    def sources(self, kind: str, account: str, region: str) -> Iterator[Source]:
        self.calls[kind, account, region] += 1
        self.answers.wait(10)
        if self.wrong is not None:
            raise self.wrong
        yield from self.here.get((kind, account, region), [])


def ids(seen: UnprotectedSeen | None) -> list[str]:
    assert seen is not None
    return [source.source_id for source in seen.found.get(HERE, ())]


def nothing(_of: ResourcePolicy) -> SourcesSeen:
    return SourcesSeen()


def known(watch: UnprotectedWatch, minutes: float, of: list[Policy] | None = None) -> UnprotectedSeen | None:
    """What a pass is told, and the end of the listing that it began."""
    seen = watch.known(of or [policy()], nothing, NOW + timedelta(minutes=minutes))
    watch.wait()
    return seen


def test_nothing_is_listed_by_itself_unless_the_host_asks_for_it() -> None:
    listing = Listing("vol-1")
    assert known(UnprotectedWatch(listing), 0) is None
    assert not listing.calls


def test_everything_is_listed_once_an_hour_whatever_the_number_of_applications() -> None:
    for count in (1, 1000):
        listing = Listing("vol-1")
        watch = UnprotectedWatch(listing, every=HOUR)
        for minutes in range(0, 119, 1):
            seen = known(watch, minutes, [policy()] * count)
        assert ids(seen) == ["vol-1"]
        assert set(listing.calls.values()) == {2} and len(listing.calls) == 6


def test_a_pass_does_not_wait_for_a_listing_and_begins_no_second_one() -> None:
    listing = Listing("vol-1")
    listing.answers.clear()
    watch = UnprotectedWatch(listing, every=HOUR)
    for minutes in (0, 61):
        seen = watch.known([policy()], nothing, NOW + timedelta(minutes=minutes))
        assert seen is not None and not seen.found
    assert sum(listing.calls.values()) == 1
    listing.answers.set()
    watch.wait()
    assert ids(watch.known([policy()], nothing, NOW)) == ["vol-1"]


def test_what_a_policy_selects_since_is_not_told_any_more() -> None:
    watch = UnprotectedWatch(Listing("vol-1", "vol-2"), every=HOUR)
    known(watch, 0)
    seen = watch.known([policy("shop", [resource("data", "ebs")])], lambda _: SourcesSeen((Source("vol-1"),)), NOW)
    assert ids(seen) == ["vol-2"]


@pytest.mark.parametrize("wrong", [Unavailable("timeout"), RuntimeError("a slip")])
def test_a_place_that_does_not_answer_is_not_known_and_is_asked_again_in_a_quarter_of_an_hour(wrong: Exception) -> None:
    listing = Listing("vol-1")
    listing.wrong = wrong
    watch = UnprotectedWatch(listing, every=HOUR)
    known(watch, 0)
    listing.wrong = None
    seen = known(watch, 14)
    assert seen is not None and HERE not in seen.found and str(wrong) in seen.unseen[HERE]
    known(watch, 15)
    assert ids(known(watch, 16)) == ["vol-1"]


def test_the_command_lists_now_whatever_was_listed_before() -> None:
    listing = Listing("vol-1")
    watch = UnprotectedWatch(listing)
    assert ids(watch.look([policy()], nothing, NOW)) == ["vol-1"]
    listing.here[HERE].append(Source("vol-2"))
    assert ids(watch.look([policy()], nothing, NOW)) == ["vol-1", "vol-2"]


def test_a_pass_tells_and_the_daemon_publishes_what_the_policies_in_force_leave_out(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.reconciler._unprotected = watch = UnprotectedWatch(Listing("vol-1", "vol-2"), every=HOUR)
    world.once()
    watch.wait()
    seen = world.once()
    assert ids(seen.unprotected) == ["vol-2"]
    publisher = Publisher(tmp_path, "1.2.3", world.reconciler, seen.at)
    publisher.passed(seen, 0.1, seen.at)
    assert 'drorch_unprotected{kind="ebs",account="prod",region="us-east-1"} 1\n' in publisher.page
    world.stale = {"shop"}  # its file is invalid now: it is cut under its last valid text
    assert ids(world.once().unprotected) == ["vol-2"]


# --- two resources, one volume ----------------------------------------------------------------------------------------


def test_a_volume_of_two_applications_is_cut_by_the_one_that_did_so_before(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.quiet()
    bank = VOLUMES.replace("application: shop", "application: bank")
    world.policies = policies(bank, VOLUMES)
    world.clock.turn(minutes=24 * 60)
    seen = world.reconciler.look()
    (hold,) = [h for h in seen.holds if h.alarm == "selected-twice"]
    assert (hold.application, hold.resource, hold.vault) == ("bank", "data", "prod.us-east-1")
    assert hold.reason.startswith("shop/data selects vol-1 in prod.us-east-1, too")
    assert [a.application for a in world.actions(seen, Cut)] == ["shop"]
    world.quiet()
    assert {s.tags["drorch:application"] for s in world.cloud.snapshots()} == {"shop"}


def test_two_resources_of_one_application_are_told_apart_by_their_order(tmp_path: Path) -> None:
    again = VOLUMES[VOLUMES.index("      - name") :].replace("name: data", "name: again")
    world = Installation(tmp_path, VOLUMES + again.lstrip("\n"))
    seen = world.once()
    assert [a.resource for a in world.actions(seen, Cut)] == ["data"]
    assert [(h.resource, h.alarm) for h in seen.holds if h.alarm] == [("again", "selected-twice")]


def test_the_one_that_was_held_goes_on_when_the_other_lets_go(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.policies = policies(VOLUMES.replace("application: shop", "application: bank"), VOLUMES)
    world.once()
    world.policies = policies(VOLUMES)
    assert not [h for h in world.reconciler.look().holds if isinstance(h, Hold) and h.alarm == "selected-twice"]


# --- copies that will be full -----------------------------------------------------------------------------------------


def test_the_first_copy_is_full_the_next_is_not_and_after_somebody_deleted_it_one_is_full_again(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)

    def full() -> list[str]:
        """Why the copies of the next day's point are full."""
        told: list[str] = []
        for _ in range(10):
            seen = world.once()
            told += [a.full for a in seen.started if isinstance(a, Copy)]
            world.clock.turn(minutes=7)
        world.clock.turn(minutes=24 * 60 - 70)
        return told

    assert full() == ["the first of vol-1 in us-west-2"]
    assert full() == [""]
    newest = max(world.snapshots("prod.us-west-2"), key=lambda s: (s.started is not None, s.started))
    world.cloud.remove(newest)
    assert full() == ["the last copy of vol-1 in us-west-2 is gone", ""]
