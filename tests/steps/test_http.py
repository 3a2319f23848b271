from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from drorch.domain.errors import Unavailable
from drorch.steps.http import HttpAnswers


class Handler(BaseHTTPRequestHandler):
    """Answers with the status that the path names; a redirect leads to a page that is there."""

    def do_GET(self) -> None:
        status = int(self.path.strip("/").partition("?")[0])
        self.send_response(status)
        self.send_header("Location", "/200")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("status", [200, 301, 404, 503])
def test_the_status_is_that_of_the_first_answer(address: str, status: int) -> None:
    assert HttpAnswers().status(f"{address}/{status}?deep=1") == status


def test_an_address_at_which_nobody_is_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unavailable, match="refused"):
        HttpAnswers().status(f"http://127.0.0.1:{port}/")


def test_something_that_speaks_no_http_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def mumble() -> None:
            accepted, _ = server.accept()
            accepted.recv(100)
            accepted.sendall(b"hello\r\n")
            accepted.close()

        thread = threading.Thread(target=mumble, daemon=True)
        thread.start()
        with pytest.raises(Unavailable, match="nobody answers"):
            HttpAnswers().status(f"http://127.0.0.1:{server.getsockname()[1]}/")
        thread.join()


def test_a_proxy_of_the_environment_is_not_asked(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert HttpAnswers().status(f"{address}/204") == 204
