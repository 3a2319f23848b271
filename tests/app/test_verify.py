"""What lies in a vault is compared with what was signed: every damage is found, nothing else is taken for damage."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache

import pytest
from dumped import APPLICATION, DATA, MIB, NOON, RESOURCE, SITE, World, table_rows
from faults import FaultyStore
from hypothesis import given
from hypothesis import strategies as st

from drorch.app.damage import VerifyOrder, read_turn
from drorch.app.progress import Progress, ProgressSink, ignore
from drorch.app.reading import TrustedKey, read_signed
from drorch.app.verify import (
    Place,
    PointFound,
    Select,
    State,
    VerifyReport,
    by_sample,
    by_turn,
    committed_points,
    verify_points,
    whole,
)
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.catalogue_marks import DAMAGED
from drorch.domain.errors import Damaged, Unavailable
from drorch.domain.plan_care import TURNS
from drorch.domain.record import StoredArtefact
from drorch.ports import ObjectStore, StoreLimits
from drorch.stores.memory import MemoryStore

BIG = table_rows("orders", 60_000)
NAME = f"{DATA}.zst.age"


@cache
def dumped() -> World:
    """Two points in the vault `nas`, in volumes of 2 MiB. Left as it is: dumping takes longer than all the rest."""
    world = World("nas")
    world.dump("p1", BIG, volume_bytes=2 * MIB)
    world.dump("p0", table_rows("orders", 60_000, seed=3), ago=timedelta(hours=2), volume_bytes=2 * MIB)
    return world


class Reading(World):
    """The same two points in the vaults `nas` and `gcs`."""

    versioned = False

    def __init__(self) -> None:
        super().__init__("nas", "gcs")
        self.key, self.identity = dumped().key, dumped().identity
        for path, (body, _) in dumped().memory("nas").objects.items():
            for store in self.stores.values():
                store.put(path, body)
        self.older, self.newer = committed_points(self.stores["nas"])

    def store(self, name: str) -> MemoryStore:
        return MemoryStore(name, now=self.clock.now, limits=StoreLimits(part_bytes=MIB), versioned=self.versioned)

    @property
    def keys(self) -> Sequence[TrustedKey]:
        return [TrustedKey(self.key.public)]

    def path(self, name: str, place: Place | None = None) -> str:
        place = place or self.newer
        folder = layout.records_folder if name.startswith("manifest") else layout.data_folder
        return folder(place.application, place.resource, place.cut_at, place.point) + name

    def change(self, path: str, how: Callable[[bytes], bytes]) -> None:
        self.memory("nas").plant(path, how(self.memory("nas").objects[path][0]))

    def verify(
        self,
        select: Select = whole,
        store: ObjectStore | None = None,
        places: Sequence[Place] | None = None,
        cancel: threading.Event | None = None,
        progress: ProgressSink = ignore,
    ) -> VerifyReport:
        where = store or self.stores["nas"]
        points = committed_points(self.stores["nas"]) if places is None else places
        return verify_points(
            where, points, self.keys, select, site=SITE, clock=self.clock, cancel=cancel, progress=progress
        )

    def found(self, select: Select = whole, store: ObjectStore | None = None) -> PointFound:
        """Of the newer point; the older one is as it was."""
        older, newer = self.verify(select, store).points
        assert (older.place, newer.place) == (self.older, self.newer)
        assert older.state is State.OK
        return newer

    def turn(self, turn: int = 7) -> VerifyOrder:
        return VerifyOrder(SITE, APPLICATION, RESOURCE, "nas", turn, (self.older, self.newer))


@pytest.fixture
def world() -> Reading:
    return Reading()


def flip(body: bytes) -> bytes:
    middle = len(body) * 2 // 3
    return body[:middle] + bytes([body[middle] ^ 4]) + body[middle + 1 :]


def test_what_is_as_it_was_signed_is_fine_to_the_last_byte(world: Reading) -> None:
    seen: list[Progress] = []
    report = world.verify(progress=seen.append)
    assert [point.state for point in report.points] == [State.OK, State.OK]
    stored = {p: len(b) for p, (b, _) in world.memory("nas").objects.items()}
    data = sum(size for path, size in stored.items() if ".zst.age" in path and not path.endswith(layout.LEAVES))
    assert report.bytes == data
    assert (seen[-1].done, seen[-1].total) == (data, data)
    assert report.leaves == sum(size for path, size in stored.items() if path.endswith(layout.LEAVES)) // 32


DAMAGE = {
    "a bit of the data": (NAME, flip, State.DAMAGED),
    "a bit of a later volume": (f"{NAME}.001", flip, State.DAMAGED),
    "a bit of the leaves": (f"{NAME}.leaves", flip, State.DAMAGED),
    "a bit of the sums": ("SHA256SUMS", flip, State.DAMAGED),
    "a bit of their signature": ("SHA256SUMS.minisig", flip, State.DAMAGED),
    "a bit of the manifest": ("manifest.json", flip, State.UNSIGNED),
    "a bit of its signature": ("manifest.json.minisig", flip, State.UNSIGNED),
    "truncated data": (NAME, lambda body: body[:-1], State.DAMAGED),
    "grown data": (NAME, lambda body: body + b"x", State.DAMAGED),
    "truncated leaves": (f"{NAME}.leaves", lambda body: body[:-32], State.DAMAGED),
    "emptied sums": ("SHA256SUMS", lambda _body: b"", State.DAMAGED),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found(world: Reading, name: str) -> None:
    where, how, state = DAMAGE[name]
    world.change(world.path(where), how)
    found = world.found()
    assert found.state is state
    assert found.broken
    assert {damage.path.rpartition("/")[2].removesuffix(".minisig") for damage in found.damage} == {
        where.removesuffix(".minisig")
    }


@pytest.mark.parametrize("where", [NAME, f"{NAME}.001", f"{NAME}.leaves", "SHA256SUMS"])
def test_what_is_missing_is_found(world: Reading, where: str) -> None:
    world.memory("nas").delete(world.path(where))
    found = world.found()
    assert found.state is State.MISSING
    assert [damage.path for damage in found.damage] == [world.path(where)]


@pytest.mark.parametrize(("where", "at", "leaf"), [(NAME, MIB + 5, 2), (f"{NAME}.001", 5, 3)])
def test_a_leaf_is_named_by_its_number_and_place_in_its_object(world: Reading, where: str, at: int, leaf: int) -> None:
    world.change(world.path(where), lambda body: body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])
    (damage,) = world.found().damage
    assert (damage.path, damage.leaf, damage.offset) == (world.path(where), leaf, at - 5)


@pytest.mark.parametrize("where", [NAME, f"{NAME}.leaves", "SHA256SUMS", "manifest.json"])
def test_what_was_swapped_between_points_is_found(world: Reading, where: str) -> None:
    for name in (where, f"{where}.minisig"):
        own, other = world.path(name), world.path(name, world.older)
        if own in world.memory("nas").objects:
            mine, theirs = (world.memory("nas").objects[path][0] for path in (own, other))
            world.memory("nas").plant(own, theirs)
            world.memory("nas").plant(other, mine)
    assert all(point.broken for point in world.verify().points)


def test_a_whole_older_point_replayed_under_the_newer_ones_name_is_found(world: Reading) -> None:
    for path in list(world.memory("nas").objects):
        if f"-{world.older.point}/" in path:
            folder = layout.point_folder(world.older.cut_at, world.older.point)
            target = path.replace(folder, layout.point_folder(world.newer.cut_at, world.newer.point))
            world.memory("nas").plant(target, world.memory("nas").objects[path][0])
    assert world.found().state is State.UNSIGNED


def test_the_data_of_an_older_point_replayed_whole_is_found(world: Reading) -> None:
    for name in (NAME, f"{NAME}.001", f"{NAME}.leaves"):
        body = world.memory("nas").objects[world.path(name, world.older)][0]
        world.memory("nas").plant(world.path(name), body)
    assert world.found().broken


def test_a_point_of_another_site_is_not_counted_as_ours(world: Reading) -> None:
    report = verify_points(world.stores["nas"], [world.newer], world.keys, whole, site="other", clock=world.clock)
    assert [point.state for point in report.points] == [State.UNSIGNED]


def test_what_a_stranger_signed_is_unsigned(world: Reading) -> None:
    keys = [TrustedKey(SecretKey.generate().public)]
    report = verify_points(world.stores["nas"], [world.newer], keys, whole, site=SITE, clock=world.clock)
    assert [point.state for point in report.points] == [State.UNSIGNED]


# --- what is no damage ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", range(12))
def test_a_bit_that_the_network_flips_once_is_no_damage(world: Reading, after: int) -> None:
    faulty = FaultyStore(world.stores["nas"])
    faulty.faults.order("read", "flip", after=after)
    assert [point.state for point in world.verify(store=faulty).points] == [State.OK, State.OK]
    assert faulty.faults.met["read"] == 1


def test_a_stream_that_is_cut_is_read_on(world: Reading) -> None:
    faulty = FaultyStore(world.stores["nas"])
    faulty.faults.order("read", "short", after=12)
    assert not world.verify(store=faulty).broken
    assert world.clock.slept, "it was the data that was cut off"


def test_a_vault_that_is_away_is_unavailable_and_not_damaged(world: Reading) -> None:
    faulty = FaultyStore(world.stores["nas"])
    faulty.faults.black_hole()
    report = world.verify(store=faulty)
    assert {point.state for point in report.points} == {State.UNAVAILABLE}
    assert report.broken == ()
    assert "black-holed" in report.points[0].why


def test_a_vault_that_goes_away_in_the_middle_leaves_what_was_read(world: Reading) -> None:
    faulty = FaultyStore(world.stores["nas"])

    def going(progress: Progress) -> None:
        if progress.done > 4 * MIB:
            faulty.faults.black_hole()

    report = world.verify(store=faulty, progress=going)
    assert report.broken == ()
    assert [point.state for point in report.points][-1] is State.UNAVAILABLE


def test_a_vault_that_stays_away_is_not_asked_for_every_point(world: Reading) -> None:
    faulty = FaultyStore(world.stores["nas"])
    faulty.faults.black_hole()
    places = [Place(APPLICATION, RESOURCE, NOON + timedelta(seconds=n), f"p{n}") for n in range(50)]
    report = world.verify(store=faulty, places=places)
    assert len(report.unread) == 50
    assert faulty.faults.met["black hole"] < 10


def test_a_point_that_is_not_there_at_all_is_told_and_is_no_damage(world: Reading) -> None:
    (found,) = world.verify(places=[Place(APPLICATION, RESOURCE, NOON, "nowhere")]).points
    assert (found.state, found.absent, found.broken) == (State.MISSING, True, False)


def test_a_point_that_is_let_go_while_it_is_read_is_no_damage(world: Reading) -> None:
    store = world.memory("nas")

    def going(progress: Progress) -> None:
        if progress.done:
            for path in [path for path in store.objects if f"-{world.newer.point}/" in path]:
                store.delete(path)

    (found,) = world.verify(places=[world.newer], progress=going).points
    assert (found.absent, found.broken) == (True, False)


def test_interrupted_it_says_so(world: Reading) -> None:
    cancel = threading.Event()
    with pytest.raises(Unavailable, match="interrupted"):
        world.verify(cancel=cancel, progress=lambda progress: cancel.set() if progress.done > MIB else None)


# --- where versions are kept ---------------------------------------------------------------------------------------


class TestVersions:
    @pytest.fixture
    def world(self) -> Reading:
        class Versioned(Reading):
            versioned = True

        return Versioned()

    @pytest.mark.parametrize(
        "where", [NAME, f"{NAME}.001", f"{NAME}.leaves", "SHA256SUMS", "SHA256SUMS.minisig", "manifest.json"]
    )
    def test_what_was_planted_or_hidden_over_it_is_told_and_what_was_signed_is_read(
        self, world: Reading, where: str
    ) -> None:
        world.memory("nas").hide(world.path(where))
        hidden = world.found()
        assert (hidden.state, hidden.shadowed) == (State.OK, (world.path(where),))
        for other in (flip(world.memory("gcs").objects[world.path(where)][0]), b"x"):
            world.memory("nas").plant(world.path(where), other)
            found = world.found()
            assert (found.state, found.shadowed) == (State.OK, (world.path(where),))
            assert found.bytes == hidden.bytes

    def test_when_no_version_is_what_was_signed_it_is_damaged(self, world: Reading) -> None:
        path = world.path(NAME)
        body = world.memory("nas").objects[path][0]
        world.memory("nas").delete(path)
        for bit in (1, 2, 3):
            world.memory("nas").plant(path, body[:-1] + bytes([body[-1] ^ bit]))
        assert world.found().state is State.DAMAGED


# --- which leaves --------------------------------------------------------------------------------------------------


def artefact(leaves: int, name: str = NAME) -> StoredArtefact:
    return StoredArtefact(name, leaves * MIB - 5, 200, MIB, "00", ())


@given(st.integers(1, 5000), st.text(max_size=20), st.text(max_size=20))
def test_every_leaf_belongs_to_exactly_one_turn(leaves: int, point: str, name: str) -> None:
    turns = [leaf for turn in range(TURNS) for leaf in by_turn(turn)(point, artefact(leaves, name))]
    assert sorted(turns) == list(range(leaves))


def test_small_artefacts_are_spread_over_the_turns() -> None:
    per_turn = [sum(len(by_turn(turn)(f"p{n}", artefact(1))) for n in range(1000)) for turn in range(TURNS)]
    assert max(per_turn) < 40, "a thousand points of one leaf each, ten a day"


@given(st.integers(1, 5000), st.floats(0.0001, 1), st.text(max_size=9))
def test_a_sample_is_that_share_and_at_least_one_leaf(leaves: int, share: float, seed: str) -> None:
    chosen = by_sample(share, seed)("p1", artefact(leaves))
    assert list(chosen) == sorted(set(chosen))
    assert 1 <= len(chosen) <= leaves * share + 1
    assert 0 <= chosen[0] <= chosen[-1] < leaves


@pytest.mark.parametrize("where", [NAME, f"{NAME}.001", "inventory.json.zst.age"])
def test_a_flipped_bit_is_found_by_its_own_turn_and_no_other(world: Reading, where: str) -> None:
    world.change(world.path(where), flip)
    found = [turn for turn in range(TURNS) if world.found(by_turn(turn)).broken]
    assert len(found) == 1


@pytest.mark.parametrize("name", [name for name in DAMAGE if not name.startswith("a bit of the data")])
def test_what_is_not_a_leafs_is_found_by_every_turn(world: Reading, name: str) -> None:
    where, how, _ = DAMAGE[name]
    if how is flip and where.startswith(NAME) and not where.endswith(layout.LEAVES):
        return
    world.change(world.path(where), how)
    assert world.found(by_turn(0)).broken
    assert world.found(by_turn(50)).broken


def test_a_turn_reads_no_more_than_its_leaves(world: Reading) -> None:
    total = 0
    for turn in range(TURNS):
        seen: list[Progress] = []
        report = world.verify(by_turn(turn), progress=seen.append)
        assert seen[-1].total == seen[-1].done == report.bytes
        total += report.bytes
    assert total == world.verify().bytes


# --- a turn becomes fact -------------------------------------------------------------------------------------------


def proofs(world: World, vault: str) -> list[str]:
    return sorted(path for path in world.memory(vault).objects if "/proofs/" in path and path.endswith(".json"))


def read(world: Reading, turn: int = 7) -> dict[str, object]:
    return dict(read_turn(world.turn(turn=turn), world.stores, world.keys, world.key, clock=world.clock).to_json())


def test_a_turn_without_damage_signs_nothing(world: Reading) -> None:
    found = read(world)
    assert (found["points"], found["damaged"]) == (2, [])
    assert proofs(world, "nas") == proofs(world, "gcs") == []


def test_damage_is_signed_into_every_vault(world: Reading) -> None:
    world.change(world.path("SHA256SUMS"), flip)
    found = read(world)
    assert [point["point"] for point in found["damaged"]] == ["p1"]  # type: ignore[attr-defined]
    for vault in ("nas", "gcs"):
        (path,) = proofs(world, vault)
        proof = read_signed(world.stores[vault], path, world.keys)
        assert (proof.text("outcome"), proof.text("vault"), proof.point) == (DAMAGED, "nas", "p1")
        assert "SHA256SUMS" in proof.text("why")


def test_damage_found_twice_in_a_second_is_signed_twice(world: Reading) -> None:
    world.change(world.path("SHA256SUMS"), flip)
    assert read(world)["unwritten"] == read(world)["unwritten"] == {}
    assert len(proofs(world, "gcs")) == 2


def test_a_manifest_that_counts_and_is_not_signed_any_more_is_damage(world: Reading) -> None:
    world.change(world.path("manifest.json"), flip)
    read(world)
    assert len(proofs(world, "gcs")) == 1


def test_a_vault_that_takes_no_proof_is_named(world: Reading) -> None:
    world.change(world.path("SHA256SUMS"), flip)
    faulty = FaultyStore(world.stores["gcs"])
    world.stores["gcs"] = faulty
    faulty.faults.black_hole()
    assert list(read(world)["unwritten"]) == ["gcs"]  # type: ignore[call-overload]
    assert len(proofs(world, "nas")) == 1


def test_a_turn_that_could_not_be_read_is_unavailable_and_signs_nothing(world: Reading) -> None:
    faulty = FaultyStore(world.stores["nas"])
    world.stores["nas"] = faulty
    faulty.faults.black_hole()
    with pytest.raises(Unavailable):
        read(world)
    assert proofs(world, "gcs") == []


def test_a_turn_in_a_vault_that_is_empty_all_of_a_sudden_counts_as_unread(world: Reading) -> None:
    world.stores["nas"] = world.store("nas")
    with pytest.raises(Unavailable, match="2 of 2 points"):
        read(world)
    assert proofs(world, "gcs") == []


def test_damage_in_a_turn_that_was_not_read_to_its_end_is_signed_and_told(world: Reading) -> None:
    world.change(world.path("SHA256SUMS", world.older), flip)
    faulty = FaultyStore(world.stores["nas"])
    world.stores["nas"] = faulty
    faulty.faults.order("read", "before", times=400, only=world.path("SHA256SUMS"))
    with pytest.raises(Damaged, match="p0"):
        read(world)
    assert len(proofs(world, "gcs")) == 1


def test_orders_come_out_of_the_pipe_as_they_went_in(world: Reading) -> None:
    assert VerifyOrder.from_json(world.turn().to_json()) == world.turn()
