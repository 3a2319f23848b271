"""The cache: what was read of vaults and providers, in one SQLite file. Disposable: delete it and nothing is lost.

It holds bytes as they were read and what checking their signature gave, so that a pass needs no request for what it
has seen before. A version change, other trusted keys or a damaged file start it afresh.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from drorch.domain import layout
from drorch.domain.errors import Unavailable
from drorch.domain.instant import from_text

VERSION = 7

CACHE = "cache.sqlite"
"""Its name in the state folder."""
_SCHEMA = """
create table if not exists meta (key text primary key, value text not null);
create table if not exists record (
  vault text not null, path text not null, fingerprint text not null, written text not null, trust text not null,
  why text not null, data blob not null, primary key (vault, path)) without rowid;
create table if not exists object (
  vault text not null, path text not null, size integer not null, primary key (vault, path)) without rowid;
create table if not exists listing (name text primary key, at text not null, body text not null default '');
create table if not exists text (name text primary key, body text not null);
create table if not exists picture (
  vault text not null, prefix text not null, ticket integer not null, primary key (vault, prefix)) without rowid;
create table if not exists tampered (
  vault text not null, path text not null, what text not null, primary key (vault, path)) without rowid;
create table if not exists lock (
  vault text not null, point text not null, mode text not null, until text not null,
  primary key (vault, point)) without rowid;
create table if not exists turn (
  vault text not null, application text not null, resource text not null, turn integer not null, at text not null,
  primary key (vault, application, resource, turn)) without rowid;
create table if not exists change (
  vault text not null, application text not null, number integer not null,
  primary key (vault, application)) without rowid;
"""
_TABLES = ("meta", "record", "object", "listing", "text", "picture", "tampered", "lock", "turn", "change")


@dataclass(frozen=True, slots=True)
class CachedRecord:
    """A record's bytes as read, the store's time of writing (text), and what its signature was worth."""

    path: str
    fingerprint: str
    written: str
    trust: str
    why: str
    data: bytes


class Cache:
    """One connection behind one lock; every method is one transaction."""

    def __init__(self, path: Path | None, trusted: str) -> None:
        self._lock = threading.Lock()
        self._connection = _open(path, trusted)
        self._changes: tuple[tuple[int, int], dict[tuple[str, str], int]] | None = None

    @classmethod
    def of_another(cls, path: Path, site: str) -> Cache:
        """A cache that somebody else keeps, to read only. Unavailable where there is none of this version and site.

        Who keeps it starts it afresh when keys change: who only looks, perhaps without a key, must not. Root does not
        read that of a daemon: SQLite puts files beside it, which the daemon could not open any more.
        """
        if os.geteuid() == 0 and path.exists() and path.stat().st_uid != 0:
            raise Unavailable(f"the cache {path} is another user's, and this is root", hint="look as that user")
        cache = cls.__new__(cls)
        cache._lock = threading.Lock()
        try:
            cache._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False, timeout=5
            )
            version = cache._connection.execute("pragma user_version").fetchone()[0]
            known = cache._connection.execute("select value from meta where key = 'trusted'").fetchone()
        except sqlite3.Error as error:
            raise Unavailable(f"the cache {path} cannot be read", cause=str(error)) from error
        if version != VERSION or known is None or not str(known[0]).startswith(f"{site};"):
            cache.close()
            raise Unavailable(f"the cache {path} is of another version, or of another site")
        return cache

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                with self._connection:
                    yield self._connection
            except sqlite3.Error as error:
                raise Unavailable(
                    "the cache could not be used", cause=str(error), hint="it is disposable: delete it and start again"
                ) from error

    def fingerprints(self, vault: str, prefix: str) -> dict[str, str]:
        """path -> fingerprint of the records of `vault` below `prefix`."""
        with self._transaction() as db:
            rows = db.execute(f"select path, fingerprint from record {_BELOW}", _below(vault, prefix))  # noqa: S608
            return dict(rows.fetchall())

    def replace(
        self,
        vault: str,
        prefixes: Iterable[str],
        keep: Iterable[str],
        records: Iterable[CachedRecord],
        objects: Mapping[str, int],
        ticket: int | None = None,
        tampered: Mapping[str, str] | None = None,
    ) -> None:
        """What a complete listing below `prefixes` showed: `keep` stays, `records` are new, the rest is gone.

        `objects` maps data paths to sizes. Every prefix ends with a slash. `ticket` was drawn before the listing began:
        what another process has listed since is newer, and stays as it is.
        """
        kept = set(keep)
        ticket = self.ticket() if ticket is None else ticket
        with self._transaction() as db:
            newer = _newer(db, vault, ticket)
            touched: set[str] = set()
            for prefix in prefixes:
                known = db.execute(f"select path from record {_BELOW}", _below(vault, prefix)).fetchall()  # noqa: S608
                gone = [path for (path,) in known if path not in kept and not path.startswith(newer)]
                db.executemany("delete from record where vault = ? and path = ?", [(vault, path) for path in gone])
                touched.update(gone)
            touched |= _replace_objects(db, vault, prefixes, objects, newer)
            touched |= _replace_tampered(db, vault, prefixes, tampered or {})
            read = [r for r in records if not r.path.startswith(newer)]
            db.executemany(
                "insert or replace into record values (?, ?, ?, ?, ?, ?, ?)",
                [(vault, r.path, r.fingerprint, r.written, r.trust, r.why, r.data) for r in read],
            )
            touched.update(r.path for r in read)
            _note_changes(db, vault, {_application_of(path) for path in touched})
            _remember(db, vault, prefixes, ticket)

    def changes(self) -> Mapping[tuple[str, str], int]:
        """(vault, application) -> a number that is another one whenever anything stored here of the two has changed,
        whichever process changed it; absent where nothing ever was.
        """
        with self._transaction() as db:
            # The one counts what other connections committed, the other what this one has changed.
            version = db.execute("pragma data_version").fetchone()[0], db.total_changes
            if self._changes is None or self._changes[0] != version:
                rows = db.execute("select vault, application, number from change").fetchall()
                self._changes = version, {(vault, application): number for vault, application, number in rows}
            return self._changes[1]

    def ticket(self) -> int:
        """A number that says when a listing began, rising over all processes that share the file."""
        with self._transaction() as db:
            db.execute("insert into meta values ('ticket', '1') on conflict do update set value = value + 1")
            return int(db.execute("select value from meta where key = 'ticket'").fetchone()[0])

    def holds(self, vault: str) -> bool:
        """Whether there is any record or object of the vault."""
        query = "select exists (select 1 from record where vault = ?) or exists (select 1 from object where vault = ?)"
        with self._transaction() as db:
            return bool(db.execute(query, (vault, vault)).fetchone()[0])

    def records(self, vault: str, prefix: str) -> list[CachedRecord]:
        """Every record of a vault below a prefix."""
        with self._transaction() as db:
            rows = db.execute(
                f"select path, fingerprint, written, trust, why, data from record {_BELOW}",  # noqa: S608
                _below(vault, prefix),
            )
            return [CachedRecord(*row) for row in rows.fetchall()]

    def paths(self, vault: str, prefix: str, suffix: str, trust: str) -> list[str]:
        """The records of a vault below a prefix whose paths end with `suffix` and whose signature is worth `trust`."""
        query = f"select path from record {_BELOW} and trust = ? and substr(path, ?) = ?"  # noqa: S608
        with self._transaction() as db:
            rows = db.execute(query, (*_below(vault, prefix), str(trust), -len(suffix), suffix))
            return [path for (path,) in rows.fetchall()]

    def data(self, vault: str, path: str) -> bytes | None:
        """The bytes of one record; None for one that was not read."""
        with self._transaction() as db:
            row = db.execute("select data from record where vault = ? and path = ?", (vault, path)).fetchone()
        return None if row is None else bytes(row[0])

    def trust(self, vault: str, path: str) -> str:
        """What the signature of one record was worth; "" for one that was not read."""
        with self._transaction() as db:
            row = db.execute("select trust from record where vault = ? and path = ?", (vault, path)).fetchone()
        return "" if row is None else str(row[0])

    def objects(self, vault: str, prefix: str) -> dict[str, int]:
        """path -> size of every data object (or head) of a vault below a prefix."""
        with self._transaction() as db:
            rows = db.execute(f"select path, size from object {_BELOW}", _below(vault, prefix))  # noqa: S608
            return dict(rows.fetchall())

    def tampered(self, vault: str, prefix: str) -> dict[str, str]:
        """path -> what was seen to be written or deleted over it."""
        with self._transaction() as db:
            rows = db.execute(f"select path, what from tampered {_BELOW}", _below(vault, prefix))  # noqa: S608
            return dict(rows.fetchall())

    def set_lock(self, vault: str, application: str, point: str, mode: str, until: str) -> None:
        """What was read back of the locks of a copy (filed under `application`): the weakest mode, the earliest end
        (text).
        """
        with self._transaction() as db:
            db.execute("insert or replace into lock values (?, ?, ?, ?)", (vault, point, mode, until))
            _note_changes(db, vault, {application})

    def locks(self, vault: str, points: Collection[str]) -> dict[str, tuple[str, str]]:
        """point -> (mode, until) as last read back, of those of `points` of which anything was."""
        with self._transaction() as db:
            if not db.execute("select exists (select 1 from lock where vault = ?)", (vault,)).fetchone()[0]:
                return {}
            query = "select point, mode, until from lock where vault = ? and point = ?"
            rows = [db.execute(query, (vault, point)).fetchone() for point in points]
            return {row[0]: (row[1], row[2]) for row in rows if row is not None}

    def set_turn(self, vault: str, application: str, resource: str, turn: int, at: str) -> None:
        """That the turn of a resource's leaves in a vault was read, and when (text)."""
        with self._transaction() as db:
            db.execute("insert or replace into turn values (?, ?, ?, ?, ?)", (vault, application, resource, turn, at))
            _note_changes(db, vault, {application})

    def turns_read(self, vaults: Iterable[str], application: str) -> dict[tuple[str, str], dict[int, datetime]]:
        """(resource, vault) -> turn -> when it was read last, as far as this cache remembers."""
        return {
            (resource, vault): {turn: from_text(at) for turn, at in turns.items()}
            for vault in vaults
            for resource, turns in self.turns(vault, application).items()
        }

    def turns(self, vault: str, application: str) -> dict[str, dict[int, str]]:
        """resource -> turn -> when it was read last (text)."""
        with self._transaction() as db:
            rows = db.execute(
                "select resource, turn, at from turn where vault = ? and application = ?", (vault, application)
            ).fetchall()
        found: dict[str, dict[int, str]] = {}
        for resource, turn, at in rows:
            found.setdefault(resource, {})[turn] = at
        return found

    def set_listing(self, name: str, at: str, body: str = "") -> None:
        """Remember that `name` was listed completely at `at`, and for native vaults what was seen."""
        with self._transaction() as db:
            db.execute("insert or replace into listing values (?, ?, ?)", (name, at, body))

    def listing(self, name: str) -> tuple[str, str] | None:
        """(at, body) of the last complete listing of `name`."""
        with self._transaction() as db:
            row = db.execute("select at, body from listing where name = ?", (name,)).fetchone()
        return None if row is None else (row[0], row[1])

    def set_texts(self, texts: Mapping[str, str]) -> None:
        """Replace the remembered policy texts."""
        with self._transaction() as db:
            db.execute("delete from text")
            db.executemany("insert into text values (?, ?)", list(texts.items()))

    def texts(self) -> dict[str, str]:
        """The remembered policy texts."""
        with self._transaction() as db:
            return dict(db.execute("select name, body from text").fetchall())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


_BELOW = "where vault = ? and path >= ? and path < ?"
"""A range of the primary key: `substr` or `like` would read the whole vault for each application."""


def _below(vault: str, prefix: str) -> tuple[str, str, str]:
    """The parameters of `_BELOW` for a prefix that ends with a slash (the next character is 0)."""
    return vault, prefix, prefix.removesuffix("/") + "0"


def _replace_objects(
    db: sqlite3.Connection, vault: str, prefixes: Iterable[str], objects: Mapping[str, int], newer: tuple[str, ...]
) -> set[str]:
    """The paths whose objects came, went, or are of another size."""
    known: dict[str, int] = {}
    for prefix in prefixes:
        known |= db.execute(f"select path, size from object {_BELOW}", _below(vault, prefix)).fetchall()  # noqa: S608
    gone = [path for path in known if path not in objects and not path.startswith(newer)]
    db.executemany("delete from object where vault = ? and path = ?", [(vault, path) for path in gone])
    new = [path for path, size in objects.items() if known.get(path) != size and not path.startswith(newer)]
    rows = [(vault, path, objects[path]) for path in new]
    db.executemany("insert or replace into object values (?, ?, ?)", rows)
    return {*gone, *new}


def _replace_tampered(
    db: sqlite3.Connection, vault: str, prefixes: Iterable[str], tampered: Mapping[str, str]
) -> set[str]:
    """The paths of which something else is told now."""
    known: dict[str, str] = {}
    for prefix in prefixes:
        known |= db.execute(f"select path, what from tampered {_BELOW}", _below(vault, prefix)).fetchall()  # noqa: S608
        db.execute(f"delete from tampered {_BELOW}", _below(vault, prefix))  # noqa: S608
    rows = [(vault, path, what) for path, what in tampered.items()]
    db.executemany("insert or replace into tampered values (?, ?, ?)", rows)
    return {path for path in known.keys() | tampered if known.get(path) != tampered.get(path)}


def _application_of(path: str) -> str:
    """The application below whose name a path lies; "" where it lies elsewhere."""
    parts = path.removeprefix(layout.ROOT).split("/")
    return parts[1] if len(parts) > 2 else ""


def _note_changes(db: sqlite3.Connection, vault: str, applications: Iterable[str]) -> None:
    """By chance, so that no number comes back when another process has started the cache afresh."""
    rows = [(vault, application) for application in applications]
    db.executemany("insert or replace into change values (?, ?, random())", rows)


def _newer(db: sqlite3.Connection, vault: str, ticket: int) -> tuple[str, ...]:
    """The prefixes of which a listing that began later is stored already."""
    rows = db.execute("select prefix from picture where vault = ? and ticket > ?", (vault, ticket))
    return tuple(prefix for (prefix,) in rows.fetchall())


def _remember(db: sqlite3.Connection, vault: str, prefixes: Iterable[str], ticket: int) -> None:
    """Note when each prefix was listed; what lies below it was listed with it."""
    for prefix in prefixes:
        below = (vault, prefix, prefix.removesuffix("/") + "0", ticket)
        db.execute("delete from picture where vault = ? and prefix >= ? and prefix < ? and ticket < ?", below)
        db.execute(
            "insert into picture values (?, ?, ?) on conflict do update set ticket = max(ticket, excluded.ticket)",
            (vault, prefix, ticket),
        )


def _open(path: Path | None, trusted: str) -> sqlite3.Connection:
    if path is None:
        return _prepare(sqlite3.connect(":memory:", check_same_thread=False), trusted)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            return _prepare(_connect(path), trusted)
        except sqlite3.OperationalError:
            raise  # locked, unreadable, no room: that is no reason to throw it away under somebody's feet
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            return _prepare(_connect(path), trusted)
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(
            f"cannot open the cache {path}",
            cause=str(error),
            hint="the state folder must be writable for this user; the cache is disposable",
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, check_same_thread=False, timeout=30)


def _prepare(connection: sqlite3.Connection, trusted: str) -> sqlite3.Connection:
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = off")  # a torn cache is rebuilt; nothing in it is worth an fsync
    with connection:
        # The version is asked first: tables of another version need not even have the columns of this one.
        if connection.execute("pragma user_version").fetchone()[0] != VERSION:
            for table in _TABLES:
                connection.execute(f"drop table if exists {table}")
        connection.executescript(_SCHEMA)
        connection.execute(f"pragma user_version = {VERSION}")
        known = connection.execute("select value from meta where key = 'trusted'").fetchone()
        if known is None or known[0] != trusted:
            for table in _TABLES:
                connection.execute(f"delete from {table}")  # noqa: S608  one of the names above
            connection.execute("insert into meta values ('trusted', ?)", (trusted,))
    return connection
