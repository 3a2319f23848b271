"""Every command of the contract has help, stands in the README, and is built as the table says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from desks import typed

from drorch.cli.main import COMMANDS, LazyGroup, cli

ROOT = Path(__file__).parents[2]


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that can be typed, by its whole name, hidden ones left out."""
    context = click.Context(cli)
    assert isinstance(cli, LazyGroup)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner.name}", inner) for inner in command.commands.values() if not inner.hidden)
        else:
            yield name, command


ALL = dict(commands())


@pytest.mark.parametrize("name", ALL)
def test_command_has_help_a_sentence_and_no_option_without_one(name: str) -> None:
    said = typed(*name.split(), "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Usage: drorch {name}")
    assert (ALL[name].help or "").split("\n\n")[0].strip().endswith(".")
    for option in ALL[name].params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, f"{name} {option.opts}"
    assert all(len(line) <= 110 for line in said.out.splitlines())


def test_every_command_stands_in_the_readmes_table_and_nothing_else_does() -> None:
    text = (ROOT / "README.md").read_text()
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `drorch")]
    named = [words for row in rows for words in re.findall(r"`(?:drorch )?([^`]+)`", row)]
    for name in ALL:
        assert any(words == name or words.startswith(f"{name} ") for words in named), name
    for words in named:
        assert any(words == name or words.startswith(f"{name} ") for name in ALL), words


def test_options_that_the_readme_names_exist() -> None:
    text = (ROOT / "README.md").read_text()
    known = {flag for command in ALL.values() for param in command.params for flag in param.opts} | {"--config"}
    rows = [line for line in text.splitlines() if line.startswith("| `drorch")]
    assert len(rows) >= 10
    for flag in {flag for line in rows for flag in re.findall(r"--[a-z][a-z-]*", line)}:
        assert flag in known, flag


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_summary_in_the_table_is_a_sentence(name: str) -> None:
    _, text = COMMANDS[name]
    assert text.endswith(".")
    assert len(text) < 90


def test_every_command_that_reports_speaks_json() -> None:
    silent = {"policy schema", "pin", "unpin", "clear", "vault init", "key new"}
    for name, command in ALL.items():
        flags = {flag for param in command.params for flag in param.opts}
        assert ("--json" in flags) is (name not in silent), name
