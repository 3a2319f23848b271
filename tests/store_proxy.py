"""What stands between an SDK and a store on a bad day: an HTTP proxy that loses, cuts, spoils and lies on order.

An operation is what `naming` calls a request. Azure's are a method and, where the request has one, its ``comp``:
``PUT``, ``PUT block``, ``GET list``; `dialects` names those of all stores alike: ``put``, ``part``, ``commit`` ...
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, get_args
from urllib.parse import parse_qs, urlsplit

Fault = Literal["before", "after", "short", "spoil", "torn", "halved", "understated", "garbled", "none"]
"""Of the request: it is lost (``before``), a bit of its body is turned (``spoil``), its body breaks off half-way (
``torn``: announced longer than sent) or is only half and says so (``halved``).

Of the reply: it is lost (``after``), its body breaks off half-way (``short``: announced longer than sent), is only half
and says so (``understated``), or has a bit turned (``garbled``). ``none``: this one passes.
"""


@dataclass
class Request:
    """What is asked for, to be named."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]


@dataclass
class Reply:
    """What the store answered, to be changed."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Instead:
    """An answer in the place of the store's, which is never asked."""

    reply: Callable[[Request], Reply]


Action = Fault | Callable[[Reply], None] | Instead


def azure_name(request: Request) -> str:
    """As the module says."""
    return f"{request.method} {request.query.get('comp', [''])[0]}".rstrip()


def refusal(status: int, code: str) -> Callable[[Reply], None]:
    """An order to answer with an error of Azure's (the request is carried out all the same)."""

    def change(reply: Reply) -> None:
        reply.status, reply.headers = status, {"x-ms-error-code": code, "Content-Type": "application/xml"}
        reply.body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()

    return change


class StoreProxy:
    """A context manager: listens on `port`, hands on to `upstream` (a port on this machine).

    `skew` turns the Date of every reply, `struck` counts the orders that were carried out.
    """

    def __init__(self, upstream: int, naming: Callable[[Request], str] = azure_name) -> None:
        self.calls: Counter[str] = Counter()
        self.struck = 0
        self.skew = timedelta()
        self.naming = naming
        self._orders: list[tuple[str, Action]] = []
        self._guard = threading.Lock()
        handler = type("Handler", (_Handler,), {"proxy": self, "upstream": upstream})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> StoreProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def order(self, operation: str, action: Action, *, times: int = 1) -> None:
        """What happens to the next `times` calls of the operation."""
        if isinstance(action, str) and action not in get_args(Fault):
            raise ValueError(f"unknown fault {action!r}")
        self._orders += [(operation, action)] * times

    def quiet(self) -> None:
        """Forget every order, and the skew."""
        self._orders.clear()
        self.struck = 0
        self.skew = timedelta()

    def next(self, request: Request) -> Action | None:
        """Count the call; what is to happen to it."""
        operation = self.naming(request)
        with self._guard:
            self.calls[operation] += 1
            for number, (wanted, action) in enumerate(self._orders):
                if wanted == operation:
                    del self._orders[number]
                    self.struck += 1
                    return action
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: StoreProxy
    upstream: int

    def _serve(self) -> None:
        body = bytearray(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        parts = urlsplit(self.path)
        request = Request(
            self.command, parts.path, parse_qs(parts.query, keep_blank_values=True), dict(self.headers.items())
        )
        action = self.proxy.next(request)
        if action == "before":
            self.close_connection = True
            return
        if action == "spoil" and body:
            body[len(body) // 2] ^= 1
        if isinstance(action, Instead):
            reply = action.reply(request)
        elif action == "torn":
            self._tear(bytes(body))
            self.close_connection = True
            return
        else:
            reply = self._forward(bytes(body[: len(body) // 2] if action == "halved" else body))
        if callable(action):
            action(reply)
        if action == "after":
            self.close_connection = True
            return
        self._answer(reply, action)

    def _answer(self, reply: Reply, action: object) -> None:
        half = len(reply.body) // 2
        if action == "understated":
            reply.body = reply.body[:half]
        elif action == "garbled":
            reply.body = reply.body[:half] + bytes([reply.body[half] ^ 1]) + reply.body[half + 1 :]
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, self._turned(value) if name.lower() == "date" else value)
        if self.command != "HEAD" and reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body[:half] if action == "short" else reply.body)
        if action == "short":
            self.close_connection = True

    def _turned(self, date: str) -> str:
        if not self.proxy.skew:
            return date
        return format_datetime(parsedate_to_datetime(date) + self.proxy.skew, usegmt=True)

    def _forward(self, body: bytes) -> Reply:
        connection = HTTPConnection("127.0.0.1", self.upstream, timeout=30)
        try:
            connection.request(self.command, self.path, body or None, self._passed_on(len(body)))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        dropped = ("transfer-encoding", "connection", "keep-alive")
        dropped += () if self.command == "HEAD" else ("content-length",)
        headers = {
            name: value.replace(f"127.0.0.1:{self.upstream}", f"127.0.0.1:{self.proxy.port}")  # the way back leads here
            for name, value in answer.getheaders()
            if name.lower() not in dropped
        }
        return Reply(answer.status, headers, content)

    def _tear(self, body: bytes) -> None:
        """The head, and half of the body; then the store's side of the line is closed, too."""
        connection = HTTPConnection("127.0.0.1", self.upstream, timeout=30)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self._passed_on(len(body)).items():
                connection.putheader(name, value)
            connection.endheaders()
            connection.send(body[: len(body) // 2])
        finally:
            connection.close()

    def _passed_on(self, length: int) -> dict[str, str]:
        names = ("expect", "connection", "content-length")
        passed = {name: value for name, value in self.headers.items() if name.lower() not in names}
        sized = length or self.command in ("PUT", "POST") or "Content-Length" in self.headers
        return passed | ({"Content-Length": str(length)} if sized else {})

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = do_PATCH = _serve  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Nothing."""
