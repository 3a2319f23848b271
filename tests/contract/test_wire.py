"""The contract on a network that cuts, spoils and lies: every store that has one, behind a proxy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from store_limits import LIMITS
from wire_clauses import WIRE_CLAUSES, WireClause
from wires import LOCKED, WIRES, Wire

from drorch.app.store_clauses import ContractBroken
from drorch.domain.errors import DrorchError, NotFound
from drorch.ports import ObjectInfo, ObjectStore

OF_LOCKS = "idle-lock"
OTHERS = [clause for clause in WIRE_CLAUSES if clause.name != OF_LOCKS]


@pytest.fixture(scope="module", params=list(WIRES))
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[str, Wire]]:
    with WIRES[request.param]() as wire:
        yield request.param, wire


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an SDK waits before it asks again takes no time."""
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.mark.parametrize("clause", OTHERS, ids=lambda clause: clause.name)
def test_store_keeps_clause_on_a_bad_line(opened: tuple[str, Wire], clause: WireClause) -> None:
    """Each clause holds, with the store's own limits and no others."""
    name, wire = opened
    wire.proxy.quiet()
    assert clause.run(wire, f"wire/{clause.name}/") == LIMITS.get((name, clause.name))


@pytest.mark.parametrize("name", WIRES)
def test_store_keeps_the_clause_of_locks_where_it_has_some(name: str) -> None:
    (clause,) = [clause for clause in WIRE_CLAUSES if clause.name == OF_LOCKS]
    with LOCKED.get(name, WIRES[name])() as wire:
        assert clause.run(wire, "wire/idle-lock/") == LIMITS.get((name, OF_LOCKS))


class Believing:
    """A store in front of another that takes every failure for a success."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        with suppress(DrorchError):
            self._inner.put(path, body, overwrite=overwrite)

    def upload(self, path: str) -> Any:
        return Believing(self._inner.upload(path))

    def write(self, part: bytes) -> None:
        with suppress(DrorchError):
            self._inner.write(part)

    def commit(self) -> None:
        with suppress(DrorchError):
            self._inner.commit()

    def read(self, path: str, *span: Any) -> Iterator[bytes]:
        with suppress(DrorchError):
            yield from self._inner.read(path, *span)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with suppress(DrorchError):
            yield from self._inner.list(prefix)

    def delete(self, path: str) -> None:
        """Which nothing is ever said of, not even by a listing."""
        with suppress(DrorchError):
            self._inner.delete(path)
        self._inner = Without(self._inner, path)

    def extend_lock(self, path: str, until: datetime) -> None:
        with suppress(DrorchError):
            self._inner.extend_lock(path, until)

    def now(self) -> datetime:
        return datetime.now(UTC)


class Without:
    """A store of which one object is hidden."""

    def __init__(self, inner: Any, path: str) -> None:
        self._inner, self._path = inner, path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return (found for found in self._inner.list(prefix) if found.path != self._path)


@pytest.fixture(scope="module")
def locking() -> Iterator[Wire]:
    with LOCKED["gcs"]() as wire:
        yield wire


@pytest.mark.parametrize("clause", WIRE_CLAUSES, ids=lambda clause: clause.name)
def test_a_store_that_believes_everything_is_named_by_each_clause(locking: Wire, clause: WireClause) -> None:
    """A clause that it kept would prove nothing; a limit is what it is told where it read other bytes."""
    locking.proxy.quiet()
    store: ObjectStore = Believing(locking.store)  # type: ignore[assignment]
    try:
        limit = clause.run(replace(locking, store=store), f"believing/{clause.name}/")
    except (ContractBroken, NotFound):
        limit = "broken"
    assert limit is not None
