"""Clauses of the store contract about limits: how many parts an object may have, and listings that are given up."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, zip_longest

from drorch.app.store_clauses import pattern, raises, require, send
from drorch.domain.errors import Refused
from drorch.ports import ObjectStore

_PARTS = 2
_LISTED = 20


def most_parts(store: ObjectStore, prefix: str) -> None:
    """As many parts as the limit says, made small here: one more is refused before it is sent, and nothing shows."""
    limits = store.limits
    store.limits = replace(limits, max_parts=_PARTS)
    try:
        part = pattern(limits.part_bytes, 10)
        send(store, prefix + "most", [part] * _PARTS)
        require(store.stat(prefix + "most").size == _PARTS * len(part), "an object of the most parts got another size")
        upload = store.upload(prefix + "one-more")
        try:
            for _ in range(_PARTS):
                upload.write(part)
            with raises(Refused, "more parts are taken than the limit says"):
                upload.write(b"one more")
        finally:
            upload.abort()
        require(not list(store.list(prefix + "one-more")), "an upload of too many parts shows")
        require(not list(store.uploads(prefix)), "an upload of too many parts is left behind")
    finally:
        store.limits = limits


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
