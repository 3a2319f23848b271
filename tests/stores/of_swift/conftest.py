"""A container of a real Swift, a store of little patience on it, and the line between."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import swift_server
from live_stores import swift_store
from swift_hands import PART
from swift_line import Line

from drorch.ports import StoreLimits
from drorch.stores import swift
from drorch.stores.swift import session


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch) -> str:
    server = swift_server.running()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(session, "PAUSE", 0.01)
    return server.container()


@pytest.fixture
def store(container: str) -> Iterator[swift.SwiftStore]:
    opened = swift_store(container, patience=0, settle=0)
    opened.limits = StoreLimits(part_bytes=PART)
    yield opened
    opened.close()


@pytest.fixture
def line(store: swift.SwiftStore) -> Line:
    return Line(store)
