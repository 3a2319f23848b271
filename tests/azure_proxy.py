"""What stands between the SDK and a Blob Storage on a bad day: a proxy that loses, cuts, spoils and refuses on order.

An operation is a method and, where the request has one, its ``comp``: ``PUT``, ``PUT block``, ``GET list``.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

Action = Literal["before", "after", "short", "spoil", "none"]
"""The request is lost; the reply is lost, or cut in the middle; a bit of the request's body is turned; nothing."""


@dataclass
class Reply:
    """What the store answered, to be changed."""

    status: int
    headers: dict[str, str]
    body: bytes


def refusal(status: int, code: str) -> Callable[[Reply], None]:
    """An order to answer with an error of Azure's (the request is carried out all the same)."""

    def change(reply: Reply) -> None:
        reply.status, reply.headers = status, {"x-ms-error-code": code, "Content-Type": "application/xml"}
        reply.body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()

    return change


class AzureProxy:
    """A context manager: listens on `port`, hands on to `upstream` (a port on this machine)."""

    def __init__(self, upstream: int) -> None:
        self.calls: Counter[str] = Counter()
        self._orders: list[tuple[str, Action | Callable[[Reply], None]]] = []
        handler = type("Handler", (_Handler,), {"proxy": self, "upstream": upstream})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> AzureProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def order(self, operation: str, action: Action | Callable[[Reply], None], *, times: int = 1) -> None:
        """What happens to the next `times` calls of the operation."""
        self._orders += [(operation, action)] * times

    def next(self, operation: str) -> Action | Callable[[Reply], None] | None:
        """Count the call; what is to happen to it."""
        self.calls[operation] += 1
        for number, (wanted, action) in enumerate(self._orders):
            if wanted == operation:
                del self._orders[number]
                return action
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: AzureProxy
    upstream: int

    def _serve(self) -> None:
        body = bytearray(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        comp = parse_qs(urlsplit(self.path).query).get("comp", [""])[0]
        action = self.proxy.next(f"{self.command} {comp}".rstrip())
        if action == "before":
            self.close_connection = True
            return
        if action == "spoil":
            body[len(body) // 2] ^= 1
        reply = self._forward(bytes(body))
        if callable(action):
            action(reply)
        if action == "after":
            self.close_connection = True
            return
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if action == "short":
            self.wfile.write(reply.body[: len(reply.body) // 2])
            self.close_connection = True
            return
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def _forward(self, body: bytes) -> Reply:
        connection = HTTPConnection("127.0.0.1", self.upstream, timeout=30)
        try:
            connection.request(self.command, self.path, body or None, dict(self.headers.items()))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        dropped = ("transfer-encoding", "connection", "keep-alive")
        dropped += () if self.command == "HEAD" else ("content-length",)
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in dropped}
        return Reply(answer.status, headers, content)

    do_GET = do_PUT = do_HEAD = do_DELETE = _serve  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Nothing."""
