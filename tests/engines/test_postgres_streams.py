"""`streams: n`: one snapshot, several archives at the same time, in both directions; whole or nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pgshop
import psycopg
import pytest
from dumped import APPLICATION, RESOURCE, SITE, HandClock
from pgservers import Running, taken

from drorch.app.drill import DrillOrder, Scratch, run_drill
from drorch.app.dump import DumpLimits, DumpOrder, DumpOutcome, dump
from drorch.app.loading import Reader
from drorch.app.pipeline import StreamProgress
from drorch.app.reading import TrustedKey
from drorch.app.restore import RestoreRequest, restore
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.errors import Damaged, Refused, Unavailable
from drorch.engines.postgres import Options, PostgresEngine
from drorch.engines.postgres.cut import spread
from drorch.ports import ObjectStore, StoreLimits, Upload
from drorch.stores.memory import MemoryStore

MIB = 1024 * 1024
BIG = (
    "CREATE TABLE big AS SELECT i, md5(i::text) || md5((7 * i)::text) AS words FROM generate_series(1, 40000) i",
    'CREATE TABLE shop."Big ""one"" $1 a.b*" AS SELECT * FROM big WHERE i < 20000',
    "ALTER TABLE big ADD COLUMN id int GENERATED ALWAYS AS IDENTITY, ADD COLUMN also serial, ADD PRIMARY KEY (i)",
    "CREATE TABLE referring (i int REFERENCES big)",
    "INSERT INTO referring SELECT i FROM big WHERE i % 10 = 0",
)


def all_of(server: Running, database: str) -> dict[str, object]:
    found = pgshop.contents(server, database)
    for query in (
        "SELECT count(*), sum(hashtext(b::text)::bigint) FROM big b",
        """SELECT count(*), sum(hashtext(b::text)::bigint) FROM shop."Big ""one"" $1 a.b*" b""",
        "SELECT count(*), sum(i) FROM referring",
        "SELECT last_value FROM big_id_seq UNION ALL SELECT last_value FROM big_also_seq",
    ):
        with server.session(database) as session:
            found[query] = session.execute(query.encode()).fetchall()
    return found


class World:
    """A filled database on `server`, keys, and vaults in memory."""

    def __init__(self, server: Running) -> None:
        self.server, self.engine, self.clock = server, PostgresEngine([server.binaries]), HandClock()
        self.key = SecretKey.generate()
        self.identity, self.recipient = new_identity()
        self.database = server.database()
        pgshop.fill(server, self.database)
        server.run(*BIG, database=self.database)
        self.stores: dict[str, ObjectStore] = {name: memory(name) for name in ("gcs-eu", "nas")}
        self.reader = Reader([TrustedKey(self.key.public)], [self.identity], self.clock)

    def options(self, streams: int) -> Options:
        return self.server.options(self.database).model_copy(update={"streams": streams})

    def dump(self, stores: dict[str, ObjectStore], engine: PostgresEngine | None = None) -> DumpOutcome:
        """A point of three streams."""
        order = DumpOrder(SITE, APPLICATION, RESOURCE, "postgres", "p1", "2026-11-20T12:00Z", (self.recipient,))
        return dump(order, engine or self.engine, self.options(3), {}, stores, self.key, clock=self.clock)

    def request(self, database: str, vault: str = "") -> RestoreRequest:
        return RestoreRequest(APPLICATION, self.server.url(database), vault=vault)


def memory(name: str) -> MemoryStore:
    return MemoryStore(name, limits=StoreLimits(part_bytes=MIB))


@pytest.fixture(scope="module")
def world(old: Running) -> Iterator[World]:
    yield World(old)


@pytest.fixture(scope="module")
def point(world: World) -> DumpOutcome:
    return world.dump(world.stores)


def test_tables_are_spread_by_size_and_the_rest_is_the_last_stream() -> None:
    sizes = [("big", 100, True), ("", 60, False), ("wide", 50, True), ("small", 10, True), ("Größe", 5, False)]
    assert spread(sizes, 2) == [["big", "small"]]
    assert spread(sizes, 3) == [["big"], ["wide", "small"]]
    assert spread(sizes, 16) == [["big"], ["wide"], ["small"]]
    assert spread([("a", 0, True)], 4) == [["a"]]
    assert spread([("", 60, False)], 4) == []


def test_artefacts_that_stream_together_stand_together() -> None:
    names = ["predata.pgcustom", "data-1.pgcustom", "data-2.pgcustom", "postdata.pgcustom", "data.pgcustom"]
    assert layout.batches(names, str) == [names[:1], names[1:3], names[3:4], names[4:]]


def test_every_stream_is_an_artefact_of_one_point_in_every_vault(world: World, point: DumpOutcome) -> None:
    data = [f"data-{number}.pgcustom.zst.age" for number in (1, 2, 3)]
    wanted = ["predata.pgcustom.zst.age", *data, "postdata.pgcustom.zst.age", "globals.sql.zst.age"]
    body = point.manifest.body
    assert [artefact["name"] for artefact in body["artefacts"]] == [*wanted, "inventory.json.zst.age"]
    assert body["streams"] == 3
    assert point.vaults == ("gcs-eu", "nas")
    sizes = {artefact["name"]: artefact["bytes"] for artefact in body["artefacts"]}
    assert all(sizes[name] > 100_000 for name in data[:2]), sizes
    assert b"big" not in point.manifest.data


def test_all_streams_are_of_one_snapshot(world: World) -> None:
    late = "INSERT INTO big OVERRIDING SYSTEM VALUE VALUES (-1, '', -1, -1)"
    with world.engine.dump(world.options(4), {}, "exact") as session:
        world.server.run(late, "INSERT INTO empty VALUES (5)", database=world.database)
        try:
            archives = taken(session)
            inventory = session.inventory()
        finally:
            world.server.run("DELETE FROM big WHERE i = -1", "DELETE FROM empty", database=world.database)
    assert inventory.tables["public.big"] == 40000
    assert inventory.tables["public.empty"] == 0
    words = world.server.value("SELECT words FROM big WHERE i = 39999", world.database)
    rows = [f"39999\t{words}\t39999\t39999\n".encode(), b"-1\t\t-1\t-1\n"]
    assert [sum(body.count(row) for body in archives.values()) for row in rows] == [1, 0]
    assert len([name for name in archives if name.startswith("data-")]) == 4


def test_every_table_is_locked_until_all_archives_are_through(world: World) -> None:
    """Between two archives nothing holds a table but our own session: an index dropped there would be in neither."""
    with world.engine.dump(world.options(3), {}, "off") as session:
        with world.server.session(world.database) as other, pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("SET lock_timeout = 100")
            other.execute("DROP INDEX shop.orders_placed_at_idx")
        assert len(taken(session)) == 6
    held = (
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE relation > 16384"  # noqa: S608
        f" AND pid <> pg_backend_pid() AND datname = '{world.database}'"
    )
    deadline = time.monotonic() + 20
    while world.server.value(held) and time.monotonic() < deadline:
        time.sleep(0.05)  # a backend ends a moment after its session
    assert world.server.value(held) == 0


def test_progress_counts_what_each_vault_took_of_all_streams(world: World) -> None:
    seen: list[StreamProgress] = []
    order = DumpOrder(SITE, APPLICATION, RESOURCE, "postgres", "p2", "2026-11-20T12:00Z", (world.recipient,))
    stores: dict[str, ObjectStore] = {"gcs-eu": memory("gcs-eu")}
    options = world.options(3)
    outcome = dump(order, world.engine, options, {}, stores, world.key, clock=world.clock, progress=seen.append)
    assert {one.name for one in seen} >= {"data-1.pgcustom", "data-2.pgcustom", "data-3.pgcustom"}
    assert max(one.vaults["gcs-eu"] for one in seen) <= outcome.bytes
    assert max(one.vaults["gcs-eu"] for one in seen) > max(
        artefact["bytes"] for artefact in outcome.manifest.body["artefacts"]
    )


def test_a_deadline_ends_every_stream(world: World, tmp_path: Path) -> None:
    tools = honest_but(tmp_path, world.server.binaries, "*--table=*", "exec sleep 600")
    store = memory("gcs-eu")
    order = DumpOrder(SITE, APPLICATION, RESOURCE, "postgres", "p3", "2026-11-20T12:00Z", (world.recipient,))
    limits = DumpLimits(longest=timedelta(seconds=2))
    with pytest.raises(Unavailable, match="took longer"):
        dump(
            order,
            PostgresEngine([tools]),
            world.options(3),
            {},
            {"gcs-eu": store},
            world.key,
            clock=world.clock,
            limits=limits,
        )
    assert not store.objects
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("stream ", "vault "))]


def test_it_comes_back_whole_under_a_name_that_did_not_exist(world: World, point: DumpOutcome) -> None:
    before = all_of(world.server, world.database)
    report = restore(world.request("streamed", "nas"), world.engine, world.stores, world.reader)
    assert all_of(world.server, "streamed") == before
    loads = [step.detail for step in report.steps if step.step == "load"]
    assert len(loads) == 3
    assert loads[1].count("data-") == 3


def test_a_newer_server_with_its_own_client_does_the_same(new: Running) -> None:
    """Of version 17 on large objects are described among the data."""
    world = World(new)
    owner = new.role()
    new.run(f"ALTER LARGE OBJECT 4711 OWNER TO {owner}", f"ALTER TABLE big OWNER TO {owner}", database=world.database)
    world.dump(world.stores)
    restore(world.request("streamed"), world.engine, world.stores, world.reader)
    assert all_of(new, "streamed") == all_of(new, world.database)
    owners = "SELECT concat(l.lomowner::regrole, c.relowner::regrole) FROM pg_largeobject_metadata l, pg_class c"
    assert new.value(f"{owners} WHERE l.oid = 4711 AND c.relname = 'big'", "streamed") == owner * 2
    order = DrillOrder(SITE, APPLICATION, RESOURCE, "nas")
    outcome = run_drill(order, world.engine, Scratch(), {"nas": world.stores["nas"]}, world.reader, world.key)
    assert outcome.passed, outcome.why


def test_a_drill_loads_the_streams_into_a_private_server(world: World, point: DumpOutcome) -> None:
    order = DrillOrder(SITE, APPLICATION, RESOURCE, "gcs-eu")
    outcome = run_drill(order, world.engine, Scratch(), {"gcs-eu": world.stores["gcs-eu"]}, world.reader, world.key)
    assert outcome.passed, outcome.why
    assert outcome.bytes > 0


def test_a_database_that_exists_is_refused_even_when_it_is_empty(world: World, point: DumpOutcome) -> None:
    name = world.server.database()
    with pytest.raises(Refused, match="3 streams") as caught:
        restore(world.request(name), world.engine, world.stores, world.reader)
    assert "does not exist" in caught.value.hint
    assert world.server.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace", name) == 0


def test_damage_in_one_stream_leaves_nothing(world: World, point: DumpOutcome) -> None:
    store = world.stores["gcs-eu"]
    assert isinstance(store, MemoryStore)
    path = next(path for path in store.objects if path.endswith("data-2.pgcustom.zst.age"))
    body, written = store.objects[path]
    store.objects[path] = (body[:90_000] + bytes([body[90_000] ^ 1]) + body[90_001:], written)
    before = pgshop.names(world.server)
    try:
        with pytest.raises(Damaged, match="leaf"):
            restore(world.request("hurt", "gcs-eu"), world.engine, world.stores, world.reader)
    finally:
        store.objects[path] = (body, written)
    assert pgshop.names(world.server) == before


def test_a_dump_of_which_a_stream_was_never_loaded_is_not_made_real(world: World) -> None:
    with world.engine.dump(world.options(3), {}, "off") as session:
        facts, archives = session.facts, taken(session)
    target = world.engine.target(world.server.url("partial"), None, with_globals=False)
    target.prepare(facts)
    try:
        with pytest.raises(Refused, match="definitions come before"):
            target.load("data-1.pgcustom")
        for name in ("predata.pgcustom", "data-1.pgcustom", "data-3.pgcustom", "postdata.pgcustom"):
            consumer = target.load(name)
            consumer.stdin.write(archives[name])
            if name != "postdata.pgcustom":
                consumer.finish()
            else:
                consumer.kill()
        with pytest.raises(Refused, match="nothing was loaded"):
            target.complete()
    finally:
        target.abandon()


def test_a_database_without_tables_is_one_archive(world: World) -> None:
    options = world.server.options(world.server.database()).model_copy(update={"streams": 4})
    with world.engine.dump(options, {}, "exact") as session:
        assert list(taken(session)) == ["data.pgcustom", "globals.sql"]
        assert "streams" not in session.facts


class Failing(MemoryStore):
    """Breaks at the first byte of the data of one stream."""

    def upload(self, path: str) -> Upload:
        if "data-2." in path:
            raise Unavailable("the vault is gone", vault=self.vault)
        return super().upload(path)


def test_a_vault_that_one_stream_loses_is_lost_for_the_point(world: World) -> None:
    good, bad = memory("good"), Failing("bad", limits=StoreLimits(part_bytes=MIB))
    outcome = world.dump({"good": good, "bad": bad})
    assert outcome.vaults == ("good",)
    assert list(outcome.lost) == ["bad"]
    assert not bad.objects
    with pytest.raises(Unavailable, match="no vault is left"):
        world.dump({"bad": Failing("bad", limits=StoreLimits(part_bytes=MIB))})


def honest_but(folder: Path, real: Path, condition: str, script: str) -> Path:
    """Programs whose pg_dump runs `script` where the arguments match `condition`."""
    for program in ("pg_dumpall", "pg_restore"):
        (folder / program).symlink_to(real / program)
    text = f'#!/bin/sh\ncase "$*" in {condition}) {script};; esac\nexec {real / "pg_dump"} "$@"\n'
    (folder / "pg_dump").write_text(text)
    (folder / "pg_dump").chmod(0o755)
    return folder


IGNORING = """for one; do shift
  case "$one" in --exclude-table-data=*) ;; *) set -- "$@" "$one";; esac
done"""


@pytest.mark.parametrize(
    ("condition", "script", "kind", "why"),
    [
        ("*--table=*big*", 'exec REAL "$@" --exclude-table=public.big', Damaged, "rows of table public.big"),
        ("*--exclude-table-data=*", IGNORING, Damaged, "rows are in the dump twice.*rows of table public.big"),
        ("*--table=*", 'echo "it burns" >&2; exit 1', Unavailable, "it burns"),
    ],
    ids=["leaves a table out", "ignores its share", "fails"],
)
def test_a_stream_that_fails_or_is_not_complete_commits_nothing(
    world: World, tmp_path: Path, condition: str, script: str, kind: type[Exception], why: str
) -> None:
    real = world.server.binaries
    tools = honest_but(tmp_path, real, condition, script.replace("REAL", str(real / "pg_dump")))
    store = memory("gcs-eu")
    with pytest.raises(kind, match=why):
        world.dump({"gcs-eu": store}, engine=PostgresEngine([tools]))
    assert not store.objects
