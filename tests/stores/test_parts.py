"""Upload bookkeeping at its limits: 10,000 parts at most stores, 1,000 at some (off by one has lost backups)."""

from __future__ import annotations

import pytest

from drorch.domain.errors import Refused
from drorch.ports import StoreLimits
from drorch.stores.memory import MemoryStore


@pytest.mark.parametrize("most", [1_000, 10_000])
def test_last_allowed_part_is_taken_and_the_next_refused(most: int) -> None:
    store = MemoryStore(limits=StoreLimits(part_bytes=2, max_parts=most))
    upload = store.upload("a")
    for _ in range(most):
        upload.write(b"xx")
    with pytest.raises(Refused, match=f"at most {most} parts"):
        upload.write(b"x")
    upload.abort()
    whole = store.upload("b")
    for _ in range(most):
        whole.write(b"xx")
    whole.commit()
    assert store.stat("b").size == 2 * most
