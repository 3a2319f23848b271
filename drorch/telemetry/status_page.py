"""The listener: /metrics and /healthz, read-only, from values in memory. It serves no file and takes no input."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from drorch.domain.errors import Refused
from drorch.telemetry.exposition import CONTENT_TYPE

AT_ONCE = 16
"""Connections served at once; one more is closed unanswered."""
PATIENCE = 5.0
"""Seconds that a client may take for each read and write."""


class StatusPage:
    """Binds at once, so that a taken port is an error before anything starts; serves between `start` and `close`.

    `metrics` gives the page, `health` why the daemon is not healthy ("" while it is). Raises Refused when the address
    cannot be had.
    """

    def __init__(self, host: str, port: int, *, metrics: Callable[[], str], health: Callable[[], str]) -> None:
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._server = _Server(address, family, metrics, health)
        except OSError as error:
            raise Refused(
                f"cannot listen on {host} port {port}",
                operation="http.listen",
                cause=error.strerror or str(error),
                hint="another program has the port, or the address is not this host's: set http.listen in drorch.yaml",
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="status-page", daemon=True)

    @property
    def port(self) -> int:
        """The port that it is bound to (the one chosen by the system, for port 0)."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Serve in a thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving and let the port go; harmless before `start` and twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32
    block_on_close = False

    def __init__(self, address: Any, family: int, metrics: Callable[[], str], health: Callable[[], str]) -> None:
        self.address_family = family
        self.metrics, self.health = metrics, health
        self._places = threading.BoundedSemaphore(AT_ONCE)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Without HTTPServer's look-up of the host's name, which may wait for a DNS server that is lost."""
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread to be had
            self._places.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nobody's business."""


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE
    server: _Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(HTTPStatus.OK, self.server.metrics(), CONTENT_TYPE)
        elif path == "/healthz":
            why = self.server.health()
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE if why else HTTPStatus.OK, f"{why or 'ok'}\n")
        else:
            self._answer(HTTPStatus.NOT_FOUND, "there are /metrics and /healthz\n")

    def do_HEAD(self) -> None:
        self.do_GET()

    def version_string(self) -> str:
        """Without Python's version in it."""
        return "drorch"

    def _answer(self, status: HTTPStatus, text: str, kind: str = "text/plain; charset=utf-8") -> None:
        body = text.encode()
        self.send_response_only(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not worth a line."""
