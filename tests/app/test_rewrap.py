"""A new key opens old dumps by a signed header beside them: data untouched, old key unhurt, nobody else let in."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from worlds import EU, ORDERS, SITE, WEST, Installation, place_of

from drorch.app import drill
from drorch.app.loading import Reader
from drorch.app.reading import TrustedKey
from drorch.app.rewrap import Hands, Rewrapped, rewrap
from drorch.crypto.age import NoMatchingIdentity, new_identity
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.errors import Unavailable
from drorch.domain.model import RecoveryPoint
from drorch.domain.record import RecordType, compose, parse

NEW, NEW_RECIPIENT = new_identity()


@pytest.fixture
def world(tmp_path: Path) -> Installation:
    world = Installation(tmp_path, ORDERS)
    world.quiet()
    return world


def the_point(world: Installation) -> RecoveryPoint:
    assert world.seen is not None
    (point,) = world.seen.plans["desk"].catalogue.of("orders")
    return point


def hands(world: Installation, *identities: str) -> Hands:
    return Hands(
        world.stores.__getitem__, world.trusted, identities or (world.identity,), lambda: world.key, world.host
    )


def given(
    world: Installation, *identities: str, to: str = NEW_RECIPIENT, vaults: tuple[str, ...] = (WEST, EU)
) -> Rewrapped:
    world.clock.turn(minutes=1)
    return rewrap(place_of(the_point(world)), to, WEST, vaults, hands(world, *identities))


def restored(
    world: Installation, identity: str, vault: str = EU, *trusted: TrustedKey, point: RecoveryPoint | None = None
) -> str:
    """That a drill by this key passed, or why it did not."""
    world.clock.turn(minutes=1)
    order = drill.DrillOrder(SITE, "desk", "orders", vault, (), (point or the_point(world)).id)
    reader = Reader(trusted or world.trusted, [identity], world.host)
    done = drill.run_drill(order, world.engine, drill.Scratch(), world.stores, reader, world.key)
    return done.outcome if done.outcome == drill.PASSED else done.why


def data(world: Installation, vault: str) -> dict[str, bytes]:
    held = world.memory(vault).objects
    return {path: body for path, (body, _) in held.items() if path.startswith(layout.DATA)}


def test_new_key_restores_from_every_vault_and_the_old_one_as_before(world):
    assert "no identity given opens" in restored(world, NEW)
    before = data(world, EU), data(world, WEST)
    assert given(world).written
    assert restored(world, NEW, EU) == restored(world, NEW, WEST) == drill.PASSED
    assert restored(world, world.identity) == drill.PASSED
    assert (data(world, EU), data(world, WEST)) == before
    assert "no identity given opens" in restored(world, new_identity()[0])


def test_second_time_writes_nothing_and_a_recipient_of_the_dump_needs_nothing(world):
    assert given(world).written
    assert not given(world).written
    assert not given(world, to=world.recipient).written


def test_rewrapped_key_can_rewrap_for_the_next_one(world):
    given(world)
    third, recipient = new_identity()
    assert given(world, NEW, to=recipient).written
    assert restored(world, third) == drill.PASSED


def test_key_that_opens_nothing_rewraps_nothing(world):
    with pytest.raises(NoMatchingIdentity):
        given(world, new_identity()[0])
    assert not [path for path in world.memory(EU).objects if "/rewraps/" in path]


def test_vault_that_was_away_gets_the_header_at_the_next_pass(world):
    world.faults(EU).black_hole()
    done = given(world)
    assert {vault: type(error) for vault, error in done.lost.items()} == {EU: Unavailable}
    world.faults(EU).recover()
    world.clock.turn(minutes=20)
    world.quiet()
    assert restored(world, NEW, EU) == drill.PASSED
    world.check_records()


def forged(world: Installation, key: SecretKey, headers: list[dict[str, str]]) -> None:
    """A rewrap record in EU by that key."""
    world.clock.turn(minutes=1)
    point = the_point(world)
    record = compose(
        RecordType.REWRAP, site=SITE, at=world.clock.now(), application="desk", resource="orders", point=point.id,
        cut_at=point.cut_at, recipient=NEW_RECIPIENT, fingerprint="0" * 16, headers=headers,
    )  # fmt: skip
    world.memory(EU).put(record.path, record.data)
    world.memory(EU).put(record.path + layout.SIGNATURE, key.sign(record.data, record.comment))


def headers_of(world: Installation) -> list[dict[str, str]]:
    (path,) = [path for path in world.memory(WEST).objects if "/rewraps/" in path and path.endswith(".json")]
    found: list[dict[str, str]] = parse(world.memory(WEST).objects[path][0]).body["headers"]
    return found


def test_header_that_a_stranger_signed_is_not_taken(world):
    given(world, vaults=(WEST,))
    thief = SecretKey.generate()
    forged(world, thief, headers_of(world))
    assert "no identity given opens" in restored(world, NEW, EU)
    assert restored(world, NEW, EU, *world.trusted, TrustedKey(thief.public)) == drill.PASSED


@pytest.mark.parametrize("text", ["", "!!!", base64.b64encode(b"no header").decode()])
def test_signed_header_that_is_none_hides_no_good_one(world, text):
    given(world, vaults=(WEST,))
    good = headers_of(world)
    forged(world, world.key, [{**entry, "header": text or "-"} for entry in good])
    forged(world, world.key, good)
    assert restored(world, NEW, EU) == drill.PASSED


def test_header_of_another_dump_opens_nothing_of_this_one(world):
    first = the_point(world)
    world.clock.turn(hours=24)
    world.quiet()
    assert world.seen is not None
    second = next(p for p in world.seen.plans["desk"].catalogue.of("orders") if p.id != first.id)
    rewrap(place_of(second), NEW_RECIPIENT, WEST, (WEST,), hands(world))
    swapped = headers_of(world)
    record = compose(
        RecordType.REWRAP, site=SITE, at=world.clock.now(), application="desk", resource="orders", point=first.id,
        cut_at=first.cut_at, recipient=NEW_RECIPIENT, fingerprint="0" * 16, headers=swapped,
    )  # fmt: skip
    world.memory(EU).put(record.path, record.data)
    world.memory(EU).put(record.path + layout.SIGNATURE, world.key.sign(record.data, record.comment))
    assert "a chunk was altered, moved, added or cut" in restored(world, NEW, EU, point=first)


def test_record_goes_with_its_point(world):
    given(world)
    path = next(path for path in world.memory(EU).objects if "/rewraps/" in path)
    for _ in range(14):
        world.clock.turn(hours=23)
        world.run(5, minutes=10)
    assert path.split("/")[5] not in " ".join(data(world, EU)), "the dump itself was let go"
    assert path in world.memory(EU).objects
    world.clock.turn(hours=24 * 91)
    world.run(6, minutes=10)
    assert path not in world.memory(EU).objects
