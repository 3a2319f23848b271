"""Shipping a point to a vault that missed it: byte for byte, verified on the way, whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from dumped import APPLICATION, DATA, MIB, NOON, RESOURCE, SITE, World, table_rows
from faults import FaultyStore

from drorch.app.progress import Progress
from drorch.app.reading import TrustedKey
from drorch.app.ship import ShipOrder, ShipOutcome, ship
from drorch.app.signing import write_record
from drorch.crypto.minisign import BadSignature, SecretKey
from drorch.domain.errors import Damaged, Refused, Unavailable
from drorch.domain.record import MarkType, RecordType, compose
from drorch.ports import StoreLimits
from drorch.stores.directory import DirectoryStore
from drorch.stores.memory import MemoryStore

BIG = table_rows("orders", 120_000)
"""Some MiB of ciphertext."""


READS_BEFORE_DATA = 7
"""Of records, signatures and leaves."""


class Shipping(World):
    """A point in the vault `gcs`, in volumes of 2 MiB, and an empty vault `s3`."""

    def __init__(self, data: bytes = BIG) -> None:
        super().__init__("gcs", "s3")
        self.outcome = self.dump(data=data, into=["gcs"], volume_bytes=2 * MIB)
        self.order = ShipOrder(SITE, APPLICATION, RESOURCE, "p1", self.outcome.cut_at)
        self.source, self.target = FaultyStore(self.memory("gcs")), FaultyStore(self.memory("s3"))

    def ship(self, **more: object) -> ShipOutcome:
        keys = [TrustedKey(self.key.public)]
        arguments = {"clock": self.clock} | more
        return ship(self.order, self.source, self.target, keys, **arguments)  # type: ignore[arg-type]

    def contents(self, vault: str) -> dict[str, bytes]:
        return {path: body for path, (body, _) in self.memory(vault).objects.items()}

    def rewrite(self, vault: str, path: str, body: bytes) -> None:
        self.memory(vault).put(path, body, overwrite=True)

    def uncommitted(self) -> bool:
        return self.outcome.manifest.path not in self.contents("s3")

    def data_path(self, ending: str = "") -> str:
        name = f"{DATA}.zst.age{ending}"
        return next(path for path in self.contents("gcs") if path.endswith("/" + name))


def test_the_target_has_the_very_same_objects_afterwards() -> None:
    world = Shipping()
    seen: list[Progress] = []
    outcome = world.ship(progress=seen.append)
    assert world.contents("s3") == world.contents("gcs")
    assert len([path for path in world.contents("s3") if ".zst.age.0" in path]) >= 2, "several volumes"
    assert (outcome.vault, outcome.bytes, outcome.sent) == ("s3", world.outcome.bytes, world.outcome.bytes)
    assert (seen[-1].done, seen[-1].total) == (outcome.bytes, outcome.bytes)
    assert ShipOutcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome
    assert ShipOrder.from_json(json.loads(json.dumps(world.order.to_json()))) == world.order


def test_what_was_shipped_can_be_shipped_on() -> None:
    world = Shipping()
    world.ship()
    world.stores["nas"] = world.store("nas")
    ship(world.order, world.memory("s3"), world.memory("nas"), [TrustedKey(world.key.public)], clock=world.clock)
    assert world.contents("nas") == world.contents("gcs")


def test_doing_it_twice_sends_nothing_and_changes_nothing() -> None:
    world = Shipping()
    world.ship()
    before = dict(world.memory("s3").objects)
    assert world.ship().sent == 0
    assert world.memory("s3").objects == before


@pytest.mark.parametrize("part_bytes", [MIB, 3 * MIB, 8 * MIB])
def test_the_targets_own_part_size_is_kept(part_bytes: int) -> None:
    world = Shipping()
    world.stores["s3"] = MemoryStore("s3", limits=StoreLimits(part_bytes=part_bytes))
    world.target = FaultyStore(world.stores["s3"])
    world.ship()
    assert world.contents("s3") == world.contents("gcs")


@pytest.mark.parametrize(
    ("method", "fault", "after"),
    [("upload", "before", 0), ("upload", "before", 2), ("write", "before", 3), ("commit", "before", 1)]
    + [("put", "before", number) for number in range(7)],
)
def test_a_target_that_fails_is_not_committed_and_the_next_try_goes_on(method: str, fault: str, after: int) -> None:
    world = Shipping()
    world.target.faults.order(method, fault, after=after)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        world.ship()
    assert world.uncommitted()
    there = sum(1 for path in world.contents("s3") if ".zst.age" in path and not path.endswith(".leaves"))
    outcome = world.ship()
    assert world.contents("s3") == world.contents("gcs")
    assert (outcome.sent < outcome.bytes) == (there > 0)


@pytest.mark.parametrize("method", ["commit", "put"])
@pytest.mark.parametrize("after", range(3))
def test_a_lost_reply_is_looked_after(method: str, after: int) -> None:
    world = Shipping()
    world.target.faults.order(method, "after", after=after)  # type: ignore[arg-type]
    world.ship()
    assert world.contents("s3") == world.contents("gcs")


def test_a_source_that_is_cut_off_again_and_again_leaves_nothing_committed() -> None:
    world = Shipping()
    world.source.faults.order("read", "short", times=40, after=READS_BEFORE_DATA)
    with pytest.raises(Unavailable):
        world.ship()
    assert world.clock.slept, "it was the data that was cut off"
    assert world.contents("s3") == {}


def test_a_source_that_is_cut_off_once_is_read_on() -> None:
    world = Shipping()
    world.source.faults.order("read", "short", after=READS_BEFORE_DATA)
    world.ship()
    assert world.clock.slept, "it was the data that was cut off"
    assert world.contents("s3") == world.contents("gcs")


def test_cancelled_it_commits_nothing() -> None:
    world, cancel = Shipping(), threading.Event()
    with pytest.raises(Unavailable):
        world.ship(cancel=cancel, progress=lambda progress: cancel.set() if progress.done > MIB else None)
    assert world.uncommitted()
    assert not [path for path in world.contents("s3") if path.endswith(".leaves")]


# --- never damaged, never forged -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", ".001", ".leaves"])
def test_damage_in_the_source_is_never_shipped(ending: str) -> None:
    world = Shipping()
    path = world.data_path(ending)
    body = bytearray(world.contents("gcs")[path])
    body[len(body) // 2] ^= 1
    world.rewrite("gcs", path, bytes(body))
    with pytest.raises(Damaged):
        world.ship()
    assert world.uncommitted()
    assert path not in world.contents("s3")


def test_a_truncated_source_is_refused_before_a_byte_is_sent() -> None:
    world = Shipping()
    path = world.data_path()
    world.rewrite("gcs", path, world.contents("gcs")[path][:-1])
    with pytest.raises(Damaged):
        world.ship()
    assert world.contents("s3") == {}


@pytest.mark.parametrize("name", ["manifest.json", "SHA256SUMS"])
def test_what_a_stranger_signed_is_not_shipped(name: str) -> None:
    world = Shipping()
    path = next(path for path in world.contents("gcs") if path.endswith(name))
    kind = "manifest" if name == "manifest.json" else "sums"
    forged = SecretKey.generate().sign(world.contents("gcs")[path], f"drorch v1 {kind} {path}")
    world.rewrite("gcs", path + ".minisig", forged)
    with pytest.raises(BadSignature):
        world.ship()
    assert world.contents("s3") == {}


@pytest.mark.parametrize("name", ["manifest.json", "SHA256SUMS"])
def test_a_signature_made_for_something_else_is_not_shipped(name: str) -> None:
    world = Shipping()
    path = next(path for path in world.contents("gcs") if path.endswith(name))
    world.rewrite("gcs", path + ".minisig", world.key.sign(world.contents("gcs")[path], "drorch v1 proof elsewhere"))
    with pytest.raises(BadSignature):
        world.ship()
    assert world.contents("s3") == {}


def test_a_key_that_is_not_trusted_any_more_vouches_for_nothing() -> None:
    world = Shipping()
    keys = [TrustedKey(world.key.public, until=NOON - timedelta(days=1))]
    with pytest.raises(BadSignature):
        ship(world.order, world.source, world.target, keys, clock=world.clock)


def test_the_point_of_another_site_is_refused() -> None:
    world = Shipping()
    world.order = replace(world.order, site="other")
    with pytest.raises(Refused, match="another site"):
        world.ship()
    assert world.contents("s3") == {}


@pytest.mark.parametrize("ending", ["", ".002", ".leaves"])
@pytest.mark.parametrize("same_size", [True, False])
def test_something_else_in_the_target_is_called_tampering_and_left_alone(ending: str, same_size: bool) -> None:
    world = Shipping()
    path = world.data_path(ending)
    foreign = bytes(len(world.contents("gcs")[path])) if same_size else b"foreign"
    world.rewrite("s3", path, foreign)
    with pytest.raises(Refused, match="tampered"):
        world.ship()
    assert world.uncommitted()
    assert world.contents("s3")[path] == foreign


def test_an_object_that_appears_while_it_is_shipped_is_taken_when_it_is_the_same() -> None:
    world = Shipping()
    path = world.data_path()
    body = world.contents("gcs")[path]

    def appear(progress: Progress) -> None:
        if progress.done == MIB:
            world.rewrite("s3", path, body)

    world.ship(progress=appear)
    assert world.contents("s3") == world.contents("gcs")


def test_volumes_too_large_for_the_target_are_refused() -> None:
    world = Shipping()
    world.stores["s3"] = MemoryStore("s3", limits=StoreLimits(part_bytes=MIB, max_parts=1))
    world.target = FaultyStore(world.stores["s3"])
    with pytest.raises(Refused, match="larger than the vault takes"):
        world.ship()
    assert world.contents("s3") == {}


# --- records -------------------------------------------------------------------------------------------------------


def mark(world: Shipping, key: SecretKey, reason: str, minutes: int) -> str:
    record = compose(
        RecordType.MARK,
        site=SITE,
        at=NOON + timedelta(minutes=minutes),
        application=APPLICATION,
        resource=RESOURCE,
        point="p1",
        cut_at=world.outcome.cut_at,
        mark=str(MarkType.PIN),
        reason=reason,
    )
    assert not write_record(record, key, ["gcs"], lambda _: world.memory("gcs"))
    return record.path


def test_pins_go_along_and_those_of_a_stranger_stay_behind() -> None:
    world = Shipping()
    ours, theirs = mark(world, world.key, "audit", 1), mark(world, SecretKey.generate(), "forged", 2)
    outcome = world.ship()
    there = world.contents("s3")
    assert {ours, ours + ".minisig"} <= set(there)
    assert not {theirs, theirs + ".minisig"} & set(there)
    assert set(outcome.left_out) == {theirs}


KILLED = """
import json, sys
from dumped import HandClock
from drorch.app.reading import TrustedKey
from drorch.app.ship import ShipOrder, ship
from drorch.crypto.minisign import PublicKey
from drorch.stores.directory import DirectoryStore
order, key = ShipOrder.from_json(json.loads(sys.argv[2])), TrustedKey(PublicKey.parse(sys.argv[3]))
stores = [DirectoryStore(name, f"{sys.argv[1]}/{name}") for name in ("gcs", "s3")]
ship(order, *stores, [key], clock=HandClock())
"""


@pytest.mark.parametrize("failpoint", ["ship.data-written", "ship.before-manifest", "ship.manifest-written"])
def test_killed_at_any_instant_the_next_try_completes_it(failpoint: str, tmp_path: Path) -> None:
    world = Shipping(table_rows("orders", 10))
    stores = {}
    for vault in ("gcs", "s3"):
        (tmp_path / vault).mkdir()
        stores[vault] = DirectoryStore(vault, str(tmp_path / vault))
    for path, body in world.contents("gcs").items():
        stores["gcs"].put(path, body)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), json.dumps(world.order.to_json()), world.key.public.text()],
        env={**os.environ, "DRORCH_FAILPOINT": failpoint, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    there = {info.path for info in stores["s3"].list("drorch/v1/")}
    assert (world.outcome.manifest.path in there) == (failpoint == "ship.manifest-written")
    ship(world.order, stores["gcs"], stores["s3"], [TrustedKey(world.key.public)], clock=world.clock)
    for path, body in world.contents("gcs").items():
        assert b"".join(stores["s3"].read(path)) == body
