"""Every reader of foreign bytes: its kept seeds, and as many mutated ones as there is time for, always the same."""

from __future__ import annotations

import pytest
from fuzz.engine import OPEN, Parser, run, tried
from fuzz.parsers import PARSERS

NAMES = sorted(PARSERS)


@pytest.fixture(params=NAMES)
def parser(request: pytest.FixtureRequest) -> Parser:
    found: Parser = PARSERS[request.param]
    return found


def test_every_parser_has_seeds_of_real_writers_as_they_are_written_now(parser: Parser) -> None:
    assert set(parser.plant()) <= set(parser.seeds()), "python -m tests.fuzz --plant"


def test_no_kept_seed_shows_a_fault(parser: Parser) -> None:
    for name, data in parser.seeds().items():
        finding, _ = tried(parser, data)
        assert finding is None, f"{name}: {finding.text}"


def test_no_finding_is_left_open(parser: Parser) -> None:
    assert not [name for name in parser.seeds() if name.startswith(OPEN)], "mend them; python -m tests.fuzz --settle"


def test_mutated_seeds_give_values_or_documented_errors_in_bounded_time(parser: Parser) -> None:
    report = run(parser, parser.rounds, seed=1)
    assert report.inputs == parser.rounds
    assert not report.findings, "\n\n".join(finding.text for finding in report.findings)
