"""One contract, every object store: the adapters, the public fake, the wrapper of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from faults import FaultyStore
from live_stores import LOCK, STORES
from store_limits import LIMITS

from drorch.app.store_contract import CLAUSES, Clause, check_store, clean
from drorch.domain.errors import Refused, Unavailable
from drorch.ports import ObjectStore
from drorch.stores.memory import MemoryStore


@pytest.fixture(scope="module", params=list(STORES))
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[str, ObjectStore]]:
    with STORES[request.param]() as store:
        yield request.param, store


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.name)
def test_store_keeps_clause(opened: tuple[str, ObjectStore], clause: Clause) -> None:
    """Each clause holds, with the store's own limits and no others; what it wrote goes again, unless it is locked."""
    name, store = opened
    prefix = f"drorch/v1/contract/{clause.name}/"
    assert clause.run(store, prefix) == LIMITS.get((name, clause.name))
    if store.lock is not None and clause.name in ("lock", "lock-parts"):
        with pytest.raises(Refused):
            clean(store, prefix)
        return
    clean(store, prefix)
    assert list(store.history(prefix)) == []


def test_live_check_of_a_good_store_names_every_clause_and_leaves_nothing() -> None:
    store = MemoryStore()
    store.put("drorch/v1/vault.json", b"{}")
    results = check_store(store, "drorch/v1/check/a/")
    assert [result.name for result in results] == [*(clause.name for clause in CLAUSES), "clean"]
    assert all(result.ok for result in results)
    limits = {result.name: result.detail for result in results if result.detail}
    assert limits == {clause: limit for (name, clause), limit in LIMITS.items() if name == "memory"}
    assert list(store.objects) == ["drorch/v1/vault.json"]


def test_live_check_of_an_unreachable_store_says_so_instead_of_blaming_it() -> None:
    store = FaultyStore(MemoryStore())
    store.faults.black_hole()
    with pytest.raises(Unavailable):
        check_store(store, "drorch/v1/check/a/")


def test_live_check_never_works_on_a_prefix_in_use() -> None:
    store = MemoryStore()
    store.put("drorch/v1/data/a", b"precious")
    with pytest.raises(Refused):
        check_store(store, "drorch/v1/data/")
    assert store.objects["drorch/v1/data/a"][0] == b"precious"


def test_live_check_of_a_vault_with_a_lock_tells_what_stays_locked() -> None:
    store = MemoryStore(lock=LOCK)
    results = {result.name: result for result in check_store(store, "drorch/v1/check/a/")}
    assert all(result.ok for result in results.values())
    assert "locked until" in results["clean"].detail
    assert "a later check" in results["clean"].detail
    assert set(store.objects) == {f"drorch/v1/check/a/{name}/object" for name in ("lock", "lock-parts")}
    ends = [lock.until for path in store.objects if (lock := store.lock_of(path)) is not None]
    assert max(ends) < store.now() + timedelta(minutes=5)


def test_live_check_tells_what_a_role_without_deletion_leaves_behind() -> None:
    class Undeletable(MemoryStore):
        def delete(self, path: str) -> None:
            raise Refused("the role may not delete")

    results = {result.name: result for result in check_store(Undeletable(), "drorch/v1/check/a/")}
    assert all(result.ok for result in results.values())
    assert "drorch/v1/check/a/" in results["clean"].detail
