"""Secrets: named by place, read at every use, never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from drorch.app.secret import SecretRef, resolve_secret
from drorch.domain.errors import NotFound, Refused

SECRET = "correct horse battery staple"


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A file with the secret, mode 600."""
    path = tmp_path / "password"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


def test_a_file_gives_its_content_without_the_newline_at_its_end(private: Path) -> None:
    assert resolve_secret(SecretRef(file=str(private)), {}) == SECRET


@pytest.mark.parametrize(
    ("content", "secret"),
    [("x", "x"), ("x\r\n", "x"), ("x\n\n", "x\n"), (" x ", " x "), ("# a\n# b\nKEY\n", "# a\n# b\nKEY")],
)
def test_exactly_one_newline_is_taken_off(private: Path, content: str, secret: str) -> None:
    private.write_bytes(content.encode())
    assert resolve_secret(SecretRef(file=str(private)), {}) == secret


def test_the_environment_and_systemd_credentials_are_read(tmp_path: Path) -> None:
    (tmp_path / "signing-key").write_text(SECRET)
    assert resolve_secret(SecretRef(env="PASSWORD"), {"PASSWORD": SECRET}) == SECRET
    (tmp_path / "signing-key").chmod(0o440)  # as systemd leaves it where it grants access by an ACL
    assert resolve_secret(SecretRef(systemd="signing-key"), {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == SECRET


def test_a_rotated_secret_is_seen_at_the_next_use(private: Path) -> None:
    reference = SecretRef(file=str(private))
    assert resolve_secret(reference, {}) == SECRET
    private.write_text("another one\n")
    assert resolve_secret(reference, {}) == "another one"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o660])
def test_a_file_open_to_group_or_others_is_refused_with_the_cure(private: Path, mode: int) -> None:
    private.chmod(mode)
    with pytest.raises(Refused, match="readable by group or others") as caught:
        resolve_secret(SecretRef(file=str(private)), {})
    assert f"mode {mode:04o}" in str(caught.value)
    assert caught.value.hint == f"chmod 600 {private}"
    assert caught.value.exit_code == 3


def test_what_is_not_there_is_refused_with_the_place(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    cases = [
        (SecretRef(file=str(absent)), {}, f"the secret file {absent} is not there"),
        (SecretRef(env="PASSWORD"), {}, "the secret env PASSWORD is not set"),
        (SecretRef(systemd="key"), {}, "there is no CREDENTIALS_DIRECTORY"),
        (SecretRef(systemd="key"), {"CREDENTIALS_DIRECTORY": str(tmp_path)}, "the secret systemd key is not there"),
    ]
    for reference, environ, message in cases:
        with pytest.raises(NotFound) as caught:
            resolve_secret(reference, environ)
        assert message in str(caught.value)
        assert caught.value.hint
        assert caught.value.exit_code == 3


@pytest.mark.parametrize("content", [b"", b"\n", b"   \n"])
def test_an_empty_secret_is_refused(private: Path, content: bytes) -> None:
    private.write_bytes(content)
    with pytest.raises(Refused, match="is empty"):
        resolve_secret(SecretRef(file=str(private)), {})
    with pytest.raises(Refused, match="is empty"):
        resolve_secret(SecretRef(env="PASSWORD"), {"PASSWORD": content.decode()})


def test_what_is_no_text_file_is_refused_without_its_bytes(private: Path, tmp_path: Path) -> None:
    private.write_bytes(SECRET.encode() + b"\xff")
    with pytest.raises(Refused, match="not UTF-8") as caught:
        resolve_secret(SecretRef(file=str(private)), {})
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    private.write_bytes(b"x" * 70_000)
    with pytest.raises(Refused, match="longer than"):
        resolve_secret(SecretRef(file=str(private)), {})
    with pytest.raises(Refused, match="cannot be read"):
        resolve_secret(SecretRef(file=str(tmp_path)), {})
    with pytest.raises(Refused, match="not a regular file"):
        resolve_secret(SecretRef(file="/dev/null"), {})


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        5,
        None,
        [],
        {},
        {"password": SECRET},
        {"file": SECRET, "env": SECRET},
        {"file": ""},
        {"env": 5},
        {"file": {"env": SECRET}},
    ],
)
def test_a_literal_secret_is_refused_without_being_echoed(value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        SecretRef.model_validate(value)
    (error,) = caught.value.errors(include_input=False)
    assert "a secret does not stand in the configuration" in error["msg"]
    assert "{file: PATH}, {env: NAME} or {systemd: NAME}" in error["msg"]
    assert SECRET not in str(caught.value.errors(include_input=False))


@pytest.mark.parametrize("name", ["../shadow", "a/b", ".hidden"])
def test_a_systemd_credential_is_a_name_and_no_path(name: str) -> None:
    with pytest.raises(ValidationError, match="no slash"):
        SecretRef(systemd=name)


def test_a_relative_file_lies_beside_the_configuration() -> None:
    assert SecretRef(file="keys/a").beside(Path("/etc/drorch")) == SecretRef(file="/etc/drorch/keys/a")
    assert SecretRef(file="/keys/a").beside(Path("/etc/drorch")) == SecretRef(file="/keys/a")
    assert SecretRef(env="A").beside(Path("/etc/drorch")) == SecretRef(env="A")
