"""No secret reaches a log line: by its shape, by the name beside it, or because it was registered."""

from __future__ import annotations

import base64
import secrets
from urllib.parse import quote

import pytest

from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.domain.errors import Unavailable
from drorch.telemetry.redact import HIDDEN, clean, clean_text, redact

AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SESSION = "IQoJb3JpZ2luX2VjEOr//////////" + "A1b2" * 20
PASSWORD = "hunter2-Zq"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"postgresql://backup:{PASSWORD}@orders.internal:5432/orders is down", PASSWORD),
        ("postgresql://backup:p@ss@host/db", "p@ss"),
        (f"https://u:{PASSWORD}@proxy:3128", PASSWORD),
        (f"host=orders user=backup password={PASSWORD} dbname=orders", PASSWORD),
        (f"host=orders password='{PASSWORD} two words' dbname=orders", "two words"),
        (f"PGPASSWORD={PASSWORD} psql", PASSWORD),
        (f'{{"user": "backup", "password": "{PASSWORD}"}}', PASSWORD),
        (f"{{'Password': '{PASSWORD}'}}", PASSWORD),
        (f'{{\\"password\\": \\"{PASSWORD}\\"}}', PASSWORD),
        (f"aws_secret_access_key={AWS_SECRET}", AWS_SECRET),
        (f"the key is {AWS_SECRET}, they say", AWS_SECRET),
        (f"Credentials(token={SESSION})", SESSION),
        (f"it said {SESSION}", SESSION),
        (
            "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/2026, Signature=5d672d79c15b13162d9279b0855c",
            "5d672d79",
        ),
        ("{'Authorization': b'AWS4-HMAC-SHA256 Credential=AKID, Signature=5d672d79c15b1316'}", "5d672d79"),
        ("('Authorization', 'Bearer abcdefghijklmnop')", "abcdefghijklmnop"),
        ("header Bearer ya29.a0AfH6SMBx-9_z sent", "a0AfH6SMBx"),
        ("token ya29.a0AfH6SMBx-9_z", "a0AfH6SMBx"),
        ("GET /x?X-Amz-Security-Token=FwoGZXIvYXdzEBYaDH&X-Amz-Signature=deadbeef01", "FwoGZXIvYXdzEBYaDH"),
        ("GET /x?X-Amz-Security-Token=FwoGZXIvYXdzEBYaDH&X-Amz-Signature=deadbeef01", "deadbeef01"),
        ("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2VjcmV0a2V5;EndpointSuffix=x", "c2VjcmV0a2V5"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nAAAA\n-----END RSA PRIVATE KEY-----", "MIIE"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEcut off", "MIIE"),
    ],
)
def test_a_secret_is_known_by_its_shape_or_its_neighbour(text: str, secret: str) -> None:
    assert secret in text
    shown = clean_text(text)
    assert secret not in shown
    assert HIDDEN in shown


def test_identities_and_signing_keys_are_hidden_and_public_keys_are_not() -> None:
    identity, recipient = new_identity()
    key = SecretKey.generate()
    secret_line, public_line = key.text().splitlines()[1], key.public.text()
    shown = clean_text(f"{identity} {identity.lower()} {secret_line} {recipient} {public_line}")
    assert shown == f"{HIDDEN} {HIDDEN} {HIDDEN} {recipient} {public_line}"


@pytest.mark.parametrize(
    "text",
    [
        "slot 2026-11-20T09:00Z is due",
        "FATAL: password authentication failed for user backup",
        "the secret file /etc/drorch/orders-db.password is not there",
        "digest da39a3ee5e6b4b0d3255bfef95601890afd80709 of sha1, e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495",
        "arn:aws:kms:us-west-2:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "s3://acme-dr/drorch/v1/data/shop/orders/20261120T091500Z-abcdefghij2345672345/data.pgcustom.zst.age",
        "http://127.0.0.1:9188/metrics and mail@example.com",
        "postgresql://backup@orders.internal:5432/orders",
        "Basic authentication was refused",
    ],
)
def test_what_people_need_to_read_stays_as_it_is(text: str) -> None:
    assert clean_text(text) == text


def test_a_registered_value_is_hidden_wherever_and_however_it_shows() -> None:
    secret = 'correct horse/"battery" ä'
    redact(secret)
    forms = [secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode(), repr(secret)[1:-1]]
    for form in [*forms, secret.replace('"', '\\"')]:
        assert clean_text(f"before {form} after") == f"before {HIDDEN} after"


def test_each_line_of_a_registered_file_is_hidden() -> None:
    redact("first-secret-line\nsecond-secret-line\n")
    assert clean({"a": "x second-secret-line", "b": ["first-secret-line"]}) == {"a": f"x {HIDDEN}", "b": [HIDDEN]}


def test_a_longer_registered_value_goes_before_one_that_it_begins_with() -> None:
    redact("abcdef")
    redact("abcdefghij")
    assert clean_text("abcdefghij") == HIDDEN


def test_very_short_values_do_not_turn_the_log_into_holes() -> None:
    redact("a")
    redact("")
    assert clean_text("an application") == "an application"


def test_nested_values_keys_errors_and_bytes_are_cleaned() -> None:
    secret = secrets.token_urlsafe(12)
    redact(secret)
    error = Unavailable("no answer", cause=f"said {secret}")
    nested = {"a": [{"b": ({"c": secret}, secret.encode())}], secret: 1, "error": error, "set": {secret}}
    cleaned = clean(nested)
    assert secret not in repr(cleaned)
    assert isinstance(cleaned, dict)
    assert cleaned["error"] == f"Unavailable: no answer: said {HIDDEN}"
    assert cleaned["set"] == [HIDDEN]


def test_a_value_under_a_telling_name_is_hidden_whatever_it_looks_like() -> None:
    event = {
        "password": "x",
        "db": {"SecretAccessKey": "y", "X-Amz-Security-Token": "z", "user": "backup", "kms_key": "alias/drorch"},
        "headers": [("Authorization", "w"), ("Host", "h")],
        "token": None,
    }
    assert clean(event) == {
        "password": HIDDEN,
        "db": {"SecretAccessKey": HIDDEN, "X-Amz-Security-Token": HIDDEN, "user": "backup", "kms_key": "alias/drorch"},
        "headers": [["Authorization", HIDDEN], ["Host", "h"]],
        "token": None,
    }


def test_numbers_truths_and_nothing_keep_their_type() -> None:
    assert clean({"a": 1, "b": 1.5, "c": True, "d": None}) == {"a": 1, "b": 1.5, "c": True, "d": None}


def test_a_value_that_cannot_be_shown_and_one_without_an_end_do_no_harm() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

    endless: list[object] = ["password=hunter2-Zq"]
    endless.append(endless)
    assert clean(Broken()) == "<Broken that cannot be shown: RuntimeError>"
    assert PASSWORD not in repr(clean(endless))
