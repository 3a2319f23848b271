"""Clauses of the store contract about limits: how many parts an object may have, how much one reply lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice, zip_longest

from drorch.app.store_clauses import give_up, pattern, raises, require, send
from drorch.domain.errors import Refused
from drorch.ports import ObjectStore

_PARTS = 2
_LISTED = 20
_PAGE = 6
"""Entries: the listed ones are three whole pages and a short one."""


@contextmanager
def shrunken(store: ObjectStore, **limits: int) -> Iterator[None]:
    """The store with smaller limits for as long as the block runs."""
    before = store.limits
    store.limits = replace(before, **limits)
    try:
        yield
    finally:
        store.limits = before


def most_parts(store: ObjectStore, prefix: str) -> None:
    """As many parts as the limit says, made small here: one more is refused before it is sent, and nothing shows."""
    with shrunken(store, max_parts=_PARTS):
        part = pattern(store.limits.part_bytes, 10)
        send(store, prefix + "most", [part] * _PARTS)
        require(store.stat(prefix + "most").size == _PARTS * len(part), "an object of the most parts got another size")
        upload = store.upload(prefix + "one-more")
        try:
            for _ in range(_PARTS):
                upload.write(part)
            with raises(Refused, "more parts are taken than the limit says"):
                upload.write(b"one more")
        finally:
            give_up(upload)
        require(not list(store.list(prefix + "one-more")), "an upload of too many parts shows")


def pages(store: ObjectStore, prefix: str) -> None:
    """Pages made small here: every object, once, as listing and as history, and again after one that was left."""
    written = [f"{prefix}{number:03}" for number in range(_LISTED)]
    for path in written:
        store.put(path, b"x")
    with shrunken(store, page=_PAGE):
        listed = sorted(found.path for found in store.list(prefix))
        require(listed == written, f"a listing of several pages shows {len(listed)} of {_LISTED} objects")
        shown = sorted(found.path for found in store.history(prefix))
        require(shown == written, f"a history of several pages shows {len(shown)} of {_LISTED} objects")
        for count in (1, _PAGE, _PAGE + 1):
            require(len(list(islice(store.list(prefix), count))) == count, "a listing does not begin")
        require(len(list(store.list(prefix))) == _LISTED, "a listing after one that was left half-way is not complete")


def given_up(store: ObjectStore, prefix: str) -> None:
    """A listing of which only the beginning was wanted, and two at once: each next one is complete."""
    for number in range(_LISTED):
        store.put(f"{prefix}{number:03}", b"x")
    beginning = [found.path for found in islice(store.list(prefix), 1)]
    require(len(beginning) == 1, "a listing does not begin")
    turns = zip_longest(store.list(prefix), store.list(prefix))
    found = [{listed.path for listed in side if listed is not None} for side in zip(*turns, strict=True)]
    require([len(paths) for paths in found] == [_LISTED] * 2, "two listings at once are not both complete")
    require(len(list(store.list(prefix))) == _LISTED, "a listing after one that was given up is not complete")
