"""RESTORE.md says what lies in its vault, no more and nothing secret, and is written only when it has changed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from dumped import NOON, SITE, World
from faults import FaultyStore

from drorch.app.cache import Cache
from drorch.app.catalogue import VaultReader
from drorch.app.guide_writing import EVERY, GuideKeeper, dumps_in, dumps_known
from drorch.app.reading import TrustedKey, read_pair
from drorch.app.restore_guide import GuideFacts, GuideWords, restore_guide
from drorch.app.vaults import VaultMarks
from drorch.crypto.age import new_identity
from drorch.crypto.key_token import fingerprint
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.canonical import canonical_bytes
from drorch.domain.guide import EngineWords, StockTool, newest_version
from drorch.domain.record import Record, parse

HOUR = timedelta(hours=1)
WORDS = GuideWords(
    {"gcs-eu": [StockTool("cat", "ls {folder}", "cp {folder} {into}")]},
    {
        "memory": EngineWords(("true",), lambda _dumps: "## memory\n"),
        "postgres": EngineWords((), lambda _: "## never\n"),
    },
)
COMMENT = layout.trusted_comment("guide", layout.RESTORE_GUIDE)


class Kept:
    """A world of one vault whose guide is kept, its calls counted."""

    def __init__(self) -> None:
        self.world = World("gcs-eu")
        self.trusted = [TrustedKey(self.world.key.public)]
        self.store = FaultyStore(self.world.memory())
        self.world.stores["gcs-eu"] = self.store
        self.marks = VaultMarks(SITE, self.trusted, lambda: self.world.key, [self.world.recipient], WORDS)
        self.keeper = self.host()

    def host(self) -> GuideKeeper:
        return GuideKeeper(
            site=SITE,
            trusted=self.trusted,
            signing=lambda: self.world.key,
            recipients=[self.world.recipient],
            words=WORDS,
            store_of=lambda _vault: self.store,
            marked=self.marks.holds,
            dumps=lambda _vault: dumps_in(self.store, self.trusted, SITE),
        )

    def mark(self) -> None:
        self.marks.mark(self.store, self.world.clock.now())

    def keep(self, minutes: int = 0, *, touched: bool = False) -> int:
        """So many minutes later a pass; how many objects it wrote."""
        self.world.clock.present += timedelta(minutes=minutes)
        if touched:
            self.keeper.touch(["gcs-eu"])
        before = self.store.faults.calls["put"]
        self.keeper.keep(["gcs-eu"], self.world.clock.now())
        return self.store.faults.calls["put"] - before

    def guide(self) -> str:
        return read_pair(self.store, layout.RESTORE_GUIDE, COMMENT, self.trusted)[0].decode()


@pytest.fixture
def kept() -> Kept:
    kept = Kept()
    kept.mark()
    return kept


# --- when it is written ----------------------------------------------------------------------------------------------


def test_the_first_dump_is_in_the_guide_at_once(kept):
    assert "No dump lies in this vault yet" in kept.guide()
    assert kept.keep() == 0
    kept.world.dump("p1")
    assert kept.keep(1, touched=True) == 2
    assert "p1" in kept.guide()


def test_later_dumps_are_in_it_within_the_hour_and_not_before(kept):
    kept.world.dump("p1")
    kept.keep(1, touched=True)
    kept.world.clock.present += timedelta(minutes=20)
    kept.world.dump("p2")
    assert kept.keep(0, touched=True) == 0
    assert kept.keep(38) == 0
    assert kept.keep(2) == 2
    assert "p2" in kept.guide()


def test_nothing_is_written_while_nothing_has_changed_whoever_looks(kept):
    kept.world.dump("p1")
    kept.keep(1, touched=True)
    assert [kept.keep(61, touched=touched) for touched in (True, False)] == [0, 0]
    kept.keeper = kept.host()
    assert kept.keep(61) == 0


def test_a_restarted_host_does_not_write_more_often(kept):
    kept.world.dump("p1")
    kept.keep(1, touched=True)
    kept.world.dump("p2")
    kept.keeper = kept.host()
    assert [kept.keep(1), kept.keep(57), kept.keep(2)] == [0, 0, 2]


def test_what_is_not_asked_for_costs_no_call(kept):
    kept.keep()
    before = dict(kept.store.faults.calls)
    for _ in range(58):
        kept.keep(1)
    assert dict(kept.store.faults.calls) == before


@pytest.mark.parametrize("path", [layout.RESTORE_GUIDE, layout.RESTORE_GUIDE + layout.SIGNATURE])
def test_what_somebody_removed_is_written_again(kept, path):
    kept.world.dump("p1")
    kept.keep(1, touched=True)
    del kept.store.inner.objects[path]
    assert kept.keep(61) == 1
    assert "p1" in kept.guide()


def test_what_somebody_wrote_over_it_is_replaced(kept):
    kept.world.dump("p1")
    kept.keep(1, touched=True)
    kept.store.put(layout.RESTORE_GUIDE, b"send the key to me", overwrite=True)
    kept.keep(61)
    kept.keep(61)
    assert "p1" in kept.guide()


def test_a_vault_without_the_marker_is_left_alone():
    kept = Kept()
    assert kept.keep() == 0
    assert not list(kept.store.inner.list(""))


def test_a_vault_that_fails_is_tried_again_in_an_hour_and_stops_nothing(kept):
    kept.world.dump("p1")
    kept.store.faults.order("put", "before")
    kept.keep(1, touched=True)
    assert kept.keep(30, touched=True) == 0
    assert kept.keep(31) == 2
    assert "p1" in kept.guide()


# --- what it says ----------------------------------------------------------------------------------------------------


def test_the_newest_dump_of_each_resource_is_named_and_only_kinds_that_lie_there(kept):
    world = kept.world
    for point, ago in (("old", 9), ("new", 5), ("older", 12)):
        world.dump(point, ago=timedelta(minutes=ago))
    world.dump("p3", resource="stock")
    kept.keep(61)
    guide = kept.guide()
    rows = [line for line in guide.splitlines() if line.startswith("| shop |")]
    assert [row.split(" | ")[1] for row in rows] == ["orders", "stock"]
    assert "-new`" in rows[0]
    assert "## memory" in guide
    assert "## never" not in guide


def test_a_manifest_that_nobody_trusted_signed_is_not_named(kept):
    kept.world.dump("mine", ago=timedelta(minutes=9))
    kept.world.dump("theirs", key=SecretKey.generate())
    kept.keep(61)
    assert "-mine`" in kept.guide()
    assert "theirs" not in kept.guide()


def test_the_cache_names_the_same_dumps_as_the_vault():
    world = World("gcs-eu")
    for point in ("p1", "p2"):
        world.dump(point, ago=timedelta(minutes=5 + int(point[1])))
    world.dump("theirs", key=SecretKey.generate(), ago=timedelta(minutes=1))
    trusted = [TrustedKey(world.key.public)]
    cache = Cache(None, "")
    VaultReader(cache, trusted, SITE).refresh(world.memory(), world.clock.now())
    found = dumps_known(cache, "gcs-eu")
    assert [record.point for record in found] == ["p1"]
    assert [record.path for record in found] == [r.path for r in dumps_in(world.memory(), trusted, SITE)]


def test_keys_stand_in_it_with_their_ends_and_recipients_with_fingerprints():
    now, before = SecretKey.generate().public, SecretKey.generate().public
    recipient = new_identity()[1]
    facts = GuideFacts("acme", "nas", now, [TrustedKey(now), TrustedKey(before, NOON)], [recipient])
    guide = restore_guide(facts, WORDS).decode()
    assert f"- `{now.text()}`, which signs now" in guide
    assert f"- `{before.text()}`, which counts until 2026-11-20T12:00:00Z" in guide
    assert f"- `{recipient}` (fingerprint `{fingerprint(recipient)}`)" in guide


def test_what_a_server_said_of_itself_cannot_break_out_of_the_table():
    body = dict(World().dump().manifest.body) | {"server_version": "15 |\n```bash verify\nrm -rf /\n```"}
    manifest = parse(canonical_bytes(body))
    key = SecretKey.generate().public
    guide = restore_guide(GuideFacts("acme", "nas", key, [], [], [manifest]), WORDS).decode()
    assert guide.count("```bash verify") == 1
    assert "| 15 bash verify rm -rf / |" in guide


def versioned(*versions: str) -> list[Record]:
    body = dict(World().dump().manifest.body)
    return [parse(canonical_bytes(body | {"server_version": version})) for version in versions]


@pytest.mark.parametrize(
    ("versions", "newest"),
    [(("9.6", "15.10", "15.9 (Debian 15.9-0+deb12u1)"), "15.10"), (("10.11.6-MariaDB", "11"), "11"), ((), "")],
)
def test_the_highest_version_is_by_number(versions, newest):
    assert newest_version(versioned(*versions), "server_version") == newest


def test_an_hour_is_what_the_guide_promises():
    assert EVERY == HOUR
