"""The clauses of the store contract, each a function that writes below a prefix and raises what the store lacks.

`store_contract` names them and runs them; the tests do the same.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from drorch.domain.errors import AlreadyExists, DrorchError, NotFound, Refused
from drorch.ports import ObjectStore, Upload

RACERS = 8
ODD_NAMES = (
    "a b",
    "a+b",
    "a%2Fb",
    "a&b=c",
    "a;b,c",
    "a:b@c",
    "a'b\"c",
    "a<b>c",
    "a#b?c",
    "[a]{b}",
    "*",
    "~",
    "a\\b",
    "a|b^c`d$e!",
    "UPPER",
    "upper",
    "dot.in.name..",
    "20261120T091500Z-abcdefghijklmnopqrst",
    "deep/er/still/deeper",
    "n" * 200,
)
ILLEGAL_PATHS = (
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    ".hidden",
    "a/.hidden",
    "ü",
    "a\nb",
    "a\0b",
    "a\x7f",
    "n" * 201,
    "a/" * 450 + "a",
)


NO_ABORT = (
    "this role may not drop what an upload had sent that is given up: it stays, invisible and billed, until somebody "
    "drops it (on S3 the right is that to abort uploads, or a lifecycle rule does it; elsewhere it is that to delete)"
)


class ContractBroken(Refused):
    """The store does not keep a clause; the message says what it lacks."""


def require(kept: bool, lack: str) -> None:
    if not kept:
        raise ContractBroken(lack)


@contextmanager
def raises(kind: type[DrorchError], lack: str) -> Iterator[None]:
    """The block must raise `kind`; anything else the store raises is told with what it lacks."""
    try:
        yield
    except kind:
        return
    except DrorchError as error:
        raise ContractBroken(f"{lack}: it raised {type(error).__name__} instead: {error}") from error
    raise ContractBroken(lack)


def read(store: ObjectStore, path: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join(store.read(path, start, length))


def _paths(store: ObjectStore, prefix: str) -> list[str]:
    return sorted(found.path for found in store.list(prefix))


def pattern(size: int, seed: int) -> bytes:
    """Bytes that differ by seed and by place, cheaply: a block of hashes, repeated, each time with another head."""
    block = b"".join(hashlib.sha256(f"{seed}.{number}".encode()).digest() for number in range(2048))
    body = bytearray(block * (size // len(block) + 1))
    for number, at in enumerate(range(0, len(body), len(block))):
        body[at : at + 8] = number.to_bytes(8, "big")
    return bytes(body[:size])


def send(store: ObjectStore, path: str, parts: Iterable[bytes]) -> None:
    upload = store.upload(path)
    try:
        for part in parts:
            upload.write(part)
        upload.commit()
    except DrorchError:
        give_up(upload)
        raise


def give_up(upload: Upload) -> None:
    """Abort it, where this role may: whether it may is asked by one clause, and told once."""
    with suppress(Refused):
        upload.abort()


def _race(attempts: list[Callable[[], None]], lack: str) -> int:
    """Run all at once: which one won. The others must have been told AlreadyExists."""
    start = threading.Barrier(len(attempts))
    won: list[int] = []
    broken: list[str] = []

    def run(number: int) -> None:
        start.wait()
        try:
            attempts[number]()
            won.append(number)
        except AlreadyExists:
            return
        except DrorchError as error:
            broken.append(str(error))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(attempts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    require(not broken, f"a racing write neither won nor was told that the path is taken: {broken[:1]}")
    require(len(won) == 1, f"{lack}: {len(won)} of {len(attempts)} racing writes won")
    return won[0]


# --- the clauses ---------------------------------------------------------------------------------------------------


def round_trip(store: ObjectStore, prefix: str) -> None:
    """Put, stat, read."""
    body = pattern(100_000, 1)
    store.put(prefix + "object", body)
    found = store.stat(prefix + "object")
    require((found.path, found.size) == (prefix + "object", len(body)), f"stat told {found} of {len(body)} bytes")
    require(found.modified.tzinfo is not None, "the time of writing has no time zone")
    require(read(store, prefix + "object") == body, "other bytes were read than were put")


def write_once_put(store: ObjectStore, prefix: str) -> None:
    """A second put is told AlreadyExists, even with the same bytes."""
    store.put(prefix + "object", b"first")
    for body in (b"second", b"first"):
        with raises(AlreadyExists, "a put replaces what is there (no conditional write: If-None-Match)"):
            store.put(prefix + "object", body)
    require(read(store, prefix + "object") == b"first", "a refused put changed what was there")


def write_once_upload(store: ObjectStore, prefix: str) -> None:
    """An upload is told AlreadyExists, whether the path was taken before it began or while it ran."""
    part = pattern(store.limits.part_bytes, 2)
    for name, parts in (("small", [b"second"]), ("large", [part, b"second"])):
        store.put(prefix + name, b"first")
        with raises(AlreadyExists, f"a {name} upload replaces what is there before it begins"):
            send(store, prefix + name, parts)
        late = store.upload(prefix + name + "-late")
        for sent in parts:
            late.write(sent)
        store.put(prefix + name + "-late", b"first")
        with raises(AlreadyExists, f"a {name} upload replaces what was written while it ran"):
            late.commit()
        give_up(late)
        for path in (prefix + name, prefix + name + "-late"):
            require(read(store, path) == b"first", f"a refused {name} upload changed what was there")


def racing_creates(store: ObjectStore, prefix: str) -> None:
    """Eight puts, then eight uploads, at once."""
    bodies = [f"writer {number}".encode() for number in range(RACERS)]
    path = prefix + "put"
    winner = _race([lambda body=body: store.put(path, body) for body in bodies], "puts are not write-once")  # type: ignore[misc]
    require(read(store, path) == bodies[winner], "the bytes are not the winner's")
    path = prefix + "upload"
    winner = _race([lambda body=body: send(store, path, [body]) for body in bodies], "uploads are not write-once")  # type: ignore[misc]
    require(read(store, path) == bodies[winner], "the bytes are not the winner's")


def overwrite(store: ObjectStore, prefix: str) -> None:
    """A put with `overwrite` replaces, or creates."""
    store.put(prefix + "object", b"first, and longer")
    store.put(prefix + "object", b"second", overwrite=True)
    store.put(prefix + "new", b"third", overwrite=True)
    require(read(store, prefix + "object") == b"second", "an overwrite that was asked for did not happen")
    require(store.stat(prefix + "object").size == 6, "stat tells the size of what was overwritten")
    require(read(store, prefix + "new") == b"third", "an overwrite of nothing did not create")


def invisible(store: ObjectStore, prefix: str) -> None:
    """Not listed, not found, not read before commit."""
    for name, parts in (("small", [b"part"]), ("large", [pattern(store.limits.part_bytes, 3), b"part"])):
        upload = store.upload(prefix + name)
        try:
            for part in parts:
                upload.write(part)
            require(not _paths(store, prefix), f"a {name} upload is listed before it is committed")
            with raises(NotFound, f"a {name} upload is found before it is committed"):
                store.stat(prefix + name)
            with raises(NotFound, f"a {name} upload is read before it is committed"):
                read(store, prefix + name)
        finally:
            give_up(upload)


def abort(store: ObjectStore, prefix: str) -> str | None:
    """Before, between and after parts; twice; after commit. Where this role may drop no parts, that is its limit."""
    dropped = True
    for name, parts in (("none", []), ("small", [b"part"]), ("large", [pattern(store.limits.part_bytes, 4), b"part"])):
        upload = store.upload(prefix + name)
        for part in parts:
            upload.write(part)
        dropped = _aborted(store, prefix, upload) and dropped
        with raises(Refused, "an upload that was given up can be committed"):
            upload.commit()
        require(not _paths(store, prefix), f"an upload with {name} parts is visible after abort")
    upload = store.upload(prefix + "kept")
    upload.write(b"part")
    upload.commit()
    upload.abort()
    require(read(store, prefix + "kept") == b"part", "abort after commit took the object away")
    return None if dropped else NO_ABORT


def _aborted(store: ObjectStore, prefix: str, upload: Upload) -> bool:
    """Twice; False where this role may not. ContractBroken when parts are left that it may drop."""
    try:
        upload.abort()
        upload.abort()
        for pending in list(store.uploads(prefix)):
            store.abort_upload(pending)
            raise ContractBroken("after abort of an upload parts are left behind")
    except ContractBroken:
        raise
    except Refused:
        return False
    return True


def large(store: ObjectStore, prefix: str) -> None:
    """Two whole parts and a short one, from one buffer that is the caller's again after each."""
    size = store.limits.part_bytes
    body = pattern(2 * size + 12_345, 5)
    upload = store.upload(prefix + "object")
    buffer = bytearray(size)
    try:
        for at in range(0, len(body), size):
            part = body[at : at + size]
            buffer[: len(part)] = part
            upload.write(memoryview(buffer)[: len(part)])
            buffer[:] = bytes(size)  # it is the caller's again
        upload.commit()
    finally:
        give_up(upload)
    require(store.stat(prefix + "object").size == len(body), "the size of a large object is not what was sent")
    digest = hashlib.sha256()
    for chunk in store.read(prefix + "object"):
        digest.update(chunk)
    require(digest.digest() == hashlib.sha256(body).digest(), "a large object comes back with other bytes")
    across = read(store, prefix + "object", size - 10, 20)
    require(across == body[size - 10 : size + 10], "a range across two parts comes back with other bytes")


def whole_parts(store: ObjectStore, prefix: str) -> None:
    """One or two whole parts and nothing after them, or an empty part."""
    part = pattern(store.limits.part_bytes, 6)
    for name, parts in (("one", [part]), ("one-and-empty", [part, b""]), ("two", [part, part])):
        send(store, prefix + name, parts)
        require(store.stat(prefix + name).size == sum(map(len, parts)), f"{name} whole part(s) got another size")
        tail = read(store, prefix + name, store.stat(prefix + name).size - 100)
        require(tail == part[-100:], f"{name} whole part(s) end in other bytes")


def empty(store: ObjectStore, prefix: str) -> None:
    """An empty put, an upload without parts, an upload of an empty part."""
    store.put(prefix + "put", b"")
    send(store, prefix + "upload", [])
    send(store, prefix + "upload-part", [b""])
    for name in ("put", "upload", "upload-part"):
        require(store.stat(prefix + name).size == 0, f"an empty object ({name}) has a size")
        require(read(store, prefix + name) == b"", f"an empty object ({name}) has bytes")
        require(read(store, prefix + name, 0, 10) == b"", f"an empty object ({name}) has bytes in a range")
    require(len(_paths(store, prefix)) == 3, "an empty object is not listed")


def ranges(store: ObjectStore, prefix: str) -> None:
    """Within, to the end, over the end, at the end, behind the end."""
    body, path = pattern(10_000, 7), prefix + "object"
    store.put(path, body)
    for start, length in ((0, None), (0, 10), (100, 200), (9_000, None), (9_999, 1), (9_000, 5_000), (10_000, None)):
        expected = body[start:] if length is None else body[start : start + length]
        require(read(store, path, start, length) == expected, f"wrong bytes from {start}, length {length}")
    require(read(store, path, 5, 0) == b"", "a range of no length has bytes")
    for length in (None, 10, 0):
        with raises(Refused, "a range behind the end is not refused"):
            read(store, path, 10_001, length)


def not_found(store: ObjectStore, prefix: str) -> None:
    """Stat and read tell NotFound; delete and list are quiet."""
    store.put(prefix + "object", b"here")
    for path in (prefix + "absent", prefix + "objec", prefix + "objects", prefix + "no/such/folder"):
        with raises(NotFound, "an absent object has facts"):
            store.stat(path)
        for length in (None, 10, 0):
            with raises(NotFound, "an absent object can be read"):
                read(store, path, 0, length)
        _delete_absent(store, path)
        require(_paths(store, path + "/") == [], "something is listed below an absent object")
    require(read(store, prefix + "object") == b"here", "deleting an absent object took another")


def _delete_absent(store: ObjectStore, path: str) -> None:
    """A role may be kept from deleting anything; whoever may delete must not stumble over what is absent."""
    try:
        store.delete(path)
    except NotFound as error:
        raise ContractBroken("deleting an absent object is an error") from error
    except Refused:
        return


def listing(store: ObjectStore, prefix: str) -> None:
    """Every odd name comes back as it was given, once, with its size, under every prefix."""
    for number, name in enumerate(ODD_NAMES):
        store.put(prefix + name, b"x" * number)
    found = {info.path: info.size for info in store.list(prefix)}
    expected = {prefix + name: number for number, name in enumerate(ODD_NAMES)}
    missing = sorted(set(expected) - set(found))
    require(not missing, f"a listing lacks {missing}")
    require(found == expected, f"a listing has other names or sizes: {sorted(set(found) - set(expected))}")
    for number, name in enumerate(ODD_NAMES):
        require(len(read(store, prefix + name)) == number, f"{name!r} was stored under another name's bytes")
    for beginning in ("a", "deep/er", "deep/er/", "U", "zzz", "deep/er/still/deeper"):
        wanted = sorted(path for path in expected if path.startswith(prefix + beginning))
        require(_paths(store, prefix + beginning) == wanted, f"the listing of prefix {beginning!r} is not those")


def consistency(store: ObjectStore, prefix: str) -> None:
    """Read and listed right after the write, although the store was asked before."""
    for number in range(10):
        path = f"{prefix}{number}"
        with suppress(NotFound):  # a store that caches «absent» betrays itself
            store.stat(path)
        store.put(path, b"new")
        require(read(store, path) == b"new", "an object cannot be read right after it was written")
        require(path in _paths(store, prefix), "an object is not listed right after it was written")
    store.put(prefix + "0", b"newer", overwrite=True)
    require(read(store, prefix + "0") == b"newer", "an overwritten object is read as it was before")


def illegal(store: ObjectStore, prefix: str) -> None:
    """Every call refuses every illegal path, and leaves nothing."""
    for path in ILLEGAL_PATHS:
        attempts: tuple[Callable[[], object], ...] = (
            lambda path=path: store.put(path, b"x"),  # type: ignore[misc]
            lambda path=path: store.put(path, b"x", overwrite=True),  # type: ignore[misc]
            lambda path=path: store.upload(path),  # type: ignore[misc]
            lambda path=path: store.stat(path),  # type: ignore[misc]
            lambda path=path: read(store, path),  # type: ignore[misc]
            lambda path=path: store.delete(path),  # type: ignore[misc]
        )
        for attempt in attempts:
            with raises(Refused, f"the illegal path {path[:40]!r} is not refused"):
                attempt()
    for start in ("/", "../", "a//", "ü"):
        with raises(Refused, f"the illegal prefix {start!r} is not refused"):
            _paths(store, start)
    require(not _paths(store, prefix), "a refused path left something behind")


def wrong_parts(store: ObjectStore, prefix: str) -> None:
    """A part after a shorter one, one that is too large, one after abort."""
    upload = store.upload(prefix + "object")
    upload.write(b"short")
    with raises(Refused, "a part may follow a shorter one"):
        upload.write(b"more")
    give_up(upload)
    upload = store.upload(prefix + "object")
    with raises(Refused, "a part may be larger than the store's"):
        upload.write(bytes(store.limits.part_bytes + 1))
    give_up(upload)
    with raises(Refused, "a part may follow abort"):
        upload.write(b"more")
    require(not _paths(store, prefix), "an upload with wrong parts left something behind")


def next_upload(store: ObjectStore, prefix: str) -> None:
    """An abandoned and a refused upload, then others to the same and to another path."""
    part = pattern(store.limits.part_bytes, 8)
    failed = store.upload(prefix + "object")
    failed.write(part)
    failed.write(part[:10])
    second = store.upload(prefix + "object")
    second.write(b"second")
    give_up(failed)
    second.commit()
    require(read(store, prefix + "object") == b"second", "an upload that failed spoilt the next one to its path")
    with raises(AlreadyExists, "an upload replaces what is there"):
        send(store, prefix + "object", [part, b"third"])
    send(store, prefix + "other", [part, b"fourth"])
    require(store.stat(prefix + "other").size == len(part) + 6, "an upload after a refused one got another size")
