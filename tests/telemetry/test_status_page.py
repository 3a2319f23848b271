"""The listener: two pages, read-only, bounded, and an honest error when its port is taken."""

from __future__ import annotations

import http.client
import select
import socket
import time
from collections.abc import Iterator

import pytest

from drorch.domain.errors import Refused
from drorch.telemetry import status_page
from drorch.telemetry.status_page import StatusPage


class Daemon:
    """What is shown."""

    page, why = "drorch_build_info 1\n", ""


_SHOWN = Daemon()


@pytest.fixture(autouse=True)
def daemon() -> Daemon:
    _SHOWN.page, _SHOWN.why = Daemon.page, Daemon.why
    return _SHOWN


@pytest.fixture(scope="module")
def listener() -> Iterator[StatusPage]:
    made = StatusPage("127.0.0.1", 0, metrics=lambda: _SHOWN.page, health=lambda: _SHOWN.why)
    made.start()
    yield made
    made.close()


def ask(listener: StatusPage, path: str, method: str = "GET") -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body, {name.lower(): value for name, value in answer.getheaders()}


def test_metrics_are_served_as_they_are_now(daemon: Daemon, listener: StatusPage) -> None:
    status, body, headers = ask(listener, "/metrics")
    assert (status, body) == (200, daemon.page)
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    daemon.page = "drorch_build_info 2\n"
    assert ask(listener, "/metrics?name=x")[1] == "drorch_build_info 2\n"


def test_health_is_green_or_says_why_not(daemon: Daemon, listener: StatusPage) -> None:
    assert ask(listener, "/healthz")[:2] == (200, "ok\n")
    daemon.why = "no pass has ended for 200 s"
    assert ask(listener, "/healthz")[:2] == (503, "no pass has ended for 200 s\n")


@pytest.mark.parametrize("path", ["/", "/etc/passwd", "/../metrics", "/metrics/", "/HEALTHZ"])
def test_there_is_nothing_else(listener: StatusPage, path: str) -> None:
    assert ask(listener, path)[0] == 404


def test_it_is_read_only_and_does_not_name_its_parts(listener: StatusPage) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, _, headers = ask(listener, "/metrics", method)
        assert status == 501
        assert "python" not in headers["server"].lower()
    status, body, headers = ask(listener, "/metrics", "HEAD")
    assert (status, body, headers["content-length"]) == (200, "", str(len(Daemon.page)))


def test_a_port_that_is_taken_is_refused_before_anything_starts(listener: StatusPage) -> None:
    with pytest.raises(Refused, match=f"cannot listen on 127.0.0.1 port {listener.port}.*in use.*http.listen"):
        StatusPage("127.0.0.1", listener.port, metrics=str, health=str)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_this_hosts_is_refused(host: str) -> None:
    with pytest.raises(Refused, match=f"cannot listen on {host}"):
        StatusPage(host, 0, metrics=str, health=str)


def test_clients_that_say_nothing_neither_block_others_nor_take_all_threads(listener: StatusPage) -> None:
    silent = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(status_page.AT_ONCE - 1)]
    assert ask(listener, "/healthz")[0] == 200
    too_many = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(5)]
    dropped: set[socket.socket] = set()
    until = time.monotonic() + status_page.PATIENCE / 2
    while len(dropped) < 4 and time.monotonic() < until:
        dropped.update(select.select([*silent, *too_many], [], [], 0.1)[0])
    assert 4 <= len(dropped) <= 5  # the thread of the answer may hold its place a moment longer
    assert dropped <= set(too_many)
    for client in (*silent, *too_many):
        client.close()


def test_closing_is_harmless_before_the_start_and_twice_and_lets_the_port_go() -> None:
    made = StatusPage("127.0.0.1", 0, metrics=str, health=str)
    port = made.port
    made.close()
    made.close()
    again = StatusPage("127.0.0.1", port, metrics=str, health=str)
    assert again.port == port
    again.close()
