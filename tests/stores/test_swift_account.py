"""Whose Swift it is: what the environment says, a token that ends, and Keystone as far as its documents describe it."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import swift_server
from live_stores import swift_store
from swift_line import Line

from drorch.domain.errors import Refused, Unavailable
from drorch.stores import swift
from drorch.stores.swift import session

SECRET = "k3ystone-secret"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PAUSE", 0.01)


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch) -> str:
    server = swift_server.running()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return server.container()


def opened(container: str, region: str = "DFW") -> swift.SwiftStore:
    options = swift.Options(container=container, provider="rackspace", region=region)
    return swift.open_store("swift-dfw", options, patience=0, settle=0)


class Keystone(BaseHTTPRequestHandler):
    """POST /v3/auth/tokens of https://docs.openstack.org/api-ref/identity/v3/; its tokens are those of the Swift."""

    asked: list[dict[str, Any]]

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["auth"]
        self.asked.append(told)
        method = told["identity"]["methods"][0]
        given = told["identity"][method]
        if SECRET not in (given.get("secret"), given.get("user", {}).get("password")):
            self._reply(401, {"error": {"code": 401, "title": "Unauthorized", "message": "not you"}}, "")
            return
        url, token = swift_server.running().sign_in()
        ends = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        endpoints = [
            {"id": name, "interface": "public", "region": name, "region_id": name, "url": where}
            for name, where in (("ORD", "http://127.0.0.1:1/v1/AUTH_test"), ("DFW", url))
        ]
        catalog = [{"id": "s", "name": "swift", "type": "object-store", "endpoints": endpoints}]
        domain = {"id": "default", "name": "Default"}
        user = {"id": "u", "name": "tester", "domain": domain}
        told = {"methods": [method], "expires_at": ends, "user": user, "catalog": catalog, "issued_at": ends}
        self._reply(201, {"token": {**told, "project": {"id": "p", "name": "dr", "domain": domain}}}, token)

    def _reply(self, status: int, body: object, token: str) -> None:
        sent = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.send_header("X-Subject-Token", token)
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, format: str, *args: Any) -> None:
        return


@contextmanager
def keystone() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(its address, what it was asked)."""
    handler = type("Handler", (Keystone,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v3", handler.asked
        server.shutdown()
        thread.join()


PASSWORD = {
    "OS_USERNAME": "tester",
    "OS_PASSWORD": SECRET,
    "OS_PROJECT_NAME": "dr",
    "OS_USER_DOMAIN_NAME": "Default",
    "OS_PROJECT_DOMAIN_NAME": "Default",
}
APPLICATION = {"OS_APPLICATION_CREDENTIAL_ID": "a1", "OS_APPLICATION_CREDENTIAL_SECRET": SECRET}


# --- tokens --------------------------------------------------------------------------------------------------------


def test_token_that_swift_no_longer_knows_is_renewed_once_for_all(container: str) -> None:
    store = swift_store(container)
    store.put("a", b"body")
    sign_in = store.session._sign_in
    account = sign_in.account()
    sign_in._account = type(account)(account.url, "AUTH_tk_ended")
    assert b"".join(store.read("a")) == b"body"
    assert sign_in.account().token != "AUTH_tk_ended"
    assert sign_in.renewed(type(account)(account.url, "AUTH_tk_ended")) == sign_in.account(), "a thread that came late"


def test_token_that_ends_before_a_put_is_renewed_and_the_object_written_once(container: str) -> None:
    store = swift_store(container)
    account = store.session._sign_in.account()
    store.session._sign_in._account = type(account)(account.url, "AUTH_tk_ended")
    line = Line(store)
    store.put("a", b"body")
    assert line.calls["PUT"] == 2
    assert b"".join(store.read("a")) == b"body"


def test_token_of_the_environment_works_and_cannot_be_renewed(container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url, token = swift_server.running().sign_in()
    monkeypatch.setenv("OS_STORAGE_URL", url)
    monkeypatch.setenv("OS_AUTH_TOKEN", token)
    opened(container).put("a", b"body")
    monkeypatch.setenv("OS_AUTH_TOKEN", "AUTH_tk_ended")
    with pytest.raises(Refused, match="401") as raised:
        opened(container).stat("a")
    assert "ST_AUTH" in raised.value.hint
    assert "AUTH_tk_ended" not in str(raised.value)


# --- signing in ----------------------------------------------------------------------------------------------------


def test_without_credentials_the_hint_says_where_they_come_from() -> None:
    with pytest.raises(Refused) as raised:
        opened("acme-dr")
    assert "OS_AUTH_URL" in raised.value.hint


def test_without_its_client_the_hint_says_what_to_install(container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "swiftclient", None)
    with pytest.raises(Refused) as raised:
        opened(container)
    assert "drorch[swift]" in raised.value.hint


def test_authority_of_the_environment_is_the_one_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/else.pem")
    monkeypatch.setenv("OS_CACERT", "/nowhere/ca.pem")
    monkeypatch.setenv("OS_STORAGE_URL", "https://127.0.0.1:1/v1/AUTH_test")
    monkeypatch.setenv("OS_AUTH_TOKEN", "AUTH_tk")
    with pytest.raises(Unavailable, match=r"/nowhere/ca\.pem"):
        opened("acme-dr").stat("a")


def test_wrong_key_is_refused_and_named_nowhere(container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ST_KEY", SECRET)
    with pytest.raises(Refused, match="401") as raised:
        opened(container).stat("a")
    assert SECRET not in f"{raised.value}{raised.value.__cause__}"


@pytest.mark.parametrize(
    "environ", [{"ST_AUTH": "http://127.0.0.1:1/auth/v1.0"}, {"OS_AUTH_URL": "http://127.0.0.1:1/v3"}]
)
def test_service_for_tokens_that_cannot_be_reached_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    for name, value in {**PASSWORD, **environ}.items():
        monkeypatch.setenv(name, value)
    store = opened("acme-dr")
    for attempt in (lambda: store.stat("a"), lambda: store.put("a", b"x"), lambda: list(store.list(""))):
        with pytest.raises(Unavailable):
            attempt()


@pytest.mark.parametrize("environ", [PASSWORD, APPLICATION])
def test_keystone_gives_the_token_and_the_region_of_the_vault(
    container: str, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    monkeypatch.delenv("ST_AUTH")
    with keystone() as (url, asked):
        for name, value in {"OS_AUTH_URL": url, **environ}.items():
            monkeypatch.setenv(name, value)
        store = opened(container)
        store.put("a", b"body")
        assert b"".join(store.read("a")) == b"body"
        assert len(asked) == 1
        with pytest.raises(Unavailable):
            opened(container, "ORD").stat("a")
        with pytest.raises(Refused, match="region"):
            opened(container, "MOON").stat("a")


@pytest.mark.parametrize("environ", [PASSWORD, APPLICATION])
def test_wrong_password_at_keystone_is_refused_and_named_nowhere(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    with keystone() as (url, _):
        for name, value in {"OS_AUTH_URL": url, **environ}.items():
            monkeypatch.setenv(name, value.replace(SECRET, "wr0ng-secret"))
        with pytest.raises(Refused, match="HTTP 401") as raised:
            opened("acme-dr").stat("a")
    assert "wr0ng-secret" not in f"{raised.value}{raised.value.__cause__}"
    assert "OS_AUTH_URL" in raised.value.hint
