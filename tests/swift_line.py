"""The line between a store and a real Swift: it loses requests, loses replies, and lets others in between."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as Cut
from urllib3.exceptions import ProtocolError

from drorch.stores.swift import SwiftStore

Event = str | int | Callable[[], None]


@dataclass
class _Fault:
    method: str
    part: str
    event: Event
    times: int


class _Body:
    """A body that ends early, or comes with its first byte changed."""

    def __init__(self, raw: Any, most: int | None) -> None:
        self._raw = raw
        self._left = most

    def read(self, size: int) -> bytes:
        if self._left is None:
            body: bytes = self._raw.read(size)
            return bytes([body[0] ^ 1]) + body[1:] if body else body
        if not self._left:
            raise ProtocolError("Connection broken")
        body = self._raw.read(min(size, self._left))
        self._left -= len(body)
        return body

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


class Line(HTTPAdapter):
    """`calls` counts what arrived, by method."""

    def __init__(self, store: SwiftStore) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self._faults: list[_Fault] = []
        store.session.http.mount("http://", self)

    def fail(self, method: str, event: Event, part: str = "", times: int = 1) -> None:
        """What befalls the next `times` requests of `method` whose URL holds `part`.

        ``before``: it does not arrive. ``after``: its reply is lost. A number: that status, and it does not arrive.
        ``garbled``: the body is changed on its way there; ``changed``: on its way back; ``short``: it breaks off after
        1,000 bytes. A function is called after the request was carried out, before the reply comes.
        """
        self._faults.append(_Fault(method, part, event, times))

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:  # type: ignore[override]
        event = self._next(request)
        if event == "before":
            raise Cut("connection reset")
        if isinstance(event, int):
            return _answer(request, event)
        if event == "garbled" and isinstance(request.body, bytes):
            request.body = b"?" + request.body[1:]
        self.calls[str(request.method)] += 1
        reply = super().send(request, *args, **kwargs)
        if event == "after":
            reply.close()
            raise Cut("connection reset")
        if event in ("short", "changed"):
            reply.raw = _Body(reply.raw, 1000 if event == "short" else None)
        if callable(event):
            event()
        return reply

    def _next(self, request: PreparedRequest) -> Event:
        for fault in self._faults:
            if fault.times and fault.method == request.method and fault.part in str(request.url):
                fault.times -= 1
                return fault.event
        return ""


def _answer(request: PreparedRequest, status: int) -> Response:
    reply = Response()
    reply.status_code, reply.reason, reply.request, reply.url = status, "made up", request, str(request.url)
    reply.raw = io.BytesIO()
    return reply
