"""`key check`: the vault's token, opened where the key lies, and the answer recorded on the host."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from desks import Desk, Said, typed

from drorch.crypto.age import new_identity
from drorch.crypto.age_protected import protect
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout


@pytest.fixture
def marked(desk: Desk) -> Desk:
    """Its vault is marked, so it has a token."""
    assert desk.drorch("vault", "init", "nas").code == 0
    return desk


def elsewhere(desk: Desk, *more: str, identity: Path | None = None) -> Said:
    """On a machine that has the key and the vault's address, no configuration."""
    key = str(identity or desk.folder / "key.txt")
    return typed("key", "check", "--identity", key, "--vault-url", f"file://{desk.nas}", *more, environ={"PATH": ""})


def test_answer_of_another_machine_is_recorded_on_the_host_signed_and_shown(marked: Desk) -> None:
    before = marked.drorch("key", "check", "--json").json["keys"]
    assert [(key["recipient"], key["proved_at"], key["overdue"]) for key in before] == [(marked.recipient, None, False)]
    told = elsewhere(marked, "--trust", marked.signing.public.text())
    assert told.code == 0, told.err
    answer = told.out.strip()
    assert answer.startswith("drorch-key-1.")
    assert f"the key of {marked.recipient} opened its token" in told.err
    said = marked.drorch("key", "check", "--answer", answer)
    assert said.code == 0, said.err
    assert said.out.startswith(f"recorded: the key of {marked.recipient} opened its token at ")
    (proof,) = (marked.nas / layout.KEYS).glob("*/proof-*.json")
    command = ["minisign", "-V", "-m", proof, "-p", marked.folder / "minisign.pub"]
    assert subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    (after,) = marked.drorch("key", "check", "--json").json["keys"]
    assert after["proved_at"] is not None
    assert after["due_at"] >= before[0]["due_at"]
    shown = marked.drorch("key", "check")
    assert marked.recipient in shown.out
    assert "overdue" not in shown.out


def test_answer_is_no_secret_and_says_nothing_of_the_key(marked: Desk) -> None:
    told = elsewhere(marked)
    assert told.code == 0
    assert marked.identity not in told.out + told.err
    assert "without --trust anybody may have written this token" in told.err


def test_protected_identity_and_a_vault_of_the_configuration(marked: Desk) -> None:
    marked.secret("key.age", protect(marked.identity + "\n", "a passphrase", 4))
    secret = marked.secret("passphrase", "a passphrase\n")
    more = ("--identity", str(marked.folder / "key.age"), "--passphrase-file", str(secret), "--vault", "nas", "--json")
    said = marked.drorch("key", "check", *more)
    assert said.code == 0, said.err
    (opened,) = said.json["opened"]
    assert opened["recipient"] == marked.recipient
    said = marked.drorch("key", "check", "--answer", opened["answer"], "--json")
    assert (said.code, said.json["missed"]) == (0, [])
    assert said.json["proved_at"] == opened["at"]


def test_key_of_somebody_else_opens_no_token(marked: Desk) -> None:
    stranger = marked.secret("stranger.txt", new_identity()[0] + "\n")
    said = elsewhere(marked, identity=stranger)
    assert (said.code, said.out) == (3, "")
    assert f"there are tokens for {marked.recipient}" in said.err


def test_token_that_the_trusted_key_did_not_sign_is_not_opened(marked: Desk) -> None:
    said = elsewhere(marked, "--trust", SecretKey.generate().public.text())
    assert (said.code, said.out) == (3, "")
    assert "there is no token to open here" in said.err


@pytest.mark.parametrize("answer", ["", "nonsense", "drorch-key-1.0123456789abcdef.20261124T210007Z." + "A" * 86])
def test_answer_that_is_none_or_fits_nothing_records_nothing(marked: Desk, answer: str) -> None:
    said = marked.drorch("key", "check", "--answer", answer)
    assert said.code in (2, 3)
    assert said.out == ""
    assert not list((marked.nas / layout.KEYS).glob("*/proof-*.json"))


@pytest.mark.parametrize(
    "options",
    [
        ("--identity", "key.txt"),
        ("--identity", "key.txt", "--vault", "nas", "--vault-url", "file:///mnt"),
        ("--vault", "nas"),
        ("--trust", "RW"),
        ("--answer", "x", "--vault", "nas"),
        ("--passphrase-file", "x"),
    ],
)
def test_options_that_make_no_sense_together_are_usage(desk: Desk, options: tuple[str, ...]) -> None:
    said = desk.drorch("key", "check", *options)
    assert (said.code, said.out) == (2, "")


def test_new_recipient_has_its_token_after_the_next_pass(marked: Desk) -> None:
    identity, recipient = new_identity()
    marked.write_config(encryption=f"encryption: {{recipients: [{marked.recipient}, {recipient}]}}")
    marked.write_policy(drill="")
    assert marked.drorch("run", "--once").code == 0
    path = marked.secret("second.txt", identity + "\n")
    told = elsewhere(marked, identity=path)
    assert told.code == 0, told.err
    assert marked.drorch("key", "check", "--answer", told.out.strip()).code == 0
