"""The queue of native copies: quotas filled and never passed, the most urgent first, everybody counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drorch.domain.action import Copy, Cut
from drorch.domain.admit import Limits, Running, admit
from drorch.domain.copy_queue import (
    PATIENCE,
    QUOTAS,
    CopiesSeen,
    Lane,
    admit_copies,
    lane_of,
    quota_of,
    source_of,
)

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
HOME = "prod.us-east-1"
WEST = Lane("ec2", "prod", "us-west-2")


def copy(name: str, *, kind: str = "ebs", region: str = "us-west-2", due: float | None = None, **more: object) -> Copy:
    """A copy whose promise breaks in `due` hours."""
    values: dict[str, object] = {
        "application": "shop",
        "resource": f"r-{name}",
        "vault": f"prod.{region}",
        "point": f"p-{name}",
        "reason": "lacks it",
        "source": HOME,
        "kind": kind,
        "places": 1,
        "cut_at": NOW - timedelta(hours=1),
        "due": None if due is None else NOW + timedelta(hours=due),
    }
    return Copy(**(values | more))  # type: ignore[arg-type]


def names(actions: Sequence[Copy]) -> list[str]:
    return [action.point.removeprefix("p-") for action in actions]


def test_the_quota_is_filled_and_everybody_s_copies_count() -> None:
    seen = CopiesSeen(taken={WEST: 17}, foreign={WEST: 12})
    start, wait = admit_copies([copy(f"{n}", due=n) for n in range(5)], seen, {}, NOW)
    assert names(start) == ["0", "1", "2"]
    assert [(w.action.point, w.place) for w in wait] == [("p-3", 1), ("p-4", 2)]
    assert wait[0].why == "20 of 20 ec2 copies into prod.us-west-2 are under way, 12 of them not of this site"


def test_the_promise_that_breaks_first_goes_first_then_the_oldest_point() -> None:
    older = copy("older", due=2, cut_at=NOW - timedelta(hours=9))
    copies = [copy("late", due=8), copy("same", due=2), older, copy("missed", due=-3), copy("none")]
    assert names(admit_copies(copies, CopiesSeen(), {}, NOW)[0]) == ["missed", "older", "same", "late", "none"]


def test_a_copy_without_a_promise_has_its_turn_after_a_day_of_waiting() -> None:
    full = CopiesSeen(taken={WEST: 19})
    history, promise = copy("history"), copy("promise", due=6)
    assert names(admit_copies([history, promise], full, {}, NOW)[0]) == ["promise"]
    waited = replace(full, waited={history.key: NOW - PATIENCE})
    assert names(admit_copies([history, promise], waited, {}, NOW)[0]) == ["history"]


def test_a_number_that_is_not_known_holds_every_copy_of_its_lane_and_of_no_other() -> None:
    seen = CopiesSeen(unknown={WEST: "the region does not answer"})
    start, wait = admit_copies([copy("a"), copy("b", region="eu-west-1")], seen, {}, NOW)
    assert names(start) == ["b"]
    assert "is not known (the region does not answer)" in wait[0].why


def test_services_accounts_and_regions_have_places_of_their_own() -> None:
    full = CopiesSeen(taken={WEST: 20})
    others = [
        copy("db", kind="rds-instance"),
        copy("east", region="us-east-2"),
        copy("account", vault="vault.us-west-2"),
    ]
    assert len(admit_copies([copy("a"), *others], full, {}, NOW)[0]) == 3


def test_images_and_volumes_share_their_places() -> None:
    start, wait = admit_copies([copy("image", kind="ami", due=1), copy("volume", due=2)], CopiesSeen(), {"ec2": 1}, NOW)
    assert names(start) == ["image"] and wait[0].place == 1


def test_clusters_are_counted_by_the_region_they_come_from() -> None:
    here = [copy(f"{n}", kind="rds-cluster") for n in range(6)]
    there = copy("there", kind="rds-cluster", source="prod.eu-west-1")
    start, wait = admit_copies([*here, there], CopiesSeen(), {}, NOW)
    assert len(start) == 6 and "there" in names(start)
    assert "5 of 5 rds-cluster copies into prod.us-west-2 from us-east-1" in wait[0].why


def test_the_host_s_own_number_replaces_the_default() -> None:
    assert len(admit_copies([copy(f"{n}") for n in range(9)], CopiesSeen(), {"ec2": 5}, NOW)[0]) == 5


def test_a_set_takes_the_places_that_are_free_and_the_rest_later() -> None:
    start, _ = admit_copies([copy("set", places=3)], CopiesSeen(taken={WEST: 18}), {}, NOW)
    assert [(a.point, a.places) for a in start] == [("p-set", 2)]


def test_an_image_waits_for_all_of_its_places_and_nobody_goes_past_it() -> None:
    image = copy("image", kind="ami", places=3, due=1)
    start, wait = admit_copies([copy("small", due=2), image], CopiesSeen(taken={WEST: 18}), {}, NOW)
    assert not start and [w.action.point for w in wait] == ["p-image", "p-small"]
    start, _ = admit_copies([copy("small", due=2), image], CopiesSeen(taken={WEST: 16}), {}, NOW)
    assert names(start) == ["image", "small"]


def test_an_image_that_is_larger_than_the_quota_has_the_lane_for_itself() -> None:
    image = copy("image", kind="ami", places=30, due=1)
    assert not admit_copies([image], CopiesSeen(taken={WEST: 1}), {}, NOW)[0]
    start, wait = admit_copies([image, copy("a", due=2)], CopiesSeen(), {}, NOW)
    assert names(start) == ["image"] and names([w.action for w in wait if isinstance(w.action, Copy)]) == ["a"]


def test_one_copy_of_a_source_at_a_time_and_it_holds_up_nobody_else() -> None:
    first, second = copy("1", resource="data", due=1), copy("2", resource="data", due=2)
    start, wait = admit_copies([second, first, copy("other", due=3)], CopiesSeen(), {}, NOW)
    assert names(start) == ["1", "other"]
    assert wait[0].why.startswith("p-1, of the same source, goes first")
    running = CopiesSeen(sources={source_of(first): "p-0"})
    assert not admit_copies([first, second], running, {}, NOW)[0]
    assert names(admit_copies([first], CopiesSeen(sources={source_of(first): "p-1"}), {}, NOW)[0]) == ["1"]


def test_a_quota_that_aws_named_counts_and_after_a_refusal_without_a_number_one_tries() -> None:
    copies = [copy(f"{n}", due=n) for n in range(9)]
    assert len(admit_copies(copies, CopiesSeen(told={WEST: 5}, taken={WEST: 2}), {}, NOW)[0]) == 3
    assert names(admit_copies(copies, CopiesSeen(refused={WEST}), {}, NOW)[0]) == ["0"]


def test_what_no_quota_counts_starts() -> None:
    assert lane_of(copy("a", kind="memory")) is None
    assert admit_copies([copy("a", kind="memory")], CopiesSeen(), {}, NOW)[0]


def test_a_copy_behind_its_own_resource_s_lock_takes_no_place() -> None:
    busy = Running(resources=frozenset({("shop", "r-a")}))
    found = admit([copy("a", due=1), copy("b", due=2)], Limits(copies={"ec2": 1}), busy, CopiesSeen(), NOW)
    assert names([a for a in found.start if isinstance(a, Copy)]) == ["b"]


def test_cuts_still_go_before_copies_and_copies_in_their_order() -> None:
    cut = Cut("shop", "c", HOME, "p", "due", "2026-11-20T09:00Z", 1)
    found = admit([copy("b", due=2), copy("a", due=1), cut], Limits(), Running(), CopiesSeen(), NOW)
    assert [a.point for a in found.start] == ["p", "p-a", "p-b"]


@pytest.mark.parametrize("kind", QUOTAS)
def test_every_quota_says_where_aws_documents_it(kind: str) -> None:
    assert QUOTAS[kind].places > 0 and len(QUOTAS[kind].page) > 20
    assert quota_of(Lane(QUOTAS[kind].service, "prod", "us-west-2"), {}) == QUOTAS[kind].places


# --- whatever is due -----------------------------------------------------------------------------------------------

_copies = st.lists(
    st.builds(
        lambda number, kind, region, due, places, resource: copy(
            f"{number}", kind=kind, region=region, due=due, places=places, resource=f"{kind}-{resource}"
        ),
        st.integers(0, 10**6),
        st.sampled_from(["ebs", "ami", "rds-instance", "rds-cluster"]),
        st.sampled_from(["us-west-2", "eu-west-1"]),
        st.none() | st.integers(-5, 5),
        st.integers(1, 9),
        st.sampled_from("abcdef"),
    ),
    max_size=30,
    unique_by=lambda action: action.point,
)
_LANES = sorted(
    {lane for kind in QUOTAS for r in ("us-west-2", "eu-west-1") if (lane := lane_of(copy("x", kind=kind, region=r)))}
)
_taken = st.dictionaries(st.sampled_from(_LANES), st.integers(0, 25))
_limits = st.fixed_dictionaries({service: st.integers(1, 8) for service in ("ec2", "rds", "rds-cluster")})


def whole(action: Copy) -> bool:
    return QUOTAS[action.kind].whole


@given(_copies, _taken, _limits, st.sets(st.sampled_from(_LANES)))
def test_no_quota_is_passed_and_everything_starts_or_waits(
    copies: list[Copy], taken: dict[Lane, int], limits: dict[str, int], unknown: set[Lane]
) -> None:
    seen = CopiesSeen(taken=taken, unknown=dict.fromkeys(unknown, "no answer"))
    start, wait = admit_copies(copies, seen, limits, NOW)
    assert Counter(a.key for a in copies) == Counter([a.key for a in start] + [w.action.key for w in wait])
    begun: Counter[Lane] = Counter()
    for action in start:
        lane = lane_of(action)
        assert lane is not None and lane not in unknown
        alone = whole(action) and not taken.get(lane) and not begun[lane]
        begun[lane] += action.places
        assert alone or taken.get(lane, 0) + begun[lane] <= limits[lane.service]
    assert len({source_of(action) for action in start}) == len(start)


@given(_copies, _taken, _limits)
def test_who_waits_for_a_place_is_not_passed_by_who_is_less_urgent(
    copies: list[Copy], taken: dict[Lane, int], limits: dict[str, int]
) -> None:
    start, wait = admit_copies(copies, CopiesSeen(taken=taken), limits, NOW)
    late = NOW + PATIENCE
    for waits in wait:
        assert isinstance(waits.action, Copy)
        if "of the same source" in waits.why:
            continue
        for other in start:
            if lane_of(other) == lane_of(waits.action):
                assert (other.due or late) <= (waits.action.due or late)
    places = Counter(lane_of(w.action) for w in wait if isinstance(w.action, Copy))
    assert sorted((str(lane_of(w.action)), w.place) for w in wait if isinstance(w.action, Copy)) == sorted(
        (str(lane), n) for lane, count in places.items() for n in range(1, count + 1)
    )


@given(_copies, _taken, _limits)
def test_no_place_stays_free_while_what_could_take_it_waits(
    copies: list[Copy], taken: dict[Lane, int], limits: dict[str, int]
) -> None:
    volumes = [action for action in copies if not whole(action)]
    start, wait = admit_copies(volumes, CopiesSeen(taken=taken), limits, NOW)
    for waits in wait:
        assert isinstance(waits.action, Copy)
        lane = lane_of(waits.action)
        assert lane is not None
        full = taken.get(lane, 0) + sum(a.places for a in start if lane_of(a) == lane) >= limits[lane.service]
        assert full or "of the same source" in waits.why


@given(_copies, _limits, st.integers(0, 2**32))
def test_every_copy_starts_in_the_end_while_new_ones_come(
    copies: list[Copy], limits: dict[str, int], seed: int
) -> None:
    now, left, waited = NOW, {action.key: action for action in copies}, dict[str, datetime]()
    for round_ in range(200):
        newcomers = [
            copy(
                f"new-{round_}-{kind}", kind=kind, due=(now - NOW) / timedelta(hours=1) + 1 + (seed >> round_ % 32) % 2
            )
            for kind in ("ebs", "rds-instance", "rds-cluster")
        ]
        start, wait = admit_copies([*left.values(), *newcomers], CopiesSeen(waited=waited), limits, now)
        for action in start:
            left.pop(action.key, None)
        waited = {w.action.key: waited.get(w.action.key, now) for w in wait}
        now += timedelta(hours=1)
        if not left:
            return
    raise AssertionError(list(left))
