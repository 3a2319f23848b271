"""What tests of the Swift store do again and again."""

from __future__ import annotations

from collections.abc import Callable

import requests
import swift_server

from drorch.stores import swift
from drorch.stores.swift.upload import SwiftUpload

PART = 64 * 1024


def names(store: swift.SwiftStore) -> list[str]:
    """Everything in the container, hidden or not."""
    return swift_server.running().names(store.container)


def read(store: swift.SwiftStore, path: str) -> bytes:
    return b"".join(store.read(path))


def send_large(store: swift.SwiftStore, path: str) -> SwiftUpload:
    """An upload of two parts, not committed."""
    upload = store.upload(path)
    upload.write(b"a" * PART)
    upload.write(b"b" * 100)
    return upload


def written_by_another(store: swift.SwiftStore, path: str) -> Callable[[], None]:
    """Writes over what is at `path`, as a writer does that was let pass at the same moment."""

    def write() -> None:
        account, token = swift_server.running().sign_in()
        url = f"{account}/{store.container}/{store.name(path)}"
        requests.put(url, data=b"theirs", headers={"X-Auth-Token": token}, timeout=30).raise_for_status()

    return write
