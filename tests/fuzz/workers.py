"""What a worker process says on its standard output, as whoever started it hears it."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from fuzz.engine import Parser

from drorch.app.runner import Handle
from drorch.app.worker_protocol import done_event, error_of, failed_event, fault_event, progress_event
from drorch.domain.errors import Damaged, DrorchError, InvalidInput, OutcomeUnknown


def _worker(data: bytes) -> None:
    handle: Any = SimpleNamespace(
        progress={}, _heard=0.0, _monotonic=time.monotonic, _last=None, _closed=threading.Event()
    )
    Handle._listen(handle, io.BytesIO(data))
    assert handle._closed.is_set(), "whoever waits for it waits for ever"
    assert isinstance(handle.progress, Mapping)
    if handle._last is None:
        return
    if handle._last["event"] == "done":
        assert isinstance(handle._last["outcome"], Mapping)
    else:
        error = error_of(handle._last)
        assert isinstance(error, DrorchError)
        str(error)


def _planted() -> Mapping[str, bytes]:
    where = {"operation": "dump", "resource": "shop/orders", "vault": "eu", "cause": "cut", "hint": "wait"}
    lines = {
        "done": [
            progress_event({"plain_bytes": 7}),
            progress_event({"plain_bytes": 9}),
            done_event({"vaults": ["eu"]}),
        ],
        "failed": [progress_event({}), failed_event(OutcomeUnknown("lost", **where))],
        "damaged": [failed_event(Damaged("damaged", **where))],
        "invalid": [failed_event(InvalidInput("wrong", hint="say so"))],
        "fault": [fault_event(KeyError("x"))],
    }
    return {name: b"".join(json.dumps(event).encode() + b"\n" for event in events) for name, events in lines.items()}


PARSERS = (Parser("worker", _worker, _planted, 1000),)
