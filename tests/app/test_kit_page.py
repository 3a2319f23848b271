"""The page of the crisis kit: every command on it can be typed, all that does not fit stands in COMMANDS.md."""

from __future__ import annotations

import html
import re
import shlex
from dataclasses import replace

import pytest
from dumped import NOON

from drorch.app.kit_page import KitDump, KitFacts, KitVault, commands_markdown, page_html, page_markdown
from drorch.app.reading import TrustedKey
from drorch.cli.typed import trusted_key
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey

NOW, OLD = SecretKey.generate().public, SecretKey.generate().public
URL = "s3://acme-dr/prod?region=eu-1&endpoint=https://minio.example:9000"
FACTS = KitFacts(
    site="acme",
    made=NOON,
    version="1.2.3",
    signing=NOW,
    trusted=[TrustedKey(OLD, NOON), TrustedKey(NOW)],
    recipients=[new_identity()[1]],
    vaults=[KitVault("minio", URL, "onprem office"), KitVault("gcs-eu", "gs://acme-dr", "gcp europe-west1")],
    dumps=[KitDump("shop", "orders", "postgres", "postgresql://localhost/the%20orders", ("minio", "gcs-eu"))],
    snapshots=["shop data"],
    platform="CPython 3.11 on Linux x86_64",
)


def crowded(dumps: int, vaults: int = 2) -> KitFacts:
    many = [replace(FACTS.dumps[0], resource=f"r{number}") for number in range(dumps)]
    places = [*FACTS.vaults, *(KitVault(f"v{n}", f"gs://v{n}", "gcp") for n in range(vaults - 2))]
    return replace(FACTS, dumps=many, vaults=places)


def commands(page: str) -> list[list[str]]:
    return [shlex.split(line) for line in page.splitlines() if line.startswith("venv/bin/drorch")]


def test_the_command_is_whole_and_takes_every_key_with_its_end():
    (words,) = commands(page_markdown(FACTS))
    assert words[:4] == ["venv/bin/drorch", "restore", "shop", "orders"]
    options = list(zip(words[4::2], words[5::2], strict=True))
    assert options[0] == ("--vault-url", URL)
    assert options[-1] == ("--into", "postgresql://localhost/the%20orders")
    trusted = [trusted_key(value) for option, value in options if option == "--trust"]
    assert trusted == [TrustedKey(NOW), TrustedKey(OLD, NOON)]


def test_both_forms_of_the_page_say_the_same():
    shown = html.unescape(re.sub(r"<head>.*</head>|<[^>]*>", " ", page_html(FACTS), flags=re.DOTALL)).split()
    written = re.sub(r"^(#+|-|```\w*)( |$)|[`*]", " ", page_markdown(FACTS), flags=re.MULTILINE).split()
    assert shown == written


@pytest.mark.parametrize("dumps", [0, 1, 4, 40])
def test_as_many_commands_stand_on_it_as_fit_and_all_in_the_other_file(dumps):
    facts = crowded(dumps)
    page = page_markdown(facts)
    shown = len(commands(page))
    assert shown == dumps if dumps < 5 else 4 < shown < 40
    assert (f"the commands of {dumps - shown} more resources" in page) is (shown < dumps)
    assert len(commands(commands_markdown(facts))) == 2 * dumps


def test_many_vaults_leave_room_for_commands():
    page = page_markdown(crowded(20, vaults=30))
    assert "22 more: `COMMANDS.md`" in page
    assert commands(page)
    assert "gs://v27" in commands_markdown(crowded(20, vaults=30))


def test_nothing_that_a_name_holds_becomes_markup():
    facts = replace(FACTS, vaults=[KitVault("x", "gs://a<script>", "<b>")], dumps=[])
    page = page_html(facts)
    assert "<script>" not in page
    assert "&lt;b&gt;" in page


def test_without_wheels_it_asks_an_index():
    page = page_markdown(replace(FACTS, platform=""))
    assert "--no-index" not in page
    assert "venv/bin/pip install --find-links wheels -r requirements.txt" in page
