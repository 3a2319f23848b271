"""`key rewrap`: with the old key a new recipient gets the old dumps; the data stay as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from desks import ROWS, Desk, Said, typed

from drorch.crypto.age import new_identity, recipient_of
from drorch.domain import layout

NEW, RECIPIENT = new_identity()


def opened(desk: Desk, identity: str, into: str) -> Said:
    """A break-glass restore by that key alone."""
    key = desk.secret("another.txt", identity + "\n")
    vault = ("--vault-url", f"file://{desk.nas}", "--trust", desk.signing.public.text())
    target = ("--into", desk.server.url(into), "--yes")
    return typed("restore", "shop", "orders", *vault, "--identity", str(key), *target, environ=desk.environ)


def data(desk: Desk) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (desk.nas / layout.DATA).rglob("*") if path.is_file()}


def test_new_recipient_restores_after_it_and_not_before(twin: Desk) -> None:
    before = data(twin)
    said = opened(twin, NEW, "rewrap1")
    assert (said.code, said.out) == (3, "")
    said = twin.drorch("key", "rewrap", "--to", RECIPIENT)
    assert (said.code, said.out) == (0, "2 dumps rewrapped, 0 had it, 0 failed\n"), said.err
    assert data(twin) == before
    said = opened(twin, NEW, "rewrap1")
    assert said.code == 0, said.err
    assert twin.server.value("SELECT count(*) FROM orders", "rewrap1") == ROWS
    said = twin.drorch("key", "rewrap", "--to", RECIPIENT, "--json")
    assert (said.code, said.json) == (0, {"rewrapped": [], "had_it": 2, "errors": []})
    assert twin.drorch("vault", "verify", "nas", "--full").code == 0
    assert len(twin.points()) == 2


def test_identity_of_the_command_line_and_one_resource(twin: Desk) -> None:
    text = twin.config.read_text()
    twin.config.write_text(text.replace(", identities: [{file: key.txt}]", ""))
    command = ("key", "rewrap", "--to", RECIPIENT, "shop", "orders")
    said = twin.drorch(*command)
    assert (said.code, said.out) == (3, "")
    assert "this host has no age identity" in said.err
    said = twin.drorch(*command, "--identity", str(twin.folder / "key.txt"), "--json")
    assert said.code == 0, said.err
    assert [(p["application"], p["resource"]) for p in said.json["rewrapped"]] == [("shop", "orders")] * 2


def test_key_that_opens_no_dump_rewraps_none_and_says_so(twin: Desk) -> None:
    stranger = twin.secret("stranger.txt", new_identity()[0] + "\n")
    said = twin.drorch("key", "rewrap", "--to", RECIPIENT, "--identity", str(stranger))
    assert said.code == 3
    assert said.out == "0 dumps rewrapped, 0 had it, 2 failed\n"
    assert "no identity given opens this file" in said.err
    assert not list(twin.nas.rglob("rewraps"))


@pytest.mark.parametrize(
    "recipient", ["nonsense", NEW, recipient_of(NEW)[:-1]], ids=["a word", "a secret key", "one letter short"]
)
def test_what_is_no_recipient_is_refused(desk: Desk, recipient: str) -> None:
    said = desk.drorch("key", "rewrap", "--to", recipient)
    assert (said.code, said.out) == (3, "")
    assert NEW not in said.err
