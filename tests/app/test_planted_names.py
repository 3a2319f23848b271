"""Objects whose names try to leave the prefix: shown, never followed, in nobody's way."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from dumped import APPLICATION, DATA, World
from live_stores import STORES
from lives import catalogue, holds, lived, memory, usable
from worlds import EU, WEST

from drorch.app.restore import RestoreRequest, restore
from drorch.domain.errors import Refused
from drorch.ports import ObjectStore
from drorch.stores import azure, gcs, s3, swift

POINT = "20261001T120000Z-aaaaaaaaaaaaaaaaaaaa"
OF_A_POINT = (
    "drorch/v1/records/desk/orders/../../../evil/manifest.json",
    "drorch/v1/records/desk/orders/..%2f..%2fevil/manifest.json",
    f"drorch/v1/records/desk/orders/{POINT}/marks/../../x.json",
    f"drorch/v1/data/desk/orders/../{POINT}/data.zst.age",
    f"drorch/v1/data/desk/orders/{POINT}/../../../../vault.json",
    f"drorch/v1/data/desk/orders/{POINT}/..%2fdata.zst.age",
)
ELSEWHERE = (
    "drorch/v1/records//etc/passwd.json",
    "drorch/v1/heads/desk/../20261001T120000Z.json",
    "drorch/v1/heads/desk/..%2f.json",
    "drorch/v1/keys/../x/token-20261001T120000Z.json",
    "drorch/v1/approvals/../x.json",
    "../outside",
    "/absolute",
)


@pytest.mark.parametrize("name", [*OF_A_POINT, *ELSEWHERE])
def test_a_name_that_leaves_the_prefix_changes_no_pass(tmp_path: Path, name: str) -> None:
    """Old enough to be swept, beside a signature of its own; what is told is told of the resource whose path it is."""
    world = lived(tmp_path)
    for planted in (name, name + ".minisig"):
        memory(world, EU).objects[planted] = (b"{}\n", world.clock.now() - timedelta(days=60))
    for _ in range(3):
        world.clock.turn(days=1)
        world.quiet()
    assert {name, name + ".minisig"} <= set(memory(world, EU).objects), "it is not drorch's to remove"
    assert usable(world, EU) == usable(world, WEST)
    assert len(usable(world, EU)) >= 2
    told = [oddity.what for oddity in catalogue(world).oddities]
    assert told == (
        [f"{p}: no path that drorch writes: it is not read" for p in _both(name)] if name in OF_A_POINT else []
    )
    assert len(holds(world, "tampering")) == len(told)


def _both(name: str) -> tuple[str, str]:
    return name, name + ".minisig"


@pytest.mark.parametrize("name", OF_A_POINT)
def test_a_record_that_names_an_object_elsewhere_is_no_reason_to_read_it(name: str) -> None:
    world = World("gcs-eu")
    world.dump()
    for planted in _both(name.replace("desk", APPLICATION)):
        world.memory().objects[planted] = (b"{}\n", world.clock.now())
    restore(RestoreRequest(APPLICATION, "memory://back"), world.engine, world.stores, world.reader())
    assert world.engine.databases["back"][DATA]


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure", "swift", "s3:swift"])
def test_what_was_planted_is_listed_and_neither_read_nor_deleted(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a real store, written there by somebody who looks at no path."""
    names = ("drorch/v1/records/..%2f..%2fevil.json", "drorch/v1/records/.hidden/x", "drorch/v1/records/a/...")
    with STORES[kind]() as store:
        with monkeypatch.context() as careless:
            for module in (s3, gcs, azure, swift):
                careless.setattr(module, "check_path", lambda path, **_: path)
            for name in names:
                store.put(name, b"planted")
        store.put("drorch/v1/records/good", b"good")
        assert {found.path for found in store.list("drorch/v1/records/")} == {*names, "drorch/v1/records/good"}
        for name in names:
            _require_refused(store, name)
        assert b"".join(store.read("drorch/v1/records/good")) == b"good"


def _require_refused(store: ObjectStore, name: str) -> None:
    for call in (lambda: list(store.read(name)), lambda: store.stat(name), lambda: store.delete(name)):
        with pytest.raises(Refused, match="begins with a dot"):
            call()  # type: ignore[no-untyped-call]
