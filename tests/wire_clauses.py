"""Clauses of the store contract that need a network which misbehaves: what a store must not be talked into.

As those of `drorch.app.store_contract`: one raises what is broken, and returns what limit of the store's own is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from store_proxy import Action
from wires import Wire

from drorch.app.store_clauses import pattern, raises, read, require, send
from drorch.app.store_lock_clauses import NO_LOCK
from drorch.domain.errors import DrorchError, NotFound, Unavailable
from drorch.ports import ObjectStore

SMALL, LARGE = "small objects", "objects in parts"
SKEW = timedelta(hours=3)
NEAR = timedelta(minutes=1)
BELIEVED = "a {} that did nothing is believed: the next listing tells, and the next pass does it again"
UNSEEN = "not noticed of {}: their sizes and leaves, which are signed, tell whoever reads"


@dataclass(frozen=True)
class WireClause:
    """One promise, as `store_contract.Clause`."""

    name: str
    promise: str
    run: Callable[[Wire, str], str | None]


def _refused_writes(fault: Action) -> Callable[[Wire, str], None]:
    """A write whose bytes arrive otherwise than they were sent fails, shows nothing, and can be repeated."""

    def run(wire: Wire, prefix: str) -> None:
        for operation, path, parts in _writes(wire.store, prefix):
            wire.proxy.quiet()
            wire.always(operation, fault)
            with raises(DrorchError, f"a {operation} that arrived otherwise is taken for done"):
                _write(wire.store, path, parts)
            require(wire.proxy.struck > 0, f"no {operation} was struck")
            wire.proxy.quiet()
            with raises(NotFound, f"a {operation} that arrived otherwise left an object"):
                wire.store.stat(path)
            require(not list(wire.store.uploads(prefix)), f"a {operation} that arrived otherwise left parts behind")
            _write(wire.store, path, parts)
            require(read(wire.store, path) == b"".join(parts), f"a {operation} cannot be repeated")

    return run


def _writes(store: ObjectStore, prefix: str) -> list[tuple[str, str, list[bytes]]]:
    """(operation, path, parts): a put, and an upload."""
    small = pattern(50_000, 20)
    return [("put", prefix + "put", [small]), ("part", prefix + "parts", [_part(store), small])]


def _part(store: ObjectStore) -> bytes:
    return pattern(store.limits.part_bytes, 21)


def _write(store: ObjectStore, path: str, parts: list[bytes]) -> None:
    if len(parts) == 1:
        store.put(path, parts[0])
    else:
        send(store, path, parts)


def cut_reply(wire: Wire, prefix: str) -> None:
    """Taken up again where it broke, and Unavailable where it breaks always: never short."""
    for body, path in _stored(wire.store, prefix).values():
        wire.proxy.order("get", "short")
        require(read(wire.store, path) == body, "a reply that broke off is not taken up again")
        wire.always("get", "short")
        with raises(Unavailable, "a reply that breaks off again and again is taken for whole"):
            read(wire.store, path)
        require(wire.proxy.struck > 1, "no reply was struck")
        wire.proxy.quiet()


def _false_replies(action: Callable[[Wire], Action]) -> Callable[[Wire, str], str | None]:
    """A reply that is not what the store holds is an error, or what is said of objects of which it is none."""

    def run(wire: Wire, prefix: str) -> str | None:
        unseen = []
        for kind, (body, path) in _stored(wire.store, prefix).items():
            wire.always("get", action(wire))
            try:
                found = read(wire.store, path)
            except DrorchError:
                found = b""
            else:
                unseen.append(kind)
            require(wire.proxy.struck > 0, "no reply was struck")
            wire.proxy.quiet()
            require(len(found) <= len(body), "more is read than there is")
        return UNSEEN.format(" and ".join(unseen)) if unseen else None

    return run


def _stored(store: ObjectStore, prefix: str) -> dict[str, tuple[bytes, str]]:
    """By what it is: bytes and path."""
    stored = {}
    for kind, (_, path, parts) in zip((SMALL, LARGE), _writes(store, prefix), strict=True):
        _write(store, path, parts)
        stored[kind] = b"".join(parts), path
    return stored


def cut_listing(wire: Wire, prefix: str) -> None:
    """The second page breaks off, or is shorter than it was: an error, never a listing that just ends."""
    for number in range(8):
        wire.store.put(f"{prefix}{number}", b"x")
    limits = wire.store.limits
    wire.store.limits = replace(limits, page=3)
    try:
        for action in ("short", "understated", "before"):
            listing = wire.store.list(prefix)
            require(len(list(islice(listing, 3))) == 3, "a listing does not begin")
            wire.always("list", action)  # type: ignore[arg-type]
            with raises(Unavailable, f"a listing whose second page is lost ({action}) just ends"):
                list(listing)
            require(wire.proxy.struck > 0, "no listing was struck")
            wire.proxy.quiet()
    finally:
        wire.store.limits = limits


def idle_put(wire: Wire, prefix: str) -> str | None:
    """Noticed at once where the store looks again; else by whoever looks next."""
    wire.idle("put")
    try:
        wire.store.put(prefix + "object", b"body")
    except DrorchError:
        return None
    finally:
        wire.proxy.quiet()
    with raises(NotFound, "what was never written is there"):
        wire.store.stat(prefix + "object")
    return BELIEVED.format("put")


def idle_upload(wire: Wire, prefix: str) -> None:
    """A part, or a commit, that did nothing: no upload ends well."""
    for operation in ("part", "commit"):
        path = prefix + operation
        wire.idle(operation)
        with raises(DrorchError, f"an upload whose {operation} did nothing is taken for done"):
            send(wire.store, path, [_part(wire.store), b"end"])
        require(wire.proxy.struck > 0, f"no {operation} was struck")
        wire.proxy.quiet()
        require(not list(wire.store.list(path)), f"an upload whose {operation} did nothing shows")
        for pending in wire.store.uploads(path):
            wire.store.abort_upload(pending)


def idle_delete(wire: Wire, prefix: str) -> str | None:
    """Noticed at once, or by the next listing, which shows the object."""
    path = prefix + "object"
    wire.store.put(path, b"body")
    wire.idle("delete")
    try:
        wire.store.delete(path)
    except DrorchError:
        return None
    finally:
        struck = wire.proxy.struck
        wire.proxy.quiet()
    require(struck > 0, "no deletion was struck")
    require([found.path for found in wire.store.list(path)] == [path], "what was not deleted is not listed")
    wire.store.delete(path)
    require(not list(wire.store.list(path)), "a deletion cannot be repeated")
    return BELIEVED.format("deletion")


def idle_lock(wire: Wire, prefix: str) -> str | None:
    """What a store says of a lock is read back."""
    if wire.store.lock is None:
        return NO_LOCK
    path = f"drorch/v1/data/{prefix}object"
    wire.store.put(path, b"body")
    before = wire.store.lock_of(path)
    require(before is not None, "a vault with a lock locks nothing")
    wire.idle("lock")
    assert before is not None
    with raises(DrorchError, "a lock that was not extended is taken for extended"):
        wire.store.extend_lock(path, before.until + timedelta(days=1))
    require(wire.proxy.struck > 0, "no lock was struck")
    wire.proxy.quiet()
    require(wire.store.lock_of(path) == before, "a lock changed that was not extended")
    return None


def skew(wire: Wire, prefix: str) -> None:
    """A Date header hours off is the store's present: whoever compares clocks sees it."""
    del prefix
    for turned in (SKEW, -SKEW):
        wire.proxy.skew = turned
        off = wire.store.now() - datetime.now(UTC)
        require(abs(off - turned) < NEAR, f"a store's clock that is off by {turned} is told as off by {off}")
    wire.proxy.quiet()
    require(abs(wire.store.now() - datetime.now(UTC)) < NEAR, "a clock that was set right is still told as off")


WIRE_CLAUSES: tuple[WireClause, ...] = (
    WireClause(
        "torn-body", "a body that breaks off before its announced length leaves nothing", _refused_writes("torn")
    ),
    WireClause("short-body", "half a body that announces half the length leaves nothing", _refused_writes("halved")),
    WireClause("wrong-digest", "a body that is not what its digest says is refused", _refused_writes("spoil")),
    WireClause("cut-reply", "a reply that breaks off is taken up again, or an error", cut_reply),
    WireClause(
        "short-reply", "a reply that is shorter than the object is an error", _false_replies(lambda _: "understated")
    ),
    WireClause("spoilt-reply", "a reply of other bytes is an error", _false_replies(lambda _: "garbled")),
    WireClause(
        "reply-digest",
        "a reply whose digest is another's is an error",
        _false_replies(lambda wire: wire.dialect.misdigested),
    ),
    WireClause("cut-listing", "a listing whose next page is lost is an error, never short", cut_listing),
    WireClause("idle-put", "a put that answers well and did nothing is noticed", idle_put),
    WireClause("idle-upload", "a part or a commit that answers well and did nothing is noticed", idle_upload),
    WireClause("idle-delete", "a deletion that answers well and did nothing is noticed", idle_delete),
    WireClause("idle-lock", "a lock that answers well and did nothing is noticed", idle_lock),
    WireClause("skew", "a clock that is hours off is told as it is", skew),
)
